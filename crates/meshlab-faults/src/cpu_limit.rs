//! `cpu_limit`: lets a node have a share of one core and no more, by a control group.

use std::time::{Duration, Instant as StdInstant};

use async_trait::async_trait;
use meshlab_fleet::{Burden, Confined, Controller, Probe};
use meshlab_model::{NodeId, Percent, format_duration};
use tokio::time::Instant;

use crate::{
    Applied, Evidence, Fault, FaultError, Hurts, Target, Undo,
    fault::DEATH,
    limits::{LIMITED_WITHIN, LOOK_EVERY, SETS, failed, refused, release},
};

const NAME: &str = "cpu_limit";

/// The kernel takes no quota shorter than this.
const QUOTA_MICROS_MIN: f64 = 1000.0;
/// Periods that are offered: the shortest in which the quota is long enough, because what a process
/// waits for its next share is at most one of them.
const PERIODS_MICROS: [u64; 3] = [10_000, 100_000, 1_000_000];
/// The probes run for so many periods at least, and for so long.
const PERIODS_SEEN: u64 = 5;
const SEEN_FOR: Duration = Duration::from_millis(300);
/// The kernel hands out time in slices; what it gave too much it takes back in the next period.
const SHARE_SLACK: f64 = 1.3;
const SHARE_SLACK_CORES: f64 = 0.05;

/// Limits the CPU time of a node's process.
#[derive(Debug, Clone, Copy)]
pub struct CpuLimit;

#[async_trait]
impl Fault for CpuLimit {
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
        let why =
            "a node that idles needs no more than its share, and a busy one is slow, not dead";
        Evidence::Unnoticed { none_of: DEATH, why }
    }

    async fn apply(&self, target: &Target) -> Result<Applied, FaultError> {
        let victim = target.one(NAME)?;
        let node = victim.node.clone();
        let cores =
            target.settings.cores.ok_or(FaultError::NotSet { fault: NAME, setting: "cpu" })?;
        let quota = Quota::of(cores).map_err(|why| refused(NAME, &node, why))?;
        let confined = victim.process.confine(Controller::Cpu).map_err(failed(NAME, &node))?;
        quota.set(&confined).map_err(failed(NAME, &node))?;
        let witness = throttled(&node, &confined, quota, cores, LIMITED_WITHIN).await?;
        if !confined.holds(victim.process.pid()).map_err(failed(NAME, &node))? {
            return Err(refused(NAME, &node, "its process left the group again".to_owned()));
        }
        let undo = Undo::needed("moved back, and its group removed", move || {
            release(NAME, node, confined)
        });
        Ok(Applied { witness, undo: Some(undo) })
    }
}

/// So many microseconds in each period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Quota {
    micros: u64,
    period_micros: u64,
}

impl Quota {
    /// The quota of a share of one core.
    fn of(cores: Percent) -> Result<Self, String> {
        let host = std::thread::available_parallelism().map_or(1, usize::from);
        if !(cores.0 > 0.0 && cores.0 < host as f64) {
            return Err(format!(
                "a limit of {cores} of a core limits nothing on a host with {host}; give more than \
                 0 and less than that"
            ));
        }
        let long_enough = |period: &u64| cores.0 * *period as f64 >= QUOTA_MICROS_MIN;
        let period_micros = PERIODS_MICROS.into_iter().find(long_enough).ok_or_else(|| {
            format!(
                "a limit of {cores} of a core is less than the kernel can give; give 0.1 % or more"
            )
        })?;
        Ok(Self { micros: (cores.0 * period_micros as f64) as u64, period_micros })
    }

    fn set(self, confined: &Confined) -> Result<(), meshlab_fleet::CgroupError> {
        let Self { micros, period_micros } = self;
        if confined.is_unified() {
            return confined.write("cpu.max", &format!("{micros} {period_micros}"));
        }
        confined.write("cpu.cfs_period_us", &period_micros.to_string())?;
        confined.write("cpu.cfs_quota_us", &micros.to_string())
    }

    fn read(confined: &Confined) -> Result<String, meshlab_fleet::CgroupError> {
        if confined.is_unified() {
            return confined.read("cpu.max");
        }
        let quota = confined.read("cpu.cfs_quota_us")?;
        Ok(format!("{quota} {}", confined.read("cpu.cfs_period_us")?))
    }
}

/// The witness: the kernel reads the quota back, and busy probes in the same group are throttled
/// and get no more than the share. The node itself may idle, and then nothing of it is to be seen.
async fn throttled(
    node: &NodeId,
    confined: &Confined,
    quota: Quota,
    cores: Percent,
    within: Duration,
) -> Result<String, FaultError> {
    let failed = failed(NAME, node);
    let system = |error: std::io::Error| refused(NAME, node, format!("its probe: {error}"));
    let not_seen =
        |missing| FaultError::NotWitnessed { fault: NAME, on: node.to_string(), missing, within };
    let (read, wanted) = (
        Quota::read(confined).map_err(&failed)?,
        format!("{} {}", quota.micros, quota.period_micros),
    );
    if read != wanted {
        return Err(not_seen(format!("the kernel reads the quota back as {read}, not {wanted}")));
    }
    let throttles = || confined.count("cpu.stat", "nr_throttled ").map_err(&failed);
    let before = throttles()?;
    // One more than the share could keep busy.
    let mut probes = Vec::new();
    for _ in 0..=cores.0.ceil() as u32 {
        let mut probe = Probe::start(Burden::Cpu).map_err(system)?;
        confined.admit(probe.pid()).map_err(&failed)?;
        probe.go().map_err(system)?;
        probes.push(probe);
    }
    let (started, deadline) = (StdInstant::now(), Instant::now() + within);
    let least = SEEN_FOR.max(Duration::from_micros(quota.period_micros * PERIODS_SEEN));
    while started.elapsed() < least || (throttles()? == before && Instant::now() < deadline) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let elapsed = started.elapsed();
    let mut used = Duration::ZERO;
    for probe in probes {
        used += probe.stop().map_err(system)?.map_or(Duration::ZERO, |end| end.cpu_time);
    }
    let times = throttles()? - before;
    let share = used.as_secs_f64() / elapsed.as_secs_f64();
    let seen = format!(
        "busy probes in its group had {} of a core for {}, throttled {times} times",
        Percent(share),
        format_duration(elapsed)
    );
    if times == 0 || share > cores.0 * SHARE_SLACK + SHARE_SLACK_CORES {
        return Err(not_seen(format!("{seen}, where {cores} were to be the most")));
    }
    Ok(format!("the kernel reads back {cores} of a core; {seen}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Revived, Settings, fixture::sleeper};

    fn nobody() -> Result<Revived, String> {
        Err("a limit starts nothing".to_owned())
    }

    fn limit(cores: f64) -> Settings {
        Settings { cores: Some(Percent(cores)), ..Settings::default() }
    }

    #[tokio::test]
    async fn it_limits_is_witnessed_and_is_taken_back() {
        let one = sleeper("exec sleep 600").await;
        let mut target = one.target(nobody());
        target.settings = limit(0.2);
        let applied = match CpuLimit.apply(&target).await {
            Err(FaultError::Unavailable { .. }) => return,
            applied => applied.unwrap(),
        };
        let said = "the kernel reads back 20.00 % of a core; busy probes in its group had";
        assert!(applied.witness.starts_with(said), "{applied:?}");
        let groups =
            || std::fs::read_to_string(format!("/proc/{}/cgroup", target.nodes[0].process.pid()));
        assert!(groups().unwrap().contains("node-1-cpu"));
        applied.undo.unwrap().carry_out().await.unwrap();
        assert!(!groups().unwrap().contains("node-1-cpu"));
    }

    #[tokio::test]
    async fn a_group_without_the_quota_is_no_witness() {
        let one = sleeper("exec sleep 600").await;
        let confined = match one.victim.process.confine(Controller::Cpu) {
            Err(meshlab_fleet::CgroupError::Unavailable(_)) => return,
            confined => confined.unwrap(),
        };
        let cores = Percent(0.2);
        let quota = Quota::of(cores).unwrap();
        let soon = Duration::from_millis(400);
        let node = &one.victim.node;
        let error = throttled(node, &confined, quota, cores, soon).await.unwrap_err().to_string();
        assert!(error.contains("the kernel reads the quota back as"), "{error}");
        // A quota that does not limit what it is held to: the probes get more, or are never
        // throttled on a host that is too busy to give it.
        let wide = Quota { micros: 9_900_000, ..quota };
        let wide = Quota { micros: wide.period_micros * 10, ..wide };
        wide.set(&confined).unwrap();
        let error = throttled(node, &confined, wide, cores, soon).await.unwrap_err().to_string();
        assert!(error.contains("were to be the most"), "{error}");
        confined.release().await.unwrap();
    }

    #[tokio::test]
    async fn shares_that_limit_nothing_or_cannot_be_given_are_refused() {
        let one = sleeper("exec sleep 600").await;
        let mut target = one.target(nobody());
        for (cores, told) in
            [(0.0, "limits nothing"), (10_000.0, "limits nothing"), (0.0001, "less")]
        {
            target.settings = limit(cores);
            let error = CpuLimit.apply(&target).await.unwrap_err().to_string();
            assert!(error.contains(told), "{cores}: {error}");
        }
        target.settings = Settings::default();
        let error = CpuLimit.apply(&target).await.unwrap_err().to_string();
        assert_eq!(error, "apply cpu_limit: `cpu` was not given");
    }

    #[test]
    fn the_period_is_the_shortest_that_the_share_allows() {
        let quota = |micros, period_micros| Ok(Quota { micros, period_micros });
        assert_eq!(Quota::of(Percent(0.2)), quota(2_000, 10_000));
        assert_eq!(Quota::of(Percent(0.02)), quota(2_000, 100_000));
        assert_eq!(Quota::of(Percent(0.002)), quota(2_000, 1_000_000));
    }
}
