//! What the core says, as messages.
//!
//! A Route Monitoring message has one UPDATE, written as if nothing had been negotiated that keeps
//! something from being said: AS numbers have four octets, whatever the session has (the A flag says so),
//! and IPv4 routes may have an IPv6 next hop. Path identifiers are there where the session has them, which
//! the OPENs of the Peer Up tell. An UPDATE longer than 4096 octets is written only where a route fits no
//! shorter one (RFC 8654).
//!
//! Routes of a peer whose session the station was not told of are left out: they crossed its end.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use jiff::{SignedDuration, Timestamp};
use redstart_bgp::{
    bmp::{
        ADMINISTRATIVELY_CLOSED, Information, Message, PeerHeader, PeerKind, PeerUp,
        put_route_monitoring,
    },
    mrt::Time,
    session::{Negotiated, PeerId},
    time::Instant,
    types::{Family, FamilySet, NlriSet, PathAttributes},
    wire::{Capability, Codec, HEADER_LEN, Message as BgpMessage, Open},
};
use redstart_rib::rib::{Observed, Seen, View, Views};

use super::{Batch, Change, Local};

/// What the one table is called (RFC 9069 section 5.2.1).
const TABLE: &str = "global";

/// The hold time of a session that does not exist.
const HOLD_TIME: u16 = 0;

/// What was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Messages.
    pub(super) messages: u64,
    /// Routes that no message can carry.
    pub(super) unsendable: u64,
    /// Whether everything was told once with this.
    pub(super) complete: bool,
}

/// Tells one station, on one connection.
#[derive(Debug)]
pub(super) struct Teller {
    local: Local,
    views: Views,
    peers: BTreeMap<PeerId, Arc<Negotiated>>,
    told: Told,
    /// UPDATEs, before they are put into messages.
    updates: BytesMut,
}

impl Teller {
    pub(super) fn new(local: Local, views: Views) -> Self {
        Self {
            local,
            views,
            peers: BTreeMap::new(),
            told: Told::default(),
            updates: BytesMut::new(),
        }
    }

    /// Appends what comes first: who speaks, and that there is a Loc-RIB.
    pub(super) fn begin(&mut self, out: &mut BytesMut) {
        let version = env!("CARGO_PKG_VERSION");
        let who = vec![
            Information::SysDescr(format!("Redstart {version}")),
            Information::SysName(self.local.name.clone()),
        ];
        self.put(&Message::Initiation(who), out);
        if self.views.contains(View::LocRib) {
            let up = self.loc_rib_up();
            self.put(&up, out);
        }
    }

    /// Appends what comes last.
    pub(super) fn end(&mut self, out: &mut BytesMut) {
        let why = Information::Reason(ADMINISTRATIVELY_CLOSED);
        self.put(&Message::Termination(vec![why]), out);
    }

    /// Appends what there is to tell.
    pub(super) fn tell(&mut self, batch: Batch, now: Timestamp, out: &mut BytesMut) {
        for change in batch.changes {
            self.change(change, now, out);
        }
        for seen in &batch.observed.seen {
            self.routes(seen, now, out);
        }
        self.ends(&batch.observed, now, out);
        for (peer, numbers) in batch.statistics {
            let view = peer.map_or(View::LocRib, |_| View::AdjRibInPre);
            if let Some(header) = self.header(view, peer, time(now)) {
                self.put(&Message::StatisticsReport(header, numbers), out);
            }
        }
    }

    /// What was told since this was asked.
    pub(super) fn take_counts(&mut self) -> Told {
        std::mem::take(&mut self.told)
    }

    fn put(&mut self, message: &Message, out: &mut BytesMut) {
        message.put(out);
        self.told.messages += 1;
    }

    fn change(&mut self, change: Change, now: Timestamp, out: &mut BytesMut) {
        match change {
            Change::Up {
                peer,
                name,
                negotiated,
                since,
            } => {
                let up = peer_up(&negotiated, name);
                self.peers.insert(peer, negotiated);
                if let Some(header) = self.header(View::AdjRibInPre, Some(peer), time(since)) {
                    self.put(&Message::PeerUp(header, Box::new(up)), out);
                }
            }
            Change::Down { peer, why } => {
                if let Some(header) = self.header(View::AdjRibInPre, Some(peer), time(now)) {
                    self.put(&Message::PeerDown(header, why), out);
                }
                self.peers.remove(&peer);
            }
        }
    }

    fn routes(&mut self, seen: &Seen, now: Timestamp, out: &mut BytesMut) {
        let at = match (seen.since, &seen.attrs) {
            (Some(since), _) => self.at(since),
            (None, None) => time(now),
            // When a neighbour was told is not kept: zero stands for that.
            (None, Some(_)) => Time::default(),
        };
        let Some(header) = self.header(seen.view, seen.peer, at) else {
            return;
        };
        let add_path = self.add_path(seen.view, seen.peer);
        let mut updates = std::mem::take(&mut self.updates);
        match &seen.attrs {
            Some(attrs) => {
                if !put_reach(attrs, &seen.routes, add_path, &mut updates) {
                    self.told.unsendable += seen.routes.len() as u64;
                }
            }
            None => {
                let codec = Codec {
                    add_path_send: add_path,
                    ..Codec::as_held(&PathAttributes::default())
                };
                codec.encode_unreach(&seen.routes, &mut updates);
            }
        }
        self.put_updates(&header, &updates, out);
        updates.clear();
        self.updates = updates;
    }

    /// Puts each of some UPDATEs into a message.
    fn put_updates(&mut self, header: &PeerHeader, mut updates: &[u8], out: &mut BytesMut) {
        while let Some((update, rest)) = first_message(updates) {
            put_route_monitoring(header, update, out);
            self.told.messages += 1;
            updates = rest;
        }
    }

    /// The ends of what was told of peers, and, where everything was told once, of all.
    fn ends(&mut self, observed: &Observed, now: Timestamp, out: &mut BytesMut) {
        for (peer, family) in &observed.ends {
            for view in [View::AdjRibInPre, View::AdjRibInPost] {
                self.end_of_rib((view, Some(*peer)), *family, now, out);
            }
        }
        if !observed.complete {
            return;
        }
        self.told.complete = true;
        let peers = self.peers.iter();
        let peers: Vec<_> = peers.map(|(peer, n)| (*peer, n.families)).collect();
        for (peer, families) in peers {
            for view in [View::AdjRibInPre, View::AdjRibInPost, View::AdjRibOutPost] {
                for family in families.iter() {
                    self.end_of_rib((view, Some(peer)), family, now, out);
                }
            }
        }
        for family in Family::ALL {
            self.end_of_rib((View::LocRib, None), family, now, out);
        }
    }

    fn end_of_rib(
        &mut self,
        (view, peer): (View, Option<PeerId>),
        family: Family,
        now: Timestamp,
        out: &mut BytesMut,
    ) {
        if !self.views.contains(view) {
            return;
        }
        if let Some(header) = self.header(view, peer, time(now)) {
            let mut update = BytesMut::new();
            Codec::default().encode_end_of_rib(family, &mut update);
            self.put_updates(&header, &update, out);
        }
    }

    /// Nothing for a peer that the station knows no session with.
    fn header(&self, view: View, peer: Option<PeerId>, time: Time) -> Option<PeerHeader> {
        let Some(peer) = peer else {
            return Some(PeerHeader {
                kind: PeerKind::LocRib { filtered: false },
                address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                asn: self.local.asn,
                router_id: self.local.router_id,
                time,
            });
        };
        let negotiated = self.peers.get(&peer)?;
        Some(PeerHeader {
            kind: PeerKind::Global {
                adj_rib_out: view == View::AdjRibOutPost,
                post_policy: matches!(view, View::AdjRibInPost | View::AdjRibOutPost),
                two_octet_as: false,
            },
            address: negotiated.remote_addr.ip(),
            asn: negotiated.remote_as,
            router_id: negotiated.remote_router_id,
            time,
        })
    }

    /// The families with path identifiers.
    fn add_path(&self, view: View, peer: Option<PeerId>) -> FamilySet {
        let negotiated = peer.and_then(|peer| self.peers.get(&peer));
        match (view, negotiated) {
            (View::LocRib, _) | (_, None) => FamilySet::EMPTY,
            (View::AdjRibInPre | View::AdjRibInPost, Some(n)) => n.add_path_receive,
            (View::AdjRibOutPost, Some(n)) => n.add_path_send,
        }
    }

    /// RFC 9069 section 5.2: both OPENs are ours, with all that is needed to read the routes.
    fn loc_rib_up(&self) -> Message {
        let Local {
            router_id,
            asn,
            started,
            ..
        } = self.local;
        let families = Family::ALL.map(|family| Capability::Multiprotocol {
            afi: family.afi(),
            safi: family.safi(),
        });
        let [v4, v6] = Family::ALL;
        let by_ipv6 = (v4.afi(), u16::from(v4.safi()), v6.afi());
        let more = [
            Capability::ExtendedNextHop(vec![by_ipv6]),
            Capability::FourOctetAs(asn),
        ];
        let open = whole(Open {
            version: 4,
            asn,
            hold_time: HOLD_TIME,
            router_id,
            capabilities: families.into_iter().chain(more).collect(),
        });
        let up = PeerUp {
            local: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            local_port: 0,
            remote_port: 0,
            sent_open: open.clone(),
            received_open: open,
            information: vec![Information::TableName(TABLE.to_owned())],
        };
        let header = PeerHeader {
            kind: PeerKind::LocRib { filtered: false },
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            asn,
            router_id,
            time: time(started),
        };
        Message::PeerUp(header, Box::new(up))
    }

    /// When something was by the speaker's own clock.
    fn at(&self, since: Instant) -> Time {
        let age = since.saturating_since(Instant::ZERO);
        let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::ZERO);
        let at = self.local.started.checked_add(age);
        time(at.unwrap_or(self.local.started))
    }
}

fn peer_up(negotiated: &Negotiated, name: String) -> PeerUp {
    let [sent_open, received_open] = negotiated.opens().map(whole);
    PeerUp {
        local: negotiated.local_addr.ip(),
        local_port: negotiated.local_addr.port(),
        remote_port: negotiated.remote_addr.port(),
        sent_open,
        received_open,
        information: vec![Information::Text(name)],
    }
}

fn whole(open: Open) -> Bytes {
    let mut out = BytesMut::new();
    Codec::default().encode(&BgpMessage::Open(open), &mut out);
    out.freeze()
}

/// Whether there is an UPDATE that can say it.
fn put_reach(
    attrs: &PathAttributes,
    routes: &NlriSet,
    add_path: FamilySet,
    out: &mut BytesMut,
) -> bool {
    let attrs = &*attrs.with_some_next_hop(routes.family());
    let codec = Codec {
        add_path_send: add_path,
        ..Codec::as_held(attrs)
    };
    let longer = Codec {
        extended_messages: true,
        ..codec
    };
    let put = codec.encode_reach(attrs, routes, out);
    put.or_else(|_| longer.encode_reach(attrs, routes, out))
        .is_ok()
}

/// The first of several messages, by the length in its header.
fn first_message(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let [.., hi, lo, _kind] = octets.first_chunk::<HEADER_LEN>()?;
    octets.split_at_checked(usize::from(u16::from_be_bytes([*hi, *lo])))
}

fn time(at: Timestamp) -> Time {
    Time {
        seconds: u32::try_from(at.as_second()).unwrap_or(0),
        micros: u32::try_from(at.subsec_microsecond()).unwrap_or(0),
    }
}
