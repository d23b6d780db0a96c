//! From OTLP to the numbers of a node, within limits.

use meshlab_model::RunTime;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::KeyValue,
    metrics::v1::{
        DataPointFlags, Metric, NumberDataPoint, metric::Data, number_data_point::Value as Number,
    },
};

use crate::decode::{clip, json};

/// Names of metrics that are kept of one node.
pub const METRIC_NAMES_MAX: usize = 256;

/// Longest request. A node of this workspace sends 2 KB; an empty metric takes 2 bytes here and a
/// hundred once it is decoded.
pub(crate) const REQUEST_BYTES_MAX: usize = 1024 * 1024;

const NAME_BYTES_MAX: usize = 256;
const POINTS_MAX: usize = 4096;
const ATTRIBUTES_MAX: usize = 8;

/// What a metric said last.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetricValue {
    /// The number.
    pub number: MetricNumber,
    /// What kind of number.
    pub kind: MetricKind,
    /// When it was read, by the node's clock, nanoseconds since 1970.
    pub at_unix_nanos: u64,
    /// When it arrived.
    pub arrived: RunTime,
}

/// A number, as exact as it came.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MetricNumber {
    /// A whole number.
    Int(i64),
    /// Any other; may be infinite or no number at all.
    Float(f64),
}

impl MetricNumber {
    /// The number for arithmetic; above 2^53 a whole number loses its last digits.
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Int(number) => number as f64,
            Self::Float(number) => number,
        }
    }
}

/// Kinds of metrics that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// A sum that only grows while the node lives.
    Counter,
    /// Everything else: it may fall.
    Gauge,
}

/// A value as it came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Point {
    pub(crate) name: String,
    pub(crate) number: MetricNumber,
    pub(crate) kind: MetricKind,
    pub(crate) at_unix_nanos: u64,
}

/// What a request holds.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Decoded {
    pub(crate) points: Vec<Point>,
    /// Points that were cut to a limit.
    pub(crate) truncated: u64,
    /// Metrics of a kind that is not kept, and points without a number.
    pub(crate) unknown: u64,
    /// Points behind the last one that is looked at.
    pub(crate) refused: u64,
}

/// The values of a request.
pub(crate) fn metrics(request: ExportMetricsServiceRequest) -> Decoded {
    let mut decoded = Decoded::default();
    let metrics = request
        .resource_metrics
        .into_iter()
        .flat_map(|resource| resource.scope_metrics)
        .flat_map(|scope| scope.metrics);
    for metric in metrics {
        one(metric, &mut decoded);
    }
    decoded
}

fn one(metric: Metric, decoded: &mut Decoded) {
    let (points, kind) = match metric.data {
        Some(Data::Sum(sum)) if sum.is_monotonic => (sum.data_points, MetricKind::Counter),
        Some(Data::Sum(sum)) => (sum.data_points, MetricKind::Gauge),
        Some(Data::Gauge(gauge)) => (gauge.data_points, MetricKind::Gauge),
        _ => {
            decoded.unknown += 1;
            return;
        }
    };
    let mut base = metric.name;
    let cut = clip(&mut base, NAME_BYTES_MAX);
    for point in points {
        if decoded.points.len() >= POINTS_MAX {
            decoded.refused += 1;
            continue;
        }
        let Some(number) = number(&point) else {
            decoded.unknown += 1;
            continue;
        };
        let mut cut = cut;
        let name = name(&base, point.attributes, &mut cut);
        decoded.truncated += u64::from(cut);
        let at_unix_nanos = point.time_unix_nano;
        decoded.points.push(Point { name, number, kind, at_unix_nanos });
    }
}

fn number(point: &NumberDataPoint) -> Option<MetricNumber> {
    // A point may say that there is no value; what stands in its place is none.
    if point.flags & DataPointFlags::NoRecordedValueMask as u32 != 0 {
        return None;
    }
    match point.value? {
        Number::AsInt(number) => Some(MetricNumber::Int(number)),
        Number::AsDouble(number) => Some(MetricNumber::Float(number)),
    }
}

/// `name`, or `name{key=value,...}` with the keys in order.
fn name(base: &str, attributes: Vec<KeyValue>, cut: &mut bool) -> String {
    if attributes.is_empty() {
        return base.to_owned();
    }
    *cut |= attributes.len() > ATTRIBUTES_MAX;
    let pairs = attributes.into_iter().take(ATTRIBUTES_MAX).map(|pair| {
        let value = match json(pair.value, cut, 0) {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        format!("{}={value}", pair.key)
    });
    let mut pairs: Vec<String> = pairs.collect();
    pairs.sort_unstable();
    let mut name = format!("{base}{{{}}}", pairs.join(","));
    *cut |= clip(&mut name, NAME_BYTES_MAX);
    name
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
