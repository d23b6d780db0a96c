//! Where a run's files go.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// The folders of one run, made so that no other run can have the same.
#[derive(Debug, Clone)]
pub struct RunFolder {
    /// `<scenario>/<utc>-s<seed>`: the same under results, reports and profiles.
    pub name: String,
    /// `results/<name>`, absolute.
    pub results: PathBuf,
    /// `reports/<name>`, absolute; made when a report is drawn.
    pub reports: PathBuf,
    /// `profiles/<name>`, absolute; made when the first profile is taken.
    pub profiles: PathBuf,
}

impl RunFolder {
    /// Makes `<output>/results/<scenario>/<utc>-s<seed>` and points `latest` beside it at it. Two
    /// runs in the same second get `-2`, `-3` and so on.
    ///
    /// # Errors
    /// A folder cannot be made.
    pub fn create(
        output: &Path,
        scenario: &str,
        seed: u64,
        now: jiff::Timestamp,
    ) -> io::Result<Self> {
        let output = std::path::absolute(output)?;
        let family = output.join("results").join(scenario);
        fs::create_dir_all(&family)?;
        let stem = format!("{}-s{seed}", now.strftime("%Y%m%dT%H%M%SZ"));
        for attempt in 1..1000 {
            let leaf = if attempt == 1 { stem.clone() } else { format!("{stem}-{attempt}") };
            let results = family.join(&leaf);
            match fs::create_dir(&results) {
                Ok(()) => {
                    point_latest(&family, &leaf)?;
                    let name = format!("{scenario}/{leaf}");
                    let reports = output.join("reports").join(&name);
                    let profiles = output.join("profiles").join(&name);
                    return Ok(Self { name, results, reports, profiles });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{stem} exists 1000 times")))
    }
}

impl RunFolder {
    /// The folders of a run that is there already, by that of its record. One that does not lie
    /// under `results/` has its report and profiles inside itself.
    ///
    /// # Errors
    /// There is no such folder.
    pub fn of(results: &Path, name: &str) -> io::Result<Self> {
        let results = results.canonicalize()?;
        let output = || {
            let all = results.parent()?.parent()?;
            let scenario = results.parent()?.file_name()?;
            let own = Path::new(scenario).join(results.file_name()?);
            (all.file_name()? == "results").then_some((all.parent()?.to_owned(), own))
        };
        let (reports, profiles) = match output() {
            Some((output, own)) => {
                (output.join("reports").join(&own), output.join("profiles").join(own))
            }
            None => (results.join("report"), results.join("profiles")),
        };
        Ok(Self { name: name.to_owned(), results, reports, profiles })
    }
}

/// Points `<family>/latest` at `leaf`, replacing an older link in one step.
///
/// # Errors
/// The link cannot be made, or something that is no link bears its name.
pub fn point_latest(family: &Path, leaf: &str) -> io::Result<()> {
    // A name that no other run takes meanwhile, of this process or another.
    static LINKS: AtomicU64 = AtomicU64::new(0);
    let link = LINKS.fetch_add(1, Ordering::Relaxed);
    let fresh = family.join(format!(".latest-{}-{link}", std::process::id()));
    let _ = fs::remove_file(&fresh);
    std::os::unix::fs::symlink(leaf, &fresh)?;
    fs::rename(&fresh, family.join("latest"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_of_one_second_do_not_share_a_folder() {
        let output = tempfile::tempdir().unwrap();
        let now = jiff::Timestamp::from_second(1_800_000_000).unwrap();
        let first = RunFolder::create(output.path(), "swarm", 7, now).unwrap();
        let second = RunFolder::create(output.path(), "swarm", 7, now).unwrap();
        assert_eq!(first.name, "swarm/20270115T080000Z-s7");
        assert_eq!(second.name, "swarm/20270115T080000Z-s7-2");
        let latest = fs::read_link(output.path().join("results/swarm/latest")).unwrap();
        assert_eq!(latest, Path::new("20270115T080000Z-s7-2"));
        let found =
            RunFolder::of(&output.path().join("results/swarm/latest"), &second.name).unwrap();
        let real = output.path().canonicalize().unwrap();
        assert_eq!(found.reports, real.join("reports/swarm/20270115T080000Z-s7-2"));
        assert_eq!(found.name, second.name);
        let copied = output.path().join("copy");
        fs::create_dir(&copied).unwrap();
        assert_eq!(RunFolder::of(&copied, "swarm/x").unwrap().reports, real.join("copy/report"));
    }
}
