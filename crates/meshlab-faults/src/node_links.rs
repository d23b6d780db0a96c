//! The links of one node, and probes over them: what faults of a node's links share.

use std::{sync::Arc, time::Duration};

use meshlab_lab::{Lab, LabError, LinkState, ProbeReport, Prober, Probes, Side};
use meshlab_model::NodeId;

use crate::{Applied, Direction, FaultError, Target, Undo, undo::Rollback};

/// How long a witness tries: a busy host delays and loses probes of its own.
pub(crate) const SEEN_WITHIN: Duration = Duration::from_secs(10);
/// Standard deviations that a count may be off: once in 150,000 draws.
const SIGMAS: f64 = 4.5;

/// The links of one node: to and from all others, also those that come later, or some of them.
#[derive(Clone)]
pub(crate) struct NodeLinks {
    fault: &'static str,
    lab: Arc<Lab>,
    pub(crate) node: NodeId,
    /// `None` for all.
    far: Option<Vec<NodeId>>,
    /// One of the far ends, to be probed.
    other: NodeId,
    direction: Direction,
}

/// A flow of probes over one of the links.
#[derive(Clone)]
pub(crate) struct Way {
    fault: &'static str,
    prober: Arc<Prober>,
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
}

impl NodeLinks {
    /// The links that a fault is aimed at.
    pub(crate) fn of(fault: &'static str, target: &Target) -> Result<Self, FaultError> {
        let node = target.one(fault)?.node.clone();
        let lab = target.lab(fault)?;
        // One that runs, if it can be told: any other's network is there too.
        let other = target.far.first().ok_or(FaultError::NoFarEnd { fault })?.clone();
        let far = (!target.everywhere).then(|| target.far.clone());
        Ok(Self { fault, lab, node, far, other, direction: target.settings.direction })
    }

    /// Changes what is set on all of them, in the directions that are meant.
    pub(crate) fn change(&self, change: impl Fn(&mut LinkState)) -> Result<(), LabError> {
        let (out, inward) = (self.direction != Direction::In, self.direction != Direction::Out);
        match &self.far {
            None => {
                let sides = [(Side::Sends, out), (Side::Receives, inward)];
                for (side, _) in sides.into_iter().filter(|(_, meant)| *meant) {
                    self.lab.change_node_link(&self.node, side, &change)?;
                }
                Ok(())
            }
            Some(far) => {
                let there = far.iter().filter(|_| out).map(|to| (&self.node, to));
                let back = far.iter().filter(|_| inward).map(|from| (from, &self.node));
                self.lab.change_links(there.chain(back), &change)
            }
        }
    }

    /// A flow of probes for each direction that is meant.
    pub(crate) fn ways(&self) -> Result<Vec<Way>, FaultError> {
        let way = |from: &NodeId, to: &NodeId| -> Result<Way, FaultError> {
            let (from, to) = (from.clone(), to.clone());
            let prober = Arc::new(self.lab.prober(&from, &to)?);
            Ok(Way { fault: self.fault, prober, from, to })
        };
        let out = way(&self.node, &self.other);
        match self.direction {
            Direction::Out => Ok(vec![out?]),
            Direction::In => Ok(vec![way(&self.other, &self.node)?]),
            Direction::Both => Ok(vec![out?, way(&self.other, &self.node)?]),
        }
    }

    /// Sets something, sees it act, and says how to take it back.
    pub(crate) async fn apply<W>(
        self,
        set: impl Fn(&mut LinkState),
        reset: impl Fn(&mut LinkState) + Copy + Send + Sync + 'static,
        how: &'static str,
        witness: W,
    ) -> Result<Applied, FaultError>
    where
        W: Future<Output = Result<String, FaultError>>,
    {
        let rollback = Rollback::new(|| {
            // What failed before is the reason that is told.
            let _ = self.change(reset);
        });
        self.change(set)?;
        let witness = witness.await?;
        rollback.keep();
        let undo = Undo::needed(how, move || async move { self.reset(reset) });
        Ok(Applied { witness, undo: Some(undo) })
    }

    /// Takes it back, and reads that back from the switch.
    pub(crate) fn reset(&self, reset: impl Fn(&mut LinkState)) -> Result<(), FaultError> {
        match self.change(&reset) {
            // Who has left the lab meanwhile has no links; those of the others are taken back.
            Ok(()) | Err(LabError::NoLink { .. } | LabError::NoNode(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let left = |state: LinkState| {
            let mut without = state;
            reset(&mut without);
            without != state
        };
        let still = match &self.far {
            None => [Side::Sends, Side::Receives].into_iter().any(|side| {
                self.meant(side) && self.lab.node_link(&self.node, side).is_ok_and(left)
            }),
            Some(far) => far.iter().any(|other| {
                let link = |from, to| self.lab.link(from, to).is_ok_and(left);
                (self.meant(Side::Sends) && link(&self.node, other))
                    || (self.meant(Side::Receives) && link(other, &self.node))
            }),
        };
        if still {
            let (fault, on) = (self.fault, self.node.to_string());
            return Err(FaultError::Undo { fault, on, why: "the switch still does it".to_owned() });
        }
        Ok(())
    }

    fn meant(&self, side: Side) -> bool {
        match side {
            Side::Sends => self.direction != Direction::In,
            Side::Receives => self.direction != Direction::Out,
        }
    }
}

impl Way {
    /// The two ends, in words.
    pub(crate) fn ends(&self) -> String {
        format!("{} to {}", self.from, self.to)
    }

    pub(crate) async fn send(&self, probes: Probes) -> Result<ProbeReport, FaultError> {
        let prober = Arc::clone(&self.prober);
        let sent = tokio::task::spawn_blocking(move || prober.send(probes)).await;
        sent.unwrap_or_else(|error| Err(std::io::Error::other(error)))
            .map_err(|error| FaultError::Probe { fault: self.fault, error })
    }

    /// Sends probes until `seen` accepts what came of them; what it says of the last if it never
    /// does.
    pub(crate) async fn until<T>(
        &self,
        probes: Probes,
        within: Duration,
        seen: impl Fn(&ProbeReport) -> Result<T, String>,
    ) -> Result<T, FaultError> {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            match seen(&self.send(probes).await?) {
                Ok(seen) => return Ok(seen),
                Err(missing) if tokio::time::Instant::now() >= deadline => {
                    let (fault, on) = (self.fault, self.ends());
                    return Err(FaultError::NotWitnessed { fault, on, missing, within });
                }
                Err(_) => {}
            }
        }
    }
}

/// Probes enough to see a share of them: 40 are expected to be hit, of 4000 probes at most.
pub(crate) fn probes_for(share: f64) -> Probes {
    let count = (40.0 / share.max(1e-9)).clamp(200.0, 4000.0);
    Probes {
        count: count as u32,
        every: Duration::from_micros(500),
        bytes: 64,
        patience: Duration::from_millis(100),
    }
}

/// Whether so many of so many is what a share gives by chance, where hits come in rows of so many.
pub(crate) fn is_share(hits: u32, of: u32, share: f64, row: f64) -> bool {
    let (hits, of) = (f64::from(hits), f64::from(of));
    let deviation = (of * share * (1.0 - share) * (2.0 * row - 1.0)).sqrt();
    // None at all is no share, however small the one that was asked.
    (hits > 0.0 || share <= 0.0) && (hits - of * share).abs() <= SIGMAS * deviation + 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_told_from_another_and_from_none() {
        assert!(is_share(20, 200, 0.1, 1.0) && is_share(30, 200, 0.1, 1.0));
        assert!(!is_share(0, 200, 0.1, 1.0) && !is_share(60, 200, 0.1, 1.0));
        assert!(is_share(200, 200, 1.0, 1.0) && !is_share(190, 200, 1.0, 1.0));
        assert!(is_share(60, 200, 0.1, 10.0), "ten in a row spread wider");
        assert_eq!(probes_for(0.5).count, 200);
        assert_eq!(probes_for(0.02).count, 2000);
        assert_eq!(probes_for(0.0).count, 4000);
    }
}
