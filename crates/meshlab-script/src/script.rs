//! A scenario: loaded once, run once.

use std::{
    collections::BTreeMap,
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use meshlab_engine::Host;
use meshlab_model::{RunTime, TestId, TestOutcome};
use meshlab_mutants::{Mutant, on};
use mlua::{Error, Function, Lua, Table};
use tokio::sync::mpsc;

use crate::{
    api,
    console::{Asks, At, Kept, Prompt, refusing},
    context::Context,
    declaration::{Declaration, Overrides, Program},
    error::{ErrorKind, ScriptError},
    library,
    locate::Line,
    sandbox,
    task::{Place, Task},
    unwind::unwind,
};

/// A scenario longer than this is not one.
const SOURCE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A loaded scenario.
pub struct Script {
    path: PathBuf,
    name: String,
    pub(crate) context: Arc<Context>,
    declaration: Declaration,
    pub(crate) bodies: Vec<Function>,
    pub(crate) lua: Lua,
    pub(crate) names: Names,
    /// Which of its tests are run, by their places.
    wanted: Range<u32>,
}

/// The names that a scenario's code can use.
pub(crate) struct Names {
    /// Those of the language.
    pub(crate) globals: Table,
    /// What code runs in: the same, read-only, and a name that is not there is an error.
    pub(crate) environment: Table,
}

/// How a script ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunOutcome {
    /// What went wrong in it, in order; failed claims are not among them.
    pub errors: Vec<ScriptError>,
    /// Why it was stopped before its end, if it was.
    pub stopped: Option<String>,
}

impl Script {
    /// Reads a file, parses it and runs its top level, which only declares.
    ///
    /// # Errors
    /// The file cannot be read, does not parse, or misuses the language at its top level.
    pub fn load(path: &Path) -> Result<Self, Box<ScriptError>> {
        Self::load_with(path, Overrides::default())
    }

    /// The same, with some of what the file declares replaced.
    ///
    /// # Errors
    /// As [`Script::load`]; also where there is nothing to replace.
    pub fn load_with(path: &Path, overrides: Overrides) -> Result<Self, Box<ScriptError>> {
        let source = read(path)?;
        let file = path.display().to_string();
        let name = path.file_stem().map_or("scenario".into(), |stem| stem.to_string_lossy());
        let context = Arc::new(Context::new(file, source, overrides));
        let (lua, names) = declare(&context).map_err(|error| Box::new(unwind(&context, &error)))?;
        let mut declared = std::mem::take(&mut *context.lock_declared());
        let mut declaration = declared.options.take().unwrap_or_default();
        declaration.programs = std::mem::take(&mut declared.programs);
        declaration.installs = std::mem::take(&mut declared.installs);
        let (tests, bodies) = declared.tests.into_iter().unzip();
        declaration.tests = tests;
        let name = name.into_owned();
        if let Some(set) = context.overrides.params.keys().next()
            && declaration.params.is_empty()
        {
            let message = format!("this scenario declares no `params`, so `{set}` cannot be set");
            return Err(Box::new(context.mistake("scenario", Line::default(), message)));
        }
        if let Some(nodes) = context.overrides.nodes
            && !declaration.params.contains_key(api::NODES_PARAM)
        {
            // It was not set before.
            let _ = context.plain_nodes.set(nodes);
        }
        let (path, wanted) = (path.to_owned(), 0..u32::MAX);
        Ok(Self { path, name, context, declaration, bodies, lua, names, wanted })
    }

    /// The same, of whose tests only those at these places are run, from 0: the others have been.
    #[must_use]
    pub fn only(self, wanted: Range<u32>) -> Self {
        Self { wanted, ..self }
    }

    /// The programs that it was given.
    pub fn programs(&self) -> BTreeMap<String, Program> {
        self.context.overrides.binaries.clone()
    }

    /// What it declared.
    pub fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    /// Its name: the file's name without its extension.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its text.
    pub fn source(&self) -> &str {
        &self.context.source
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs the tests in order and blocks until they are done; to be called on a thread of its
    /// own, because a script may compute. `on_error` hears of each error before its test ends.
    pub fn run(self, host: Arc<dyn Host>, on_error: &dyn Fn(&ScriptError)) -> RunOutcome {
        let (_, mut nobody) = mpsc::channel(1);
        self.run_keeping(host, on_error, &mut nobody).0
    }

    /// The same. What is asked while a test runs is done beside it; where the host keeps the mesh
    /// of the last test, it can be gone on with by hand.
    pub fn run_keeping(
        self,
        host: Arc<dyn Host>,
        on_error: &dyn Fn(&ScriptError),
        asks: &mut mpsc::Receiver<Asks>,
    ) -> (RunOutcome, Option<Kept>) {
        let mut outcome = RunOutcome::default();
        let mut broken = |what: &str, error: &dyn std::error::Error| {
            let message = format!("failed to start the script's {what}: {error}");
            let mut error = self.context.mistake("", Line::default(), message);
            error.kind = ErrorKind::Harness;
            on_error(&error);
            outcome.errors.push(error);
        };
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                broken("runtime", &error);
                return (outcome, None);
            }
        };
        let mut prompt = match Prompt::new(&self) {
            Ok(prompt) => prompt,
            Err(error) => {
                broken("prompt", &error);
                return (outcome, None);
            }
        };
        self.context.set_host(Arc::clone(&host));
        let ran = self.run_tests(&host, on_error, &mut outcome, (&mut prompt, asks));
        let kept = runtime.block_on(ran);
        let kept = kept.map(|since| Kept::new(self, runtime, host, since, prompt));
        (outcome, kept)
    }

    /// Runs the tests; when the one began whose mesh is kept, if one is.
    async fn run_tests(
        &self,
        host: &Arc<dyn Host>,
        on_error: &dyn Fn(&ScriptError),
        outcome: &mut RunOutcome,
        (prompt, asks): (&mut Prompt, &mut mpsc::Receiver<Asks>),
    ) -> Option<RunTime> {
        let root = Task::root();
        for ((number, test), body) in (0..).zip(&self.declaration.tests).zip(&self.bodies) {
            if let Some(why) = host.cancelled() {
                outcome.stopped = Some(why);
                return None;
            }
            if !self.wanted.contains(&number) {
                continue;
            }
            let id = TestId(number);
            let declared = Line::of_scenario(test.source.line);
            let begins = host.begin_test(id, &test.title, test.source.clone());
            let began = refusing(asks, begins).await;
            self.context.set_in_test(true);
            let since = host.now();
            let wrong = match began {
                Ok(()) => {
                    let (task, at) = (Arc::clone(&root), At { script: self, host, since });
                    let body = Self::body(body, Place { task, since });
                    let result = prompt.beside(&at, asks, body).await;
                    self.left_by(result).await
                }
                Err(error) => vec![self.context.host_error("test", declared, &error)],
            };
            let how = ended(wrong, on_error, outcome);
            self.context.set_in_test(false);
            if let Err(error) = refusing(asks, host.end_test(id, how)).await {
                outcome.errors.push(self.context.host_error("test", declared, &error));
            }
            if host.kept() {
                return Some(since);
            }
        }
        outcome.stopped = host.cancelled();
        None
    }

    /// Runs the body of a test and ends what it leaves running. What went wrong, the cause first.
    pub(crate) async fn run_body(&self, body: &Function, place: Place) -> Vec<ScriptError> {
        let result = Self::body(body, place).await;
        self.left_by(result).await
    }

    async fn body(body: &Function, place: Place) -> Result<(), Error> {
        place.run(body.call_async::<()>(())).await
    }

    /// Ends what the body of a test left running. What went wrong, the cause first.
    async fn left_by(&self, result: Result<(), Error>) -> Vec<ScriptError> {
        let mut wrong: Vec<_> =
            result.err().map(|error| unwind(&self.context, &error)).into_iter().collect();
        let (running, untold) = self.context.tasks.finish().await;
        wrong.extend(untold.into_iter().map(|error| *error));
        // A test that failed could not wait for its tasks any more.
        if wrong.is_empty() && !on(Mutant::TasksForgotten) {
            wrong.extend(running.iter().map(|task| self.still_running(task)));
        }
        wrong
    }

    fn still_running(&self, task: &Task) -> ScriptError {
        let message = "this task was still running when its test ended".to_owned();
        let mut error = self.context.mistake("spawn", task.line, message);
        error.label = Some("started here".to_owned());
        error.help = Some("`task:join()` waits for it, `task:cancel()` ends it".to_owned());
        error
    }
}

/// How a test ended, from what went wrong in it; what somebody has to do something about is told.
fn ended(
    wrong: Vec<ScriptError>,
    on_error: &dyn Fn(&ScriptError),
    outcome: &mut RunOutcome,
) -> TestOutcome {
    let mut how = TestOutcome::Completed;
    for error in wrong {
        match error.kind {
            ErrorKind::Mistake | ErrorKind::Node | ErrorKind::Harness => {
                on_error(&error);
                outcome.errors.push(error);
                how = TestOutcome::Errored;
            }
            ErrorKind::ClaimFailed if how == TestOutcome::Completed => how = TestOutcome::Stopped,
            ErrorKind::Cancelled if how == TestOutcome::Completed => {
                how = TestOutcome::Cancelled { why: error.message };
            }
            ErrorKind::ClaimFailed | ErrorKind::Cancelled | ErrorKind::Withdrawn => {}
        }
    }
    how
}

fn read(path: &Path) -> Result<String, Box<ScriptError>> {
    let file = path.display().to_string();
    let unreadable = |message: String, help: &str| {
        let nothing = Context::new(file.clone(), String::new(), Overrides::default());
        let mut error = nothing.mistake("", Line::default(), message);
        error.help = Some(help.to_owned());
        Box::new(error)
    };
    let meta = fs::metadata(path).map_err(|error| {
        unreadable(
            format!("cannot read the scenario: {error}"),
            "scenarios/ holds some to start from",
        )
    })?;
    if !meta.is_file() || meta.len() > SOURCE_BYTES_MAX {
        let help = "a scenario is a Lua file of at most 4 MiB";
        return Err(unreadable("this is no scenario".to_owned(), help));
    }
    let bytes = fs::read(path).map_err(|error| {
        unreadable(format!("cannot read the scenario: {error}"), "check its rights")
    })?;
    String::from_utf8(bytes).map_err(|_| {
        unreadable("the scenario is not text in UTF-8".to_owned(), "bytecode is never loaded")
    })
}

fn declare(context: &Arc<Context>) -> Result<(Lua, Names), Error> {
    let (lua, globals) = sandbox::new(context)?;
    api::install(&lua, context, &globals)?;
    let environment = library::install(&lua, context, globals.clone())?;
    context.touch();
    lua.load(&context.source)
        .set_name(Context::chunk_name(&context.file))
        .set_mode(mlua::chunk::ChunkMode::Text)
        .set_environment(environment.clone())
        .exec()?;
    Ok((lua, Names { globals, environment }))
}
