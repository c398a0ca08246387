//! What rules make of a route's attributes.

use std::{borrow::Cow, collections::BTreeSet};

use redstart_bgp::types::PathAttributes;

use super::{Change, Communities, CommunityPattern, SafeDefaults, SetNextHop};

/// A route that passed, as the rules made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Passed<'a> {
    /// Its attributes, but for what depends on the session: see the other fields.
    pub(crate) attrs: Cow<'a, PathAttributes>,
    /// Whether a rule decided about its MED.
    pub(crate) med_decided: bool,
    /// How often to prepend.
    pub(crate) prepend: u8,
    /// The next hop to set.
    pub(crate) next_hop: Option<SetNextHop>,
    /// The safe defaults that do not hold for it.
    pub(crate) overrides: SafeDefaults,
}

impl<'a> Passed<'a> {
    pub(super) const fn unchanged(attrs: Cow<'a, PathAttributes>) -> Self {
        Self {
            attrs,
            med_decided: false,
            prepend: 0,
            next_hop: None,
            overrides: SafeDefaults::NONE,
        }
    }

    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::LocalPref(number) => self.attrs.to_mut().local_pref = Some(*number),
            Change::Med(med) => {
                self.attrs.to_mut().med = *med;
                self.med_decided = true;
            }
            Change::ReplaceCommunities(communities) => {
                let attrs = self.attrs.to_mut();
                attrs.communities = Box::default();
                attrs.extended_communities = Box::default();
                attrs.large_communities = Box::default();
                add(attrs, communities);
            }
            Change::RemoveCommunities(patterns) => remove(self.attrs.to_mut(), patterns),
            Change::AddCommunities(communities) => add(self.attrs.to_mut(), communities),
            Change::Prepend(times) => self.prepend = self.prepend.saturating_add(*times),
            Change::NextHop(next_hop) => self.next_hop = Some(*next_hop),
        }
    }
}

/// Lists of communities are sorted and without duplicates.
fn add(attrs: &mut PathAttributes, more: &Communities) {
    fn union<T: Copy + Ord>(list: &mut Box<[T]>, more: &BTreeSet<T>) {
        if !more.is_empty() {
            let all: BTreeSet<T> = list.iter().chain(more).copied().collect();
            *list = all.into_iter().collect();
        }
    }
    union(&mut attrs.communities, &more.standard);
    union(&mut attrs.extended_communities, &more.extended);
    union(&mut attrs.large_communities, &more.large);
}

fn remove(attrs: &mut PathAttributes, patterns: &[CommunityPattern]) {
    fn keep<T: Copy>(list: &mut Box<[T]>, unwanted: impl Fn(T) -> bool) {
        *list = list.iter().copied().filter(|c| !unwanted(*c)).collect();
    }
    let any = |has: &dyn Fn(&CommunityPattern) -> bool| patterns.iter().any(has);
    keep(&mut attrs.communities, |c| any(&|p| p.has_standard(c)));
    keep(&mut attrs.extended_communities, |c| {
        any(&|p| p.has_extended(c))
    });
    keep(&mut attrs.large_communities, |c| any(&|p| p.has_large(c)));
}
