//! A prompt on a mesh that was kept: values, errors, cancellation, completion.
#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod fake;

use std::{
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use fake::{Fake, load};
use meshlab_script::{Answer, Asks, Console, ConsoleLine, Said};
use tokio::sync::{mpsc, oneshot};

const KEPT: &str = "test(\"t\", function()\n  local swarm = mesh { nodes = 3 }\nend)\n";

/// A prompt that is being served.
struct Prompt {
    fake: Arc<Fake>,
    asks: mpsc::Sender<Asks>,
    console: Console,
    served: thread::JoinHandle<()>,
}

impl Prompt {
    fn new(fake: Fake) -> Self {
        let fake = Arc::new(Fake { keeps: true, ..fake });
        let script = load(KEPT).unwrap_or_else(|error| panic!("{}", error.render(false)));
        let (asks, mut asked) = mpsc::channel(4);
        let host = Arc::clone(&fake) as Arc<_>;
        let (outcome, kept) = script.run_keeping(host, &|_| {}, &mut asked);
        assert_eq!(outcome.errors, []);
        let kept = kept.expect("the host keeps it");
        let console = kept.console();
        let served = thread::spawn(move || kept.serve(asked));
        Self { fake, asks, console, served }
    }

    fn start(&self, text: &str) -> mpsc::Receiver<Said> {
        let (line, said) = ConsoleLine::new(text.to_owned(), false);
        self.asks.blocking_send(Asks::Line(line)).expect("it is served");
        said
    }

    fn run(&self, text: &str) -> (String, Answer) {
        answer(self.start(text))
    }

    fn complete(&self, text: &str) -> (usize, Vec<String>) {
        let (answer, words) = oneshot::channel();
        self.asks.blocking_send(Asks::Complete(text.to_owned(), answer)).expect("it is served");
        words.blocking_recv().expect("an answer")
    }

    /// What the host was asked, once nobody can ask any more.
    fn end(self) -> String {
        drop(self.asks);
        self.served.join().expect("it ends well");
        self.fake.said()
    }
}

fn answer(mut said: mpsc::Receiver<Said>) -> (String, Answer) {
    let mut all = Vec::new();
    while let Some(said) = said.blocking_recv() {
        match said {
            Said::Text(text) => all.push(text),
            Said::Ended(answer) => return (all.join("\n"), answer),
        }
    }
    panic!("no end after {all:?}");
}

#[test]
fn values_are_shown_as_a_person_reads_them() {
    let prompt = Prompt::new(Fake::default());
    let lines = [
        "swarm",
        "swarm:node(1)",
        "swarm:live()",
        "meshes.mesh1 == nil, #swarm:live()",
        "nil",
        "1 + 1, 0.5, true, \"text\\n\"",
        "{}",
        "{ 1, 2, three = { 4 }, [true] = print }",
        "fault.kill_node(swarm:node(2), { hold = \"1s\" })",
        "spans(\"cross.delivered\")",
        "spans(\"cross.delivered\"):list()",
        "expect.formed(swarm)",
        "expect.formed(swarm).took * 2",
        "swarm:usage()",
        "local mine = swarm:node(3)",
        "mine",
        "function twice(x) return 2 * x end",
        "twice(21)",
        "print(\"seen\", 1)",
        "for i = 1, 3 do print(i) end",
        "sleep \"1ms\"",
    ];
    let mut all = Vec::new();
    for line in lines {
        let (text, answer) = prompt.run(line);
        assert_eq!(answer, Answer::Done, "{line}: {text}");
        all.push(format!("> {line}\n{text}"));
    }
    insta::assert_snapshot!(all.join("\n"));
    let said = prompt.end();
    assert!(said.contains("by hand twice(21)") && said.contains("note seen 1"), "{said}");
}

#[test]
fn errors_are_shown_where_they_are_and_end_nothing() {
    let prompt = Prompt::new(Fake { failing: Some("Formed"), ..Fake::default() });
    let lines = [
        "swarm:nod(1)",
        "expect.formed(swarm, { within = 5 })",
        "fault.kill_nod(swarm:node(1))",
        "x",
        "io.open('/etc/passwd')",
        "fault = 1",
        "swarm = 1",
        "meshes.other",
        "1 +* 2",
        "error(\"mine\")",
        "nothing.at.all",
        "expect.formed(swarm)",
        "function f()\n  return swarm:node(99)\nend",
        "f()",
        "while true do end",
        "spawn(function() error(\"in the background\") end)",
        "sleep \"1ms\"",
        "test(\"t\", function() end)",
    ];
    let mut all = Vec::new();
    for line in lines {
        let (text, answer) = prompt.run(line);
        all.push(format!("> {line}\n{text}\n{answer:?}"));
    }
    // How long it ran is measured.
    insta::with_settings!({ filters => [(r"ran for [\d.]+ m?s", "ran for [TIME]")] }, {
        insta::assert_snapshot!(all.join("\n"));
    });
    assert_eq!(prompt.run("1"), ("1".to_owned(), Answer::Done));
    prompt.end();
}

#[test]
fn the_beginning_of_something_asks_for_more_and_runs_nothing() {
    let prompt = Prompt::new(Fake::default());
    for text in ["for i = 1, 3 do", "fault.kill_node(swarm:node(1), {}, function()", "x = {", "[["]
    {
        assert_eq!(prompt.run(text), (String::new(), Answer::Incomplete), "{text}");
    }
    let said = prompt.end();
    assert!(!said.contains("by hand"), "{said}");
}

#[test]
fn a_line_that_is_cancelled_takes_its_faults_back_and_leaves_a_prompt() {
    let prompt = Prompt::new(Fake { busy_for: Duration::from_secs(600), ..Fake::default() });
    let said = prompt
        .start("fault.wedge_node(swarm:node(1), {}, function() sleep \"10m\" end) print(\"no\")");
    while prompt.fake.sleeps.load(Ordering::SeqCst) == 0 {
        thread::yield_now();
    }
    prompt.console.cancel();
    assert_eq!(answer(said), ("cancelled".to_owned(), Answer::Failed));
    assert_eq!(prompt.run("1").1, Answer::Done);
    let busy = prompt.start("while true do end");
    prompt.console.cancel();
    let (text, answer) = answer(busy);
    // Told before it began it never began; else it was ended in its midst.
    assert_eq!(answer, Answer::Failed, "{text}");
    let calls = prompt.end();
    let printed = calls.lines().any(|line| line == "note no");
    assert!(calls.contains("undo 1") && !printed, "{calls}");
}

#[test]
fn the_end_of_the_keep_ends_what_runs_and_takes_its_faults_back() {
    let prompt = Prompt::new(Fake { busy_for: Duration::from_secs(600), ..Fake::default() });
    let background =
        "spawn(function() fault.wedge_node(swarm:node(1), {}, function() sleep \"10m\" end) end)";
    assert_eq!(prompt.run(background).1, Answer::Done);
    while prompt.fake.sleeps.load(Ordering::SeqCst) == 0 {
        thread::yield_now();
    }
    let calls = prompt.end();
    assert!(calls.contains("undo 1"), "{calls}");
}

#[test]
fn who_prints_without_end_is_cut_and_not_waited_for() {
    let prompt = Prompt::new(Fake::default());
    let began = Instant::now();
    let (text, answer) = prompt.run("for i = 1, 20000 do print(i) end");
    assert_eq!(answer, Answer::Done, "after {:?}", began.elapsed());
    assert!(text.lines().count() <= 20_000 && text.contains("1\n2\n3"), "{}", text.len());
    let (long, _) = prompt.run("(\"x\"):rep(1e6)");
    assert!(long.len() < 70_000 && long.ends_with("(too long to show)"), "{}", long.len());
    prompt.end();
}

#[test]
fn words_are_completed() {
    let prompt = Prompt::new(Fake::default());
    assert_eq!(prompt.run("mine = swarm:node(1)").1, Answer::Done);
    let words = |text: &str| prompt.complete(text).1;
    assert_eq!(prompt.complete("fault.kil"), (6, vec!["kill_node".to_owned()]));
    assert_eq!(words("sw"), ["swarm"]);
    assert_eq!(words("print(mi"), ["mine"]);
    assert_eq!(words("swarm:no"), ["node", "nodes"]);
    assert_eq!(words("mine:res"), ["resolve", "resume"]);
    assert_eq!(words("swarm:node(1):dr"), ["drain"]);
    assert_eq!(words("meshes."), ["mesh1"]);
    assert_eq!(words("expect.st"), ["state", "states"]);
    assert_eq!(words("string.re"), ["rep", "reverse"]);
    assert!(words("").contains(&"fault".to_owned()) && words("zzz").is_empty());
    prompt.end();
}

#[test]
fn a_host_that_keeps_nothing_gives_no_prompt() {
    let script = load(KEPT).unwrap_or_else(|error| panic!("{}", error.render(false)));
    let (_, mut nobody) = mpsc::channel(1);
    let (_, kept) = script.run_keeping(Arc::new(Fake::default()), &|_| {}, &mut nobody);
    assert!(kept.is_none());
}

/// Runs a scenario beside which these lines are asked; its errors, what came of the lines, and
/// what the host was asked.
fn beside(text: &str, lines: &[&str]) -> (Vec<String>, Vec<(String, Answer)>, String) {
    let fake = Arc::new(Fake::default());
    let script = load(text).unwrap_or_else(|error| panic!("{}", error.render(false)));
    let (asks, mut asked) = mpsc::channel(4);
    let start = |text: &&str| {
        let (line, said) = ConsoleLine::new((*text).to_owned(), false);
        asks.try_send(Asks::Line(line)).expect("there is room");
        said
    };
    let said: Vec<_> = lines.iter().map(start).collect();
    let (outcome, _) = script.run_keeping(Arc::clone(&fake) as Arc<_>, &|_| {}, &mut asked);
    let errors = outcome.errors.iter().map(|error| error.message().to_owned()).collect();
    (errors, said.into_iter().map(answer).collect(), fake.said())
}

#[test]
fn what_is_asked_while_a_test_runs_is_done_beside_it() {
    let text = "test(\"t\", function()\n  local swarm = mesh { nodes = 3 }\n  \
                sleep \"10s\"\n  expect.equal(1, 1)\nend)\n";
    let lines = ["mine = swarm:node(2)", "fault.kill_node(mine)", "error(\"mine\")"];
    let (errors, said, asked) = beside(text, &lines);
    assert_eq!(errors, Vec::<String>::new(), "what fails by hand is no error of the test");
    let how: Vec<Answer> = said.iter().map(|(_, answer)| *answer).collect();
    assert_eq!(how, [Answer::Done, Answer::Done, Answer::Failed], "{said:?}");
    let place = |what: &str| asked.find(what).unwrap_or_else(|| panic!("no {what}: {asked}"));
    assert!(place("by hand fault.kill_node(mine)") < place("fault kill_node"), "{asked}");
    assert!(asked.contains("note not done: ") && asked.contains("mine"), "{asked}");
    // The test went on meanwhile, and after it.
    assert!(place("sleep") < place("by hand mine"), "{asked}");
}

#[test]
fn what_is_left_running_by_hand_is_no_mistake_of_the_test_and_hides_none() {
    let text = "test(\"t\", function()\n  mesh { nodes = 3 }\n  \
                spawn(function() sleep \"1s\" error(\"mine\") end)\n  sleep \"10s\"\nend)\n";
    let lines = ["spawn(function() sleep \"1h\" end)", "sleep \"2s\""];
    let (errors, said, _) = beside(text, &lines);
    assert!(said.iter().all(|(_, answer)| *answer == Answer::Done), "{said:?}");
    assert!(errors.len() == 1 && errors[0].contains("mine"), "{errors:?}");
    // What a line waits for does not hold the test up: it is cancelled.
    let text = "test(\"t\", function() mesh { nodes = 3 } sleep \"10s\" end)\n";
    let (errors, said, _) = beside(text, &["sleep \"1h\""]);
    assert_eq!(errors, Vec::<String>::new());
    assert_eq!(said, [("cancelled".to_owned(), Answer::Failed)]);
}
