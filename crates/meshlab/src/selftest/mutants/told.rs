//! What is said of each mistake, and what all of it comes to.

use std::fmt;

use meshlab_model::ExitCode;

use super::{Known, caught::Shows};

/// What came of one mistake.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) known: Known,
    pub(super) check: &'static str,
    /// What should show it.
    pub(super) shows: Shows,
    /// Whether that was so.
    pub(super) blind: bool,
    /// The exit code with the mistake.
    pub(super) code: Option<i32>,
}

impl fmt::Display for Shows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ends(code) => write!(f, "ends with {code}"),
            Self::Lacks(words) => write!(f, "no longer says \"{words}\""),
            Self::Says(words) => write!(f, "says \"{words}\""),
        }
    }
}

impl Row {
    /// The mistake, the check that caught it, by what; and below that what it blinds.
    pub(super) fn text(&self) -> String {
        let Known { name, meaning, .. } = &self.known;
        let (check, shows) = (self.check, &self.shows);
        let code = self.code.map_or("did not end".to_owned(), |code| format!("exit code {code}"));
        let told = match self.blind {
            true => format!("{check}: {shows}"),
            false => format!("NOT CAUGHT: {check} should show that it {shows} ({code})"),
        };
        format!("{name:<36} {told}\n    {meaning}")
    }
}

/// The table's head.
pub(super) fn head() -> String {
    format!("{:<36} caught by", "mistake")
}

/// What all of it comes to, in a sentence, and the exit code; `left` were not made.
pub(super) fn summary(rows: &[Row], left: usize) -> (String, ExitCode) {
    let survivors: Vec<&str> =
        rows.iter().filter(|row| !row.blind).map(|row| row.known.name.as_str()).collect();
    let of = rows.len();
    let caught = of - survivors.len();
    let share = if of == 0 { 0.0 } else { 100.0 * caught as f64 / of as f64 };
    let mut text = format!("{caught} of {of} mistakes of the harness caught ({share:.1} %)");
    if left > 0 {
        text += &format!(", {left} not made");
    }
    if !survivors.is_empty() {
        text += &format!("; not caught: {}", survivors.join(", "));
    }
    // Nothing that was not looked at is green.
    let code = match (of, survivors.is_empty()) {
        (0, _) => ExitCode::Inconclusive,
        (_, true) => ExitCode::Passed,
        _ => ExitCode::ClaimFailed,
    };
    (text, code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, shows: Shows, blind: bool, code: Option<i32>) -> Row {
        let known = Known {
            name: name.to_owned(),
            files: "x.rs".to_owned(),
            meaning: "what it blinds".to_owned(),
        };
        Row { known, check: "a-check", shows, blind, code }
    }

    #[test]
    fn what_was_caught_and_what_was_not_is_told_and_decides() {
        let caught = row("first", Shows::Ends(0), true, Some(0));
        let words = row("second", Shows::Lacks("not healed"), true, Some(1));
        let survivor = row("third", Shows::Says("changed at"), false, Some(0));
        let hung = row("fourth", Shows::Ends(0), false, None);
        let mut text = vec![head()];
        text.extend([&caught, &words, &survivor, &hung].map(Row::text));
        let code = |rows: &[Row], left| {
            let (text, code) = summary(rows, left);
            format!("{text}: exit code {}", code as i32)
        };
        text.push(code(&[caught.clone(), words.clone()], 0));
        text.push(code(&[caught, words, survivor, hung], 3));
        text.push(code(&[], 60));
        insta::assert_snapshot!(text.join("\n"));
    }
}
