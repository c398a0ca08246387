//! The neighbours: which there are, and what the events of their sessions mean for the tables.
//!
//! Each neighbour has a task of its own (`redstart_bgp::net`). A changed configuration is applied by
//! difference: whoever did not change is not touched, what a session can take over is handed to it,
//! and only a neighbour that became somebody else starts anew, under a new [`PeerId`].

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use redstart_bgp::{
    net::{Clock, FromPeer, PeerHandle, Transport, spawn_peer},
    session::{DownReason, Event, Negotiated, OutBatch, PeerId, StopReason},
    time::Instant,
    types::{Family, FamilySet},
    wire::Update,
};
use redstart_rib::{PeerDown, Rib, policy::ExportPolicy};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::translate::{self, Restarted};
use crate::compile::{self, DesiredState, NodeIdentity, PeerName, Ttl};

/// How long the sessions may take to say goodbye.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a neighbour that does not say End-of-RIB gets for its initial table.
const SILENT_INITIAL_TABLE: Duration = Duration::from_secs(10);

/// How long a neighbour that came back within its restart time gets to confirm its routes.
const STALE_PATHS: Duration = Duration::from_secs(360);

/// One neighbour.
pub(super) struct Neighbour {
    pub(super) id: PeerId,
    pub(super) spec: compile::Peer,
    pub(super) handle: PeerHandle,
    node: NodeIdentity,
    /// The session, while there is one.
    session: Option<Session>,
    /// Until when routes of the last session are kept (RFC 4724 section 4.2).
    stale_until: Option<Instant>,
    /// The last reason that was logged: one that repeats itself is logged once.
    logged: Option<DownReason>,
    /// Attributes that were malformed and dealt with by RFC 7606.
    pub(super) faults: u64,
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
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerName, &Neighbour)> {
        self.by_name.iter()
    }

    pub(super) fn name(&self, id: PeerId) -> Option<&PeerName> {
        self.names.get(&id)
    }

    /// The number of each neighbour.
    pub(super) fn ids(&self) -> BTreeMap<PeerName, PeerId> {
        self.by_name
            .iter()
            .map(|(name, n)| (name.clone(), n.id))
            .collect()
    }

    /// Makes the neighbours those of `desired`.
    pub(super) fn apply(
        &mut self,
        now: Instant,
        desired: &DesiredState,
        restarted: Restarted,
        rib: &mut Rib,
    ) {
        let Some(node) = &desired.node else {
            let all: Vec<PeerName> = self.by_name.keys().cloned().collect();
            all.iter()
                .for_each(|name| self.remove(name, "this node is no longer configured", rib));
            return;
        };
        let gone: Vec<PeerName> = self
            .by_name
            .iter()
            .filter(|(name, old)| {
                desired
                    .peers
                    .get(name)
                    .is_none_or(|new| old.is_another(new, node))
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            self.remove(&name, "removed from the configuration", rib);
        }
        for (name, spec) in &desired.peers {
            match self.by_name.get_mut(name) {
                Some(neighbour) => neighbour.change(name, spec, node, restarted, rib),
                None => self.add(now, name, spec, node, restarted),
            }
        }
    }

    fn add(
        &mut self,
        now: Instant,
        name: &PeerName,
        spec: &compile::Peer,
        node: &NodeIdentity,
        restarted: Restarted,
    ) {
        self.last_id += 1;
        let id = PeerId(self.last_id);
        debug!(peer = %name, remote = %spec.remote, at = now.as_nanos(), "neighbour added");
        let handle = spawn_peer(
            id,
            translate::session(spec, node, restarted),
            transport(spec),
            self.seed.wrapping_add(u64::from(id.0)),
            self.clock,
            self.to_core.clone(),
        );
        let neighbour = Neighbour {
            id,
            spec: spec.clone(),
            handle,
            node: node.clone(),
            session: None,
            stale_until: None,
            logged: None,
            faults: 0,
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
    pub(super) fn on_event(&mut self, now: Instant, event: FromPeer, rib: &mut Rib) {
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
                    neighbour.on_event(now, name, event, rib);
                }
            }
        }
    }

    /// Forgets routes whose owner did not come back in time.
    pub(super) fn on_time(&mut self, now: Instant, rib: &mut Rib) {
        for (name, neighbour) in &mut self.by_name {
            if neighbour.stale_until.take_if(|at| *at <= now).is_some() {
                info!(peer = %name, reason = "restart-time-over", "stale routes removed");
                rib.sweep_stale(neighbour.id, None);
            }
            if let Some(session) = &mut neighbour.session
                && session.silent_until.take_if(|at| *at <= now).is_some()
            {
                session.awaited = FamilySet::EMPTY;
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let silent = |n: &Neighbour| n.session.as_ref().and_then(|s| s.silent_until);
        self.by_name
            .values()
            .flat_map(|n| [n.stale_until, silent(n)])
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

    /// Whether every neighbour is up and has sent what it has.
    pub(super) fn all_initial_tables_received(&self) -> bool {
        self.by_name
            .values()
            .all(|n| n.session.as_ref().is_some_and(|s| s.awaited.is_empty()))
    }

    /// Ends every session, in the way that lets the neighbours keep our routes where they can.
    pub(super) async fn stop_all(&mut self) {
        for neighbour in self.by_name.values() {
            neighbour
                .handle
                .stop(match neighbour.spec.graceful_restart {
                    Some(_) => StopReason::GracefulRestart,
                    None => StopReason::Shutdown("redstart is stopping".to_owned()),
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
fn transport(spec: &compile::Peer) -> Transport {
    let mut transport = Transport::new(spec.remote);
    transport.local = spec.local;
    transport.password = spec
        .password
        .as_ref()
        .map(|p| p.0.as_bytes().to_vec().into());
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
        name: &PeerName,
        spec: &compile::Peer,
        node: &NodeIdentity,
        restarted: Restarted,
        rib: &mut Rib,
    ) {
        let session = translate::session(spec, node, restarted);
        if session != translate::session(&self.spec, &self.node, restarted)
            || transport(spec) != transport(&self.spec)
        {
            info!(peer = %name, "configuration changed");
        }
        self.handle.reconfigure(session, transport(spec));
        if spec.import != self.spec.import {
            let import = translate::import(&spec.import);
            rib.update_policies(self.id, import, ExportPolicy::default());
        }
        self.spec = spec.clone();
        self.node = node.clone();
    }

    fn on_event(&mut self, now: Instant, name: &PeerName, event: Event, rib: &mut Rib) {
        match event {
            Event::StateChanged { from, to } => debug!(peer = %name, %from, %to, "state changed"),
            Event::Established(negotiated) => self.established(now, name, negotiated, rib),
            Event::Down { reason, retained } => self.down(now, name, reason, retained, rib),
            Event::AttemptFailed { slot, reason } => {
                if self.logged.as_ref() != Some(&reason) {
                    info!(peer = %name, remote = %self.spec.remote, connection = %slot, reason = reason.id(), "no session: {reason}");
                    self.logged = Some(reason);
                }
            }
            Event::Update(update) => self.update(name, &update, rib),
            Event::RefreshRequested(family) => rib.refresh_out(self.id, family),
            Event::RefreshBegin(_) | Event::RefreshEnd(_) => {}
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
        let interface = link_of(negotiated.remote_addr);
        let info = translate::peer_info(&self.spec, &self.node, &negotiated, interface);
        if let Err(error) = rib.peer_up(self.id, info) {
            warn!(peer = %name, reason = "too-many-peers", "session refused: {error}");
            self.handle.stop(StopReason::Shutdown(error.to_string()));
            return;
        }
        for family in Family::ALL {
            if !forwarding_preserved(&negotiated, family) {
                rib.sweep_stale(self.id, Some(family));
            }
        }
        // The restart time was for coming back. "To put an upper bound on the amount of time a router
        // retains the stale routes" is another matter (RFC 4724 section 4.2).
        self.stale_until = self.stale_until.map(|_| now + STALE_PATHS);
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
        warn!(peer = %name, remote = %self.spec.remote, reason = reason.id(), kept = !retained.is_empty(), "session down: {reason}");
        let session = self.session.take();
        let restart_time = session.and_then(|s| {
            s.negotiated
                .graceful_restart
                .as_ref()
                .map(|g| g.restart_time)
        });
        if retained.is_empty() {
            rib.peer_down(self.id, PeerDown::Flush);
            self.stale_until = None;
        } else {
            rib.peer_down(self.id, PeerDown::RetainStale(retained));
            self.stale_until = Some(now + Duration::from_secs(restart_time.unwrap_or(0).into()));
        }
        self.logged = Some(reason);
    }

    fn update(&mut self, name: &PeerName, update: &Update, rib: &mut Rib) {
        for fault in &update.faults {
            self.faults += 1;
            // The first one is worth a line; the rest are counted.
            if self.faults == 1 {
                warn!(peer = %name, attribute = fault.code, reason = %fault.reason, "malformed attribute: {}", fault.disposition);
            }
        }
        for nlri in &update.unreach {
            rib.withdraw(self.id, nlri);
        }
        for reach in &update.reach {
            let outcome = rib.announce(self.id, &reach.attrs, &reach.nlri);
            for (reason, routes) in outcome.refused.iter() {
                debug!(peer = %name, routes, %reason, "routes refused");
            }
        }
        if let Some(family) = update.end_of_rib {
            rib.end_of_rib(self.id, family);
            if let Some(session) = &mut self.session {
                session.awaited.remove(family);
                if session.awaited.is_empty() {
                    self.stale_until = None;
                }
            }
        }
    }

    /// The TCP side.
    pub(super) fn transport(&self) -> Transport {
        transport(&self.spec)
    }

    /// The session's parameters, while there is one.
    pub(super) fn negotiated(&self) -> Option<&Negotiated> {
        self.session.as_ref().map(|s| &*s.negotiated)
    }
}

/// The link that a link-local neighbour is on.
fn link_of(remote: SocketAddr) -> Option<u32> {
    match remote {
        SocketAddr::V6(addr) if addr.scope_id() != 0 => Some(addr.scope_id()),
        _ => None,
    }
}

/// RFC 4724 section 4.2: routes kept over a restart go at once if the new Graceful Restart capability
/// does not set the Forwarding State bit of their family or does not list the family, or if there is
/// no such capability.
fn forwarding_preserved(negotiated: &Negotiated, family: Family) -> bool {
    negotiated.graceful_restart.as_ref().is_some_and(|gr| {
        gr.families
            .iter()
            .any(|f| f.forwarding_preserved && Family::from_afi_safi(f.afi, f.safi) == Some(family))
    })
}
