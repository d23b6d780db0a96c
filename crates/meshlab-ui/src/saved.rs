//! What was done by hand, as a scenario that does it again.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use meshlab_engine::results::RunRecord;
use meshlab_model::{RunEventKind, RunTime, format_duration};

/// A pause that is shorter is left out.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// A mesh as it was made last.
struct Made {
    nodes: u32,
    digest_every: Duration,
    gated: bool,
}

/// The Lua file; `None` if nothing was done by hand.
pub(crate) fn scenario(record: &RunRecord) -> Option<String> {
    let (mut meshes, mut lines, mut end) = (BTreeMap::new(), Vec::new(), None);
    let mut kept_from = None;
    for event in &record.events {
        match &event.kind {
            RunEventKind::MeshStarting { mesh, nodes, digest_every_micros, digest_gated } => {
                let digest_every = Duration::from_micros(*digest_every_micros);
                let (nodes, gated) = (*nodes, *digest_gated);
                meshes.insert(mesh.as_str().to_owned(), Made { nodes, digest_every, gated });
            }
            // Only the meshes of the last test are there to be acted on.
            RunEventKind::TestStarted { .. } => {
                meshes.clear();
            }
            RunEventKind::Kept { .. } => kept_from = Some(event.at),
            RunEventKind::ByHand { text } => lines.push((event.at, text.clone())),
            RunEventKind::KeepEnded { .. } => end = Some(event.at),
            _ => {}
        }
    }
    if lines.is_empty() {
        return None;
    }
    let from = kept_from.unwrap_or(lines[0].0);
    let length = end.unwrap_or(record.events.last()?.at).since(from);
    Some(written(record, &meshes, &lines, from, length))
}

fn written(
    record: &RunRecord,
    meshes: &BTreeMap<String, Made>,
    lines: &[(RunTime, String)],
    from: RunTime,
    length: Duration,
) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "-- What was done by hand on {}.", record.manifest.run);
    let timeout = unit(length * 3 + Duration::from_secs(120));
    let _ = writeln!(text, "scenario {{ timeout = \"{timeout}\" }}\n");
    let _ = writeln!(text, "test(\"what was done by hand ends with one mesh\", function()");
    let _ = writeln!(text, "  local meshes = {{}}");
    for (name, made) in meshes {
        let _ = writeln!(
            text,
            "  meshes[{}] = mesh {{ name = {}, nodes = {}, digest_every = \"{}\", \
             digest_gated = {} }}",
            quoted(name),
            quoted(name),
            made.nodes,
            unit(made.digest_every),
            made.gated
        );
    }
    for name in meshes.keys() {
        let _ = writeln!(text, "  expect.formed(meshes[{}], {{ within = \"60s\" }})", quoted(name));
    }
    if let (Some(name), 1) = (meshes.keys().next(), meshes.len()) {
        let _ = writeln!(text, "  local swarm = meshes[{}]", quoted(name));
        let speaks = lines.iter().any(|(_, line)| line.contains("swarm"));
        if !speaks {
            // A name that nothing uses is a finding of a type checker.
            text.truncate(text.trim_end().rfind('\n').map_or(0, |end| end + 1));
        }
    }
    // How long somebody thought before the first of them says nothing.
    let mut before = lines.first().map_or(from, |line| line.0);
    for (at, line) in lines {
        let pause = at.since(before);
        before = *at;
        if pause >= PAUSE_MIN {
            let _ = writeln!(text, "  sleep(\"{}\")", unit(pause));
        }
        for part in line.lines() {
            let mark = if is_statement(line) { "" } else { "-- asked: " };
            let _ = writeln!(text, "  {mark}{part}");
        }
    }
    text.push_str("end)\n");
    text
}

/// Whether a line of a prompt is a statement too, and does not only ask for a value.
fn is_statement(line: &str) -> bool {
    let line = line.trim();
    let word = |word: &str| {
        line.strip_prefix(word).is_some_and(|rest| rest.starts_with(char::is_whitespace))
    };
    let assigned = line.split_once('=').is_some_and(|(name, rest)| {
        let plain = |c: char| c.is_alphanumeric() || c == '_' || c == ',' || c == ' ';
        !rest.starts_with('=') && name.trim().chars().all(plain)
    });
    let called = line.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && line.ends_with([')', '}'])
        && !line.starts_with("function");
    assigned || called || ["local", "for", "if", "while", "do", "repeat"].into_iter().any(word)
}

/// As a scenario writes it, to the millisecond.
fn unit(length: Duration) -> String {
    let millis = length.as_millis();
    match millis {
        _ if millis.is_multiple_of(1000) => format!("{}s", millis / 1000),
        _ => format!("{millis}ms"),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// What a page says where there is nothing to save.
pub(crate) fn nothing(after: RunTime) -> String {
    format!("nothing was done by hand in {}", format_duration(after.as_duration()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_told_from_a_question() {
        for line in [
            "fault.kill_node(swarm:node(2))",
            "x = 1",
            "local hit = fault.wedge_node(n, { hold = \"1s\" })",
            "expect.formed(swarm)",
            "for _, n in ipairs(swarm:live()) do print(n) end",
            "meshes[\"a b\"]:node(1):drain()",
        ] {
            assert!(is_statement(line), "{line}");
        }
        for line in ["#swarm:live()", "swarm", "1 + 1", "swarm:node(1).id", "x == 1", "\"(\""] {
            assert!(!is_statement(line), "{line}");
        }
        assert_eq!(unit(Duration::from_millis(1500)), "1500ms");
        assert_eq!(unit(Duration::from_secs(90)), "90s");
        assert_eq!(quoted("a\"b"), "\"a\\\"b\"");
    }
}
