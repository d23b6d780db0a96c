//! Acts by hand: lines of Lua for the prompt of a mesh. Who runs them is elsewhere.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};

/// Acts that wait for the one before them.
const ACTS_MAX: usize = 16;

/// Bytes of one act.
pub(crate) const ACT_BYTES_MAX: usize = 16 * 1024;

/// Something that somebody wants done.
#[derive(Debug)]
pub struct Act {
    /// Lua, as at the prompt.
    pub text: String,
    /// Whether it ran to its end, and what was said.
    pub answer: oneshot::Sender<(bool, String)>,
}

/// The way to the mesh, as long as it is in somebody's hands.
#[derive(Debug, Default)]
pub struct Steering(Mutex<Option<mpsc::Sender<Act>>>);

impl Steering {
    /// Opens the way; acts come out of what is returned until [`Steering::close`].
    pub fn open(&self) -> mpsc::Receiver<Act> {
        let (to, acts) = mpsc::channel(ACTS_MAX);
        *self.to() = Some(to);
        acts
    }

    /// Closes it: nothing more can be done.
    pub fn close(&self) {
        *self.to() = None;
    }

    /// Has something done, and says what came of it.
    ///
    /// # Errors
    /// Why it cannot be done.
    pub(crate) async fn act(&self, text: String) -> Result<(bool, String), String> {
        let closed = || {
            "nothing can be done by hand any more: the tests are over, and there is no mesh; \
             `meshlab run --keep --ui` leaves it up after them"
                .to_owned()
        };
        if text.len() > ACT_BYTES_MAX {
            return Err(format!("an act has at most {ACT_BYTES_MAX} bytes"));
        }
        let to = self.to().clone().ok_or_else(closed)?;
        let (answer, answered) = oneshot::channel();
        let full = || "too many acts wait for the ones before them; try again".to_owned();
        to.try_send(Act { text, answer }).map_err(|_| full())?;
        drop(to);
        answered.await.map_err(|_| "the mesh was ended meanwhile".to_owned())
    }

    /// Whether something can be done.
    pub(crate) fn is_open(&self) -> bool {
        self.to().is_some()
    }

    fn to(&self) -> MutexGuard<'_, Option<mpsc::Sender<Act>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
