//! What the planner knows of one prefix, and what follows from it.

use std::sync::Arc;

use redstart_bgp::time::Instant;

use super::{
    super::{
        model::{Form, Route},
        object::NexthopId,
        reason::{InstallState, ParkReason},
    },
    objects::Objects,
};

/// What we believe the kernel holds under our key. An [`Entry`] keeps it in a smaller form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Belief {
    /// Nothing.
    Absent,
    /// This route.
    Ours(Arc<Form>),
    /// A route of ours, but not which (it was refused an exclusive add, or lost legs).
    Unknown,
    /// Nothing, or a route of ours: the kernel may have flushed it, or did not answer. This one, if
    /// we know which.
    Maybe(Option<Arc<Form>>),
}

/// A [`Belief`] without the route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum There {
    #[default]
    Absent,
    /// And the entry is forgotten.
    Forgotten,
    Ours,
    Unknown,
    Maybe,
}

/// Which operation comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need<'a> {
    Nothing,
    Add(&'a Arc<Route>),
    Replace(&'a Arc<Route>),
    Delete(Option<&'a Arc<Form>>),
}

/// Everything about a prefix that is wanted or believed installed. There may be a million of these.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) desired: Option<Arc<Route>>,
    there: There,
    /// The route that is there, or may be, if we know which.
    form: Option<Arc<Form>>,
    /// In one of the queues.
    pub(super) queued: bool,
    /// An operation waits for its answer.
    pub(super) in_flight: bool,
    /// The kernel's state moved under the operation in flight.
    pub(super) disturbed: bool,
    /// Found at start; kept though not (yet) wanted.
    pub(super) stale: bool,
    /// An operation was on its way since the dump that is being made was asked for: which of the two
    /// came first is not known.
    pub(super) overlaps: bool,
    /// The dump that is being compared with shows a route under our key.
    pub(super) seen: bool,
    /// Somebody else has a route to the prefix.
    pub(super) foreign: bool,
}

impl Entry {
    /// The kernel holds nothing of ours.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self.there, There::Absent | There::Forgotten)
    }

    /// One of which nothing is left to know, and which nobody names.
    pub(super) fn forgotten() -> Self {
        Self {
            there: There::Forgotten,
            ..Self::default()
        }
    }

    pub(super) fn is_forgotten(&self) -> bool {
        self.there == There::Forgotten
    }

    /// The kernel may hold a route of ours.
    pub(super) fn may_be_there(&self) -> bool {
        self.in_flight || !self.is_absent()
    }

    /// The kernel holds this route of ours.
    pub(super) fn ours(&self) -> Option<&Arc<Form>> {
        self.form.as_ref().filter(|_| self.there == There::Ours)
    }

    /// It is not known whether the kernel holds anything of ours.
    pub(super) fn is_doubtful(&self) -> bool {
        self.there == There::Maybe
    }

    /// Believes this, and has `objects` know which of them is used.
    pub(super) fn believe(&mut self, belief: Belief, objects: &mut Objects) {
        let before = self.object();
        (self.there, self.form) = match belief {
            Belief::Absent => (There::Absent, None),
            Belief::Ours(form) => (There::Ours, Some(form)),
            Belief::Unknown => (There::Unknown, None),
            Belief::Maybe(form) => (There::Maybe, form),
        };
        let after = self.object();
        if before != after {
            after.into_iter().for_each(|id| objects.hold(id));
            before.into_iter().for_each(|id| objects.let_go(id));
        }
    }

    /// The object that the route names, or may.
    fn object(&self) -> Option<NexthopId> {
        self.form.as_ref()?.object()
    }

    pub(super) fn believes(&self, belief: &Belief) -> bool {
        let (there, form) = match belief {
            Belief::Absent => (There::Absent, None),
            Belief::Ours(form) => (There::Ours, Some(form)),
            Belief::Unknown => (There::Unknown, None),
            Belief::Maybe(form) => (There::Maybe, form.as_ref()),
        };
        self.there == there && self.form.as_ref() == form
    }

    /// What is there may be gone.
    pub(super) fn doubt(&mut self) {
        self.there = There::Maybe;
    }

    /// What to do, given the trouble of this prefix.
    pub(super) fn need(&self, objects: &Objects, trouble: Option<&Trouble>) -> Need<'_> {
        if self.in_flight {
            return Need::Nothing;
        }
        if self.desired.is_none() && self.stale && !self.foreign {
            return Need::Nothing;
        }
        let mut wanted = self.desired.as_ref().filter(|_| !self.foreign);
        if let Some(trouble) = trouble.filter(|t| !t.due) {
            if trouble.deleting || (wanted.is_some() && trouble.holds()) {
                return Need::Nothing;
            }
            wanted = None;
        }
        match (wanted, self.there) {
            (None, There::Absent | There::Forgotten) => Need::Nothing,
            (None, There::Ours | There::Maybe | There::Unknown) => Need::Delete(self.form.as_ref()),
            (Some(route), There::Absent | There::Forgotten | There::Maybe) => Need::Add(route),
            (Some(route), There::Ours) if self.is_as(route, objects) => Need::Nothing,
            (Some(route), There::Ours | There::Unknown) => Need::Replace(route),
        }
    }

    /// Whether the kernel holds what `route` calls for.
    fn is_as(&self, route: &Route, objects: &Objects) -> bool {
        self.ours()
            .is_some_and(|form| objects.satisfies(form, route))
    }

    /// How the prefix stands, where no other route is in the way.
    pub(super) fn state(&self, objects: &Objects, trouble: Option<&Trouble>) -> InstallState {
        match &self.desired {
            None if self.is_absent() && !self.in_flight => InstallState::NotDesired,
            None if self.stale => InstallState::Stale,
            Some(want) if self.is_as(want, objects) && !self.in_flight => InstallState::Installed,
            _ => trouble.map_or(InstallState::Pending, |t| {
                InstallState::Parked(t.reason.clone())
            }),
        }
    }

    /// Whether nothing is left to know.
    pub(super) fn is_idle(&self) -> bool {
        self.desired.is_none()
            && self.is_absent()
            && !(self.in_flight || self.queued || self.overlaps)
    }

    /// Takes what the dump shows under our key for true, unless the dump may be older than what we did
    /// since: then a difference makes uncertain what is there. Whether the belief was wrong.
    pub(super) fn compare(&mut self, shown: Belief, objects: &mut Objects) -> bool {
        if self.believes(&shown) {
            return false;
        }
        if self.overlaps {
            if self.is_absent() {
                self.believe(shown, objects);
            }
            self.doubt();
            return false;
        }
        let was_known = self.ours().is_some();
        self.believe(shown, objects);
        was_known
    }
}

/// An operation failed. Kept apart from [`Entry`]: troubles are few.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) reason: ParkReason,
    pub(super) attempts: u32,
    pub(super) retry_at: Instant,
    /// The wait is over: the next attempt may go out.
    pub(super) due: bool,
    /// What failed was a delete.
    pub(super) deleting: bool,
}

impl Trouble {
    /// Whether what is installed stays as it is while this trouble lasts.
    ///
    /// A route that was refused for a reason of its own must not leave its predecessor behind:
    /// the RIB no longer wants packets to go there.
    const fn holds(&self) -> bool {
        self.reason.is_transient()
    }
}
