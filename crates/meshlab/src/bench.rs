//! `meshlab bench`: a scenario run several times, its figures with their spread.
//!
//! The figures come from the records of the runs, as anybody else's would: metrics that the
//! scenario recorded, and CPU and RSS of nodes and harness within steps named `idle ...`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use meshlab_engine::results::{Filter, RunRecord, read_run};
use meshlab_model::{ExitCode, HostFacts, RunEventKind, RunTime, Sample, SampleSource};
use meshlab_stats::Summary;

use crate::{
    cli::{BenchArguments, Network, RunArguments},
    run,
};

/// Values by figure; the key is what the table prints, unit included.
type Figures = BTreeMap<String, Vec<f64>>;

pub(crate) fn bench(arguments: &BenchArguments) -> Result<ExitCode> {
    let mut figures = Figures::new();
    let mut host = None;
    for _ in 0..arguments.rounds {
        let (scenario, output) = (arguments.scenario.clone(), arguments.output.clone());
        let round = RunArguments::plain(scenario, arguments.network, output);
        let (code, folder) = run::execute(&arguments.scenario, &round, run::Settled::default())?;
        let (ExitCode::Passed, Some(folder)) = (code, folder) else {
            bail!("a round ended with exit code {}, so there are no figures", code as i32);
        };
        let record = read_run(&folder.results).context("failed to read the round's record")?;
        collect(&record, &mut figures);
        host = Some(record.manifest.host);
    }
    print(arguments, &figures, host.as_ref());
    Ok(ExitCode::Passed)
}

fn collect(record: &RunRecord, figures: &mut Figures) {
    let mut open = BTreeMap::new();
    for event in &record.events {
        match &event.kind {
            RunEventKind::Metric { name, value, unit } => {
                let name = match unit.as_str() {
                    "" => name.clone(),
                    // Lengths of time are recorded in seconds.
                    "s" => format!("{name} (ms)"),
                    unit => format!("{name} ({unit})"),
                };
                let value = if unit == "s" { value * 1e3 } else { *value };
                figures.entry(name).or_default().push(value);
            }
            RunEventKind::StepStarted { step, name } if name.starts_with("idle") => {
                open.insert(*step, (name.clone(), event.at));
            }
            RunEventKind::StepFinished { step } => {
                if let Some((name, from)) = open.remove(step) {
                    let within =
                        Filter { since: Some(from), until: Some(event.at), ..Filter::default() };
                    let samples: Vec<Sample> = record.samples.select(within).collect();
                    usage(&samples, &name, from, event.at, figures);
                }
            }
            _ => {}
        }
    }
}

/// CPU and RSS between two moments: of each node, averaged over the nodes, and of the harness.
fn usage(samples: &[Sample], step: &str, from: RunTime, to: RunTime, figures: &mut Figures) {
    let mut by_source: BTreeMap<&SampleSource, Vec<&Sample>> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample.at >= from && sample.at <= to) {
        by_source.entry(&sample.of).or_default().push(sample);
    }
    let mut nodes = Vec::new();
    for (source, series) in by_source {
        let [first, .., last] = series.as_slice() else { continue };
        let elapsed = last.at.since(first.at).as_secs_f64();
        let spent = last.cpu_micros_total.saturating_sub(first.cpu_micros_total) as f64 / 1e6;
        let rss = series.iter().map(|sample| sample.rss_bytes).max().unwrap_or(0) as f64;
        let used = (spent / elapsed, rss / 1_048_576.0);
        match source {
            SampleSource::Node(_) => nodes.push(used),
            SampleSource::Harness => {
                push(figures, format!("{step}: harness CPU (cores)"), used.0);
                push(figures, format!("{step}: harness RSS, largest (MiB)"), used.1);
            }
        }
    }
    if !nodes.is_empty() {
        let count = nodes.len() as f64;
        let cpu = nodes.iter().map(|used| used.0).sum::<f64>() / count;
        let rss = nodes.iter().map(|used| used.1).sum::<f64>() / count;
        let worst = nodes.iter().map(|used| used.1).fold(0.0, f64::max);
        push(figures, format!("{step}: node CPU, mean (cores)"), cpu);
        push(figures, format!("{step}: node RSS, mean of largest (MiB)"), rss);
        push(figures, format!("{step}: node RSS, worst node (MiB)"), worst);
    }
}

fn push(figures: &mut Figures, name: String, value: f64) {
    figures.entry(name).or_default().push(value);
}

fn print(arguments: &BenchArguments, figures: &Figures, host: Option<&HostFacts>) {
    println!("\n| figure | median | range | rounds |\n| --- | --- | --- | --- |");
    for (name, values) in figures {
        match Summary::of(values) {
            Some(s) => println!(
                "| {name} | {} | {} to {} | {} |",
                short(s.median),
                short(s.min),
                short(s.max),
                s.count
            ),
            None => println!("| {name} | not a number | | {} |", values.len()),
        }
    }
    let network = match arguments.network {
        Network::Lab => "",
        Network::Host => " --network host",
    };
    println!(
        "\ncommand: meshlab bench {}{network} --rounds {}",
        arguments.scenario.display(),
        arguments.rounds
    );
    if let Some(host) = host {
        println!(
            "machine: {} ({} cores), {:.0} GiB, {} {}",
            host.cpu,
            host.cores,
            host.memory_bytes as f64 / 1_073_741_824.0,
            host.os,
            host.kernel
        );
    }
}

/// Three significant digits are more than a shared machine can repeat.
fn short(value: f64) -> String {
    match value.abs() {
        x if x >= 100.0 => format!("{value:.0}"),
        x if x >= 10.0 => format!("{value:.1}"),
        x if x >= 1.0 => format!("{value:.2}"),
        x if x >= 0.1 => format!("{value:.3}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(of: SampleSource, second: u64, cpu_micros_total: u64, rss_mib: u64) -> Sample {
        Sample {
            at: RunTime { micros: second * 1_000_000 },
            of,
            pid: 1,
            cpu_micros_total,
            cpu: None,
            rss_bytes: rss_mib * 1_048_576,
            open_files: 1,
            threads: 1,
        }
    }

    #[test]
    fn usage_is_what_was_spent_within_the_step() {
        let node = || SampleSource::Node("node-1".into());
        let samples = [
            sample(node(), 1, 900_000, 90),
            sample(node(), 10, 1_000_000, 10),
            sample(SampleSource::Harness, 10, 0, 20),
            sample(node(), 20, 1_500_000, 12),
            sample(SampleSource::Harness, 20, 100_000, 21),
        ];
        let mut figures = Figures::new();
        let (from, to) = (RunTime { micros: 5_000_000 }, RunTime { micros: 25_000_000 });
        usage(&samples, "idle", from, to, &mut figures);
        assert_eq!(figures["idle: node CPU, mean (cores)"], [0.05]);
        assert_eq!(figures["idle: node RSS, mean of largest (MiB)"], [12.0]);
        assert_eq!(figures["idle: harness CPU (cores)"], [0.01]);
    }

    #[test]
    fn one_sample_is_no_usage() {
        let mut figures = Figures::new();
        let samples = [sample(SampleSource::Harness, 1, 5, 5)];
        usage(&samples, "idle", RunTime::ZERO, RunTime { micros: 9_000_000 }, &mut figures);
        assert!(figures.is_empty());
    }
}
