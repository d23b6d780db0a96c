//! What a node's log has to say for a claim that does not hold: its worst line, told with how often
//! it came, or the last one.

use std::collections::BTreeMap;

/// Lines of a log that are looked at, from its end.
pub(super) const LINES: usize = 500;

/// A line, how often it came, and the number of the last one of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) times: usize,
    pub(super) line: Option<usize>,
}

/// How bad a line is by its own word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Other,
    Warn,
    Error,
}

/// The one line to tell. Lines are alike if they differ only in their times: errors before
/// warnings before the rest, then the one that came most often; of calm lines the last.
pub(super) fn worst(lines: &[(Option<usize>, String)]) -> Option<Said> {
    let mut groups: BTreeMap<&str, (Level, usize, usize)> = BTreeMap::new();
    for (place, (_, line)) in lines.iter().enumerate() {
        let (level, text) = parse(line);
        let group = groups.entry(text).or_insert((level, 0, place));
        (group.1, group.2) = (group.1 + 1, place);
    }
    let calm = groups.values().all(|(level, ..)| *level == Level::Other);
    let (text, (_, times, place)) = if calm {
        groups.into_iter().max_by_key(|(_, (_, _, place))| *place)?
    } else {
        groups.into_iter().max_by_key(|(_, (level, times, place))| (*level, *times, *place))?
    };
    let line = lines.get(place).and_then(|(line, _)| *line);
    Some(Said { text: text.to_owned(), times, line })
}

/// The level of a line and the line without the time in front of it.
fn parse(line: &str) -> (Level, &str) {
    let line = line.trim();
    // A line of `tracing`: a time, a level, the rest.
    let rest = match line.split_once(char::is_whitespace) {
        Some((time, rest)) if time.starts_with(|c: char| c.is_ascii_digit()) => rest.trim_start(),
        _ => line,
    };
    let level = match rest.split(|c: char| !c.is_ascii_alphabetic()).find(|word| !word.is_empty()) {
        Some("ERROR" | "FATAL" | "error" | "fatal" | "panicked") => Level::Error,
        Some("WARN" | "WARNING" | "warn" | "warning") => Level::Warn,
        _ if rest.starts_with("thread ") && rest.contains(" panicked at ") => Level::Error,
        _ => Level::Other,
    };
    (level, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(lines: &[&str]) -> Option<(String, usize, Option<usize>)> {
        let numbered: Vec<_> =
            (1..).zip(lines).map(|(line, text)| (Some(line), (*text).to_owned())).collect();
        worst(&numbered).map(|said| (said.text, said.times, said.line))
    }

    #[test]
    fn the_worst_line_is_told_with_how_often_it_came() {
        assert_eq!(said(&[]), None);
        let last = said(&["2026-01-01T00:00:00Z  INFO a", "b"]);
        assert_eq!(last, Some(("b".to_owned(), 1, Some(2))), "of calm lines the last");
        let lines = [
            "2026-01-01T00:00:01Z  WARN net: no route to host",
            "2026-01-01T00:00:02Z  WARN net: no route to host",
            "2026-01-01T00:00:03Z  WARN net: slow",
            "2026-01-01T00:00:04Z  INFO net: fine",
        ];
        assert_eq!(said(&lines), Some(("WARN net: no route to host".to_owned(), 2, Some(2))));
        let panic = "thread 'main' (7) panicked at src/main.rs:1:2:";
        let with_panic: Vec<&str> = [&lines[..], &[panic, "oh"]].concat();
        assert_eq!(said(&with_panic), Some((panic.to_owned(), 1, Some(5))));
    }
}
