//! What the methods can see and how often they cry wolf, on noise that was recorded of a fleet of
//! our own and on made-up noise that is much wider:
//! `cargo run --release -p meshlab-stats --example power [RUNS [SEED [RECORDING]]]`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it talks to who runs it")]

mod file;
mod recorded;

use std::{path::Path, process::ExitCode};

use meshlab_stats::{Leak, Paired, Stream, Word, noise::sampled, odd_one, words_with_primary};
use meshlab_stats::{Slope, without_steps};

/// Noise of a shared CI runner: coefficient of variation of one round.
const VARIATION: f64 = 0.0266;
/// The limit of `soak-4day.lua`: 256 KiB an hour, in bytes a second.
const LIMIT: f64 = 256.0 * 1024.0 / 3600.0;
/// 1 MiB an hour, for a single node in half an hour: the recorded allocator takes 128 KiB at a time,
/// so that less than four of its steps are no slope.
const ODD_LIMIT: f64 = 1024.0 * 1024.0 / 3600.0;
/// Bytes a second of a kilobyte a minute.
const KB_MIN: f64 = 1000.0 / 60.0;
const NODES: usize = 18;

/// What a row has to show.
#[derive(Clone, Copy)]
enum Aim {
    /// At least so many percent.
    Least(f64),
    /// At most so many percent.
    Most(f64),
    /// Nothing: it is there to be read.
    None,
}

type Life = Vec<(f64, f64)>;
/// Draws a node: minutes, growth in bytes a second, warm-up in bytes.
type Draw<'a> = &'a dyn Fn(&mut Stream, u32, f64, f64) -> Life;

/// How many runs a row rests on, and the seed that they are drawn with.
#[derive(Clone, Copy)]
struct Draws {
    runs: u32,
    seed: u64,
}

fn main() -> ExitCode {
    let (draws, fleet) = match arguments() {
        Ok(asked) => asked,
        Err(why) => {
            eprintln!("error: {why}\nusage: power [RUNS [SEED [RECORDING]]]");
            return ExitCode::from(2);
        }
    };
    let Draws { runs, seed } = draws;
    let seconds = fleet.iter().map(|node| node.rss.len().min(node.cpu.len())).min().unwrap_or(0);
    println!("{runs} runs each, seed {seed}; a share has a standard error of at most {:.1} %", {
        100.0 * 0.5 / f64::from(runs).sqrt()
    });
    println!(
        "recorded: {} idle nodes, {seconds} s; made up: fast 500 KB, slow 300 KB",
        fleet.len()
    );
    comparisons(draws, &fleet);
    let recorded = |stream: &mut Stream, minutes, growth, warmup| {
        recorded::memory(stream, &fleet, minutes, growth, warmup)
    };
    let kinds: [(&str, Draw<'_>); 2] = [("recorded", &recorded), ("made up", &sampled)];
    for (noise, draw) in kinds {
        leaks(draws, noise, draw);
    }
    ExitCode::SUCCESS
}

fn arguments() -> Result<(Draws, Vec<recorded::Node>), String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize, usual: u64| match words.get(place) {
        Some(word) => word.parse().map_err(|_| format!("`{word}` is no number")),
        None => Ok(usual),
    };
    let runs = u32::try_from(number(0, 1000)?).ok().filter(|runs| *runs > 0);
    let runs = runs.ok_or("RUNS is from 1 on")?;
    let fleet = match words.get(2) {
        Some(file) => file::read(Path::new(file))?,
        None => recorded::fleet(),
    };
    Ok((Draws { runs, seed: number(1, 42)? }, fleet))
}

fn row(what: &str, count: u32, runs: u32, aim: Aim) {
    let share = 100.0 * f64::from(count) / f64::from(runs);
    let told = match aim {
        Aim::Least(least) if share >= least => format!("at least {least} %: met"),
        Aim::Least(least) => format!("at least {least} %: MISSED"),
        Aim::Most(most) if share <= most => format!("at most {most} %: met"),
        Aim::Most(most) => format!("at most {most} %: MISSED"),
        Aim::None => String::new(),
    };
    println!("  {what:<66} {share:5.1} %   {told}");
}

fn pair(before: &[f64], after: &[f64], ratio: f64) -> Paired {
    let after: Vec<f64> = after.iter().map(|value| value * ratio).collect();
    Paired::new(before, &after).unwrap_or_else(|error| panic!("{error:?}"))
}

fn comparisons(Draws { runs, seed }: Draws, fleet: &[recorded::Node]) {
    let normal = |stream: &mut Stream, rounds: usize, _: usize| -> Vec<f64> {
        (0..rounds).map(|_| (stream.normal() * VARIATION).exp()).collect()
    };
    let taken = |stream: &mut Stream, rounds: usize, measure: usize| {
        recorded::rounds(stream, &fleet[measure % fleet.len()], rounds, VARIATION)
    };
    type Side<'a> = &'a dyn Fn(&mut Stream, usize, usize) -> Vec<f64>;
    let kinds: [(&str, Side<'_>); 2] = [("recorded", &taken), ("normal", &normal)];
    for (noise, side) in kinds {
        println!("\nBefore and after, {noise} noise of 2.66 % a round, 18 measures");
        let told = |rounds: usize, ratio: f64, primary: &[usize], place: usize| {
            let mut stream = Stream::new(seed, "comparisons");
            let one = |_: &u32| {
                let measure = |n: usize| {
                    let (before, after) =
                        (side(&mut stream, rounds, n), side(&mut stream, rounds, n));
                    pair(&before, &after, if n == place { ratio } else { 1.0 })
                };
                let all: Vec<Paired> = (0..NODES).map(measure).collect();
                let all = words_with_primary(&all, primary, 0.0, 0.95);
                match ratio == 1.0 {
                    true => all.iter().any(|word| matches!(word, Word::Better | Word::Worse)),
                    false => all[place] == Word::Worse,
                }
            };
            (0..runs).filter(one).count() as u32
        };
        let first: &[usize] = &[0];
        row(
            "no difference: any of 18 is told, 14 pairs",
            told(14, 1.0, first, 0),
            runs,
            Aim::Most(1.0),
        );
        row(
            "5 % in the primary measure, 14 pairs",
            told(14, 1.05, first, 0),
            runs,
            Aim::Least(95.0),
        );
        row("5 % in any of 18, none primary, 14 pairs", told(14, 1.05, &[], 5), runs, Aim::None);
        row("5 % in any of 18, none primary, 18 pairs", told(18, 1.05, &[], 5), runs, Aim::None);
        row("5 % in one that is not primary, 20 pairs", told(20, 1.05, first, 5), runs, Aim::None);
        row("2 % in the primary measure, 14 pairs", told(14, 1.02, first, 0), runs, Aim::None);
    }
}

fn leaks(Draws { runs, seed }: Draws, noise: &str, draw: Draw<'_>) {
    println!("\n18 nodes, {noise} noise; an alarm is growth for sure that may reach 256 KiB/h");
    let alarms = |minutes: u32, growth: f64, warmup: f64, step: f64| {
        let mut stream = Stream::new(seed, "leaks");
        let one = |_: &u32| {
            let node = |_| {
                let mut life = draw(&mut stream, minutes, growth * KB_MIN, warmup);
                // Every second node steps once, at some time.
                let place = stream.below(life.len() * 2);
                life.iter_mut().skip(place).for_each(|point| point.1 += step);
                life
            };
            let lives: Vec<Life> = (0..NODES).map(node).collect();
            Leak::of(&lives, LIMIT).is_some_and(|leak| leak.alarm(LIMIT))
        };
        (0..runs).filter(one).count() as u32
    };
    let least = Aim::Least(95.0);
    row("34 KB/min in each, 20 min", alarms(20, 34.0, 0.0, 0.0), runs, least);
    row("150 KB/min in each, 10 min", alarms(10, 150.0, 0.0, 0.0), runs, least);
    row("10 KB/min in each, 60 min", alarms(60, 10.0, 0.0, 0.0), runs, Aim::None);
    for minutes in [10, 20, 60] {
        let what = format!("no leak, {minutes} min");
        row(&what, alarms(minutes, 0.0, 0.0, 0.0), runs, Aim::Most(1.0));
    }
    for minutes in [20, 60, 120] {
        let what = format!("no leak, a warm-up of 3 MB, {minutes} min");
        row(&what, alarms(minutes, 0.0, 3e6, 0.0), runs, Aim::Most(1.0));
    }
    for minutes in [20, 60] {
        let what = format!("no leak, a step of 2 MB in every second node, {minutes} min");
        row(&what, alarms(minutes, 0.0, 0.0, 2e6), runs, Aim::Most(1.0));
    }
    row("34 KB/min after a warm-up of 3 MB, 60 min", alarms(60, 34.0, 3e6, 0.0), runs, Aim::None);
    let odd = |leak: f64| {
        let mut stream = Stream::new(seed, "odd ones");
        let one = |_: &u32| {
            let mut slope = |growth: f64| {
                let life = without_steps(&draw(&mut stream, 30, growth * KB_MIN, 0.0));
                Slope::of(&[life]).unwrap_or_else(|| panic!("30 points have a slope"))
            };
            let mut all: Vec<Slope> = (1..NODES).map(|_| slope(0.0)).collect();
            all.push(slope(leak));
            let values: Vec<f64> = all.iter().map(|slope| slope.value).collect();
            // What is odd, and not above the limit by itself, is not told.
            let told = odd_one(&values).filter(|place| all[*place].low >= ODD_LIMIT);
            told.is_some_and(|place| leak == 0.0 || place == NODES - 1)
        };
        (0..runs).filter(one).count() as u32
    };
    row("150 KB/min in one of 18, 30 min: named", odd(150.0), runs, least);
    row("no leak, 30 min: any named", odd(0.0), runs, Aim::Most(1.0));
}
