//! `clock_skew` of a program that links no agent: by the page that a library before its own reads,
//! see [`ClockPage`](meshlab_wire::ClockPage).

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use meshlab_fleet::Clock;
use meshlab_model::format_duration;
use meshlab_wire::{ClockShift, ToldTime};
use tokio::time::Instant;

use crate::{
    Applied, FaultError, Target, Undo, Victim,
    clock_skew::{NAME, apart, expected, gained},
    fault::Stir,
    undo::Rollback,
};

/// A program that does anything at all asks for the time in this, to log it or to put it off.
const ASKED_WITHIN: Duration = Duration::from_secs(5);
/// What does not ask again after the undo cannot show it, and is not waited for as long: what it
/// will be told is in the page already.
const RIGHT_WITHIN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// A pace has to gain this much, in microseconds, before it is told from none.
const PLAIN_MICROS: i64 = 100;
/// Nanoseconds are rounded to microseconds, on either side.
const ROUNDING_NANOS: i64 = 2_000;
/// An answer may be of a clock of leap seconds, and a program may be held up before it is noted.
const MINUTE_NANOS: i64 = 60_000_000_000;

pub(crate) async fn apply(
    target: &Target,
    victim: Victim,
    clock: Arc<Clock>,
    shift: ClockShift,
) -> Result<Applied, FaultError> {
    let since = unix_nanos();
    let change = clock.page().set(shift, since);
    let rollback = Rollback::new(|| {
        clock.page().set(ClockShift::default(), unix_nanos());
    });
    let set = Set { change, shift, since };
    let witness = shows(&victim, &clock, set, &target.stir, ASKED_WITHIN).await?;
    rollback.keep();
    let (clock, stir) = (Arc::clone(&clock), Arc::clone(&target.stir));
    let undo = Undo::needed("offset 0 in the page that it reads", move || async move {
        set_right(victim, &clock, &stir, RIGHT_WITHIN).await
    });
    Ok(Applied { witness, undo: Some(undo) })
}

/// What was set, and when.
#[derive(Debug, Clone, Copy)]
struct Set {
    change: u64,
    shift: ClockShift,
    since: i64,
}

fn unix_nanos() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// The witness: the program asked for the time after the change, and what it was told differs from
/// the host's by what was asked for.
async fn shows(
    victim: &Victim,
    clock: &Clock,
    set: Set,
    stir: &Stir,
    within: Duration,
) -> Result<String, FaultError> {
    let (before, began) = (clock.page().answered(), Instant::now());
    let told = next_answer(victim, clock, set, stir, within).await;
    let answers = clock.page().answered().saturating_sub(before);
    let missing = |missing| FaultError::NotWitnessed {
        fault: NAME,
        on: victim.node.to_string(),
        missing,
        within: began.elapsed(),
    };
    let Some(told) = told else {
        if let Some(exit) = victim.process.exit() {
            return Err(missing(format!("it ended with {exit} before it asked for the time")));
        }
        let why = format!(
            "{} did not ask for the time within {}, at least not by `clock_gettime`, \
             `gettimeofday`, `time` or `timespec_get` of the C library, so nothing shows that its \
             clock is off; a program that asks the kernel itself, as Go does, has no other clock",
            victim.node,
            format_duration(within)
        );
        return Err(FaultError::Unavailable { fault: NAME, why });
    };
    let elapsed = Duration::from_nanos(told.real_nanos.saturating_sub(set.since).max(0) as u64);
    let wanted = expected(set.shift, elapsed);
    let seen = told.told_nanos.saturating_sub(told.real_nanos);
    if (seen - wanted.saturating_mul(1000)).abs() > ROUNDING_NANOS {
        let (seen, wanted) = (apart(seen / 1000), apart(wanted));
        return Err(missing(format!(
            "the last of {answers} answers that it was given for the time was {seen}, not {wanted}"
        )));
    }
    if (told.real_nanos - unix_nanos()).abs() > MINUTE_NANOS {
        let off = apart((told.real_nanos - unix_nanos()) / 1000);
        return Err(missing(format!("its answers are {off} of the host's own clock")));
    }
    Ok(format!(
        "it asked for the time, {answers} times since then, and was told {}, and {} was asked for",
        apart(seen / 1000),
        apart(wanted)
    ))
}

/// The newest answer by that setting, once there is one that tells it from none.
async fn next_answer(
    victim: &Victim,
    clock: &Clock,
    set: Set,
    stir: &Stir,
    within: Duration,
) -> Option<ToldTime> {
    let deadline = Instant::now() + within;
    let look = async {
        loop {
            let told = clock.page().last_by(set.change).filter(|told| {
                let passed = told.real_nanos.saturating_sub(set.since).max(0) as u64;
                let gained = gained(set.shift, Duration::from_nanos(passed)).abs();
                set.shift.drift_ppm == 0 || gained >= PLAIN_MICROS
            });
            if told.is_some() || victim.process.exit().is_some() || Instant::now() >= deadline {
                return told;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    // What sleeps until it is asked something asks for no time; so it is asked.
    let stirring = async {
        while Instant::now() < deadline {
            stir(victim.node.clone()).await;
            tokio::time::sleep(LOOK_EVERY).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        told = look => told,
        () = stirring => None,
    }
}

/// Sets it right; if the program asks again, what it is told shows that it is.
async fn set_right(
    victim: Victim,
    clock: &Clock,
    stir: &Stir,
    within: Duration,
) -> Result<(), FaultError> {
    let since = unix_nanos();
    let shift = ClockShift::default();
    let set = Set { change: clock.page().set(shift, since), shift, since };
    let told = next_answer(&victim, clock, set, stir, within).await;
    let ahead = told.map_or(0, |told| told.told_nanos.saturating_sub(told.real_nanos));
    if ahead.abs() <= ROUNDING_NANOS {
        return Ok(());
    }
    let why = format!("what it is told for the time is still {}", apart(ahead / 1000));
    Err(FaultError::Undo { fault: NAME, on: victim.node.to_string(), why })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use meshlab_model::Percent;

    use super::*;
    use crate::{
        ClockSkew, Fault, Revived, Settings,
        fixture::{Sleeper, sleeper_with_clock},
    };

    const SOON: Duration = Duration::from_millis(50);

    fn nobody() -> Result<Revived, String> {
        Err("a clock starts nothing".to_owned())
    }

    /// A target whose program asks for the time whenever it is stirred, through a library that adds
    /// what `ahead` says to what the page says.
    fn asking(one: &Sleeper, settings: Settings, hook: fn(i64, i64) -> i64) -> Target {
        let clock = Arc::clone(one.victim.process.clock().unwrap());
        let mut target = one.target(nobody());
        target.settings = settings;
        target.stir = Arc::new(move |_| {
            let real = unix_nanos();
            if let Some((change, ahead)) = clock.page().ahead(real) {
                let told = ToldTime { real_nanos: real, told_nanos: hook(real, ahead) };
                clock.page().note(change, told);
            }
            Box::pin(async {})
        });
        target
    }

    fn by(micros: i64) -> Settings {
        Settings { skew_micros: Some(micros), ..Settings::default() }
    }

    #[tokio::test]
    async fn a_program_that_is_told_what_was_asked_for_is_the_witness() {
        let one = sleeper_with_clock("exec sleep 600").await;
        let pace = Settings { drift: Some(Percent(-0.25)), ..Settings::default() };
        for (settings, said) in [
            (by(30_000_000), "was told 30.0 s ahead, and 30.0 s ahead was asked for"),
            (by(-500_000), "was told 500.0 ms behind"),
            (pace, "behind, and "),
        ] {
            let target = asking(&one, settings, |real, ahead| real + ahead);
            let applied = ClockSkew.apply(&target).await.unwrap();
            assert!(applied.witness.contains(said), "{applied:?}");
            applied.undo.unwrap().carry_out().await.unwrap();
            assert_eq!(one.victim.process.clock().unwrap().page().ahead(0).unwrap().1, 0);
        }
    }

    #[tokio::test]
    async fn a_hook_that_does_nothing_is_no_witness_and_leaves_the_clock_right() {
        let one = sleeper_with_clock("exec sleep 600").await;
        let target = asking(&one, by(30_000_000), |real, _| real);
        let error = ClockSkew.apply(&target).await.unwrap_err();
        let told = error.to_string();
        assert!(matches!(error, FaultError::NotWitnessed { .. }), "{error:?}");
        assert!(told.contains("answers that it was given for the time was 0 µs ahead"), "{told}");
        assert!(told.contains(", not 30.0 s ahead"), "{told}");
        assert_eq!(one.victim.process.clock().unwrap().page().ahead(0).unwrap().1, 0);
    }

    #[tokio::test]
    async fn a_program_that_asks_no_clock_says_nothing_either_way() {
        let one = sleeper_with_clock("exec sleep 600").await;
        let clock = Arc::clone(one.victim.process.clock().unwrap());
        let shift = ClockShift { offset_micros: 1_000_000, drift_ppm: 0 };
        let set = Set { change: clock.page().set(shift, 0), shift, since: 0 };
        let stir: Stir = Arc::new(|_| Box::pin(async {}));
        let error = shows(&one.victim, &clock, set, &stir, SOON).await.unwrap_err();
        assert!(matches!(error, FaultError::Unavailable { .. }), "{error:?}");
        assert!(error.to_string().contains("did not ask for the time within 50.0 ms"), "{error}");
        // An answer by a former setting is none by this one.
        clock.page().note(set.change - 1, ToldTime { real_nanos: 0, told_nanos: 1_000_000_000 });
        assert!(shows(&one.victim, &clock, set, &stir, SOON).await.is_err());
        one.victim.process.signal(libc::SIGKILL).unwrap();
        one.victim.process.exited().await;
        let error = shows(&one.victim, &clock, set, &stir, SOON).await.unwrap_err();
        assert!(error.to_string().contains("before it asked for the time"), "{error}");
    }

    #[tokio::test]
    async fn a_clock_that_stays_wrong_fails_its_undo() {
        let one = sleeper_with_clock("exec sleep 600").await;
        static STUCK: AtomicBool = AtomicBool::new(false);
        let stuck = |real: i64, ahead: i64| match STUCK.load(Ordering::SeqCst) {
            true => real + 30_000_000_000,
            false => real + ahead,
        };
        let applied = ClockSkew.apply(&asking(&one, by(30_000_000), stuck)).await.unwrap();
        STUCK.store(true, Ordering::SeqCst);
        let error = applied.undo.unwrap().carry_out().await.unwrap_err().to_string();
        assert!(error.contains("is still 30.0 s ahead"), "{error}");
    }
}
