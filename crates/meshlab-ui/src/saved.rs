//! What was done by hand, as a scenario that does it again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    time::Duration,
};

use meshlab_engine::results::RunRecord;
use meshlab_model::{MeshMade, NodeId, RunEvent, RunEventKind, RunTime, format_duration};

/// A pause that is shorter is left out.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// How the note begins that follows a line which failed.
const NOT_DONE: &str = "not done: ";

/// The role of a node of which nothing is said.
const USUAL_ROLE: &str = "broker";

/// A mesh as it was made.
#[derive(Debug, Clone)]
struct Made {
    nodes: u32,
    digest_every: Duration,
    gated: bool,
    /// Absent in older records.
    made: Option<MeshMade>,
    /// Its nodes so far, and the roles of those that the scenario added to it.
    known: BTreeSet<NodeId>,
    ready: bool,
    added: Vec<String>,
}

/// What was done by hand in one test.
#[derive(Debug, Default)]
struct Part {
    title: String,
    /// Those that the scenario made, in the order of their names.
    meshes: BTreeMap<String, Made>,
    lines: Vec<(RunTime, String)>,
    /// Those of them that failed, by their places.
    failed: BTreeSet<usize>,
    /// When the last of the faults by hand was taken back, or was over for those who noticed it.
    settled: RunTime,
    end: RunTime,
}

/// The Lua file; `None` if nothing was done by hand.
pub(crate) fn scenario(record: &RunRecord) -> Option<String> {
    let mut parts: Vec<Part> = Vec::new();
    for event in &record.events {
        if let RunEventKind::TestStarted { title, .. } = &event.kind {
            parts.push(Part { title: title.clone(), ..Part::default() });
        }
        if let Some(part) = parts.last_mut() {
            part.apply(event);
        }
    }
    parts.retain(|part| !part.lines.is_empty());
    let first = parts.first()?;
    let from = first.lines.first().map_or(first.end, |line| line.0);
    let length = parts.last()?.end.since(from);
    Some(written(record, &parts, length))
}

impl Part {
    fn apply(&mut self, event: &RunEvent) {
        self.end = event.at;
        match &event.kind {
            // A mesh that a line made is made by that line.
            RunEventKind::MeshStarting { mesh, nodes, digest_every_micros, digest_gated, made }
                if !event.manual =>
            {
                let made = Made {
                    nodes: *nodes,
                    digest_every: Duration::from_micros(*digest_every_micros),
                    gated: *digest_gated,
                    made: made.clone(),
                    known: BTreeSet::new(),
                    ready: false,
                    added: Vec::new(),
                };
                self.meshes.insert(mesh.as_str().to_owned(), made);
            }
            RunEventKind::MeshReady { mesh } => {
                if let Some(made) = self.meshes.get_mut(mesh.as_str()) {
                    made.ready = true;
                }
            }
            RunEventKind::NodeSpawned { node, mesh, role, .. } => {
                if let Some(made) = self.meshes.get_mut(mesh.as_str())
                    && made.known.insert(node.clone())
                    && made.ready
                    && !event.manual
                {
                    made.added.push(role.clone());
                }
            }
            RunEventKind::ByHand { text } => self.lines.push((event.at, text.clone())),
            RunEventKind::FaultReached { .. } if event.manual => self.settled = event.at,
            RunEventKind::Note { text } if event.manual && text.starts_with(NOT_DONE) => {
                self.failed.extend(self.lines.len().checked_sub(1));
            }
            _ => {}
        }
    }
}

fn written(record: &RunRecord, parts: &[Part], length: Duration) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "-- What was done by hand on {}.", record.manifest.run);
    let timeout = unit(length * 3 + Duration::from_secs(120) * parts.len() as u32);
    let programs: BTreeSet<&str> =
        parts.iter().flat_map(|part| part.meshes.values()).filter_map(Made::program).collect();
    // What they are is on the command line, as it was for the run.
    let programs: Vec<String> = programs.into_iter().map(quoted).collect();
    let _ = match programs.is_empty() {
        true => writeln!(text, "scenario {{ timeout = \"{timeout}\" }}"),
        false => {
            let programs = programs.join(", ");
            writeln!(
                text,
                "local run = scenario {{ timeout = \"{timeout}\", binaries = {{ {programs} }} }}"
            )
        }
    };
    for part in parts {
        part.write(&mut text);
    }
    text
}

impl Part {
    fn write(&self, text: &mut String) {
        let title = format!("what was done by hand: {}", self.title);
        let _ = writeln!(text, "\ntest({}, function()", quoted(&title));
        let _ = writeln!(text, "  local meshes = {{}}");
        for (name, made) in &self.meshes {
            made.write(name, text);
        }
        if let (Some(name), 1) = (self.meshes.keys().next(), self.meshes.len()) {
            // A name that nothing uses is a finding of a type checker.
            if self.lines.iter().any(|(_, line)| line.contains("swarm")) {
                let _ = writeln!(text, "  local swarm = meshes[{}]", quoted(name));
            }
        }
        // How long somebody thought before the first of them says nothing.
        let mut before = self.lines.first().map(|line| line.0);
        for (place, (at, line)) in self.lines.iter().enumerate() {
            let pause = before.map_or(Duration::ZERO, |before| at.since(before));
            before = Some(*at);
            if pause >= PAUSE_MIN {
                let _ = writeln!(text, "  sleep(\"{}\")", unit(pause));
            }
            for part in line.lines() {
                let mark = match is_statement(line) {
                    _ if self.failed.contains(&place) => "-- failed: ",
                    true => "",
                    false => "-- asked: ",
                };
                let _ = writeln!(text, "  {mark}{part}");
            }
        }
        // Faults that were to be taken back by themselves have the time that they had.
        if let Some(last) = before.filter(|last| self.settled > *last) {
            let _ = writeln!(text, "  sleep(\"{}\")", unit(self.settled.since(last)));
        }
        text.push_str("end)\n");
    }
}

impl Made {
    /// The name of its program, if it is not the usual one.
    fn program(&self) -> Option<&str> {
        self.made.as_ref()?.binary.as_deref()
    }

    fn write(&self, name: &str, text: &mut String) {
        let mut options = vec![
            format!("name = {}", quoted(name)),
            format!("nodes = {}", self.nodes()),
            format!("digest_every = \"{}\"", unit(self.digest_every)),
            format!("digest_gated = {}", self.gated),
        ];
        let made = self.made.clone().unwrap_or_default();
        let flags =
            [("operator", made.operator), ("relay", made.relay), ("backbone", made.backbone)];
        options
            .extend(flags.iter().filter(|flag| flag.1).map(|(name, _)| format!("{name} = true")));
        options.extend(made.disk_bytes.map(|bytes| format!("disk = \"{bytes}B\"")));
        options.extend(made.binary.map(|name| format!("binary = run.binaries[{}]", quoted(&name))));
        if !made.env.is_empty() {
            let one = |(name, value): (&String, &String)| {
                format!("[{}] = {}", quoted(name), quoted(value))
            };
            let all: Vec<String> = made.env.iter().map(one).collect();
            options.push(format!("env = {{ {} }}", all.join(", ")));
        }
        if let Some(kind) = &made.kind {
            let _ = writeln!(text, "  -- Its nodes were of the kind `{kind}`: put that here.");
        }
        let (name, options) = (quoted(name), options.join(", "));
        let _ = writeln!(text, "  meshes[{name}] = mesh {{ {options} }}");
        for role in &self.added {
            let _ = writeln!(text, "  meshes[{name}]:add {{ role = {} }}", quoted(role));
        }
        let _ = writeln!(text, "  expect.formed(meshes[{name}], {{ within = \"60s\" }})");
    }

    /// How many, by role where there are several.
    fn nodes(&self) -> String {
        let mut roles: BTreeMap<&str, u32> = BTreeMap::new();
        for role in self.made.iter().flat_map(|made| &made.roles) {
            *roles.entry(role).or_default() += 1;
        }
        match roles.keys().all(|role| *role == USUAL_ROLE) {
            true => self.nodes.to_string(),
            false => {
                let all: Vec<String> =
                    roles.iter().map(|(role, count)| format!("{} = {count}", key(role))).collect();
                format!("{{ {} }}", all.join(", "))
            }
        }
    }
}

/// A key of a table of Lua.
fn key(name: &str) -> String {
    format!("[{}]", quoted(name))
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
