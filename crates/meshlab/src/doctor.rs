//! `meshlab doctor`: what this host can do, one line each, with the cure for what it cannot.

use anyhow::Result;
use meshlab_lab::{CapabilityState, Privilege, probe};
use meshlab_model::ExitCode;

pub(crate) fn doctor(privilege: &Privilege) -> Result<ExitCode> {
    println!("privilege: {privilege}");
    let report = probe();
    for capability in &report.capabilities {
        let mark = match capability.state {
            CapabilityState::Available => "ok     ",
            CapabilityState::Degraded => "partly ",
            CapabilityState::Missing => "missing",
        };
        println!("{mark} {:<22} {}", capability.name, capability.detail);
        if let Some(cure) = &capability.cure {
            println!("        needed for {}; {cure}", capability.needed_for);
        }
    }
    match report.lab_possible() {
        Ok(()) => {
            println!("\nthe network lab works here: `meshlab run SCENARIO`");
            Ok(ExitCode::Passed)
        }
        Err(why) => {
            println!("\nno network lab here: {why}\n`meshlab run SCENARIO --network host` works");
            Ok(ExitCode::HarnessFailed)
        }
    }
}
