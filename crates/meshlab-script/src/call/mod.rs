//! One call of the language: its arguments, checked, with its place for errors. Open `options.rs`
//! for its options, `bind.rs` for how a definition and a body become a function of Lua.

mod bind;
mod options;

use std::{future::Future, sync::Arc, time::Duration};

use meshlab_engine::{Host, HostError, Since};
use meshlab_model::{NodeId, SourceLine};
use mlua::{AnyUserData, Function, Lua, MultiValue, Table, Value};

use crate::{
    api::{MeshRef, NodeRef},
    context::Context,
    define::{Class, Definition},
    error::{ErrorKind, ScriptError},
    locate::Line,
    task::Place,
    values::as_duration,
};

pub(crate) use bind::{Bound, instant, method, thrown, waiting, waiting_as, waiting_method};
pub(crate) use options::Options;

/// A call that is being made. Its place is taken when it begins, before anything waits.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) context: Arc<Context>,
    pub(crate) lua: Lua,
    /// What errors call it.
    pub(crate) name: &'static str,
    pub(crate) line: Line,
    definition: &'static Definition,
    /// Absent at the top level of a file.
    place: Option<Place>,
    arguments: Vec<Value>,
}

const NODES: &str = "a node, a list of nodes or a mesh";

pub(crate) type Outcome<T> = Result<T, Box<ScriptError>>;

impl Call {
    pub(crate) fn new(
        context: &Arc<Context>,
        lua: &Lua,
        name: &'static str,
        definition: &'static Definition,
        arguments: MultiValue,
    ) -> Self {
        context.touch();
        let line = context.caller_line(lua);
        context.set_last_line(line);
        Self {
            context: Arc::clone(context),
            lua: lua.clone(),
            name,
            line,
            definition,
            place: Place::here(),
            arguments: arguments.into_iter().collect(),
        }
    }

    pub(crate) fn at(&self) -> SourceLine {
        self.context.source_line(self.name, self.line)
    }

    pub(crate) fn mistake(&self, message: impl Into<String>) -> Box<ScriptError> {
        Box::new(self.context.mistake(self.name, self.line, message.into()))
    }

    pub(crate) fn mistake_with(
        &self,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Box<ScriptError> {
        let mut error = self.mistake(message);
        error.help = Some(help.into());
        error
    }

    /// The host, which is there only inside a test.
    pub(crate) fn host(&self) -> Outcome<&Arc<dyn Host>> {
        match self.context.host() {
            Some(host) if self.context.in_test() => self.go_on().map(|()| host),
            _ => Err(self.mistake_with(
                format!("`{}` can only be used inside a `test`", self.name),
                "the top level of a file only declares; nothing runs until a test does",
            )),
        }
    }

    /// Where in the test the call stands.
    pub(crate) fn place(&self) -> Outcome<Place> {
        self.place.clone().ok_or_else(|| {
            self.mistake(format!("`{}` can only be used inside a `test`", self.name))
        })
    }

    /// An error that ends the task that this call is in, if the task has been cancelled.
    pub(crate) fn go_on(&self) -> Outcome<()> {
        match &self.place {
            Some(place) if place.task.is_cancelled() => Err(self.withdrawn()),
            _ => Ok(()),
        }
    }

    fn withdrawn(&self) -> Box<ScriptError> {
        let mut error = self.mistake("the task was cancelled");
        error.kind = ErrorKind::Withdrawn;
        error
    }

    /// Waits for the host, unless the task is cancelled first. Only for what may be dropped in the
    /// middle: a sleep, a claim, a workload.
    pub(crate) async fn or_cancelled<T>(
        &self,
        work: impl Future<Output = Result<T, HostError>>,
    ) -> Outcome<T> {
        let task = self.place()?.task;
        tokio::select! {
            biased;
            () = task.cancelled() => Err(self.withdrawn()),
            done = work => self.answer(done),
        }
    }

    /// The next choice of the task that the call is in.
    pub(crate) fn choose(&self, bound: usize) -> Outcome<usize> {
        let draw = self.place()?.task.draw();
        Ok(self.host()?.choose(&draw, bound))
    }

    /// The start of the innermost test, fault body or round.
    pub(crate) fn since(&self) -> Since {
        self.place.as_ref().map_or(Since::Test, |place| Since::At(place.since))
    }

    /// A length of time that is part of the plan, not a deadline.
    pub(crate) fn planned(&self, place: usize) -> Outcome<Duration> {
        Ok(self.context.planned(&self.argument(place), self.duration(place)?))
    }

    /// What the host answered, with errors at this call's place.
    pub(crate) fn answer<T>(&self, result: Result<T, HostError>) -> Outcome<T> {
        self.context.touch();
        result.map_err(|error| Box::new(self.context.host_error(self.name, self.line, &error)))
    }

    pub(crate) fn argument(&self, place: usize) -> Value {
        self.arguments.get(place).cloned().unwrap_or(Value::Nil)
    }

    /// No more arguments than are defined.
    fn at_most(&self) -> Outcome<()> {
        let given = self.arguments.len();
        match self.definition.arguments_max() {
            Some(most) if given > most => Err(self.mistake_with(
                format!("`{}` takes at most {most} arguments, {given} were given", self.name),
                self.usage(),
            )),
            _ => Ok(()),
        }
    }

    /// How many arguments were given.
    pub(crate) fn given(&self) -> usize {
        self.arguments.len()
    }

    /// A table that is handed back, filled by `fill`.
    pub(crate) fn table(
        &self,
        class: &'static Class,
        fill: impl FnOnce(&Table) -> mlua::Result<()>,
    ) -> Outcome<Table> {
        let made = self.lua.create_table().and_then(|table| fill(&table).map(|()| table));
        let made = made.map_err(|error| self.mistake(error.to_string()))?;
        if cfg!(test) {
            for (name, _) in made.pairs::<String, Value>().flatten() {
                assert!(class.field(&name).is_some(), "{} has no field `{name}`", class.name);
            }
        }
        Ok(made)
    }

    fn wrong(&self, place: usize, wanted: &str) -> Box<ScriptError> {
        const PLACES: [&str; 4] = ["first", "second", "third", "fourth"];
        let place_word = PLACES.get(place).copied().unwrap_or("next");
        let got = describe(&self.argument(place));
        self.mistake_with(
            format!("`{}` takes {wanted} as its {place_word} argument, got {got}", self.name),
            self.usage(),
        )
    }

    /// How it is called, and where more of it is said.
    fn usage(&self) -> String {
        let signature = self.definition.signature(self.definition.name);
        format!("`{signature}`; {}", self.more())
    }

    fn more(&self) -> String {
        format!("`meshlab help {}` says more", self.definition.name)
    }

    pub(crate) fn text(&self, place: usize, wanted: &str) -> Outcome<String> {
        match self.argument(place) {
            Value::String(text) => Ok(text.to_string_lossy()),
            _ => Err(self.wrong(place, wanted)),
        }
    }

    /// A list of texts.
    pub(crate) fn texts(&self, place: usize, wanted: &str) -> Outcome<Vec<String>> {
        let Value::Table(list) = self.argument(place) else {
            return Err(self.wrong(place, wanted));
        };
        if list.raw_len() == 0 {
            return Err(self.wrong(place, wanted));
        }
        let texts = list.sequence_values::<String>().collect::<Result<_, _>>();
        texts.map_err(|_| self.wrong(place, wanted))
    }

    pub(crate) fn function(&self, place: usize) -> Outcome<Function> {
        match self.argument(place) {
            Value::Function(function) => Ok(function),
            _ => Err(self.wrong(place, "a function")),
        }
    }

    pub(crate) fn node(&self, place: usize) -> Outcome<NodeRef> {
        as_data::<NodeRef>(&self.argument(place)).ok_or_else(|| self.wrong(place, "a node"))
    }

    pub(crate) fn mesh(&self, place: usize) -> Outcome<MeshRef> {
        as_data::<MeshRef>(&self.argument(place)).ok_or_else(|| self.wrong(place, "a mesh"))
    }

    /// Nodes: one, a list, or the live ones of a mesh.
    pub(crate) fn live_nodes(&self, place: usize) -> Outcome<Vec<NodeId>> {
        let nodes = self.nodes_in(&self.argument(place), true)?;
        nodes.ok_or_else(|| self.wrong(place, NODES))
    }

    /// The nodes that a value stands for; `None` if it stands for no nodes.
    fn nodes_in(&self, value: &Value, only_live: bool) -> Outcome<Option<Vec<NodeId>>> {
        if let Some(node) = as_data::<NodeRef>(value) {
            return Ok(Some(vec![node.id]));
        }
        if let Some(mesh) = as_data::<MeshRef>(value) {
            let nodes = self.host()?.nodes(&mesh.id);
            let wanted = nodes.into_iter().filter(|node| node.live || !only_live);
            return Ok(Some(wanted.map(|node| node.id).collect()));
        }
        let Value::Table(list) = value else { return Ok(None) };
        if list.raw_len() == 0 && !list.is_empty() {
            // Options, where nodes were expected.
            return Ok(None);
        }
        let nodes = list.sequence_values::<Value>();
        Ok(nodes.map(|node| Some(as_data::<NodeRef>(&node.ok()?)?.id)).collect())
    }

    pub(crate) fn duration(&self, place: usize) -> Outcome<Duration> {
        as_duration(&self.argument(place)).map_err(|why| {
            self.mistake_with(
                format!("`{}` takes a length of time, but {why}", self.name),
                "a length of time is text with a unit: \"250ms\", \"30s\", \"1h30m\"",
            )
        })
    }

    /// The options at `place`: a table with only the keys that are defined. Absent is empty.
    pub(crate) fn options(&self, place: usize) -> Outcome<Options> {
        let class = self.definition.options;
        debug_assert_eq!(
            self.definition.arguments.get(place).map(|argument| Some(argument.kind)),
            Some(class.map(|class| class.name)),
            "`{}` reads options where none are defined",
            self.name
        );
        let table = match self.argument(place) {
            Value::Nil => None,
            Value::Table(table) => Some(table),
            _ => return Err(self.wrong(place, "a table of options")),
        };
        Options::of_call(self, class, table)
    }
}

/// The value of ours in a Lua value.
pub(crate) fn as_data<T: Clone + 'static>(value: &Value) -> Option<T> {
    let data: &AnyUserData = value.as_userdata()?;
    data.borrow::<T>().ok().map(|inner| inner.clone())
}

/// A value in a few words, for an error.
pub(crate) fn describe(value: &Value) -> String {
    match value {
        Value::Nil => "nothing".to_owned(),
        Value::String(text) => format!("the text \"{}\"", text.to_string_lossy()),
        Value::Integer(number) => format!("the number {number}"),
        Value::Number(number) => format!("the number {number}"),
        Value::UserData(_) if as_data::<NodeRef>(value).is_some() => "a node".to_owned(),
        Value::UserData(_) if as_data::<MeshRef>(value).is_some() => "a mesh".to_owned(),
        other => format!("a {}", other.type_name()),
    }
}
