//! Small pieces of text that several outputs share.

use std::{collections::BTreeMap, time::Duration};

use meshlab_model::{
    ByteSize, ChaosTally, ClaimEvidence, ExitCode, HeapGrowth, Measure, NodeId, Round,
    RunEventKind, SourceLine, TrafficMeasure, format_duration,
};
use meshlab_stats::Latency;

use crate::view::{ChaosView, Deviation, FaultView, MeasureView, Recovery, RunView, percentiles};

/// The first line of `text`, without the end of line.
pub(crate) fn first_line(text: &str) -> String {
    clean(text.lines().find(|line| !line.trim().is_empty()).unwrap_or(""))
}

/// `text` without control characters, which could redraw a terminal or break a file format. Line
/// ends and tabs become spaces.
pub(crate) fn clean(text: &str) -> String {
    let safe = |c: char| match c {
        '\n' | '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(safe).collect()
}

/// What a profile is, in a line; `None` for one of many that are told together.
pub(crate) fn profile(kind: &RunEventKind) -> Option<String> {
    match kind {
        RunEventKind::ProfileTaken { node: None, kind, file, samples, hz, .. } => {
            let (rests_on, file) = (rests_on(*samples, *hz), file.trim_start_matches("../"));
            Some(format!("{kind}: {rests_on} in {}", clean(file)))
        }
        RunEventKind::ProfileTaken { node: Some(node), kind, file, samples, claim, hz, .. }
            if claim.is_some() =>
        {
            let (rests_on, file) = (rests_on(*samples, *hz), file.trim_start_matches("../"));
            let node = clean(node.as_str());
            Some(format!("{kind} of {node}, which broke a limit: {rests_on} in {}", clean(file)))
        }
        RunEventKind::HeapTaken(heap) => {
            let grown = heap.since.as_ref().map(|since| {
                let pace = pace(since);
                format!(", {} since its first look ({pace})", signed_bytes(since.bytes()))
            });
            Some(format!(
                "the heap of {}: {} in {} blocks, {:.1} % attributed{}",
                clean(heap.node.as_str()),
                ByteSize(heap.bytes),
                heap.blocks,
                heap.attributed() * 100.0,
                grown.unwrap_or_default()
            ))
        }
        _ => None,
    }
}

/// What a profile rests on: samples, or the time of spans.
pub(crate) fn rests_on(samples: u64, hz: u32) -> String {
    match hz {
        0 => format!("{} between enter and exit", took(samples)),
        hz => format!("{samples} samples at {hz} Hz"),
    }
}

/// How fast a heap grows: by the hour, and by the process that ended.
pub(crate) fn pace(since: &HeapGrowth) -> String {
    let whole = |bytes: f64| signed_bytes(bytes.round() as i64);
    let hour = since.per_hour(since.bytes()).map(|bytes| format!("{} an hour", whole(bytes)));
    let churn = since.per_churn(since.bytes());
    let churn = churn.map(|bytes| format!("{} for each of {} ends", whole(bytes), since.churn));
    hour.into_iter().chain(churn).collect::<Vec<String>>().join(", ")
}

/// Bytes that were gained or lost.
pub(crate) fn signed_bytes(bytes: i64) -> String {
    let sign = if bytes < 0 { "-" } else { "+" };
    format!("{sign}{}", ByteSize(bytes.unsigned_abs()))
}

/// A length of time, for people, to the millisecond or, below one, to the microsecond.
pub(crate) fn took(micros: u64) -> String {
    let micros = if micros >= 1000 { micros / 1000 * 1000 } else { micros };
    format_duration(Duration::from_micros(micros))
}

/// `2027-01-15 08:00:00 UTC` for nanoseconds since 1970.
pub(crate) fn utc(unix_nanos: u64) -> String {
    let seconds = unix_nanos / 1_000_000_000;
    // Days are counted from 1 March of the year 0, so that a leap day ends its year.
    let days = seconds / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// `node-1 51 - node-2 47`, with the need where a node has one of its own.
pub(crate) fn tallies(evidence: &ClaimEvidence) -> String {
    let one = |tally: &meshlab_model::Tally| match tally.need {
        0 => format!("{} {}", clean(tally.node.as_str()), tally.have),
        need => format!("{} {} of {need}", clean(tally.node.as_str()), tally.have),
    };
    evidence.by_node.iter().map(one).collect::<Vec<_>>().join(" - ")
}

/// The line of the script at `source`, its number in a gutter, and a caret line under `call`.
/// `None` where the script has no such line.
pub(crate) struct Excerpt {
    /// The gutter's width.
    pub(crate) gutter: usize,
    /// The line's number.
    pub(crate) line: u32,
    /// The line, as written, tabs as spaces.
    pub(crate) code: String,
    /// Spaces and carets that stand under the call; empty where the column is not known.
    pub(crate) carets: String,
}

/// The place of `source` in `script`.
pub(crate) fn excerpt(script: &str, source: &SourceLine, call: &str) -> Option<Excerpt> {
    let code = clean(script.lines().nth(source.line.checked_sub(1)? as usize)?);
    let column = match source.column {
        0 => code.find(call).map(|at| code[..at].chars().count()),
        column => Some(column as usize - 1),
    };
    let carets = match column {
        Some(column) if column <= code.chars().count() => {
            format!("{}{}", " ".repeat(column), "^".repeat(call.chars().count().max(1)))
        }
        _ => String::new(),
    };
    Some(Excerpt { gutter: source.line.to_string().len(), line: source.line, code, carets })
}

/// What an exit code says, in a few words.
pub(crate) fn meaning(code: ExitCode) -> &'static str {
    match code {
        ExitCode::Passed => "every claim was evaluated and held",
        ExitCode::ClaimFailed => "a claim failed",
        ExitCode::Usage => "the command line is wrong",
        ExitCode::ScriptError => "the scenario is wrong",
        ExitCode::Inconclusive => "something could not be decided",
        ExitCode::HarnessFailed => "the harness or the host failed",
        ExitCode::Interrupted => "stopped by a signal",
    }
}

/// A workload in a line.
pub(crate) fn traffic(measure: &TrafficMeasure) -> String {
    let TrafficMeasure { from, to, kind, streams, round_trips, errors, .. } = measure;
    let times = Latency::decode(&measure.histogram).ok().filter(|latency| latency.count() > 0);
    let times = times.map_or(String::new(), |times| {
        let at = |percentile| format_duration(times.at(percentile));
        format!(", p50 {}, p99 {}", at(50.0), at(99.0))
    });
    let why = measure.reasons.first().map(|why| format!(" ({why})")).unwrap_or_default();
    let streams = if *streams == 1 { String::new() } else { format!(" over {streams} streams") };
    let in_all = took(measure.took_micros);
    format!(
        "{kind} {from} to {to}{streams}: {round_trips} round trips in {in_all}, \
         {errors} errors{why}{times}"
    )
}

/// A round of a comparison in a line.
pub(crate) fn round(
    round: &Round,
    measures: &BTreeMap<String, Measure>,
    failed: Option<&str>,
) -> String {
    let each: Vec<String> =
        measures.iter().map(|(name, measure)| format!("{} {measure}", clean(name))).collect();
    let what = failed.map_or_else(|| each.join(", "), |why| format!("failed: {}", first_line(why)));
    format!("{}: {what}", clean(&round.to_string()))
}

/// A ratio of after to before, as a change.
pub(crate) fn change(ratio: f64) -> String {
    let percent = ((ratio - 1.0) * 1000.0).round() / 10.0;
    if percent == 0.0 { "0.0 %".to_owned() } else { format!("{percent:+.1} %") }
}

/// A measure of two programs in a line: medians, effect, interval.
pub(crate) fn measure(measure: &MeasureView) -> String {
    let show = |value| Measure::show(value, &measure.unit);
    let interval = match measure.interval {
        Some((low, high)) => format!("95 % interval {} to {}", change(low), change(high)),
        None => "too few rounds for an interval".to_owned(),
    };
    format!(
        "{} before, {} after, {} ({interval})",
        show(measure.before),
        show(measure.after),
        change(measure.effect)
    )
}

/// What came of the faults of a schedule, in a line.
pub(crate) fn tally(tally: &ChaosTally) -> String {
    let ChaosTally { planned, detected, missed, skipped, inconclusive, broken } = tally;
    let rare = [(inconclusive, "undecided"), (broken, "broken")];
    let rare = rare.iter().filter(|(count, _)| **count > 0);
    let rare: String = rare.map(|(count, what)| format!(", {count} {what}")).collect();
    format!(
        "{planned} planned, {detected} noticed and healed, {missed} missed, {skipped} skipped{rare}"
    )
}

/// How long a stage took, in a few words; empty where nothing was counted.
pub(crate) fn spread(times: &Latency) -> String {
    let shown = |[p50, _, p99, max]: [Duration; 4]| {
        let [p50, p99, max] = [p50, p99, max].map(short);
        format!("p50 {p50} p99 {p99} max {max} (n={})", times.count())
    };
    percentiles(times).map(shown).unwrap_or_default()
}

/// A length of time to at most three digits, as a histogram knows it.
pub(crate) fn short(length: Duration) -> String {
    format_duration(length)
}

/// The recovery of all faults of a run, in a line; `None` where none acted.
pub(crate) fn recovery(recovery: &Recovery) -> Option<String> {
    let all = recovery.all();
    let told = all.stages().map(|(name, times)| (name, spread(times)));
    let told: Vec<String> = told
        .into_iter()
        .filter(|(_, spread)| !spread.is_empty())
        .map(|(name, spread)| format!("{name} {spread}"))
        .collect();
    (!told.is_empty()).then(|| told.join(", "))
}

/// How far a replay was from the run that it carried out again, in a line; `None` for a run that is
/// no replay.
pub(crate) fn replay(view: &RunView) -> Option<String> {
    let run = clean(view.replays.as_ref()?);
    let Deviation { realised, again, micros } = view.deviation();
    let off = percentiles(&micros).map_or(String::new(), |[p50, _, p99, max]| {
        let [p50, p99, max] = [p50, p99, max].map(short);
        format!("; their onsets differ by p50 {p50}, p99 {p99}, max {max}")
    });
    Some(format!("of {run}: {again} of the {realised} faults that acted there acted again{off}"))
}

/// How much later than drawn, or than in the run that is replayed, the faults of a schedule were
/// applied.
pub(crate) fn late(chaos: &ChaosView) -> String {
    let late = chaos.lateness();
    // The nearest rank (Hyndman and Fan, "Sample quantiles in statistical packages", type 1).
    let rank = |share: f64| (late.len() as f64 * share).ceil().max(1.0) as usize - 1;
    let at = |share| late.get(rank(share)).copied().map(took);
    match at(0.5).zip(at(0.99)) {
        Some((half, most)) => {
            let than = if chaos.is_replay() { "in the run that is replayed" } else { "drawn" };
            format!("; applied p50 {half}, p99 {most} after the time {than}")
        }
        None => String::new(),
    }
}

/// Whom a fault hurts: "a, b", or "a, b | c" with two sides. Of a long side the first four and how
/// many more.
pub(crate) fn whom(fault: &FaultView) -> String {
    let near = fault.targets.len().saturating_sub(fault.against as usize);
    let (near, far) = fault.targets.split_at(near);
    let side = |nodes: &[NodeId]| {
        let first: Vec<_> = nodes.iter().take(4).map(|node| clean(node.as_str())).collect();
        match nodes.len() {
            0..=4 => first.join(", "),
            more => format!("{} and {} more", first.join(", "), more - 4),
        }
    };
    match far {
        [] => side(near),
        far => format!("{} | {}", side(near), side(far)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb c");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(1_800_000_000_000_000_000), "2027-01-15 08:00:00 UTC");
        assert_eq!(utc(1_709_208_000_000_000_000), "2024-02-29 12:00:00 UTC");
    }

    #[test]
    fn a_line_that_is_not_there_has_no_excerpt() {
        let at = |line| SourceLine { file: "x.lua".into(), line, column: 3 };
        assert!(excerpt("a\nb", &at(3), "f").is_none());
        assert!(excerpt("a\nb", &at(0), "f").is_none());
        assert_eq!(excerpt("  f(1)", &at(1), "f").map(|e| e.carets).as_deref(), Some("  ^"));
    }
}
