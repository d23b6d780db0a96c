//! What is in front of a node: NAT, firewall, MTU.

use meshlab_model::NodeId;

use super::{Lab, links::valid};
use crate::{
    address::Public,
    error::LabError,
    firewall::FirewallSettings,
    link::InvalidSetting,
    nat::{NatSettings, NatState, Rebind},
    switch::Mtu,
};

/// The smallest MTU that IPv4 allows (RFC 791).
const MTU_MIN: u16 = 68;

impl Lab {
    /// Puts a NAT in front of a node, or replaces the one that is there and with it all mappings.
    /// From the next packet on the others see the node at the public address that is returned; it
    /// stays the same until [`rebind`](Self::rebind) or [`roam`](Self::roam).
    ///
    /// # Errors
    /// A timeout is zero, the node is not in the lab, or the lab has no more public addresses.
    pub fn set_nat(&self, node: &NodeId, settings: NatSettings) -> Result<Public, LabError> {
        valid(|| format!("the NAT of {node}"), settings.check())?;
        self.switch.table().set_nat(node, Some(settings))
    }

    /// Takes a node's NAT or its changed address away: it is seen at its own address again. What
    /// is sent to the public one from now on is dropped ([`NatUnmapped`]).
    ///
    /// [`NatUnmapped`]: crate::DropReason::NatUnmapped
    ///
    /// # Errors
    /// The node is not in the lab.
    pub fn remove_nat(&self, node: &NodeId) -> Result<(), LabError> {
        self.switch.table().remove_nat(node)
    }

    /// Has a node's NAT forget its mappings, and take another public address where asked; the
    /// address from now on. With an address that is translated one to one there are no mappings,
    /// and [`Rebind::Port`] changes nothing.
    ///
    /// # Errors
    /// The node is not in the lab or has no NAT, or the lab has no more public addresses.
    pub fn rebind(&self, node: &NodeId, how: Rebind) -> Result<Public, LabError> {
        self.switch.table().rebind(node, how)
    }

    /// Moves a node to another address while it runs, as a laptop that changes its network. Behind
    /// a NAT, the NAT rebinds to another address. Otherwise the switch translates the node's
    /// address to a public one, one to one, all ports kept and everybody let in: the node's own
    /// device keeps its address, and the node does not see that it moved until others tell it. Any
    /// protocol but fragments; [`remove_nat`](Self::remove_nat) takes it back home.
    ///
    /// # Errors
    /// The node is not in the lab, or the lab has no more public addresses.
    pub fn roam(&self, node: &NodeId) -> Result<Public, LabError> {
        let mut table = self.switch.table();
        if table.nat(node)?.is_some() {
            return table.rebind(node, Rebind::Address);
        }
        table.set_nat(node, None)
    }

    /// What is in front of a node; `None` if it is seen at its own address.
    ///
    /// # Errors
    /// The node is not in the lab.
    pub fn nat(&self, node: &NodeId) -> Result<Option<NatState>, LabError> {
        self.switch.table().nat(node)
    }

    /// Puts a firewall at a node, or replaces it and with it all flows that it knew; `None` takes
    /// it away.
    ///
    /// # Errors
    /// The timeout is zero, or the node is not in the lab.
    pub fn set_firewall(
        &self,
        node: &NodeId,
        settings: Option<FirewallSettings>,
    ) -> Result<(), LabError> {
        if let Some(settings) = &settings {
            valid(|| format!("the firewall of {node}"), settings.check())?;
        }
        self.switch.table().set_firewall(node, settings)
    }

    /// The firewall at a node.
    ///
    /// # Errors
    /// The node is not in the lab.
    pub fn firewall(&self, node: &NodeId) -> Result<Option<FirewallSettings>, LabError> {
        self.switch.table().firewall(node)
    }

    /// Bounds the packets on a node's line, in both directions; `None` takes the bound away. The
    /// node's own device is not told: that is what path MTU discovery is for.
    ///
    /// # Errors
    /// It is less than 68 bytes, or the node is not in the lab.
    pub fn set_mtu(&self, node: &NodeId, mtu: Option<Mtu>) -> Result<(), LabError> {
        if let Some(Mtu { bytes, .. }) = mtu.filter(|mtu| mtu.bytes < MTU_MIN) {
            let got = format!("{bytes} bytes");
            let why = InvalidSetting::new("MTU", got, "is less than IPv4 allows, give at least 68");
            return valid(|| format!("the line of {node}"), Err(why));
        }
        self.switch.table().set_mtu(node, mtu)
    }

    /// The bound on the packets of a node's line.
    ///
    /// # Errors
    /// The node is not in the lab.
    pub fn mtu(&self, node: &NodeId) -> Result<Option<Mtu>, LabError> {
        self.switch.table().mtu(node)
    }
}
