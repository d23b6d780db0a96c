//! The way to ready, as one trace, and the way out.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use iroh::{
    Endpoint, RelayMode, SecretKey, address_lookup::memory::MemoryLookup, endpoint::presets,
    protocol::Router,
};
use iroh_gossip::{ALPN, net::Gossip, proto::TopicId};
use meshlab_wire::Ready;
use tracing::info_span;

use crate::{
    cadence::Cadence,
    cli::Cli,
    connections::Connections,
    digest, identity,
    membership::{Membership, SharedView},
};

/// Longest wait for the router. It takes 0.04 s, or 3 s when a peer does not answer the close.
const SHUTDOWN: Duration = Duration::from_millis(700);

/// A node that is ready.
pub(crate) struct Node {
    pub(crate) ready: Ready,
    pub(crate) router: Router,
    pub(crate) membership: Membership,
    pub(crate) view: Arc<SharedView>,
}

/// Brings the node up to ready. Ready does not wait for a neighbour: the first node has none.
pub(crate) async fn boot(cli: &Cli, key: SecretKey) -> anyhow::Result<Node> {
    // None of these spans is entered: the tasks that iroh spawns would inherit it and keep it open
    // for as long as they run, so that it never reached the collector.
    let root = info_span!(parent: None, "node.ready");
    let step = info_span!(parent: &root, "endpoint_created");
    let connections = Connections::default();
    let endpoint = bind(cli, key.clone(), connections.clone()).await?;
    drop(step);
    let step = info_span!(parent: &root, "alpn_registered");
    let gossip = Gossip::builder().spawn(endpoint.clone());
    let routes = Router::builder(endpoint.clone()).accept(ALPN, gossip.clone());
    drop(step);
    let step = info_span!(parent: &root, "gossip_started");
    let topic = TopicId::from_bytes(digest::topic(&cli.mesh));
    let subscription = gossip
        .subscribe(topic, Vec::new())
        .await
        .context("could not subscribe to the mesh's topic")?;
    drop(step);
    let step = info_span!(parent: &root, "accept_loop_started");
    let router = routes.spawn();
    drop(step);
    let dead_after = Cadence::dead_after(cli.digest_every, cli.digest_gated);
    let ready = Ready {
        name: identity::name(&cli.mesh, &cli.role, &key.public()),
        public_key: identity::hex(&key.public()),
        addresses: endpoint.bound_sockets().iter().map(ToString::to_string).collect(),
        dead_after_ms: dead_after.as_millis() as u64,
    };
    let view = Arc::new(SharedView::new(dead_after));
    let membership =
        Membership::new(cli, key, ready.name.clone(), gossip, subscription, Arc::clone(&view));
    let membership = membership.closing(connections);
    Ok(Node { ready, router, membership, view })
}

async fn bind(cli: &Cli, key: SecretKey, connections: Connections) -> anyhow::Result<Endpoint> {
    let known = MemoryLookup::new();
    for seed in cli.seeds() {
        known.add_endpoint_info(seed);
    }
    // Cleared first: the builder's own transports bind every interface.
    let mut builder = Endpoint::builder(presets::Minimal)
        .secret_key(key)
        .relay_mode(RelayMode::Disabled)
        .address_lookup(known)
        .hooks(connections)
        .clear_ip_transports();
    for address in &cli.bind {
        builder = builder
            .bind_addr(*address)
            .with_context(|| format!("could not use address {address}"))?;
    }
    let bound = builder.bind().await;
    bound.with_context(|| format!("could not bind {:?}; choose free local addresses", cli.bind))
}

/// Closes the router and its endpoint, within a deadline: a peer that is gone cannot hold up the
/// end of this node.
pub(crate) async fn shut_down(router: &Router) {
    match tokio::time::timeout(SHUTDOWN, router.shutdown()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the router did not end cleanly"),
        Err(_) => tracing::debug!("the router was still closing at its deadline"),
    }
}
