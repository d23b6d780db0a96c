use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::random::pair_root;

const PACKETS: usize = 20_000;
const MILLISECOND: Nanos = 1_000_000;

fn link(seed: u64, state: LinkState) -> Link {
    let mut link = Link::new(0, 1, pair_root(seed, &"a".into(), &"b".into()));
    link.pair.set(state, 0);
    link
}

fn pass(link: &mut Link, now: Nanos) -> Result<Passage, DropReason> {
    link.pass(&mut Shaper::default(), &mut Shaper::default(), now, 1000)
}

/// What happens to packets sent a microsecond apart.
fn passes(seed: u64, state: LinkState) -> Vec<Result<Passage, DropReason>> {
    let mut link = link(seed, state);
    (0..PACKETS as Nanos).map(|n| pass(&mut link, n * 1000)).collect()
}

fn share_of<T>(all: &[T], which: impl Fn(&T) -> bool) -> f64 {
    all.iter().filter(|one| which(one)).count() as f64 / all.len() as f64
}

fn everything() -> LinkState {
    LinkState {
        cut: false,
        loss: 0.1,
        bursts: Some(Bursts { share: 0.05, mean_packets: 8.0 }),
        delay: Duration::from_millis(50),
        jitter: Jitter::Uniform(Duration::from_millis(5)),
        duplicate: 0.02,
        reorder: Some(Reorder { share: 0.03, how: Reordering::Overtake }),
        corrupt: Some(Corruption { share: 0.04, checksum: Checksum::Fixed }),
        rate: None,
    }
}

#[test]
fn a_delay_delays_and_without_it_nothing_does() {
    let delay = Duration::from_millis(100);
    let mut slow = link(1, LinkState { delay, ..LinkState::default() });
    let mut quick = link(1, LinkState::default());
    for now in [0, 5, 1_000_000_000] {
        assert_eq!(pass(&mut slow, now).unwrap().due, now + 100 * MILLISECOND);
        assert_eq!(pass(&mut quick, now).unwrap().due, now);
    }
}

#[test]
fn the_shares_are_what_was_asked_for() {
    let all = passes(42, everything());
    // Four standard deviations of 20,000 draws at 10 % are 0.0085; bursts of 8 vary as if there
    // were an eighth of the packets.
    let lost = share_of(&all, |one| *one == Err(DropReason::Loss));
    assert!((lost - 0.1).abs() < 0.0085, "{lost}");
    let burst = share_of(&all, |one| *one == Err(DropReason::LossBurst));
    assert!((burst - 0.05 * 0.9).abs() < 0.024, "{burst}");
    let crossed: Vec<Passage> = all.into_iter().flatten().collect();
    for (share, asked) in [
        (share_of(&crossed, |one| one.copies == 1), 0.02),
        (share_of(&crossed, |one| one.reordered), 0.03),
        (share_of(&crossed, |one| one.flips[0].is_some()), 0.04),
    ] {
        assert!((share - asked).abs() < 0.006, "{share} for {asked}");
    }
    for state in [
        LinkState { loss: 1.0, ..LinkState::default() },
        LinkState {
            bursts: Some(Bursts { share: 1.0, mean_packets: 1.0 }),
            ..LinkState::default()
        },
    ] {
        assert!(passes(1, state).iter().all(Result::is_err));
    }
}

#[test]
fn bursts_have_their_length() {
    let bursts = Some(Bursts { share: 0.2, mean_packets: 5.0 });
    let all = passes(7, LinkState { bursts, ..LinkState::default() });
    let lost = all.iter().filter(|one| one.is_err()).count();
    let starts = all.windows(2).filter(|two| two[0].is_ok() && two[1].is_err()).count();
    let mean = lost as f64 / starts as f64;
    // 800 bursts; the standard error of their mean length is sqrt(20) / sqrt(800) = 0.16.
    assert!((mean - 5.0).abs() < 0.8, "{mean}");
    assert!((lost as f64 / 20_000.0 - 0.2).abs() < 0.04, "{lost}");
}

#[test]
fn turning_one_impairment_off_does_not_shift_another() {
    let full = passes(3, everything());
    let same = |state: LinkState, what: &dyn Fn(&Passage) -> u64| {
        let part = passes(3, state);
        let both = full.iter().zip(&part).filter_map(|(full, part)| {
            Some((what(full.as_ref().ok()?), what(part.as_ref().ok()?)))
        });
        both.clone().count() > 5000 && both.into_iter().all(|(full, part)| full == part)
    };
    let base = everything();
    let flip = |passage: &Passage| passage.flips[0].map_or(0, |flip| flip.bit);
    let copies = |passage: &Passage| u64::from(passage.copies);
    let reordered = |passage: &Passage| u64::from(passage.reordered);
    for state in [
        LinkState { loss: 0.0, ..base },
        LinkState { bursts: None, ..base },
        LinkState { jitter: Jitter::None, delay: Duration::ZERO, ..base },
    ] {
        assert!(same(state, &flip) && same(state, &copies) && same(state, &reordered));
    }
    assert!(same(LinkState { duplicate: 0.0, corrupt: None, ..base }, &reordered));
    assert!(same(LinkState { reorder: None, loss: 0.5, ..base }, &flip));
    let lost = |all: &[Result<Passage, DropReason>]| -> Vec<usize> {
        let lost = all.iter().enumerate().filter(|(_, one)| **one == Err(DropReason::Loss));
        lost.map(|(at, _)| at).collect()
    };
    let only = LinkState { loss: 0.1, ..LinkState::default() };
    assert_eq!(lost(&full), lost(&passes(3, only)), "loss has its own stream too");
}

#[test]
fn what_came_before_a_loss_does_not_shift_it() {
    let state = LinkState { loss: 0.1, ..LinkState::default() };
    let mut late = link(7, LinkState::default());
    assert!((0..100).all(|now| pass(&mut late, now).is_ok()));
    late.pair.set(state, 0);
    let after: Vec<bool> = (0..PACKETS).map(|_| pass(&mut late, 0).is_err()).collect();
    let fresh: Vec<bool> = passes(7, state).iter().map(Result::is_err).collect();
    assert_eq!(after, fresh);
}

#[test]
fn order_is_kept_unless_reorder_is_asked_for() {
    let jitter = |jitter| LinkState { delay: Duration::from_millis(20), jitter, ..everything() };
    let due = |state| -> Vec<Nanos> {
        let crossed = passes(9, state).into_iter().flatten();
        crossed.filter(|one| !one.reordered).map(|one| one.due).collect()
    };
    for kind in
        [Jitter::Uniform(Duration::from_millis(20)), Jitter::Normal(Duration::from_millis(20))]
    {
        assert!(due(jitter(kind)).is_sorted());
    }
    let delay = Duration::from_millis(10);
    let reorder = |how| LinkState {
        delay,
        reorder: Some(Reorder { share: 0.1, how }),
        ..LinkState::default()
    };
    let overtakes = passes(1, reorder(Reordering::Overtake));
    let mut quick = overtakes.iter().enumerate().filter(|(_, one)| one.unwrap().reordered);
    assert!(quick.all(|(n, one)| one.unwrap().due == n as Nanos * 1000), "no delay at all");
    let held = passes(1, reorder(Reordering::HoldBack(Duration::from_millis(3))));
    for (n, one) in held.iter().flatten().enumerate() {
        let late = if one.reordered { 13 } else { 10 };
        assert_eq!(one.due, n as Nanos * 1000 + late * MILLISECOND);
    }
}

#[test]
fn jitter_varies_the_delay_to_both_sides() {
    let state = LinkState {
        delay: Duration::from_millis(100),
        jitter: Jitter::Uniform(Duration::from_millis(10)),
        ..LinkState::default()
    };
    let mut link = link(5, state);
    // A second apart, so that order bounds nothing.
    let late: Vec<Nanos> = (0..1000)
        .map(|n| pass(&mut link, n * 1_000_000_000).unwrap().due - n * 1_000_000_000)
        .collect();
    assert!(late.iter().all(|late| (90 * MILLISECOND..=110 * MILLISECOND).contains(late)));
    assert!(share_of(&late, |late| *late < 100 * MILLISECOND) > 0.4);
    assert!(late.iter().any(|late| *late > 108 * MILLISECOND));
}

#[test]
fn a_rate_spaces_packets_and_drops_what_its_queue_does_not_hold() {
    let rate = Some(Rate { bytes_per_second: 1_000_000, queue_bytes: 5000 });
    let mut link = link(1, LinkState { rate, ..LinkState::default() });
    let all: Vec<_> = (0..8).map(|_| pass(&mut link, 0)).collect();
    let due: Vec<Nanos> = all.iter().flatten().map(|one| one.due / MILLISECOND).collect();
    assert_eq!(due, [1, 2, 3, 4, 5]);
    assert_eq!(all[5..], [Err(DropReason::RateQueue); 3]);
}

#[test]
fn nodes_and_pairs_compose() {
    let half = |delay| {
        let mut shaper = Shaper::default();
        let delay = Duration::from_millis(delay);
        let state = LinkState { loss: 0.5, delay, duplicate: 1.0, ..LinkState::default() };
        shaper.set(state, 0);
        shaper
    };
    let mut link = link(2, LinkState { loss: 0.5, duplicate: 1.0, ..LinkState::default() });
    let (mut sends, mut receives) = (half(10), half(20));
    let all: Vec<_> = (0..PACKETS).map(|_| link.pass(&mut sends, &mut receives, 0, 1000)).collect();
    let crossed = share_of(&all, Result::is_ok);
    assert!((crossed - 0.125).abs() < 0.01, "{crossed}");
    for passage in all.iter().flatten() {
        assert_eq!((passage.due, passage.copies), (30 * MILLISECOND, 3));
    }
    receives.set(LinkState { cut: true, ..LinkState::default() }, 0);
    assert_eq!(link.pass(&mut sends, &mut receives, 0, 1), Err(DropReason::Cut));
}

#[test]
fn a_rate_of_a_node_is_shared_by_its_links_and_a_slow_sender_holds_up_nobody() {
    let rate = |bytes_per_second| {
        let mut shaper = Shaper::default();
        let rate = Some(Rate { bytes_per_second, queue_bytes: 1 << 30 });
        shaper.set(LinkState { rate, ..LinkState::default() }, 0);
        shaper
    };
    let mut receives = rate(1_000_000);
    let (mut slow, mut quick) = (rate(1000), Shaper::default());
    let mut links = [link(1, LinkState::default()), link(2, LinkState::default())];
    let first = links[0].pass(&mut slow, &mut receives, 0, 1000).unwrap();
    assert_eq!(first.due, 1000 * MILLISECOND, "the slowest counts");
    let second = links[1].pass(&mut quick, &mut receives, 0, 1000).unwrap();
    assert_eq!(second.due, 2 * MILLISECOND, "behind the other's packet, not behind its rate");
}

#[test]
fn a_flip_changes_one_bit_of_the_payload_only() {
    use crate::packet::{
        Transport,
        build::{Packet, is_right},
    };
    proptest!(|(six: bool, tcp: bool, payload in 0..60_usize, bit: u64, fixed: bool)| {
        let whole = Packet { six, tcp, ports: (1, 2), payload }.bytes();
        let mut packet = whole.clone();
        let checksum = if fixed { Checksum::Fixed } else { Checksum::Stale };
        let flipped = flip(&mut packet, Flip { checksum, bit });
        prop_assert_eq!(flipped, payload > 0);
        let at = Transport::of(&whole).unwrap();
        let differ = |range: std::ops::Range<usize>| -> u32 {
            whole[range.clone()].iter().zip(&packet[range]).map(|(a, b)| (a ^ b).count_ones()).sum()
        };
        prop_assert_eq!(differ(at.payload..at.end), u32::from(payload > 0));
        if fixed {
            prop_assert!(is_right(&packet), "the receiver's kernel sees nothing");
        } else {
            prop_assert_eq!(differ(0..at.payload), 0);
            prop_assert_eq!(is_right(&packet), payload == 0);
        }
    });
}

proptest! {
    #[test]
    fn bytes_of_any_kind_are_flipped_or_left(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..120), bit: u64,
    ) {
        flip(&mut bytes, Flip { checksum: Checksum::Fixed, bit });
    }
}
