//! What is noted for an update log.

use bytes::{Bytes, BytesMut};

use crate::{
    time::Instant,
    types::FamilySet,
    wire::{Codec, Message, Notification},
};

use super::{
    super::{
        connection::Connection,
        journal::{Happened, Journal, Noted},
        state::{Slot, State},
    },
    Peer,
};

/// How messages look before the OPENs have agreed on anything. None has AS numbers of another length then.
const BEFORE: Codec = Codec {
    four_octet_as: true,
    ebgp: false,
    extended_messages: false,
    families: FamilySet::EMPTY,
    add_path_receive: FamilySet::EMPTY,
    add_path_send: FamilySet::EMPTY,
    extended_next_hop: FamilySet::EMPTY,
};

impl Peer {
    /// Notes what happens from now on, or no longer. What was noted before is forgotten.
    pub fn set_journal(&mut self, journal: Option<Journal>) {
        self.journal = journal.map(Box::new);
        let lead = lead(&self.outgoing, &self.incoming);
        if let Some(journal) = &mut self.journal {
            journal.see(lead);
        }
    }

    /// What was noted since this was asked. Ask after every input: it is as much as came with it.
    #[must_use]
    pub fn take_noted(&mut self) -> Vec<Noted> {
        self.journal
            .as_mut()
            .map_or_else(Vec::new, |journal| journal.take())
    }

    /// A whole message came on the connection in `slot`.
    pub(super) fn note_received(&mut self, now: Instant, slot: Slot, message: &Bytes) {
        let Some(journal) = &mut self.journal else {
            return;
        };
        let connection = of(slot, &self.outgoing, &self.incoming);
        let codec = connection.session().map(|_| connection.receive_codec());
        let what = Happened::Received(codec.unwrap_or(BEFORE), message.clone());
        journal.note(now, &self.config, Some(connection), what);
    }

    /// The socket in `slot` is about to have taken `n` octets of what was to be sent.
    pub(super) fn note_sent(&mut self, now: Instant, slot: Slot, n: usize) {
        let Some(journal) = self.journal.as_mut().filter(|it| it.wants_sent()) else {
            return;
        };
        let connection = of(slot, &self.outgoing, &self.incoming);
        let Some(link) = connection.link() else {
            return;
        };
        for message in link.outbox.begun(n) {
            let codec = connection.session().map(|_| connection.codec());
            let message = Bytes::copy_from_slice(message);
            let what = Happened::Sent(codec.unwrap_or(BEFORE), message);
            journal.note(now, &self.config, Some(connection), what);
        }
    }

    /// A connection that is not in its slot any more ends with these words of ours.
    pub(super) fn note_farewell(
        &mut self,
        now: Instant,
        ended: &Connection,
        notification: Option<&Notification>,
    ) {
        let Some(journal) = self.journal.as_mut() else {
            return;
        };
        if let Some(notification) = notification.filter(|_| journal.wants_sent()) {
            let mut message = BytesMut::new();
            let codec = ended.session().map(|_| ended.codec()).unwrap_or(BEFORE);
            codec.encode(&Message::Notification(notification.clone()), &mut message);
            let what = Happened::Sent(codec, message.freeze());
            journal.note(now, &self.config, Some(ended), what);
        }
    }

    /// The state that operators see changed.
    pub(super) fn note_change(&mut self, now: Instant, from: State, to: State) {
        let Some(journal) = &mut self.journal else {
            return;
        };
        let lead = lead(&self.outgoing, &self.incoming);
        let what = Happened::StateChanged { from, to };
        journal.note(now, &self.config, lead, what);
    }
}

/// The connection that is furthest.
fn lead<'c>(outgoing: &'c Connection, incoming: &'c Connection) -> Option<&'c Connection> {
    [outgoing, incoming]
        .into_iter()
        .filter(|connection| connection.link().is_some())
        .max_by_key(|connection| connection.state())
}

const fn of<'c>(slot: Slot, outgoing: &'c Connection, incoming: &'c Connection) -> &'c Connection {
    match slot {
        Slot::Outgoing => outgoing,
        Slot::Incoming => incoming,
    }
}
