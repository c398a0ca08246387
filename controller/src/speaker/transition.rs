//! From one topology of the mesh to another, without a moment in which a route is missing. Pure.
//!
//! Make before break, and every speaker alone: there is nobody to say when all are ready, and objects
//! reach the nodes at different moments. So
//!
//! - sessions that the new topology asks for are made at once;
//! - one that it no longer asks for stays until every prefix of the node behind it, and every other that
//!   this one alone has told, has come by a session that is there to stay, and has been there for a while
//!   without a gap. Then that other way, a reflector, has both
//!   nodes as its clients; so it tells the node at the other end of our routes as it tells us of
//!   theirs, and neither end needs the session;
//! - one that is merely not needed stays as long as it is up;
//! - a node that is no longer a reflector goes on reflecting to each of its clients as long as the session
//!   with it is up: it cannot know whether the client has heard of the change, and has its sessions with
//!   others. Sessions with former clients end all at once, when none of them is needed: as long as one
//!   client is reached by us alone, the others reach it by us;
//! - it reflects under its own BGP Identifier then, not under the common id of a cluster that it has left:
//!   the reflectors of that cluster would refuse it. And one that enters a cluster goes on hearing what the
//!   other reflectors there tell it until it has heard that from others too, under the id of before.
//!
//! What a speaker that lost the API server still believes does no harm by this: it keeps the sessions
//! that it knows, and reflectors serve it as a client whether it knows them as reflectors or not
//! (`redstart_rib::owners`). There is one exception: who takes itself for a reflector of a cluster with a
//! common id, and is not one any more, refuses what the reflectors of now pass on under that id, and has
//! no way to their clients until it hears of the change.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use redstart_bgp::{session::PeerId, time::Instant, types::Prefix};
use redstart_rib::{Owner, PeerRules, Rib};

use crate::compile::{DesiredState, PeerName, PeerRole, Spare, Until};

/// How often to look whether a session is still of use. Nothing waits for the answer.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What is known of a session that need not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// There is neither a session nor any route of it.
    pub(super) idle: bool,
    /// Every prefix of the node behind it, and every other one that it told, is there by a session that
    /// is to stay.
    pub(super) replaced: bool,
}

/// What the tables have by sessions of which something will end.
#[derive(Debug, Default)]
pub(super) struct Losable {
    /// The prefixes of the mesh that are there whatever ends.
    kept: BTreeSet<Prefix>,
    /// The neighbours that have told one which is not.
    needed: BTreeSet<PeerId>,
}

impl Losable {
    /// Of the prefixes of the mesh, which have `owners`, what is told by neighbours alone that are
    /// `leaving`, or that are `fellows` and pass it on. `number`: that of the neighbour that a node is.
    pub(super) fn new(
        rib: &Rib,
        owners: &BTreeMap<Prefix, Owner>,
        (leaving, fellows): (&BTreeSet<PeerId>, &BTreeSet<PeerId>),
        number: impl Fn(&str) -> Option<PeerId>,
    ) -> Self {
        let mut losable = Self::default();
        if leaving.is_empty() && fellows.is_empty() {
            return losable;
        }
        for (prefix, owner) in owners {
            let stays = |peer: &PeerId| {
                let passed_on = || fellows.contains(peer) && number(&owner.node) != Some(*peer);
                !leaving.contains(peer) && !passed_on()
            };
            if rib.tellers(*prefix, false).iter().any(stays) {
                losable.kept.insert(*prefix);
            } else {
                losable.needed.extend(rib.tellers(*prefix, true));
            }
        }
        losable
    }

    /// Whether `peer` has told nothing that would be lost.
    pub(super) fn is_needless(&self, peer: PeerId) -> bool {
        !self.needed.contains(&peer)
    }

    /// Whether nothing would be lost with the session with `peer`, a node with these prefixes.
    pub(super) fn is_replaced(&self, peer: PeerId, prefixes: &BTreeSet<Prefix>) -> bool {
        self.is_needless(peer) && prefixes.is_subset(&self.kept)
    }
}

/// What the sessions are like at a moment.
pub(super) trait Sessions {
    /// Whether some neighbour of the target has told all that it has.
    fn served(&self) -> bool;

    /// Whether there is a session with this neighbour.
    fn is_up(&self, name: &PeerName) -> bool;

    /// What is known of a session that need not be.
    fn standing(&self, name: &PeerName, spare: &Spare) -> Standing;

    /// Whether a fellow reflector has told nothing that others have not told.
    fn is_needless(&self, name: &PeerName) -> bool;
}

/// What the new topology does not ask for and is still in force.
#[derive(Debug, Default)]
pub(super) struct Transition {
    /// Sessions, with the time since which nothing would be lost by ending them.
    leaving: BTreeMap<PeerName, Option<Instant>>,
    /// Neighbours that are clients of ours still, though the new topology does not know them as such, with
    /// the time until which they stay so if they have no session.
    clients: BTreeMap<PeerName, Instant>,
    /// Neighbours whose cluster this node has entered.
    fellows: BTreeMap<PeerName, Fellow>,
    /// When to look at the sessions.
    look_at: Option<Instant>,
}

/// A neighbour that will not be heeded any more in what it passes on within the cluster.
#[derive(Clone, Copy, Debug)]
struct Fellow {
    /// The cluster that this node was in before.
    cluster_id: Option<u32>,
    /// Since when nothing would be lost by that.
    since: Option<Instant>,
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
        // What a router is to us, objects say at once.
        let is_client = |name: &PeerName| mesh_rules(target, name).is_none_or(|it| it.client);
        self.clients.retain(|name, _| !is_client(name));
        for (name, _) in running.iter().filter(|(_, rules)| rules.client) {
            if !is_client(name) {
                let until = now + target.settle;
                self.clients.entry(name.clone()).or_insert(until);
            }
        }
        let enters = |name: &PeerName, before: Option<u32>| {
            let rules = mesh_rules(target, name).filter(|_| target.peers.contains_key(name));
            rules.is_some_and(|it| it.cluster_id.is_some() && it.cluster_id != before)
        };
        self.fellows.retain(|name, it| enters(name, it.cluster_id));
        for (name, rules) in running {
            if enters(name, rules.cluster_id) {
                let fellow = Fellow {
                    cluster_id: rules.cluster_id,
                    since: None,
                };
                self.fellows.entry(name.clone()).or_insert(fellow);
            }
        }
        self.look_again(now);
    }

    fn look_again(&mut self, at: Instant) {
        let done = self.is_over();
        self.look_at = (!done).then_some(at);
    }

    fn is_over(&self) -> bool {
        self.leaving.is_empty() && self.clients.is_empty() && self.fellows.is_empty()
    }

    /// The neighbours whose sessions need not be and are there.
    pub(super) fn leaving(&self) -> impl Iterator<Item = &PeerName> {
        self.leaving.keys()
    }

    /// The neighbours whose cluster this node is entering.
    pub(super) fn fellows(&self) -> impl Iterator<Item = &PeerName> {
        self.fellows.keys()
    }

    /// What is to be in force: the target, and what is left of the old one.
    pub(super) fn in_force(&self, target: &Arc<DesiredState>) -> Arc<DesiredState> {
        if self.is_over() {
            return Arc::clone(target);
        }
        let mut desired = DesiredState::clone(target);
        let peers = Arc::make_mut(&mut desired.peers);
        for name in self.leaving.keys() {
            if let Some(spare) = target.spare.get(name) {
                peers.insert(name.clone(), spare.peer.into());
            }
        }
        for name in self.clients.keys() {
            if let Some(peer) = peers.get_mut(name) {
                Arc::make_mut(peer).rules.client = true;
            }
        }
        for (name, fellow) in &self.fellows {
            if let Some(peer) = peers.get_mut(name) {
                Arc::make_mut(peer).rules.cluster_id = fellow.cluster_id;
            }
        }
        Arc::new(desired)
    }

    /// Lets go of what is not needed any more; whether there was anything.
    pub(super) fn poll(
        &mut self,
        now: Instant,
        target: &DesiredState,
        sessions: &impl Sessions,
    ) -> bool {
        if self.look_at.is_none_or(|at| at > now) {
            return false;
        }
        let before = (self.leaving.len(), self.clients.len(), self.fellows.len());
        self.leaving
            .retain(|name, _| target.spare.contains_key(name));
        let served = sessions.served();
        let useful = |name: &&PeerName| {
            let spare = target.spare.get(name);
            spare.is_some_and(|spare| {
                let standing = sessions.standing(name, &spare);
                !is_of_no_use(spare.until, served, standing)
            })
        };
        let useful: BTreeSet<PeerName> = self.leaving.keys().filter(useful).cloned().collect();
        let serves = useful.iter().any(|name| self.clients.contains_key(name));
        let clients = &self.clients;
        self.leaving.retain(|name, since| {
            if useful.contains(name) || (serves && clients.contains_key(name)) {
                *since = None;
                return true;
            }
            *since.get_or_insert(now) + target.settle > now
        });
        let leaving = &self.leaving;
        self.clients.retain(|name, until| {
            if sessions.is_up(name) {
                *until = now + target.settle;
            }
            let is_kept = target.peers.contains_key(name) && *until > now;
            is_kept || leaving.contains_key(name)
        });
        self.fellows.retain(|name, fellow| {
            if !sessions.is_needless(name) {
                fellow.since = None;
                return true;
            }
            *fellow.since.get_or_insert(now) + target.settle > now
        });
        self.look_again(now + LOOK_AGAIN);
        before != (self.leaving.len(), self.clients.len(), self.fellows.len())
    }

    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.look_at
    }
}

/// Whether nothing would be lost by ending a session.
fn is_of_no_use(until: Until, served: bool, standing: Standing) -> bool {
    match until {
        Until::Down => standing.idle,
        Until::Replaced => served && (standing.replaced || standing.idle),
    }
}

/// The rules that the target has for a node of the mesh, be it wanted or not.
fn mesh_rules(target: &DesiredState, name: &PeerName) -> Option<PeerRules> {
    match target.peers.get(name) {
        Some(peer) => (peer.role != PeerRole::Router).then_some(peer.rules),
        None => target.spare.get(name).map(|spare| spare.peer.rules),
    }
}

#[cfg(test)]
mod tests;
