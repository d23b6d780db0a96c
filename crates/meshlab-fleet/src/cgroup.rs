//! Limits on what a process may use, by a control group of its own for as long as they last.
//!
//! Both versions of the kernel's interface are known: the unified hierarchy, and one hierarchy a
//! controller. `hierarchy.rs` finds where on this host a group can be made, `janitor.rs` removes
//! what a killed harness left.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use meshlab_model::NodeId;
use tokio::time::Instant;

use crate::{Mark, hierarchy, janitor::Janitor};

/// What the name of each group begins with.
const PREFIX: &str = "meshlab-";
/// The kernel takes a group apart once its last process is gone from it.
const REMOVED_WITHIN: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(5);

/// What a group limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controller {
    /// Time on a CPU.
    Cpu,
    /// Memory.
    Memory,
}

impl Controller {
    /// The kernel's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
        }
    }
}

/// Why a process cannot be limited. Completes "failed to ...".
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// This host lets nobody here make a group.
    #[error("make a cgroup: {0}")]
    Unavailable(String),
    /// A file of a group cannot be read or written.
    #[error("{what} {}: {error}", .path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The janitor that would remove it after a crash cannot be started or told.
    #[error("start the process that removes cgroups after a crash: {0}")]
    Janitor(io::Error),
    /// A group is still there although it was to be removed.
    #[error("remove the cgroup {}: {error}", .path.display())]
    Stays {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// Makes groups for one harness. The janitor starts with the first of them and ends with this.
#[derive(Debug)]
pub(crate) struct Cgroups {
    mark: Mark,
    janitor: Mutex<Option<Janitor>>,
    /// How many were made, so that each has a name of its own.
    made: AtomicU64,
}

impl Default for Cgroups {
    fn default() -> Self {
        Self { mark: Mark::new(), janitor: Mutex::default(), made: AtomicU64::new(0) }
    }
}

impl Cgroups {
    pub(crate) fn mark(&self) -> Mark {
        self.mark
    }

    fn tell(&self, tell: impl FnOnce(&mut Janitor) -> io::Result<()>) -> Result<(), CgroupError> {
        let mut janitor = self.janitor.lock().unwrap_or_else(PoisonError::into_inner);
        let janitor = match &mut *janitor {
            Some(janitor) => janitor,
            none => none.insert(Janitor::start().map_err(CgroupError::Janitor)?),
        };
        tell(janitor).map_err(CgroupError::Janitor)
    }

    /// Makes a group below the first of `parents` that takes one.
    fn make_below(
        self: &Arc<Self>,
        parents: &[hierarchy::Parent],
        name: &str,
    ) -> Result<Cgroup, CgroupError> {
        let mut refusals = Vec::new();
        for parent in parents {
            let path = parent.path.join(name);
            self.tell(|janitor| janitor.made(&path))?;
            match fs::create_dir(&path) {
                Ok(()) => {
                    let cgroups = Arc::clone(self);
                    return Ok(Cgroup { path, unified: parent.unified, cgroups });
                }
                Err(error) => {
                    self.tell(|janitor| janitor.gone(&path))?;
                    refusals.push(format!("{}: {error}", parent.path.display()));
                }
            }
        }
        Err(CgroupError::Unavailable(refusals.join("; ")))
    }
}

/// What the names of a fleet's groups begin with.
fn prefix(mark: Mark) -> String {
    format!("{PREFIX}{mark}-")
}

/// The fleet that a group of that name belongs to.
pub(crate) fn owner(name: &str) -> Option<Mark> {
    let rest = name.strip_prefix(PREFIX)?;
    let end = rest.match_indices('-').nth(2)?.0;
    Mark::parse(&rest[..end])
}

/// A group, empty unless something was moved into it.
#[derive(Debug)]
struct Cgroup {
    path: PathBuf,
    unified: bool,
    cgroups: Arc<Cgroups>,
}

/// A process in a group of its own. Dropped, it goes back to where it was and the group is
/// removed if the kernel does so at once; [`Confined::release`] waits for it and says if not.
#[derive(Debug)]
pub struct Confined {
    group: Cgroup,
    pid: u32,
    former: PathBuf,
    released: bool,
}

impl Confined {
    /// Makes a group and moves a process, with all its threads, into it.
    pub(crate) fn new(
        cgroups: &Arc<Cgroups>,
        controller: Controller,
        node: &NodeId,
        pid: u32,
    ) -> Result<Self, CgroupError> {
        let parents = hierarchy::parents(controller).map_err(CgroupError::Unavailable)?;
        let former = hierarchy::group_of(pid, controller).map_err(CgroupError::Unavailable)?;
        let number = cgroups.made.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}{node}-{}-{number}", prefix(cgroups.mark), controller.as_str());
        let group = cgroups.make_below(&parents, &name)?;
        let confined = Self { group, pid, former, released: false };
        confined.admit(pid)?;
        Ok(confined)
    }

    /// Whether the group is of the unified hierarchy, whose files have other names.
    pub fn is_unified(&self) -> bool {
        self.group.unified
    }

    /// Where the group is.
    pub fn path(&self) -> &Path {
        &self.group.path
    }

    /// Moves one more process in, which ends before this does.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub fn admit(&self, pid: u32) -> Result<(), CgroupError> {
        self.write("cgroup.procs", &pid.to_string())
    }

    /// Whether the process is in there, by the kernel's word.
    ///
    /// # Errors
    /// The group cannot be read.
    pub fn holds(&self, pid: u32) -> Result<bool, CgroupError> {
        let pids = self.read("cgroup.procs")?;
        Ok(pids.lines().any(|line| line.parse() == Ok(pid)))
    }

    /// What one of its files says, without the last line end.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self, file: &str) -> Result<String, CgroupError> {
        let path = self.group.path.join(file);
        let text = fs::read_to_string(&path);
        let text = text.map_err(|error| CgroupError::File { what: "read", path, error })?;
        Ok(text.trim_end().to_owned())
    }

    /// Writes to one of its files.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub fn write(&self, file: &str, text: &str) -> Result<(), CgroupError> {
        write(&self.group.path.join(file), text)
    }

    /// The number behind a word in one of its files.
    ///
    /// # Errors
    /// The file cannot be read, or has no such number.
    pub fn count(&self, file: &str, word: &str) -> Result<u64, CgroupError> {
        let text = self.read(file)?;
        let found = text.lines().find_map(|line| line.strip_prefix(word)?.trim().parse().ok());
        found.ok_or_else(|| CgroupError::File {
            what: "find a count in",
            path: self.group.path.join(file),
            error: io::Error::other(format!("no `{word}`")),
        })
    }

    /// Moves everything back to where the process was and removes the group.
    ///
    /// # Errors
    /// The group is still there after 5 s.
    pub async fn release(mut self) -> Result<(), CgroupError> {
        let deadline = Instant::now() + REMOVED_WITHIN;
        loop {
            match self.try_release() {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    fn try_release(&mut self) -> Result<(), CgroupError> {
        let procs = self.former.join("cgroup.procs");
        // Its own first, and its children, if it has any by now.
        let own = self.pid.to_string();
        let inside = self.read("cgroup.procs").unwrap_or_default();
        for pid in inside.lines().filter(|pid| *pid != own).chain([own.as_str()]) {
            // One that has ended meanwhile is not in there any more; the removal says if it is.
            let _ = write(&procs, pid);
        }
        let path = &self.group.path;
        match fs::remove_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(CgroupError::Stays { path: path.clone(), error });
            }
            _ => {}
        }
        self.released = true;
        self.group.cgroups.tell(|janitor| janitor.gone(path))
    }
}

impl Drop for Confined {
    fn drop(&mut self) {
        if !self.released {
            // What stays is the janitor's.
            let _ = self.try_release();
        }
    }
}

fn write(path: &Path, text: &str) -> Result<(), CgroupError> {
    let failed = |error| CgroupError::File { what: "write to", path: path.to_owned(), error };
    fs::write(path, text).map_err(failed)
}

#[cfg(test)]
#[path = "cgroup_tests.rs"]
mod tests;
