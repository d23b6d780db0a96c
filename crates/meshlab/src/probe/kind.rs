//! A first kind of node, from what a probe saw.

use std::path::Path;

use meshlab_engine::{PROBE_PORT, Probed};

/// Words that programs use once they are ready.
const READY_WORDS: &[&str] = &[
    "listening",
    "listen",
    "ready",
    "started",
    "serving",
    "bound",
    "accepting",
    "running",
    "up on",
];

/// Lines of a log that may say that the program is ready, each with a pattern for it: what is there
/// each time, with `*` for what has a digit.
pub(super) fn candidates(log: &[String]) -> Vec<(String, String)> {
    let mut found: Vec<(usize, String, String)> = Vec::new();
    for line in log {
        let lower = line.to_lowercase();
        let Some(rank) = READY_WORDS.iter().position(|word| lower.contains(word)) else { continue };
        let pattern = pattern(line);
        let known = found.iter().any(|(_, _, other)| *other == pattern);
        if pattern.len() >= 4 && !known {
            found.push((rank, line.clone(), pattern));
        }
    }
    found.sort_by_key(|(rank, _, _)| *rank);
    found.into_iter().take(3).map(|(_, line, pattern)| (line, pattern)).collect()
}

fn pattern(line: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for word in line.split(' ') {
        let varies = word.contains(|c: char| c.is_ascii_digit() || c == '*' || c == '\x1b');
        match (varies, parts.last()) {
            (true, Some(&"*")) => {}
            (true, _) => parts.push("*"),
            (false, _) => parts.push(word),
        }
    }
    // Between two parts that stay there is a space; a `*` takes it in.
    let joined = parts.join(" ").replace(" * ", "*").replace("* ", "*").replace(" *", "*");
    joined.trim_matches('*').trim().to_owned()
}

/// The file.
pub(super) fn text(
    program: &Path,
    words: &[String],
    env: &[(String, String)],
    probed: &Probed,
) -> String {
    let name = name(program);
    let port = probed.bound.iter().find(|(_, address)| !address.ip().is_loopback());
    let port = port.or_else(|| probed.bound.iter().next());
    let number = port.map(|(_, address)| address.port()).filter(|port| *port != PROBE_PORT);
    let arguments: Vec<String> = words.iter().map(|word| quoted(&ported(word, number))).collect();
    let mut out = format!(
        "-- Written by `meshlab probe -- {} {}`.\n-- A first guess: what it rests on is said \
         beside each line.\n\nreturn kind {{\n  name = {},\n  program = {},\n",
        program.display(),
        words.join(" ").replace('\n', " "),
        quoted(&name),
        quoted(&program.display().to_string()),
    );
    if !arguments.is_empty() {
        out.push_str(&format!("  arguments = {{ {} }},\n", arguments.join(", ")));
    }
    if !env.is_empty() {
        let all: Vec<String> = env
            .iter()
            .map(|(name, value)| format!("[{}] = {}", quoted(name), quoted(value)))
            .collect();
        out.push_str(&format!("  env = {{ {} }},\n", all.join(", ")));
    }
    if let Some(number) = number {
        out.push_str(&format!("  port = {number}, -- it bound that\n"));
    }
    let transport = port.map(|(word, _)| word.to_lowercase());
    let said = candidates(&probed.log);
    out.push_str(&match (&transport, said.first()) {
        (Some(transport), _) => {
            format!("  ready = {{ port = {} }}, -- something binds it\n", quoted(transport))
        }
        (None, Some((_, pattern))) => {
            format!("  ready = {{ log = {} }}, -- a line of its log\n", quoted(pattern))
        }
        (None, None) => match probed.log.first() {
            Some(line) => format!(
                "  ready = {{ log = {} }}, -- the first line of its log; choose a better one\n",
                quoted(&pattern(line))
            ),
            None => "  -- Nothing showed that it is ready: it runs, and that is all.\n  \
                     ready = { command = { \"/bin/true\" } },\n"
                .to_owned(),
        },
    });
    if transport.as_deref() == Some("tcp") {
        out.push_str(
            "  answers = { tcp = \"\" }, -- it takes a connection; say what it is sent and what \
             comes back\n",
        );
    }
    if !probed.ended_when_asked && probed.exit.is_none() {
        out.push_str("  stop = { signal = \"SIGKILL\" }, -- it did not end by SIGTERM\n");
    }
    out.push_str(&spans(probed));
    out.push_str("}\n");
    out
}

/// Its spans, for somebody to say what they mean.
fn spans(probed: &Probed) -> String {
    let mut out = String::new();
    let mut names: Vec<&String> = probed.spans.keys().map(|(_, name)| name).collect();
    names.dedup();
    if !names.is_empty() {
        out.push_str("  -- Say what its spans mean, and they are evidence:\n  -- spans = {\n");
        for name in names.iter().take(20) {
            let name = quoted(name);
            out.push_str(&format!("  --   [{name}] = {{ is = \"...\", attributes = {{}} }},\n"));
        }
        out.push_str("  -- },\n");
    }
    out
}

/// The program's name as a kind's.
fn name(program: &Path) -> String {
    let stem = program.file_name().map(|name| name.to_string_lossy().into_owned());
    let fit = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let name: String = stem.unwrap_or_default().chars().map(fit).take(40).collect();
    if name == "mesh-node" || name.is_empty() { "program".to_owned() } else { name }
}

/// An argument, with the placeholder in the place of the port that was bound.
fn ported(word: &str, port: Option<u16>) -> String {
    let Some(port) = port.map(|port| port.to_string()) else { return word.to_owned() };
    match word.rsplit_once(':') {
        _ if word == port => "{port}".to_owned(),
        Some((host, last)) if last == port => format!("{host}:{{port}}"),
        _ => word.to_owned(),
    }
}

/// A text as Lua writes it.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push_str(&format!("\\u{{{:x}}}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn a_line_becomes_a_pattern_without_what_varies() {
        let log = lines(&[
            "2026-11-21T10:00:00Z INFO started in 3 ms",
            "Serving HTTP on 0.0.0.0 port 8000 (http://0.0.0.0:8000/) ...",
            "loading",
        ]);
        let found: Vec<String> = candidates(&log).into_iter().map(|(_, it)| it).collect();
        assert_eq!(found, ["INFO started in*ms", "Serving HTTP on*port*..."]);
    }

    #[test]
    fn a_first_kind_says_what_it_rests_on() {
        let mut probed = Probed { ended_when_asked: true, ..Probed::default() };
        probed.bound.insert(("TCP", "0.0.0.0:8000".parse().unwrap()));
        probed.spans.insert(("app".to_owned(), "conn.up".to_owned()), 3);
        let web = Path::new("/usr/bin/httpd");
        let words = lines(&["--listen", "0.0.0.0:8000", "a \"b\"\n"]);
        let env = [("RUST_LOG".to_owned(), "info".to_owned())];
        let by_port = text(web, &words, &env, &probed);
        let by_log = Probed { log: lines(&["now ready"]), ..Probed::default() };
        let by_log = text(Path::new("/opt/x.y"), &[], &[], &by_log);
        let nothing = text(Path::new("/opt/mesh-node"), &[], &[], &Probed::default());
        insta::assert_snapshot!([by_port, by_log, nothing].join("\n"));
    }
}
