//! `meshlab doctor`: what this host can do, one line each, with the cure for what it cannot.
//!
//! `host.rs` tries what is beside the lab, `accuracy.rs` holds what the lab does against its aims.

mod accuracy;
mod host;

use std::fmt::Write;

use anyhow::{Context, Result};
use meshlab_lab::{Capability, CapabilityState, MeasureSettings, Privilege, measure, probe};
use meshlab_model::ExitCode;
use serde_json::json;

use self::accuracy::Figure;
use crate::cli::DoctorArguments;

pub(crate) fn doctor(arguments: &DoctorArguments, privilege: &Privilege) -> Result<ExitCode> {
    let report = probe();
    let lab = report.lab_possible();
    let mut capabilities = report.capabilities;
    capabilities.extend(host::probe());
    let privilege = privilege.to_string();
    let figures = match (&lab, arguments.measure) {
        (Ok(()), true) => {
            if !arguments.json {
                println!("measuring: this takes about a minute\n");
            }
            let measured = measure(&MeasureSettings::default());
            Some(accuracy::figures(&measured.context("failed to measure")?))
        }
        _ => None,
    };
    if arguments.json {
        let all = as_json(&privilege, &capabilities, &lab, figures.as_deref());
        println!("{all:#}");
    } else {
        print!("{}", as_text(&privilege, &capabilities, &lab, figures.as_deref()));
    }
    let missed = figures.iter().flatten().any(|figure| figure.met == Some(false));
    Ok(match lab {
        Err(_) => ExitCode::HarnessFailed,
        Ok(()) if missed => ExitCode::ClaimFailed,
        Ok(()) => ExitCode::Passed,
    })
}

fn as_text(
    privilege: &str,
    capabilities: &[Capability],
    lab: &Result<(), String>,
    figures: Option<&[Figure]>,
) -> String {
    let mut text = format!("privilege: {privilege}\n");
    for Capability { name, state, detail, cure, needed_for } in capabilities {
        let mark = match state {
            CapabilityState::Available => "ok     ",
            CapabilityState::Degraded => "partly ",
            CapabilityState::Missing => "missing",
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{mark} {name:<22} {detail}");
        if let Some(cure) = cure {
            let _ = writeln!(text, "        needed for {needed_for}; {cure}");
        }
    }
    if let Some(figures) = figures {
        text.push_str(&accuracy::table(figures, cfg!(debug_assertions)));
    }
    let _ = match lab {
        Ok(()) => writeln!(text, "\nthe network lab works here: `meshlab run SCENARIO`"),
        Err(why) => writeln!(
            text,
            "\nno network lab here: {why}\n`meshlab run SCENARIO --network host` works"
        ),
    };
    text
}

fn as_json(
    privilege: &str,
    capabilities: &[Capability],
    lab: &Result<(), String>,
    figures: Option<&[Figure]>,
) -> serde_json::Value {
    let state = |state| match state {
        CapabilityState::Available => "ok",
        CapabilityState::Degraded => "partly",
        CapabilityState::Missing => "missing",
    };
    let capability = |one: &Capability| {
        json!({ "name": one.name, "state": state(one.state), "detail": one.detail,
            "cure": one.cure, "needed_for": one.needed_for })
    };
    json!({
        "privilege": privilege,
        "capabilities": capabilities.iter().map(capability).collect::<Vec<_>>(),
        "lab": lab.is_ok(),
        "lab_missing": lab.as_ref().err(),
        "debug_build": cfg!(debug_assertions),
        "accuracy": figures.map(|all| all.iter().map(Figure::json).collect::<Vec<_>>()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_with_its_cure() {
        let one = |name, state, cure: Option<&str>| Capability {
            name,
            state,
            detail: "what was found".to_owned(),
            cure: cure.map(str::to_owned),
            needed_for: "limits",
        };
        let capabilities = [
            one("TUN devices", CapabilityState::Available, None),
            one("perf", CapabilityState::Degraded, Some("do this")),
            one("cgroup cpu", CapabilityState::Missing, Some("do that")),
        ];
        let text = as_text("root", &capabilities, &Err("no TUN".to_owned()), None);
        insta::assert_snapshot!(text, @r"
        privilege: root
        ok      TUN devices            what was found
        partly  perf                   what was found
                needed for limits; do this
        missing cgroup cpu             what was found
                needed for limits; do that

        no network lab here: no TUN
        `meshlab run SCENARIO --network host` works
        ");
        let json = as_json("root", &capabilities, &Ok(()), None);
        assert_eq!(json["capabilities"][2]["state"], "missing");
        assert_eq!((&json["lab"], &json["accuracy"]), (&json!(true), &json!(null)));
    }
}
