//! A small child process that outlives the harness by a moment and removes the cgroups that it
//! left behind.
//!
//! A cgroup is a directory that no kernel removes by itself, so a harness that is killed cannot
//! keep its promise alone. The janitor holds the read end of a pipe whose write end only the
//! harness has; it is told each cgroup that is made or removed, and when the pipe ends it ends
//! what is still in the others and removes them. It is a fork that never runs another program:
//! between its start and its end it does nothing but system calls on memory that it was given.

use std::{
    ffi::{CString, c_char, c_int},
    fs::File,
    io::{self, Write},
    os::{
        fd::{AsRawFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

/// What the janitor can keep in mind, in bytes of paths.
const LIST_BYTES: usize = 64 * 1024;
/// Longest path, with its mark and its end: what a pipe takes in one piece.
const PATH_BYTES_MAX: usize = 2048;
/// Rounds of removal and the time between two: together what the kernel may take to end a process.
const ROUNDS: u32 = 500;
const ROUND_NANOS: i64 = 20_000_000;

const MADE: u8 = b'+';
const GONE: u8 = b'-';

/// The harness's side. Dropping it lets the janitor do what is left to do, and waits for its end.
#[derive(Debug)]
pub(crate) struct Janitor {
    pipe: Option<File>,
    pid: libc::pid_t,
}

impl Janitor {
    /// Starts one.
    pub(crate) fn start() -> io::Result<Self> {
        let (read, write) = io::pipe()?;
        // Made here, because the child must not ask for memory: another thread may have held the
        // allocator's lock at the fork.
        let mut list = vec![0_u8; LIST_BYTES];
        // SAFETY: the child only makes system calls on the buffer and the descriptor it was given,
        // and ends without running any destructor.
        let pid = unsafe { libc::fork() };
        match pid {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                settle(read.as_raw_fd());
                work(read.as_raw_fd(), &mut list);
                // SAFETY: ends this process at once.
                unsafe { libc::_exit(0) }
            }
            pid => Ok(Self { pipe: Some(std::os::fd::OwnedFd::from(write).into()), pid }),
        }
    }

    /// A cgroup is about to be made.
    pub(crate) fn made(&mut self, path: &Path) -> io::Result<()> {
        self.tell(MADE, path)
    }

    /// A cgroup was removed.
    pub(crate) fn gone(&mut self, path: &Path) -> io::Result<()> {
        self.tell(GONE, path)
    }

    fn tell(&mut self, mark: u8, path: &Path) -> io::Result<()> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let mut message = vec![mark];
        message.extend_from_slice(path.as_bytes_with_nul());
        if message.len() > PATH_BYTES_MAX {
            return Err(io::Error::other("its path is too long"));
        }
        // One piece: what is shorter than a pipe's buffer is written whole or not at all.
        self.pipe.as_mut().map_or(Ok(()), |pipe| pipe.write_all(&message))
    }

    /// Its process id.
    #[cfg(test)]
    pub(crate) fn pid(&self) -> libc::pid_t {
        self.pid
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        self.pipe = None;
        let mut status = 0;
        // SAFETY: waits for a child of this process, once; the status is valid for writes.
        while unsafe { libc::waitpid(self.pid, &raw mut status, 0) } < 0
            && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
        {}
    }
}

/// In the child: leaves the harness's session, signals and descriptors behind.
fn settle(pipe: RawFd) {
    // SAFETY: system calls with plain numbers and constant strings.
    unsafe {
        // The terminal's Ctrl-C goes to the harness's group, and its end must not end this one.
        libc::setsid();
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGPIPE] {
            libc::signal(signal, libc::SIG_IGN);
        }
        libc::prctl(libc::PR_SET_NAME, c"meshlab-janitor".as_ptr());
        libc::chdir(c"/".as_ptr());
        // Whatever stays open here stays alive: pipes, namespaces, devices, the terminal.
        let pipe = pipe as libc::c_uint;
        if pipe > 0 {
            libc::syscall(libc::SYS_close_range, 0, pipe - 1, 0);
        }
        libc::syscall(libc::SYS_close_range, pipe + 1, libc::c_uint::MAX, 0);
    }
}

/// In the child: keeps the list until the pipe ends, then removes what is on it.
fn work(pipe: RawFd, list: &mut [u8]) {
    let mut used = 0;
    // What was read of a message that is not whole yet.
    let mut message = [0_u8; PATH_BYTES_MAX];
    let mut filled = 0;
    loop {
        let mut byte = 0_u8;
        // SAFETY: the kernel writes at most one byte to where one is.
        match unsafe { libc::read(pipe, (&raw mut byte).cast(), 1) } {
            0 => break,
            // SAFETY: reads the error of the call before.
            count if count < 0 => match unsafe { *libc::__errno_location() } {
                libc::EINTR => continue,
                _ => break,
            },
            _ => {}
        }
        if filled < message.len() {
            message[filled] = byte;
            filled += 1;
        }
        if byte == 0 {
            note(list, &mut used, &message[..filled]);
            filled = 0;
        }
    }
    for _ in 0..ROUNDS {
        used = clean(list, used);
        if used == 0 {
            return;
        }
        let pause = libc::timespec { tv_sec: 0, tv_nsec: ROUND_NANOS };
        // SAFETY: reads one structure, and writes none.
        unsafe { libc::nanosleep(&raw const pause, std::ptr::null_mut()) };
    }
}

/// Takes a message into the list: paths one behind the other, each with its terminating zero.
fn note(list: &mut [u8], used: &mut usize, message: &[u8]) {
    let Some((mark, path)) = message.split_first() else { return };
    if *mark == MADE {
        // A harness that makes more than fit here makes hundreds; those are found by their names.
        if let Some(place) = list.get_mut(*used..*used + path.len()) {
            place.copy_from_slice(path);
            *used += path.len();
        }
    } else {
        let mut at = 0;
        while let Some(length) = path_at(&list[..*used], at) {
            if list[at..at + length] == *path {
                list.copy_within(at + length..*used, at);
                *used -= length;
                return;
            }
            at += length;
        }
    }
}

/// Length of the path that begins at `at`, its zero included.
fn path_at(list: &[u8], at: usize) -> Option<usize> {
    let rest = list.get(at..).filter(|rest| !rest.is_empty())?;
    rest.iter().position(|byte| *byte == 0).map(|end| end + 1)
}

/// Ends what is in each cgroup of the list and removes it; what is left of the list is kept.
fn clean(list: &mut [u8], mut used: usize) -> usize {
    let mut at = 0;
    while let Some(length) = path_at(&list[..used], at) {
        let path = &list[at..at + length];
        empty(path);
        // SAFETY: the path ends in zero.
        let removed = unsafe { libc::rmdir(path.as_ptr().cast()) } == 0;
        // SAFETY: reads the error of the call before.
        if removed || unsafe { *libc::__errno_location() } == libc::ENOENT {
            list.copy_within(at + length..used, at);
            used -= length;
        } else {
            at += length;
        }
    }
    used
}

/// Kills every process of a cgroup. All that are in there were put there by the harness.
fn empty(path: &[u8]) {
    let name = b"/cgroup.procs\0";
    let mut file = [0 as c_char; PATH_BYTES_MAX + 16];
    let bytes = path[..path.len() - 1].iter().chain(name);
    for (to, from) in file.iter_mut().zip(bytes) {
        *to = *from as c_char;
    }
    // SAFETY: the name ends in zero, for the path is shorter than the buffer by more than it.
    let fd: c_int = unsafe { libc::open(file.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if fd < 0 {
        return;
    }
    let mut pid: libc::pid_t = 0;
    let mut text = [0_u8; 512];
    loop {
        // SAFETY: the kernel writes at most as much as fits.
        let count = unsafe { libc::read(fd, text.as_mut_ptr().cast(), text.len()) };
        let Ok(count) = usize::try_from(count) else { break };
        if count == 0 {
            break;
        }
        for byte in &text[..count] {
            match byte {
                b'0'..=b'9' => {
                    pid = pid.saturating_mul(10).saturating_add(libc::pid_t::from(byte - b'0'));
                }
                _ => {
                    if pid > 1 {
                        // SAFETY: takes plain numbers.
                        unsafe { libc::kill(pid, libc::SIGKILL) };
                    }
                    pid = 0;
                }
            }
        }
    }
    // SAFETY: closes what was opened above, once.
    unsafe { libc::close(fd) };
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        process::{Command, Stdio},
        time::{Duration, Instant},
    };

    use super::*;

    fn listed(list: &[u8], used: usize) -> Vec<String> {
        let text = String::from_utf8_lossy(&list[..used]);
        text.split_terminator('\0').map(str::to_owned).collect()
    }

    #[test]
    fn the_list_is_what_was_made_and_is_not_gone() {
        let (mut list, mut used) = (vec![0; 16], 0);
        note(&mut list, &mut used, b"+/a\0");
        note(&mut list, &mut used, b"+/bb\0");
        note(&mut list, &mut used, b"+/c\0");
        note(&mut list, &mut used, b"-/bb\0");
        note(&mut list, &mut used, b"-/d\0");
        note(&mut list, &mut used, b"");
        assert_eq!(listed(&list, used), ["/a", "/c"]);
        note(&mut list, &mut used, b"+/too long for it\0");
        assert_eq!(listed(&list, used), ["/a", "/c"]);
    }

    #[test]
    fn what_is_left_on_the_list_is_removed_at_the_end_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["left", "gone", "other"].map(|name| folder.path().join(name));
        for path in &paths {
            fs::create_dir(path).unwrap();
        }
        let mut janitor = Janitor::start().unwrap();
        janitor.made(&paths[0]).unwrap();
        janitor.made(&paths[1]).unwrap();
        janitor.made(&folder.path().join("never made")).unwrap();
        janitor.gone(&paths[1]).unwrap();
        let name = || fs::read_to_string(format!("/proc/{}/comm", janitor.pid())).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while name().trim_end() != "meshlab-janitor" {
            assert!(Instant::now() < deadline, "it is still called {}", name());
            std::thread::yield_now();
        }
        drop(janitor);
        assert_eq!(paths.map(|path| path.exists()), [false, true, true]);
    }

    #[test]
    fn it_is_in_a_session_of_its_own_and_a_signal_to_its_group_does_not_end_it() {
        let janitor = Janitor::start().unwrap();
        let pid = janitor.pid();
        let deadline = Instant::now() + Duration::from_secs(20);
        // SAFETY: take plain numbers; the child is not waited for before it is dropped.
        while unsafe { libc::getsid(pid) } != pid {
            assert!(Instant::now() < deadline, "it stays in the session of the harness");
            std::thread::yield_now();
        }
        let open = || fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        while open() > 1 {
            assert!(Instant::now() < deadline, "it keeps {} descriptors", open());
            std::thread::yield_now();
        }
        // SAFETY: the same.
        assert_eq!(unsafe { libc::kill(-pid, libc::SIGINT) }, 0);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::create_dir(&path).unwrap();
        let mut janitor = janitor;
        janitor.made(&path).unwrap();
        drop(janitor);
        assert!(!path.exists());
    }

    #[test]
    fn whoever_is_listed_in_what_it_empties_is_killed() {
        // A folder with a file of the right name stands for a cgroup.
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new("/bin/cat").stdin(Stdio::piped()).spawn().unwrap();
        let procs = format!("{}\n", child.id());
        fs::write(folder.path().join("cgroup.procs"), procs).unwrap();
        let path = CString::new(folder.path().as_os_str().as_bytes()).unwrap();
        empty(path.as_bytes_with_nul());
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    }
}
