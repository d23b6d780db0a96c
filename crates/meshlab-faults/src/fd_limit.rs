//! `fd_limit`: lets a node have so many open files and no more.

use std::{io, mem};

use async_trait::async_trait;
use meshlab_fleet::Process;

use crate::{
    Applied, Evidence, Fault, FaultError, Hurts, Target, Undo, Victim, fault::DEATH,
    limits::refused, undo::Rollback,
};

const NAME: &str = "fd_limit";

/// Limits the files that a node's process may have open. It keeps those that it has, if they are
/// more.
#[derive(Debug, Clone, Copy)]
pub struct FdLimit;

#[async_trait]
impl Fault for FdLimit {
    fn name(&self) -> &'static str {
        NAME
    }

    fn hurts(&self) -> Hurts {
        Hurts::Process
    }

    fn evidence(&self) -> Evidence {
        let why = "what it has open stays open, and a node that cannot open more is not dead";
        Evidence::Unnoticed { none_of: DEATH, why }
    }

    async fn apply(&self, target: &Target) -> Result<Applied, FaultError> {
        let victim = target.one(NAME)?.clone();
        let unset = FaultError::NotSet { fault: NAME, setting: "files" };
        let files = target.settings.files.ok_or(unset)?;
        let failed = |error: io::Error| refused(NAME, &victim.node, error.to_string());
        let former = limits(&victim.process).map_err(failed)?;
        if files >= former.rlim_cur {
            let why =
                format!("{files} open files limit nothing: {} are its limit", former.rlim_cur);
            return Err(refused(NAME, &victim.node, why));
        }
        set(&victim.process, &libc::rlimit { rlim_cur: files, ..former }).map_err(failed)?;
        let process = victim.process.clone();
        let rollback = Rollback::new(move || {
            let _ = set(&process, &former);
        });
        let witness = reads_back(&victim, files)?;
        rollback.keep();
        let undo = Undo::needed("former limit set, and read back", move || async move {
            restore(&victim, former)
        });
        Ok(Applied { witness, undo: Some(undo) })
    }
}

/// The witness: the kernel's own list of the limits of this process.
fn reads_back(victim: &Victim, files: u64) -> Result<String, FaultError> {
    let pid = victim.process.pid();
    let path = format!("/proc/{pid}/limits");
    let text = std::fs::read_to_string(&path);
    let text = text.map_err(|error| refused(NAME, &victim.node, format!("{path}: {error}")))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"));
    let found = line.and_then(|line| line.split_whitespace().next()).unwrap_or("none");
    if found != files.to_string() {
        let why = format!("the kernel reads the limit back as {found}, not {files}");
        return Err(refused(NAME, &victim.node, why));
    }
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    Ok(format!("the kernel reads back {files} open files for pid {pid}; {open} are open"))
}

fn restore(victim: &Victim, former: libc::rlimit) -> Result<(), FaultError> {
    let failed = |why: String| FaultError::Undo { fault: NAME, on: victim.node.to_string(), why };
    if victim.process.exit().is_some() {
        // A limit ends with its process.
        return Ok(());
    }
    set(&victim.process, &former).map_err(|error| failed(error.to_string()))?;
    let now = limits(&victim.process).map_err(|error| failed(error.to_string()))?;
    if now.rlim_cur == former.rlim_cur {
        Ok(())
    } else {
        Err(failed(format!("the limit is {}, and was {}", now.rlim_cur, former.rlim_cur)))
    }
}

fn limits(process: &Process) -> io::Result<libc::rlimit> {
    // SAFETY: all zeroes is a value of this structure of two numbers.
    let mut now: libc::rlimit = unsafe { mem::zeroed() };
    let pid = process.pid() as libc::pid_t;
    // SAFETY: the new limit may be absent, the old one is valid for writes.
    let got = unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, std::ptr::null(), &raw mut now) };
    if got == 0 { Ok(now) } else { Err(io::Error::last_os_error()) }
}

fn set(process: &Process, limit: &libc::rlimit) -> io::Result<()> {
    let pid = process.pid() as libc::pid_t;
    // SAFETY: the new limit is valid for reads, the old one may be absent.
    let done = unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, limit, std::ptr::null_mut()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Revived, Settings, fixture::sleeper};

    fn nobody() -> Result<Revived, String> {
        Err("a limit starts nothing".to_owned())
    }

    #[tokio::test]
    async fn it_limits_is_witnessed_and_is_taken_back() {
        let one = sleeper("exec sleep 600").await;
        let mut target = one.target(nobody());
        target.settings = Settings { files: Some(10), ..Settings::default() };
        let former = limits(&one.victim.process).unwrap().rlim_cur;
        let applied = FdLimit.apply(&target).await.unwrap();
        assert!(applied.witness.starts_with("the kernel reads back 10 open files"), "{applied:?}");
        assert_eq!(limits(&one.victim.process).unwrap().rlim_cur, 10);
        assert!(reads_back(&one.victim, 11).unwrap_err().to_string().contains("as 10, not 11"));
        applied.undo.unwrap().carry_out().await.unwrap();
        assert_eq!(limits(&one.victim.process).unwrap().rlim_cur, former);
    }

    #[tokio::test]
    async fn a_limit_that_limits_nothing_is_refused() {
        let one = sleeper("exec sleep 600").await;
        let mut target = one.target(nobody());
        target.settings = Settings { files: Some(u64::MAX), ..Settings::default() };
        let error = FdLimit.apply(&target).await.unwrap_err().to_string();
        assert!(error.contains("limit nothing"), "{error}");
        target.settings = Settings::default();
        let error = FdLimit.apply(&target).await.unwrap_err().to_string();
        assert_eq!(error, "apply fd_limit: `files` was not given");
    }

    #[tokio::test]
    async fn a_process_that_is_gone_has_no_limit_to_restore_and_none_to_set() {
        let one = sleeper("exit 0").await;
        one.victim.process.exited().await;
        let former = libc::rlimit { rlim_cur: 5, rlim_max: 5 };
        restore(&one.victim, former).unwrap();
        let mut target = one.target(nobody());
        target.settings = Settings { files: Some(10), ..Settings::default() };
        assert!(matches!(FdLimit.apply(&target).await, Err(FaultError::Refused { .. })));
    }

    #[tokio::test]
    async fn a_limit_that_does_not_come_back_fails_its_undo() {
        let one = sleeper("exec sleep 600").await;
        // More than the hard limit, which only root may raise, and nobody beyond this.
        let former = libc::rlimit { rlim_cur: u64::MAX - 1, rlim_max: u64::MAX - 1 };
        let error = restore(&one.victim, former).unwrap_err().to_string();
        assert!(error.starts_with("undo fd_limit on node-1: "), "{error}");
    }
}
