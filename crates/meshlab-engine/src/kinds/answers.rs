//! Asks a program from outside whether it is there: over the network that the faults hurt, from a
//! socket of the harness in the network of another node.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant as StdInstant},
};

use meshlab_model::{ClaimEvidence, NodeId, Severity, SourceLine, Tally, Verdict, format_duration};
use tokio::time::Instant;

use super::{Transport, start::values};
use crate::{
    ClaimOutcome, Engine, HostError, Since,
    cancel::describe,
    claims::names,
    engine::{Shared, lock},
};

/// How long one question waits for its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// How often it is asked again.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// Bytes of an answer that are looked at.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A question, ready to be asked.
struct Question {
    to: SocketAddr,
    transport: Transport,
    send: Vec<u8>,
    contains: Vec<u8>,
}

/// Asks node `to` from the network of node `from`; how long the answer took, or why there is none.
pub(crate) async fn ask(shared: &Shared, from: &NodeId, to: &NodeId) -> Result<Duration, String> {
    let question = question(shared, to)?;
    let lab = lock(&shared.lab).clone();
    let from = from.clone();
    let asked = tokio::task::spawn_blocking(move || match lab {
        Some(lab) => lab.visit(&from, || question.put()).map_err(|error| error.to_string()),
        None => question.put().map_err(|error| error.to_string()),
    });
    asked.await.unwrap_or_else(|error| Err(error.to_string()))
}

fn question(shared: &Shared, to: &NodeId) -> Result<Question, String> {
    let lab = lock(&shared.lab).clone();
    let state = shared.state();
    let node = state.nodes.get(to).ok_or_else(|| format!("there is no node {to}"))?;
    let stranger = node.stranger.as_ref().ok_or_else(|| format!("{to} is of no kind"))?;
    let answers = stranger.kind.answers.as_ref();
    let answers = answers.ok_or_else(|| format!("`{}` answers nothing", stranger.kind.name))?;
    let values = values(&state, to, node, stranger);
    let ip = match lab {
        Some(lab) => lab.seen_at(to).map_err(|error| error.to_string())?,
        None => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let text = |template: &super::Template| template.fill(&values).unwrap_or_default().into_bytes();
    Ok(Question {
        to: SocketAddr::new(ip, stranger.port),
        transport: answers.transport,
        send: text(&answers.send),
        contains: text(&answers.contains),
    })
}

impl Question {
    fn put(&self) -> io::Result<Duration> {
        let began = StdInstant::now();
        match self.transport {
            Transport::Tcp => self.put_tcp(began)?,
            Transport::Udp => self.put_udp()?,
        }
        Ok(began.elapsed())
    }

    fn put_tcp(&self, began: StdInstant) -> io::Result<()> {
        let mut stream = TcpStream::connect_timeout(&self.to, ANSWER_WITHIN)?;
        stream.set_write_timeout(Some(ANSWER_WITHIN))?;
        stream.write_all(&self.send)?;
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        while !self.is_in(&answer) {
            let left = ANSWER_WITHIN.saturating_sub(began.elapsed());
            if left.is_zero() || answer.len() > ANSWER_BYTES_MAX {
                return Err(self.another(&answer));
            }
            stream.set_read_timeout(Some(left))?;
            match stream.read(&mut buffer) {
                Ok(0) => return Err(self.another(&answer)),
                Ok(count) => answer.extend_from_slice(&buffer[..count]),
                Err(_) => return Err(self.another(&answer)),
            }
        }
        Ok(())
    }

    fn put_udp(&self) -> io::Result<()> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(self.to)?;
        socket.set_read_timeout(Some(ANSWER_WITHIN))?;
        socket.send(&self.send)?;
        let mut buffer = [0; 4096];
        let count = socket.recv(&mut buffer).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => self.another(&[]),
            _ => error,
        })?;
        if self.is_in(&buffer[..count]) { Ok(()) } else { Err(self.another(&buffer[..count])) }
    }

    fn is_in(&self, answer: &[u8]) -> bool {
        self.contains.is_empty()
            || answer.windows(self.contains.len()).any(|part| part == self.contains)
    }

    fn another(&self, answer: &[u8]) -> io::Error {
        let wanted = String::from_utf8_lossy(&self.contains);
        let got = String::from_utf8_lossy(&answer[..answer.len().min(60)]);
        let got = match answer {
            [] => format!("nothing within {}", format_duration(ANSWER_WITHIN)),
            _ => format!("{got:?}"),
        };
        io::Error::other(format!("{} answered {got}, and not {wanted:?}", self.to))
    }
}

/// `expect.answers`: each of these nodes answers, asked from each of those.
pub(crate) async fn judge(
    engine: &Engine,
    nodes: Vec<NodeId>,
    from: Option<Vec<NodeId>>,
    within: Duration,
    (severity, at): (Severity, SourceLine),
) -> Result<ClaimOutcome, HostError> {
    let pairs = pairs(engine, &nodes, from.as_deref())?;
    let since = engine.since(Since::Ago(Duration::ZERO))?;
    let text = format!("{} answers within {}", names(&nodes), format_duration(within));
    let claim = engine.start_claim("expect.answers", text, severity, within, at)?;
    let open = engine.until_judged(claim);
    let started = Instant::now();
    let mut left = pairs.clone();
    let verdict = loop {
        let mut why = None;
        let mut unanswered = Vec::new();
        for (asker, node) in left {
            if let Err(error) = ask(&engine.shared, &asker, &node).await {
                why.get_or_insert_with(|| format!("{node} does not answer {asker}: {error}"));
                unanswered.push((asker, node));
            }
        }
        left = unanswered;
        let Some(why) = why else { break Verdict::Passed };
        if started.elapsed() >= within {
            break Verdict::Failed(format!("{why}, after {}", format_duration(within)));
        }
        if engine.shared.cancel.or(tokio::time::sleep(ASK_EVERY)).await.is_err() {
            let reason = engine.shared.cancel.reason().as_ref().map(describe).unwrap_or_default();
            break Verdict::Inconclusive(format!("{why} when {reason}"));
        }
    };
    let tally = |node: &NodeId| {
        let need = pairs.iter().filter(|(_, asked)| asked == node).count() as u64;
        let missing = left.iter().filter(|(_, asked)| asked == node).count() as u64;
        Tally { node: node.clone(), have: need - missing, need }
    };
    let notes = match verdict {
        Verdict::Passed => vec![format!("{} questions were answered", pairs.len())],
        _ => Vec::new(),
    };
    let by_node = nodes.iter().map(tally).collect();
    let took = started.elapsed();
    open.judged();
    let evidence = ClaimEvidence { by_node, notes, since: Some(since) };
    engine.finish_claim(claim, verdict, took, evidence, severity, took)
}

/// Who asks whom.
fn pairs(
    engine: &Engine,
    nodes: &[NodeId],
    from: Option<&[NodeId]>,
) -> Result<Vec<(NodeId, NodeId)>, HostError> {
    let state = engine.shared.state();
    let mut pairs = Vec::new();
    for node in nodes {
        let stranger = state.node(node)?.stranger.as_ref();
        if stranger.is_none_or(|stranger| stranger.kind.answers.is_none()) {
            return Err(HostError::Misuse(format!(
                "{node} is of no kind that says what it answers; give `kind` an `answers`"
            )));
        }
        let mesh = state.live(&state.node(node)?.mesh);
        let first = || mesh.iter().find(|other| *other != node).or(Some(node)).cloned();
        match from {
            Some(from) => {
                let others = from.iter().filter(|asker| *asker != node || from.len() == 1);
                pairs.extend(others.map(|asker| (asker.clone(), node.clone())));
            }
            None => pairs.extend(first().map(|asker| (asker, node.clone()))),
        }
    }
    if pairs.is_empty() {
        let why = "no node to look at: nothing that is not looked at can pass";
        return Err(HostError::Misuse(why.to_owned()));
    }
    Ok(pairs)
}
