//! What leaves: batches of routes, requests, and the bytes for the sockets.

use crate::{
    time::Instant,
    types::{Family, FamilySet, NlriSet},
    wire::{Message, RefreshKind, RouteRefresh},
};

use super::{
    super::{
        batch::OutBatch,
        connection::{Connection, Established, Session},
        event::{Event, Unsendable, UnsendableReason},
        state::Slot,
        status::Counters,
    },
    Peer,
};

impl Peer {
    /// Queues route changes. Without a session they are forgotten: the next one starts from the whole
    /// table. What the session cannot carry is reported as [`Event::Unsendable`], and withdrawn in case
    /// that it could be carried before.
    pub fn send_batch(&mut self, now: Instant, batch: &OutBatch) {
        let sent = &mut self.record.sent;
        let Some(established) = established_mut(&mut self.outgoing, &mut self.incoming) else {
            return;
        };
        mark(established, batch.refresh_begin, RefreshKind::Begin, sent);
        let (updates, unsendable) = routes(&mut established.session, batch);
        sent.update += u64::try_from(updates).unwrap_or(u64::MAX);
        end_of_rib(established, batch.end_of_rib, sent);
        mark(established, batch.refresh_end, RefreshKind::End, sent);
        established.session.link.outbox.arm(now);
        self.events
            .extend(unsendable.into_iter().map(Event::Unsendable));
    }

    /// Asks the neighbour for all its routes of a family again. `false`: there is no session, or it
    /// cannot do that for this family.
    pub fn send_route_refresh(&mut self, now: Instant, family: Family) -> bool {
        let Some(established) = established_mut(&mut self.outgoing, &mut self.incoming) else {
            return false;
        };
        let session = &mut established.session;
        if !session.negotiated.route_refresh || !session.negotiated.families.contains(family) {
            return false;
        }
        let refresh = Message::RouteRefresh(RouteRefresh {
            afi: family.afi(),
            safi: family.safi(),
            kind: RefreshKind::Request,
        });
        let codec = session.negotiated.codec;
        session
            .link
            .send(now, &codec, &refresh, &mut self.record.sent);
        true
    }

    /// What to write to the socket in `slot` next; empty if there is nothing. Report what it took
    /// with [`Peer::wrote`].
    pub fn transmit(&mut self, slot: Slot) -> &[u8] {
        self.connection_mut(slot)
            .link_mut()
            .map_or(&[], |link| link.outbox.pending())
    }

    /// The socket in `slot` took `n` octets.
    pub fn wrote(&mut self, now: Instant, slot: Slot, n: usize) {
        if let Some(link) = self.connection_mut(slot).link_mut() {
            link.outbox.wrote(now, n);
        }
    }

    /// Whether the session can take a batch: it is Established and all earlier ones are written.
    #[must_use]
    pub fn wants_batch(&self) -> bool {
        self.connections()
            .filter_map(|(_, connection)| connection.established())
            .any(|established| established.session.link.outbox.is_empty())
    }
}

/// Queues the routes of a batch. Returns the number of messages, and what could not be sent.
fn routes(session: &mut Session, batch: &OutBatch) -> (usize, Vec<Unsendable>) {
    let (codec, families) = (session.negotiated.codec, session.negotiated.families);
    let out = session.link.outbox.updates();
    let mut messages = 0;
    let mut unsendable = Vec::new();
    let mut skipped = |nlri: &NlriSet, reason| {
        let nlri = nlri.clone();
        unsendable.push(Unsendable { nlri, reason });
    };
    for nlri in batch.withdraw.iter().filter(|nlri| !nlri.is_empty()) {
        if families.contains(nlri.family()) {
            messages += codec.encode_unreach(nlri, out);
        } else {
            skipped(nlri, UnsendableReason::FamilyNotNegotiated);
        }
    }
    for (attrs, nlri) in batch.reach.iter().filter(|(_, nlri)| !nlri.is_empty()) {
        if !families.contains(nlri.family()) {
            skipped(nlri, UnsendableReason::FamilyNotNegotiated);
            continue;
        }
        match codec.encode_reach(attrs, nlri, out) {
            Ok(sent) => messages += sent,
            // RFC 8654 section 4: "if the NLRI was previously advertised to that peer, it must be
            // withdrawn from service". Whether it was is not known here, and withdrawing what the
            // neighbour does not have is harmless.
            Err(error) => {
                messages += codec.encode_unreach(nlri, out);
                skipped(nlri, error.into());
            }
        }
    }
    (messages, unsendable)
}

fn end_of_rib(established: &mut Established, families: FamilySet, sent: &mut Counters) {
    let session = &mut established.session;
    let negotiated = &session.negotiated;
    for family in families.intersection(negotiated.families).iter() {
        negotiated
            .codec
            .encode_end_of_rib(family, session.link.outbox.updates());
        established.refresh.end_of_rib_sent(family);
        sent.update += 1;
    }
}

/// Queues the markers of a refresh in line with the UPDATEs: a marker that overtook one would say
/// something else.
fn mark(
    established: &mut Established,
    families: FamilySet,
    kind: RefreshKind,
    sent: &mut Counters,
) {
    let session = &mut established.session;
    let negotiated = &session.negotiated;
    for family in families.intersection(negotiated.families).iter() {
        if let Some(marker) = established.refresh.marker(negotiated, family, kind) {
            let out = session.link.outbox.updates();
            negotiated.codec.encode(&Message::RouteRefresh(marker), out);
            sent.route_refresh += 1;
        }
    }
}

fn established_mut<'a>(
    outgoing: &'a mut Connection,
    incoming: &'a mut Connection,
) -> Option<&'a mut Established> {
    [outgoing, incoming]
        .into_iter()
        .find_map(Connection::established_mut)
}
