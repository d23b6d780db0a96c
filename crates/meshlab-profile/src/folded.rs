//! Folded stacks: a line for each distinct stack, frames from the root joined by `;`, and how often
//! it was seen. The format of Brendan Gregg's FlameGraph tools, which everything reads.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, BufRead, Read},
};

/// Longest line that is read: hundreds of frames with the longest of names.
const LINE_MAX: u64 = 1 << 20;

/// Stacks and how often each was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folded {
    stacks: BTreeMap<String, u64>,
}

/// A line that is no folded stack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is no folded stack (`frame;frame 12`): {text:?}")]
pub struct FoldedError {
    /// Counted from 1.
    pub line: usize,
    /// The line, cut to 100 characters.
    pub text: String,
}

/// How much of a profile a frame has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The frame.
    pub frame: String,
    /// Samples in which it was running itself.
    pub own: u64,
    /// Samples in which it was on the stack.
    pub total: u64,
}

impl Folded {
    /// Reads folded stacks. Empty lines are skipped; a stack that comes twice is added up.
    ///
    /// # Errors
    /// The first line that is no stack and a count.
    pub fn parse(text: &str) -> Result<Self, FoldedError> {
        let mut folded = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            folded.line(number, line)?;
        }
        Ok(folded)
    }

    /// Reads folded stacks as they come, a line at a time: a file may be larger than memory, only
    /// its distinct stacks have to fit. Bytes that are no UTF-8 are replaced.
    ///
    /// # Errors
    /// The outer one is that of reading, the inner one as of [`Folded::parse`]; a line has at most
    /// 1 MiB.
    pub fn read(mut from: impl BufRead) -> io::Result<Result<Self, FoldedError>> {
        let mut folded = Self::default();
        let mut bytes = Vec::new();
        for number in 1.. {
            bytes.clear();
            if from.by_ref().take(LINE_MAX).read_until(b'\n', &mut bytes)? == 0 {
                break;
            }
            if let Err(error) = folded.line(number, &String::from_utf8_lossy(&bytes)) {
                return Ok(Err(error));
            }
        }
        Ok(Ok(folded))
    }

    fn line(&mut self, number: usize, line: &str) -> Result<(), FoldedError> {
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(());
        }
        // Names hold blanks; the count is behind the last one.
        let parsed = line.rsplit_once(' ').and_then(|(stack, count)| {
            (!stack.trim().is_empty()).then_some((stack, count.parse().ok()?))
        });
        let Some((stack, count)) = parsed else {
            let text = line.chars().take(100).collect();
            return Err(FoldedError { line: number, text });
        };
        self.add(stack, count);
        Ok(())
    }

    /// Adds samples of a stack.
    pub fn add(&mut self, stack: &str, count: u64) {
        if count == 0 {
            return;
        }
        match self.stacks.get_mut(stack) {
            Some(known) => *known = known.saturating_add(count),
            None => {
                self.stacks.insert(stack.to_owned(), count);
            }
        }
    }

    /// Adds everything of another profile, below a frame of its own if one is given.
    pub fn merge(&mut self, other: &Self, below: Option<&str>) {
        for (stack, count) in &other.stacks {
            match below {
                Some(root) => self.add(&format!("{root};{stack}"), *count),
                None => self.add(stack, *count),
            }
        }
    }

    /// All samples.
    pub fn samples(&self) -> u64 {
        self.stacks.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.stacks.is_empty()
    }

    /// Stacks with their counts, in alphabetical order.
    pub fn stacks(&self) -> impl Iterator<Item = (&str, u64)> {
        self.stacks.iter().map(|(stack, count)| (stack.as_str(), *count))
    }

    /// The frames that ran most, at most `limit`; of equal ones those that were on the stack more.
    pub fn hottest(&self, limit: usize) -> Vec<Share> {
        let mut shares: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for (stack, count) in self.stacks() {
            let frames: Vec<&str> = stack.split(';').collect();
            for (place, frame) in frames.iter().enumerate() {
                let share = shares.entry(frame).or_default();
                if place + 1 == frames.len() {
                    share.0 += count;
                }
                // A frame that calls itself is on the stack once.
                if frames.get(..place).is_some_and(|above| !above.contains(frame)) {
                    share.1 += count;
                }
            }
        }
        let mut shares: Vec<Share> = shares
            .into_iter()
            .map(|(frame, (own, total))| Share { frame: frame.to_owned(), own, total })
            .collect();
        shares.sort_by(|a, b| (b.own, b.total, &a.frame).cmp(&(a.own, a.total, &b.frame)));
        shares.truncate(limit);
        shares
    }
}

impl fmt::Display for Folded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stacks.iter().try_for_each(|(stack, count)| writeln!(f, "{stack} {count}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_with_blanks_are_read_and_equal_stacks_are_added_up() {
        let folded = Folded::parse("a;<T as Into<U> >::f 2\n\na;<T as Into<U> >::f 3\nb 1\n");
        let folded = folded.unwrap();
        assert_eq!(folded.to_string(), "a;<T as Into<U> >::f 5\nb 1\n");
        assert_eq!(folded.samples(), 6);
        for (text, line) in [("a;b", 1), ("a 1\n 3", 2), ("a 1\nb -2", 2), ("a 1.5", 1)] {
            assert_eq!(Folded::parse(text).unwrap_err().line, line, "{text}");
        }
    }

    #[test]
    fn a_frame_that_calls_itself_is_counted_once() {
        let folded = Folded::parse("main;f;f;g 3\nmain;f 2\n").unwrap();
        let share = |frame: &str, own, total| Share { frame: frame.to_owned(), own, total };
        let wanted = [share("g", 3, 3), share("f", 2, 5), share("main", 0, 5)];
        assert_eq!(folded.hottest(9), wanted);
        assert_eq!(folded.hottest(1), wanted[..1]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            stacks in prop::collection::vec(("[a-z:<> ]{1,9}[a-z]", 1_u64..1000), 0..20),
            root in prop::option::of("[a-z]{1,4}"),
        ) {
            let mut folded = Folded::default();
            stacks.iter().for_each(|(stack, count)| folded.add(stack, *count));
            let mut merged = Folded::default();
            merged.merge(&folded, root.as_deref());
            prop_assert_eq!(merged.samples(), folded.samples());
            prop_assert_eq!(Folded::parse(&merged.to_string()), Ok(merged));
        }

        #[test]
        fn nothing_that_is_read_breaks_it(text in ".{0,200}") {
            let _ = Folded::parse(&text);
        }
    }
}
