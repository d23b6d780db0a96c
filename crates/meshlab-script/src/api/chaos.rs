//! `chaos(options, body)`: faults by a schedule that the run's seed draws.

use std::{sync::Arc, time::Duration};

use meshlab_engine::{ChaosKind, ChaosOptions};
use meshlab_model::{ChaosTally, Percent};
use mlua::{Lua, MultiValue, Result, Table, Value};
use tokio::sync::watch;

use super::fault_entries::{Entry, aim, entry, entry_names, settings};
use crate::{
    call::{Call, Options, Outcome, waiting},
    context::Context,
    define::{Class, Definition, Family, Field, WAITS},
    error::nearest,
};

pub(super) const FAMILY: Family = Family {
    title: "Chaos",
    text: "Faults by a schedule that is drawn from the run's seed before the first of them, \
           printed, \
           and kept with planned and actual times: the same seed draws the same on any machine.",
    functions: &[&CHAOS],
    classes: &[&CHAOS_OPTIONS, &CHAOS_REPORT],
    aliases: &[],
};

const CHAOS_OPTIONS: Class = Class::options(
    "ChaosOptions",
    "Which faults, how often, and what is forgiven.",
    &[
        Field::needed("on", "From", "who may be hurt"),
        Field::needed("faults", "FaultMix", "which faults, each with its weight or its options"),
        Field::needed("every", "Duration", "the mean time between two of them"),
        Field::or("jitter", "Duration", "\"0s\"", "how far that varies"),
        Field::optional("duration", "Duration", "how long it lasts; needed where there is no body"),
        Field::or("at_once", "integer", "1", "faults that act at the same time, at most 100"),
        Field::or("detect_within", "Duration", "\"30s\"", "how soon one must be noticed, and heal"),
        Field::or("flake_budget", "Percent", "\"0%\"", "the share that may go unnoticed"),
        Field::or(
            "skip_budget",
            "Percent",
            "\"10%\"",
            "the share that may be skipped or undecided",
        ),
    ],
);

pub(super) const CHAOS_REPORT: Class = Class::given(
    "ChaosReport",
    "What came of a chaos, in faults.",
    &[
        Field::needed("planned", "integer", "drawn"),
        Field::needed("injected", "integer", "that acted, or should have"),
        Field::needed("detected", "integer", "noticed and healed"),
        Field::needed("missed", "integer", "unnoticed, or not healed"),
        Field::needed("skipped", "integer", "not applied: none of them counts as passed"),
        Field::needed("inconclusive", "integer", "whose evidence came too late to judge"),
    ],
    &[],
);

const CHAOS: Definition = Definition {
    name: "chaos",
    summary: "Injects faults by a schedule that the run's seed draws, and judges each.",
    text: "What still acts at its end is taken back, and the mesh must be formed then. A chaos in \
           which nothing acted fails. `--time-scale` multiplies `duration`, `every` and `jitter`; \
           a `--duration` in which no fault would be due draws two, after a third each.",
    generic: Some("T"),
    arguments: &[
        Field::needed("options", "ChaosOptions", ""),
        Field::optional("body", "fun(): T", "the chaos lasts as long as this runs"),
    ],
    options: Some(&CHAOS_OPTIONS),
    returns: &[
        Field::needed("report", "ChaosReport", ""),
        Field::needed("result", "T", "what the body returned"),
    ],
    example: "local storm = chaos {\n  on = swarm, duration = \"1m\", every = \"10s\", \
              flake_budget = \"15%\",\n  \
              faults = { kill_node = 1, slow_link = { delay = \"200ms\", hold = \"4s\" } },\n}\n\
              record.metric(\"faults that were noticed and healed\", storm.detected)",
    see_also: &["fault.kill_node", "every"],
    ..WAITS
};

const DETECT_WITHIN: Duration = Duration::from_secs(30);
const SKIP_BUDGET: Percent = Percent(0.1);
/// Faults that may act at once; more is a mistake in the scenario.
const AT_ONCE_MAX: u64 = 100;

pub(crate) fn install(lua: &Lua, context: &Arc<Context>, globals: &Table) -> Result<()> {
    globals.raw_set("chaos", waiting(lua, context, &CHAOS, chaos)?)
}

async fn chaos(call: Call) -> Outcome<MultiValue> {
    let host = Arc::clone(call.host()?);
    let options = call.options(0)?;
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
    let (every, jitter) = cut(call, every, options.planned("jitter")?.unwrap_or_default());
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
        jitter,
        duration,
        at_once: usize::try_from(at_once).unwrap_or(1),
        detect_within: options.duration("detect_within")?.unwrap_or(DETECT_WITHIN),
        flake_budget: share(options, "flake_budget", Percent(0.0))?,
        skip_budget: share(options, "skip_budget", SKIP_BUDGET)?,
    })
}

/// The pace of a schedule that the command line cuts short: where it would draw no fault at all, it
/// draws two.
fn cut(call: &Call, every: Duration, jitter: Duration) -> (Duration, Duration) {
    match call.context.overrides.duration {
        Some(total) if every + jitter > total => (total / 3, jitter.min(total / 12)),
        _ => (every, jitter),
    }
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
    let mut error = call.context.option_mistake(call.name, call.line, name, false, message);
    error.label = nearest(name, entry_names()).map(|meant| format!("did you mean `{meant}`?"));
    error.help = Some(format!("faults: {}", entry_names().collect::<Vec<_>>().join(", ")));
    Box::new(error)
}

fn kind(call: &Call, options: &Options, entry: &Entry, name: &str) -> Outcome<ChaosKind> {
    let all = options.within("faults")?;
    let own = all.in_chaos(name, entry.options())?;
    let (weight, own) = match all.get(name) {
        Value::Table(_) => (own.get("weight"), own),
        // What it cannot do without is asked of it as of the fault by itself.
        _ if let Some(example) = entry.example() => {
            let example = format!("`{name} = {{ {example} }}`");
            return Err(all.mistake(name, format!("`{name}` needs options, for example {example}")));
        }
        weight => (weight, own),
    };
    let hold = if own.has("hold") { own.duration("hold")? } else { None };
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
    let report = call.table(&CHAOS_REPORT, |report| {
        fields.into_iter().try_for_each(|(name, count)| report.raw_set(name, count))
    })?;
    Ok([Value::Table(report)].into_iter().chain(result).collect())
}
