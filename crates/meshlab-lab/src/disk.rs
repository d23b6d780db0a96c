//! A disk of a node's own: a memory file system in its mount namespace, of a size that somebody
//! else can use up without hurting the host.

use std::{
    fs::{self, File},
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use nix::{
    mount::{MsFlags, mount},
    sys::statvfs::fstatvfs,
};

use crate::tmp;

/// What disk a node gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskSettings {
    /// Where the node sees it: an absolute path of a directory that exists. What the directory
    /// holds on the host is hidden from the node and stays as it is.
    pub directory: PathBuf,
    /// How much fits on it, in bytes; the kernel rounds up to whole pages.
    pub bytes: u64,
    /// Whether the node gets a `/tmp` of its own: it sees what the host's holds, and what it
    /// writes there goes to its disk.
    pub own_tmp: bool,
}

/// The disk of a node, as it is reached from outside: without entering the node's namespaces, and
/// whether or not the node runs. It lives as long as the node's place and this.
#[derive(Debug)]
pub struct Disk {
    root: OwnedFd,
    bytes: u64,
    not_own_tmp: Option<String>,
}

impl Disk {
    /// Its root directory, as a path that this process can use as long as this value lives.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.root.as_raw_fd()))
    }

    /// What fits on it, in bytes, as it was asked for.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Why the node shares `/tmp` with the host, though it was to have its own.
    pub fn not_own_tmp(&self) -> Option<&str> {
        self.not_own_tmp.as_deref()
    }

    /// What still fits on it, in bytes.
    ///
    /// # Errors
    /// The system does not say.
    pub fn free_bytes(&self) -> io::Result<u64> {
        let facts = fstatvfs(&self.root)?;
        Ok(facts.blocks_available() as u64 * facts.fragment_size() as u64)
    }
}

/// Mounts a disk, in the mount namespace of this thread. That namespace must be one of its own
/// with private mounts, or the disk shows on the host.
pub(crate) fn make(settings: &DiskSettings) -> io::Result<Disk> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let options = format!("size={},mode=0755", settings.bytes);
    mount(Some("meshlab"), &settings.directory, Some("tmpfs"), flags, Some(options.as_str()))?;
    // Opened after the mount, so it is the root of what was mounted.
    let root = File::open(&settings.directory)?.into();
    // Beyond the disk this is a comfort that not every host can give.
    let own_tmp = if settings.own_tmp { tmp::make(&root, &settings.directory) } else { Ok(()) };
    Ok(Disk { root, bytes: settings.bytes, not_own_tmp: own_tmp.err() })
}

/// Mount points of this process's own namespace that are at or below `directory`. A disk of a node
/// is never among them.
///
/// # Errors
/// The kernel does not tell its mounts.
pub fn mounts_under(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let text = fs::read_to_string("/proc/self/mountinfo")?;
    let points = text.lines().filter_map(|line| line.split(' ').nth(4)).map(unescaped);
    Ok(points.filter(|point| point.starts_with(directory)).collect())
}

/// A path of mountinfo, where blanks, tabs, line ends and backslashes are three octal digits.
fn unescaped(field: &str) -> PathBuf {
    let mut path = String::new();
    let mut rest = field;
    while let Some((before, after)) = rest.split_once('\\') {
        path.push_str(before);
        let digits = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match digits {
            Some(byte) => {
                path.push(char::from(byte));
                rest = &after[3..];
            }
            None => {
                path.push('\\');
                rest = after;
            }
        }
    }
    path.push_str(rest);
    PathBuf::from(path)
}

#[cfg(test)]
pub(crate) mod tests {
    use meshlab_model::NodeId;

    use super::*;
    use crate::{Lab, NodeNet};

    fn node_with_disk(lab: &Lab, directory: &Path, bytes: u64) -> NodeNet {
        let disk = DiskSettings { directory: directory.to_owned(), bytes, own_tmp: false };
        let made = lab.add_node_with_disk(&NodeId::from("a"), &disk);
        made.expect("this host can make the lab: see `meshlab doctor`")
    }

    /// Does `work` on a thread in the node's mount namespace.
    pub(crate) fn inside<T: Send>(net: &NodeNet, work: impl FnOnce() -> T + Send) -> T {
        let namespace = net.mount_ns.as_raw_fd();
        std::thread::scope(|scope| {
            let worker = scope.spawn(move || {
                // SAFETY: concern this thread only, which shares no file system state from here
                // on; the descriptor outlives the scope.
                let entered = unsafe {
                    libc::unshare(libc::CLONE_FS) == 0
                        && libc::setns(namespace, libc::CLONE_NEWNS) == 0
                };
                assert!(entered, "{}", io::Error::last_os_error());
                work()
            });
            worker.join().unwrap()
        })
    }

    #[test]
    fn the_node_and_the_harness_see_one_disk_and_the_host_sees_none() {
        let lab = Lab::new(1).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("of the host"), "x").unwrap();
        let net = node_with_disk(&lab, folder.path(), 1024 * 1024);
        let disk = net.disk.as_ref().unwrap();
        let file = folder.path().join("by the node");
        inside(&net, || fs::write(&file, "hello").unwrap());
        assert_eq!(fs::read_to_string(disk.path().join("by the node")).unwrap(), "hello");
        fs::write(disk.path().join("by the harness"), "yes").unwrap();
        let seen = inside(&net, || {
            let other = fs::read_to_string(folder.path().join("by the harness")).unwrap();
            (other, folder.path().join("of the host").exists())
        });
        assert_eq!(seen, ("yes".to_owned(), false));
        assert!(!file.exists(), "the host's directory has nothing of it");
        assert_eq!(mounts_under(folder.path()).unwrap(), Vec::<PathBuf>::new());
    }

    #[test]
    fn no_more_fits_than_was_asked_for() {
        let lab = Lab::new(1).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let net = node_with_disk(&lab, folder.path(), 256 * 1024);
        let disk = net.disk.as_ref().unwrap();
        assert!((200 * 1024..=256 * 1024).contains(&disk.free_bytes().unwrap()));
        let error = fs::write(disk.path().join("large"), vec![1; 300 * 1024]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
        assert_eq!(disk.free_bytes().unwrap(), 0);
    }

    #[test]
    fn a_directory_that_is_not_there_is_named_by_what_failed() {
        let lab = Lab::new(1).unwrap();
        let disk = DiskSettings { directory: "/nowhere/at/all".into(), bytes: 4096, own_tmp: true };
        let error = lab.add_node_with_disk(&NodeId::from("a"), &disk).unwrap_err().to_string();
        assert!(error.contains("a disk of its own") && error.contains("No such file"), "{error}");
    }

    #[test]
    fn a_mount_on_the_host_is_found_by_its_path() {
        let proc = mounts_under(Path::new("/proc")).unwrap();
        assert!(proc.contains(&PathBuf::from("/proc")), "{proc:?}");
        assert!(mounts_under(Path::new("/nowhere")).unwrap().is_empty());
        assert_eq!(unescaped(r"/a\040b\134c"), Path::new(r"/a b\c"));
        assert_eq!(unescaped(r"/a\04"), Path::new(r"/a\04"));
    }
}
