//! For benches only: the way of a packet through the switch, between devices that take everything
//! and cost nothing.

use std::{fs::File, io, net::IpAddr, sync::Arc};

use meshlab_model::NodeId;

use crate::{
    Checksum, Corruption, FirewallSettings, LinkState, NatSettings, RecentSettings,
    clock::{self, Nanos},
    error::LabError,
    switch::Table,
};

/// A switch without a thread, with two nodes.
pub struct Forward {
    table: Table,
    names: [NodeId; 2],
    now: Nanos,
}

/// A UDP packet from the first node to the second.
#[derive(Clone)]
pub struct Packet(Vec<u8>);

impl Forward {
    /// Two nodes with nothing set.
    ///
    /// # Errors
    /// There is no `/dev/null`.
    pub fn new() -> io::Result<Self> {
        let mut table = Table::new(1);
        let names = ["node-1", "node-2"].map(NodeId::from);
        for (last, name) in [1, 2].into_iter().zip(&names) {
            let sink = File::options().write(true).open("/dev/null")?;
            table.add_port(name, Arc::new(sink.into()), vec![IpAddr::from([198, 18, 0, last])]);
        }
        Ok(Self { table, names, now: clock::now() })
    }

    /// Sets a state on the link from the first to the second.
    ///
    /// # Errors
    /// The state is invalid.
    pub fn link(mut self, state: LinkState) -> Result<Self, LabError> {
        let [from, to] = &self.names;
        self.table.change_links(self.now, [(from, to)], |link| *link = state)?;
        Ok(self)
    }

    /// Corrupts every packet and mends its checksum.
    ///
    /// # Errors
    /// None.
    pub fn corrupt(self) -> Result<Self, LabError> {
        let corrupt = Some(Corruption { share: 1.0, checksum: Checksum::Fixed });
        self.link(LinkState { corrupt, ..LinkState::default() })
    }

    /// Puts a NAT in front of the first node.
    ///
    /// # Errors
    /// None.
    pub fn nat(mut self) -> Result<Self, LabError> {
        self.table.set_nat(&self.names[0], Some(NatSettings::default()))?;
        Ok(self)
    }

    /// Puts a firewall at the first node.
    ///
    /// # Errors
    /// None.
    pub fn firewall(mut self) -> Result<Self, LabError> {
        self.table.set_firewall(&self.names[0], Some(FirewallSettings::default()))?;
        Ok(self)
    }

    /// Keeps the last packets.
    #[must_use]
    pub fn ring(mut self, settings: RecentSettings) -> Self {
        self.table.tap.set_ring(Some(settings));
        self
    }

    /// Sends packets a microsecond apart, and hands on those that have arrived.
    pub fn send(&mut self, packet: &Packet, packets: u64, scratch: &mut Vec<u8>) {
        for _ in 0..packets {
            self.now += 1000;
            scratch.clear();
            scratch.extend_from_slice(&packet.0);
            self.table.forward(0, scratch, self.now);
            self.table.fire(self.now, 64);
        }
    }
}

impl Packet {
    /// One with so many bytes behind its headers, at most 1400.
    #[must_use]
    pub fn new(payload: u16) -> Self {
        let payload = payload.min(1400);
        let (ip, udp) = ((28 + payload).to_be_bytes(), (8 + payload).to_be_bytes());
        let mut bytes = vec![0x45, 0, ip[0], ip[1], 0, 0, 0x40, 0, 64, 17, 0, 0];
        bytes.extend([198, 18, 0, 1, 198, 18, 0, 2, 0x1e, 0x61, 0x1e, 0x61, udp[0], udp[1], 1, 1]);
        bytes.resize(28 + usize::from(payload), 7);
        Self(bytes)
    }
}
