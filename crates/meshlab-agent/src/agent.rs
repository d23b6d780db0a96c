//! The agent: telemetry, control channel and stop requests of one program.

use std::{path::PathBuf, sync::Arc, time::Duration};

use meshlab_wire::{Ready, Telemetry as Counts};

use crate::{
    AgentError, Commands, CounterSource, StopReason, Telemetry, TelemetryConfig, ViewSource,
    control::Control, cpu::Lasting, stop::Stop,
};

/// Longest wait for the last replies to be written.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How an agent is started.
#[derive(Debug, Clone, Default)]
pub struct AgentConfig {
    /// The program and its version, said in the first line of each control connection.
    pub program: String,
    /// Where spans and log lines go.
    pub telemetry: TelemetryConfig,
    /// A path to listen on for control connections, besides the inherited descriptor.
    pub control: Option<PathBuf>,
}

/// Telemetry and control of one program. Needs a tokio runtime with IO and time.
#[derive(Debug)]
pub struct Agent {
    telemetry: Telemetry,
    control: Control,
    stop: Stop,
    cpu: Option<Lasting>,
}

impl Agent {
    /// Installs telemetry, registers the signal handlers and starts to answer on the control
    /// channel: the descriptor that [`meshlab_wire::env::CONTROL_FD`] names, and the path of the
    /// configuration. With neither there is no control channel, and the program runs all the same.
    /// Begins the CPU profile that [`meshlab_wire::env::CPU_STACKS`] asks for.
    ///
    /// # Errors
    /// Whatever keeps one of them from starting; see [`AgentError`].
    pub fn start(config: AgentConfig) -> Result<Self, AgentError> {
        let telemetry = Telemetry::install(&config.telemetry)?;
        let control = Control::start(config.program, telemetry.clone(), config.control.as_deref())?;
        let stop = Stop::listen(control.stop_requests())?;
        Ok(Self { telemetry, control, stop, cpu: Lasting::from_environment() })
    }

    /// Tells every control connection, present and future, that the node is ready, and answers
    /// `View` from `view` from now on.
    pub fn ready(&self, ready: Ready, view: Arc<dyn ViewSource>) {
        self.control.ready(ready, view);
    }

    /// Has `Command` requests done by `commands` from now on. Without it they are refused.
    pub fn serve(&self, commands: Arc<dyn Commands>) {
        self.control.commands(commands);
    }

    /// Exports what `source` counts from now on, as OTLP metrics; see [`CounterSource`].
    pub fn count(&self, source: Arc<dyn CounterSource>) {
        self.telemetry.count(source);
    }

    /// Waits for SIGTERM, SIGINT or the control channel's `Stop`. Safe to drop and call again.
    pub async fn stop_requested(&mut self) -> StopReason {
        self.stop.requested().await
    }

    /// The installed telemetry.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Last call before the program ends: exports what there is within `deadline`, spans first and
    /// metrics then, answers each `Stop` with the final counts, closes the control
    /// connections and removes the socket.
    pub async fn finish(self, deadline: Duration) -> Counts {
        self.telemetry.flush_all(deadline).await;
        self.telemetry.save_flame();
        drop(self.cpu);
        let counts = self.telemetry.counts();
        self.control.finish(counts, LAST_WORDS).await;
        counts
    }
}
