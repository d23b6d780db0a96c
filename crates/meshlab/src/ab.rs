//! `meshlab ab`: two programs in whole runs of one scenario, interleaved, and what came of it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Args;
use meshlab_engine::{NODE_BINARY, results::read_run};
use meshlab_model::ExitCode;
use meshlab_report::RunFigures;

use crate::{
    cli::{Network, RunArguments, pair, set, time_scale},
    compare::{ShownArguments, tell},
    gate::length,
    revisions::{BuildArguments, Builder},
    run,
};

#[derive(Debug, Args)]
pub(crate) struct AbArguments {
    /// The scenario, a Lua file
    #[arg(value_name = "SCENARIO")]
    scenario: PathBuf,
    /// The program before the change
    #[arg(
        long,
        value_name = "BIN",
        required_unless_present = "before_rev",
        conflicts_with = "before_rev"
    )]
    before: Option<PathBuf>,
    /// The program after it
    #[arg(
        long,
        value_name = "BIN",
        required_unless_present = "after_rev",
        conflicts_with = "after_rev"
    )]
    after: Option<PathBuf>,
    /// Build the program before the change from this revision
    #[arg(long, value_name = "REV")]
    before_rev: Option<String>,
    /// Build the program after it from this revision
    #[arg(long, value_name = "REV")]
    after_rev: Option<String>,
    #[command(flatten)]
    build: BuildArguments,
    /// Runs with each: with 14, a shift of 5 % is seen where runs vary by 2.66 %
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    #[command(flatten)]
    run: SeriesArguments,
    #[command(flatten)]
    shown: ShownArguments,
}

/// What is the same in all runs of a series.
#[derive(Debug, Clone, Args)]
pub(crate) struct SeriesArguments {
    /// Set a parameter that the scenario declares: `nodes=8`
    #[arg(long, value_name = "NAME=VALUE", value_parser = set)]
    set: Vec<(String, String)>,
    /// Seed of the first round, drawn if absent; each further round has the next one
    #[arg(long)]
    seed: Option<u64>,
    /// Where the nodes live
    #[arg(long, value_enum, default_value_t = Network::Lab)]
    network: Network,
    /// Take this program too: `mesh-relay=PATH`
    #[arg(long, value_name = "NAME=PATH", value_parser = pair)]
    binary: Vec<(String, String)>,
    /// How long the scenario's plan lasts, in the place of what it declares
    #[arg(long, value_parser = length)]
    duration: Option<Duration>,
    /// Multiply the lengths that the scenario plans by this, 0.001 to 1000
    #[arg(long, value_name = "FACTOR", value_parser = time_scale)]
    time_scale: Option<f64>,
    /// How many nodes the mesh has
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=250))]
    nodes: Option<u32>,
    /// Folder in which results/ and reports/ are written
    #[arg(long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
}

impl SeriesArguments {
    /// The seed of the first round.
    pub(crate) fn first_seed(&self) -> Result<u64> {
        self.seed.map_or_else(run::draw_seed, Ok)
    }

    pub(crate) fn output(&self) -> &Path {
        &self.output
    }

    /// A run of this program.
    pub(crate) fn with(&self, scenario: &Path, program: &Path, seed: u64) -> RunArguments {
        let mut binary = self.binary.clone();
        binary.push((NODE_BINARY.to_owned(), program.display().to_string()));
        RunArguments {
            set: self.set.clone(),
            seed: Some(seed),
            binary,
            duration: self.duration,
            time_scale: self.time_scale,
            nodes: self.nodes,
            ..RunArguments::plain(scenario.to_owned(), self.network, self.output.clone())
        }
    }
}

pub(crate) fn ab(arguments: &AbArguments) -> Result<ExitCode> {
    let [before, after] = programs(arguments)?;
    println!("before  {}\nafter   {}", before.display(), after.display());
    let seed = arguments.run.first_seed()?;
    let age = arguments.shown.age();
    let mut sides: [Vec<RunFigures>; 2] = Default::default();
    let names = ["before", "after"];
    for (round, turn) in order(arguments.rounds) {
        let program = [&before, &after][turn];
        println!("\nround {} of {}, {}", round + 1, arguments.rounds, names[turn]);
        // Both runs of a round have the same seed: the same schedule of faults.
        let one = arguments.run.with(&arguments.scenario, program, seed + u64::from(round));
        let (code, folder) = run::execute(&arguments.scenario, &one, run::Settled::default())?;
        let says_something =
            matches!(code, ExitCode::Passed | ExitCode::ClaimFailed | ExitCode::Inconclusive);
        let (true, Some(folder)) = (says_something, folder) else {
            eprintln!(
                "error: round {} ended with exit code {}, so nothing is compared",
                round + 1,
                code as i32
            );
            return Ok(code);
        };
        let record = read_run(&folder.results).context("failed to read the run's record")?;
        sides[turn].push(RunFigures::of(&record, age));
    }
    println!();
    let [before, after] = sides;
    tell(&before, &after, &arguments.shown, arguments.run.output())
}

/// The rounds, each with 0 for before and 1 for after: before, after, after, before, and again, so
/// that neither has the better place where a host gets slower or faster with time.
fn order(rounds: u32) -> impl Iterator<Item = (u32, usize)> {
    (0..rounds).flat_map(|round| {
        let turns = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        turns.map(|turn| (round, turn))
    })
}

/// Both programs, built where revisions are given.
fn programs(arguments: &AbArguments) -> Result<[PathBuf; 2]> {
    let builder = || Builder::new(&arguments.build);
    let one = |given: &Option<PathBuf>, revision: &Option<String>| match (given, revision) {
        (Some(given), _) => Ok(given.clone()),
        (None, Some(revision)) => {
            let builder = builder()?;
            builder.build(&builder.commit(revision)?)
        }
        (None, None) => anyhow::bail!("a program is missing"),
    };
    Ok([
        one(&arguments.before, &arguments.before_rev)?,
        one(&arguments.after, &arguments.after_rev)?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_side_is_always_first() {
        let turns: Vec<usize> = order(4).map(|(_, turn)| turn).collect();
        assert_eq!(turns, [0, 1, 1, 0, 0, 1, 1, 0]);
        let rounds: Vec<u32> = order(2).map(|(round, _)| round).collect();
        assert_eq!(rounds, [0, 0, 1, 1]);
    }
}
