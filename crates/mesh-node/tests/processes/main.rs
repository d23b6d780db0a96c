//! Real processes on loopback, driven through the control socket as the harness does.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "a test may fail where it stands"
)]

mod authority;
mod backbone;
mod good_subject;
mod membership;
mod metrics;
mod start;
mod support;
mod work;
