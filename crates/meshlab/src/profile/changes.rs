//! What became of the profiles of a run: in another run, or from its first look to its last.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use meshlab_model::{ByteSize, ExitCode, HeapSnapshot, NodeId};
use meshlab_profile::{Folded, Title, difference, files};
use meshlab_report::RunFigures;

use super::heap::signed;
use crate::finished;

/// Differences that were drawn, and what a reader has to know beside them.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// A name and a file in the folder.
    pub(crate) drawn: Vec<(String, PathBuf)>,
    pub(crate) notes: Vec<String>,
}

/// Two profiles of one kind.
struct Pair {
    name: &'static str,
    file: &'static str,
    unit: &'static str,
    before: Folded,
    after: Folded,
}

/// Draws what became of the profiles of all nodes, of each kind that both runs have.
pub(crate) fn draw(before: &RunFigures, after: &RunFigures, folder: &Path) -> Changes {
    let mut changes = Changes::default();
    let title = format!("{} against {}", after.run, before.run);
    let cpu = fleet(before).zip(fleet(after)).map(|(was, is)| {
        let (before, after) = (files::read(&was)?, files::read(&is)?);
        Ok(Pair { name: "CPU of all nodes", file: "cpu-diff.svg", unit: "samples", before, after })
    });
    let (was, is) = (newest(before), newest(after));
    let heap = (!was.is_empty() && !is.is_empty()).then(|| {
        let (before, after) = (stacks(before, &was)?, stacks(after, &is)?);
        Ok(Pair { name: "Heap of all nodes", file: "heap-diff.svg", unit: "bytes", before, after })
    });
    if heap.is_some() {
        changes.notes.push(buckets(&was, &is));
    }
    for pair in cpu.into_iter().chain(heap) {
        match pair.and_then(|pair: Pair| one(&pair, &title, folder)) {
            Ok(drawn) => changes.drawn.push(drawn),
            Err(error) => changes.notes.push(format!("profiles are not compared: {error:#}")),
        }
    }
    changes
}

fn one(pair: &Pair, title: &str, folder: &Path) -> Result<(String, PathBuf)> {
    let (was, is, unit) = (pair.before.samples(), pair.after.samples(), pair.unit);
    let title = Title {
        title: title.to_owned(),
        rests_on: format!(
            "{is} {unit} against {was}, scaled to the same total; red takes more, blue less"
        ),
        unit: unit.to_owned(),
    };
    let path = folder.join(pair.file);
    let svg = difference(&pair.before, &pair.after, &title)?;
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&path, svg))
        .with_context(|| format!("failed to write {}", path.display()))?;
    Ok((pair.name.to_owned(), PathBuf::from(pair.file)))
}

/// The CPU profile of all nodes.
fn fleet(run: &RunFigures) -> Option<PathBuf> {
    let all = run.view.profiles.iter();
    let fleet = all.filter(|profile| profile.kind == "cpu").find(|of| of.node.is_none())?;
    Some(run.folder.join(&fleet.file).with_extension(files::FOLDED))
}

/// The last look at the heap of each node.
fn newest(run: &RunFigures) -> Vec<&HeapSnapshot> {
    let by_node: BTreeMap<&NodeId, &HeapSnapshot> =
        run.view.heaps.iter().map(|(_, heap)| (&heap.node, heap)).collect();
    by_node.into_values().collect()
}

/// What heaps held together.
fn stacks(run: &RunFigures, heaps: &[&HeapSnapshot]) -> Result<Folded> {
    let mut all = Folded::default();
    for heap in heaps {
        let file = format!("{}.{}", heap.file.trim_end_matches(".dhat.json"), files::FOLDED);
        all.merge(&files::read(&run.folder.join(file))?, None);
    }
    Ok(all)
}

/// What each subsystem holds of both, in a line. By bytes a node: there may be more of them.
fn buckets(was: &[&HeapSnapshot], is: &[&HeapSnapshot]) -> String {
    let rules = |heaps: &[&HeapSnapshot]| heaps.iter().map(|heap| heap.rule).max();
    if rules(was) != rules(is) {
        return "heaps are not compared by subsystem: another rule made the buckets".to_owned();
    }
    let sums = |heaps: &[&HeapSnapshot]| {
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        for row in heaps.iter().flat_map(|heap| &heap.buckets) {
            *sums.entry(row.bucket.clone()).or_default() += row.bytes;
        }
        sums.values_mut().for_each(|sum| *sum /= heaps.len().max(1) as u64);
        sums
    };
    let (was, is) = (sums(was), sums(is));
    let row = |(bucket, after): (&String, &u64)| {
        let before = was.get(bucket).copied().unwrap_or_default();
        let gained = i64::try_from(i128::from(*after) - i128::from(before)).unwrap_or(i64::MAX);
        format!("{bucket} {} -> {} ({})", ByteSize(before), ByteSize(*after), signed(gained))
    };
    let rows: Vec<String> = is.iter().filter(|(_, bytes)| **bytes > 0).map(row).collect();
    format!("heap of a node by subsystem, at its last look: {}", rows.join(", "))
}

/// The first look at each process and the last one, where there are two.
fn ends(run: &RunFigures) -> (Vec<&HeapSnapshot>, Vec<&HeapSnapshot>) {
    let mut by_process: BTreeMap<(&NodeId, u32), Vec<&HeapSnapshot>> = BTreeMap::new();
    for (_, heap) in &run.view.heaps {
        by_process.entry((&heap.node, heap.pid)).or_default().push(heap);
    }
    let ends = by_process.values().filter(|looks| looks.len() > 1);
    ends.filter_map(|looks| Some((*looks.first()?, *looks.last()?))).unzip()
}

/// The first profile of a moment and the last one of each node, where there are two; else the first
/// and the last steady window of what `perf` recorded of its processes.
fn moments(run: &RunFigures) -> Result<(Folded, Folded)> {
    let mut by_node: BTreeMap<&NodeId, Vec<PathBuf>> = BTreeMap::new();
    let mut windows = BTreeMap::new();
    for profile in run.view.profiles.iter().filter(|profile| profile.kind == "cpu") {
        let (Some(node), path) = (&profile.node, run.folder.join(&profile.file)) else { continue };
        if path.file_stem().is_some_and(|stem| stem != node.as_str()) {
            by_node.entry(node).or_default().push(path.with_extension(files::FOLDED));
        } else if let Some(folder) = path.parent() {
            let (first, last) = files::ends_of(folder, node.as_str());
            if first.exists() && last.exists() {
                windows.insert(node, vec![first, last]);
            }
        }
    }
    for (node, looks) in windows {
        let own = by_node.entry(node).or_default();
        if own.len() < 2 {
            *own = looks;
        }
    }
    let (mut before, mut after) = (Folded::default(), Folded::default());
    for looks in by_node.values().filter(|looks| looks.len() > 1) {
        if let (Some(first), Some(last)) = (looks.first(), looks.last()) {
            before.merge(&files::read(first)?, None);
            after.merge(&files::read(last)?, None);
        }
    }
    Ok((before, after))
}

/// `meshlab profile diff --first-last RUN`.
pub(super) fn first_last(run: &Path, output: &Path) -> Result<ExitCode> {
    let Some(run) = finished::figures(run, None)? else { return Ok(ExitCode::Usage) };
    let folder = output.parent().unwrap_or(Path::new("."));
    let title = format!("{}: last look against first", run.run);
    let mut pairs = Vec::new();
    let (first, last) = ends(&run);
    if !first.is_empty() {
        println!("{}", buckets(&first, &last));
        for (was, is) in first.iter().zip(&last) {
            let between = meshlab_model::format_duration(is.taken.since(was.taken));
            println!("{}  {} -> {} in {between}", is.node, ByteSize(was.bytes), ByteSize(is.bytes));
        }
        let (before, after) = (stacks(&run, &first)?, stacks(&run, &last)?);
        pairs.push(Pair { name: "heap", file: "heap-diff.svg", unit: "bytes", before, after });
    }
    let (before, after) = moments(&run)?;
    if !before.is_empty() && !after.is_empty() {
        pairs.push(Pair { name: "cpu", file: "cpu-diff.svg", unit: "samples", before, after });
    }
    if pairs.is_empty() {
        eprintln!(
            "{} has no two looks at one process: `--profile heap` looks at the start and the end \
             of a test, `--profile cpu` by perf at a process that runs for ten seconds, `node:profile \
             {{ cpu = \"10s\" }}` and `node:heap()` when they are called",
            run.run
        );
        return Ok(ExitCode::Inconclusive);
    }
    for pair in &pairs {
        let (name, file) = one(pair, &title, folder)?;
        println!("{name:<10}  {}", folder.join(file).display());
    }
    Ok(ExitCode::Passed)
}
