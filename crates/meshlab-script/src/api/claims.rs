//! `expect.*` and `check.*`: the same claims; a failed `expect` ends the test, `check` goes on.

use std::{sync::Arc, time::Duration};

use meshlab_engine::{Claim, ClaimOutcome, Conserved, Counted, InView, Via};
use meshlab_model::{Severity, Verdict, format_duration};
use meshlab_wire::State;
use mlua::{Function, Lua, Result, Table, Value};

use super::{
    claim_definitions as define,
    compare::{at_least, at_most, equal},
    comparison::{improved, not_worse},
    query::{query, senders},
    temporal,
};
use crate::{
    call::{Call, Options, Outcome, describe, waiting_as},
    context::Context,
    define::Definition,
    error::{ErrorKind, nearest},
    sandbox,
    unwind::unwind,
    values::DurationValue,
};

const WITHIN: Duration = Duration::from_secs(10);
/// How often `eventually` asks: a person does not notice the difference, and a script that asks for
/// spans costs nothing at this rate.
const ASK_EVERY: Duration = Duration::from_millis(100);

pub(crate) fn install(lua: &Lua, context: &Arc<Context>, globals: &Table) -> Result<()> {
    for (module, severity) in [("expect", Severity::Expect), ("check", Severity::Check)] {
        let entries = entries(lua, context, severity)?;
        globals.raw_set(module, sandbox::module(lua, context, module, entries)?)?;
    }
    Ok(())
}

type Entries = Vec<(&'static str, Function)>;

type Ask = fn(&Call) -> Outcome<Claim>;

/// Claims that are asked of the engine in one go: their definition, what a failed `check` of them
/// is called, and what they ask.
const ENTRIES: &[(&Definition, &str, Ask)] = &[
    (&define::SPANS, "check.spans", spans),
    (&define::NO_SPANS, "check.no_spans", no_spans),
    (&define::SEQUENCE, "check.sequence", temporal::sequence),
    (&define::FOLLOWS, "check.follows", temporal::follows),
    (&define::COUNTS, "check.counts", temporal::counts),
    (&define::FORMED, "check.formed", formed),
    (&super::kind_definitions::ANSWERS, "check.answers", super::kinds::answers),
    (&super::kind_definitions::FILE, "check.file", super::kinds::file),
    (&define::AGREED, "check.agreed", agreed),
    (&define::CONSERVED, "check.conserved", conserved),
    (&define::STATE, "check.state", state),
    (&define::STATE_LIST, "check.states", states),
    (&define::EQUAL, "check.equal", equal),
    (&define::AT_LEAST, "check.at_least", at_least),
    (&define::AT_MOST, "check.at_most", at_most),
    (&define::IMPROVED, "check.improved", improved),
    (&define::NOT_WORSE, "check.not_worse", not_worse),
];

fn entries(lua: &Lua, context: &Arc<Context>, severity: Severity) -> Result<Entries> {
    let pick = |expect: &'static Definition, check: &'static str| match severity {
        Severity::Expect => expect.name,
        Severity::Check => check,
    };
    let mut entries = Vec::new();
    for (definition, check, claim) in ENTRIES {
        let name = pick(definition, check);
        let function = waiting_as(lua, context, name, definition, move |call| async move {
            let wanted = claim(&call)?;
            let host = Arc::clone(call.host()?);
            let outcome = call.or_cancelled(host.claim(wanted, severity, call.at())).await?;
            met(&call, outcome)
        })?;
        entries.push((definition.short(), function));
    }
    let definition = &define::EVENTUALLY;
    let name = pick(definition, "check.eventually");
    let function =
        waiting_as(lua, context, name, definition, move |call| eventually(call, severity))?;
    entries.push((definition.short(), function));
    let definition = &define::NEVER;
    let name = pick(definition, "check.never");
    let function = waiting_as(lua, context, name, definition, move |call| async move {
        let (outcome, results) = temporal::never(call.clone(), severity).await?;
        let mut values = results;
        values.push_front(Value::Table(met(&call, outcome)?));
        Ok(values)
    })?;
    entries.push((definition.short(), function));
    Ok(entries)
}

/// What a claim hands back: how long it took, and whether it held (a `check` may not have).
fn met(call: &Call, outcome: ClaimOutcome) -> Outcome<Table> {
    call.table(&define::MET, |met| {
        met.raw_set("took", call.lua.create_userdata(DurationValue(outcome.took))?)?;
        met.raw_set("passed", outcome.passed)
    })
}

fn spans(call: &Call) -> Outcome<Claim> {
    let name = call.text(0, "a span's name")?;
    let options = call.options(1)?;
    call.host()?;
    let (from, each) = senders(&options, "counts all together", "each by itself: use one of them")?;
    Ok(Claim::Spans {
        query: query(call, name, &options, from)?,
        each,
        at_least: options.count("at_least")?.unwrap_or(1),
        within: options.duration("within")?.unwrap_or(WITHIN),
    })
}

fn agreed(call: &Call) -> Outcome<Claim> {
    call.host()?;
    let mesh = call.mesh(0)?.id;
    let options = call.options(1)?;
    let within = options.duration("within")?.unwrap_or(WITHIN);
    Ok(Claim::Agreed { mesh, since: call.since(), within })
}

fn formed(call: &Call) -> Outcome<Claim> {
    call.host()?;
    let mesh = call.mesh(0)?.id;
    let options = call.options(1)?;
    let within = options.duration("within")?.unwrap_or(WITHIN);
    Ok(Claim::Formed { mesh, since: call.since(), within })
}

fn conserved(call: &Call) -> Outcome<Claim> {
    call.host()?;
    let nodes = call.live_nodes(0)?;
    let options = call.options(1)?;
    let name =
        |key: &str, example: &str| options.text(key)?.ok_or_else(|| options.missing(key, example));
    let created = name("created", "the name of what counts what is made, \"tasks.spawned\"")?;
    let destroyed = name("destroyed", "the name of what counts what ended, \"tasks.finished\"")?;
    let counted = match options.text("counted")?.as_deref() {
        None | Some("counters") => Counted::Counters,
        Some("spans") => Counted::Spans,
        Some(other) => {
            let message = format!("`counted` is \"counters\" or \"spans\", not \"{other}\"");
            return Err(options.mistake("counted", message));
        }
    };
    let of = match options.text("of")?.as_deref() {
        None | Some("peers") => InView::Peers,
        Some("neighbors") => InView::Neighbors,
        Some(other) => {
            let message = format!("`of` is \"peers\" or \"neighbors\", not \"{other}\"");
            return Err(options.mistake("of", message));
        }
    };
    Ok(Claim::Conserved(Conserved {
        nodes,
        created,
        destroyed,
        counted,
        of,
        per_peer: options.whole("per_peer")?.unwrap_or(1),
        plus: options.whole("plus")?.unwrap_or(0),
        within: options.duration("within")?.unwrap_or(WITHIN),
    }))
}

fn no_spans(call: &Call) -> Outcome<Claim> {
    let name = call.text(0, "a span's name")?;
    let options = call.options(1)?;
    call.host()?;
    let from = options.nodes("from", false)?;
    let query = query(call, name, &options, from)?;
    if !options.get("before").is_nil() {
        return temporal::before(call, query, &options);
    }
    if options.duration("within")?.is_some() {
        let message = "`within` is how soon `before` must come; to watch for a while: `during`";
        return Err(options.mistake("within", message.to_owned()));
    }
    Ok(Claim::NoSpans { query, during: options.duration("during")?, meanwhile: "" })
}

fn state(call: &Call) -> Outcome<Claim> {
    call.host()?;
    let node = call.node(0)?.id;
    let state = call.text(1, "a state's name")?;
    known_state(call, &state)?;
    let options = call.options(2)?;
    Ok(Claim::State {
        node,
        state,
        seen_by: options.nodes("seen_by", true)?,
        via: via(&options)?,
        since: options.since()?,
        within: options.duration("within")?.unwrap_or(WITHIN),
    })
}

fn states(call: &Call) -> Outcome<Claim> {
    call.host()?;
    let node = call.node(0)?.id;
    let states = call.texts(1, "a list of states' names")?;
    for state in &states {
        known_state(call, state)?;
    }
    let options = call.options(2)?;
    Ok(Claim::States {
        node,
        states,
        seen_by: options.nodes("seen_by", true)?,
        via: via(&options)?,
        since: options.since()?,
        within: options.duration("within")?.unwrap_or(WITHIN),
    })
}

/// The state that an argument names.
pub(super) fn state_named(call: &Call, place: usize) -> Outcome<State> {
    let name = call.text(place, "a state's name")?;
    known_state(call, &name)?;
    State::from_name(&name).ok_or_else(|| call.mistake(format!("there is no state `{name}`")))
}

fn known_state(call: &Call, state: &str) -> Outcome<()> {
    if State::from_name(state).is_some() {
        return Ok(());
    }
    let known = State::ALL.map(State::as_str);
    let mut error = call.mistake(format!("there is no state `{state}`"));
    error.label = nearest(state, known).map(|meant| format!("did you mean `{meant}`?"));
    error.help = Some(format!("states: {}", known.join(", ")));
    Err(error)
}

fn via(options: &Options) -> Outcome<Option<Via>> {
    match options.text("via")?.as_deref() {
        None => Ok(None),
        Some("message") => Ok(Some(Via::Message)),
        Some("inference") => Ok(Some(Via::Inference)),
        Some(other) => {
            let message = format!("`via` is \"message\" or \"inference\", not \"{other}\"");
            Err(options.mistake("via", message))
        }
    }
}

/// `eventually(within, label, condition)`: the script's own question, asked again and again.
async fn eventually(call: Call, severity: Severity) -> Outcome<Table> {
    let within = call.duration(0)?;
    let label = call.text(1, "a label")?;
    let condition = call.function(2)?;
    let host = Arc::clone(call.host()?);
    let text = format!("{label} within {}", format_duration(within));
    let opened = host.open_claim("expect.eventually", text, within, severity, call.at());
    let claim = call.answer(opened)?;
    let began = host.now();
    let asked = ask(&call, within, &condition).await;
    let took = host.now().since(began);
    let verdict = match &asked {
        Ok(Answer { held: true, .. }) => Verdict::Passed,
        Ok(Answer { times, .. }) => {
            let plural = if *times == 1 { "" } else { "s" };
            let took = format_duration(took);
            Verdict::Failed(format!("not so after {took}, asked {times} time{plural}"))
        }
        Err(error) if error.kind == ErrorKind::Withdrawn => {
            host.withdraw_claim(claim);
            return Err(error.clone());
        }
        Err(error) => Verdict::Inconclusive(format!("it could not be asked: {}", error.message)),
    };
    let closed = host.close_claim(claim, verdict, severity, took);
    // What kept the question from being asked is the error that is told.
    asked?;
    met(&call, call.answer(closed)?)
}

struct Answer {
    held: bool,
    times: u32,
}

/// Asks until the answer is true or the time is up; once at the very end too.
async fn ask(call: &Call, within: Duration, condition: &Function) -> Outcome<Answer> {
    let host = Arc::clone(call.host()?);
    let began = host.now();
    for times in 1.. {
        let left = within.saturating_sub(host.now().since(began));
        let answer = condition.call_async::<Value>(()).await;
        let answer = answer.map_err(|error| Box::new(unwind(&call.context, &error)))?;
        match answer {
            Value::Boolean(true) => return Ok(Answer { held: true, times }),
            Value::Boolean(false) if left.is_zero() => return Ok(Answer { held: false, times }),
            Value::Boolean(false) => {}
            other => {
                let got = describe(&other);
                let message = format!("the condition of `{}` answered {got}", call.name);
                return Err(call.mistake_with(message, "it returns true or false, nothing else"));
            }
        }
        call.or_cancelled(host.sleep(ASK_EVERY.min(left))).await?;
    }
    // Not reached: the time is up long before a `u32` is.
    Ok(Answer { held: false, times: u32::MAX })
}
