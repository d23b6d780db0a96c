//! What every function of the language shares: the scenario's text, the host, the watchdog.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use meshlab_engine::{Host, HostError};
use meshlab_model::{DeclaredTest, SourceLine};
use mlua::{Function, Lua, Value};

use crate::{
    declaration::Overrides,
    error::{ErrorKind, ScriptError, kind_of},
    guard,
    locate::{self, Line, Token},
    task::Tasks,
};

/// Lua that runs this long without calling the harness is taken for an endless loop, if it did some
/// work meanwhile: on a host where a thread gets no processor for a second, time alone says nothing
/// of a scenario. Scenarios wait in calls; a second of pure computing is a thousand times what they
/// need.
const ALONE_MAX: Duration = Duration::from_secs(1);
/// That work, in looks of the watchdog: 10,000 instructions, or fewer with calls of functions in C.
const LOOKS_MIN: u64 = 50;
/// However little work it did: a few instructions that each take long are an endless loop too.
const ALONE_IDLE_MAX: Duration = Duration::from_secs(10);

pub(crate) struct Context {
    /// The file as it was given.
    pub(crate) file: String,
    /// Its text.
    pub(crate) source: String,
    /// The scenario and the libraries that it loaded.
    files: RwLock<Vec<Arc<SourceFile>>>,
    /// What the command line puts in the place of what the file declares.
    pub(crate) overrides: Overrides,
    pub(crate) declared: Mutex<Declared>,
    /// How many nodes the command line wants in the place of the one plain number of `mesh`.
    pub(crate) plain_nodes: OnceLock<u32>,
    /// The entries of the read-only tables of the language, for who completes words.
    pub(crate) modules: Mutex<BTreeMap<&'static str, Vec<String>>>,
    host: OnceLock<Arc<dyn Host>>,
    in_test: AtomicBool,
    /// What runs beside each other in the test that is going on.
    pub(crate) tasks: Tasks,
    /// The file's number and the line's, in the upper and the lower half.
    last_line: AtomicU64,
    created: Instant,
    /// Nanoseconds from there to the last call.
    last_call: AtomicU64,
    /// Looks of the watchdog since then.
    looks: AtomicU64,
    /// The functions that were bound and the options that were asked for: tests hold them against
    /// the definitions.
    #[cfg(test)]
    pub(crate) used: Mutex<std::collections::BTreeSet<String>>,
}

/// A file that runs.
struct SourceFile {
    name: String,
    text: String,
    tokens: Vec<Token>,
}

impl SourceFile {
    fn new(name: String, text: String) -> Arc<Self> {
        let tokens = locate::tokens(&text);
        Arc::new(Self { name, text, tokens })
    }
}

/// What the top level of a file declared.
#[derive(Default)]
pub(crate) struct Declared {
    pub(crate) options: Option<crate::Declaration>,
    pub(crate) tests: Vec<(DeclaredTest, Function)>,
    /// Programs of kinds, by the kind's name.
    pub(crate) programs: BTreeMap<String, String>,
    /// How to get them, where that is said.
    pub(crate) installs: BTreeMap<String, String>,
}

impl Context {
    pub(crate) fn new(file: String, source: String, overrides: Overrides) -> Self {
        let scenario = SourceFile::new(file.clone(), source.clone());
        Self {
            file,
            source,
            files: RwLock::new(vec![scenario]),
            overrides,
            declared: Mutex::default(),
            plain_nodes: OnceLock::new(),
            modules: Mutex::default(),
            host: OnceLock::new(),
            in_test: AtomicBool::new(false),
            tasks: Tasks::default(),
            last_line: AtomicU64::new(0),
            created: Instant::now(),
            last_call: AtomicU64::new(0),
            looks: AtomicU64::new(0),
            #[cfg(test)]
            used: Mutex::default(),
        }
    }

    pub(crate) fn lock_declared(&self) -> MutexGuard<'_, Declared> {
        self.declared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A function of that name is bound.
    pub(crate) fn bind(&self, name: &'static str) {
        #[cfg(test)]
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        #[cfg(not(test))]
        let _ = name;
    }

    /// An option of that class is asked for, whether it was given or not.
    pub(crate) fn reads(&self, class: &'static str, key: &str) {
        #[cfg(test)]
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(format!("{class}.{key}"));
        #[cfg(not(test))]
        let _ = (class, key);
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
        self.last_call.store(self.nanos(), Ordering::Relaxed);
        self.looks.store(0, Ordering::Relaxed);
    }

    /// The line of the last call, for what a call has no place of its own for.
    pub(crate) fn last_line(&self) -> Line {
        let both = self.last_line.load(Ordering::Relaxed);
        Line { file: (both >> 32) as usize, number: (both & u64::from(u32::MAX)) as u32 }
    }

    pub(crate) fn set_last_line(&self, line: Line) {
        let both = (line.file as u64) << 32 | u64::from(line.number);
        self.last_line.store(both, Ordering::Relaxed);
    }

    /// The watchdog looks: the script has done some work since the last time.
    pub(crate) fn looked(&self) {
        self.looks.fetch_add(1, Ordering::Relaxed);
    }

    /// How long the script has run by itself, where that is too long.
    pub(crate) fn endless_for(&self) -> Option<Duration> {
        let last = self.last_call.load(Ordering::Relaxed);
        let alone = Duration::from_nanos(self.nanos().saturating_sub(last));
        is_endless(alone, self.looks.load(Ordering::Relaxed)).then_some(alone)
    }

    fn nanos(&self) -> u64 {
        u64::try_from(self.created.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// A library is about to run.
    pub(crate) fn add_file(&self, name: String, text: String) {
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        files.push(SourceFile::new(name, text));
    }

    /// What a read-only table of the language has.
    pub(crate) fn add_module(&self, name: &'static str, entries: &[&str]) {
        let entries = entries.iter().map(|entry| (*entry).to_owned()).collect();
        self.modules().insert(name, entries);
    }

    pub(crate) fn modules(&self) -> MutexGuard<'_, BTreeMap<&'static str, Vec<String>>> {
        self.modules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the text of a file, which keeps its name: errors in it are shown without the line.
    pub(crate) fn forget_text(&self, name: &str) {
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.iter_mut().find(|file| file.name == name) {
            *file = SourceFile::new(file.name.clone(), String::new());
        }
    }

    fn files(&self) -> RwLockReadGuard<'_, Vec<Arc<SourceFile>>> {
        self.files.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, line: Line) -> Option<Arc<SourceFile>> {
        self.files().get(line.file).cloned()
    }

    /// The line that Lua names as `file:line`; it cuts long names at their start.
    pub(crate) fn line_named(&self, file: &str, number: u32) -> Line {
        let is = |known: &Arc<SourceFile>| match file.strip_prefix("...") {
            Some(end) => known.name.ends_with(end),
            None => known.name == file,
        };
        Line { file: self.files().iter().position(is).unwrap_or(0), number }
    }

    /// Lua's name for a file's code.
    pub(crate) fn chunk_name(file: &str) -> String {
        format!("@{file}")
    }

    /// Which of the files a frame of Lua's stack is of.
    fn file_of(&self, frame: &mlua::debug::Debug<'_>) -> Option<usize> {
        let source = frame.source().source?;
        let name = source.strip_prefix('@')?;
        self.files().iter().position(|file| file.name == name)
    }

    /// The line that is being executed: the innermost frame of one of the files, past the frames
    /// of native functions and of mlua's own helpers.
    pub(crate) fn caller_line(&self, lua: &Lua) -> Line {
        for level in 0..64 {
            let line = lua.inspect_stack(level, |frame| {
                let file = self.file_of(frame)?;
                Some(Line { file, number: u32::try_from(frame.current_line()?).unwrap_or(0) })
            });
            match line {
                None => break,
                Some(Some(line)) => return line,
                Some(None) => {}
            }
        }
        Line::default()
    }

    /// Whether the instruction that is being executed is one of the file, or stands for one.
    pub(crate) fn runs_now(&self, lua: &Lua) -> bool {
        let own = |frame: &mlua::debug::Debug<'_>| {
            self.file_of(frame).is_some()
                || frame.source().source.is_some_and(|source| source == guard::CHUNK)
        };
        lua.inspect_stack(0, own).unwrap_or(false)
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
    pub(crate) fn source_line(&self, call: &str, line: Line) -> SourceLine {
        let Some(file) = self.file(line) else {
            return SourceLine { file: self.file.clone(), line: line.number, column: 0 };
        };
        let token = locate::call(&file.tokens, call, line.number);
        let column = token.map_or(0, |token| token.column);
        SourceLine { file: file.name.clone(), line: line.number, column }
    }

    /// A mistake in a call, underlined at the call's name.
    pub(crate) fn mistake(&self, call: &str, line: Line, message: String) -> ScriptError {
        let file = self.file(line);
        let tokens = file.as_ref().map(|file| file.tokens.as_slice()).unwrap_or_default();
        self.at_token(locate::call(tokens, call, line.number), line, message)
    }

    /// A mistake in an option of a call, underlined at its key, or at its value.
    pub(crate) fn option_mistake(
        &self,
        call: &str,
        line: Line,
        key: &str,
        at_value: bool,
        message: String,
    ) -> ScriptError {
        let file = self.file(line);
        let tokens = file.as_ref().map(|file| file.tokens.as_slice()).unwrap_or_default();
        match locate::option(tokens, call, line.number, key) {
            Some((_, Some(value))) if at_value => self.at_token(Some(value), line, message),
            Some((key, _)) => self.at_token(Some(key), line, message),
            None => self.mistake(call, line, message),
        }
    }

    /// A mistake at the first `word` of a line.
    pub(crate) fn word_mistake(&self, word: &str, line: Line, message: String) -> ScriptError {
        let file = self.file(line);
        let tokens = file.as_ref().map(|file| file.tokens.as_slice()).unwrap_or_default();
        let token = tokens
            .iter()
            .find(|token| {
                let first = token.text.split('.').next();
                token.line == line.number && (token.text == word || first == Some(word))
            })
            .or_else(|| locate::call(tokens, word, line.number));
        self.at_token(token, line, message)
    }

    fn at_token(&self, token: Option<&Token>, line: Line, message: String) -> ScriptError {
        let number = token.map_or(line.number, |token| token.line);
        let place = (number as usize).saturating_sub(1);
        let file = self.file(line);
        let text = file.as_ref().and_then(|file| file.text.lines().nth(place));
        ScriptError {
            kind: ErrorKind::Mistake,
            message,
            file: file.as_ref().map_or(&self.file, |file| &file.name).clone(),
            line: number,
            column: token.map_or(0, |token| token.column),
            length: token.map_or(0, Token::length),
            text: text.unwrap_or_default().to_owned(),
            label: None,
            help: None,
            of_lua: false,
        }
    }

    /// What the engine answered, as an error at the call.
    pub(crate) fn host_error(&self, call: &str, line: Line, error: &HostError) -> ScriptError {
        ScriptError { kind: kind_of(error), ..self.mistake(call, line, error.to_string()) }
    }
}

fn is_endless(alone: Duration, looks: u64) -> bool {
    alone > ALONE_IDLE_MAX || (alone > ALONE_MAX && looks >= LOOKS_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_time_and_work_together_are_an_endless_loop_and_so_is_ten_times_that_time() {
        let (short, long) = (Duration::from_millis(999), Duration::from_millis(1001));
        assert!(!is_endless(short, u64::MAX), "a scenario may compute for a while");
        assert!(!is_endless(long, LOOKS_MIN - 1), "a thread that got no processor");
        assert!(is_endless(long, LOOKS_MIN));
        assert!(is_endless(Duration::from_millis(10_001), 0), "instructions that take long each");
    }

    #[test]
    fn a_call_of_the_harness_forgets_the_work_before_it() {
        let context = Context::new("x.lua".into(), String::new(), Overrides::default());
        (0..LOOKS_MIN).for_each(|_| context.looked());
        assert_eq!(context.looks.load(Ordering::Relaxed), LOOKS_MIN);
        context.touch();
        assert_eq!(context.looks.load(Ordering::Relaxed), 0);
    }
}
