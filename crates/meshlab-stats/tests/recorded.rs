//! What the methods see in noise that was recorded of a fleet of our own; the whole table is
//! `cargo run --release -p meshlab-stats --example power`.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

#[path = "../examples/power/recorded.rs"]
mod recorded;

use meshlab_stats::{Leak, Paired, Stream, Word, words_with_primary};

/// 256 KiB an hour, in bytes a second.
const LIMIT: f64 = 256.0 * 1024.0 / 3600.0;

/// Of ten fleets that grow so many bytes a minute, and warm up, those that raise an alarm.
fn alarms(minutes: u32, each_minute: f64, warmup: f64) -> usize {
    let (fleet, mut stream) = (recorded::fleet(), Stream::new(9, "recorded"));
    let one = |_: &u32| {
        let node = |_| recorded::memory(&mut stream, &fleet, minutes, each_minute / 60.0, warmup);
        let lives: Vec<_> = (0..18).map(node).collect();
        Leak::of(&lives, LIMIT).unwrap().alarm(LIMIT)
    };
    (0..10).filter(one).count()
}

#[test]
fn a_leak_is_seen_and_idle_nodes_and_warm_ups_raise_no_alarm() {
    assert_eq!(alarms(20, 34e3, 0.0), 10, "34 KB a minute in 20 minutes");
    assert_eq!(alarms(10, 150e3, 0.0), 10, "150 KB a minute in 10 minutes");
    assert_eq!((alarms(20, 0.0, 0.0), alarms(20, 0.0, 3e6), alarms(60, 0.0, 3e6)), (0, 0, 0));
}

#[test]
fn a_shift_is_seen_in_14_pairs_and_no_shift_is_not() {
    let (fleet, mut stream) = (recorded::fleet(), Stream::new(10, "rounds"));
    assert_eq!((fleet.len(), fleet[0].rss.len()), (18, fleet[0].cpu.len()));
    let mut told = |ratio: f64| {
        let one = |_: &u32| {
            let measure = |place: usize| {
                let mut side = |ratio: f64| -> Vec<f64> {
                    let rounds = recorded::rounds(&mut stream, &fleet[place], 14, 0.0266);
                    rounds.into_iter().map(|value| value * ratio).collect()
                };
                let before = side(1.0);
                let after = side(if place == 0 { ratio } else { 1.0 });
                Paired::new(&before, &after).unwrap()
            };
            let all: Vec<Paired> = (0..18).map(measure).collect();
            let words = words_with_primary(&all, &[0], 0.0, 0.95);
            words.iter().any(|word| matches!(word, Word::Better | Word::Worse))
        };
        (0..100).filter(one).count()
    };
    let (none, some) = (told(1.0), told(1.05));
    // 1 % and 95 % of 100, and three standard errors of each.
    assert!(none <= 4 && some >= 88, "{none} and {some} of 100");
}
