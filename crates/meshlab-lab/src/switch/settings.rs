//! What is set in front of nodes: MTU, firewall, NAT.

use meshlab_model::NodeId;

use super::table::{PortId, Table};
use crate::{
    address::Public,
    clock::Nanos,
    error::LabError,
    firewall::{Firewall, FirewallSettings},
    link::LinkState,
    nat::{Nat, NatSettings, NatState, Rebind},
    random::node_root,
};

/// The largest packet on a node's line, in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mtu {
    /// Bytes, IP header included: 68 (the least of IPv4, RFC 791) to 65,535. Devices have 1500, so
    /// more than that changes nothing. IPv6 needs 1280: with less its packets of that size are
    /// lost for good, because no kernel sends smaller ones.
    pub bytes: u16,
    /// Whether larger packets vanish without an answer. Else their sender hears of it by ICMP
    /// ("fragmentation needed" or "packet too big"), as path MTU discovery needs it. The switch
    /// fragments nothing: an IPv4 packet that may be fragmented is treated the same.
    pub black_hole: bool,
}

impl Table {
    pub(crate) fn set_mtu(&mut self, node: &NodeId, mtu: Option<Mtu>) -> Result<(), LabError> {
        self.port(node)?.mtu = mtu;
        Ok(())
    }

    pub(crate) fn mtu(&mut self, node: &NodeId) -> Result<Option<Mtu>, LabError> {
        Ok(self.port(node)?.mtu)
    }

    pub(crate) fn set_firewall(
        &mut self,
        node: &NodeId,
        settings: Option<FirewallSettings>,
    ) -> Result<(), LabError> {
        self.port(node)?.firewall = settings.map(Firewall::new);
        Ok(())
    }

    pub(crate) fn firewall(&mut self, node: &NodeId) -> Result<Option<FirewallSettings>, LabError> {
        Ok(self.port(node)?.firewall.as_ref().map(Firewall::settings))
    }

    /// Puts a NAT in front of a node, or one that translates the address only. The public address
    /// stays as it was if there was one.
    pub(crate) fn set_nat(
        &mut self,
        node: &NodeId,
        settings: Option<NatSettings>,
    ) -> Result<Public, LabError> {
        let id = self.port_id(node)?;
        let known = self.ports.get(id).and_then(|port| port.nat.as_ref()).map(Nat::public);
        let public = match known {
            Some(public) => public,
            None => self.give_public(id, node)?,
        };
        let root = node_root(self.seed, node);
        self.port(node)?.nat = Some(Nat::new(settings, public, root));
        Ok(public)
    }

    pub(crate) fn remove_nat(&mut self, node: &NodeId) -> Result<(), LabError> {
        if let Some(nat) = self.port(node)?.nat.take() {
            self.publics.leave(nat.public());
        }
        Ok(())
    }

    pub(crate) fn nat(&mut self, node: &NodeId) -> Result<Option<NatState>, LabError> {
        Ok(self.port(node)?.nat.as_ref().map(Nat::state))
    }

    pub(crate) fn rebind(&mut self, node: &NodeId, how: Rebind) -> Result<Public, LabError> {
        let id = self.port_id(node)?;
        let nat = self.ports.get(id).and_then(|port| port.nat.as_ref());
        let old = nat.map(Nat::public).ok_or_else(|| LabError::NoNat(node.clone()))?;
        let new = match how {
            Rebind::Port => None,
            Rebind::Address => Some(self.give_public(id, node)?),
        };
        let port = self.port(node)?;
        if let Some(nat) = &mut port.nat {
            nat.rebind(new, &mut port.counters.nat);
        }
        if new.is_some() {
            self.publics.leave(old);
        }
        Ok(new.unwrap_or(old))
    }

    fn give_public(&mut self, id: PortId, node: &NodeId) -> Result<Public, LabError> {
        let public = self.publics.take().ok_or_else(|| LabError::PublicFull(node.clone()))?;
        self.by_address.extend(public.both().map(|address| (address, id)));
        if let Some(port) = self.ports.get_mut(id) {
            port.moved = true;
        }
        Ok(public)
    }

    /// Takes back everything that was set.
    pub(crate) fn reset(&mut self, now: Nanos) {
        let shapers = self.sends.iter_mut().chain(&mut self.receives);
        for shaper in shapers.chain(self.links.iter_mut().map(|link| &mut link.pair)) {
            shaper.set(LinkState::default(), now);
        }
        self.hurry(0..self.links.len(), now);
        for port in &mut self.ports {
            (port.mtu, port.firewall) = (None, None);
            if let Some(nat) = port.nat.take() {
                self.publics.leave(nat.public());
            }
        }
    }
}
