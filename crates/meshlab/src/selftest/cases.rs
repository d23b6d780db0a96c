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
}

/// The node with nothing planted.
pub(super) const HEALTHY: &str = "healthy";

/// The scenarios, by the name of their file in `scenarios/health`.
pub(super) const SCENARIOS: [&str; 7] =
    ["idle", "churn", "restart", "partition", "boot-order", "clocks", "volume"];

const fn mistake(name: &'static str, first: &'static [&'static str]) -> Case {
    Case { name, kind: Kind::Mistake, first }
}

const fn sound(name: &'static str, first: &'static [&'static str]) -> Case {
    Case { name, kind: Kind::Sound, first }
}

/// All of them, the healthy node first: where it alarms, nothing that follows means anything.
pub(super) const CASES: [Case; 23] = [
    sound(HEALTHY, &SCENARIOS),
    mistake("gossip-firehose", &["idle"]),
    mistake("info-per-frame", &["idle"]),
    mistake("mdns-full-mesh", &["idle", "volume"]),
    mistake("join-storm", &["idle"]),
    mistake("span-forever", &["idle"]),
    mistake("busy-closed-channel", &["idle"]),
    mistake("ghost-connections", &["restart", "churn"]),
    mistake("digest-map-grows", &["churn"]),
    mistake("mesh-id-map-grows", &["churn"]),
    mistake("joined-set-grows", &["partition", "restart"]),
    mistake("seed-one-shot", &["boot-order"]),
    mistake("select-goes-dark", &["volume"]),
    mistake("join-not-select", &["churn", "restart"]),
    mistake("otel-debug-floor", &["idle"]),
    mistake("enumerate-processes", &["idle"]),
    mistake("abandoned-handshake", &["churn"]),
    mistake("address-cache", &["churn"]),
    mistake("wall-clock-staleness", &["clocks"]),
    Case { name: "stale-binary", kind: Kind::Stale, first: &[] },
    sound("lookalike-warm-up", &["idle", "churn"]),
    sound("lookalike-steps", &["idle", "churn"]),
    sound("lookalike-cache", &["churn"]),
];

impl Case {
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
    fn every_scenario_is_there() {
        let root = crate::repository::root().unwrap();
        for name in SCENARIOS {
            let path = root.join("scenarios/health").join(name).with_extension("lua");
            assert!(path.exists(), "{}", path.display());
        }
    }
}
