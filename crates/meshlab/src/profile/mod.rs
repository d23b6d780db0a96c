//! `meshlab profile`: where a process used its CPU time, and what became of it; `heap.rs` has the
//! memory, `redraw.rs` the profiles of a run, `changes.rs` what became of them.

mod changes;
mod heap;
mod redraw;

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use meshlab_model::{ExitCode, format_duration};
use meshlab_profile::{Folded, Title, collapse, cpu_time, difference, files, record};

pub(crate) use self::changes::{Changes, draw as draw_changes};
use crate::cli::{AttachArguments, DiffArguments, ProfileArguments, Profiled};

/// Frames that are told in the terminal.
const HOTTEST: usize = 10;
/// How often it is looked whether the process still runs.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(crate) fn profile(arguments: &ProfileArguments) -> Result<ExitCode> {
    match (&arguments.what, &arguments.run) {
        (Some(Profiled::Attach(arguments)), _) => attach(arguments),
        (Some(Profiled::Diff(arguments)), _) => diff(arguments),
        (None, Some(run)) => redraw::show(run),
        (None, None) => Ok(ExitCode::Usage),
    }
}

/// Tells what became of one profile in another, of whichever kind both are.
fn diff(arguments: &DiffArguments) -> Result<ExitCode> {
    let output = &arguments.output;
    if let Some(run) = &arguments.first_last {
        return changes::first_last(run, output);
    }
    let (Some(before), Some(after)) = (&arguments.before, &arguments.after) else {
        return Ok(ExitCode::Usage);
    };
    match (heap::is_dump(before), heap::is_dump(after)) {
        (true, true) => heap::diff(before, after, output),
        (false, false) => diff_stacks(before, after, output),
        (first, _) => {
            let (heap, other) = if first { (before, after) } else { (after, before) };
            eprintln!(
                "error: {} is a heap profile, and {} is not: give two of one kind, .dhat.json or \
                 .folded",
                heap.display(),
                other.display()
            );
            Ok(ExitCode::Usage)
        }
    }
}

/// Tells what folded stacks hold.
fn tell_stacks(path: &Path) -> Result<ExitCode> {
    let stacks = files::read(path).context("failed to read folded stacks")?;
    println!("{} samples in {} stacks", stacks.samples(), stacks.stacks().count());
    tell_hottest(&stacks);
    Ok(if stacks.is_empty() { ExitCode::Inconclusive } else { ExitCode::Passed })
}

fn attach(arguments: &AttachArguments) -> Result<ExitCode> {
    let (pid, hz) = (arguments.pid, arguments.hz);
    let Ok(name) = fs::read_to_string(format!("/proc/{pid}/comm")) else {
        eprintln!("error: there is no process {pid}");
        return Ok(ExitCode::Usage);
    };
    let name = name.trim();
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let folder = arguments.output.join(format!("profiles/pid-{pid}/{now}"));
    fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
    let data = folder.join("perf.data");
    println!("profiling {name} (pid {pid}) for {}", format_duration(arguments.length));
    let mut recording = record(&[pid], hz, &data)?;
    let began = Instant::now();
    while began.elapsed() < arguments.length && !recording.has_ended() {
        thread::sleep(LOOK_EVERY.min(arguments.length.saturating_sub(began.elapsed())));
    }
    let took = began.elapsed();
    let stacks = recording.stop().and_then(|data| collapse(&data));
    // Raw samples are large, and everything that is shown comes from the stacks.
    let _ = fs::remove_file(&data);
    let stacks = stacks?;
    if stacks.is_empty() {
        println!(
            "no sample: it used no CPU time for {}; waiting is not seen",
            format_duration(took)
        );
        return Ok(ExitCode::Inconclusive);
    }
    let title = Title {
        title: format!("{name} (pid {pid})"),
        rests_on: format!(
            "{} samples at {hz} Hz over {}: about {} of CPU time",
            stacks.samples(),
            format_duration(took),
            format_duration(cpu_time(stacks.samples(), hz))
        ),
        unit: "samples".to_owned(),
    };
    let svg = files::write(&folder, "cpu", &stacks, &title)?;
    println!("{}", title.rests_on);
    tell_hottest(&stacks);
    println!("flamegraph  {}", svg.display());
    println!("stacks      {}", folder.join("cpu.folded").display());
    println!("speedscope  {}", folder.join("cpu.speedscope.json").display());
    Ok(ExitCode::Passed)
}

fn tell_hottest(stacks: &Folded) {
    // Of nothing, nothing is told.
    let all = stacks.samples().max(1) as f64 / 100.0;
    println!("\n   self  total  frame");
    for share in stacks.hottest(HOTTEST) {
        let (own, total) = (share.own as f64 / all, share.total as f64 / all);
        println!("{own:6.1}% {total:5.1}%  {}", share.frame);
    }
    println!();
}

fn diff_stacks(before_path: &Path, after_path: &Path, output: &Path) -> Result<ExitCode> {
    let read = |path: &Path| files::read(path).context("failed to read folded stacks");
    let (before, after) = (read(before_path)?, read(after_path)?);
    let title = Title {
        title: format!("{} against {}", after_path.display(), before_path.display()),
        rests_on: format!(
            "{} samples against {}, scaled to the same total; red takes more, blue less",
            after.samples(),
            before.samples()
        ),
        unit: "samples".to_owned(),
    };
    let svg = difference(&before, &after, &title)?;
    fs::write(output, svg).with_context(|| format!("failed to write {}", output.display()))?;
    println!("{}", title.rests_on);
    println!("difference  {}", output.display());
    Ok(ExitCode::Passed)
}
