//! What a page may ask: its own files, the runs, curves, spans, logs, the report, what was done by
//! hand; and to have something done.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::BufReader,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use meshlab_engine::results::{Filter, RunRecord, file, read_run};
use meshlab_model::RunTime;
use meshlab_report::{
    CompareOptions, RunFigures, compare, has_attribute, is_log_name, log_excerpt, page_of,
    span_line,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    assets::asset,
    memory, runs, saved,
    series::{Minutes, Stretch, series},
    server::{Inside, text},
    slopes::slopes,
    steering::ACT_BYTES_MAX,
};

/// What the page may do: run its own scripts and speak to this server, nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; frame-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";
/// What a drawn file of a run may do: look as it was drawn, and zoom; it can reach nothing.
const DRAWN: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
    frame-ancestors 'self'; sandbox allow-scripts";
/// The report says itself which script it has.
const REPORT: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
    frame-ancestors 'self'; sandbox allow-scripts allow-popups";

/// Spans and lines that are shown at once.
const LINES_MAX: usize = 500;
/// Lines of a log that are shown at once.
const LOG_LINES_MAX: u64 = 2000;
/// Marks of a stretch that are shown at once.
const MARKS_MAX: usize = 5000;
/// Parts into which a curve is divided.
const PARTS_MAX: usize = 2000;
/// Bytes of a file that is shown.
const FILE_BYTES_MAX: u64 = 64 << 20;

type Answer = Response<Full<Bytes>>;

/// What a question says beside its path.
#[derive(Debug, Default)]
pub(crate) struct Question(BTreeMap<String, Vec<String>>);

impl Question {
    fn of(query: &str) -> Self {
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            all.entry(decoded(name)).or_default().push(decoded(value));
        }
        Self(all)
    }

    fn text(&self, name: &str) -> Option<&str> {
        let values = self.0.get(name)?;
        values.first().map(String::as_str).filter(|value| !value.is_empty())
    }

    fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    fn number(&self, name: &str) -> Option<f64> {
        self.text(name)?.parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// A moment in microseconds.
    fn time(&self, name: &str) -> Option<RunTime> {
        let micros = self.number(name)?.clamp(0.0, 1e15) as u64;
        Some(RunTime { micros })
    }
}

/// `%41+b` as `A b`; what is no text in the end is taken as far as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| char::from(byte.unwrap_or(b'?')).to_digit(16);
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => match (digit(rest.next()), digit(rest.next())) {
                (Some(high), Some(low)) => bytes.push((high * 16 + low) as u8),
                _ => bytes.push(b'?'),
            },
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Answers what was asked below the token.
pub(crate) async fn answer(
    request: Request<Incoming>,
    below: &str,
    inside: &Arc<Inside>,
) -> Answer {
    if request.method() == Method::POST && below == "api/act" {
        return act(request, inside).await;
    }
    if request.method() != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "use GET");
    }
    if let Some((_, kind, content)) = asset(below) {
        return page(kind, POLICY, content.into());
    }
    let question = Question::of(request.uri().query().unwrap_or_default());
    let (below, inside) = (below.to_owned(), Arc::clone(inside));
    // A board that pages look at keeps what it has read.
    let run = question.text("run").unwrap_or_default().to_owned();
    let board = match below.as_str() {
        "api/series" | "api/slopes" | "api/marks" => Some(inside.board(&run).await),
        _ => None,
    };
    let board = match board.transpose() {
        Ok(board) => board,
        Err(why) => return text(StatusCode::GONE, &why),
    };
    let asked = tokio::task::spawn_blocking(move || match (below.as_str(), board) {
        (below, Some(board)) => {
            let minutes = board.minutes();
            kept_record(&inside, &run, minutes, |record| match below {
                "api/series" => curves(record, minutes, &question),
                "api/slopes" => grown(record, minutes, &question),
                _ => marks(record, &question),
            })
        }
        (below, None) => ask(below, &run, &question, &inside),
    });
    let answer = asked.await.unwrap_or_else(|error| {
        text(StatusCode::INTERNAL_SERVER_ERROR, &format!("failed to answer: {error}"))
    });
    // Who asked does not wait for it.
    tokio::task::spawn_blocking(memory::give_back);
    answer
}

fn ask(below: &str, run: &str, question: &Question, inside: &Inside) -> Answer {
    match below {
        "api/runs" => {
            let live = inside.house.live.as_ref().and_then(|live| live.run());
            answered(&runs::list(&inside.house.results, live.map(|(name, _)| name)))
        }
        "api/faults" => answered(&inside.house.faults),
        "api/spans" => record(inside, run, |record| spans(record, question)),
        "api/log" => record(inside, run, |record| log(record, question)),
        "api/names" => record(inside, run, |record| {
            let counts = record.spans.counts();
            let names = counts.iter().map(|(name, by)| (name, by.values().sum::<u64>()));
            answered(&json!(names.collect::<BTreeMap<_, _>>()))
        }),
        "api/script" => record(inside, run, |record| answered(&json!({ "text": record.script }))),
        "api/saved" => record(inside, run, |record| match saved::scenario(record) {
            Some(source) => {
                let wrong = (inside.house.rehearse)(&source).err();
                answered(&json!({ "source": source, "wrong": wrong }))
            }
            None => {
                let last = record.events.last().map(|event| event.at).unwrap_or_default();
                text(StatusCode::NOT_FOUND, &saved::nothing(last))
            }
        }),
        "report" => record(inside, run, |record| {
            page("text/html; charset=utf-8", REPORT, page_of(record, "file").into())
        }),
        "compare" => compared(question, inside),
        "file" => kept_file(run, question, inside),
        _ => text(StatusCode::NOT_FOUND, "there is nothing here"),
    }
}

/// Reads the run of a question; one that is gone is told so.
fn record(inside: &Inside, run: &str, then: impl FnOnce(&RunRecord) -> Answer) -> Answer {
    kept_record(inside, run, &Minutes::default(), then)
}

/// The same, of a run that somebody looks at and that may have been read already.
fn kept_record(
    inside: &Inside,
    run: &str,
    minutes: &Minutes,
    then: impl FnOnce(&RunRecord) -> Answer,
) -> Answer {
    let Some(folder) = inside.folder(run) else {
        let why = format!("there is no run `{run}` any more, or there never was");
        return text(StatusCode::GONE, &why);
    };
    match minutes.record(&folder) {
        Ok(record) => then(&record),
        Err(error) => text(StatusCode::GONE, &format!("failed to read the run: {error}")),
    }
}

/// The stretch that a question is about; the whole run where it says none.
fn stretch(record: &RunRecord, question: &Question) -> Stretch {
    let last = record.events.last().map_or(0.0, |event| event.at.as_secs_f64());
    let last = record.samples.last().map_or(last, |(at, _)| at.as_secs_f64().max(last));
    let from = question.number("from").unwrap_or(0.0).max(0.0);
    let to = question.number("to").unwrap_or(last).clamp(from + 1e-3, from + 1e8);
    let parts =
        question.number("parts").map_or(600, |parts| parts.clamp(2.0, PARTS_MAX as f64) as usize);
    Stretch { from, to, parts }
}

fn curves(record: &RunRecord, minutes: &Minutes, question: &Question) -> Answer {
    match series(record, minutes, &measures(question), stretch(record, question)) {
        Ok(curves) => answered(&curves),
        Err(measure) => text(StatusCode::BAD_REQUEST, &format!("there is no measure `{measure}`")),
    }
}

/// How nodes grow over the stretch; a measure that there is not has no slope.
fn grown(record: &RunRecord, minutes: &Minutes, question: &Question) -> Answer {
    answered(&slopes(record, minutes, &measures(question), stretch(record, question)))
}

/// What is asked for, each once.
fn measures(question: &Question) -> Vec<&str> {
    let all: BTreeSet<&str> = question.all("measure").iter().map(String::as_str).collect();
    all.into_iter().collect()
}

/// Spans, as `meshlab spans` selects and writes them.
fn spans(record: &RunRecord, question: &Question) -> Answer {
    let filter = Filter {
        since: question.time("since"),
        until: question.time("until"),
        name: question.text("name").map(str::to_owned),
        node: question.text("node").map(str::to_owned),
        ..Filter::default()
    };
    let wanted: Vec<(&str, &str)> =
        question.all("where").iter().filter_map(|pair| pair.split_once('=')).collect();
    let mut found = record
        .spans
        .select(filter)
        .filter(|span| wanted.iter().all(|(name, value)| has_attribute(span, name, value)));
    let lines: Vec<Value> = found
        .by_ref()
        .take(LINES_MAX)
        .map(|span| json!([span.arrived.micros, span_line(&span)]))
        .collect();
    answered(&json!({ "lines": lines, "more": found.next().is_some() }))
}

/// The marks of a stretch of the timeline, for one that is too long to be held whole.
fn marks(record: &RunRecord, question: &Question) -> Answer {
    let filter = |name: &str| Filter {
        since: question.time("since"),
        until: question.time("until"),
        ..Filter::named(name)
    };
    let mut left_out = false;
    let mut all: Vec<Value> = Vec::new();
    for name in crate::model::marked() {
        let sign = crate::model::sign(name).unwrap_or_default();
        let mut found = record.spans.select(filter(name));
        for span in found.by_ref().take(MARKS_MAX) {
            let text = |name: &str| {
                let value = span.attributes.get(name).and_then(Value::as_str);
                value.unwrap_or_default().to_owned()
            };
            let peer: String = text(meshlab_wire::attr::PEER_ID).chars().take(10).collect();
            let state = text(meshlab_wire::attr::STATE);
            all.push(json!([
                span.arrived.micros,
                span.node,
                char::from(sign).to_string(),
                peer,
                state
            ]));
        }
        left_out |= found.next().is_some();
    }
    answered(&json!({ "marks": all, "more": left_out }))
}

/// The lines of a node's log around a moment, as `meshlab logs` shows them.
fn log(record: &RunRecord, question: &Question) -> Answer {
    let node = question.text("node").unwrap_or_default();
    if !is_log_name(node) {
        return text(StatusCode::BAD_REQUEST, "name a node");
    }
    let path = record.folder.join(file::LOGS).join(format!("{node}.log"));
    let Ok(log) = File::open(&path) else {
        return text(StatusCode::NOT_FOUND, &format!("there is no log of `{node}`"));
    };
    let from = question.time("since").unwrap_or_default().micros;
    let to = question.time("until").map_or(u64::MAX, |until| until.micros);
    let mut lines = Vec::new();
    let mut more = 0_u64;
    let shown =
        log_excerpt(BufReader::new(log), record.manifest.started_unix_nanos, from..=to, |line| {
            if (lines.len() as u64) < LOG_LINES_MAX {
                lines.push(line)
            } else {
                more += 1
            }
            Ok(())
        });
    match shown {
        Ok(_) => answered(&json!({ "lines": lines, "more": more })),
        Err(error) => text(StatusCode::GONE, &format!("failed to read the log: {error}")),
    }
}

/// Two runs beside each other, as `meshlab compare` draws them.
fn compared(question: &Question, inside: &Inside) -> Answer {
    let figures = |name: &str| -> Result<RunFigures, String> {
        let run = question.text(name).unwrap_or_default();
        let folder = inside.folder(run).ok_or_else(|| format!("there is no run `{run}`"))?;
        let record = read_run(&folder).map_err(|error| format!("failed to read {run}: {error}"))?;
        Ok(RunFigures::of(&record, None))
    };
    let both = figures("run").and_then(|before| Ok((before, figures("against")?)));
    let (before, after) = match both {
        Ok(both) => both,
        Err(why) => return text(StatusCode::GONE, &why),
    };
    if before.run == after.run {
        return text(StatusCode::BAD_REQUEST, "a run beside itself says nothing");
    }
    match compare(&[before], &[after], &CompareOptions::default()) {
        Ok(report) => page("text/html; charset=utf-8", DRAWN, report.html().into()),
        Err(verdict) => {
            let why = verdict.reason().unwrap_or(verdict.word()).to_owned();
            text(StatusCode::CONFLICT, &format!("not compared: {why}"))
        }
    }
}

/// A file that a run left: a flamegraph, a capture.
fn kept_file(run: &str, question: &Question, inside: &Inside) -> Answer {
    let gone = || text(StatusCode::NOT_FOUND, "there is no such file of this run");
    let Some(folder) = inside.folder(run) else { return gone() };
    let Some(path) = question.text("path").and_then(|path| within(&folder, path)) else {
        return gone();
    };
    let kind = match path.extension().and_then(|extension| extension.to_str()) {
        Some("svg") => "image/svg+xml",
        Some("txt" | "log" | "folded" | "md") => "text/plain; charset=utf-8",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    };
    match fs::metadata(&path).ok().filter(|facts| facts.len() <= FILE_BYTES_MAX) {
        Some(_) => fs::read(&path).map_or_else(|_| gone(), |bytes| page(kind, DRAWN, bytes.into())),
        None => gone(),
    }
}

/// A file below the run's own folders: results, profiles, reports.
fn within(folder: &Path, path: &str) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok()?;
    let found = folder.join(path).canonicalize().ok().filter(|found| found.is_file())?;
    let name = runs::name_of(&folder)?;
    let output = folder.parent()?.parent()?.parent();
    let beside = |kind: &str| output.map(|output| output.join(kind).join(&name));
    let ours = [Some(folder.clone()), beside("profiles"), beside("reports")];
    ours.into_iter().flatten().any(|ours| found.starts_with(ours)).then_some(found)
}

/// Has something done on the mesh, and says what came of it.
async fn act(request: Request<Incoming>, inside: &Inside) -> Answer {
    let body = Limited::new(request.into_body(), ACT_BYTES_MAX * 2).collect().await;
    let Ok(body) = body else { return text(StatusCode::PAYLOAD_TOO_LARGE, "an act is short") };
    let value: Option<Value> = serde_json::from_slice(&body.to_bytes()).ok();
    let line = value.as_ref().and_then(|value| value.get("text")).and_then(Value::as_str);
    let Some(line) = line else { return text(StatusCode::BAD_REQUEST, "send {\"text\": LUA}") };
    match inside.house.steering.act(line.to_owned()).await {
        Ok((done, said)) => answered(&json!({ "done": done, "said": said })),
        Err(why) => text(StatusCode::CONFLICT, &why),
    }
}

fn answered(value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(content) => page("application/json", POLICY, content.into()),
        Err(error) => {
            text(StatusCode::INTERNAL_SERVER_ERROR, &format!("failed to write it: {error}"))
        }
    }
}

fn page(kind: &'static str, policy: &'static str, content: Bytes) -> Answer {
    let mut response = Response::new(Full::new(content));
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_taken_apart_whatever_it_holds() {
        let question = Question::of("run=a%2Fb&where=x%3D1&where=y=2&from=1.5&at=NaN&x&=&q=%zz%");
        assert_eq!(question.text("run"), Some("a/b"));
        assert_eq!(question.all("where"), ["x=1", "y=2"]);
        assert_eq!(question.number("from"), Some(1.5));
        assert_eq!((question.number("at"), question.text("x")), (None, None));
        assert_eq!(question.text("q"), Some("??"));
        assert_eq!(question.time("from"), Some(RunTime { micros: 1 }));
        assert_eq!(decoded("a+b%C3%A9%FF"), "a bé\u{fffd}");
    }

    #[test]
    fn files_outside_a_run_are_not_there() {
        let output = tempfile::tempdir().unwrap();
        let run = output.path().join("results/a/one");
        let profile = output.path().join("profiles/a/one/cpu.svg");
        for path in [run.join("x.txt"), profile, output.path().join("results/a/two/x.txt")] {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        assert!(within(&run, "x.txt").is_some());
        assert!(within(&run, "../../../profiles/a/one/cpu.svg").is_some());
        for path in ["../two/x.txt", "/etc/hostname", "gone", ".", "../../../../etc/passwd"] {
            assert_eq!(within(&run, path), None, "{path}");
        }
    }
}
