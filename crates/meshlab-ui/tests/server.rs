//! The server as pages see it: who is let in, what is pushed, and that nobody is waited for.
#![allow(clippy::unwrap_used, reason = "a test that breaks is a test that fails")]

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use meshlab_engine::{Watcher, results::Recorder};
use meshlab_model::{RunEvent, RunEventKind, RunTime, SpanRecord};
use meshlab_report::fixture;
use meshlab_ui::{Ceilings, House, Live, Server, Steering};
use serde_json::{Value, json};
use tokio_websockets::{ClientBuilder, MaybeTlsStream, Message, WebSocketStream};

/// How long what has to come may take on a busy host.
const SOON: Duration = Duration::from_secs(60);

type Page = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

struct Bench {
    folder: tempfile::TempDir,
    address: SocketAddr,
    token: String,
    live: Arc<Live>,
    steering: Arc<Steering>,
    server: Option<Server>,
}

/// Writes the made-up run as one that was recorded.
fn write(results: &Path) -> PathBuf {
    let folder = results.join("swarm/r");
    std::fs::create_dir_all(&folder).unwrap();
    let record = fixture::run(&folder);
    let mut manifest = record.manifest.clone();
    manifest.run = "swarm/r".into();
    let recorder =
        Recorder::create(&folder, &manifest, &record.script, Instant::now(), None).unwrap();
    for event in &record.events {
        recorder.event(event.kind.clone(), event.source.clone());
    }
    for span in &record.spans {
        recorder.span(&span);
    }
    recorder.samples(&record.samples.iter().collect::<Vec<_>>());
    folder
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let results = folder.path().join("results");
        write(&results);
        let (live, steering) = (Arc::new(Live::default()), Arc::new(Steering::default()));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let house = House {
            results,
            one: None,
            live: Some(Arc::clone(&live)),
            steering: Arc::clone(&steering),
            faults: json!([{ "name": "kill_node" }]),
            ceilings: Box::new(|_| Ceilings::new()),
            rehearse: Box::new(|_| Ok(())),
        };
        let server = Server::start(listener, house).unwrap();
        let token = server.link().rsplit('/').nth(1).unwrap().to_owned();
        Self { folder, address, token, live, steering, server: Some(server) }
    }

    /// Makes the recorded run the one that goes on here.
    fn go_on(&self) {
        let results = self.folder.path().join("results/swarm/r");
        self.live.begin("swarm/r".into(), results, Arc::new(|| ()));
    }

    /// Status, head and body of an answer.
    fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let length = body.len();
        let text = format!(
            "{method} {path} HTTP/1.1\r\n{headers}connection: close\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_lowercase(), body.to_owned())
    }

    fn get(&self, below: &str) -> (u16, String) {
        let host = format!("host: {}\r\n", self.address);
        let (status, _, body) = self.ask("GET", &format!("/{}/{below}", self.token), &host, "");
        (status, body)
    }

    /// Opens a page's socket and says hello; `Err` with the refusal's status.
    async fn page(&self, hello: &Value, origin: Option<&str>) -> Result<Page, String> {
        let uri = format!("ws://{}/{}/live", self.address, self.token);
        let ours = format!("http://{}", self.address);
        let builder = ClientBuilder::new().uri(&uri).unwrap();
        let name = http::header::ORIGIN;
        let value = origin.unwrap_or(&ours).parse().unwrap();
        let builder = builder.add_header(name, value).unwrap();
        let (mut page, _) = builder.connect().await.map_err(|error| error.to_string())?;
        page.send(Message::text(hello.to_string())).await.unwrap();
        Ok(page)
    }
}

async fn next(page: &mut Page) -> Value {
    let message = tokio::time::timeout(SOON, page.next()).await.unwrap().unwrap().unwrap();
    serde_json::from_str(message.as_text().unwrap_or("null")).unwrap()
}

fn note(seq: u64, text: &str) -> Arc<RunEvent> {
    let kind = RunEventKind::Note { text: text.into() };
    let at = RunTime { micros: 90_000_000 + seq };
    Arc::new(RunEvent { seq, at, source: None, manual: false, kind })
}

#[test]
fn nobody_is_let_in_without_the_token_by_another_name_or_from_another_site() {
    let bench = Bench::new();
    let host = format!("host: {}\r\n", bench.address);
    let path = format!("/{}/", bench.token);
    let (status, head, body) = bench.ask("GET", &path, &host, "");
    assert_eq!(status, 200);
    assert!(
        head.contains("content-security-policy: default-src 'none'; script-src 'self'"),
        "{head}"
    );
    assert!(body.contains("page.js") && !body.contains("http://"), "nothing from outside");
    let wrong = "0".repeat(bench.token.len());
    for path in ["/".to_owned(), format!("/{wrong}/"), format!("/{wrong}/api/runs")] {
        let (status, _, body) = bench.ask("GET", &path, &host, "");
        assert_eq!(status, 403, "{path}");
        assert!(body.contains("token"), "{body}");
    }
    let rebound = format!("host: evil.example:{}\r\n", bench.address.port());
    assert_eq!(bench.ask("GET", &path, &rebound, "").0, 421);
    let foreign = format!("{host}origin: http://evil.example\r\n");
    assert_eq!(bench.ask("GET", &path, &foreign, "").0, 403);
    let act = format!("/{}/api/act", bench.token);
    assert_eq!(bench.ask("POST", &act, &host, "{\"text\":\"x\"}").0, 403, "not from the page");
    let ours = format!("{host}origin: http://{}\r\n", bench.address);
    let (status, _, body) = bench.ask("POST", &act, &ours, "{\"text\":\"x\"}");
    assert_eq!(status, 409);
    assert!(body.contains("--keep"), "{body}");
    assert_eq!(bench.ask("DELETE", &path, &ours, "").0, 405);
}

#[test]
fn what_is_asked_of_a_run_is_answered_and_of_none_refused() {
    let bench = Bench::new();
    let (status, runs) = bench.get("api/runs");
    assert_eq!(status, 200);
    assert!(runs.contains("swarm/r"), "{runs}");
    let (status, curves) = bench.get("api/series?run=swarm/r&measure=cpu&measure=tasks&parts=50");
    assert_eq!(status, 200, "{curves}");
    let curves: Value = serde_json::from_str(&curves).unwrap();
    let row = curves["cpu"]["curves"]["node-1"].as_array().unwrap();
    assert!(
        row.len() <= 3 * 51 && row.len().is_multiple_of(3) && curves["cpu"]["each"] == 3,
        "{curves}"
    );
    assert_eq!(bench.get("api/series?run=swarm/r&measure=luck").0, 400);
    let (_, spans) = bench.get("api/spans?run=swarm/r&node=node-1");
    let spans: Value = serde_json::from_str(&spans).unwrap();
    let lines = spans["lines"].as_array().unwrap();
    assert!(!lines.is_empty());
    assert!(lines.iter().all(|line| line[1].as_str().unwrap().contains(" node-1 ")));
    let (status, report) = bench.get("report?run=swarm/r");
    assert!(status == 200 && report.contains("four nodes hear each other"));
    for run in ["gone/x", "", "../x", "swarm/..", "swarm"] {
        let (status, why) = bench.get(&format!("api/spans?run={run}"));
        assert!(status == 410 && why.contains("there is no run"), "{run}: {why}");
    }
    assert_eq!(bench.get("file?run=swarm/r&path=../../../../etc/passwd").0, 404);
    assert_eq!(bench.get("api/log?run=swarm/r&node=../../x").0, 400);
    assert_eq!(bench.get("nothing").0, 404);
}

#[tokio::test]
async fn a_page_follows_a_run_and_one_that_slept_takes_up_where_it_was() {
    let mut bench = Bench::new();
    bench.go_on();
    assert!(bench.page(&json!({}), Some("http://evil.example")).await.is_err());
    let hello = json!({ "run": "swarm/r" });
    let mut page = bench.page(&hello, None).await.unwrap();
    let first = next(&mut page).await;
    assert_eq!((&first["whole"], &first["set"]["run"]["live"]), (&json!(true), &json!(true)));
    let last = first["set"]["run"]["events"].as_u64().unwrap();
    let mut sleeper = bench.page(&hello, None).await.unwrap();
    let slept = next(&mut sleeper).await;
    drop(sleeper);
    bench.live.event(&note(last + 1, "while it slept"));
    let news = next(&mut page).await;
    assert_eq!(news["whole"], false);
    assert!(news["set"].to_string().contains("while it slept"), "{news}");
    let again = json!({ "run": "swarm/r", "epoch": slept["epoch"], "at": slept["at"] });
    let mut sleeper = bench.page(&again, None).await.unwrap();
    let missed = next(&mut sleeper).await;
    assert_eq!(missed["whole"], false, "only what it missed");
    assert!(missed["set"].to_string().contains("while it slept"), "{missed}");
    assert!(missed["set"].as_object().unwrap().len() < 5, "{missed}");
    // Of another board, all of it.
    let strange = json!({ "run": "swarm/r", "epoch": 1, "at": 5 });
    assert_eq!(next(&mut bench.page(&strange, None).await.unwrap()).await["whole"], true);
    // The end is pushed too, and then the socket is closed.
    let server = bench.server.take().unwrap();
    let ending = tokio::task::spawn_blocking(move || server.finish());
    assert_eq!(next(&mut page).await["set"]["run"]["live"], false);
    ending.await.unwrap();
}

#[tokio::test]
async fn ten_pages_hear_and_a_slow_one_holds_nobody_up_and_is_told_what_it_skipped() {
    let bench = Bench::new();
    bench.go_on();
    let hello = json!({ "run": "swarm/r" });
    let mut pages = Vec::new();
    for _ in 0..10 {
        let mut page = bench.page(&hello, None).await.unwrap();
        next(&mut page).await;
        pages.push(page);
    }
    let mut slow = bench.page(&hello, None).await.unwrap();
    let first = next(&mut slow).await;
    let last = first["set"]["run"]["events"].as_u64().unwrap();
    bench.live.event(&note(last + 1, "to all"));
    for page in &mut pages {
        assert!(next(page).await["set"].to_string().contains("to all"));
    }
    let mut quick = pages.swap_remove(0);
    drop(pages);
    // More than sockets hold, which the slow one does not read.
    let long = "x".repeat(200_000);
    let mut seq = last + 1;
    for turn in 0..200 {
        seq += 1;
        bench.live.event(&note(seq, &format!("{turn} {long}")));
        // It comes while the slow one does not read; nobody else's wait is in its way.
        next(&mut quick).await;
    }
    bench.live.event(&note(seq + 1, "the last"));
    while !next(&mut quick).await["set"].to_string().contains("the last") {}
    // What it is sent once it reads is the newest, and it hears that it was behind.
    let mut told = false;
    loop {
        let news = next(&mut slow).await;
        told |= news["behind"]["ms"].as_u64().is_some_and(|ms| ms > 1000);
        if news["set"].to_string().contains("the last") {
            assert_eq!(news["set"]["run"]["events"], seq + 1);
            break;
        }
    }
    assert!(told, "nobody said that it was behind");
}

#[tokio::test]
async fn a_run_that_is_deleted_while_it_is_shown_is_told() {
    let bench = Bench::new();
    let hello = json!({ "run": "swarm/r" });
    let mut page = bench.page(&hello, None).await.unwrap();
    assert_eq!(next(&mut page).await["set"]["run"]["live"], false);
    std::fs::remove_dir_all(bench.folder.path().join("results/swarm/r")).unwrap();
    let (status, why) = bench.get("api/spans?run=swarm/r");
    assert!(status == 410 && why.contains("there is no run `swarm/r` any more"), "{why}");
    drop(page);
    let deadline = Instant::now() + SOON;
    loop {
        let mut page = bench.page(&hello, None).await.unwrap();
        let told = next(&mut page).await;
        if told["gone"].is_string() {
            break;
        }
        // The page before it is not gone yet.
        assert!(Instant::now() < deadline, "{told}");
    }
    let mut rude = bench.page(&json!("x"), None).await.unwrap();
    let last = tokio::time::timeout(SOON, rude.next()).await.unwrap().unwrap().unwrap();
    assert!(last.is_close(), "what is no page is sent away");
}

#[tokio::test]
async fn nothing_is_taken_in_while_nobody_looks() {
    let bench = Bench::new();
    bench.go_on();
    let span = SpanRecord {
        seq: 1,
        arrived: RunTime::ZERO,
        node: "node-1".into(),
        name: "neighbor.up".into(),
        trace_id: String::new(),
        span_id: String::new(),
        parent_id: String::new(),
        start_unix_nanos: 0,
        end_unix_nanos: 0,
        attributes: Default::default(),
    };
    let event = note(1_000, "unseen");
    bench.live.event(&event);
    bench.live.span(&span);
    assert_eq!(Arc::strong_count(&event), 1, "nobody holds it");
    let mut page = bench.page(&json!({ "run": "swarm/r" }), None).await.unwrap();
    assert!(!next(&mut page).await["set"].to_string().contains("unseen"));
}

#[test]
fn an_act_goes_to_the_mesh_and_its_answer_comes_back() {
    let bench = Bench::new();
    let mut acts = bench.steering.open();
    let answering = std::thread::spawn(move || {
        let act = acts.blocking_recv().unwrap();
        let said = format!("ran {}", act.text);
        act.answer.send((true, said)).unwrap();
        acts
    });
    let headers = format!("host: {0}\r\norigin: http://{0}\r\n", bench.address);
    let path = format!("/{}/api/act", bench.token);
    let (status, _, body) = bench.ask("POST", &path, &headers, "{\"text\":\"drain\"}");
    assert_eq!((status, body.as_str()), (200, "{\"done\":true,\"said\":\"ran drain\"}"));
    let _open = answering.join().unwrap();
    let long = json!({ "text": "x".repeat(20_000) }).to_string();
    assert_eq!(bench.ask("POST", &path, &headers, &long).0, 409);
    assert_eq!(bench.ask("POST", &path, &headers, "{}").0, 400);
    bench.steering.close();
    assert_eq!(bench.ask("POST", &path, &headers, "{\"text\":\"x\"}").0, 409);
}

/// Takes pushes until one is as asked.
async fn until(page: &mut Page, mut wanted: impl FnMut(&Value) -> bool) -> Value {
    loop {
        let push = next(page).await;
        if wanted(&push) {
            return push;
        }
    }
}

#[tokio::test]
async fn a_run_that_is_deleted_while_it_is_shown_is_told_without_being_asked() {
    let bench = Bench::new();
    let mut page = bench.page(&json!({ "run": "swarm/r" }), None).await.unwrap();
    assert_eq!(next(&mut page).await["whole"], true);
    std::fs::remove_dir_all(bench.folder.path().join("results/swarm/r")).unwrap();
    let told = until(&mut page, |push| !push["gone"].is_null()).await;
    assert!(told["gone"].as_str().unwrap().contains("was deleted while it was shown"), "{told}");
    let (status, said) = bench.get("api/spans?run=swarm%2Fr");
    assert_eq!(status, 410, "{said}");
}

#[tokio::test]
async fn a_run_that_another_process_writes_is_followed_to_its_end() {
    let bench = Bench::new();
    let folder = bench.folder.path().join("results/swarm/other");
    std::fs::create_dir_all(&folder).unwrap();
    let record = fixture::run(&folder);
    let mut manifest = record.manifest.clone();
    manifest.run = "swarm/other".into();
    let recorder =
        Recorder::create(&folder, &manifest, &record.script, Instant::now(), None).unwrap();
    let (begin, rest) = record.events.split_at(4);
    begin.iter().for_each(|event| {
        recorder.event(event.kind.clone(), event.source.clone());
    });
    recorder.flush();
    let mut page = bench.page(&json!({ "run": "swarm/other" }), None).await.unwrap();
    let first = next(&mut page).await;
    let run = &first["set"]["run"];
    assert_eq!(
        (&run["live"], &run["elsewhere"], &run["events"]),
        (&json!(true), &json!(true), &json!(4))
    );
    for event in rest {
        recorder.event(event.kind.clone(), event.source.clone());
    }
    for span in &record.spans {
        recorder.span(&span);
    }
    recorder.samples(&record.samples.iter().collect::<Vec<_>>());
    recorder.flush();
    let events = record.events.len();
    // In one push or in several, and in any order.
    let (mut all, mut marked) = (false, false);
    until(&mut page, |push| {
        let set = push["set"].as_object();
        all |= push["set"]["run"]["events"] == events;
        marked |= set.is_some_and(|set| set.keys().any(|key| key.starts_with("mark/")));
        all && marked
    })
    .await;
    // Its writer ends, or is killed: either way it lets go.
    drop(recorder);
    let over = until(&mut page, |push| push["set"]["run"]["over"] == true).await;
    assert_eq!(over["set"]["run"]["live"], false, "{over}");
}

#[tokio::test]
async fn a_run_that_was_killed_before_anybody_looked_is_not_taken_for_one_that_goes_on() {
    let bench = Bench::new();
    let mut page = bench.page(&json!({ "run": "swarm/r" }), None).await.unwrap();
    let run = next(&mut page).await["set"]["run"].clone();
    assert_eq!((&run["live"], &run["over"]), (&json!(false), &json!(true)), "{run}");
}
