//! The gate and its baseline, on made-up runs: each check sees its red.
// Helpers of tests may panic like the tests themselves.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use meshlab_engine::results::RunRecord;
use meshlab_model::{
    Baseline, EndReason, ExitCode, HostSample, Resource, RunEventKind as K, RunTime, Sample,
    Verdict,
};
use meshlab_report::{
    COMMENT_BYTES_MAX, GateLimits, GateReport, Quantile, RunFigures, SUMMARY_BYTES_MAX,
    baseline_terminal,
    fixture::{HOSTILE, steady::Steady},
    gate, make_baseline, read_baseline,
};

fn limits(ceilings: &[(Resource, f64)]) -> GateLimits {
    GateLimits {
        ceilings: ceilings.iter().copied().collect(),
        quantile: Quantile::P95,
        baseline: None,
        allow: 0.10,
        metrics: Vec::new(),
        allow_unlike: None,
    }
}

/// Ceilings that a steady run keeps.
fn kept() -> GateLimits {
    limits(&[(Resource::Cpu, 0.10), (Resource::Rss, 64.0 * 1_048_576.0)])
}

fn held(record: &RunRecord, limits: &GateLimits) -> GateReport {
    gate(&RunFigures::of(record, None), limits)
}

/// A steady run whose samples were changed.
fn samples(change: impl Fn(&mut Vec<Sample>)) -> RunRecord {
    let mut record = Steady::default().record();
    let mut samples: Vec<Sample> = record.samples.iter().collect();
    change(&mut samples);
    record.samples = samples.into();
    record
}

fn baseline(runs: u64, run: &Steady) -> Baseline {
    let one = |number| RunFigures::of(&Steady { number, ..run.clone() }.record(), None);
    make_baseline(&(1..=runs).map(one).collect::<Vec<_>>()).unwrap()
}

fn against(baseline: Baseline, run: &Steady) -> GateReport {
    held(&run.record(), &GateLimits { baseline: Some(baseline), ..limits(&[]) })
}

#[test]
fn a_steady_run_is_green_and_one_node_above_a_ceiling_red_by_its_name() {
    let green = held(&Steady::default().record(), &kept());
    assert_eq!(green.exit_code(), ExitCode::Passed, "{}", green.terminal());
    let record = samples(|samples| {
        for sample in samples.iter_mut().filter(|sample| sample.pid == 3) {
            sample.rss_bytes *= 3;
        }
    });
    let red = held(&record, &kept());
    assert_eq!(red.exit_code(), ExitCode::ClaimFailed);
    insta::assert_snapshot!("gate_terminal", format!("{}\n{}", green.terminal(), red.terminal()));
    insta::assert_snapshot!("gate_markdown", red.markdown(COMMENT_BYTES_MAX));
    insta::assert_snapshot!("gate_junit", red.junit());
}

#[test]
fn a_spike_is_above_the_largest_sample_and_not_above_p95() {
    let record = samples(|samples| {
        samples.iter_mut().rfind(|sample| sample.pid == 2).unwrap().rss_bytes = 1 << 30;
    });
    let with = |quantile| held(&record, &GateLimits { quantile, ..kept() }).exit_code();
    assert_eq!(with(Quantile::P95), ExitCode::Passed);
    assert_eq!(with(Quantile::Max), ExitCode::ClaimFailed);
    assert_eq!(with(Quantile::P99), ExitCode::Inconclusive, "60 samples are too few for a p99");
}

#[test]
fn a_red_run_is_red_whatever_its_ceilings_say() {
    let red = Steady { failing: 1, ..Steady::default() };
    let report = held(&red.record(), &kept());
    assert_eq!(report.exit_code(), ExitCode::ClaimFailed);
    assert!(report.rows[0].verdict.to_string().contains("a plain text 0"), "{report:?}");
}

/// Everything that must not be green, with what is said.
#[test]
fn what_says_nothing_about_the_nodes_is_never_green() {
    let end = |reason: Option<EndReason>| {
        let mut record = Steady::default().record();
        record.events.pop();
        if let Some(reason) = reason {
            let mut last = record.events.last().unwrap().clone();
            last.kind = K::RunFinished { reason };
            record.events.push(last);
        }
        record
    };
    let with = |change: &dyn Fn(&mut Sample)| {
        samples(|samples| {
            samples.iter_mut().filter(|s| s.pid == 2).skip(30).take(1).for_each(change)
        })
    };
    let later = |by: u64| {
        samples(move |samples| {
            let late = samples.iter_mut().filter(|sample| sample.at.micros > 30_000_000);
            late.for_each(|sample| sample.at.micros += by);
        })
    };
    let mut noisy = Steady::default().record();
    noisy.manifest.host.load_hundredths = 730;
    // What the run itself saw of its host counts for more than the load before it.
    let mut stolen = noisy.clone();
    let mut quiet = noisy.clone();
    for (record, steal) in [(&mut stolen, 0.2), (&mut quiet, 0.0)] {
        let mut event = record.events[3].clone();
        event.kind = K::HostSampled(HostSample {
            length_micros: 60_000_000,
            cores: 2,
            steal,
            own: 0.1,
            foreign: 0.01,
            waiting: Some(0.01),
            wakes: 600,
            late_p99_micros: 200,
            late_max_micros: 900,
        });
        record.events.insert(3, event);
    }
    assert_eq!(held(&quiet, &kept()).exit_code(), ExitCode::Passed);
    // A busy host does not make memory more: what is too much is so on any.
    let small = limits(&[(Resource::Rss, 8e6), (Resource::Cpu, 0.01)]);
    let spoilt = held(&noisy, &small);
    assert_eq!(spoilt.exit_code(), ExitCode::ClaimFailed);
    let red = spoilt.rows.iter().filter(|row| matches!(row.verdict, Verdict::Failed(_)));
    assert!(red.clone().count() == 8 && red.clone().all(|row| row.what.starts_with("rss")));
    let mut damaged = Steady::default().record();
    damaged.damage.push("samples/000001.zst: a frame is cut short".into());
    let cases = [
        ("no samples", samples(Vec::clear), ExitCode::HarnessFailed),
        ("one node without", samples(|all| all.retain(|s| s.pid != 5)), ExitCode::Inconclusive),
        ("few", Steady { seconds: 12, ..Steady::default() }.record(), ExitCode::Inconclusive),
        ("NaN", with(&|s| s.cpu = Some(f64::NAN)), ExitCode::HarnessFailed),
        ("infinite", with(&|s| s.cpu = Some(f64::INFINITY)), ExitCode::HarnessFailed),
        ("negative", with(&|s| s.cpu = Some(-0.5)), ExitCode::HarnessFailed),
        ("clock back", with(&|s| s.at = RunTime { micros: 5 }), ExitCode::HarnessFailed),
        ("CPU time back", with(&|s| s.cpu_micros_total = 0), ExitCode::HarnessFailed),
        ("clock ahead", later(600_000_000), ExitCode::Inconclusive),
        ("killed", end(None), ExitCode::HarnessFailed),
        (
            "interrupted",
            end(Some(EndReason::Interrupted { signal: "SIGINT".into() })),
            ExitCode::HarnessFailed,
        ),
        ("timed out", end(Some(EndReason::TimedOut)), ExitCode::HarnessFailed),
        ("harness", end(Some(EndReason::HarnessFailed)), ExitCode::HarnessFailed),
        ("busy before", noisy, ExitCode::Inconclusive),
        ("stolen from", stolen, ExitCode::Inconclusive),
        ("damaged", damaged, ExitCode::HarnessFailed),
    ];
    let mut said = Vec::new();
    for (what, record, code) in cases {
        let report = held(&record, &kept());
        assert_eq!(report.exit_code(), code, "{what}: {}", report.terminal());
        said.push(format!("{what}: {}", report.verdict));
    }
    insta::assert_snapshot!("gate_bad_runs", said.join("\n"));
}

#[test]
fn a_run_is_held_against_a_baseline_with_its_noise() {
    let run = Steady { round_trip_ms: 2.0, ..Steady::default() };
    let baseline = baseline(6, &run);
    insta::assert_snapshot!("baseline_terminal", baseline_terminal(&baseline));
    let like = against(baseline.clone(), &Steady { number: 9, ..run.clone() });
    assert_eq!(like.exit_code(), ExitCode::Passed, "{}", like.terminal());
    let heavier = Steady { number: 9, cpu: 0.03, ..run.clone() };
    let red = against(baseline.clone(), &heavier);
    assert_eq!(red.exit_code(), ExitCode::ClaimFailed);
    assert!(red.verdict.to_string().contains("worker: cpu"), "{}", red.verdict);
    insta::assert_snapshot!("gate_baseline", red.terminal());
    // A change about as large as what is allowed can be told from it by nobody.
    let near = against(baseline, &Steady { number: 10, cpu: 0.022, ..run });
    assert_eq!(near.exit_code(), ExitCode::Inconclusive, "{}", near.terminal());
}

#[test]
fn a_baseline_that_does_not_fit_is_never_green() {
    let run = Steady::default();
    let fit = baseline(5, &run);
    let mut host = fit.clone();
    host.conditions.host.cpu = "another processor".into();
    let mut scenario = fit.clone();
    scenario.conditions.scenario = "other".into();
    let mut unknown = fit.clone();
    unknown.figures.iter_mut().for_each(|figure| figure.unit = "furlongs".into());
    let mut lacks = fit.clone();
    lacks.figures[0].key.name = "a figure that this run has not".into();
    let mut zero = fit.clone();
    zero.figures[0].values[0] = 0.0;
    let mut empty = fit.clone();
    empty.figures.retain(|figure| figure.key.role.is_none());
    let mut said = Vec::new();
    for (what, baseline) in [
        ("another host", host.clone()),
        ("another scenario", scenario),
        ("two runs", self::baseline(2, &run)),
        ("another unit", unknown),
        ("a figure too many", lacks),
        ("a zero", zero),
        ("nothing in it", empty),
    ] {
        let report = against(baseline, &Steady { number: 9, ..run.clone() });
        assert_eq!(report.exit_code(), ExitCode::Inconclusive, "{what}: {}", report.terminal());
        said.push(format!("{what}: {}", report.verdict));
    }
    insta::assert_snapshot!("gate_bad_baselines", said.join("\n"));
    let allow_unlike = Some("the runner was replaced".to_owned());
    let limits = GateLimits { baseline: Some(host), allow_unlike, ..limits(&[]) };
    let insisted = held(&Steady { number: 9, ..run }.record(), &limits);
    assert_eq!(insisted.exit_code(), ExitCode::Passed);
    assert!(insisted.terminal().contains("because: the runner was replaced"));
}

#[test]
fn what_is_no_baseline_is_refused_with_the_reason() {
    let path = Path::new("baseline.json");
    let text = serde_json::to_string(&baseline(3, &Steady::default())).unwrap();
    assert!(read_baseline(path, &text).is_ok());
    let edit = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
        change(&mut value);
        value.to_string()
    };
    let said: Vec<String> = [
        String::new(),
        "{}".to_owned(),
        "[1]".to_owned(),
        edit(&|value| value["schema"] = 7.into()),
        edit(&|value| value["figures"] = serde_json::json!([])),
        edit(&|value| value["figures"][0]["values"] = serde_json::json!([])),
        edit(&|value| value["figures"][0]["median"] = (-1.0).into()),
        edit(&|value| value["figures"][0]["median"] = serde_json::Value::Null),
        text.replacen("\"median\":", "\"median\":1e999,\"x\":", 1),
    ]
    .iter()
    .map(|text| read_baseline(path, text).unwrap_err().to_string())
    .collect();
    insta::assert_snapshot!("baseline_malformed", said.join("\n"));
}

#[test]
fn a_baseline_is_made_of_sound_green_runs_that_are_alike() {
    let run = |number| RunFigures::of(&Steady { number, ..Steady::default() }.record(), None);
    let failed = |runs: &[RunFigures]| make_baseline(runs).unwrap_err().to_string();
    let red = RunFigures::of(&Steady { failing: 1, ..Steady::default() }.record(), None);
    let mut cut = Steady::default().record();
    cut.events.pop();
    let mut other = run(2);
    other.conditions.network = meshlab_model::NetworkMode::Host;
    let said = [
        failed(&[]),
        failed(&[run(1), red]),
        failed(&[run(1), RunFigures::of(&cut, None)]),
        failed(&[run(1), other]),
    ];
    insta::assert_snapshot!("baseline_refused", said.join("\n"));
}

/// Ten thousand claims fail, with names that would break every format.
#[test]
fn what_a_ci_service_reads_stays_within_its_bounds_and_whole() {
    let text = format!("{HOSTILE}\r\n::error::x|`<b>%0A@everyone {}", "long ".repeat(40));
    let record = Steady { failing: 10_000, text, ..Steady::default() }.record();
    let report = held(&record, &kept());
    assert_eq!(report.exit_code(), ExitCode::ClaimFailed);
    for most in [SUMMARY_BYTES_MAX - 1, COMMENT_BYTES_MAX - 1, 5000] {
        let markdown = report.markdown(most);
        assert!(markdown.len() <= most && markdown.len() > most * 9 / 10, "{}", markdown.len());
        assert!(markdown.contains("more rows are left out"), "{most}");
        assert!(!markdown.contains("<script>") && !markdown.contains("@everyone"));
        assert!(!markdown.contains('\u{1b}'));
        let head = markdown.lines().find(|line| line.starts_with("| failed")).unwrap();
        assert_eq!(head.matches(" | ").count(), 4, "{head}");
    }
    assert!(report.markdown(100).len() <= 100);
    let annotations = report.annotations();
    assert_eq!(annotations.lines().len(), 10, "GitHub shows no more");
    for line in annotations.lines() {
        assert!(line.starts_with("::error file=") && !line.contains(['\n', '\r']), "{line}");
    }
    assert!(annotations.lines()[9].contains("more; the step summary has them"));
    insta::assert_snapshot!("gate_annotation", annotations.lines()[0]);
    let junit = report.junit();
    assert_eq!(junit.matches("<testcase ").count(), report.rows.len());
    assert!(!junit.contains('\u{1b}') && !junit.contains("<script>"));
    let terminal = report.terminal();
    assert!(terminal.lines().count() < 120 && !terminal.contains('\u{1b}'));
    assert!(!terminal.lines().any(|line| line.starts_with("::")), "no command of the service");
}

#[test]
fn worst_is_first() {
    let record = samples(|samples| {
        for sample in samples.iter_mut() {
            sample.rss_bytes = u64::from(sample.pid) * (30 << 20);
        }
    });
    let report = held(&record, &kept());
    let ratios: Vec<f64> =
        report.rows.iter().filter(|row| row.ratio > 1.0).map(|row| row.ratio).collect();
    assert!(ratios.len() > 3 && ratios.is_sorted_by(|a, b| a >= b), "{ratios:?}");
    assert!(matches!(report.rows[0].verdict, Verdict::Failed(_)));
}
