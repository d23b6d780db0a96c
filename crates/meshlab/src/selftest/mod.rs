//! `meshlab selftest`: plants known mistakes in the node, one at a time, and sees whether scenarios
//! that know of none of them are red; and green where nothing is wrong.

mod cases;
mod healthy;
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
    cases::{CASES, Case, Kind, Phase, SCENARIOS},
    matrix::{Bench, Seen, each},
    told::Row,
};
use crate::{cli::Network, repository, run::draw_seed};

/// The node with mistakes that can be planted: another program, so that the usual one has none.
const DEFECTS_BINARY: &str = "mesh-node-defects";

/// What has it built with them.
const DEFECTS_FEATURE: &str = "mesh-node/defects";

#[derive(Debug, Args)]
pub(crate) struct SelftestArguments {
    /// Look for each mistake only where it is expected and until it is found, and at the sound
    /// nodes less; without it each mistake is planted in each scenario
    #[arg(long)]
    quick: bool,
    /// Only this defect, or `healthy`; repeatable
    #[arg(long = "defect", value_name = "NAME")]
    defects: Vec<String>,
    /// Only this scenario of scenarios/health; repeatable
    #[arg(long = "scenario", value_name = "NAME")]
    scenarios: Vec<String>,
    /// Run the healthy node so often with each scenario, each time with the next seed, and say how
    /// often it alarms
    #[arg(long, value_name = "N", conflicts_with_all = ["quick", "defects"],
        value_parser = clap::value_parser!(u32).range(1..))]
    healthy: Option<u32>,
    /// Runs beside each other; most of a run is waiting. Mistakes that burn a processor run alone
    #[arg(long, value_name = "N", default_value_t = 3,
        value_parser = clap::value_parser!(u8).range(1..))]
    jobs: u8,
    /// A node with defects that is built already; without it, it is built
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Make mistakes in the harness itself instead, and see whether its checks catch each; with
    /// `--quick` those that need no node
    #[arg(long, conflicts_with_all = ["defects", "scenarios", "healthy"])]
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
    let bench = bench(arguments)?;
    println!("seed {}, runs in {}\n", bench.seed, bench.output.display());
    let began = Instant::now();
    let code = match arguments.healthy {
        Some(times) => {
            let wanted = |name: &&str| is_wanted(&arguments.scenarios, name);
            let scenarios: Vec<&str> = SCENARIOS.into_iter().filter(wanted).collect();
            healthy::healthy(&bench, &scenarios, times)?
        }
        None => matrix(&bench, arguments)?,
    };
    println!("in {}", format_duration(began.elapsed()));
    Ok(code)
}

/// What the runs are made with, the node built.
fn bench(arguments: &SelftestArguments) -> Result<Bench> {
    let root = repository::root()?;
    let program = match &arguments.binary {
        Some(program) => program.clone(),
        None => build(&root, DEFECTS_BINARY, Some(DEFECTS_FEATURE), !cfg!(debug_assertions))
            .context("failed to build the node with defects")?,
    };
    inspect(&program, arguments.binary.is_none())
        .context("failed to take the node with defects")?;
    Ok(Bench {
        program,
        scenarios: root.join("scenarios/health"),
        output: arguments.output.clone(),
        network: match arguments.network {
            Network::Lab => "lab",
            Network::Host => "host",
        },
        seed: arguments.seed.map_or_else(draw_seed, Ok)?,
        jobs: arguments.jobs.into(),
    })
}

/// Runs that are made one after the other.
struct Turn {
    case: Case,
    scenarios: Vec<&'static str>,
    /// The last of its case.
    last: bool,
}

/// Each case against its scenarios.
fn matrix(bench: &Bench, arguments: &SelftestArguments) -> Result<ExitCode> {
    println!("{}", told::head());
    let mut rows: Vec<Row> = Vec::new();
    let interrupted = |seen: &[Seen]| seen.iter().any(Seen::is_interrupted);
    for phase in Phase::ALL {
        if rows.iter().any(|row| interrupted(&row.seen)) {
            break;
        }
        let mut turns = turns(arguments);
        turns.retain(|turn| turn.case.phase() == phase);
        let jobs = if phase == Phase::Busy { 1 } else { bench.jobs };
        let look = |turn: &Turn| bench.look(&turn.case, &turn.scenarios);
        each(
            jobs,
            &turns,
            look,
            |seen| interrupted(seen),
            |turn, seen| {
                match rows.last_mut().filter(|row| row.case.name == turn.case.name) {
                    Some(row) => row.seen.extend(seen),
                    None => rows.push(Row { case: turn.case, seen }),
                }
                if let (true, Some(row)) = (turn.last, rows.last()) {
                    println!("{}", row.text());
                }
            },
        )?;
    }
    if !arguments.quick {
        println!("\n{}", told::grid(&rows));
    }
    let (text, code) = told::summary(&rows);
    println!("\n{text}");
    Ok(code)
}

/// What is run, and what of it beside each other. With `--quick` a mistake that was found is looked
/// for no more, so its scenarios wait for each other.
fn turns(arguments: &SelftestArguments) -> Vec<Turn> {
    let mut turns = Vec::new();
    for case in CASES.into_iter().filter(|case| is_wanted(&arguments.defects, case.name)) {
        let mut scenarios = case.scenarios(arguments.quick && arguments.scenarios.is_empty());
        scenarios.retain(|name| is_wanted(&arguments.scenarios, name));
        if case.kind == Kind::Sound || (case.kind == Kind::Mistake && !arguments.quick) {
            let alone =
                scenarios.iter().map(|name| Turn { case, scenarios: vec![*name], last: false });
            turns.extend(alone);
        } else {
            turns.push(Turn { case, scenarios, last: false });
        }
        if let Some(turn) = turns.last_mut() {
            turn.last = true;
        }
    }
    turns
}

/// Everything is wanted where nothing is named.
fn is_wanted(named: &[String], name: &str) -> bool {
    named.is_empty() || named.iter().any(|one| one == name)
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
    fn runs_wait_for_each_other_only_where_one_may_end_the_search() {
        let told = |line: &[&str]| {
            let turns = turns(&Line::parse_from([&["selftest"], line].concat()).arguments);
            let turn = |turn: &Turn| (turn.case.name, turn.scenarios.join(" "), turn.last);
            turns.iter().map(turn).collect::<Vec<_>>()
        };
        let sound = |scenario: &str, last| ("lookalike-steps", scenario.to_owned(), last);
        let steps = ["--quick", "--defect", "lookalike-steps"];
        assert_eq!(told(&steps), [sound("idle", false), sound("churn", true)]);
        let restart = ["--defect", "ghost-connections", "--quick"];
        assert_eq!(told(&restart), [("ghost-connections", "restart churn".to_owned(), true)]);
        let all = told(&["--defect", "ghost-connections"]);
        assert_eq!(all.len(), SCENARIOS.len());
        assert_eq!(all[0], ("ghost-connections", "restart".to_owned(), false));
        assert_eq!(all.iter().filter(|(.., last)| *last).count(), 1);
        let one = told(&["--scenario", "volume", "--quick"]);
        assert_eq!(one.len(), CASES.len());
        assert!(one.iter().all(|(name, on, last)| *last
            && (on == "volume" || on.is_empty() && *name == "stale-binary")));
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
