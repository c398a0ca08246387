//! Listen ranges: neighbours that nobody configured one by one.
//!
//! A listener that gets a connection from an address that nobody has registered, inside a range, hands
//! it to the owner of the range, who may make a neighbour of it: a passive one, from whatever the range
//! stands for. A range has so many places. A connection comes with a place, and who keeps the
//! neighbour keeps the place; dropping it makes room for another. So the limit holds however many
//! connections arrive, and without the listener knowing what became of them.
//!
//! RFC 4271 section 8.1.1 has this as the session attribute AcceptConnectionsUnconfiguredPeers.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    os::fd::BorrowedFd,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    net::TcpStream,
    sync::mpsc::{self, error::TrySendError},
};

use super::{
    cover::cover,
    sockopt::{SocketOptionError, set_md5_prefix_key},
    transport::Secret,
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
pub struct Accepted(pub(super) TcpStream);

/// One of the places of a range. Dropping it gives it back.
#[derive(Debug)]
pub struct Place(Arc<AtomicUsize>);

impl Place {
    /// The next place, if fewer than `limit` are taken.
    fn take(taken: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        let next = |n| (n < limit).then_some(n + 1);
        taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .is_ok()
            .then(|| Self(taken.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A range that is registered.
#[derive(Clone, Debug)]
pub(super) struct Registered {
    pub(super) id: RangeId,
    pub(super) prefix: Prefix,
    password: Option<Secret>,
    /// The keys that the socket has for it.
    keyed: BTreeMap<Prefix, Secret>,
    limit: usize,
    /// How many places there are with neighbours, or with the owner.
    taken: Arc<AtomicUsize>,
    owner: mpsc::Sender<FromListener>,
}

/// What became of a connection that was offered to a range.
#[derive(Debug)]
pub(super) enum Offer {
    /// The owner has it.
    Taken,
    /// There is no place left.
    Full(TcpStream),
    /// The owner has much to do, or is gone.
    Busy(TcpStream),
}

impl Registered {
    /// `before`: the same range as it was. Its places stay taken, and its keys are to be replaced.
    pub(super) fn new(
        range: &Range,
        owner: mpsc::Sender<FromListener>,
        before: Option<Self>,
    ) -> Self {
        let (taken, keyed) = before.map(|b| (b.taken, b.keyed)).unwrap_or_default();
        Self {
            id: range.id,
            prefix: range.prefix,
            password: range.password.clone(),
            keyed,
            limit: range.limit,
            taken,
            owner,
        }
    }

    /// Hands a connection to the owner. Never waits.
    pub(super) fn offer(&self, stream: TcpStream, remote: SocketAddr) -> Offer {
        let Some(place) = Place::take(&self.taken, self.limit) else {
            return Offer::Full(stream);
        };
        let newcomer = FromListener::Newcomer(Newcomer {
            range: self.id,
            remote,
            connection: Accepted(stream),
            place,
        });
        match self.owner.try_send(newcomer) {
            Ok(()) => Offer::Taken,
            Err(TrySendError::Full(unsent) | TrySendError::Closed(unsent)) => {
                let FromListener::Newcomer(newcomer) = unsent;
                Offer::Busy(newcomer.connection.0)
            }
        }
    }

    pub(super) const fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// Sets the key for the range without the parts of it that are to have none, and takes it away
    /// from where it is set beyond that. In this order: nobody is let in without a key for a moment.
    pub(super) fn set_keys(
        &mut self,
        socket: BorrowedFd<'_>,
        keyless: &[Prefix],
    ) -> Result<(), SocketOptionError> {
        let wanted = match &self.password {
            Some(_) => cover(self.prefix, keyless),
            None => Vec::new(),
        };
        for prefix in &wanted {
            if self.keyed.get(prefix) != self.password.as_ref() {
                set_md5_prefix_key(socket, *prefix, self.password.as_ref())?;
                self.keyed
                    .extend(self.password.clone().map(|key| (*prefix, key)));
            }
        }
        self.keyed.retain(|prefix, _| {
            let stays = wanted.contains(prefix);
            if !stays {
                // With a key for nobody nobody is let in.
                let _ = set_md5_prefix_key(socket, *prefix, None);
            }
            stays
        });
        Ok(())
    }

    /// Takes the key away.
    pub(super) fn clear_keys(&mut self, socket: BorrowedFd<'_>) {
        for (prefix, _) in std::mem::take(&mut self.keyed) {
            // If it was there.
            let _ = set_md5_prefix_key(socket, prefix, None);
        }
    }
}
