//! Made-up records for commands over finished runs, sound but for one thing each.

use std::{fs, io, path::Path};

use meshlab_engine::results::{RunRecord, file};
use meshlab_model::{
    DeclaredTest, NodeId, RunEventKind, Sample, SampleSource, SourceLine, Verdict,
};
use meshlab_report::fixture::{
    claim, events, exited,
    steady::{Steady, write_plain},
};

/// The run that a check is about.
pub(super) const RUN: &str = "run";

/// Runs on each side of a comparison.
const ROUNDS: u64 = 8;
/// Runs of a history.
const HISTORY: u64 = 16;

fn steady(number: u64) -> Steady {
    Steady { number, seconds: 40, ..Steady::default() }
}

/// Writes a run after a change of its record.
fn changed(folder: &Path, change: impl FnOnce(&mut RunRecord)) -> io::Result<()> {
    let mut record = steady(1).record();
    change(&mut record);
    write_plain(&record, &folder.join(RUN))
}

/// Changes a file of a run that was written.
fn edited(folder: &Path, name: &str, change: impl FnOnce(String) -> String) -> io::Result<()> {
    let path = folder.join(RUN).join(name);
    fs::write(&path, change(fs::read_to_string(&path)?))
}

pub(super) fn sound(folder: &Path) -> io::Result<()> {
    changed(folder, |_| {})
}

/// Its events end before the run does.
pub(super) fn without_end(folder: &Path) -> io::Result<()> {
    changed(folder, |record| {
        record.events.pop();
    })
}

/// Half of its last line is missing.
pub(super) fn torn(folder: &Path) -> io::Result<()> {
    sound(folder)?;
    edited(folder, file::EVENTS, |text| text.get(..text.len() - 9).unwrap_or_default().to_owned())
}

/// One of its events is cut out.
pub(super) fn with_gap(folder: &Path) -> io::Result<()> {
    sound(folder)?;
    edited(folder, file::EVENTS, |text| {
        let kept = text.lines().enumerate().filter(|(place, _)| *place != 4);
        kept.map(|(_, line)| format!("{line}\n")).collect()
    })
}

/// A second test of it was never begun.
pub(super) fn never_reached(folder: &Path) -> io::Result<()> {
    changed(folder, |record| {
        let source = SourceLine { file: "swarm.lua".into(), line: 9, column: 1 };
        record.manifest.tests.push(DeclaredTest { title: "the other one".into(), source });
    })
}

/// Its second claim was begun and not judged.
pub(super) fn unjudged(folder: &Path) -> io::Result<()> {
    changed(folder, |record| {
        let begun = claim(2, 600, 900, Verdict::Passed).into_iter().next();
        let Some((ms, kind)) = begun else { return };
        insert(record, ms, kind);
    })
}

fn insert(record: &mut RunRecord, ms: u64, kind: RunEventKind) {
    let all = std::mem::take(&mut record.events);
    let mut kinds: Vec<(u64, RunEventKind)> =
        all.into_iter().map(|event| (event.at.micros / 1000, event.kind)).collect();
    let place = kinds.partition_point(|(at, _)| *at <= ms);
    kinds.insert(place, (ms, kind));
    record.events = events(kinds);
}

/// A node of it ended by itself.
pub(super) fn ended_by_itself(folder: &Path) -> io::Result<()> {
    changed(folder, |record| {
        let gone = exited(3, false);
        for event in &mut record.events {
            let of_it = matches!(&event.kind, RunEventKind::NodeExited { node, .. }
                if *node == NodeId("node-3".into()));
            if of_it {
                event.kind = gone.clone();
            }
        }
    })
}

/// It left a process behind.
pub(super) fn left_behind(folder: &Path) -> io::Result<()> {
    changed(folder, |record| {
        for event in &mut record.events {
            if let RunEventKind::Audited { leftovers, .. } = &mut event.kind {
                leftovers.push("process 7 of node-1".to_owned());
            }
        }
    })
}

/// It was as long as a few samples.
pub(super) fn short(folder: &Path) -> io::Result<()> {
    write_plain(&Steady { seconds: 12, ..steady(1) }.record(), &folder.join(RUN))
}

/// Nobody sampled it.
pub(super) fn unsampled(folder: &Path) -> io::Result<()> {
    changed(folder, |record| record.samples = Vec::new().into())
}

/// One of its nodes, and not the first, has ten times the memory.
pub(super) fn one_heavy(folder: &Path) -> io::Result<()> {
    changed(folder, |record| {
        let heavy = SampleSource::Node("node-5".into());
        let more = |sample: Sample| match sample.of == heavy {
            true => Sample { rss_bytes: sample.rss_bytes * 10, ..sample },
            false => sample,
        };
        record.samples = record.samples.iter().map(more).collect::<Vec<_>>().into();
    })
}

/// Its host had four times the work that it can do.
pub(super) fn on_a_busy_host(folder: &Path) -> io::Result<()> {
    changed(folder, |record| record.manifest.host.load_hundredths = 800)
}

/// Runs for a baseline, and one of another processor.
pub(super) fn on_another_host(folder: &Path) -> io::Result<()> {
    for number in 3..=6 {
        write_plain(&steady(number).record(), &folder.join(format!("before/r{number}")))?;
    }
    changed(folder, |record| "another processor".clone_into(&mut record.manifest.host.cpu))
}

/// Two sides of which the second uses twice the CPU time.
pub(super) fn one_side_worse(folder: &Path) -> io::Result<()> {
    sides(folder, |number, after| Steady { cpu: if after { 0.04 } else { 0.02 }, ..steady(number) })
}

/// Two sides of one program that scatters a lot.
pub(super) fn both_sides_alike(folder: &Path) -> io::Result<()> {
    sides(folder, |number, _| Steady { noise: 0.03, ..steady(number) })
}

/// Two sides of which the second uses a quarter more, which the noise of these just hides: the
/// probability of such a difference is between once and twice what decides.
pub(super) fn one_side_nearly_worse(folder: &Path) -> io::Result<()> {
    sides(folder, |number, after| Steady {
        cpu: if after { 0.025 } else { 0.02 },
        noise: 0.1,
        ..steady(number)
    })
}

/// Runs of two sides in turns, the first of each round the second of the next.
fn sides(folder: &Path, of: impl Fn(u64, bool) -> Steady) -> io::Result<()> {
    for number in 0..2 * ROUNDS {
        let (round, second) = (number / 2, number % 2 == 1);
        let after = second == (round % 2 == 0);
        let side = if after { "after" } else { "before" };
        let run = folder.join(side).join(format!("r{number:02}"));
        write_plain(&of(number + 1, after).record(), &run)?;
    }
    Ok(())
}

/// Runs of one program over time.
pub(super) fn history(folder: &Path) -> io::Result<()> {
    for number in 1..=HISTORY {
        let run = format!("results/swarm/r{number:02}");
        write_plain(&steady(number).record(), &folder.join(run))?;
    }
    Ok(())
}
