//! One control connection: hello, ready, an answer for each request, last words.

use std::{
    io,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use meshlab_wire::{
    Command, DecodeError, Message, PROTOCOL, Reply, Request, RequestFrame, Telemetry as Counts,
    decode_request, encode,
};
use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::{UnixStream, unix::OwnedWriteHalf},
    task::JoinSet,
};

use super::{
    Shared,
    lines::{Line, Lines},
    once_known,
};
use crate::{clock::CLOCK, cpu, heap};

/// Longest wait for the other side to read a line.
const WRITE_DEADLINE: Duration = Duration::from_secs(2);

/// Longest wait for the collector when the harness asks for counts.
const FLUSH_DEADLINE: Duration = Duration::from_millis(2500);

/// Requests to stop that one connection may have waiting.
const MAX_STOPS: usize = 16;

/// Commands that one connection may have going on.
const MAX_COMMANDS: usize = 64;

/// Longest CPU profile of one request.
const PROFILE_MAX: Duration = Duration::from_secs(600);

/// Request number in the refusal of a line that has none.
const NO_ID: u64 = 0;

/// Serves a connection until the other side closes it or the node has said its last words. The
/// node runs on when the other side is gone.
pub(super) async fn serve(shared: Arc<Shared>, stream: UnixStream) {
    let (reader, writer) = stream.into_split();
    let mut connection = Connection { shared, writer, stops: Vec::new(), commands: JoinSet::new() };
    if let Err(error) = connection.run(Lines::new(BufReader::new(reader))).await {
        tracing::debug!(%error, "control connection ended");
    }
}

struct Connection {
    shared: Arc<Shared>,
    writer: OwnedWriteHalf,
    /// Numbers of the `Stop` requests that wait for the final counts.
    stops: Vec<u64>,
    /// Commands that are being carried out; they end with the connection.
    commands: JoinSet<(u64, Reply)>,
}

impl Connection {
    async fn run(
        &mut self,
        mut lines: Lines<BufReader<tokio::net::unix::OwnedReadHalf>>,
    ) -> io::Result<()> {
        let mut ready = self.shared.ready.subscribe();
        let mut last = self.shared.last.subscribe();
        let mut told_ready = false;
        let (program, records_heap) = (self.shared.program.clone(), heap::is_recorded());
        self.tell(&Message::Hello { protocol: PROTOCOL, program, records_heap }).await?;
        loop {
            tokio::select! {
                biased;
                counts = once_known(&mut last) => {
                    return self.last_words(counts.unwrap_or_default()).await;
                }
                now = once_known(&mut ready), if !told_ready => {
                    told_ready = true;
                    if let Some(now) = now {
                        self.tell(&Message::Ready(now)).await?;
                    }
                }
                Some(done) = self.commands.join_next(), if !self.commands.is_empty() => {
                    // A command that broke has no number any more; its asker sees a deadline.
                    if let Ok((id, reply)) = done {
                        self.reply(id, reply).await?;
                    }
                }
                line = lines.next() => match line? {
                    None => return Ok(()),
                    Some(line) => self.answer(line).await?,
                },
            }
        }
    }

    async fn answer(&mut self, line: Line) -> io::Result<()> {
        let decoded = match line {
            Line::Whole(line) => decode_request(&line),
            Line::TooLong(bytes) => Err(DecodeError::TooLong(bytes)),
        };
        match decoded {
            Ok(frame) => self.answer_request(frame).await,
            Err(error) => self.refuse(NO_ID, error.to_string()).await,
        }
    }

    async fn answer_request(
        &mut self,
        RequestFrame { id, request }: RequestFrame,
    ) -> io::Result<()> {
        match request {
            Request::Ping => self.reply(id, Reply::Pong).await,
            Request::Telemetry => {
                let telemetry = self.shared.telemetry.clone();
                telemetry.flush_async(FLUSH_DEADLINE).await;
                self.reply(id, Reply::Telemetry(telemetry.counts())).await
            }
            Request::View => match self.shared.view() {
                Some(source) => {
                    let view = source.view();
                    let (peers, neighbors) = (view.peers, view.neighbors);
                    let connections = view.connections;
                    self.reply(id, Reply::View { peers, neighbors, connections }).await
                }
                None => self.refuse(id, "the node is not ready yet; wait for `ready`".into()).await,
            },
            Request::Clock { shift } => match CLOCK.ask(shift) {
                Ok(unix_micros) => self.reply(id, Reply::Clock { unix_micros }).await,
                Err(why) => self.refuse(id, why).await,
            },
            Request::Heap { path } => {
                self.measure(id, move || {
                    let held = heap::dump(Path::new(&path))?;
                    Ok(Reply::Heap { bytes: held.bytes, blocks: held.blocks })
                });
                Ok(())
            }
            Request::Cpu { path, for_ms, hz } => {
                let length = Duration::from_millis(for_ms).min(PROFILE_MAX);
                self.measure(id, move || {
                    let samples = cpu::profile(Path::new(&path), length, hz)?;
                    Ok(Reply::Cpu { samples })
                });
                Ok(())
            }
            Request::Command(command) => self.perform(id, command).await,
            Request::Stop if self.stops.len() < MAX_STOPS => {
                self.stops.push(id);
                self.shared.stop.send_replace(true);
                Ok(())
            }
            Request::Stop => self.refuse(id, "the node is already stopping".into()).await,
        }
    }

    /// Measures this process on a thread where blocking is allowed; its answer comes when it is
    /// done.
    fn measure(&mut self, id: u64, work: impl FnOnce() -> Result<Reply, String> + Send + 'static) {
        self.commands
            .spawn_blocking(move || (id, work().unwrap_or_else(|why| Reply::Refused { why })));
    }

    /// Starts a command; its answer comes when it is done, other requests are answered meanwhile.
    async fn perform(&mut self, id: u64, command: Command) -> io::Result<()> {
        let Some(commands) = self.shared.commands() else {
            return self.refuse(id, "this program takes no commands, or not yet".into()).await;
        };
        if self.commands.len() >= MAX_COMMANDS {
            let why = format!("{MAX_COMMANDS} commands are going on already; wait for one");
            return self.refuse(id, why).await;
        }
        let performing = commands.perform(command);
        self.commands.spawn(async move {
            let reply = match performing.await {
                Ok(outcome) => Reply::Outcome(outcome),
                Err(why) => Reply::Refused { why },
            };
            (id, reply)
        });
        Ok(())
    }

    async fn refuse(&mut self, id: u64, why: String) -> io::Result<()> {
        self.shared.refused.fetch_add(1, Ordering::Relaxed);
        self.reply(id, Reply::Refused { why }).await
    }

    async fn reply(&mut self, id: u64, reply: Reply) -> io::Result<()> {
        self.tell(&Message::Reply { id, reply }).await
    }

    async fn last_words(&mut self, counts: Counts) -> io::Result<()> {
        for id in std::mem::take(&mut self.stops) {
            self.reply(id, Reply::Telemetry(counts)).await?;
        }
        self.writer.shutdown().await
    }

    async fn tell(&mut self, message: &Message) -> io::Result<()> {
        tokio::time::timeout(WRITE_DEADLINE, self.writer.write_all(&encode(message))).await?
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
