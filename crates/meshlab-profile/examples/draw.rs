//! How long a flamegraph of a million samples takes, read from its folded file and drawn:
//! `cargo run --release -p meshlab-profile --example draw [SAMPLES]`; with `repeat BYTES` in the place
//! of SAMPLES, the same stacks again and again in a file of so many bytes. Say the host's load beside
//! what it prints.

use std::{
    fs,
    io::{BufWriter, Write},
    path::Path,
    time::Instant,
};

use meshlab_profile::{Folded, Title, files, flamegraph};

/// Distinct stacks of a node that was looked at for long.
const STACKS: u64 = 20_000;
/// Frames of a stack.
const DEPTH: u64 = 40;

#[allow(clippy::print_stdout, reason = "an example prints")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = std::env::temp_dir().join(format!("draw-{}.folded", std::process::id()));
    match arguments.first().map(String::as_str) {
        Some("repeat") => {
            repeat(&path, arguments.get(1).map_or(Ok(2 << 30), |text| text.parse())?)?
        }
        samples => {
            let samples = samples.map_or(Ok(1_000_000), str::parse)?;
            fs::write(&path, profile(samples).to_string())?;
        }
    }
    let file = fs::metadata(&path)?.len();
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
        "{} samples in {} stacks, a file of {file} bytes: read in {read:?}, drawn in {drawn:?}, \
         {} bytes of SVG",
        folded.samples(),
        folded.stacks().count(),
        svg.len()
    );
    let status = fs::read_to_string("/proc/self/status")?;
    status.lines().filter(|line| line.starts_with("VmHWM")).for_each(|line| println!("{line}"));
    Ok(())
}

/// Writes the stacks of a profile until the file has so many bytes.
fn repeat(path: &Path, bytes: u64) -> std::io::Result<()> {
    let lines = profile(STACKS).to_string();
    let mut file = BufWriter::new(fs::File::create(path)?);
    let mut written = 0;
    while written < bytes {
        file.write_all(lines.as_bytes())?;
        written += lines.len() as u64;
    }
    file.flush()
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
