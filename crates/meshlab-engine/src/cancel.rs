//! How a run is stopped from outside: once, with a reason, seen by every wait.

use std::future::Future;

use meshlab_model::EndReason;
use tokio::sync::watch;

use crate::HostError;

/// The stop of a run. Level-triggered: whoever looks later sees it too.
#[derive(Debug)]
pub(crate) struct Cancel {
    sender: watch::Sender<Option<EndReason>>,
}

impl Cancel {
    pub(crate) fn new() -> Self {
        Self { sender: watch::Sender::new(None) }
    }

    /// Stops the run; the first reason is kept.
    pub(crate) fn stop(&self, reason: EndReason) {
        self.sender.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(reason);
            }
            first
        });
    }

    pub(crate) fn reason(&self) -> Option<EndReason> {
        self.sender.borrow().clone()
    }

    /// Waits until the run is stopped.
    pub(crate) async fn stopped(&self) -> EndReason {
        let mut receiver = self.sender.subscribe();
        match receiver.wait_for(Option::is_some).await.map(|reason| reason.clone()) {
            Ok(Some(reason)) => reason,
            // The sender lives in `self`, so this cannot be; waiting for ever is its meaning.
            _ => std::future::pending().await,
        }
    }

    /// Does `work` unless the run is stopped first.
    pub(crate) async fn or<T>(&self, work: impl Future<Output = T>) -> Result<T, HostError> {
        tokio::select! {
            biased;
            reason = self.stopped() => Err(HostError::Cancelled(describe(&reason))),
            done = work => Ok(done),
        }
    }
}

/// The reason in a few words.
pub(crate) fn describe(reason: &EndReason) -> String {
    match reason {
        EndReason::Completed => "it was complete".to_owned(),
        EndReason::Interrupted { signal } => format!("interrupted by {signal}"),
        EndReason::CeilingBroken => "a limit was broken".to_owned(),
        EndReason::TimedOut => "the scenario's timeout passed".to_owned(),
        EndReason::ScriptError => "the scenario is wrong".to_owned(),
        EndReason::HarnessFailed => "the harness could not go on".to_owned(),
    }
}
