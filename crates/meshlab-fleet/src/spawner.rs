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
};

use tokio::runtime::Handle;

use crate::{FleetError, Mark, Process, SpawnSpec, cgroup::Cgroups, process};

struct Job {
    command: Command,
    done: tokio::sync::oneshot::Sender<io::Result<Child>>,
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
                // Whoever asked may be gone; then the child must not run either.
                if let Err(Ok(mut orphan)) = job.done.send(job.command.spawn()) {
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
        let gone = || FleetError::ShutDown(node.clone());
        let (done, child) = tokio::sync::oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(Job { command, done }).map_err(|_| gone())?;
        let child = child.await.map_err(|_| gone())?.map_err(|error| FleetError::Spawn {
            node: node.clone(),
            program: prepared.program.clone(),
            error,
        })?;
        // The child has its own copies of these ends; ours must go, or their end is never seen.
        drop(prepared.theirs);
        process::adopt(&self.runtime, node, child, prepared.ours, Arc::clone(&self.cgroups))
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
