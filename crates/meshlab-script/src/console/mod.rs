//! A prompt on a mesh that was kept: lines of Lua, run where the tests ran.
//!
//! `show.rs` prints values, `complete.rs` finishes words. Each line is a chunk and a task of its
//! own; a name that a line sets is there on the next. Who brings lines, and where answers go, is
//! elsewhere: they come and go through channels.

mod complete;
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
use mlua::{Error, Function, Lua, MetaMethod, MultiValue, Table, Value, chunk::ChunkMode};
use tokio::{
    runtime::Runtime,
    sync::{mpsc, oneshot},
};

use crate::{
    Script, ScriptError,
    api::MeshRef,
    context::Context,
    error::{ErrorKind, nearest},
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
    console: Console,
}

impl Kept {
    pub(crate) fn new(
        script: Script,
        runtime: Runtime,
        host: Arc<dyn Host>,
        since: RunTime,
    ) -> Self {
        let context = Arc::clone(&script.context);
        let shared = Shared { context, running: Mutex::default(), left_out: AtomicU64::new(0) };
        Self { script, runtime, host, since, console: Console(Arc::new(shared)) }
    }

    /// What other threads can do to it.
    pub fn console(&self) -> Console {
        self.console.clone()
    }

    /// Answers one thing after the other until nobody can ask any more; what still runs then is
    /// cancelled, and its faults are taken back. Blocks, and lines may compute: to be called on a
    /// thread of its own.
    pub fn serve(self, mut asks: mpsc::Receiver<Asks>) {
        let context = &self.script.context;
        context.set_in_test(true);
        let Ok(environment) = environment(&self.script, &self.console) else {
            // Only memory can be missing; then nobody is answered.
            return;
        };
        let session = Session {
            script: &self.script,
            host: &self.host,
            console: &self.console,
            environment,
            root: Task::root(),
            since: self.since,
        };
        self.runtime.block_on(async {
            let mut number = 0;
            let mut shown = VecDeque::new();
            while let Some(ask) = asks.recv().await {
                match ask {
                    Asks::Line(line) => {
                        number += 1;
                        let name = format!("prompt {number}");
                        let answers = line.answers.clone();
                        let answer = session.run(&name, line).await;
                        // Who asked may be gone.
                        let _ = answers.send(Said::Ended(answer)).await;
                        shown.push_back(name);
                        if shown.len() > LINES_KEPT
                            && let Some(oldest) = shown.pop_front()
                        {
                            context.forget_text(&oldest);
                        }
                    }
                    Asks::Complete(text, answer) => {
                        let _ = answer.send(complete::complete(&session, &text));
                    }
                }
            }
            context.tasks.finish().await;
        });
        context.set_in_test(false);
    }
}

/// A prompt that is being served.
struct Session<'a> {
    script: &'a Script,
    host: &'a Arc<dyn Host>,
    console: &'a Console,
    environment: Table,
    root: Arc<Task>,
    since: RunTime,
}

impl Session<'_> {
    fn context(&self) -> &Arc<Context> {
        &self.script.context
    }

    /// Runs a line, and says what came of it.
    async fn run(&self, name: &str, line: Line) -> Answer {
        let context = self.context();
        let task = context.tasks.start(&self.root, SourceAt::default(), Waited::ByCall);
        let running = Running { task: Arc::clone(&task), answers: line.answers };
        *self.console.running() = Some(running);
        let answer = self.run_in(name, &line.text, line.color, &task).await;
        task.end(Ok(MultiValue::new()));
        let mut answer = answer;
        for error in context.tasks.take_untold() {
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
            Err(error) => return self.failed(&error, color),
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

/// What lines run in: all of the language, `swarm` and `meshes`, and what they set themselves.
fn environment(script: &Script, console: &Console) -> mlua::Result<Table> {
    let (lua, context) = (&script.lua, &script.context);
    let environment = lua.create_table()?;
    environment.raw_set("print", print(lua, console)?)?;
    let meta = lua.create_table()?;
    let get = {
        let (context, language) = (Arc::clone(context), script.names.environment.clone());
        lua.create_function(move |lua, (_, key): (Table, Value)| {
            let name = key.as_string().map(|name| name.to_string_lossy()).unwrap_or_default();
            match name.as_str() {
                "swarm" => swarm(lua, &context),
                "meshes" => Ok(Value::Table(meshes(lua, &context)?)),
                "scenario" | "test" | "require" => {
                    let line = context.caller_line(lua);
                    let message = format!("`{name}` is for a file, not for a prompt");
                    Err(Error::external(context.word_mistake(&name, line, message)))
                }
                _ => language.get(key),
            }
        })?
    };
    let set = {
        let (context, language) = (Arc::clone(context), script.names.globals.clone());
        lua.create_function(move |lua, (table, key, value): (Table, Value, Value)| {
            let name = key.to_string()?;
            if language.contains_key(key.clone())? || matches!(name.as_str(), "swarm" | "meshes") {
                let line = context.caller_line(lua);
                let message = format!("`{name}` is a name of the language and cannot be set");
                return Err(Error::external(context.word_mistake(&name, line, message)));
            }
            table.raw_set(key, value)
        })?
    };
    meta.raw_set(MetaMethod::Index.name(), get)?;
    meta.raw_set(MetaMethod::NewIndex.name(), set)?;
    meta.raw_set("__metatable", false)?;
    environment.set_metatable(Some(meta))?;
    Ok(environment)
}

/// `print` to whoever gave the line, and to the record.
fn print(lua: &Lua, console: &Console) -> mlua::Result<Function> {
    let console = console.clone();
    lua.create_function(move |lua, values: MultiValue| {
        let context = &console.0.context;
        context.touch();
        let words = values.iter().map(Value::to_string).collect::<mlua::Result<Vec<_>>>()?;
        let text = words.join(" ");
        let line = context.caller_line(lua);
        if let Some(host) = context.host() {
            host.note(&text, context.source_line("print", line));
        }
        console.say(text);
        Ok(())
    })
}

fn mesh_refs(context: &Arc<Context>) -> Vec<MeshRef> {
    let meshes = context.host().map(|host| host.meshes()).unwrap_or_default();
    meshes.into_iter().map(|mesh| MeshRef::of(mesh, context)).collect()
}

/// The one mesh that there is.
fn swarm(lua: &Lua, context: &Arc<Context>) -> mlua::Result<Value> {
    let mut all = mesh_refs(context);
    if let (Some(one), true) = (all.pop(), all.is_empty()) {
        return lua.create_userdata(one).map(Value::UserData);
    }
    let names: Vec<String> =
        mesh_refs(context).iter().map(|mesh| format!("meshes[\"{}\"]", mesh.id)).collect();
    let line = context.caller_line(lua);
    let message = "`swarm` is the mesh where there is one, and here are several".to_owned();
    let mut error = context.word_mistake("swarm", line, message);
    error.help = Some(format!("there is {}", names.join(", ")));
    Err(Error::external(error))
}

/// All meshes by their names.
fn meshes(lua: &Lua, context: &Arc<Context>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let all = mesh_refs(context);
    let names: Vec<String> = all.iter().map(|mesh| mesh.id.to_string()).collect();
    for mesh in all {
        table.raw_set(mesh.id.to_string(), lua.create_userdata(mesh)?)?;
    }
    let missing = {
        let context = Arc::clone(context);
        lua.create_function(move |lua, (_, key): (Table, Value)| -> mlua::Result<Value> {
            let name = key.to_string()?;
            let line = context.caller_line(lua);
            let message = format!("there is no mesh `{name}`");
            let mut error = context.word_mistake(&name, line, message);
            let meant = nearest(&name, names.iter().map(String::as_str));
            error.label = meant.map(|meant| format!("did you mean `{meant}`?"));
            error.help = Some(format!("meshes: {}", names.join(", ")));
            Err(Error::external(error))
        })?
    };
    let meta = lua.create_table()?;
    meta.raw_set(MetaMethod::Index.name(), missing)?;
    meta.raw_set("__metatable", false)?;
    table.set_metatable(Some(meta))?;
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

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
