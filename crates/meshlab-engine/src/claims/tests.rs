//! Claims on an engine that runs, with spans as if nodes had sent them.

use std::time::{Duration, Instant};

use meshlab_model::{NetworkMode::Host as HostNetwork, RunEvent, RunEventKind, RunTime, Severity};
use meshlab_wire::span::{STATE_HEARD, STATE_INFERRED};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    Claim, ClaimOutcome, Host, HostError, Since, SpanQuery, Via,
    fixture::{Bench, here},
};

const LONG: Duration = Duration::from_secs(20);

impl Bench {
    async fn claim(&self, claim: Claim, severity: Severity) -> Result<ClaimOutcome, HostError> {
        self.engine.claim(claim, severity, here()).await
    }
}

fn no_bad(from: &str, during: Option<Duration>) -> Claim {
    let query = SpanQuery {
        name: "bad".to_owned(),
        from: Some(vec![from.into()]),
        conditions: Vec::new(),
        under: None,
        since: Since::Test,
    };
    Claim::NoSpans { query, during, meanwhile: "" }
}

#[tokio::test]
async fn absence_is_watched_for_all_of_its_time_and_ends_at_the_first_span() {
    let bench = Bench::start(HostNetwork, 2).await;
    let began = Instant::now();
    let short = Duration::from_millis(150);
    let passed = bench.claim(no_bad("node-1", Some(short)), Severity::Expect).await.unwrap();
    assert!(passed.passed && began.elapsed() >= short, "it looked for all of the time");

    let watching = bench.claim(no_bad("node-1", Some(LONG)), Severity::Expect);
    let sending = async {
        tokio::task::yield_now().await;
        bench.says("node-2", "bad", "x", None);
        bench.says("node-1", "bad", "y", Some("Dead"));
    };
    let (failed, ()) = tokio::join!(watching, sending);
    let error = failed.unwrap_err().to_string();
    let wanted = "node-1 sent `bad` { peer.id = \"y\", state = \"Dead\" } at ";
    assert!(error.contains(wanted), "another's span is not meant: {error}");
    assert!(began.elapsed() < LONG, "the first one ends it");

    let once = bench.claim(no_bad("node-2", None), Severity::Check).await.unwrap();
    assert!(!once.passed, "a single look sees what has come");
    let error = bench.claim(
        Claim::NoSpans {
            query: SpanQuery {
                name: "bad".to_owned(),
                from: Some(Vec::new()),
                conditions: Vec::new(),
                under: None,
                since: Since::Test,
            },
            during: None,
            meanwhile: "",
        },
        Severity::Check,
    );
    assert!(error.await.unwrap_err().to_string().contains("no node to look at"));
    bench.finish().await;
}

#[tokio::test]
async fn absence_is_undecided_where_spans_of_the_node_were_lost() {
    let bench = Bench::start(HostNetwork, 1).await;
    let door = bench.engine.shared.state().nodes[&"node-1".into()].place.otlp.clone();
    let mut stream = TcpStream::connect(door.trim_start_matches("http://")).await.unwrap();
    let request = "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n\
                   content-length: 3\r\nconnection: close\r\n\r\nxxx";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let checked = bench.claim(no_bad("node-1", None), Severity::Check).await.unwrap();
    assert!(!checked.passed, "what may have been lost is not absent");
    let error = bench.claim(no_bad("node-1", None), Severity::Expect).await.unwrap_err();
    assert!(matches!(error, HostError::ClaimFailed(_)), "it ends the test: {error:?}");
    assert!(error.to_string().contains("telemetry port refused requests (1)"), "{error}");
    bench.finish().await;
}

fn states(states: &[&str], via: Option<Via>, within: Duration) -> Claim {
    Claim::States {
        node: "node-2".into(),
        states: states.iter().map(ToString::to_string).collect(),
        seen_by: None,
        via,
        since: Since::Test,
        within,
    }
}

#[tokio::test]
async fn a_claim_whose_wait_is_dropped_is_withdrawn() {
    let bench = Bench::start(HostNetwork, 2).await;
    let formed = Claim::Formed { mesh: "mesh1".into(), since: Since::Test, within: LONG };
    let agreed = Claim::Agreed { mesh: "mesh1".into(), since: Since::Test, within: LONG };
    for claim in [formed, agreed, no_bad("node-1", Some(LONG))] {
        tokio::select! {
            biased;
            outcome = bench.claim(claim, Severity::Expect) => panic!("{outcome:?}"),
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
    }
    let (record, _folder) = bench.finish_with_record().await;
    let withdrawn = |event: &RunEvent| match event.kind {
        RunEventKind::ClaimWithdrawn { claim } => Some(claim.0),
        RunEventKind::ClaimFinished { .. } => Some(0),
        _ => None,
    };
    let withdrawn: Vec<u32> = record.events.iter().filter_map(withdrawn).collect();
    assert_eq!(withdrawn, [1, 2, 3]);
}

#[tokio::test]
async fn evidence_counts_from_the_moment_that_is_asked_for() {
    let bench = Bench::start(HostNetwork, 1).await;
    bench.says("node-1", "bad", "x", None);
    let count = |since| {
        let query = SpanQuery { since, ..query("bad") };
        bench.engine.count_spans(&query).unwrap()
    };
    assert_eq!(count(Since::Test), 1);
    let later = Since::At(bench.engine.now());
    assert_eq!(count(later), 0, "what came before is not seen");
    bench.says("node-1", "bad", "y", None);
    assert_eq!((count(later), count(Since::Test)), (1, 2));
    bench.finish().await;
}

fn query(name: &str) -> SpanQuery {
    SpanQuery {
        name: name.to_owned(),
        from: None,
        conditions: Vec::new(),
        under: None,
        since: Since::Test,
    }
}

#[tokio::test]
async fn every_observer_must_see_exactly_these_states() {
    let bench = Bench::start(HostNetwork, 3).await;
    for observer in ["node-1", "node-3"] {
        bench.says(observer, STATE_HEARD, "node-2", Some("Alive"));
    }
    bench.says("node-1", STATE_INFERRED, "node-2", Some("Dead"));
    let now = Duration::ZERO;
    let early = bench.claim(states(&["Alive", "Dead"], None, now), Severity::Check).await.unwrap();
    assert!(!early.passed, "node-3 has not seen it yet");
    let dead = bench.claim(states(&["Alive", "Dead"], None, LONG), Severity::Expect);
    let saying = async {
        tokio::task::yield_now().await;
        bench.says("node-3", STATE_INFERRED, "node-2", Some("Dead"));
    };
    let (seen, ()) = tokio::join!(dead, saying);
    assert!(seen.unwrap().passed);
    let told = Some(Via::Message);
    for (wanted, via, holds) in [
        (vec!["Alive"], told, true),
        (vec!["Alive"], None, false),
        (vec!["Dead", "Alive"], None, false),
        (vec!["Alive", "Dead", "Alive"], None, false),
    ] {
        let outcome = bench.claim(states(&wanted, via, now), Severity::Check).await.unwrap();
        assert_eq!(outcome.passed, holds, "{wanted:?}");
    }
    bench.finish().await;
}

#[tokio::test]
async fn usage_is_of_processes_that_were_sampled() {
    let bench = Bench::start(HostNetwork, 1).await;
    let node = ["node-1".into()];
    let error = bench.engine.usage(&node, Since::Ago(Duration::ZERO)).unwrap_err().to_string();
    assert!(error.contains("no two samples") && error.contains("each 100.0 ms"), "{error}");
    let samples = || bench.engine.usage(&node, Since::Test).ok();
    let used =
        bench.engine.shared.store.wait_for(tokio::time::Instant::now() + LONG, |_| samples());
    let used = used.await.expect("samples are taken ten times a second");
    assert!(used[0].rss.0 > 100_000 && used[0].threads >= 1.0, "{used:?}");
    assert!((0.0..8.0).contains(&used[0].cpu), "{used:?}");
    assert!(bench.engine.now() > RunTime::ZERO);
    bench.finish().await;
}
