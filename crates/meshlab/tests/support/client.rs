//! Speaks to the live page's server as a page does.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub, reason = "test support")]

#[path = "link.rs"]
mod link;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use self::link::link;
use super::support::Bench;

/// Longer than any answer may take on a busy machine.
const WITHIN: Duration = Duration::from_secs(300);

/// Waits for what only somebody's hand brings about.
pub const WAITS: &str = r#"
scenario { timeout = "5m" }
test("node 2 leaves", function()
  local swarm = mesh { nodes = 4, operator = true, digest_every = "1s", digest_gated = false }
  expect.formed(swarm, { within = "60s" })
  local one = swarm:node(1)
  expect.state(swarm:node(2), "Leaving", { seen_by = one, via = "message", within = "4m" })
  expect.spans("order.sent", { within = "30s" }) -- who gave the order has its answer first
end)
"#;

/// The events of such a run, which is called `waits`.
pub fn events(bench: &Bench) -> Vec<Value> {
    let text = bench.read("waits", "events.jsonl");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Starts a program and waits for the link that it prints.
pub fn serve(bench: &Bench, arguments: &[&str]) -> (Child, String) {
    let mut command = bench.command(arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let link = link(&mut child);
    (child, link)
}

/// A page, as far as its server can tell.
pub struct Client {
    address: String,
    token: String,
    run: String,
}

impl Client {
    pub fn of(link: &str) -> Self {
        let rest = link.strip_prefix("http://").unwrap();
        let (address, rest) = rest.split_once('/').unwrap();
        let (token, run) = rest.split_once("/#run=").unwrap();
        Self { address: address.to_owned(), token: token.to_owned(), run: run.to_owned() }
    }

    fn connect(&self, head: &str, body: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(WITHIN)).unwrap();
        let address = &self.address;
        let request = format!(
            "{head}\r\nHost: {address}\r\nOrigin: http://{address}\r\nContent-Length: {}\r\n\r\n\
             {body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        BufReader::new(stream)
    }

    /// The status and the body of an answer.
    fn asked(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let head = format!("{method} /{}/{path} HTTP/1.1\r\nConnection: close", self.token);
        let mut answer = String::new();
        self.connect(&head, body).read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        (status, body.to_owned())
    }

    /// Has a line of Lua done, as the controls of a page do; what was said of it, if it was done.
    pub fn act(&self, line: &str) -> Result<String, String> {
        let (status, body) = self.asked("POST", "api/act", &json!({ "text": line }).to_string());
        if status != 200 {
            return Err(body);
        }
        let answer: Value = serde_json::from_str(&body).unwrap();
        let said = answer["said"].as_str().unwrap().to_owned();
        if answer["done"] == true { Ok(said) } else { Err(said) }
    }

    /// What a question about the run is answered.
    pub fn ask(&self, path: &str) -> Value {
        let run = self.run.replace('/', "%2F");
        let (status, body) = self.asked("GET", &format!("{path}?run={run}"), "");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Looks at the run as an open page does.
    pub fn look(&self) -> Looking {
        let head = format!(
            "GET /{}/live HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            self.token
        );
        let mut from = self.connect(&head, "");
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        assert!(line.contains("101"), "{line}");
        while line != "\r\n" {
            line.clear();
            from.read_line(&mut line).unwrap();
        }
        let hello = json!({ "run": self.run, "epoch": 0, "at": 0 }).to_string();
        assert!(hello.len() < 126, "{hello}");
        // A mask of zeros is one.
        let mut frame = vec![0x81, 0x80 | hello.len() as u8, 0, 0, 0, 0];
        frame.extend(hello.as_bytes());
        from.get_mut().write_all(&frame).unwrap();
        Looking { from }
    }
}

/// A socket on which a run is pushed.
pub struct Looking {
    from: BufReader<TcpStream>,
}

impl Looking {
    /// The next push; `None` once the server has closed.
    pub fn next(&mut self) -> Option<Value> {
        loop {
            let mut head = [0; 2];
            self.from.read_exact(&mut head).ok()?;
            let mut length = u64::from(head[1] & 0x7f);
            let more = if length == 126 { 2 } else { 8 };
            if length >= 126 {
                let mut bytes = [0; 8];
                self.from.read_exact(&mut bytes[8 - more..]).ok()?;
                length = u64::from_be_bytes(bytes);
            }
            let mut payload = vec![0; length as usize];
            self.from.read_exact(&mut payload).ok()?;
            match head[0] & 0x0f {
                1 => return Some(serde_json::from_slice(&payload).unwrap()),
                8 => return None,
                _ => {}
            }
        }
    }

    /// Takes pushes until one is as asked.
    pub fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let push = self.next().expect("the server closed before what has to come");
            if wanted(&push) {
                return push;
            }
        }
    }
}
