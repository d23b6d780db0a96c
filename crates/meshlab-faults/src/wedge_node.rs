//! `wedge_node`: stops a node's process in its tracks, by SIGSTOP, and lets it go on.

use std::time::Duration;

use async_trait::async_trait;
use meshlab_mutants::{Mutant, on};

use crate::{
    Applied, Evidence, Fault, FaultError, Hurts, Target, Undo, Victim,
    fault::DEATH,
    process::{Scheduled, look_until},
    undo::Rollback,
};

const NAME: &str = "wedge_node";

/// A signal stops every thread as soon as it is next in the kernel: milliseconds on a busy host.
const STOPPED_WITHIN: Duration = Duration::from_secs(2);
/// A process that something else lets go on at once, a debugger or a shell, is seen in this.
const HELD_FOR: Duration = Duration::from_millis(200);
/// As for stopping.
const RUNS_WITHIN: Duration = Duration::from_secs(2);

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
        if !on(Mutant::FaultWithoutEffect) {
            victim.process.signal(libc::SIGSTOP)?;
        }
        let rollback = Rollback::new(|| {
            // What failed before is the reason that is told.
            let _ = victim.process.signal(libc::SIGCONT);
        });
        let witness = stays_stopped(victim, STOPPED_WITHIN, HELD_FOR).await?;
        rollback.keep();
        let victim = victim.clone();
        let undo = Undo::needed("SIGCONT, and it runs again", move || go_on(victim, RUNS_WITHIN));
        Ok(Applied { witness, undo: Some(undo) })
    }
}

/// The witness: the kernel holds the process to be stopped, for all of `held`, and it uses no CPU
/// time in that.
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
    let state =
        |seen: Option<Scheduled>| seen.map_or_else(|| "gone".into(), |s| s.state.to_string());
    let mut last = None;
    let stopped = look_until(process, within, |seen| {
        last = seen;
        seen.filter(|seen| seen.is_stopped())
    });
    let Some(stopped) = stopped.await else {
        return Err(not_seen(format!("pid {pid} was not stopped (state {})", state(last)), within));
    };
    let broken = look_until(process, held, |seen| (seen != Some(stopped)).then_some(seen)).await;
    match broken {
        None => Ok(format!(
            "pid {pid} is stopped (state T) and used no CPU time for {}",
            meshlab_model::format_duration(held)
        )),
        Some(seen) => Err(not_seen(
            format!("pid {pid} did not stay stopped (state {} after T)", state(seen)),
            held,
        )),
    }
}

async fn go_on(victim: Victim, within: Duration) -> Result<(), FaultError> {
    victim.process.signal(libc::SIGCONT)?;
    // A process that has ended meanwhile is wedged no more.
    let runs = |seen: Option<Scheduled>| seen.is_none_or(|seen| !seen.is_stopped()).then_some(());
    look_until(&victim.process, within, runs).await.ok_or_else(|| FaultError::Undo {
        fault: NAME,
        on: victim.node.to_string(),
        why: format!(
            "pid {} is still stopped {} after SIGCONT",
            victim.process.pid(),
            meshlab_model::format_duration(within)
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Revived, fixture::sleeper};

    const SOON: Duration = Duration::from_millis(50);

    fn nobody() -> Result<Revived, String> {
        Err("a wedge starts nothing".to_owned())
    }

    #[tokio::test]
    async fn it_stops_a_busy_process_and_lets_it_go_on() {
        let one = sleeper("while :; do :; done").await;
        let applied = WedgeNode.apply(&one.target(nobody())).await.unwrap();
        assert!(applied.witness.contains("is stopped (state T) and used no CPU"), "{applied:?}");
        let process = &one.victim.process;
        assert!(Scheduled::of(process).unwrap().is_stopped());
        let undo = applied.undo.unwrap();
        assert!(undo.is_needed(), "a wedged node cannot be asked to leave");
        undo.carry_out().await.unwrap();
        let before = Scheduled::of(process).unwrap().ticks;
        let works = look_until(process, Duration::from_secs(20), |seen| {
            seen.is_some_and(|seen| seen.ticks > before).then_some(())
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
        let stopped = look_until(process, STOPPED_WITHIN, |seen| seen.filter(|s| s.is_stopped()));
        tokio::select! {
            biased;
            applied = WedgeNode.apply(&target) => panic!("it took no time: {applied:?}"),
            stopped = stopped => assert!(stopped.is_some()),
        }
        let runs = |seen: Option<Scheduled>| seen.filter(|seen| !seen.is_stopped());
        assert!(look_until(process, RUNS_WITHIN, runs).await.is_some());
    }

    #[tokio::test]
    async fn a_process_that_does_not_stay_stopped_is_no_witness() {
        let one = sleeper("exec sleep 600").await;
        let process = one.victim.process.clone();
        process.signal(libc::SIGSTOP).unwrap();
        let is_stopped = |seen: Option<Scheduled>| seen.filter(|seen| seen.is_stopped());
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
}
