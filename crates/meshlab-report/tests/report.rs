//! The rules of the verdict and the outputs, on a made-up run.
// Helpers of tests may panic like the tests themselves.
#![allow(clippy::unwrap_used)]

use meshlab_model::{
    ClaimId, ComparisonId, EndReason, ExitCode, RunEventKind as K, SourceLine, TestId, TestOutcome,
    Verdict,
};
use meshlab_report::{Closing, RunView, Terminal, TerminalStyle, draw, fixture};

fn fold(kinds: Vec<(u64, K)>) -> RunView {
    let mut view = RunView::new(&fixture::declared());
    fixture::events(kinds).iter().for_each(|event| view.apply(event));
    view
}

/// A green run with `extra` inside its test, ended by `reason`.
fn run_with(extra: Vec<(u64, K)>, reason: Option<EndReason>) -> RunView {
    let mut all = vec![(1, K::TestStarted { test: TestId(0), title: "t".into() })];
    all.extend(fixture::claim(9, 2, 3, Verdict::Passed));
    all.extend(extra);
    all.push((8, K::TestFinished { test: TestId(0), outcome: TestOutcome::Completed }));
    all.extend(reason.map(|reason| (9, K::RunFinished { reason })));
    fold(all)
}

fn judged(extra: Vec<(u64, K)>) -> (String, ExitCode) {
    let view = run_with(extra, Some(EndReason::Completed));
    (view.verdict().to_string(), view.exit_code())
}

#[test]
fn green_only_when_everything_was_seen() {
    assert_eq!(judged(vec![]), ("passed".into(), ExitCode::Passed));
    let (why, code) = judged(vec![(4, fixture::spawned(3)), (5, fixture::exited(3, false))]);
    assert_eq!(why, "failed: node-3 exited by itself with exit code 101");
    assert_eq!(code, ExitCode::ClaimFailed);
    let problem = |script| vec![(4, K::Problem { script, text: "no".into() })];
    assert_eq!(judged(problem(true)).1, ExitCode::ScriptError);
    assert_eq!(judged(problem(false)).1, ExitCode::HarnessFailed);
    let mut open = fixture::claim(4, 4, 5, Verdict::Passed);
    open.truncate(1);
    assert_eq!(judged(open.clone()).1, ExitCode::Inconclusive);
    open.push((5, K::ClaimWithdrawn { claim: ClaimId(4) }));
    assert_eq!(judged(open).1, ExitCode::Passed, "it counts neither for nor against");
    let left = K::Audited { checked: vec![], leftovers: vec!["pid 7".into()] };
    assert_eq!(judged(vec![(4, left)]).0, "broken: left behind: pid 7");
}

#[test]
fn a_comparison_or_a_ceiling_that_nothing_bears_out_is_not_green() {
    let (comparison, test) = (ComparisonId(1), TestId(0));
    let (before, after) = ("before".to_owned(), "after".to_owned());
    let begun =
        vec![(4, K::ComparisonStarted { comparison, test, before, after, rounds: 7, warmup: 1 })];
    assert_eq!(judged(begun.clone()).1, ExitCode::Inconclusive);
    let ended = [begun, vec![(5, K::ComparisonFinished { comparison })]].concat();
    assert_eq!(judged(ended).1, ExitCode::Passed);
    let silent = run_with(vec![], Some(EndReason::CeilingBroken));
    assert_eq!(silent.exit_code(), ExitCode::HarnessFailed);
    for limit in ["ceilings", "floors", "trends"] {
        let mut claim = fixture::claim(4, 4, 5, Verdict::Failed("node-1".into()));
        if let K::ClaimStarted { call, .. } = &mut claim[0].1 {
            limit.clone_into(call);
        }
        let told = run_with(claim, Some(EndReason::CeilingBroken));
        assert_eq!(told.exit_code(), ExitCode::ClaimFailed);
        assert_eq!(told.verdict().to_string(), format!("failed: {limit}: node-1"));
    }
}

#[test]
fn what_a_claim_is_about_is_the_primary_measure() {
    let (comparison, test) = (ComparisonId(1), TestId(0));
    let (before, after) = ("before".to_owned(), "after".to_owned());
    let mut events =
        vec![(4, K::ComparisonStarted { comparison, test, before, after, rounds: 7, warmup: 1 })];
    events.extend(fixture::claim(5, 5, 6, Verdict::Passed));
    let mut about = fixture::claim(7, 7, 8, Verdict::Passed);
    if let K::ClaimStarted { call, text, .. } = &mut about[0].1 {
        "check.improved".clone_into(call);
        "`rejoin` is at least 20 % less after than before, at 95 %".clone_into(text);
    }
    events.extend(about);
    let view = run_with(events, Some(EndReason::Completed));
    assert_eq!(view.comparisons[&comparison].primary, ["rejoin"]);
}

#[test]
fn a_line_of_a_library_is_not_shown_as_one_of_the_scenario() {
    let view = RunView::new(&fixture::declared());
    let at = |file: &str| SourceLine { file: file.into(), line: 1, column: 1 };
    assert!(view.in_scenario(&at("swarm.lua")) && !view.in_scenario(&at("lib/x.lua")));
}

#[test]
fn the_end_of_the_run_decides_too() {
    let interrupted = run_with(vec![], Some(EndReason::Interrupted { signal: "SIGINT".into() }));
    assert_eq!(interrupted.exit_code(), ExitCode::Interrupted);
    assert_eq!(interrupted.verdict().to_string(), "inconclusive: interrupted by SIGINT");
    assert_eq!(run_with(vec![], Some(EndReason::TimedOut)).exit_code(), ExitCode::ClaimFailed);
    let harness = run_with(vec![], Some(EndReason::HarnessFailed));
    assert_eq!(harness.exit_code(), ExitCode::HarnessFailed);
    assert!(run_with(vec![], None).verdict().to_string().starts_with("broken: incomplete"));
}

#[test]
fn nothing_looked_at_is_never_green() {
    let done = || (9, K::RunFinished { reason: EndReason::Completed });
    let (test, outcome) = (TestId(0), TestOutcome::Completed);
    let empty = fold(vec![
        (1, K::TestStarted { test, title: "t".into() }),
        (2, K::TestFinished { test, outcome }),
        done(),
    ]);
    assert_eq!(empty.verdict().to_string(), "failed: no claim was evaluated");
    assert_eq!(fold(vec![done()]).verdict().to_string(), "inconclusive: never reached");
    let mut none = RunView::new(&[]);
    fixture::events(vec![done()]).iter().for_each(|event| none.apply(event));
    assert_eq!(none.verdict().to_string(), "failed: the scenario declares no test");
}

fn shown(tty: bool) -> String {
    let record = fixture::run("/r".as_ref());
    let style = TerminalStyle { tty, color: tty, width: 60 };
    let mut out = Vec::new();
    let mut terminal =
        Terminal::new(&mut out, style, record.script.clone(), &record.manifest.tests);
    record.events.iter().for_each(|event| terminal.event(event).unwrap());
    let (verdict, exit_code) = (terminal.view().verdict(), terminal.view().exit_code());
    let closing = Closing {
        verdict,
        exit_code,
        results: "/r".into(),
        report: "/p/index.html".into(),
        script: "swarm.lua".into(),
        seed: 42,
    };
    terminal.finish(&closing).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_terminal_tells_what_failed() {
    let plain = shown(false);
    assert!(!plain.contains('\r') && !plain.contains('\u{1b}'));
    assert!(plain.contains("^^^^^^^^^^^^ 143 of 200 after 34.0 s, counted since 00:00.100"));
    insta::assert_snapshot!("terminal_plain", plain);
    let live = shown(true);
    assert!(live.contains("143 of 200") && live.contains("\r\u{1b}[K"));
    assert!(!live.contains("\u{1b}[2J"), "a note must not clear the screen");
}

#[test]
fn the_files_escape_what_nodes_say() {
    let folder = tempfile::tempdir().unwrap();
    let rendered = draw(&fixture::run(folder.path()), folder.path()).unwrap();
    assert_eq!(rendered.exit_code, ExitCode::ClaimFailed);
    let read = |name| std::fs::read_to_string(folder.path().join(name)).unwrap();
    for name in ["index.html", "summary.md", "junit.xml"] {
        assert!(!read(name).contains("<script>alert"), "{name}");
    }
    let page = read("index.html");
    // Its own, which its policy knows by its hash, and the numbers of its charts.
    let count = |mark: &str| page.matches(mark).count();
    assert_eq!((count("<script"), count("</script>"), count("script-src 'sha256-")), (8, 8, 1));
    assert_eq!(count("<script type=\"application/json\">"), 7);
    assert!(
        page.len() < 2_000_000 && page.contains("&lt;script&gt;") && !page.contains("https://")
    );
    assert!(page.contains("<a href=\"./captures/fault%201.pcapng\">capture</a> (7 packets)"));
    assert!(read("junit.xml").contains("<failure"));
    // A cell a line; the plot is looked at by eye.
    let (_, table) = page.split_once("<h2>Recovery</h2>").unwrap();
    let table = table.split_once("</table>").unwrap().0.replace("</t", "\n</t");
    insta::assert_snapshot!("recovery_html", table.replace("\n</tr", "</tr"));
    let faults = page.split_once("<g><title>").unwrap().1.split_once("</g>").unwrap().0;
    insta::assert_snapshot!("timeline_fault", faults.replace("><", ">\n<"));
    insta::assert_snapshot!("summary_md", read("summary.md"));
    insta::assert_snapshot!("summary_json", read("summary.json"));
}

#[test]
fn a_record_with_missing_events_is_never_green() {
    let folder = tempfile::tempdir().unwrap();
    let mut record = fixture::run(folder.path());
    record.damage.push("events.jsonl: event 9 stands where event 8 should be".into());
    let rendered = draw(&record, folder.path()).unwrap();
    assert_eq!(rendered.exit_code, ExitCode::HarnessFailed);
}

/// A green run whose mesh was kept, and of which much went wrong by hand.
fn kept_run(manual: bool) -> Vec<meshlab_model::RunEvent> {
    let mut all = vec![
        (0, K::RunStarted { run: "swarm/r".into(), seed: 42, replays: None }),
        (1, K::TestStarted { test: TestId(0), title: "t".into() }),
        (1, fixture::spawned(3)),
    ];
    all.extend(fixture::claim(9, 2, 3, Verdict::Passed));
    all.push((8, K::TestFinished { test: TestId(0), outcome: TestOutcome::Completed }));
    all.push((9, K::Kept { meshes: vec!["mesh1".into()], nodes: 1 }));
    let kept = all.len();
    all.push((10, K::ByHand { text: "swarm:nod(1)\nprint(\u{1b}[2J)".into() }));
    all.extend(fixture::claim(10, 11, 12, Verdict::Failed("0 of 1".into())));
    all.push((13, fixture::exited(3, false)));
    all.push((14, K::Problem { script: true, text: "by hand too".into() }));
    all.push((15, K::KeepEnded { by: "meshlab attach".into() }));
    let ended = all.len();
    all.push((16, K::RunFinished { reason: EndReason::Completed }));
    let mut events = fixture::events(all);
    events[kept..ended].iter_mut().for_each(|event| event.manual = manual);
    events
}

fn folded(events: &[meshlab_model::RunEvent]) -> RunView {
    let mut view = RunView::new(&fixture::declared());
    events.iter().for_each(|event| view.apply(event));
    view
}

#[test]
fn what_is_done_by_hand_after_the_tests_decides_nothing_and_is_shown() {
    let events = kept_run(true);
    let view = folded(&events);
    assert_eq!((view.verdict(), view.exit_code()), (Verdict::Passed, ExitCode::Passed));
    assert_eq!((view.claims.len(), view.problems.len(), view.by_hand.len()), (1, 0, 1));
    // The same without the mark is what it would be in a test.
    let unmarked = folded(&kept_run(false));
    assert_eq!(unmarked.exit_code(), ExitCode::ScriptError);
    let mut out = Vec::new();
    let style = TerminalStyle { tty: false, color: false, width: 100 };
    let mut terminal = Terminal::new(&mut out, style, String::new(), &fixture::declared());
    events.iter().for_each(|event| terminal.event(event).unwrap());
    insta::assert_snapshot!(String::from_utf8(out).unwrap());
}

#[test]
fn who_interferes_while_a_test_runs_spoils_its_verdict() {
    let hand = |text: &str| vec![(4, K::ByHand { text: text.into() })];
    let judged = |kinds: Vec<(u64, K)>, verdict: Verdict| {
        let mut all = vec![(1, K::TestStarted { test: TestId(0), title: "t".into() })];
        all.extend(fixture::claim(9, 2, 3, verdict));
        all.extend(kinds);
        all.push((8, K::TestFinished { test: TestId(0), outcome: TestOutcome::Completed }));
        all.push((9, K::RunFinished { reason: EndReason::Completed }));
        let mut events = fixture::events(all);
        for event in &mut events {
            event.manual = matches!(event.kind, K::ByHand { .. });
        }
        folded(&events)
    };
    let view = judged(hand("fault.kill_node(swarm:pick())"), Verdict::Passed);
    assert_eq!(
        view.verdict().to_string(),
        "inconclusive: 1 act by hand, at 00:00.004: `fault.kill_node(swarm:pick())`; this proves \
         nothing about the program alone"
    );
    assert_eq!(view.exit_code(), ExitCode::Inconclusive);
    let view = judged(hand("x"), Verdict::Failed("0 of 1".into()));
    let told = view.verdict().to_string();
    assert!(told.starts_with("failed: ") && told.contains("1 act by hand"), "{told}");
    let two = [hand("first"), hand("second")].concat();
    let told = judged(two, Verdict::Passed).verdict().to_string();
    assert!(told.contains("2 acts by hand, the first at 00:00.004: `first`"), "{told}");
    assert_eq!(judged(vec![], Verdict::Passed).verdict(), Verdict::Passed);
}

/// A test in whose middle somebody gives a fault that nobody notices, restarts a node, and a claim
/// is judged before and after it.
fn disturbed() -> Vec<meshlab_model::RunEvent> {
    let mut all = vec![(1, K::TestStarted { test: TestId(0), title: "t".into() })];
    all.extend(fixture::claim(8, 2, 3, Verdict::Passed));
    all.push((4, K::ByHand { text: "fault.wedge_node(swarm:node(3))".into() }));
    all.extend(fixture::claim(10, 5, 6, Verdict::Failed("by hand".into())));
    all.push((6, fixture::spawned(3)));
    let (from, to) = (1, all.len());
    all.extend(fixture::claim(9, 7, 8, Verdict::Passed));
    all.push((9, K::TestFinished { test: TestId(0), outcome: TestOutcome::Completed }));
    all.push((10, K::RunFinished { reason: EndReason::Completed }));
    let mut events = fixture::events(all);
    // The first claim is the test's own.
    let by_hand = |event: &mut meshlab_model::RunEvent| event.manual = event.at.micros >= 4000;
    events[from..to].iter_mut().for_each(by_hand);
    events
}

#[test]
fn what_comes_of_an_act_is_nobodys_verdict_and_what_is_judged_after_it_is_marked() {
    let events = disturbed();
    let view = folded(&events);
    assert_eq!(view.exit_code(), ExitCode::Inconclusive, "{}", view.verdict());
    let marks: Vec<bool> = view.claims.values().map(|claim| claim.after_hand).collect();
    assert_eq!(marks, [false, true], "the claim by hand is not among them");
    assert_eq!(view.hands_line().unwrap(), "1 act while tests ran, so this run cannot pass");
    // A crash is one, whoever started the node.
    let mut crashed = events.clone();
    let exit = fixture::events(vec![(8, fixture::exited(3, false))]).remove(0);
    crashed.insert(events.len() - 2, exit);
    let told = folded(&crashed).verdict().to_string();
    assert!(told.starts_with("failed: ") && told.contains("exited by itself"), "{told}");
    assert!(told.contains("by hand"), "{told}");
    // An act that no test claims as its own spoils the run all the same.
    let mut outside = events.clone();
    outside.retain(|event| !matches!(event.kind, K::TestStarted { .. }));
    assert_ne!(folded(&outside).exit_code(), ExitCode::Passed);
    let mut early = fixture::events(vec![(0, K::ByHand { text: "x".into() })]);
    early[0].manual = true;
    early.extend(events.into_iter().filter(|event| !event.manual));
    assert_eq!(folded(&early).exit_code(), ExitCode::Inconclusive);
}
