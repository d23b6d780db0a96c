//! The clock of a rehearsal: nobody waits, whoever is due first goes on first.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How often everything else may go on before the one who is due first does: once to be asked, and
/// once more for what the first round woke.
const ROUNDS: u32 = 2;

pub(super) struct Clock {
    times: Mutex<Times>,
}

struct Times {
    now: Duration,
    /// Who waits: until when, and a number to tell them apart.
    sleepers: BTreeSet<(Duration, u64)>,
    last: u64,
    /// When, in real time, somebody's wait was last over.
    moved: Instant,
    /// Work that the script did since, in instructions of Lua.
    work: u64,
}

impl Clock {
    pub(super) fn new() -> Self {
        let times = Times {
            now: Duration::ZERO,
            sleepers: BTreeSet::new(),
            last: 0,
            moved: Instant::now(),
            work: 0,
        };
        Self { times: Mutex::new(times) }
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Duration {
        self.times().now
    }

    /// Lets time pass that nobody can use: what an answer takes.
    pub(super) fn pass(&self, length: Duration) {
        let mut times = self.times();
        times.now = times.now.saturating_add(length);
    }

    /// Real time since a wait was last over.
    pub(super) fn stood_for(&self) -> Duration {
        self.times().moved.elapsed()
    }

    /// Somebody begins anew, so nothing stands still any more.
    pub(super) fn begin(&self) {
        self.times().move_on();
    }

    pub(super) fn add_work(&self, instructions: u64) {
        let mut times = self.times();
        times.work = times.work.saturating_add(instructions);
    }

    /// Work that the script did since a wait was last over, in instructions of Lua.
    pub(super) fn work(&self) -> u64 {
        self.times().work
    }

    /// Waits until `length` has passed and everybody who is due before has gone on.
    pub(super) async fn wait(&self, length: Duration) {
        let sleeper = Sleeper::new(self, length);
        let mut rounds = 0;
        while rounds < ROUNDS {
            tokio::task::yield_now().await;
            rounds = if sleeper.is_first() { rounds + 1 } else { 0 };
        }
        let mut times = self.times();
        times.now = times.now.max(sleeper.place.0);
        times.move_on();
    }
}

impl Times {
    fn move_on(&mut self) {
        self.moved = Instant::now();
        self.work = 0;
    }
}

/// One who waits; whoever is cancelled waits no more.
struct Sleeper<'a> {
    clock: &'a Clock,
    place: (Duration, u64),
}

impl<'a> Sleeper<'a> {
    fn new(clock: &'a Clock, length: Duration) -> Self {
        let mut times = clock.times();
        times.last += 1;
        let place = (times.now.saturating_add(length), times.last);
        times.sleepers.insert(place);
        drop(times);
        Self { clock, place }
    }

    fn is_first(&self) -> bool {
        self.clock.times().sleepers.first() == Some(&self.place)
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        self.clock.times().sleepers.remove(&self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_due_first_goes_on_first_and_days_take_no_time() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let clock = Clock::new();
        let order = Mutex::new(Vec::new());
        let wait = |seconds| {
            let (clock, order) = (&clock, &order);
            async move {
                clock.wait(Duration::from_secs(seconds)).await;
                order.lock().unwrap().push((seconds, clock.now().as_secs()));
            }
        };
        let began = Instant::now();
        runtime.block_on(async { tokio::join!(wait(345_600), wait(5), wait(60)) });
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
        assert_eq!(*order.lock().unwrap(), [(5, 5), (60, 60), (345_600, 345_600)]);
    }

    #[test]
    fn who_is_cancelled_holds_up_nobody() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let clock = Clock::new();
        runtime.block_on(async {
            tokio::select! {
                () = clock.wait(Duration::from_secs(9)) => {}
                () = clock.wait(Duration::from_secs(5)) => {}
            }
            clock.wait(Duration::from_secs(1)).await;
        });
        assert_eq!(clock.now(), Duration::from_secs(6));
    }
}
