//! Amounts with units, as scenarios write them and reports print them.

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a text is not the amount it should be. Completes "failed to read the amount: ...".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Digits without a unit.
    #[error("`{0}` has no unit, write for example `\"{0}{1}\"`")]
    NoUnit(String, &'static str),
    /// Something that is not a number with a unit.
    #[error("`{0}` is not {1}")]
    Malformed(String, &'static str),
    /// More than can be represented.
    #[error("`{0}` is too large")]
    TooLarge(String),
}

const DURATION_FORM: &str = "a length of time such as `250ms`, `30s`, `1h30m` or `4d`";
const SIZE_FORM: &str = "a size such as `512B`, `64KiB` or `200MiB`";
const PERCENT_FORM: &str = "a share such as `15%`";

/// Time since the run started, in microseconds: the only clock in a record.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct RunTime {
    /// Microseconds since the run started.
    pub micros: u64,
}

impl RunTime {
    /// The start of the run.
    pub const ZERO: Self = Self { micros: 0 };

    /// The moment `since_start` after the run started; saturates after 584,000 years.
    pub fn from_duration(since_start: Duration) -> Self {
        Self { micros: u64::try_from(since_start.as_micros()).unwrap_or(u64::MAX) }
    }

    /// The time between the start of the run and this moment.
    pub fn as_duration(self) -> Duration {
        Duration::from_micros(self.micros)
    }

    /// Seconds since the run started, for a chart's axis.
    pub fn as_secs_f64(self) -> f64 {
        self.as_duration().as_secs_f64()
    }

    /// How long after `earlier` this moment is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.micros.saturating_sub(earlier.micros))
    }
}

impl fmt::Display for RunTime {
    /// `MM:SS.mmm`, or `H:MM:SS.mmm` from the first hour on.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.micros / 1000;
        let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
        let (seconds, millis) = (millis / 1000 % 60, millis % 1000);
        if hours > 0 {
            write!(f, "{hours}:{minutes:02}:{seconds:02}.{millis:03}")
        } else {
            write!(f, "{minutes:02}:{seconds:02}.{millis:03}")
        }
    }
}

/// A number of bytes.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// Reads `512B`, `1KiB`, `1.5MiB`, `2GiB` (powers of 1024) or `1kB`, `1MB`, `1GB` (of 1000).
    ///
    /// # Errors
    /// A number without a unit, another unit, or anything that is not a number.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let (number, unit) = split_unit(text, SIZE_FORM, "MiB")?;
        let factor: f64 = match unit {
            "B" => 1.0,
            "KiB" => 1024.0,
            "MiB" => 1024.0 * 1024.0,
            "GiB" => 1024.0 * 1024.0 * 1024.0,
            "kB" => 1e3,
            "MB" => 1e6,
            "GB" => 1e9,
            _ => return Err(QuantityError::Malformed(text.to_owned(), SIZE_FORM)),
        };
        let bytes = number * factor;
        if bytes >= 9.0e18 {
            return Err(QuantityError::TooLarge(text.to_owned()));
        }
        Ok(Self(bytes.round() as u64))
    }

    /// Mebibytes, for a chart's axis.
    pub fn as_mib(self) -> f64 {
        self.0 as f64 / (1024.0 * 1024.0)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0 as f64;
        match self.0 {
            0..1024 => write!(f, "{} B", self.0),
            1024..1_048_576 => write!(f, "{:.1} KiB", bytes / 1024.0),
            1_048_576..1_073_741_824 => write!(f, "{:.1} MiB", bytes / 1_048_576.0),
            _ => write!(f, "{:.2} GiB", bytes / 1_073_741_824.0),
        }
    }
}

/// A share; 1.0 is 100 %. For CPU, 100 % is one core.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Percent(pub f64);

impl Percent {
    /// Reads `15%` or `0.5%`.
    ///
    /// # Errors
    /// A number without `%`, or anything that is not a number.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let (number, unit) = split_unit(text, PERCENT_FORM, "%")?;
        if unit != "%" {
            return Err(QuantityError::Malformed(text.to_owned(), PERCENT_FORM));
        }
        Ok(Self(number / 100.0))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} %", self.0 * 100.0)
    }
}

/// Reads `250ms`, `30s`, `1h30m`, `4d`, `10us`: one or more numbers, each with its unit.
///
/// # Errors
/// A number without a unit, an unknown unit, or more than about 290 years.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(meshlab_model::parse_duration("1h30m"), Ok(Duration::from_secs(5400)));
/// assert!(meshlab_model::parse_duration("30").is_err());
/// ```
pub fn parse_duration(text: &str) -> Result<Duration, QuantityError> {
    let mut rest = text;
    let mut total = 0.0_f64;
    if rest.is_empty() {
        return Err(QuantityError::Malformed(text.to_owned(), DURATION_FORM));
    }
    while !rest.is_empty() {
        let (number, tail) = split_unit(rest, DURATION_FORM, "s").map_err(|error| match error {
            QuantityError::NoUnit(..) if rest == text => error,
            _ => QuantityError::Malformed(text.to_owned(), DURATION_FORM),
        })?;
        let unit_len = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, after) = tail.split_at(unit_len);
        let seconds = match unit {
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return Err(QuantityError::Malformed(text.to_owned(), DURATION_FORM)),
        };
        total += number * seconds;
        rest = after;
    }
    if total > 9.2e9 {
        return Err(QuantityError::TooLarge(text.to_owned()));
    }
    // The smallest unit is the microsecond; finer digits are noise of the binary fraction.
    Ok(Duration::from_micros((total * 1e6).round() as u64))
}

/// Writes a length of time as a person would: `250 µs`, `1.20 s`, `34.0 s`, `1h 30m`.
pub fn format_duration(length: Duration) -> String {
    let seconds = length.as_secs_f64();
    if seconds < 1e-3 {
        format!("{:.0} µs", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else if seconds < 10.0 {
        format!("{seconds:.2} s")
    } else if seconds < 120.0 {
        format!("{seconds:.1} s")
    } else {
        let whole = length.as_secs();
        match (whole / 86_400, whole / 3600 % 24, whole / 60 % 60, whole % 60) {
            (0, 0, minutes, seconds) => format!("{minutes}m {seconds}s"),
            (0, hours, minutes, _) => format!("{hours}h {minutes}m"),
            (days, hours, _, _) => format!("{days}d {hours}h"),
        }
    }
}

/// Splits a leading non-negative decimal number from what follows it.
fn split_unit<'a>(
    text: &'a str,
    form: &'static str,
    usual_unit: &'static str,
) -> Result<(f64, &'a str), QuantityError> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let value: f64 = number.parse().map_err(|_| QuantityError::Malformed(text.to_owned(), form))?;
    if unit.is_empty() {
        return Err(QuantityError::NoUnit(text.to_owned(), usual_unit));
    }
    Ok((value, unit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_need_units() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("4d"), Ok(Duration::from_secs(345_600)));
        let error = parse_duration("30").expect_err("a bare number is refused");
        assert_eq!(error.to_string(), "`30` has no unit, write for example `\"30s\"`");
        for bad in ["", "s", "5 s", "-5s", "5x", "1h30", "1e3s", "99999999999d"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_and_shares_need_units() {
        assert_eq!(ByteSize::parse("200MiB"), Ok(ByteSize(209_715_200)));
        assert_eq!(ByteSize::parse("1kB"), Ok(ByteSize(1000)));
        assert!(ByteSize::parse("200").is_err() && ByteSize::parse("2mb").is_err());
        assert_eq!(Percent::parse("15%"), Ok(Percent(0.15)));
        assert!(Percent::parse("15").is_err() && Percent::parse("x%").is_err());
    }

    #[test]
    fn run_time_reads_as_a_clock() {
        assert_eq!(RunTime { micros: 412_000 }.to_string(), "00:00.412");
        assert_eq!(RunTime { micros: 3_725_001_000 }.to_string(), "1:02:05.001");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,24}") {
            let _ = parse_duration(&text);
            let _ = ByteSize::parse(&text);
            let _ = Percent::parse(&text);
        }

        #[test]
        fn whole_milliseconds_survive(millis in 0_u32..) {
            let length = Duration::from_millis(millis.into());
            prop_assert_eq!(parse_duration(&format!("{millis}ms")), Ok(length));
        }
    }
}
