//! The Adj-RIB-Out of one peer and family: what it was told, and what it must be told again.
//!
//! Nothing is queued for a peer. It has a set of prefixes that may have changed, and what it was
//! last told of each; when its socket can take more, the current state is computed, compared and
//! sent. A route that flaps while the peer is slow costs nothing, and memory is bounded by the
//! number of prefixes.
//!
//! What was told is a sparse array by prefix slot, in pages: four octets a route where a peer takes
//! everything, one page where it takes a handful.

use crate::ids::{AttrId, DirtySet, PrefixId};

const PAGE: usize = 256;

#[derive(Clone, Debug)]
struct Page {
    slots: [Option<AttrId>; PAGE],
    used: u16,
}

/// What one peer was told and must be told in one family.
#[derive(Debug, Default)]
pub(crate) struct AdjOut {
    pages: Vec<Option<Box<Page>>>,
    len: usize,
    /// Prefixes to look at again.
    pub(crate) dirty: DirtySet,
    /// Those among them to send even if nothing changed: the peer asked (RFC 2918).
    pub(crate) resend: DirtySet,
}

impl AdjOut {
    /// How many routes the peer holds from us.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// What the peer was last told of a prefix.
    pub(crate) fn sent(&self, id: PrefixId) -> Option<AttrId> {
        let page = self.pages.get(id.index() / PAGE)?.as_ref()?;
        page.slots[id.index() % PAGE]
    }

    /// Notes what the peer is told now; gives back what it was told before.
    pub(crate) fn set_sent(&mut self, id: PrefixId, attr: Option<AttrId>) -> Option<AttrId> {
        let (at, slot) = (id.index() / PAGE, id.index() % PAGE);
        if at >= self.pages.len() {
            // Nothing was told, nothing is: no page for that.
            attr?;
            self.pages.resize_with(at + 1, || None);
        }
        let page = match &mut self.pages[at] {
            Some(page) => page,
            None if attr.is_none() => return None,
            empty => empty.insert(Box::new(Page {
                slots: [None; PAGE],
                used: 0,
            })),
        };
        let before = core::mem::replace(&mut page.slots[slot], attr);
        match (before.is_some(), attr.is_some()) {
            (false, true) => {
                page.used += 1;
                self.len += 1;
            }
            (true, false) => {
                page.used -= 1;
                self.len -= 1;
            }
            _ => {}
        }
        if page.used == 0 {
            self.pages[at] = None;
        }
        before
    }

    /// Every route that the peer holds from us.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (PrefixId, AttrId)> + '_ {
        self.pages.iter().enumerate().flat_map(|(at, page)| {
            let slots = page.as_ref().map_or([].as_slice(), |page| &page.slots);
            slots
                .iter()
                .enumerate()
                .filter_map(move |(i, attr)| Some((PrefixId::new(at * PAGE + i), (*attr)?)))
        })
    }

    /// Marks everything that the peer was told, to be said again as it is now.
    pub(crate) fn resend_all(&mut self) {
        let ids: Vec<PrefixId> = self.iter().map(|(id, _)| id).collect();
        for id in ids {
            self.dirty.insert(id);
            self.resend.insert(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_come_and_go() {
        let mut out = AdjOut::default();
        let (near, far) = (PrefixId::new(1), PrefixId::new(100_000));
        let attr = Some(AttrId::new(4));
        assert_eq!(out.set_sent(far, None), None);
        assert!(out.pages.is_empty());
        assert_eq!(out.set_sent(far, attr), None);
        assert_eq!(out.set_sent(near, attr), None);
        assert_eq!((out.sent(far), out.sent(PrefixId::new(2))), (attr, None));
        assert_eq!(
            out.iter().map(|(id, _)| id).collect::<Vec<_>>(),
            [near, far]
        );
        assert_eq!(out.set_sent(far, None), attr);
        assert_eq!(out.len(), 1);
        assert_eq!(out.pages.iter().flatten().count(), 1);
    }
}
