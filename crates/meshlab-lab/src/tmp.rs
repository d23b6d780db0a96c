//! A `/tmp` of a node's own, for programs that write there by name and would meet each other.

use std::{
    fs::{self, Permissions},
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::{Path, PathBuf},
};

use nix::mount::{MsFlags, mount, umount};

use crate::disk::mounts_under;

const TMP: &str = "/tmp";

/// The folder at the root of a node's disk that holds what it wrote to `/tmp`.
pub const OWN_TMP: &str = ".tmp";

/// Lays a file system over `/tmp` that shows the host's and takes writes to the disk whose root is
/// `disk`, in the mount namespace of this thread. `directory` is where that disk is mounted.
///
/// The host's is shown, because a program and what it is given may lie there: a run's folder, a
/// build.
pub(crate) fn make(disk: &OwnedFd, directory: &Path) -> Result<(), String> {
    // Links followed, as the kernel tells mounts: one may lead from elsewhere into it.
    let directory = &fs::canonicalize(directory).map_err(told("where the disk lies"))?;
    let tmp = &fs::canonicalize(TMP).map_err(told("where /tmp lies"))?;
    // What is mounted below it would be hidden, and somebody may need that.
    let below = mounts_under(tmp).map_err(told("the mounts of this host"))?;
    if let Some(other) = below.iter().find(|mount| *mount != tmp && *mount != directory) {
        return Err(format!("something is mounted at {}", other.display()));
    }
    // By the descriptor: such a path has no comma or colon, which an option could not hold.
    let root = PathBuf::from(format!("/proc/self/fd/{}", disk.as_raw_fd()));
    let (upper, work) = (root.join(OWN_TMP).join("written"), root.join(OWN_TMP).join("work"));
    for made in [&upper, &work] {
        fs::create_dir_all(made).map_err(told("a place for it on the disk"))?;
    }
    // As everybody's `/tmp`: whoever the program runs as may write, and delete its own.
    fs::set_permissions(&upper, Permissions::from_mode(0o1777)).map_err(told("its mode"))?;
    let options = format!("lowerdir={TMP},upperdir={},workdir={}", upper.display(), work.display());
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let over = |options: &str| mount(Some("meshlab"), tmp, Some("overlay"), flags, Some(options));
    // Without the right to extended attributes of the system, the user's do.
    over(&options)
        .or_else(|_| over(&format!("{options},userxattr")))
        .map_err(|error| format!("an overlay on {TMP}: {error}"))?;
    if directory.starts_with(tmp) {
        // The disk itself lies below what was just hidden.
        let bind = mount(Some(&root), directory, None::<&str>, MsFlags::MS_BIND, None::<&str>);
        bind.map_err(|error| {
            // With the host's `/tmp` the disk is seen again.
            let _ = umount(tmp);
            format!("the disk below {TMP}: {error}")
        })?;
    }
    Ok(())
}

fn told(what: &str) -> impl Fn(io::Error) -> String {
    move |error| format!("{what}: {error}")
}

#[cfg(test)]
mod tests {
    use meshlab_model::NodeId;

    use super::*;
    use crate::{DiskSettings, Lab, NodeNet, disk::tests::inside};

    fn node(lab: &Lab, name: &str, directory: &Path) -> NodeNet {
        fs::create_dir_all(directory).unwrap();
        let directory = directory.to_owned();
        let disk = DiskSettings { directory, bytes: 1024 * 1024, own_tmp: true };
        let net = lab.add_node_with_disk(&NodeId::from(name), &disk);
        net.expect("this host can make the lab: see `meshlab doctor`")
    }

    #[test]
    fn two_nodes_that_write_the_same_name_do_not_meet_and_the_host_sees_neither() {
        let lab = Lab::new(1).unwrap();
        // Below `/tmp` itself, so that disks and programs there are seen too.
        let folder = tempfile::tempdir_in(TMP).unwrap();
        fs::write(folder.path().join("of the host"), "x").unwrap();
        let name = folder.path().file_name().unwrap().to_str().unwrap();
        let lock = PathBuf::from(format!("{TMP}/{name}.lock"));
        let (a, b) = (folder.path().join("a, with: signs"), folder.path().join("b"));
        let (one, two) = (node(&lab, "a", &a), node(&lab, "b", &b));
        if let Some(why) = one.disk.as_ref().unwrap().not_own_tmp() {
            assert!(why.contains("an overlay on /tmp") || why.contains("is mounted at"), "{why}");
            eprintln!("SKIPPED: this host gives nodes no /tmp of their own: {why}");
            return;
        }
        inside(&one, || fs::write(&lock, "one").unwrap());
        inside(&two, || assert!(!lock.exists(), "it is the other's"));
        inside(&two, || fs::write(&lock, "two").unwrap());
        assert_eq!(inside(&one, || fs::read_to_string(&lock).unwrap()), "one");
        assert!(!lock.exists(), "the host has nothing of it");
        // Its disk is where it was, and what lies beside it is seen.
        inside(&one, || {
            fs::write(a.join("data"), "y").unwrap();
            assert_eq!(fs::read_to_string(folder.path().join("of the host")).unwrap(), "x");
        });
        let disk = one.disk.as_ref().unwrap().path();
        assert_eq!(fs::read_to_string(disk.join("data")).unwrap(), "y");
        let written = disk.join(OWN_TMP).join("written").join(lock.file_name().unwrap());
        assert_eq!(fs::read_to_string(written).unwrap(), "one");
        assert!(!a.join("data").exists());
        // What a node takes away is away for itself only.
        inside(&one, || fs::remove_file(folder.path().join("of the host")).unwrap());
        assert!(folder.path().join("of the host").exists());
    }

    #[test]
    fn a_disk_that_a_link_from_elsewhere_leads_to_is_not_hidden() {
        let lab = Lab::new(1).unwrap();
        let folder = tempfile::tempdir_in(TMP).unwrap();
        let elsewhere = tempfile::tempdir_in("/var/tmp").unwrap();
        let link = elsewhere.path().join("results");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        let directory = link.join("a");
        let net = node(&lab, "a", &directory);
        let disk = net.disk.as_ref().unwrap();
        inside(&net, || fs::write(directory.join("data"), "y").unwrap());
        assert_eq!(fs::read_to_string(disk.path().join("data")).unwrap(), "y");
        assert!(!directory.join("data").exists(), "the host has nothing of it");
    }
}
