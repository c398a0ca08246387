//! What answers, events and links mean for our nexthop objects, and for the routes that name them.

use std::{collections::BTreeSet, net::IpAddr};

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use redstart_bgp::time::Instant;
use smallvec::SmallVec;

use super::{
    super::{
        kernel::{Dump, KernelEvent, OpError},
        model::{NexthopStyle, Route, RouteKind, Target},
        object::{KernelNexthop, Leg, Member, NexthopChange, NexthopId, NexthopSpec},
        reason::{ParkReason, errno},
    },
    Planner,
    objects::{Avoided, Content, Object, There, Trouble},
};
use crate::nexthop::NexthopSet;

/// What all routes that name a group want of it.
enum Verdict {
    /// All the same, and not what it leads to.
    Move(NexthopSet),
    /// Each must be looked at.
    Mixed,
}

impl Planner {
    /// A neighbour is lost: traffic moves away from it, at once and by one operation for each group
    /// of gateways, wherever another way is left. What the RIB makes of the loss will be the same,
    /// prefix by prefix; until it has said all of it ([`caught_up`](Self::caught_up)) the neighbour
    /// is not used again. A link-local address is one on a link.
    ///
    /// Whether there was anything to move.
    pub fn avoid(&mut self, neighbour: IpAddr, link: Option<u32>) -> bool {
        self.objects.avoid(Avoided { neighbour, link })
    }

    /// The RIB has said everything that follows from what happened so far.
    pub fn caught_up(&mut self) {
        self.review |= self.objects.stop_avoiding();
    }

    /// From now on routes name their gateways in this way; those that do otherwise are replaced, one
    /// by one and without a gap.
    pub fn set_nexthop_style(&mut self, style: NexthopStyle) {
        if self.config.nexthops != style {
            self.config.nexthops = style;
            self.objects.set_style(style);
            self.review = true;
        }
    }

    /// Compares every route with what the object that it names has come to lead to. An object of
    /// which all its routes want the same is changed as one.
    pub(super) fn review(&mut self) {
        if !self.review || self.objects.is_moving() {
            return;
        }
        self.review = false;
        let hasher = self.entries.hasher();
        let mut verdicts: HashMap<NexthopId, Verdict, FixedState> = HashMap::with_hasher(hasher);
        let mut wrong = Vec::new();
        for (slot, _, entry) in self.entries.iter() {
            let Some(form) = entry.ours() else {
                continue;
            };
            let satisfied =
                (entry.desired.as_ref()).is_some_and(|want| self.objects.satisfies(form, want));
            if !satisfied && entry.desired.is_some() {
                wrong.push(slot);
            }
            if let Target::Object(id) = form.target {
                let wish = (entry.desired.as_ref())
                    .filter(|want| !satisfied && want.prefsrc == form.prefsrc)
                    .and_then(|want| self.wish(want));
                let verdict = verdicts.get(&id);
                let same = match (verdict, &wish) {
                    (Some(Verdict::Move(all)), Some(wish)) => all == wish,
                    (None, Some(_)) => true,
                    _ => false,
                };
                if verdict.is_none() || !same {
                    let mixed = Verdict::Mixed;
                    verdicts.insert(id, wish.filter(|_| same).map_or(mixed, Verdict::Move));
                }
            }
        }
        for (id, verdict) in verdicts {
            if let Verdict::Move(set) = verdict
                && self.objects.can_move(id, &set)
            {
                self.objects.retarget(id, &set);
            }
        }
        for slot in wrong {
            self.touch(slot);
        }
    }

    fn wish(&self, want: &Route) -> Option<NexthopSet> {
        match &want.kind {
            RouteKind::Unicast(set) => Some(self.objects.effective(set).into_owned()),
            RouteKind::Blackhole => None,
        }
    }

    /// The outcome of an operation on an object.
    pub(super) fn on_nexthop_reply(
        &mut self,
        now: Instant,
        id: NexthopId,
        change: &NexthopChange,
        result: Result<(), OpError>,
    ) {
        let Some(object) = self.objects.table.get_mut(id) else {
            return;
        };
        object.in_flight = false;
        self.settle_nexthop(now, id, change, result);
        self.objects.note(id);
    }

    fn settle_nexthop(
        &mut self,
        now: Instant,
        id: NexthopId,
        change: &NexthopChange,
        result: Result<(), OpError>,
    ) {
        let Some(object) = self.objects.table.get_mut(id) else {
            return;
        };
        let disturbed = core::mem::take(&mut object.disturbed);
        if disturbed && result.is_err() && object.there != There::Absent {
            object.there = There::Maybe;
            object.forget_before();
        }
        match (change, result) {
            (NexthopChange::Delete, Ok(())) => self.objects.remove(id),
            (NexthopChange::Delete, Err(OpError::Refused(e)))
                if matches!(e.errno, errno::ENOENT | errno::ESRCH) =>
            {
                self.objects.remove(id);
            }
            (NexthopChange::Replace(_), Err(OpError::Refused(e))) if e.errno == errno::ENOENT => {
                let there = if disturbed {
                    There::Maybe
                } else {
                    There::Absent
                };
                object.forget_before();
                self.objects.write_again(id, there);
                self.doubt(&|_, form| form.names(id));
            }
            (NexthopChange::Add(spec) | NexthopChange::Replace(spec), Ok(())) => {
                self.forbidden = None;
                self.counters.nexthops_written += 1;
                object.trouble = None;
                object.forget_before();
                let is_wanted = self.objects.spec(id).as_ref() == Some(spec);
                let there = match (disturbed, is_wanted) {
                    (true, _) => There::Maybe,
                    (false, true) => There::Same,
                    // Something else was wanted meanwhile.
                    (false, false) => There::Other,
                };
                self.objects.write_again(id, there);
            }
            (change, Err(error)) => self.nexthop_failed(now, id, change, error),
        }
    }

    fn nexthop_failed(
        &mut self,
        now: Instant,
        id: NexthopId,
        change: &NexthopChange,
        error: OpError,
    ) {
        let reason = self.nexthop_reason(id, error);
        let Some(object) = self.objects.table.get_mut(id) else {
            return;
        };
        match &reason {
            ParkReason::NoReply => {
                self.counters.lost += 1;
                object.there = There::Maybe;
                object.forget_before();
                if matches!(change, NexthopChange::Replace(_)) {
                    self.objects.dirty.insert(id);
                }
                self.request_resync(now);
            }
            ParkReason::PermissionDenied => {
                self.counters.refused += 1;
                return self.forbid(now);
            }
            // What may have been ours is there.
            ParkReason::RouteExists if object.there == There::Maybe => {
                object.there = There::Other;
                self.objects.dirty.insert(id);
                return;
            }
            // Somebody else's: routes that name it meanwhile are corrected.
            ParkReason::RouteExists => {
                self.counters.refused += 1;
                self.objects.take(id);
                self.review = true;
                return self.request_resync(now);
            }
            ParkReason::Kernel(e) if e.errno == errno::EOPNOTSUPP => {
                return self.set_nexthop_style(NexthopStyle::Inline);
            }
            _ => self.counters.refused += 1,
        }
        let trouble = self.objects.table.get(id).and_then(|o| o.trouble.as_ref());
        let attempts = trouble.map_or(0, |t| t.attempts);
        let retry_at = now + self.backoff(attempts);
        if reason != ParkReason::NoReply {
            self.give_up_change(id);
        }
        if let Some(object) = self.objects.table.get_mut(id) {
            let attempts = attempts.saturating_add(1);
            object.trouble = Some(Box::new(Trouble {
                reason,
                attempts,
                retry_at,
            }));
            // Groups go by a leg as it is, so it is not left at that.
            if object.there == There::Other && matches!(object.content, Content::Leg(_)) {
                self.objects.dirty.insert(id);
            }
        }
    }

    /// A group that was refused a change is what it was, if that is known. Either way its routes must
    /// go elsewhere.
    pub(super) fn give_up_change(&mut self, id: NexthopId) {
        let Some(object) = self.objects.table.get_mut(id) else {
            return;
        };
        let Content::Group { before, .. } = &mut object.content else {
            return;
        };
        match before.take() {
            Some(before) => self.objects.revert(id, &before),
            None if object.there == There::Absent => return,
            None => self.objects.abandon(id),
        }
        let hit: Vec<_> = self
            .entries
            .iter()
            .filter(|(.., e)| e.ours().is_some_and(|form| form.names(id)))
            .map(|(slot, ..)| slot)
            .collect();
        for slot in hit {
            self.touch(slot);
        }
    }

    /// Why an object was refused: for a group, what is wrong with its leg; the kernel calls it
    /// invalid. And it says "invalid" of a link that does not exist.
    fn nexthop_reason(&self, id: NexthopId, error: OpError) -> ParkReason {
        let reason = ParkReason::from(error);
        let ParkReason::Kernel(e) = &reason else {
            return reason;
        };
        if e.errno != errno::EINVAL {
            return reason;
        }
        match self.objects.table.get(id).map(|o| &o.content) {
            Some(Content::Leg(leg)) if self.objects.links.get(leg.ifindex).is_none() => {
                ParkReason::NoSuchInterface
            }
            Some(Content::Group { members, .. }) => members
                .iter()
                .filter_map(|m| self.objects.table.get(m.leg)?.trouble.as_ref())
                .map(|t| t.reason.clone())
                .next()
                .unwrap_or(reason),
            _ => reason,
        }
    }

    /// An object appeared or changed, and it was not by an operation of ours.
    pub(super) fn on_nexthop(&mut self, nexthop: &KernelNexthop) {
        let id = nexthop.id;
        if !self.config.is_our_nexthop(id) {
            return;
        }
        if nexthop.protocol != self.config.protocol {
            // It took the place of ours, if there was one.
            if self.objects.take(id) {
                self.review = true;
                self.doubt(&|_, form| form.names(id));
            }
            return;
        }
        let same = nexthop.spec == self.objects.spec(id);
        let Some(object) = self.objects.table.get_mut(id) else {
            return self.adopt_nexthop(nexthop);
        };
        object.doubt(if same { There::Same } else { There::Other });
        if same {
            object.trouble = None;
        }
        if !same && !object.in_flight && object.content != Content::Debris {
            self.counters.disturbed += 1;
            self.objects.dirty.insert(id);
        }
    }

    /// An object is gone, and not by an operation of ours: the routes that named it are gone too. `there`:
    /// what may be in its place.
    pub(super) fn on_nexthop_gone(&mut self, id: NexthopId, there: There) {
        self.objects.release(id);
        let Some(object) = self.objects.table.get_mut(id) else {
            return;
        };
        self.counters.disturbed += 1;
        object.doubt(there);
        if !matches!(object.content, Content::Leg(_)) {
            self.doubt(&|_, form| form.names(id));
            self.retry_invalid();
        }
    }

    /// The kernel tells of an object after the routes that went with it. Those that were written again
    /// before we heard of the object were refused as invalid, and need not wait.
    fn retry_invalid(&mut self) {
        let mut due = Vec::new();
        for (prefix, trouble) in &mut self.troubles {
            let invalid =
                matches!(&trouble.reason, ParkReason::Kernel(e) if e.errno == errno::EINVAL);
            if invalid && !trouble.due {
                trouble.due = true;
                due.push(*prefix);
            }
        }
        for prefix in due {
            self.touch_prefix(prefix);
        }
    }

    /// An object of ours that this process did not make: from before a restart.
    fn adopt_nexthop(&mut self, nexthop: &KernelNexthop) {
        let content = match &nexthop.spec {
            Some(NexthopSpec::Leg(leg)) => Content::Leg(*leg),
            Some(NexthopSpec::Group(group)) => {
                self.leads_to(&group.members)
                    .map_or(Content::Debris, |(set, family)| Content::Group {
                        set,
                        family,
                        members: group.members.clone(),
                        before: None,
                    })
            }
            None => Content::Debris,
        };
        self.objects.insert(nexthop.id, content, There::Same);
        // One of another kind, resilient or not.
        if self.objects.spec(nexthop.id) != nexthop.spec {
            self.objects.remove(nexthop.id);
            self.objects
                .insert(nexthop.id, Content::Debris, There::Same);
        }
    }

    /// The gateways of these legs, and which routes may use them.
    fn leads_to(
        &self,
        members: &SmallVec<[Member; 2]>,
    ) -> Option<(NexthopSet, redstart_bgp::types::Family)> {
        let mut legs: Vec<(Leg, u8)> = Vec::new();
        for member in members {
            match self.objects.table.get(member.leg)?.content {
                Content::Leg(leg) => legs.push((leg, member.weight)),
                _ => return None,
            }
        }
        let direct = legs.iter().find(|(leg, _)| leg.via.is_none());
        let family = direct.or(legs.first())?.0.family;
        let set = legs.iter().map(|(leg, weight)| leg.gateway(*weight));
        Some((set.collect(), family))
    }

    /// Whoever took one of our ids while the dump was made has it.
    pub(super) fn respect_strangers(&mut self, dump: &Dump) {
        for event in &dump.since {
            if let KernelEvent::Nexthop(nexthop) = event
                && self.config.is_our_nexthop(nexthop.id)
                && nexthop.protocol != self.config.protocol
            {
                self.review |= self.objects.take(nexthop.id);
            }
        }
    }

    /// Compares every belief with the objects that the kernel holds, and adopts those of ours that
    /// are not known here.
    pub(super) fn resync_nexthops(&mut self, dump: &Dump) {
        self.objects.release_all();
        let hasher = self.entries.hasher();
        let mut seen: HashSet<NexthopId, FixedState> = HashSet::with_hasher(hasher);
        // Legs first: groups are understood by them.
        let is_leg = |n: &&KernelNexthop| matches!(n.spec, Some(NexthopSpec::Leg(_)));
        let (legs, others): (Vec<_>, Vec<_>) = dump.nexthops.iter().partition(is_leg);
        let overlapping = core::mem::take(&mut self.objects.overlapping);
        let mut uncertain = overlapping.clone();
        for nexthop in legs.into_iter().chain(others) {
            let id = nexthop.id;
            let is_ours = nexthop.protocol == self.config.protocol;
            if is_ours && overlapping.contains(&id) {
                if nexthop.spec == self.objects.spec(id) {
                    uncertain.remove(&id);
                    // If the operation is refused, something else has made it so.
                    if let Some(object) = self.objects.table.get_mut(id) {
                        object.forget_before();
                    }
                }
            } else {
                self.on_nexthop(nexthop);
            }
            if is_ours {
                seen.insert(id);
            }
        }
        seen.extend(&overlapping);
        // The dump may be older than what was done to these.
        for id in uncertain {
            if let Some(object) = self.objects.table.get_mut(id) {
                object.doubt(There::Maybe);
                self.objects.dirty.insert(id);
            }
        }
        let is_missing = |id: NexthopId, o: &Object| {
            (o.in_flight || o.there != There::Absent) && !seen.contains(&id)
        };
        let objects = self.objects.table.iter();
        let missing: Vec<_> = objects
            .filter(|(id, o)| is_missing(*id, o))
            .map(|(id, _)| id)
            .collect();
        for id in missing {
            if let Some(object) = self.objects.table.get_mut(id) {
                object.doubt(There::Absent);
            }
        }
    }

    /// The links `lost` cannot be used any more, or could not for a while. Objects on them are gone, and routes
    /// that named those. `moved`: those that may have been lost together with them.
    pub(super) fn lose_nexthops(&mut self, lost: &BTreeSet<u32>, moved: &BTreeSet<u32>) {
        if lost.is_empty() {
            return;
        }
        let emptied = self.objects.lose_links(lost, moved);
        if emptied.is_empty() {
            return;
        }
        self.doubt(&|_, form| match form.target {
            Target::Object(id) => emptied.contains(&id),
            Target::Gateways(_) | Target::Blackhole => false,
        });
    }
}
