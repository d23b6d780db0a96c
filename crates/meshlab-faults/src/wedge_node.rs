//! `wedge_node`: stops a node's process in its tracks, by SIGSTOP, and lets it go on.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use meshlab_fleet::{FleetError, Process};
use meshlab_mutants::{Mutant, on};
use tokio::time::Instant;

use crate::{
    Applied, Evidence, Fault, FaultError, Hurts, Target, Undo, Victim,
    fault::DEATH,
    process::{Scheduled, look_until},
    undo::Rollback,
};

const NAME: &str = "wedge_node";

/// A signal stops a thread when that is next on a processor: milliseconds, and seconds where many
/// wait for one.
const STOPPED_WITHIN: Duration = Duration::from_secs(10);
/// A signal is delivered in less, unless the host is busy.
const STOP_AGAIN: Duration = Duration::from_millis(5);
/// A process that something else lets go on at once, a debugger or a shell, is seen in this.
const HELD_FOR: Duration = Duration::from_millis(200);
/// As for stopping.
const RUNS_WITHIN: Duration = Duration::from_secs(10);

/// Stops a node's process. Its sockets stay open and take packets in until they are full; the node
/// itself says nothing any more.
#[derive(Debug, Clone, Copy)]
pub struct WedgeNode;

#[async_trait]
impl Fault for WedgeNode {
    fn name(&self) -> &'static str {
        NAME
    }

    fn hurts(&self) -> Hurts {
        Hurts::Process
    }

    fn freezes(&self) -> bool {
        true
    }

    fn evidence(&self) -> Evidence {
        Evidence::Spans {
            any_of: DEATH,
            // As for a killed node: to others, silence is silence.
            slack: Duration::from_secs(2),
            none_of: &[],
        }
    }

    async fn apply(&self, target: &Target) -> Result<Applied, FaultError> {
        let victim = target.one(NAME)?;
        let rollback = Rollback::new(|| {
            // What failed before is the reason that is told.
            let _ = victim.process.signal_family(libc::SIGCONT);
        });
        if !on(Mutant::FaultWithoutEffect) {
            stop_all(&victim.process).await?;
        }
        let witness = stays_stopped(victim, STOPPED_WITHIN, HELD_FOR).await?;
        rollback.keep();
        let victim = victim.clone();
        let undo = Undo::needed("SIGCONT, and it runs again", move || go_on(victim, RUNS_WITHIN));
        Ok(Applied { witness, undo: Some(undo) })
    }
}

/// Stops a process and everything that it started. What one of them starts before it is stopped
/// itself is found by another look.
async fn stop_all(process: &Process) -> Result<(), FleetError> {
    let deadline = Instant::now() + STOPPED_WITHIN;
    loop {
        process.signal_family(libc::SIGSTOP)?;
        let seen = Scheduled::of_family(process);
        if seen.is_none_or(|seen| running(&seen).is_none()) || Instant::now() >= deadline {
            return Ok(());
        }
        tokio::time::sleep(STOP_AGAIN).await;
    }
}

/// The witness: the kernel holds the process, and everything that it started, to be stopped, for
/// all of `held`, and none of them uses CPU time in that.
async fn stays_stopped(
    victim: &Victim,
    within: Duration,
    held: Duration,
) -> Result<String, FaultError> {
    let process = &victim.process;
    let pid = process.pid();
    if on(Mutant::WitnessUnseen) {
        return Ok(format!("pid {pid} is stopped (state T)"));
    }
    let not_seen = |missing, within| FaultError::NotWitnessed {
        fault: NAME,
        on: victim.node.to_string(),
        missing,
        within,
    };
    let mut last = None;
    let stopped = look_until(process, within, |seen| {
        last = seen
            .as_ref()
            .map_or(Some((pid, None)), |seen| running(seen).map(|(pid, one)| (pid, Some(one))));
        let root = |seen: &BTreeMap<u32, Scheduled>| seen[&pid].is_stopped();
        seen.filter(|seen| root(seen) && running(seen).is_none())
    });
    let Some(stopped) = stopped.await else {
        let (pid, state) = told(last, pid);
        return Err(not_seen(format!("pid {pid} was not stopped (state {state})"), within));
    };
    let broken =
        look_until(process, held, |seen| (seen.as_ref() != Some(&stopped)).then_some(seen));
    let Some(seen) = broken.await else {
        let all = match stopped.len() {
            1 => format!("pid {pid} is"),
            2 => format!("pid {pid} and 1 process that it started are"),
            count => format!("pid {pid} and {} processes that it started are", count - 1),
        };
        let held = meshlab_model::format_duration(held);
        return Ok(format!("{all} stopped (state T) and used no CPU time for {held}"));
    };
    let other = seen.map(|seen| {
        let changed = seen.iter().find(|(pid, one)| stopped.get(pid) != Some(one));
        changed.map_or((pid, None), |(pid, one)| (*pid, Some(*one)))
    });
    let (pid, state) = told(Some(other.unwrap_or((pid, None))), pid);
    Err(not_seen(format!("pid {pid} did not stay stopped (state {state} after T)"), held))
}

/// One that is not stopped, and has not ended either.
fn running(seen: &BTreeMap<u32, Scheduled>) -> Option<(u32, Scheduled)> {
    let mut all = seen.iter().filter(|(_, one)| !one.is_stopped() && !one.has_ended());
    all.next().map(|(pid, one)| (*pid, *one))
}

fn told(last: Option<(u32, Option<Scheduled>)>, root: u32) -> (u32, String) {
    let (pid, one) = last.unwrap_or((root, None));
    (pid, one.map_or_else(|| "gone".to_owned(), |one| one.state.to_string()))
}

async fn go_on(victim: Victim, within: Duration) -> Result<(), FaultError> {
    victim.process.signal_family(libc::SIGCONT)?;
    // A process that has ended meanwhile is wedged no more.
    let stopped = |seen: &BTreeMap<u32, Scheduled>| {
        seen.iter().find(|(_, one)| one.is_stopped()).map(|(pid, _)| *pid)
    };
    let mut last = victim.process.pid();
    let runs = look_until(&victim.process, within, |seen| {
        let stopped = seen.as_ref().and_then(stopped);
        last = stopped.unwrap_or(last);
        stopped.is_none().then_some(())
    });
    let runs = runs.await;
    runs.ok_or_else(|| FaultError::Undo {
        fault: NAME,
        on: victim.node.to_string(),
        why: format!(
            "pid {last} is still stopped {} after SIGCONT",
            meshlab_model::format_duration(within)
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Revived,
        fixture::{sleeper, sleeper_with_clock},
    };

    const SOON: Duration = Duration::from_millis(50);

    type Seen = BTreeMap<u32, Scheduled>;

    fn all_stopped(seen: &Seen) -> bool {
        running(seen).is_none()
    }

    fn nobody() -> Result<Revived, String> {
        Err("a wedge starts nothing".to_owned())
    }

    #[tokio::test]
    async fn it_stops_a_busy_process_and_lets_it_go_on() {
        let one = sleeper("while :; do :; done").await;
        let applied = WedgeNode.apply(&one.target(nobody())).await.unwrap();
        assert!(applied.witness.contains("is stopped (state T) and used no CPU"), "{applied:?}");
        let process = &one.victim.process;
        assert!(Scheduled::of(process.pid()).unwrap().is_stopped());
        let undo = applied.undo.unwrap();
        assert!(undo.is_needed(), "a wedged node cannot be asked to leave");
        undo.carry_out().await.unwrap();
        let before = Scheduled::of(process.pid()).unwrap().ticks;
        let works = look_until(process, Duration::from_secs(20), |seen| {
            seen.is_some_and(|seen| seen[&process.pid()].ticks > before).then_some(())
        });
        assert_eq!(works.await, Some(()), "it uses CPU time again");
    }

    #[tokio::test]
    async fn a_process_that_runs_or_is_gone_is_no_witness() {
        let one = sleeper("exec sleep 600").await;
        let error = stays_stopped(&one.victim, SOON, SOON).await.unwrap_err();
        assert!(error.to_string().contains("was not stopped (state "), "{error}");
        let one = sleeper("exit 0").await;
        one.victim.process.exited().await;
        let error = stays_stopped(&one.victim, SOON, SOON).await.unwrap_err();
        assert!(error.to_string().contains("was not stopped (state gone) within 50"), "{error}");
    }

    #[tokio::test]
    async fn a_wedge_that_is_given_up_half_way_lets_the_process_go_on() {
        let one = sleeper("exec sleep 600").await;
        let process = &one.victim.process;
        let target = one.target(nobody());
        let stopped = look_until(process, STOPPED_WITHIN, |seen| seen.filter(all_stopped));
        // Who looks comes first: where both are late, the wedge was given up all the same.
        tokio::select! {
            biased;
            stopped = stopped => assert!(stopped.is_some()),
            applied = WedgeNode.apply(&target) => panic!("it took no time: {applied:?}"),
        }
        let runs = |seen: Option<Seen>| seen.filter(|seen| !all_stopped(seen));
        assert!(look_until(process, RUNS_WITHIN, runs).await.is_some());
    }

    #[tokio::test]
    async fn a_process_that_does_not_stay_stopped_is_no_witness() {
        let one = sleeper("exec sleep 600").await;
        let process = one.victim.process.clone();
        process.signal(libc::SIGSTOP).unwrap();
        let is_stopped = |seen: Option<Seen>| seen.filter(all_stopped);
        assert!(look_until(&process, STOPPED_WITHIN, is_stopped).await.is_some());
        // The witness has its first look, which sees it stopped, before the other lets it go on.
        let meddler = async {
            tokio::task::yield_now().await;
            process.signal(libc::SIGCONT).unwrap();
        };
        let held = stays_stopped(&one.victim, STOPPED_WITHIN, Duration::from_secs(20));
        let (witness, ()) = tokio::join!(held, meddler);
        let error = witness.unwrap_err().to_string();
        assert!(error.contains("did not stay stopped"), "{error}");
    }

    #[tokio::test]
    async fn one_that_stays_stopped_after_all_fails_its_undo_and_a_dead_one_does_not() {
        let one = sleeper("exec sleep 600").await;
        let process = &one.victim.process;
        process.signal(libc::SIGSTOP).unwrap();
        stays_stopped(&one.victim, STOPPED_WITHIN, SOON).await.unwrap();
        process.signal(libc::SIGKILL).unwrap();
        process.exited().await;
        go_on(one.victim.clone(), SOON).await.unwrap();
    }

    #[tokio::test]
    async fn what_a_program_started_is_stopped_with_it_and_a_worker_that_goes_on_is_named() {
        // The shell waits; the worker works for as long as that is there.
        let script = "sh -c 'while kill -0 $PPID; do :; done' & wait";
        let one = sleeper_with_clock(script).await;
        let process = &one.victim.process;
        let worker = look_until(process, Duration::from_secs(20), |seen| {
            seen.and_then(|seen| seen.keys().copied().find(|pid| *pid != process.pid()))
        });
        let worker = worker.await.unwrap();
        let applied = WedgeNode.apply(&one.target(nobody())).await.unwrap();
        assert!(
            applied.witness.contains("and 1 process that it started are stopped"),
            "{applied:?}"
        );
        assert!(Scheduled::of(worker).unwrap().is_stopped());
        applied.undo.unwrap().carry_out().await.unwrap();
        assert!(!Scheduled::of(worker).unwrap().is_stopped());
        // Only the program itself is stopped, as if its worker were no concern of anybody's.
        process.signal(libc::SIGSTOP).unwrap();
        let seen = look_until(process, Duration::from_secs(20), |seen| {
            seen.filter(|seen| seen[&process.pid()].is_stopped())
        });
        let (pid, _) = running(&seen.await.unwrap()).unwrap();
        assert_eq!(pid, worker, "the worker is seen to go on");
        process.signal(libc::SIGCONT).unwrap();
    }
}
