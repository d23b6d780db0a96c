//! The thread that every node is forked from.
//!
//! `PR_SET_PDEATHSIG` fires when the *thread* that forked a child ends, not its process. So all
//! nodes are forked by one thread that lives as long as the fleet; when the harness dies, by
//! whatever signal, that thread dies and the kernel kills every node.

use std::{
    io,
    os::unix::process::CommandExt,
    process::{Child, Command},
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use tokio::{runtime::Handle, sync::oneshot, time::Instant};

use crate::{FleetError, Mark, Process, SpawnSpec, cgroup::Cgroups, process};

/// How long a program may be busy, and how often it is tried meanwhile.
const BUSY_WITHIN: Duration = Duration::from_secs(10);
const TRY_EVERY: Duration = Duration::from_millis(5);

/// What is forked comes back with its command, which may be forked once more.
type Forked = (Command, io::Result<Child>);

struct Job {
    command: Command,
    done: oneshot::Sender<Forked>,
}

/// Starts processes. Dropping it kills every process that it started and that still runs.
#[derive(Debug)]
pub struct Fleet {
    runtime: Handle,
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    cgroups: Arc<Cgroups>,
}

impl Fleet {
    /// Makes a fleet whose control channels, logs and exits are watched on `runtime`.
    ///
    /// # Errors
    /// The spawner thread cannot be started.
    pub fn new(runtime: Handle) -> io::Result<Self> {
        // It holds no more than one job for each node that is being started.
        let (jobs, inbox) = mpsc::channel::<Job>();
        let thread = std::thread::Builder::new().name("spawner".into()).spawn(move || {
            while let Ok(mut job) = inbox.recv() {
                let child = job.command.spawn();
                // Whoever asked may be gone; then the child must not run either.
                if let Err((_, Ok(mut orphan))) = job.done.send((job.command, child)) {
                    let _ = orphan.kill();
                    let _ = orphan.wait();
                }
            }
        })?;
        Ok(Self { runtime, jobs: Some(jobs), thread: Some(thread), cgroups: Arc::default() })
    }

    /// What its processes and groups are found by.
    pub fn mark(&self) -> Mark {
        self.cgroups.mark()
    }

    /// Starts a process as `spec` says. It runs when this returns; it is not ready yet.
    ///
    /// # Errors
    /// The program cannot be run, or a pipe, socket or log cannot be made.
    pub async fn spawn(&self, spec: SpawnSpec) -> Result<Process, FleetError> {
        let node = spec.node.clone();
        let prepared = process::prepare(spec, self.mark())?;
        let mut command = prepared.command;
        let entering = prepared.entering;
        // SAFETY: the closure runs in the child between fork and exec and calls only functions
        // that are safe there: prctl, getppid, setns, fcntl, chdir. It allocates nothing.
        unsafe {
            command.pre_exec(move || process::enter(&entering));
        }
        let child = self.fork(command).await.ok_or_else(|| FleetError::ShutDown(node.clone()))?;
        let child = child.map_err(|error| FleetError::Spawn {
            node: node.clone(),
            program: prepared.program.clone(),
            error,
        })?;
        // The child has its own copies of these ends; ours must go, or their end is never seen.
        drop(prepared.theirs);
        process::adopt(&self.runtime, node, child, prepared.ours, Arc::clone(&self.cgroups))
    }

    /// Has the thread fork that command; `None` once it is shut down.
    ///
    /// A program that was just written may be held open for writing by what another thread forked
    /// meanwhile, until that has its own program: the kernel does not run it before.
    async fn fork(&self, mut command: Command) -> Option<io::Result<Child>> {
        let deadline = Instant::now() + BUSY_WITHIN;
        loop {
            let (done, forked) = oneshot::channel();
            self.jobs.as_ref()?.send(Job { command, done }).ok()?;
            let child;
            (command, child) = forked.await.ok()?;
            let busy = |error: &io::Error| error.raw_os_error() == Some(libc::ETXTBSY);
            if !child.as_ref().is_err_and(busy) || Instant::now() > deadline {
                return Some(child);
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // With the thread, by the kernel's hand, go the processes that still run.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs::OpenOptions, io::Write, os::unix::fs::OpenOptionsExt};

    use super::*;

    #[tokio::test]
    async fn a_program_that_is_still_being_written_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("it");
        let mut options = OpenOptions::new();
        let mut held = options.write(true).create(true).mode(0o755).open(&program).unwrap();
        held.write_all(b"#!/bin/sh\nexit 7\n").unwrap();
        let fleet = Fleet::new(Handle::current()).unwrap();
        let spec = SpawnSpec {
            node: "node-1".into(),
            program,
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            log: folder.path().join("log"),
            namespaces: Vec::new(),
            stranger: None,
            clock: None,
        };
        let let_go = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            drop(held);
        };
        let (process, ()) = tokio::join!(fleet.spawn(spec), let_go);
        assert_eq!(process.unwrap().exited().await.code, Some(7));
    }
}
