//! Which network namespace a descriptor is of, for good: inodes are given out again, cookies never.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
    thread,
};

/// `SO_NETNS_COOKIE` of asm-generic/socket.h, Linux 5.14 on; libc has no name for it.
const SO_NETNS_COOKIE: libc::c_int = 71;

/// The cookie of a network namespace: a number that no other one has until the host starts again.
///
/// # Errors
/// The kernel is older than Linux 5.14, or does not let this process into the namespace.
pub fn namespace_cookie(namespace: impl AsFd) -> io::Result<u64> {
    let namespace = namespace.as_fd().try_clone_to_owned()?;
    // A thread of its own, because it moves.
    let asked = thread::Builder::new().name("lab-cookie".into()).spawn(move || {
        // SAFETY: concerns that thread only; the descriptor is open until it ends.
        if unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) } != 0 {
            return Err(io::Error::last_os_error());
        }
        own_cookie()
    })?;
    asked.join().unwrap_or_else(|_| Err(io::Error::other("its thread broke")))
}

/// The cookie of the namespace that this thread is in.
fn own_cookie() -> io::Result<u64> {
    // SAFETY: takes no pointers; a non-negative result is a descriptor that nobody else owns.
    let socket = unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(fd)
    };
    let mut cookie = 0_u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: both pointers are to locals of the size that is told.
    let got = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if got == 0 { Ok(cookie) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lab;

    #[test]
    fn two_places_have_two_cookies_and_each_keeps_its_own() {
        let lab = Lab::new(1).unwrap();
        let [a, b] = ["a", "b"].map(|node| lab.add_node(&node.into()).unwrap());
        let cookie = |net: &crate::NodeNet| namespace_cookie(&net.net_ns).unwrap();
        assert_ne!(cookie(&a), cookie(&b));
        assert_eq!(cookie(&a), cookie(&a));
    }
}
