//! Workloads that this node drives against another: echo streams, requests, bulk transfers.
//!
//! In a closed loop a stream sends again as soon as its reply is there. In an open loop messages
//! are due by the clock, and each round trip is counted from when its message was due: a stall of
//! the other side then shows in every message that it held up, not in one (Tene, "How NOT to
//! Measure Latency", coordinated omission).

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use data_encoding::BASE64;
use hdrhistogram::{
    Histogram,
    serialization::{Serializer, V2DeflateSerializer},
};
use iroh::endpoint::Connection;
use meshlab_wire::{Outcome, Traffic, TrafficKind, TrafficResult};
use tokio::task::JoinSet;
use tracing::{Instrument, info_span};

use super::{Opening, Stream, Work, bulk, links::Links};
use crate::frame;

/// Streams at most: QUIC allows a peer so many at once.
const STREAMS_MAX: u32 = 256;

/// Round trips that are told apart up to here; longer ones are counted as this long.
const ROUND_TRIP_MAX_US: u64 = 600_000_000;

/// Reasons that are told.
const REASONS_MAX: usize = 5;

/// A round trip may take this long before its stream is given up.
const REPLY_WITHIN: Duration = Duration::from_secs(5);

/// Drives a workload to its end.
pub(crate) async fn drive(links: &Links, name: &str, traffic: Traffic) -> Result<Outcome, String> {
    check(&traffic)?;
    let span = info_span!(
        parent: None, "traffic.finished", peer.id = traffic.to.public_key,
        peer.name = traffic.to.name, round_trips = tracing::field::Empty,
        errors = tracing::field::Empty
    );
    let trace = meshlab_agent::trace_context(&span);
    let started = Instant::now();
    let tally = Shared::new()?;
    match links.to(&traffic.to).await {
        Err(why) => tally.failed(why),
        Ok(connection) => {
            let run = Run { connection, name: name.to_owned(), trace, traffic };
            run.run(&tally).instrument(span.clone()).await;
        }
    }
    let result = tally.into_result(started.elapsed())?;
    span.record("round_trips", result.round_trips);
    span.record("errors", result.errors);
    Ok(Outcome::Traffic(result))
}

fn check(traffic: &Traffic) -> Result<(), String> {
    if traffic.streams == 0 || traffic.streams > STREAMS_MAX {
        return Err(format!("{} streams; it must be 1 to {STREAMS_MAX}", traffic.streams));
    }
    let max = frame::PAYLOAD_BYTES_MAX as u64;
    if traffic.kind != TrafficKind::Bulk && traffic.bytes > max {
        return Err(format!("messages of {} bytes; at most {max} are sent", traffic.bytes));
    }
    match traffic.rate {
        Some(rate) if !(rate.is_finite() && rate > 0.0) => {
            Err(format!("a rate of {rate} a second; it must be above zero"))
        }
        _ => Ok(()),
    }
}

/// What was counted, by all streams together.
#[derive(Clone)]
struct Shared(Arc<Mutex<Tally>>);

struct Tally {
    result: TrafficResult,
    times: Histogram<u64>,
}

impl Shared {
    fn new() -> Result<Self, String> {
        // Three digits from a microsecond to ten minutes.
        let times = Histogram::new_with_bounds(1, ROUND_TRIP_MAX_US, 3);
        let times = times.map_err(|error| format!("no histogram: {error}"))?;
        Ok(Self(Arc::new(Mutex::new(Tally { result: TrafficResult::default(), times }))))
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn done(&self, took: Duration, bytes: u64) {
        let mut tally = self.lock();
        tally.result.round_trips += 1;
        tally.result.bytes += 2 * bytes;
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        tally.times.saturating_record(micros.max(1));
    }

    fn failed(&self, why: String) {
        let mut tally = self.lock();
        tally.result.errors += 1;
        if tally.result.reasons.len() < REASONS_MAX && !tally.result.reasons.contains(&why) {
            tally.result.reasons.push(why);
        }
    }

    fn into_result(self, took: Duration) -> Result<TrafficResult, String> {
        let mut tally = self.lock();
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&tally.times, &mut bytes)
            .map_err(|error| format!("could not write the histogram: {error}"))?;
        tally.result.histogram = BASE64.encode(&bytes);
        tally.result.took_micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        Ok(tally.result.clone())
    }
}

struct Run {
    connection: Connection,
    name: String,
    trace: Option<String>,
    traffic: Traffic,
}

impl Run {
    async fn run(self, tally: &Shared) {
        if self.traffic.kind == TrafficKind::Bulk {
            return self.bulk(tally).await;
        }
        let run = Arc::new(self);
        let until = Instant::now() + Duration::from_millis(run.traffic.for_ms);
        let mut streams = JoinSet::new();
        for place in 0..run.traffic.streams {
            let (run, tally) = (Arc::clone(&run), tally.clone());
            streams.spawn(async move { run.stream(place, until, &tally).await });
        }
        while streams.join_next().await.is_some() {}
    }

    async fn bulk(self, tally: &Shared) {
        let (bytes, started) = (self.traffic.bytes, Instant::now());
        let within = Duration::from_millis(self.traffic.for_ms);
        let sent =
            bulk::send(&self.connection, self.name.clone(), self.trace.clone(), bytes, bytes);
        match tokio::time::timeout(within, sent).await {
            Ok(Ok(())) => {
                tally.done(started.elapsed(), 0);
                tally.lock().result.bytes = bytes;
            }
            Ok(Err(why)) => tally.failed(why),
            Err(_) => tally.failed(format!("not whole within {within:?}")),
        }
    }

    /// One stream of messages, until the time is up or the stream breaks.
    async fn stream(&self, place: u32, until: Instant, tally: &Shared) {
        let payload = vec![0x5a; usize::try_from(self.traffic.bytes).unwrap_or(0)];
        let mut clock = Clock::new(&self.traffic, place);
        let mut echo: Option<Stream> = None;
        loop {
            let due = clock.next();
            if due >= until {
                break;
            }
            // The runtime's timers count whole milliseconds: a sleep until now would take one.
            if due > Instant::now() {
                tokio::time::sleep_until(due.into()).await;
            }
            let trip = self.round_trip(&mut echo, &payload);
            let outcome = tokio::time::timeout(REPLY_WITHIN, trip).await;
            match outcome.unwrap_or_else(|_| Err(format!("no reply within {REPLY_WITHIN:?}"))) {
                Ok(()) => tally.done(due.elapsed(), self.traffic.bytes),
                Err(why) => {
                    tally.failed(why);
                    echo = None;
                    if self.connection.close_reason().is_some() {
                        break;
                    }
                }
            }
        }
        if let Some(mut echo) = echo {
            let _ = echo.send.finish();
        }
    }

    async fn round_trip(&self, echo: &mut Option<Stream>, payload: &[u8]) -> Result<(), String> {
        let work = match self.traffic.kind {
            TrafficKind::Request => Work::Request,
            _ => Work::Echo,
        };
        let mut stream = match echo.take() {
            Some(stream) => stream,
            None => {
                let (trace, from) = (self.trace.clone(), self.name.clone());
                super::open(&self.connection, &Opening { trace, from, work: work.clone() }).await?
            }
        };
        let failed = |error: frame::FrameError| error.to_string();
        frame::write(&mut stream.send, payload).await.map_err(failed)?;
        let mut reply = Vec::new();
        let read = frame::read(&mut stream.recv, frame::PAYLOAD_BYTES_MAX, &mut reply).await;
        if read.map_err(failed)?.is_none() || reply != payload {
            return Err("the reply is not what was sent".to_owned());
        }
        match work {
            Work::Echo => *echo = Some(stream),
            _ => {
                let _ = stream.send.finish();
            }
        }
        Ok(())
    }
}

/// When the messages of one stream are due.
struct Clock {
    start: Instant,
    /// Time between two messages of this stream; `None` sends as soon as it can.
    every: Option<Duration>,
    sent: u32,
    offset: Duration,
}

impl Clock {
    fn new(traffic: &Traffic, place: u32) -> Self {
        let streams = f64::from(traffic.streams);
        let every = traffic.rate.map(|rate| Duration::from_secs_f64((streams / rate).min(3600.0)));
        // The streams take turns.
        let offset = every.unwrap_or_default().mul_f64(f64::from(place) / streams);
        Self { start: Instant::now(), every, sent: 0, offset }
    }

    fn next(&mut self) -> Instant {
        let Some(every) = self.every else { return Instant::now() };
        let due = self.start + self.offset + every * self.sent;
        self.sent += 1;
        due
    }
}

#[cfg(test)]
mod tests {
    use meshlab_wire::Contact;

    use super::*;

    fn traffic(rate: Option<f64>) -> Traffic {
        Traffic {
            to: Contact::default(),
            kind: TrafficKind::Echo,
            streams: 4,
            bytes: 100,
            for_ms: 1000,
            rate,
        }
    }

    #[test]
    fn an_open_loop_is_on_the_clock_whatever_the_replies_do() {
        let clocks = (0..4).map(|place| Clock::new(&traffic(Some(200.0)), place));
        for (place, mut clock) in clocks.enumerate() {
            let due: Vec<u128> = (0..3).map(|_| (clock.next() - clock.start).as_millis()).collect();
            let first = place as u128 * 5;
            assert_eq!(due, [first, first + 20, first + 40]);
        }
    }

    #[test]
    fn a_workload_that_makes_no_sense_is_refused() {
        assert_eq!(check(&traffic(None)), Ok(()));
        assert!(check(&Traffic { streams: 0, ..traffic(None) }).is_err());
        assert!(check(&Traffic { streams: 1000, ..traffic(None) }).is_err());
        assert!(check(&Traffic { bytes: u64::MAX, ..traffic(None) }).is_err());
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(check(&traffic(Some(rate))).is_err(), "{rate}");
        }
    }

    #[test]
    fn reasons_are_bounded_and_told_once() {
        let tally = Shared::new().unwrap();
        for count in 0..20 {
            tally.failed(format!("why {}", count % 10));
        }
        tally.done(Duration::from_millis(3), 10);
        let result = tally.into_result(Duration::from_secs(1)).unwrap();
        assert_eq!((result.errors, result.reasons.len()), (20, REASONS_MAX));
        assert_eq!((result.round_trips, result.bytes), (1, 20));
        let bytes = BASE64.decode(result.histogram.as_bytes()).unwrap();
        let read = hdrhistogram::serialization::Deserializer::new()
            .deserialize::<u64, _>(&mut &bytes[..])
            .unwrap();
        assert!((2990..=3010).contains(&read.max()), "{}", read.max());
    }
}
