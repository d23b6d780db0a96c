//! Text with placeholders: `--listen={bind}`.

use std::{collections::BTreeMap, fmt};

/// Every placeholder, and what stands in its place.
pub const PLACEHOLDERS: &[(&str, &str)] = &[
    ("name", "the node's id: `node-3`"),
    ("index", "its place in the mesh, 1 is the first"),
    ("mesh", "the mesh's name"),
    ("role", "the node's role"),
    ("data", "its data directory, which is its home and where it works"),
    ("tmp", "its directory for temporary files"),
    ("ip", "the IPv4 address that it binds"),
    ("port", "the port that it binds"),
    ("bind", "both: `198.18.0.3:7777`"),
    ("captured", "what `capture` takes of its log, once it is ready: for `seed`, what others need"),
    ("program", "the path of its program, for `shell`"),
    ("seed", "the first live node of its mesh, as `seed` of the kind writes it"),
    ("seeds", "up to two of them"),
    ("otlp_http", "where spans go by OTLP over http: `http://127.0.0.1:4318`"),
    ("otlp_grpc", "where spans go by OTLP over gRPC"),
    ("public_key", "its Ed25519 public key, 64 hex digits"),
    ("public_key_base64", "the same in base64"),
    ("secret_key", "the seed of its Ed25519 key, 64 hex digits"),
    ("secret_key_base64", "the same in base64"),
];

/// Text with placeholders. `{{word}}` stands for `{word}` itself; a brace that begins no word is
/// itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(&'static str),
}

impl Template {
    /// Reads a text.
    ///
    /// # Errors
    /// A word in braces is no placeholder; it is returned.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find('{') {
            let (before, after) = rest.split_at(at);
            plain.push_str(before);
            let twice = after.starts_with("{{");
            let inside = &after[if twice { 2 } else { 1 }..];
            let word: &str = inside.split('}').next().unwrap_or_default();
            let closed = inside[word.len()..].starts_with(if twice { "}}" } else { "}" });
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if !closed || word.is_empty() || !word.chars().all(fits) {
                plain.push('{');
                rest = &after[1..];
                continue;
            }
            if twice {
                plain.push_str(&format!("{{{word}}}"));
                rest = &inside[word.len() + 2..];
                continue;
            }
            let known = PLACEHOLDERS.iter().find(|(name, _)| *name == word);
            let (name, _) = known.ok_or_else(|| word.to_owned())?;
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Value(name));
            rest = &inside[word.len() + 1..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// With values in the place of its placeholders; `None` if one of them is empty.
    pub(crate) fn fill(&self, values: &BTreeMap<&'static str, String>) -> Option<String> {
        let mut filled = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Value(name) => {
                    let value = values.get(name).filter(|value| !value.is_empty())?;
                    filled.push_str(value);
                }
            }
        }
        Some(filled)
    }

    /// Whether it is no text at all.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether it speaks of something that must not be read by others.
    pub(crate) fn is_secret(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Value(name) if name.contains("secret")))
    }
}

impl fmt::Display for Template {
    /// As it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
