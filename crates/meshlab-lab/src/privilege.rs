//! Namespaces without root: a user namespace in which this process is root.

use std::{fmt, fs, io};

/// By what right this process makes namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Privilege {
    /// It runs as root.
    Root,
    /// It runs in a user namespace of its own, as root only there.
    UserNamespace,
    /// It has no such right, for this reason.
    None(String),
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("root"),
            Self::UserNamespace => f.write_str("none needed: a user namespace of its own"),
            Self::None(why) => write!(f, "none: {why}"),
        }
    }
}

/// Gets the right to make namespaces. As root there is nothing to do; else this process moves
/// into a user namespace of its own, where the host allows it.
///
/// Must be called before any thread is started: the kernel moves single-threaded processes only.
pub fn enter_user_namespace() -> Privilege {
    // SAFETY: reads two numbers.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    if user == 0 {
        return Privilege::Root;
    }
    // SAFETY: takes no pointers; a failure changes nothing.
    if unsafe { libc::unshare(libc::CLONE_NEWUSER) } != 0 {
        let error = io::Error::last_os_error();
        return Privilege::None(format!("the kernel refuses a user namespace ({error})"));
    }
    // The group map may be written only after `setgroups` is given up (user_namespaces(7)).
    let mapped = fs::write("/proc/self/setgroups", "deny")
        .and_then(|()| fs::write("/proc/self/uid_map", format!("0 {user} 1")))
        .and_then(|()| fs::write("/proc/self/gid_map", format!("0 {group} 1")));
    match mapped {
        Ok(()) => Privilege::UserNamespace,
        Err(error) => Privilege::None(format!("the user namespace has no root ({error})")),
    }
}
