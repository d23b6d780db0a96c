//! `scenario`, `test`, `step`: what a file declares, and the parts of a test.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use meshlab_engine::Limits;
use meshlab_model::DeclaredTest;
use mlua::{Lua, MultiValue, Result, Table};

use super::{
    binaries,
    comparison_definitions::{BOUNDS, TRENDS},
    limits, params,
};
use crate::{
    Declaration,
    call::{Call, Outcome, instant, waiting},
    context::Context,
    define::{Class, Definition, Family, Field, PLAIN, WAITS},
    values::DurationValue,
};

pub(super) const FAMILY: Family = Family {
    title: "The scenario file",
    text: "The top level of a file only declares; nothing runs until a test does. Lua's own \
           `string`, \
           `table`, `math` and `utf8` are there; files, processes and other code are not.",
    functions: &[&SCENARIO, &TEST, &STEP, &crate::library::REQUIRE],
    classes: &[&SCENARIO_OPTIONS, &RUN],
    aliases: &[],
};

const SCENARIO_OPTIONS: Class = Class::options(
    "ScenarioOptions",
    "What a scenario is and how long it may take.",
    &[
        Field::optional("description", "string", "what it is about, for lists and reports"),
        Field::optional(
            "duration",
            "Duration",
            "how long its plan lasts; `--duration` replaces it, `--time-scale` multiplies it",
        ),
        Field::optional(
            "timeout",
            "Duration",
            "hard stop for the whole file, never scaled; its duration and 10 min by default",
        ),
        Field::or("sample_every", "Duration", "\"1s\"", "between two samples, 100 ms at least"),
        Field::optional("tags", "string[]", "words to choose it by, with `--tag`"),
        Field::optional(
            "params",
            "table<string, string|number|boolean>",
            "defaults; `--set name=value` replaces one, which keeps its type",
        ),
        Field::optional("binaries", "string[]", "programs it needs, as `--binary` names them"),
        Field::of("ceilings", &BOUNDS, "the most that a node may use at any sample"),
        Field::of(
            "floors",
            &BOUNDS,
            "the least that a node needs, from ten seconds after its start",
        ),
        Field::of("trends", &TRENDS, "what nodes may grow by"),
    ],
);

const RUN: Class = Class::given(
    "Run",
    "The run of a scenario.",
    &[
        Field::needed("duration", "DurationValue", "of the plan, if it declares one"),
        Field::needed("params", "table<string, any>", "its parameters, read-only"),
        Field::needed("binaries", "table<string, Binary>", "the programs that it declares"),
    ],
    &[],
);

const SCENARIO: Definition = Definition {
    name: "scenario",
    summary: "Declares the file. It is called once, before the first test.",
    text: "The scenario's name is the file's.",
    arguments: &[Field::optional("options", "ScenarioOptions", "")],
    options: Some(&SCENARIO_OPTIONS),
    returns: &[Field::needed("run", "Run", "")],
    example: "local run = scenario {\n  description = \"A mesh of any size forms.\",\n  \
              duration = \"1m\",\n  params = { nodes = 4 },\n  \
              ceilings = { cpu = \"80%\", rss = \"200MiB\" },\n  \
              trends = { rss = { max_growth = \"256KiB/h\", needs = \"6h\" } },\n}\n\n\
              test(\"it forms\", function()\n  \
              local swarm = mesh { nodes = run.params.nodes }\n  \
              expect.formed(swarm, { within = run.duration })\nend)",
    top_level: true,
    see_also: &["test"],
    ..PLAIN
};

const TEST: Definition = Definition {
    name: "test",
    summary: "A claim to prove.",
    text: "Everything that is started inside is stopped when the body ends, however it ends.",
    arguments: &[
        Field::needed("claim", "string", "what should be true, in words"),
        Field::needed("body", "fun()", "how it is proven"),
    ],
    example: "test(\"four nodes find each other\", function()\n  \
              expect.formed(mesh { nodes = 4 })\nend)",
    top_level: true,
    see_also: &["scenario", "step"],
    ..PLAIN
};

const STEP: Definition = Definition {
    name: "step",
    summary: "Names a part of a test, in the live view and in the report.",
    text: "It changes nothing else.",
    generic: Some("T"),
    arguments: &[
        Field::needed("name", "string", "what the part is"),
        Field::needed("body", "fun(): T", "what is done in it"),
    ],
    returns: &[Field::needed("result", "T", "what the body returned")],
    example: "local hit = step(\"one dies\", function()\n  \
              return fault.kill_node(swarm:node(2))\nend)\n\
              expect.state(swarm:node(2), \"Dead\", { since = hit })",
    see_also: &["test", "record.note"],
    ..WAITS
};

const SAMPLE_EVERY_MIN: Duration = Duration::from_millis(100);

pub(crate) fn install(lua: &Lua, context: &Arc<Context>, globals: &Table) -> Result<()> {
    globals.raw_set("scenario", instant(lua, context, &SCENARIO, scenario)?)?;
    globals.raw_set("test", instant(lua, context, &TEST, test)?)?;
    globals.raw_set("step", waiting(lua, context, &STEP, step)?)
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
    let options = call.options(0)?;
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
        programs: BTreeMap::new(),
        installs: BTreeMap::new(),
        ceilings: Limits { of: limits::ceilings(&options)?, at: call.option_at("ceilings") },
        bounds: Limits {
            of: limits::bounds(&options)?,
            at: call.option_at("ceilings").or_else(|| call.option_at("floors")),
        },
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
    call.table(&RUN, |run| {
        run.raw_set("params", params::table(&call.lua, &call.context, &given)?)?;
        run.raw_set("binaries", binaries::table(&call.lua, &call.context, &names)?)?;
        match duration {
            Some(duration) => {
                run.raw_set("duration", call.lua.create_userdata(DurationValue(duration))?)
            }
            None => Ok(()),
        }
    })
}

fn test(call: Call) -> Outcome<()> {
    in_scenario(&call)?;
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
    let name = call.text(0, "a name")?;
    let body = call.function(1)?;
    let host = Arc::clone(call.host()?);
    let step = host.begin_step(&name, call.at());
    let result = body.call_async::<MultiValue>(()).await;
    host.end_step(step);
    result.map_err(|error| Box::new(crate::unwind::unwind(&call.context, &error)))
}
