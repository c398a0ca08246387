//! The order of the nodes that are to be drained, on disk beside the control socket. A new version of the
//! speaker comes to one node after the other: if each forgot who was before it, those that wait would
//! all be drained at once.

use std::path::{Path, PathBuf};

use tracing::warn;

use super::beside;
use crate::index::DrainOrder;

/// See the module's page.
#[derive(Debug)]
pub(super) struct Kept {
    path: PathBuf,
    order: DrainOrder,
}

impl Kept {
    /// What was noted beside `socket`. Something that makes no sense is as good as nothing.
    pub(super) fn beside(socket: &Path) -> Self {
        let path = socket.with_extension("drain-order");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let order = text.parse().unwrap_or_default();
        Self { path, order }
    }

    pub(super) const fn order(&self) -> &DrainOrder {
        &self.order
    }

    /// This is the order now.
    pub(super) fn note(&mut self, order: DrainOrder) {
        if order == self.order {
            return;
        }
        if let Err(error) = beside::replace(&self.path, &order.to_string()) {
            warn!(
                reason = "drain-order-not-recorded",
                path = %self.path.display(),
                "after a restart more nodes may be drained than may be at once: {error}"
            );
        }
        self.order = order;
    }
}
