//! Claims about the order and the density of spans: `sequence`, `follows`, `counts`, `never`.

use std::{sync::Arc, time::Duration};

use meshlab_engine::{Claim, ClaimOutcome, Since, SpanQuery, Temporal};
use meshlab_model::Severity;
use mlua::{MultiValue, Value};

use super::{
    query::{part, query, query_since, senders},
    tasks::begin,
};
use crate::{
    call::{Call, Options, Outcome},
    error::{ErrorKind, ScriptError},
    task::Waited,
};

const WITHIN: Duration = Duration::from_secs(10);
/// What `from` and `from_each` do here, for whoever gives both.
const ONE: &str = "asks for one of them";
const EACH: &str = "for each: use one of the two";
/// How often `never` looks while its body runs.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long `never` waits for spans that are under way when its body ends.
const UNDER_WAY: Duration = Duration::from_millis(250);

pub(super) fn sequence(call: &Call) -> Outcome<Claim> {
    let options = call.options(1)?;
    call.host()?;
    let Value::Table(list) = call.argument(0) else {
        return Err(call.mistake_with(
            format!("`{}` takes a list of spans first", call.name),
            "for example `expect.sequence({ \"drain\", \"leave\" }, { from = node })`",
        ));
    };
    let (from, each) = senders(&options, ONE, EACH)?;
    let since = options.since()?;
    let mut steps = Vec::new();
    for (number, value) in (1..).zip(list.sequence_values::<Value>()) {
        let value = value.map_err(|error| call.mistake(error.to_string()))?;
        steps.push(part(call, &format!("span {number}"), &value, since, from.clone())?);
    }
    Ok(Claim::Temporal(Temporal::Sequence {
        steps,
        each,
        by: options.text("by")?,
        within: options.duration("within")?.unwrap_or(WITHIN),
    }))
}

pub(super) fn follows(call: &Call) -> Outcome<Claim> {
    let name = call.text(0, "a span's name")?;
    let options = call.options(1)?;
    call.host()?;
    let from = options.nodes("from", false)?;
    let then = query(call, name, &options, from.clone())?;
    let after = options.get("after");
    if after.is_nil() {
        return Err(options.missing("after", "the span that is to be followed"));
    }
    let first = part(call, "`after`", &after, then.since, from)?;
    Ok(Claim::Temporal(Temporal::Follows {
        first,
        then,
        by: options.text("by")?,
        within: options.duration("within")?.unwrap_or(WITHIN),
        during: options.duration("during")?,
    }))
}

pub(super) fn counts(call: &Call) -> Outcome<Claim> {
    let name = call.text(0, "a span's name")?;
    let options = call.options(1)?;
    call.host()?;
    let (from, each) = senders(&options, ONE, EACH)?;
    let window = options.duration("window")?;
    let window = window.ok_or_else(|| options.missing("window", "a length of time"))?;
    Ok(Claim::Temporal(Temporal::Counts {
        query: query(call, name, &options, from)?,
        each,
        window,
        at_least: options.count("at_least")?,
        at_most: options.whole("at_most")?,
        during: options.duration("during")?,
    }))
}

/// `no_spans` with `before`: none of them before the first of another.
pub(super) fn before(call: &Call, query: SpanQuery, options: &Options) -> Outcome<Claim> {
    if options.duration("during")?.is_some() {
        let message = "`before` ends the watch, and so does `during`: use one of them";
        return Err(options.mistake("before", message.to_owned()));
    }
    let until = part(call, "`before`", &options.get("before"), query.since, query.from.clone())?;
    let within = options.duration("within")?.unwrap_or(WITHIN);
    Ok(Claim::Temporal(Temporal::Until { query, until, within }))
}

/// Runs a body, and claims that no such span came meanwhile. A failed `expect` ends the body.
pub(super) async fn never(call: Call, severity: Severity) -> Outcome<(ClaimOutcome, MultiValue)> {
    let name = call.text(0, "a span's name")?;
    let options = call.options(1)?;
    let body = call.function(2)?;
    let host = Arc::clone(call.host()?);
    let from = options.nodes("from", false)?;
    let began = host.now();
    let query = query_since(&call, name, &options, from, Since::At(began))?;

    let (task, work) = begin(&call, body, Waited::ByCall)?;
    let mut running = tokio::spawn(work);
    let watch = severity == Severity::Expect && !host.rehearses();
    let mut seen = false;
    let ended = loop {
        tokio::select! {
            ended = &mut running => break ended,
            slept = host.sleep(LOOK_EVERY), if watch && !seen => {
                let looked = slept.and_then(|()| host.count_spans(&query));
                // Why it cannot be looked at is told by the claim below.
                if looked.is_ok_and(|count| count == 0) {
                    continue;
                }
                seen = true;
                call.context.tasks.cancel(&task);
            }
        }
    };
    call.context.tasks.gone(&task).await;
    let broke = |error: tokio::task::JoinError| -> Box<ScriptError> {
        let mut error = call.mistake(format!("the body broke: {error}"));
        error.kind = ErrorKind::Harness;
        error
    };
    let results = match ended.map_err(broke)? {
        Ok(results) => results,
        Err(error) if error.kind == ErrorKind::Withdrawn && seen => MultiValue::new(),
        Err(error) => return Err(error),
    };
    let claim =
        Claim::NoSpans { query, during: Some(UNDER_WAY), meanwhile: " after its body, and in it" };
    let outcome = call.or_cancelled(host.claim(claim, severity, call.at())).await?;
    Ok((outcome, results))
}
