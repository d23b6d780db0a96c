//! The side of whoever attaches: reads lines, sends them, prints what comes back.

use std::{
    fs,
    io::{self, BufRead, IsTerminal, Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use anyhow::{Context, Result, bail};
use meshlab_model::ExitCode;
use rustyline::{
    CompletionType, Config, Editor, Helper, completion::Completer, error::ReadlineError,
    highlight::Highlighter, hint::Hinter, history::FileHistory, validate::Validator,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};

use super::{
    SOCKET,
    protocol::{ASK_BYTES_MAX, Ask, TELL_BYTES_MAX, Tell, VERSION, encode},
    server::connect,
};
use crate::{cli::PromptArguments, report::locate, run::color};

/// Lines of history that are kept.
const HISTORY_MAX: usize = 1000;

pub(crate) fn attach(arguments: &PromptArguments) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the prompt's runtime")?;
    let link = match &arguments.run {
        Some(run) => {
            let Some(folder) = locate(run) else { return Ok(ExitCode::Usage) };
            runtime.block_on(Link::open(&folder))?
        }
        None => runtime.block_on(reach_newest(&arguments.output))?,
    };
    let link = Arc::new(Mutex::new(Talk { runtime, link, failed: false, over: false }));
    let asked = if io::stdin().is_terminal() { by_hand(&link)? } else { from_pipe(&link)? };
    let mut talk = link.lock().unwrap_or_else(PoisonError::into_inner);
    let ends = match (arguments.end, arguments.leave) {
        (true, _) => true,
        (_, true) => false,
        _ => asked && !talk.over && wants_end()?,
    };
    if ends && !talk.over {
        talk.end();
    }
    Ok(if talk.failed { ExitCode::ClaimFailed } else { ExitCode::Passed })
}

/// Every run with a socket, the newest first. Of one whose process was killed only the file is
/// there.
fn candidates(output: &Path) -> Vec<PathBuf> {
    let mut found: Vec<(SystemTime, PathBuf)> = Vec::new();
    let folders = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
    for scenario in folders(&output.join("results")) {
        for run in folders(&scenario.path()) {
            let socket = fs::symlink_metadata(run.path().join(SOCKET));
            // `latest` is one of the others.
            if !run.path().is_symlink()
                && let Ok(made) = socket.and_then(|meta| meta.modified())
            {
                found.push((made, run.path()));
            }
        }
    }
    found.sort();
    found.into_iter().rev().map(|(_, path)| path).collect()
}

/// Connects to the newest run of which somebody listens.
async fn reach_newest(output: &Path) -> Result<Link> {
    for folder in candidates(output) {
        if let Ok(stream) = connect(&folder).await {
            return Link::over(stream, &folder).await;
        }
    }
    bail!(
        "no run under {} keeps its mesh; `meshlab run SCENARIO --keep` does",
        output.join("results").display()
    )
}

/// Whether the mesh is to be ended, by the word of whoever sits there.
fn wants_end() -> Result<bool> {
    print!("end the nodes, or leave them for later? [end/LEAVE] ");
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "e" | "end" | "y" | "yes"))
}

/// A connection to the process that keeps the mesh.
struct Link {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    run: String,
}

impl Link {
    async fn open(folder: &Path) -> Result<Self> {
        let stream = connect(folder).await.with_context(|| {
            format!(
                "failed to attach to {}: no process keeps its mesh; a run that was started with \
                 `--keep` does, until it is ended",
                folder.display()
            )
        })?;
        Self::over(stream, folder).await
    }

    /// Over a connection to the run in that folder.
    async fn over(stream: UnixStream, folder: &Path) -> Result<Self> {
        let (reader, writer) = stream.into_split();
        let mut link = Self { reader: BufReader::new(reader), writer, run: String::new() };
        match link.next().await? {
            Some(Tell::Hello { version: VERSION, run }) => link.run = run,
            Some(Tell::Hello { version, .. }) => {
                bail!("the run speaks version {version}, this is {VERSION}: use its meshlab");
            }
            Some(Tell::Refused { why }) => bail!("failed to attach to {}: {why}", folder.display()),
            _ => bail!("failed to attach to {}: it is about to end", folder.display()),
        }
        Ok(link)
    }

    /// The next message; `None` once the other side is gone.
    async fn next(&mut self) -> Result<Option<Tell>> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.reader).take(TELL_BYTES_MAX as u64);
        let read = bounded.read_until(b'\n', &mut line).await;
        // One that was killed resets the connection, or just is no more.
        if read.is_err() || !line.ends_with(b"\n") {
            return Ok(None);
        }
        serde_json::from_slice(&line).map(Some).context("the run sent something that is no message")
    }

    async fn send(&mut self, ask: &Ask) -> bool {
        self.writer.write_all(&encode(ask)).await.is_ok()
    }

    /// Has a line run and prints what comes of it. Ctrl-C meanwhile cancels the line, not this.
    async fn line(&mut self, text: String, color: bool) -> Result<Came> {
        if text.len() > ASK_BYTES_MAX / 8 {
            println!("error: a line has at most {} KiB", ASK_BYTES_MAX / 8 / 1024);
            return Ok(Came::Failed);
        }
        let mut interrupts = signal(SignalKind::interrupt()).context("failed to hear Ctrl-C")?;
        if !self.send(&Ask::Line { text, color }).await {
            return Ok(Came::Over);
        }
        loop {
            let message = tokio::select! {
                biased;
                message = self.next() => message?,
                _ = interrupts.recv() => {
                    self.send(&Ask::Cancel).await;
                    continue;
                }
            };
            match message {
                Some(Tell::Text { text }) => println!("{}", readable(&text)),
                Some(Tell::Ended { incomplete: true, .. }) => return Ok(Came::Incomplete),
                Some(Tell::Ended { ok: true, .. }) => return Ok(Came::Done),
                Some(Tell::Ended { .. }) => return Ok(Came::Failed),
                Some(Tell::Refused { why }) => bail!("the run refused: {why}"),
                Some(Tell::Hello { .. } | Tell::Completions { .. }) => {}
                Some(Tell::Ending) | None => return Ok(Came::Over),
            }
        }
    }
}

/// What came of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    Done,
    Failed,
    Incomplete,
    /// The mesh is gone.
    Over,
}

/// What nodes named themselves must not redraw a terminal; colours of ours may stay.
fn readable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let hue = rest.strip_prefix("\x1b[").and_then(|after| {
            let end = after.find(|c: char| !c.is_ascii_digit() && c != ';')?;
            after[end..].starts_with('m').then_some(end + 3)
        });
        match hue {
            Some(bytes) => {
                out.push_str(&rest[..bytes]);
                rest = &rest[bytes..];
            }
            None => {
                if c == '\n' || c == '\t' || !c.is_control() {
                    out.push(c);
                } else {
                    out.push('\u{fffd}');
                }
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}

/// A link with what drives it, for the prompt and the completion of its words.
struct Talk {
    runtime: Runtime,
    link: Link,
    /// A line failed.
    failed: bool,
    /// The mesh is gone.
    over: bool,
}

impl Talk {
    fn line(&mut self, text: String) -> Result<Came> {
        let color = color(&io::stdout());
        let came = self.runtime.block_on(self.link.line(text, color))?;
        self.failed |= came == Came::Failed;
        if came == Came::Over {
            // What was asked was not done to its end.
            self.failed = true;
            self.over = true;
            println!("the mesh is gone: its run is ending, or has ended");
        }
        Ok(came)
    }

    fn end(&mut self) {
        let Self { runtime, link, .. } = self;
        runtime.block_on(async {
            link.send(&Ask::End).await;
            // Until it has heard it; the run's own terminal says how it ends.
            while let Ok(Some(message)) = link.next().await {
                if message == Tell::Ending {
                    break;
                }
            }
        });
        println!("the nodes are being ended; the run says its verdict");
    }

    fn complete(&mut self, text: &str) -> Option<(usize, Vec<String>)> {
        let Self { runtime, link, .. } = self;
        runtime.block_on(async {
            link.send(&Ask::Complete { text: text.to_owned() }).await.then_some(())?;
            match link.next().await.ok()?? {
                Tell::Completions { start, words } => Some((start, words)),
                _ => None,
            }
        })
    }
}

/// Lines from a pipe or a file. Never asks anything: whether the mesh ends is for the options.
fn from_pipe(talk: &Mutex<Talk>) -> Result<bool> {
    let mut talk = talk.lock().unwrap_or_else(PoisonError::into_inner);
    let mut input = io::stdin().lock();
    let mut text = String::new();
    loop {
        let before = text.len();
        let read = (&mut input).take(ASK_BYTES_MAX as u64).read_line(&mut text);
        let read = read.context("failed to read the lines to run")?;
        if read == 0 {
            break;
        }
        if text[before..].trim().is_empty() && before == 0 {
            text.clear();
            continue;
        }
        if leaves(&text) {
            return Ok(false);
        }
        match talk.line(text.clone())? {
            Came::Incomplete => {}
            Came::Done | Came::Failed => text.clear(),
            Came::Over => return Ok(false),
        }
    }
    if !text.trim().is_empty() {
        println!("error: the input ends before this does:\n{}", readable(text.trim_end()));
        talk.failed = true;
    }
    Ok(false)
}

/// Whether a line leaves the prompt.
fn leaves(line: &str) -> bool {
    matches!(line.trim(), "exit" | "quit")
}

/// Completes words, and leaves the rest of the prompt as it is.
struct Words(Arc<Mutex<Talk>>);

impl Helper for Words {}
impl Highlighter for Words {}
impl Validator for Words {}

impl Hinter for Words {
    type Hint = String;
}

impl Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let mut talk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(talk.complete(&line[..at]).filter(|(start, _)| *start <= at).unwrap_or((at, Vec::new())))
    }
}

/// A prompt for a person. True if it was left without a word on what is to become of the mesh.
fn by_hand(talk: &Arc<Mutex<Talk>>) -> Result<bool> {
    let config = Config::builder()
        .max_history_size(HISTORY_MAX)
        .and_then(|config| config.history_ignore_dups(true))
        .map(|config| config.completion_type(CompletionType::List).auto_add_history(true).build())
        .context("failed to set the prompt up")?;
    let mut editor: Editor<Words, FileHistory> =
        Editor::with_config(config).context("failed to set the prompt up")?;
    editor.set_helper(Some(Words(Arc::clone(talk))));
    let history = history();
    if let Some(history) = &history {
        // There is none before the first time.
        let _ = editor.load_history(history);
    }
    {
        let talk = talk.lock().unwrap_or_else(PoisonError::into_inner);
        println!(
            "attached to {}: Lua on its mesh, `swarm`; Tab completes, Ctrl-C cancels, `exit` \
             leaves",
            talk.link.run
        );
    }
    let left = prompt(&mut editor, talk)?;
    if let Some(history) = &history {
        // A history that cannot be kept is no reason to fail.
        let _ = editor.save_history(history);
    }
    Ok(left)
}

fn prompt(editor: &mut Editor<Words, FileHistory>, talk: &Mutex<Talk>) -> Result<bool> {
    let mut text = String::new();
    loop {
        match editor.readline(if text.is_empty() { "> " } else { ".. " }) {
            Ok(line) => {
                if text.is_empty() && leaves(&line) {
                    return Ok(true);
                }
                text.push_str(&line);
                text.push('\n');
            }
            Err(ReadlineError::Interrupted) => {
                text.clear();
                continue;
            }
            Err(ReadlineError::Eof) => return Ok(true),
            Err(error) => return Err(error).context("failed to read a line"),
        }
        if text.trim().is_empty() {
            text.clear();
            continue;
        }
        let mut talk = talk.lock().unwrap_or_else(PoisonError::into_inner);
        match talk.line(text.clone())? {
            Came::Incomplete => {}
            Came::Done | Came::Failed => text.clear(),
            Came::Over => return Ok(false),
        }
    }
}

/// The file of the history, in the user's folder for such; `None` where the user has none.
fn history() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    let folder = state.join("meshlab");
    fs::create_dir_all(&folder).ok()?;
    Some(folder.join("attach-history"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_colours_reach_the_terminal() {
        let text = "\x1b[31mred\x1b[0m \x1b[2J\x1b]0;title\x07 a\tb\nc\u{9b}31m";
        let shown = readable(text);
        assert!(shown.starts_with("\x1b[31mred\x1b[0m "), "{shown:?}");
        assert_eq!(shown.matches('\x1b').count(), 2, "{shown:?}");
        assert!(shown.contains("a\tb\nc") && !shown.contains('\u{9b}'), "{shown:?}");
    }

    #[test]
    fn a_run_that_nobody_keeps_is_not_reached_and_the_newest_that_is_kept_is() {
        let output = tempfile::tempdir().expect("a folder");
        let run = |name: &str| {
            let run = output.path().join("results").join(name);
            fs::create_dir_all(&run).expect("a folder");
            let bound = std::os::unix::net::UnixListener::bind(run.join(SOCKET));
            (run, bound.expect("a socket"))
        };
        // The file of a process that was killed.
        drop(run("x/1"));
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let told = runtime.block_on(reach_newest(output.path())).err().expect("nobody listens");
        assert!(told.to_string().contains("--keep"), "{told}");
        let (older, listener) = run("y/2");
        let (newer, killed) = run("y/3");
        let set = |path: &Path, seconds| {
            let file = path.join(SOCKET);
            let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            // A socket cannot be opened to set its time; its folder's path can.
            let times = [at, at].map(|at| {
                let since = at.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
                libc::timespec { tv_sec: since.as_secs() as i64, tv_nsec: 0 }
            });
            let name = std::ffi::CString::new(file.display().to_string()).expect("no zeros");
            // SAFETY: a path that ends with a zero and two times.
            let code = unsafe { libc::utimensat(libc::AT_FDCWD, name.as_ptr(), times.as_ptr(), 0) };
            assert_eq!(code, 0);
        };
        set(&older, 1_900_000_000);
        set(&newer, 1_900_000_001);
        assert_eq!(candidates(output.path())[..2], [newer, older]);
        drop(killed);
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let hello = Tell::Hello { version: VERSION, run: "y/2".to_owned() };
            stream.write_all(&encode(&hello)).expect("it is heard");
        });
        let link = runtime.block_on(reach_newest(output.path())).expect("one listens");
        assert_eq!(link.run, "y/2");
        answering.join().expect("it answered");
    }
}
