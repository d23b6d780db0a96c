//! `expect.no_spans`: no such span, now or for as long as is watched.

use std::time::Duration;

use meshlab_model::{ClaimEvidence, NodeId, Severity, SourceLine, SpanRecord, Tally, Verdict};
use meshlab_mutants::{Mutant, on};
use meshlab_spans::{Selector, SpanStore};
use tokio::time::Instant;

use super::{loss, notes, query, selector};
use crate::{ClaimOutcome, Engine, HostError, SpanQuery, cancel::describe};

impl Engine {
    pub(super) async fn judge_no_spans(
        &self,
        query: SpanQuery,
        during: Option<Duration>,
        meanwhile: &str,
        severity: Severity,
        at: SourceLine,
    ) -> Result<ClaimOutcome, HostError> {
        let shared = &self.shared;
        let selector = selector(self, &query)?;
        let senders = || query::senders(self, &query);
        if senders().is_empty() {
            let text = "no node to look at: nothing that is not looked at can pass".to_owned();
            return Err(HostError::Misuse(text));
        }
        let watch_for = during.unwrap_or(Duration::ZERO);
        let text = text(&query, during) + meanwhile;
        let call = if meanwhile.is_empty() { "expect.no_spans" } else { "expect.never" };
        let claim = self.start_claim(call, text, severity, watch_for, at)?;
        let open = self.until_judged(claim);
        let started = Instant::now();
        let found = shared.store.wait_for(started + watch_for, |store| first(store, &selector));
        let verdict = match shared.cancel.or(found).await {
            Ok(Some(span)) => Verdict::Failed(told(&span)),
            Ok(None) => match unseen(&shared.store, &selector, &senders()) {
                Some(why) => Verdict::Inconclusive(why),
                None => Verdict::Passed,
            },
            Err(_) => {
                let why = shared.cancel.reason().as_ref().map(describe).unwrap_or_default();
                Verdict::Inconclusive(format!("none so far when {why}"))
            }
        };
        let counts = shared.store.count_by_node(&selector);
        let by_node = senders().into_iter().map(|node| Tally {
            have: counts.get(&node).copied().unwrap_or(0),
            need: 0,
            node,
        });
        let evidence = ClaimEvidence {
            by_node: by_node.collect(),
            notes: match verdict {
                Verdict::Passed => vec![format!("no `{}` came", query.name)],
                _ => Vec::new(),
            },
            since: Some(selector.since),
        };
        let took = shared.clock.now().since(selector.since);
        open.judged();
        self.finish_claim(claim, verdict, started.elapsed(), evidence, severity, took)
    }
}

fn text(query: &SpanQuery, during: Option<Duration>) -> String {
    let from = query::from_words(query);
    let during = query::during_words(during);
    format!("no {} {from}{during}", query::words(query))
}

/// The first span that should not be there.
fn first(store: &SpanStore, selector: &Selector) -> Option<SpanRecord> {
    if store.count(selector) == 0 || on(Mutant::AbsenceUnasked) {
        return None;
    }
    store.find(selector, usize::MAX).into_iter().next()
}

fn told(span: &SpanRecord) -> String {
    format!(
        "{} sent `{}` {} at {}",
        span.node,
        span.name,
        notes::attributes(&span.attributes),
        span.arrived
    )
}

/// Why finding none proves nothing; `None` if it does.
fn unseen(store: &SpanStore, selector: &Selector, senders: &[NodeId]) -> Option<String> {
    if let Some(why) = loss::in_memory(store, selector.since) {
        return Some(format!("none is in memory, but {why}"));
    }
    loss::at_doors(store, senders).map(|why| format!("none came, but {why}"))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Instant as StdInstant};

    use meshlab_spans::{IncomingSpan, RunClock};

    use super::*;

    fn store(capacity: usize) -> SpanStore {
        let clock = RunClock { started: StdInstant::now(), started_unix_nanos: 0 };
        SpanStore::new(clock, capacity)
    }

    fn add(store: &SpanStore, name: &str, reason: &str) {
        let span = IncomingSpan {
            name: name.into(),
            trace_id: String::new(),
            span_id: String::new(),
            parent_id: String::new(),
            start_unix_nanos: 0,
            end_unix_nanos: 0,
            attributes: BTreeMap::from([("reason".to_owned(), reason.into())]),
        };
        store.add(&"node-1".into(), vec![span]);
    }

    fn bad() -> Selector {
        Selector::named("bad")
    }

    #[test]
    fn the_first_one_is_told_with_its_node_and_attributes() {
        let store = store(10);
        add(&store, "good", "x");
        assert_eq!(first(&store, &bad()), None);
        assert_eq!(unseen(&store, &bad(), &["node-1".into()]), None);
        add(&store, "bad", "one");
        add(&store, "bad", "two");
        let told = told(&first(&store, &bad()).unwrap());
        assert!(told.starts_with("node-1 sent `bad` { reason = \"one\" } at 00:0"), "{told}");
    }

    #[test]
    fn what_was_evicted_may_have_been_one() {
        let store = store(1);
        add(&store, "bad", "one");
        add(&store, "good", "two");
        assert_eq!(first(&store, &bad()), None);
        let why = unseen(&store, &bad(), &["node-1".into()]).unwrap();
        assert!(why.contains("1 older spans are no longer"), "{why}");
    }
}
