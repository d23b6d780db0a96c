//! Whatever is done, nothing goes uncounted.

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Send { from: u8, to: u8, bytes: usize, six: bool, tcp: bool },
    Wait(Nanos),
    Link(usize, usize, LinkState),
    Node(usize, Side, LinkState),
    Nat(usize, Option<NatBehaviour>),
    Rebind(usize),
    Home(usize),
    Firewall(usize, bool),
    Mtu(usize, Option<u16>),
    Unplug(usize),
    Reset,
}

fn state() -> impl Strategy<Value = LinkState> {
    let share = prop_oneof![Just(0.0), Just(0.3), Just(1.0)];
    let time = prop_oneof![Just(0_u64), 1..50_u64];
    (
        (prop::bool::weighted(0.1), share.clone(), share.clone(), share.clone(), share),
        (time.clone(), time),
        (any::<bool>(), any::<bool>(), any::<bool>()),
    )
        .prop_map(|((cut, loss, duplicate, reorder, corrupt), (delay, jitter), flags)| {
            LinkState {
                cut,
                loss,
                bursts: flags.0.then_some(Bursts { share: 0.2, mean_packets: 3.0 }),
                delay: Duration::from_millis(delay),
                jitter: Jitter::Uniform(Duration::from_millis(jitter)),
                duplicate,
                reorder: Some(Reorder {
                    share: reorder,
                    how: if flags.1 {
                        Reordering::Overtake
                    } else {
                        Reordering::HoldBack(Duration::from_millis(7))
                    },
                }),
                corrupt: Some(Corruption { share: corrupt, checksum: Checksum::Fixed }),
                rate: flags.2.then_some(Rate { bytes_per_second: 20_000, queue_bytes: 3000 }),
            }
        })
}

fn step() -> impl Strategy<Value = Step> {
    let behaviour = prop_oneof![
        Just(None),
        Just(Some(NatBehaviour::EndpointIndependent)),
        Just(Some(NatBehaviour::AddressAndPortDependent)),
    ];
    let side = prop_oneof![Just(Side::Sends), Just(Side::Receives)];
    prop_oneof![
        20 => (1..4_u8, 1..5_u8, 0..1400_usize, any::<bool>(), any::<bool>())
            .prop_map(|(from, to, bytes, six, tcp)| Step::Send { from, to, bytes, six, tcp }),
        5 => (0..20 * MILLISECOND).prop_map(Step::Wait),
        3 => (1..4_usize, 1..4_usize, state()).prop_map(|(a, b, state)| Step::Link(a, b, state)),
        2 => (1..4_usize, side, state()).prop_map(|(a, side, state)| Step::Node(a, side, state)),
        1 => (1..4_usize, behaviour).prop_map(|(a, behaviour)| Step::Nat(a, behaviour)),
        1 => (1..4_usize).prop_map(Step::Rebind),
        1 => (1..4_usize).prop_map(Step::Home),
        1 => (1..4_usize, any::<bool>()).prop_map(|(a, on)| Step::Firewall(a, on)),
        1 => (1..4_usize, proptest::option::of(68..1500_u16))
            .prop_map(|(a, mtu)| Step::Mtu(a, mtu)),
        1 => (1..4_usize).prop_map(Step::Unplug),
        1 => Just(Step::Reset),
    ]
}

fn take(bed: &mut Bed, now: &mut Nanos, epoll: &Epoll, step: Step) {
    // Nodes that were unplugged refuse; that is theirs to say.
    match step {
        Step::Send { from, to, bytes, six, tcp } => {
            let packet = Packet { six, tcp, ports: (1, 2), payload: bytes };
            bed.send_bytes(from, &packet.between(address(six, from), address(six, to)), *now);
        }
        Step::Wait(time) => {
            *now += time;
            bed.fire(*now);
        }
        Step::Link(from, to, state) => {
            let _ = bed.table.change_links(*now, [(&node(from), &node(to))], |link| *link = state);
        }
        Step::Node(which, side, state) => {
            let _ = bed.table.change_node(*now, &node(which), side, |link| *link = state);
        }
        Step::Nat(which, behaviour) => {
            let settings = behaviour.map(|behaviour| NatSettings::new(behaviour, behaviour));
            let _ = bed.table.set_nat(&node(which), settings);
        }
        Step::Rebind(which) => {
            let _ = bed.table.rebind(&node(which), Rebind::Address);
        }
        Step::Home(which) => {
            let _ = bed.table.remove_nat(&node(which));
        }
        Step::Firewall(which, on) => {
            let settings = on.then(FirewallSettings::default);
            let _ = bed.table.set_firewall(&node(which), settings);
        }
        Step::Mtu(which, bytes) => {
            let mtu = bytes.map(|bytes| Mtu { bytes, black_hole: bytes % 2 == 0 });
            let _ = bed.table.set_mtu(&node(which), mtu);
        }
        Step::Unplug(which) => bed.table.unplug(&node(which), epoll),
        Step::Reset => bed.table.reset(*now),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn nothing_goes_uncounted_whatever_is_done(
        steps in proptest::collection::vec(step(), 1..200), seed: u64,
    ) {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        let mut bed = Bed::new(seed);
        let (mut now, mut sent) = (1, 0);
        for step in steps {
            sent += u64::from(matches!(step, Step::Send { .. }));
            take(&mut bed, &mut now, &epoll, step);
            let counters = bed.table.counters();
            prop_assert!(counters.values().all(balanced), "{counters:?}");
            let flying: u64 = counters.values().map(|link| link.in_flight).sum();
            prop_assert_eq!(flying, bed.table.queue.len() as u64);
        }
        bed.fire(Nanos::MAX);
        let counters = bed.table.counters();
        prop_assert!(counters.values().all(|link| balanced(link) && link.in_flight == 0));
        let on_links: u64 = counters.values().map(|link| link.sent_packets).sum();
        let outside: u64 = bed.table.stray().values().map(|stray| stray.outside).sum();
        prop_assert_eq!(on_links + outside, sent, "each packet is on a link or astray");
        let forwarded: u64 = counters.values().map(|link| link.forwarded_packets).sum();
        let answers: u64 =
            bed.table.node_counters().values().map(|node| node.too_big_answers).sum();
        let heard: usize = (1..4).map(|number| bed.heard(number).len()).sum();
        prop_assert_eq!(heard as u64, forwarded + answers, "what is counted was handed over");
    }
}
