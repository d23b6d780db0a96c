//! A prompt on the mesh of a test, while it runs or where it was kept: lines of Lua, run where the
//! tests run, beside them.
//!
//! `names.rs` has what a line can use, `show.rs` prints values, `complete.rs` finishes words. Each
//! line is a chunk and a task of its own; a name that a line sets is there on the next. Who brings
//! lines, and where answers go, is elsewhere: they come and go through channels.

mod complete;
mod names;
mod show;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use meshlab_engine::Host;
use meshlab_model::RunTime;
use mlua::{Error, Function, MultiValue, Table, chunk::ChunkMode};
use tokio::{
    runtime::Runtime,
    sync::{mpsc, oneshot, watch},
};

use crate::{
    Script, ScriptError,
    context::Context,
    error::ErrorKind,
    locate::{Line as SourceAt, tokens},
    task::{Place, Task, Waited},
    unwind::unwind,
};

/// Lines whose text errors can still show; of older ones only the name is known.
const LINES_KEPT: usize = 200;
/// Answers that may wait for whoever reads them; what comes beyond is counted and left out.
const ANSWERS_MAX: usize = 4096;
/// Bytes of one answer; the rest of a text is left out.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How the note begins that follows a line which did not run to its end. The page's saved scenarios
/// know it by that.
const NOT_DONE: &str = "not done: ";

/// What is asked of a prompt.
#[derive(Debug)]
pub enum Asks {
    /// Run a line.
    Line(Line),
    /// Finish the word at the end of a text: what each continuation is, and from which byte on it
    /// takes the place of what is there.
    Complete(String, oneshot::Sender<(usize, Vec<String>)>),
}

/// A line to run.
#[derive(Debug)]
pub struct Line {
    /// Lua.
    pub text: String,
    /// Whether errors are coloured.
    pub color: bool,
    /// Where its answers go.
    pub answers: mpsc::Sender<Said>,
}

impl Line {
    /// A line, and where its answers come from.
    pub fn new(text: String, color: bool) -> (Self, mpsc::Receiver<Said>) {
        let (answers, said) = mpsc::channel(ANSWERS_MAX);
        (Self { text, color, answers }, said)
    }
}

/// What comes of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A value, what was printed, or an error as it is shown.
    Text(String),
    /// It is over. Nothing follows.
    Ended(Answer),
}

/// How a line came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It ran to its end.
    Done,
    /// It did not; why has been said.
    Failed,
    /// It is the beginning of something: nothing was run, more is needed.
    Incomplete,
}

/// What other threads can do to a prompt.
#[derive(Clone)]
pub struct Console(Arc<Shared>);

struct Shared {
    context: Arc<Context>,
    /// The line that is being run.
    running: Mutex<Option<Running>>,
    left_out: AtomicU64,
}

struct Running {
    task: Arc<Task>,
    answers: mpsc::Sender<Said>,
}

impl Console {
    /// Cancels the line that is being run, if one is: what it did to the mesh and can take back it
    /// takes back on its way.
    pub fn cancel(&self) {
        let task = self.running().as_ref().map(|running| Arc::clone(&running.task));
        if let Some(task) = task {
            self.0.context.tasks.cancel(&task);
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says something to whoever gave the line that is being run.
    fn say(&self, mut text: String) {
        if text.len() > ANSWER_BYTES_MAX {
            let end = text.floor_char_boundary(ANSWER_BYTES_MAX);
            text.truncate(end);
            text.push_str(" ... (too long to show)");
        }
        if let Some(running) = &*self.running()
            && running.answers.try_send(Said::Text(text)).is_err()
        {
            self.0.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A script whose last mesh is kept.
pub struct Kept {
    script: Script,
    runtime: Runtime,
    host: Arc<dyn Host>,
    since: RunTime,
    prompt: Prompt,
}

impl Kept {
    pub(crate) fn new(
        script: Script,
        runtime: Runtime,
        host: Arc<dyn Host>,
        since: RunTime,
        prompt: Prompt,
    ) -> Self {
        Self { script, runtime, host, since, prompt }
    }

    /// What other threads can do to it.
    pub fn console(&self) -> Console {
        self.prompt.console.clone()
    }

    /// Answers one thing after the other until nobody can ask any more; what still runs then is
    /// cancelled, and its faults are taken back. Blocks, and lines may compute: to be called on a
    /// thread of its own.
    pub fn serve(self, mut asks: mpsc::Receiver<Asks>) {
        let Self { script, runtime, host, since, mut prompt } = self;
        script.context.set_in_test(true);
        let at = At { script: &script, host: &host, since };
        runtime.block_on(async {
            while let Some(ask) = asks.recv().await {
                prompt.answer(&at, ask).await;
            }
            script.context.tasks.finish().await;
        });
        script.context.set_in_test(false);
    }
}

/// Where lines are run.
pub(crate) struct At<'a> {
    pub(crate) script: &'a Script,
    pub(crate) host: &'a Arc<dyn Host>,
    /// From when on evidence counts.
    pub(crate) since: RunTime,
}

/// A prompt, over all tests of a script and what is kept after them.
pub(crate) struct Prompt {
    console: Console,
    environment: Table,
    root: Arc<Task>,
    /// Lines so far.
    lines: u64,
    /// The names of the newest.
    shown: VecDeque<String>,
}

impl Prompt {
    /// A prompt on which nothing was said.
    ///
    /// # Errors
    /// There is no memory for it.
    pub(crate) fn new(script: &Script) -> Result<Self, Error> {
        let context = Arc::clone(&script.context);
        let shared = Shared { context, running: Mutex::default(), left_out: AtomicU64::new(0) };
        let console = Console(Arc::new(shared));
        let environment = names::environment(script, &console)?;
        let (root, shown) = (Task::by_hand(), VecDeque::new());
        Ok(Self { console, environment, root, lines: 0, shown })
    }

    /// Does the work of a test, and runs what is asked meanwhile beside it. What still runs at its
    /// end is cancelled, and takes back on its way what it can.
    pub(crate) async fn beside<T>(
        &mut self,
        at: &At<'_>,
        asks: &mut mpsc::Receiver<Asks>,
        work: impl Future<Output = T>,
    ) -> T {
        let (over, mut is_over) = watch::channel(false);
        let console = self.console.clone();
        let work = async {
            let done = work.await;
            over.send_replace(true);
            console.cancel();
            done
        };
        let serve = async {
            loop {
                tokio::select! {
                    biased;
                    _ = is_over.wait_for(|over| *over) => return,
                    ask = asks.recv() => match ask {
                        Some(ask) => self.answer(at, ask).await,
                        None => return,
                    },
                }
            }
        };
        tokio::join!(work, serve).0
    }

    async fn answer(&mut self, at: &At<'_>, ask: Asks) {
        let session = Session {
            script: at.script,
            host: at.host,
            console: &self.console,
            environment: &self.environment,
            root: &self.root,
            since: at.since,
        };
        let line = match ask {
            Asks::Line(line) => line,
            Asks::Complete(text, answer) => {
                // Who asked may be gone.
                let _ = answer.send(complete::complete(&session, &text));
                return;
            }
        };
        self.lines += 1;
        let name = format!("prompt {}", self.lines);
        let answers = line.answers.clone();
        let answer = session.run(&name, line).await;
        // Who asked may be gone.
        let _ = answers.send(Said::Ended(answer)).await;
        self.shown.push_back(name);
        if self.shown.len() > LINES_KEPT
            && let Some(oldest) = self.shown.pop_front()
        {
            at.script.context.forget_text(&oldest);
        }
    }
}

/// Does work during which there is no mesh, and refuses what is asked meanwhile.
pub(crate) async fn refusing<T>(
    asks: &mut mpsc::Receiver<Asks>,
    work: impl Future<Output = T>,
) -> T {
    tokio::pin!(work);
    loop {
        let ask = tokio::select! {
            biased;
            done = &mut work => return done,
            ask = asks.recv() => ask,
        };
        match ask {
            Some(Asks::Line(line)) => {
                let why = "nothing was done: no test runs now, so there is no mesh";
                // Who asked may be gone.
                let _ = line.answers.send(Said::Text(why.to_owned())).await;
                let _ = line.answers.send(Said::Ended(Answer::Failed)).await;
            }
            Some(Asks::Complete(_, answer)) => {
                let _ = answer.send((0, Vec::new()));
            }
            None => return work.await,
        }
    }
}

/// A prompt that is being served.
struct Session<'a> {
    script: &'a Script,
    host: &'a Arc<dyn Host>,
    console: &'a Console,
    environment: &'a Table,
    root: &'a Arc<Task>,
    since: RunTime,
}

impl Session<'_> {
    fn context(&self) -> &Arc<Context> {
        &self.script.context
    }

    /// Runs a line, and says what came of it.
    async fn run(&self, name: &str, line: Line) -> Answer {
        let context = self.context();
        let task = context.tasks.start(self.root, SourceAt::default(), Waited::ByCall);
        let running = Running { task: Arc::clone(&task), answers: line.answers };
        *self.console.running() = Some(running);
        let answer = self.run_in(name, &line.text, line.color, &task).await;
        task.end(Ok(MultiValue::new()));
        let mut answer = answer;
        for error in context.tasks.take_untold_by_hand() {
            self.console.say(shown_error(&error, line.color));
            answer = Answer::Failed;
        }
        let left_out = self.console.0.left_out.swap(0, Ordering::Relaxed);
        let ran = self.console.running().take();
        if let Some(running) = ran.filter(|_| left_out > 0) {
            let text = format!("... {left_out} more were left out");
            // Who asked may be gone.
            let _ = running.answers.send(Said::Text(text)).await;
        }
        answer
    }

    async fn run_in(&self, name: &str, text: &str, color: bool, task: &Arc<Task>) -> Answer {
        let context = self.context();
        context.add_file(name.to_owned(), text.to_owned());
        let function = match self.parse(name, text) {
            Ok(function) => function,
            Err(Error::SyntaxError { incomplete_input: true, .. }) => {
                context.forget_text(name);
                return Answer::Incomplete;
            }
            Err(error) => return self.failed(&error, color),
        };
        // Before it does anything: the record must not lack what a crash then followed.
        self.host.by_hand(text);
        context.touch();
        let place = Place { task: Arc::clone(task), since: self.since };
        let ran = place.clone().run(function.call_async::<MultiValue>(())).await;
        let values = match ran {
            Ok(values) => values,
            Err(error) => {
                place.run(async { self.not_done(&error) }).await;
                return self.failed(&error, color);
            }
        };
        // A value may say what it is by asking the host.
        let show = async { values.iter().map(|value| show::show(self.host, value)).collect() };
        let texts: Vec<String> = place.run(show).await;
        if !texts.is_empty() {
            self.console.say(texts.join("  "));
        }
        Answer::Done
    }

    /// An expression if it is one, else statements.
    fn parse(&self, name: &str, text: &str) -> Result<Function, Error> {
        let load = |text: &str| {
            let chunk = self.script.lua.load(text).set_name(Context::chunk_name(name));
            let chunk = chunk.set_mode(ChunkMode::Text);
            chunk.set_environment(self.environment.clone()).into_function()
        };
        // The values go through a function, so that a call in the line is no tail call: one would
        // take the place of the line's own frame, and errors would have no place.
        let end = if text.contains("--") { "\n" } else { "" };
        let values = format!("return (function(...) return ... end)({}{end})", text.trim_end());
        if let Ok(function) = load(&values) {
            return Ok(function);
        }
        let expression = load(&format!("return {text}"));
        if let Err(Error::SyntaxError { incomplete_input: true, .. }) = expression {
            return expression;
        }
        let statements = load(without_local(text));
        // What cannot be the beginning of a statement was meant as an expression.
        let first = tokens(text).into_iter().next().map(|first| format!("near '{}'", first.text));
        match (&statements, first) {
            (Err(Error::SyntaxError { message, .. }), Some(first))
                if message.contains(&first) && expression.is_err() =>
            {
                expression
            }
            _ => statements,
        }
    }

    /// Tells the record why the line that it has did not run to its end. That it was cancelled on
    /// the way says nothing of what it did.
    fn not_done(&self, error: &Error) {
        let error = unwind(self.context(), error);
        let at = error.source_line().filter(|_| error.kind() != ErrorKind::Withdrawn);
        if let Some(at) = at {
            self.host.note(&format!("{NOT_DONE}{}", error.message), at);
        }
    }

    fn failed(&self, error: &Error, color: bool) -> Answer {
        let error = unwind(self.context(), error);
        self.console.say(shown_error(&error, color));
        Answer::Failed
    }
}

fn shown_error(error: &ScriptError, color: bool) -> String {
    match error.kind() {
        ErrorKind::Withdrawn => "cancelled".to_owned(),
        _ => error.render(color),
    }
}

/// Without a `local` at its start: at a prompt, what a line names is to be there on the next one.
fn without_local(text: &str) -> &str {
    let Some(rest) = text.trim_start().strip_prefix("local ") else { return text };
    let names = rest.split('=').next().unwrap_or_default();
    let plain = |c: char| c.is_alphanumeric() || c == '_' || c == ',' || c.is_whitespace();
    let sets = rest.contains('=') && names.chars().all(plain);
    if sets || rest.trim_start().starts_with("function ") { rest } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_asked_while_there_is_no_mesh_is_refused() {
        let (asks, mut asked) = mpsc::channel(1);
        let (line, mut said) = Line::new("swarm".to_owned(), false);
        let asking = async {
            asks.send(Asks::Line(line)).await.unwrap();
            let text = said.recv().await;
            (text, said.recv().await)
        };
        let (text, ended) = refusing(&mut asked, asking).await;
        assert!(matches!(text, Some(Said::Text(text)) if text.contains("no test runs now")));
        assert_eq!(ended, Some(Said::Ended(Answer::Failed)));
    }

    #[test]
    fn a_local_is_left_away_only_where_it_names_something_for_the_next_line() {
        for (text, left) in [
            ("local x = 1", "x = 1"),
            ("  local a, b = 1, 2", "a, b = 1, 2"),
            ("local function f() end", "function f() end"),
            ("local x <const> = 1", "local x <const> = 1"),
            ("local x", "local x"),
            ("localx = 1", "localx = 1"),
            ("print(local)", "print(local)"),
        ] {
            assert_eq!(without_local(text), left);
        }
    }
}
