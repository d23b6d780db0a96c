use std::sync::{atomic::Ordering, mpsc};

use opentelemetry::trace::{Tracer, TracerProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;

use super::*;
use crate::metrics::tests::{Kept, Numbers, meter};

/// Exports what it is given; refuses, or waits for a token before each batch, when told to.
#[derive(Debug)]
struct Fake {
    refuse: bool,
    tokens: Option<Mutex<mpsc::Receiver<()>>>,
    entered: mpsc::SyncSender<usize>,
}

impl SpanExporter for Fake {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let _ = self.entered.send(batch.len());
        if let Some(tokens) = &self.tokens {
            let _ = tokens.lock().unwrap().recv();
        }
        if self.refuse { Err(OTelSdkError::InternalFailure("refused".into())) } else { Ok(()) }
    }
}

fn provider(processor: &Processor) -> SdkTracerProvider {
    SdkTracerProvider::builder().with_span_processor(processor.clone()).build()
}

fn end(provider: &SdkTracerProvider, spans: usize) {
    let tracer = provider.tracer("test");
    for _ in 0..spans {
        drop(tracer.start("span"));
    }
}

fn limits(queue: usize, batch: usize) -> Limits {
    Limits { queue, batch, linger: Duration::from_secs(60) }
}

#[test]
fn a_flush_ends_the_linger_and_everything_is_accounted_for() {
    let (entered, batches) = mpsc::sync_channel(64);
    let fake = Fake { refuse: false, tokens: None, entered };
    let processor = Processor::spawn(fake, None, limits(100, 4)).unwrap();
    let provider = provider(&processor);
    end(&provider, 10);
    assert!(processor.flush(Duration::from_secs(10)));
    assert_eq!(processor.counts(), Counts { ended: 10, exported: 10, dropped: 0 });
    let sizes: Vec<usize> = batches.try_iter().collect();
    assert_eq!(sizes.iter().sum::<usize>(), 10);
    assert!(sizes.iter().all(|size| *size <= 4), "{sizes:?}");
}

#[test]
fn what_the_collector_refuses_is_counted() {
    let (entered, _batches) = mpsc::sync_channel(64);
    let fake = Fake { refuse: true, tokens: None, entered };
    let processor = Processor::spawn(fake, None, limits(100, 50)).unwrap();
    let provider = provider(&processor);
    end(&provider, 3);
    assert!(processor.flush(Duration::from_secs(10)));
    assert_eq!(processor.counts(), Counts { ended: 3, exported: 0, dropped: 3 });
}

#[test]
fn a_full_queue_drops_and_counts_and_a_stuck_exporter_fails_the_flush() {
    let (entered, batches) = mpsc::sync_channel(64);
    let (token, tokens) = mpsc::channel();
    let fake = Fake { refuse: false, tokens: Some(Mutex::new(tokens)), entered };
    let processor = Processor::spawn(fake, None, limits(5, 1)).unwrap();
    let provider = provider(&processor);
    end(&provider, 1);
    assert_eq!(batches.recv_timeout(Duration::from_secs(10)), Ok(1));
    end(&provider, 8);
    assert_eq!(processor.counts(), Counts { ended: 9, exported: 0, dropped: 3 });
    assert!(!processor.flush(Duration::from_millis(1)), "one batch is stuck in the exporter");
    drop(token);
    assert!(processor.flush(Duration::from_secs(10)));
    assert_eq!(processor.counts(), Counts { ended: 9, exported: 6, dropped: 3 });
}

#[test]
fn after_shutdown_spans_are_counted_as_dropped() {
    let (entered, _batches) = mpsc::sync_channel(64);
    let fake = Fake { refuse: false, tokens: None, entered };
    let processor = Processor::spawn(fake, None, limits(5, 1)).unwrap();
    let provider = provider(&processor);
    processor.shutdown_with_timeout(Duration::from_secs(10)).unwrap();
    end(&provider, 2);
    assert_eq!(processor.counts(), Counts { ended: 2, exported: 0, dropped: 2 });
}

fn counting(every: Duration) -> (Processor, SdkTracerProvider, Arc<Numbers>, Kept, Told) {
    let (entered, _) = mpsc::sync_channel(64);
    let fake = Fake { refuse: false, tokens: None, entered };
    let (told, sent) = mpsc::channel();
    let kept = Kept { told: Some(told), ..Kept::default() };
    let processor = Processor::spawn(fake, Some(meter(&kept, every)), limits(100, 1)).unwrap();
    let numbers = Arc::new(Numbers::default());
    processor.count(numbers.clone());
    let provider = provider(&processor);
    (processor, provider, numbers, kept, sent)
}

type Told = mpsc::Receiver<()>;

const LONG: Duration = Duration::from_secs(20);

#[test]
fn metrics_follow_spans_and_wait_for_their_time() {
    let every = Duration::from_millis(200);
    let (processor, provider, numbers, kept, sent) = counting(every);
    let began = Instant::now();
    end(&provider, 1);
    sent.recv_timeout(LONG).expect("the first goes with the first spans");
    numbers.0.store(1, Ordering::Relaxed);
    end(&provider, 1);
    sent.recv_timeout(LONG).expect("the second without any further span");
    assert!(began.elapsed() >= every, "after {:?}", began.elapsed());
    assert_eq!(kept.sent.lock().unwrap().len(), 2);
    let state = processor.shared.lock();
    let done = &processor.shared.done;
    let (state, _) = done.wait_timeout_while(state, LONG, |s| s.metrics.exported < 2).unwrap();
    assert!(state.read_at.is_none(), "nothing wakes an idle program");
}

#[test]
fn a_flush_of_metrics_does_not_wait_for_their_time_and_sends_nothing_twice() {
    let (processor, provider, numbers, kept, sent) = counting(Duration::from_secs(3600));
    end(&provider, 1);
    sent.recv_timeout(LONG).unwrap();
    numbers.0.store(1, Ordering::Relaxed);
    assert!(processor.flush_metrics(LONG));
    assert!(processor.flush_metrics(LONG));
    assert_eq!(kept.sent.lock().unwrap().len(), 2);
    assert_eq!(processor.metric_counts(), MetricCounts { exported: 2, failed: 0 });
    kept.refuse.store(true, Ordering::Relaxed);
    numbers.0.store(2, Ordering::Relaxed);
    assert!(processor.flush_metrics(LONG), "it was tried");
    assert_eq!(processor.metric_counts(), MetricCounts { exported: 2, failed: 1 });
    end(&provider, 1);
    assert!(processor.flush(LONG), "spans go on");
}
