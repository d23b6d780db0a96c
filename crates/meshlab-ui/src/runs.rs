//! The runs that there are.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use meshlab_engine::results::file;
use meshlab_model::Resource;
use serde_json::{Value, json};

/// Runs that are listed; the newest.
const RUNS_MAX: usize = 1000;

/// The most that a node may use at any sample.
pub type Ceilings = BTreeMap<Resource, f64>;

/// All runs below a folder `results/`, the newest first: name, scenario, start, verdict.
pub(crate) fn list(results: &Path, live: Option<&str>) -> Value {
    let folders = |path: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.path())
            .filter(|path| path.is_dir() && !path.is_symlink())
            .collect()
    };
    let mut runs: Vec<(u64, Value)> = folders(results)
        .iter()
        .flat_map(|scenario| folders(scenario))
        .filter_map(|folder| one(&folder, live))
        .collect();
    runs.sort_by_key(|(started, _)| std::cmp::Reverse(*started));
    let all = runs.len();
    let runs: Vec<Value> = runs.into_iter().take(RUNS_MAX).map(|(_, run)| run).collect();
    json!({ "runs": runs, "all": all })
}

fn one(folder: &Path, live: Option<&str>) -> Option<(u64, Value)> {
    let manifest = json_in(&folder.join(file::MANIFEST))?;
    let started = manifest.get("started_unix_nanos")?.as_u64()?;
    let name = name_of(folder)?;
    let summary = json_in(&folder.join(file::SUMMARY)).unwrap_or_default();
    let verdict = summary.get("verdict").cloned();
    let run = json!({
        "name": name, "scenario": manifest.get("scenario"), "seed": manifest.get("seed"),
        "commit": manifest.get("commit"), "started_unix_ms": started / 1_000_000,
        "verdict": verdict, "live": live == Some(name.as_str()),
    });
    Some((started, run))
}

fn json_in(path: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// `<scenario>/<run>`: the last two parts of its folder.
pub(crate) fn name_of(folder: &Path) -> Option<String> {
    let leaf = folder.file_name()?.to_str()?;
    let scenario = folder.parent()?.file_name()?.to_str()?;
    Some(format!("{scenario}/{leaf}"))
}

/// The folder of the run of that name, `<scenario>/<run>`, and no way out of `results`.
pub(crate) fn folder_of(results: &Path, name: &str) -> Option<PathBuf> {
    let mut parts = name.split('/');
    let (scenario, leaf) = (parts.next()?, parts.next()?);
    let sound = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains('\0');
    if parts.next().is_some() || !sound(scenario) || !sound(leaf) {
        return None;
    }
    let folder = results.join(scenario).join(leaf);
    // `latest` is a link to the newest.
    let folder = folder.canonicalize().ok()?;
    (folder.parent()?.parent()? == results.canonicalize().ok()?).then_some(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_listed_newest_first_and_names_lead_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let results = folder.path().join("results");
        for (name, started) in [("a/one", 1_u64), ("a/two", 3), ("b/one", 2)] {
            let run = results.join(name);
            fs::create_dir_all(&run).unwrap();
            let manifest = json!({ "scenario": "a", "started_unix_nanos": started * 1_000_000 });
            fs::write(run.join(file::MANIFEST), manifest.to_string()).unwrap();
        }
        fs::create_dir_all(results.join("b/none")).unwrap();
        fs::write(results.join("a/one/summary.json"), r#"{"verdict":{"is":"passed"}}"#).unwrap();
        std::os::unix::fs::symlink("two", results.join("a/latest")).unwrap();
        let all = list(&results, Some("b/one"));
        let names: Vec<&str> = all["runs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|run| run["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["a/two", "b/one", "a/one"]);
        assert_eq!(all["runs"][1]["live"], true);
        assert_eq!(all["runs"][2]["verdict"]["is"], "passed");
        let found = folder_of(&results, "a/latest").unwrap();
        assert_eq!(name_of(&found).unwrap(), "a/two");
        std::os::unix::fs::symlink("/", results.join("b/root")).unwrap();
        for name in ["a", "a/..", "../results/a", "a/one/x", "/a", "a/", "b/root", "a/gone"] {
            assert_eq!(folder_of(&results, name), None, "{name}");
        }
    }
}
