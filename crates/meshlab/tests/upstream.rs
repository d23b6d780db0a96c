//! `meshlab ab` with dependencies of the node: what is wrong with them is told without a build. With
//! `MESHLAB_UPSTREAM=1` in the environment a node is built with a patch for real, which downloads
//! and compiles for minutes.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::{env, fs, path::Path, time::Duration};

use serde_json::Value;
use support::Bench;

/// A node is built twice, with everything that it needs.
const BUILT_WITHIN: Duration = Duration::from_secs(5400);

const THREE: &str = r#"
scenario { sample_every = "200ms" }
test("three nodes meet", function()
  local swarm = mesh { nodes = 3, digest_every = "1s" }
  expect.formed(swarm, { within = "20s" })
  sleep "4s"
end)
"#;

#[test]
fn a_set_that_cannot_be_had_is_a_wrong_command_line_and_says_why() {
    let bench = Bench::new();
    let scenario = bench.scenario("three.lua", THREE);
    bench.scenario("empty.patch", "no patch\n");
    fs::create_dir(bench.folder.path().join("bare")).unwrap();
    let cases: [(&[&str], &str); 8] = [
        (&["--after-dep", "iroh=1.3"], "`1.3` is no whole version"),
        (&["--after-dep", "iroh"], "no `=` in it; write NAME=VERSION"),
        (&["--after-dep", "iroh=bare"], "there is no Cargo.toml in bare"),
        (&["--after-dep", "iroh=git+file:///x"], "a revision is missing"),
        (&["--after-patch", "absent.patch"], "the patch absent.patch cannot be read"),
        (&["--after-patch", "empty.patch"], "the patch empty.patch changes no file"),
        (
            &["--before-dep", "iroh=1.3.0", "--after-dep", "iroh=1.3.0"],
            "both sides ask for the same",
        ),
        (&[], "what is the program after the change?"),
    ];
    for (given, why) in cases {
        let mut arguments = vec!["ab", scenario.to_str().unwrap()];
        if !given.contains(&"--before-dep") {
            arguments.extend(["--before", "any"]);
        }
        arguments.extend(given);
        let told = bench.meshlab(&arguments);
        assert_eq!(told.code, Some(2), "{given:?}: {}", told.all());
        assert!(told.stderr.contains(why), "{given:?}: {}", told.all());
    }
    assert!(!bench.folder.path().join("results").exists());
}

#[test]
fn a_patch_is_built_into_the_node_and_the_record_says_with_what() {
    if env::var_os("MESHLAB_UPSTREAM").is_none() {
        return;
    }
    let bench = Bench::new();
    let scenario = bench.scenario("three.lua", THREE);
    let patches = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/upstream");
    let patch = patches.join("iroh-gossip-0.101-send-loop.patch").display().to_string();
    let mut arguments = vec!["ab", scenario.to_str().unwrap(), "--after-patch", patch.as_str()];
    arguments.extend(["--rounds", "1", "--seed", "7"]);
    arguments.extend(support::network());
    let told = bench.meshlab_within(&arguments, BUILT_WITHIN);
    assert!(
        told.stdout.contains("iroh-gossip 0.101.0 before, 0.101.0 (changed) after"),
        "{}",
        told.all()
    );
    let runs = fs::read_dir(bench.folder.path().join("results/three")).unwrap();
    let runs = runs.map(|run| run.unwrap().path()).filter(|run| !run.is_symlink());
    let mut patched = 0;
    for run in runs {
        let manifest = fs::read_to_string(run.join("manifest.json")).unwrap();
        assert!(manifest.contains("\"lock_sha256\""), "{manifest}");
        let lock = fs::read_to_string(run.join("locks/mesh-node.lock")).unwrap();
        assert!(lock.contains("name = \"iroh-gossip\""));
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        let built = &manifest["binaries"]["mesh-node"]["built_with"];
        let is_asked = built["asked"][0] == "iroh-gossip-0.101-send-loop.patch";
        assert_eq!(built["resolved"]["iroh-gossip"] == "0.101.0 (changed)", is_asked, "{built}");
        patched += usize::from(is_asked);
    }
    assert_eq!(patched, 1);
}
