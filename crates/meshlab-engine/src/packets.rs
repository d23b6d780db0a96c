//! What the switch counted, into the record.

use meshlab_lab::Lab;
use meshlab_model::{LinkCount, NodeId, RunEventKind, StrayCount};

use crate::Engine;

impl Engine {
    /// Records what these nodes sent to each other and astray, and warns of what went outside.
    pub(crate) fn count_packets(&self, lab: &Lab, nodes: &[NodeId]) {
        for node in nodes {
            lab.drain(node);
        }
        let links = lab.counters().into_iter().filter(|((from, _), _)| nodes.contains(from));
        let links = links.map(|((from, to), link)| LinkCount {
            from,
            to,
            packets: link.forwarded_packets,
            bytes: link.forwarded_bytes,
            dropped: link.dropped.iter().map(|(r, n)| (r.as_str().to_owned(), *n)).collect(),
        });
        let stray = lab.stray().into_iter().filter(|(node, _)| nodes.contains(node));
        let stray: Vec<StrayCount> = stray
            .map(|(node, stray)| StrayCount {
                node,
                outside: stray.outside,
                destinations: stray.destinations.keys().map(ToString::to_string).collect(),
                spoofed: stray.spoofed,
                malformed: stray.malformed,
            })
            .filter(|stray| stray.outside + stray.spoofed + stray.malformed > 0)
            .collect();
        for StrayCount { node, outside, destinations, .. } in &stray {
            if *outside > 0 {
                let to = destinations.join(", ");
                self.shared.warn(format!(
                    "{node} sent {outside} packets out of the lab, to {to}; none went anywhere"
                ));
            }
        }
        let switch_micros = lab.switch_cpu_time().map(|spent| {
            let mut state = self.shared.state();
            let before = std::mem::replace(&mut state.switch_spent, spent);
            u64::try_from(spent.saturating_sub(before).as_micros()).unwrap_or(u64::MAX)
        });
        let links = links.collect();
        self.shared.event(RunEventKind::PacketsCounted { links, stray, switch_micros });
    }
}
