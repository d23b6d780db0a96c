//! The receiving side of the data plane.

use std::sync::Arc;

use iroh::{
    endpoint::{Connection, RecvStream, SendStream},
    protocol::{AcceptError, ProtocolHandler},
};
use tokio::task::JoinSet;
use tracing::info_span;

use super::{Opening, Word, Work, bulk, via};
use crate::{
    control::refused_frame,
    counters::{Counter, Counters},
    frame::{self, FrameError},
    identity::hex,
    view::SharedView,
};

/// Longest message that is delivered, in bytes.
const TEXT_BYTES_MAX: usize = 4096;

/// Serves streams of work.
#[derive(Debug, Clone)]
pub(crate) struct DataProtocol {
    pub(crate) view: Arc<SharedView>,
    pub(crate) counters: Counters,
}

impl ProtocolHandler for DataProtocol {
    async fn accept(&self, connection: Connection) -> Result<(), AcceptError> {
        let _task = self.counters.task();
        // QUIC bounds how many streams a peer may have open at once; each is a task here, and all
        // of them end with the connection.
        let mut streams = JoinSet::new();
        loop {
            tokio::select! {
                stream = connection.accept_bi() => {
                    let Ok((send, recv)) = stream else { break };
                    let (this, connection) = (self.clone(), connection.clone());
                    streams.spawn(async move { this.stream(&connection, send, recv).await });
                }
                _ = streams.join_next(), if !streams.is_empty() => {}
            }
        }
        Ok(())
    }
}

impl DataProtocol {
    async fn stream(&self, connection: &Connection, mut send: SendStream, mut recv: RecvStream) {
        let _task = self.counters.task();
        let served = match frame::read_message::<Opening>(&mut recv).await {
            Ok(opening) => self.serve(connection, opening, &mut send, &mut recv).await,
            Err(error) => Err(error),
        };
        if let Err(error) = served {
            refused_frame(&self.counters, &connection.remote_id(), &error);
            // The peer sees a reset at once instead of waiting for an answer.
            let _ = send.reset(1_u32.into());
        } else {
            let _ = send.finish();
        }
    }

    async fn serve(
        &self,
        from: &Connection,
        opening: Opening,
        send: &mut SendStream,
        recv: &mut RecvStream,
    ) -> Result<(), FrameError> {
        if !self.view.lock().takes_work && !matches!(opening.work, Work::Resolve { .. }) {
            self.counters.one(Counter::WorkRefused);
            let id = hex(&from.remote_id());
            info_span!(parent: None, "work.refused", peer.id = id, reason = "draining")
                .in_scope(|| ());
            return frame::write_message(send, &Word::Refused("draining".to_owned())).await;
        }
        self.counters.one(Counter::WorkAccepted);
        match &opening.work {
            Work::Echo => {
                frame::write_message(send, &Word::Ok).await?;
                echo(send, recv, None).await
            }
            Work::Request => {
                frame::write_message(send, &Word::Ok).await?;
                echo(send, recv, Some(1)).await
            }
            Work::Bulk { bytes, hash } => {
                frame::write_message(send, &Word::Ok).await?;
                bulk::receive(from, send, recv, *bytes, hash).await
            }
            Work::Deliver { text } if text.len() > TEXT_BYTES_MAX => {
                Err(FrameError::TooLong { got: text.len(), max: TEXT_BYTES_MAX })
            }
            Work::Deliver { text } => {
                delivered(from, &opening, text.len());
                frame::write_message(send, &Word::Ok).await
            }
            Work::Resolve { name } => {
                let word = match self.view.contact(name) {
                    Some(found) => Word::Found {
                        name: found.name,
                        public_key: found.public_key,
                        addresses: found.addresses,
                    },
                    None => Word::Refused("unknown".to_owned()),
                };
                frame::write_message(send, &word).await
            }
        }
    }
}

/// Sends back frames: `count` of them, or all until the stream ends.
async fn echo(
    send: &mut SendStream,
    recv: &mut RecvStream,
    count: Option<u64>,
) -> Result<(), FrameError> {
    let mut buffer = Vec::new();
    let mut left = count;
    while left != Some(0) {
        match frame::read(recv, frame::PAYLOAD_BYTES_MAX, &mut buffer).await? {
            Some(()) => frame::write(send, &buffer).await?,
            None => break,
        }
        left = left.map(|left| left - 1);
    }
    Ok(())
}

fn delivered(from: &Connection, opening: &Opening, bytes: usize) {
    let id = hex(&from.remote_id());
    let span = info_span!(
        parent: None, "cross.delivered", peer.id = id, peer.name = opening.from,
        mesh = opening.from.split('.').next().unwrap_or_default(), bytes, via = via(from)
    );
    if let Some(trace) = &opening.trace {
        meshlab_agent::adopt(&span, trace);
    }
    span.in_scope(|| ());
}
