//! Programs that nobody wrote for this harness: what is said of a *kind* of node, and what the
//! harness does for one in the place of the agent.
//!
//! `template.rs` fills in placeholders, `keys.rs` makes identities, `start.rs` prepares a start,
//! waits until a program is ready and ends it, `words.rs` says its spans in the standard names and
//! what it has no word for, `answers.rs` asks it from outside, `clock.rs` has its clock set,
//! `log.rs` reads what it says, `files.rs` what it wrote.

mod answers;
mod clock;
mod files;
mod keys;
mod log;
mod start;
mod template;
mod words;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

pub(crate) use answers::{ask, judge as judge_answers};
pub use clock::clock_library;
pub(crate) use clock::preload;
pub(crate) use files::judge as judge_file;
pub(crate) use keys::KeyPair;
pub(crate) use start::{Stranger, command, free_port};
pub use template::{PLACEHOLDERS, Template};
pub(crate) use words::{Peers, Said, can_show, nobody_shows, translate};

/// How to run a program that has no agent, and what it says.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeKind {
    /// Its name, in errors and reports.
    pub name: String,
    /// Name of its program among those of the run.
    pub binary: String,
    /// Its arguments; those of a group are left out together where a placeholder in them is empty.
    pub arguments: Vec<Vec<Template>>,
    /// A line for the shell in the place of program and arguments: it has `{program}`.
    pub shell: Option<Template>,
    /// Its environment; a variable is left out where a placeholder in it is empty.
    pub env: BTreeMap<String, Template>,
    /// Files that are written before each start, by their path below the data directory. One that
    /// speaks of the secret key is readable by its owner only.
    pub files: BTreeMap<String, Template>,
    /// The port that it binds. On the host's network a free one takes its place.
    pub port: u16,
    /// How others write it as a seed.
    pub seed: Template,
    /// What stands between two seeds.
    pub seed_separator: String,
    /// What shows that it is ready.
    pub ready: Readiness,
    /// A pattern with one `*`: what that stands for in the first line of its log that has it, up to
    /// what follows or to a blank, is `{captured}`, and it is ready only then.
    pub capture: Option<String>,
    /// How long that may take.
    pub ready_within: Duration,
    /// What asks it to end.
    pub stop_signal: i32,
    /// How long it may take to end before it is killed.
    pub stop_grace: Duration,
    /// Whether it ends by itself when it is done: with code 0, that is nothing wrong.
    pub ends: bool,
    /// How it is asked from outside whether it is there.
    pub answers: Option<Answers>,
    /// What its spans are called.
    pub words: Words,
    /// Silence after which it infers that a peer is dead.
    pub dead_after: Duration,
    /// Whether a library is loaded before it that answers for its wall clock, for `clock_skew`.
    pub preloads_clock: bool,
}

/// What shows that a program is ready.
#[derive(Debug, Clone, PartialEq)]
pub enum Readiness {
    /// A line of its log has these parts, in this order.
    Log(String),
    /// It sent a span of that name, its own or the standard one.
    Span(String),
    /// Something in its network listens on its port.
    Port(Transport),
    /// A command in its network ends with code 0.
    Command(Vec<Template>),
    /// It answers, see [`Answers`].
    Answers,
}

/// A protocol that ports belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A question that a program answers to anybody.
#[derive(Debug, Clone, PartialEq)]
pub struct Answers {
    /// By what.
    pub transport: Transport,
    /// What is sent; nothing if empty.
    pub send: Template,
    /// What the answer contains; for TCP, the connection itself is the answer if empty.
    pub contains: Template,
}

/// What the spans of a program are called.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Words {
    /// It sends none, or none that tells anything.
    #[default]
    None,
    /// They have the standard names.
    Standard,
    /// By its own names.
    Mapped(BTreeMap<String, Word>),
}

/// What a span of a program is in the standard names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Word {
    /// The standard name.
    pub means: String,
    /// Standard names of its attributes, by its own ones.
    pub attributes: BTreeMap<String, String>,
    /// Attributes that it has not and that go without saying: `state` of a span that only tells of
    /// deaths.
    pub with: BTreeMap<String, String>,
}

impl NodeKind {
    /// Whether a span of that name can come of it.
    pub(crate) fn says(&self, span: &str) -> bool {
        match &self.words {
            Words::None => false,
            Words::Standard => true,
            Words::Mapped(words) => {
                words.values().any(|word| word.means == span)
                    // A name that is not a standard one is its own business.
                    || !meshlab_wire::span::ALL.contains(&span)
            }
        }
    }
}

/// Signals that a program can be asked to end by.
pub const SIGNALS: &[(&str, i32)] = &[
    ("SIGTERM", libc::SIGTERM),
    ("SIGINT", libc::SIGINT),
    ("SIGHUP", libc::SIGHUP),
    ("SIGQUIT", libc::SIGQUIT),
    ("SIGUSR1", libc::SIGUSR1),
    ("SIGUSR2", libc::SIGUSR2),
    ("SIGKILL", libc::SIGKILL),
];

/// A kind that nodes share.
pub type SharedKind = Arc<NodeKind>;

#[cfg(test)]
mod tests;
