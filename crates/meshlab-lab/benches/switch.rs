//! What the switch itself costs a packet: everything but the two system calls that read it from
//! one device and write it to another. One call is there, which writes to `/dev/null`.
//!
//! A bench for regressions, run by hand: `cargo bench -p meshlab-lab --bench switch`. What a packet
//! costs all in all is measured between real namespaces, by `meshlab_lab::measure`.
#![allow(
    missing_docs,
    clippy::expect_used,
    reason = "criterion's macros make public functions; a bench may fail where it stands"
)]

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use meshlab_lab::{
    Jitter, LinkState, Rate, RecentSettings,
    bench::{Forward, Packet},
};

const PAYLOAD: u16 = 1172;

fn forward(criterion: &mut Criterion) {
    let nothing = LinkState::default();
    let delay = Duration::from_millis(1);
    let plain = || Forward::new().expect("a /dev/null");
    let link = |state| plain().link(state).expect("a state");
    let rate = Some(Rate { bytes_per_second: 2_000_000_000, queue_bytes: 1 << 20 });
    let jitter = Jitter::Normal(Duration::from_micros(100));
    let cases = [
        ("plain", plain()),
        ("loss 10 %", link(LinkState { loss: 0.1, ..nothing })),
        // A microsecond apart, so a thousand are in flight.
        ("delay 1 ms", link(LinkState { delay, ..nothing })),
        ("delay 1 ms, normal jitter", link(LinkState { delay, jitter, ..nothing })),
        ("rate", link(LinkState { rate, ..nothing })),
        ("duplicate all", link(LinkState { duplicate: 1.0, ..nothing })),
        ("corrupt all", plain().corrupt().expect("a state")),
        ("nat", plain().nat().expect("an address")),
        ("firewall", plain().firewall().expect("a node")),
        ("ring of 16 MiB", {
            plain().ring(RecentSettings { bytes: 16 << 20, age: Duration::from_secs(60) })
        }),
    ];
    let packet = Packet::new(PAYLOAD);
    let mut group = criterion.benchmark_group("a packet");
    for (name, mut switch) in cases {
        let mut scratch = Vec::new();
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|packets| {
                let start = Instant::now();
                switch.send(&packet, packets, &mut scratch);
                start.elapsed()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, forward);
criterion_main!(benches);
