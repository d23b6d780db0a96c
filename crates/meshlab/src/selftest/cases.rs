//! What is planted, and which scenario is expected to find it. The verdict does not ask that table:
//! it only says where to look first.

/// What a case is there to prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A mistake: at least one scenario must be red.
    Mistake,
    /// Nothing is wrong: every scenario must be green.
    Sound,
    /// A program older than its sources: the run must be refused before it begins.
    Stale,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    /// The defect, as the node knows it; of the healthy node, nothing.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Scenarios that should find it, or of a sound node those that `--quick` runs.
    pub(super) first: &'static [&'static str],
    /// Who finds a mistake names it: a red claim says one of these.
    pub(super) names: &'static [&'static str],
}

/// The node with nothing planted.
pub(super) const HEALTHY: &str = "healthy";

/// The scenarios, by the name of their file in `scenarios/health`.
pub(super) const SCENARIOS: [&str; 8] =
    ["idle", "churn", "burst", "restart", "partition", "boot-order", "clocks", "volume"];

const fn mistake(
    name: &'static str,
    first: &'static [&'static str],
    names: &'static [&'static str],
) -> Case {
    Case { name, kind: Kind::Mistake, first, names }
}

const fn sound(name: &'static str, first: &'static [&'static str]) -> Case {
    Case { name, kind: Kind::Sound, first, names: &[] }
}

/// Mistakes that take whole processors from whatever runs beside them.
const BUSY: [&str; 2] = ["join-storm", "busy-closed-channel"];

/// All of them, as they are run. The healthy node first: where it alarms, nothing that follows
/// means anything.
pub(super) const CASES: [Case; 24] = [
    sound(HEALTHY, &SCENARIOS),
    sound("lookalike-warm-up", &["idle", "churn"]),
    sound("lookalike-steps", &["idle", "churn"]),
    sound("lookalike-cache", &["churn"]),
    sound("lookalike-handshakes", &["churn"]),
    mistake("gossip-firehose", &["idle"], &["digests.sent a second of node-"]),
    mistake("info-per-frame", &["idle"], &["spans of node-"]),
    mistake("mdns-full-mesh", &["idle", "volume"], &["connections.opened"]),
    mistake("span-forever", &["idle"], &["events that open spans of node-"]),
    mistake("ghost-connections", &["restart", "churn"], &["connections.opened"]),
    mistake("digest-map-grows", &["churn"], &["directory.gone of node-"]),
    mistake("mesh-id-map-grows", &["churn"], &["mesh_ids.entries of node-"]),
    mistake("joined-set-grows", &["partition", "restart"], &["node-"]),
    mistake("seed-one-shot", &["boot-order"], &["seed.retry"]),
    mistake("select-goes-dark", &["volume"], &["live gossip connections of node-"]),
    mistake("join-not-select", &["churn", "restart"], &["tasks.spawned"]),
    mistake("otel-debug-floor", &["idle"], &["events that open spans of node-"]),
    mistake("enumerate-processes", &["idle"], &["CPU of node-"]),
    mistake("abandoned-handshake", &["churn"], &["connections.tried a second of node-"]),
    mistake("address-cache", &["churn"], &["addresses.departed of node-"]),
    mistake("wall-clock-staleness", &["clocks"], &["node.state_inferred"]),
    Case { name: "stale-binary", kind: Kind::Stale, first: &[], names: &["older than its source"] },
    mistake("join-storm", &["idle"], &["connections.opened a second of node-"]),
    mistake("busy-closed-channel", &["idle"], &["CPU of node-"]),
];

/// What is run beside what: a phase begins when the one before it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Sound nodes, beside nobody who does anything wrong.
    Sound,
    /// Mistakes, beside each other: what they do to their neighbours is red at worst, not named.
    Mistakes,
    /// Those that leave nothing for others: one at a time.
    Busy,
}

impl Phase {
    pub(super) const ALL: [Self; 3] = [Self::Sound, Self::Mistakes, Self::Busy];
}

impl Case {
    pub(super) fn phase(&self) -> Phase {
        match self.kind {
            Kind::Sound => Phase::Sound,
            Kind::Mistake if BUSY.contains(&self.name) => Phase::Busy,
            Kind::Mistake | Kind::Stale => Phase::Mistakes,
        }
    }

    /// The scenarios in the order in which they are run.
    pub(super) fn scenarios(&self, quick: bool) -> Vec<&'static str> {
        let mut all = self.first.to_vec();
        if !quick && self.kind != Kind::Stale {
            all.extend(SCENARIOS.iter().filter(|name| !self.first.contains(name)));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_looks_first_where_it_is_expected_and_then_everywhere() {
        for case in CASES {
            let quick = case.scenarios(true);
            assert_eq!(quick, case.first);
            let full = case.scenarios(false);
            assert!(full.starts_with(&quick), "{}", case.name);
            let scenarios = if case.kind == Kind::Stale { 0 } else { SCENARIOS.len() };
            assert_eq!(full.len(), scenarios, "{}: {full:?}", case.name);
        }
    }

    #[test]
    fn cases_stand_in_the_order_of_their_phases() {
        assert!(CASES.is_sorted_by_key(Case::phase));
        assert!(BUSY.iter().all(|name| CASES.iter().any(|case| case.name == *name)));
    }

    #[test]
    fn every_scenario_is_there() {
        let root = crate::repository::root().unwrap();
        for name in SCENARIOS {
            let path = root.join("scenarios/health").join(name).with_extension("lua");
            assert!(path.exists(), "{}", path.display());
        }
    }
}
