//! `meshlab ab`: two programs in whole runs of one scenario, interleaved, and what came of it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Args;
use meshlab_engine::{NODE_BINARY, RELAY_BINARY, results::read_run};
use meshlab_model::ExitCode;
use meshlab_report::{RunFigures, built_sides};

use crate::{
    cli::{Network, RunArguments, pair, set, time_scale},
    compare::{ShownArguments, tell},
    gate::length,
    revisions::{BuildArguments, Builder},
    run,
    sets::{self, Built, Dependency, Patch, Set, Wrong},
};

#[derive(Debug, Args)]
pub(crate) struct AbArguments {
    /// The scenario, a Lua file
    #[arg(value_name = "SCENARIO")]
    scenario: PathBuf,
    /// The program before the change
    #[arg(long, value_name = "BIN", conflicts_with_all = ["before_rev", "before_dep",
        "before_patch"])]
    before: Option<PathBuf>,
    /// The program after it
    #[arg(long, value_name = "BIN", conflicts_with_all = ["after_rev", "after_dep",
        "after_patch"])]
    after: Option<PathBuf>,
    /// Build the program before the change from this revision
    #[arg(long, value_name = "REV", conflicts_with_all = ["before_dep", "before_patch"])]
    before_rev: Option<String>,
    /// Build the program after it from this revision
    #[arg(long, value_name = "REV", conflicts_with_all = ["after_dep", "after_patch"])]
    after_rev: Option<String>,
    /// Build the node before the change with this dependency: NAME=VERSION, NAME=PATH of a
    /// checkout, or NAME=git+URL#REV; repeatable. A side of which nothing is said then has the
    /// repository's own lock
    #[arg(long, value_name = "NAME=FROM", value_parser = sets::dependency)]
    before_dep: Vec<Dependency>,
    /// Build the node after it with this dependency; repeatable
    #[arg(long, value_name = "NAME=FROM", value_parser = sets::dependency)]
    after_dep: Vec<Dependency>,
    /// Apply this patch to the published source of a dependency before the change; repeatable.
    /// Which one is found from the files that it changes, or said as NAME=FILE
    #[arg(long, value_name = "FILE", value_parser = sets::patch)]
    before_patch: Vec<Patch>,
    /// Apply this patch to the published source of a dependency after it; repeatable
    #[arg(long, value_name = "FILE", value_parser = sets::patch)]
    after_patch: Vec<Patch>,
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

    /// A run of this program, with the relay that was built with it unless another was given.
    fn with_relay(&self, scenario: &Path, side: &Side, seed: u64) -> RunArguments {
        let mut one = self.with(scenario, side.node(), seed);
        if let Side::Set(built) = side
            && self.binary.iter().all(|(name, _)| name != RELAY_BINARY)
        {
            one.binary.push((RELAY_BINARY.to_owned(), built.relay.display().to_string()));
        }
        one
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

/// One of the two programs.
#[derive(Debug)]
enum Side {
    Program(PathBuf),
    Set(Built),
}

impl Side {
    fn node(&self) -> &Path {
        match self {
            Self::Program(program) => program,
            Self::Set(built) => &built.node,
        }
    }
}

pub(crate) fn ab(arguments: &AbArguments) -> Result<ExitCode> {
    let asked = match asked(arguments) {
        Ok(asked) => asked,
        Err(wrong) => {
            eprintln!("error: {wrong}");
            return Ok(ExitCode::Usage);
        }
    };
    let [before, after] = match programs(arguments, asked) {
        Ok(sides) => sides,
        Err(error) if error.is::<Wrong>() => {
            eprintln!("error: {error}");
            return Ok(ExitCode::Usage);
        }
        Err(error) => return Err(error),
    };
    println!("before  {}\nafter   {}", before.node().display(), after.node().display());
    if let (Side::Set(before), Side::Set(after)) = (&before, &after) {
        println!("{}", built_sides([&before.with, &after.with]).join("\n        "));
    }
    let seed = arguments.run.first_seed()?;
    let age = arguments.shown.age();
    let mut sides: [Vec<RunFigures>; 2] = Default::default();
    let names = ["before", "after"];
    for (round, turn) in order(arguments.rounds) {
        let program = [&before, &after][turn];
        println!("\nround {} of {}, {}", round + 1, arguments.rounds, names[turn]);
        // Both runs of a round have the same seed: the same schedule of faults.
        let seed = seed + u64::from(round);
        let one = arguments.run.with_relay(&arguments.scenario, program, seed);
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

/// The sets of dependencies that are asked for: both where one is, neither where programs or
/// revisions are; or what is wrong with the sides.
fn asked(arguments: &AbArguments) -> Result<[Option<Set>; 2], String> {
    let set = |dependencies: &[Dependency], patches: &[Patch]| Set {
        dependencies: dependencies.to_vec(),
        patches: patches.to_vec(),
    };
    let sides = [
        ("before", set(&arguments.before_dep, &arguments.before_patch), has(arguments, 0)),
        ("after", set(&arguments.after_dep, &arguments.after_patch), has(arguments, 1)),
    ];
    let sets = sides.iter().any(|(_, set, _)| *set != Set::default());
    for (name, _, given) in &sides {
        if !given && !sets {
            return Err(format!(
                "what is the program {name} the change? Give `--{name} BIN`, `--{name}-rev REV`, \
                 `--{name}-dep NAME=VERSION` or `--{name}-patch FILE`"
            ));
        }
    }
    if sets && sides[0].1 == sides[1].1 {
        return Err("both sides ask for the same, so nothing would be compared".to_owned());
    }
    Ok(sides.map(|(_, set, given)| (!given).then_some(set)))
}

/// Whether a program or a revision is given for a side.
fn has(arguments: &AbArguments, side: usize) -> bool {
    match side {
        0 => arguments.before.is_some() || arguments.before_rev.is_some(),
        _ => arguments.after.is_some() || arguments.after_rev.is_some(),
    }
}

/// Both programs, built where revisions or dependencies are given.
fn programs(arguments: &AbArguments, [before, after]: [Option<Set>; 2]) -> Result<[Side; 2]> {
    let one = |given: &Option<PathBuf>, revision: &Option<String>, set: Option<Set>| {
        Ok(match (given, revision, set) {
            (Some(given), ..) => Side::Program(given.clone()),
            (None, Some(revision), _) => {
                let builder = Builder::new(&arguments.build)?;
                Side::Program(builder.build(&builder.commit(revision)?)?)
            }
            (None, None, Some(set)) => Side::Set(set.build()?),
            (None, None, None) => anyhow::bail!("a program is missing"),
        })
    };
    Ok([
        one(&arguments.before, &arguments.before_rev, before)?,
        one(&arguments.after, &arguments.after_rev, after)?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        arguments: AbArguments,
    }

    #[test]
    fn what_the_sides_are_is_said_or_told_to_be_missing() {
        let said = |line: &[&str]| {
            use clap::Parser;
            match Line::try_parse_from([&["ab", "x.lua"], line].concat()) {
                Ok(line) => format!("{:?}", asked(&line.arguments)),
                Err(error) => error.to_string().lines().next().unwrap_or_default().to_owned(),
            }
        };
        let lines: [&[&str]; 9] = [
            &["--before", "a", "--after", "b"],
            &["--before", "a", "--after-rev", "HEAD"],
            &["--after-dep", "iroh=1.4.0"],
            &["--before-dep", "iroh=1.3.0", "--after-dep", "iroh=1.4.0"],
            &["--before", "a", "--after-patch", "iroh-gossip=fix.patch"],
            &["--before", "a"],
            &[],
            &["--before-dep", "iroh=1.3.0", "--after-dep", "iroh=1.3.0"],
            &["--before", "a", "--before-dep", "iroh=1.3.0", "--after", "b"],
        ];
        let told = lines.map(|line| format!("{}\n  {}", line.join(" "), said(line)));
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn neither_side_is_always_first() {
        let turns: Vec<usize> = order(4).map(|(_, turn)| turn).collect();
        assert_eq!(turns, [0, 1, 1, 0, 0, 1, 1, 0]);
        let rounds: Vec<u32> = order(2).map(|(round, _)| round).collect();
        assert_eq!(rounds, [0, 0, 1, 1]);
    }
}
