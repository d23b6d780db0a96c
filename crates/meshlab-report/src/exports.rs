//! The files for machines and for a CI page: `summary.json`, `summary.md`, `junit.xml`.

use meshlab_engine::results::RunRecord;
use meshlab_model::{ComparisonId, TestId, Verdict};
use meshlab_stats::Latency;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde_json::{Value, json};

use crate::{
    hands::Hands,
    measured::Measured,
    text::{clean, tallies, took},
    view::{
        ComparisonView, Deviation, Gap, NodeView, Recovery, RecoveryTimes, RunView, percentiles,
    },
};

/// Version of `summary.json`.
pub(crate) const SUMMARY_SCHEMA: u32 = 1;

/// `summary.json`.
pub(crate) fn summary(record: &RunRecord, view: &RunView, measured: &Measured) -> Value {
    let nodes: Vec<Value> =
        view.nodes.iter().map(|(id, node)| node_json(measured, id.as_str(), node)).collect();
    let tests: Vec<Value> = view
        .tests
        .iter()
        .map(|(id, test)| {
            json!({ "title": test.title, "source": test.source, "started": test.started,
            "finished": test.finished.as_ref().map(|finished| finished.0),
            "verdict": view.test_verdict(*id) })
        })
        .collect();
    let claims: Vec<Value> = view
        .claims
        .iter()
        .map(|(id, claim)| {
            let mut told = json!({ "claim": id, "test": claim.test, "call": claim.call,
                "text": claim.text, "source": claim.source, "started": claim.started,
                "took_micros": claim.took_micros, "verdict": claim.judged(),
                "evidence": claim.evidence });
            if claim.after_hand {
                told["after_hand"] = true.into();
            }
            told
        })
        .collect();
    let chaos = view.chaos.iter().map(|(id, chaos)| {
        json!({ "chaos": id, "test": chaos.test, "seed": chaos.seed, "tally": chaos.tally,
            "early": chaos.early, "late_micros": chaos.lateness() })
    });
    let chaos: Vec<Value> = chaos.collect();
    let faults: Vec<Value> = view
        .faults
        .iter()
        .map(|(id, fault)| {
            let noticed: Vec<Value> = fault
                .noticed
                .iter()
                .map(|(at, by, evidence)| json!({ "at": at, "by": by, "evidence": evidence }))
                .collect();
            let healed = fault.healed.iter().map(|(at, by)| json!({ "at": at, "by": by }));
            let healed: Vec<Value> = healed.collect();
            json!({ "fault": id, "chaos": fault.chaos, "test": fault.test, "name": fault.name,
            "targets": fault.targets, "against": fault.against, "told": fault.told,
            "unnoticed": fault.unnoticed, "planned": fault.planned,
            "acted": fault.acted.as_ref().map(|acted| acted.0),
            "noticed": noticed, "undone": fault.undone.as_ref().map(|undone| undone.0),
            "healed": healed,
            "capture": fault.capture.as_ref().map(|capture| &capture.0),
            "verdict": fault.judged() })
        })
        .collect();
    let metrics: Vec<Value> = view.metrics.iter().map(|(at, name, value, unit)| {
        json!({ "at": at, "name": name, "value": value, "unit": unit })
    }).collect();
    let traffic: Vec<Value> =
        view.traffic.iter().map(|(at, measure)| json!({ "at": at, "measure": measure })).collect();
    json!({
        "schema": SUMMARY_SCHEMA,
        "run": record.manifest.run,
        "scenario": record.manifest.scenario,
        "commit": record.manifest.commit,
        "seed": record.manifest.seed,
        "verdict": view.verdict(),
        "record": crate::ending::json(record),
        "gaps": view.gaps.iter().map(|gap| {
            json!({ "from": gap.from, "to": gap.to, "part": gap.part, "test": gap.test,
                "spent_micros": u64::try_from(gap.spent.as_micros()).unwrap_or(u64::MAX) })
        }).collect::<Vec<_>>(),
        "exit_code": view.exit_code() as u8,
        "duration_micros": view.last.micros,
        "tests": tests,
        "claims": claims,
        "faults": faults,
        "chaos": chaos,
        "comparisons": view.comparisons.iter().map(comparison).collect::<Vec<_>>(),
        "recovery": recovery(&view.recovery),
        "replay": replay(view),
        "nodes": nodes,
        "metrics": metrics,
        "traffic": traffic,
        "host_noise": view.noise().map(|noise| {
            json!({ "noisy": noise.is_noisy(), "line": noise.line(), "why": noise.why })
        }),
        "hands": Hands::of(view).map(|hands| {
            json!({ "during": hands.during, "after": hands.after, "line": hands.line() })
        }),
        "by_hand": view.by_hand.iter().map(|(at, test, line)| {
            json!({ "at": at, "test": test, "line": line })
        }).collect::<Vec<_>>(),
        "warnings": view.warnings.iter().map(|warning| &warning.1).collect::<Vec<_>>(),
        "problems": view.problems.iter().map(|problem| &problem.text).collect::<Vec<_>>(),
        "spans": record.spans.len(),
        "damage": record.all_damage(),
    })
}

/// A comparison with its rounds, so that other tools can work out what they want.
fn comparison((id, comparison): (&ComparisonId, &ComparisonView)) -> Value {
    let measures = comparison.measures();
    let measures = measures.iter().map(|measure| {
        json!({ "name": measure.name, "unit": measure.unit, "before": measure.before,
            "after": measure.after, "effect": measure.effect, "interval": measure.interval,
            "p_value": measure.p_value, "word": measure.word.as_str() })
    });
    let rounds = comparison.rounds.iter().map(|round| {
        json!({ "round": round.round, "at": round.started, "measures": round.measures,
            "failed": round.failed })
    });
    json!({ "comparison": id, "test": comparison.test, "before": comparison.before,
        "after": comparison.after, "measures": measures.collect::<Vec<_>>(),
        "rounds": rounds.collect::<Vec<_>>() })
}

/// Percentiles in seconds, and the histograms themselves, in microseconds.
fn recovery(recovery: &Recovery) -> Value {
    let times = |times: &RecoveryTimes| {
        let stages = times.stages().map(|(name, times)| (name.to_owned(), spread(times)));
        Value::Object(stages.into_iter().collect())
    };
    let kinds = recovery.kinds.iter().map(|(name, kind)| (name.clone(), times(kind)));
    json!({
        "kinds": Value::Object(kinds.collect()),
        "all": times(&recovery.all()),
        "without_beginning": recovery.without_beginning,
    })
}

/// How far the onsets are from those of the run that is replayed, in seconds, without their sign.
fn replay(view: &RunView) -> Value {
    let Some(run) = &view.replays else { return Value::Null };
    let Deviation { realised, again, micros } = view.deviation();
    json!({ "of": run, "realised": realised, "again": again, "deviation": spread(&micros) })
}

fn spread(times: &Latency) -> Value {
    let seconds = percentiles(times).map(|each| each.map(|length| length.as_secs_f64()));
    let at = |place: usize| seconds.map(|seconds| seconds[place]);
    json!({ "count": times.count(), "p50": at(0), "p90": at(1), "p99": at(2), "max": at(3),
        "histogram": times.encode().ok() })
}

fn node_json(measured: &Measured, id: &str, node: &NodeView) -> Value {
    let lives: Vec<Value> = node
        .lives
        .iter()
        .map(|life| {
            json!({ "pid": life.pid, "spawned": life.spawned, "ready_micros": life.ready_micros,
            "exited": life.exited.as_ref().map(|exited| exited.0),
            "exit": life.exited.as_ref().map(|exited| exited.1),
            "asked_for": life.exited.as_ref().map(|exited| exited.2) })
        })
        .collect();
    let telemetry: Vec<Value> = node
        .telemetry
        .iter()
        .map(|(_, count)| {
            json!({ "ended": count.ended, "received": count.received, "dropped": count.dropped,
            "lost": count.lost() })
        })
        .collect();
    let use_of = measured.usage(Some(id));
    let counters = measured.counted.values.iter().filter_map(|(name, of)| {
        let value = of.iter().find(|(node, _)| node.as_str() == id)?.1;
        Some((name.clone(), json!({ "last": value.last, "max": value.max })))
    });
    json!({ "node": id, "mesh": node.mesh, "role": node.role, "lives": lives,
        "telemetry": telemetry,
        "counters": Value::Object(counters.collect()),
        "resources": use_of.map(|usage| json!({ "cpu_mean": usage.cpu_mean,
            "cpu_max": usage.cpu_max, "rss_last_bytes": usage.rss_last,
            "rss_max_bytes": usage.rss_max, "open_files_max": usage.files_max,
            "threads_max": usage.threads_max })) })
}

/// Text in Markdown: no markup of its own, no new lines.
pub(crate) fn plain(text: &str) -> String {
    let mut safe = String::new();
    for c in clean(text).chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            // Nobody is called by the name of a node.
            '@' => safe.push_str("&#64;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' => safe.extend(['\\', c]),
            c => safe.push(c),
        }
    }
    safe
}

/// `summary.md`.
pub(crate) fn markdown(record: &RunRecord, view: &RunView) -> String {
    let verdict = view.verdict();
    let mut text = format!(
        "## {}: {}\n\n{}\n\nSeed {}, {}, exit code {} ({}).\n\n",
        plain(&record.manifest.scenario),
        verdict.word(),
        plain(verdict.reason().unwrap_or("Every claim was evaluated and held.")),
        record.manifest.seed,
        took(view.last.micros),
        view.exit_code() as u8,
        crate::text::meaning(view.exit_code()),
    );
    for told in about_the_record(record, view) {
        text.push_str(&format!("{}\n\n", plain(&told)));
    }
    text.push_str("| Verdict | Test | Reason |\n|---|---|---|\n");
    for (id, test) in &view.tests {
        let verdict = view.test_verdict(*id);
        let reason = plain(verdict.reason().unwrap_or(""));
        text.push_str(&format!("| {} | {} | {reason} |\n", verdict.word(), plain(&test.title)));
    }
    if let Some(replay) = crate::text::replay(view) {
        text.push_str(&format!("\nReplay {}.\n", plain(&replay)));
    }
    text.push_str(&recovery_markdown(&view.recovery));
    for claim in view.claims.values().filter(|claim| !claim.judged().is_passed()) {
        let place = claim.source.as_ref().map(ToString::to_string).unwrap_or_default();
        text.push_str(&format!(
            "\n- {} {}: {}\n",
            plain(&place),
            claim.call,
            plain(&claim.judged().to_string())
        ));
        if !claim.evidence.by_node.is_empty() {
            text.push_str(&format!("  - by node: {}\n", plain(&tallies(&claim.evidence))));
        }
        for note in &claim.evidence.notes {
            text.push_str(&format!("  - {}\n", plain(note)));
        }
    }
    text
}

/// The table of recovery; nothing where no fault acted.
fn recovery_markdown(recovery: &Recovery) -> String {
    if recovery.kinds.is_empty() {
        return String::new();
    }
    let mut text = "\n| Recovery | Stage | n | p50 | p90 | p99 | max |\n\
        |---|---|--:|--:|--:|--:|--:|\n"
        .to_owned();
    let all = recovery.all();
    let all = (recovery.kinds.len() > 1).then_some(("all", &all));
    let kinds = recovery.kinds.iter().map(|(name, times)| (name.as_str(), times));
    for (name, times) in kinds.chain(all) {
        for (stage, times) in times.stages() {
            let Some(lengths) = percentiles(times) else { continue };
            let lengths = lengths.map(crate::text::short).join(" | ");
            let (name, count) = (plain(name), times.count());
            text.push_str(&format!("| {name} | {stage} | {count} | {lengths} |\n"));
        }
    }
    text
}

/// What a reader must know of the record itself: that it breaks off, and its gaps.
fn about_the_record(record: &RunRecord, view: &RunView) -> Vec<String> {
    crate::ending::unfinished(record).into_iter().chain(view.gaps.iter().map(Gap::told)).collect()
}

/// `junit.xml`: a case for each test and one for the run as a whole, so that a run that broke
/// outside its tests is not read as a success.
pub(crate) fn junit(record: &RunRecord, view: &RunView) -> String {
    let mut suite = TestSuite::new(clean(&record.manifest.scenario));
    for (id, test) in &view.tests {
        let verdict = view.test_verdict(*id);
        let mut case = TestCase::new(clean(&test.title), status(&verdict, &details(view, *id)));
        case.set_classname(clean(&record.manifest.scenario));
        if let (Some(from), Some((to, _))) = (test.started, &test.finished) {
            case.set_time(to.since(from));
        }
        suite.add_test_case(case);
    }
    let about = clean(&about_the_record(record, view).join("\n"));
    let mut whole = TestCase::new("the run as a whole", status(&view.verdict(), &about));
    if view.verdict().is_passed() && !about.is_empty() {
        whole.set_system_out(about);
    }
    suite.add_test_case(whole);
    let mut report = Report::new(clean(&record.manifest.run));
    report.add_test_suite(suite);
    report.to_string().unwrap_or_else(|error| format!("<!-- cannot be written: {error} -->"))
}

pub(crate) fn status(verdict: &Verdict, details: &str) -> TestCaseStatus {
    let mut status = match verdict {
        Verdict::Passed => return TestCaseStatus::success(),
        Verdict::Skipped(_) => TestCaseStatus::skipped(),
        Verdict::Failed(_) => TestCaseStatus::non_success(NonSuccessKind::Failure),
        _ => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    status.set_type(verdict.word());
    status.set_message(clean(&verdict.to_string()));
    if !details.is_empty() {
        status.set_description(details);
    }
    status
}

fn details(view: &RunView, test: TestId) -> String {
    let mut lines = Vec::new();
    let bad = |claim: &&crate::view::ClaimView| claim.test == test && !claim.judged().is_passed();
    for claim in view.claims.values().filter(bad) {
        let place = claim.source.as_ref().map(ToString::to_string).unwrap_or_default();
        lines.push(clean(&format!("{place} {} {}", claim.call, claim.judged())));
        lines.push(clean(&format!("by node: {}", tallies(&claim.evidence))));
        lines.extend(claim.evidence.notes.iter().map(|note| clean(note)));
    }
    lines.join("\n")
}
