//! The tracing subscriber of a node: log lines to stderr, spans and metrics to a collector.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use meshlab_wire::{Telemetry as Counts, attr};
use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider, trace::SpanExporter as _};
use tracing::level_filters::LevelFilter;
use tracing_flame::FlushGuard;
use tracing_subscriber::{EnvFilter, Layer, filter::Targets, layer::SubscriberExt};

use crate::{
    AgentError, CounterSource, DEFAULT_METRICS_EVERY, MetricCounts,
    metrics::{HttpSink, Meter},
    processor::{Limits, Processor},
    span_book::SpanBook,
    span_flame::{self, Folding},
};

/// Where an OTLP/HTTP receiver usually listens.
pub const DEFAULT_OTLP_ENDPOINT: &str = "http://127.0.0.1:4318";

/// Longest time one export request may take. A batch that is late is lost, not tried again, while
/// the queue holds what ends meanwhile: it is better to wait.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// Log filter when none is given. The transport logs each packet at INFO.
const DEFAULT_LOG_FILTER: &str = "info,iroh=warn,noq=warn";

/// How spans and log lines leave the program.
#[derive(Debug, Clone, Default)]
pub struct TelemetryConfig {
    /// Base address of an OTLP/HTTP receiver. `None` exports nothing; an empty text stands for
    /// [`DEFAULT_OTLP_ENDPOINT`].
    pub otlp_endpoint: Option<String>,
    /// `service.name` of every span, for example `mesh-node`.
    pub service_name: String,
    /// `service.instance.id`: tells this process from others of the same program.
    pub instance_id: String,
    /// The name that the harness knows the node by, sent as [`attr::NODE_ID`].
    pub node_id: Option<String>,
    /// Filter of log lines, in the syntax of `RUST_LOG`. `None` is INFO, without the transport.
    pub log_filter: Option<String>,
    /// Shortest time between two exports of metrics. `None` is [`DEFAULT_METRICS_EVERY`].
    pub metrics_every: Option<Duration>,
    /// File for the time between enter and exit of spans, as folded stacks. `None` for none.
    pub span_flame: Option<PathBuf>,
    /// Which spans and events are exported.
    pub exported: Exported,
}

/// Which spans and events are exported, and how much of each is kept until it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// What is less than this is not exported.
    pub level: LevelFilter,
    /// Whether the transport's own spans are exported at that level too; without it, from WARN on.
    /// iroh and noq open an INFO span for each packet they send, which was 85 % of all spans when
    /// measured.
    pub transport: bool,
    /// Events that one span keeps; of what comes after them only the number.
    pub events_per_span: u32,
}

impl Exported {
    /// INFO and above of the program, WARN and above of the transport beneath it, and the 128
    /// events a span of the OpenTelemetry specification.
    pub const FLOOR: Self =
        Self { level: LevelFilter::INFO, transport: false, events_per_span: 128 };
}

impl Default for Exported {
    fn default() -> Self {
        Self::FLOOR
    }
}

/// The installed telemetry. Clones share the queue and the counts.
#[derive(Clone)]
pub struct Telemetry {
    export: Option<Export>,
    flame: Option<Arc<FlushGuard<Folding>>>,
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").field("export", &self.export).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone)]
struct Export {
    processor: Processor,
    /// Kept so that the tracer outlives every span of the program.
    _provider: SdkTracerProvider,
}

impl Telemetry {
    /// Installs the process-wide tracing subscriber. With no endpoint there is no exporter and
    /// the program runs all the same; with an endpoint that does not answer it runs too, and what
    /// is lost is counted. A program that chooses the provider of its cryptography does so before:
    /// with an endpoint, ring is chosen if nobody has.
    ///
    /// # Errors
    /// A filter or an endpoint that does not parse, a thread that the system refuses, or a
    /// subscriber that is already installed.
    pub fn install(config: &TelemetryConfig) -> Result<Self, AgentError> {
        let filter = config.log_filter.as_deref().unwrap_or(DEFAULT_LOG_FILTER);
        let filter = EnvFilter::try_new(filter).map_err(|error| AgentError::LogFilter {
            got: filter.to_owned(),
            why: error.to_string(),
        })?;
        let export = match config.otlp_endpoint.as_deref() {
            None => None,
            Some("") => Some(Export::start(config, DEFAULT_OTLP_ENDPOINT)?),
            Some(endpoint) => Some(Export::start(config, endpoint)?),
        };
        let spans = export.as_ref().map(|export| {
            tracing_opentelemetry::layer()
                .with_tracer(export._provider.tracer("meshlab-agent"))
                .with_location(false)
                .with_threads(false)
                .with_target(false)
                .with_tracked_inactivity(false)
                .with_filter(config.exported.targets())
        });
        let limit = config.exported.events_per_span;
        let book =
            export.as_ref().map(|_| SpanBook { limit }.with_filter(config.exported.targets()));
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(false)
            .with_filter(filter);
        let flame = config.span_flame.clone().map(span_flame::layer);
        let flush = flame.as_ref().map(|layer| Arc::new(layer.flush_on_drop()));
        let flame = flame.map(|layer| layer.with_filter(config.exported.targets()));
        let subscriber =
            tracing_subscriber::registry().with(spans).with(book).with(flame).with(lines);
        tracing::subscriber::set_global_default(subscriber)
            .map_err(|_| AgentError::SubscriberInstalled)?;
        Ok(Self { export, flame: flush })
    }

    /// Telemetry that exports nothing and installs nothing, for tests.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self { export: None, flame: None }
    }

    /// Spans ended, exported and dropped so far; all zero when nothing is exported.
    pub fn counts(&self) -> Counts {
        self.export.as_ref().map(|export| export.processor.counts()).unwrap_or_default()
    }

    /// Requests with metrics that were accepted and that failed so far.
    pub fn metric_counts(&self) -> MetricCounts {
        self.export.as_ref().map(|export| export.processor.metric_counts()).unwrap_or_default()
    }

    /// Exports what `source` counts from now on; it takes the place of a former one.
    pub fn count(&self, source: Arc<dyn CounterSource>) {
        if let Some(export) = &self.export {
            export.processor.count(source);
        }
    }

    /// Writes down how long spans were entered so far, where that was asked for.
    pub(crate) fn save_flame(&self) {
        if let Some(flame) = &self.flame
            && let Err(error) = flame.flush()
        {
            tracing::warn!(%error, "the time of spans cannot be written");
        }
    }

    /// Waits until every span that ended before the call is exported or dropped. Blocks the
    /// calling thread. False when the deadline came first.
    pub fn flush(&self, deadline: Duration) -> bool {
        self.export.as_ref().is_none_or(|export| export.processor.flush(deadline))
    }

    /// As [`Telemetry::flush`], on a thread where blocking is allowed.
    pub(crate) async fn flush_async(&self, deadline: Duration) -> bool {
        let Some(export) = &self.export else { return true };
        let processor = export.processor.clone();
        let flush = tokio::task::spawn_blocking(move || processor.flush(deadline));
        flush.await.unwrap_or(false)
    }

    /// As [`Telemetry::flush_async`], and then the metrics within what is left of the deadline.
    pub(crate) async fn flush_all(&self, deadline: Duration) -> bool {
        let Some(export) = &self.export else { return true };
        let processor = export.processor.clone();
        let until = Instant::now() + deadline;
        let flush = tokio::task::spawn_blocking(move || {
            let flushed = processor.flush(deadline);
            processor.flush_metrics(until.saturating_duration_since(Instant::now())) && flushed
        });
        flush.await.unwrap_or(false)
    }

    /// Flushes within the deadline, then exports no more: what ends later is counted as dropped.
    pub fn shutdown(&self, deadline: Duration) -> bool {
        use opentelemetry_sdk::trace::SpanProcessor as _;
        self.export
            .as_ref()
            .is_none_or(|export| export.processor.shutdown_with_timeout(deadline).is_ok())
    }
}

/// What moves packets for the program.
const TRANSPORT: [&str; 10] = [
    "iroh",
    "iroh_gossip",
    "iroh_relay",
    "netwatch",
    "portmapper",
    "noq",
    "noq_proto",
    "noq_udp",
    "hyper",
    "reqwest",
];

impl Exported {
    fn targets(&self) -> Targets {
        let beneath = if self.transport { self.level } else { LevelFilter::WARN };
        Targets::new()
            .with_default(self.level)
            .with_targets(TRANSPORT.map(|target| (target, beneath)))
    }
}

impl Export {
    fn start(config: &TelemetryConfig, endpoint: &str) -> Result<Self, AgentError> {
        let refused = |why: String| AgentError::Exporter { endpoint: endpoint.to_owned(), why };
        if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
            return Err(refused("it does not begin with http:// or https://".to_owned()));
        }
        let endpoint = endpoint.trim_end_matches('/');
        let client = client().map_err(refused)?;
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client.clone())
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{endpoint}/v1/traces"))
            .with_timeout(EXPORT_TIMEOUT)
            .build()
            .map_err(|error| refused(error.to_string()))?;
        let resource = resource(config);
        // The exporter moves to its own thread, out of reach of the provider, which would
        // otherwise tell it the resource.
        exporter.set_resource(&resource);
        let sink = HttpSink { client, address: format!("{endpoint}/v1/metrics") };
        let every = config.metrics_every.unwrap_or(DEFAULT_METRICS_EVERY);
        let meter = Meter::new(Box::new(sink), &resource, every);
        let processor = Processor::spawn(exporter, Some(meter), Limits::default())
            .map_err(|source| AgentError::System { what: "the export thread", source })?;
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_max_events_per_span(config.exported.events_per_span)
            .with_span_processor(processor.clone())
            .build();
        Ok(Self { processor, _provider: provider })
    }
}

/// One client for spans and metrics: each has a thread of its own. It is made on another thread
/// because it may not be made where tasks run.
fn client() -> Result<reqwest::blocking::Client, String> {
    // Where a program has built its own client without a provider for TLS, as iroh does, ours
    // would panic without one, though it speaks to the harness in plain text.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Somebody may have been faster, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let build = || reqwest::blocking::Client::builder().timeout(EXPORT_TIMEOUT).build();
    let building = std::thread::Builder::new().spawn(build).map_err(|error| error.to_string())?;
    let built = building.join().map_err(|_| "the HTTP client could not be made".to_owned())?;
    built.map_err(|error| error.to_string())
}

fn resource(config: &TelemetryConfig) -> Resource {
    let mut resource = Resource::builder_empty()
        .with_service_name(config.service_name.clone())
        .with_attribute(KeyValue::new("service.instance.id", config.instance_id.clone()));
    if let Some(node) = &config.node_id {
        resource = resource.with_attribute(KeyValue::new(attr::NODE_ID, node.clone()));
    }
    resource.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_passes_transitions_and_stops_the_transport() {
        let floor = Exported::FLOOR.targets();
        assert!(floor.would_enable("mesh_node::membership", &tracing::Level::INFO));
        assert!(!floor.would_enable("mesh_node::membership", &tracing::Level::DEBUG));
        for target in ["iroh::socket", "iroh_gossip::net", "noq_proto::connection", "noq_udp"] {
            assert!(!floor.would_enable(target, &tracing::Level::INFO), "{target}");
            let all = Exported { transport: true, ..Exported::FLOOR }.targets();
            assert!(all.would_enable(target, &tracing::Level::INFO), "{target}");
        }
    }

    #[test]
    fn an_endpoint_without_a_scheme_is_refused() {
        let config = TelemetryConfig {
            otlp_endpoint: Some("localhost:4318".to_owned()),
            ..TelemetryConfig::default()
        };
        let error = Telemetry::install(&config).expect_err("no scheme");
        assert!(error.to_string().contains("`localhost:4318`"), "{error}");
    }

    #[test]
    fn the_resource_names_the_node() {
        let config = TelemetryConfig {
            service_name: "mesh-node".to_owned(),
            node_id: Some("n3".to_owned()),
            ..TelemetryConfig::default()
        };
        let node = resource(&config).get(&attr::NODE_ID.into());
        assert_eq!(node, Some("n3".into()));
    }
}
