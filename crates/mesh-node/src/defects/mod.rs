//! Mistakes that can be planted, for tests of those who look for them.
//!
//! Each one cost somebody weeks. With the feature `defects` the program takes `--defect NAME` and
//! makes that mistake; without it (`none.rs`) every question here answers "no" at compile time and
//! the binary knows none of the names. The rest of the node asks here at the place where the
//! mistake would be made, so that the healthy code stays readable beside it.

#[cfg(not(feature = "defects"))]
mod none;
#[cfg(feature = "defects")]
mod planted;

#[cfg(not(feature = "defects"))]
pub(crate) use none::*;
#[cfg(feature = "defects")]
pub(crate) use planted::*;
