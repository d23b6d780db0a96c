//! What somebody should look at, though a run may be right with it.

use crate::{error::nearest, locate::Line};

/// Something that is no error, and that somebody should look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Remark {
    pub(super) line: Line,
    /// The word that is meant.
    pub(super) word: String,
    pub(super) message: String,
    pub(super) label: Option<String>,
    pub(super) help: Option<String>,
}

/// A name that no node of ours emits may be one of somebody else's node, so it is no error.
pub(super) fn unknown_span(name: &str, line: Line) -> Option<Remark> {
    let known = meshlab_wire::span::ALL;
    if known.contains(&name) {
        return None;
    }
    Some(Remark {
        line,
        word: format!("\"{name}\""),
        message: format!("`mesh-node` emits no span `{name}`"),
        label: nearest(name, known.iter().copied()).map(|meant| format!("did you mean `{meant}`?")),
        help: Some("a program of your own may; of `mesh-node` it would never be seen".to_owned()),
    })
}
