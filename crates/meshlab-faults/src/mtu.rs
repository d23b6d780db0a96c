//! `mtu`: a node's line carries no packet larger than that.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use meshlab_lab::{Lab, LabError, Mtu as LineMtu, Probes};
use meshlab_model::NodeId;

use crate::{
    Applied, Direction, Evidence, Fault, FaultError, Hurts, Settings, Target, Undo,
    fault::DEATH,
    node_links::{NodeLinks, SEEN_WITHIN, Way},
    undo::Rollback,
};

const NAME: &str = "mtu";

/// What IPv6 needs of every line (RFC 8200), and what QUIC's first packets fit in.
const BYTES: u64 = 1280;
/// A line is of Ethernet's size.
const BYTES_MAX: u64 = 1500;
/// IPv4 and UDP headers.
const HEADERS: u64 = 28;

/// Bounds the packets on a node's line, both ways. What is larger is answered by ICMP, or vanishes
/// where the line is a black hole: then the node has to find out by itself what fits.
#[derive(Debug, Clone, Copy)]
pub struct Mtu;

#[async_trait]
impl Fault for Mtu {
    fn name(&self) -> &'static str {
        NAME
    }

    fn hurts(&self) -> Hurts {
        Hurts::LinksOfNode
    }

    fn evidence(&self) -> Evidence {
        Evidence::Unnoticed { none_of: DEATH, why: "a program finds out what fits" }
    }

    async fn apply(&self, target: &Target) -> Result<Applied, FaultError> {
        let lab = target.lab(NAME)?;
        let node = target.one(NAME)?.node.clone();
        let bytes = target.settings.mtu.unwrap_or(BYTES).min(BYTES_MAX);
        let line = LineMtu {
            bytes: u16::try_from(bytes).unwrap_or(u16::MAX),
            black_hole: target.settings.black_hole,
        };
        let rollback = Rollback::new(|| {
            // What failed before is the reason that is told.
            let _ = lab.set_mtu(&node, None);
        });
        lab.set_mtu(&node, Some(line))?;
        let witness = is_bounded(target, bytes, SEEN_WITHIN).await?;
        rollback.keep();
        let target = target.clone();
        let undo = Undo::needed("packets of any size cross again", move || async move {
            open(&lab, &node)?;
            all_cross(&target, SEEN_WITHIN).await
        });
        Ok(Applied { witness, undo: Some(undo) })
    }
}

/// Probes that are so large on the line.
fn probes(bytes: u64) -> Probes {
    Probes {
        count: 3,
        every: Duration::from_millis(5),
        bytes: usize::try_from(bytes.saturating_sub(HEADERS)).unwrap_or(0),
        // None of them is the witness: one that crosses late must not be taken for one that does
        // not.
        patience: Duration::from_secs(1),
    }
}

fn way(target: &Target) -> Result<Way, FaultError> {
    let settings = Settings { direction: Direction::Out, ..target.settings };
    let links = NodeLinks::of(NAME, &Target { settings, ..target.clone() })?;
    links.ways()?.into_iter().next().ok_or(FaultError::NoFarEnd { fault: NAME })
}

/// The witness: a probe of that size crosses, and none that is larger.
async fn is_bounded(target: &Target, bytes: u64, within: Duration) -> Result<String, FaultError> {
    let way = way(target)?;
    let fits = way.until(probes(bytes), within, |seen| match seen.arrived {
        0 => Err(format!("no probe of {bytes} bytes crossed, and those should")),
        _ => Ok(()),
    });
    fits.await?;
    let larger = way.until(probes(BYTES_MAX), within, |seen| match seen.arrived {
        0 => Ok(()),
        arrived => Err(format!("{arrived} of {} probes of {BYTES_MAX} bytes crossed", seen.sent)),
    });
    larger.await?;
    Ok(format!(
        "of probes from {} those of {bytes} bytes crossed, and none of {BYTES_MAX} did",
        way.ends()
    ))
}

fn open(lab: &Arc<Lab>, node: &NodeId) -> Result<(), FaultError> {
    match lab.set_mtu(node, None) {
        // A node that has left the lab has no line.
        Ok(()) | Err(LabError::NoNode(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn all_cross(target: &Target, within: Duration) -> Result<(), FaultError> {
    let way = match way(target) {
        Ok(way) => way,
        Err(FaultError::Lab(LabError::NoNode(_))) => return Ok(()),
        Err(error) => return Err(error),
    };
    let on = way.from.to_string();
    let crossed = way.until(probes(BYTES_MAX), within, |seen| match seen.arrived {
        0 => Err(format!("no probe of {BYTES_MAX} bytes crosses")),
        _ => Ok(()),
    });
    crossed.await.map_err(|error| FaultError::Undo { fault: NAME, on, why: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Talkers;

    const SOON: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn larger_packets_do_not_cross_until_it_is_taken_back() {
        for black_hole in [false, true] {
            let nodes = Talkers::new();
            let settings = Settings { mtu: Some(1300), black_hole, ..Settings::default() };
            let target = nodes.target("a", settings).await;
            let applied = Mtu.apply(&target).await.unwrap();
            let said = "of probes from a to b those of 1300 bytes crossed, and none of 1500 did";
            assert_eq!(applied.witness, said);
            let error = all_cross(&target, SOON).await.unwrap_err().to_string();
            assert!(error.contains("no probe of 1500 bytes crosses"), "{error}");
            applied.undo.unwrap().carry_out().await.unwrap();
            assert_eq!(nodes.lab.mtu(&"a".into()).unwrap(), None);
        }
    }

    #[tokio::test]
    async fn a_line_that_carries_all_or_nothing_is_found_out() {
        let nodes = Talkers::new();
        let target = nodes.target("a", Settings::default()).await;
        let error = is_bounded(&target, 1300, SOON).await.unwrap_err().to_string();
        assert!(error.contains("3 of 3 probes of 1500 bytes crossed"), "{error}");
        nodes.lab.set_cut(&"a".into(), &"b".into(), true).unwrap();
        let error = is_bounded(&target, 1300, SOON).await.unwrap_err().to_string();
        assert!(error.contains("no probe of 1300 bytes crossed"), "{error}");
    }
}
