//! `meshlab profile RUN`: draws the profiles of a run again, from what it left.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use meshlab_engine::results::read_run;
use meshlab_model::{ExitCode, HeapSnapshot, NodeId, RunEventKind};
use meshlab_profile::{Title, cpu_time, files};

use super::heap;
use crate::report::locate;

/// Tells what a file holds, or draws the profiles of a run.
pub(super) fn show(run: &Path) -> Result<ExitCode> {
    if heap::is_dump(run) {
        return heap::tell(run);
    }
    if run.extension().is_some_and(|ending| ending == files::FOLDED) {
        return super::tell_stacks(run);
    }
    let beside = results_of(run);
    match locate(beside.as_deref().unwrap_or(run)) {
        Some(results) => redraw(&results),
        None => Ok(ExitCode::Usage),
    }
}

/// The run whose profiles lie in this folder: `<output>/results/<scenario>/<run>` for
/// `<output>/profiles/<scenario>/<run>`.
fn results_of(profiles: &Path) -> Option<PathBuf> {
    let profiles = profiles.canonicalize().ok()?;
    let (leaf, scenario) = (profiles.file_name()?, profiles.parent()?);
    let all = scenario.parent()?;
    (all.file_name()? == "profiles").then_some(())?;
    Some(all.parent()?.join("results").join(scenario.file_name()?).join(leaf))
}

fn redraw(results: &Path) -> Result<ExitCode> {
    let record = read_run(results).context("failed to read the run")?;
    let (mut drawn, mut lost) = (0, 0);
    for event in &record.events {
        let (file, title) = match &event.kind {
            RunEventKind::ProfileTaken { node, kind, file, samples, hz, sampler, .. } => {
                let sampler = sampler.as_deref().unwrap_or("perf");
                (file.clone(), title(node.as_ref(), kind, *samples, *hz, sampler))
            }
            RunEventKind::HeapTaken(heap) => (flame(heap), heap_title(heap)),
            _ => continue,
        };
        let svg = results.join(&file);
        let (Some(folder), Some(name)) = (svg.parent(), svg.file_stem()) else { continue };
        let name = name.to_string_lossy();
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let redrawn = files::read(&folder.join(format!("{name}.{}", files::FOLDED)))
            .and_then(|stacks| files::write(&folder, &name, &stacks, &title));
        match redrawn {
            Ok(path) => {
                drawn += 1;
                println!("drew    {}", path.canonicalize().unwrap_or(path).display());
            }
            Err(error) => {
                lost += 1;
                println!("missing {error}");
            }
        }
    }
    if drawn + lost == 0 {
        println!("this run took no profile; `meshlab run SCENARIO --profile cpu,heap,spans` does");
    }
    Ok(if lost == 0 { ExitCode::Passed } else { ExitCode::Inconclusive })
}

fn title(node: Option<&NodeId>, kind: &str, samples: u64, hz: u32, sampler: &str) -> Title {
    let name = node.map_or("fleet", NodeId::as_str);
    if kind == "spans" {
        return Title {
            title: format!("Spans of {name}"),
            rests_on: format!(
                "{:.3} s between enter and exit, not CPU: a span that blocks counts in full",
                samples as f64 / 1e6
            ),
            unit: "microseconds".to_owned(),
        };
    }
    let used = cpu_time(samples, hz.max(1)).as_secs_f64();
    Title {
        title: format!("CPU of {name}"),
        rests_on: format!(
            "{samples} samples at {hz} Hz by {sampler}: about {used:.1} s of CPU time; what waits \
             is not seen"
        ),
        unit: "samples".to_owned(),
    }
}

fn flame(heap: &HeapSnapshot) -> String {
    format!("{}.svg", heap.file.trim_end_matches(".dhat.json"))
}

fn heap_title(heap: &HeapSnapshot) -> Title {
    Title {
        title: format!("Heap of {}", heap.node),
        rests_on: format!("{} bytes in {} blocks; {}", heap.bytes, heap.blocks, heap.recorder),
        unit: "bytes".to_owned(),
    }
}
