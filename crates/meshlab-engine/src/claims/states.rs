//! `expect.states`: observers saw exactly these states of a node, in this order.

use std::{collections::BTreeMap, time::Duration};

use meshlab_model::{NodeId, RunTime, SpanRecord, Tally, format_duration};
use meshlab_spans::{Selector, SpanStore};
use meshlab_wire::{State, attr, span};

use super::{Look, Looking, notes, state::Seeing};
use crate::{Engine, HostError, Via};

pub(crate) struct StatesClaim {
    seeing: Seeing,
    wanted: Vec<State>,
    within: Duration,
    /// What each observer saw, from the last look.
    seen: BTreeMap<NodeId, Vec<State>>,
}

impl StatesClaim {
    pub(crate) fn new(
        seeing: Seeing,
        states: &[String],
        within: Duration,
    ) -> Result<Self, HostError> {
        let known = |name: &String| {
            let state = State::from_name(name);
            state.ok_or_else(|| HostError::Misuse(format!("there is no state `{name}`")))
        };
        let wanted: Vec<State> = states.iter().map(known).collect::<Result<_, _>>()?;
        if wanted.is_empty() {
            return Err(HostError::Misuse("no state was given to be seen".to_owned()));
        }
        if let Some(twice) = wanted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(HostError::Misuse(format!(
                "{0} twice in a row is seen as {0} once: leave one out",
                twice[0]
            )));
        }
        Ok(Self { seeing, wanted, within, seen: BTreeMap::new() })
    }
}

impl Looking for StatesClaim {
    fn call(&self) -> &'static str {
        "expect.states"
    }

    fn text(&self) -> String {
        format!(
            "{} see {} as exactly {}{} within {}",
            notes::names(&self.seeing.observers),
            self.seeing.node,
            list(&self.wanted),
            self.seeing.via_words(),
            format_duration(self.within)
        )
    }

    fn since(&self) -> RunTime {
        self.seeing.since
    }

    fn within(&self) -> Duration {
        self.within
    }

    fn look(&mut self, engine: &Engine) -> Look {
        let mut by_node = Vec::new();
        let mut last = None;
        self.seen.clear();
        for observer in &self.seeing.observers {
            let seen = seen(&engine.shared.store, &self.seeing, observer);
            let states: Vec<State> = seen.iter().map(|(state, _)| *state).collect();
            let holds = states == self.wanted;
            if holds {
                last = last.max(seen.last().map(|(_, at)| *at));
            }
            by_node.push(Tally { node: observer.clone(), have: u64::from(holds), need: 1 });
            self.seen.insert(observer.clone(), states);
        }
        let have = by_node.iter().map(|tally| tally.have).sum();
        let need = by_node.len() as u64;
        Look { holds: have == need && need > 0, have, need, by_node, since_when: last }
    }

    fn found(&self, look: &Look) -> String {
        let wanted = list(&self.wanted);
        format!("{} of {} observers saw exactly {wanted}", look.have, look.need)
    }

    fn notes(&self, engine: &Engine, look: &Look) -> Vec<String> {
        let without = look.without_any();
        let node = &self.seeing.node;
        let mut found: Vec<String> = without
            .iter()
            .map(|observer| match self.seen.get(observer).filter(|seen| !seen.is_empty()) {
                Some(seen) => format!("{observer} saw {node} as {}", list(seen)),
                None => format!("{observer} saw no state of {node}"),
            })
            .collect();
        found.extend(notes::about_nodes(engine, &without));
        found
    }
}

fn list(states: &[State]) -> String {
    states.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(", ")
}

/// The states that an observer saw, each with the moment of its first span; the same state several
/// times in a row is one.
fn seen(store: &SpanStore, seeing: &Seeing, observer: &NodeId) -> Vec<(State, RunTime)> {
    let of = |name: &str| {
        let about = Selector::named(name).of(observer).with(attr::PEER_ID, seeing.key.as_str());
        store.find(&about.since(seeing.since), usize::MAX)
    };
    let heard = [span::PEER_CONNECTED, span::STATE_HEARD];
    let inferred = [span::STATE_INFERRED];
    let names = match seeing.via {
        Some(Via::Message) => heard.to_vec(),
        Some(Via::Inference) => inferred.to_vec(),
        None => heard.into_iter().chain(inferred).collect(),
    };
    let mut records: Vec<SpanRecord> = names.into_iter().flat_map(of).collect();
    records.sort_by_key(|record| record.seq);
    let mut seen: Vec<(State, RunTime)> = Vec::new();
    for record in records {
        let state = record.attributes.get(attr::STATE).and_then(serde_json::Value::as_str);
        // An entry into the directory without a state says that somebody is there, not how it is.
        let Some(state) = state.and_then(State::from_name) else { continue };
        if seen.last().is_none_or(|(last, _)| *last != state) {
            seen.push((state, record.arrived));
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use meshlab_spans::{IncomingSpan, RunClock};

    use super::*;

    fn store(spans: &[(&str, &str, &str)]) -> SpanStore {
        let clock = RunClock { started: Instant::now(), started_unix_nanos: 0 };
        let store = SpanStore::new(clock, 100);
        for (name, peer, state) in spans {
            let mut attributes = BTreeMap::from([(attr::PEER_ID.to_owned(), (*peer).into())]);
            if !state.is_empty() {
                attributes.insert(attr::STATE.to_owned(), (*state).into());
            }
            let span = IncomingSpan {
                name: (*name).into(),
                trace_id: String::new(),
                span_id: String::new(),
                parent_id: String::new(),
                start_unix_nanos: 0,
                end_unix_nanos: 0,
                attributes,
            };
            store.add(&"node-1".into(), vec![span]);
        }
        store
    }

    fn seen_via(store: &SpanStore, via: Option<Via>) -> Vec<State> {
        let seeing = Seeing {
            node: "node-2".into(),
            key: "k".to_owned(),
            observers: vec!["node-1".into()],
            via,
            since: RunTime::ZERO,
        };
        seen(store, &seeing, &"node-1".into()).into_iter().map(|(state, _)| state).collect()
    }

    #[test]
    fn states_are_in_order_of_arrival_over_all_names_and_repeats_count_once() {
        use State::{Alive, Dead, Joining};
        let store = store(&[
            (span::PEER_CONNECTED, "k", "Joining"),
            (span::STATE_HEARD, "k", "Joining"),
            (span::STATE_HEARD, "other", "Draining"),
            (span::STATE_HEARD, "k", "Alive"),
            (span::STATE_INFERRED, "k", "Dead"),
            (span::PEER_CONNECTED, "k", ""),
            (span::STATE_HEARD, "k", "Alive"),
            (span::DIGEST_RECEIVED, "k", "Leaving"),
        ]);
        assert_eq!(seen_via(&store, None), [Joining, Alive, Dead, Alive]);
        assert_eq!(seen_via(&store, Some(Via::Message)), [Joining, Alive]);
        assert_eq!(seen_via(&store, Some(Via::Inference)), [Dead]);
    }

    #[test]
    fn a_list_that_cannot_be_seen_is_refused() {
        let new = |states: &[&str]| {
            let seeing = Seeing {
                node: "node-2".into(),
                key: "k".to_owned(),
                observers: vec!["node-1".into()],
                via: None,
                since: RunTime::ZERO,
            };
            let states: Vec<String> = states.iter().map(ToString::to_string).collect();
            StatesClaim::new(seeing, &states, Duration::ZERO).err().map(|error| error.to_string())
        };
        assert_eq!(new(&["Alive", "Dead", "Alive"]), None);
        assert!(new(&[]).unwrap().contains("no state was given"));
        assert!(new(&["Alive", "Alive"]).unwrap().contains("twice in a row"));
        assert!(new(&["Alvie"]).unwrap().contains("there is no state"));
    }
}
