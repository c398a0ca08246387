//! Our nexthop objects: which there are, what each leads to, and what must be written before a route
//! can name one.
//!
//! The table works like the planner's own: what an object shall be, what we believe is there, and
//! operations made from the difference when they are needed. A route that needs a group has the
//! group's operations sent before its own, in the same batch and without waiting for the answers:
//! the kernel works through them in order, and a route whose group was refused is refused as well.
//!
//! **The kernel is harder on objects than on routes** (measured on Linux 6.18; `tests/netlink`):
//! a link that merely loses its carrier takes the legs on it along, groups shrink by those, a group
//! without a leg goes, and so does each route that names it. No event tells of any of this, and
//! nothing comes back with the carrier. So the group that is written for a set of gateways is of those
//! whose links are usable ([`Objects::effective`]), and what links do is followed here.

mod table;
mod unused;
mod write;

use core::time::Duration;
use std::{borrow::Cow, collections::BTreeSet, net::IpAddr};

use foldhash::fast::FixedState;
use redstart_bgp::{time::Instant, types::Family};
use smallvec::SmallVec;

use self::{
    table::Table,
    unused::{Leaving, Unused},
};
use super::{
    super::{
        model::{FibConfig, Form, NexthopStyle, Route, RouteKind, Target},
        object::{Leg, Member, NexthopChange, NexthopId, Resilient},
        reason::ParkReason,
    },
    links::Links,
};
use crate::nexthop::{Gateway, NexthopSet};

/// What we believe the kernel holds under an id of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum There {
    /// Nothing.
    Absent,
    /// What shall be there.
    Same,
    /// An object of ours, but not as it shall be.
    Other,
    /// Nothing, or an object of ours.
    Maybe,
}

/// What an object shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Leg(Leg),
    Group {
        set: NexthopSet,
        /// Of the routes that it was made for.
        family: Family,
        members: SmallVec<[Member; 2]>,
        /// What it was, while a change of it is not confirmed.
        before: Option<Box<NexthopSet>>,
    },
    /// Of ours, and of no use: found so, or refused a change.
    Debris,
}

impl Content {
    /// The legs of a group.
    fn members(&self) -> &[Member] {
        match self {
            Self::Group { members, .. } => members,
            Self::Leg(_) | Self::Debris => &[],
        }
    }
}

/// There are two for each set of gateways, so a large cluster has thousands.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) content: Content,
    pub(super) there: There,
    pub(super) in_flight: bool,
    /// The kernel's state moved under the operation in flight.
    pub(super) disturbed: bool,
    pub(super) trouble: Option<Box<Trouble>>,
    leaving: Leaving,
}

/// An object that was refused.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub(super) reason: ParkReason,
    pub(super) attempts: u32,
    pub(super) retry_at: Instant,
}

/// A neighbour that is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Avoided {
    pub(super) neighbour: IpAddr,
    /// The link, where the address means another neighbour on every link.
    pub(super) link: Option<u32>,
}

impl Avoided {
    fn is(&self, gateway: &Gateway) -> bool {
        gateway.via == Some(self.neighbour) && self.link.is_none_or(|l| l == gateway.ifindex)
    }
}

/// Operations on objects, to be sent in this order.
pub(super) type Changes = SmallVec<[(NexthopId, NexthopChange); 4]>;

/// See the module's page.
#[derive(Debug)]
pub(super) struct Objects {
    pub(super) links: Links,
    /// Whether groups are used at all, and of which kind.
    style: NexthopStyle,
    first_id: u32,
    linger: Duration,
    /// Neighbours that are lost, though not every route says so yet.
    avoided: SmallVec<[Avoided; 2]>,
    pub(super) table: Table,
    unused: Unused,
    /// Ids that somebody else uses.
    taken: BTreeSet<NexthopId>,
    next_offset: u32,
    /// No id was left once: then routes name their gateways, rather than now this and now that.
    exhausted: bool,
    /// To be written before anything else.
    pub(super) dirty: BTreeSet<NexthopId>,
    /// Operations on these were on their way since the dump that is being made was asked for.
    pub(super) overlapping: BTreeSet<NexthopId>,
}

impl Objects {
    pub(super) fn new(config: &FibConfig, hasher: &FixedState) -> Self {
        Self {
            links: Links::new(hasher.clone()),
            style: config.nexthops,
            first_id: config.first_nexthop_id.get(),
            linger: config.nexthop_linger,
            avoided: SmallVec::new(),
            table: Table::new(config, hasher.clone()),
            unused: Unused::default(),
            taken: BTreeSet::new(),
            next_offset: 0,
            exhausted: false,
            dirty: BTreeSet::new(),
            overlapping: BTreeSet::new(),
        }
    }

    /// From now on routes name their gateways in this way. Groups of another kind are not used again.
    pub(super) fn set_style(&mut self, style: NexthopStyle) {
        if self.style != style {
            self.style = style;
            self.exhausted = false;
            for (id, _) in self.groups_that(|_| true) {
                self.table.hide(id);
                self.change(id, Content::Debris);
            }
        }
    }

    pub(super) fn is_used(&self) -> bool {
        matches!(self.style, NexthopStyle::Objects { .. })
    }

    fn resilient(&self) -> Option<Resilient> {
        match self.style {
            NexthopStyle::Objects { resilient } => resilient,
            NexthopStyle::Inline => None,
        }
    }

    /// Whether a route that is written as `form` is as `route` shall be.
    pub(super) fn satisfies(&self, form: &Form, route: &Route) -> bool {
        if form.prefsrc != route.prefsrc {
            return false;
        }
        match (&form.target, &route.kind) {
            (Target::Blackhole, RouteKind::Blackhole) => true,
            (Target::Gateways(there), RouteKind::Unicast(want)) => {
                there == want && (!self.is_used() || self.exhausted)
            }
            (Target::Object(id), RouteKind::Unicast(want)) => {
                self.is_used()
                    && self
                        .leads_to(*id)
                        .is_some_and(|set| set == want || *set == *self.effective(want))
            }
            _ => false,
        }
    }

    /// The gateways of a group.
    pub(super) fn leads_to(&self, id: NexthopId) -> Option<&NexthopSet> {
        match &self.table.get(id)?.content {
            Content::Group { set, .. } => Some(set),
            Content::Leg(_) | Content::Debris => None,
        }
    }

    /// The gateways that can be used now, out of those that are wanted; all of them if none can.
    pub(super) fn effective<'a>(&self, set: &'a NexthopSet) -> Cow<'a, NexthopSet> {
        let usable = |g: &Gateway| self.links.is_usable(g.ifindex);
        let wanted = |g: &Gateway| !self.avoided.iter().any(|a| a.is(g));
        if set.as_slice().iter().all(|g| usable(g) && wanted(g)) {
            return Cow::Borrowed(set);
        }
        let best = set.filter(|g| usable(g) && wanted(g));
        let living = || set.filter(usable);
        let left = if best.is_empty() { living() } else { best };
        if left.is_empty() {
            Cow::Borrowed(set)
        } else {
            Cow::Owned(left)
        }
    }

    /// How routes of `family` towards `set` are to be written. A group that is new here is not in
    /// the kernel yet: see [`prepare`](Self::prepare).
    pub(super) fn target(&mut self, set: &NexthopSet, family: Family) -> Target {
        if !self.is_used() {
            return Target::Gateways(set.clone());
        }
        let effective = self.effective(set);
        let known = (self.table).group(&effective, |id| self.serves(id, family));
        if let Some(id) = known {
            return Target::Object(id);
        }
        let effective = effective.into_owned();
        match self.new_group(effective, family) {
            Some(id) => Target::Object(id),
            None => Target::Gateways(set.clone()),
        }
    }

    fn new_group(&mut self, set: NexthopSet, family: Family) -> Option<NexthopId> {
        let members = self.members(&set, family)?;
        let id = self.free_id()?;
        self.insert(
            id,
            Content::Group {
                set,
                family,
                members,
                before: None,
            },
            There::Absent,
        );
        Some(id)
    }

    /// Whether routes of `family` may name the group: a leg without a gateway is of one family.
    fn serves(&self, id: NexthopId, family: Family) -> bool {
        match self.table.get(id).map(|o| &o.content) {
            Some(Content::Group {
                set, family: own, ..
            }) => *own == family || set.as_slice().iter().all(|g| g.via.is_some()),
            _ => false,
        }
    }

    fn members(&mut self, set: &NexthopSet, family: Family) -> Option<SmallVec<[Member; 2]>> {
        let mut members = SmallVec::new();
        for gateway in set.as_slice() {
            members.push(Member {
                leg: self.leg_for(Leg::of(gateway, family))?,
                weight: gateway.weight,
            });
        }
        members.sort_unstable();
        Some(members)
    }

    fn leg_for(&mut self, leg: Leg) -> Option<NexthopId> {
        if let Some(id) = self.table.leg(&leg) {
            return Some(id);
        }
        let id = self.free_id()?;
        self.insert(id, Content::Leg(leg), There::Absent);
        Some(id)
    }

    /// An id that nobody uses. They are given out in turn, so that one that was just given up is not
    /// soon something else.
    fn free_id(&mut self) -> Option<NexthopId> {
        if self.exhausted {
            return None;
        }
        for _ in 0..FibConfig::NEXTHOP_IDS {
            let id = NexthopId(self.first_id.saturating_add(self.next_offset));
            self.next_offset = (self.next_offset + 1) % FibConfig::NEXTHOP_IDS;
            if self.table.get(id).is_none() && !self.taken.contains(&id) {
                return Some(id);
            }
        }
        self.exhausted = true;
        None
    }

    pub(super) fn insert(&mut self, id: NexthopId, content: Content, there: There) {
        self.hold_legs(&content);
        let object = Object {
            content,
            there,
            in_flight: false,
            disturbed: false,
            trouble: None,
            leaving: Leaving::No,
        };
        self.table.insert(id, object);
        self.table.show(id);
        self.note(id);
    }

    pub(super) fn remove(&mut self, id: NexthopId) {
        self.table.hide(id);
        self.dirty.remove(&id);
        self.forget_leaving(id);
        if let Some(object) = self.table.remove(id) {
            self.let_go_of_legs(&object.content);
        }
    }

    /// Makes something else of an object that is hidden.
    fn change(&mut self, id: NexthopId, content: Content) {
        self.hold_legs(&content);
        if let Some(object) = self.table.get_mut(id) {
            let before = core::mem::replace(&mut object.content, content);
            self.let_go_of_legs(&before);
        }
    }

    /// The id is somebody else's. Whether that was a surprise: then what used it must be done anew.
    pub(super) fn take(&mut self, id: NexthopId) -> bool {
        self.taken.insert(id);
        if self.table.get(id).is_none() {
            return false;
        }
        for group in self.groups_with(id) {
            self.abandon(group);
            if let Some(object) = self.table.get_mut(group) {
                object.doubt(There::Maybe);
            }
        }
        self.remove(id);
        true
    }

    /// The id is nobody's.
    pub(super) fn release(&mut self, id: NexthopId) {
        self.taken.remove(&id);
    }

    pub(super) fn release_all(&mut self) {
        self.taken.clear();
    }

    /// The object is there, or may be, but not as it shall be, and cannot be made so: no route shall
    /// name it.
    pub(super) fn abandon(&mut self, id: NexthopId) {
        self.table.hide(id);
        self.dirty.remove(&id);
        self.change(id, Content::Debris);
    }

    /// The groups that have this leg.
    pub(super) fn groups_with(&self, leg: NexthopId) -> Vec<NexthopId> {
        let has = |o: &Object| o.content.members().iter().any(|m| m.leg == leg);
        let groups = self.table.iter().filter(|(_, o)| has(o));
        groups.map(|(id, _)| id).collect()
    }

    /// Makes `id` lead to `set`, and with it every route that names it.
    pub(super) fn retarget(&mut self, id: NexthopId, set: &NexthopSet) -> bool {
        let Some(object) = self.table.get(id) else {
            return false;
        };
        let Content::Group {
            set: was,
            family,
            before,
            ..
        } = &object.content
        else {
            return false;
        };
        let family = *family;
        let before = if object.there == There::Same && !object.in_flight {
            Some(Box::new(was.clone()))
        } else {
            before.clone()
        };
        let Some(members) = self.members(set, family) else {
            return false;
        };
        self.table.hide(id);
        let content = Content::Group {
            set: set.clone(),
            family,
            members,
            before,
        };
        self.change(id, content);
        self.table.show(id);
        let Some(object) = self.table.get_mut(id) else {
            return false;
        };
        object.trouble = None;
        if object.there == There::Same {
            object.there = There::Other;
        }
        self.dirty.insert(id);
        true
    }

    /// The group leads where it did before a change that was refused.
    pub(super) fn revert(&mut self, id: NexthopId, before: &NexthopSet) {
        self.retarget(id, before);
        self.dirty.remove(&id);
        if let Some(object) = self.table.get_mut(id) {
            object.there = There::Same;
            object.forget_before();
        }
    }

    /// Whether the group may be led to `set` with all its routes: it is known where it leads now, so
    /// that it can go back if it is refused, and nothing speaks against where it shall lead.
    pub(super) fn can_move(&self, id: NexthopId, set: &NexthopSet) -> bool {
        let known = |o: &Object| o.there == There::Same && !o.in_flight;
        self.is_used()
            && self.table.get(id).is_some_and(known)
            && set
                .as_slice()
                .iter()
                .all(|g| self.links.is_usable(g.ifindex))
    }

    /// Whether it is about to be known where every group leads.
    pub(super) fn is_moving(&self) -> bool {
        let dirty = self.dirty.iter().filter_map(|id| self.table.get(*id));
        let on_its_way = self.table.iter().any(|(_, o)| o.in_flight);
        on_its_way || dirty.into_iter().any(|o| o.trouble.is_none())
    }

    /// Leads traffic away from a neighbour, in every group that has another leg left.
    pub(super) fn avoid(&mut self, avoided: Avoided) -> bool {
        if !self.avoided.contains(&avoided) {
            self.avoided.push(avoided);
        }
        let mut shrunk = false;
        for (id, set) in self.groups_that(|g| avoided.is(g)) {
            let left = self.effective(&set).into_owned();
            shrunk |= left != set && self.retarget(id, &left);
        }
        shrunk
    }

    /// Nothing is avoided any more; whether something was.
    pub(super) fn stop_avoiding(&mut self) -> bool {
        let any = !self.avoided.is_empty();
        self.avoided.clear();
        any
    }

    /// The groups that have such a gateway, with all their gateways.
    fn groups_that(&self, matches: impl Fn(&Gateway) -> bool) -> Vec<(NexthopId, NexthopSet)> {
        let groups = self.table.iter().filter_map(|(id, o)| match &o.content {
            Content::Group { set, .. } if set.as_slice().iter().any(&matches) => {
                Some((id, set.clone()))
            }
            _ => None,
        });
        groups.collect()
    }

    /// The links `lost` failed, and the kernel has removed what was on them; some may be usable again. The groups
    /// that have lost their last leg, and with it their routes, or may have, if those of `moved` failed at the
    /// same time.
    pub(super) fn lose_links(
        &mut self,
        lost: &BTreeSet<u32>,
        moved: &BTreeSet<u32>,
    ) -> Vec<NexthopId> {
        let mut any_leg = false;
        for (_, object) in self.table.iter_mut() {
            if matches!(&object.content, Content::Leg(leg) if lost.contains(&leg.ifindex)) {
                object.doubt(There::Maybe);
                any_leg = true;
            }
        }
        let mut emptied = Vec::new();
        // Where these lead now is not known, so this may have been their last leg.
        for (id, object) in self.table.iter_mut() {
            if any_leg && object.is_unknown_group() {
                object.doubt(There::Maybe);
                emptied.push(id);
            }
        }
        for (id, set) in self.groups_that(|g| lost.contains(&g.ifindex)) {
            let left = set.filter(|g| self.links.is_usable(g.ifindex));
            let is_kept = |g: &Gateway| !moved.contains(&g.ifindex);
            if left.as_slice().iter().any(is_kept) {
                self.retarget(id, &left);
            } else if !emptied.contains(&id) {
                emptied.push(id);
            }
            if let Some(object) = self.table.get_mut(id) {
                object.doubt(if emptied.contains(&id) {
                    There::Maybe
                } else {
                    There::Other
                });
            }
        }
        emptied
    }

    /// Lets everything be tried again that waits for a link.
    pub(super) fn retry_links(&mut self) {
        for (_, object) in self.table.iter_mut() {
            if object
                .trouble
                .as_ref()
                .is_some_and(|t| t.reason.depends_on_links())
            {
                object.trouble = None;
            }
        }
    }
}

impl Object {
    /// Whether the kernel may hold a group that leads we do not know where.
    fn is_unknown_group(&self) -> bool {
        match self.content {
            Content::Leg(_) => false,
            Content::Debris => true,
            Content::Group { .. } => {
                self.in_flight || matches!(self.there, There::Other | There::Maybe)
            }
        }
    }

    /// Whether who uses it now goes elsewhere than it shall.
    const fn is_wrong(&self) -> bool {
        match (&self.content, self.there) {
            (Content::Group { .. }, There::Other | There::Maybe)
            | (Content::Leg(_), There::Other) => !self.in_flight,
            _ => false,
        }
    }

    /// It is not known any more what the group was before its change.
    pub(super) fn forget_before(&mut self) {
        if let Content::Group { before, .. } = &mut self.content {
            *before = None;
        }
    }

    /// The kernel's state moved: a change that is refused from now on does not leave what was there
    /// before.
    pub(super) fn doubt(&mut self, there: There) {
        self.forget_before();
        if self.in_flight {
            self.disturbed = true;
        } else {
            self.there = there;
        }
    }
}
