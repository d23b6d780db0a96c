//! Bulk transfers: many bytes on one stream of low priority, checked by their BLAKE3 hash.
//!
//! QUIC notices a dead peer after half a minute. A transfer cannot wait that long, so the receiver
//! says every [`SIGN_EVERY`] how far it is, and a sender that has heard nothing for [`SILENT`]
//! gives up.

use std::time::{Duration, Instant};

use iroh::endpoint::{Connection, RecvStream, SendStream};
use serde::{Deserialize, Serialize};
use tracing::info_span;

use super::{Opening, Stream, Work};
use crate::{frame, frame::FrameError, identity::hex};

/// How often the receiver says that it is there.
const SIGN_EVERY: Duration = Duration::from_millis(200);

/// A sender that hears nothing for this long gives up. Seven signs in a row must be lost for it,
/// or QUIC's repeats of them held up: with a tenth of all packets lost that is rare.
pub(crate) const SILENT: Duration = Duration::from_millis(1600);

/// Bytes written at once.
const CHUNK: usize = 64 * 1024;

/// What the receiver says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Sign {
    /// So many bytes have arrived.
    Received(u64),
    /// All have arrived, and the hash is right or not.
    Whole(bool),
}

/// The bytes of a transfer: a stream of BLAKE3's extended output, so that neither side has to
/// hold them.
struct Contents(blake3::OutputReader);

impl Contents {
    fn new(seed: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("mesh-node bulk contents 1");
        hasher.update(&seed.to_le_bytes());
        Self(hasher.finalize_xof())
    }

    fn fill(&mut self, chunk: &mut [u8]) {
        self.0.fill(chunk);
    }
}

/// Hash of a transfer's contents.
fn hash_of(seed: u64, bytes: u64) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    each_chunk(seed, bytes, |chunk| {
        hasher.update(chunk);
    });
    *hasher.finalize().as_bytes()
}

fn each_chunk(seed: u64, bytes: u64, mut act: impl FnMut(&[u8])) {
    let (mut contents, mut chunk, mut left) = (Contents::new(seed), vec![0; CHUNK], bytes);
    while left > 0 {
        let take = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        contents.fill(&mut chunk[..take]);
        act(&chunk[..take]);
        left -= take as u64;
    }
}

/// Sends `bytes` drawn bytes; returns once the receiver has said that they arrived whole.
pub(crate) async fn send(
    connection: &Connection,
    from: String,
    trace: Option<String>,
    bytes: u64,
    seed: u64,
) -> Result<(), String> {
    let hash = tokio::task::spawn_blocking(move || hash_of(seed, bytes));
    let hash = hash.await.map_err(|error| format!("could not hash: {error}"))?;
    let opening = Opening { trace, from, work: Work::Bulk { bytes, hash } };
    let opened = tokio::time::timeout(SILENT, super::open(connection, &opening)).await;
    let Stream { send, mut recv } = opened.map_err(|_| silent(0, bytes))??;
    let mut send = send;
    let outcome = tokio::select! {
        heard = listen(&mut recv, bytes) => heard,
        why = write(&mut send, bytes, seed) => Err(why),
    };
    if outcome.is_err() {
        let _ = send.reset(2_u32.into());
    }
    outcome
}

/// Writes everything, then waits for ever: it is the receiver who says that it is over. Returns
/// only what went wrong.
async fn write(send: &mut SendStream, bytes: u64, seed: u64) -> String {
    let (mut contents, mut chunk, mut left) = (Contents::new(seed), vec![0; CHUNK], bytes);
    while left > 0 {
        let take = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        contents.fill(&mut chunk[..take]);
        if let Err(error) = send.write_all(&chunk[..take]).await {
            return format!("could not send: {error}");
        }
        left -= take as u64;
    }
    let _ = send.finish();
    std::future::pending().await
}

/// Hears the receiver's signs until the last one.
async fn listen(recv: &mut RecvStream, bytes: u64) -> Result<(), String> {
    let mut received = 0;
    loop {
        let sign = tokio::time::timeout(SILENT, frame::read_message::<Sign>(recv)).await;
        match sign.map_err(|_| silent(received, bytes))? {
            Ok(Sign::Received(now)) => received = now,
            Ok(Sign::Whole(true)) => return Ok(()),
            Ok(Sign::Whole(false)) => {
                return Err("the receiver found another hash than was sent".to_owned());
            }
            Err(error) => return Err(format!("the receiver is gone: {error}")),
        }
    }
}

fn silent(received: u64, bytes: u64) -> String {
    format!("the receiver was silent for {SILENT:?}, with {received} of {bytes} bytes received")
}

/// Takes a transfer.
pub(crate) async fn receive(
    from: &Connection,
    send: &mut SendStream,
    recv: &mut RecvStream,
    bytes: u64,
    hash: &[u8; 32],
) -> Result<(), FrameError> {
    let started = Instant::now();
    let (mut hasher, mut received) = (blake3::Hasher::new(), 0_u64);
    let mut signs = tokio::time::interval(SIGN_EVERY);
    loop {
        tokio::select! {
            chunk = recv.read_chunk(CHUNK) => {
                let chunk = chunk.map_err(|error| FrameError::Ended(error.to_string()))?;
                let Some(chunk) = chunk else { break };
                received += chunk.len() as u64;
                if received > bytes {
                    let max = usize::try_from(bytes).unwrap_or(usize::MAX);
                    let got = usize::try_from(received).unwrap_or(usize::MAX);
                    return Err(FrameError::TooLong { got, max });
                }
                hasher.update(&chunk);
            }
            _ = signs.tick() => frame::write_message(send, &Sign::Received(received)).await?,
        }
    }
    let whole = received == bytes && hasher.finalize().as_bytes() == hash;
    if whole {
        let took_ms = started.elapsed().as_millis() as u64;
        let id = hex(&from.remote_id());
        info_span!(parent: None, "bulk.received", peer.id = id, bytes, took.ms = took_ms)
            .in_scope(|| ());
    }
    frame::write_message(send, &Sign::Whole(whole)).await
}
