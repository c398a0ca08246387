//! Addresses of Services that come and go with their endpoints, held a while. Pure.
//!
//! A pod that fails its probe every minute must not make every router of the fabric change its routes
//! twice a minute, and a node whose proxy has just heard of an endpoint need not have traffic that
//! very moment. So, where the configuration says so, an address is told only when it could be served
//! for some time (`minReadySeconds`), and is kept for some time after its last endpoint went
//! (`withdrawDelaySeconds`).
//!
//! What is no matter of endpoints is not kept: a Service that goes, a node that is excluded, an
//! advertisement that changes. What changes its shape alone does not wait: an address takes over from an
//! aggregate that it was told by. An aggregate waits only after a boot; later on what it stands for has been
//! told, or is one more address of a node whose proxy works.
//!
//! How long an address could be served is what a speaker has seen itself. So after a boot of the host, of
//! which nobody has seen anything, every address waits: neither the pods nor the node's proxy need be
//! ready for what the API server still says of them. After a restart of the speaker alone, what an earlier
//! one had told ([`told`]) is told at once, and what it had not told waits.

mod told;

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
};

use redstart_bgp::{time::Instant, types::Prefix};

pub(super) use self::told::Told;
use crate::{
    compile::{DesiredState, Origination, ServiceTable},
    control::Held,
};

/// For which addresses what is in force is not what the objects ask for.
#[derive(Debug, Default)]
pub(super) struct HoldDown {
    /// Not told yet, until then.
    waiting: BTreeMap<Prefix, Instant>,
    /// Told still, until then.
    lingering: BTreeMap<Prefix, (Instant, Arc<Origination>)>,
    past: Past,
}

/// What was told before this process.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Past {
    /// Nothing, or what it was does not count any more.
    #[default]
    Nothing,
    /// All there was: nothing was held.
    Everything,
    /// These.
    These(BTreeSet<Prefix>),
}

impl Past {
    fn has(&self, prefix: &Prefix) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::These(told) => told.contains(prefix),
        }
    }
}

/// From one target to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change<'a> {
    /// What the objects asked for before; `None` at the start.
    pub(super) last: Option<&'a DesiredState>,
    /// What they ask for.
    pub(super) target: &'a DesiredState,
    /// Why an address is not in it.
    pub(super) services: &'a ServiceTable,
    /// Whether these are objects that an earlier process knew, which may lack the last ones that it told.
    pub(super) recalled: bool,
}

impl HoldDown {
    /// Nothing is held yet.
    pub(super) fn after(past: Past) -> Self {
        Self {
            past,
            ..Self::default()
        }
    }

    /// There is a new target.
    pub(super) fn begin(&mut self, now: Instant, change: Change<'_>) {
        let before = mem::take(self);
        self.waiting = before.waits(now, change);
        self.lingering = before.lingers(now, change);
        if change.recalled {
            self.past = before.past;
        }
    }

    /// What the objects ask for, they ask for as things are now: whatever is new from here on is new.
    pub(super) fn forget_past(&mut self) {
        self.past = Past::Nothing;
    }

    /// What is still to wait now that there is a new target.
    fn waits(&self, now: Instant, change: Change<'_>) -> BTreeMap<Prefix, Instant> {
        let min_ready = change.target.hold.min_ready;
        if min_ready.is_zero() {
            return BTreeMap::new();
        }
        let new = change.target.originations.iter();
        let mut new = new
            .filter(|(prefix, _)| !self.has_told(prefix, change.last))
            .peekable();
        if new.peek().is_none() {
            return BTreeMap::new();
        }
        let aggregates = change.services.aggregates();
        let waits = |prefix: &Prefix| self.waiting.contains_key(prefix) || change.last.is_none();
        let new = new.filter(|(prefix, o)| match aggregates.contains(prefix) {
            true => waits(prefix),
            false => o.is_service(),
        });
        let given_up = self.given_up(change);
        let new = new.filter(|(prefix, _)| !given_up.iter().any(|it| it.covers(**prefix)));
        let until = |prefix| {
            let longest = now + min_ready;
            let began = self.waiting.get(prefix).copied();
            began.map_or(longest, |until| until.min(longest))
        };
        new.map(|(prefix, _)| (*prefix, until(prefix))).collect()
    }

    /// The aggregates that were told and are not any more.
    fn given_up(&self, change: Change<'_>) -> Vec<Prefix> {
        let told = change.last.into_iter().flat_map(|last| {
            let told = last.originations.keys();
            told.filter(move |prefix| self.has_told(prefix, Some(last)))
        });
        let gone = told.filter(|prefix| !change.target.originations.contains_key(prefix));
        let gone = gone.copied();
        gone.filter(|it| *it != Prefix::host(it.addr())).collect()
    }

    /// What is still to be told though there is a new target.
    fn lingers(
        &self,
        now: Instant,
        change: Change<'_>,
    ) -> BTreeMap<Prefix, (Instant, Arc<Origination>)> {
        let mut lingers = BTreeMap::new();
        let delay = change.target.hold.withdraw_delay;
        let Some(last) = change.last.filter(|_| !delay.is_zero()) else {
            return lingers;
        };
        let lingering = self.lingering.iter().map(|(prefix, (_, o))| (prefix, o));
        let gone = last.originations.iter().chain(lingering);
        let gone = gone.filter(|(prefix, _)| !change.target.originations.contains_key(prefix));
        for (prefix, o) in gone {
            let is_told = self.has_told(prefix, Some(last));
            if is_told && change.services.lacks_endpoints(&o.object, *prefix) {
                let until = self.lingering.get(prefix).map(|(until, _)| *until);
                lingers.insert(*prefix, (until.unwrap_or(now + delay), Arc::clone(o)));
            }
        }
        lingers
    }

    /// Whether neighbours have heard of it.
    fn has_told(&self, prefix: &Prefix, last: Option<&DesiredState>) -> bool {
        let in_force = || {
            let asked = last.is_some_and(|last| last.originations.contains_key(prefix));
            asked && !self.waiting.contains_key(prefix)
        };
        self.lingering.contains_key(prefix) || self.past.has(prefix) || in_force()
    }

    /// Makes of the target what is to be in force.
    pub(super) fn apply(&self, desired: &mut DesiredState) {
        for prefix in self.waiting.keys() {
            desired.originations.remove(prefix);
        }
        for (prefix, (_, o)) in &self.lingering {
            desired.originations.insert(*prefix, Arc::clone(o));
        }
    }

    /// Lets go of what was held long enough; whether there was anything.
    pub(super) fn poll(&mut self, now: Instant) -> bool {
        let before = (self.waiting.len(), self.lingering.len());
        self.waiting.retain(|_, until| *until > now);
        self.lingering.retain(|_, (until, _)| *until > now);
        before != (self.waiting.len(), self.lingering.len())
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let lingering = self.lingering.values().map(|(until, _)| *until);
        self.waiting.values().copied().chain(lingering).min()
    }

    /// Whether anything is held.
    pub(super) fn is_under_way(&self) -> bool {
        !self.waiting.is_empty() || !self.lingering.is_empty()
    }

    /// What is held, and why.
    pub(super) fn held(&self) -> BTreeMap<Prefix, Held> {
        let waiting = self.waiting.keys().map(|p| (*p, Held::MinReady));
        let lingering = self.lingering.keys().map(|p| (*p, Held::WithdrawDelay));
        waiting.chain(lingering).collect()
    }
}

#[cfg(test)]
mod tests;
