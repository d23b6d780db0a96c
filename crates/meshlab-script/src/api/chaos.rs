//! `chaos(options, body)`: faults by a schedule that the run's seed draws.

use std::{sync::Arc, time::Duration};

use meshlab_engine::{ChaosKind, ChaosOptions};
use meshlab_model::{ChaosTally, Percent};
use mlua::{Lua, MultiValue, Result, Table, Value};
use tokio::sync::watch;

use super::{
    fault_entries::{Entry, aim, entry, entry_names, settings},
    node::table,
};
use crate::{
    call::{Call, Options, Outcome, waiting},
    context::Context,
    error::nearest,
};

const OPTIONS: &[&str] = &[
    "on",
    "faults",
    "every",
    "jitter",
    "duration",
    "at_once",
    "detect_within",
    "flake_budget",
    "skip_budget",
];
const DETECT_WITHIN: Duration = Duration::from_secs(30);
const SKIP_BUDGET: Percent = Percent(0.1);
/// Faults that may act at once; more is a mistake in the scenario.
const AT_ONCE_MAX: u64 = 100;

pub(crate) fn install(lua: &Lua, context: &Arc<Context>, globals: &Table) -> Result<()> {
    globals.raw_set("chaos", waiting(lua, context, "chaos", chaos)?)
}

async fn chaos(call: Call) -> Outcome<MultiValue> {
    call.at_most(2)?;
    let host = Arc::clone(call.host()?);
    let options = call.options(0, OPTIONS)?;
    let body = match call.argument(1) {
        Value::Nil => None,
        _ => Some(call.function(1)?),
    };
    let wanted = wanted(&call, &options, body.is_some())?;
    let (over, ended) = watch::channel(false);
    let storm = host.chaos(wanted, ended, call.at());
    let place = call.place()?;
    let Some(body) = body else {
        tokio::pin!(storm);
        let tally = tokio::select! {
            biased;
            tally = &mut storm => tally,
            () = place.task.cancelled() => {
                // It ends by itself when it is told to, and takes back what it did.
                over.send_replace(true);
                storm.await
            }
        };
        call.go_on()?;
        return report(&call, call.answer(tally)?, MultiValue::new());
    };
    let during = async {
        let place = place.since(host.now());
        let result = place.run(body.call_async::<MultiValue>(())).await;
        over.send_replace(true);
        result
    };
    let (tally, result) = tokio::join!(storm, during);
    // The body's own error is the one that is told: what failed first.
    let result = result.map_err(|error| Box::new(crate::unwind::unwind(&call.context, &error)))?;
    report(&call, call.answer(tally)?, result)
}

fn wanted(call: &Call, options: &Options, has_body: bool) -> Outcome<ChaosOptions> {
    let on = options.nodes("on", false)?;
    let on = on.ok_or_else(|| options.missing("on", "a mesh, or a list of nodes, to hurt"))?;
    let every = options.planned("every")?;
    let every = every.ok_or_else(|| options.missing("every", "the time between two faults"))?;
    if every.is_zero() {
        return Err(options.mistake("every", "`every` of `chaos` is more than \"0s\"".to_owned()));
    }
    let duration = options.planned("duration")?;
    if duration.is_none() && !has_body {
        return Err(options.missing("duration", "how long it lasts, or a body that it lasts for"));
    }
    let at_once = options.count("at_once")?.unwrap_or(1);
    if at_once > AT_ONCE_MAX {
        let message = format!("`at_once` of `chaos` is at most {AT_ONCE_MAX}, got {at_once}");
        return Err(options.mistake("at_once", message));
    }
    Ok(ChaosOptions {
        on,
        kinds: kinds(call, options)?,
        every,
        jitter: options.planned("jitter")?.unwrap_or_default(),
        duration,
        at_once: usize::try_from(at_once).unwrap_or(1),
        detect_within: options.duration("detect_within")?.unwrap_or(DETECT_WITHIN),
        flake_budget: share(options, "flake_budget", Percent(0.0))?,
        skip_budget: share(options, "skip_budget", SKIP_BUDGET)?,
    })
}

fn share(options: &Options, key: &str, usual: Percent) -> Outcome<Percent> {
    let share = options.percent(key)?.unwrap_or(usual);
    if (0.0..=1.0).contains(&share.0) {
        return Ok(share);
    }
    let message = format!("`{key}` of `chaos` is \"0%\" to \"100%\", got {share}");
    Err(options.mistake(key, message))
}

/// `faults = { kill_node = 1, wedge_node = { weight = 2, hold = "3s" } }`
fn kinds(call: &Call, options: &Options) -> Outcome<Vec<ChaosKind>> {
    let names = options.names("faults")?;
    if names.is_empty() {
        let wanted = "the faults with their weights, for example `{ kill_node = 1 }`";
        return Err(options.missing("faults", wanted));
    }
    let mut kinds = Vec::new();
    for name in names {
        let entry = entry(&name).ok_or_else(|| unknown(call, &name))?;
        kinds.push(kind(call, options, entry, &name)?);
    }
    Ok(kinds)
}

fn unknown(call: &Call, name: &str) -> Box<crate::error::ScriptError> {
    let message = format!("`chaos` knows no fault `{name}`");
    let mut error = call.context.option_mistake(&call.name, call.line, name, false, message);
    error.label = nearest(name, entry_names()).map(|meant| format!("did you mean `{meant}`?"));
    error.help = Some(format!("faults: {}", entry_names().collect::<Vec<_>>().join(", ")));
    Box::new(error)
}

fn kind(call: &Call, options: &Options, entry: &Entry, name: &str) -> Outcome<ChaosKind> {
    let all = options.within("faults")?;
    let (weight, own) = match all.get(name) {
        Value::Table(_) => {
            let own = all.nested(name, entry.chaos)?;
            (own.get("weight"), own)
        }
        // What it cannot do without is asked of it as of the fault by itself.
        _ if let Some(example) = entry.example() => {
            let example = format!("`{name} = {{ {example} }}`");
            return Err(all.mistake(name, format!("`{name}` needs options, for example {example}")));
        }
        weight => (weight, all.nothing()),
    };
    let hold = own.duration("hold")?;
    let (aim, settings) = (aim(entry, &own)?, settings(entry, call, &own)?);
    let weight = match weight {
        Value::Nil => 1.0,
        Value::Integer(weight) => weight as f64,
        Value::Number(weight) => weight,
        _ => f64::NAN,
    };
    if !weight.is_finite() || weight < 0.0 {
        let message = format!("the weight of `{name}` is a number of at least 0");
        return Err(all.mistake(name, message));
    }
    Ok(ChaosKind { fault: name.to_owned(), weight, aim, settings, hold })
}

fn report(call: &Call, tally: ChaosTally, result: MultiValue) -> Outcome<MultiValue> {
    let ChaosTally { planned, detected, missed, skipped, inconclusive, broken } = tally;
    let fields: [(&str, u64); 6] = [
        ("planned", planned),
        ("injected", detected + missed + inconclusive + broken),
        ("detected", detected),
        ("missed", missed),
        ("skipped", skipped),
        ("inconclusive", inconclusive),
    ];
    let report = table(call, |report| {
        fields.into_iter().try_for_each(|(name, count)| report.raw_set(name, count))
    })?;
    Ok([Value::Table(report)].into_iter().chain(result).collect())
}
