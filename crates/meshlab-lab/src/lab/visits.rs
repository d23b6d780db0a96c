//! Work of the harness's own in the network of a node: what is asked of a program from outside.

use std::{
    io,
    net::IpAddr,
    os::fd::{AsRawFd, OwnedFd},
    sync::Arc,
    thread,
};

use meshlab_model::NodeId;

use super::Lab;
use crate::error::LabError;

impl Lab {
    /// Does `work` on a thread in the network of that node and waits for its end. Sockets that it
    /// makes are the node's to everybody else, so what they send is hurt like what the node sends.
    ///
    /// # Errors
    /// The node is not in the lab, or what `work` says.
    pub fn visit<T: Send>(
        &self,
        node: &NodeId,
        work: impl FnOnce() -> io::Result<T> + Send,
    ) -> Result<T, LabError> {
        let network = self.places().get(node).map(|(network, _)| Arc::clone(network));
        let network = network.ok_or_else(|| LabError::NoNode(node.clone()))?;
        in_network(&network, work).map_err(|error| LabError::Visit { node: node.clone(), error })
    }

    /// The IPv4 address at which others reach a node now: its own, or the one that its address is
    /// translated to one to one.
    ///
    /// # Errors
    /// The node is not in the lab.
    pub fn seen_at(&self, node: &NodeId) -> Result<IpAddr, LabError> {
        let own = self.places().get(node).map(|(_, address)| *address);
        let own = own.ok_or_else(|| LabError::NoNode(node.clone()))?;
        let public = self.nat(node)?.filter(|nat| nat.settings.is_none());
        Ok(public.map_or(own, |nat| nat.public.ipv4.into()))
    }
}

/// Does something on a thread of its own in a network namespace.
pub(super) fn in_network<T: Send>(
    network: &OwnedFd,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            // SAFETY: concerns that thread only; the descriptor is open while it is borrowed.
            if unsafe { libc::setns(network.as_raw_fd(), libc::CLONE_NEWNET) } != 0 {
                return Err(io::Error::last_os_error());
            }
            work()
        });
        worker.join().unwrap_or_else(|_| Err(io::Error::other("its thread broke")))
    })
}
