//! One page that looks at a run: it is sent what changed, in its newest form, as fast as it reads
//! and no faster. What changed twice before it was sent is sent once; a page that was slow is told
//! how much it skipped.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};
use tokio_websockets::{CloseCode, Message, WebSocketStream};

use crate::{board::Board, server::Inside};

/// The least time between two messages to a page: a burst is told as one.
const EVERY: Duration = Duration::from_millis(40);
/// A message that took longer than this to get away makes a page a slow one.
const SLOW: Duration = Duration::from_secs(1);
/// Who takes nothing for so long is gone.
const SEND_WITHIN: Duration = Duration::from_secs(120);
/// How long a page may take to say what it wants.
const HELLO_WITHIN: Duration = Duration::from_secs(10);

/// How long the last news of a run may take to come.
const LAST_WITHIN: Duration = Duration::from_secs(1);

/// What a page says first.
#[derive(Debug, Deserialize)]
struct Hello {
    /// The run.
    run: String,
    /// The board that it knew, and up to which change.
    #[serde(default)]
    epoch: u64,
    #[serde(default)]
    at: u64,
}

/// Serves a page until it leaves, the run is over or its board is out of date.
pub(crate) async fn serve<S>(mut socket: WebSocketStream<S>, inside: Arc<Inside>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let said = tokio::time::timeout(HELLO_WITHIN, socket.next()).await;
    let Ok(Some(Ok(said))) = said else { return };
    let hello = said.as_text().map(serde_json::from_str::<Hello>);
    let Some(Ok(hello)) = hello else {
        close(&mut socket, "this is no page of meshlab").await;
        return;
    };
    let board = match inside.board(&hello.run).await {
        Ok(board) => board,
        Err(why) => {
            let told = json!({ "gone": why }).to_string();
            // Who left need not hear it.
            let _ = socket.send(Message::text(told)).await;
            close(&mut socket, "no such run").await;
            return;
        }
    };
    let why = follow(&mut socket, &board, &inside, &hello).await;
    close(&mut socket, why).await;
}

/// Returns why it ended.
async fn follow<S>(
    socket: &mut WebSocketStream<S>,
    board: &Board,
    inside: &Inside,
    hello: &Hello,
) -> &'static str
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut moved, mut stale, mut gone) = (board.moved(), board.stale(), board.gone());
    let mut closing = inside.closing();
    let mut known = if hello.epoch == board.epoch { hello.at } else { 0 };
    let mut whole = hello.epoch != board.epoch;
    let mut slow = None;
    loop {
        moved.mark_unchanged();
        let (set, at) = {
            let model = board.model();
            (model.since(known), model.at())
        };
        if whole || !set.is_empty() {
            let skipped = (at - known).saturating_sub(set.len() as u64);
            let behind = slow.take().map(|behind: Duration| {
                json!({
                "ms": behind.as_millis() as u64, "skipped": skipped })
            });
            let message = json!({ "epoch": board.epoch, "at": at, "whole": whole,
                "behind": behind, "steer": inside.house.steering.is_open(), "set": set });
            let began = Instant::now();
            let sending = socket.send(Message::text(message.to_string()));
            match tokio::time::timeout(SEND_WITHIN, sending).await {
                Ok(Ok(())) => {}
                _ => return "it took nothing for too long",
            }
            let took = began.elapsed();
            slow = (took > SLOW).then_some(took);
            (known, whole) = (at, false);
        }
        if *closing.borrow() {
            return "meshlab ends";
        }
        let pause = tokio::time::sleep(EVERY);
        tokio::select! {
            () = pause => {}
            said = socket.next() => if left(said) { return "it left" },
        }
        let ends = tokio::select! {
            moved = moved.changed() => match moved {
                Ok(()) => false,
                Err(_) => return "the run is gone",
            },
            () = is_set(&mut stale) => return "too much happened; come again",
            why = is_told(&mut gone) => {
                let told = json!({ "gone": why }).to_string();
                // Who left need not hear it.
                let _ = tokio::time::timeout(SEND_WITHIN, socket.send(Message::text(told))).await;
                return "there is no such run any more";
            }
            () = is_set(&mut closing) => true,
            said = socket.next() => if left(said) { return "it left" } else { false },
        };
        if ends {
            // What happened last is still on its way.
            let over = moved.wait_for(|_| !board.model().is_live());
            // Then the page is told of the rest by its absence.
            let _ = tokio::time::timeout(LAST_WITHIN, over).await;
        }
    }
}

/// Waits until it is so.
async fn is_set(flag: &mut watch::Receiver<bool>) {
    // Who would set it is gone with all that it is about.
    let _ = flag.wait_for(|set| *set).await;
}

/// Waits until there is a reason, which it returns.
async fn is_told(why: &mut watch::Receiver<Option<String>>) -> String {
    let told = why.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
    match told {
        Some(why) => why,
        // Who would say why is gone with all that it is about.
        None => std::future::pending().await,
    }
}

/// Whether a page is gone; what else it says after its first words is nothing.
fn left(said: Option<Result<Message, tokio_websockets::Error>>) -> bool {
    match said {
        None | Some(Err(_)) => true,
        Some(Ok(message)) => message.is_close(),
    }
}

async fn close<S>(socket: &mut WebSocketStream<S>, why: &str)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // Who left need not hear it.
    let told = socket.send(Message::close(Some(CloseCode::NORMAL_CLOSURE), why));
    let _ = tokio::time::timeout(Duration::from_secs(1), told).await;
}
