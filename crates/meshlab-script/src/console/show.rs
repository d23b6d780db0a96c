//! Values as a person reads them.

use std::sync::Arc;

use meshlab_engine::Host;
use mlua::{Table, Value};

use crate::{
    api::{MeshRef, NodeRef},
    call::as_data,
};

/// Entries of a table that are shown.
const ENTRIES_MAX: usize = 100;
/// Tables within tables that are shown.
const DEPTH_MAX: usize = 4;
/// Columns: what is wider gets a line for each entry.
const WIDTH: usize = 100;

/// A value in a line, or in several where it is long.
pub(super) fn show(host: &Arc<dyn Host>, value: &Value) -> String {
    Shower { host }.value(value, 0)
}

struct Shower<'a> {
    host: &'a Arc<dyn Host>,
}

impl Shower<'_> {
    fn value(&self, value: &Value, depth: usize) -> String {
        match value {
            Value::String(text) => format!("{:?}", text.to_string_lossy()),
            Value::Number(number) => short(*number),
            Value::Function(_) => "a function".to_owned(),
            Value::Table(table) => self.table(table, depth),
            Value::UserData(_) => self.data(value, depth),
            other => other.to_string().unwrap_or_else(|_| format!("a {}", other.type_name())),
        }
    }

    fn data(&self, value: &Value, depth: usize) -> String {
        if let Some(node) = as_data::<NodeRef>(value) {
            return if depth == 0 { self.node(&node) } else { node.id.to_string() };
        }
        if let Some(mesh) = as_data::<MeshRef>(value) {
            return self.mesh(&mesh);
        }
        // A value without a word for itself prints as an address, which tells nobody anything.
        let text = value.to_string().unwrap_or_default();
        if text.is_empty() || text.contains("0x") { "a value".to_owned() } else { text }
    }

    fn node(&self, node: &NodeRef) -> String {
        let meshes = self.host.meshes();
        let infos = meshes.iter().flat_map(|mesh| self.host.nodes(mesh));
        let Some(info) = infos.into_iter().find(|info| info.id == node.id) else {
            return node.id.to_string();
        };
        let life = if info.live { "runs" } else { "does not run" };
        let name = info.name.map(|name| format!(", {name}")).unwrap_or_default();
        format!("{} ({}, {life}{name})", info.id, info.role)
    }

    fn mesh(&self, mesh: &MeshRef) -> String {
        let nodes = self.host.nodes(&mesh.id);
        let live = nodes.iter().filter(|node| node.live).count();
        let ids: Vec<String> = nodes
            .iter()
            .map(|node| format!("{}{}", node.id, if node.live { "" } else { " (down)" }))
            .collect();
        format!("{}: {live} of {} nodes run: {}", mesh.id, nodes.len(), ids.join(", "))
    }

    fn table(&self, table: &Table, depth: usize) -> String {
        if depth >= DEPTH_MAX {
            return "{ ... }".to_owned();
        }
        // The entries themselves, past what a metatable says of those that are not there.
        let length = table.raw_len();
        let mut parts = Vec::new();
        for place in 1..=length.min(ENTRIES_MAX) {
            let value = table.raw_get::<Value>(place).unwrap_or(Value::Nil);
            parts.push(self.value(&value, depth + 1));
        }
        let mut named = Vec::new();
        let mut more = length.saturating_sub(ENTRIES_MAX);
        for pair in table.clone().pairs::<Value, Value>().flatten() {
            let (key, value) = pair;
            if matches!(key, Value::Integer(place) if place >= 1 && place as usize <= length) {
                continue;
            }
            if named.len() + parts.len() >= ENTRIES_MAX {
                more += 1;
                continue;
            }
            let key = match &key {
                Value::String(text) => text.to_string_lossy(),
                other => format!("[{}]", self.value(other, depth + 1)),
            };
            named.push((key, self.value(&value, depth + 1)));
        }
        // Lua's own order is that of its hashes.
        named.sort();
        parts.extend(named.into_iter().map(|(key, value)| format!("{key} = {value}")));
        if more > 0 {
            parts.push(format!("... and {more} more"));
        }
        layout(&parts, depth)
    }
}

/// A number without the last digits, which only binary fractions have.
fn short(number: f64) -> String {
    let rounded = format!("{number:.9e}").parse::<f64>().unwrap_or(number);
    if rounded.fract() == 0.0 && rounded.abs() < 1e15 {
        format!("{rounded:.1}")
    } else {
        rounded.to_string()
    }
}

fn layout(parts: &[String], depth: usize) -> String {
    if parts.is_empty() {
        return "{}".to_owned();
    }
    let line = format!("{{ {} }}", parts.join(", "));
    if line.len() + depth * 2 <= WIDTH && !line.contains('\n') {
        return line;
    }
    let pad = "  ".repeat(depth + 1);
    let lines: Vec<String> = parts.iter().map(|part| format!("{pad}{part}")).collect();
    format!("{{\n{}\n{}}}", lines.join(",\n"), "  ".repeat(depth))
}
