//! What the methods can see and how often they cry wolf, on made-up measurements:
//! `cargo run --release -p meshlab-stats --example power [runs]`.
#![allow(clippy::print_stdout, reason = "an example talks to the person who runs it")]

use meshlab_stats::{Growth, Paired, Slope, Stream, Word, noise::memory, odd_one, warmup, words};

/// Noise of a shared CI runner: coefficient of variation of one round.
const VARIATION: f64 = 0.0266;

fn main() {
    let runs = std::env::args().nth(1).and_then(|runs| runs.parse().ok()).unwrap_or(1000_u32);
    println!("{runs} runs each, seed 42\n");
    comparisons(runs);
    leaks(runs);
    warmups(runs);
    odd_ones(runs);
}

fn share(count: u32, runs: u32) -> String {
    format!("{:5.1} %", 100.0 * f64::from(count) / f64::from(runs))
}

fn pair(stream: &mut Stream, rounds: usize, ratio: f64) -> Paired {
    let mut side =
        |ratio: f64| (0..rounds).map(|_| (stream.normal() * VARIATION).exp() * ratio).collect();
    let (before, after): (Vec<f64>, Vec<f64>) = (side(1.0), side(ratio));
    Paired::new(&before, &after).unwrap_or_else(|error| panic!("{error:?}"))
}

fn comparisons(runs: u32) {
    println!("Before and after, noise of a round 2.66 %: how often a change is told, at 95 %");
    println!("rounds  measures  none, in any   2 %      5 %      10 %");
    for (rounds, measures) in [(6, 1), (9, 1), (9, 18), (14, 1), (14, 18), (20, 18)] {
        let mut stream = Stream::new(42, "comparisons");
        let mut told = |ratio: f64| {
            let one = |_: &u32| {
                let mut all = vec![pair(&mut stream, rounds, ratio)];
                all.extend((1..measures).map(|_| pair(&mut stream, rounds, 1.0)));
                let all = words(&all, 0.0, 0.95);
                let decided = |word: &Word| matches!(word, Word::Better | Word::Worse);
                match ratio == 1.0 {
                    true => all.iter().any(decided),
                    false => all[0] == Word::Worse,
                }
            };
            share((0..runs).filter(one).count() as u32, runs)
        };
        let [none, two, five, ten] = [1.0, 1.02, 1.05, 1.1].map(&mut told);
        println!("{rounds:6}  {measures:8}  {none:>12}  {two}  {five}  {ten}");
    }
}

fn slopes(stream: &mut Stream, nodes: usize, minutes: u32, growth: f64) -> Vec<f64> {
    let one = |_| {
        let points = memory(stream, minutes, growth, 0.0);
        Slope::of(&[points]).map_or(f64::NAN, |slope| slope.value)
    };
    (0..nodes).map(one).collect()
}

fn alarms(runs: u32, mut fleet: impl FnMut() -> Vec<f64>) -> String {
    let one = |_: &u32| Growth::of(&fleet()).is_some_and(|growth| growth.p_value < 0.01);
    share((0..runs).filter(one).count() as u32, runs)
}

fn leaks(runs: u32) {
    println!("\nA leak in every node, noise with a memory of 1 and 10 minutes, one-sided at 1 %");
    println!("nodes  minutes  KB/min of the leak  told");
    let table = [
        (18, 20, 0),
        (18, 60, 0),
        (8, 60, 0),
        (18, 20, 34),
        (18, 10, 150),
        (18, 60, 10),
        (8, 60, 10),
        (8, 60, 34),
    ];
    for (nodes, minutes, leak) in table {
        let mut stream = Stream::new(42, "leaks");
        let growth = f64::from(leak) * 1000.0 / 60.0;
        let told = alarms(runs, || slopes(&mut stream, nodes, minutes, growth));
        println!("{nodes:5}  {minutes:7}  {leak:18}  {told}");
    }
}

fn warmups(runs: u32) {
    println!("\nNo leak, a warm-up of 3 MB in the first ten minutes, 18 nodes, one-sided at 1 %");
    println!("minutes  alarms with it   alarms once it is over");
    for minutes in [60, 120, 240] {
        let mut stream = Stream::new(42, "warm-ups");
        let mut fleet = |settle: bool| -> Vec<f64> {
            let nodes: Vec<_> = (0..18).map(|_| memory(&mut stream, minutes, 0.0, 3e6)).collect();
            let start = if settle { warmup(&nodes) } else { 0.0 };
            let one = |points: &Vec<(f64, f64)>| {
                let warm = points.iter().filter(|(at, _)| *at >= start).copied().collect();
                Slope::of(&[warm]).map_or(f64::NAN, |slope| slope.value)
            };
            nodes.iter().map(one).collect()
        };
        let (raw, settled) = (alarms(runs, || fleet(false)), alarms(runs, || fleet(true)));
        println!("{minutes:7}  {raw:>14}   {settled}");
    }
}

fn odd_ones(runs: u32) {
    println!("\nOne leaky node among 18, at 1 %");
    println!("minutes  KB/min of the leak  told");
    for (minutes, leak) in [(30, 0), (30, 150), (60, 50), (60, 100)] {
        let mut stream = Stream::new(42, "odd ones");
        let one = |_: &u32| {
            let mut all = slopes(&mut stream, 17, minutes, 0.0);
            all.extend(slopes(&mut stream, 1, minutes, f64::from(leak) * 1000.0 / 60.0));
            odd_one(&all).is_some_and(|place| leak == 0 || place == 17)
        };
        let told = share((0..runs).filter(one).count() as u32, runs);
        println!("{minutes:7}  {leak:18}  {told}");
    }
}
