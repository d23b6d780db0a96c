//! Words in lines, for what is drawn from the definitions.

use super::{Field, Need};

/// Splits text into lines of at most `width` characters; a longer word gets a line of its own.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Whether something must be given, in a word.
pub(super) fn need(field: &Field) -> String {
    match field.need {
        Need::Needed => "needed".to_owned(),
        Need::Optional => "optional".to_owned(),
        Need::Default(value) => format!("= {value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_whole_and_lines_short() {
        assert_eq!(wrap("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrap("a-word-that-is-long x", 5), ["a-word-that-is-long", "x"]);
        assert!(wrap("  ", 5).is_empty());
    }
}
