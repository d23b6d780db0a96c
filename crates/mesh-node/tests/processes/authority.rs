//! Orders by message, and who may give them.

use std::{
    process::ExitStatus,
    time::{Duration, Instant},
};

use meshlab_wire::{ClockShift, Command, Order, Outcome, Reply, Request, State};

use crate::support::{DEADLINE, Node, is_late, key, tool};

fn order(from: &mut Node, to: &Node, order: Order) -> (bool, Option<String>) {
    match from.perform_in_time(&Command::Order { to: to.contact(), order }) {
        Ok(Outcome::Ordered { accepted, reason }) => (accepted, reason),
        other => panic!("expected an answer to an order, got {other:?}"),
    }
}

/// Orders a node to end, and waits until it has.
fn shut_down(from: &mut Node, target: &mut Node) -> ExitStatus {
    let until = Instant::now() + DEADLINE;
    let command = Command::Order { to: target.contact(), order: Order::Shutdown };
    let mut answered = false;
    loop {
        if let Some(exit) = target.child.try_wait().unwrap() {
            return exit;
        }
        assert!(Instant::now() < until, "it did not exit; answered: {answered}");
        if answered {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        }
        match from.perform(command.clone()) {
            Ok(Outcome::Ordered { accepted: true, reason: None }) => answered = true,
            // The order may have been taken all the same: then it cannot be given once more.
            Err(why) if why.contains("no answer within") => answered = true,
            Err(why) if is_late(&why) => {}
            other => panic!("expected to be obeyed, got {other:?}"),
        }
    }
}

fn refused(reason: &str) -> (bool, Option<String>) {
    (false, Some(reason.to_owned()))
}

#[test]
fn an_order_needs_a_chain_from_the_operator() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("operator.key");
    let file = file.to_str().unwrap();
    let operator = tool(&["operator", file]).1;
    let arguments = format!("--operator {operator}");
    let start = |mesh: &str, name: &str, arguments: &str| {
        Node::start_in(mesh, &data.path().join(name), arguments, None)
    };
    let mut console = start("mesh1", "console", "");
    let mut intruder = start("mesh1", "intruder", "");
    let mut target = start("mesh2", "target", &arguments);
    let without = start("mesh2", "without", "");
    let token = |to: &Node, more: &[&str]| {
        let key = key(to);
        let fixed = ["grant", "--operator", file, "--to", &key];
        let (code, token, why) = tool(&[&fixed, more].concat());
        assert_eq!(code, Some(0), "{why}");
        token
    };
    let grant = |node: &mut Node, token: String| {
        assert_eq!(node.perform(Command::Grant { token }), Ok(Outcome::Done));
    };

    let all = ["--may", "shutdown,set-state"];
    assert_eq!(order(&mut intruder, &target, Order::Shutdown), refused("unrooted"));
    let of_console = token(&console, &all);
    grant(&mut intruder, of_console.clone());
    assert_eq!(order(&mut intruder, &target, Order::Shutdown), refused("not-yours"));
    let other_mesh = token(&console, &["--may", "shutdown", "--mesh", "mesh1"]);
    grant(&mut console, other_mesh);
    assert_eq!(order(&mut console, &target, Order::Shutdown), refused("not-permitted"));
    let over = token(&console, &["--may", "shutdown", "--for", "0s"]);
    // A second is the unit of a token's time.
    std::thread::sleep(Duration::from_millis(2100));
    grant(&mut console, over);
    assert_eq!(order(&mut console, &target, Order::Shutdown), refused("expired"));
    grant(&mut console, of_console);
    assert_eq!(order(&mut console, &without, Order::Shutdown), refused("no-operator"));
    // One whose answer came too late may have been counted too.
    let (refused_count, late) = (target.counter("orders.refused"), intruder.late + console.late);
    assert!((4..=4 + late).contains(&refused_count), "{refused_count}, {late} of them late");
    assert!(target.child.try_wait().unwrap().is_none(), "a refusal does nothing else");

    let of_an_hour = token(&console, &["--may", "shutdown,set-state", "--for", "3600s"]);
    grant(&mut console, of_an_hour);
    // By its own clock it is two hours later, and the chain was for one.
    let shift =
        |offset_micros| Request::Clock { shift: Some(ClockShift { offset_micros, drift_ppm: 0 }) };
    let Reply::Clock { unix_micros: later } = target.ask(shift(7_200_000_000)) else { panic!() };
    assert_eq!(order(&mut console, &target, Order::Shutdown), refused("expired"));
    let Reply::Clock { unix_micros: now } = target.ask(shift(0)) else { panic!() };
    assert!((later - now - 7_200_000_000).abs() < 60_000_000, "{later} and {now}");

    let draining = Order::SetState { state: State::Draining };
    assert_eq!(order(&mut console, &target, draining), (true, None));
    let dead = Order::SetState { state: State::Dead };
    let (accepted, reason) = order(&mut console, &target, dead);
    assert!(!accepted && reason.unwrap().contains("cannot be asked for"));
    assert_eq!(shut_down(&mut console, &mut target).code(), Some(0));
}
