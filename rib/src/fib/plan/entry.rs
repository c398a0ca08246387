//! What the planner knows of one prefix, and what follows from it.

use std::sync::Arc;

use redstart_bgp::time::Instant;

use super::{
    super::{
        model::{Form, Route},
        reason::{InstallState, ParkReason},
    },
    objects::Objects,
};

/// What we believe the kernel holds under our key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Belief {
    /// Nothing.
    #[default]
    Absent,
    /// This route.
    Ours(Arc<Form>),
    /// A route of ours, but not which (it was refused an exclusive add, or lost legs).
    Unknown,
    /// Nothing, or a route of ours: the kernel may have flushed it, or did not answer. This one, if
    /// we know which.
    Maybe(Option<Arc<Form>>),
}

impl Belief {
    pub(super) const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// The same, but the kernel may have removed it.
    pub(super) fn doubted(self) -> Self {
        match self {
            Self::Ours(form) => Self::Maybe(Some(form)),
            Self::Maybe(form) => Self::Maybe(form),
            Self::Absent | Self::Unknown => Self::Maybe(None),
        }
    }
}

/// Which operation comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Nothing,
    Add(Arc<Route>),
    Replace(Arc<Route>),
    Delete(Option<Arc<Form>>),
}

/// Everything about a prefix that is wanted or believed installed. There may be a million of these.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) desired: Option<Arc<Route>>,
    pub(super) belief: Belief,
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
}

impl Entry {
    /// What to do, given the trouble of this prefix and whether somebody else has a route to it.
    pub(super) fn need(&self, objects: &Objects, trouble: Option<&Trouble>, foreign: bool) -> Need {
        if self.in_flight {
            return Need::Nothing;
        }
        if self.desired.is_none() && self.stale && !foreign {
            return Need::Nothing;
        }
        let mut wanted = self.desired.as_ref().filter(|_| !foreign);
        if let Some(trouble) = trouble.filter(|t| !t.due) {
            if trouble.deleting || (wanted.is_some() && trouble.holds()) {
                return Need::Nothing;
            }
            wanted = None;
        }
        match (wanted, &self.belief) {
            (None, Belief::Absent) => Need::Nothing,
            (None, Belief::Ours(there)) => Need::Delete(Some(Arc::clone(there))),
            (None, Belief::Maybe(there)) => Need::Delete(there.clone()),
            (None, Belief::Unknown) => Need::Delete(None),
            (Some(route), Belief::Absent | Belief::Maybe(_)) => Need::Add(Arc::clone(route)),
            (Some(route), Belief::Ours(there)) if objects.satisfies(there, route) => Need::Nothing,
            (Some(route), Belief::Ours(_) | Belief::Unknown) => Need::Replace(Arc::clone(route)),
        }
    }

    /// How the prefix stands, where no other route is in the way.
    pub(super) fn state(&self, objects: &Objects, trouble: Option<&Trouble>) -> InstallState {
        match (&self.desired, &self.belief) {
            (None, Belief::Absent) if !self.in_flight => InstallState::NotDesired,
            (None, _) if self.stale => InstallState::Stale,
            (Some(want), Belief::Ours(there))
                if objects.satisfies(there, want) && !self.in_flight =>
            {
                InstallState::Installed
            }
            _ => trouble.map_or(InstallState::Pending, |t| {
                InstallState::Parked(t.reason.clone())
            }),
        }
    }

    /// Whether nothing is left to know.
    pub(super) fn is_idle(&self) -> bool {
        self.desired.is_none()
            && self.belief.is_absent()
            && !(self.in_flight || self.queued || self.overlaps)
    }

    /// Takes what the dump shows under our key for true, unless the dump may be older than what we did
    /// since: then a difference makes uncertain what is there. Whether the belief was wrong.
    pub(super) fn compare(&mut self, shown: Belief) -> bool {
        if self.belief == shown {
            return false;
        }
        if self.overlaps {
            let belief = core::mem::take(&mut self.belief);
            self.belief = match belief {
                Belief::Absent => shown.doubted(),
                belief => belief.doubted(),
            };
            return false;
        }
        let was_known = matches!(self.belief, Belief::Ours(_));
        self.belief = shown;
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
