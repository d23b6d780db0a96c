//! Figures over the runs of a scenario, on made-up ones.
// Helpers of tests may panic like the tests themselves.
#![allow(clippy::unwrap_used)]

use meshlab_report::{RunFigures, fixture::steady::Steady, histories, history_overview};

fn run(number: u64, cpu: f64) -> RunFigures {
    let run = Steady { number, cpu, nodes: 3, seconds: 22, noise: 0.0266, ..Steady::default() };
    RunFigures::of(&run.record(), None)
}

#[test]
fn a_change_is_told_with_its_run_and_what_is_unsound_is_left_out() {
    let mut runs: Vec<RunFigures> =
        (1..=24).map(|n| run(n, if n <= 14 { 0.02 } else { 0.024 })).collect();
    let mut cut = Steady { number: 40, ..Steady::default() }.record();
    cut.events.pop();
    runs.insert(3, RunFigures::of(&cut, None));
    let mut elsewhere = run(2, 0.5);
    elsewhere.conditions.host.cores = 64;
    runs.push(elsewhere);
    let (all, left) = histories(&runs);
    let cpu = all.iter().find(|history| history.key.name == "cpu, median node").unwrap();
    assert_eq!(cpu.points.len(), 24);
    assert_eq!(cpu.changes.iter().map(|change| change.at).collect::<Vec<_>>(), [14]);
    let rss = all.iter().find(|history| history.key.name == "rss p95, median node").unwrap();
    assert_eq!(rss.changes, [], "{}", rss.table());
    let left = left.join("\n");
    insta::assert_snapshot!(
        "history",
        format!("{}\n\n{}\n{left}", history_overview(&all), cpu.table())
    );
}

#[test]
fn few_runs_are_said_to_be_few() {
    let runs: Vec<RunFigures> = (1..=3).map(|n| run(n, 0.02 * n as f64)).collect();
    let (all, _) = histories(&runs);
    assert!(all[0].table().contains("3 runs: 8 are the fewest"), "{}", all[0].table());
    assert_eq!(histories(&[]).0.len(), 0);
}
