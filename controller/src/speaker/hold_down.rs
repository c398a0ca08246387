//! Addresses of Services that come and go with their endpoints, held a while. Pure.
//!
//! A pod that fails its probe every minute must not make every router of the fabric change its routes
//! twice a minute, and a node whose proxy has just heard of an endpoint need not have traffic that
//! very moment. So, where the configuration says so, an address is told only when it could be served
//! for some time (`minReadySeconds`), and is kept for some time after its last endpoint went
//! (`withdrawDelaySeconds`).
//!
//! What is no matter of endpoints is not held: a Service that goes, a node that is excluded, an
//! advertisement that changes. Nor is anything that was told before a restart: the first target counts
//! as it is. Aggregates stand for many addresses and are not held.

use std::{collections::BTreeMap, mem, sync::Arc, time::Duration};

use redstart_bgp::{time::Instant, types::Prefix};

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
}

impl HoldDown {
    /// There is a new target in place of `last`. `services` says why an address is not in it.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        last: Option<&DesiredState>,
        target: &DesiredState,
        services: &ServiceTable,
    ) {
        let before = mem::take(self);
        let Some(last) = last else {
            return;
        };
        let told = |prefix: &Prefix| {
            before.lingering.contains_key(prefix)
                || (last.originations.contains_key(prefix) && !before.waiting.contains_key(prefix))
        };
        let hold = target.hold;
        if hold.min_ready > Duration::ZERO {
            let new = target.originations.iter();
            for (prefix, _) in new.filter(|(prefix, o)| o.is_service() && !told(prefix)) {
                let until = before.waiting.get(prefix).copied();
                let until = until.unwrap_or(now + hold.min_ready);
                self.waiting.insert(*prefix, until);
            }
        }
        if hold.withdraw_delay > Duration::ZERO {
            let lingering = before.lingering.iter().map(|(prefix, (_, o))| (prefix, o));
            let gone = last.originations.iter().chain(lingering);
            let gone = gone.filter(|(prefix, _)| !target.originations.contains_key(prefix));
            for (prefix, o) in gone {
                if told(prefix) && services.lacks_endpoints(&o.object, *prefix) {
                    let until = before.lingering.get(prefix).map(|(until, _)| *until);
                    let until = until.unwrap_or(now + hold.withdraw_delay);
                    self.lingering.insert(*prefix, (until, Arc::clone(o)));
                }
            }
        }
    }

    /// Makes of the target what is to be in force.
    pub(super) fn apply(&self, desired: &mut DesiredState) {
        for prefix in self.waiting.keys() {
            desired.originations.remove(prefix);
        }
        let lingering = self.lingering.iter();
        let lingering = lingering.map(|(prefix, (_, o))| (*prefix, Arc::clone(o)));
        desired.originations.extend(lingering);
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
