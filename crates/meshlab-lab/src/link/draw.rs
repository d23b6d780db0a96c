//! Chances: what each packet draws, from a stream of its own for each impairment.

use meshlab_stats::Stream;

use super::{Bursts, Flip, Jitter, LinkState, Reordering};
use crate::clock::{Nanos, nanos};

/// The streams of one place on the way of one direction of a pair.
#[derive(Debug)]
pub(super) struct Streams {
    loss: Stream,
    burst: Stream,
    jitter: Stream,
    duplicate: Stream,
    reorder: Stream,
    corrupt: Stream,
    bit: Stream,
    /// Whether the model of bursts is in its bad state.
    in_burst: bool,
}

/// What a packet drew.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Drawn {
    pub(super) lost: bool,
    pub(super) burst: bool,
    /// Delay, jitter and gap together.
    pub(super) late: Nanos,
    pub(super) twice: bool,
    pub(super) reordered: bool,
    pub(super) flip: Option<Flip>,
}

impl Streams {
    /// The streams of the place with this number below a pair's root. The loss of place 0 has the
    /// first stream.
    pub(super) fn new(root: u64, place: u64) -> Self {
        let stream = |number| Stream::numbered(root, place * 16 + number);
        Self {
            loss: stream(0),
            burst: stream(1),
            jitter: stream(2),
            duplicate: stream(3),
            reorder: stream(4),
            corrupt: stream(5),
            bit: stream(6),
            in_burst: false,
        }
    }

    /// Draws everything that is on, whatever else happens to the packet.
    pub(super) fn draw(&mut self, state: &LinkState) -> Drawn {
        let reordered = state.reorder.filter(|reorder| self.reorder.happens(reorder.share));
        let flip = state.corrupt.filter(|corrupt| self.corrupt.happens(corrupt.share));
        let delay = self.delayed(state);
        Drawn {
            lost: self.loss.happens(state.loss),
            burst: self.bursts(state.bursts),
            late: match reordered.map(|reorder| reorder.how) {
                None => delay,
                Some(Reordering::Overtake) => 0,
                Some(Reordering::HoldBack(gap)) => delay.saturating_add(nanos(gap)),
            },
            twice: self.duplicate.happens(state.duplicate),
            reordered: reordered.is_some(),
            flip: flip.map(|corrupt| Flip { checksum: corrupt.checksum, bit: self.bit.draw() }),
        }
    }

    fn bursts(&mut self, bursts: Option<Bursts>) -> bool {
        let Some(Bursts { share, mean_packets }) = bursts else {
            self.in_burst = false;
            return false;
        };
        // The bad state is left with 1/mean. It is entered so often that its share of all packets,
        // enter / (enter + leave), is what was asked for.
        let leave = 1.0 / mean_packets;
        let enter = if share >= 1.0 { 1.0 } else { leave * share / (1.0 - share) };
        let drawn = self.burst.share();
        self.in_burst = if self.in_burst { share >= 1.0 || drawn >= leave } else { drawn < enter };
        self.in_burst
    }

    fn delayed(&mut self, state: &LinkState) -> Nanos {
        let varies = match state.jitter {
            Jitter::None => return nanos(state.delay),
            Jitter::Uniform(spread) => spread.as_secs_f64() * (2.0 * self.jitter.share() - 1.0),
            Jitter::Normal(deviation) => deviation.as_secs_f64() * self.jitter.normal(),
        };
        // A float to an integer saturates, below zero at zero.
        ((state.delay.as_secs_f64() + varies) * 1e9).round() as Nanos
    }
}
