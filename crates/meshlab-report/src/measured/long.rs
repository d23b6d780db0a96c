//! What is read of a run that is too long to be read whole: four days of 18 nodes have 170 million
//! spans and 6.6 million samples, and a report is to take seconds.
//!
//! Of samples the minutes, whose least and greatest are exact; of spans those names that the page
//! is about, as far as the indexes lead to them.

use std::{collections::BTreeMap, time::Duration};

use meshlab_engine::results::{Filter, RunRecord};
use meshlab_model::{NodeId, RunTime, Sample, SpanRecord};
use meshlab_wire::span;

use super::{BOOT, MIB, Measured, TICKS_MAX, entry, mark, process};

/// Spans from the start among which each node's boot is looked for.
const BOOT_SPANS: usize = 50_000;

/// Spans of each name that are looked at for the timeline. Each may be in a frame of its own.
const TICKS_OF_NAME: usize = 1000;

/// Spans of neighbours that are looked at, and frames that they may be in.
const NEIGHBORS_MAX: u64 = 100_000;
const FRAMES_MAX: u64 = 4000;

/// The last stretch of the run, of which digests are counted.
const HEARD_FOR: Duration = Duration::from_secs(60);

const MINUTE: Duration = Duration::from_secs(60);

/// What of a long run was not read.
#[derive(Debug)]
pub(crate) struct Long {
    /// Digests are those of the run's last stretch of this length.
    pub(crate) heard_for: Duration,
    /// Whether neighbours came and went too often for it to be known who had whom at the end.
    pub(crate) too_many_neighbors: bool,
}

/// Reads of the spans what the page is about.
pub(super) fn spans(measured: &mut Measured, record: &RunRecord, keys: &BTreeMap<&str, &NodeId>) {
    for span in record.spans.iter().take(BOOT_SPANS) {
        if BOOT.contains(&span.name.as_str()) {
            let by = measured.boot.entry(span.node.clone()).or_default();
            by.entry(span.name.clone()).or_insert(span);
        }
    }
    ticks(measured, record);
    let too_many_neighbors = !neighbors(measured, record, keys);
    let (last, _) = record.spans.last().unwrap_or_default();
    let since = last.as_duration().saturating_sub(HEARD_FOR);
    let since = Some(RunTime::from_duration(since));
    for digest in record.spans.select(Filter { since, ..Filter::named(span::DIGEST_RECEIVED) }) {
        measured.span(digest, keys);
    }
    measured.long = Some(Long { heard_for: HEARD_FOR, too_many_neighbors });
}

/// The first spans that tell of states, and how many more there are.
fn ticks(measured: &mut Measured, record: &RunRecord) {
    let names = [
        span::PEER_CONNECTED,
        span::PEER_RESTARTED,
        span::PEER_DISCONNECTED,
        span::STATE_INFERRED,
        span::STATE_CHANGED,
        span::NODE_PAUSED,
    ];
    let first = |name| record.spans.select(Filter::named(name)).take(TICKS_OF_NAME);
    let mut found: Vec<SpanRecord> = names.into_iter().flat_map(first).collect();
    found.sort_by_key(|span| span.seq);
    for span in found {
        let Some(mark) = mark(&span) else { continue };
        let ticks = measured.ticks.entry(span.node.clone()).or_default();
        if ticks.first.len() < TICKS_MAX {
            ticks.first.push((span, mark));
        }
    }
    let counts = record.spans.counts();
    for (node, ticks) in &mut measured.ticks {
        let of = |name| counts.get(name).and_then(|by| by.get(node.as_str())).copied();
        let all: u64 = names.into_iter().filter_map(of).sum();
        ticks.more = all.saturating_sub(ticks.first.len() as u64);
    }
}

/// Who had whom as a neighbour at the end; `false` if that is too much to look for.
fn neighbors(measured: &mut Measured, record: &RunRecord, keys: &BTreeMap<&str, &NodeId>) -> bool {
    let names = [span::NEIGHBOR_UP, span::NEIGHBOR_DOWN];
    let counts = record.spans.counts();
    let all = names.into_iter().filter_map(|name| counts.get(name)).flat_map(BTreeMap::values);
    let frames: u64 = names.into_iter().map(|name| record.spans.frames_with(name)).sum();
    if all.sum::<u64>() > NEIGHBORS_MAX || frames > FRAMES_MAX {
        return false;
    }
    let of = |name| record.spans.select(Filter::named(name));
    let mut found: Vec<SpanRecord> = names.into_iter().flat_map(of).collect();
    found.sort_by_key(|span| span.seq);
    for span in found {
        measured.span(span, keys);
    }
    true
}

/// Reads the minutes, and of the samples those whose minute is not among them.
pub(super) fn minutes(measured: &mut Measured, record: &RunRecord) {
    let mut last = RunTime::ZERO;
    for minute in &record.minutes {
        last = last.max(minute.at);
        let of = process(&minute.of).to_owned();
        let usage = entry(&mut measured.usage, &of);
        usage.rss_last = minute.rss_bytes.mean as u64;
        usage.rss_max = usage.rss_max.max(minute.rss_bytes.max as u64);
        usage.files_max = usage.files_max.max(minute.open_files.max as u32);
        usage.threads_max = usage.threads_max.max(minute.threads.max as u32);
        if let Some(cpu) = &minute.cpu {
            usage.add_cpu(cpu.mean, cpu.max, minute.samples);
        }
        // When within the minute is not known; both are, and neither hides the other.
        let at = minute.at.as_secs_f64();
        let both = |curve: &mut super::Curve, min: f64, max: f64| {
            curve.add(at + 20.0, min);
            curve.add(at + 40.0, max);
        };
        let rss = &minute.rss_bytes;
        both(measured.curve(&of, |all| &mut all.memory), rss.min / MIB, rss.max / MIB);
        if let Some(cpu) = &minute.cpu {
            let (min, max) = (cpu.min * 100.0, cpu.max * 100.0);
            both(measured.curve(&of, |all| &mut all.cpu), min, max);
        }
        let (files, threads) = (&minute.open_files, &minute.threads);
        both(measured.curve(&of, |all| &mut all.files), files.min, files.max);
        both(measured.curve(&of, |all| &mut all.threads), threads.min, threads.max);
    }
    let over = RunTime::from_duration(last.as_duration() + MINUTE);
    let tail: Vec<Sample> =
        record.samples.select(Filter { since: Some(last), ..Filter::default() }).collect();
    for sample in tail {
        if sample.at >= over {
            measured.sample(&sample);
        } else {
            entry(&mut measured.usage, process(&sample.of)).rss_last = sample.rss_bytes;
        }
    }
}
