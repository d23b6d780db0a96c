//! Where the node is in its life, as a pure state machine.
//!
//! What others are told is [`Lifecycle::state`]; each function says whether that changed. Dead is
//! never a state of one's own: only others work it out.

use meshlab_wire::State;

/// The node's own state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifecycle {
    wanted: State,
    over_budget: bool,
    disk_refuses: bool,
}

impl Lifecycle {
    /// A node that has somebody to join is Joining; the first of a mesh has nobody to wait for.
    pub(crate) fn new(has_seeds: bool) -> Self {
        let wanted = if has_seeds { State::Joining } else { State::Alive };
        Self { wanted, over_budget: false, disk_refuses: false }
    }

    /// What the node is, and tells others.
    pub(crate) fn state(&self) -> State {
        match (self.wanted, self.reason()) {
            (State::Alive, Some(_)) => State::Degraded,
            (wanted, _) => wanted,
        }
    }

    /// Why the node is Degraded, or would be if it had not been asked to be something else.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        match (self.disk_refuses, self.over_budget) {
            (true, _) => Some("disk"),
            (false, true) => Some("budget"),
            (false, false) => None,
        }
    }

    /// Whether its load is over its budget, as it was told last.
    pub(crate) fn is_over_budget(&self) -> bool {
        self.over_budget
    }

    /// Whether it takes new work.
    pub(crate) fn takes_work(&self) -> bool {
        !matches!(self.wanted, State::Draining | State::Leaving)
    }

    /// The first neighbour came up.
    pub(crate) fn joined(&mut self) -> Option<State> {
        self.change(|this| {
            if this.wanted == State::Joining {
                this.wanted = State::Alive;
            }
        })
    }

    /// The node's load went over its budget, or came back under it.
    pub(crate) fn budget(&mut self, over: bool) -> Option<State> {
        self.change(|this| this.over_budget = over)
    }

    /// The node's disk does not take what it writes, or takes it again.
    pub(crate) fn disk(&mut self, refuses: bool) -> Option<State> {
        self.change(|this| this.disk_refuses = refuses)
    }

    /// The node leaves. There is no way back.
    pub(crate) fn leave(&mut self) -> Option<State> {
        self.change(|this| this.wanted = State::Leaving)
    }

    /// Enters a state that somebody asked for.
    ///
    /// # Errors
    /// A state that cannot be asked for, or a node that leaves already.
    pub(crate) fn set(&mut self, state: State) -> Result<Option<State>, String> {
        if self.wanted == State::Leaving {
            return Err("the node is leaving".to_owned());
        }
        if !matches!(state, State::Alive | State::Updating | State::Draining) {
            return Err(format!(
                "{state} cannot be asked for; Alive, Updating and Draining can, and an orderly \
                 stop makes a node Leaving"
            ));
        }
        Ok(self.change(|this| this.wanted = state))
    }

    fn change(&mut self, act: impl FnOnce(&mut Self)) -> Option<State> {
        let before = self.state();
        act(self);
        let after = self.state();
        (before != after).then_some(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_life() {
        let mut life = Lifecycle::new(true);
        assert_eq!(life.state(), State::Joining);
        assert_eq!(life.joined(), Some(State::Alive));
        assert_eq!(life.joined(), None, "told once");
        assert_eq!(life.budget(true), Some(State::Degraded));
        assert!(life.takes_work(), "a degraded node goes on");
        assert_eq!(life.budget(false), Some(State::Alive));
        assert_eq!(life.set(State::Updating), Ok(Some(State::Updating)));
        assert_eq!(life.budget(true), None, "what it was asked to be goes before its load");
        assert_eq!(life.set(State::Draining), Ok(Some(State::Draining)));
        assert!(!life.takes_work());
        assert_eq!(life.set(State::Alive), Ok(Some(State::Degraded)), "resumed, still over");
        assert_eq!(life.leave(), Some(State::Leaving));
        assert!(life.set(State::Alive).is_err(), "no way back");
    }

    #[test]
    fn it_is_degraded_as_long_as_there_is_one_reason() {
        let mut life = Lifecycle::new(false);
        assert_eq!(life.reason(), None);
        assert_eq!(life.disk(true), Some(State::Degraded));
        assert_eq!(life.reason(), Some("disk"));
        assert_eq!(life.budget(true), None, "it is already");
        assert_eq!(life.disk(false), None);
        assert_eq!((life.state(), life.reason()), (State::Degraded, Some("budget")));
        assert_eq!(life.budget(false), Some(State::Alive));
    }

    #[test]
    fn nobody_can_be_told_to_be_dead() {
        for state in [State::Joining, State::Degraded, State::Leaving, State::Dead] {
            assert!(Lifecycle::new(false).set(state).is_err(), "{state}");
        }
    }
}
