//! Reasons to stop: a signal, or the control channel.

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use crate::AgentError;

/// Why the program should stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// The control channel asked for it.
    Control,
    /// SIGTERM.
    Terminated,
    /// SIGINT.
    Interrupted,
}

impl StopReason {
    /// The reason in a word, for log lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Terminated => "SIGTERM",
            Self::Interrupted => "SIGINT",
        }
    }
}

/// Signal handlers, registered at the start so that none is missed during boot.
#[derive(Debug)]
pub(crate) struct Stop {
    terminate: Signal,
    interrupt: Signal,
    control: watch::Receiver<bool>,
}

impl Stop {
    pub(crate) fn listen(control: watch::Receiver<bool>) -> Result<Self, AgentError> {
        let register = |kind| {
            signal(kind).map_err(|source| AgentError::System { what: "a signal handler", source })
        };
        Ok(Self {
            terminate: register(SignalKind::terminate())?,
            interrupt: register(SignalKind::interrupt())?,
            control,
        })
    }

    pub(crate) async fn requested(&mut self) -> StopReason {
        let control = async {
            if self.control.wait_for(|stop| *stop).await.is_err() {
                // The control task is gone, and with it this way to stop; signals remain.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = control => StopReason::Control,
            _ = self.terminate.recv() => StopReason::Terminated,
            _ = self.interrupt.recv() => StopReason::Interrupted,
        }
    }
}
