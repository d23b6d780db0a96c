//! A node of an iroh mesh: an identity, a boot trace, a signed digest over gossip, a directory of
//! who is there, and an orderly end.
//!
//! Open this file first; each step of `run` is a file. `cli.rs` owns flags and environment,
//! `identity.rs` the key, `boot.rs` the way to ready, `membership.rs` the one loop of the node,
//! with the pure parts `digest.rs`, `directory.rs`, `cadence.rs` and `seeds.rs` beneath it.
//!
//! It does not know the harness: `meshlab-agent` speaks to it.

mod boot;
mod cadence;
mod cli;
mod connections;
mod digest;
mod directory;
mod identity;
mod membership;
mod seeds;

use std::{process::ExitCode, time::Duration};

use anyhow::Context;
use clap::Parser;
use meshlab_agent::{Agent, AgentConfig, TelemetryConfig};
use meshlab_wire::env;

use crate::cli::Cli;

/// Longest wait for the collector at the end. With the announcement and the router's deadline
/// the node is gone within 1.5 s.
const LAST_FLUSH: Duration = Duration::from_millis(450);

fn main() -> ExitCode {
    let cli = Cli::parse();
    // OTLP over HTTP and the endpoint share this provider; without it the first of them panics.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime
        .context("failed to start the runtime")
        .and_then(|runtime| runtime.block_on(run(cli)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("error: {error:#}\n").as_bytes(),
            );
            ExitCode::from(2)
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let key = identity::load_or_mint(&cli.data).context("failed to load the identity")?;
    let mut agent = Agent::start(agent_config(&cli, &identity::hex(&key.public())))?;
    let node = boot::boot(&cli, key).await.context("failed to boot")?;
    agent.ready(node.ready.clone(), node.view.clone());
    tracing::info!(name = node.ready.name, addresses = ?node.ready.addresses, "ready");
    let ended = node.membership.run(agent.stop_requested()).await;
    boot::shut_down(&node.router).await;
    agent.finish(LAST_FLUSH).await;
    ended
}

fn agent_config(cli: &Cli, public_key: &str) -> AgentConfig {
    AgentConfig {
        program: concat!("mesh-node ", env!("CARGO_PKG_VERSION")).to_owned(),
        telemetry: TelemetryConfig {
            otlp_endpoint: std::env::var(env::OTLP_ENDPOINT).ok(),
            service_name: "mesh-node".to_owned(),
            instance_id: public_key.to_owned(),
            node_id: std::env::var(env::NODE_ID).ok(),
            log_filter: std::env::var("RUST_LOG").ok(),
        },
        control: cli.control.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use meshlab_wire::span;

    /// Span names must be literals where spans are made, so the compiler does not compare them
    /// with the words that scenarios ask for. This does.
    #[test]
    fn span_names_are_those_of_the_wire() {
        let sources = concat!(include_str!("boot.rs"), include_str!("membership.rs"));
        let flat = sources.split_whitespace().collect::<Vec<_>>().join(" ");
        let names: BTreeSet<&str> =
            flat.split("info_span!(").skip(1).filter_map(|call| call.split('"').nth(1)).collect();
        let expected: BTreeSet<&str> = span::ALL.iter().copied().collect();
        assert_eq!(names, expected);
    }
}
