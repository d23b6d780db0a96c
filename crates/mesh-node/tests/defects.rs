//! A mistake can be planted in a build for tests only.

use std::process::Command;

/// Some of the names; the others are of the same table.
const NAMES: [&str; 5] = [
    "gossip-firehose",
    "join-storm",
    "wall-clock-staleness",
    "kilobyte-per-connection",
    "lookalike-warm-up",
];

#[cfg(not(feature = "defects"))]
#[test]
fn the_program_that_is_shipped_knows_no_mistake() {
    let program = env!("CARGO_BIN_EXE_mesh-node");
    let bytes = std::fs::read(program).unwrap();
    for name in NAMES.into_iter().chain(["MESH_NODE_DEFECT"]) {
        let found = memchr::memmem::find(&bytes, name.as_bytes()).is_some();
        assert!(!found, "{program} contains `{name}`");
    }
    let output =
        Command::new(program).args(["--defect", "join-storm", "--mesh", "m"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("unexpected argument '--defect'"));
}

#[cfg(feature = "defects")]
#[test]
fn a_build_for_tests_knows_each_and_refuses_others() {
    let program = env!("CARGO_BIN_EXE_mesh-node-defects");
    let help = Command::new(program).arg("--help").output().unwrap();
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    for name in NAMES {
        assert!(help.contains(name), "{help}");
    }
    let output = Command::new(program).args(["--defect", "bad-luck"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("invalid value 'bad-luck'"));
}
