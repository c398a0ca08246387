//! What leaves: batches of routes, requests, and the bytes for the sockets.

use std::sync::Arc;

use bytes::BytesMut;

use crate::{
    time::Instant,
    types::{Family, FamilySet, NlriSet, PathAttributes},
    wire::{Codec, Message, RefreshKind, RouteRefresh},
};

use super::{
    super::{
        batch::OutBatch,
        connection::{Connection, Session},
        event::{Event, Unsendable, UnsendableReason},
        state::Slot,
    },
    Peer,
};

impl Peer {
    /// Queues route changes. Without a session they are forgotten: the next one starts from the whole
    /// table. What the session cannot carry is reported as [`Event::Unsendable`] and skipped.
    pub fn send_batch(&mut self, now: Instant, batch: &OutBatch) {
        let events = &mut self.events;
        let Some(session) = established_mut(&mut self.outgoing, &mut self.incoming) else {
            return;
        };
        let (codec, families) = (session.negotiated.codec, session.negotiated.families);
        let out = session.link.outbox.updates();
        let mut sent = 0;
        let mut skipped = |nlri: &NlriSet, reason| {
            let nlri = nlri.clone();
            events.push_back(Event::Unsendable(Unsendable { nlri, reason }));
        };
        for nlri in batch.withdraw.iter().filter(|nlri| !nlri.is_empty()) {
            if families.contains(nlri.family()) {
                sent += codec.encode_unreach(nlri, out);
            } else {
                skipped(nlri, UnsendableReason::FamilyNotNegotiated);
            }
        }
        for (attrs, nlri) in batch.reach.iter().filter(|(_, nlri)| !nlri.is_empty()) {
            match reach(&codec, families, attrs, nlri, out) {
                Ok(messages) => sent += messages,
                Err(reason) => skipped(nlri, reason),
            }
        }
        for family in batch.end_of_rib.intersection(families).iter() {
            codec.encode_end_of_rib(family, out);
            sent += 1;
        }
        session.link.outbox.arm(now);
        self.record.sent.update += u64::try_from(sent).unwrap_or(u64::MAX);
    }

    /// Asks the neighbour for all its routes of a family again. `false`: there is no session, or it
    /// cannot do that for this family.
    pub fn send_route_refresh(&mut self, now: Instant, family: Family) -> bool {
        let Some(session) = established_mut(&mut self.outgoing, &mut self.incoming) else {
            return false;
        };
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

fn reach(
    codec: &Codec,
    families: FamilySet,
    attrs: &Arc<PathAttributes>,
    nlri: &NlriSet,
    out: &mut BytesMut,
) -> Result<usize, UnsendableReason> {
    if !families.contains(nlri.family()) {
        return Err(UnsendableReason::FamilyNotNegotiated);
    }
    Ok(codec.encode_reach(attrs, nlri, out)?)
}

fn established_mut<'a>(
    outgoing: &'a mut Connection,
    incoming: &'a mut Connection,
) -> Option<&'a mut Session> {
    [outgoing, incoming]
        .into_iter()
        .find(|connection| connection.established().is_some())?
        .session_mut()
}
