//! Bounds what a pattern may cost: Lua matches them in C, where no watchdog looks, and a pattern
//! such as `a*a*a*a*b` takes the length of its text to the fifth power.
//!
//! What could be dear is matched here first, in steps that are counted. The matcher is that of Lua
//! 5.4 (`lstrlib.c`, "pattern matching") without its results; what is malformed is left for Lua to
//! tell.

/// Steps that a search may take: some tenths of a second.
const STEPS_MAX: u64 = 20_000_000;
/// A search that cannot take more than this, whatever it meets, is not tried first.
const STEPS_FREE: f64 = 1e6;
/// Bytes that a plain search may compare at worst; the processor compares some 10^10 a second.
const COMPARED_MAX: f64 = 4e9;
/// As in Lua: a pattern that goes deeper is refused there.
const DEPTH_MAX: u32 = 200;
const CAPTURES_MAX: usize = 32;

/// How a search goes through its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Search {
    /// Up to the first match.
    First,
    /// Through all matches.
    All,
}

/// The search takes too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooDear;

/// Whether a search for a pattern, from a byte of the text on, ends in reasonable time.
pub(crate) fn affordable(
    text: &[u8],
    pattern: &[u8],
    from: usize,
    search: Search,
) -> Result<(), TooDear> {
    if !pattern.iter().any(|byte| b"^$*+?.([%-".contains(byte)) {
        return plain_affordable(&text[from..], pattern);
    }
    if worst(text.len() - from, pattern) <= STEPS_FREE {
        return Ok(());
    }
    match matches(text, pattern, from, search, STEPS_MAX) {
        Err(Stop::TooDear) => Err(TooDear),
        // What is malformed Lua tells with its own words.
        Ok(_) | Err(Stop::Malformed) => Ok(()),
    }
}

/// The same where the pattern is taken as it is.
pub(crate) fn plain_affordable(text: &[u8], word: &[u8]) -> Result<(), TooDear> {
    let compared = text.len() as f64 * word.len() as f64;
    if compared <= COMPARED_MAX { Ok(()) } else { Err(TooDear) }
}

/// Steps that the search takes at most: each start, times each length of each repetition.
fn worst(text: usize, pattern: &[u8]) -> f64 {
    let length = text as f64 + 1.0;
    let repeats = pattern.iter().filter(|byte| b"*+-".contains(byte)).count();
    let balances = pattern.windows(2).filter(|pair| *pair == b"%b").count();
    let options = pattern.iter().filter(|byte| **byte == b'?').count();
    let power = i32::try_from(1 + repeats + balances).unwrap_or(i32::MAX);
    let doubled = i32::try_from(options).unwrap_or(i32::MAX);
    // A class in brackets is looked through for each byte.
    length.powi(power) * 2_f64.powi(doubled) * pattern.len() as f64
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    TooDear,
    Malformed,
}

type Found = Result<Option<usize>, Stop>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Unfinished,
    Position,
    Bytes(usize),
}

struct Matcher<'a> {
    text: &'a [u8],
    pattern: &'a [u8],
    depth: u32,
    captures: Vec<(usize, Length)>,
    steps_left: u64,
}

/// Every match: where it begins and ends.
fn matches(
    text: &[u8],
    pattern: &[u8],
    from: usize,
    search: Search,
    steps: u64,
) -> Result<Vec<(usize, usize)>, Stop> {
    // In `gmatch` a `^` is no anchor; then this is too kind by a byte, and never too strict.
    let anchored = pattern.first() == Some(&b'^');
    let pattern = if anchored { &pattern[1..] } else { pattern };
    let mut matcher = Matcher { text, pattern, depth: 0, captures: Vec::new(), steps_left: steps };
    let (mut found, mut last) = (Vec::new(), None);
    let mut start = from;
    while start <= text.len() {
        matcher.depth = 0;
        matcher.captures.clear();
        match matcher.matched(start, 0)? {
            Some(end) if last != Some(end) => {
                found.push((start, end));
                if search == Search::First {
                    break;
                }
                last = Some(end);
                start = end;
            }
            _ => start += 1,
        }
        if anchored {
            break;
        }
    }
    Ok(found)
}

impl Matcher<'_> {
    fn at(&self, place: usize) -> u8 {
        // Lua's strings end with a zero, which is looked at.
        self.pattern.get(place).copied().unwrap_or(0)
    }

    fn step(&mut self) -> Result<(), Stop> {
        self.steps_left = self.steps_left.checked_sub(1).ok_or(Stop::TooDear)?;
        Ok(())
    }

    /// The end of a match of the pattern from `p` on at `s`.
    fn matched(&mut self, s: usize, p: usize) -> Found {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Stop::Malformed);
        }
        let found = self.matched_in(s, p);
        self.depth -= 1;
        found
    }

    fn matched_in(&mut self, mut s: usize, mut p: usize) -> Found {
        loop {
            self.step()?;
            if p >= self.pattern.len() {
                return Ok(Some(s));
            }
            match self.at(p) {
                b'(' if self.at(p + 1) == b')' => return self.open(s, p + 2, Length::Position),
                b'(' => return self.open(s, p + 1, Length::Unfinished),
                b')' => return self.close(s, p + 1),
                b'$' if p + 1 == self.pattern.len() => {
                    return Ok((s == self.text.len()).then_some(s));
                }
                b'%' => match self.at(p + 1) {
                    b'b' => match self.balanced(s, p + 2)? {
                        Some(end) => (s, p) = (end, p + 4),
                        None => return Ok(None),
                    },
                    b'f' => {
                        let class = p + 2;
                        if self.at(class) != b'[' {
                            return Err(Stop::Malformed);
                        }
                        let end = self.class_end(class)?;
                        let before = s.checked_sub(1).map_or(0, |at| self.text[at]);
                        let here = self.text.get(s).copied().unwrap_or(0);
                        if self.in_set(before, class, end - 1) || !self.in_set(here, class, end - 1)
                        {
                            return Ok(None);
                        }
                        p = end;
                    }
                    digit @ b'0'..=b'9' => match self.again(s, digit)? {
                        Some(end) => (s, p) = (end, p + 2),
                        None => return Ok(None),
                    },
                    _ => match self.item(s, p)? {
                        Next::Go(to, on) => (s, p) = (to, on),
                        Next::Is(found) => return Ok(found),
                    },
                },
                _ => match self.item(s, p)? {
                    Next::Go(to, on) => (s, p) = (to, on),
                    Next::Is(found) => return Ok(found),
                },
            }
        }
    }

    /// A class with what may follow it: `*`, `+`, `-`, `?`.
    fn item(&mut self, s: usize, p: usize) -> Result<Next, Stop> {
        let end = self.class_end(p)?;
        let suffix = self.at(end);
        if !self.one(s, p, end) {
            return Ok(match suffix {
                b'*' | b'?' | b'-' => Next::Go(s, end + 1),
                _ => Next::Is(None),
            });
        }
        Ok(match suffix {
            b'?' => match self.matched(s + 1, end + 1)? {
                Some(found) => Next::Is(Some(found)),
                None => Next::Go(s, end + 1),
            },
            b'+' => Next::Is(self.longest(s + 1, p, end)?),
            b'*' => Next::Is(self.longest(s, p, end)?),
            b'-' => Next::Is(self.shortest(s, p, end)?),
            _ => Next::Go(s + 1, end),
        })
    }

    fn longest(&mut self, s: usize, p: usize, end: usize) -> Found {
        let mut count = 0;
        while self.one(s + count, p, end) {
            self.step()?;
            count += 1;
        }
        for count in (0..=count).rev() {
            if let Some(found) = self.matched(s + count, end + 1)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn shortest(&mut self, mut s: usize, p: usize, end: usize) -> Found {
        loop {
            if let Some(found) = self.matched(s, end + 1)? {
                return Ok(Some(found));
            }
            if !self.one(s, p, end) {
                return Ok(None);
            }
            s += 1;
        }
    }

    fn open(&mut self, s: usize, p: usize, length: Length) -> Found {
        if self.captures.len() >= CAPTURES_MAX {
            return Err(Stop::Malformed);
        }
        self.captures.push((s, length));
        let level = self.captures.len();
        let found = self.matched(s, p)?;
        if found.is_none() {
            self.captures.truncate(level - 1);
        }
        Ok(found)
    }

    fn close(&mut self, s: usize, p: usize) -> Found {
        let open = self.captures.iter().rposition(|(_, length)| *length == Length::Unfinished);
        let place = open.ok_or(Stop::Malformed)?;
        self.captures[place].1 = Length::Bytes(s - self.captures[place].0);
        let found = self.matched(s, p)?;
        if found.is_none()
            && let Some(capture) = self.captures.get_mut(place)
        {
            capture.1 = Length::Unfinished;
        }
        Ok(found)
    }

    /// What a capture found, once more.
    fn again(&mut self, s: usize, digit: u8) -> Found {
        let place = usize::from(digit).checked_sub(usize::from(b'1')).ok_or(Stop::Malformed)?;
        match self.captures.get(place) {
            Some((from, Length::Bytes(length))) => {
                let (from, length) = (*from, *length);
                // Compared at a stroke, but not for nothing.
                self.steps_left = self.steps_left.saturating_sub(length as u64 / 16);
                let rest = &self.text[s.min(self.text.len())..];
                Ok(rest.starts_with(&self.text[from..from + length]).then_some(s + length))
            }
            // Longer than any text.
            Some((_, Length::Position)) => Ok(None),
            _ => Err(Stop::Malformed),
        }
    }

    fn balanced(&mut self, s: usize, p: usize) -> Found {
        if p + 1 >= self.pattern.len() {
            return Err(Stop::Malformed);
        }
        let (opens, closes) = (self.pattern[p], self.pattern[p + 1]);
        if self.text.get(s).copied().unwrap_or(0) != opens {
            return Ok(None);
        }
        let mut depth = 1_u64;
        for (at, byte) in self.text.iter().enumerate().skip(s + 1) {
            self.steps_left = self.steps_left.checked_sub(1).ok_or(Stop::TooDear)?;
            if *byte == closes {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some(at + 1));
                }
            } else if *byte == opens {
                depth += 1;
            }
        }
        Ok(None)
    }

    /// Where the class that begins at `p` ends.
    fn class_end(&self, p: usize) -> Result<usize, Stop> {
        let end = self.pattern.len();
        let mut at = p + 1;
        match self.at(p) {
            b'%' if at >= end => Err(Stop::Malformed),
            b'%' => Ok(at + 1),
            b'[' => {
                if self.at(at) == b'^' {
                    at += 1;
                }
                loop {
                    if at >= end {
                        return Err(Stop::Malformed);
                    }
                    let escape = self.at(at) == b'%';
                    at += 1;
                    if escape && at < end {
                        at += 1;
                    }
                    if self.at(at) == b']' {
                        return if at < end { Ok(at + 1) } else { Err(Stop::Malformed) };
                    }
                }
            }
            _ => Ok(at),
        }
    }

    /// Whether the byte at `s` is of the class.
    fn one(&self, s: usize, p: usize, end: usize) -> bool {
        let Some(byte) = self.text.get(s).copied() else { return false };
        match self.at(p) {
            b'.' => true,
            b'%' => of_class(byte, self.at(p + 1)),
            b'[' => self.in_set(byte, p, end - 1),
            same => same == byte,
        }
    }

    /// Whether a byte is in the set from its `[` at `p` to its `]` at `end`.
    fn in_set(&self, byte: u8, mut p: usize, end: usize) -> bool {
        let mut is = true;
        if self.at(p + 1) == b'^' {
            is = false;
            p += 1;
        }
        p += 1;
        while p < end {
            if self.at(p) == b'%' {
                p += 1;
                if of_class(byte, self.at(p)) {
                    return is;
                }
            } else if self.at(p + 1) == b'-' && p + 2 < end {
                p += 2;
                if self.at(p - 2) <= byte && byte <= self.at(p) {
                    return is;
                }
            } else if self.at(p) == byte {
                return is;
            }
            p += 1;
        }
        !is
    }
}

enum Next {
    /// The same with another place in the text and in the pattern.
    Go(usize, usize),
    Is(Option<usize>),
}

fn of_class(byte: u8, class: u8) -> bool {
    let is = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'g' => byte.is_ascii_graphic(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        // The vertical tab is one in C.
        b's' => byte.is_ascii_whitespace() || byte == 0x0b,
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return class == byte,
    };
    is == class.is_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use mlua::{Lua, Value};
    use proptest::prelude::*;

    use super::*;

    /// What Lua itself finds; `None` if it takes the pattern for malformed.
    fn lua(text: &[u8], pattern: &[u8]) -> Option<Option<(usize, usize)>> {
        let lua = Lua::new();
        let find: mlua::Function =
            lua.globals().get::<mlua::Table>("string").unwrap().get("find").unwrap();
        let arguments = (lua.create_string(text).unwrap(), lua.create_string(pattern).unwrap());
        let found = find.call::<(Value, Value)>(arguments).ok()?;
        Some(match found {
            (Value::Integer(start), Value::Integer(end)) => {
                Some((start as usize - 1, end as usize))
            }
            _ => None,
        })
    }

    fn ours(text: &[u8], pattern: &[u8]) -> Option<Option<(usize, usize)>> {
        Some(matches(text, pattern, 0, Search::First, 100_000).ok()?.first().copied())
    }

    #[test]
    fn what_is_dear_is_refused_and_what_only_looks_so_is_not() {
        let text = "a".repeat(3000);
        let all = Search::All;
        for pattern in ["a*a*a*a*b", ".-.-.-.-b", "(a+)(a+)(a+)%3%2b", &"a?".repeat(60)] {
            let pattern = format!("{pattern}c");
            assert_eq!(
                affordable(text.as_bytes(), pattern.as_bytes(), 0, all),
                Err(TooDear),
                "{pattern}"
            );
        }
        let lines = "key = value, with words\n".repeat(2000);
        for pattern in
            ["(%w+)%s*=%s*(%w+)", "[^\n]+", "^%s*(.-)%s*$", "%f[%w]%w+", "%b=,", "(%w+)(%s*)"]
        {
            assert_eq!(
                affordable(lines.as_bytes(), pattern.as_bytes(), 0, all),
                Ok(()),
                "{pattern}"
            );
        }
        let (long, word) = (vec![b'a'; 1 << 20], vec![b'a'; 1 << 19]);
        assert_eq!(affordable(&long, &word, 0, all), Err(TooDear));
        assert_eq!(affordable(&long, b"needle", 0, all), Ok(()));
    }

    #[test]
    fn the_bound_is_a_bound() {
        let text = vec![b'a'; 2000];
        assert_eq!(matches(&text, b"a*a*a*b", 0, Search::First, 10_000), Err(Stop::TooDear));
        let nested = vec![b'('; 100_000];
        assert!(matches(&nested, b"%b()", 0, Search::First, 1_000_000).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn it_finds_what_lua_finds(
            text in "[ab1 (\\x00\\x0b\\]%-]{0,12}",
            pattern in concat!(
                "(\\^)?([ab1.]|%[abdswlfzACDW1%.]|%b[a(][b)]|%f\\[%w\\]",
                "|\\[\\^?[ab%w\\-\\]1]{1,4}\\]|\\(|\\)|\\(\\)|[*+?$-]){0,7}",
            ),
        ) {
            let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
            // Lua checks the captures of what it found only when it hands them out.
            if let Some(expected) = lua(text, pattern)
                && let Some(found) = ours(text, pattern)
            {
                prop_assert_eq!(found, expected);
            }
        }
    }
}
