//! From one topology of the mesh to another, without a moment in which a route is missing. Pure.
//!
//! Make before break, and every speaker alone: there is nobody to say when all are ready, and objects
//! reach the nodes at different moments. So
//!
//! - sessions that the new topology asks for are made at once;
//! - one that it no longer asks for stays until every prefix of the node behind it has come another
//!   way, and has been there for a while without a gap. Then that other way, a reflector, has both
//!   nodes as its clients; so it tells the node at the other end of our routes as it tells us of
//!   theirs, and neither end needs the session;
//! - one that is merely not needed stays as long as it is up;
//! - a node that is no longer a reflector goes on reflecting: as long as the session with a client
//!   stays, and in a full mesh for a while, because there it cannot know when its clients have their
//!   sessions with each other.
//!
//! What a speaker that lost the API server still believes does no harm by this: it keeps the sessions
//! that it knows, and reflectors serve it as a client whether it knows them as reflectors or not
//! (`redstart_rib::owners`).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use redstart_bgp::time::Instant;
use redstart_rib::PeerRules;

use crate::compile::{DesiredState, PeerName, Spare, Until};

/// How often to look whether a session is still of use. Nothing waits for the answer.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What is known of a session that need not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// There is neither a session nor any route of it.
    pub(super) idle: bool,
    /// Every prefix of the node behind it is there without it.
    pub(super) replaced: bool,
}

/// What the new topology does not ask for and is still in force.
#[derive(Debug, Default)]
pub(super) struct Transition {
    /// Sessions, with the time since which nothing would be lost by ending them.
    leaving: BTreeMap<PeerName, Option<Instant>>,
    /// Neighbours that are clients of ours still.
    clients: BTreeMap<PeerName, Client>,
    /// When to look at the sessions.
    look_at: Option<Instant>,
}

/// A client that the new topology does not know as one.
#[derive(Clone, Copy, Debug)]
struct Client {
    /// At least until then.
    until: Instant,
    cluster_id: Option<u32>,
}

impl Transition {
    /// There is a new target. `running` has the rules of every neighbour that there is now.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        target: &DesiredState,
        running: &BTreeMap<PeerName, PeerRules>,
    ) {
        self.leaving
            .retain(|name, _| target.spare.contains_key(name));
        for name in running
            .keys()
            .filter(|name| target.spare.contains_key(name))
        {
            self.leaving.entry(name.clone()).or_default();
        }
        let is_client = |name: &PeerName| rules(target, name).is_none_or(|rules| rules.client);
        self.clients.retain(|name, _| !is_client(name));
        for (name, rules) in running.iter().filter(|(_, rules)| rules.client) {
            if !is_client(name) {
                self.clients.entry(name.clone()).or_insert(Client {
                    until: now + target.settle,
                    cluster_id: rules.cluster_id,
                });
            }
        }
        self.look_at = (!self.leaving.is_empty()).then_some(now);
    }

    /// What is to be in force: the target, and what is left of the old one.
    pub(super) fn in_force(&self, target: &Arc<DesiredState>) -> Arc<DesiredState> {
        if self.leaving.is_empty() && self.clients.is_empty() {
            return Arc::clone(target);
        }
        let mut desired = DesiredState::clone(target);
        let peers = Arc::make_mut(&mut desired.peers);
        for name in self.leaving.keys() {
            if let Some(spare) = target.spare.get(name) {
                peers.insert(name.clone(), spare.peer.clone());
            }
        }
        for (name, client) in &self.clients {
            if let Some(peer) = peers.get_mut(name) {
                peer.rules.client = true;
                peer.rules.cluster_id = client.cluster_id;
            }
        }
        Arc::new(desired)
    }

    /// Lets go of what is not needed any more; whether there was anything. `served`: whether some
    /// neighbour of the target has told all that it has.
    pub(super) fn poll(
        &mut self,
        now: Instant,
        target: &DesiredState,
        served: bool,
        standing: impl Fn(&PeerName, &Spare) -> Standing,
    ) -> bool {
        let before = (self.leaving.len(), self.clients.len());
        if self.look_at.is_some_and(|at| at <= now) {
            self.leaving.retain(|name, since| {
                let Some(spare) = target.spare.get(name) else {
                    return false;
                };
                if !is_of_no_use(spare.until, served, standing(name, spare)) {
                    *since = None;
                    return true;
                }
                *since.get_or_insert(now) + target.settle > now
            });
            self.look_at = (!self.leaving.is_empty()).then_some(now + LOOK_AGAIN);
        }
        let leaving = &self.leaving;
        self.clients
            .retain(|name, client| client.until > now || leaving.contains_key(name));
        before != (self.leaving.len(), self.clients.len())
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let clients = self.clients.iter();
        let clients = clients.filter(|(name, _)| !self.leaving.contains_key(name));
        clients
            .map(|(_, client)| client.until)
            .chain(self.look_at)
            .min()
    }
}

/// Whether nothing would be lost by ending a session.
fn is_of_no_use(until: Until, served: bool, standing: Standing) -> bool {
    match until {
        Until::Down => standing.idle,
        Until::Replaced => served && (standing.replaced || standing.idle),
    }
}

/// The rules that the target has for a neighbour, be it wanted or not.
fn rules<'a>(target: &'a DesiredState, name: &PeerName) -> Option<&'a PeerRules> {
    let spare = || target.spare.get(name).map(|spare| &spare.peer);
    Some(&target.peers.get(name).or_else(spare)?.rules)
}

#[cfg(test)]
mod tests;
