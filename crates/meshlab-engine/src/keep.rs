//! Copies what a node left in its data directory into the record, within bounds: the node wrote
//! it, so it may be anything.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::{
        fd::AsRawFd,
        unix::fs::{OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use meshlab_lab::OWN_TMP;
use meshlab_model::ByteSize;

/// What a record keeps of all its nodes' data together, in bytes.
pub(crate) const KEPT_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Files and folders of one node that are looked at.
const ENTRIES_MAX: u32 = 1000;
/// Folders within folders that are looked at.
const DEPTH_MAX: u32 = 8;
/// Characters of a name that are kept.
const NAME_MAX: usize = 100;
/// In the folder of a node of which something was not kept: what, and why.
const LEFT_OUT: &str = "LEFT-OUT";

/// How a copy went.
struct Keeping {
    bytes_left: u64,
    entries_left: u32,
    left_out: String,
}

/// Copies regular files from one folder into another, which is made if there is anything to put
/// into it. Symlinks are not followed. Files that only their owner may read, such as keys, are
/// left out: a record is handed around. Returns the bytes that were copied, `bytes_max` at most.
///
/// # Errors
/// A folder cannot be read, or a copy cannot be written.
pub(crate) fn keep(from: &Path, to: &Path, bytes_max: u64) -> io::Result<u64> {
    keep_without(from, None, to, bytes_max)
}

/// The same of a node's disk: without what it wrote to `/tmp`, which may be copies of the host's
/// files and would take the place of what it wrote to its directory.
///
/// # Errors
/// As of [`keep`].
pub(crate) fn keep_disk(from: &Path, to: &Path, bytes_max: u64) -> io::Result<u64> {
    keep_without(from, Some(OWN_TMP), to, bytes_max)
}

fn keep_without(from: &Path, without: Option<&str>, to: &Path, bytes_max: u64) -> io::Result<u64> {
    let mut keeping =
        Keeping { bytes_left: bytes_max, entries_left: ENTRIES_MAX, left_out: String::new() };
    keeping.folder(&open(from, libc::O_DIRECTORY)?, without, to, DEPTH_MAX)?;
    if !keeping.left_out.is_empty() {
        fs::create_dir_all(to)?;
        fs::write(to.join(LEFT_OUT), &keeping.left_out)?;
    }
    Ok(bytes_max - keeping.bytes_left)
}

impl Keeping {
    fn folder(
        &mut self,
        from: &File,
        without: Option<&str>,
        to: &Path,
        depth: u32,
    ) -> io::Result<()> {
        // By descriptor: the path may name something else by now.
        let here = PathBuf::from(format!("/proc/self/fd/{}", from.as_raw_fd()));
        let mut names: Vec<_> =
            fs::read_dir(&here)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
        names.retain(|name| without.is_none_or(|without| name != without));
        names.sort();
        for name in names {
            let target = to.join(sanitized(&name.to_string_lossy()));
            if self.entries_left == 0 {
                self.leave_out(&target, "and what follows: too many files");
                return Ok(());
            }
            self.entries_left -= 1;
            let path = here.join(name);
            let kind = fs::symlink_metadata(&path)?.file_type();
            if kind.is_dir() && depth == 0 {
                self.leave_out(&target, "a folder too deep");
            } else if kind.is_dir() {
                self.folder(&open(&path, libc::O_DIRECTORY)?, None, &target, depth - 1)?;
            } else if kind.is_file() {
                self.file(open(&path, libc::O_NONBLOCK)?, &target)?;
            } else {
                self.leave_out(&target, "no regular file");
            }
        }
        Ok(())
    }

    fn file(&mut self, from: File, to: &Path) -> io::Result<()> {
        let facts = from.metadata()?;
        if facts.permissions().mode() & 0o077 == 0 {
            self.leave_out(to, "for its owner's eyes only");
        } else if facts.len() > self.bytes_left {
            let why = format!(
                "{} do not fit into the {} that a record keeps",
                ByteSize(facts.len()),
                ByteSize(KEPT_BYTES_MAX)
            );
            self.leave_out(to, &why);
        } else {
            if let Some(folder) = to.parent() {
                fs::create_dir_all(folder)?;
            }
            match OpenOptions::new().write(true).create_new(true).open(to) {
                Ok(mut copy) => {
                    let bytes = io::copy(&mut from.take(facts.len()), &mut copy)?;
                    copy.flush()?;
                    self.bytes_left -= bytes;
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    self.leave_out(to, "its name without special characters is taken");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn leave_out(&mut self, what: &Path, why: &str) {
        let name = what.file_name().unwrap_or_default().to_string_lossy();
        self.left_out.push_str(&format!("{name}: {why}\n"));
    }
}

fn open(path: &Path, flags: i32) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(flags | libc::O_NOFOLLOW).open(path)
}

/// A name that no shell, browser or terminal takes for anything else.
fn sanitized(name: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let name: String = name.chars().take(NAME_MAX).map(fit).collect();
    // No option of a program, and not the record's own word.
    if name.starts_with('-') || name == LEFT_OUT { format!("_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn folders() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir(&from).unwrap();
        (folder, from, to)
    }

    #[test]
    fn files_are_kept_with_their_folders_and_an_empty_one_leaves_nothing() {
        let (_folder, from, to) = folders();
        assert_eq!(keep(&from, &to, 100).unwrap(), 0);
        assert!(!to.exists());
        fs::create_dir_all(from.join("a/b")).unwrap();
        fs::write(from.join("a/b/c"), "hello").unwrap();
        fs::write(from.join("plain"), "x").unwrap();
        assert_eq!(keep(&from, &to, 100).unwrap(), 6);
        assert_eq!(fs::read_to_string(to.join("a/b/c")).unwrap(), "hello");
        assert!(!to.join(LEFT_OUT).exists());
    }

    #[test]
    fn what_it_wrote_to_tmp_is_not_kept_and_takes_no_room() {
        let (_folder, from, to) = folders();
        let (written, work) = (from.join(OWN_TMP).join("written"), from.join(OWN_TMP).join("work"));
        for folder in [&written, &work, &from.join("home")] {
            fs::create_dir_all(folder).unwrap();
        }
        for number in 0..ENTRIES_MAX {
            fs::write(written.join(format!("f{number}")), "of the host").unwrap();
        }
        assert_eq!(keep_disk(&from, &to, 100).unwrap(), 0);
        assert!(!to.exists(), "and it is not listed");
        fs::write(from.join("home/data"), vec![0; 100]).unwrap();
        // Only the harness makes the one at the root.
        fs::create_dir(from.join("home").join(OWN_TMP)).unwrap();
        fs::write(from.join("home").join(OWN_TMP).join("own"), "").unwrap();
        assert_eq!(keep_disk(&from, &to, 100).unwrap(), 100);
        assert!(to.join("home/data").exists() && to.join("home").join(OWN_TMP).exists());
        assert!(!to.join(OWN_TMP).exists() && !to.join(LEFT_OUT).exists());
    }

    #[test]
    fn a_directory_that_is_no_disk_is_kept_with_all_that_its_program_wrote() {
        let (_folder, from, to) = folders();
        fs::create_dir(from.join(OWN_TMP)).unwrap();
        fs::write(from.join(OWN_TMP).join("own"), "x").unwrap();
        assert_eq!(keep(&from, &to, 100).unwrap(), 1);
    }

    #[test]
    fn links_pipes_and_secrets_are_left_out_and_said() {
        let (_folder, from, to) = folders();
        symlink("/etc/hostname", from.join("link")).unwrap();
        symlink("/etc", from.join("linked-folder")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(from.join("socket")).unwrap();
        fs::write(from.join("key"), "secret").unwrap();
        fs::set_permissions(from.join("key"), fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(keep(&from, &to, 100).unwrap(), 0);
        let said = fs::read_to_string(to.join(LEFT_OUT)).unwrap();
        assert_eq!(said.lines().count(), 4, "{said}");
        assert!(said.contains("key: for its owner's eyes only"), "{said}");
        assert_eq!(fs::read_dir(&to).unwrap().count(), 1);
        assert!(keep(&from.join("linked-folder"), &to, 100).is_err(), "not even as the first");
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_what_does_is_kept() {
        let (_folder, from, to) = folders();
        fs::write(from.join("large"), vec![0; 101]).unwrap();
        fs::write(from.join("small"), vec![0; 100]).unwrap();
        assert_eq!(keep(&from, &to, 100).unwrap(), 100);
        let said = fs::read_to_string(to.join(LEFT_OUT)).unwrap();
        assert!(said.starts_with("large: 101"), "{said}");
        assert!(to.join("small").exists() && !to.join("large").exists());
    }

    #[test]
    fn too_many_and_too_deep_are_left_out() {
        let (_folder, from, to) = folders();
        let deep = from.join("d/d/d/d/d/d/d/d/d/d");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("x"), "x").unwrap();
        for number in 0..ENTRIES_MAX {
            fs::write(from.join(format!("f{number}")), "").unwrap();
        }
        keep(&from, &to, 100).unwrap();
        let said = fs::read_to_string(to.join(LEFT_OUT)).unwrap();
        assert!(said.contains("too deep") && said.contains("too many files"), "{said}");
    }

    #[test]
    fn names_lose_what_is_special() {
        assert_eq!(sanitized("a b/\u{1b}[31m"), "a_b___31m");
        assert_eq!(sanitized("-rf"), "_-rf");
        assert_eq!(sanitized(LEFT_OUT), "_LEFT-OUT");
        assert_eq!(sanitized(&"x".repeat(300)).len(), NAME_MAX);
        let (_folder, from, to) = folders();
        fs::write(from.join("a b"), "1").unwrap();
        fs::write(from.join("a\tb"), "2").unwrap();
        keep(&from, &to, 100).unwrap();
        assert!(fs::read_to_string(to.join(LEFT_OUT)).unwrap().contains("is taken"));
    }
}
