//! `meshlab selftest`: plants known mistakes in the node, one at a time, and sees whether scenarios
//! that know of none of them are red; and green where nothing is wrong.

mod cases;
mod matrix;
mod mutants;
mod told;

use std::{path::PathBuf, time::Instant};

use anyhow::{Context, Result};
use clap::Args;
use meshlab_engine::{build, inspect};
use meshlab_model::{ExitCode, format_duration};
use meshlab_script::nearest;

use self::{
    cases::{CASES, SCENARIOS},
    matrix::Bench,
    told::Row,
};
use crate::{cli::Network, repository, run::draw_seed};

/// The node with mistakes that can be planted: another program, so that the usual one has none.
const DEFECTS_BINARY: &str = "mesh-node-defects";

/// What has it built with them.
const DEFECTS_FEATURE: &str = "mesh-node/defects";

#[derive(Debug, Args)]
pub(crate) struct SelftestArguments {
    /// Look for each mistake only where it is expected to be found, and at the sound nodes less
    #[arg(long)]
    quick: bool,
    /// Only this defect, or `healthy`; repeatable
    #[arg(long = "defect", value_name = "NAME")]
    defects: Vec<String>,
    /// Only this scenario of scenarios/health; repeatable
    #[arg(long = "scenario", value_name = "NAME")]
    scenarios: Vec<String>,
    /// Make mistakes in the harness itself instead, and see whether its checks catch each; with
    /// `--quick` those that need no node
    #[arg(long, conflicts_with_all = ["defects", "scenarios"])]
    mutants: bool,
    /// Only this mistake of the harness; repeatable
    #[arg(long = "mutant", value_name = "NAME", requires = "mutants")]
    mutants_named: Vec<String>,
    /// Tell the mistakes that this program can make, for the one that asks
    #[arg(long, hide = true)]
    catalogue: bool,
    /// Where the nodes live
    #[arg(long, value_enum, default_value_t = Network::Lab)]
    network: Network,
    /// Seed of every run, drawn if absent
    #[arg(long)]
    seed: Option<u64>,
    /// Folder in which each defect has a folder with its runs; emptied by nobody
    #[arg(long, value_name = "DIR", default_value = "target/selftest")]
    output: PathBuf,
}

pub(crate) fn selftest(arguments: &SelftestArguments) -> Result<ExitCode> {
    if arguments.catalogue {
        return mutants::tell_catalogue();
    }
    if arguments.mutants {
        return mutants::mutants(arguments);
    }
    if let Some(wrong) = unknown(arguments) {
        eprintln!("error: {wrong}");
        return Ok(ExitCode::Usage);
    }
    let root = repository::root()?;
    let program = build(&root, DEFECTS_BINARY, Some(DEFECTS_FEATURE), !cfg!(debug_assertions));
    let program = program.context("failed to build the node with defects")?;
    inspect(&program, true).context("failed to take the program just built")?;
    let bench = Bench {
        program,
        scenarios: root.join("scenarios/health"),
        output: arguments.output.clone(),
        network: match arguments.network {
            Network::Lab => "lab",
            Network::Host => "host",
        },
        seed: arguments.seed.map_or_else(draw_seed, Ok)?,
    };
    println!("seed {}, runs in {}\n\n{}", bench.seed, bench.output.display(), told::head());
    let began = Instant::now();
    let mut rows = Vec::new();
    for case in CASES {
        if !arguments.defects.is_empty() && !arguments.defects.iter().any(|name| name == case.name)
        {
            continue;
        }
        let mut scenarios = case.scenarios(arguments.quick && arguments.scenarios.is_empty());
        if !arguments.scenarios.is_empty() {
            scenarios.retain(|name| arguments.scenarios.iter().any(|wanted| wanted == name));
        }
        let row = Row { case, seen: bench.look(&case, &scenarios)? };
        println!("{}", row.text());
        let interrupted = row.seen.iter().any(|one| one.code == ExitCode::Interrupted as i32);
        rows.push(row);
        if interrupted {
            break;
        }
    }
    let (text, code) = told::summary(&rows);
    println!("\n{text}, in {}", format_duration(began.elapsed()));
    Ok(code)
}

/// What was asked for and is not there.
fn unknown(arguments: &SelftestArguments) -> Option<String> {
    let defects: Vec<&str> = CASES.iter().map(|case| case.name).collect();
    let lists = [
        ("defect", &arguments.defects, defects.as_slice()),
        ("scenario", &arguments.scenarios, SCENARIOS.as_slice()),
    ];
    for (what, wanted, known) in lists {
        let missing = wanted.iter().find(|name| !known.contains(&name.as_str()));
        let Some(name) = missing else { continue };
        let meant = nearest(name, known.iter().copied());
        let meant = meant.map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
        return Some(format!("there is no {what} `{name}`{meant} (all: {})", known.join(", ")));
    }
    None
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: SelftestArguments,
    }

    #[test]
    fn a_name_that_is_not_there_is_told_with_what_was_meant() {
        let said = |line: &[&str]| {
            let line = Line::parse_from([&["selftest"], line].concat());
            unknown(&line.arguments).unwrap_or_else(|| "nothing is wrong".to_owned())
        };
        let all = [
            said(&["--defect", "join-strom"]),
            said(&["--scenario", "idel"]),
            said(&["--scenario", "idle", "--defect", "healthy", "--quick"]),
        ];
        insta::assert_snapshot!(all.join("\n"));
    }
}
