//! How many routes stand how, without looking at each of them: there may be a million, and who asks for a number
//! must not keep everybody else waiting.
//!
//! Each entry is counted by what it says itself, whenever it was looked at. Troubles, which are few, and what holds
//! for all are asked when somebody wants to know.

use std::collections::BTreeMap;

use redstart_bgp::types::Family;

use super::{
    super::reason::{InstallState, ParkReason},
    Planner,
    entry::Entry,
};

/// How an entry counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Count {
    /// Neither wanted nor there.
    #[default]
    Nothing,
    /// Wanted, and nothing is to be done.
    Settled,
    /// Wanted, and in a queue.
    Queued,
    /// Wanted, and the kernel has not answered.
    Sent,
    /// Wanted, and somebody else has a route to the prefix.
    Blocked,
    /// There, and not wanted any more.
    Leaving,
    /// There, and not wanted yet.
    Stale,
}

impl Count {
    const ALL: [Self; 7] = [
        Self::Nothing,
        Self::Settled,
        Self::Queued,
        Self::Sent,
        Self::Blocked,
        Self::Leaving,
        Self::Stale,
    ];

    pub(super) fn of(entry: &Entry) -> Self {
        match &entry.desired {
            None if !entry.may_be_there() => Self::Nothing,
            None if entry.stale => Self::Stale,
            None => Self::Leaving,
            Some(_) if entry.foreign => Self::Blocked,
            Some(_) if entry.in_flight => Self::Sent,
            Some(_) if entry.queued => Self::Queued,
            Some(_) => Self::Settled,
        }
    }
}

/// How many entries count how, in the order of [`Count`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts([usize; Count::ALL.len()]);

impl Counts {
    pub(super) const fn recount(&mut self, before: Count, after: Count) {
        self.0[before as usize] = self.0[before as usize].wrapping_sub(1);
        self.0[after as usize] = self.0[after as usize].wrapping_add(1);
    }

    const fn take_one(&mut self, count: Count) {
        self.0[count as usize] = self.0[count as usize].wrapping_sub(1);
    }

    /// Without those that are neither wanted nor there.
    fn iter(&self) -> impl Iterator<Item = (Count, usize)> + '_ {
        Count::ALL.into_iter().zip(self.0).skip(1)
    }
}

/// How many routes stand how. While something is being changed, one that waits in a queue is pending, also where its
/// turn will show that nothing is to be done, and one that names a changed object is not, until it was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FibTotals {
    /// In the kernel as wanted, all of them and those of IPv6.
    pub installed: u64,
    /// Those of IPv6 among them.
    pub installed_ipv6: u64,
    /// On their way.
    pub pending: u64,
    /// Not in the kernel, by the [identifier](ParkReason::id) of the reason.
    pub parked: BTreeMap<&'static str, u64>,
    /// Left from before a restart.
    pub stale: u64,
}

impl FibTotals {
    pub(super) fn add(&mut self, state: &InstallState, family: Family, number: u64) {
        match state {
            _ if number == 0 => {}
            InstallState::Installed => {
                self.installed += number;
                if family == Family::Ipv6Unicast {
                    self.installed_ipv6 += number;
                }
            }
            InstallState::Pending => self.pending += number,
            InstallState::Parked(reason) => *self.parked.entry(reason.id()).or_default() += number,
            InstallState::Stale => self.stale += number,
            InstallState::NotDesired => {}
        }
    }
}

impl Planner {
    /// How many routes stand how: what [`iter`](Self::iter) says of each, in the time that the troubled ones take.
    #[must_use]
    pub fn totals(&self) -> FibTotals {
        let mut totals = FibTotals::default();
        let mut counts = Family::ALL.map(|family| (family, self.entries.counts(family)));
        for prefix in self.troubles.keys() {
            let Some(slot) = self.entries.find(*prefix) else {
                continue;
            };
            let state = self.status_of(slot);
            let of_family = counts.iter_mut().find(|(f, _)| *f == prefix.family());
            if let Some((family, counts)) = of_family
                && matches!(state, InstallState::Parked(_))
            {
                counts.take_one(self.entries.counted(slot));
                totals.add(&state, *family, 1);
            }
        }
        for (family, counts) in counts {
            for (count, number) in counts.iter() {
                totals.add(&self.state_of(count), family, number as u64);
            }
        }
        totals
    }

    /// How an entry without trouble stands.
    fn state_of(&self, count: Count) -> InstallState {
        match count {
            Count::Nothing => InstallState::NotDesired,
            Count::Settled => InstallState::Installed,
            Count::Queued if self.forbidden.is_some() => {
                InstallState::Parked(ParkReason::PermissionDenied)
            }
            Count::Queued | Count::Sent | Count::Leaving => InstallState::Pending,
            // Whose they are makes no difference to the number.
            Count::Blocked => InstallState::Parked(ParkReason::ForeignRoute {
                protocol: 0,
                metric: 0,
            }),
            Count::Stale => InstallState::Stale,
        }
    }
}
