//! The commands over finished runs, with input of which nothing can be said: each has words of its
//! own and exit code 4 or 5, never 0.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use meshlab_report::fixture::steady::{Steady, write_plain};
use tempfile::TempDir;

struct Said {
    code: Option<i32>,
    text: String,
}

/// A folder with two sound runs and a baseline, and others that are spoilt.
struct Runs(TempDir);

impl Runs {
    fn new() -> Self {
        let runs = Self(tempfile::tempdir().unwrap());
        runs.write("sound", 1, |_| {});
        runs.write("other", 2, |_| {});
        for n in 3..=6 {
            runs.write(&format!("results/swarm/r{n}"), n, |_| {});
        }
        runs
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, number: u64, spoil: impl Fn(&Path)) {
        let record = Steady { number, seconds: 40, ..Steady::default() }.record();
        let folder = self.path(name);
        write_plain(&record, &folder).unwrap();
        spoil(&folder);
    }

    fn meshlab(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshlab"));
        command.args(arguments).current_dir(self.0.path());
        command.env_remove("GITHUB_ACTIONS").env_remove("GITHUB_STEP_SUMMARY");
        let output = command.output().unwrap();
        let told = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&told).into_owned();
        Said { code: output.status.code(), text }
    }
}

/// Changes a file of a run.
fn edit(folder: &Path, name: &str, change: impl Fn(String) -> String) {
    let path = folder.join(name);
    fs::write(&path, change(fs::read_to_string(&path).unwrap())).unwrap();
}

/// Lines of a file, some of which are changed by their place.
fn lines(text: &str, change: impl Fn(usize, &str) -> String) -> String {
    text.lines().enumerate().map(|(n, line)| change(n, line) + "\n").collect()
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    text.replace(from, to)
}

/// Something that is wrong with a run.
struct Wrong {
    name: &'static str,
    spoil: fn(&Path),
    says: &'static str,
    /// Whether it is only seen beside a sound run.
    beside: bool,
}

const WRONG: &[Wrong] = &[
    Wrong {
        name: "no samples",
        spoil: |run| fs::write(run.join("samples.jsonl"), "").unwrap(),
        says: "it has no sample of a node",
        beside: false,
    },
    Wrong {
        name: "its samples are gone",
        spoil: |run| fs::remove_file(run.join("samples.jsonl")).unwrap(),
        says: "samples.jsonl",
        beside: false,
    },
    Wrong {
        name: "cut short",
        spoil: |run| {
            edit(run, "events.jsonl", |text| {
                let cut = text.lines().count() - 3;
                text.lines().take(cut).map(|line| format!("{line}\n")).collect()
            });
        },
        says: "cut short",
        beside: false,
    },
    Wrong {
        name: "half a line",
        spoil: |run| edit(run, "events.jsonl", |text| text[..text.len() - 9].to_owned()),
        says: "events.jsonl ends at line",
        beside: false,
    },
    Wrong {
        name: "another version",
        spoil: |run| {
            edit(run, "manifest.json", |text| replaced(&text, "\"schema\": 1", "\"schema\": 77"));
        },
        says: "has schema 77",
        beside: false,
    },
    Wrong {
        name: "no manifest",
        spoil: |run| fs::remove_file(run.join("manifest.json")).unwrap(),
        says: "holds no run",
        beside: false,
    },
    Wrong {
        name: "NaN",
        spoil: |run| {
            edit(run, "samples.jsonl", |text| {
                lines(&text, |n, line| match n {
                    200 => replaced(line, "\"cpu\":", "\"cpu\":NaN,\"x\":"),
                    _ => line.to_owned(),
                })
            });
        },
        says: "samples.jsonl",
        beside: false,
    },
    Wrong {
        name: "negative",
        spoil: |run| {
            edit(run, "samples.jsonl", |text| {
                lines(&text, |n, line| match n {
                    200 => replaced(line, "\"cpu\":", "\"cpu\":-"),
                    _ => line.to_owned(),
                })
            });
        },
        says: "is below zero",
        beside: false,
    },
    Wrong {
        name: "the clock runs backwards",
        spoil: |run| {
            edit(run, "samples.jsonl", |text| {
                lines(&text, |n, line| match n {
                    200 => replaced(line, "\"at\":", "\"at\":5,\"x\":"),
                    _ => line.to_owned(),
                })
            });
        },
        says: "runs backwards",
        beside: false,
    },
    Wrong {
        name: "the clock jumps",
        spoil: |run| {
            edit(run, "samples.jsonl", |text| {
                lines(&text, |n, line| match n {
                    160.. => replaced(line, "\"at\":", "\"at\":9"),
                    _ => line.to_owned(),
                })
            });
        },
        says: "the clock jumped",
        beside: false,
    },
    Wrong {
        name: "another host",
        spoil: |run| {
            edit(run, "manifest.json", |text| replaced(&text, "a processor", "another one"));
        },
        says: "the host's processor (",
        beside: true,
    },
    Wrong {
        name: "another scenario",
        spoil: |run| {
            edit(run, "manifest.json", |text| {
                replaced(&text, "\"scenario\": \"swarm\"", "\"scenario\": \"flood\"")
            });
        },
        says: "the scenario (",
        beside: true,
    },
];

#[test]
fn sound_runs_pass_the_gate_and_make_a_baseline() {
    let runs = Runs::new();
    let said = runs.meshlab(&["gate", "sound", "--cpu", "10%", "--rss", "64MiB"]);
    assert_eq!(said.code, Some(0), "{}", said.text);
    let said = runs.meshlab(&["gate", "sound", "--cpu", "1%"]);
    assert_eq!(said.code, Some(1), "{}", said.text);
    let said = runs.meshlab(&["baseline", "results/swarm"]);
    assert_eq!(said.code, Some(0), "{}", said.text);
    let against = ["gate", "sound", "--baseline", "baseline.json"];
    let said = runs.meshlab(&against);
    assert_eq!(said.code, Some(0), "{}", said.text);
    let said = runs.meshlab(&["gate", "sound"]);
    assert_eq!(said.code, Some(2), "{}", said.text);
    fs::write(runs.path("baseline.json"), "{\"schema\":9}").unwrap();
    let said = runs.meshlab(&against);
    assert!(said.code == Some(5) && said.text.contains("has schema 9"), "{}", said.text);
    fs::remove_file(runs.path("baseline.json")).unwrap();
    let said = runs.meshlab(&against);
    assert!(said.code == Some(5) && said.text.contains("meshlab baseline RUN"), "{}", said.text);
}

#[test]
fn what_says_nothing_is_told_by_every_command_and_never_green() {
    let runs = Runs::new();
    assert_eq!(runs.meshlab(&["baseline", "results/swarm"]).code, Some(0));
    let mut table = Vec::new();
    for wrong in WRONG {
        runs.write("spoilt", 9, wrong.spoil);
        let mut commands: Vec<&[&str]> = vec![
            &["gate", "spoilt", "--cpu", "90%", "--baseline", "baseline.json"],
            &["baseline", "sound", "spoilt", "--output", "spoilt.json"],
            &["compare", "sound", "spoilt"],
            &["compare", "sound", "other", "--against", "spoilt", "results/swarm/r3"],
        ];
        if !wrong.beside {
            commands.push(&["gate", "spoilt", "--cpu", "90%"]);
        }
        for command in commands {
            let said = runs.meshlab(command);
            assert!(matches!(said.code, Some(4 | 5)), "{}, {command:?}: {}", wrong.name, said.text);
            let told = said.text.contains(wrong.says);
            assert!(told, "{}, {command:?}: {}", wrong.name, said.text);
            assert!(!said.text.contains("panicked"), "{}", said.text);
            table.push(format!("{}: {} ends with {}", wrong.name, command[0], said.code.unwrap()));
        }
        assert!(!runs.path("spoilt.json").exists(), "{}", wrong.name);
        fs::remove_dir_all(runs.path("spoilt")).unwrap();
    }
    table.dedup();
    insta::assert_snapshot!(table.join("\n"));
}

#[test]
fn what_is_no_comparison_is_refused() {
    let runs = Runs::new();
    for (arguments, code, says) in [
        (vec!["compare", "sound"], 2, "--against"),
        (vec!["compare", "sound", "nowhere"], 2, "there is no run at nowhere"),
        (vec!["compare", "sound", "sound"], 5, "on both sides"),
        (vec!["compare", "sound", "sound", "--against", "other"], 5, "is given twice"),
        (vec!["history", "nowhere"], 2, "there are no runs at"),
        (vec!["history", "swarm", "--metric", "rss p95, worst nodes"], 5, "did you mean"),
    ] {
        let said = runs.meshlab(&arguments);
        assert_eq!(said.code, Some(code), "{arguments:?}: {}", said.text);
        assert!(said.text.contains(says), "{arguments:?}: {}", said.text);
    }
    let said = runs.meshlab(&["history"]);
    assert!(
        said.code == Some(0) && said.text.contains("4 runs: 8 are the fewest"),
        "{}",
        said.text
    );
}

#[test]
fn a_service_gets_annotations_a_summary_and_files() {
    let runs = Runs::new();
    let summary = runs.path("summary.md");
    fs::write(&summary, "before\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshlab"));
    command.current_dir(runs.0.path()).env("GITHUB_ACTIONS", "true");
    command.env("GITHUB_STEP_SUMMARY", &summary);
    let arguments = ["gate", "sound", "--rss", "8MiB", "--comment", "c.md", "--junit", "j.xml"];
    let output = command.args(arguments).output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{out}");
    assert!(out.lines().any(|line| line.starts_with("::error file=")), "{out}");
    let summary = fs::read_to_string(summary).unwrap();
    assert!(summary.starts_with("before\n## Gate of swarm/"), "{summary}");
    assert!(fs::read_to_string(runs.path("c.md")).unwrap().contains("| failed | rss p95 of"));
    assert!(fs::read_to_string(runs.path("j.xml")).unwrap().contains("<failure"));
}
