//! Comparisons of finished runs, on made-up ones: each word is seen, and each refusal.
// Helpers of tests may panic like the tests themselves.
#![allow(clippy::unwrap_used)]

use meshlab_model::{ExitCode, RunEventKind as K, Verdict};
use meshlab_report::{
    CompareOptions, CompareReport, RunFigures, SUMMARY_BYTES_MAX, compare,
    fixture::{HOSTILE, steady::Steady},
};
use meshlab_stats::Word;

fn figures(run: &Steady) -> RunFigures {
    RunFigures::of(&run.record(), None)
}

/// Interleaved rounds: before, after, after, before, and so on.
fn rounds(count: u64, before: &Steady, after: &Steady) -> [Vec<RunFigures>; 2] {
    let one = |run: &Steady, number| figures(&Steady { number, ..run.clone() });
    let before = (0..count).map(|n| one(before, 2 * n + 1 + n % 2)).collect();
    [before, (0..count).map(|n| one(after, 2 * n + 2 - n % 2)).collect()]
}

/// The same runs, all of one side before all of the other.
fn one_after_the_other(count: u64, before: &Steady, after: &Steady) -> [Vec<RunFigures>; 2] {
    let one = |run: &Steady, number| figures(&Steady { number, ..run.clone() });
    let first = (0..count).map(|n| one(before, n + 1)).collect();
    [first, (0..count).map(|n| one(after, count + n + 1)).collect()]
}

fn compared([before, after]: &[Vec<RunFigures>; 2]) -> CompareReport {
    compare(before, after, &CompareOptions::default()).unwrap()
}

fn refused([before, after]: &[Vec<RunFigures>; 2]) -> Verdict {
    compare(before, after, &CompareOptions::default()).unwrap_err()
}

fn word(report: &CompareReport, name: &str) -> Word {
    report.rows.iter().find(|row| row.key.name == name).unwrap().word
}

fn fast() -> Steady {
    // Runs of a shared runner vary by 2.66 %.
    Steady { noise: 0.0266, round_trip_ms: 2.0, seconds: 30, nodes: 4, ..Steady::default() }
}

#[test]
fn a_change_is_told_in_the_figure_in_which_it_is() {
    let after = Steady { cpu: 0.026, round_trip_ms: 1.5, ..fast() };
    let report = compared(&rounds(14, &fast(), &after));
    assert_eq!(report.exit_code(), ExitCode::ClaimFailed);
    assert_eq!(word(&report, "cpu, median node"), Word::Worse);
    assert_eq!(word(&report, "echo round trip p50"), Word::Better);
    assert_eq!(word(&report, "open files p95, worst node"), Word::Same);
    let rss = word(&report, "rss p95, median node");
    assert!(matches!(rss, Word::Same | Word::Undecided), "{rss:?}");
    insta::assert_snapshot!("compare_terminal", report.terminal());
    insta::assert_snapshot!("compare_markdown", report.markdown(SUMMARY_BYTES_MAX));
    insta::assert_snapshot!("compare_json", format!("{:#}", report.json()));
    let page = report.html();
    assert!(page.contains("<svg") && page.contains("echo round trip"));
    std::fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/compare.html"), page).unwrap();
}

/// The analysis that takes a drift out knows where each run stood only in rounds that were mirrored.
#[test]
fn runs_in_another_order_are_judged_without_their_order_and_the_reader_is_told() {
    let after = Steady { cpu: 0.026, ..fast() };
    let apart = compared(&one_after_the_other(14, &fast(), &after));
    assert_eq!(word(&apart, "cpu, median node"), Word::Worse);
    assert!(apart.notes.iter().any(|note| note.contains("before all runs after")), "{apart:?}");
    let [before, mut others] = rounds(14, &fast(), &after);
    // The second round was made in the order of the first.
    let [one, other] = [before[1].started_unix_nanos, others[1].started_unix_nanos];
    let mut swapped = before;
    (swapped[1].started_unix_nanos, others[1].started_unix_nanos) = (other, one);
    let unmirrored = compared(&[swapped, others]);
    assert!(unmirrored.notes.iter().any(|note| note.contains("a drift of the host is not told")));
    let mirrored = compared(&rounds(14, &fast(), &after));
    assert!(!mirrored.notes.iter().any(|note| note.contains("drift")), "{:?}", mirrored.notes);
}

/// Programs that are alike, in 60 reports of seven figures: none of them may be called better or
/// worse in more than 1 % of reports; 3 of 60 are five standard errors above.
#[test]
fn a_program_beside_itself_is_not_told_apart_from_itself() {
    let mut alarms = 0;
    for series in 0..60_u64 {
        let of = |run: &Steady, number: u64| {
            figures(&Steady { number: series * 1000 + number, ..run.clone() })
        };
        let small = Steady { nodes: 2, seconds: 22, ..fast() };
        let before: Vec<RunFigures> = (0..12).map(|n| of(&small, 2 * n + n % 2)).collect();
        let after: Vec<RunFigures> = (0..12).map(|n| of(&small, 2 * n + 1 - n % 2)).collect();
        let report = compared(&[before, after]);
        assert_ne!(report.exit_code(), ExitCode::HarnessFailed);
        let told = |word: Word| matches!(word, Word::Better | Word::Worse);
        alarms += usize::from(report.rows.iter().any(|row| told(row.word)));
    }
    assert!(alarms <= 3, "{alarms} of 60");
}

#[test]
fn one_run_on_each_side_has_its_nodes_and_tells_only_what_two_runs_do_not_differ_by() {
    let run = Steady { nodes: 18, ..fast() };
    let beside = |after: Steady| compared(&[vec![figures(&run)], vec![figures(&after)]]);
    let much = beside(Steady { number: 2, cpu: 0.03, ..run.clone() });
    assert_eq!(word(&much, "cpu, median node"), Word::Worse);
    insta::assert_snapshot!("compare_two_runs", much.terminal());
    let little = beside(Steady { number: 2, cpu: 0.0214, ..run.clone() });
    assert_eq!(word(&little, "cpu, median node"), Word::Undecided);
    assert_eq!(little.exit_code(), ExitCode::Inconclusive);
    let mut noisy = Steady { number: 2, cpu: 0.03, ..run.clone() }.record();
    noisy.manifest.host.load_hundredths = 730;
    let noisy = compared(&[vec![figures(&run)], vec![RunFigures::of(&noisy, None)]]);
    assert_eq!(word(&noisy, "cpu, median node"), Word::Undecided, "{}", noisy.terminal());
}

#[test]
fn too_few_rounds_are_undecided_and_a_run_without_a_partner_is_named() {
    let report = compared(&rounds(3, &fast(), &Steady { cpu: 0.08, ..fast() }));
    assert_eq!(report.exit_code(), ExitCode::Inconclusive, "{}", report.terminal());
    assert!(report.terminal().contains("3 rounds: "), "{}", report.terminal());
    let [mut before, after] = rounds(8, &fast(), &fast());
    before.push(figures(&Steady { number: 90, ..fast() }));
    let report = compared(&[before, after]);
    assert!(report.notes[0].ends_with("1 (swarm/20270115T080090Z-s42)"), "{:?}", report.notes);
    assert_eq!(report.before.len(), 8);
}

/// What must not be compared, with what is said.
#[test]
fn unlike_and_unsound_runs_are_refused_with_the_reason() {
    let with = |change: &dyn Fn(&mut RunFigures)| {
        let mut after = figures(&Steady { number: 2, ..fast() });
        change(&mut after);
        [vec![figures(&fast())], vec![after]]
    };
    let record = |change: &dyn Fn(&mut meshlab_engine::results::RunRecord)| {
        let mut record = Steady { number: 2, ..fast() }.record();
        change(&mut record);
        [vec![figures(&fast())], vec![RunFigures::of(&record, None)]]
    };
    let longer = figures(&Steady { number: 2, seconds: 90, ..fast() });
    let more = figures(&Steady { number: 2, nodes: 5, ..fast() });
    let (unlike, unsound) = (ExitCode::Inconclusive, ExitCode::HarnessFailed);
    let cases = [
        ("scenario", with(&|run| run.conditions.scenario = "other".into()), unlike),
        ("its text", with(&|run| run.conditions.script_sha256 = "6b".repeat(32)), unlike),
        ("nodes", [vec![figures(&fast())], vec![more]], unlike),
        ("duration", with(&|run| run.conditions.duration_secs = Some(9.0)), unlike),
        ("length", [vec![figures(&fast())], vec![longer]], unlike),
        ("host", with(&|run| run.conditions.host.cores = 64), unlike),
        ("network", with(&|run| run.conditions.network = meshlab_model::NetworkMode::Host), unlike),
        ("schedule", with(&|run| run.conditions.chaos_seed = Some(7)), unlike),
        ("profiled", with(&|run| run.conditions.profiled = true), unlike),
        ("no samples", record(&|record| record.samples = Vec::new().into()), unsound),
        ("cut short", record(&|record| drop(record.events.pop())), unsound),
        (
            "a metric that is no number",
            record(&|record| {
                let place = record.events.len() - 2;
                let (name, value, unit) = ("joined".into(), f64::NAN, "s".into());
                record.events[place].kind = K::Metric { name, value, unit };
            }),
            unsound,
        ),
        ("nothing on a side", [vec![figures(&fast())], Vec::new()], unsound),
    ];
    let mut said = Vec::new();
    for (what, sides, code) in cases {
        let verdict = refused(&sides);
        assert_eq!(ExitCode::from(&verdict), code, "{what}: {verdict}");
        said.push(format!("{what}: {verdict}"));
    }
    insta::assert_snapshot!("compare_refused", said.join("\n"));
    let [before, after] = with(&|run| run.conditions.host.cores = 64);
    let allow_unlike = Some("the runner was replaced".to_owned());
    let options = CompareOptions { allow_unlike, ..CompareOptions::default() };
    let insisted = compare(&before, &after, &options).unwrap();
    assert!(insisted.terminal().contains("UNLIKE RUNS: "), "{}", insisted.terminal());
    assert!(insisted.html().contains("the runner was replaced"));
}

#[test]
fn a_red_run_makes_nothing_green_and_hostile_names_stay_names() {
    let text = HOSTILE.to_owned();
    let red = Steady { failing: 1, text, ..fast() };
    let report = compared(&[vec![figures(&fast())], vec![figures(&red)]]);
    assert_ne!(report.exit_code(), ExitCode::Passed);
    let mut hostile = figures(&fast());
    let key = hostile.figures.keys().next().unwrap().clone();
    let figure = hostile.figures[&key].clone();
    let name = HOSTILE.to_owned();
    let unit = HOSTILE.to_owned();
    hostile.figures.insert(
        meshlab_model::FigureKey { name, role: None },
        meshlab_report::Figure { unit, ..figure },
    );
    let report = compared(&[vec![hostile.clone()], vec![hostile]]);
    let all = [report.terminal(), report.markdown(SUMMARY_BYTES_MAX), report.html()];
    for text in all {
        assert!(!text.contains('\u{1b}') && text.contains("alert(1)"));
    }
    assert!(!report.html().contains("<script>") && !report.markdown(10_000).contains("<script>"));
    assert!(report.markdown(2000).len() <= 2000 && report.markdown(50).len() <= 50);
}

#[test]
fn where_more_is_better_less_is_worse() {
    let [mut before, mut after] = rounds(14, &fast(), &fast());
    let key = meshlab_model::FigureKey { name: "requests a second".into(), role: None };
    for (side, value) in [(&mut before, 1000.0), (&mut after, 500.0)] {
        for (n, run) in side.iter_mut().enumerate() {
            let value = value + n as f64;
            let figure = meshlab_report::Figure { value, ..Default::default() };
            run.figures.insert(key.clone(), figure);
        }
    }
    let plain = compared(&[before.clone(), after.clone()]);
    assert_eq!(word(&plain, "requests a second"), Word::Better, "less is, if nobody says more");
    let options = CompareOptions {
        more_is_better: vec!["requests a second".into()],
        ..CompareOptions::default()
    };
    let told = compare(&before, &after, &options).unwrap();
    assert_eq!(word(&told, "requests a second"), Word::Worse);
}

#[test]
fn claims_that_turn_are_judged_by_themselves() {
    let red = Steady { failing: 1, ..fast() };
    let claims = |count: u64, before: &Steady, after: &Steady| {
        let report = compared(&rounds(count, before, after));
        let claims = report.claims.clone();
        (report, claims.map_or("none".to_owned(), |claims| claims.line()))
    };
    let (mended, eight) = claims(8, &red, &fast());
    // What is not known of the figures is told, and that the runs before were red is no reason.
    let why = mended.verdict.reason().unwrap_or_default();
    assert!(!why.contains("claims") && !why.contains("is failed"), "{why}");
    assert!(mended.terminal().contains(&eight), "{}", mended.terminal());
    let (one, first) = claims(1, &red, &fast());
    assert_eq!(one.exit_code(), ExitCode::Inconclusive);
    let (broke, worse) = claims(8, &fast(), &red);
    assert_eq!(broke.exit_code(), ExitCode::ClaimFailed);
    assert!(broke.verdict.reason().unwrap_or_default().starts_with("worse: claims"));
    let (still, both) = claims(8, &red, &red);
    assert_eq!(still.exit_code(), ExitCode::Inconclusive);
    assert_eq!(claims(8, &fast(), &fast()).1, "none");
    insta::assert_snapshot!("compare_claims", [first, eight, worse, both].join("\n"));
}
