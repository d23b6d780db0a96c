//! Kinds on tiny programs: each way in which a program can be bad, by its message.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt, sync::Arc, time::Duration};

use meshlab_model::{
    BinaryRecord, EndReason, NetworkMode, NodeExit, NodeId, RunEventKind, Severity, TestId,
    TestOutcome, Verdict,
};
use meshlab_results::RunRecord;
use meshlab_spans::Condition;
use meshlab_wire::span;

use super::*;
use crate::{
    Claim, Host, HostError, MeshOptions, RunConfig, Since, SpanQuery,
    fixture::{Bench, here, mesh_of},
    kinds::log::fits,
};

mod clock;
mod shell;
mod whole;

fn text(text: &str) -> Template {
    Template::parse(text).unwrap()
}

/// A kind whose program is a script of the shell.
fn script(ready: Readiness) -> NodeKind {
    NodeKind {
        name: "tiny".to_owned(),
        binary: "tiny".to_owned(),
        arguments: Vec::new(),
        shell: None,
        capture: None,
        ends: false,
        env: BTreeMap::new(),
        files: BTreeMap::new(),
        port: 7777,
        seed: text("{bind}"),
        seed_separator: ",".to_owned(),
        ready,
        ready_within: Duration::from_secs(20),
        stop_signal: libc::SIGTERM,
        stop_grace: Duration::from_secs(4),
        answers: None,
        words: Words::None,
        dead_after: Duration::from_millis(300),
        preloads_clock: false,
    }
}

fn says(line: &str) -> NodeKind {
    script(Readiness::Log(line.to_owned()))
}

/// A run whose program `tiny` is that script, inside its first test, without a node.
async fn bench(network: NetworkMode, body: &str) -> Bench {
    bench_with(network, &format!("#!/bin/bash\n{body}\n"), |_| {}).await
}

/// The same, of the whole text of a program, with something else about the run.
async fn bench_with(
    network: NetworkMode,
    body: &str,
    change: impl FnOnce(&mut RunConfig),
) -> Bench {
    let body = body.to_owned();
    Bench::start_with(network, 1, |config| {
        change(config);
        let path = config.output.join("tiny");
        std::fs::write(&path, body).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let record = BinaryRecord {
            path: path.display().to_string(),
            sha256: String::new(),
            bytes: 0,
            built_unix_nanos: 0,
            built_by_run: false,
            built_with: None,
        };
        config.binaries.insert("tiny".to_owned(), record);
    })
    .await
}

async fn start(bench: &Bench, kind: NodeKind, nodes: usize) -> Result<Vec<NodeId>, HostError> {
    let options = MeshOptions { kind: Some(Arc::new(kind)), ..mesh_of("strange", nodes) };
    bench.engine.start_mesh(options, here()).await?;
    Ok(bench.engine.nodes(&"strange".into()).into_iter().map(|node| node.id).collect())
}

/// What a start that fails says, and what the run left behind.
async fn refused(kind: NodeKind, body: &str) -> String {
    let bench = bench(NetworkMode::Lab, body).await;
    let error = start(&bench, kind, 1).await.unwrap_err().to_string();
    bench.finish().await;
    error
}

#[test]
fn placeholders_are_filled_in_and_what_is_empty_is_left_out() {
    let values = BTreeMap::from([("name", "node-1".to_owned()), ("seed", String::new())]);
    let filled = |it: &str| text(it).fill(&values);
    assert_eq!(filled("--id={name}!").as_deref(), Some("--id=node-1!"));
    assert_eq!(filled("{seed}"), None);
    assert_eq!(filled("{{name}} { x } {\"a\":1} {").as_deref(), Some("{name} { x } {\"a\":1} {"));
    assert_eq!(Template::parse("{nmae}"), Err("nmae".to_owned()));
    assert!(text("{secret_key}").is_secret() && !text("{public_key}").is_secret());
}

#[test]
fn a_pattern_is_parts_of_a_line_in_their_order() {
    assert!(fits("listening on 0.0.0.0:80 now", "listening*:80"));
    assert!(!fits("on :80 listening", "listening*:80"));
    assert!(!fits("", "*"));
}

#[test]
fn a_key_belongs_to_a_node_of_a_seed() {
    let hex = |seed, node: &str| KeyPair::of(seed, &node.into()).public_hex();
    assert_eq!(hex(1, "node-1"), hex(1, "node-1"));
    assert_ne!(hex(1, "node-1"), hex(2, "node-1"));
    assert_ne!(hex(1, "node-1"), hex(1, "node-2"));
    assert_eq!(hex(1, "node-1").len(), 64);
    // RFC 8032, 7.1, test 1: what the harness calls public is what the standard does.
    let seed = data_encoding::HEXLOWER
        .decode(b"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
        .unwrap();
    let key = ed25519_dalek::SigningKey::from_bytes(&seed.try_into().unwrap());
    let public = data_encoding::HEXLOWER.encode(key.verifying_key().as_bytes());
    assert_eq!(public, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
}

#[tokio::test]
async fn a_program_gets_its_place_its_files_and_its_key() {
    let body = "cat conf id; pwd; echo home $HOME tmp $TMPDIR; [ -d $TMPDIR ] && echo $@ $PEERS; \
                echo ready; exec sleep 600";
    let bench = bench(NetworkMode::Lab, body).await;
    let kind = NodeKind {
        arguments: vec![vec![text("{bind}")], vec![text("--join"), text("{seeds}")]],
        env: BTreeMap::from([("PEERS".to_owned(), text("peers={seeds}"))]),
        files: BTreeMap::from([
            ("conf".to_owned(), text("{name} {index} {mesh} {otlp_grpc}\n")),
            ("id".to_owned(), text("{secret_key}\n")),
        ]),
        port: 99,
        ..says("ready")
    };
    let nodes = start(&bench, kind, 2).await.unwrap();
    let results = bench.engine.folder().results.clone();
    let log = |node: &NodeId| {
        std::fs::read_to_string(results.join("logs").join(format!("{node}.log"))).unwrap()
    };
    let (first, second) = (log(&nodes[0]), log(&nodes[1]));
    assert!(first.starts_with("node-2 1 strange http://127.0.0.1:4317\n"), "{first}");
    let secret = KeyPair::of(1, &nodes[0]).secret_hex();
    assert!(first.contains(&secret), "{first}");
    let data = results.join("data/node-2").display().to_string();
    assert!(first.contains(&format!("\n{data}\nhome {data} tmp {data}/tmp\n")), "{first}");
    let bind = first.lines().find(|line| line.ends_with(":99")).unwrap();
    assert!(second.contains(&format!("--join {bind} peers={bind}\n")), "{second}");
    let node = bench.engine.nodes(&"strange".into()).remove(0);
    assert_eq!(node.public_key, Some(KeyPair::of(1, &nodes[0]).public_hex()));
    bench.finish().await;
}

#[tokio::test]
async fn programs_that_write_the_same_name_in_tmp_do_not_meet() {
    let name = format!("/tmp/meshlab-{}.lock", std::process::id());
    let bench =
        bench(NetworkMode::Lab, &format!("mkdir {name} && echo ready; exec sleep 600")).await;
    let started = start(&bench, says("ready"), 2).await;
    let (record, _folder) = bench.finish_with_record().await;
    let shared = record.events.iter().find_map(|event| match &event.kind {
        RunEventKind::Warning { text } if text.starts_with("programs share /tmp") => Some(text),
        _ => None,
    });
    let left = std::fs::remove_dir(&name).is_ok();
    match shared {
        None => assert!(started.is_ok() && !left, "{started:?}, on the host: {left}"),
        Some(why) => assert!(started.is_err() && left, "it is said that they meet: {why}"),
    }
}

#[tokio::test]
async fn a_program_that_goes_into_the_background_is_told_so_and_nothing_of_it_is_left() {
    for body in ["setsid sleep 601 & exit 0", "env -i setsid sleep 602 & exit 0"] {
        let said = refused(says("ready"), body).await;
        assert!(
            said.contains("node-2 ended with exit code 0 before it was ready and left "),
            "{said}"
        );
        assert!(said.contains("start it in the foreground"), "{said}");
    }
}

#[tokio::test]
async fn a_program_that_needs_a_file_that_is_missing_is_quoted() {
    let said = refused(says("ready"), "cat /nowhere/config || exit 3").await;
    assert!(said.contains("ended with exit code 3 before it was ready"), "{said}");
    assert!(said.contains("| cat: /nowhere/config: No such file"), "{said}");
}

#[tokio::test]
async fn a_program_that_never_says_the_word_is_told_with_it() {
    let soon = Duration::from_millis(300);
    let kind = NodeKind { ready_within: soon, ..says("listening*") };
    let said = refused(kind, "echo up; exec sleep 600").await;
    assert!(
        said.contains("was not ready within 300.0 ms: no line of its log has `listening*`"),
        "{said}"
    );
    let kind = NodeKind { ready_within: soon, ..script(Readiness::Port(Transport::Udp)) };
    let said = refused(kind, "exec sleep 600").await;
    assert!(said.contains("nothing listens on UDP port 7777"), "{said}");
    let command = Readiness::Command(vec![text("/bin/false")]);
    let kind = NodeKind { ready_within: soon, ..script(command) };
    let said = refused(kind, "exec sleep 600").await;
    assert!(said.contains("`/bin/false` did not end with code 0"), "{said}");
}

#[tokio::test]
async fn a_program_that_says_ready_and_dies_is_no_node() {
    let bench = bench(NetworkMode::Lab, "echo ready; exit 4").await;
    let started = start(&bench, says("ready"), 1).await;
    // It may be seen to end before its word is read, or after.
    match &started {
        Ok(nodes) => {
            let life = bench.engine.shared.state().node(&nodes[0]).unwrap().life.clone().unwrap();
            assert_eq!(life.process.exited().await.code, Some(4));
        }
        Err(error) => assert!(error.to_string().contains("ended with exit code 4"), "{error}"),
    }
    let (record, _folder) = bench.finish_with_record().await;
    let ends = unasked_ends(&record);
    assert_eq!(ends.iter().map(|exit| exit.code).collect::<Vec<_>>(), [Some(4)]);
}

/// How nodes ended that nobody had asked to, which makes a run red.
fn unasked_ends(record: &RunRecord) -> Vec<NodeExit> {
    let events = record.events.iter();
    let unasked = events.filter_map(|event| match &event.kind {
        RunEventKind::NodeExited { asked_for: false, exit, .. } => Some(*exit),
        _ => None,
    });
    unasked.collect()
}

#[tokio::test]
async fn who_ends_by_itself_right_before_it_is_asked_to_is_red_all_the_same() {
    let bench = bench(NetworkMode::Lab, "echo ready; exec sleep 600").await;
    let nodes = start(&bench, says("ready"), 1).await.unwrap();
    let process = bench.engine.life(&nodes[0]).unwrap().process;
    // From here to the call below nothing is awaited: the harness cannot have heard of the end.
    process.signal(libc::SIGSEGV).unwrap();
    while !process.has_ended() {
        std::thread::yield_now();
    }
    assert_eq!(process.exit(), None);
    bench.engine.end_life(&nodes[0]).await;
    let (record, _folder) = bench.finish_with_record().await;
    let ends = unasked_ends(&record);
    assert_eq!(ends.iter().map(|exit| exit.signal).collect::<Vec<_>>(), [Some(11)]);
}

#[tokio::test]
async fn a_program_that_ignores_its_signal_is_killed_and_named() {
    let body = "trap '' TERM; sleep 600 & echo ready; while :; do sleep 0.1; done";
    let bench = bench(NetworkMode::Lab, body).await;
    let grace = Duration::from_millis(200);
    start(&bench, NodeKind { stop_grace: grace, ..says("ready") }, 1).await.unwrap();
    let (record, _folder) = bench.finish_with_record().await;
    let told = record.events.iter().any(|event| {
        matches!(&event.kind, RunEventKind::Warning { text }
            if text.starts_with("node-2 did not end within 200.0 ms of signal 15"))
    });
    assert!(told);
    let left = record.events.iter().find_map(|event| match &event.kind {
        RunEventKind::Audited { leftovers, .. } => Some(leftovers.clone()),
        _ => None,
    });
    assert_eq!(left, Some(Vec::new()));
}

#[tokio::test]
async fn a_fixed_port_works_in_each_network() {
    let body = "exec /usr/bin/perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalPort => \
                4000, Proto => \"udp\") or die \"no port: $!\"; while (defined $s->recv($m, 99)) \
                { $s->send(\"$m from $ENV{NAME}\") }'";
    let bench = bench(NetworkMode::Lab, body).await;
    let kind = NodeKind {
        port: 4000,
        env: BTreeMap::from([("NAME".to_owned(), text("{name}"))]),
        answers: Some(Answers {
            transport: Transport::Udp,
            send: text("hello"),
            contains: text("hello from {name}"),
        }),
        ..script(Readiness::Port(Transport::Udp))
    };
    let nodes = start(&bench, kind, 3).await.unwrap();
    let within = Duration::from_secs(10);
    let claim = Claim::Answers { nodes: nodes.clone(), from: Some(nodes.clone()), within };
    bench.engine.claim(claim, Severity::Expect, here()).await.unwrap();
    // It stands still: nobody answers, which is what the claim is there to see.
    let hit = bench.fault("wedge_node", &["node-3"], &[], None).await.unwrap();
    let claim = Claim::Answers {
        nodes: vec![nodes[1].clone()],
        from: None,
        within: Duration::from_millis(100),
    };
    let error = bench.engine.claim(claim, Severity::Expect, here()).await.unwrap_err();
    assert!(error.to_string().contains("node-3 does not answer node-2"), "{error}");
    bench.engine.undo(hit.fault).await.unwrap();
    let (verdicts, acted) = bench.finish().await;
    let [Verdict::Inconclusive(why)] = verdicts.as_slice() else { panic!("{verdicts:?}") };
    assert!(why.contains("its kind `tiny` maps no spans to"), "{why}");
    assert_eq!(acted.len(), 1, "its witness saw it act: {acted:?}");
}

fn query(name: &str) -> SpanQuery {
    let conditions: Vec<(String, Condition)> = Vec::new();
    SpanQuery { name: name.to_owned(), from: None, conditions, under: None, since: Since::Test }
}

#[tokio::test]
async fn a_claim_on_what_a_kind_has_no_word_for_is_inconclusive_and_told_once() {
    let bench = bench(NetworkMode::Lab, "echo ready; exec sleep 600").await;
    start(&bench, says("ready"), 2).await.unwrap();
    let within = Duration::from_millis(10);
    let mesh = "strange".into();
    let formed = Claim::Formed { mesh, since: Since::Test, within };
    let silence = Claim::NoSpans { query: query("x"), during: None, meanwhile: "" };
    for claim in [formed.clone(), silence, formed] {
        bench.engine.claim(claim, Severity::Check, here()).await.unwrap();
    }
    let (record, _folder) = bench.finish_with_record().await;
    let (mut undecided, mut warnings) = (Vec::new(), Vec::new());
    for event in &record.events {
        match &event.kind {
            RunEventKind::ClaimFinished { verdict, .. } => undecided.push(verdict.to_string()),
            RunEventKind::Warning { text } if text.starts_with("not available") => {
                warnings.push(text.clone());
            }
            _ => {}
        }
    }
    insta::assert_snapshot!(format!("{}\n\n{}", undecided.join("\n"), warnings.join("\n")));
}

#[tokio::test]
async fn spans_of_another_name_are_evidence_by_the_map_and_a_silent_peer_is_red() {
    let bench = bench(NetworkMode::Lab, "echo ready; exec sleep 600").await;
    let attributes = BTreeMap::from([("remote".to_owned(), "peer.id".to_owned())]);
    let words = BTreeMap::from([
        (
            "conn.up".to_owned(),
            Word {
                means: span::PEER_CONNECTED.to_owned(),
                attributes: attributes.clone(),
                with: BTreeMap::new(),
            },
        ),
        (
            "conn.lost".to_owned(),
            Word {
                means: span::STATE_INFERRED.to_owned(),
                attributes,
                with: BTreeMap::from([("state".to_owned(), "Dead".to_owned())]),
            },
        ),
    ]);
    let nodes =
        start(&bench, NodeKind { words: Words::Mapped(words), ..says("ready") }, 2).await.unwrap();
    let address = |id: &NodeId| {
        let state = bench.engine.shared.state();
        state.nodes[id].place.bind[0].clone()
    };
    let (first, second) = (nodes[0].to_string(), nodes[1].to_string());
    let tells = |from: &str, name: &str, peer: String| {
        let span = meshlab_spans::IncomingSpan {
            name: name.to_owned(),
            trace_id: String::new(),
            span_id: String::new(),
            parent_id: String::new(),
            start_unix_nanos: 0,
            end_unix_nanos: 0,
            attributes: BTreeMap::from([("remote".to_owned(), peer.into())]),
        };
        bench.engine.shared.store.add(&from.into(), vec![span]);
    };
    tells(&first, "conn.up", address(&nodes[1]));
    let mesh = || "strange".into();
    let formed = |within| Claim::Formed { mesh: mesh(), since: Since::Test, within };
    let soon = Duration::from_millis(20);
    let half = bench.engine.claim(formed(soon), Severity::Expect, here()).await.unwrap_err();
    assert!(half.to_string().contains("1 of 2 pairs have heard each other"), "{half}");
    tells(&second, "conn.up", address(&nodes[0]));
    bench.engine.claim(formed(soon), Severity::Expect, here()).await.unwrap();
    let hit = bench.fault("kill_node", &[&second], &[], None).await.unwrap();
    tells(&first, "conn.lost", address(&nodes[1]));
    assert!(bench.engine.noticed(hit.fault).await.unwrap());
    let third = bench.engine.add_node(&mesh(), crate::NodeOptions::default(), here()).await;
    let unseen = bench.fault("kill_node", &[&third.unwrap().0], &[], None).await;
    assert!(unseen.is_ok());
    let (verdicts, _) = bench.finish().await;
    assert_eq!(verdicts[0], Verdict::Passed, "{verdicts:?}");
    let Verdict::Failed(why) = &verdicts[1] else { panic!("{verdicts:?}") };
    assert!(why.contains("not noticed by node-2"), "{why}");
}

#[tokio::test]
async fn a_log_of_a_gigabyte_is_bounded() {
    let body = "head -c 1073741824 /dev/zero; echo; echo ready >&2; echo x > done; exec sleep 600";
    let bench = bench(NetworkMode::Lab, body).await;
    let kind = NodeKind {
        ready_within: Duration::from_secs(120),
        ..script(Readiness::Command(vec![text("/usr/bin/test"), text("-e"), text("done")]))
    };
    let nodes = start(&bench, kind, 1).await.unwrap();
    let log = bench.engine.folder().results.join("logs").join(format!("{}.log", nodes[0]));
    bench.engine.end_test(TestId(0), TestOutcome::Completed).await.unwrap();
    bench.engine.finish(EndReason::Completed).await;
    let bytes = std::fs::metadata(log).unwrap().len();
    assert!(bytes <= meshlab_fleet::LOG_BYTES_MAX + 200, "{bytes}");
}

#[tokio::test]
async fn what_is_asked_of_an_agent_is_refused_and_its_clock_is_skipped() {
    let bench = bench(NetworkMode::Lab, "echo ready; exec sleep 600").await;
    let nodes = start(&bench, says("ready"), 2).await.unwrap();
    let asked = bench.engine.node_view(&nodes[0]).await.unwrap_err();
    assert!(asked.to_string().contains("its program links no agent"), "{asked}");
    let mut call = bench.call("clock_skew", &[nodes[0].clone()]);
    call.settings.skew_micros = Some(60_000_000);
    assert!(!bench.engine.fault(call, here()).await.unwrap().acted);
    let (verdicts, _) = bench.finish().await;
    let [Verdict::Skipped(why)] = verdicts.as_slice() else { panic!("{verdicts:?}") };
    assert!(why.contains("`clock = \"preload\"` of its kind"), "{why}");
}

#[tokio::test]
async fn what_goes_outside_reaches_nothing_and_is_counted() {
    let body = "for n in 1 2 3; do echo x > /dev/udp/192.0.2.1/53; done; echo ready; \
                exec sleep 600";
    let bench = bench(NetworkMode::Lab, body).await;
    start(&bench, says("ready"), 1).await.unwrap();
    let (record, _folder) = bench.finish_with_record().await;
    let told = record.events.iter().any(|event| {
        matches!(&event.kind, RunEventKind::Warning { text }
            if text == "node-2 sent 3 packets out of the lab, to 192.0.2.1; none went anywhere")
    });
    assert!(told);
}
