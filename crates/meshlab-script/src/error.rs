//! Errors of a scenario: where, what, what was meant.

use std::fmt;

use meshlab_engine::HostError;
use meshlab_model::SourceLine;

/// Who has to do something about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The scenario is wrong.
    Mistake,
    /// A node did not do its part.
    Node,
    /// The harness or the host could not do its part.
    Harness,
    /// A claim failed and ended its test. It is in the record; this only unwinds the script.
    ClaimFailed,
    /// The run is being stopped.
    Cancelled,
    /// The task that it was in was cancelled by the scenario; this only unwinds it.
    Withdrawn,
}

/// An error with its place in the scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptError {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
    pub(crate) file: String,
    /// Line from 1; 0 where there is none, as for a file that cannot be read.
    pub(crate) line: u32,
    /// Column from 1; 0 where only the line is known.
    pub(crate) column: u32,
    /// Characters to underline.
    pub(crate) length: usize,
    /// The line's text.
    pub(crate) text: String,
    /// Said at the caret.
    pub(crate) label: Option<String>,
    pub(crate) help: Option<String>,
    /// Lua found it, not a call of ours.
    pub(crate) of_lua: bool,
}

impl ScriptError {
    /// Who has to do something about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What is wrong, in a sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where, if it has a line.
    pub fn source_line(&self) -> Option<SourceLine> {
        (self.line > 0).then(|| SourceLine {
            file: self.file.clone(),
            line: self.line,
            column: self.column,
        })
    }

    /// The error as it is shown: message, place, the line with a caret, help.
    pub fn render(&self, color: bool) -> String {
        self.render_as("error", "\x1b[31m", color)
    }

    /// The same as a warning: nothing fails by it.
    pub fn render_warning(&self, color: bool) -> String {
        self.render_as("warning", "\x1b[33m", color)
    }

    fn render_as(&self, word: &str, hue: &str, color: bool) -> String {
        let (red, blue, bold, reset) =
            if color { (hue, "\x1b[34m", "\x1b[1m", "\x1b[0m") } else { ("", "", "", "") };
        let mut out = format!("{red}{bold}{word}{reset}{bold}: {}{reset}", self.message);
        let gutter = self.line.to_string();
        let pad = " ".repeat(gutter.len());
        if self.line > 0 {
            let column = if self.column > 0 { format!(":{}", self.column) } else { String::new() };
            out += &format!("\n{pad}{blue}-->{reset} {}:{}{column}", self.file, self.line);
            out += &format!("\n{pad} {blue}|{reset}");
            out += &format!("\n{blue}{gutter} |{reset} {}", self.text.replace('\t', " "));
        } else {
            out += &format!("\n{blue}-->{reset} {}", self.file);
        }
        if self.line > 0 && self.column > 0 {
            let before = " ".repeat(self.column as usize - 1);
            let carets = "^".repeat(self.length.max(1));
            let label = self.label.as_deref().map(|label| format!(" {label}")).unwrap_or_default();
            out += &format!("\n{pad} {blue}|{reset} {before}{red}{carets}{label}{reset}");
        } else if let Some(label) = &self.label {
            out += &format!("\n{pad} {blue}|{reset} {label}");
        }
        if let Some(help) = &self.help {
            out += &format!("\nhelp: {help}");
        }
        out
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for ScriptError {}

/// What kind of error the engine's answer is.
pub(crate) fn kind_of(error: &HostError) -> ErrorKind {
    match error {
        HostError::Misuse(_) => ErrorKind::Mistake,
        HostError::Node(_) => ErrorKind::Node,
        HostError::Harness(_) => ErrorKind::Harness,
        HostError::ClaimFailed(_) => ErrorKind::ClaimFailed,
        HostError::Cancelled(_) => ErrorKind::Cancelled,
    }
}

/// The known word nearest to `word`, if one is near enough to be meant.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().max(word.len()) / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_that_was_meant_is_found() {
        let known = ["at_least", "from", "from_each", "within"];
        assert_eq!(nearest("atleast", known), Some("at_least"));
        assert_eq!(nearest("whithin", known), Some("within"));
        assert_eq!(nearest("colour", known), None);
    }
}
