use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, any_value::Value as Any},
    metrics::v1::{Gauge, Histogram, ResourceMetrics, ScopeMetrics, Sum},
};
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::{RunClock, SpanStore};

fn request(metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    let scope = ScopeMetrics { metrics, ..Default::default() };
    let resource = ResourceMetrics { scope_metrics: vec![scope], ..Default::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![resource] }
}

fn metric(name: &str, data: Option<Data>) -> Metric {
    Metric { name: name.into(), data, ..Default::default() }
}

fn point(number: Number) -> NumberDataPoint {
    NumberDataPoint { value: Some(number), time_unix_nano: 5, ..Default::default() }
}

fn sum(is_monotonic: bool, data_points: Vec<NumberDataPoint>) -> Option<Data> {
    Some(Data::Sum(Sum { is_monotonic, data_points, ..Default::default() }))
}

fn names(decoded: &Decoded) -> Vec<&str> {
    decoded.points.iter().map(|point| point.name.as_str()).collect()
}

#[test]
fn sums_and_gauges_are_kept_and_other_kinds_counted() {
    let gauge = Gauge { data_points: vec![point(Number::AsDouble(0.5))] };
    let absent = NumberDataPoint { flags: 1, ..point(Number::AsInt(0)) };
    let decoded = metrics(request(vec![
        metric("grows", sum(true, vec![point(Number::AsInt(i64::MAX))])),
        metric("falls", sum(false, vec![point(Number::AsInt(-1))])),
        metric("level", Some(Data::Gauge(gauge))),
        metric("spread", Some(Data::Histogram(Histogram::default()))),
        metric("nothing", None),
        metric("empty", sum(true, vec![NumberDataPoint::default(), absent])),
    ]));
    assert_eq!(names(&decoded), ["grows", "falls", "level"]);
    let kinds: Vec<MetricKind> = decoded.points.iter().map(|point| point.kind).collect();
    assert_eq!(kinds, [MetricKind::Counter, MetricKind::Gauge, MetricKind::Gauge]);
    assert_eq!(decoded.points[0].number, MetricNumber::Int(i64::MAX));
    assert_eq!(decoded.points[2].number, MetricNumber::Float(0.5));
    assert_eq!((decoded.unknown, decoded.refused, decoded.truncated), (4, 0, 0));
}

#[test]
fn attributes_become_part_of_the_name_and_giants_are_cut() {
    let pair = |key: &str, value: &str| {
        let value = Some(AnyValue { value: Some(Any::StringValue(value.to_owned())) });
        KeyValue { key: key.into(), value, ..Default::default() }
    };
    let mut with = point(Number::AsInt(1));
    with.attributes = vec![pair("to", "b"), pair("kind", "echo")];
    let mut giant = point(Number::AsInt(1));
    giant.attributes = vec![pair("x", &"y".repeat(300))];
    let long = "é".repeat(200);
    let decoded = metrics(request(vec![
        metric("requests", sum(true, vec![with, giant])),
        metric(&long, sum(true, vec![point(Number::AsInt(1))])),
    ]));
    assert_eq!(names(&decoded)[0], "requests{kind=echo,to=b}");
    assert_eq!(decoded.points[1].name.len(), NAME_BYTES_MAX);
    assert_eq!(decoded.points[2].name, "é".repeat(128));
    assert_eq!(decoded.truncated, 2);
}

#[test]
fn points_and_names_have_a_bound_and_the_rest_is_counted() {
    let store =
        SpanStore::new(RunClock { started: std::time::Instant::now(), started_unix_nanos: 0 }, 10);
    let node = "n".into();
    let many = vec![point(Number::AsInt(1)); POINTS_MAX + 3];
    store.add_metrics(&node, metrics(request(vec![metric("x", sum(true, many))])));
    assert_eq!(store.problems(&node).metrics_refused, 3);
    let named = |from: usize, to: usize, number: i64| {
        let one =
            |n: usize| metric(&format!("m{n}"), sum(true, vec![point(Number::AsInt(number))]));
        metrics(request((from..to).map(one).collect()))
    };
    store.add_metrics(&node, named(0, METRIC_NAMES_MAX + 9, 1));
    assert_eq!(store.metrics(&node).len(), METRIC_NAMES_MAX);
    assert_eq!(store.problems(&node).metrics_refused, 3 + 10);
    store.add_metrics(&node, named(0, 1, 7));
    let kept = store.metrics(&node)["m0"];
    assert_eq!((kept.number, kept.at_unix_nanos), (MetricNumber::Int(7), 5));
    assert!(kept.arrived > store.metrics(&node)["m1"].arrived);
    assert!(store.metrics(&"another".into()).is_empty());
}

#[test]
fn what_changed_is_taken_once_and_no_number_never() {
    let store =
        SpanStore::new(RunClock { started: std::time::Instant::now(), started_unix_nanos: 0 }, 10);
    let node = "n".into();
    let send = |tasks: i64, load: f64| {
        store.add_metrics(
            &node,
            metrics(request(vec![
                metric("tasks", sum(false, vec![point(Number::AsInt(tasks))])),
                metric("load", sum(false, vec![point(Number::AsDouble(load))])),
            ])),
        );
    };
    let taken = || {
        let mut changed = store.take_changed_metrics();
        let of_node = changed.remove(&node).unwrap_or_default();
        assert!(changed.is_empty());
        of_node.into_iter().collect::<Vec<_>>()
    };
    send(3, f64::NAN);
    send(4, f64::INFINITY);
    assert_eq!(taken(), [("tasks".to_owned(), 4.0)]);
    assert!(taken().is_empty());
    send(4, 0.5);
    assert_eq!(taken(), [("load".to_owned(), 0.5)]);
    send(4, 0.5);
    assert!(taken().is_empty());
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_within_bounds_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        if let Ok(request) = ExportMetricsServiceRequest::decode(bytes.as_slice()) {
            let _ = metrics(request);
        }
    }

    /// A good request with some bytes changed or cut off reaches further than random ones.
    #[test]
    fn a_damaged_request_is_decoded_within_bounds_or_refused(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut with = point(Number::AsDouble(f64::NAN));
        with.attributes = vec![KeyValue { key: "k".into(), ..Default::default() }];
        let good = request(vec![
            metric("a", sum(true, vec![with, point(Number::AsInt(3))])),
            metric("b", Some(Data::Histogram(Histogram::default()))),
        ]);
        let mut bytes = good.encode_to_vec();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        if let Ok(request) = ExportMetricsServiceRequest::decode(bytes.as_slice()) {
            let decoded = metrics(request);
            prop_assert!(decoded.points.iter().all(|point| point.name.len() <= NAME_BYTES_MAX));
        }
    }
}
