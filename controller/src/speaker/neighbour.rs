//! One neighbour: what the events of its session mean for the tables.

mod changes;
mod limit;
mod session;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use redstart_bgp::{
    net::{PeerHandle, Transport},
    session::{
        DownReason, Event, Negotiated, PeerId, State, StopReason, Unsendable, UnsendableReason,
    },
    time::Instant,
    types::{Family, FamilySet, PathAttributes, Routes},
    wire::{EncodeError, Parts, Said},
};
use redstart_rib::{
    LimitState, PeerDown, Rib, export::Withheld, import::Refusal, resolver::KernelView,
};
use tracing::{debug, info, warn};

use self::session::Session;
use super::{
    bfd::PathFailure,
    diff::Fate,
    history::History,
    malformed::MalformedLog,
    neighbours::OwnNextHops,
    our_end::{OnLink, our_end},
    ranges::{self, Membership},
    retention::{Due, Retention, forwarding_preserved, restart_time},
    seldom::Seldom,
    translate::{self, Restarted},
};
use crate::compile::{self, NodeIdentity, PeerName, PeerRole};

/// How long a neighbour that came back within its restart time gets to confirm its routes.
const STALE_PATHS: Duration = Duration::from_secs(360);

/// One neighbour.
pub(super) struct Neighbour {
    pub(super) id: PeerId,
    /// The peer of the desired state that it comes from: of its own name, unless that one stands for
    /// several neighbours.
    pub(super) configured: PeerName,
    /// Its `remote` is an address.
    pub(super) spec: Arc<compile::Peer>,
    /// That address.
    pub(super) remote: SocketAddr,
    /// Its place in the listen range that it came from, if it came from one.
    pub(super) membership: Option<Membership>,
    pub(super) handle: PeerHandle,
    node: NodeIdentity,
    /// The session, while there is one.
    session: Option<Session>,
    /// Until when routes of the last session are kept.
    retention: Retention,
    /// It sent more routes than allowed, and its session ended for that.
    over_limit: Option<limit::OverLimit>,
    /// The link to it is down, and its session ended for that.
    link_down: bool,
    /// An operator disabled it.
    pub(super) disabled: bool,
    /// The next hops that it told as its own.
    pub(super) own_next_hops: OwnNextHops,
    /// Families in which it came close to that.
    near_limit: FamilySet,
    /// Whether its task has told of a connection's end: before that there is one to come.
    heard_of: bool,
    /// Why the last session is over.
    last_end: Option<DownReason>,
    /// The last reason that was logged: one that repeats itself is logged once.
    logged: Option<DownReason>,
    /// It was said of this session that the node announces what is not its own.
    foreign_named: bool,
    /// Attributes that were malformed and dealt with by RFC 7606.
    pub(super) faults: u64,
    /// Paths beyond what is held of one neighbour for one prefix.
    pub(super) paths_beyond: u64,
    /// That there are such was said of this session.
    beyond_named: bool,
    /// When malformed messages were logged.
    malformed: MalformedLog,
    /// When routes that cannot be sent were.
    cannot_send: Seldom,
    /// What happened lately.
    pub(super) history: History,
}

/// The TCP side of a neighbour.
pub(super) fn transport(remote: SocketAddr, spec: &compile::Peer) -> Transport {
    let mut transport = Transport::new(remote);
    transport.interface.clone_from(&spec.bind_interface);
    transport.local = spec.local;
    transport.password = ranges::password(spec);
    transport.tcp_ao = spec.tcp_ao.iter().map(translate::ao_key).collect();
    transport.ttl = ranges::ttl(spec);
    transport
}

impl Neighbour {
    pub(super) fn new(
        id: PeerId,
        configured: PeerName,
        (remote, spec): (SocketAddr, &Arc<compile::Peer>),
        node: &NodeIdentity,
        handle: PeerHandle,
    ) -> Self {
        Self {
            id,
            configured,
            spec: Arc::clone(spec),
            remote,
            membership: None,
            handle,
            node: node.clone(),
            session: None,
            retention: Retention::default(),
            over_limit: None,
            link_down: false,
            disabled: false,
            own_next_hops: OwnNextHops::default(),
            near_limit: FamilySet::EMPTY,
            heard_of: false,
            last_end: None,
            logged: None,
            foreign_named: false,
            faults: 0,
            paths_beyond: 0,
            beyond_named: false,
            malformed: MalformedLog::default(),
            cannot_send: Seldom::default(),
            history: History::default(),
        }
    }

    /// Whether going on as `new` would be another neighbour.
    pub(super) fn is_another(&self, new: &compile::Peer) -> bool {
        translate::is_another(&self.spec, new)
    }

    /// Hands over what changed.
    pub(super) fn change(
        &mut self,
        now: Instant,
        name: &PeerName,
        spec: &Arc<compile::Peer>,
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
        if spec.policies != self.spec.policies {
            info!(peer = %name, "policies changed");
            rib.update_chains(self.id, spec.policies.clone());
        }
        rib.update_rules(self.id, spec.rules);
        let limits_changed = spec.rules.limits != self.spec.rules.limits
            || spec.limit_restart != self.spec.limit_restart;
        self.spec = Arc::clone(spec);
        self.node = node.clone();
        if limits_changed {
            self.resume(name);
            for family in Family::ALL {
                self.check_limit(now, name, family, rib);
            }
        }
    }

    /// Takes over what became of our end of the session, on the links and in the node's object
    /// ([`super::our_end`]).
    pub(super) fn follow_our_end(&mut self, name: &PeerName, links: &KernelView, rib: &mut Rib) {
        let Some(session) = &mut self.session else {
            return;
        };
        session.link = OnLink::of(&session.negotiated, links, session.link);
        let end = our_end(&self.node, &session.negotiated, session.link);
        if rib.update_our_end(self.id, end) {
            info!(peer = %name, "our addresses changed: the session stays, its routes follow");
        }
    }

    /// Whether there is no session, none in the making, and nothing left of the last one.
    pub(super) fn is_over(&self) -> bool {
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

    /// The link to it went down or came up. The session does not wait for the hold timer, nor the next
    /// one for the connect retry timer.
    pub(super) fn follow_link(&mut self, up: bool) {
        if self.link_down != up {
            return;
        }
        self.link_down = !up;
        if up {
            self.start_unless_held();
        } else {
            self.handle.stop(StopReason::InterfaceDown);
        }
    }

    /// Takes back what an operator, or too many routes, keep it down for. `false`: there was nothing.
    pub(super) fn enable(&mut self) -> bool {
        let too_many = self.over_limit.take().is_some();
        let held = core::mem::take(&mut self.disabled) || too_many;
        self.start_unless_held();
        held
    }

    /// Starts again after a stop, unless there is another reason to stay down.
    pub(super) fn start_unless_held(&self) {
        if !self.link_down && !self.disabled && self.over_limit.is_none() {
            self.handle.start();
        }
    }

    /// Whether there may be routes of it: of its session, or kept after one.
    pub(super) fn has_routes(&self) -> bool {
        self.session.is_some() || self.retention.poll_timeout().is_some()
    }

    /// Routes by a path that is gone are of no use: they go now, before the session's own task has
    /// heard of it. Kept routes of a restarting neighbour stay, unless it is sure that the failure is
    /// not part of the restart ([`super::bfd`]).
    pub(super) fn path_failed(&mut self, name: &PeerName, failure: PathFailure, rib: &mut Rib) {
        if !self.is_lost_by(failure) {
            return;
        }
        let why = failure.reason;
        if self.session.take().is_some() {
            warn!(peer = %name, reason = "bfd-down", "the path is gone ({why}): the session ends");
            self.last_end = Some(DownReason::Stopped(StopReason::BfdDown));
            self.handle.restart(StopReason::BfdDown);
        } else {
            info!(peer = %name, reason = "bfd-down", "the path is gone ({why}): no route is kept");
        }
        rib.peer_down(self.id, PeerDown::Flush);
        self.retention.forget();
    }

    pub(super) fn timeouts(&self) -> [Option<Instant>; 3] {
        [
            self.retention.poll_timeout(),
            self.session.as_ref().and_then(|s| s.silent_until),
            self.over_limit.as_ref().and_then(|o| o.until),
        ]
    }

    pub(super) fn on_time(&mut self, now: Instant, name: &PeerName, rib: &mut Rib) {
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

    pub(super) fn on_event(
        &mut self,
        now: Instant,
        name: &PeerName,
        event: Event,
        links: &KernelView,
        rib: &mut Rib,
    ) {
        self.history.note_event(now, &event);
        match event {
            Event::StateChanged { from, to } => debug!(peer = %name, %from, %to, "state changed"),
            Event::Established(negotiated) => self.established(now, name, negotiated, links, rib),
            Event::Down { reason, retained } => {
                self.heard_of = true;
                if let Some(membership) = &mut self.membership {
                    membership.ended(&reason);
                }
                self.down(now, name, reason, retained, rib);
            }
            Event::AttemptFailed { slot, reason } => {
                self.heard_of = true;
                if let Some(membership) = &mut self.membership {
                    // The range says so, for all who come from it.
                    membership.ended(&reason);
                } else if self.logged.as_ref() != Some(&reason) {
                    info!(peer = %name, remote = %self.remote, connection = %slot, reason = reason.id(), "no session: {reason}");
                    self.logged = Some(reason);
                }
            }
            Event::Updates(updates) => {
                self.updates(now, name, (&mut updates.iter(), usize::MAX), rib);
            }
            Event::RefreshRequested(family) => _ = rib.refresh_out(self.id, family),
            Event::RefreshBegin(family) => rib.refresh_begin(self.id, family),
            Event::RefreshEnd(family) => rib.refresh_end(self.id, family),
            Event::Malformed(message) => self.malformed.unreadable(now, name, &message),
            Event::Unsendable(what) => self.unsendable(now, name, &what, rib),
        }
    }

    /// Routes that no message to the neighbour can carry: it does not hold them.
    fn unsendable(&mut self, now: Instant, name: &PeerName, what: &Unsendable, rib: &mut Rib) {
        let why = match what.reason {
            UnsendableReason::Encode(EncodeError::AttributesTooLong) => Withheld::TooLong,
            UnsendableReason::Encode(EncodeError::NoNextHop) => Withheld::NoNextHopSelf,
            UnsendableReason::Encode(EncodeError::NextHopFamily) => Withheld::UnusableNextHop,
            UnsendableReason::FamilyNotNegotiated => Withheld::Family,
        };
        rib.unsendable(self.id, &what.nlri, why);
        if let Some(session) = &mut self.session {
            session
                .changes(what.nlri.family())
                .unsendable(what.nlri.len());
        }
        if let Some(unlogged) = self.cannot_send.turn(now) {
            let first = what.nlri.iter().next().map(|nlri| nlri.prefix.to_string());
            warn!(peer = %name, prefix = first.unwrap_or_default(), routes = what.nlri.len(), unlogged, reason = %why, "routes cannot be sent: {}", what.reason);
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
        if let Some(membership) = &mut self.membership {
            membership.up();
        }
        self.logged = None;
        self.own_next_hops = OwnNextHops::default();
        self.foreign_named = false;
        self.beyond_named = false;
        let link = OnLink::of(&negotiated, links, OnLink::default());
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
        self.session = Some(Session::new(now, negotiated, link));
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
                let restart_time = |family| restart_time(&negotiated, family);
                let stale_time = |family| negotiated.long_lived_stale_time(family);
                let kept = self.retention.lost(now, retained, restart_time, stale_time);
                rib.peer_down(self.id, PeerDown::RetainStale(kept));
            }
        }
        self.last_end = Some(reason.clone());
        self.logged = Some(reason);
    }

    /// Routes came, or faults in them. Takes UPDATEs until those have had as many routes as `piece` says.
    pub(super) fn updates(
        &mut self,
        now: Instant,
        name: &PeerName,
        (updates, piece): (&mut Parts<'_>, usize),
        rib: &mut Rib,
    ) {
        let mut taken = 0;
        loop {
            let is_first = updates.is_between_messages();
            if is_first && taken >= piece {
                return;
            }
            let Some(said) = updates.next() else {
                return;
            };
            self.history.note_said(now, said, is_first);
            match said {
                Said::Withdrawn(routes) => {
                    taken += routes.len();
                    let known = rib.withdraw(self.id, routes);
                    if let Some(session) = &mut self.session {
                        let changes = session.changes(routes.family());
                        changes.withdrawn(routes.len(), known);
                    }
                }
                Said::Announced(attrs, routes) => {
                    taken += routes.len();
                    self.announced(now, name, (attrs, routes), rib);
                }
                Said::EndOfRib(family) => {
                    rib.end_of_rib(self.id, family);
                    self.retention.is_swept(family);
                    if let Some(session) = &mut self.session {
                        session.awaited.remove(family);
                    }
                }
                Said::Malformed(malformed) => {
                    self.faults += malformed.faults().len() as u64;
                    self.malformed.update(now, name, malformed);
                }
            }
        }
    }

    fn announced(
        &mut self,
        now: Instant,
        name: &PeerName,
        (attrs, routes): (&PathAttributes, Routes<'_>),
        rib: &mut Rib,
    ) {
        let family = routes.family();
        let external = self.negotiated().is_some_and(Negotiated::is_external);
        if let Some(next_hop) = attrs.next_hop.filter(|_| external) {
            self.own_next_hops.note(family, next_hop);
        }
        let outcome = rib.announce(self.id, attrs, routes);
        if let Some(session) = &mut self.session {
            session.changes(family).announced(routes.len(), &outcome);
        }
        for (reason, refused) in outcome.refused.iter() {
            debug!(peer = %name, routes = refused, %reason, "routes refused");
            self.name_foreign_routes(name, reason, routes);
            if reason == Refusal::TooManyPaths {
                self.count_paths_beyond(name, refused, routes);
            }
        }
        if outcome.limit > LimitState::Within || self.near_limit.contains(family) {
            self.check_limit(now, name, family, rib);
        }
    }

    /// Who sends ever more paths to one prefix is named: once for each session.
    fn count_paths_beyond(&mut self, name: &PeerName, count: usize, routes: Routes<'_>) {
        self.paths_beyond += count as u64;
        if !std::mem::replace(&mut self.beyond_named, true) {
            let last = routes.iter().last().map(|nlri| nlri.prefix.to_string());
            warn!(peer = %name, prefix = last.unwrap_or_default(), reason = %Refusal::TooManyPaths, "more paths to one prefix than are held of a neighbour: the others are ignored");
        }
    }

    /// A node that announces what belongs to another one, or leads it elsewhere, is named: once for
    /// each session.
    fn name_foreign_routes(&mut self, name: &PeerName, reason: Refusal, routes: Routes<'_>) {
        let PeerRole::Mesh { node } = &self.spec.role else {
            return;
        };
        let foreign = matches!(reason, Refusal::NotAllowed | Refusal::NotOwnersNextHop);
        if !foreign || self.foreign_named {
            return;
        }
        self.foreign_named = true;
        let first = routes.iter().next().map(|nlri| nlri.prefix.to_string());
        warn!(peer = %name, node, prefix = first.unwrap_or_default(), %reason, "a node announces what is not its own: refused");
    }

    /// The TCP side.
    pub(super) fn transport(&self) -> Transport {
        transport(self.remote, &self.spec)
    }

    /// Whether the link to it is down, and it stays down for that.
    pub(super) const fn is_link_down(&self) -> bool {
        self.link_down
    }

    /// What would become of it if its part of the objects said this.
    pub(super) fn fate(&self, spec: &compile::Peer, node: &NodeIdentity) -> Fate {
        if self.is_another(spec) {
            return Fate::Another;
        }
        let (old, new) = (self.transport(), transport(self.remote, spec));
        if old != new && !old.differs_by_key(&new) {
            return Fate::Transport;
        }
        let session = |spec, node| translate::session(spec, node, Restarted::default());
        let remote = self.negotiated().map(|session| session.remote_as);
        let (before, after) = (session(&self.spec, &self.node), session(spec, node));
        if before == after && old == new && *self.spec == *spec {
            return Fate::Same;
        }
        Fate::Session(before.change(&after, remote))
    }

    /// Whether it has a session now.
    pub(super) const fn has_session(&self) -> bool {
        self.session.is_some()
    }

    /// Whether it has a session and has sent what it has.
    pub(super) fn has_told_all(&self) -> bool {
        self.session.as_ref().is_some_and(|s| s.awaited.is_empty())
    }

    /// Whether its routes are here as far as they are worth waiting for. RFC 4724 section 4.1 leaves
    /// out who has restarted itself: we would wait for each other.
    pub(super) fn has_told_all_or_restarts(&self) -> bool {
        let restarts = |session: &Session| {
            let restart = session.negotiated.graceful_restart.as_ref();
            restart.is_some_and(|restart| restart.restarting)
        };
        self.has_told_all() || self.session.as_ref().is_some_and(restarts)
    }

    /// The session's parameters, while there is one.
    pub(super) fn negotiated(&self) -> Option<&Negotiated> {
        self.session.as_ref().map(|s| &*s.negotiated)
    }

    /// The same, and since when there is a session.
    pub(super) fn session_since(&self) -> Option<(&Arc<Negotiated>, Instant)> {
        self.session.as_ref().map(|s| (&s.negotiated, s.since))
    }

    /// Why the last session is over.
    pub(super) const fn last_end(&self) -> Option<&DownReason> {
        self.last_end.as_ref()
    }
}

#[cfg(test)]
mod tests;
