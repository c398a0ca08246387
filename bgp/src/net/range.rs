//! Listen ranges: neighbours that nobody configured one by one.
//!
//! A listener that gets a connection from an address that nobody has registered, inside a range, hands
//! it to the owner of the range, who may make a neighbour of it: a passive one, from whatever the range
//! stands for. A range has so many places. A connection comes with a place, and who keeps the
//! neighbour keeps the place; dropping it makes room for another. So the limit holds however many
//! connections arrive, and without the listener knowing what became of them.
//!
//! A neighbour that was configured keeps in mind how often it failed, and rests longer and longer (RFC
//! 4271 section 8.1.1, DampPeerOscillations). One from a range is gone with its session, and would be made
//! anew for each attempt of a host that says garbage and comes again. So the range keeps it in mind:
//! whoever gives a place back as [failed](Place::failed) has the address [rest](super::rests).
//!
//! RFC 4271 section 8.1.1 has this as the session attribute AcceptConnectionsUnconfiguredPeers.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    net::TcpStream,
    sync::{
        mpsc::{self, error::TrySendError},
        watch,
    },
};

use super::{
    arrival::Protection,
    clock::Clock,
    rests::Rests,
    transport::{Secret, Ttl},
};
use crate::types::Prefix;

/// A range, by the number that its owner gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RangeId(pub u32);

/// Where connections are welcome from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The number that comes with each connection.
    pub id: RangeId,
    /// The addresses.
    pub prefix: Prefix,
    /// How many neighbours there may be at once.
    pub limit: usize,
    /// The TCP MD5 key of all of them. Neighbours and narrower ranges that are registered without one
    /// are not bound by it.
    pub password: Option<Secret>,
    /// How far away all of them may be.
    pub ttl: Ttl,
    /// The link that all of them are on, by name, if that matters.
    pub interface: Option<String>,
}

/// What a listener says to the owner of a range.
#[derive(Debug)]
pub enum FromListener {
    /// Somebody connected. The owner may have a neighbour with this address by now: then the
    /// connection is that one's, and the place is to be given back.
    Newcomer(Newcomer),
}

/// A connection from an address that nobody has registered.
#[derive(Debug)]
pub struct Newcomer {
    /// The range that the address is in: the one with the longest prefix.
    pub range: RangeId,
    /// The address.
    pub remote: SocketAddr,
    /// The connection, for [`super::PeerHandle::accept`].
    pub connection: Accepted,
    /// To be kept as long as the neighbour.
    pub place: Place,
}

/// A connection that was accepted. Dropping it closes it.
#[derive(Debug)]
pub struct Accepted {
    pub(super) stream: TcpStream,
    /// The rules that it was accepted under: it is good for a neighbour with the same.
    pub(super) under: Protection,
}

/// The places of a range, and who does not get one for now.
#[derive(Debug)]
struct Places {
    /// How many there are with neighbours, or with the owner.
    taken: AtomicUsize,
    rests: watch::Sender<Rests>,
    clock: Clock,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            taken: AtomicUsize::new(0),
            rests: watch::Sender::new(Rests::default()),
            clock: Clock::new(),
        }
    }
}

impl Places {
    fn is_resting(&self, address: IpAddr) -> bool {
        let now = self.clock.now();
        self.rests.borrow().is_resting(now, address)
    }

    fn rest(&self, address: IpAddr) {
        let now = self.clock.now();
        self.rests.send_modify(|rests| rests.add(now, address));
    }
}

/// One of the places of a range. Dropping it gives it back.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    address: IpAddr,
}

impl Place {
    /// The next place, if fewer than `limit` are taken.
    fn take(places: &Arc<Places>, limit: usize, address: IpAddr) -> Option<Self> {
        let next = |n| (n < limit).then_some(n + 1);
        let taken = &places.taken;
        taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .is_ok()
            .then(|| Self {
                places: places.clone(),
                address,
            })
    }

    /// Whoever had it failed: connections from there are refused for a while, the longer the more often
    /// that happens.
    pub fn failed(&self) {
        self.places.rest(self.address);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A range that is registered.
#[derive(Clone, Debug)]
pub(super) struct Registered {
    pub(super) id: RangeId,
    pub(super) prefix: Prefix,
    pub(super) password: Option<Secret>,
    pub(super) protection: Protection,
    limit: usize,
    places: Arc<Places>,
    owner: mpsc::Sender<FromListener>,
}

/// What became of a connection that was offered to a range.
#[derive(Debug)]
pub(super) enum Offer {
    /// The owner has it.
    Taken,
    /// The address failed, and rests.
    Resting(TcpStream),
    /// There is no place left.
    Full(TcpStream),
    /// The owner has much to do, or is gone.
    Busy(TcpStream),
}

impl Registered {
    /// `before`: the same range as it was. Its places stay taken.
    pub(super) fn new(
        range: &Range,
        owner: mpsc::Sender<FromListener>,
        before: Option<Self>,
    ) -> Self {
        Self {
            id: range.id,
            prefix: range.prefix,
            password: range.password.clone(),
            protection: Protection::from(range),
            limit: range.limit,
            places: before.map(|before| before.places).unwrap_or_default(),
            owner,
        }
    }

    /// Hands a connection to the owner. Never waits.
    pub(super) fn offer(&self, stream: TcpStream, remote: SocketAddr) -> Offer {
        if self.places.is_resting(remote.ip()) {
            return Offer::Resting(stream);
        }
        let Some(place) = Place::take(&self.places, self.limit, remote.ip()) else {
            return Offer::Full(stream);
        };
        let newcomer = FromListener::Newcomer(Newcomer {
            range: self.id,
            remote,
            connection: Accepted {
                stream,
                under: self.protection.clone(),
            },
            place,
        });
        match self.owner.try_send(newcomer) {
            Ok(()) => Offer::Taken,
            Err(TrySendError::Full(unsent) | TrySendError::Closed(unsent)) => {
                let FromListener::Newcomer(newcomer) = unsent;
                Offer::Busy(newcomer.connection.stream)
            }
        }
    }
}
