//! What every function of the language shares: the scenario's text, the host, the watchdog.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use meshlab_engine::{Host, HostError};
use meshlab_model::{DeclaredTest, SourceLine};
use mlua::{Function, Lua, Value};

use crate::{
    declaration::Overrides,
    error::{ErrorKind, ScriptError, kind_of},
    locate::{self, Token},
    task::Tasks,
};

/// Lua that runs this long without calling the harness is taken for an endless loop. Scenarios
/// wait in calls; a second of pure computing is a thousand times what they need.
pub(crate) const ALONE_MAX: Duration = Duration::from_secs(1);

pub(crate) struct Context {
    /// The file as it was given.
    pub(crate) file: String,
    /// Its text.
    pub(crate) source: String,
    tokens: Vec<Token>,
    /// What the command line puts in the place of what the file declares.
    pub(crate) overrides: Overrides,
    pub(crate) declared: Mutex<Declared>,
    host: OnceLock<Arc<dyn Host>>,
    in_test: AtomicBool,
    /// What runs beside each other in the test that is going on.
    pub(crate) tasks: Tasks,
    last_line: AtomicU32,
    last_call: Mutex<Instant>,
}

/// What the top level of a file declared.
#[derive(Default)]
pub(crate) struct Declared {
    pub(crate) options: Option<crate::Declaration>,
    pub(crate) tests: Vec<(DeclaredTest, Function)>,
}

impl Context {
    pub(crate) fn new(file: String, source: String, overrides: Overrides) -> Self {
        let tokens = locate::tokens(&source);
        Self {
            file,
            source,
            tokens,
            overrides,
            declared: Mutex::default(),
            host: OnceLock::new(),
            in_test: AtomicBool::new(false),
            tasks: Tasks::default(),
            last_line: AtomicU32::new(0),
            last_call: Mutex::new(Instant::now()),
        }
    }

    pub(crate) fn lock_declared(&self) -> MutexGuard<'_, Declared> {
        self.declared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_host(&self, host: Arc<dyn Host>) {
        // A script is run once; a second host would be a defect of the caller, and is ignored.
        let _ = self.host.set(host);
    }

    pub(crate) fn host(&self) -> Option<&Arc<dyn Host>> {
        self.host.get()
    }

    pub(crate) fn set_in_test(&self, in_test: bool) {
        self.in_test.store(in_test, Ordering::SeqCst);
        self.touch();
    }

    pub(crate) fn in_test(&self) -> bool {
        self.in_test.load(Ordering::SeqCst)
    }

    /// The script has called the harness, or was called by it: the watchdog starts anew.
    pub(crate) fn touch(&self) {
        *self.last_call.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// The line of the last call, for what a call has no place of its own for.
    pub(crate) fn last_line(&self) -> u32 {
        self.last_line.load(Ordering::Relaxed)
    }

    pub(crate) fn set_last_line(&self, line: u32) {
        self.last_line.store(line, Ordering::Relaxed);
    }

    pub(crate) fn alone_for(&self) -> Duration {
        self.last_call.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Lua's name for the file's code.
    pub(crate) fn chunk_name(&self) -> String {
        format!("@{}", self.file)
    }

    /// The line of the file that is being executed: the innermost frame of this file, past the
    /// frames of native functions and of mlua's own helpers.
    pub(crate) fn caller_line(&self, lua: &Lua) -> u32 {
        let chunk = self.chunk_name();
        for level in 0..64 {
            let line = lua.inspect_stack(level, |frame| {
                let ours = frame.source().source.is_some_and(|source| source == chunk.as_str());
                ours.then(|| frame.current_line()).flatten()
            });
            match line {
                None => break,
                Some(Some(line)) => return u32::try_from(line).unwrap_or(0),
                Some(None) => {}
            }
        }
        0
    }

    /// Whether the instruction that is being executed is one of the file.
    pub(crate) fn runs_now(&self, lua: &Lua) -> bool {
        let chunk = self.chunk_name();
        let ours = |frame: &mlua::debug::Debug<'_>| {
            frame.source().source.is_some_and(|source| source == chunk.as_str())
        };
        lua.inspect_stack(0, ours).unwrap_or(false)
    }

    /// A length of time of the plan. Text is scaled; a value that meshlab gave was measured, or was
    /// scaled when it was given.
    pub(crate) fn planned(&self, given: &Value, length: Duration) -> Duration {
        match self.overrides.time_scale {
            Some(scale) if given.is_string() => {
                Duration::try_from_secs_f64(length.as_secs_f64() * scale).unwrap_or(Duration::MAX)
            }
            _ => length,
        }
    }

    /// Where a call stands.
    pub(crate) fn source_line(&self, call: &str, line: u32) -> SourceLine {
        let column = locate::call(&self.tokens, call, line).map_or(0, |token| token.column);
        SourceLine { file: self.file.clone(), line, column }
    }

    /// A mistake in a call, underlined at the call's name.
    pub(crate) fn mistake(&self, call: &str, line: u32, message: String) -> ScriptError {
        self.at_token(locate::call(&self.tokens, call, line), line, message)
    }

    /// A mistake in an option of a call, underlined at its key, or at its value.
    pub(crate) fn option_mistake(
        &self,
        call: &str,
        line: u32,
        key: &str,
        at_value: bool,
        message: String,
    ) -> ScriptError {
        match locate::option(&self.tokens, call, line, key) {
            Some((_, Some(value))) if at_value => self.at_token(Some(value), line, message),
            Some((key, _)) => self.at_token(Some(key), line, message),
            None => self.mistake(call, line, message),
        }
    }

    /// A mistake at the first `word` of a line.
    pub(crate) fn word_mistake(&self, word: &str, line: u32, message: String) -> ScriptError {
        let token = self
            .tokens
            .iter()
            .find(|token| {
                let first = token.text.split('.').next();
                token.line == line && (token.text == word || first == Some(word))
            })
            .or_else(|| locate::call(&self.tokens, word, line));
        self.at_token(token, line, message)
    }

    fn at_token(&self, token: Option<&Token>, line: u32, message: String) -> ScriptError {
        let line = token.map_or(line, |token| token.line);
        ScriptError {
            kind: ErrorKind::Mistake,
            message,
            file: self.file.clone(),
            line,
            column: token.map_or(0, |token| token.column),
            length: token.map_or(0, Token::length),
            text: self.line_text(line),
            label: None,
            help: None,
            of_lua: false,
        }
    }

    fn line_text(&self, line: u32) -> String {
        let place = (line as usize).saturating_sub(1);
        self.source.lines().nth(place).unwrap_or_default().to_owned()
    }

    /// What the engine answered, as an error at the call.
    pub(crate) fn host_error(&self, call: &str, line: u32, error: &HostError) -> ScriptError {
        ScriptError { kind: kind_of(error), ..self.mistake(call, line, error.to_string()) }
    }
}
