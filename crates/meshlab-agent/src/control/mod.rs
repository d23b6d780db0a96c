//! The control channel of a node: who is connected, and what they share.
//!
//! `source.rs` opens sockets, `lines.rs` reads bounded lines, `connection.rs` answers on one
//! connection.

mod connection;
mod lines;
mod source;

use std::{
    collections::BTreeMap,
    future::Future,
    path::Path,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use meshlab_wire::{Command, Outcome, Ready, Telemetry as Counts, ViewEntry};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::{AgentError, Telemetry};

/// Connections answered at the same time; a further one waits in the listener's backlog.
const MAX_CONNECTIONS: usize = 8;

/// What a node sees of its mesh.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// Whom it knows, itself not included.
    pub peers: Vec<ViewEntry>,
    /// Public keys of its gossip neighbours, 64 hex digits each.
    pub neighbors: Vec<String>,
    /// Live connections of its gossip, by the peer's public key.
    pub connections: BTreeMap<String, u32>,
}

/// The program's answer to `View`.
pub trait ViewSource: Send + Sync + 'static {
    /// The view as of now. Called on the runtime: it must not block for long.
    fn view(&self) -> View;
}

/// The answer to a command, when it is there.
pub type Performing = Pin<Box<dyn Future<Output = Result<Outcome, String>> + Send>>;

/// What the program can do when it is asked to.
pub trait Commands: Send + Sync + 'static {
    /// Does what is asked. A command that the program does not know is an error that says so. The
    /// future is dropped when the control connection ends before it.
    fn perform(&self, command: Command) -> Performing;
}

/// What all connections share.
struct Shared {
    program: String,
    telemetry: Telemetry,
    view: Mutex<Option<Arc<dyn ViewSource>>>,
    commands: Mutex<Option<Arc<dyn Commands>>>,
    ready: watch::Sender<Option<Ready>>,
    stop: watch::Sender<bool>,
    last: watch::Sender<Option<Counts>>,
    refused: AtomicU64,
}

impl Shared {
    fn new(program: String, telemetry: Telemetry) -> Self {
        Self {
            program,
            telemetry,
            view: Mutex::new(None),
            commands: Mutex::new(None),
            ready: watch::Sender::new(None),
            stop: watch::Sender::new(false),
            last: watch::Sender::new(None),
            refused: AtomicU64::new(0),
        }
    }

    fn view(&self) -> Option<Arc<dyn ViewSource>> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn commands(&self) -> Option<Arc<dyn Commands>> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The control channel.
pub(crate) struct Control {
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
    /// Removes the socket when dropped.
    _socket: Option<source::SocketFile>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

impl Control {
    pub(crate) fn start(
        program: String,
        telemetry: Telemetry,
        path: Option<&Path>,
    ) -> Result<Self, AgentError> {
        let shared = Arc::new(Shared::new(program, telemetry));
        let inherited = source::inherited()?;
        let (listener, socket) = path.map(source::listen).transpose()?.unzip();
        let serving = tokio::spawn(serve(Arc::clone(&shared), inherited, listener));
        Ok(Self { shared, serving, _socket: socket })
    }

    pub(crate) fn stop_requests(&self) -> watch::Receiver<bool> {
        self.shared.stop.subscribe()
    }

    pub(crate) fn ready(&self, ready: Ready, view: Arc<dyn ViewSource>) {
        *self.shared.view.lock().unwrap_or_else(PoisonError::into_inner) = Some(view);
        self.shared.ready.send_replace(Some(ready));
    }

    pub(crate) fn commands(&self, commands: Arc<dyn Commands>) {
        *self.shared.commands.lock().unwrap_or_else(PoisonError::into_inner) = Some(commands);
    }

    /// Lets every connection say its last words, for at most `deadline`.
    pub(crate) async fn finish(mut self, counts: Counts, deadline: Duration) {
        self.shared.last.send_replace(Some(counts));
        if tokio::time::timeout(deadline, &mut self.serving).await.is_err() {
            self.serving.abort();
        }
        let refused = self.shared.refused.load(Ordering::Relaxed);
        if refused > 0 {
            tracing::warn!(refused, "control lines were refused");
        }
    }
}

/// Waits until a value is there; `None` when nobody can set it any more.
async fn once_known<T: Clone>(value: &mut watch::Receiver<Option<T>>) -> Option<T> {
    value.wait_for(Option::is_some).await.ok().and_then(|value| value.clone())
}

/// Accepts and owns the connections, until the last counts are known and every one has ended.
async fn serve(
    shared: Arc<Shared>,
    inherited: Option<tokio::net::UnixStream>,
    listener: Option<tokio::net::UnixListener>,
) {
    let mut connections = JoinSet::new();
    if let Some(stream) = inherited {
        connections.spawn(connection::serve(Arc::clone(&shared), stream));
    }
    let mut last = shared.last.subscribe();
    loop {
        let open = connections.len();
        let accept = async {
            match &listener {
                Some(listener) if open < MAX_CONNECTIONS => listener.accept().await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = accept => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection::serve(Arc::clone(&shared), stream));
                }
                Err(error) => {
                    tracing::warn!(%error, "control connection could not be accepted");
                    // Out of descriptors is the usual reason, and it does not go away at once.
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            },
            _ = connections.join_next(), if !connections.is_empty() => {}
            _ = once_known(&mut last) => break,
        }
    }
    while connections.join_next().await.is_some() {}
}
