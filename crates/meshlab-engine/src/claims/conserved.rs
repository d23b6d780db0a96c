//! `expect.conserved`: what a node has made and not ended is bounded by what it can see.
//!
//! Counts beat bytes: 174 tasks spawned and 52 finished, with 15 peers in view, name a leak long
//! before its bytes do.

use std::{collections::BTreeMap, time::Duration};

use meshlab_model::{
    ClaimEvidence, NodeId, RunTime, Severity, SourceLine, Tally, Verdict, format_duration,
};
use meshlab_mutants::{Mutant, on};
use meshlab_spans::Selector;
use meshlab_wire::{Command, Outcome, Reply, Request};
use tokio::time::Instant;

use super::loss;
use crate::{ClaimOutcome, Conserved, Counted, Engine, HostError, InView};

/// How often the nodes are asked. Nobody tells when a count changes.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// Longest wait for one node's answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Sentences that are told.
const NOTES_MAX: usize = 8;

/// What one node says at one moment.
#[derive(Debug, Clone, PartialEq)]
struct Balance {
    node: NodeId,
    /// Made and ended, of this life; or why it is not known.
    counts: Result<(u64, u64), String>,
    /// What it sees.
    in_view: u64,
}

impl Conserved {
    fn text(&self) -> String {
        format!(
            "{} - {} of each of {} nodes is at most {} x {} + {} within {}",
            self.created,
            self.destroyed,
            self.nodes.len(),
            self.per_peer,
            self.of.as_str(),
            self.plus,
            format_duration(self.within)
        )
    }

    fn most(&self, in_view: u64) -> u64 {
        self.per_peer.saturating_mul(in_view).saturating_add(self.plus)
    }

    /// Why this node is not in balance, if it is not.
    fn wrong(&self, balance: &Balance) -> Option<String> {
        let Self { created, destroyed, .. } = self;
        let (node, of) = (&balance.node, self.of.as_str());
        let (made, ended) = match &balance.counts {
            Ok(counts) => *counts,
            Err(why) => return Some(format!("{node}: {why}")),
        };
        let (in_view, most) = (balance.in_view, self.most(balance.in_view));
        if ended > made {
            return Some(format!(
                "{node}: {destroyed} = {ended} is more than {created} = {made}, so one of them is \
                 counted wrong"
            ));
        }
        let left = made - ended;
        (left > most && !on(Mutant::BalanceUnasked)).then(|| {
            format!(
                "{node}: {created} = {made}, {destroyed} = {ended}: {left} are left with {in_view} \
                 {of} in view, at most {most} are allowed"
            )
        })
    }

    /// Whether anything was counted at all: a name that nobody counts proves nothing.
    fn counted(balances: &[Balance]) -> bool {
        balances.iter().any(|balance| matches!(balance.counts, Ok((made, _)) if made > 0))
    }

    /// What the balances of one moment come to: the verdict, and sentences, culprits first.
    fn judge(&self, balances: &[Balance]) -> (Verdict, Vec<String>) {
        let mut wrong: Vec<String> = balances.iter().filter_map(|one| self.wrong(one)).collect();
        if balances.is_empty() {
            return (Verdict::Failed("no node to look at".to_owned()), Vec::new());
        }
        if !wrong.is_empty() {
            let first = wrong[0].clone();
            let others = match wrong.len() {
                1 => String::new(),
                2 => ", and one more node".to_owned(),
                more => format!(", and {} more nodes", more - 1),
            };
            wrong.truncate(NOTES_MAX);
            return (Verdict::Failed(format!("{first}{others}")), wrong);
        }
        if !Self::counted(balances) {
            let why = format!("no node has counted any {}: nothing was made", self.created);
            return (Verdict::Failed(why), Vec::new());
        }
        let left = |balance: &Balance| balance.counts.as_ref().map_or(0, |(a, b)| a - b);
        let most = balances.iter().max_by_key(|balance| left(balance));
        let note = most.map(|most| {
            let (left, node, in_view) = (left(most), &most.node, most.in_view);
            format!("most: {left} left of {node} with {in_view} {} in view", self.of.as_str())
        });
        (Verdict::Passed, note.into_iter().collect())
    }
}

impl Engine {
    pub(crate) async fn judge_conserved(
        &self,
        conserved: Conserved,
        severity: Severity,
        at: SourceLine,
    ) -> Result<ClaimOutcome, HostError> {
        let within = conserved.within;
        let text = conserved.text();
        let claim = self.start_claim("expect.conserved", text, severity, within, at)?;
        let open = self.until_judged(claim);
        let started = Instant::now();
        let mut balances;
        let (mut verdict, mut notes);
        loop {
            balances = self.balances(&conserved).await;
            (verdict, notes) = conserved.judge(&balances);
            if verdict.is_passed() {
                break;
            }
            if started.elapsed() >= within {
                let after = format_duration(within);
                if let Verdict::Failed(why) = verdict {
                    verdict = Verdict::Failed(format!("{why}, after {after}"));
                }
                break;
            }
            if self.shared.cancel.or(tokio::time::sleep(ASK_EVERY)).await.is_err() {
                verdict = Verdict::Inconclusive("the run was stopped".to_owned());
                break;
            }
        }
        if conserved.counted == Counted::Spans
            && verdict.is_passed()
            && let Some(why) = self.lost_of(&conserved.nodes)
        {
            verdict = Verdict::Inconclusive(why);
        }
        let tally = |balance: &Balance| Tally {
            node: balance.node.clone(),
            have: u64::from(conserved.wrong(balance).is_none()),
            need: 1,
        };
        let by_node = balances.iter().map(tally).collect();
        let took = started.elapsed();
        open.judged();
        let evidence = ClaimEvidence { by_node, notes, since: None };
        self.finish_claim(claim, verdict, took, evidence, severity, took)
    }

    /// Why spans of these nodes' lives may be missing.
    fn lost_of(&self, nodes: &[NodeId]) -> Option<String> {
        let began = |node: &NodeId| self.life(node).ok().map(|life| life.started);
        let since = nodes.iter().filter_map(began).min().unwrap_or(RunTime::ZERO);
        let store = &self.shared.store;
        loss::in_memory(store, since).or_else(|| loss::at_doors(store, nodes))
    }

    async fn balances(&self, conserved: &Conserved) -> Vec<Balance> {
        let asks: Vec<_> = conserved
            .nodes
            .iter()
            .map(|node| {
                let (engine, node, wanted) = (self.clone(), node.clone(), conserved.clone());
                self.shared.runtime.spawn(async move { engine.balance(&wanted, node).await })
            })
            .collect();
        let mut balances = Vec::new();
        for (node, ask) in conserved.nodes.iter().zip(asks) {
            let broken = |_| Balance {
                node: node.clone(),
                counts: Err("the question broke".to_owned()),
                in_view: 0,
            };
            balances.push(ask.await.unwrap_or_else(broken));
        }
        balances
    }

    async fn balance(&self, conserved: &Conserved, node: NodeId) -> Balance {
        let asked = async {
            let life = self.life(&node).map_err(|_| "it does not run".to_owned())?;
            let control = life.process.control();
            let view = control.ask(Request::View, ANSWER_WITHIN).await;
            let in_view = match view {
                Ok(Reply::View { peers, neighbors, .. }) => match conserved.of {
                    InView::Peers => peers.len() as u64,
                    InView::Neighbors => neighbors.len() as u64,
                },
                _ => return Err("it did not tell its view".to_owned()),
            };
            let counts = match conserved.counted {
                Counted::Counters => {
                    let request = Request::Command(Command::Counters);
                    match control.ask(request, ANSWER_WITHIN).await {
                        Ok(Reply::Outcome(Outcome::Counters { counters, .. })) => {
                            counters_of(conserved, &counters)?
                        }
                        _ => return Err("it did not tell its counters".to_owned()),
                    }
                }
                Counted::Spans => {
                    let count = |name: &str| {
                        let all = Selector::named(name).of(&node).since(life.started);
                        self.shared.store.find(&all, usize::MAX).len() as u64
                    };
                    (count(&conserved.created), count(&conserved.destroyed))
                }
            };
            Ok((counts, in_view))
        };
        match asked.await {
            Ok((counts, in_view)) => Balance { node, counts: Ok(counts), in_view },
            Err(why) => Balance { node, counts: Err(why), in_view: 0 },
        }
    }
}

fn counters_of(
    conserved: &Conserved,
    counters: &BTreeMap<String, u64>,
) -> Result<(u64, u64), String> {
    let one = |name: &String| {
        counters.get(name).copied().ok_or_else(|| {
            let known: Vec<&str> = counters.keys().map(String::as_str).collect();
            format!("it has no counter `{name}`; it has {}", known.join(", "))
        })
    };
    Ok((one(&conserved.created)?, one(&conserved.destroyed)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conserved() -> Conserved {
        Conserved {
            nodes: vec!["node-1".into(), "node-2".into()],
            created: "tasks.spawned".to_owned(),
            destroyed: "tasks.finished".to_owned(),
            counted: Counted::Counters,
            of: InView::Peers,
            per_peer: 2,
            plus: 4,
            within: Duration::from_secs(5),
        }
    }

    fn balance(node: &str, made: u64, ended: u64) -> Balance {
        Balance { node: node.into(), counts: Ok((made, ended)), in_view: 15 }
    }

    fn said(balances: &[Balance]) -> String {
        let (verdict, notes) = conserved().judge(balances);
        [verdict.to_string()].into_iter().chain(notes).collect::<Vec<_>>().join("\n  ")
    }

    #[test]
    fn a_leak_is_named_and_what_is_not_counted_is_never_green() {
        let unknown = Balance {
            node: "node-2".into(),
            counts: counters_of(&conserved(), &BTreeMap::from([("wakes".to_owned(), 1)])),
            in_view: 3,
        };
        let all = [
            ("bounded", said(&[balance("node-1", 174, 150), balance("node-2", 90, 70)])),
            ("a leak", said(&[balance("node-1", 90, 80), balance("node-2", 174, 52)])),
            ("two leaks", said(&[balance("node-1", 174, 52), balance("node-2", 174, 60)])),
            ("counted wrong", said(&[balance("node-1", 10, 8), balance("node-2", 7, 9)])),
            ("nothing made", said(&[balance("node-1", 0, 0)])),
            ("no such counter", said(&[balance("node-1", 10, 8), unknown])),
            ("nobody", said(&[])),
        ];
        let shown: Vec<String> =
            all.iter().map(|(what, said)| format!("{what}\n  {said}")).collect();
        insta::assert_snapshot!(format!("{}\n{}", conserved().text(), shown.join("\n")));
    }
}
