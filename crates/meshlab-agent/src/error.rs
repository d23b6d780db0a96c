//! Why an agent does not start.

use std::{io, path::PathBuf};

/// Completes "failed to start the agent: ...".
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The environment names a descriptor that is not a number above 2.
    #[error(
        "{variable}={got} is no descriptor; set it to the number of an inherited socket or unset it"
    )]
    DescriptorName {
        /// The environment variable.
        variable: &'static str,
        /// Its value.
        got: String,
    },
    /// The descriptor is not a connected Unix stream socket.
    #[error(
        "descriptor {fd} is no connected Unix stream socket: {why}; pass one end of a socket pair"
    )]
    Descriptor {
        /// The descriptor's number.
        fd: i32,
        /// What was wrong with it.
        why: String,
    },
    /// The inherited descriptor was already taken by another agent of this process.
    #[error("descriptor {0} was already taken in this process; start one agent only")]
    DescriptorTaken(i32),
    /// The control socket could not be created.
    #[error("could not listen on control socket {}: {source}; remove what is there or choose \
        another path", path.display())]
    Listen {
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The exporter could not be built.
    #[error(
        "could not export spans to `{endpoint}`: {why}; give the base address of an OTLP/HTTP \
            receiver"
    )]
    Exporter {
        /// Where spans should go.
        endpoint: String,
        /// What the exporter said.
        why: String,
    },
    /// The log filter does not parse.
    #[error("log filter `{got}` does not parse: {why}")]
    LogFilter {
        /// The filter.
        got: String,
        /// What the parser said.
        why: String,
    },
    /// Another subscriber is installed in this process.
    #[error(
        "a tracing subscriber is already installed; install telemetry once, first thing in main"
    )]
    SubscriberInstalled,
    /// A thread or a signal handler was refused by the system.
    #[error("the system refused {what}: {source}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What it said.
        source: io::Error,
    },
}
