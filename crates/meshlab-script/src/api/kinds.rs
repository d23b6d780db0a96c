//! `kind`: how to run a program that nobody wrote for this harness, and `expect.answers`, which
//! asks it from outside.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use meshlab_engine::{
    Answers, Claim, NODE_BINARY, NodeKind, PLACEHOLDERS, Readiness, SIGNALS, SharedKind, Template,
    Transport, Word, Words,
};
use meshlab_wire::span;
use mlua::{Lua, MetaMethod, Result, Table, UserData, UserDataFields, UserDataMethods, Value};

use super::{
    binaries::BinaryRef,
    kind_definitions::{KIND, KIND_CLASS, SPAN_WORD},
    mesh::missing,
};
use crate::{
    call::{Call, Options, Outcome, as_data, describe, instant},
    context::Context,
    error::nearest,
};

/// Unless the kind says otherwise; that of our own node.
const PORT: u16 = 7777;
const READY_WITHIN: Duration = Duration::from_secs(20);
const GRACE: Duration = Duration::from_secs(4);
const DEAD_AFTER: Duration = Duration::from_secs(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A kind of node.
#[derive(Clone)]
pub(crate) struct KindRef {
    kind: SharedKind,
    context: Arc<Context>,
}

impl UserData for KindRef {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_field_method_get("name", |_, this| Ok(this.kind.name.clone()));
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_meta_method(MetaMethod::Index, |lua, this, key: Value| {
            Err::<Value, _>(missing(&this.context, lua, "a kind", &key, &KIND_CLASS))
        });
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| Ok(this.kind.name.clone()));
    }
}

pub(crate) fn install(lua: &Lua, context: &Arc<Context>, globals: &Table) -> Result<()> {
    globals.raw_set("kind", instant(lua, context, &KIND, kind)?)
}

/// The option `kind` of a mesh or a node.
pub(super) fn chosen(options: &Options) -> Outcome<Option<SharedKind>> {
    let value = options.get("kind");
    if value.is_nil() {
        return Ok(None);
    }
    let kind = as_data::<KindRef>(&value).map(|kind| kind.kind);
    kind.map(Some).ok_or_else(|| {
        let got = describe(&value);
        options.mistake("kind", format!("`kind` takes what `kind {{ ... }}` gave, got {got}"))
    })
}

fn kind(call: Call) -> Outcome<KindRef> {
    if call.context.in_test() {
        let help = "write `local name = kind { ... }` at the top of the file, or in a library";
        return Err(call.mistake_with("`kind` cannot be used inside a `test`", help));
    }
    let options = call.options(0)?;
    let name = options.text("name")?.ok_or_else(|| options.missing("name", "a word for it"))?;
    let fit = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 40 || !name.chars().all(fit) {
        let message = format!("`{name}` cannot be a kind's name: use letters, digits, `-` and `_`");
        return Err(options.mistake("name", message));
    }
    let binary = program(&call, &options, &name)?;
    let stop = options.nested("stop")?;
    let ready = options.nested("ready")?;
    let answers = answers_of(&options)?;
    let readiness = readiness(&options, &ready, answers.is_some())?;
    let kind = NodeKind {
        name,
        binary,
        arguments: arguments(&options)?,
        shell: shell(&options)?,
        capture: capture(&options)?,
        ends: options.boolean("ends")?.unwrap_or(false),
        env: templates(&options, "env")?,
        files: templates(&options, "files")?,
        port: port(&options)?,
        seed: match options.text("seed")? {
            Some(text) => template(&options, "seed", &text)?,
            None => template(&options, "seed", "{bind}")?,
        },
        seed_separator: options.text("seed_separator")?.unwrap_or_else(|| ",".to_owned()),
        ready: readiness,
        ready_within: ready.duration("within")?.unwrap_or(READY_WITHIN),
        stop_signal: signal(&stop)?,
        stop_grace: stop.duration("grace")?.unwrap_or(GRACE),
        answers,
        words: words(&options)?,
        dead_after: options.duration("dead_after")?.unwrap_or(DEAD_AFTER),
        preloads_clock: preloads_clock(&options)?,
    };
    Ok(KindRef { kind: Arc::new(kind), context: Arc::clone(&call.context) })
}

/// The name that its program has in the run.
fn program(call: &Call, options: &Options, name: &str) -> Outcome<String> {
    let value = options.get("program");
    if let Some(binary) = as_data::<BinaryRef>(&value) {
        return Ok(binary.name);
    }
    let Value::String(path) = &value else {
        let wanted = "a path, a name that is on PATH, or a binary of the scenario";
        return Err(match value {
            Value::Nil => options.missing("program", wanted),
            other => {
                let got = describe(&other);
                options.mistake("program", format!("`program` takes {wanted}, got {got}"))
            }
        });
    };
    let path = path.to_string_lossy();
    if path == NODE_BINARY {
        return Ok(NODE_BINARY.to_owned());
    }
    let mut declared = call.context.lock_declared();
    let taken = name == NODE_BINARY
        || declared.options.as_ref().is_some_and(|one| one.binaries.iter().any(|b| b == name))
        || declared.programs.contains_key(name);
    if taken {
        drop(declared);
        let message = format!("there is a program `{name}` already; give the kind another name");
        return Err(options.mistake("name", message));
    }
    declared.programs.insert(name.to_owned(), path);
    if let Some(install) = options.text("install")? {
        declared.installs.insert(name.to_owned(), install);
    }
    Ok(name.to_owned())
}

fn template(options: &Options, key: &str, text: &str) -> Outcome<Template> {
    Template::parse(text).map_err(|word| {
        let names = || PLACEHOLDERS.iter().map(|(name, _)| *name);
        let mut error = options.mistake(key, format!("there is no placeholder `{{{word}}}`"));
        error.label = nearest(&word, names()).map(|meant| format!("did you mean `{{{meant}}}`?"));
        let all: Vec<&str> = names().collect();
        error.help = Some(format!(
            "there is {}; `{{{{{word}}}}}` stands for the text `{{{word}}}` itself",
            all.join(", ")
        ));
        error
    })
}

/// Texts, and groups of texts that are left out together.
fn arguments(options: &Options) -> Outcome<Vec<Vec<Template>>> {
    let wrong = || {
        let message = "`arguments` is a list of texts; a list in it is left out where a \
                       placeholder in it is empty: `{ \"--listen\", \"{bind}\", { \"--seed\", \
                       \"{seed}\" } }`";
        options.mistake("arguments", message.to_owned())
    };
    let list = match options.get("arguments") {
        Value::Nil => return Ok(Vec::new()),
        Value::Table(list) => list,
        _ => return Err(wrong()),
    };
    let one = |text: &Value| match text {
        Value::String(text) => template(options, "arguments", &text.to_string_lossy()),
        _ => Err(wrong()),
    };
    let mut groups = Vec::new();
    for value in list.sequence_values::<Value>() {
        let value = value.map_err(|_| wrong())?;
        groups.push(match &value {
            Value::Table(group) => group
                .sequence_values::<Value>()
                .map(|text| one(&text.map_err(|_| wrong())?))
                .collect::<Outcome<Vec<_>>>()?,
            text => vec![one(text)?],
        });
    }
    Ok(groups)
}

fn shell(options: &Options) -> Outcome<Option<Template>> {
    let Some(line) = options.text("shell")? else { return Ok(None) };
    if !options.get("arguments").is_nil() {
        let message = "`shell` has the arguments in it: leave `arguments` away".to_owned();
        return Err(options.mistake("arguments", message));
    }
    if !line.contains("{program}") {
        let message = "`shell` does not have `{program}`, so it would not run it".to_owned();
        return Err(options.mistake("shell", message));
    }
    template(options, "shell", &line).map(Some)
}

/// A pattern with one place that is taken out.
fn capture(options: &Options) -> Outcome<Option<String>> {
    let Some(pattern) = options.text("capture")? else { return Ok(None) };
    match pattern.split_once('*') {
        Some((before, after)) if !before.is_empty() && !after.contains('*') => Ok(Some(pattern)),
        _ => {
            let message = "`capture` is a text and one `*` after it: `connect with *`".to_owned();
            Err(options.mistake("capture", message))
        }
    }
}

fn templates(options: &Options, key: &str) -> Outcome<BTreeMap<String, Template>> {
    let texts = options.text_map(key)?.into_iter();
    texts.map(|(name, text)| Ok((name, template(options, key, &text)?))).collect()
}

fn port(options: &Options) -> Outcome<u16> {
    let Some(port) = options.count("port")? else { return Ok(PORT) };
    u16::try_from(port).map_err(|_| {
        options.mistake("port", format!("`port` is 1 to 65535, got the number {port}"))
    })
}

fn preloads_clock(options: &Options) -> Outcome<bool> {
    match options.text("clock")?.as_deref() {
        None => Ok(false),
        Some("preload") => Ok(true),
        Some(other) => {
            Err(options.mistake("clock", format!("`clock` is \"preload\", got \"{other}\"")))
        }
    }
}

fn transport(options: &Options, key: &str) -> Outcome<Option<Transport>> {
    match options.text(key)?.as_deref() {
        None => Ok(None),
        Some("tcp") => Ok(Some(Transport::Tcp)),
        Some("udp") => Ok(Some(Transport::Udp)),
        Some(other) => {
            Err(options.mistake(key, format!("`{key}` is \"tcp\" or \"udp\", got \"{other}\"")))
        }
    }
}

/// What shows that it is ready: exactly one thing.
fn readiness(options: &Options, ready: &Options, answers: bool) -> Outcome<Readiness> {
    let mut said = Vec::new();
    said.extend(ready.text("log")?.map(Readiness::Log));
    said.extend(ready.text("span")?.map(Readiness::Span));
    said.extend(transport(ready, "port")?.map(Readiness::Port));
    let command = ready.texts("command")?;
    if !command.is_empty() {
        let words = command.iter().map(|word| template(ready, "command", word));
        said.push(Readiness::Command(words.collect::<Outcome<_>>()?));
    }
    if ready.boolean("answers")?.unwrap_or(false) {
        if !answers {
            let message = "`ready = { answers = true }` needs `answers`: what it is asked";
            return Err(options.mistake("ready", message.to_owned()));
        }
        said.push(Readiness::Answers);
    }
    let empty = |one: &Readiness| match one {
        Readiness::Log(text) | Readiness::Span(text) => text.trim().is_empty(),
        _ => false,
    };
    match said.len() {
        1 if !said.iter().any(empty) => Ok(said.remove(0)),
        1 => Err(options.mistake("ready", "`ready` is shown by a text that is not empty".into())),
        _ => {
            let one = "one of `log`, `span`, `port`, `command` and `answers`";
            Err(options.missing("ready", &format!("what shows that it is ready, {one}")))
        }
    }
}

fn signal(stop: &Options) -> Outcome<i32> {
    let name = stop.text("signal")?.unwrap_or_else(|| "SIGTERM".to_owned());
    let found = SIGNALS.iter().find(|(known, _)| *known == name);
    found.map(|(_, signal)| *signal).ok_or_else(|| {
        let names: Vec<&str> = SIGNALS.iter().map(|(name, _)| *name).collect();
        let message = format!("`signal` is one of {}, got \"{name}\"", names.join(", "));
        stop.mistake("signal", message)
    })
}

fn answers_of(options: &Options) -> Outcome<Option<Answers>> {
    if options.get("answers").is_nil() {
        return Ok(None);
    }
    let answers = options.nested("answers")?;
    let (tcp, udp) = (answers.text("tcp")?, answers.text("udp")?);
    let contains = answers.text("contains")?.unwrap_or_default();
    let (transport, send) = match (tcp, udp) {
        (Some(send), None) => (Transport::Tcp, send),
        (None, Some(send)) if !send.is_empty() => (Transport::Udp, send),
        (None, Some(_)) => {
            let message = "an empty packet asks nothing: `udp` of `answers` is what is sent";
            return Err(options.mistake("answers", message.to_owned()));
        }
        _ => return Err(options.missing("answers", "what it is asked, by `tcp` or by `udp`")),
    };
    Ok(Some(Answers {
        transport,
        send: template(options, "answers", &send)?,
        contains: template(options, "answers", &contains)?,
    }))
}

/// `spans = "standard"`, or a word for each of its own.
fn words(options: &Options) -> Outcome<Words> {
    match options.get("spans") {
        Value::Nil => return Ok(Words::None),
        Value::String(text) if text.to_string_lossy() == "standard" => return Ok(Words::Standard),
        Value::Table(_) => {}
        other => {
            let message = format!(
                "`spans` is \"standard\", or a table from the program's names to the standard \
                 ones, got {}",
                describe(&other)
            );
            return Err(options.mistake("spans", message));
        }
    }
    let mut words = BTreeMap::new();
    let table = options.within("spans")?;
    for own in options.names("spans")? {
        let word = match table.get(&own) {
            Value::String(means) => Word { means: means.to_string_lossy(), ..Word::default() },
            _ => {
                let word = table.within(&own)?.held_to(&SPAN_WORD)?;
                Word {
                    means: word.text("is")?.ok_or_else(|| word.missing("is", "a standard name"))?,
                    attributes: word.text_map("attributes")?,
                    with: word.text_map("with")?,
                }
            }
        };
        if !span::ALL.contains(&word.means.as_str()) {
            let message = format!("`{}` is no standard name of a span", word.means);
            let mut error = options.mistake("spans", message);
            error.label = nearest(&word.means, span::ALL.iter().copied())
                .map(|meant| format!("did you mean `{meant}`?"));
            error.help = Some(format!("the standard names: {}", span::ALL.join(", ")));
            return Err(error);
        }
        words.insert(own, word);
    }
    Ok(Words::Mapped(words))
}

/// `expect.answers`
pub(super) fn answers(call: &Call) -> Outcome<Claim> {
    call.host()?;
    let nodes = call.live_nodes(0)?;
    let options = call.options(1)?;
    Ok(Claim::Answers {
        nodes,
        from: options.nodes("from", true)?,
        within: options.duration("within")?.unwrap_or(ANSWER_WITHIN),
    })
}

/// `expect.file`
pub(super) fn file(call: &Call) -> Outcome<Claim> {
    call.host()?;
    let nodes = call.live_nodes(0)?;
    let options = call.options(1)?;
    let path = options.text("path")?.ok_or_else(|| options.missing("path", "which file"))?;
    let holds = match options.get("holds") {
        Value::String(bytes) => bytes.as_bytes().to_vec(),
        Value::Nil => return Err(options.missing("holds", "all of its bytes")),
        other => {
            let message = format!("`holds` takes a text, got {}", describe(&other));
            return Err(options.mistake("holds", message));
        }
    };
    let within = options.duration("within")?.unwrap_or(ANSWER_WITHIN);
    Ok(Claim::File { nodes, path, holds: holds.into(), within })
}
