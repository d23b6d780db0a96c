//! `expect.agreed`: each live node's own word agrees with who is there.
//!
//! Three books of each node are held against the live nodes: its directory must hold every other
//! one and nobody else, its neighbours must be among them, and no gossip connection may lead to
//! anybody who is not there, nor more than two to the same one (both sides may dial at once).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use meshlab_model::{
    ClaimEvidence, MeshId, NodeId, RunTime, Severity, SourceLine, Tally, Verdict, format_duration,
};
use meshlab_mutants::{Mutant, on};
use meshlab_wire::{Reply, Request};
use tokio::time::Instant;

use crate::{ClaimOutcome, Engine, HostError, state::Node};

/// How often the nodes are asked. Nobody tells when a book changes.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// Longest wait for one node's answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Live connections between two nodes that are one too many.
const CONNECTIONS_MAX: u32 = 2;

/// Sentences that are told.
const NOTES_MAX: usize = 8;

/// Who is there: nodes of the mesh, and everybody's key for names in sentences.
struct There {
    live: BTreeMap<NodeId, String>,
    /// Keys of every live node of the run, of other meshes too.
    keys: BTreeSet<String>,
    names: BTreeMap<String, NodeId>,
}

impl Engine {
    pub(crate) async fn judge_agreed(
        &self,
        mesh: MeshId,
        since: RunTime,
        within: Duration,
        severity: Severity,
        at: SourceLine,
    ) -> Result<ClaimOutcome, HostError> {
        self.shared.state().mesh(&mesh)?;
        let text = format!(
            "directory, neighbours and connections of every live node of {mesh} agree within {}",
            format_duration(within)
        );
        let claim = self.start_claim("expect.agreed", text, severity, within, at)?;
        let open = self.until_judged(claim);
        let started = Instant::now();
        let mut notes;
        let mut by_node;
        let verdict = loop {
            (by_node, notes) = self.disagreements(&mesh).await;
            if by_node.len() < 2 {
                let found = format!("{} live node, at least 2 are needed", by_node.len());
                break Verdict::Failed(found);
            }
            if notes.is_empty() || on(Mutant::BooksUnread) {
                break Verdict::Passed;
            }
            if started.elapsed() >= within {
                let wrong = by_node.iter().filter(|tally| tally.have == 0).count();
                break Verdict::Failed(format!(
                    "{wrong} of {} nodes do not agree after {}",
                    by_node.len(),
                    format_duration(within)
                ));
            }
            if self.shared.cancel.or(tokio::time::sleep(ASK_EVERY)).await.is_err() {
                break Verdict::Inconclusive("the run was stopped".to_owned());
            }
        };
        notes.truncate(NOTES_MAX);
        if verdict.is_passed() {
            notes.push(format!("all {} nodes agree", by_node.len()));
        }
        let took = started.elapsed();
        open.judged();
        let evidence = ClaimEvidence { by_node, notes, since: Some(since) };
        self.finish_claim(claim, verdict, took, evidence, severity, took)
    }

    fn there(&self, mesh: &MeshId) -> There {
        let state = self.shared.state();
        let ready = |id: &NodeId| state.nodes.get(id).and_then(Node::ready);
        let key = |id: &NodeId| Some((id.clone(), ready(id)?.public_key.clone()));
        let live = state.live(mesh).iter().filter_map(key).collect();
        let runs = state.nodes.iter().filter(|(_, node)| node.runs());
        let keys = runs.filter_map(|(id, _)| key(id)).map(|(_, key)| key).collect();
        let names = state.nodes.keys().filter_map(key).map(|(id, key)| (key, id)).collect();
        There { live, keys, names }
    }

    async fn disagreements(&self, mesh: &MeshId) -> (Vec<Tally>, Vec<String>) {
        let there = self.there(mesh);
        let asks = there.live.keys().map(|id| {
            let (engine, id) = (self.clone(), id.clone());
            self.shared.runtime.spawn(async move {
                let control = engine.life(&id).ok()?.process.control().clone();
                control.ask(Request::View, ANSWER_WITHIN).await.ok()
            })
        });
        let asks: Vec<_> = asks.collect();
        let (mut by_node, mut notes) = (Vec::new(), Vec::new());
        for (id, ask) in there.live.keys().zip(asks) {
            let wrong = match ask.await.ok().flatten() {
                Some(Reply::View { peers, neighbors, connections }) => {
                    let peers = peers.into_iter().map(|peer| peer.public_key).collect();
                    there.wrong(id, &peers, &neighbors, &connections)
                }
                _ => vec![format!("{id} did not tell its view")],
            };
            let have = u64::from(wrong.is_empty());
            by_node.push(Tally { node: id.clone(), have, need: 1 });
            notes.extend(wrong);
        }
        (by_node, notes)
    }
}

impl There {
    /// What is wrong in the books of one node.
    fn wrong(
        &self,
        id: &NodeId,
        peers: &BTreeSet<String>,
        neighbors: &[String],
        connections: &BTreeMap<String, u32>,
    ) -> Vec<String> {
        let others: BTreeSet<&String> =
            self.live.iter().filter(|(other, _)| *other != id).map(|(_, key)| key).collect();
        let mut wrong = Vec::new();
        for key in others.iter().filter(|key| !peers.contains(**key)) {
            wrong.push(format!("{id} does not know {}", self.name(key)));
        }
        for key in peers.iter().filter(|key| !others.contains(key)) {
            wrong.push(format!("{id} still knows {}, which is not there", self.name(key)));
        }
        for key in neighbors.iter().filter(|key| !others.contains(key)) {
            wrong.push(format!("{id} has the neighbour {}, which is not there", self.name(key)));
        }
        if neighbors.is_empty() {
            wrong.push(format!("{id} has no neighbour"));
        }
        for (key, count) in connections {
            let name = self.name(key);
            if !self.keys.contains(key) {
                wrong.push(format!("{id} has a connection to {name}, which is not there"));
            } else if *count > CONNECTIONS_MAX {
                wrong.push(format!("{id} has {count} connections to {name}"));
            }
        }
        wrong
    }

    fn name(&self, key: &str) -> String {
        match self.names.get(key) {
            Some(id) => id.to_string(),
            None => format!("a stranger ({})", key.get(..6).unwrap_or(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there() -> There {
        let live: BTreeMap<NodeId, String> =
            [1, 2, 3].map(|n| (NodeId(format!("node-{n}")), format!("key-{n}"))).into();
        let mut names: BTreeMap<String, NodeId> =
            live.iter().map(|(id, key)| (key.clone(), id.clone())).collect();
        names.insert("key-9".into(), "node-9".into());
        There { keys: live.values().cloned().collect(), live, names }
    }

    fn keys<const N: usize>(numbers: [u32; N]) -> Vec<String> {
        numbers.map(|n| format!("key-{n}")).into()
    }

    #[test]
    fn books_that_agree_have_nothing_wrong() {
        let one = BTreeMap::from([("key-2".to_owned(), 2)]);
        let peers = keys([2, 3]).into_iter().collect();
        assert_eq!(there().wrong(&"node-1".into(), &peers, &keys([2]), &one), [""; 0]);
    }

    #[test]
    fn each_book_that_is_wrong_is_told_with_a_name() {
        let connections = BTreeMap::from([("key-9".to_owned(), 1), ("key-3".to_owned(), 3)]);
        let peers = keys([3, 9]).into_iter().collect();
        let wrong = there().wrong(&"node-1".into(), &peers, &keys([9]), &connections);
        assert_eq!(
            wrong,
            [
                "node-1 does not know node-2",
                "node-1 still knows node-9, which is not there",
                "node-1 has the neighbour node-9, which is not there",
                "node-1 has 3 connections to node-3",
                "node-1 has a connection to node-9, which is not there",
            ]
        );
        let alone = there().wrong(
            &"node-1".into(),
            &keys([2, 3]).into_iter().collect(),
            &[],
            &BTreeMap::new(),
        );
        assert_eq!(alone, ["node-1 has no neighbour"]);
    }
}
