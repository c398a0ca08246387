//! The neighbours: which there are, and what the events of their sessions mean for the tables.
//!
//! Each neighbour has a task of its own (`redstart_bgp::net`). A changed configuration is applied by
//! difference: whoever did not change is not touched, what a session can take over is handed to it,
//! and only a neighbour that became somebody else starts anew, under a new [`PeerId`].

use std::{
    borrow::Cow,
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use redstart_bgp::{
    net::{Clock, FromPeer, Newcomer, PeerHandle, Transport, spawn_peer},
    session::{DownReason, Event, Negotiated, OutBatch, PeerId, State, StopReason},
    time::Instant,
    types::{Family, FamilySet, NlriSet, Prefix},
    wire::Update,
};
use redstart_rib::{
    LimitState, PeerDown, PeerRules, Rib, fib::LinkAddress, import::Refusal, resolver::KernelView,
};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::{
    malformed::MalformedLog,
    ranges::{self, Membership, Ranges},
    retention::{Due, Retention, forwarding_preserved, restart_time},
    transition::Standing,
    translate::{self, OnLink, Restarted},
};
use crate::compile::{self, DesiredState, NodeIdentity, PeerName, PeerRole, Remote, Spare, Ttl};

/// How long the sessions may take to say goodbye.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a neighbour that does not say End-of-RIB gets for its initial table.
const SILENT_INITIAL_TABLE: Duration = Duration::from_secs(10);

/// How long a neighbour that came back within its restart time gets to confirm its routes.
const STALE_PATHS: Duration = Duration::from_secs(360);

/// The port that is told of a member, which is never dialled.
const MEMBER_PORT: u16 = 179;

/// One neighbour.
pub(super) struct Neighbour {
    pub(super) id: PeerId,
    /// Its `remote` is an address.
    pub(super) spec: compile::Peer,
    /// That address.
    pub(super) remote: SocketAddr,
    /// The range that it came from, if nobody configured it.
    pub(super) membership: Option<Membership>,
    pub(super) handle: PeerHandle,
    node: NodeIdentity,
    /// The session, while there is one.
    session: Option<Session>,
    /// Until when routes of the last session are kept.
    retention: Retention,
    /// It sent more routes than allowed, and its session ended for that.
    over_limit: Option<OverLimit>,
    /// Families in which it came close to that.
    near_limit: FamilySet,
    /// Whether its task has told of a connection's end: before that there is one to come.
    heard_of: bool,
    /// The last reason that was logged: one that repeats itself is logged once.
    logged: Option<DownReason>,
    /// It was said of this session that the node announces what is not its own.
    foreign_named: bool,
    /// Attributes that were malformed and dealt with by RFC 7606.
    pub(super) faults: u64,
    /// When malformed messages were logged.
    malformed: MalformedLog,
}

/// Too many routes: the neighbour is stopped.
struct OverLimit {
    /// Until then; `None`: until its limits change.
    until: Option<Instant>,
}

/// An established session.
struct Session {
    negotiated: Arc<Negotiated>,
    /// The families whose initial table has not been received.
    awaited: FamilySet,
    /// When to wait no longer, for a neighbour that does not say End-of-RIB.
    silent_until: Option<Instant>,
}

impl Session {
    fn new(now: Instant, negotiated: Arc<Negotiated>) -> Self {
        let silent = negotiated.graceful_restart.is_none();
        Self {
            awaited: negotiated.families,
            silent_until: silent.then_some(now + SILENT_INITIAL_TABLE),
            negotiated,
        }
    }
}

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
            Remote::Interface { .. } => {
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

    /// Whether a neighbour has a session now.
    pub(super) fn has_session(&self, name: &PeerName) -> bool {
        let neighbour = self.by_name.get(name);
        neighbour.is_some_and(|n| n.session.is_some())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerName, &Neighbour)> {
        self.by_name.iter()
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
            .filter(|(name, old)| {
                placed
                    .get(name)
                    .is_none_or(|new| old.is_another(&new.spec, node))
            })
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
        let neighbour = Neighbour {
            id,
            spec: spec.clone(),
            remote,
            membership: None,
            handle,
            node: node.clone(),
            session: None,
            retention: Retention::default(),
            over_limit: None,
            near_limit: FamilySet::EMPTY,
            heard_of: false,
            logged: None,
            foreign_named: false,
            faults: 0,
            malformed: MalformedLog::default(),
        };
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

    /// Whether every neighbour is up and has sent what it has. Nobody knows who else will come from a
    /// range.
    pub(super) fn all_initial_tables_received(&self) -> bool {
        let told = |n: &Neighbour| n.session.as_ref().is_some_and(|s| s.awaited.is_empty());
        self.ranges.is_empty() && self.by_name.values().all(told)
    }

    /// The rules of each neighbour.
    pub(super) fn rules(&self) -> BTreeMap<PeerName, PeerRules> {
        let rules = |(name, n): (&PeerName, &Neighbour)| (name.clone(), n.spec.rules);
        self.by_name.iter().map(rules).collect()
    }

    /// Whether some node of the mesh that `target` wants a session with has told all that it has.
    pub(super) fn is_served_by_mesh(&self, target: &DesiredState) -> bool {
        self.by_name.iter().any(|(name, n)| {
            let told = n.session.as_ref().is_some_and(|s| s.awaited.is_empty());
            told && n.spec.role != PeerRole::Router && target.peers.contains_key(name)
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
            idle: neighbour.session.is_none()
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

/// The TCP side of a neighbour.
fn transport(remote: SocketAddr, spec: &compile::Peer) -> Transport {
    let mut transport = Transport::new(remote);
    transport.interface.clone_from(&spec.bind_interface);
    transport.local = spec.local;
    transport.password = ranges::password(spec);
    transport.tcp_ao = spec.tcp_ao.iter().map(translate::ao_key).collect();
    transport.ttl = match spec.ttl {
        Ttl::Hops(hops) => redstart_bgp::net::Ttl::Hops(hops),
        Ttl::Security(hops) => redstart_bgp::net::Ttl::Security(hops),
    };
    transport
}

impl Neighbour {
    /// Whether going on as `new` would be another neighbour.
    fn is_another(&self, new: &compile::Peer, node: &NodeIdentity) -> bool {
        let next_hops = |n: &NodeIdentity| (n.ipv4, n.ipv6);
        translate::is_another(&self.spec, new) || next_hops(&self.node) != next_hops(node)
    }

    /// Hands over what changed.
    fn change(
        &mut self,
        now: Instant,
        name: &PeerName,
        spec: &compile::Peer,
        node: &NodeIdentity,
        restarted: Restarted,
        rib: &mut Rib,
    ) {
        let session = translate::session(spec, node, restarted);
        if session != translate::session(&self.spec, &self.node, restarted)
            || transport(self.remote, spec) != self.transport()
        {
            info!(peer = %name, "configuration changed");
        }
        self.handle
            .reconfigure(session, transport(self.remote, spec));
        if spec.import != self.spec.import || spec.transit != self.spec.transit {
            let import = translate::import(&spec.import);
            rib.update_policies(self.id, import, translate::export(spec));
        }
        rib.update_rules(self.id, spec.rules);
        let limits_changed = spec.rules.limits != self.spec.rules.limits
            || spec.limit_restart != self.spec.limit_restart;
        self.spec = spec.clone();
        self.node = node.clone();
        if limits_changed {
            self.resume(name);
            for family in Family::ALL {
                self.check_limit(now, name, family, rib);
            }
        }
    }

    /// Whether there is no session, none in the making, and nothing left of the last one.
    fn is_over(&self) -> bool {
        let state = self.handle.status().state;
        let opening = matches!(
            state,
            State::OpenSent | State::OpenConfirm | State::Established
        );
        self.heard_of
            && !opening
            && self.session.is_none()
            && self.over_limit.is_none()
            && self.retention.poll_timeout().is_none()
    }

    /// Starts again after too many routes.
    fn resume(&mut self, name: &PeerName) {
        if self.over_limit.take().is_some() {
            info!(peer = %name, reason = "maximum-prefixes", "starting again");
            self.handle.start();
        }
    }

    fn timeouts(&self) -> [Option<Instant>; 3] {
        [
            self.retention.poll_timeout(),
            self.session.as_ref().and_then(|s| s.silent_until),
            self.over_limit.as_ref().and_then(|o| o.until),
        ]
    }

    fn on_time(&mut self, now: Instant, name: &PeerName, rib: &mut Rib) {
        for due in self.retention.poll(now, self.session.is_some()) {
            match due {
                Due::KeepLong(family) => {
                    let kept = rib.retain_long_lived(self.id, family);
                    info!(peer = %name, %family, kept, reason = "restart-time-over", "stale routes are a last resort from now on");
                }
                Due::Sweep(family) => {
                    info!(peer = %name, %family, reason = "restart-time-over", "stale routes removed");
                    rib.sweep_stale(self.id, Some(family));
                }
            }
        }
        if let Some(session) = &mut self.session
            && session.silent_until.take_if(|at| *at <= now).is_some()
        {
            session.awaited = FamilySet::EMPTY;
        }
        let stopped_until = self.over_limit.as_ref().and_then(|o| o.until);
        if stopped_until.is_some_and(|at| at <= now) {
            self.resume(name);
        }
    }

    /// RFC 4271 section 6.7: too many routes end the session, with a Cease of subcode 1 (RFC 4486).
    fn check_limit(&mut self, now: Instant, name: &PeerName, family: Family, rib: &mut Rib) {
        let Some(limit) = self.spec.rules.limit(family).map(|limit| limit.max) else {
            return;
        };
        let received = rib.family_counts(self.id, family).map_or(0, |c| c.received);
        match rib.limit_state(self.id, family) {
            LimitState::Within => self.near_limit.remove(family),
            LimitState::Warning => {
                if !self.near_limit.contains(family) {
                    self.near_limit.insert(family);
                    warn!(peer = %name, %family, received, limit, reason = "maximum-prefixes-near", "the neighbour comes close to the number of routes that it may send");
                }
            }
            LimitState::Exceeded if self.session.is_some() => {
                warn!(peer = %name, %family, received, limit, reason = "maximum-prefixes", "too many routes: the session ends");
                self.handle
                    .stop(StopReason::MaximumPrefixes { family, limit });
                // What is still on its way from the session is not for the table any more.
                rib.peer_down(self.id, PeerDown::Flush);
                self.session = None;
                self.retention.forget();
                let until = self.spec.limit_restart.map(|after| now + after);
                self.over_limit = Some(OverLimit { until });
            }
            LimitState::Exceeded => {}
        }
    }

    fn on_event(
        &mut self,
        now: Instant,
        name: &PeerName,
        event: Event,
        links: &KernelView,
        rib: &mut Rib,
    ) {
        match event {
            Event::StateChanged { from, to } => debug!(peer = %name, %from, %to, "state changed"),
            Event::Established(negotiated) => self.established(now, name, negotiated, links, rib),
            Event::Down { reason, retained } => {
                self.heard_of = true;
                self.down(now, name, reason, retained, rib);
            }
            Event::AttemptFailed { slot, reason } => {
                self.heard_of = true;
                if self.logged.as_ref() != Some(&reason) {
                    info!(peer = %name, remote = %self.remote, connection = %slot, reason = reason.id(), "no session: {reason}");
                    self.logged = Some(reason);
                }
            }
            Event::Update(update) => self.update(now, name, &update, rib),
            Event::RefreshRequested(family) => rib.refresh_out(self.id, family),
            Event::RefreshBegin(family) => rib.refresh_begin(self.id, family),
            Event::RefreshEnd(family) => rib.refresh_end(self.id, family),
            Event::Malformed(message) => self.malformed.unreadable(now, name, &message),
            Event::Unsendable(what) => {
                warn!(peer = %name, routes = what.nlri.len(), reason = %what.reason, "routes cannot be sent");
            }
        }
    }

    fn established(
        &mut self,
        now: Instant,
        name: &PeerName,
        negotiated: Arc<Negotiated>,
        links: &KernelView,
        rib: &mut Rib,
    ) {
        info!(
            peer = %name,
            remote = %negotiated.remote_addr,
            remote_as = negotiated.remote_as.0,
            router_id = %negotiated.remote_router_id,
            "session established"
        );
        self.logged = None;
        self.foreign_named = false;
        let link = on_link(&negotiated, links);
        let info = translate::peer_info(&self.spec, &self.node, &negotiated, link);
        if let Err(error) = rib.peer_up(self.id, info) {
            warn!(peer = %name, reason = "too-many-peers", "session refused: {error}");
            self.handle.stop(StopReason::Shutdown(error.to_string()));
            return;
        }
        for family in Family::ALL {
            if !forwarding_preserved(&negotiated, family, self.retention.is_long_lived(family)) {
                rib.sweep_stale(self.id, Some(family));
                self.retention.is_swept(family);
            }
        }
        // The restart time was for coming back. "To put an upper bound on the amount of time a router
        // retains the stale routes" is another matter (RFC 4724 section 4.2).
        self.retention.extend(now + STALE_PATHS);
        self.session = Some(Session::new(now, negotiated));
    }

    fn down(
        &mut self,
        now: Instant,
        name: &PeerName,
        reason: DownReason,
        retained: FamilySet,
        rib: &mut Rib,
    ) {
        warn!(peer = %name, remote = %self.remote, reason = reason.id(), kept = !retained.is_empty(), "session down: {reason}");
        let session = self.session.take().filter(|_| !retained.is_empty());
        match session {
            None => {
                rib.peer_down(self.id, PeerDown::Flush);
                self.retention.forget();
            }
            Some(Session { negotiated, .. }) => {
                rib.peer_down(self.id, PeerDown::RetainStale(retained));
                let restart_time = |family| restart_time(&negotiated, family);
                let stale_time = |family| negotiated.long_lived_stale_time(family);
                self.retention.lost(now, retained, restart_time, stale_time);
            }
        }
        self.logged = Some(reason);
    }

    fn update(&mut self, now: Instant, name: &PeerName, update: &Update, rib: &mut Rib) {
        self.faults += update.faults.len() as u64;
        self.malformed.update(now, name, update);
        for nlri in &update.unreach {
            rib.withdraw(self.id, nlri);
        }
        for reach in &update.reach {
            let outcome = rib.announce(self.id, &reach.attrs, &reach.nlri);
            for (reason, routes) in outcome.refused.iter() {
                debug!(peer = %name, routes, %reason, "routes refused");
                self.name_foreign_routes(name, reason, &reach.nlri);
            }
            let family = reach.nlri.family();
            if outcome.limit > LimitState::Within || self.near_limit.contains(family) {
                self.check_limit(now, name, family, rib);
            }
        }
        if let Some(family) = update.end_of_rib {
            rib.end_of_rib(self.id, family);
            self.retention.is_swept(family);
            if let Some(session) = &mut self.session {
                session.awaited.remove(family);
            }
        }
    }

    /// A node that announces what belongs to another one, or leads it elsewhere, is named: once for
    /// each session.
    fn name_foreign_routes(&mut self, name: &PeerName, reason: Refusal, nlri: &NlriSet) {
        let PeerRole::Mesh { node } = &self.spec.role else {
            return;
        };
        let foreign = matches!(reason, Refusal::NotAllowed | Refusal::NotOwnersNextHop);
        if !foreign || self.foreign_named {
            return;
        }
        self.foreign_named = true;
        let first = nlri.iter().next().map(|nlri| nlri.prefix.to_string());
        warn!(peer = %name, node, prefix = first.unwrap_or_default(), %reason, "a node announces what is not its own: refused");
    }

    /// The TCP side.
    pub(super) fn transport(&self) -> Transport {
        transport(self.remote, &self.spec)
    }

    /// The session's parameters, while there is one.
    pub(super) fn negotiated(&self) -> Option<&Negotiated> {
        self.session.as_ref().map(|s| &*s.negotiated)
    }
}

/// Where on our links a session is.
fn on_link(negotiated: &Negotiated, links: &KernelView) -> OnLink {
    let interface = link_of(negotiated.remote_addr);
    let of_link = |a: &&LinkAddress| Some(a.ifindex) == interface;
    let global = |a: &LinkAddress| match a.addr {
        IpAddr::V6(addr) if !addr.is_unicast_link_local() => Some(addr),
        _ => None,
    };
    OnLink {
        interface,
        global: links.addresses().filter(of_link).find_map(global),
        subnet: subnet_of(negotiated.local_addr.ip(), links),
    }
}

/// The link that a link-local neighbour is on.
fn link_of(remote: SocketAddr) -> Option<u32> {
    match remote {
        SocketAddr::V6(addr) if addr.scope_id() != 0 => Some(addr.scope_id()),
        _ => None,
    }
}

/// The subnet that one of our addresses is on.
fn subnet_of(local: IpAddr, links: &KernelView) -> Option<Prefix> {
    let mut addresses = links.addresses();
    addresses
        .find(|address| address.addr == local)
        .map(|address| address.subnet)
}
