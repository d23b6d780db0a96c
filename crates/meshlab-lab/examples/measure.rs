//! How well the switch does what it is told, on this host:
//! `cargo run --release -p meshlab-lab --example measure`.
#![allow(clippy::print_stdout, reason = "it exists to be read")]

use meshlab_lab::{LabError, MeasureSettings, measure};

fn main() -> Result<(), LabError> {
    let settings = MeasureSettings::default();
    println!("{:#?}", measure(&settings)?);
    Ok(())
}
