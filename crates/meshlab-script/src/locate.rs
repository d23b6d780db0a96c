//! Finds the place of a word in a scenario's text: Lua tells lines, people need columns.

/// A line of a scenario or of a library of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    /// Which file, in the order in which they were loaded; 0 is the scenario itself.
    pub(crate) file: usize,
    /// From 1; 0 where there is none.
    pub(crate) number: u32,
}

impl Line {
    /// A line of the scenario itself.
    pub(crate) fn of_scenario(number: u32) -> Self {
        Self { file: 0, number }
    }
}

/// A word or a string of the source, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    /// From 1.
    pub(crate) line: u32,
    /// In characters, from 1.
    pub(crate) column: u32,
}

impl Token {
    pub(crate) fn length(&self) -> usize {
        self.text.lines().next().unwrap_or_default().chars().count()
    }
}

/// Splits source text into words (with dots: `expect.spans`), numbers, strings and single marks.
/// Comments and white space are left out. It is for finding places, not for judging Lua: anything
/// it does not know is a mark of one character.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let mut lexer = Lexer { rest: source, line: 1, column: 1, tokens: Vec::new() };
    while !lexer.rest.is_empty() {
        lexer.step();
    }
    lexer.tokens
}

struct Lexer<'a> {
    rest: &'a str,
    line: u32,
    column: u32,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn step(&mut self) {
        let Some(first) = self.rest.chars().next() else { return };
        let word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
        let bytes = if self.rest.starts_with("--") {
            match long_bracket(&self.rest[2..]) {
                Some(bytes) => 2 + bytes,
                None => self.rest.find('\n').unwrap_or(self.rest.len()),
            }
        } else if let Some(bytes) = long_bracket(self.rest) {
            bytes
        } else if first == '"' || first == '\'' {
            quoted(self.rest, first)
        } else if word(first) {
            self.rest.find(|c: char| !word(c)).unwrap_or(self.rest.len())
        } else {
            first.len_utf8()
        };
        let (text, rest) = self.rest.split_at(bytes);
        if !first.is_whitespace() && !text.starts_with("--") {
            let token = Token { text: text.to_owned(), line: self.line, column: self.column };
            self.tokens.push(token);
        }
        for c in text.chars() {
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.rest = rest;
    }
}

/// Bytes of a `[[...]]` or `[==[...]==]` at the start of `text`.
fn long_bracket(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('[')?;
    let level = inner.find(|c| c != '=')?;
    inner[level..].starts_with('[').then_some(())?;
    let end = format!("]{}]", "=".repeat(level));
    Some(text.find(&end).map_or(text.len(), |at| at + end.len()))
}

/// Bytes of a quoted string, up to its end or the end of its line.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '\n' => return at,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The call named `name` (or its last part, for methods) on `line`.
pub(crate) fn call<'a>(tokens: &'a [Token], name: &str, line: u32) -> Option<&'a Token> {
    let on_line = || tokens.iter().filter(move |token| token.line == line);
    let last = name.rsplit(['.', ':']).next().unwrap_or(name);
    on_line()
        .find(|token| token.text == name)
        .or_else(|| on_line().find(|token| token.text.rsplit('.').next() == Some(last)))
}

/// The option `key` of the call that begins on `line`: the key, and the value after its `=`. The
/// call ends where its brackets close.
pub(crate) fn option<'a>(
    tokens: &'a [Token],
    name: &str,
    line: u32,
    key: &str,
) -> Option<(&'a Token, Option<&'a Token>)> {
    let start = tokens
        .iter()
        .position(|token| Some(token) == call(tokens, name, line))
        .or_else(|| tokens.iter().position(|token| token.line == line))?;
    let mut depth = 0_i32;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.text.as_str() {
            "(" | "{" => depth += 1,
            ")" | "}" => {
                depth -= 1;
                if depth == 0 && tokens.get(at + 1).is_none_or(|next| next.text != "(") {
                    return None;
                }
            }
            text if text == key && tokens.get(at + 1).is_some_and(|next| next.text == "=") => {
                return Some((token, tokens.get(at + 2)));
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SOURCE: &str = "-- atleast = 1\nexpect.spans(\"atleast = 2\", {\n  from = swarm,\n  \
                          atleast = 3,\n})\nother { atleast = 4 }\n";

    #[test]
    fn an_option_is_found_in_its_own_call_and_not_in_text() {
        let tokens = tokens(SOURCE);
        let (key, value) = option(&tokens, "expect.spans", 2, "atleast").unwrap();
        assert_eq!((key.line, key.column, key.length()), (4, 3, 7));
        assert_eq!(value.unwrap().text, "3");
        assert!(option(&tokens, "expect.spans", 2, "within").is_none());
        assert_eq!(call(&tokens, "expect.spans", 2).unwrap().column, 1);
    }

    #[test]
    fn long_strings_and_comments_are_skipped_whole() {
        let found = tokens("--[==[ a\n]] b ]==] c [[d\ne]] 'f\\'g' h");
        let words: Vec<&str> = found.iter().map(|token| token.text.as_str()).collect();
        assert_eq!(words, ["c", "[[d\ne]]", "'f\\'g'", "h"]);
        assert_eq!((found[3].line, found[3].column), (3, 12));
    }

    proptest! {
        #[test]
        fn any_text_is_split(text in "(?s).{0,200}") {
            let _ = tokens(&text);
        }
    }
}
