//! What a node and the harness say to each other: control messages, span and attribute names,
//! the environment a node is started with.
//!
//! Open `control.rs` for the messages, `command.rs` for what a node can be asked to do,
//! `names.rs` for the words that both sides spell the same, `clock_page.rs` for the memory that
//! sets the clock of a program without an agent.
//! It does not open sockets and knows nothing of either side.

mod clock_page;
mod command;
mod control;
mod names;

pub use clock_page::{CLOCK_PAGE, ClockPage, ToldTime};
pub use command::{Command, Contact, Order, Outcome, Traffic, TrafficKind, TrafficResult};
pub use control::{
    ClockShift, DecodeError, MAX_LINE_BYTES, Message, PROTOCOL, Ready, Reply, Request,
    RequestFrame, Telemetry, ViewEntry, decode_message, decode_request, encode,
};
pub use names::{State, attr, env, span};
