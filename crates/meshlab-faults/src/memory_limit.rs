//! `memory_limit`: lets a node have so much more memory and no more, by a control group.

use std::{fs, time::Duration};

use async_trait::async_trait;
use meshlab_fleet::{Burden, CgroupError, Confined, Controller, Probe};
use meshlab_model::ByteSize;
use tokio::time::Instant;

use crate::{
    Applied, Evidence, Fault, FaultError, Hurts, Target, Undo, Victim,
    fault::DEATH,
    limits::{LIMITED_WITHIN, LOOK_EVERY, SETS, failed, refused, release},
};

const NAME: &str = "memory_limit";

/// A limit is rounded to whole pages by the kernel.
const PAGE: u64 = 4096;
/// What a probe asks for beyond the limit.
const BEYOND: u64 = 4 * 1024 * 1024;
/// Less is not enough for the kernel's own book-keeping of a process.
const LEAST: u64 = 1024 * 1024;

/// Limits the memory that a node's process takes from now on. What it holds already stays counted
/// where it was.
#[derive(Debug, Clone, Copy)]
pub struct MemoryLimit;

#[async_trait]
impl Fault for MemoryLimit {
    fn name(&self) -> &'static str {
        NAME
    }

    fn hurts(&self) -> Hurts {
        Hurts::Process
    }

    fn sets(&self) -> &'static str {
        SETS
    }

    fn evidence(&self) -> Evidence {
        let why = "a node that keeps within its memory is as it was";
        Evidence::Unnoticed { none_of: DEATH, why }
    }

    async fn apply(&self, target: &Target) -> Result<Applied, FaultError> {
        let victim = target.one(NAME)?;
        let node = victim.node.clone();
        let unset = FaultError::NotSet { fault: NAME, setting: "memory" };
        let bytes = target.settings.memory.ok_or(unset)? / PAGE * PAGE;
        check(bytes, available_bytes()).map_err(|why| refused(NAME, &node, why))?;
        let confined = victim.process.confine(Controller::Memory).map_err(failed(NAME, &node))?;
        set(&confined, bytes).map_err(failed(NAME, &node))?;
        let witness = hit(victim, &confined, bytes, LIMITED_WITHIN).await?;
        let undo = Undo::needed("moved back, and its group removed", move || {
            release(NAME, node, confined)
        });
        Ok(Applied { witness, undo: Some(undo) })
    }
}

fn check(bytes: u64, available: Option<u64>) -> Result<(), String> {
    if bytes < LEAST {
        return Err(format!(
            "{} is less than any process takes; give 1 MiB or more",
            ByteSize(bytes)
        ));
    }
    // The probe has to reach the limit, and the host must not be short of memory by it.
    match available {
        Some(available) if available / 2 < bytes => Err(format!(
            "{} could only be reached by taking more than half of what this host has left ({}); \
             give less",
            ByteSize(bytes),
            ByteSize(available)
        )),
        _ => Ok(()),
    }
}

fn available_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

fn file(confined: &Confined) -> &'static str {
    if confined.is_unified() { "memory.max" } else { "memory.limit_in_bytes" }
}

fn set(confined: &Confined, bytes: u64) -> Result<(), CgroupError> {
    confined.write(file(confined), &bytes.to_string())?;
    // Where there is swap it would make room; where there is none these files are missing.
    let _ = match confined.is_unified() {
        true => confined.write("memory.swap.max", "0"),
        false => confined.write("memory.memsw.limit_in_bytes", &bytes.to_string()),
    };
    Ok(())
}

/// How many processes the kernel killed for the limit.
fn hits(confined: &Confined) -> Result<u64, CgroupError> {
    match confined.is_unified() {
        true => confined.count("memory.events", "oom_kill "),
        false => confined.count("memory.oom_control", "oom_kill "),
    }
}

/// The witness: the kernel reads the limit back, and a probe in the same group that takes more is
/// killed for it. The probe is the kernel's first choice, so that the node is not its victim; if
/// the node dies all the same, that is told.
async fn hit(
    victim: &Victim,
    confined: &Confined,
    bytes: u64,
    within: Duration,
) -> Result<String, FaultError> {
    let node = &victim.node;
    let failed = failed(NAME, node);
    let system = |error: std::io::Error| refused(NAME, node, format!("its probe: {error}"));
    let not_seen =
        |missing| FaultError::NotWitnessed { fault: NAME, on: node.to_string(), missing, within };
    let read = confined.read(file(confined)).map_err(&failed)?;
    if read != bytes.to_string() {
        return Err(not_seen(format!("the kernel reads the limit back as {read}, not {bytes}")));
    }
    let before = hits(confined).map_err(&failed)?;
    let mut probe = Probe::start(Burden::Memory(bytes + BEYOND)).map_err(system)?;
    confined.admit(probe.pid()).map_err(&failed)?;
    probe.go().map_err(system)?;
    let deadline = Instant::now() + within;
    let end = loop {
        match probe.ended().map_err(system)? {
            Some(end) => break end,
            None if Instant::now() >= deadline => {
                return Err(not_seen("a probe that takes more than the limit goes on".to_owned()));
            }
            None => tokio::time::sleep(LOOK_EVERY).await,
        }
    };
    if let Some(exit) = victim.process.exit() {
        return Err(refused(NAME, node, format!("the node itself ended by it, with {exit}")));
    }
    let times = hits(confined).map_err(&failed)?.saturating_sub(before);
    let limit = ByteSize(bytes);
    if !end.killed || times == 0 {
        return Err(not_seen(format!("a probe in its group took more than {limit} unharmed")));
    }
    if !confined.holds(victim.process.pid()).map_err(&failed)? {
        return Err(refused(NAME, node, "its process left the group again".to_owned()));
    }
    Ok(format!(
        "the kernel reads back {limit} for what it takes from now on; a probe in its group that \
         took more was killed"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Revived, Settings, fixture::sleeper};

    const MIB: u64 = 1024 * 1024;

    fn nobody() -> Result<Revived, String> {
        Err("a limit starts nothing".to_owned())
    }

    #[tokio::test]
    async fn it_limits_is_witnessed_and_spares_the_node() {
        let one = sleeper("exec sleep 600").await;
        let mut target = one.target(nobody());
        target.settings = Settings { memory: Some(16 * MIB), ..Settings::default() };
        let applied = match MemoryLimit.apply(&target).await {
            Err(FaultError::Unavailable { .. }) => return,
            applied => applied.unwrap(),
        };
        assert!(applied.witness.contains("reads back 16.0 MiB"), "{applied:?}");
        let pid = one.victim.process.pid();
        let groups = || fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        assert!(groups().contains("node-1-memory"));
        applied.undo.unwrap().carry_out().await.unwrap();
        assert!(!groups().contains("node-1-memory"));
        assert_eq!(one.victim.process.exit(), None);
    }

    #[tokio::test]
    async fn a_group_without_the_limit_is_no_witness() {
        let one = sleeper("exec sleep 600").await;
        let confined = match one.victim.process.confine(Controller::Memory) {
            Err(CgroupError::Unavailable(_)) => return,
            confined => confined.unwrap(),
        };
        let soon = Duration::from_secs(10);
        let error = hit(&one.victim, &confined, 8 * MIB, soon).await.unwrap_err().to_string();
        assert!(error.contains("the kernel reads the limit back as"), "{error}");
        confined.release().await.unwrap();
    }

    #[tokio::test]
    async fn a_node_that_ends_by_it_is_told() {
        let one = sleeper("exec sleep 600").await;
        let confined = match one.victim.process.confine(Controller::Memory) {
            Err(CgroupError::Unavailable(_)) => return,
            confined => confined.unwrap(),
        };
        set(&confined, 8 * MIB).unwrap();
        one.victim.process.signal(libc::SIGKILL).unwrap();
        one.victim.process.exited().await;
        let hit = hit(&one.victim, &confined, 8 * MIB, LIMITED_WITHIN).await;
        let error = hit.unwrap_err().to_string();
        assert!(error.contains("the node itself ended by it, with signal 9"), "{error}");
        confined.release().await.unwrap();
    }

    #[test]
    fn limits_that_no_process_or_no_host_can_meet_are_refused() {
        assert!(check(LEAST - 1, None).unwrap_err().contains("less than any process takes"));
        assert!(check(600 * MIB, Some(1000 * MIB)).unwrap_err().contains("more than half"));
        assert_eq!(check(400 * MIB, Some(1000 * MIB)), Ok(()));
        assert!(available_bytes().unwrap() > MIB);
    }
}
