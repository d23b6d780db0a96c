//! How long the report of a run takes, how large it is, and in how much memory it is drawn:
//!
//!     cargo run --release -p meshlab-report --example draw -- RUN
//!
//! A run of four days is written by `cargo run --release -p meshlab-query --example soak -- 4d RUN`.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example that prints what it finds"
)]

use std::{fs, path::PathBuf, time::Instant};

fn main() {
    let run: PathBuf = std::env::args().nth(1).unwrap().into();
    let began = Instant::now();
    let rendered = meshlab_report::render(&run, &run.join("report")).unwrap();
    let took = began.elapsed();
    let page = fs::metadata(&rendered.html).unwrap().len();
    println!(
        "{:.2} s, a page of {:.2} MB: {}",
        took.as_secs_f64(),
        page as f64 / 1e6,
        run.display()
    );
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status.lines().filter(|line| line.starts_with("VmHWM")).for_each(|line| println!("{line}"));
}
