//! Nodes that sample themselves, from the start of a process to its end: where `perf` cannot.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use meshlab_model::NodeId;
use meshlab_profile::{Folded, Names};
use meshlab_wire::env;

use super::{Drawing, ITSELF, Profiles, raw};
use crate::engine::{Shared, lock};

/// Samples in a second of CPU time, at most: the tick of the kernels that tick least. Asked for
/// more, a node would say that it used less than it did.
pub(super) const HZ_MAX: u32 = 100;

/// A process that was told to sample itself.
#[derive(Debug)]
pub(super) struct Lasting {
    node: NodeId,
    program: PathBuf,
    /// What it adds its stacks to; not there if it does not know how.
    path: PathBuf,
}

/// Says that nodes sample themselves, and why, if they do.
pub(crate) fn tell(shared: &Shared) {
    let profile = &shared.config.profile;
    if let Some(why) = profile.no_perf.as_ref().filter(|_| profile.cpu_hz.is_some()) {
        shared.warn(format!(
            "{why}; so the nodes sample themselves, those whose program links the agent"
        ));
    }
}

/// Has a process that is about to be started sample itself, if the run wants that.
pub(super) fn prepare(
    shared: &Shared,
    node: &NodeId,
    program: &str,
    environment: &mut BTreeMap<String, String>,
) {
    let profile = &shared.config.profile;
    let Some(hz) = profile.cpu_hz.filter(|_| profile.no_perf.is_some()) else { return };
    let raw = raw(&shared.folder.profiles);
    if let Err(error) = fs::create_dir_all(&raw) {
        return shared.warn(format!("{node} is not profiled: {}: {error}", raw.display()));
    }
    let mut profiles = lock(&shared.profiles);
    let path = raw.join(format!("{node}.{}.addresses", profiles.itself.len()));
    environment.insert(env::CPU_STACKS.to_owned(), path.display().to_string());
    environment.insert(env::CPU_HZ.to_owned(), hz.min(HZ_MAX).to_string());
    let (node, program) = (node.clone(), PathBuf::from(program));
    profiles.itself.push(Lasting { node, program, path });
}

/// Takes note of the program of a process that is ready: the one that was started may have been a
/// script which called it.
pub(crate) fn ready(shared: &Shared, node: &NodeId, pid: u32) {
    let mut profiles = lock(&shared.profiles);
    let Some(newest) = profiles.itself.iter_mut().rfind(|one| one.node == *node) else { return };
    if let Ok(program) = fs::canonicalize(format!("/proc/{pid}/exe")) {
        newest.program = program;
    }
}

impl Profiles {
    /// What the newest process of a node adds its stacks to, if it samples itself all the time.
    pub(super) fn lasting(&self, node: &NodeId) -> Option<PathBuf> {
        let newest = self.itself.iter().rfind(|lasting| lasting.node == *node)?;
        Some(newest.path.clone())
    }
}

impl Drawing {
    pub(super) fn cpu_by_itself(&mut self, hz: u32, all: Vec<Lasting>) {
        let mut by_node: BTreeMap<NodeId, Folded> = BTreeMap::new();
        let mut names: BTreeMap<PathBuf, Names> = BTreeMap::new();
        let mut missing = BTreeSet::new();
        for Lasting { node, program, path } in all {
            let names = names.entry(program.clone()).or_default();
            match read(&path, 0, u64::MAX).and_then(|stacks| named(names, &program, &stacks)) {
                Ok(stacks) => by_node.entry(node).or_default().merge(&stacks, None),
                Err(error) => {
                    self.problems.push(format!("{node} is not profiled: {error}"));
                    missing.insert(node);
                }
            }
        }
        let missing: Vec<NodeId> = missing.into_iter().collect();
        self.draw_cpu(&by_node, hz.min(HZ_MAX), ITSELF, &missing);
    }
}

fn named(names: &mut Names, program: &Path, stacks: &Folded) -> Result<Folded, String> {
    names.name(program, stacks).map_err(|error| error.to_string())
}

/// The stacks that a process added from one place in its file to another, of whole lines: it may
/// have been killed in the middle of one.
pub(super) fn read(path: &Path, from: u64, to: u64) -> Result<Folded, String> {
    let text = fs::read(path).map_err(|error| {
        format!(
            "it did not sample itself ({}: {error}); its program does not link the agent, or ended \
             at once",
            path.display()
        )
    })?;
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(text.len());
    let part = text.get(place(from)..place(to)).unwrap_or_default();
    let whole = part.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let text = String::from_utf8_lossy(&part[..whole]);
    Folded::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use meshlab_model::{NetworkMode::Host, RunEventKind};

    use super::*;
    use crate::fixture::Bench;

    #[test]
    fn of_a_process_that_was_killed_the_whole_lines_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.addresses");
        fs::write(&path, "0x1;0x2 3\n0x1 1\n0x1;0x2 1").unwrap();
        let said = |from, to| read(&path, from, to).map(|stacks| stacks.to_string());
        assert_eq!(said(0, u64::MAX).unwrap(), "0x1 1\n0x1;0x2 3\n");
        assert_eq!(said(10, u64::MAX).unwrap(), "0x1 1\n");
        assert_eq!(said(0, 12).unwrap(), "0x1;0x2 3\n");
        assert_eq!(said(90, 99).unwrap(), "");
        fs::write(&path, "no stack\n").unwrap();
        assert!(said(0, 99).unwrap_err().contains("x.addresses: line 1 is no folded stack"));
        let error = read(&folder.path().join("none"), 0, 1).unwrap_err();
        assert!(error.contains("does not link the agent"), "{error}");
    }

    #[tokio::test]
    async fn without_perf_and_without_the_agent_each_node_is_named_as_not_profiled() {
        let forbidden = |config: &mut crate::RunConfig| {
            config.profile.cpu_hz = Some(999);
            config.profile.no_perf = Some("`perf record` failed: not allowed".to_owned());
        };
        let bench = Bench::start_with(Host, 2, forbidden).await;
        let (record, _folder) = bench.finish_with_record().await;
        let warnings: Vec<&str> = record
            .events
            .iter()
            .filter_map(|event| match &event.kind {
                RunEventKind::Warning { text } => Some(text.as_str()),
                RunEventKind::ProfileTaken { .. } => panic!("a profile of nothing"),
                _ => None,
            })
            .collect();
        let all = warnings.join("\n");
        assert!(all.contains("not allowed; so the nodes sample themselves"), "{all}");
        for node in ["node-1", "node-2"] {
            let wanted = format!("{node} is not profiled: it did not sample itself");
            assert!(all.contains(&wanted), "{all}");
        }
    }
}
