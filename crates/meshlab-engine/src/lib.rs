//! stub
mod host;
pub mod results;
pub use host::*;
