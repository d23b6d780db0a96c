//! Questions to a full directory, by its index and beside it by a full scan.
//!
//! A bench for regressions, run by hand: `cargo bench -p mesh-node --bench directory`.
#![allow(
    missing_docs,
    clippy::expect_used,
    reason = "criterion's macros make public functions; a bench may fail where it stands"
)]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group, criterion_main};
use iroh::{PublicKey, SecretKey};
use mesh_node::{
    digest::Digest,
    directory::{Directory, PEERS_MAX},
    index::{Number, Query},
};
use meshlab_wire::State;

const MODELS: u32 = 100;
const TOOLS: u32 = 200;

/// A peer of a mesh with four roles, in which one of ten drains, one of a hundred has a GPU, and
/// models, tools and load are spread evenly.
fn digest(place: u32) -> Digest {
    let role = ["broker", "gateway", "compute", "registry"][place as usize % 4];
    let state = if place / 3 % 10 == 3 { State::Draining } else { State::Alive };
    let mut tags = vec![
        format!("model=m{}", place % MODELS),
        format!("tool=t{}", place / 7 % TOOLS),
        format!("region=r{}", place % 5),
    ];
    if place.is_multiple_of(100) {
        tags.push("gpu".to_owned());
    }
    Digest {
        name: format!("mesh.{role}.{place:06x}"),
        state,
        incarnation: 1,
        seq: 1,
        addresses: vec!["198.18.0.1:7777".parse().expect("an address")],
        tags,
        peers: place % 5000,
        cpu_permille: place * 7919 % 1000,
        rss_mib: 10 + place % 90,
    }
}

fn directory() -> Directory {
    let mut directory = Directory::new(Duration::from_secs(3600));
    let now = Instant::now();
    for place in 0..u32::try_from(PEERS_MAX).expect("a small number") {
        let mut seed = [7; 32];
        seed[..4].copy_from_slice(&place.to_be_bytes());
        directory.hear(SecretKey::from_bytes(&seed).public(), &digest(place), now);
    }
    assert_eq!(directory.len(), PEERS_MAX);
    directory
}

fn scan(directory: &Directory, query: &Query) -> Vec<PublicKey> {
    let matching = directory.peers().filter(|(_, peer)| query.matches(peer));
    matching.map(|(key, _)| *key).collect()
}

fn questions(criterion: &mut Criterion) {
    let directory = directory();
    let questions = [
        ("tag", 100, Query::new().tag("gpu")),
        ("complex", 90, Query::new().role("compute").state(State::Alive).tag("model=m42")),
        ("broad", 450, Query::new().role("compute").state(State::Alive).tag("region=r1")),
        ("model", 100, Query::new().tag("model=m42")),
        ("tool", 50, Query::new().tag("tool=t42")),
        ("number", 100, Query::new().between(Number::CpuPermille, 0..=9)),
    ];
    for (name, found, query) in &questions {
        let mut by_index = directory.find(query);
        by_index.sort_unstable();
        assert_eq!(by_index, scan(&directory, query), "{name}");
        assert!(by_index.len().abs_diff(*found) <= *found / 5, "{name} finds {}", by_index.len());
        let mut group = criterion.benchmark_group(*name);
        group.bench_function("index", |b| b.iter(|| directory.find(black_box(query))));
        group.bench_function("scan", |b| b.iter(|| scan(&directory, black_box(query))));
        group.finish();
    }
}

criterion_group!(benches, questions);
criterion_main!(benches);
