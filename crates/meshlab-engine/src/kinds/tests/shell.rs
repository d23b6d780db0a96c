//! Programs behind a line for the shell, what is taken of their log, and what they wrote.

use super::*;
use crate::kinds::log::captured;

#[test]
fn what_a_star_stands_for_is_taken_out_of_a_line() {
    assert_eq!(captured("connect with abc now", "with *").as_deref(), Some("abc"));
    assert_eq!(captured("ticket=<a b> x", "ticket=<*>").as_deref(), Some("a b"));
    for line in ["", "with", "with ", "without"] {
        assert_eq!(captured(line, "with *"), None, "{line}");
    }
    assert_eq!(captured("ticket=<a b", "ticket=<*>"), None);
}

/// Sends its file over the network to who has its ticket, once.
const SENDS: &str = "{program} -c 'printf \"my ticket is \"; sleep 0.1; echo {bind}#; \
                     exec /usr/bin/perl -MIO::Socket::INET -e \"\\$l = IO::Socket::INET->new(\
                     LocalAddr => q({bind}), Listen => 1) or die; \\$s = \\$l->accept; open F, \
                     q(from); print \\$s <F>\"'";
const FETCHES: &str = "echo fetches; IFS=: read ip port <<X\n{seed}\nX\nexec {program} -c \
                       \"until cat < /dev/tcp/$ip/$port; do sleep 0.1; done > to 2> /dev/null\"";

#[tokio::test]
async fn a_ticket_goes_from_one_log_to_another_program_and_what_it_fetched_is_looked_at() {
    let bench = bench(NetworkMode::Lab, "[ \"$1\" = -c ] && exec /bin/bash \"$@\"").await;
    let sends = NodeKind {
        shell: Some(text(SENDS)),
        files: BTreeMap::from([("from".to_owned(), text("hello\n"))]),
        capture: Some("ticket is *#".to_owned()),
        seed: text("{captured}"),
        ends: true,
        ..says("my ticket")
    };
    start(&bench, sends, 1).await.unwrap();
    let fetches = NodeKind {
        name: "fetches".to_owned(),
        shell: Some(text(FETCHES)),
        ends: true,
        ..says("fetches")
    };
    let options =
        crate::NodeOptions { kind: Some(Arc::new(fetches)), ..crate::NodeOptions::default() };
    let fetcher = bench.engine.add_node(&"strange".into(), options, here()).await.unwrap().0;
    let file = |path: &str, holds: &str, within| Claim::File {
        nodes: vec![fetcher.as_str().into()],
        path: path.to_owned(),
        holds: holds.as_bytes().into(),
        within,
    };
    let long = Duration::from_secs(20);
    bench.engine.claim(file("to", "hello\n", long), Severity::Expect, here()).await.unwrap();
    let soon = Duration::from_millis(20);
    for (path, holds, why) in [
        ("to", "hello, world", "differs from byte 5 of 12 on, after 20.0 ms"),
        ("to", "hello\n\n", "holds the first 6 of 7 bytes"),
        ("elsewhere", "x", "`elsewhere` of node-3 is not there"),
        ("../to", "x", "is not below the data directory"),
    ] {
        let claim = file(path, holds, soon);
        let error = bench.engine.claim(claim, Severity::Expect, here()).await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    let (record, _folder) = bench.finish_with_record().await;
    let red = record
        .events
        .iter()
        .find(|event| matches!(&event.kind, RunEventKind::NodeExited { asked_for: false, .. }));
    assert_eq!(red, None, "who ends when it is done is not red");
}

#[tokio::test]
async fn a_ticket_that_never_comes_and_a_seed_that_is_not_there_are_told() {
    let kind = NodeKind {
        capture: Some("ticket is *".to_owned()),
        ready_within: Duration::from_millis(300),
        ..says("up")
    };
    let said = refused(kind, "echo up; printf 'ticket is half'; exec sleep 600").await;
    assert!(said.contains("or no whole line has `ticket is *`, which `capture` takes"), "{said}");
    let kind = NodeKind { shell: Some(text("{program} {seed}")), ..says("up") };
    let said = refused(kind, "echo up").await;
    assert!(said.contains("a placeholder of `shell` of the kind `tiny` is empty"), "{said}");
}

#[tokio::test]
async fn a_program_that_ends_when_it_is_done_is_red_when_it_fails() {
    for (code, red) in [(0, false), (3, true)] {
        let body = format!("trap 'exit {code}' USR1; echo up; while :; do sleep 0.05; done");
        let bench = bench(NetworkMode::Lab, &body).await;
        start(&bench, NodeKind { ends: true, ..says("up") }, 1).await.unwrap();
        let process = {
            let state = bench.engine.shared.state();
            state.nodes[&NodeId::from("node-2")].life.as_ref().unwrap().process.clone()
        };
        process.signal(libc::SIGUSR1).unwrap();
        let exit = process.exited_within(Duration::from_secs(20)).await.unwrap();
        assert_eq!(exit.code, Some(code));
        assert_eq!(has_red_end(bench).await, red, "exit code {code}");
    }
}

#[tokio::test]
async fn a_program_that_is_done_as_soon_as_it_is_ready_was_ready() {
    for (code, red) in [(0, false), (1, true)] {
        let bench = bench(NetworkMode::Lab, &format!("echo up with it; exit {code}")).await;
        let capture = Some("with *".to_owned());
        let started = start(&bench, NodeKind { ends: true, capture, ..says("up") }, 1).await;
        match started {
            Ok(_) => {
                let state = bench.engine.shared.state();
                let stranger = state.nodes[&NodeId::from("node-2")].stranger.as_ref().unwrap();
                assert_eq!(*crate::engine::lock(&stranger.captured), "it");
            }
            Err(error) => {
                assert!(red && error.to_string().contains("ended with exit code 1"), "{error}");
                assert!(error.to_string().contains("| up with it"), "{error}");
            }
        }
        assert_eq!(has_red_end(bench).await, red, "exit code {code}");
    }
}

#[tokio::test]
async fn what_a_program_that_is_done_leaves_is_ended_and_told_once() {
    // At once, so that it may be over before anybody knows that it was ready, and later.
    for body in ["setsid sleep 603 & echo up", "setsid sleep 604 & echo up; sleep 0.3"] {
        let bench = bench(NetworkMode::Lab, body).await;
        let nodes = start(&bench, NodeKind { ends: true, ..says("up") }, 1).await.unwrap();
        let life = bench.engine.shared.state().node(&nodes[0]).unwrap().life.clone();
        let process = life.unwrap().process;
        let exit = process.exited_within(Duration::from_secs(20)).await.unwrap();
        assert_eq!(exit.code, Some(0));
        let (record, _folder) = bench.finish_with_record().await;
        let warnings = record.events.iter().filter_map(|event| match &event.kind {
            RunEventKind::Warning { text } if text.contains(" behind") => Some(text.as_str()),
            _ => None,
        });
        let told: Vec<&str> = warnings.collect();
        assert_eq!(told.len(), 1, "{body}: {told:?}");
        assert!(told[0].starts_with("node-2 left 1 process ("), "{told:?}");
        assert!(told[0].ends_with(") behind; ended"), "{told:?}");
    }
}

#[tokio::test]
async fn a_program_that_is_done_and_never_was_ready_is_refused() {
    let said = refused(NodeKind { ends: true, ..says("up") }, "echo down; exit 0").await;
    assert!(said.contains("ended with exit code 0 before it was ready"), "{said}");
    assert!(said.contains("| down"), "{said}");
}

/// Whether a node ended that was not to.
async fn has_red_end(bench: Bench) -> bool {
    let (record, _folder) = bench.finish_with_record().await;
    let mut events = record.events.iter();
    events.any(|event| matches!(&event.kind, RunEventKind::NodeExited { asked_for: false, .. }))
}
