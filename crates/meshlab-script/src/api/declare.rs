//! `scenario`, `test`, `step`: what a file declares, and the parts of a test.

use std::{sync::Arc, time::Duration};

use meshlab_engine::Limits;
use meshlab_model::DeclaredTest;
use mlua::{Lua, MultiValue, Result, Table};

use super::{binaries, limits, params};
use crate::{
    Declaration,
    call::{Call, Outcome, instant, waiting},
    context::Context,
    values::DurationValue,
};

const OPTIONS: &[&str] = &[
    "description",
    "duration",
    "timeout",
    "sample_every",
    "tags",
    "params",
    "binaries",
    "ceilings",
    "trends",
];
const SAMPLE_EVERY_MIN: Duration = Duration::from_millis(100);

pub(crate) fn install(lua: &Lua, context: &Arc<Context>, globals: &Table) -> Result<()> {
    globals.raw_set("scenario", instant(lua, context, "scenario", scenario)?)?;
    globals.raw_set("test", instant(lua, context, "test", test)?)?;
    globals.raw_set("step", waiting(lua, context, "step", step)?)
}

/// A library declares nothing: what a file proves is read in the file.
fn in_scenario(call: &Call) -> Outcome<()> {
    if call.line.file == 0 {
        return Ok(());
    }
    Err(call.mistake(format!("a library cannot call `{}`; its scenario does", call.name)))
}

fn scenario(call: Call) -> Outcome<Table> {
    in_scenario(&call)?;
    call.at_most(1)?;
    let options = call.options(0, OPTIONS)?;
    let timeout = options.duration("timeout")?;
    let declared = options.planned("duration")?;
    let wanted = call.context.overrides.duration;
    if wanted.is_some() && declared.is_none() {
        return Err(call.mistake_with(
            "this scenario declares no `duration`, so there is none to replace",
            "leave `--duration` away",
        ));
    }
    let duration = wanted.or(declared);
    let sample_every = options.duration("sample_every")?.unwrap_or(Duration::from_secs(1));
    if sample_every < SAMPLE_EVERY_MIN {
        return Err(options.mistake(
            "sample_every",
            "`sample_every` is at least \"100ms\": a sample costs what it measures".to_owned(),
        ));
    }
    let params = params::read(&call, &options)?;
    let slack = Duration::from_secs(600);
    let (given, names) = (params.clone(), binaries::declared(&options)?);
    let declaration = Declaration {
        description: options.text("description")?,
        duration,
        timeout: timeout.unwrap_or_else(|| duration.unwrap_or_default() + slack),
        sample_every,
        tags: options.texts("tags")?,
        params,
        binaries: names.clone(),
        ceilings: Limits { of: limits::ceilings(&options)?, at: call.option_at("ceilings") },
        trends: Limits { of: limits::trends(&options)?, at: call.option_at("trends") },
        tests: Vec::new(),
    };
    {
        let mut declared = call.context.lock_declared();
        if declared.options.is_some() || !declared.tests.is_empty() {
            drop(declared);
            return Err(call.mistake("`scenario` is called once, before the first `test`"));
        }
        declared.options = Some(declaration);
    }
    let run = call.lua.create_table().map_err(|error| call.mistake(error.to_string()))?;
    params::table(&call.lua, &call.context, &given)
        .and_then(|table| run.raw_set("params", table))
        .and_then(|()| binaries::table(&call.lua, &call.context, &names))
        .and_then(|table| run.raw_set("binaries", table))
        .map_err(|error| call.mistake(error.to_string()))?;
    if let Some(duration) = duration {
        let value = call.lua.create_userdata(DurationValue(duration));
        value
            .and_then(|value| run.raw_set("duration", value))
            .map_err(|error| call.mistake(error.to_string()))?;
    }
    Ok(run)
}

fn test(call: Call) -> Outcome<()> {
    in_scenario(&call)?;
    call.at_most(2)?;
    let title = call.text(0, "the claim to prove, as text,")?;
    let body = call.function(1)?;
    if call.context.in_test() {
        return Err(call.mistake("a `test` cannot be inside a `test`; use `step` for its parts"));
    }
    if title.trim().is_empty() {
        return Err(call.mistake("a test needs a claim to prove: say what should be true"));
    }
    let source = call.at();
    let mut declared = call.context.lock_declared();
    if declared.tests.iter().any(|(test, _)| test.title == title) {
        drop(declared);
        return Err(call.mistake(format!("there is a test \"{title}\" already")));
    }
    declared.tests.push((DeclaredTest { title, source }, body));
    Ok(())
}

async fn step(call: Call) -> Outcome<MultiValue> {
    call.at_most(2)?;
    let name = call.text(0, "a name")?;
    let body = call.function(1)?;
    let host = Arc::clone(call.host()?);
    let step = host.begin_step(&name, call.at());
    let result = body.call_async::<MultiValue>(()).await;
    host.end_step(step);
    result.map_err(|error| Box::new(crate::unwind::unwind(&call.context, &error)))
}
