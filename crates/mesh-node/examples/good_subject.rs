//! A small iroh program that the harness can drive and observe.
//!
//! It shares nothing with the node beside it: it is what a program of yours may look like, a gossip
//! topic on which everybody says now and then that they are there. Ten lines, marked `Agent`, make
//! a good subject of it, with the three answers (whom it sees, what it counts, what it can do) that
//! only the program can give; the rest is its own business. It is started by
//!
//! ```sh
//! cargo build -p mesh-node --examples
//! meshlab run SCENARIO --binary mesh-node=target/debug/examples/good_subject
//! ```
//!
//! What it does not do: orders, work, states other than Alive. A scenario that asks for them is
//! told so.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use data_encoding::HEXLOWER;
use iroh::{
    Endpoint, EndpointAddr, PublicKey, RelayMode, SecretKey, TransportAddr,
    address_lookup::memory::MemoryLookup, endpoint::presets, protocol::Router,
};
use iroh_gossip::{
    api::{Event, GossipReceiver, GossipSender},
    net::Gossip,
    proto::TopicId,
};
use meshlab_agent::{
    Agent, AgentConfig, Commands, CounterSource, Performing, TelemetryConfig, View, ViewSource,
};
use meshlab_wire::{Command, Outcome, Ready, State, ViewEntry, env};
use n0_future::StreamExt;

/// How often the program says that it is there.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// Silence after which a peer is taken for dead.
const DEAD_AFTER: Duration = Duration::from_secs(5);

/// First byte of a message: there, or gone. The time, the sender's key and its name follow.
const HERE: u8 = 1;
const GONE: u8 = 0;

/// What the program knows, shared with whoever asks.
#[derive(Default)]
struct Known(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    peers: BTreeMap<PublicKey, (String, Instant)>,
    neighbors: BTreeSet<PublicKey>,
    said: u64,
    heard: u64,
}

impl Known {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Agent: the answer to "whom do you see?".
impl ViewSource for Known {
    fn view(&self) -> View {
        let known = self.lock();
        let entry = |(key, (name, heard)): (&PublicKey, &(String, Instant))| ViewEntry {
            public_key: hex(key),
            name: name.clone(),
            state: State::Alive,
            heard_ms_ago: heard.elapsed().as_millis() as u64,
        };
        View {
            peers: known.peers.iter().map(entry).collect(),
            neighbors: known.neighbors.iter().map(hex).collect(),
            // A neighbour is a connection; more than that gossip does not say.
            connections: known.neighbors.iter().map(|key| (hex(key), 1)).collect(),
        }
    }
}

/// Agent: what is exported as metrics, and the answer to "what did you count?".
impl CounterSource for Known {
    fn counters(&self) -> BTreeMap<String, u64> {
        let known = self.lock();
        BTreeMap::from([("said".to_owned(), known.said), ("heard".to_owned(), known.heard)])
    }
}

/// Agent: what can be asked of the program. It need not know every command.
struct Hands(Arc<Known>);

impl Commands for Hands {
    fn perform(&self, command: Command) -> Performing {
        let answer = match command {
            Command::Counters => {
                Ok(Outcome::Counters { counters: self.0.counters(), gauges: self.0.gauges() })
            }
            other => Err(format!("this program knows counters only, not {other:?}")),
        };
        Box::pin(std::future::ready(answer))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    // OTLP over HTTP and the endpoint share this provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let started = Instant::now();
    let key = key(Path::new(&variable("MESH_NODE_DATA")?))?;
    let name = format!(
        "{}.{}.{}",
        variable("MESH_NODE_MESH")?,
        variable("MESH_NODE_ROLE")?,
        &hex(&key.public())[..6]
    );

    // Agent, line 1: telemetry, control channel and signal handlers.
    let mut agent = Agent::start(agent_config(&key))?;

    let (endpoint, seeds) = bind(key).await?;
    let gossip = Gossip::builder().spawn(endpoint.clone());
    let topic =
        TopicId::from_bytes(*blake3::hash(variable("MESH_NODE_MESH")?.as_bytes()).as_bytes());
    let (sender, receiver) = gossip.subscribe(topic, seeds.clone()).await?.split();
    let router = Router::builder(endpoint.clone()).accept(iroh_gossip::ALPN, gossip).spawn();
    let known = Arc::new(Known::default());

    // Agent, lines 2 to 4: it is ready, this is what it sees, what it can do and what it counts.
    agent.ready(ready(&name, &endpoint, started), known.clone());
    agent.serve(Arc::new(Hands(known.clone())));
    agent.count(known.clone());

    let own = endpoint.id();
    // Agent, line 5: somebody wants it to stop.
    tokio::select! {
        reason = agent.stop_requested() => tracing::info!(reason = reason.as_str(), "stopping"),
        result = take_part(own, &name, &seeds, &known, &sender, receiver) => result?,
    }

    sender.broadcast(message(GONE, &own, &name).into()).await?;
    let closing = async {
        // Gossip does not say when a message is on the wire.
        tokio::time::sleep(Duration::from_millis(100)).await;
        router.shutdown().await
    };
    // A peer that is gone does not answer the close, and is not waited for.
    let _ = tokio::time::timeout(Duration::from_millis(600), closing).await;
    // Agent, line 6: the last spans and numbers go out, and the request to stop is answered.
    agent.finish(Duration::from_millis(300)).await;
    Ok(())
}

/// Agent, lines 7 to 10: who this is and where its spans go.
fn agent_config(key: &SecretKey) -> AgentConfig {
    let telemetry = TelemetryConfig {
        otlp_endpoint: std::env::var(env::OTLP_ENDPOINT).ok(),
        service_name: "good-subject".to_owned(),
        instance_id: hex(&key.public()),
        node_id: std::env::var(env::NODE_ID).ok(),
        ..TelemetryConfig::default()
    };
    AgentConfig { program: "good-subject 1".to_owned(), telemetry, control: None }
}

fn ready(name: &str, endpoint: &Endpoint, started: Instant) -> Ready {
    Ready {
        name: name.to_owned(),
        public_key: hex(&endpoint.id()),
        addresses: endpoint.bound_sockets().iter().map(ToString::to_string).collect(),
        dead_after_ms: DEAD_AFTER.as_millis() as u64,
        boot_micros: started.elapsed().as_micros() as u64,
    }
}

/// Says that it is there, and listens who else is.
async fn take_part(
    own: PublicKey,
    name: &str,
    seeds: &[PublicKey],
    known: &Known,
    sender: &GossipSender,
    mut receiver: GossipReceiver,
) -> anyhow::Result<()> {
    let mut say = tokio::time::interval(SAY_EVERY);
    loop {
        tokio::select! {
            _ = say.tick() => {
                known.lock().said += 1;
                sender.broadcast(message(HERE, &own, name).into()).await?;
                forget_the_silent(known);
                // A seed that was not there at the start is asked again.
                if known.lock().neighbors.is_empty() && !seeds.is_empty() {
                    sender.join_peers(seeds.to_vec()).await?;
                }
            }
            event = receiver.next() => match event {
                Some(Ok(Event::Received(message))) => hear(known, &message.content),
                Some(Ok(Event::NeighborUp(peer))) => {
                    known.lock().neighbors.insert(peer);
                    // Somebody new is there: do not let it wait for the next turn.
                    say.reset_immediately();
                }
                Some(Ok(Event::NeighborDown(peer))) => {
                    known.lock().neighbors.remove(&peer);
                }
                Some(Ok(Event::Lagged)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => anyhow::bail!("the gossip topic ended"),
            },
        }
    }
}

/// A message is not signed: whoever takes part is believed. The node beside this does better.
fn message(kind: u8, key: &PublicKey, name: &str) -> Vec<u8> {
    // Gossip delivers equal messages once, so no two may be equal, not even of two processes.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    [&[kind], now.to_be_bytes().as_slice(), key.as_bytes().as_slice(), name.as_bytes()].concat()
}

fn hear(known: &Known, message: &[u8]) {
    let Some((kind, rest)) = message.split_first() else { return };
    let Some((_time, rest)) = rest.split_at_checked(size_of::<u128>()) else { return };
    let Some((key, name)) = rest.split_at_checked(PublicKey::LENGTH) else { return };
    let (Ok(key), Ok(name)) = (PublicKey::try_from(key), std::str::from_utf8(name)) else { return };
    // Agent: a span for each message that was heard, under the word that scenarios know.
    tracing::info_span!(parent: None, "gossip.digest_received", peer.id = hex(&key))
        .in_scope(|| ());
    let mut inner = known.lock();
    inner.heard += 1;
    if *kind == GONE {
        if inner.peers.remove(&key).is_some() {
            lost(&key, name, "left");
        }
        return;
    }
    if inner.peers.insert(key, (name.to_owned(), Instant::now())).is_none() {
        // Agent: a span for each peer that comes; scenarios ask for it by this name.
        tracing::info_span!(parent: None, "peer.connected", peer.id = hex(&key), peer.name = name)
            .in_scope(|| ());
    }
}

fn forget_the_silent(known: &Known) {
    known.lock().peers.retain(|key, (name, heard)| {
        let there = heard.elapsed() < DEAD_AFTER;
        if !there {
            // Agent: what was worked out and not told; by this a death counts as noticed.
            tracing::info_span!(
                parent: None, "node.state_inferred", peer.id = hex(key), peer.name = name,
                state = State::Dead.as_str()
            )
            .in_scope(|| ());
            lost(key, name, "silence");
        }
        there
    });
}

fn lost(key: &PublicKey, name: &str, reason: &str) {
    // Agent: and one for each that goes.
    tracing::info_span!(
        parent: None, "peer.disconnected", peer.id = hex(key), peer.name = name, reason
    )
    .in_scope(|| ());
}

/// The endpoint, and whom to ask for entry.
async fn bind(key: SecretKey) -> anyhow::Result<(Endpoint, Vec<PublicKey>)> {
    let seeds = std::env::var("MESH_NODE_SEEDS").unwrap_or_default();
    let seeds = seeds
        .split([' ', ';'])
        .filter(|seed| !seed.is_empty())
        .map(seed)
        .collect::<anyhow::Result<Vec<_>>>()?;
    let keys = seeds.iter().map(|seed| seed.id).collect();
    let mut builder = Endpoint::builder(presets::Minimal)
        .secret_key(key)
        .relay_mode(RelayMode::Disabled)
        .address_lookup(MemoryLookup::from_endpoint_info(seeds))
        .clear_ip_transports();
    let addresses = std::env::var("MESH_NODE_BIND").unwrap_or("127.0.0.1:0".to_owned());
    for address in addresses.split(',') {
        let address: SocketAddr =
            address.parse().with_context(|| format!("MESH_NODE_BIND has `{address}`"))?;
        builder = builder.bind_addr(address)?;
    }
    Ok((builder.bind().await.context("could not bind the endpoint")?, keys))
}

/// `PUBKEYHEX@ADDR[,ADDR...]`.
fn seed(text: &str) -> anyhow::Result<EndpointAddr> {
    let read = || {
        let (key, addresses) = text.split_once('@')?;
        let addresses = addresses.split(',').map(|address| address.parse().map(TransportAddr::Ip));
        let addresses: Vec<TransportAddr> = addresses.collect::<Result<_, _>>().ok()?;
        Some(EndpointAddr::from_parts(key.parse().ok()?, addresses))
    };
    read().with_context(|| format!("`{text}` is no seed; write PUBKEYHEX@ADDR[,ADDR...]"))
}

/// The key of the data directory: a program that is started again is the same node.
fn key(data: &Path) -> anyhow::Result<SecretKey> {
    let file = data.join("key");
    if let Ok(text) = std::fs::read(&file) {
        let bytes = HEXLOWER.decode(&text).ok().and_then(|bytes| bytes.try_into().ok());
        let bytes = bytes.with_context(|| format!("{} is damaged; remove it", file.display()))?;
        return Ok(SecretKey::from_bytes(&bytes));
    }
    let key = SecretKey::generate();
    std::fs::create_dir_all(data)
        .and_then(|()| std::fs::write(&file, HEXLOWER.encode(&key.to_bytes())))
        .with_context(|| format!("could not write {}", file.display()))?;
    Ok(key)
}

fn variable(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set"))
}

fn hex(key: &PublicKey) -> String {
    HEXLOWER.encode(key.as_bytes())
}
