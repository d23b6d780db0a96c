//! Where on this host control groups are, and where one can be made.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use crate::{Controller, Mark, cgroup::owner};

/// The kernel takes a group apart once its last process is gone from it.
const REMOVED_WITHIN: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(10);

/// A place below which a group can be made, as far as can be told without trying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parent {
    pub(crate) path: PathBuf,
    pub(crate) unified: bool,
}

/// A mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    point: PathBuf,
    /// The group that is at the mount point.
    root: PathBuf,
    /// Its controllers; none are named of the unified one, which lists them in each group.
    controllers: Vec<String>,
    unified: bool,
}

/// Places for a group, the best first.
pub(crate) fn parents(controller: Controller) -> Result<Vec<Parent>, String> {
    let (mounts, own) = (mounts()?, memberships("self")?);
    let mut parents = Vec::new();
    for mount in mounts.iter().filter(|mount| mount.unified) {
        let Some(own) = place(mount, &own) else { continue };
        let above = own.ancestors().take_while(|path| path.starts_with(&mount.point));
        // Only where the controller is handed on to the groups below is it of use there.
        parents.extend(
            above
                .filter(|path| lists(&path.join("cgroup.subtree_control"), controller))
                .map(|path| Parent { path: path.to_owned(), unified: true }),
        );
    }
    for mount in mounts.iter().filter(|mount| has(mount, controller)) {
        parents.extend(place(mount, &own).map(|path| Parent { path, unified: false }));
    }
    if parents.is_empty() {
        return Err(format!(
            "this host has no cgroup hierarchy that hands on the controller `{}` to groups below; \
             as root, or in a scope of its own (`systemd-run --user --scope -p Delegate=yes`), it \
             may",
            controller.as_str()
        ));
    }
    Ok(parents)
}

/// The group that a process is in, where that controller limits it.
pub(crate) fn group_of(pid: u32, controller: Controller) -> Result<PathBuf, String> {
    let (mounts, groups) = (mounts()?, memberships(&pid.to_string())?);
    let separate = mounts.iter().find(|mount| has(mount, controller));
    let mount = separate.or_else(|| mounts.iter().find(|mount| mount.unified));
    let place = mount.and_then(|mount| place(mount, &groups));
    place.ok_or_else(|| format!("the group of process {pid} is not in sight"))
}

/// Control groups of harnesses that are gone.
pub fn groups_left_behind() -> Vec<PathBuf> {
    named(|name| owner(name).is_some_and(|mark| !mark.is_of_live_harness()))
}

/// Control groups that a fleet has made and that are still there.
pub fn groups_of(fleet: Mark) -> Vec<PathBuf> {
    named(|name| owner(name) == Some(fleet))
}

/// Ends every process of a control group and removes the group.
///
/// # Errors
/// It is still there after 5 s.
pub fn remove_group(path: &Path) -> io::Result<()> {
    let deadline = Instant::now() + REMOVED_WITHIN;
    loop {
        let pids = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
        for pid in pids.lines().filter_map(|pid| pid.parse::<i32>().ok()) {
            // SAFETY: takes plain numbers.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        match fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => thread::sleep(AGAIN),
            Ok(()) => return Ok(()),
        }
    }
}

fn named(wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for mount in mounts().unwrap_or_default() {
        let mut open = vec![mount.point];
        while let Some(folder) = open.pop() {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                if entry.file_name().to_str().is_some_and(&wanted) {
                    found.push(entry.path());
                }
                open.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

fn has(mount: &Mount, controller: Controller) -> bool {
    mount.controllers.iter().any(|name| name == controller.as_str())
}

fn lists(file: &Path, controller: Controller) -> bool {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace().any(|name| name == controller.as_str())
}

/// Where in a mounted hierarchy the group is that `groups` tells of.
fn place(mount: &Mount, groups: &str) -> Option<PathBuf> {
    let group = groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (number, controllers) = (parts.next()?, parts.next()?);
        let fits = match mount.unified {
            true => number == "0" && controllers.is_empty(),
            false => controllers.split(',').any(|one| mount.controllers.iter().any(|c| c == one)),
        };
        fits.then(|| parts.next()).flatten()
    })?;
    // In a namespace the path is told from the namespace's root, which is what is mounted.
    let below = Path::new(group).strip_prefix(&mount.root).ok();
    let below = below.or_else(|| Path::new(group).strip_prefix("/").ok())?;
    let path = mount.point.join(below);
    path.is_dir().then_some(path)
}

fn memberships(pid: &str) -> Result<String, String> {
    let path = format!("/proc/{pid}/cgroup");
    fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))
}

fn mounts() -> Result<Vec<Mount>, String> {
    let path = "/proc/self/mountinfo";
    let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    Ok(text.lines().filter_map(mount).collect())
}

/// A line of mountinfo, if it is a hierarchy; see proc_pid_mountinfo(5).
fn mount(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut after = after.split(' ');
    let kind = after.next()?;
    let options = after.nth(1)?;
    let mut before = before.split(' ').skip(3);
    let (root, point) = (before.next()?.into(), before.next()?.into());
    match kind {
        "cgroup2" => Some(Mount { point, root, controllers: Vec::new(), unified: true }),
        "cgroup" => {
            let controllers = options.split(',').map(str::to_owned).collect();
            Some(Mount { point, root, controllers, unified: false })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_hierarchy_are_read() {
        let separate = mount("32 31 0:29 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu");
        let separate = separate.unwrap();
        assert_eq!(separate.point, Path::new("/sys/fs/cgroup/cpu"));
        assert!(has(&separate, Controller::Cpu) && !has(&separate, Controller::Memory));
        let unified = mount("31 23 0:28 /a /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate");
        let unified = unified.unwrap();
        assert!(unified.unified && unified.root == Path::new("/a"));
        assert_eq!(mount("31 23 0:28 / /proc rw - proc proc rw"), None);
        assert_eq!(mount("garbage"), None);
    }

    #[test]
    fn the_own_group_is_found_below_what_is_mounted() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("b/c")).unwrap();
        let of = |root: &str, controllers: &[&str]| Mount {
            point: folder.path().to_owned(),
            root: root.into(),
            controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
            unified: controllers.is_empty(),
        };
        let groups = "4:memory,cpu:/a/b\n0::/b/c\n";
        assert_eq!(place(&of("/a", &["cpu"]), groups), Some(folder.path().join("b")));
        assert_eq!(place(&of("/", &[]), groups), Some(folder.path().join("b/c")));
        assert_eq!(place(&of("/", &["pids"]), groups), None);
        assert_eq!(place(&of("/x", &["memory"]), groups), None, "what is not in sight");
    }

    #[test]
    fn a_group_names_its_fleet() {
        let mark = Mark::new();
        assert_eq!(owner(&format!("meshlab-{mark}-node-1-cpu-0")), Some(mark));
        for other in ["meshlab-12-345-6", "meshlab-x-1-1-a", "meshlab-", "meshlab", "user.slice"] {
            assert_eq!(owner(other), None, "{other}");
        }
    }
}
