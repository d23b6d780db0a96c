//! One direction of a link: what is set on it, and what that does to each packet.
//!
//! `state.rs` has the settings, `draw.rs` the chances, `rate.rs` the pace, `corrupt.rs` the bits.

mod corrupt;
mod draw;
mod rate;
mod state;

pub use state::{
    Bursts, Checksum, Corruption, InvalidSetting, Jitter, LinkState, Rate, Reorder, Reordering,
    Side,
};

pub(crate) use corrupt::flip;

use meshlab_mutants::{Mutant, on};

use self::{
    draw::{Drawn, Streams},
    rate::RateClock,
};
use crate::{
    clock::{Nanos, nanos},
    counters::{DropReason, LinkCounters},
};

/// A place where a state can be set: a pair, or one side of a node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shaper {
    state: LinkState,
    /// Whether anything is set; asked for every packet.
    active: bool,
    clock: RateClock,
}

impl Shaper {
    pub(crate) fn state(&self) -> &LinkState {
        &self.state
    }

    /// Sets a state.
    pub(crate) fn set(&mut self, state: LinkState, now: Nanos) -> Change {
        let times = |state: &LinkState| (state.delay, state.jitter, state.reorder, state.rate);
        let change = Change {
            cut: state.cut && !self.state.cut,
            times: times(&state) != times(&self.state),
        };
        if let Some(rate) = self.state.rate {
            self.clock.change(rate, state.rate, now);
        }
        self.active = !state.is_nothing();
        self.state = state;
        change
    }
}

/// What a new state means for packets in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    /// It cuts what was not cut before.
    pub(crate) cut: bool,
    /// It has packets arrive at other times.
    pub(crate) times: bool,
}

/// One direction of a pair.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) pair: Shaper,
    pub(crate) counters: LinkCounters,
    /// Bytes of its packets that are in flight.
    pub(crate) in_flight_bytes: u64,
    /// When the last packet that keeps its order arrives.
    last_due: Nanos,
    /// The pair's own, those of the sender's node, those of the receiver's.
    streams: [Streams; 3],
}

/// A bit to flip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flip {
    pub(crate) checksum: Checksum,
    /// Which bit, modulo the number that there are.
    pub(crate) bit: u64,
}

/// How a packet crosses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Passage {
    /// When it arrives.
    pub(crate) due: Nanos,
    /// How many more arrive right behind it.
    pub(crate) copies: u8,
    pub(crate) reordered: bool,
    pub(crate) flips: [Option<Flip>; 3],
}

impl Link {
    /// A link with nothing set. `root` is where its streams start.
    pub(crate) fn new(from: usize, to: usize, root: u64) -> Self {
        Self {
            from,
            to,
            pair: Shaper::default(),
            counters: LinkCounters::default(),
            in_flight_bytes: 0,
            last_due: 0,
            streams: [0, 1, 2].map(|place| Streams::new(root, place)),
        }
    }

    /// Decides about a packet of so many bytes that is sent now, by what is set on this pair, on
    /// what its sender sends and on what its receiver receives.
    pub(crate) fn pass(
        &mut self,
        sends: &mut Shaper,
        receives: &mut Shaper,
        now: Nanos,
        bytes: u64,
    ) -> Result<Passage, DropReason> {
        if !self.pair.active && !sends.active && !receives.active {
            let due = self.in_order(now);
            return Ok(Passage { due, copies: 0, reordered: false, flips: [None; 3] });
        }
        let places = [&mut self.pair, sends, receives];
        let mut drawn = [Drawn::default(); 3];
        for ((drawn, streams), place) in drawn.iter_mut().zip(&mut self.streams).zip(&places) {
            *drawn = streams.draw(&place.state);
        }
        let dropped = [
            (
                places.iter().any(|place| place.state.cut) && !on(Mutant::SwitchUncut),
                DropReason::Cut,
            ),
            (drawn.iter().any(|drawn| drawn.lost), DropReason::Loss),
            (drawn.iter().any(|drawn| drawn.burst), DropReason::LossBurst),
        ];
        if let Some((_, reason)) = dropped.into_iter().find(|(dropped, _)| *dropped) {
            return Err(reason);
        }
        let departs = serialise(places, now, bytes).ok_or(DropReason::RateQueue)?;
        let late = drawn.iter().fold(0, |late: Nanos, drawn| late.saturating_add(drawn.late));
        let late = if on(Mutant::SwitchPrompt) { 0 } else { late };
        let due = departs.saturating_add(late);
        let reordered = drawn.iter().any(|drawn| drawn.reordered);
        Ok(Passage {
            due: if reordered { due } else { self.in_order(due) },
            copies: drawn.iter().map(|drawn| u8::from(drawn.twice)).sum(),
            reordered,
            flips: drawn.map(|drawn| drawn.flip),
        })
    }

    /// When a packet arrives that is sent now and draws nothing. After a change, no packet that
    /// was sent before arrives later: a delay or a rate that is gone holds up nobody.
    pub(crate) fn hurry(&mut self, sends: &Shaper, receives: &Shaper, now: Nanos) -> Nanos {
        let places = [&self.pair, sends, receives];
        let departs = places.iter().fold(now, |at, place| match place.state.rate {
            Some(_) => at.max(place.clock.free_at()),
            None => at,
        });
        let latest =
            places.iter().fold(departs, |at, place| at.saturating_add(nanos(place.state.delay)));
        self.last_due = self.last_due.min(latest);
        latest
    }

    /// Forgets what was in flight: it does not arrive, and nothing waits behind it.
    pub(crate) fn ground(&mut self) {
        self.last_due = 0;
        self.pair.clock = RateClock::default();
    }

    /// Not before the packet that was sent before.
    fn in_order(&mut self, due: Nanos) -> Nanos {
        self.last_due = self.last_due.max(due);
        self.last_due
    }
}

/// When a packet has left the slowest of the rates that it meets; `None` if one of their queues is
/// full. In a row of lines the slowest decides, up to the time of one packet on the others; to
/// take the latest of all, each as if it were alone, keeps one slow sender from holding up the
/// others that share a receiver.
fn serialise(places: [&mut Shaper; 3], now: Nanos, bytes: u64) -> Option<Nanos> {
    let fits =
        |place: &Shaper| place.state.rate.is_none_or(|rate| place.clock.fits(rate, now, bytes));
    if !places.iter().all(|place| fits(place)) {
        return None;
    }
    let sent = places.into_iter().filter_map(|place| {
        let rate = place.state.rate?;
        Some(place.clock.send(rate, now, bytes))
    });
    Some(sent.fold(now, Nanos::max))
}

#[cfg(test)]
mod tests;
