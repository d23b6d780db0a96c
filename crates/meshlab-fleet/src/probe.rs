//! A short-lived process that uses up something on purpose, to show that a limit limits.

use std::{
    fs::{self, File},
    io::{self, Write},
    mem,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    ptr,
    time::Duration,
};

/// What a probe uses up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Burden {
    /// All the time of one core that it gets, until it is stopped.
    Cpu,
    /// So many bytes of memory, each page written; then it ends with code 0.
    Memory(u64),
}

/// How a probe ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeEnd {
    /// The time it was on a CPU.
    pub cpu_time: Duration,
    /// Whether the kernel or somebody else killed it.
    pub killed: bool,
}

/// A probe, until it is dropped. It does nothing before it is told to go, so that it can be put
/// where it belongs first, and it is the first that the kernel ends where memory is short.
///
/// It is a fork that runs no other program: what it does is made of system calls alone.
#[derive(Debug)]
pub struct Probe {
    pid: libc::pid_t,
    go: Option<File>,
    ended: Option<ProbeEnd>,
}

impl Probe {
    /// Makes one. It ends with the thread that calls this, at the latest.
    ///
    /// # Errors
    /// No process or pipe can be made, or it cannot be made the kernel's first choice.
    pub fn start(burden: Burden) -> io::Result<Self> {
        let (wait, go) = io::pipe()?;
        let harness = std::process::id();
        // SAFETY: the child makes system calls only, on descriptors and numbers that it has, and
        // ends without running any destructor.
        let pid = unsafe { libc::fork() };
        match pid {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                carry(burden, wait.as_raw_fd(), harness);
                // SAFETY: ends this process at once.
                unsafe { libc::_exit(0) }
            }
            pid => {
                let probe = Self { pid, go: Some(OwnedFd::from(go).into()), ended: None };
                fs::write(format!("/proc/{pid}/oom_score_adj"), "1000")?;
                Ok(probe)
            }
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    /// Lets it begin.
    ///
    /// # Errors
    /// It is gone.
    pub fn go(&mut self) -> io::Result<()> {
        self.go.take().map_or(Ok(()), |mut go| go.write_all(&[1]))
    }

    /// How it ended; `None` while it runs.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn ended(&mut self) -> io::Result<Option<ProbeEnd>> {
        self.wait(libc::WNOHANG)
    }

    /// Ends it, however far it is.
    ///
    /// # Errors
    /// The system does not tell how it ended.
    pub fn stop(mut self) -> io::Result<Option<ProbeEnd>> {
        self.kill()
    }

    fn kill(&mut self) -> io::Result<Option<ProbeEnd>> {
        if self.ended.is_none() {
            // SAFETY: takes plain numbers; the child is not reaped yet, so the id is its own.
            unsafe { libc::kill(self.pid, libc::SIGKILL) };
        }
        self.wait(0)
    }

    fn wait(&mut self, flags: libc::c_int) -> io::Result<Option<ProbeEnd>> {
        if self.ended.is_some() {
            return Ok(self.ended);
        }
        let mut status = 0;
        // SAFETY: all zeroes is a value of this structure of numbers.
        let mut usage: libc::rusage = unsafe { mem::zeroed() };
        // SAFETY: both are valid for writes, and the child is reaped here only.
        let waited = unsafe { libc::wait4(self.pid, &raw mut status, flags, &raw mut usage) };
        match waited {
            0 => Ok(None),
            -1 => Err(io::Error::last_os_error()),
            _ => {
                let cpu_time = length(usage.ru_utime) + length(usage.ru_stime);
                let killed = libc::WIFSIGNALED(status);
                self.ended = Some(ProbeEnd { cpu_time, killed });
                Ok(self.ended)
            }
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn length(time: libc::timeval) -> Duration {
    let micros = i128::from(time.tv_sec) * 1_000_000 + i128::from(time.tv_usec);
    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}

/// In the child.
fn carry(burden: Burden, wait: RawFd, harness: u32) {
    // SAFETY: system calls with plain numbers; the memory that is written was just mapped.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if libc::getppid() as u32 != harness {
            return;
        }
        libc::prctl(libc::PR_SET_NAME, c"meshlab-probe".as_ptr());
        let wait = wait as libc::c_uint;
        if wait > 0 {
            libc::syscall(libc::SYS_close_range, 0, wait - 1, 0);
        }
        libc::syscall(libc::SYS_close_range, wait + 1, libc::c_uint::MAX, 0);
        let mut byte = 0_u8;
        // Without a word, whoever made it is gone.
        if libc::read(wait as RawFd, (&raw mut byte).cast(), 1) != 1 {
            return;
        }
        match burden {
            Burden::Cpu => loop {
                std::hint::spin_loop();
            },
            Burden::Memory(bytes) => {
                let bytes = bytes as usize;
                let (rights, flags) =
                    (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
                let memory = libc::mmap(ptr::null_mut(), bytes, rights, flags, -1, 0);
                if memory == libc::MAP_FAILED {
                    return;
                }
                for page in (0..bytes).step_by(4096) {
                    memory.cast::<u8>().add(page).write_volatile(1);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn end_of(probe: &mut Probe) -> ProbeEnd {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(end) = probe.ended().unwrap() {
                return end;
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::yield_now();
        }
    }

    #[test]
    fn it_waits_for_its_word_and_then_uses_what_it_was_told_to() {
        let mut probe = Probe::start(Burden::Memory(1024 * 1024)).unwrap();
        assert_eq!(probe.ended().unwrap(), None);
        probe.go().unwrap();
        let end = end_of(&mut probe);
        assert!(!end.killed);
        assert_eq!(probe.stop().unwrap(), Some(end), "what is over stays as it was");
    }

    #[test]
    fn a_busy_one_is_stopped_and_its_time_is_known() {
        let mut probe = Probe::start(Burden::Cpu).unwrap();
        let stat = format!("/proc/{}/schedstat", probe.pid());
        let on_cpu = || {
            let text = fs::read_to_string(&stat).unwrap();
            text.split(' ').next().unwrap().parse::<u64>().unwrap()
        };
        probe.go().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while on_cpu() < 20_000_000 {
            assert!(Instant::now() < deadline, "it is not busy");
            std::thread::yield_now();
        }
        let end = probe.stop().unwrap().unwrap();
        assert!(end.killed && end.cpu_time >= Duration::from_millis(15), "{end:?}");
    }

    #[test]
    fn a_dropped_one_is_gone() {
        let probe = Probe::start(Burden::Cpu).unwrap();
        let pid = probe.pid();
        drop(probe);
        assert_eq!(crate::started_at(pid), None);
    }
}
