//! The options of a call: which there may be, and what each is read as.

use std::{collections::BTreeMap, time::Duration};

use meshlab_engine::Since;
use meshlab_model::{ByteSize, NodeId, Percent};
use mlua::{Table, Value};

use super::{Call, NODES, Outcome, as_data, describe};
use crate::{
    api::Hit,
    define::Class,
    error::{ScriptError, nearest},
    values::{as_byte_rate, as_duration, as_percent, as_rate, as_size},
};

/// The options of a call.
pub(crate) struct Options {
    call: Call,
    keys: Keys,
    table: Option<Table>,
}

/// The keys that a table may have.
#[derive(Clone, Copy)]
enum Keys {
    /// Whatever a scenario gives names to: its parameters.
    Any,
    /// Those of a class.
    Of(&'static Class),
    /// Those of a fault in a `chaos`: its own, and its weight.
    InChaos(&'static Class),
}

const WEIGHT: &str = "weight";

impl Keys {
    fn has(self, key: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Of(class) => class.field(key).is_some(),
            Self::InChaos(class) => {
                key == WEIGHT || class.field(key).is_some_and(|field| !field.by_itself)
            }
        }
    }

    fn names(self) -> Vec<&'static str> {
        let names = |class: &'static Class| class.fields.iter().map(|field| field.name);
        match self {
            Self::Any => Vec::new(),
            Self::Of(class) => names(class).collect(),
            Self::InChaos(class) => {
                [WEIGHT].into_iter().chain(names(class)).filter(|name| self.has(name)).collect()
            }
        }
    }
}

impl Options {
    /// The options of a call, whose class is `class`.
    pub(super) fn of_call(
        call: &Call,
        class: Option<&'static Class>,
        table: Option<Table>,
    ) -> Outcome<Self> {
        let keys = class.map_or(Keys::Any, Keys::Of);
        let options = Self { call: call.clone(), keys, table };
        for (key, why) in call.definition.refused {
            if !options.read(key).is_nil() {
                return Err(options.mistake(key, format!("`{}` {why}", call.name)));
            }
        }
        options.known()?;
        Ok(options)
    }

    /// Only the keys that are defined may be there.
    fn known(&self) -> Outcome<()> {
        let call = &self.call;
        for key in self.keys()? {
            if !self.keys.has(&key) {
                let message = format!("`{}` has no option `{key}`", call.name);
                let mut error =
                    call.context.option_mistake(call.name, call.line, &key, false, message);
                let names = self.keys.names();
                error.label = nearest(&key, names.iter().copied())
                    .map(|meant| format!("did you mean `{meant}`?"));
                error.help = Some(match names.as_slice() {
                    [] => format!("it has no options; {}", call.more()),
                    names => format!("options: {}; {}", names.join(", "), call.more()),
                });
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

    /// An option's value, nil where it was not given. Only what is defined can be asked for.
    pub(crate) fn get(&self, key: &str) -> Value {
        debug_assert!(
            self.keys.has(key),
            "`{}` reads an option `{key}` that is not defined",
            self.call.name
        );
        if let Keys::Of(class) | Keys::InChaos(class) = self.keys {
            self.call.context.reads(class.name, key);
        }
        self.read(key)
    }

    fn read(&self, key: &str) -> Value {
        let value = self.table.as_ref().map(|table| table.raw_get::<Value>(key));
        value.and_then(Result::ok).unwrap_or(Value::Nil)
    }

    pub(crate) fn mistake(&self, key: &str, message: String) -> Box<ScriptError> {
        let call = &self.call;
        Box::new(call.context.option_mistake(call.name, call.line, key, true, message))
    }

    fn wrong(&self, key: &str, wanted: &str) -> Box<ScriptError> {
        let got = describe(&self.get(key));
        let message = format!("`{key}` of `{}` takes {wanted}, got {got}", self.call.name);
        let mut error = self.mistake(key, message);
        error.help = Some(self.call.more());
        error
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

    /// How many nodes the command line wants in the place of a number of `mesh`.
    pub(crate) fn nodes_instead(&self) -> Option<i64> {
        self.call.context.plain_nodes.get().copied().map(i64::from)
    }

    /// Options within an option, with only the keys that are defined of it. Absent is empty.
    pub(crate) fn nested(&self, key: &str) -> Outcome<Self> {
        let inner = match self.keys {
            Keys::Of(class) => class.field(key).and_then(|field| field.inner),
            Keys::Any | Keys::InChaos(_) => None,
        };
        let nested = Self { keys: inner.map_or(Keys::Any, Keys::Of), ..self.within(key)? };
        nested.known()?;
        Ok(nested)
    }

    /// The table of an option, whatever its keys.
    pub(crate) fn within(&self, key: &str) -> Outcome<Self> {
        let table = match self.get(key) {
            Value::Nil => None,
            Value::Table(table) => Some(table),
            _ => return Err(self.wrong(key, "a table")),
        };
        Ok(Self { call: self.call.clone(), keys: Keys::Any, table })
    }

    /// Options within an option whose name the scenario chose, with the keys of this class.
    pub(crate) fn of_class(&self, key: &str, class: &'static Class) -> Outcome<Self> {
        let options = Self { keys: Keys::Of(class), ..self.within(key)? };
        options.known()?;
        Ok(options)
    }

    /// What a `chaos` is told of a fault: the table of an option, or nothing where it is none.
    pub(crate) fn in_chaos(&self, key: &str, class: &'static Class) -> Outcome<Self> {
        let table = self.get(key).as_table().cloned();
        let options = Self { call: self.call.clone(), keys: Keys::InChaos(class), table };
        options.known()?;
        Ok(options)
    }

    /// Whether an option of that name is defined.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.keys.has(key)
    }

    /// The keys of the table of an option, in their order.
    pub(crate) fn names(&self, key: &str) -> Outcome<Vec<String>> {
        self.within(key)?.keys()
    }

    /// What to say of an option that is needed and not there.
    pub(crate) fn missing(&self, key: &str, wanted: &str) -> Box<ScriptError> {
        let message = format!("`{}` needs `{key}`: {wanted}", self.call.name);
        self.call.mistake_with(message, self.call.more())
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
