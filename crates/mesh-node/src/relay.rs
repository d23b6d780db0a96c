//! A relay for nodes that cannot reach each other directly: `iroh-relay` over plain HTTP, for
//! networks of one's own. It speaks to the harness as a node does.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Instant};

use anyhow::Context;
use clap::Parser;
use iroh_relay::server::{RelayConfig, Server, ServerConfig};
use meshlab_agent::{Agent, Commands, Performing, View, ViewSource};
use meshlab_wire::{Command, Outcome, Ready};

/// A relay for the nodes of a mesh that cannot reach each other directly.
#[derive(Debug, Parser)]
#[command(name = "mesh-relay", version, about)]
struct Cli {
    /// Address to serve on
    #[arg(long, env = "MESH_RELAY_BIND", value_name = "ADDR", default_value = "127.0.0.1:3340")]
    bind: SocketAddr,

    /// Path of a control socket to listen on, besides an inherited one
    #[arg(long, env = "MESH_RELAY_CONTROL", value_name = "PATH")]
    control: Option<PathBuf>,
}

/// The program: a relay until it is asked to stop.
pub fn main() -> ExitCode {
    let started = Instant::now();
    let cli = Cli::parse();
    match crate::block_on(run(&cli, started)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = format!("error: {error:#}\n");
            let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
            ExitCode::from(2)
        }
    }
}

async fn run(cli: &Cli, started: Instant) -> anyhow::Result<()> {
    let config = crate::agent_config("mesh-relay", cli.bind.to_string(), cli.control.clone());
    let mut agent = Agent::start(config)?;
    let mut serving = ServerConfig::default();
    serving.relay = Some(RelayConfig::new(cli.bind));
    let server = Server::spawn(serving).await;
    let server = server.with_context(|| format!("could not serve on {}", cli.bind))?;
    let address = server.http_addr().unwrap_or(cli.bind);
    let ready = Ready {
        name: format!("relay.{}", address.port()),
        public_key: String::new(),
        addresses: vec![address.to_string()],
        dead_after_ms: 0,
        boot_micros: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
    };
    let served = Served(Arc::new(server));
    agent.ready(ready, Arc::new(Nobody));
    agent.serve(Arc::new(served.clone()));
    tracing::info!(%address, "ready");
    let reason = agent.stop_requested().await;
    tracing::info!(reason = reason.as_str(), "stopping");
    drop(served);
    agent.finish(crate::LAST_FLUSH).await;
    Ok(())
}

/// A relay has no peers of its own.
struct Nobody;

impl ViewSource for Nobody {
    fn view(&self) -> View {
        View::default()
    }
}

#[derive(Clone)]
struct Served(Arc<Server>);

impl Commands for Served {
    fn perform(&self, command: Command) -> Performing {
        let metrics = Arc::clone(&self.0.metrics().server);
        Box::pin(async move {
            match command {
                Command::Counters => Ok(Outcome::Counters {
                    counters: [
                        ("relay.packets_sent".to_owned(), metrics.send_packets_sent.get()),
                        ("relay.packets_received".to_owned(), metrics.send_packets_recv.get()),
                    ]
                    .into(),
                    gauges: [].into(),
                }),
                _ => Err("a relay does not do that".to_owned()),
            }
        })
    }
}
