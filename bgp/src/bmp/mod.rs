//! The BGP Monitoring Protocol: what a router tells a monitoring station (RFC 7854), also of its
//! Adj-RIB-Out (RFC 8671) and its Loc-RIB (RFC 9069).
//!
//! A one-way stream of messages over TCP. Each has a common header (version 3, length, type); those about
//! a peer go on with a [`PeerHeader`], and carry whole BGP messages. This module turns messages into
//! octets and back; what to tell whom, and when, is others' business.
//!
//! | file | job |
//! |---|---|
//! | this one | the messages, and their octets |
//! | `peer` | the per-peer header |
//! | `read` | octets to messages |

mod peer;
mod read;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use bytes::{BufMut, Bytes, BytesMut};

pub use peer::{PeerHeader, PeerKind};
pub use read::{ReadError, read};

use crate::types::Family;

/// The version of the protocol (RFC 7854 section 4.1).
const VERSION: u8 = 3;

/// Octets of the common header: version, length, type.
const HEADER_LEN: usize = 6;

/// The types of messages (section 4.1).
mod kind {
    pub(super) const ROUTE_MONITORING: u8 = 0;
    pub(super) const STATISTICS_REPORT: u8 = 1;
    pub(super) const PEER_DOWN: u8 = 2;
    pub(super) const PEER_UP: u8 = 3;
    pub(super) const INITIATION: u8 = 4;
    pub(super) const TERMINATION: u8 = 5;
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Routes of a peer, as an UPDATE (section 4.6).
    RouteMonitoring(PeerHeader, Bytes),
    /// Numbers about a peer (section 4.8).
    StatisticsReport(PeerHeader, Vec<Statistic>),
    /// A session is over, and with it everything that was told of the peer (section 4.9).
    PeerDown(PeerHeader, PeerDown),
    /// A session is there (section 4.10).
    PeerUp(PeerHeader, Box<PeerUp>),
    /// Who speaks (section 4.3): the first message.
    Initiation(Vec<Information>),
    /// Why nobody speaks any more (section 4.5): the last message.
    Termination(Vec<Information>),
}

/// What a Peer Up says beyond its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerUp {
    /// Our end of the session.
    pub local: IpAddr,
    /// Our port.
    pub local_port: u16,
    /// The peer's port.
    pub remote_port: u16,
    /// Our OPEN, whole.
    pub sent_open: Bytes,
    /// The peer's OPEN, whole.
    pub received_open: Bytes,
    /// More about it.
    pub information: Vec<Information>,
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerDown {
    /// We closed it, with this NOTIFICATION: the whole message.
    LocalNotification(Bytes),
    /// We closed it without a NOTIFICATION, for this event of RFC 4271 section 8.1; zero for none.
    LocalNoNotification(u16),
    /// The peer closed it, with this NOTIFICATION: the whole message.
    RemoteNotification(Bytes),
    /// The peer closed it without, or the connection broke.
    RemoteNoNotification,
    /// No more is told of the peer: it may be up.
    Deconfigured,
    /// A Loc-RIB is gone (RFC 9069 section 5.3).
    LocRib(Vec<Information>),
}

/// A text about a router, a peer or an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Information {
    /// Anything (section 4.4).
    Text(String),
    /// What the router is.
    SysDescr(String),
    /// What it is called.
    SysName(String),
    /// The name of the table (RFC 9069 section 5.2.1), in messages about a peer.
    TableName(String),
    /// Why it ends (section 4.5), in a Termination.
    Reason(u16),
    /// Something else: its type and value.
    Other(u16, Bytes),
}

/// A Termination's reason: the router is stopped by intention.
pub const ADMINISTRATIVELY_CLOSED: u16 = 0;

/// A number about a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// Routes in the Adj-RIB-In, before policy.
    AdjRibIn(u64),
    /// Routes in the Loc-RIB.
    LocRib(u64),
    /// The same of one family.
    FamilyAdjRibIn(Family, u64),
    /// The same of one family.
    FamilyLocRib(Family, u64),
    /// Routes in the Adj-RIB-Out, after policy (RFC 8671 section 6.2).
    AdjRibOut(u64),
    /// The same of one family.
    FamilyAdjRibOut(Family, u64),
    /// Something else, by its type.
    Other(u16),
}

impl Statistic {
    const ADJ_RIB_IN: u16 = 7;
    const LOC_RIB: u16 = 8;
    const FAMILY_ADJ_RIB_IN: u16 = 9;
    const FAMILY_LOC_RIB: u16 = 10;
    const ADJ_RIB_OUT: u16 = 15;
    const FAMILY_ADJ_RIB_OUT: u16 = 17;

    /// Its type, its family and its value; nothing of one that is not known.
    const fn parts(self) -> Option<(u16, Option<Family>, u64)> {
        Some(match self {
            Self::AdjRibIn(n) => (Self::ADJ_RIB_IN, None, n),
            Self::LocRib(n) => (Self::LOC_RIB, None, n),
            Self::FamilyAdjRibIn(family, n) => (Self::FAMILY_ADJ_RIB_IN, Some(family), n),
            Self::FamilyLocRib(family, n) => (Self::FAMILY_LOC_RIB, Some(family), n),
            Self::AdjRibOut(n) => (Self::ADJ_RIB_OUT, None, n),
            Self::FamilyAdjRibOut(family, n) => (Self::FAMILY_ADJ_RIB_OUT, Some(family), n),
            Self::Other(_) => return None,
        })
    }
}

impl Message {
    /// Appends it.
    pub fn put(&self, out: &mut BytesMut) {
        match self {
            Self::RouteMonitoring(peer, update) => put_route_monitoring(peer, update, out),
            Self::StatisticsReport(peer, list) => put(kind::STATISTICS_REPORT, out, |out| {
                peer.put(out);
                put_statistics(list, out);
            }),
            Self::PeerDown(peer, why) => put(kind::PEER_DOWN, out, |out| {
                peer.put(out);
                put_peer_down(why, out);
            }),
            Self::PeerUp(peer, up) => put(kind::PEER_UP, out, |out| {
                peer.put(out);
                put_peer_up(up, out);
            }),
            Self::Initiation(list) => put(kind::INITIATION, out, |out| put_all(list, out)),
            Self::Termination(list) => put(kind::TERMINATION, out, |out| put_all(list, out)),
        }
    }
}

/// Appends a Route Monitoring message around an UPDATE.
pub fn put_route_monitoring(peer: &PeerHeader, update: &[u8], out: &mut BytesMut) {
    put(kind::ROUTE_MONITORING, out, |out| {
        peer.put(out);
        out.put_slice(update);
    });
}

fn put(kind: u8, out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u8(VERSION);
    out.put_u32(0);
    out.put_u8(kind);
    body(out);
    let len = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    if let Some(field) = out.get_mut(start + 1..start + 5) {
        field.copy_from_slice(&len.to_be_bytes());
    }
}

fn put_statistics(list: &[Statistic], out: &mut BytesMut) {
    let known = || list.iter().filter_map(|one| one.parts());
    out.put_u32(u32::try_from(known().count()).unwrap_or(0));
    for (kind, family, value) in known() {
        out.put_u16(kind);
        out.put_u16(if family.is_some() { 11 } else { 8 });
        if let Some(family) = family {
            out.put_u16(family.afi());
            out.put_u8(family.safi());
        }
        out.put_u64(value);
    }
}

fn put_peer_down(why: &PeerDown, out: &mut BytesMut) {
    match why {
        PeerDown::LocalNotification(message) => {
            out.put_u8(1);
            out.put_slice(message);
        }
        PeerDown::LocalNoNotification(event) => {
            out.put_u8(2);
            out.put_u16(*event);
        }
        PeerDown::RemoteNotification(message) => {
            out.put_u8(3);
            out.put_slice(message);
        }
        PeerDown::RemoteNoNotification => out.put_u8(4),
        PeerDown::Deconfigured => out.put_u8(5),
        PeerDown::LocRib(information) => {
            out.put_u8(6);
            put_all(information, out);
        }
    }
}

fn put_peer_up(up: &PeerUp, out: &mut BytesMut) {
    peer::put_address(up.local, out);
    out.put_u16(up.local_port);
    out.put_u16(up.remote_port);
    out.put_slice(&up.sent_open);
    out.put_slice(&up.received_open);
    put_all(&up.information, out);
}

fn put_all(list: &[Information], out: &mut BytesMut) {
    for information in list {
        let reason;
        let (kind, value): (u16, &[u8]) = match information {
            Information::Text(text) => (0, text.as_bytes()),
            Information::SysDescr(text) => (1, text.as_bytes()),
            Information::SysName(text) => (2, text.as_bytes()),
            Information::TableName(text) => (3, text.as_bytes()),
            Information::Reason(code) => {
                reason = code.to_be_bytes();
                (1, &reason)
            }
            Information::Other(kind, value) => (*kind, value),
        };
        // One that is too long is cut: it is for people.
        let value = value.get(..usize::from(u16::MAX)).unwrap_or(value);
        out.put_u16(kind);
        out.put_u16(u16::try_from(value.len()).unwrap_or(u16::MAX));
        out.put_slice(value);
    }
}
