//! The neighbours: which there are.
//!
//! Each neighbour has a task of its own (`redstart_bgp::net`). A changed configuration is applied by
//! difference: whoever did not change is not touched, what a session can take over is handed to it,
//! and only a neighbour that became somebody else starts anew, under a new [`PeerId`].

use std::{
    borrow::Cow,
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use redstart_bgp::{
    net::{Clock, FromPeer, Newcomer, spawn_peer},
    session::{Event, OutBatch, PeerId, StopReason},
    time::Instant,
    types::Family,
};
use redstart_rib::{PeerDown, PeerRules, Rib, resolver::KernelView};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::{
    bfd::PathFailure,
    neighbour::{Neighbour, transport},
    our_end::link_of,
    ranges::{self, Membership, Ranges},
    transition::Standing,
    translate::{self, Restarted},
};
use crate::compile::{self, DesiredState, NodeIdentity, PeerName, PeerRole, Remote, Spare};

/// How long the sessions may take to say goodbye.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// The port that is told of a member, which is never dialled.
const MEMBER_PORT: u16 = 179;

/// Every neighbour.
pub(super) struct Neighbours {
    clock: Clock,
    to_core: mpsc::Sender<FromPeer>,
    seed: u64,
    last_id: u32,
    by_name: BTreeMap<PeerName, Neighbour>,
    names: BTreeMap<PeerId, PeerName>,
    /// Where neighbours are whose address the objects do not say.
    found: BTreeMap<PeerName, SocketAddr>,
    /// How many others there are, where nobody knows yet.
    unfound: usize,
    pub(super) ranges: Ranges,
    /// Whether members left, so that listeners and originations are to be told.
    members_left: bool,
}

/// A neighbour that is to be there.
struct Placed<'a> {
    remote: SocketAddr,
    spec: Cow<'a, compile::Peer>,
}

impl Neighbours {
    pub(super) fn new(clock: Clock, to_core: mpsc::Sender<FromPeer>, seed: u64) -> Self {
        Self {
            clock,
            to_core,
            seed,
            last_id: 0,
            by_name: BTreeMap::new(),
            names: BTreeMap::new(),
            found: BTreeMap::new(),
            unfound: 0,
            ranges: Ranges::default(),
            members_left: false,
        }
    }

    /// Where a neighbour is whose address is found out, or that it is not found any more. Whether
    /// that is news: then the desired state is to be applied again.
    pub(super) fn locate(&mut self, name: &PeerName, remote: Option<SocketAddr>) -> bool {
        let before = match remote {
            Some(remote) => self.found.insert(name.clone(), remote),
            None => self.found.remove(name),
        };
        before != remote
    }

    /// The neighbours of `desired` whose address is known, and the members of its ranges.
    fn placed<'a>(&self, desired: &'a DesiredState) -> BTreeMap<PeerName, Placed<'a>> {
        let place = |name: &PeerName, spec: &'a compile::Peer| match spec.remote {
            Remote::Address(remote) => Some(Placed {
                remote,
                spec: Cow::Borrowed(spec),
            }),
            Remote::Interface { .. } | Remote::DefaultGateway { .. } => {
                let remote = *self.found.get(name)?;
                let spec = compile::Peer {
                    remote: Remote::Address(remote),
                    ..spec.clone()
                };
                Some(Placed {
                    remote,
                    spec: Cow::Owned(spec),
                })
            }
            Remote::Range { .. } => None,
        };
        let peers = desired.peers.iter();
        let configured = peers.filter_map(|(name, spec)| Some((name.clone(), place(name, spec)?)));
        let members = self.by_name.iter().filter_map(|(name, n)| {
            let range = &n.membership.as_ref()?.range;
            let placed = Placed {
                remote: n.remote,
                spec: Cow::Owned(ranges::member(desired, range, n.remote)?),
            };
            Some((name.clone(), placed))
        });
        configured.chain(members).collect()
    }

    /// Makes a neighbour of somebody who connected from a range. Whether it is a new one.
    pub(super) fn welcome(
        &mut self,
        now: Instant,
        newcomer: Newcomer,
        desired: &DesiredState,
        restarted: Restarted,
    ) -> bool {
        let Some((range, node)) = self.ranges.name(newcomer.range).zip(desired.node.as_ref())
        else {
            return false;
        };
        let name = ranges::member_name(range, newcomer.remote);
        if let Some(known) = self.by_name.get(&name).filter(|n| n.membership.is_some()) {
            // It dialled twice before the listener knew it.
            known.handle.accept(newcomer.connection);
            return false;
        }
        let Some(mut spec) = ranges::member(desired, range, newcomer.remote) else {
            warn!(peer = %name, remote = %newcomer.remote, reason = "duplicate-peer-name", "connection closed: another neighbour has the name or the address");
            return false;
        };
        let mut remote = newcomer.remote;
        // Where it listens, if it does; not where this connection happens to come from.
        remote.set_port(MEMBER_PORT);
        spec.remote = Remote::Address(remote);
        info!(peer = %name, %remote, %range, "neighbour from a listen range");
        let membership = Membership::new(range.clone(), newcomer.place);
        self.add(now, &name, (remote, &spec), node, restarted);
        if let Some(neighbour) = self.by_name.get_mut(&name) {
            neighbour.membership = Some(membership);
            neighbour.handle.accept(newcomer.connection);
        }
        true
    }

    /// How many members a range has.
    pub(super) fn members(&self, range: &PeerName) -> usize {
        let of = |n: &&Neighbour| n.membership.as_ref().is_some_and(|m| m.range == *range);
        self.by_name.values().filter(of).count()
    }

    /// Whether members left since this was asked.
    pub(super) fn take_members_left(&mut self) -> bool {
        std::mem::take(&mut self.members_left)
    }

    /// Lets go of members whose session is over.
    fn release(&mut self, rib: &mut Rib) {
        let over: Vec<PeerName> = self
            .by_name
            .iter()
            .filter(|(_, n)| n.membership.is_some() && n.is_over())
            .map(|(name, _)| name.clone())
            .collect();
        for name in over {
            self.remove(&name, "its session is over", rib);
            self.members_left = true;
        }
    }

    /// Addresses of this node changed, in its object or on its links: sessions stay, and their routes
    /// follow.
    pub(super) fn follow_our_ends(&mut self, links: &KernelView, rib: &mut Rib) {
        for (name, neighbour) in &mut self.by_name {
            neighbour.follow_our_end(name, links, rib);
        }
    }

    /// Whether the link to a neighbour can be used.
    pub(super) fn follow_link(&mut self, name: &PeerName, up: bool) {
        if let Some(neighbour) = self.by_name.get_mut(name) {
            neighbour.follow_link(up);
        }
    }

    /// Whether a neighbour has a session now.
    pub(super) fn has_session(&self, name: &PeerName) -> bool {
        let neighbour = self.by_name.get(name);
        neighbour.is_some_and(Neighbour::has_session)
    }

    /// Whether there are some whose address nobody knows yet.
    pub(super) const fn some_are_unfound(&self) -> bool {
        self.unfound > 0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerName, &Neighbour)> {
        self.by_name.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&PeerName, &mut Neighbour)> {
        self.by_name.iter_mut()
    }

    pub(super) fn name(&self, id: PeerId) -> Option<&PeerName> {
        self.names.get(&id)
    }

    /// The number of each neighbour, and those of the members of each range.
    pub(super) fn ids(&self) -> BTreeMap<PeerName, Vec<PeerId>> {
        let mut ids: BTreeMap<PeerName, Vec<PeerId>> = BTreeMap::new();
        for (name, n) in &self.by_name {
            let configured = n.membership.as_ref().map_or(name, |m| &m.range);
            ids.entry(configured.clone()).or_default().push(n.id);
        }
        ids
    }

    /// Makes the neighbours those of `desired`.
    pub(super) fn apply(
        &mut self,
        now: Instant,
        desired: &DesiredState,
        restarted: Restarted,
        rib: &mut Rib,
    ) {
        self.ranges.apply(desired);
        let is_unfound = |(name, peer): &(&PeerName, &compile::Peer)| {
            let is_searched = matches!(
                peer.remote,
                Remote::Interface { .. } | Remote::DefaultGateway { .. }
            );
            is_searched && !self.found.contains_key(*name)
        };
        self.unfound = desired.peers.iter().filter(is_unfound).count();
        let Some(node) = &desired.node else {
            let all: Vec<PeerName> = self.by_name.keys().cloned().collect();
            all.iter()
                .for_each(|name| self.remove(name, "this node is no longer configured", rib));
            return;
        };
        let placed = self.placed(desired);
        let gone: Vec<PeerName> = self
            .by_name
            .iter()
            .filter(|(name, old)| placed.get(name).is_none_or(|new| old.is_another(&new.spec)))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            self.remove(&name, "removed from the configuration", rib);
        }
        for (name, Placed { remote, spec }) in &placed {
            match self.by_name.get_mut(name) {
                Some(neighbour) => neighbour.change(now, name, spec, node, restarted, rib),
                None if desired.peers.contains_key(name) => {
                    self.add(now, name, (*remote, spec), node, restarted);
                }
                // A member that had to go comes back by itself.
                None => {}
            }
        }
    }

    fn add(
        &mut self,
        now: Instant,
        name: &PeerName,
        (remote, spec): (SocketAddr, &compile::Peer),
        node: &NodeIdentity,
        restarted: Restarted,
    ) {
        self.last_id += 1;
        let id = PeerId(self.last_id);
        debug!(peer = %name, %remote, at = now.as_nanos(), "neighbour added");
        let handle = spawn_peer(
            id,
            translate::session(spec, node, restarted),
            transport(remote, spec),
            self.seed.wrapping_add(u64::from(id.0)),
            self.clock,
            self.to_core.clone(),
        );
        let neighbour = Neighbour::new(id, (remote, spec), node, handle);
        self.by_name.insert(name.clone(), neighbour);
        self.names.insert(id, name.clone());
    }

    fn remove(&mut self, name: &PeerName, why: &str, rib: &mut Rib) {
        let Some(neighbour) = self.by_name.remove(name) else {
            return;
        };
        info!(peer = %name, reason = "peer-deconfigured", "neighbour removed: {why}");
        neighbour
            .handle
            .stop(StopReason::Deconfigured(why.to_owned()));
        rib.peer_down(neighbour.id, PeerDown::Flush);
        self.names.remove(&neighbour.id);
    }

    /// The neighbour that is lost with this event, and the link it was on if that matters: its
    /// session is over, and nothing of it is kept.
    pub(super) fn lost_by(&self, event: &FromPeer) -> Option<(IpAddr, Option<u32>)> {
        let FromPeer::Event {
            peer,
            event: Event::Down { retained, .. },
        } = event
        else {
            return None;
        };
        let neighbour = self.by_name.get(self.names.get(peer)?)?;
        let lost = (neighbour.remote.ip(), link_of(neighbour.remote));
        retained.is_empty().then_some(lost)
    }

    /// What a neighbour's task says.
    pub(super) fn on_event(
        &mut self,
        now: Instant,
        event: FromPeer,
        links: &KernelView,
        rib: &mut Rib,
    ) {
        match event {
            FromPeer::Pull { peer, max, reply } => {
                // The task may have ended while it waited.
                let batch = if self.names.contains_key(&peer) {
                    rib.pull(peer, max)
                } else {
                    OutBatch::default()
                };
                let _ = reply.send(batch);
            }
            FromPeer::Updates { peer, updates } => {
                let Some(name) = self.names.get(&peer) else {
                    return;
                };
                if let Some(neighbour) = self.by_name.get_mut(name) {
                    for update in &updates {
                        neighbour.update(now, name, update, rib);
                    }
                }
            }
            FromPeer::Event { peer, event } => {
                let Some(name) = self.names.get(&peer) else {
                    return;
                };
                if let Some(neighbour) = self.by_name.get_mut(name) {
                    let over = matches!(event, Event::Down { .. } | Event::AttemptFailed { .. });
                    neighbour.on_event(now, name, event, links, rib);
                    if over && neighbour.membership.is_some() {
                        self.release(rib);
                    }
                }
            }
        }
    }

    /// Forgets routes whose owner did not come back in time, and lets a neighbour that sent too many
    /// try again.
    pub(super) fn on_time(&mut self, now: Instant, rib: &mut Rib) {
        for (name, neighbour) in &mut self.by_name {
            neighbour.on_time(now, name, rib);
        }
        if !self.ranges.is_empty() {
            self.release(rib);
        }
    }

    /// BFD says that the path to a neighbour is gone.
    pub(super) fn path_failed(&mut self, name: &PeerName, failure: PathFailure, rib: &mut Rib) {
        if let Some(neighbour) = self.by_name.get_mut(name) {
            neighbour.path_failed(name, failure, rib);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.by_name
            .values()
            .flat_map(Neighbour::timeouts)
            .flatten()
            .min()
    }

    /// Tells neighbours that there is something to pull.
    pub(super) fn wake(&self, ready: Vec<PeerId>) {
        for id in ready {
            if let Some(neighbour) = self.names.get(&id).and_then(|name| self.by_name.get(name)) {
                neighbour.handle.routes_ready();
            }
        }
    }

    /// Whether every neighbour is up and has sent what it has, those too that are still looked for.
    /// Nobody knows who else will come from a range.
    pub(super) fn all_initial_tables_received(&self) -> bool {
        let all_are_there = self.ranges.is_empty() && self.unfound == 0;
        all_are_there && self.by_name.values().all(Neighbour::has_told_all)
    }

    /// The rules of each neighbour.
    pub(super) fn rules(&self) -> BTreeMap<PeerName, PeerRules> {
        let rules = |(name, n): (&PeerName, &Neighbour)| (name.clone(), n.spec.rules);
        self.by_name.iter().map(rules).collect()
    }

    /// Whether some node of the mesh that `target` wants a session with has told all that it has.
    pub(super) fn is_served_by_mesh(&self, target: &DesiredState) -> bool {
        self.by_name.iter().any(|(name, n)| {
            n.has_told_all() && n.spec.role != PeerRole::Router && target.peers.contains_key(name)
        })
    }

    /// What would be lost by ending the session with a node.
    pub(super) fn standing(&self, name: &PeerName, spare: &Spare, rib: &Rib) -> Standing {
        let Some(neighbour) = self.by_name.get(name) else {
            return Standing {
                idle: true,
                replaced: true,
            };
        };
        let routes = |family| {
            rib.family_counts(neighbour.id, family)
                .map_or(0, |c| c.received)
        };
        let mut prefixes = spare.prefixes.iter();
        Standing {
            idle: !neighbour.has_session()
                && Family::ALL.into_iter().map(routes).sum::<usize>() == 0,
            replaced: prefixes.all(|prefix| rib.is_reachable_without(neighbour.id, *prefix)),
        }
    }

    /// Ends every session, in the way that lets the neighbours keep our routes where they can; unless
    /// it is `for_good`, because the node itself goes.
    pub(super) async fn stop_all(&mut self, for_good: bool) {
        for neighbour in self.by_name.values() {
            neighbour
                .handle
                .stop(match neighbour.spec.graceful_restart {
                    Some(_) if !for_good => StopReason::GracefulRestart,
                    _ => StopReason::Shutdown("redstart is stopping".to_owned()),
                });
        }
        let all = std::mem::take(&mut self.by_name);
        let ended = async {
            for neighbour in all.into_values() {
                neighbour.handle.ended().await;
            }
        };
        if tokio::time::timeout(STOP_TIMEOUT, ended).await.is_err() {
            warn!(
                reason = "stop-timeout",
                "some sessions did not close in time"
            );
        }
    }
}
