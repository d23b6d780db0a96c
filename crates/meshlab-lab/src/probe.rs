//! What this host can do. Each thing is tried, not guessed from versions.

use std::{
    fs, io,
    net::{Ipv4Addr, Ipv6Addr},
    os::fd::{FromRawFd, OwnedFd},
    thread,
};

use crate::place;

/// Whether a thing can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CapabilityState {
    /// It was tried and works.
    Available,
    /// It works in part.
    Degraded,
    /// It was tried and does not work.
    Missing,
}

/// One thing that a host can or cannot do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// Its name.
    pub name: &'static str,
    /// Whether it can be had.
    pub state: CapabilityState,
    /// What was found.
    pub detail: String,
    /// What to do to have it, where it is missing.
    pub cure: Option<String>,
    /// What it is for.
    pub needed_for: &'static str,
}

/// What this host can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostReport {
    /// One entry a thing.
    pub capabilities: Vec<Capability>,
    /// Why a whole place for a node cannot be made; `None` if it can.
    place: Option<String>,
}

impl HostReport {
    /// Whether the lab works here.
    ///
    /// # Errors
    /// What is missing, in a sentence.
    pub fn lab_possible(&self) -> Result<(), String> {
        self.place.clone().map_or(Ok(()), Err)
    }
}

const AS_ROOT: &str = "run as root, or allow user namespaces: \
    `sysctl kernel.unprivileged_userns_clone=1` (Debian), \
    `sysctl kernel.apparmor_restrict_unprivileged_userns=0` (Ubuntu 24.04 on); in a container, \
    `--cap-add SYS_ADMIN --cap-add NET_ADMIN`";

/// Tries everything that a run may need.
pub fn probe() -> HostReport {
    let lab = "the network lab";
    let capabilities = vec![
        tried("network namespaces", unshare(libc::CLONE_NEWNET), "one can be made", AS_ROOT, lab),
        tried("mount namespaces", unshare(libc::CLONE_NEWNS), "one can be made", AS_ROOT, lab),
        tried(
            "TUN devices",
            fs::File::options().read(true).write(true).open("/dev/net/tun").map(drop),
            "/dev/net/tun opens",
            "load the module: `modprobe tun`; in a container, `--device /dev/net/tun`",
            lab,
        ),
        ipv6(),
        tried(
            "pidfd",
            pidfd(),
            "a process can be watched by descriptor",
            "Linux 5.3 or newer is needed",
            "starting any node",
        ),
    ];
    HostReport { capabilities, place: whole_place() }
}

/// A whole place, which is what a run makes: the parts may each work and this not.
fn whole_place() -> Option<String> {
    match place::make(Ipv4Addr::new(198, 18, 0, 1), Ipv6Addr::LOCALHOST, None) {
        Ok(_) => None,
        Err(failure) => Some(format!("{} cannot be made: {}", failure.what, failure.error)),
    }
}

fn tried(
    name: &'static str,
    result: io::Result<()>,
    found: &str,
    cure: &str,
    needed_for: &'static str,
) -> Capability {
    match result {
        Ok(()) => Capability {
            name,
            state: CapabilityState::Available,
            detail: found.to_owned(),
            cure: None,
            needed_for,
        },
        Err(error) => Capability {
            name,
            state: CapabilityState::Missing,
            detail: error.to_string(),
            cure: Some(cure.to_owned()),
            needed_for,
        },
    }
}

fn ipv6() -> Capability {
    let supported = fs::exists("/proc/sys/net/ipv6").unwrap_or(false);
    Capability {
        name: "IPv6",
        state: if supported { CapabilityState::Available } else { CapabilityState::Degraded },
        detail: if supported { "the kernel has it" } else { "the kernel has none: IPv4 only" }
            .to_owned(),
        cure: (!supported).then(|| "boot without `ipv6.disable=1`".to_owned()),
        needed_for: "IPv6 between nodes",
    }
}

/// Tries a namespace on a thread that ends with it.
fn unshare(flags: libc::c_int) -> io::Result<()> {
    let trying = thread::Builder::new().spawn(move || {
        // SAFETY: takes no pointers and concerns this thread only.
        match unsafe { libc::unshare(flags) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    })?;
    trying.join().unwrap_or_else(|_| Err(io::Error::other("the probe's thread broke")))
}

fn pidfd() -> io::Result<()> {
    // SAFETY: takes no pointers; a non-negative result is a descriptor that nobody else owns.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, std::process::id(), 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        drop(OwnedFd::from_raw_fd(fd as libc::c_int));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_has_a_cure() {
        let refused = Err(io::Error::from_raw_os_error(libc::EPERM));
        let capability = tried("x", refused, "found", "do this", "that");
        assert_eq!(capability.state, CapabilityState::Missing);
        assert_eq!(capability.cure.as_deref(), Some("do this"));
        for capability in probe().capabilities {
            let missing = capability.state != CapabilityState::Available;
            assert_eq!(missing, capability.cure.is_some(), "{capability:?}");
        }
    }
}
