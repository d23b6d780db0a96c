//! How long a flamegraph of a million samples takes, read from its folded file and drawn:
//! `cargo run --release -p meshlab-profile --example draw [SAMPLES]`. Say the host's load beside
//! what it prints.

use std::{fs, time::Instant};

use meshlab_profile::{Folded, Title, files, flamegraph};

/// Distinct stacks of a node that was looked at for long.
const STACKS: u64 = 20_000;
/// Frames of a stack.
const DEPTH: u64 = 40;

#[allow(clippy::print_stdout, reason = "an example prints")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let samples: u64 = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let path = std::env::temp_dir().join(format!("draw-{}.folded", std::process::id()));
    fs::write(&path, profile(samples).to_string())?;
    let began = Instant::now();
    let folded = files::read(&path)?;
    let read = began.elapsed();
    fs::remove_file(&path)?;
    let title = Title {
        title: "a long look".to_owned(),
        rests_on: format!("{} samples", folded.samples()),
        unit: "samples".to_owned(),
    };
    let began = Instant::now();
    let svg = flamegraph(&folded, &title)?;
    let drawn = began.elapsed();
    println!(
        "{} samples in {} stacks: read in {read:?}, drawn in {drawn:?}, {} bytes of SVG",
        folded.samples(),
        folded.stacks().count(),
        svg.len()
    );
    Ok(())
}

/// A tree of calls: stacks share their outer frames, as those of a program do.
fn profile(samples: u64) -> Folded {
    let mut folded = Folded::default();
    for place in 0..STACKS.min(samples) {
        let frame = |depth: u64| match depth {
            0..10 => format!("tokio::runtime::frame_{depth}"),
            10..25 => format!("noq_proto::part_{}::frame_{depth}", place % 37),
            _ => format!("mesh_node::part_{}::frame_{depth}", place >> (DEPTH - depth).min(14)),
        };
        let stack: Vec<String> = (0..DEPTH).map(frame).collect();
        let share = samples / STACKS.max(1) + u64::from(place < samples % STACKS);
        folded.add(&stack.join(";"), share.max(1));
    }
    folded
}
