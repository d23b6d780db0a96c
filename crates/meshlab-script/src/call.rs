//! One call of the language: its arguments and options, checked, with its place for errors.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use meshlab_engine::{Host, HostError, Since};
use meshlab_model::{ByteSize, NodeId, Percent, SourceLine};
use mlua::{AnyUserData, Function, IntoLuaMulti, Lua, MultiValue, Table, Value};

use crate::{
    api::{Hit, MeshRef, NodeRef},
    context::Context,
    error::{ErrorKind, ScriptError, nearest},
    locate::Line,
    task::Place,
    values::{as_byte_rate, as_duration, as_percent, as_rate, as_size},
};

/// A call that is being made. Its place is taken when it begins, before anything waits.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) context: Arc<Context>,
    pub(crate) lua: Lua,
    pub(crate) name: String,
    pub(crate) line: Line,
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
        name: &str,
        arguments: MultiValue,
    ) -> Self {
        context.touch();
        let line = context.caller_line(lua);
        context.set_last_line(line);
        Self {
            context: Arc::clone(context),
            lua: lua.clone(),
            name: name.to_owned(),
            line,
            place: Place::here(),
            arguments: arguments.into_iter().collect(),
        }
    }

    pub(crate) fn at(&self) -> SourceLine {
        self.context.source_line(&self.name, self.line)
    }

    pub(crate) fn mistake(&self, message: impl Into<String>) -> Box<ScriptError> {
        Box::new(self.context.mistake(&self.name, self.line, message.into()))
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
        result.map_err(|error| Box::new(self.context.host_error(&self.name, self.line, &error)))
    }

    pub(crate) fn argument(&self, place: usize) -> Value {
        self.arguments.get(place).cloned().unwrap_or(Value::Nil)
    }

    pub(crate) fn at_most(&self, count: usize) -> Outcome<()> {
        if self.arguments.len() > count {
            let given = self.arguments.len();
            return Err(self.mistake(format!(
                "`{}` takes at most {count} arguments, {given} were given",
                self.name
            )));
        }
        Ok(())
    }

    fn wrong(&self, place: usize, wanted: &str) -> Box<ScriptError> {
        const PLACES: [&str; 4] = ["first", "second", "third", "fourth"];
        let place_word = PLACES.get(place).copied().unwrap_or("next");
        let got = describe(&self.argument(place));
        self.mistake(format!(
            "`{}` takes {wanted} as its {place_word} argument, got {got}",
            self.name
        ))
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

    /// The options at `place`: a table with only these keys. Absent is empty.
    pub(crate) fn options(
        &self,
        place: usize,
        allowed: &'static [&'static str],
    ) -> Outcome<Options> {
        let table = match self.argument(place) {
            Value::Nil => None,
            Value::Table(table) => Some(table),
            _ => return Err(self.wrong(place, "a table of options")),
        };
        let options = Options { call: self.clone(), table };
        options.known(allowed)?;
        Ok(options)
    }
}

/// The options of a call.
pub(crate) struct Options {
    call: Call,
    table: Option<Table>,
}

impl Options {
    /// Only these keys may be there.
    fn known(&self, allowed: &[&str]) -> Outcome<()> {
        let call = &self.call;
        for key in self.keys()? {
            if !allowed.contains(&key.as_str()) {
                let message = format!("`{}` has no option `{key}`", call.name);
                let mut error =
                    call.context.option_mistake(&call.name, call.line, &key, false, message);
                error.label = nearest(&key, allowed.iter().copied())
                    .map(|meant| format!("did you mean `{meant}`?"));
                error.help = Some(format!("options: {}", allowed.join(", ")));
                return Err(Box::new(error));
            }
        }
        Ok(())
    }

    fn keys(&self) -> Outcome<Vec<String>> {
        let Some(table) = &self.table else { return Ok(Vec::new()) };
        let mut keys = Vec::new();
        for pair in table.clone().pairs::<Value, Value>() {
            match pair {
                Ok((Value::String(key), _)) => keys.push(key.to_string_lossy()),
                Ok((other, _)) => {
                    return Err(self.call.mistake(format!(
                        "the options of `{}` have names, this one is {}",
                        self.call.name,
                        describe(&other)
                    )));
                }
                Err(error) => return Err(self.call.mistake(error.to_string())),
            }
        }
        keys.sort();
        Ok(keys)
    }

    pub(crate) fn get(&self, key: &str) -> Value {
        let value = self.table.as_ref().map(|table| table.raw_get::<Value>(key));
        value.and_then(Result::ok).unwrap_or(Value::Nil)
    }

    pub(crate) fn mistake(&self, key: &str, message: String) -> Box<ScriptError> {
        let call = &self.call;
        Box::new(call.context.option_mistake(&call.name, call.line, key, true, message))
    }

    fn wrong(&self, key: &str, wanted: &str) -> Box<ScriptError> {
        let got = describe(&self.get(key));
        self.mistake(key, format!("`{key}` of `{}` takes {wanted}, got {got}", self.call.name))
    }

    pub(crate) fn duration(&self, key: &str) -> Outcome<Option<Duration>> {
        let value = self.get(key);
        if value.is_nil() {
            return Ok(None);
        }
        as_duration(&value).map(Some).map_err(|why| {
            let message = format!("`{key}` of `{}` is a length of time, but {why}", self.call.name);
            let mut error = self.mistake(key, message);
            if let Value::Integer(number) = value {
                error.label = Some(format!("write `\"{number}s\"`"));
            }
            error
        })
    }

    /// The same for a length that is part of the plan, not a deadline.
    pub(crate) fn planned(&self, key: &str) -> Outcome<Option<Duration>> {
        let length = self.duration(key)?;
        Ok(length.map(|length| self.call.context.planned(&self.get(key), length)))
    }

    pub(crate) fn text(&self, key: &str) -> Outcome<Option<String>> {
        match self.get(key) {
            Value::Nil => Ok(None),
            Value::String(text) => Ok(Some(text.to_string_lossy())),
            _ => Err(self.wrong(key, "text")),
        }
    }

    pub(crate) fn boolean(&self, key: &str) -> Outcome<Option<bool>> {
        match self.get(key) {
            Value::Nil => Ok(None),
            Value::Boolean(truth) => Ok(Some(truth)),
            _ => Err(self.wrong(key, "true or false")),
        }
    }

    /// A whole number of at least 1.
    pub(crate) fn count(&self, key: &str) -> Outcome<Option<u64>> {
        match self.get(key) {
            Value::Nil => Ok(None),
            Value::Integer(number) if number >= 1 => Ok(u64::try_from(number).ok()),
            _ => Err(self.wrong(key, "a whole number of at least 1")),
        }
    }

    pub(crate) fn texts(&self, key: &str) -> Outcome<Vec<String>> {
        match self.get(key) {
            Value::Nil => Ok(Vec::new()),
            Value::Table(list) => list
                .sequence_values::<String>()
                .collect::<Result<_, _>>()
                .map_err(|_| self.wrong(key, "a list of texts")),
            _ => Err(self.wrong(key, "a list of texts")),
        }
    }

    /// A table of texts by name.
    pub(crate) fn text_map(&self, key: &str) -> Outcome<BTreeMap<String, String>> {
        match self.get(key) {
            Value::Nil => Ok(BTreeMap::new()),
            Value::Table(table) => table
                .pairs::<String, String>()
                .collect::<Result<_, _>>()
                .map_err(|_| self.wrong(key, "a table of texts by name")),
            _ => Err(self.wrong(key, "a table of texts by name")),
        }
    }

    /// `since`: a fault's hit, or a length of time before now.
    pub(crate) fn since(&self) -> Outcome<Since> {
        let value = self.get("since");
        if value.is_nil() {
            return Ok(self.call.since());
        }
        if let Some(hit) = as_data::<Hit>(&value) {
            return Ok(Since::Fault(hit.fault));
        }
        self.duration("since").map(|length| length.map_or(self.call.since(), Since::Ago))
    }

    /// An amount of bytes.
    pub(crate) fn size(&self, key: &str) -> Outcome<Option<ByteSize>> {
        let value = self.get(key);
        if value.is_nil() {
            return Ok(None);
        }
        as_size(&value).map(Some).map_err(|why| {
            self.mistake(key, format!("`{key}` of `{}` is a size, but {why}", self.call.name))
        })
    }

    /// An amount a second: `"500/s"`, `"30/min"`.
    pub(crate) fn rate(&self, key: &str) -> Outcome<Option<f64>> {
        let value = self.get(key);
        if value.is_nil() {
            return Ok(None);
        }
        as_rate(&value).map(Some).map_err(|why| {
            self.mistake(key, format!("`{key}` of `{}` is a rate, but {why}", self.call.name))
        })
    }

    /// Bytes a second: `"256KiB/s"`.
    pub(crate) fn byte_rate(&self, key: &str) -> Outcome<Option<u64>> {
        let value = self.get(key);
        if value.is_nil() {
            return Ok(None);
        }
        as_byte_rate(&value).map(Some).map_err(|why| {
            self.mistake(
                key,
                format!("`{key}` of `{}` is bytes a second, but {why}", self.call.name),
            )
        })
    }

    /// A whole number, zero too.
    pub(crate) fn whole(&self, key: &str) -> Outcome<Option<u64>> {
        match self.get(key) {
            Value::Nil => Ok(None),
            Value::Integer(number) if number >= 0 => Ok(u64::try_from(number).ok()),
            _ => Err(self.wrong(key, "a whole number")),
        }
    }

    /// Options within an option, with only these keys. Absent is empty.
    pub(crate) fn nested(&self, key: &str, allowed: &'static [&'static str]) -> Outcome<Self> {
        let nested = self.within(key)?;
        nested.known(allowed)?;
        Ok(nested)
    }

    /// The table of an option, whatever its keys.
    pub(crate) fn within(&self, key: &str) -> Outcome<Self> {
        let table = match self.get(key) {
            Value::Nil => None,
            Value::Table(table) => Some(table),
            _ => return Err(self.wrong(key, "a table")),
        };
        Ok(Self { call: self.call.clone(), table })
    }

    /// The options of the same call with nothing given.
    pub(crate) fn nothing(&self) -> Self {
        Self { call: self.call.clone(), table: None }
    }

    /// The keys of the table of an option, in their order.
    pub(crate) fn names(&self, key: &str) -> Outcome<Vec<String>> {
        self.within(key)?.keys()
    }

    /// What to say of an option that is needed and not there.
    pub(crate) fn missing(&self, key: &str, wanted: &str) -> Box<ScriptError> {
        self.call.mistake(format!("`{}` needs `{key}`: {wanted}", self.call.name))
    }

    /// A share: text such as "10%". 1.0 is 100 %.
    pub(crate) fn percent(&self, key: &str) -> Outcome<Option<Percent>> {
        let value = self.get(key);
        if value.is_nil() {
            return Ok(None);
        }
        as_percent(&value).map(Some).map_err(|why| {
            let message = format!("`{key}` of `{}` is a share, but {why}", self.call.name);
            self.mistake(key, message)
        })
    }

    /// Nodes: one, a list, or a mesh. Of a mesh, all nodes or only those that live.
    pub(crate) fn nodes(&self, key: &str, only_live: bool) -> Outcome<Option<Vec<NodeId>>> {
        let value = self.get(key);
        if value.is_nil() {
            return Ok(None);
        }
        let nodes = self.call.nodes_in(&value, only_live)?;
        nodes.map(Some).ok_or_else(|| self.wrong(key, NODES))
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

/// A function of the language that waits. The call's place is taken before its first wait.
pub(crate) fn waiting<F, FR, R>(
    lua: &Lua,
    context: &Arc<Context>,
    name: &'static str,
    body: F,
) -> mlua::Result<Function>
where
    F: Fn(Call) -> FR + Send + Sync + 'static,
    FR: Future<Output = Outcome<R>> + Send + 'static,
    R: IntoLuaMulti,
{
    let context = Arc::clone(context);
    lua.create_async_function(move |lua, arguments: MultiValue| {
        let call = Call::new(&context, &lua, name, arguments);
        let context = Arc::clone(&context);
        let work = body(call);
        async move {
            let result = work.await;
            context.touch();
            result.map_err(|error| mlua::Error::external(*error))
        }
    })
}

/// A function of the language that does not wait.
pub(crate) fn instant<F, R>(
    lua: &Lua,
    context: &Arc<Context>,
    name: &'static str,
    body: F,
) -> mlua::Result<Function>
where
    F: Fn(Call) -> Outcome<R> + Send + Sync + 'static,
    R: IntoLuaMulti,
{
    let context = Arc::clone(context);
    lua.create_function(move |lua, arguments: MultiValue| {
        body(Call::new(&context, lua, name, arguments))
            .map_err(|error| mlua::Error::external(*error))
    })
}
