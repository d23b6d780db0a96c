//! One life of one node: from spawn to exit.

use std::{
    collections::BTreeMap,
    ffi::CString,
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::{ffi::OsStrExt, net::UnixStream as StdUnixStream, process::ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use meshlab_model::{NodeExit, NodeId};
use meshlab_wire::env;
use tokio::{
    io::unix::AsyncFd,
    net::{UnixStream, unix::pipe},
    runtime::Handle,
    sync::watch,
};

use crate::{
    Clock, Confined, Control, Controller, FleetError, Mark,
    cgroup::{CgroupError, Cgroups},
    log,
    rest::{found, inode},
    stray::ended_within,
};

/// How to start a process.
#[derive(Debug)]
pub struct SpawnSpec {
    /// The node it is a life of.
    pub node: NodeId,
    /// Its program: an absolute path, because its working directory is that of its namespace.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its environment. Nothing is inherited but `PATH`, so that a run does not depend on the
    /// shell that it was started from.
    pub environment: BTreeMap<String, String>,
    /// Its log, appended to.
    pub log: PathBuf,
    /// Namespaces to enter before it runs, in this order.
    pub namespaces: Vec<Arc<OwnedFd>>,
    /// For a program that has no agent: the directory that it works in, as its namespaces see it.
    /// It gets no control channel.
    pub stranger: Option<PathBuf>,
    /// What sets its wall clock, if the environment has it load the library for that.
    pub clock: Option<Arc<Clock>>,
}

/// One life of one node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Process {
    node: NodeId,
    pid: u32,
    pidfd: Arc<OwnedFd>,
    control: Control,
    exit: watch::Receiver<Option<NodeExit>>,
    /// Closed once its log is whole.
    logging: watch::Receiver<()>,
    cgroups: Arc<Cgroups>,
    clock: Option<Arc<Clock>>,
    family: Option<Family>,
}

/// By what the processes of a program that has no agent are known.
#[derive(Debug, Clone, Copy)]
struct Family {
    mark: Mark,
    /// Inode of its network namespace, if it has one of its own.
    network: Option<u64>,
}

impl Process {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its control channel.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// What sets its wall clock, where it links no agent.
    pub fn clock(&self) -> Option<&Arc<Clock>> {
        self.clock.as_ref()
    }

    /// Whether it stands for a program that may start others, which then count as one with it.
    pub fn has_family(&self) -> bool {
        self.family.is_some()
    }

    /// Inode of its network namespace, if it has a family, and one of its own.
    pub fn network(&self) -> Option<u64> {
        self.family.and_then(|family| family.network)
    }

    /// Its process id and those of everything that it started, by mark and network; of a program
    /// with an agent its own only.
    pub fn family(&self) -> Vec<u32> {
        let started = self.family.map(|family| found(&self.node, family.mark, family.network));
        let mut all = started.unwrap_or_default();
        if !all.contains(&self.pid) {
            all.push(self.pid);
        }
        all
    }

    /// Sends a signal to it and to everything that it started; who has ended meanwhile is no error.
    ///
    /// # Errors
    /// The kernel refuses the signal.
    pub fn signal_family(&self, signal: i32) -> Result<(), FleetError> {
        // Itself first: what it would start next is not started.
        self.signal(signal)?;
        let others = self.family().into_iter().filter(|pid| *pid != self.pid);
        for pidfd in others.filter_map(|pid| pidfd_open(pid).ok()) {
            self.send(&pidfd, signal)?;
        }
        Ok(())
    }

    /// How it ended; `None` while it runs.
    pub fn exit(&self) -> Option<NodeExit> {
        *self.exit.borrow()
    }

    /// Whether it has ended, by the kernel's word at this moment; [`exit`](Self::exit) tells it a
    /// little later, once somebody was woken up for it.
    pub fn has_ended(&self) -> bool {
        self.exit().is_some() || ended_within(&self.pidfd, Duration::ZERO).is_ok_and(|ended| ended)
    }

    /// Waits for its end.
    pub async fn exited(&self) -> NodeExit {
        let mut exit = self.exit.clone();
        let ended = exit.wait_for(Option::is_some).await.ok().and_then(|exit| *exit);
        ended.unwrap_or(NodeExit { code: None, signal: None })
    }

    /// Waits for its end at most this long; `None` if it still runs then.
    pub async fn exited_within(&self, within: Duration) -> Option<NodeExit> {
        tokio::time::timeout(within, self.exited()).await.ok()
    }

    /// Waits until all that it and what it started wrote is in its log, at most this long; whether
    /// it is. Before they have all ended, it is not.
    pub async fn logged_within(&self, within: Duration) -> bool {
        let mut logging = self.logging.clone();
        let whole = async { while logging.changed().await.is_ok() {} };
        tokio::time::timeout(within, whole).await.is_ok()
    }

    /// Puts it into a control group of its own, which has no limit yet.
    ///
    /// # Errors
    /// This host lets nobody here make a group, or the process is gone.
    pub fn confine(&self, controller: Controller) -> Result<Confined, CgroupError> {
        Confined::new(&self.cgroups, controller, &self.node, self.pid)
    }

    /// Sends it a signal, by its pidfd, so that no other process can be hit. A process that has
    /// ended already is no error.
    ///
    /// # Errors
    /// The kernel refuses the signal.
    pub fn signal(&self, signal: i32) -> Result<(), FleetError> {
        self.send(&self.pidfd, signal)
    }

    fn send(&self, pidfd: &OwnedFd, signal: i32) -> Result<(), FleetError> {
        // SAFETY: a system call on a descriptor that is open, without pointers.
        let sent =
            unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, 0, 0) };
        let error = io::Error::last_os_error();
        if sent == 0 || error.raw_os_error() == Some(libc::ESRCH) {
            Ok(())
        } else {
            Err(FleetError::Signal { node: self.node.clone(), signal, error })
        }
    }
}

/// A command that is ready to be forked, and both ends of what joins the two processes.
pub(crate) struct Prepared {
    pub(crate) program: PathBuf,
    pub(crate) command: Command,
    pub(crate) entering: Entering,
    pub(crate) ours: Ours,
    pub(crate) theirs: Option<StdUnixStream>,
}

/// What the child does before its program runs.
pub(crate) struct Entering {
    namespaces: Vec<Arc<OwnedFd>>,
    /// The control socket that it keeps.
    inherited: Option<RawFd>,
    /// The directory that it changes to.
    directory: Option<CString>,
    harness: u32,
}

pub(crate) struct Ours {
    /// Absent for a program without an agent.
    control: Option<StdUnixStream>,
    output: OwnedFd,
    log: File,
    clock: Option<Arc<Clock>>,
    family: Option<Family>,
}

pub(crate) fn prepare(spec: SpawnSpec, mark: Mark) -> Result<Prepared, FleetError> {
    let failed = |what: &str| {
        let (node, what) = (spec.node.clone(), what.to_owned());
        move |error| FleetError::Prepare { node, what, error }
    };
    let (control, theirs) = match &spec.stranger {
        Some(_) => (None, None),
        None => {
            let (ours, theirs) = StdUnixStream::pair().map_err(failed("a control socket"))?;
            ours.set_nonblocking(true).map_err(failed("a control socket"))?;
            (Some(ours), Some(theirs))
        }
    };
    let directory = spec.stranger.as_ref().map(|path| CString::new(path.as_os_str().as_bytes()));
    let directory = directory.transpose().map_err(io::Error::from);
    let directory = directory.map_err(failed("its working directory"))?;
    let (output, stdout) = io::pipe().map_err(failed("a pipe for its log"))?;
    let stderr = stdout.try_clone().map_err(failed("a pipe for its log"))?;
    let log = open_log(&spec.log).map_err(failed(&format!("its log {}", spec.log.display())))?;
    let inherited = theirs.as_ref().map(AsRawFd::as_raw_fd);
    let mut command = Command::new(&spec.program);
    command
        .args(&spec.arguments)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .envs(&spec.environment)
        .env(env::NODE_ID, spec.node.as_str())
        .env(env::HARNESS, mark.to_string())
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr);
    if let Some(inherited) = inherited {
        command.env(env::CONTROL_FD, inherited.to_string());
    }
    let harness = std::process::id();
    let network = spec.namespaces.first().and_then(|network| inode(network));
    let family = spec.stranger.is_some().then_some(Family { mark, network });
    let entering = Entering { namespaces: spec.namespaces, inherited, directory, harness };
    Ok(Prepared {
        program: spec.program,
        command,
        entering,
        ours: Ours { control, output: output.into(), log, clock: spec.clock, family },
        theirs,
    })
}

fn open_log(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

/// In the child, before its program runs: die with the harness, enter the namespaces, keep the
/// control socket over `exec`, change to the working directory.
pub(crate) fn enter(entering: &Entering) -> io::Result<()> {
    let Entering { namespaces, inherited, directory, harness } = entering;
    // SAFETY: system calls with plain numbers, on descriptors that are open in this process, and
    // with a path that ends in zero.
    unsafe {
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
            return Err(io::Error::last_os_error());
        }
        // The harness may have died before the line above; then nobody would be told.
        if libc::getppid() as u32 != *harness {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        for namespace in namespaces {
            if libc::setns(namespace.as_raw_fd(), 0) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        if inherited.is_some_and(|inherited| libc::fcntl(inherited, libc::F_SETFD, 0) != 0) {
            return Err(io::Error::last_os_error());
        }
        if directory.as_ref().is_some_and(|directory| libc::chdir(directory.as_ptr()) != 0) {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

pub(crate) fn adopt(
    runtime: &Handle,
    node: NodeId,
    mut child: Child,
    ours: Ours,
    cgroups: Arc<Cgroups>,
) -> Result<Process, FleetError> {
    let pid = child.id();
    let (clock, family) = (ours.clock.clone(), ours.family);
    match watch_process(runtime, &node, pid, ours) {
        Ok(Watched { pidfd, ended, control, logging }) => {
            let (sender, exit) = watch::channel(None);
            runtime.spawn(async move {
                // Readable means ended. If the wait itself fails, `wait` below still collects it.
                let _ = ended.readable().await;
                let status = child.wait().ok();
                sender.send_replace(Some(NodeExit {
                    code: status.and_then(|status| status.code()),
                    signal: status.and_then(|status| status.signal()),
                }));
            });
            Ok(Process { node, pid, pidfd, control, exit, logging, cgroups, clock, family })
        }
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(error)
        }
    }
}

struct Watched {
    pidfd: Arc<OwnedFd>,
    /// Readable once it has ended.
    ended: AsyncFd<OwnedFd>,
    control: Control,
    logging: watch::Receiver<()>,
}

fn watch_process(
    runtime: &Handle,
    node: &NodeId,
    pid: u32,
    ours: Ours,
) -> Result<Watched, FleetError> {
    let failed = |what: &str| {
        let (node, what) = (node.clone(), what.to_owned());
        move |error| FleetError::Prepare { node, what, error }
    };
    let _entered = runtime.enter();
    let pidfd = pidfd_open(pid).map_err(failed("a pidfd (Linux 5.3 or newer is needed)"))?;
    let copy = pidfd.try_clone().map_err(failed("watching its exit"))?;
    // SAFETY: an `OwnedFd` stays open and the same as long as the `AsyncFd` owns it.
    let ended = unsafe { AsyncFd::register(copy) };
    let ended = ended.map_err(|error| failed("watching its exit")(error.into()))?;
    let control = match ours.control {
        Some(ours) => {
            let stream = UnixStream::from_std(ours).map_err(failed("its control channel"))?;
            Control::open(runtime, node.clone(), stream)
        }
        None => Control::none(node.clone()),
    };
    let output = pipe::Receiver::from_owned_fd(ours.output).map_err(failed("its output"))?;
    let (copying, logging) = watch::channel(());
    runtime.spawn(async move {
        log::copy(output, ours.log).await;
        drop(copying);
    });
    Ok(Watched { pidfd: Arc::new(pidfd), ended, control, logging })
}

pub(crate) fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: a system call with plain numbers; a non-negative result is a new descriptor that
    // nobody else owns. It is close-on-exec by definition.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fleet, log_tail};

    fn spec(folder: &Path, script: &str) -> SpawnSpec {
        SpawnSpec {
            node: "node-1".into(),
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: BTreeMap::new(),
            log: folder.join("logs/node-1.log"),
            namespaces: Vec::new(),
            stranger: None,
            clock: None,
        }
    }

    async fn run(script: &str) -> (tempfile::TempDir, Fleet, Process) {
        let folder = tempfile::tempdir().unwrap();
        let fleet = Fleet::new(Handle::current()).unwrap();
        let process = fleet.spawn(spec(folder.path(), script)).await.unwrap();
        (folder, fleet, process)
    }

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn exits_and_signals_are_told_apart() {
        let (_folder, _fleet, process) = run("exit 7").await;
        assert_eq!(
            process.exited_within(LONG).await,
            Some(NodeExit { code: Some(7), signal: None })
        );
        let (_folder, _fleet, process) = run("exec sleep 600").await;
        process.signal(libc::SIGKILL).unwrap();
        assert_eq!(
            process.exited_within(LONG).await,
            Some(NodeExit { code: None, signal: Some(9) })
        );
        process.signal(libc::SIGKILL).unwrap();
    }

    #[tokio::test]
    async fn the_log_holds_both_streams_and_only_its_share() {
        let flood = "echo out; echo err >&2; head -c 17825792 /dev/zero | tr '\\0' 'x'; exit 0";
        let (folder, _fleet, process) = run(flood).await;
        assert!(process.exited_within(LONG).await.is_some());
        assert!(process.logged_within(LONG).await);
        let path = folder.path().join("logs/node-1.log");
        let last = log_tail(&path, 1).unwrap().pop().unwrap().1;
        assert!(last.contains("bytes lost"), "the log does not say what was lost: {last}");
        let text = std::fs::read(&path).unwrap();
        assert!(text.starts_with(b"out\nerr\n"));
        assert!((text.len() as u64) < log::LOG_BYTES_MAX + 200);
    }

    #[tokio::test]
    async fn a_log_is_whole_once_nobody_is_left_to_write_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let (go, log) = (folder.path().join("go"), folder.path().join("logs/node-1.log"));
        let fleet = Fleet::new(Handle::current()).unwrap();
        let waits = format!("until [ -e {} ]; do sleep 0.02; done", go.display());
        let script = format!("({waits}; echo last) & exit 0");
        let process = fleet.spawn(spec(folder.path(), &script)).await.unwrap();
        assert!(process.exited_within(LONG).await.is_some());
        assert!(!process.logged_within(Duration::from_millis(50)).await, "one may still write");
        std::fs::write(go, "").unwrap();
        assert!(process.logged_within(LONG).await);
        assert_eq!(std::fs::read_to_string(log).unwrap(), "last\n");
    }

    #[tokio::test]
    async fn any_number_may_be_started_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let fleet = Arc::new(Fleet::new(Handle::current()).unwrap());
        let mut started = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let (fleet, spec) = (Arc::clone(&fleet), spec(folder.path(), "exit 0"));
            started.spawn(async move { fleet.spawn(spec).await });
        }
        for process in started.join_all().await {
            assert!(process.unwrap().exited_within(LONG).await.is_some());
        }
    }

    #[tokio::test]
    async fn a_missing_program_names_itself() {
        let folder = tempfile::tempdir().unwrap();
        let fleet = Fleet::new(Handle::current()).unwrap();
        let mut spec = spec(folder.path(), "");
        spec.program = "/nowhere/node".into();
        let error = fleet.spawn(spec).await.unwrap_err();
        assert!(
            error.to_string().starts_with("start node-1: /nowhere/node cannot be run"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn what_runs_dies_with_the_fleet() {
        let (_folder, fleet, process) =
            run("trap '' TERM INT HUP; while :; do sleep 600; done").await;
        drop(fleet);
        assert_eq!(process.exited_within(LONG).await.and_then(|exit| exit.signal), Some(9));
    }

    #[tokio::test]
    async fn the_environment_is_clean() {
        let (folder, _fleet, process) = run("env | sort").await;
        assert!(process.exited_within(LONG).await.is_some());
        assert!(process.logged_within(LONG).await);
        let names = std::fs::read_to_string(folder.path().join("logs/node-1.log")).unwrap();
        assert!(names.contains("PWD="), "no environment in {names:?}");
        assert!(names.contains("MESHLAB_NODE_ID=node-1") && !names.contains("CARGO"), "{names}");
    }

    #[tokio::test]
    async fn a_stranger_works_in_its_directory_and_has_no_control_channel() {
        let folder = tempfile::tempdir().unwrap();
        let fleet = Fleet::new(Handle::current()).unwrap();
        let script = "echo here > it; echo ${MESHLAB_CONTROL_FD-none} >> it; ls /proc/$$/fd >> it";
        let stranger = Some(folder.path().to_owned());
        let spec = SpawnSpec { stranger, ..spec(folder.path(), script) };
        let process = fleet.spawn(spec).await.unwrap();
        assert!(process.exited_within(LONG).await.is_some());
        let said = std::fs::read_to_string(folder.path().join("it")).unwrap();
        assert!(said.starts_with("here\nnone\n"), "{said}");
        let why = process.control().closed();
        assert_eq!(why.as_deref(), Some("its program links no agent"));
    }
}
