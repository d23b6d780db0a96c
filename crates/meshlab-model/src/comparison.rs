//! Rounds of a comparison of two programs.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A number with its unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Measure {
    /// The number, in `unit`.
    pub value: f64,
    /// `s`, `B`, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
}

impl Measure {
    /// A number in this unit, for people.
    pub fn show(value: f64, unit: &str) -> String {
        let length = || std::time::Duration::try_from_secs_f64(value).ok();
        match unit {
            "s" => length().map_or_else(|| value.to_string(), crate::format_duration),
            "B" if value >= 0.0 => crate::ByteSize(value.round() as u64).to_string(),
            _ => {
                // Four digits that count: more are noise, and a round number stays one.
                let magnitude = if value == 0.0 { 0.0 } else { value.abs().log10().floor() };
                let places = (3.0 - magnitude).clamp(0.0, 9.0) as usize;
                let text = format!("{value:.places$}");
                let short = text.trim_end_matches('0').trim_end_matches('.');
                if text.contains('.') { short.to_owned() } else { text }
            }
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&Self::show(self.value, &self.unit))
    }
}

/// One round with one program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Round {
    /// Its number, from 1; warm-up rounds have numbers of their own.
    pub round: u32,
    /// Whether it comes first and does not count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub warmup: bool,
    /// Name of its program in the manifest.
    pub binary: String,
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.warmup { "warm-up round" } else { "round" };
        write!(f, "{what} {} with `{}`", self.round, self.binary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_with_their_unit_and_as_far_as_they_say_something() {
        let shown = [(1.5, "s"), (2_097_152.0, "B"), (0.012_345_6, ""), (1200.0, ""), (0.0, "")]
            .map(|(value, unit)| Measure::show(value, unit));
        assert_eq!(shown, ["1.50 s", "2.0 MiB", "0.01235", "1200", "0"]);
        let round = Round { round: 3, warmup: false, binary: "after".into() };
        assert_eq!(round.to_string(), "round 3 with `after`");
    }
}
