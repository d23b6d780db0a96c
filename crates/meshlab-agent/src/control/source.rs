//! Where control connections come from: an inherited descriptor, or a path to listen on.

use std::{
    io, mem,
    os::{
        fd::{AsRawFd, FromRawFd, RawFd},
        unix::{fs::PermissionsExt, net::UnixStream as StdStream},
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use meshlab_wire::env;
use tokio::net::{UnixListener, UnixStream};

use crate::AgentError;

/// Set once the inherited descriptor has an owner: a second owner would close it twice.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The connection that the environment names, if it does. The descriptor is made close-on-exec.
pub(super) fn inherited() -> Result<Option<UnixStream>, AgentError> {
    let Some(value) = std::env::var_os(env::CONTROL_FD) else { return Ok(None) };
    let value = value.to_string_lossy();
    let fd = value.parse::<RawFd>().ok().filter(|fd| *fd > 2).ok_or_else(|| {
        AgentError::DescriptorName { variable: env::CONTROL_FD, got: value.clone().into_owned() }
    })?;
    check_connected_unix_stream(fd)?;
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Err(AgentError::DescriptorTaken(fd));
    }
    // SAFETY: the descriptor is open and a Unix stream socket, as just checked. The environment
    // gives it to the agent alone, and the flag above gives it to one agent alone.
    let stream = unsafe { StdStream::from_raw_fd(fd) };
    prepare(&stream).map_err(|error| AgentError::Descriptor { fd, why: error.to_string() })?;
    let stream = UnixStream::from_std(stream);
    stream.map(Some).map_err(|error| AgentError::Descriptor { fd, why: error.to_string() })
}

fn prepare(stream: &StdStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    // SAFETY: fcntl on an owned, open descriptor touches no memory.
    if unsafe { libc::fcntl(stream.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn check_connected_unix_stream(fd: RawFd) -> Result<(), AgentError> {
    let refuse = |why: String| AgentError::Descriptor { fd, why };
    let option = |name| socket_option(fd, name).map_err(|error| refuse(error.to_string()));
    let domain = option(libc::SO_DOMAIN)?;
    if domain != libc::AF_UNIX {
        return Err(refuse(format!("its address family is {domain}")));
    }
    let kind = option(libc::SO_TYPE)?;
    if kind != libc::SOCK_STREAM {
        return Err(refuse(format!("its type is {kind}")));
    }
    // SAFETY: an all-zero sockaddr_un is a valid value of a plain C structure.
    let mut peer: libc::sockaddr_un = unsafe { mem::zeroed() };
    let mut size = mem::size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: `peer` and `size` are valid for writes, and `size` is the size of `peer`.
    if unsafe { libc::getpeername(fd, (&raw mut peer).cast(), &raw mut size) } == -1 {
        return Err(refuse(io::Error::last_os_error().to_string()));
    }
    Ok(())
}

fn socket_option(fd: RawFd, name: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut size = mem::size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `value` and `size` are valid for writes, and `size` is the size of `value`.
    let result = unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, name, (&raw mut value).cast(), &raw mut size)
    };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

/// A socket in the file system, removed on drop.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Listens on a path that only the owner may open. What is already there is an error: it may be
/// the socket of a node that runs.
pub(super) fn listen(path: &Path) -> Result<(UnixListener, SocketFile), AgentError> {
    let refuse = |source| AgentError::Listen { path: path.to_owned(), source };
    let listener = UnixListener::bind(path).map_err(refuse)?;
    let file = SocketFile(path.to_owned());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(refuse)?;
    Ok((listener, file))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn only_a_connected_unix_stream_socket_is_accepted() {
        let (one, _other) = StdStream::pair().unwrap();
        check_connected_unix_stream(one.as_raw_fd()).unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let error = check_connected_unix_stream(udp.as_raw_fd()).unwrap_err();
        assert!(error.to_string().contains("address family"), "{error}");
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(check_connected_unix_stream(file.as_raw_fd()).is_err());
        let directory = tempfile::tempdir().unwrap();
        let listener =
            std::os::unix::net::UnixListener::bind(directory.path().join("socket")).unwrap();
        assert!(check_connected_unix_stream(listener.as_raw_fd()).is_err(), "not connected");
    }

    #[tokio::test]
    async fn the_socket_is_private_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control");
        let (_listener, file) = listen(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(listen(&path).is_err(), "a socket that is there is not taken over");
        drop(file);
        assert!(!path.exists());
    }
}
