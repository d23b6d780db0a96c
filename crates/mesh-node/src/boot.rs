//! The way to ready, as one trace, and the way out.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use iroh::{
    Endpoint, EndpointAddr, RelayMode, SecretKey,
    endpoint::presets,
    protocol::{Router, RouterBuilder},
};
use iroh_gossip::{
    net::Gossip,
    proto::{HyparviewConfig, TopicId},
};
use meshlab_wire::Ready;
use tokio::sync::mpsc;
use tracing::info_span;

use crate::{
    acquaintances::Acquaintances,
    backbone::{Backbone, BackboneParts, Meshes},
    cadence::Cadence,
    cli::{Gossip as Talk, NodeArguments},
    commands::NodeCommands,
    connections::Connections,
    control::{self, ControlProtocol, Greeter, Instruction, Orders},
    counters::Counters,
    data::{self, DataProtocol, deliver::Post, folder::Folders, links::Links},
    defects,
    dial::{AddressBook, Dialer},
    digest::{self, ADDRESSES_MAX, Digest, TAGS_MAX},
    entry::Entry,
    identity, incarnation,
    lifecycle::Lifecycle,
    membership::{Membership, Parts},
    own_disk::OwnDisk,
    view::SharedView,
};

/// A node that is ready.
pub(crate) struct Node {
    pub(crate) ready: Ready,
    pub(crate) router: Router,
    pub(crate) membership: Membership,
    pub(crate) backbone: Option<Backbone>,
    pub(crate) view: Arc<SharedView>,
    pub(crate) commands: NodeCommands,
    pub(crate) counters: Counters,
}

/// What the parts of a node share.
struct Common {
    key: SecretKey,
    name: String,
    incarnation: u64,
    addresses: Vec<SocketAddr>,
    lifecycle: Lifecycle,
    counters: Counters,
    connections: Connections,
    view: Arc<SharedView>,
    dialer: Dialer,
    instructions: mpsc::Sender<Instruction>,
    links: Links,
    meshes: Meshes,
    folders: Folders,
    greeter: Greeter,
}

/// Brings the node up to ready. Ready does not wait for a neighbour: the first node has none.
pub(crate) async fn boot(
    arguments: &NodeArguments,
    key: SecretKey,
    started: Instant,
) -> anyhow::Result<Node> {
    // None of these spans is entered: the tasks that iroh spawns would inherit it and keep it open
    // for as long as they run, so that it never reached the collector.
    let root = info_span!(parent: None, "node.ready");
    let step = info_span!(parent: &root, "endpoint_created");
    let counters = Counters::default();
    let connections = Connections::new(counters.clone(), arguments.guard_connections);
    let book = AddressBook::new(arguments.relay.clone(), arguments.addresses_kept.into());
    let acquaintances = Acquaintances::new(&arguments.data);
    let seeds = [arguments.seeds(), acquaintances.load()].concat();
    let known = [seeds.clone(), arguments.backbone_seeds()].concat();
    let endpoint = bind(arguments, key.clone(), connections.clone(), &book, &known).await?;
    drop(step);
    let step = info_span!(parent: &root, "alpn_registered");
    let dialer = Dialer { endpoint: endpoint.clone(), book, counters };
    let (instructions, instructed) = mpsc::channel(control::WAITING_MAX);
    let common = common(arguments, key, dialer, connections, instructions);
    let overlay =
        HyparviewConfig { shuffle_interval: arguments.shuffle_every, ..Default::default() };
    let gossip = Gossip::builder().membership_config(overlay).spawn(endpoint.clone());
    let routes = routes(arguments, &common, Router::builder(endpoint), &gossip);
    let (dialer, greeter) = (common.dialer.clone(), common.greeter.clone());
    let entry = Entry { gossip, dialer, greeter };
    drop(step);
    let step = info_span!(parent: &root, "gossip_started");
    let topic = TopicId::from_bytes(digest::topic(&arguments.mesh));
    let subscription = entry
        .gossip
        .subscribe(topic, Vec::new())
        .await
        .context("could not subscribe to the mesh's topic")?;
    let backbone = backbone(arguments, &common, &entry).await?;
    drop(step);
    let step = info_span!(parent: &root, "accept_loop_started");
    let router = routes.spawn();
    drop(step);
    let asked = known.iter().map(|peer| peer.id).filter(|peer| *peer != common.key.public());
    tokio::spawn(common.greeter.clone().greet_first(asked.collect()));
    let ready = Ready {
        name: common.name.clone(),
        public_key: identity::hex(&common.key.public()),
        addresses: common.addresses.iter().map(ToString::to_string).collect(),
        dead_after_ms: dead_after(arguments).as_millis() as u64,
        boot_micros: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
    };
    let commands = commands(&common, arguments);
    let counters = common.counters.clone();
    let view = Arc::clone(&common.view);
    let membership = Membership::new(Parts {
        topic,
        subscription,
        mesh: arguments.mesh.clone(),
        digest: first_digest(arguments, &common),
        seeds: seeds.iter().map(|seed| seed.id).collect(),
        acquaintances,
        disk: OwnDisk::new(&arguments.data, arguments.digest_every),
        cadence: cadence(arguments),
        digest_every: arguments.digest_every,
        talks: arguments.gossip == Talk::On,
        budget: arguments.budget(),
        lifecycle: common.lifecycle,
        key: common.key,
        view: common.view,
        connections: common.connections,
        dialer: common.dialer,
        entry,
        instructions: instructed,
        counters: common.counters,
    });
    Ok(Node { ready, router, membership, backbone, view, commands, counters })
}

fn cadence(arguments: &NodeArguments) -> Cadence {
    let (every, gated) = defects::cadence(arguments.digest_every, arguments.digest_gated);
    Cadence::new(every, gated, Instant::now())
}

fn dead_after(arguments: &NodeArguments) -> Duration {
    Cadence::dead_after(arguments.digest_every, arguments.digest_gated)
}

fn common(
    arguments: &NodeArguments,
    key: SecretKey,
    dialer: Dialer,
    connections: Connections,
    instructions: mpsc::Sender<Instruction>,
) -> Common {
    let counters = dialer.counters.clone();
    let lifecycle = Lifecycle::new(!arguments.seeds().is_empty());
    let view = SharedView::new(
        dead_after(arguments),
        lifecycle.state(),
        connections.clone(),
        dialer.book.clone(),
        counters.clone(),
    );
    let incarnation = incarnation::next(&arguments.data);
    Common {
        name: identity::name(&arguments.mesh, &arguments.role, &key.public()),
        greeter: Greeter::new(dialer.clone(), connections.clone(), incarnation),
        incarnation,
        addresses: dialer.endpoint.bound_sockets().into_iter().take(ADDRESSES_MAX).collect(),
        links: Links::new(dialer.clone(), &arguments.mesh),
        meshes: Meshes::default(),
        folders: Folders::new(&arguments.data),
        key,
        lifecycle,
        counters,
        connections,
        view,
        dialer,
        instructions,
    }
}

fn routes(
    arguments: &NodeArguments,
    common: &Common,
    builder: RouterBuilder,
    gossip: &Gossip,
) -> RouterBuilder {
    let control = ControlProtocol {
        mesh: arguments.mesh.clone(),
        own: common.key.public(),
        operator: arguments.operator,
        seen: Arc::default(),
        view: Arc::clone(&common.view),
        connections: common.connections.clone(),
        instructions: common.instructions.clone(),
        counters: common.counters.clone(),
    };
    let data = DataProtocol { view: Arc::clone(&common.view), counters: common.counters.clone() };
    builder
        .accept(iroh_gossip::ALPN, gossip.clone())
        .accept(control::ALPN, control)
        .accept(data::ALPN, data)
        .accept(iroh_blobs::ALPN, common.folders.clone())
}

async fn backbone(
    arguments: &NodeArguments,
    common: &Common,
    entry: &Entry,
) -> anyhow::Result<Option<Backbone>> {
    if !arguments.backbone {
        return Ok(None);
    }
    let parts = BackboneParts {
        key: common.key.clone(),
        name: common.name.clone(),
        mesh: arguments.mesh.clone(),
        incarnation: common.incarnation,
        addresses: common.addresses.clone(),
        every: arguments.digest_every * 2,
        seeds: arguments.backbone_seeds().iter().map(|seed| seed.id).collect(),
        view: Arc::clone(&common.view),
        meshes: common.meshes.clone(),
        entry: entry.clone(),
        counters: common.counters.clone(),
    };
    Backbone::join(parts).await.map(Some)
}

fn commands(common: &Common, arguments: &NodeArguments) -> NodeCommands {
    NodeCommands {
        name: common.name.clone(),
        instructions: common.instructions.clone(),
        orders: Orders::new(common.dialer.clone(), common.incarnation),
        post: Post {
            name: common.name.clone(),
            mesh: arguments.mesh.clone(),
            view: Arc::clone(&common.view),
            meshes: common.meshes.clone(),
            links: common.links.clone(),
        },
        folders: common.folders.clone(),
        view: Arc::clone(&common.view),
    }
}

fn first_digest(arguments: &NodeArguments, common: &Common) -> Digest {
    Digest {
        name: common.name.clone(),
        state: common.lifecycle.state(),
        incarnation: common.incarnation,
        seq: 0,
        addresses: common.addresses.clone(),
        tags: arguments.tags.iter().take(TAGS_MAX).cloned().collect(),
        peers: 0,
        cpu_permille: 0,
        rss_mib: 0,
    }
}

async fn bind(
    arguments: &NodeArguments,
    key: SecretKey,
    connections: Connections,
    book: &AddressBook,
    known: &[EndpointAddr],
) -> anyhow::Result<Endpoint> {
    for peer in known {
        let addresses: Vec<SocketAddr> = peer.ip_addrs().copied().collect();
        book.lookup().add_endpoint_info(book.address(peer.id, &addresses));
    }
    let relay = match &arguments.relay {
        Some(url) => RelayMode::custom([url.clone()]),
        None => RelayMode::Disabled,
    };
    // Cleared first: the builder's own transports bind every interface.
    let mut builder = Endpoint::builder(presets::Minimal)
        .secret_key(key)
        .relay_mode(relay)
        .address_lookup(book.lookup())
        .hooks(connections)
        .clear_ip_transports();
    for address in &arguments.bind {
        builder = builder
            .bind_addr(*address)
            .with_context(|| format!("could not use address {address}"))?;
    }
    let bound = builder.bind().await;
    bound.with_context(|| {
        format!("could not bind {:?}; choose free local addresses", arguments.bind)
    })
}

/// Closes the router and its endpoint, within a deadline: a peer that is gone cannot hold up the
/// end of this node. It takes 0.04 s, or 3 s when a peer does not answer the close.
pub(crate) async fn shut_down(router: &Router, within: Duration) {
    match tokio::time::timeout(within, router.shutdown()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the router did not end cleanly"),
        Err(_) => tracing::debug!("the router was still closing at its deadline"),
    }
}
