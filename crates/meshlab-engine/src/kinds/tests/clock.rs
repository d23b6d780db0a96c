//! The clock of programs without an agent.

use super::*;

/// Tells both clocks ten times a second.
const TELLS_TIME: &str = "exec /usr/bin/python3 -uc 'import time\nwhile True:\n  \
                          print(time.time(), time.monotonic(), flush=True)\n  time.sleep(0.1)'";

fn with_clock() -> NodeKind {
    NodeKind { preloads_clock: true, ..says(".") }
}

/// What a node told last in a whole line: its wall clock, its steady one.
async fn last_told(bench: &Bench, node: &str) -> (f64, f64) {
    let log = bench.engine.folder().results.join("logs").join(format!("{node}.log"));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let text = std::fs::read_to_string(&log).unwrap();
        let whole = text.rsplit_once('\n').and_then(|(whole, _)| whole.lines().last());
        if let Some((wall, steady)) = whole.and_then(|line| line.split_once(' ')) {
            return (wall.parse().unwrap(), steady.parse().unwrap());
        }
        assert!(tokio::time::Instant::now() < deadline, "{text:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn the_clock_of_a_program_without_an_agent_is_set_while_it_runs_and_set_right() {
    let bench = bench(NetworkMode::Lab, TELLS_TIME).await;
    start(&bench, with_clock(), 2).await.unwrap();
    let before = last_told(&bench, "node-3").await;
    let call = bench.call("clock_skew", &["node-3".into()]);
    let settings = crate::FaultSettings { skew_micros: Some(-3_600_000_000), ..call.settings };
    let hit = bench.engine.fault(crate::FaultCall { settings, ..call }, here()).await.unwrap();
    assert!(hit.acted);
    // The log is written by somebody else: what was told may be in it a moment later.
    let until = |node: &'static str, wanted: f64| {
        let bench = &bench;
        async move {
            let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
            loop {
                let off = last_told(bench, node).await.0 - unix_seconds();
                if (off - wanted).abs() < 30.0 {
                    return;
                }
                assert!(tokio::time::Instant::now() < deadline, "{off} s ahead");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    until("node-3", -3600.0).await;
    let other = last_told(&bench, "node-2").await.0 - unix_seconds();
    assert!(other.abs() < 30.0, "nobody else's clock: {other}");
    let steady = last_told(&bench, "node-3").await.1 - before.1;
    assert!((0.0..60.0).contains(&steady), "the steady clock moved by {steady} s");
    bench.engine.undo(hit.fault).await.unwrap();
    until("node-3", 0.0).await;
    let (_, acted) = bench.finish().await;
    assert!(acted[0].contains("and was told 1h 0m behind"), "{acted:?}");
}

fn unix_seconds() -> f64 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
}

#[tokio::test]
async fn a_clock_that_cannot_be_set_skips_the_fault_and_says_why() {
    let body = "echo ready.; exec sleep 600";
    for (clock, library, why) in [
        (false, None, "`clock = \"preload\"` of its kind sets the clock"),
        (true, None, "node-2 did not ask for the time within 5.00 s"),
        (true, Some("the library is nowhere"), "`clock = \"preload\"` of its kind"),
    ] {
        let body = format!("#!/bin/bash\n{body}\n");
        let bench = bench_with(NetworkMode::Lab, &body, |config| {
            if let Some(why) = library {
                config.clock_library = Err(why.to_owned());
            }
        });
        let bench = bench.await;
        start(&bench, NodeKind { preloads_clock: clock, ..says("ready") }, 1).await.unwrap();
        let call = bench.call("clock_skew", &["node-2".into()]);
        let settings = crate::FaultSettings { skew_micros: Some(1_000_000), ..call.settings };
        let call = crate::FaultCall { settings, ..call };
        assert!(!bench.engine.fault(call, here()).await.unwrap().acted);
        let (record, _folder) = bench.finish_with_record().await;
        let said = |part: &str| {
            record.events.iter().any(|event| match &event.kind {
                RunEventKind::FaultFinished { verdict: Verdict::Skipped(said), .. } => {
                    said.contains(part)
                }
                RunEventKind::Warning { text } => text.contains(part),
                _ => false,
            })
        };
        assert!(said(why), "{why}");
        assert_eq!(said("cannot be set: the library is nowhere"), library.is_some());
    }
}
