//! The live page: a run in a browser, while it lasts and afterwards.
//!
//! Open `model/mod.rs` first: the fold that a page shows. `board.rs` holds one for each run that
//! somebody looks at and looks after its folder (`tail.rs`: of a run that another process writes),
//! `session.rs` pushes its changes to a page, `server.rs` lets in who knows the
//! token, `routes.rs` answers questions (runs, curves, spans, logs), and `page/` is what the
//! browser runs, as it stands: no build makes it. The crate reads records through
//! `meshlab_engine::results`, judges nothing itself and does nothing while nobody looks.

mod assets;
mod board;
mod guard;
mod live;
mod memory;
mod model;
mod routes;
mod runs;
mod saved;
mod series;
mod server;
mod session;
mod slopes;
mod steering;
mod tail;

pub use live::Live;
pub use runs::Ceilings;
pub use server::{House, Rehearse, Server};
pub use steering::{Act, Steering};
