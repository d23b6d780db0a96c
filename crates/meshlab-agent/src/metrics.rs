//! Numbers of the program, as OTLP metrics.
//!
//! The SDK's meters keep state for each instrument and wake on a timer. Here the program keeps its
//! numbers itself, and they are read when it has done something.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime},
};

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    metrics::v1::{
        AggregationTemporality, Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
        metric::Data, number_data_point,
    },
    resource::v1::Resource,
};
use prost::Message;

/// Shortest time between two exports when the configuration does not say.
pub const DEFAULT_METRICS_EVERY: Duration = Duration::from_secs(10);

/// The program's numbers. They are read after spans were exported, when the last time is long
/// enough ago, and once at the end; what did not change since is not sent again.
pub trait CounterSource: Send + Sync + 'static {
    /// Numbers that only grow, by name. Called on the exporting thread.
    fn counters(&self) -> BTreeMap<String, u64>;

    /// Numbers that rise and fall, by name.
    fn gauges(&self) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }
}

/// What came of the requests with metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MetricCounts {
    /// Accepted by the collector.
    pub exported: u64,
    /// Refused by it, or it did not answer.
    pub failed: u64,
}

/// Where encoded metrics go.
pub(crate) trait Sink: Send {
    fn send(&self, body: Vec<u8>) -> Result<(), String>;
}

/// A collector over http/protobuf.
pub(crate) struct HttpSink {
    pub(crate) client: reqwest::blocking::Client,
    pub(crate) address: String,
}

impl Sink for HttpSink {
    fn send(&self, body: Vec<u8>) -> Result<(), String> {
        let request = self.client.post(&self.address).body(body);
        let answer = request.header("content-type", "application/x-protobuf").send();
        let accepted = answer.and_then(reqwest::blocking::Response::error_for_status);
        accepted.map(|_| ()).map_err(|error| format!("metrics were not exported: {error}"))
    }
}

/// Reads a source and exports what changed.
pub(crate) struct Meter {
    sink: Box<dyn Sink>,
    resource: Vec<KeyValue>,
    every: Duration,
    started_unix_nanos: u64,
    accepted: Option<Reading>,
    tried: Option<Instant>,
}

#[derive(PartialEq, Eq)]
struct Reading {
    counters: BTreeMap<String, u64>,
    gauges: BTreeMap<String, u64>,
}

impl Meter {
    pub(crate) fn new(
        sink: Box<dyn Sink>,
        resource: &opentelemetry_sdk::Resource,
        every: Duration,
    ) -> Self {
        let pair = |(key, value): (&opentelemetry::Key, &opentelemetry::Value)| KeyValue {
            key: key.to_string(),
            value: Some(AnyValue { value: Some(Value::StringValue(value.to_string())) }),
            ..KeyValue::default()
        };
        Self {
            sink,
            resource: resource.iter().map(pair).collect(),
            every,
            started_unix_nanos: unix_nanos(),
            accepted: None,
            tried: None,
        }
    }

    /// When the next export may be.
    pub(crate) fn due(&self, now: Instant) -> Instant {
        self.tried.map_or(now, |tried| tried + self.every)
    }

    /// Exports what the source says; whether there was anything new to export.
    pub(crate) fn export(&mut self, source: &dyn CounterSource) -> Result<bool, String> {
        let reading = Reading { counters: source.counters(), gauges: source.gauges() };
        if self.accepted.as_ref() == Some(&reading) {
            return Ok(false);
        }
        // A collector that fails is not asked more often than one that answers.
        self.tried = Some(Instant::now());
        self.sink.send(self.encode(&reading))?;
        self.accepted = Some(reading);
        Ok(true)
    }

    fn encode(&self, reading: &Reading) -> Vec<u8> {
        let now = unix_nanos();
        let point = |value: u64| NumberDataPoint {
            start_time_unix_nano: self.started_unix_nanos,
            time_unix_nano: now,
            value: Some(number_data_point::Value::AsInt(i64::try_from(value).unwrap_or(i64::MAX))),
            ..NumberDataPoint::default()
        };
        let metric = |name: &String, data| Metric {
            name: name.clone(),
            data: Some(data),
            ..Metric::default()
        };
        let counters = reading.counters.iter().map(|(name, value)| {
            let sum = Sum {
                data_points: vec![point(*value)],
                aggregation_temporality: AggregationTemporality::Cumulative.into(),
                is_monotonic: true,
            };
            metric(name, Data::Sum(sum))
        });
        let gauges = reading.gauges.iter().map(|(name, value)| {
            metric(name, Data::Gauge(Gauge { data_points: vec![point(*value)] }))
        });
        let scope = InstrumentationScope { name: "meshlab-agent".into(), ..Default::default() };
        let scope = ScopeMetrics {
            scope: Some(scope),
            metrics: counters.chain(gauges).collect(),
            ..ScopeMetrics::default()
        };
        let resource = Resource { attributes: self.resource.clone(), ..Resource::default() };
        let metrics = ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![scope],
            ..ResourceMetrics::default()
        };
        ExportMetricsServiceRequest { resource_metrics: vec![metrics] }.encode_to_vec()
    }
}

fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
pub(crate) mod tests;
