//! Removing everything under given marks, outside of the plan: for an uninstall, and for what is left
//! under marks that are not used any more.

use super::{NetlinkError, NetlinkHandle, Outcomes};
use crate::fib::{KernelOp, OpError, OpId, Removal, Request};

/// Operations per batch.
const BATCH: usize = 256;

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Routes.
    pub routes: u64,
    /// Nexthop objects.
    pub nexthops: u64,
}

/// Something is left.
#[derive(Debug, thiserror::Error)]
pub enum RemovalError {
    /// The kernel's tables cannot be read.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// The kernel keeps something.
    #[error("{left} routes and nexthop objects are left: {last}")]
    Left {
        /// How many.
        left: usize,
        /// The last answer.
        last: OpError,
    },
}

impl NetlinkHandle {
    /// Removes what is to go, and looks again until nothing of it is left: several routes may be under
    /// one key.
    ///
    /// # Errors
    /// Something could not be removed.
    pub async fn remove(&self, removal: &Removal) -> Result<Removed, RemovalError> {
        let mut removed = Removed::default();
        loop {
            let requests = removal.requests(&self.dump().await?);
            let (before, mut last) = (removed, OpError::Lost);
            for batch in requests.chunks(BATCH) {
                let outcomes = self.apply(numbered(batch)).await;
                count(batch, outcomes, &mut removed, &mut last);
            }
            if requests.is_empty() {
                return Ok(removed);
            }
            if removed == before {
                let left = requests.len();
                return Err(RemovalError::Left { left, last });
            }
        }
    }
}

fn numbered(batch: &[Request]) -> Vec<KernelOp> {
    let ids = (0..).map(OpId);
    let op = |(id, request): (OpId, &Request)| KernelOp {
        id,
        request: request.clone(),
    };
    ids.zip(batch).map(op).collect()
}

fn count(batch: &[Request], outcomes: Outcomes, removed: &mut Removed, last: &mut OpError) {
    for (request, (_, outcome)) in batch.iter().zip(outcomes) {
        match (outcome, request) {
            (Ok(()), Request::Route { .. }) => removed.routes += 1,
            (Ok(()), Request::Nexthop { .. }) => removed.nexthops += 1,
            (Err(error), _) => *last = error,
        }
    }
}
