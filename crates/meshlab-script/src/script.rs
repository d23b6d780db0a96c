//! A scenario: loaded once, run once.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use meshlab_engine::Host;
use meshlab_model::{DeclaredTest, TestId, TestOutcome};
use mlua::{Error, Function, Lua};

use crate::{
    api,
    context::Context,
    error::{ErrorKind, ScriptError},
    sandbox,
};

/// A scenario longer than this is not one.
const SOURCE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What the top level of a file declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// What the scenario is about.
    pub description: Option<String>,
    /// Hard stop for the whole file; 10 minutes over its duration unless it says otherwise.
    pub timeout: Duration,
    /// Time between two samples; 1 s unless it says otherwise.
    pub sample_every: Duration,
    /// Words to choose scenarios by.
    pub tags: Vec<String>,
    /// Its tests, in order.
    pub tests: Vec<DeclaredTest>,
}

impl Default for Declaration {
    fn default() -> Self {
        Self {
            description: None,
            timeout: Duration::from_secs(600),
            sample_every: Duration::from_secs(1),
            tags: Vec::new(),
            tests: Vec::new(),
        }
    }
}

/// A loaded scenario.
pub struct Script {
    path: PathBuf,
    name: String,
    context: Arc<Context>,
    declaration: Declaration,
    bodies: Vec<Function>,
    _lua: Lua,
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
        let source = read(path)?;
        let file = path.display().to_string();
        let name = path.file_stem().map_or("scenario".into(), |stem| stem.to_string_lossy());
        let context = Arc::new(Context::new(file, source));
        let lua = declare(&context).map_err(|error| Box::new(unwind(&context, &error)))?;
        let mut declared = std::mem::take(&mut *context.lock_declared());
        let mut declaration = declared.options.take().unwrap_or_default();
        let (tests, bodies) = declared.tests.into_iter().unzip();
        declaration.tests = tests;
        let name = name.into_owned();
        Ok(Self { path: path.to_owned(), name, context, declaration, bodies, _lua: lua })
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
        let mut outcome = RunOutcome::default();
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                let message = format!("failed to start the script's runtime: {error}");
                let mut error = self.context.mistake("", 0, message);
                error.kind = ErrorKind::Harness;
                on_error(&error);
                outcome.errors.push(error);
                return outcome;
            }
        };
        self.context.set_host(Arc::clone(&host));
        runtime.block_on(self.run_tests(&host, on_error, &mut outcome));
        outcome
    }

    async fn run_tests(
        &self,
        host: &Arc<dyn Host>,
        on_error: &dyn Fn(&ScriptError),
        outcome: &mut RunOutcome,
    ) {
        for ((number, test), body) in (0..).zip(&self.declaration.tests).zip(&self.bodies) {
            if let Some(why) = host.cancelled() {
                outcome.stopped = Some(why);
                return;
            }
            let id = TestId(number);
            let began = host.begin_test(id, &test.title, test.source.clone()).await;
            self.context.set_in_test(true);
            let result = match began {
                Ok(()) => {
                    body.call_async::<()>(()).await.map_err(|error| unwind(&self.context, &error))
                }
                Err(error) => Err(self.context.host_error("test", test.source.line, &error)),
            };
            let how = match result {
                Ok(()) => TestOutcome::Completed,
                Err(error) => match error.kind {
                    ErrorKind::ClaimFailed => TestOutcome::Stopped,
                    ErrorKind::Cancelled => TestOutcome::Cancelled { why: error.message },
                    ErrorKind::Mistake | ErrorKind::Node | ErrorKind::Harness => {
                        on_error(&error);
                        outcome.errors.push(error);
                        TestOutcome::Errored
                    }
                },
            };
            self.context.set_in_test(false);
            if let Err(error) = host.end_test(id, how).await {
                outcome.errors.push(self.context.host_error("test", test.source.line, &error));
            }
        }
        outcome.stopped = host.cancelled();
    }
}

fn read(path: &Path) -> Result<String, Box<ScriptError>> {
    let file = path.display().to_string();
    let unreadable = |message: String, help: &str| {
        let mut error = Context::new(file.clone(), String::new()).mistake("", 0, message);
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

fn declare(context: &Arc<Context>) -> Result<Lua, Error> {
    let (lua, globals) = sandbox::new(context)?;
    api::install(&lua, context, &globals)?;
    let environment = sandbox::environment(&lua, context, globals)?;
    context.touch();
    lua.load(&context.source)
        .set_name(context.chunk_name())
        .set_mode(mlua::chunk::ChunkMode::Text)
        .set_environment(environment)
        .exec()?;
    Ok(lua)
}

/// Finds our own error in what Lua threw, through all that wraps it; anything else is a mistake
/// of the script at the line that Lua names.
pub(crate) fn unwind(context: &Context, error: &Error) -> ScriptError {
    match error {
        Error::CallbackError { cause, .. } | Error::WithContext { cause, .. } => {
            unwind(context, cause)
        }
        Error::ExternalError(inner) => match inner.downcast_ref::<ScriptError>() {
            Some(ours) => ours.clone(),
            None => from_text(context, &inner.to_string(), None),
        },
        Error::SyntaxError { message, .. } => syntax(context, message),
        Error::MemoryError(_) => {
            let help = "a scenario holds names and numbers; what it waits for is in the harness";
            from_text(context, "the script used more than 256 MiB", Some(help))
        }
        Error::RuntimeError(message) => from_text(context, message, None),
        other => from_text(context, &other.to_string(), None),
    }
}

/// Splits Lua's `file:line: message`; a long file name is cut by Lua, so the line is found by its
/// form.
fn from_text(context: &Context, text: &str, help: Option<&str>) -> ScriptError {
    let first = text.lines().next().unwrap_or_default();
    let (line, message) = split_line(first).unwrap_or((0, first));
    let quoted = message.split(['\'', '`']).nth(1).unwrap_or_default();
    let mut error = context.word_mistake(quoted, line, message.to_owned());
    error.help = help.map(str::to_owned);
    error
}

fn split_line(text: &str) -> Option<(u32, &str)> {
    let mut from = 0;
    while let Some(at) = text[from..].find(':').map(|at| from + at + 1) {
        let digits = text[at..].find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
        if digits > 0 && text[at + digits..].starts_with(": ") {
            return Some((text[at..at + digits].parse().ok()?, &text[at + digits + 2..]));
        }
        from = at;
    }
    None
}

const KEYWORDS: &[&str] = &[
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in",
    "local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while",
];

fn syntax(context: &Context, message: &str) -> ScriptError {
    let mut error = from_text(context, message, None);
    let Some(near) = error.message.split("near '").nth(1).and_then(|rest| rest.strip_suffix('\''))
    else {
        if error.message.contains("near <eof>") {
            error.help =
                Some("the file ends too early: an `end` or a bracket is missing".to_owned());
        }
        return error;
    };
    let near = near.to_owned();
    let place = context.word_mistake(&near, error.line, String::new());
    (error.column, error.length) = (place.column, place.length);
    let closing = error.message.contains("'}' expected");
    let symbol = error.message.contains("unexpected symbol");
    error.help = if (closing || symbol) && KEYWORDS.contains(&near.as_str()) {
        Some(format!("`{near}` is a word of Lua itself and cannot be an option's name"))
    } else if closing {
        Some(format!("is a comma missing before `{near}`?"))
    } else {
        None
    };
    error
}
