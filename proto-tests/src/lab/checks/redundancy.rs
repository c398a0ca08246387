//! Two ways out of the rack, and one of them fails.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::routes::{expected, wait_all};
use crate::lab::Lab;

/// Stops a router: the nodes keep the way through the other one, and only that.
pub fn router_stopped(lab: &mut Lab, router: &str) -> Result<Duration> {
    lab.stop_router(router)?;
    let mut left = lab.topology.clone();
    left.routers.retain(|other| other.name != router);
    wait_all(lab, &expected(&left), Duration::from_secs(2)).context("a router stopped")
}
