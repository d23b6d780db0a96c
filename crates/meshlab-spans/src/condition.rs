//! What an attribute of a span must be.

use std::fmt;

use meshlab_mutants::{Mutant, on};
use serde_json::Value;

/// A test of one attribute.
///
/// Numbers are compared by value, also where the span has the number as a text: unsigned fields of
/// `tracing` arrive so. Everything else is compared exactly.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// It is there and equal.
    Equal(Value),
    /// It is there and another.
    Not(Value),
    /// It is one of these.
    OneOf(Vec<Value>),
    /// It is a text with this in it.
    Contains(String),
    /// It is a number greater than this.
    Above(f64),
    /// It is a number of at least this.
    AtLeast(f64),
    /// It is a number less than this.
    Below(f64),
    /// It is a number of at most this.
    AtMost(f64),
    /// It is there (`true`), or is not (`false`).
    Present(bool),
}

impl Condition {
    /// Whether an attribute meets it; `None` is one that the span does not have.
    pub fn holds(&self, found: Option<&Value>) -> bool {
        if on(Mutant::ConditionUnseen) {
            return true;
        }
        let Some(found) = found else { return *self == Self::Present(false) };
        let number = |compare: fn(&f64, &f64) -> bool, bound: &f64| {
            number(found).is_some_and(|found| compare(&found, bound))
        };
        match self {
            Self::Equal(wanted) => same(found, wanted),
            Self::Not(unwanted) => !same(found, unwanted),
            Self::OneOf(wanted) => wanted.iter().any(|wanted| same(found, wanted)),
            Self::Contains(part) => found.as_str().is_some_and(|text| text.contains(part)),
            Self::Above(bound) => number(f64::gt, bound),
            Self::AtLeast(bound) => number(f64::ge, bound),
            Self::Below(bound) => number(f64::lt, bound),
            Self::AtMost(bound) => number(f64::le, bound),
            Self::Present(wanted) => *wanted,
        }
    }
}

impl fmt::Display for Condition {
    /// What follows the attribute's name: `= "Dead"`, `above 200`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equal(wanted) => write!(f, "= {wanted}"),
            Self::Not(unwanted) => write!(f, "not {unwanted}"),
            Self::OneOf(wanted) => {
                let wanted: Vec<String> = wanted.iter().map(Value::to_string).collect();
                write!(f, "one of {}", wanted.join(", "))
            }
            Self::Contains(part) => write!(f, "contains {part:?}"),
            Self::Above(bound) => write!(f, "above {bound}"),
            Self::AtLeast(bound) => write!(f, "at least {bound}"),
            Self::Below(bound) => write!(f, "below {bound}"),
            Self::AtMost(bound) => write!(f, "at most {bound}"),
            Self::Present(true) => f.write_str("present"),
            Self::Present(false) => f.write_str("absent"),
        }
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_f64(),
    }
}

fn same(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Number(_) | Value::String(_), Value::Number(wanted)) => {
            number(found).is_some_and(|found| wanted.as_f64() == Some(found))
        }
        _ => found == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_equal_by_value() {
        assert!(same(&3.into(), &3.0.into()));
        assert!(same(&"16777216".into(), &16_777_216.into()));
        assert!(!same(&"16777217".into(), &16_777_216.into()));
        assert!(!same(&"many".into(), &3.into()));
        assert!(!same(&3.into(), &"3".into()), "a text was asked for");
        assert!(same(&"x".into(), &"x".into()));
    }

    #[test]
    fn each_condition_holds_and_does_not() {
        let text = || Value::from("connection timed out");
        let list = vec![1.into(), "a".into()];
        for (condition, holds, fails) in [
            (Condition::Equal(3.into()), Value::from("3"), Value::from(4)),
            (Condition::Not(3.into()), 4.into(), "3".into()),
            (Condition::OneOf(list), "a".into(), 2.into()),
            (Condition::Contains("timed".into()), text(), "refused".into()),
            (Condition::Above(2.0), "2.5".into(), 2.into()),
            (Condition::AtLeast(2.0), 2.into(), 1.into()),
            (Condition::Below(2.0), 1.into(), 2.into()),
            (Condition::AtMost(2.0), 2.into(), text()),
        ] {
            assert!(condition.holds(Some(&holds)), "{condition} of {holds}");
            assert!(!condition.holds(Some(&fails)), "{condition} of {fails}");
            assert!(!condition.holds(None), "{condition} of nothing");
        }
        assert!(Condition::Present(true).holds(Some(&text())));
        assert!(!Condition::Present(true).holds(None));
        assert!(Condition::Present(false).holds(None));
        assert!(!Condition::Present(false).holds(Some(&text())));
    }
}
