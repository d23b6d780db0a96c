//! What is set on links, and on all links of a node.

use std::time::Duration;

use meshlab_model::NodeId;

use super::Lab;
use crate::{
    error::LabError,
    link::{Bursts, Corruption, InvalidSetting, Jitter, LinkState, Rate, Reorder, Side},
    switch::Table,
};

/// Changes take effect between two packets, from the next packet on.
impl Lab {
    /// Sets everything on the link from one node to another, in this direction only.
    ///
    /// # Errors
    /// A setting is out of its range ([`LinkState`]), or one of the nodes is not in the lab.
    pub fn set_link(&self, from: &NodeId, to: &NodeId, state: LinkState) -> Result<(), LabError> {
        self.change_links([(from, to)], |link| *link = state)
    }

    /// Takes everything back that is set on the link from one node to another.
    ///
    /// # Errors
    /// One of the nodes is not in the lab.
    pub fn reset_link(&self, from: &NodeId, to: &NodeId) -> Result<(), LabError> {
        self.set_link(from, to, LinkState::default())
    }

    /// Changes what is set on many links, all of them between the same two packets.
    ///
    /// # Errors
    /// A setting is out of its range; then no link is changed. Or one of the nodes is not in the
    /// lab; then every other link is changed.
    pub fn change_links<'a>(
        &self,
        pairs: impl IntoIterator<Item = (&'a NodeId, &'a NodeId)>,
        change: impl Fn(&mut LinkState),
    ) -> Result<(), LabError> {
        self.switch.change(|table, now| table.change_links(now, pairs, change))
    }

    /// What is set on the link from one node to another.
    ///
    /// # Errors
    /// One of the nodes is not in the lab.
    pub fn link(&self, from: &NodeId, to: &NodeId) -> Result<LinkState, LabError> {
        self.switch.table().link_state(from, to)
    }

    fn change(
        &self,
        from: &NodeId,
        to: &NodeId,
        change: impl Fn(&mut LinkState),
    ) -> Result<(), LabError> {
        self.change_links([(from, to)], change)
    }

    /// Cuts or mends the link from one node to another, in this direction only. What is in flight
    /// there is dropped.
    ///
    /// # Errors
    /// One of the nodes is not in the lab.
    pub fn set_cut(&self, from: &NodeId, to: &NodeId, cut: bool) -> Result<(), LabError> {
        self.change(from, to, |link| link.cut = cut)
    }

    /// Loses a share of the packets from one node to another, in this direction only: 0.0 none,
    /// 1.0 all. Each packet is drawn by itself, from a stream that the lab's seed and the pair's
    /// names decide.
    ///
    /// # Errors
    /// The share is not within 0.0 to 1.0, or one of the nodes is not in the lab.
    pub fn set_loss(&self, from: &NodeId, to: &NodeId, share: f64) -> Result<(), LabError> {
        self.change(from, to, |link| link.loss = share)
    }

    /// Loses packets in bursts, beside [`set_loss`](Self::set_loss).
    ///
    /// # Errors
    /// The share or the mean is out of its range, or one of the nodes is not in the lab.
    pub fn set_bursts(
        &self,
        from: &NodeId,
        to: &NodeId,
        bursts: Option<Bursts>,
    ) -> Result<(), LabError> {
        self.change(from, to, |link| link.bursts = bursts)
    }

    /// Delays packets, at most an hour, give or take some jitter.
    ///
    /// # Errors
    /// One of them is too long, or one of the nodes is not in the lab.
    pub fn set_delay(
        &self,
        from: &NodeId,
        to: &NodeId,
        delay: Duration,
        jitter: Jitter,
    ) -> Result<(), LabError> {
        self.change(from, to, |link| (link.delay, link.jitter) = (delay, jitter))
    }

    /// Has a share of packets arrive twice.
    ///
    /// # Errors
    /// The share is not within 0.0 to 1.0, or one of the nodes is not in the lab.
    pub fn set_duplicate(&self, from: &NodeId, to: &NodeId, share: f64) -> Result<(), LabError> {
        self.change(from, to, |link| link.duplicate = share)
    }

    /// Has a share of packets leave its order.
    ///
    /// # Errors
    /// The share or the gap is out of its range, or one of the nodes is not in the lab.
    pub fn set_reorder(
        &self,
        from: &NodeId,
        to: &NodeId,
        reorder: Option<Reorder>,
    ) -> Result<(), LabError> {
        self.change(from, to, |link| link.reorder = reorder)
    }

    /// Flips a bit in a share of packets.
    ///
    /// # Errors
    /// The share is not within 0.0 to 1.0, or one of the nodes is not in the lab.
    pub fn set_corrupt(
        &self,
        from: &NodeId,
        to: &NodeId,
        corrupt: Option<Corruption>,
    ) -> Result<(), LabError> {
        self.change(from, to, |link| link.corrupt = corrupt)
    }

    /// Bounds how much crosses in a second.
    ///
    /// # Errors
    /// The rate or its queue is zero, or one of the nodes is not in the lab.
    pub fn set_rate(&self, from: &NodeId, to: &NodeId, rate: Option<Rate>) -> Result<(), LabError> {
        self.change(from, to, |link| link.rate = rate)
    }

    /// Sets everything on one side of a node: on what it sends to, or receives from, any other,
    /// also those that come into the lab later. How this composes with what is set on pairs is
    /// told at [`LinkState`].
    ///
    /// # Errors
    /// A setting is out of its range, or the node is not in the lab.
    pub fn set_node_link(
        &self,
        node: &NodeId,
        side: Side,
        state: LinkState,
    ) -> Result<(), LabError> {
        self.change_node_link(node, side, |link| *link = state)
    }

    /// Changes what is set on one side of a node.
    ///
    /// # Errors
    /// A setting is out of its range, or the node is not in the lab.
    pub fn change_node_link(
        &self,
        node: &NodeId,
        side: Side,
        change: impl FnOnce(&mut LinkState),
    ) -> Result<(), LabError> {
        self.switch.change(|table, now| table.change_node(now, node, side, change))
    }

    /// What is set on one side of a node.
    ///
    /// # Errors
    /// The node is not in the lab.
    pub fn node_link(&self, node: &NodeId, side: Side) -> Result<LinkState, LabError> {
        self.switch.table().node_state(node, side)
    }

    /// Takes back everything that is set: on links and nodes, MTUs, NATs, firewalls.
    pub fn reset(&self) {
        self.switch.change(Table::reset);
    }
}

/// The setting of a node, if it is one.
pub(super) fn valid(
    on: impl FnOnce() -> String,
    checked: Result<(), InvalidSetting>,
) -> Result<(), LabError> {
    checked.map_err(|why| LabError::Invalid { on: on(), why })
}
