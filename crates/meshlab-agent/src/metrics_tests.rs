use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
    mpsc,
};

use opentelemetry::KeyValue as Pair;

use super::*;

/// Keeps what is sent; refuses when told to.
#[derive(Clone, Default)]
pub(crate) struct Kept {
    pub(crate) refuse: Arc<AtomicBool>,
    pub(crate) sent: Arc<Mutex<Vec<Vec<u8>>>>,
    pub(crate) told: Option<mpsc::Sender<()>>,
}

impl Sink for Kept {
    fn send(&self, body: Vec<u8>) -> Result<(), String> {
        if self.refuse.load(Ordering::Relaxed) {
            return Err("refused".to_owned());
        }
        self.sent.lock().unwrap().push(body);
        self.told.iter().for_each(|told| told.send(()).unwrap());
        Ok(())
    }
}

/// One counter and one gauge.
#[derive(Default)]
pub(crate) struct Numbers(pub(crate) AtomicU64);

impl CounterSource for Numbers {
    fn counters(&self) -> BTreeMap<String, u64> {
        BTreeMap::from([("done".to_owned(), self.0.load(Ordering::Relaxed))])
    }

    fn gauges(&self) -> BTreeMap<String, u64> {
        BTreeMap::from([("waiting".to_owned(), 3)])
    }
}

pub(crate) fn meter(sink: &Kept, every: Duration) -> Meter {
    let resource = opentelemetry_sdk::Resource::builder_empty()
        .with_attribute(Pair::new("meshlab.node", "n3"))
        .build();
    Meter::new(Box::new(sink.clone()), &resource, every)
}

fn value(metric: &Metric) -> (Option<i64>, Option<bool>) {
    let (points, monotonic) = match metric.data.as_ref().unwrap() {
        Data::Sum(sum) => (&sum.data_points, Some(sum.is_monotonic)),
        Data::Gauge(gauge) => (&gauge.data_points, None),
        other => panic!("no sum and no gauge: {other:?}"),
    };
    let value = points[0].value.as_ref().map(|value| match value {
        number_data_point::Value::AsInt(value) => *value,
        number_data_point::Value::AsDouble(value) => panic!("no integer: {value}"),
    });
    (value, monotonic)
}

#[test]
fn counters_are_monotonic_sums_and_gauges_are_not() {
    let kept = Kept::default();
    let numbers = Numbers::default();
    numbers.0.store(7, Ordering::Relaxed);
    assert_eq!(meter(&kept, Duration::ZERO).export(&numbers), Ok(true));
    let body = kept.sent.lock().unwrap().pop().unwrap();
    let request = ExportMetricsServiceRequest::decode(body.as_slice()).unwrap();
    let of_node = &request.resource_metrics[0];
    assert_eq!(of_node.resource.as_ref().unwrap().attributes[0].key, "meshlab.node");
    let metrics = &of_node.scope_metrics[0].metrics;
    assert_eq!((metrics[0].name.as_str(), value(&metrics[0])), ("done", (Some(7), Some(true))));
    assert_eq!((metrics[1].name.as_str(), value(&metrics[1])), ("waiting", (Some(3), None)));
}

#[test]
fn what_did_not_change_is_not_sent_again_but_what_failed_is() {
    let kept = Kept::default();
    let numbers = Numbers::default();
    let mut meter = meter(&kept, Duration::from_secs(60));
    let now = Instant::now();
    assert_eq!(meter.due(now), now, "the first may go at once");
    assert_eq!(meter.export(&numbers), Ok(true));
    assert_eq!(meter.export(&numbers), Ok(false));
    assert!(meter.due(now) >= now + Duration::from_secs(60));
    numbers.0.store(1, Ordering::Relaxed);
    kept.refuse.store(true, Ordering::Relaxed);
    assert_eq!(meter.export(&numbers), Err("refused".to_owned()));
    kept.refuse.store(false, Ordering::Relaxed);
    assert_eq!(meter.export(&numbers), Ok(true));
    assert_eq!(kept.sent.lock().unwrap().len(), 2);
}
