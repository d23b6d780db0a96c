//! The run's side: takes lines from whoever attaches to the script that keeps the mesh.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixListener as StdListener,
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use meshlab_engine::Engine;
use meshlab_script::{Answer, Asks, Console, ConsoleLine, Said};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Mutex, Semaphore, mpsc, oneshot},
};

use super::{
    SOCKET,
    protocol::{ASK_BYTES_MAX, Ask, Tell, VERSION, decode_ask, encode},
    short_path,
};

/// Messages of a client that wait; a client that sends more before it hears waits too.
const ASKS_MAX: usize = 16;
/// How long a client may take to read what it was sent.
const SEND_WITHIN: Duration = Duration::from_secs(5);
/// Connections that wait to be taken, and as many that wait until the prompt is free.
const BACKLOG: u8 = 8;
/// A client that left has the prompt until this side hears of it, which is as long as this on a
/// busy host: whoever comes next is not told before that somebody else is there.
const FREE_WITHIN: Duration = Duration::from_secs(3);

/// The socket of a kept run; its file is gone when this is.
pub(crate) struct Socket {
    listener: StdListener,
    path: PathBuf,
    /// What the short path leads through.
    _folder: File,
}

impl Socket {
    /// Opens the socket in a run's folder, for its owner only.
    ///
    /// # Errors
    /// The folder cannot be written, or lies on a file system without sockets.
    pub(crate) fn open(results: &Path) -> io::Result<Self> {
        let (folder, short) = short_path(results)?;
        let listener = listen(&short)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path: results.join(SOCKET), _folder: folder })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // It is of no use without this process; the name alone says nothing.
        let _ = fs::remove_file(&self.path);
    }
}

/// Binds with the rights set before there is a name: between the two nobody else can connect.
fn listen(path: &Path) -> io::Result<StdListener> {
    use std::os::fd::FromRawFd;
    let checked = |code: i32| if code < 0 { Err(io::Error::last_os_error()) } else { Ok(code) };
    let address = address(path)?;
    // SAFETY: plain system calls on a descriptor that is owned here from its making on, with an
    // address that outlives them and its own size.
    unsafe {
        let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
        let descriptor = checked(libc::socket(libc::AF_UNIX, kind, 0))?;
        let socket = OwnedFd::from_raw_fd(descriptor);
        checked(libc::fchmod(socket.as_raw_fd(), 0o600))?;
        let size = size_of::<libc::sockaddr_un>() as libc::socklen_t;
        checked(libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size))?;
        checked(libc::listen(socket.as_raw_fd(), BACKLOG.into()))?;
        Ok(StdListener::from(socket))
    }
}

fn address(path: &Path) -> io::Result<libc::sockaddr_un> {
    use std::os::unix::ffi::OsStrExt;
    // SAFETY: all zeros is a value of this plain structure.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() >= address.sun_path.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path is too long"));
    }
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    Ok(address)
}

const OCCUPIED: &str = "somebody else is attached already";

/// Serves whoever attaches, one at a time, until the mesh is given up.
pub(crate) async fn serve(
    socket: Socket,
    engine: Engine,
    asks: mpsc::Sender<Asks>,
    console: Console,
) -> io::Result<()> {
    let listener = UnixListener::from_std(socket.listener.try_clone()?)?;
    let prompt = Arc::new(Mutex::new(Prompt { engine: engine.clone(), asks, console }));
    let places = Arc::new(Semaphore::new(BACKLOG.into()));
    loop {
        let (stream, _) = listener.accept().await?;
        // SAFETY: it has no conditions.
        let me = unsafe { libc::geteuid() };
        let owner = stream.peer_cred().is_ok_and(|peer| peer.uid() == me);
        let (reader, mut writer) = stream.into_split();
        let place = match (owner, Arc::clone(&places).try_acquire_owned()) {
            (true, Ok(place)) => place,
            (true, Err(_)) => {
                refuse(&mut writer, OCCUPIED).await;
                continue;
            }
            (false, _) => {
                refuse(&mut writer, "the mesh belongs to another user").await;
                continue;
            }
        };
        let (prompt, engine) = (Arc::clone(&prompt), engine.clone());
        tokio::spawn(async move {
            let free = tokio::select! {
                biased;
                free = tokio::time::timeout(FREE_WITHIN, prompt.lock_owned()) => free.ok(),
                () = engine.released() => None,
            };
            drop(place);
            match free {
                Some(prompt) => prompt.talk(reader, writer).await,
                None => refuse(&mut writer, OCCUPIED).await,
            }
        });
    }
}

/// Who does not wait for it need not hear it.
async fn refuse(writer: &mut OwnedWriteHalf, why: &str) {
    send(writer, &Tell::Refused { why: why.to_owned() }).await;
}

/// The prompt, for one client at a time.
struct Prompt {
    engine: Engine,
    asks: mpsc::Sender<Asks>,
    console: Console,
}

impl Prompt {
    /// Talks to a client until it leaves, breaks the rules, or the mesh is given up.
    async fn talk(&self, reader: OwnedReadHalf, mut writer: OwnedWriteHalf) {
        let run = self.engine.folder().name.clone();
        let (messages, mut arrived) = mpsc::channel(ASKS_MAX);
        let reading = tokio::spawn(read(reader, messages));
        let hello = Tell::Hello { version: VERSION, run };
        let mut open = send(&mut writer, &hello).await;
        while open {
            let message = tokio::select! {
                message = arrived.recv() => message,
                () = self.engine.released() => {
                    send(&mut writer, &Tell::Ending).await;
                    break;
                }
            };
            open = match message {
                None => false,
                Some(Err(why)) => {
                    send(&mut writer, &Tell::Refused { why }).await;
                    false
                }
                Some(Ok(Ask::Line { text, color })) => {
                    self.line(text, color, &mut arrived, &mut writer).await
                }
                // Nothing runs.
                Some(Ok(Ask::Cancel)) => true,
                Some(Ok(Ask::Complete { text })) => {
                    let (answer, words) = oneshot::channel();
                    let asked = self.asks.send(Asks::Complete(text, answer)).await.is_ok();
                    let (start, words) = words.await.unwrap_or_default();
                    asked && send(&mut writer, &Tell::Completions { start, words }).await
                }
                Some(Ok(Ask::End)) => {
                    self.engine.release("meshlab attach");
                    true
                }
            };
        }
        reading.abort();
    }

    /// Runs a line; false once the client is gone or has broken the rules. The line is cancelled
    /// then: nobody waits for it, and the next one to attach must find a prompt.
    async fn line(
        &self,
        text: String,
        color: bool,
        arrived: &mut mpsc::Receiver<Result<Ask, String>>,
        writer: &mut OwnedWriteHalf,
    ) -> bool {
        let (line, mut answers) = ConsoleLine::new(text, color);
        if self.asks.send(Asks::Line(line)).await.is_err() {
            return false;
        }
        let mut open = true;
        loop {
            let said = tokio::select! {
                said = answers.recv() => said,
                message = arrived.recv(), if open => {
                    match message {
                        Some(Ok(Ask::End)) => { self.engine.release("meshlab attach"); }
                        Some(Ok(Ask::Cancel)) => self.console.cancel(),
                        // One line after the other; a client of ours waits.
                        Some(Ok(Ask::Line { .. } | Ask::Complete { .. }) | Err(_)) | None => {
                            open = false;
                            self.console.cancel();
                        }
                    }
                    continue;
                }
            };
            let message = match said {
                // The script is gone.
                None => return false,
                Some(Said::Text(text)) => Tell::Text { text },
                Some(Said::Ended(answer)) => {
                    let (ok, incomplete) = (answer == Answer::Done, answer == Answer::Incomplete);
                    return open && send(writer, &Tell::Ended { ok, incomplete }).await;
                }
            };
            if open && !send(writer, &message).await {
                open = false;
                self.console.cancel();
            }
        }
    }
}

/// Whether it could be sent. A client that does not read for long is as good as gone, and must not
/// hold up the end of the run.
async fn send(writer: &mut OwnedWriteHalf, message: &Tell) -> bool {
    let bytes = encode(message);
    let sent = tokio::time::timeout(SEND_WITHIN, writer.write_all(&bytes)).await;
    sent.is_ok_and(|sent| sent.is_ok())
}

/// Reads messages until the client closes, or sends something that is none.
async fn read(reader: OwnedReadHalf, messages: mpsc::Sender<Result<Ask, String>>) {
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut reader).take(ASK_BYTES_MAX as u64);
        let message = match bounded.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) if !line.ends_with(b"\n") && line.len() >= ASK_BYTES_MAX => {
                Err(format!("a line has at most {ASK_BYTES_MAX} bytes"))
            }
            Ok(_) => decode_ask(&line),
        };
        let broken = message.is_err();
        if messages.send(message).await.is_err() || broken {
            return;
        }
    }
}

/// Whether somebody listens at a run's socket.
pub(super) async fn connect(results: &Path) -> io::Result<UnixStream> {
    let (_folder, path) = short_path(results)?;
    UnixStream::connect(path).await
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::PermissionsExt, net::UnixStream as StdStream};

    use super::*;

    #[test]
    fn the_socket_is_its_owners_however_long_its_path_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let deep = (0..8).fold(folder.path().to_owned(), |path, _| path.join("x".repeat(60)));
        fs::create_dir_all(&deep).expect("folders");
        assert!(deep.as_os_str().len() > 400);
        let socket = Socket::open(&deep).expect("a socket");
        let mode = fs::metadata(deep.join(SOCKET)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let (_held, short) = short_path(&deep).expect("a path");
        assert!(StdStream::connect(&short).is_ok());
        assert!(Socket::open(&deep).is_err(), "the name is taken");
        drop(socket);
        assert!(!deep.join(SOCKET).exists());
        assert!(StdStream::connect(&short).is_err());
        assert!(address(Path::new(&"x".repeat(200))).is_err());
    }
}
