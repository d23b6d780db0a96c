//! `clock_skew`: sets a node's wall clock wrong, by an offset, by another pace, or by both.

use std::time::{Duration, Instant as StdInstant, SystemTime};

use async_trait::async_trait;
use meshlab_fleet::FleetError;
use meshlab_model::format_duration;
use meshlab_wire::{ClockShift, Reply, Request};

use crate::{
    Applied, Evidence, Fault, FaultError, Hurts, Target, Undo, Victim, clock_preload, fault::DEATH,
    limits::refused,
};

pub(crate) const NAME: &str = "clock_skew";

/// A node answers on its control channel in milliseconds, or when it next gets a processor.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// In this time a pace that differs by a thousandth has gained more than a round trip takes.
const PACE_WITHIN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Two clocks are read at different moments: besides the round trip, whose bounds are known, both
/// are rounded, and the host's own clock is set right in small steps.
const READING_MICROS: i64 = 2_000;

/// Sets a node's wall clock wrong. No other node's, and not the host's.
#[derive(Debug, Clone, Copy)]
pub struct ClockSkew;

#[async_trait]
impl Fault for ClockSkew {
    fn name(&self) -> &'static str {
        NAME
    }

    fn hurts(&self) -> Hurts {
        Hurts::Process
    }

    fn evidence(&self) -> Evidence {
        let why =
            "who is heard by silence is heard by any clock: nobody evicts it, it evicts nobody";
        Evidence::Unnoticed { none_of: DEATH, why }
    }

    async fn apply(&self, target: &Target) -> Result<Applied, FaultError> {
        let victim = target.one(NAME)?.clone();
        let drift = target.settings.drift.map_or(0.0, |share| share.0);
        let shift = ClockShift {
            offset_micros: target.settings.skew_micros.unwrap_or(0),
            drift_ppm: (drift * 1e6).round() as i64,
        };
        if shift == ClockShift::default() {
            return Err(FaultError::NotSet { fault: NAME, setting: "by" });
        }
        if let Some(clock) = victim.process.clock().cloned() {
            return clock_preload::apply(target, victim, clock, shift).await;
        }
        let set = match ask(&victim, Some(shift)).await {
            Ok(set) => set,
            Err(error) => {
                // It may have been set all the same.
                let _ = ask(&victim, Some(ClockShift::default())).await;
                return Err(error);
            }
        };
        let witness = match shows(&victim, shift, set, PACE_WITHIN).await {
            Ok(witness) => witness,
            Err(error) => {
                let _ = ask(&victim, Some(ClockShift::default())).await;
                return Err(error);
            }
        };
        let undo = Undo::needed("offset 0, and read back", move || set_right(victim));
        Ok(Applied { witness, undo: Some(undo) })
    }
}

/// What a node's clock showed, and between which readings of the harness's own clocks.
#[derive(Debug, Clone, Copy)]
struct Reading {
    node_micros: i64,
    before_micros: i64,
    after_micros: i64,
    asked: StdInstant,
    answered: StdInstant,
}

impl Reading {
    /// How far the node's clock may have been ahead of the harness's: at least, at most.
    fn ahead(&self) -> (i64, i64) {
        (
            self.node_micros - self.after_micros - READING_MICROS,
            self.node_micros - self.before_micros + READING_MICROS,
        )
    }
}

fn unix_micros() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

async fn ask(victim: &Victim, shift: Option<ClockShift>) -> Result<Reading, FaultError> {
    if victim.process.control().is_none() {
        let why = "its program links no agent; `clock = \"preload\"` of its kind sets the clock of \
                   programs that load the C library, and says so where it cannot";
        return Err(FaultError::Unavailable { fault: NAME, why: why.to_owned() });
    }
    let (before_micros, asked) = (unix_micros(), StdInstant::now());
    let reply = victim.process.control().ask(Request::Clock { shift }, ANSWER_WITHIN).await;
    let (answered, after_micros) = (StdInstant::now(), unix_micros());
    match reply? {
        Reply::Clock { unix_micros: node_micros } => {
            Ok(Reading { node_micros, before_micros, after_micros, asked, answered })
        }
        Reply::Refused { why } => Err(FaultError::Unavailable { fault: NAME, why }),
        other => Err(refused(NAME, &victim.node, format!("it answered something else: {other:?}"))),
    }
}

/// How far a clock that was set so is ahead after this long.
pub(crate) fn expected(shift: ClockShift, elapsed: Duration) -> i64 {
    shift.offset_micros + gained(shift, elapsed)
}

pub(crate) fn gained(shift: ClockShift, elapsed: Duration) -> i64 {
    (elapsed.as_micros() as f64 * shift.drift_ppm as f64 / 1e6) as i64
}

/// The witness: the node's clock differs from the harness's by what was asked for, as far as the
/// round trip lets anybody know; of another pace, once that has gained more than that.
async fn shows(
    victim: &Victim,
    shift: ClockShift,
    set: Reading,
    within: Duration,
) -> Result<String, FaultError> {
    let deadline = StdInstant::now() + within;
    loop {
        let reading = ask(victim, None).await?;
        let (least, most) = reading.ahead();
        // When it was set is known as well as the first round trip lets it be.
        let pace = [
            gained(shift, reading.asked - set.answered),
            gained(shift, reading.answered - set.asked),
        ];
        let wanted = expected(shift, reading.asked - set.asked);
        let slack = (pace[0] - pace[1]).abs();
        let seen = apart((least + most) / 2);
        if wanted < least - slack || wanted > most + slack {
            return Err(FaultError::NotWitnessed {
                fault: NAME,
                on: victim.node.to_string(),
                missing: format!("its wall clock reads back {seen}, not {}", apart(wanted)),
                within: reading.answered - set.asked,
            });
        }
        let unsure = most - least + slack;
        let plain = pace[0].abs().min(pace[1].abs()) > 2 * unsure;
        // An offset shows at once, unless it is smaller than what a round trip hides.
        let offset = shift.offset_micros == 0 || shift.offset_micros.abs() > 2 * unsure;
        if offset && (shift.drift_ppm == 0 || plain) {
            return Ok(format!(
                "its wall clock reads back {seen}, and {} was asked for; the round trip took {}",
                apart(wanted),
                format_duration(reading.answered - reading.asked)
            ));
        }
        if StdInstant::now() >= deadline {
            return Err(FaultError::NotWitnessed {
                fault: NAME,
                on: victim.node.to_string(),
                missing: format!("{} is not to be told from a round trip", apart(wanted)),
                within,
            });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// How far the node's clock is from the harness's, in words.
pub(crate) fn apart(ahead_micros: i64) -> String {
    let side = if ahead_micros < 0 { "behind" } else { "ahead" };
    format!("{} {side}", format_duration(Duration::from_micros(ahead_micros.unsigned_abs())))
}

async fn set_right(victim: Victim) -> Result<(), FaultError> {
    let failed = |why: String| FaultError::Undo { fault: NAME, on: victim.node.to_string(), why };
    let reading = match ask(&victim, Some(ClockShift::default())).await {
        Ok(reading) => reading,
        // A clock that was set wrong ends with its process.
        Err(FaultError::Fleet(FleetError::Closed { .. })) => return Ok(()),
        Err(_) if victim.process.exit().is_some() => return Ok(()),
        Err(error) => return Err(failed(error.to_string())),
    };
    let (least, most) = reading.ahead();
    if least <= 0 && most >= 0 {
        return Ok(());
    }
    Err(failed(format!("its wall clock is still {}", apart((least + most) / 2))))
}

#[cfg(test)]
mod tests {
    use meshlab_model::Percent;

    use super::*;
    use crate::{
        Revived, Settings,
        fixture::{Sleeper, sleeper},
    };

    /// Answers whatever it is asked with the host's time, plus so many microseconds until it is
    /// asked for the third time.
    async fn node(ahead: i64) -> Sleeper {
        let hello = r#"{"tell":"hello","protocol":2,"program":"fake"}"#;
        let script = format!(
            r#"fd=$MESHLAB_CONTROL_FD; echo '{hello}' >&$fd
n=0
while read -r line <&$fd; do
  n=$((n+1)); ahead={ahead}; [ $n -gt 2 ] && ahead=0
  at=$(( $(date +%s%N) / 1000 + ahead ))
  echo '{{"tell":"reply","id":'$n',"answer":"clock","unix_micros":'$at'}}' >&$fd
done"#
        );
        sleeper(&in_bash(&script)).await
    }

    /// In a shell that can name any descriptor.
    fn in_bash(script: &str) -> String {
        format!("exec /bin/bash -c '{}'", script.replace('\'', r"'\''"))
    }

    fn nobody() -> Result<Revived, String> {
        Err("a clock starts nothing".to_owned())
    }

    fn by(micros: i64) -> Settings {
        Settings { skew_micros: Some(micros), ..Settings::default() }
    }

    #[tokio::test]
    async fn a_clock_that_reads_back_what_was_asked_for_is_the_witness() {
        for micros in [30_000_000, -30_000_000] {
            let one = node(micros).await;
            let mut target = one.target(nobody());
            target.settings = by(micros);
            let applied = ClockSkew.apply(&target).await.unwrap();
            let said = format!(", and {} was asked for", apart(micros));
            assert!(applied.witness.contains(&said), "{applied:?}");
            applied.undo.unwrap().carry_out().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_clock_that_was_not_set_is_no_witness() {
        let one = node(0).await;
        let mut target = one.target(nobody());
        target.settings = by(30_000_000);
        let error = ClockSkew.apply(&target).await.unwrap_err().to_string();
        assert!(error.contains(", not 30.0 s ahead"), "{error}");
    }

    #[tokio::test]
    async fn a_pace_that_is_not_kept_is_no_witness() {
        let one = node(0).await;
        let mut target = one.target(nobody());
        target.settings = Settings { drift: Some(Percent(0.5)), ..Settings::default() };
        let error = ClockSkew.apply(&target).await.unwrap_err().to_string();
        assert!(error.contains("its wall clock reads back"), "{error}");
    }

    #[tokio::test]
    async fn a_clock_that_stays_wrong_fails_its_undo_and_a_dead_node_does_not() {
        let one = node(30_000_000).await;
        let error = set_right(one.victim.clone()).await.unwrap_err().to_string();
        assert!(error.contains("its wall clock is still 30.0 s ahead"), "{error}");
        one.victim.process.signal(libc::SIGKILL).unwrap();
        one.victim.process.exited().await;
        set_right(one.victim.clone()).await.unwrap();
    }

    #[tokio::test]
    async fn a_program_that_has_no_clock_to_set_is_spared() {
        let hello = r#"{"tell":"hello","protocol":2,"program":"fake"}"#;
        let refused = r#"{"tell":"reply","id":1,"answer":"refused","why":"no clock"}"#;
        let say = format!("printf '%s\\n' '{hello}' '{refused}' >&$MESHLAB_CONTROL_FD");
        let script = format!("read -r line <&$MESHLAB_CONTROL_FD; {say}; exec sleep 600");
        let one = sleeper(&in_bash(&script)).await;
        let error = ask(&one.victim, None).await.unwrap_err();
        assert!(matches!(error, FaultError::Unavailable { .. }), "{error}");
    }

    #[tokio::test]
    async fn nothing_to_set_is_a_mistake() {
        let one = sleeper("exec sleep 600").await;
        let error = ClockSkew.apply(&one.target(nobody())).await.unwrap_err().to_string();
        assert_eq!(error, "apply clock_skew: `by` was not given");
    }
}
