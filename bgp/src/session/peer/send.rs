//! What leaves: batches of routes, requests, and the bytes for the sockets.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use bytes::BytesMut;

use crate::{
    time::Instant,
    types::{Family, FamilySet, Nlri, NlriSet, PathAttributes, PrefixKey},
    wire::{Codec, EncodeError, Message, RefreshKind, RouteRefresh},
};

use super::{
    super::{
        batch::{Announced, Encoded, OutBatch, Terms},
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
    /// that it could be carried before. Where the batch says that there is more, up to one message of its
    /// routes is held back, to be filled with those of the next batch.
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
        for routes in unsendable {
            self.events.push(Event::Unsendable(routes));
        }
    }

    /// Whether routes are held back. Another batch sends them, be it empty.
    #[must_use]
    pub fn holds_routes(&self) -> bool {
        self.connections()
            .filter_map(|(_, connection)| connection.established())
            .any(|established| established.session.held.is_some())
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
        self.note_sent(now, slot, n);
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

/// Queues the routes of a batch, and those that were held back. Returns the number of messages, and what
/// could not be sent.
fn routes(session: &mut Session, batch: &OutBatch) -> (usize, Vec<Unsendable>) {
    let is_end = !batch.end_of_rib.is_empty() || !batch.refresh_end.is_empty();
    let terms = Terms {
        codec: session.negotiated.codec,
        families: session.negotiated.families,
        held: session.held.take(),
        may_hold: batch.more && !is_end,
    };
    let out = session.link.outbox.updates();
    let only_reach = batch.withdraw.is_empty();
    if only_reach && let Some(encoded) = batch.reach.encoded(&terms) {
        out.extend_from_slice(&encoded.octets);
        session.held.clone_from(&encoded.held);
        return (encoded.messages, Vec::new());
    }
    let start = out.len();
    let mut queue = Queue {
        codec: terms.codec,
        families: terms.families,
        out,
        messages: 0,
        unsendable: Vec::new(),
    };
    let held = queue.routes(batch, terms.held.as_ref(), terms.may_hold);
    let (messages, unsendable) = (queue.messages, queue.unsendable);
    if only_reach && unsendable.is_empty() {
        let octets = out.get(start..).unwrap_or_default();
        batch.reach.keep(octets, |octets| Encoded {
            terms,
            octets,
            messages,
            held: held.clone(),
        });
    }
    session.held = held;
    (messages, unsendable)
}

/// Routes that share attributes.
type Group<'a> = (&'a Arc<PathAttributes>, Cow<'a, NlriSet>);

/// Where UPDATEs are queued.
struct Queue<'a> {
    codec: Codec,
    families: FamilySet,
    out: &'a mut BytesMut,
    messages: usize,
    unsendable: Vec<Unsendable>,
}

impl Queue<'_> {
    /// All of a batch and what was held back before it, but for what is held back now: it is returned.
    fn routes(
        &mut self,
        batch: &OutBatch,
        held: Option<&Announced>,
        may_hold: bool,
    ) -> Option<Announced> {
        let mut groups: Vec<Group<'_>> = batch
            .reach
            .iter()
            .filter(|(_, nlri)| !nlri.is_empty())
            .map(|(attrs, nlri)| (attrs, Cow::Borrowed(nlri)))
            .collect();
        if let Some((attrs, nlri)) = held {
            // What was held back goes before whatever the batch says of the same prefixes.
            let same =
                |(others, list): &Group<'_>| *others == attrs && list.family() == nlri.family();
            let joins = groups.iter().position(same);
            match joins.filter(|_| batch.withdraw.is_empty()) {
                Some(at) => {
                    let (attrs, list) = groups.remove(at);
                    groups.insert(0, (attrs, Cow::Owned(joined(nlri, &list))));
                }
                None => self.reach(attrs, nlri),
            }
        }
        for nlri in batch.withdraw.iter().filter(|nlri| !nlri.is_empty()) {
            self.unreach(nlri);
        }
        let last = if may_hold { groups.pop() } else { None };
        for (attrs, nlri) in &groups {
            self.reach(attrs, nlri);
        }
        let (attrs, nlri) = last?;
        let rest = self.reach_whole(attrs, &nlri)?;
        Some((Arc::clone(attrs), rest))
    }

    fn skip(&mut self, nlri: NlriSet, reason: UnsendableReason) {
        self.unsendable.push(Unsendable { nlri, reason });
    }

    fn unreach(&mut self, nlri: &NlriSet) {
        if self.families.contains(nlri.family()) {
            self.messages += self.codec.encode_unreach(nlri, self.out);
        } else {
            self.skip(nlri.clone(), UnsendableReason::FamilyNotNegotiated);
        }
    }

    fn reach(&mut self, attrs: &PathAttributes, nlri: &NlriSet) {
        if !self.families.contains(nlri.family()) {
            return self.skip(nlri.clone(), UnsendableReason::FamilyNotNegotiated);
        }
        match self.codec.encode_reach(attrs, nlri, self.out) {
            Ok(sent) => self.messages += sent,
            // A shorter prefix may fit where a longer one does not.
            Err(EncodeError::AttributesTooLong) => {
                let by_octets = match nlri {
                    NlriSet::V4(list) => by_octets(list),
                    NlriSet::V6(list) => by_octets(list),
                };
                for part in by_octets {
                    match self.codec.encode_reach(attrs, &part, self.out) {
                        Ok(sent) => self.messages += sent,
                        Err(error) => self.cannot(part, error),
                    }
                }
            }
            Err(error) => self.cannot(nlri.clone(), error),
        }
    }

    /// Queues as many of the routes as fill whole messages, and gives back the others.
    fn reach_whole(&mut self, attrs: &PathAttributes, nlri: &NlriSet) -> Option<NlriSet> {
        let whole = self
            .families
            .contains(nlri.family())
            .then(|| self.codec.encode_reach_whole(attrs, nlri, self.out));
        match whole {
            Some(Ok((sent, routes))) => {
                self.messages += sent;
                let rest = after(nlri, routes);
                (!rest.is_empty()).then_some(rest)
            }
            Some(Err(_)) | None => {
                self.reach(attrs, nlri);
                None
            }
        }
    }

    /// RFC 8654 section 4: "if the NLRI was previously advertised to that peer, it must be withdrawn from
    /// service". Whether it was is not known here, and withdrawing what the neighbour does not have is
    /// harmless.
    fn cannot(&mut self, nlri: NlriSet, error: EncodeError) {
        self.messages += self.codec.encode_unreach(&nlri, self.out);
        self.skip(nlri, error.into());
    }
}

/// Prefixes that take as many octets in a message, together.
fn by_octets<P: PrefixKey>(list: &[Nlri<P>]) -> Vec<NlriSet> {
    let mut parts: BTreeMap<u8, Vec<Nlri<P>>> = BTreeMap::new();
    for nlri in list {
        let octets = nlri.prefix.len().div_ceil(8);
        parts.entry(octets).or_default().push(*nlri);
    }
    parts.into_values().map(P::into_set).collect()
}

/// The routes of both, which are of one family.
fn joined(first: &NlriSet, second: &NlriSet) -> NlriSet {
    match (first, second) {
        (NlriSet::V4(first), NlriSet::V4(second)) => {
            NlriSet::V4([&first[..], &second[..]].concat())
        }
        (NlriSet::V6(first), NlriSet::V6(second)) => {
            NlriSet::V6([&first[..], &second[..]].concat())
        }
        (_, second) => second.clone(),
    }
}

/// All routes but the first `n`.
fn after(nlri: &NlriSet, n: usize) -> NlriSet {
    match nlri {
        NlriSet::V4(list) => NlriSet::V4(list.get(n..).unwrap_or_default().to_vec()),
        NlriSet::V6(list) => NlriSet::V6(list.get(n..).unwrap_or_default().to_vec()),
    }
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
