//! The server: a thread of its own with a runtime of its own, so that a page never holds up a run.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    net::TcpListener as StdListener,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    thread::{self, JoinHandle},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, Semaphore, watch},
    task::JoinSet,
};
use tokio_websockets::{Limits, ServerBuilder};

use crate::{
    board::Board,
    guard::Guard,
    live::Live,
    memory, routes,
    runs::{Ceilings, folder_of},
    session,
    steering::Steering,
};

/// Pages and questions at the same time.
const CONNECTIONS_MAX: usize = 128;
const HEAD_WITHIN: Duration = Duration::from_secs(10);
const RETRY_ACCEPT_AFTER: Duration = Duration::from_millis(50);
/// How long pages may take to hear of the end.
const END_WITHIN: Duration = Duration::from_secs(2);
/// Bytes that a page may send at once: it says little.
const PAGE_SAYS_MAX: usize = 4096;

/// Says what is wrong with a scenario, given as its text.
pub type Rehearse = dyn Fn(&str) -> Result<(), String> + Send + Sync;

/// What a server shows.
pub struct House {
    /// The folder `results/`, whose runs are listed.
    pub results: PathBuf,
    /// A run to show that need not lie below it: its name and its folder.
    pub one: Option<(String, PathBuf)>,
    /// The run that goes on in this process.
    pub live: Option<Arc<Live>>,
    /// The way to its mesh.
    pub steering: Arc<Steering>,
    /// What each fault takes, as JSON.
    pub faults: Value,
    /// The most that a node of the run in that folder may use.
    pub ceilings: Box<dyn Fn(&Path) -> Ceilings + Send + Sync>,
    /// What is wrong with a scenario, given as its text.
    pub rehearse: Box<Rehearse>,
}

/// A server that listens, until [`Server::finish`].
pub struct Server {
    link: String,
    live: Option<Arc<Live>>,
    closing: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// What every connection shares.
pub(crate) struct Inside {
    pub(crate) house: House,
    pub(crate) guard: Guard,
    boards: Mutex<BTreeMap<String, Weak<Board>>>,
    closing: watch::Receiver<bool>,
}

impl Server {
    /// Begins to answer on `listener`.
    ///
    /// # Errors
    /// The runtime or its thread cannot be made, or there are no random numbers.
    pub fn start(listener: StdListener, house: House) -> io::Result<Self> {
        let guard = Guard::at(listener.local_addr()?)?;
        let link = guard.link();
        listener.set_nonblocking(true)?;
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().max_blocking_threads(memory::AT_ONCE).build()?;
        let (closing, closed) = watch::channel(false);
        let live = house.live.clone();
        let boards = Mutex::default();
        let inside = Arc::new(Inside { house, guard, boards, closing: closed });
        let thread = thread::Builder::new().name("page".into()).spawn(move || {
            runtime.block_on(serve(listener, inside));
            // Somebody may be reading a record: nobody waits for it.
            runtime.shutdown_background();
        })?;
        Ok(Self { link, live, closing, thread: Some(thread) })
    }

    /// The link to the list of runs, with the token.
    pub fn link(&self) -> &str {
        &self.link
    }

    /// The link to a run.
    pub fn link_to(&self, run: &str) -> String {
        format!("{}#run={run}", self.link)
    }

    /// Tells every page that it is over, and ends.
    pub fn finish(mut self) {
        self.live.iter().for_each(|live| live.finish());
        self.closing.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A page that broke is no reason for a run to fail.
            let _ = thread.join();
        }
    }

    /// Serves until the process is ended.
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Inside {
    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.clone()
    }

    /// The folder of the run of that name, if it is there.
    pub(crate) fn folder(&self, run: &str) -> Option<PathBuf> {
        let live = self.house.live.as_ref().and_then(|live| live.run());
        let live = live.filter(|(name, _)| *name == run).map(|(_, folder)| folder.clone());
        let one = self.house.one.as_ref().filter(|(name, _)| name == run);
        let one = one.map(|(_, folder)| folder.clone()).filter(|folder| folder.is_dir());
        live.or(one).or_else(|| folder_of(&self.house.results, run))
    }

    /// The board of that run, which is made if nobody looked at it.
    pub(crate) async fn board(self: &Arc<Self>, run: &str) -> Result<Arc<Board>, String> {
        let mut boards = self.boards.lock().await;
        boards.retain(|_, board| board.strong_count() > 0);
        if let Some(board) = boards.get(run).and_then(Weak::upgrade)
            && !*board.stale().borrow()
        {
            return Ok(board);
        }
        let folder = self.folder(run).ok_or_else(|| {
            format!(
                "there is no run `{run}` any more, or there never was; the list has those that \
                are left"
            )
        })?;
        let live = self.house.live.clone();
        let live = live.filter(|live| live.run().is_some_and(|(name, _)| name == run));
        let inside = Arc::clone(self);
        let opened = tokio::task::spawn_blocking(move || {
            let ceilings = (inside.house.ceilings)(&folder);
            Board::open(&folder, ceilings, live)
        });
        let board = opened.await.map_err(|error| format!("failed to read the run: {error}"))??;
        boards.insert(run.to_owned(), Arc::downgrade(&board));
        Ok(board)
    }
}

async fn serve(listener: StdListener, inside: Arc<Inside>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut closing = inside.closing();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else { continue };
                    let inside = Arc::clone(&inside);
                    connections.spawn(async move {
                        connection(stream, inside).await;
                        drop(slot);
                    });
                }
                Err(_) => tokio::time::sleep(RETRY_ACCEPT_AFTER).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    let all = async { while connections.join_next().await.is_some() {} };
    // Connections that a browser keeps open for later say nothing.
    let _ = tokio::time::timeout(END_WITHIN, all).await;
}

async fn connection(stream: TcpStream, inside: Arc<Inside>) {
    // A page is to hear at once.
    let _ = stream.set_nodelay(true);
    let (to, mut upgraded) = tokio::sync::mpsc::channel(1);
    let mut closing = inside.closing();
    let service = {
        let inside = Arc::clone(&inside);
        service_fn(move |request| {
            let (inside, to) = (Arc::clone(&inside), to.clone());
            async move { Ok::<_, Infallible>(answer(request, &inside, to).await) }
        })
    };
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::select! {
        // Whoever breaks off has what they wanted, or asks again.
        _ = serving => {}
        _ = closing.wait_for(|closing| *closing) => {}
    }
    let Some(upgrade) = upgraded.recv().await else { return };
    let Ok(Ok(stream)) = tokio::time::timeout(HEAD_WITHIN, upgrade).await else { return };
    let limits = Limits::default().max_payload_len(Some(PAGE_SAYS_MAX));
    let socket = ServerBuilder::new().limits(limits).serve(TokioIo::new(stream));
    session::serve(socket, inside).await;
}

async fn answer(
    request: Request<Incoming>,
    inside: &Arc<Inside>,
    to: tokio::sync::mpsc::Sender<hyper::upgrade::OnUpgrade>,
) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let acts = request.method() != Method::GET || path.ends_with("/live");
    let below = match inside.guard.admit(&path, request.headers(), acts) {
        Ok(below) => below.to_owned(),
        Err((status, why)) => return text(status, why),
    };
    if below == "live" {
        return upgrade(request, to).await;
    }
    routes::answer(request, &below, inside).await
}

/// Makes a connection one on which messages are pushed.
async fn upgrade(
    mut request: Request<Incoming>,
    to: tokio::sync::mpsc::Sender<hyper::upgrade::OnUpgrade>,
) -> Response<Full<Bytes>> {
    let headers = request.headers();
    let is = |name, wanted: &str| {
        let value = headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        value.is_some_and(|value| value.to_ascii_lowercase().contains(wanted))
    };
    let asked = is(header::UPGRADE, "websocket") && is(header::CONNECTION, "upgrade");
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| asked);
    let accept = key.and_then(|key| HeaderValue::try_from(accepted(key.as_bytes())).ok());
    let Some(accept) = accept.filter(|_| is(header::SEC_WEBSOCKET_VERSION, "13")) else {
        return text(StatusCode::BAD_REQUEST, "this is for the page's own socket");
    };
    let upgrade = hyper::upgrade::on(&mut request);
    if to.send(upgrade).await.is_err() {
        return text(StatusCode::SERVICE_UNAVAILABLE, "meshlab ends");
    }
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    response
}

/// What a server answers to a key, by RFC 6455.
fn accepted(key: &[u8]) -> String {
    let mut digest = sha1_smol::Sha1::new();
    digest.update(key);
    digest.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    data_encoding::BASE64.encode(&digest.digest().bytes())
}

/// A line of text, such as a refusal.
pub(crate) fn text(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(format!("{text}\n"))));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert("X-Content-Type-Options", HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_key_is_answered_as_the_standard_says() {
        let answer = super::accepted(b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(answer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
