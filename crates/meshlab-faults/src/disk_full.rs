//! `disk_full`: fills a node's disk to the last block with a ballast file, and removes that.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use meshlab_lab::Disk;
use meshlab_model::{ByteSize, NodeId};
use meshlab_wire::{State, span};
use nix::fcntl::{FallocateFlags, fallocate};
use tokio::time::Instant;

use crate::{
    Applied, Evidence, Fault, FaultError, Hurts, Sign, Target, Undo, fault::DEATH, undo::Rollback,
};

const NAME: &str = "disk_full";

/// Most bytes of ballast where the scenario does not say: a disk of the default size.
const LIMIT: u64 = 64 * 1024 * 1024;
/// On the node's disk; no node has a reason for files of these names.
const BALLAST: &str = ".meshlab-ballast";
const TRY: &str = ".meshlab-try";
/// Less than this is not asked for at once: it is one block of a memory file system.
const BLOCK: u64 = 4096;
/// A node may free a block just then; it does not go on for ever.
const FULL_WITHIN: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(5);

/// Fills a node's disk. The node lives on, and what it writes fails.
#[derive(Debug, Clone, Copy)]
pub struct DiskFull;

#[async_trait]
impl Fault for DiskFull {
    fn name(&self) -> &'static str {
        NAME
    }

    fn hurts(&self) -> Hurts {
        Hurts::Process
    }

    fn evidence(&self) -> Evidence {
        Evidence::Spans {
            any_of: &[Sign { span: span::STATE_HEARD, state: Some(State::Degraded), after: None }],
            // The node finds it out with its next digest and says so at once; the rest is the
            // way of the span.
            slack: Duration::from_secs(2),
            none_of: DEATH,
        }
    }

    async fn apply(&self, target: &Target) -> Result<Applied, FaultError> {
        let victim = target.one(NAME)?;
        let Some(disk) = victim.disk.clone() else {
            let why = "the node's data is in a plain directory of this host (`--network host`), \
                       and filling that would fill the host's disk";
            return Err(FaultError::Unavailable { fault: NAME, why: why.to_owned() });
        };
        let node = victim.node.clone();
        let failed = |error: io::Error| FaultError::Refused {
            fault: NAME,
            on: victim.node.to_string(),
            why: error.to_string(),
        };
        let limit = target.settings.disk_limit.unwrap_or(LIMIT);
        let free = disk.free_bytes().map_err(failed)?;
        if free > limit {
            return Err(failed(io::Error::other(format!(
                "{} are free on its disk, and at most {} of ballast are written; give the mesh a \
                 smaller `disk`, or the fault a larger `limit`",
                ByteSize(free),
                ByteSize(limit)
            ))));
        }
        let ballast = disk.path().join(BALLAST);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let file = options.open(&ballast).map_err(failed)?;
        let kept = Arc::clone(&disk);
        let rollback = Rollback::new(move || {
            let _ = fs::remove_file(kept.path().join(BALLAST));
        });
        let witness = fill(&node, &disk, &file, limit, FULL_WITHIN).await?;
        rollback.keep();
        let undo = Undo::needed("ballast removed, and a write succeeds", move || async move {
            empty(&node, &disk)
        });
        Ok(Applied { witness, undo: Some(undo) })
    }
}

/// Adds ballast until the witness has seen that the disk is full: a new file cannot be written.
async fn fill(
    node: &NodeId,
    disk: &Disk,
    ballast: &File,
    limit: u64,
    within: Duration,
) -> Result<String, FaultError> {
    let refused = |error: io::Error| FaultError::Refused {
        fault: NAME,
        on: node.to_string(),
        why: format!("its ballast: {error}"),
    };
    let deadline = Instant::now() + within;
    let mut bytes = 0;
    loop {
        bytes = grow(ballast, bytes, limit).map_err(refused)?;
        match try_write(disk) {
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                let bytes = ByteSize(bytes);
                return Ok(format!("{bytes} of ballast; writing a new file fails with ENOSPC"));
            }
            Err(error) => return Err(refused(error)),
            Ok(()) if Instant::now() >= deadline => {
                return Err(FaultError::NotWitnessed {
                    fault: NAME,
                    on: node.to_string(),
                    missing: format!(
                        "a new file can still be written beside {} of ballast",
                        ByteSize(bytes)
                    ),
                    within,
                });
            }
            Ok(()) => tokio::time::sleep(AGAIN).await,
        }
    }
}

/// Makes the file larger until the disk refuses a block more, or it has `limit` bytes.
fn grow(file: &File, mut bytes: u64, limit: u64) -> io::Result<u64> {
    let mut step = limit.next_power_of_two();
    while step >= BLOCK && bytes < limit {
        let length = step.min(limit - bytes);
        match fallocate(file, FallocateFlags::empty(), bytes as i64, length as i64) {
            Ok(()) => bytes += length,
            Err(nix::errno::Errno::ENOSPC) => step /= 2,
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(bytes)
}

/// Writes a new file of a block, and removes it.
fn try_write(disk: &Disk) -> io::Result<()> {
    let path: PathBuf = disk.path().join(TRY);
    let block = [1; BLOCK as usize];
    let written = File::create(&path).and_then(|mut file| file.write_all(&block));
    let removed = fs::remove_file(&path);
    written.and(removed)
}

fn empty(node: &NodeId, disk: &Disk) -> Result<(), FaultError> {
    let failed = |error: io::Error| FaultError::Undo {
        fault: NAME,
        on: node.to_string(),
        why: error.to_string(),
    };
    let ballast = disk.path().join(BALLAST);
    // A process that is just being started may still hold the file open for a moment: what is
    // removed then goes on taking its room, and what is cut off does not.
    // The disk is the node's: what is a link there by now is not followed.
    let mut options = OpenOptions::new();
    if let Ok(file) = options.write(true).custom_flags(libc::O_NOFOLLOW).open(&ballast) {
        file.set_len(0).map_err(failed)?;
    }
    match fs::remove_file(ballast) {
        // The node itself made room.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        removed => removed.map_err(failed)?,
    }
    try_write(disk).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Revived, Settings,
        fixture::{Sleeper, sleeper_with_disk},
    };

    const DISK: u64 = 1024 * 1024;
    const SOON: Duration = Duration::from_millis(50);

    fn nobody() -> Result<Revived, String> {
        Err("a full disk starts nothing".to_owned())
    }

    fn disk(one: &Sleeper) -> Arc<Disk> {
        one.victim.disk.clone().unwrap()
    }

    #[tokio::test]
    async fn it_fills_the_disk_is_witnessed_and_makes_room_again() {
        let one = sleeper_with_disk(DISK).await;
        let disk = disk(&one);
        fs::write(disk.path().join("identity"), "whole").unwrap();
        let applied = DiskFull.apply(&one.target(nobody())).await.unwrap();
        assert!(applied.witness.ends_with("fails with ENOSPC"), "{applied:?}");
        assert_eq!(disk.free_bytes().unwrap(), 0);
        let error = fs::write(disk.path().join("new"), "x").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
        let undo = applied.undo.unwrap();
        assert!(undo.is_needed());
        undo.carry_out().await.unwrap();
        fs::write(disk.path().join("new"), "x").unwrap();
        assert_eq!(fs::read_to_string(disk.path().join("identity")).unwrap(), "whole");
        let names = fs::read_dir(disk.path()).unwrap().count();
        assert_eq!(names, 2, "nothing of the fault is left");
    }

    #[tokio::test]
    async fn a_disk_with_room_is_no_witness() {
        let one = sleeper_with_disk(DISK).await;
        let disk = disk(&one);
        let ballast = File::create(disk.path().join(BALLAST)).unwrap();
        let filled = fill(&one.victim.node, &disk, &ballast, DISK / 2, SOON).await;
        let error = filled.unwrap_err().to_string();
        assert!(error.contains("can still be written beside 512.0 KiB"), "{error}");
    }

    #[tokio::test]
    async fn a_disk_larger_than_the_limit_is_refused_and_left_alone() {
        let one = sleeper_with_disk(DISK).await;
        let mut target = one.target(nobody());
        target.settings = Settings { disk_limit: Some(DISK / 2), ..Settings::default() };
        let error = DiskFull.apply(&target).await.unwrap_err().to_string();
        assert!(error.contains("at most 512.0 KiB of ballast"), "{error}");
        assert_eq!(fs::read_dir(disk(&one).path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_node_without_a_disk_of_its_own_is_spared() {
        let one = crate::fixture::sleeper("exec sleep 600").await;
        let error = DiskFull.apply(&one.target(nobody())).await.unwrap_err();
        assert!(matches!(error, FaultError::Unavailable { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_disk_that_stays_full_fails_its_undo() {
        let one = sleeper_with_disk(DISK).await;
        let disk = disk(&one);
        let _ = fs::write(disk.path().join("by the node"), vec![1; 2 * DISK as usize]);
        let error = empty(&one.victim.node, &disk).unwrap_err().to_string();
        assert!(error.starts_with("undo disk_full on node-1: No space left"), "{error}");
        // What a parallel test starts may hold the file for a moment; what is cut off is free.
        fs::write(disk.path().join("by the node"), "").unwrap();
        fs::remove_file(disk.path().join("by the node")).unwrap();
        empty(&one.victim.node, &disk).unwrap();
    }
}
