//! The neighbours: which there are.
//!
//! Each neighbour has a task of its own (`redstart_bgp::net`). A changed configuration is applied by
//! difference: whoever did not change is not touched, what a session can take over is handed to it,
//! and only a neighbour that became somebody else starts anew, under a new [`PeerId`].

mod lost;
mod messages;
mod news;

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use redstart_bgp::{
    net::{Clock, FromPeer, Newcomer, UpdateLog, spawn_logged_peer},
    session::{Event, OutBatch, PeerId, StopReason},
    time::Instant,
    types::Family,
    wire::Parts,
};
use redstart_rib::{PeerDown, PeerRules, Rib, resolver::KernelView};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use self::{lost::note_loss, messages::Messages, news::EventToWire};
pub(super) use self::{
    lost::{OwnNextHops, Place},
    news::News,
};
use super::{
    bfd::PathFailure,
    neighbour::{Neighbour, transport},
    own_routes::Ids,
    ranges::{self, Membership, Ranges},
    searches::{Places, Spot, spot},
    transition::{Losable, Sessions, Standing, Transition},
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
    by_name: BTreeMap<PeerName, Box<Neighbour>>,
    names: BTreeMap<PeerId, PeerName>,
    /// The numbers of the neighbours that each configured peer stands for.
    ids: Arc<Ids>,
    /// Where neighbours are whose address the objects do not say, by the configured peer.
    found: BTreeMap<PeerName, Places>,
    /// How many others there are, where nobody knows yet.
    unfound: usize,
    pub(super) ranges: Ranges,
    /// Whether members have come up, or left after that, so that listeners, BFD and originations are to
    /// be told.
    members_changed: bool,
    /// Whether sessions have begun or ended, so that monitoring stations are to be told.
    sessions_changed: bool,
    /// Where those are, or were, that were lost since the last time, and nobody saw it coming.
    lost: Vec<Place>,
    event_to_wire: EventToWire,
    /// Those of neighbours that are gone.
    past_messages: Messages,
    /// Where what happens to them is logged.
    log: Option<UpdateLog>,
}

/// The sessions, while the mesh changes its shape.
pub(super) struct InTransition<'a> {
    neighbours: &'a Neighbours,
    target: &'a DesiredState,
    rib: &'a Rib,
    losable: Losable,
}

impl Sessions for InTransition<'_> {
    fn served(&self) -> bool {
        self.neighbours.is_served_by_mesh(self.target)
    }

    fn is_up(&self, name: &PeerName) -> bool {
        self.neighbours.has_session(name)
    }

    fn standing(&self, name: &PeerName, spare: &Spare) -> Standing {
        let Some(neighbour) = self.neighbours.by_name.get(name) else {
            return Standing {
                idle: true,
                replaced: true,
            };
        };
        let (id, rib) = (neighbour.id, self.rib);
        let routes = |family| rib.family_counts(id, family).map_or(0, |c| c.received);
        Standing {
            idle: !neighbour.has_session()
                && Family::ALL.into_iter().map(routes).sum::<usize>() == 0,
            replaced: self.losable.is_replaced(id, &spare.prefixes),
        }
    }

    fn is_needless(&self, name: &PeerName) -> bool {
        let neighbour = self.neighbours.by_name.get(name);
        neighbour.is_none_or(|it| self.losable.is_needless(it.id))
    }
}

/// A neighbour that is to be there.
struct Placed {
    /// The peer of the desired state that it comes from.
    configured: PeerName,
    remote: SocketAddr,
    spec: Arc<compile::Peer>,
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
            ids: Arc::default(),
            found: BTreeMap::new(),
            unfound: 0,
            ranges: Ranges::default(),
            members_changed: false,
            sessions_changed: false,
            lost: Vec::new(),
            event_to_wire: EventToWire::default(),
            past_messages: Messages::default(),
            log: None,
        }
    }

    /// Where the neighbours are that a configured peer stands for. Whether that is news: then the desired
    /// state is to be applied again.
    pub(super) fn locate(&mut self, configured: &PeerName, places: Places) -> bool {
        let before = match places.is_empty() {
            true => self.found.remove(configured),
            false => self.found.insert(configured.clone(), places),
        };
        before.as_ref() != self.found.get(configured)
    }

    /// The neighbours of `desired` whose address is known, and those members of its ranges that are not among
    /// them by another name.
    fn placed(&self, desired: &DesiredState) -> BTreeMap<PeerName, Placed> {
        let mut placed = BTreeMap::new();
        for (configured, spec) in desired.peers.iter() {
            let places = self.found.get(configured).into_iter().flatten();
            match spec.remote {
                Remote::Address(remote) => {
                    let one = Placed {
                        configured: configured.clone(),
                        remote,
                        spec: Arc::clone(spec),
                    };
                    placed.insert(configured.clone(), one);
                }
                Remote::Interface { .. } | Remote::DefaultGateway { .. } => {
                    placed.extend(places.map(|(name, remote)| {
                        let spec = compile::Peer {
                            remote: Remote::Address(*remote),
                            ..compile::Peer::clone(spec)
                        };
                        let one = Placed {
                            configured: configured.clone(),
                            remote: *remote,
                            spec: Arc::new(spec),
                        };
                        (name.clone(), one)
                    }));
                }
                Remote::Range { .. } => {}
            }
        }
        let known: BTreeSet<Spot> = placed.values().map(|one| spot(one.remote)).collect();
        let members = self.by_name.iter().filter(|(_, n)| n.membership.is_some());
        let members = members.filter(|(_, n)| !known.contains(&spot(n.remote)));
        placed.extend(members.filter_map(|(name, n)| {
            let one = Placed {
                configured: n.configured.clone(),
                remote: n.remote,
                spec: Arc::new(ranges::member(desired, &n.configured, n.remote)?),
            };
            Some((name.clone(), one))
        }));
        placed
    }

    /// Makes a neighbour of somebody who connected from a range.
    pub(super) fn welcome(
        &mut self,
        now: Instant,
        newcomer: Newcomer,
        desired: &DesiredState,
        restarted: Restarted,
    ) {
        let Some((range, node)) = self.ranges.name(newcomer.range).zip(desired.node.as_ref())
        else {
            return;
        };
        let name = ranges::member_name(range, newcomer.remote);
        if let Some(known) = self.by_name.get(&name).filter(|n| n.membership.is_some()) {
            // It dialled twice before the listener knew it.
            known.handle.accept(newcomer.connection);
            return;
        }
        let at = spot(newcomer.remote);
        let is_known = self.by_name.values().any(|n| spot(n.remote) == at);
        let spec = ranges::member(desired, range, newcomer.remote);
        let Some(mut spec) = spec.filter(|_| !is_known) else {
            warn!(peer = %name, remote = %newcomer.remote, reason = "duplicate-peer-name", "connection closed: another neighbour has the name or the address");
            return;
        };
        let mut remote = newcomer.remote;
        // Where it listens, if it does; not where this connection happens to come from.
        remote.set_port(MEMBER_PORT);
        spec.remote = Remote::Address(remote);
        debug!(peer = %name, %remote, %range, "neighbour from a listen range");
        let placed = Placed {
            configured: range.clone(),
            remote,
            spec: Arc::new(spec),
        };
        self.add(now, &name, &placed, node, restarted);
        if let Some(neighbour) = self.by_name.get_mut(&name) {
            neighbour.membership = Some(Membership::new(newcomer.place));
            neighbour.handle.accept(newcomer.connection);
        }
    }

    /// How many members a range has.
    pub(super) fn members(&self, range: &PeerName) -> usize {
        let all = self.by_name.values();
        all.filter(|n| n.membership.is_some() && n.configured == *range)
            .count()
    }

    /// Whether sessions have begun or ended since this was asked.
    pub(super) fn take_sessions_changed(&mut self) -> bool {
        std::mem::take(&mut self.sessions_changed)
    }

    /// Whether members have come up, or left after that, since this was asked.
    pub(super) fn take_members_changed(&mut self) -> bool {
        std::mem::take(&mut self.members_changed)
    }

    /// Listeners, BFD and originations are about to be told of all that have a session, or had one.
    pub(super) fn introduce_members(&mut self) {
        let members = self.by_name.values_mut();
        let members = members.filter_map(|n| n.membership.as_mut());
        members.for_each(|membership| membership.is_introduced = membership.came_up);
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
            if let Some(membership) = self.by_name.get(&name).and_then(|n| n.membership.as_ref()) {
                membership.leaves();
                self.members_changed |= membership.is_introduced;
            }
            self.remove(&name, "its session is over", rib);
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
        neighbour.is_some_and(|it| it.has_session())
    }

    /// Whether there are some whose address nobody knows yet.
    pub(super) const fn some_are_unfound(&self) -> bool {
        self.unfound > 0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerName, &Neighbour)> {
        self.by_name.iter().map(|(name, it)| (name, &**it))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&PeerName, &mut Neighbour)> {
        self.by_name.iter_mut().map(|(name, it)| (name, &mut **it))
    }

    pub(super) fn name(&self, id: PeerId) -> Option<&PeerName> {
        self.names.get(&id)
    }

    /// The numbers of the neighbours that each configured peer stands for.
    pub(super) fn ids(&self) -> Arc<Ids> {
        Arc::clone(&self.ids)
    }

    /// Has what happens to every neighbour logged there, or nowhere.
    pub(super) fn log_to(&mut self, log: Option<UpdateLog>) {
        if self.log == log {
            return;
        }
        for neighbour in self.by_name.values() {
            neighbour.handle.log_to(log.clone());
        }
        self.log = log;
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
        let is_unfound = |(name, peer): &(&PeerName, &Arc<compile::Peer>)| {
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
        for (name, one) in &placed {
            match self.by_name.get_mut(name) {
                Some(neighbour) => note_loss(neighbour, &mut self.lost, |neighbour| {
                    neighbour.change(now, name, &one.spec, node, restarted, rib);
                }),
                // A member that had to go comes back by itself.
                None if self.ranges.get(&one.configured).is_some() => {}
                None => self.add(now, name, one, node, restarted),
            }
        }
    }

    fn add(
        &mut self,
        now: Instant,
        name: &PeerName,
        Placed {
            configured,
            remote,
            spec,
        }: &Placed,
        node: &NodeIdentity,
        restarted: Restarted,
    ) {
        let remote = *remote;
        self.last_id += 1;
        let id = PeerId(self.last_id);
        debug!(peer = %name, %remote, at = now.as_nanos(), "neighbour added");
        let handle = spawn_logged_peer(
            id,
            translate::session(spec, node, restarted),
            transport(remote, spec),
            self.seed.wrapping_add(u64::from(id.0)),
            self.clock,
            self.to_core.clone(),
            self.log.clone(),
        );
        let ids = Arc::make_mut(&mut self.ids);
        ids.entry(configured.clone()).or_default().push(id);
        let configured = configured.clone();
        let neighbour = Neighbour::new(id, configured, (remote, spec), node, handle);
        self.by_name.insert(name.clone(), Box::new(neighbour));
        self.names.insert(id, name.clone());
    }

    fn remove(&mut self, name: &PeerName, why: &str, rib: &mut Rib) {
        let Some(neighbour) = self.by_name.remove(name) else {
            return;
        };
        if neighbour.membership.as_ref().is_none_or(|m| m.came_up) {
            info!(peer = %name, reason = "peer-deconfigured", "neighbour removed: {why}");
        }
        self.sessions_changed = true;
        self.past_messages.add(&neighbour);
        neighbour
            .handle
            .stop(StopReason::Deconfigured(why.to_owned()));
        if neighbour.has_routes() {
            self.lost.extend(neighbour.places());
        }
        rib.peer_down(neighbour.id, PeerDown::Flush);
        self.names.remove(&neighbour.id);
        let ids = Arc::make_mut(&mut self.ids);
        if let Entry::Occupied(mut of_peer) = ids.entry(neighbour.configured) {
            of_peer.get_mut().retain(|id| *id != neighbour.id);
            if of_peer.get().is_empty() {
                of_peer.remove();
            }
        }
    }

    /// Routes came, or were taken back. Takes UPDATEs until those have had as many as `piece` says; all of one
    /// whom nobody knows any more.
    pub(super) fn on_updates(
        &mut self,
        now: Instant,
        peer: PeerId,
        (updates, piece): (&mut Parts<'_>, usize),
        rib: &mut Rib,
    ) {
        let name = self.names.get(&peer);
        let known = name.and_then(|name| Some((name, self.by_name.get_mut(name)?)));
        let Some((name, neighbour)) = known else {
            return updates.by_ref().for_each(drop);
        };
        note_loss(neighbour, &mut self.lost, |neighbour| {
            neighbour.updates(now, name, (updates, piece), rib);
        });
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
                self.told(now, peer, &batch);
                let _ = reply.send(batch);
            }
            FromPeer::Updates { peer, updates, .. } => {
                self.on_updates(now, peer, (&mut updates.iter(), usize::MAX), rib);
            }
            FromPeer::Event { peer, event } => {
                self.sessions_changed |=
                    matches!(event, Event::Established(_) | Event::Down { .. });
                let Some(name) = self.names.get(&peer) else {
                    return;
                };
                let Some(neighbour) = self.by_name.get_mut(name) else {
                    return;
                };
                let Some(membership) = &neighbour.membership else {
                    return neighbour.on_event(now, name, event, links, rib);
                };
                self.members_changed |=
                    matches!(event, Event::Established(_)) && !membership.is_introduced;
                if let Event::AttemptFailed { reason, .. } = &event {
                    let who = (&neighbour.configured, name);
                    self.ranges.no_session(now, who, neighbour.remote, reason);
                }
                let over = matches!(event, Event::Down { .. } | Event::AttemptFailed { .. });
                neighbour.on_event(now, name, event, links, rib);
                if over {
                    self.release(rib);
                }
            }
        }
    }

    /// Forgets routes whose owner did not come back in time, and lets a neighbour that sent too many
    /// try again.
    pub(super) fn on_time(&mut self, now: Instant, rib: &mut Rib) {
        for (name, neighbour) in &mut self.by_name {
            note_loss(neighbour, &mut self.lost, |it| it.on_time(now, name, rib));
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
            .flat_map(|it| it.timeouts())
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
        self.all_are_there() && self.by_name.values().all(|it| it.has_told_all())
    }

    /// Whether that is so but for those who wait for us in the same way.
    pub(super) fn all_initial_tables_received_but_of_restarting(&self) -> bool {
        let mut all = self.by_name.values();
        self.all_are_there() && all.all(|it| it.has_told_all_or_restarts())
    }

    fn all_are_there(&self) -> bool {
        self.ranges.is_empty() && self.unfound == 0
    }

    /// The rules of each neighbour.
    pub(super) fn rules(&self) -> BTreeMap<PeerName, PeerRules> {
        let rules = |(name, n): (&PeerName, &Neighbour)| (name.clone(), n.spec.rules);
        self.iter().map(rules).collect()
    }

    /// Whether some node of the mesh that `target` wants a session with has told all that it has.
    fn is_served_by_mesh(&self, target: &DesiredState) -> bool {
        self.by_name.iter().any(|(name, n)| {
            n.has_told_all() && n.spec.role != PeerRole::Router && target.peers.contains_key(name)
        })
    }

    /// What would be lost by what the transition is to end.
    pub(super) fn in_transition<'a>(
        &'a self,
        transition: &Transition,
        target: &'a DesiredState,
        rib: &'a Rib,
    ) -> InTransition<'a> {
        let number = |name: &PeerName| Some(self.by_name.get(name)?.id);
        let leaving = transition.leaving().filter_map(number).collect();
        let fellows = transition.fellows().filter_map(number).collect();
        let of_node = |node: &str| number(&compile::mesh_peer_name(node));
        InTransition {
            losable: Losable::new(rib, &target.owners, (&leaving, &fellows), of_node),
            neighbours: self,
            target,
            rib,
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
        self.log = None;
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
