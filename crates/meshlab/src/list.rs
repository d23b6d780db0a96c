//! `meshlab list`: what scenarios there are, what they claim, what they need.

use std::{path::Path, time::Duration};

use anyhow::Result;
use meshlab_model::{ExitCode, format_duration};
use meshlab_script::{Declaration, Needs, Script};
use serde::Serialize;

use crate::{
    check::{scenarios, tell},
    cli::ListArguments,
};

/// A scenario as it is listed.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    file: String,
    description: Option<String>,
    duration_secs: Option<f64>,
    timeout_secs: f64,
    tags: Vec<String>,
    tests: Vec<String>,
    needs: Needs,
    /// Whether a rehearsal found nothing wrong.
    sound: bool,
}

pub(crate) fn list(arguments: &ListArguments) -> Result<ExitCode> {
    let mut listed = Vec::new();
    let mut code = ExitCode::Passed;
    for file in scenarios(&arguments.scenarios)? {
        match Script::load(&file) {
            Ok(script) => listed.push(look(&file, script)),
            Err(error) => {
                eprintln!("{error}\n");
                code = ExitCode::ScriptError;
            }
        }
    }
    if listed.iter().any(|scenario| !scenario.sound) {
        code = ExitCode::ScriptError;
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&listed)?);
    } else {
        let blocks: Vec<String> = listed.iter().map(show).collect();
        println!("{}", blocks.join("\n\n"));
    }
    Ok(code)
}

fn look(file: &Path, script: Script) -> Listed {
    let name = script.name().to_owned();
    let Declaration { description, duration, timeout, tags, tests, .. } =
        script.declaration().clone();
    let rehearsed = script.rehearse();
    // What it needs is not known beyond a mistake, so the mistake is told too.
    tell(&rehearsed);
    Listed {
        name,
        file: file.display().to_string(),
        description,
        duration_secs: duration.map(|length| length.as_secs_f64()),
        timeout_secs: timeout.as_secs_f64(),
        tags,
        tests: tests.into_iter().map(|test| test.title).collect(),
        sound: rehearsed.errors.is_empty(),
        needs: rehearsed.needs,
    }
}

fn show(scenario: &Listed) -> String {
    let length = |seconds: f64| {
        format_duration(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    };
    let mut out = scenario.name.clone();
    if let Some(description) = &scenario.description {
        out += &format!("  {description}");
    }
    let plan = match scenario.duration_secs {
        Some(duration) => {
            format!("{}, at most {}", length(duration), length(scenario.timeout_secs))
        }
        None => format!("at most {}", length(scenario.timeout_secs)),
    };
    out += &format!("\n  file   {}\n  length {plan}", scenario.file);
    if !scenario.tags.is_empty() {
        out += &format!("\n  tags   {}", scenario.tags.join(", "));
    }
    out += &format!("\n  needs  {}", needs(&scenario.needs));
    for test in &scenario.tests {
        out += &format!("\n  claims {test}");
    }
    out
}

fn needs(needs: &Needs) -> String {
    let nodes = needs.nodes_max;
    let mut all = vec![format!("{nodes} node{}", if nodes == 1 { "" } else { "s" })];
    let parts =
        [(needs.lab, "a lab"), (needs.cgroups, "control groups"), (needs.relay, "mesh-relay")];
    all.extend(parts.into_iter().filter(|(needed, _)| *needed).map(|(_, what)| what.to_owned()));
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_is_listed_with_all_that_it_says_and_needs() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("x.lua");
        let text = "scenario { description = \"Slow is not dead.\", duration = \"1h\", \
                    tags = { \"soak\", \"quick\" } }\n\
                    test(\"a slow node stays\", function()\n  \
                    local swarm = mesh { nodes = 3, relay = true }\n  \
                    fault.cpu_limit(swarm:node(1), { cpu = \"5%\", hold = \"5s\" })\n  \
                    fault.slow_link(swarm:node(2), { delay = \"1s\", hold = \"5s\" })\nend)\n";
        std::fs::write(&file, text).expect("a file");
        let script = Script::load(&file).expect("a scenario");
        let mut listed = look(&file, script);
        listed.file = "x.lua".to_owned();
        insta::assert_snapshot!(show(&listed));
        insta::assert_snapshot!(serde_json::to_string_pretty(&listed).expect("JSON"));
    }
}
