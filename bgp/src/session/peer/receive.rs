//! What arrives: RFC 4271 section 8.2.2 by message, RFC 6608 for those that come at the wrong time.

use bytes::Bytes;

use crate::{
    time::Instant,
    types::Family,
    wire::{
        CeaseSubcode, ErrorCode, FsmSubcode, Message, MessageType, Notification, Open,
        RouteRefresh, Updates,
    },
};

use super::{
    super::{
        collision::{self, COLLISION_WINDOW, Other, Speaker, Verdict},
        connection::{Connection, Established, Session, Unreadable},
        event::Event,
        negotiate::{Negotiated, negotiate},
        reason::DownReason,
        refresh::Refresh,
        state::{Slot, State},
    },
    Peer,
    connect::How,
};

impl Peer {
    /// Octets arrived on the connection in `slot`.
    pub fn received(&mut self, now: Instant, slot: Slot, bytes: &[u8]) {
        match self.connection_mut(slot).link_mut() {
            Some(link) => link.framer.push(bytes),
            None => return,
        }
        // A message may end the connection: then there is no next one.
        loop {
            let octets = match self.connection_mut(slot).next_message() {
                Ok(None) => return,
                Ok(Some(octets)) => octets,
                Err(unreadable) => return self.unreadable(now, slot, unreadable),
            };
            self.note_received(now, slot, &octets);
            let taken = if self.connection(slot).reads_updates(&octets) {
                self.update(now, slot, &octets, bytes.len())
            } else {
                let read = self.connection(slot).read(&octets);
                read.map(|message| self.message(now, slot, message))
            };
            if let Err(unreadable) = taken {
                return self.unreadable(now, slot, unreadable);
            }
        }
    }

    /// The connection ends for what cannot be read.
    fn unreadable(&mut self, now: Instant, slot: Slot, unreadable: Unreadable) {
        let notification = unreadable.notification;
        if !unreadable.message.is_empty() {
            self.events.push(Event::Malformed(unreadable.message));
        }
        let reason = DownReason::NotificationSent(notification.clone());
        self.end(now, slot, reason, How::Notify(notification));
    }

    /// Octets that had arrived when the connection in `slot` turned out to be broken; [`Peer::closed`]
    /// follows. The neighbour may have said why in a NOTIFICATION. Routes before it are of no use any
    /// more, and nobody may have room for them.
    pub fn received_last(&mut self, now: Instant, slot: Slot, bytes: &[u8]) {
        if let Some(link) = self.connection_mut(slot).link_mut() {
            link.broken = true;
        }
        self.received(now, slot, bytes);
    }

    fn message(&mut self, now: Instant, slot: Slot, message: Message) {
        self.heard(now, slot, message.kind());
        // OPEN while the DelayOpenTimer runs: ours goes out, and theirs is taken as ever.
        if matches!(message, Message::Open(_)) {
            self.end_delay(now, slot);
        }
        let state = self.connection(slot).state().unwrap_or_default();
        let broken = self.connection(slot).link().is_some_and(|l| l.broken);
        match (state, message) {
            (_, Message::Notification(n)) => self.notification(now, slot, n),
            (State::Established, _) if broken => {}
            (State::OpenSent, Message::Open(open)) => self.open(now, slot, open),
            (State::OpenConfirm, Message::Keepalive) => self.establish(now, slot),
            (State::Established, Message::Keepalive) => {}
            (State::Established, Message::RouteRefresh(refresh)) => {
                self.refresh(now, slot, refresh);
            }
            (state, message) => self.unexpected(now, slot, state, &message),
        }
    }

    fn notification(&mut self, now: Instant, slot: Slot, notification: Notification) {
        self.withheld.learn(&self.config, &notification);
        let reason = DownReason::NotificationReceived(notification);
        self.end(now, slot, reason, How::Drop);
    }

    /// The neighbour's OPEN, in OpenSent.
    fn open(&mut self, now: Instant, slot: Slot, theirs: Open) {
        let Connection::OpenSent(open) = self.connection(slot) else {
            return;
        };
        let addresses = (open.link.local, open.link.remote);
        let negotiated = match negotiate(&self.config, &open.ours, theirs, addresses) {
            Ok(negotiated) => negotiated,
            Err(refusal) => {
                let notification = How::Notify(refusal.notification());
                return self.end(now, slot, DownReason::OpenRefused(refusal), notification);
            }
        };
        match self.collision(now, slot, &negotiated) {
            Verdict::NoCollision => {}
            Verdict::CloseThis => {
                let how = How::cease(CeaseSubcode::ConnectionCollisionResolution);
                return self.end(now, slot, DownReason::Collision, how);
            }
            Verdict::CloseOther => self.close_loser(now, slot.other()),
        }
        // RFC 4271 section 8.2.2: one connection is enough from here on.
        self.stop_dialling();
        if let Connection::OpenSent(open) = self.connection_mut(slot).take() {
            let send_hold = self.config.send_hold;
            let mut session =
                Session::confirm(open.link, negotiated, send_hold, now, &mut self.jitter);
            let codec = session.negotiated.codec;
            let sent = &mut self.record.sent;
            session.link.send(now, &codec, &Message::Keepalive, sent);
            *self.connection_mut(slot) = Connection::OpenConfirm(Box::new(session));
        }
        self.note_state(now);
    }

    fn collision(&self, now: Instant, slot: Slot, negotiated: &Negotiated) -> Verdict {
        let may_lose = self.config.collision_established;
        let other = match self.connection(slot.other()) {
            Connection::Idle | Connection::Connecting { .. } => Other::None,
            Connection::OpenSent(open) if now.saturating_since(open.since) >= COLLISION_WINDOW => {
                Other::Silent
            }
            Connection::Delayed(_) | Connection::OpenSent(_) | Connection::OpenConfirm(_) => {
                Other::Opening
            }
            // The rule for collisions asks who dialled. Of two that the neighbour dialled it says
            // nothing, wherever the older one is by now; but nobody dials twice at once, so the
            // neighbour has lost that one.
            Connection::Established(old) if may_lose && old.session.link.origin == slot => {
                Other::Abandoned
            }
            Connection::Established(old) if abandoned(old, slot, negotiated, now) => {
                Other::Abandoned
            }
            Connection::Established(_) => Other::Established,
        };
        let local = Speaker {
            router_id: negotiated.local_router_id,
            asn: negotiated.local_as,
        };
        let remote = Speaker {
            router_id: negotiated.remote_router_id,
            asn: negotiated.remote_as,
        };
        collision::resolve(slot, other, local, remote, may_lose)
    }

    fn close_loser(&mut self, now: Instant, loser: Slot) {
        let graceful = self
            .connection(loser)
            .established()
            .is_some_and(|e| e.session.negotiated.graceful_restart.is_some());
        if graceful {
            self.end(now, loser, DownReason::PeerRestarted, How::Drop);
        } else {
            let how = How::cease(CeaseSubcode::ConnectionCollisionResolution);
            self.end(now, loser, DownReason::Collision, how);
        }
    }

    /// The first KEEPALIVE, in OpenConfirm.
    fn establish(&mut self, now: Instant, slot: Slot) {
        if !matches!(self.connection(slot), Connection::OpenConfirm(_)) {
            return;
        }
        if let Connection::OpenConfirm(session) = self.connection_mut(slot).take() {
            let negotiated = session.negotiated.clone();
            let session = *session;
            *self.connection_mut(slot) = Connection::Established(Box::new(Established {
                session,
                since: now,
                refresh: Refresh::default(),
            }));
            self.record.established_count += 1;
            self.events.push(Event::Established(negotiated));
            self.note_state(now);
        }
        let how = How::cease(CeaseSubcode::ConnectionCollisionResolution);
        self.end(now, slot.other(), DownReason::Collision, how);
    }

    /// A message came. RFC 4271 names KEEPALIVE and UPDATE here; any message is as good a sign of life.
    fn heard(&mut self, now: Instant, slot: Slot, kind: MessageType) {
        self.record.received.count(kind);
        if let Some(session) = self.connection_mut(slot).session_mut() {
            session.restart_hold(now);
        }
    }

    /// An UPDATE, in Established. It came with so many octets.
    fn update(
        &mut self,
        now: Instant,
        slot: Slot,
        message: &Bytes,
        together: usize,
    ) -> Result<(), Unreadable> {
        let connection = self.connection(slot);
        let codec = connection.receive_codec();
        let broken = connection.link().is_some_and(|link| link.broken);
        let mut of_no_use = Updates::default();
        let updates = match broken {
            true => &mut of_no_use,
            false => self.events.updates(together),
        };
        let end_of_rib = codec
            .decode_update(message, updates)
            .map_err(|notification| Unreadable {
                notification,
                message: message.clone(),
            })?;
        self.heard(now, slot, MessageType::Update);
        if let (Some(family), false) = (end_of_rib, broken)
            && let Some(established) = self.connection_mut(slot).established_mut()
        {
            established.refresh.end_of_rib_received(family);
        }
        Ok(())
    }

    /// RFC 2918 section 4: a request for a family that we did not advertise is ignored. The markers
    /// likewise.
    fn refresh(&mut self, now: Instant, slot: Slot, refresh: RouteRefresh) {
        let patience = self.config.refresh_time;
        let Some(established) = self.connection_mut(slot).established_mut() else {
            return;
        };
        let negotiated = established.session.negotiated.clone();
        let family = Family::from_afi_safi(refresh.afi, refresh.safi);
        if let Some(family) = family.filter(|family| negotiated.families.contains(*family)) {
            let refreshes = &mut established.refresh;
            let event = refreshes.received(now, patience, &negotiated, family, refresh.kind);
            if let Some(event) = event {
                self.events.push(event);
            }
        }
    }

    /// A message that the state does not expect: the subcode names the state, the data the type of
    /// the message (RFC 6608 section 4).
    fn unexpected(&mut self, now: Instant, slot: Slot, state: State, message: &Message) {
        let subcode = match state {
            State::OpenSent => FsmSubcode::UnexpectedInOpenSent,
            State::OpenConfirm => FsmSubcode::UnexpectedInOpenConfirm,
            State::Established => FsmSubcode::UnexpectedInEstablished,
            // While our OPEN is delayed. No subcode names these states.
            State::Idle | State::Active | State::Connect => FsmSubcode::Unspecific,
        };
        let notification =
            Notification::with_data(ErrorCode::Fsm(subcode), &[message.kind().code()]);
        let reason = DownReason::NotificationSent(notification.clone());
        self.end(now, slot, reason, How::Notify(notification));
    }
}

/// Whether an Established session is one that the neighbour has lost, given its OPEN on another
/// connection: it speaks graceful restart, and says that it restarted, or dialled both connections
/// (and nobody dials twice at once), or dialled long after a simultaneous start could explain it.
fn abandoned(old: &Established, slot: Slot, new: &Negotiated, now: Instant) -> bool {
    let restarting = new
        .graceful_restart
        .as_ref()
        .is_some_and(|gr| gr.restarting);
    let dialled_both = old.session.link.origin == slot;
    let late = now.saturating_since(old.since) >= COLLISION_WINDOW;
    old.session.negotiated.graceful_restart.is_some() && (restarting || dialled_both || late)
}
