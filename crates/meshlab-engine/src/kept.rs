//! A mesh that stays up after the tests, for whoever attaches.
//!
//! The record has the end of the test first: what follows is manual and decides nothing. The engine
//! goes on to own every fault's undo, so the end of the keep takes back what was left acting.

use meshlab_model::{EndReason, MeshId, RunEventKind, TestId};

use crate::Engine;

/// Whether a mesh is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// It is not, or not yet.
    Not,
    /// It is.
    Up,
    /// It was, until somebody gave it up.
    Over {
        /// Who.
        by: String,
    },
}

impl Engine {
    /// Whether the mesh of a test that is about to end is to stay.
    pub(crate) fn keeps(&self, test: TestId, failed: bool) -> bool {
        let last = test.0 as usize + 1 >= self.shared.config.tests.len();
        let state = self.shared.state();
        let up = state.meshes.keys().any(|mesh| !state.live(mesh).is_empty());
        // Once the run is being stopped no call is answered any more.
        let wanted = self.shared.config.keep && self.stopped().is_none();
        wanted && up && (last || failed || state.red)
    }

    /// Keeps what is there. The test's end is in the record.
    pub(crate) fn keep(&self) {
        self.shared.recorder.set_manual(true);
        self.shared.kept.send_replace(Keeping::Up);
    }

    /// Records that a mesh is kept, once somebody can attach to it.
    pub fn announce_kept(&self) {
        let (meshes, nodes) = {
            let state = self.shared.state();
            let meshes: Vec<MeshId> = state.meshes.keys().cloned().collect();
            let nodes = meshes.iter().map(|mesh| state.live(mesh).len()).sum::<usize>();
            (meshes, u32::try_from(nodes).unwrap_or(u32::MAX))
        };
        self.shared.event(RunEventKind::Kept { meshes, nodes });
    }

    /// Whether a mesh is kept now.
    pub fn is_kept(&self) -> bool {
        *self.shared.kept.borrow() == Keeping::Up
    }

    /// Gives the mesh up that is kept: every wait ends. False if none is.
    pub fn release(&self, by: &str) -> bool {
        let released = self.shared.kept.send_if_modified(|kept| {
            let up = *kept == Keeping::Up;
            if up {
                *kept = Keeping::Over { by: by.to_owned() };
            }
            up
        });
        if released {
            self.shared.cancel.stop(EndReason::Completed);
        }
        released
    }

    /// Waits until no mesh is kept any more, or the record cannot be written.
    pub async fn released(&self) {
        let mut kept = self.shared.kept.subscribe();
        tokio::select! {
            // The sender lives as long as the engine.
            _ = kept.wait_for(|kept| *kept != Keeping::Up) => {}
            _ = self.shared.cancel.stopped() => {}
        }
    }

    /// Takes back what was left acting by hand, and closes the manual part of the record.
    pub(crate) async fn end_keep(&self) {
        let by = match &*self.shared.kept.borrow() {
            Keeping::Not => return,
            Keeping::Up => "the harness".to_owned(),
            Keeping::Over { by } => by.clone(),
        };
        if let Err(error) = self.close_faults().await {
            self.problem(false, error.to_string(), None);
        }
        self.shared.event(RunEventKind::KeepEnded { by });
        self.shared.recorder.set_manual(false);
    }
}
