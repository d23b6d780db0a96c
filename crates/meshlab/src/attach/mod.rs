//! `meshlab attach`: a prompt on the mesh of a run that was kept.
//!
//! The run's process owns the mesh and runs the Lua (`server.rs`); whoever attaches sends lines and
//! prints what comes back (`client.rs`), over a socket in the run's folder whose messages are in
//! `protocol.rs`. A client that dies harms nothing, and whatever ends the run's process ends the
//! mesh.

mod client;
mod protocol;
mod server;

use std::{
    fs::File,
    io,
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
};

pub(crate) use client::attach;
pub(crate) use server::{Socket, serve};

/// Name of the socket in a run's folder.
const SOCKET: &str = "attach.sock";

/// A path to the socket that is short, however long the folder's is: the kernel takes 107 bytes.
/// It is good as long as the folder is held open.
fn short_path(folder: &Path) -> io::Result<(File, PathBuf)> {
    let folder = File::options()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC)
        .open(folder)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()));
    Ok((folder, path))
}
