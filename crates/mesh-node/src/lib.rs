//! A node of an iroh mesh: an identity, a boot trace, a signed digest over gossip, a directory of
//! who is there, orders that need authority, work between nodes, and an orderly end.
//!
//! Open this file first; each step of [`run`] is a file. `cli/` owns flags and environment,
//! `identity.rs` the key, `boot.rs` the way to ready and what is joined to what there.
//! `membership/` is the one loop of the node, with the pure parts `digest.rs`, `directory.rs` and
//! its `index.rs`, `cadence.rs`, `seeds.rs`, `lifecycle.rs` and `own_disk.rs` beneath it.
//! `control/` carries orders and `authority.rs` says who may give them; `data/` is work between two
//! nodes; `backbone/` is what meshes know of each other; `connections.rs` keeps book of what is
//! open.
//!
//! It does not know the harness: `meshlab-agent` speaks to it.

mod acquaintances;
pub mod authority;
pub mod backbone;
mod boot;
mod cadence;
mod cli;
mod commands;
mod connections;
pub mod control;
mod counters;
pub mod data;
mod defects;
mod dial;
pub mod digest;
pub mod directory;
mod entry;
pub mod frame;
mod identity;
mod incarnation;
pub mod index;
mod lifecycle;
mod load;
mod membership;
mod own_disk;
pub mod relay;
mod seeds;
mod signed;
mod small_file;
mod strangers;
mod view;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Parser;
use meshlab_agent::{Agent, AgentConfig, TelemetryConfig};
use meshlab_wire::env;
use tracing::Instrument;

use crate::cli::{Cli, NodeArguments};

/// Longest wait for the collector at the end: it takes spans and then metrics, on a host that may
/// be busy. It is over as soon as both are taken. With a command to gossip (1 s at most), the
/// announcement (400 ms), the router's deadline (500 ms) and the last words (200 ms), a node whose
/// collector stands still is gone in 4.1 s, and the harness waits for 6 s.
const LAST_FLUSH: Duration = Duration::from_secs(2);

/// The program: a node until it is asked to stop, or a tool.
pub fn main() -> ExitCode {
    let started = Instant::now();
    let cli = Cli::parse();
    let result = match (&cli.tool, &cli.node) {
        (Some(tool), _) => Cli::use_tool(tool).map(|text| say(&text)),
        (None, Some(node)) => start(node, started),
        (None, None) => Err(anyhow::anyhow!("no mesh to take part in; see --help")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = format!("error: {error:#}\n");
            let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
            ExitCode::from(2)
        }
    }
}

fn say(text: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stdout(), format!("{text}\n").as_bytes());
}

/// A runtime of one thread: a node waits most of the time, and each thread more costs a megabyte.
pub(crate) fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    // OTLP over HTTP and the endpoint share this provider; without it the first of them panics.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("failed to start the runtime")?.block_on(work)
}

fn start(node: &NodeArguments, started: Instant) -> anyhow::Result<()> {
    block_on(run(node, started))
}

async fn run(arguments: &NodeArguments, started: Instant) -> anyhow::Result<()> {
    #[cfg(feature = "defects")]
    defects::plant(&arguments.defects);
    let key = identity::load_or_mint(&arguments.data).context("failed to load the identity")?;
    let public_key = identity::hex(&key.public());
    let mut agent = Agent::start(agent_config("mesh-node", public_key, arguments.control.clone()))?;
    let node = boot::boot(arguments, key, started).await.context("failed to boot")?;
    agent.ready(node.ready.clone(), node.view.clone());
    agent.serve(std::sync::Arc::new(node.commands));
    agent.count(node.view.clone());
    tracing::info!(name = node.ready.name, addresses = ?node.ready.addresses, "ready");
    let backbone = node.backbone.map(|backbone| tokio::spawn(backbone.run()));
    let endpoint = node.router.endpoint().clone();
    let strangers = arguments.strangers().map(|dials| dials.run(endpoint, node.counters));
    let strangers = strangers.map(tokio::spawn);
    let ended = node.membership.run(agent.stop_requested()).instrument(defects::loop_span()).await;
    if let Some(backbone) = backbone {
        backbone.abort();
    }
    if let Some(strangers) = strangers {
        strangers.abort();
    }
    boot::shut_down(&node.router, arguments.close_within).await;
    agent.finish(LAST_FLUSH).await;
    ended
}

pub(crate) fn agent_config(
    program: &str,
    instance_id: String,
    control: Option<std::path::PathBuf>,
) -> AgentConfig {
    AgentConfig {
        program: format!("{program} {}", env!("CARGO_PKG_VERSION")),
        telemetry: TelemetryConfig {
            otlp_endpoint: std::env::var(env::OTLP_ENDPOINT).ok(),
            service_name: program.to_owned(),
            instance_id,
            node_id: std::env::var(env::NODE_ID).ok(),
            log_filter: std::env::var("RUST_LOG").ok(),
            metrics_every: metrics_every(),
            span_flame: std::env::var_os(env::SPAN_FLAME).map(Into::into),
            exported: defects::exported(),
        },
        control,
    }
}

/// As OpenTelemetry names it, in milliseconds; what does not parse is as if it were not there.
fn metrics_every() -> Option<Duration> {
    let every = std::env::var("OTEL_METRIC_EXPORT_INTERVAL").ok()?;
    every.parse().ok().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use meshlab_wire::span;

    /// Span names must be literals where spans are made, so the compiler does not compare them
    /// with the words that scenarios ask for. This does.
    #[test]
    fn span_names_are_those_of_the_wire() {
        let sources = concat!(
            include_str!("boot.rs"),
            include_str!("backbone/mod.rs"),
            include_str!("control/mod.rs"),
            include_str!("control/send.rs"),
            include_str!("data/bulk.rs"),
            include_str!("data/deliver.rs"),
            include_str!("data/drive.rs"),
            include_str!("data/folder.rs"),
            include_str!("data/links.rs"),
            include_str!("data/serve.rs"),
            include_str!("membership/mod.rs"),
            include_str!("membership/peers.rs"),
        );
        let flat = sources.split_whitespace().collect::<Vec<_>>().join(" ");
        let names: BTreeSet<&str> =
            flat.split("info_span!(").skip(1).filter_map(|call| call.split('"').nth(1)).collect();
        let expected: BTreeSet<&str> = span::ALL.iter().copied().collect();
        assert_eq!(names, expected);
    }
}
