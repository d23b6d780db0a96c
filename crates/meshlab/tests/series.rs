//! Series of real runs: two programs in turns, and commits until one is found.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use support::Bench;

const THREE: &str = r#"
scenario { sample_every = "200ms" }
test("three nodes meet and rest", function()
  local swarm = mesh { nodes = 3, digest_every = "1s" }
  expect.formed(swarm, { within = "20s" })
  sleep "4s"
end)
"#;

fn node() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_meshlab")).with_file_name("mesh-node")
}

/// A program that is the node with something set in its environment.
fn node_with(set: &str) -> String {
    format!("#!/bin/sh\n{set} exec '{}' \"$@\"\n", node().display())
}

fn program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A node that says how it is ten times as often as it should is worse, in CPU, and named; itself
/// beside itself is neither better nor worse.
#[test]
fn a_program_that_does_more_is_worse_in_cpu_and_one_beside_itself_is_not() {
    let bench = Bench::new();
    let busy = bench.folder.path().join("busy-node");
    program(&busy, &node_with("MESH_NODE_DIGEST_EVERY=100ms MESH_NODE_DIGEST_GATED=false"));
    let scenario = bench.scenario("three.lua", THREE);
    let (node, busy) = (node().display().to_string(), busy.display().to_string());
    let ab = |after: &str, rounds: &str| {
        let mut arguments = vec!["ab", scenario.to_str().unwrap(), "--before", node.as_str()];
        arguments.extend(["--after", after, "--rounds", rounds, "--seed", "7"]);
        arguments.extend(["--page", "page", "--comment", "comment.md"]);
        arguments.extend(support::network());
        bench.meshlab(&arguments)
    };
    let worse = ab(&busy, "6");
    assert_eq!(worse.code, Some(1), "{}", worse.all());
    assert!(worse.stdout.contains(": cpu, median node"), "{}", worse.all());
    assert!(worse.stdout.contains("\nfailed: worse: "), "{}", worse.all());
    let read = |name: &str| fs::read_to_string(bench.folder.path().join(name)).unwrap();
    assert!(read("comment.md").contains("| worse |"), "{}", read("comment.md"));
    assert!(read("page/index.html").contains("<span class=\"v failed\">worse</span>"));
    let runs = fs::read_dir(bench.folder.path().join("results/three")).unwrap();
    let runs = runs.filter(|run| !run.as_ref().unwrap().path().is_symlink()).count();
    assert_eq!(runs, 12);
    let itself = ab(&node, "2");
    assert_eq!(itself.code, Some(4), "{}", itself.all());
    assert!(itself.stdout.contains("both sides ran the same programs"), "{}", itself.all());
}

fn git(repo: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.arg("-C").arg(repo).args(arguments);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "test").env(format!("GIT_{who}_EMAIL"), "t@t");
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Commits of a program; its build copies it, and one of them cannot be built.
fn repository(folder: &Path) -> PathBuf {
    let repo = folder.join("repo");
    fs::create_dir(&repo).unwrap();
    git(&repo, &["init", "--quiet", "--initial-branch=main"]);
    let commit = |title: &str, text: Option<String>| {
        match text {
            Some(text) => program(&repo.join("node.sh"), &text),
            None => fs::remove_file(repo.join("node.sh")).unwrap(),
        }
        fs::write(repo.join("title"), title).unwrap();
        git(&repo, &["add", "--all"]);
        git(&repo, &["commit", "--quiet", "-m", title]);
        git(&repo, &["tag", title]);
    };
    commit("works", Some(node_with("")));
    commit("builds-not", None);
    commit("works-still", Some(node_with("")));
    commit("breaks", Some(node_with("MESH_NODE_GOSSIP=off")));
    commit("stays-broken", Some(node_with("MESH_NODE_GOSSIP=off")));
    repo
}

#[test]
fn the_commit_that_broke_it_is_found_past_one_that_cannot_be_built() {
    let bench = Bench::new();
    let repo = repository(bench.folder.path());
    let scenario = bench.scenario("three.lua", &THREE.replace("\"4s\"", "\"100ms\""));
    let bisect = |good: &str, bad: &str| {
        let mut arguments = vec!["bisect", scenario.to_str().unwrap(), "--good", good];
        arguments.extend(["--bad", bad, "--repo", repo.to_str().unwrap(), "--seed", "3"]);
        arguments.extend(["--build", "cp -p node.sh built", "--program", "built"]);
        arguments.extend(support::network());
        bench.meshlab(&arguments)
    };
    let found = bisect("works", "stays-broken");
    assert_eq!(found.code, Some(0), "{}", found.all());
    let commit = git(&repo, &["log", "-1", "--format=%h %s", "breaks"]);
    assert!(found.stdout.ends_with(&format!("first bad commit: {commit}\n")), "{}", found.all());
    assert_eq!(git(&repo, &["worktree", "list"]).lines().count(), 1, "nothing is left there");
    for (good, bad, code, says) in [
        ("stays-broken", "works", 5, "is no ancestor of"),
        ("works", "nowhere", 5, "there is no commit `nowhere`"),
        ("works", "works", 5, "are the same commit"),
        ("works", "works-still", 4, "should be Bad and is Good"),
    ] {
        let said = bisect(good, bad);
        assert_eq!(said.code, Some(code), "{}", said.all());
        assert!(said.stderr.contains(says), "{}", said.all());
    }
}
