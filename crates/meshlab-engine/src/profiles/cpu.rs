//! Where a node's CPU time goes, for a while.

use std::{fs, path::Path, time::Duration};

use meshlab_model::{ClaimId, NodeId, RunEventKind};
use meshlab_profile::{Folded, Title, collapse, cpu_time, files, record};
use meshlab_wire::{Reply, Request};

use super::{ITSELF, PERF, itself, prefix, raw};
use crate::{CpuProfile, Engine, HostError, engine::lock};

/// Samples in a second of CPU time, if the run does not say.
const HZ: u32 = 99;

/// How long a node that broke a limit is looked at.
pub(super) const EXPLAINS: Duration = Duration::from_secs(2);

/// Beyond its length, the longest that a profile may take: to start, to be written.
const SLACK: Duration = Duration::from_secs(10);

/// Functions that are told.
const HOTTEST: usize = 10;

impl Engine {
    /// Profiles a node for `length`: by `perf`, and by the node itself where that cannot be.
    pub(crate) async fn cpu_of(
        &self,
        node: &NodeId,
        length: Duration,
        claim: Option<ClaimId>,
    ) -> Result<CpuProfile, HostError> {
        let shared = &self.shared;
        let pids = self.life(node)?.process.family();
        let hz = shared.config.profile.cpu_hz.unwrap_or(HZ);
        let raw = raw(&shared.folder.profiles);
        fs::create_dir_all(&raw).map_err(|error| {
            HostError::Harness(format!("failed to make {}: {error}", raw.display()))
        })?;
        let number = lock(&shared.profiles).next(node);
        let data = raw.join(format!("{node}-{number}.data"));
        let by_perf = match &shared.config.profile.no_perf {
            Some(why) => Err(why.clone()),
            None => self.by_perf(&pids, hz, length, &data, claim).await?,
        };
        let (stacks, sampler, hz) = match by_perf {
            Ok(stacks) => (stacks, PERF, hz),
            Err(why) => {
                let hz = hz.min(itself::HZ_MAX);
                let addresses = raw.join(format!("{node}-{number}.addresses"));
                let lasting = lock(&shared.profiles).lasting(node);
                let stacks = match lasting {
                    Some(path) => self.part_of(node, &path, length, claim).await,
                    None => self.by_itself(node, hz, length, &addresses, claim).await,
                };
                (stacks.map_err(|error| neither(&why, &error))?, ITSELF, hz)
            }
        };
        let samples = stacks.samples();
        let hottest = stacks.hottest(HOTTEST).into_iter();
        let share = |own: u64| own as f64 / samples.max(1) as f64;
        let hottest = hottest.map(|frame| (frame.frame, share(frame.own))).collect();
        let mut taken = CpuProfile { samples, sampler, file: None, hottest };
        if samples == 0 {
            return Ok(taken);
        }
        let used = cpu_time(samples, hz).as_secs_f64();
        let title = Title {
            title: format!("CPU of {node}"),
            rests_on: format!(
                "{samples} samples at {hz} Hz by {sampler} over {:.1} s: about {used:.1} s of CPU \
                 time; what waits is not seen",
                length.as_secs_f64()
            ),
            unit: "samples".to_owned(),
        };
        let name = format!("{node}-{number}");
        files::write(&shared.folder.profiles, &name, &stacks, &title)
            .map_err(|error| HostError::Harness(format!("failed to draw: {error}")))?;
        let file = format!("{}/{name}.svg", prefix(shared));
        taken.file = Some(file.clone());
        shared.event(RunEventKind::ProfileTaken {
            node: Some(node.clone()),
            kind: "cpu".to_owned(),
            file,
            samples,
            hz,
            sampler: Some(sampler.to_owned()),
            claim,
        });
        Ok(taken)
    }

    /// From outside; the inner error says why it cannot be.
    async fn by_perf(
        &self,
        pids: &[u32],
        hz: u32,
        length: Duration,
        data: &Path,
        claim: Option<ClaimId>,
    ) -> Result<Result<Folded, String>, HostError> {
        let mut recording = match record(pids, hz, data) {
            Ok(recording) => recording,
            Err(error) => return Ok(Err(error.to_string())),
        };
        // On a busy host it takes a while until it looks: that is no part of the length.
        let begins = tokio::time::Instant::now() + SLACK;
        while tokio::time::Instant::now() < begins && !recording.has_begun() {
            let soon = tokio::time::sleep(Duration::from_millis(10));
            self.unless_stopped(claim, soon).await?;
        }
        let until = tokio::time::Instant::now() + length;
        while tokio::time::Instant::now() < until && !recording.has_ended() {
            // It ends early where it is forbidden, or where the node ends.
            let step = Duration::from_millis(100);
            let next = (tokio::time::Instant::now() + step).min(until);
            self.unless_stopped(claim, tokio::time::sleep_until(next)).await?;
        }
        let work = move || {
            let stacks = recording.stop().and_then(|data| collapse(&data));
            stacks.map_err(|error| error.to_string())
        };
        let done = self.shared.runtime.spawn_blocking(work).await;
        Ok(done.unwrap_or_else(|error| Err(error.to_string())))
    }

    /// From inside, by the agent.
    async fn by_itself(
        &self,
        node: &NodeId,
        hz: u32,
        length: Duration,
        addresses: &Path,
        claim: Option<ClaimId>,
    ) -> Result<Folded, String> {
        let life = self.life(node).map_err(|error| error.to_string())?;
        let path = addresses.display().to_string();
        let for_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        let asking = life.process.control().ask(Request::Cpu { path, for_ms, hz }, length + SLACK);
        match self.unless_stopped(claim, asking).await.map_err(|error| error.to_string())? {
            Ok(Reply::Cpu { .. }) => {}
            Ok(Reply::Refused { why }) => return Err(why),
            Ok(other) => return Err(format!("it answered something else: {other:?}")),
            Err(error) => return Err(format!("failed to {error}")),
        }
        let stacks = files::read(addresses).map_err(|error| error.to_string())?;
        self.named(life.process.pid(), stacks).await
    }

    /// What a node that samples itself all the time saw within `length` from now on, to half a
    /// second.
    async fn part_of(
        &self,
        node: &NodeId,
        path: &Path,
        length: Duration,
        claim: Option<ClaimId>,
    ) -> Result<Folded, String> {
        let pid = self.life(node).map_err(|error| error.to_string())?.process.pid();
        let written = || fs::metadata(path).map_or(0, |file| file.len());
        let from = written();
        let over = self.unless_stopped(claim, tokio::time::sleep(length)).await;
        over.map_err(|error| error.to_string())?;
        self.named(pid, itself::read(path, from, written())?).await
    }

    /// Stacks of addresses in a process, with the names of its program.
    async fn named(&self, pid: u32, stacks: Folded) -> Result<Folded, String> {
        let program = fs::canonicalize(format!("/proc/{pid}/exe"))
            .map_err(|error| format!("its program cannot be found: {error}"))?;
        let names = lock(&self.shared.profiles).names_of(&program);
        let work = move || lock(&names).name(&program, &stacks).map_err(|error| error.to_string());
        let done = self.shared.runtime.spawn_blocking(work).await;
        done.unwrap_or_else(|error| Err(error.to_string()))
    }
}

fn neither(perf: &str, itself: &str) -> HostError {
    HostError::Harness(format!("{perf}; nor can the node sample itself: {itself}"))
}
