//! From what Lua threw to an error with a place.

use mlua::Error;

use crate::{context::Context, error::ScriptError, guard};

/// Finds our own error in what Lua threw, through all that wraps it; anything else is a mistake
/// of the script at the line that Lua names.
pub(crate) fn unwind(context: &Context, error: &Error) -> ScriptError {
    match error {
        Error::CallbackError { traceback, cause } => match (&**cause, caller(traceback)) {
            // An operator of a value of ours throws text, without a place of its own.
            (Error::RuntimeError(message), Some((file, line))) if split_line(message).is_none() => {
                from_text(context, &format!("{file}:{line}: {message}"), None)
            }
            _ => unwind(context, cause),
        },
        Error::WithContext { cause, .. } => unwind(context, cause),
        Error::ExternalError(inner) => match inner.downcast_ref::<ScriptError>() {
            Some(ours) => ours.clone(),
            None => from_text(context, &inner.to_string(), None),
        },
        Error::SyntaxError { message, .. } => syntax(context, message),
        Error::MemoryError(_) => {
            let help = "a scenario holds names and numbers; what it waits for is in the harness";
            from_text(context, "the script used more than 128 MiB", Some(help))
        }
        Error::RuntimeError(message) => from_text(context, message, None),
        other => from_text(context, &other.to_string(), None),
    }
}

/// Splits Lua's `file:line: message`; a long file name is cut by Lua, so the line is found by its
/// form.
fn from_text(context: &Context, text: &str, help: Option<&str>) -> ScriptError {
    let first = text.lines().next().unwrap_or_default();
    let (mut file, mut number, message) = split_line(first).unwrap_or(("", 0, first));
    if file == guard::FILE {
        // It stands between the script and what Lua itself does; the stack tells who called it.
        (file, number) = caller(&text[first.len()..]).unwrap_or(("", 0));
    }
    let line = context.line_named(file, number);
    let quoted = message.split(['\'', '`']).nth(1).unwrap_or_default();
    let mut error = context.word_mistake(quoted, line, message.to_owned());
    error.help = help.map(str::to_owned);
    error.of_lua = true;
    error
}

/// The innermost line of the script in what Lua says of its stack.
fn caller(traceback: &str) -> Option<(&str, u32)> {
    let frame = |frame| split_line(frame).map(|(file, line, _): (&str, _, _)| (file.trim(), line));
    traceback.lines().filter_map(frame).find(|(file, _)| *file != guard::FILE)
}

fn split_line(text: &str) -> Option<(&str, u32, &str)> {
    let mut from = 0;
    while let Some(at) = text[from..].find(':').map(|at| from + at + 1) {
        let digits = text[at..].find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
        if digits > 0 && text[at + digits..].starts_with(": ") {
            let line = text[at..at + digits].parse().ok()?;
            return Some((&text[..at - 1], line, &text[at + digits + 2..]));
        }
        from = at;
    }
    None
}

const KEYWORDS: &[&str] = &[
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in",
    "local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while",
];

fn syntax(context: &Context, message: &str) -> ScriptError {
    let mut error = from_text(context, message, None);
    let Some(near) = error.message.split("near '").nth(1).and_then(|rest| rest.strip_suffix('\''))
    else {
        if error.message.contains("near <eof>") {
            error.help =
                Some("the file ends too early: an `end` or a bracket is missing".to_owned());
        }
        return error;
    };
    let near = near.to_owned();
    let line = context.line_named(&error.file, error.line);
    let place = context.word_mistake(&near, line, String::new());
    (error.column, error.length) = (place.column, place.length);
    let closing = error.message.contains("'}' expected");
    let symbol = error.message.contains("unexpected symbol");
    error.help = if (closing || symbol) && KEYWORDS.contains(&near.as_str()) {
        Some(format!("`{near}` is a word of Lua itself and cannot be an option's name"))
    } else if closing {
        Some(format!("is a comma missing before `{near}`?"))
    } else {
        None
    };
    error
}
