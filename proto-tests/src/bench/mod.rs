//! How fast, and in how much memory: Redstart beside BIRD, FRR, GoBGP and OpenBGPD, in one run.
//!
//! A run is rows times rounds times daemons, interleaved, so that a machine that gets slower gets
//! slower for all. For each the daemon is started fresh in a network namespace, with a cable to
//! another one where a [`play`]er acts all its neighbours: some send messages that were made before,
//! monitors keep the exact table and know the moment in which the last prefix became right. What the
//! daemon's processes cost is read from `/proc` by the same player ([`usage`]).
//!
//! | file | job |
//! |---|---|
//! | [`table`] | routes, and the messages that carry them |
//! | [`churn`] | a day of changes |
//! | [`exact`] | held against expected |
//! | [`peer`] | one neighbour: a blocking socket |
//! | [`keeper`] | KEEPALIVEs for all of them |
//! | [`row`] | what is measured, and the neighbours that it takes |
//! | [`daemon`] | the five daemons: configuration, start |
//! | `start` | a daemon starts, and runs |
//! | [`ground`] | namespaces and cable |
//! | [`play`] | one row with one daemon |
//! | [`asking`] | an operator who asks meanwhile |
//! | [`report`] | medians and ratios |
//! | [`questions`] | what an operator asks of a full table |
//!
//! Routes into the kernel are measured in another way: [`kernel`].

pub mod asking;
pub mod churn;
pub mod daemon;
pub mod exact;
pub mod ground;
pub mod keeper;
pub mod kernel;
pub mod peer;
pub mod play;
pub mod policy;
pub mod questions;
pub mod report;
pub mod row;
mod start;
pub mod table;
pub mod usage;
