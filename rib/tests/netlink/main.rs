//! Planner, resolver and driver against the real kernel: the lies that the fake one imitates, and
//! what we make of them.
//!
//! Each test lives in a network namespace of its own, which goes away with the thread that made it,
//! however the test ends. Needs root; without it the tests fail. What the kernel holds is asked of
//! `ip`, not of the code under test.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is a test, helpers included"
)]

mod driver;
mod lab;
mod lies;
mod neighbours;
mod nexthops;
mod routes;
mod soak;
