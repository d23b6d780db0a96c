//! Witnesses of processes: what the kernel says of one.

use std::{collections::BTreeMap, time::Duration};

use meshlab_fleet::Process;
use tokio::time::Instant;

use crate::{FaultError, Victim};

/// A killed process goes as soon as it next gets a processor, and is reaped then; one in an
/// uninterruptible wait does not go, and then the fault did not act.
pub(crate) const REAPED_WITHIN: Duration = Duration::from_secs(15);

/// A state changes when a signal is delivered, in microseconds to milliseconds.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The witness of a kill: the kernel says that this very process ended by signal 9.
pub(crate) async fn reaped_by_sigkill(
    fault: &'static str,
    victim: &Victim,
    within: Duration,
) -> Result<String, FaultError> {
    let pid = victim.process.pid();
    let missing = match victim.process.exited_within(within).await {
        Some(exit) if exit.signal == Some(libc::SIGKILL) => {
            return Ok(format!("pid {pid} reaped, ended by signal 9"));
        }
        Some(exit) => format!("pid {pid} ended with {exit}, not by signal 9"),
        None => format!("pid {pid} was not reaped"),
    };
    Err(FaultError::NotWitnessed { fault, on: victim.node.to_string(), missing, within })
}

/// What the scheduler says of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scheduled {
    /// `T` is stopped by a signal; see proc_pid_stat(5).
    pub(crate) state: char,
    /// User and system time so far, in clock ticks.
    pub(crate) ticks: u64,
}

impl Scheduled {
    /// `None` if there is no such process.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Of a process and of everything that it started; `None` if it has ended.
    pub(crate) fn of_family(process: &Process) -> Option<BTreeMap<u32, Self>> {
        if process.exit().is_some() {
            return None;
        }
        let family = process.family().into_iter();
        let all: BTreeMap<u32, Self> =
            family.filter_map(|pid| Some((pid, Self::of(pid)?))).collect();
        all.contains_key(&process.pid()).then_some(all)
    }

    pub(crate) fn is_stopped(self) -> bool {
        self.state == 'T'
    }

    /// Whether it only waits for its end to be noticed.
    pub(crate) fn has_ended(self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

fn parse(stat: &str) -> Option<Scheduled> {
    // The name may hold spaces and parentheses; what follows its last `)` is well-formed.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    // Fields 14 and 15 of the line; the state is field 3.
    let user: u64 = fields.nth(10)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Scheduled { state, ticks: user + system })
}

/// Looks at a process and at what it started until `seen` has an answer; `None` if it never does
/// within `within`.
pub(crate) async fn look_until<T>(
    process: &Process,
    within: Duration,
    mut seen: impl FnMut(Option<BTreeMap<u32, Scheduled>>) -> Option<T>,
) -> Option<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(answer) = seen(Scheduled::of_family(process)) {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::sleeper;

    #[tokio::test]
    async fn a_process_that_ended_by_itself_is_no_witness() {
        let one = sleeper("exit 0").await;
        one.victim.process.exited().await;
        let error = reaped_by_sigkill("kill_node", &one.victim, REAPED_WITHIN).await.unwrap_err();
        assert!(error.to_string().contains("ended with exit code 0, not by signal 9"), "{error}");
    }

    #[tokio::test]
    async fn a_process_that_stays_is_no_witness() {
        let one = sleeper("exec sleep 600").await;
        let soon = Duration::from_millis(50);
        let error = reaped_by_sigkill("kill_node", &one.victim, soon).await.unwrap_err();
        assert!(error.to_string().contains("was not reaped within 50.0 ms"), "{error}");
    }

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let line = "7 (a) T (b) T 1 7 7 0 -1 4194560 100 0 0 0 12 5 0 0 20 0 1 0 500 1 1";
        assert_eq!(parse(line), Some(Scheduled { state: 'T', ticks: 17 }));
        assert_eq!(parse("7 (sh"), None);
    }
}
