//! Prefixes of the tables, page by page: the core walks in bounded steps, each asked for when what the
//! one before found is taken.

use redstart_bgp::types::Prefix;
use redstart_rib::rib::Cursor;
use tokio::sync::mpsc;

use super::{Query, Walk, ask, select::Busy};

/// What is still to come.
#[derive(Debug)]
pub(super) struct Pages {
    /// Those of the last step, the next one last.
    left: Vec<Prefix>,
    /// Where the next step begins.
    next: Option<Cursor>,
}

impl Pages {
    /// These, without a walk.
    pub(super) const fn of(left: Vec<Prefix>) -> Self {
        Self { left, next: None }
    }

    /// Those that a walk from the beginning finds.
    pub(super) const fn walked() -> Self {
        Self {
            left: Vec::new(),
            next: Some(Cursor::START),
        }
    }

    /// The next ones, `most` of them; an empty page is not the end. `walk` says what a step looks for.
    pub(super) async fn next(
        &mut self,
        core: &mpsc::Sender<Query>,
        most: usize,
        walk: impl FnOnce(Cursor) -> Walk,
    ) -> Result<Option<Vec<Prefix>>, Busy> {
        if self.left.is_empty() {
            let Some(from) = self.next.take() else {
                return Ok(None);
            };
            let walk = walk(from);
            let walked = ask(core, |reply| Query::Walk(walk, reply)).await;
            let walked = walked.ok_or(Busy)?;
            self.left = walked.prefixes;
            self.left.reverse();
            self.next = walked.next;
        }
        let rest = self.left.len().saturating_sub(most);
        Ok(Some(self.left.drain(rest..).rev().collect()))
    }
}
