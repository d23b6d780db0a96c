//! Who looks at a run while it lasts: a collector that its spans are sent on to, and whoever asks
//! for its numbers on loopback.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
};

use anyhow::{Context, Result};
use clap::Args;
use meshlab_engine::{Collector, Engine};

use crate::ui::{self, Page};

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct WatchArguments {
    /// Send every span, and faults as spans, on to a collector over OTLP/http as they come:
    /// http://127.0.0.1:4318. The run never waits for it; what is dropped is counted and told
    #[arg(long, value_name = "URL", value_parser = collector)]
    otlp_forward: Option<Collector>,
    /// Tell the numbers of the run in the text format of Prometheus at http://ADDRESS/metrics; on
    /// loopback only
    #[arg(long, value_name = "ADDRESS", value_parser = loopback)]
    metrics_addr: Option<SocketAddr>,
    /// Serve the run as a page that a browser on this host follows live, and say where; at a free
    /// port, or with `--ui=127.0.0.1:9000` at that one. Nodes are hurt from it by hand, which is
    /// recorded and keeps the run from passing; with `--keep` also after the tests
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true,
        default_missing_value = "127.0.0.1:0", value_parser = ui::loopback)]
    ui: Option<SocketAddr>,
}

/// What was opened before the run began.
pub(crate) struct Watch {
    metrics: Option<TcpListener>,
    page: Option<Page>,
}

impl Watch {
    /// The page, if somebody asked for it.
    pub(crate) fn page(&self) -> Option<&Page> {
        self.page.as_ref()
    }

    /// Tells whoever looks that the run is over.
    pub(crate) fn finish(self) {
        self.page.into_iter().for_each(Page::finish);
    }
}

/// Opens what has to be open before a node is started.
pub(crate) fn open(arguments: &WatchArguments, output: &Path) -> Result<Watch> {
    let page = arguments.ui.map(|address| ui::open(address, output)).transpose()?;
    let Some(address) = arguments.metrics_addr else { return Ok(Watch { metrics: None, page }) };
    let listener = TcpListener::bind(address)
        .with_context(|| format!("failed to listen at {address} for --metrics-addr"))?;
    println!("metrics at http://{}/metrics", listener.local_addr()?);
    Ok(Watch { metrics: Some(listener), page })
}

/// Begins to tell of the run.
pub(crate) fn begin(engine: &Engine, arguments: &WatchArguments, watch: &mut Watch) -> Result<()> {
    if let Some(collector) = &arguments.otlp_forward {
        engine.forward_to(collector.clone());
    }
    watch.page.iter().for_each(|page| page.begin(engine));
    match watch.metrics.take() {
        Some(listener) => engine.serve_metrics(listener).context("failed to serve --metrics-addr"),
        None => Ok(()),
    }
}

pub(crate) fn collector(text: &str) -> Result<Collector, String> {
    Collector::at(text).map_err(|error| format!("failed to {error}"))
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr =
        text.parse().map_err(|_| "write an address and a port: 127.0.0.1:9464".to_owned())?;
    match address.ip().is_loopback() {
        true => Ok(address),
        false => Err("the numbers of a run are for this host only, so it is a loopback address: \
            127.0.0.1:9464 or [::1]:9464"
            .to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_listened_at() {
        for good in ["127.0.0.1:9464", "127.0.0.2:0", "[::1]:9464"] {
            assert!(loopback(good).is_ok(), "{good}");
        }
        for bad in ["0.0.0.0:9464", "192.168.1.2:9464", "[::]:9464", "[::ffff:10.0.0.1]:1"] {
            let error = loopback(bad).expect_err(bad);
            assert!(error.contains("this host only"), "{bad}: {error}");
        }
        for none in ["9464", "localhost:9464", "127.0.0.1", "127.0.0.1:99999"] {
            assert!(loopback(none).expect_err(none).contains("127.0.0.1:9464"), "{none}");
        }
        assert!(collector("https://x").expect_err("TLS").contains("TLS is not spoken"));
    }
}
