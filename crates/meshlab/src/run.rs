//! `meshlab run`: from a scenario file to a verdict and a report.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write},
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, sync_channel},
    },
    thread,
};

use anyhow::{Context, Result, bail};
use meshlab_engine::{
    Engine, Profiling, Replay, Resume, RunConfig, clock_library, results::RunFolder,
};
use meshlab_model::{BinaryRecord, EndReason, ExitCode, NetworkMode, NoiseLimits, RunEvent};
use meshlab_report::{Closing, Terminal, TerminalStyle, render};
use meshlab_script::{Asks, Console, ErrorKind, Kept, Overrides, RunOutcome, Script, ScriptError};
use meshlab_ui::Live;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::{
    attach, check,
    cli::{Network, ProfileKind, RunArguments},
    programs::{self, NotTaken},
    repeat, repository, resume, signals,
    ui::Page,
    watch,
};

/// Events that the terminal may lag behind; beyond it the terminal misses some, the record none.
const EVENTS_BEHIND_MAX: usize = 8192;

/// Questions to a prompt that wait for the one before them.
const ASKS_MAX: usize = 16;

/// What another run settles that a run of its own works out: programs, schedules, what is done.
#[derive(Default)]
pub(crate) struct Settled {
    pub(crate) binaries: Option<BTreeMap<String, BinaryRecord>>,
    pub(crate) replay: Option<Replay>,
    pub(crate) resume: Option<Resume>,
}

pub(crate) fn run(arguments: &RunArguments) -> Result<ExitCode> {
    if let Some(wrong) = contradiction(arguments) {
        eprintln!("error: {wrong}");
        return Ok(ExitCode::Usage);
    }
    if let Some(run) = &arguments.resume {
        return resume::resume(run, arguments);
    }
    let mut worst = None;
    for scenario in &arguments.scenarios {
        if !wanted(scenario, arguments) {
            continue;
        }
        let code = match arguments.repeat {
            Some(times) => repeat::repeat(scenario, arguments, times)?,
            None => execute(scenario, arguments, Settled::default())?.0,
        };
        worst = Some(worst.map_or(code, |before| worse(before, code)));
        if code == ExitCode::Interrupted {
            break;
        }
    }
    let tag = arguments.tag.as_deref().unwrap_or_default();
    Ok(worst.unwrap_or_else(|| {
        eprintln!("error: none of these scenarios has the tag `{tag}`");
        ExitCode::Usage
    }))
}

/// What options say against each other.
fn contradiction(arguments: &RunArguments) -> Option<String> {
    if arguments.keep && arguments.scenarios.len() > 1 {
        return Some("`--keep` takes one scenario: the next would wait for it to be ended".into());
    }
    if arguments.nodes.is_some() && arguments.set.iter().any(|(name, _)| name == "nodes") {
        return Some("`--nodes` and `--set nodes=...` say the same thing; give one of them".into());
    }
    if arguments.flaky_below >= arguments.flaky_above {
        return Some(
            "`--flaky-below` is less than `--flaky-above`: between them it is open".into(),
        );
    }
    None
}

/// Whether a scenario has the tag that was asked for. One that cannot be loaded is run, to say why.
fn wanted(scenario: &Path, arguments: &RunArguments) -> bool {
    let Some(tag) = &arguments.tag else { return true };
    let Ok(script) = Script::load_with(scenario, overrides(arguments)) else { return true };
    let wanted = script.declaration().tags.contains(tag);
    if !wanted {
        println!("left out {}: it has no tag `{tag}`", scenario.display());
    }
    wanted
}

/// The worse of two exit codes; of two equally bad ones, the first.
pub(crate) fn worse(before: ExitCode, code: ExitCode) -> ExitCode {
    let rank = |code| match code {
        ExitCode::Passed => 0,
        ExitCode::Inconclusive => 1,
        ExitCode::ClaimFailed => 2,
        ExitCode::Usage | ExitCode::ScriptError => 3,
        ExitCode::HarnessFailed => 4,
        ExitCode::Interrupted => 5,
    };
    if rank(code) > rank(before) { code } else { before }
}

fn overrides(arguments: &RunArguments) -> Overrides {
    Overrides {
        duration: arguments.duration,
        time_scale: arguments.time_scale,
        nodes: arguments.nodes,
        params: arguments.set.iter().cloned().collect(),
        binaries: BTreeMap::new(),
    }
}

/// A scenario; what is wrong with it is told.
fn loaded(scenario: &Path, given: Overrides) -> Option<Script> {
    let told = |error: Box<meshlab_script::ScriptError>| {
        eprintln!("{}", error.render(color(&std::io::stderr())));
    };
    Script::load_with(scenario, given).map_err(told).ok()
}

/// Runs a scenario; the folder is absent where the run did not begin.
pub(crate) fn execute(
    scenario: &Path,
    arguments: &RunArguments,
    settled: Settled,
) -> Result<(ExitCode, Option<RunFolder>)> {
    if let Some(nodes) = arguments.nodes
        // One that cannot be loaded is told below.
        && let Ok(script) = Script::load(scenario)
        && let Err(why) = script.takes_nodes()
    {
        eprintln!("error: {}: `--nodes {nodes}` has no place: {why}", scenario.display());
        return Ok((ExitCode::Usage, None));
    }
    // First of all, without a node: a mistake on the last line of four days is told now.
    let rehearsed = check::rehearse(scenario, overrides(arguments));
    check::tell(&rehearsed);
    if !rehearsed.errors.is_empty() {
        return Ok((ExitCode::ScriptError, None));
    }
    let Some(script) = loaded(scenario, overrides(arguments)) else {
        return Ok((ExitCode::ScriptError, None));
    };
    if arguments.network == Network::Lab
        && let Err(why) = meshlab_lab::probe().lab_possible()
    {
        bail!(
            "this host cannot make the network lab: {why}\n`meshlab doctor` says how to allow it; \
             `--network host` runs on loopback, without network faults"
        );
    }
    let heap = arguments.profile.contains(&ProfileKind::Heap);
    let Settled { binaries, replay, resume } = settled;
    // What a rehearsal could not go through may need it.
    let node = rehearsed.needs.node || !rehearsed.warnings.is_empty();
    let given = &arguments.binary;
    let taken = binaries
        .map_or_else(|| programs::take_declared(given, script.declaration(), node, heap), Ok);
    let binaries = match taken {
        Ok(binaries) => binaries,
        Err(NotTaken::Asked(why)) => {
            eprintln!("error: {why}");
            return Ok((ExitCode::Usage, None));
        }
        Err(NotTaken::Unusable(error)) => return Err(error),
    };
    let given = Overrides { binaries: programs::known(&binaries), ..overrides(arguments) };
    let Some(script) = loaded(scenario, given) else {
        return Ok((ExitCode::ScriptError, None));
    };
    let mut watch = watch::open(&arguments.watch, &arguments.output)?;
    let live = watch.page().map(Page::live);
    let (listener, events) = sync_channel(EVENTS_BEHIND_MAX);
    let before = resume.as_ref().map(|resume| resume.events().to_vec()).unwrap_or_default();
    let view = show(events, &script, &before, live);
    let mut config = RunConfig { replay, ..config(arguments, &script, binaries, listener)? };
    let scripts = match &resume {
        None => vec![script],
        Some(resume) => {
            config.timeout = config.timeout.saturating_sub(resume.ran());
            resume::parts(resume, script, overrides(arguments))?
        }
    };
    config.resume = resume;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the harness's runtime")?;
    let folder = {
        let engine = Engine::start(config, runtime.handle().clone()).context("failed to begin")?;
        let folder = engine.folder().clone();
        watch::begin(&engine, &arguments.watch, &mut watch)?;
        runtime.block_on(drive(engine, scripts, watch.page()));
        folder
    };
    // Tasks that were told to end still hold on to the engine until the runtime is gone.
    drop(runtime);
    let rendered = render(&folder.results, &folder.reports);
    let rendered = rendered.context("failed to draw the report")?;
    // The engine is gone and with it the sender, so the view has seen everything.
    let mut terminal = view.join().map_err(|_| anyhow::anyhow!("the terminal view broke"))?;
    watch.finish();
    terminal.finish(&Closing {
        results: folder.results.clone(),
        report: rendered.html.clone(),
        script: scenario.to_owned(),
        seed: rendered.seed,
        verdict: rendered.verdict.clone(),
        exit_code: rendered.exit_code,
    })?;
    Ok((rendered.exit_code, Some(folder)))
}

/// Runs the script on its own thread and ends the run. Of a run that is gone on with there are two,
/// the first of which runs what was interrupted.
async fn drive(engine: Engine, scripts: Vec<Script>, page: Option<&Page>) {
    let signals = tokio::spawn(signals::watch(engine.clone()));
    let (done, finished) = oneshot::channel();
    let (over, script_over) = oneshot::channel::<()>();
    let (asks, mut asked) = mpsc::channel(ASKS_MAX);
    let steered = page.map(|page| tokio::spawn(page.steer(asks.clone())));
    let host = engine.clone();
    let started = thread::Builder::new().name("script".into()).spawn(move || {
        let (outcome, kept) = run_all(scripts, &host, &mut asked);
        // Nobody waits any more only if the process is about to end.
        let _ = done.send((outcome, kept.as_ref().map(Kept::console)));
        if let Some(kept) = kept {
            kept.serve(asked);
        }
        drop(over);
    });
    let reason = match started {
        Ok(_) => match finished.await {
            Ok((outcome, console)) => {
                let mistaken = outcome.errors.iter().any(|e| e.kind() == ErrorKind::Mistake);
                let reason = engine.stopped().filter(|reason| *reason != EndReason::Completed);
                match console {
                    Some(console) => keep(&engine, asks, console).await,
                    None => drop(asks),
                }
                let_go(page, steered).await;
                // It ends by itself, because nobody can ask any more: with an error.
                let _ = script_over.await;
                reason.unwrap_or(if mistaken {
                    EndReason::ScriptError
                } else {
                    EndReason::Completed
                })
            }
            Err(_) => {
                engine.problem(false, "the script's thread broke".to_owned(), None);
                EndReason::HarnessFailed
            }
        },
        Err(error) => {
            engine.problem(false, format!("cannot start the script's thread: {error}"), None);
            EndReason::HarnessFailed
        }
    };
    if let Some(why) = engine.finish(reason).await {
        eprintln!("error: the record is not whole: {why}");
    }
    signals.abort();
}

/// Runs scripts one after the other, and what is asked meanwhile beside them.
fn run_all(
    scripts: Vec<Script>,
    engine: &Engine,
    asks: &mut mpsc::Receiver<Asks>,
) -> (RunOutcome, Option<Kept>) {
    let (mut outcome, mut kept) = (RunOutcome::default(), None);
    let on_error = |error: &ScriptError| {
        let mistake = error.kind() == ErrorKind::Mistake;
        let text = error.render(false);
        let text = text.strip_prefix("error: ").unwrap_or(&text).to_owned();
        engine.problem(mistake, text, error.source_line());
    };
    for script in scripts {
        let (one, stays) = script.run_keeping(Arc::new(engine.clone()), &on_error, asks);
        outcome.errors.extend(one.errors);
        kept = stays;
    }
    (outcome, kept)
}

/// Nobody can act by the page any more; what is being done is cancelled by the end of the rest.
async fn let_go(page: Option<&Page>, steered: Option<JoinHandle<()>>) {
    page.iter().for_each(|page| page.let_go());
    if let Some(steered) = steered {
        steered.abort();
        // It was told to end.
        let _ = steered.await;
    }
}

/// Keeps the mesh for whoever attaches, until somebody ends it.
async fn keep(engine: &Engine, asks: mpsc::Sender<Asks>, console: Console) {
    let socket = attach::Socket::open(&engine.folder().results);
    // Whoever reads that it is kept can attach.
    engine.announce_kept();
    let served = async {
        let served = match socket {
            Ok(socket) => attach::serve(socket, engine.clone(), asks, console).await,
            Err(error) => Err(error),
        };
        if let Err(error) = served {
            eprintln!("nobody can attach to what is kept: {error}; Ctrl-C ends it");
        }
        engine.released().await;
    };
    tokio::select! {
        () = served => {}
        () = engine.released() => {}
    }
}

/// Shows events as they come, until the engine is gone.
fn show(
    events: Receiver<Arc<RunEvent>>,
    script: &Script,
    before: &[RunEvent],
    live: Option<Arc<Live>>,
) -> thread::JoinHandle<Terminal<Box<dyn Write + Send>>> {
    let stdout = std::io::stdout();
    let style = TerminalStyle { tty: stdout.is_terminal(), color: color(&stdout), width: 100 };
    let out: Box<dyn Write + Send> = Box::new(stdout);
    let (source, tests) = (script.source().to_owned(), &script.declaration().tests);
    let mut terminal = Terminal::new(out, style, source, tests);
    terminal.knowing(before);
    thread::spawn(move || {
        let mut shown = true;
        for event in events {
            // Before the terminal, which may be slow.
            live.iter().for_each(|live| live.event(&event));
            // A closed pipe ends the view, not the run: the record and the report are the result.
            shown = shown && terminal.event(&event).is_ok();
        }
        terminal
    })
}

/// Whether to colour what goes to `stream`.
pub(crate) fn color(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

fn config(
    arguments: &RunArguments,
    script: &Script,
    binaries: BTreeMap<String, BinaryRecord>,
    listener: std::sync::mpsc::SyncSender<Arc<RunEvent>>,
) -> Result<RunConfig> {
    let declaration = script.declaration();
    let mut node_env: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (node, name, value) in &arguments.node_env {
        node_env.entry(node.clone()).or_default().insert(name.clone(), value.clone());
    }
    let cpu = arguments.profile.contains(&ProfileKind::Cpu);
    Ok(RunConfig {
        output: arguments.output.clone(),
        scenario: script.name().to_owned(),
        script_path: script.path().display().to_string(),
        script: script.source().to_owned(),
        tests: declaration.tests.clone(),
        arguments: std::env::args().collect(),
        seed: match arguments.seed {
            Some(seed) => seed,
            None => draw_seed()?,
        },
        timeout: declaration.timeout,
        sample_every: declaration.sample_every,
        network: match arguments.network {
            Network::Lab => NetworkMode::Lab,
            Network::Host => NetworkMode::Host,
        },
        binaries,
        node_env,
        duration: arguments.duration,
        time_scale: arguments.time_scale,
        nodes: arguments.nodes,
        keep: arguments.keep,
        params: declaration.params.clone(),
        ceilings: declaration.ceilings.clone(),
        bounds: declaration.bounds.clone(),
        trends: declaration.trends.clone(),
        replay: None,
        resume: None,
        noise: match arguments.ignore_noise {
            true => NoiseLimits::NONE,
            false => NoiseLimits::USUAL,
        },
        clock_library: clock_library(),
        profile: Profiling {
            cpu_hz: cpu.then_some(arguments.profile_hz),
            no_perf: match cpu {
                true => meshlab_profile::is_available().err().map(|why| why.to_string()),
                false => None,
            },
            heap: arguments.profile.contains(&ProfileKind::Heap),
            heap_sample: arguments.heap_sample,
            spans: arguments.profile.contains(&ProfileKind::Spans),
        },
        commit: repository::commit(),
        listener: Some(listener),
    })
}

/// A seed that is short enough to type again.
pub(crate) fn draw_seed() -> Result<u64> {
    let mut bytes = [0_u8; 4];
    // SAFETY: the kernel writes at most `len` bytes to a buffer of that length.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if got != 4 {
        bail!("failed to draw a seed: {}; give one with --seed", std::io::Error::last_os_error());
    }
    Ok(u64::from(u32::from_ne_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_several_runs_counts() {
        use ExitCode::{
            ClaimFailed, HarnessFailed, Inconclusive, Interrupted, Passed, ScriptError,
        };
        let order = [Passed, Inconclusive, ClaimFailed, ScriptError, HarnessFailed, Interrupted];
        for (place, code) in order.into_iter().enumerate() {
            for before in &order[..place] {
                assert_eq!((worse(*before, code), worse(code, *before)), (code, code));
            }
        }
    }
}
