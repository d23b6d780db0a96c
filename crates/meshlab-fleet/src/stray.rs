//! Processes that bear the mark of a fleet: its nodes, and what those started.

use std::{
    fs, io,
    os::fd::{AsRawFd, OwnedFd},
    time::Duration,
};

use meshlab_model::NodeId;
use meshlab_mutants::{Mutant, on};
use meshlab_wire::env;

use crate::{Mark, process::pidfd_open};

/// The kernel ends a killed process in well under this, unless it hangs in the kernel itself.
const ENDED_WITHIN: Duration = Duration::from_secs(5);

/// A process that is, or was started by, a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// Its process id.
    pub pid: u32,
    /// The node.
    pub node: NodeId,
    /// Of which fleet.
    pub mark: Mark,
    /// The scheduler's letter for what it does: `T` is stopped, `S` asleep; see proc_pid_stat(5).
    pub state: char,
}

/// Every process on this host that bears a mark and whose environment may be read here.
pub fn marked_processes() -> Vec<Marked> {
    if on(Mutant::StraysUnseen) {
        return Vec::new();
    }
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(marked).collect()
}

fn marked(pid: u32) -> Option<Marked> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = |name: &str| {
        let mut lines = environment.split(|byte| *byte == 0);
        let found =
            lines.find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
        Some(String::from_utf8_lossy(found).into_owned())
    };
    let mark = Mark::parse(&value(env::HARNESS)?)?;
    let node = NodeId(value(env::NODE_ID)?);
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let state = stat.rsplit_once(')')?.1.trim_start().chars().next()?;
    Some(Marked { pid, node, mark, state })
}

/// Ends such a process, whatever it does, and waits for its end. One that has ended is no error.
///
/// # Errors
/// The kernel refuses it, or it is still there after 5 s.
pub fn end_marked(process: &Marked) -> io::Result<()> {
    let pidfd = match pidfd_open(process.pid) {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(()),
        pidfd => pidfd?,
    };
    // From here on the descriptor is of one process, and this says that it is the one.
    if marked(process.pid).is_none_or(|now| now.mark != process.mark) {
        return Ok(());
    }
    end(&pidfd)
}

/// Kills the process of that descriptor and waits for its end.
pub(crate) fn end(pidfd: &OwnedFd) -> io::Result<()> {
    kill(pidfd)?;
    match ended_within(pidfd, ENDED_WITHIN)? {
        true => Ok(()),
        false => Err(io::Error::other("it is still there")),
    }
}

/// Whether the process of that descriptor ends, or has ended, by then. Blocks until it has.
///
/// # Errors
/// The kernel refuses to say.
pub(crate) fn ended_within(pidfd: &OwnedFd, within: Duration) -> io::Result<bool> {
    let mut ended = libc::pollfd { fd: pidfd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one structure, valid for reads and writes.
    match unsafe { libc::poll(&raw mut ended, 1, within.as_millis() as libc::c_int) } {
        count if count < 0 => Err(io::Error::last_os_error()),
        count => Ok(count > 0),
    }
}

fn kill(pidfd: &OwnedFd) -> io::Result<()> {
    // SAFETY: a system call on a descriptor that is open, without pointers.
    let sent = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), libc::SIGKILL, 0, 0)
    };
    let error = io::Error::last_os_error();
    if sent == 0 || error.raw_os_error() == Some(libc::ESRCH) { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::process::ExitStatusExt,
        process::{Child, Command},
        time::Instant,
    };

    use super::*;

    fn sleeper(mark: Mark) -> Child {
        let mut command = Command::new("/bin/sleep");
        command.arg("600").env(env::HARNESS, mark.to_string()).env(env::NODE_ID, "node-7");
        command.spawn().unwrap()
    }

    fn found(mark: Mark) -> Vec<Marked> {
        marked_processes().into_iter().filter(|process| process.mark == mark).collect()
    }

    #[test]
    fn a_marked_process_is_found_also_stopped_and_ended() {
        let mark = Mark::of_nobody();
        let mut child = sleeper(mark);
        let pid = child.id();
        // SAFETY: takes plain numbers; the child is not reaped yet.
        unsafe { libc::kill(pid as i32, libc::SIGSTOP) };
        let deadline = Instant::now() + Duration::from_secs(20);
        let stopped = loop {
            match found(mark).as_slice() {
                [one] if one.state == 'T' => break one.clone(),
                others => assert!(Instant::now() < deadline, "{others:?}"),
            }
        };
        assert_eq!((stopped.pid, stopped.node.as_str()), (pid, "node-7"));
        end_marked(&stopped).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
        assert_eq!(found(mark), []);
        end_marked(&stopped).unwrap();
    }

    #[test]
    fn a_process_of_another_mark_by_that_number_is_spared() {
        let mut child = sleeper(Mark::of_nobody());
        let other =
            Marked { pid: child.id(), node: "node-7".into(), mark: Mark::of_nobody(), state: 'S' };
        end_marked(&other).unwrap();
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
