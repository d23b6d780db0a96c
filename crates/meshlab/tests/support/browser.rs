//! A headless Chromium, driven over a pipe by its DevTools protocol.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// How long a page on a busy host may take for what has to come.
const WITHIN: Duration = Duration::from_secs(120);

pub(crate) struct Browser {
    child: Child,
    to: File,
    from: BufReader<File>,
    last: u64,
    session: Option<String>,
    /// What went wrong on the page.
    pub(crate) problems: Vec<String>,
    _profile: tempfile::TempDir,
}

/// A pipe whose ends no program inherits by chance.
fn pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = std::io::pipe().unwrap();
    (reader.into(), writer.into())
}

impl Browser {
    /// Starts one with an empty profile and a page of this size.
    pub(crate) fn start(wide: u32, high: u32) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let ((their_in, to), (from, their_out)) = (pipe(), pipe());
        let mut command = Command::new("chromium");
        command.args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--remote-debugging-pipe",
        ]);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        command.arg(format!("--window-size={wide},{high}")).arg("about:blank");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let (input, output) = (their_in.as_raw_fd(), their_out.as_raw_fd());
        // SAFETY: only system calls that may follow a fork, on descriptors that are open: the
        // protocol has 3 and 4. First out of their way, for one may be the other's place.
        unsafe {
            command.pre_exec(move || {
                let place = |from: i32, to: i32| match libc::dup2(from, to) {
                    -1 => Err(std::io::Error::last_os_error()),
                    _ => Ok(()),
                };
                place(input, 100)?;
                place(output, 101)?;
                place(100, 3)?;
                place(101, 4)?;
                libc::close(100);
                libc::close(101);
                Ok(())
            });
        }
        let child = command.spawn().expect(
            "chromium cannot be started: `apt-get install chromium`; .ci/run says where it is not \
             there",
        );
        let (to, from) = (File::from(to), BufReader::new(File::from(from)));
        let (last, session, problems) = (0, None, Vec::new());
        let mut browser = Self { child, to, from, last, session, problems, _profile: profile };
        let targets = browser.call("Target.getTargets", json!({}));
        let page = targets["targetInfos"]
            .as_array()
            .unwrap()
            .iter()
            .find(|target| target["type"] == "page");
        let id = page.unwrap()["targetId"].clone();
        let attached =
            browser.call("Target.attachToTarget", json!({ "targetId": id, "flatten": true }));
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Runtime", "Log", "Page"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).unwrap();
        loop {
            let mut bytes = Vec::new();
            self.from.read_until(0, &mut bytes).unwrap();
            assert_eq!(bytes.pop(), Some(0), "the browser ended");
            let answer: Value = serde_json::from_slice(&bytes).unwrap();
            let told = answer["method"].as_str().unwrap_or_default();
            if matches!(told, "Runtime.exceptionThrown" | "Log.entryAdded") {
                self.problems.push(answer["params"].to_string());
            }
            if answer["id"] == self.last {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    pub(crate) fn open(&mut self, link: &str) {
        // A page that differs by its `#` alone would only be scrolled.
        self.call("Page.navigate", json!({ "url": "about:blank" }));
        self.call("Page.navigate", json!({ "url": link }));
    }

    /// What an expression on the page comes to.
    pub(crate) fn ask(&mut self, expression: &str) -> Value {
        let parameters =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", parameters);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true on the page, and what follows from it has been drawn.
    pub(crate) fn until(&mut self, expression: &str) {
        let deadline = Instant::now() + WITHIN;
        let safe = format!(
            "(() => {{ try {{ return Boolean({expression}) }} catch {{ return false }} }})()"
        );
        while self.ask(&safe) != Value::Bool(true) {
            assert!(Instant::now() < deadline, "never true: {expression}; {:?}", self.problems);
            std::thread::sleep(Duration::from_millis(50));
        }
        // Parts of the page draw in the next frame; a task comes after all that is drawn in one.
        self.ask(
            "new Promise((drawn) => \
             requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(drawn))))",
        );
    }

    pub(crate) fn look(&mut self, wide: u32, high: u32, dark: bool) {
        let size = json!({ "width": wide, "height": high, "deviceScaleFactor": 1,
            "mobile": wide < 600 });
        self.call("Emulation.setDeviceMetricsOverride", size);
        let value = if dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": value }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// Presses a key, as a person does: `7`, `+`, `ArrowLeft`.
    pub(crate) fn press(&mut self, key: &str) {
        let text = (key.chars().count() == 1).then_some(key);
        self.call(
            "Input.dispatchKeyEvent",
            json!({ "type": "keyDown", "key": key,
            "text": text.unwrap_or_default() }),
        );
        self.call("Input.dispatchKeyEvent", json!({ "type": "keyUp", "key": key }));
    }

    /// Keeps a picture of the page.
    pub(crate) fn picture(&mut self, file: &Path) {
        let answer = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        let bytes = data_encoding::BASE64.decode(answer["data"].as_str().unwrap().as_bytes());
        std::fs::write(file, bytes.unwrap()).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It has nothing to keep.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
