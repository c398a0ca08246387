//! Who gets connections from where, and who gets none.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    os::fd::BorrowedFd,
    sync::atomic::{AtomicU64, Ordering},
};

use tokio::net::TcpStream;

use super::{
    arrival::{Arrival, Protection},
    handle::PeerHandle,
    inbox::Door,
    keys::{KeyOwner, KeyRing, wanted},
    range::{Accepted, Offer, RangeId, Registered},
    sockopt::{SocketOptionError, add_ao_key, remove_ao_key, set_md5_key, set_md5_prefix_key},
    transport::{AoKey, Secret, Transport},
};
use crate::{session::Refusal, types::Prefix};

/// A neighbour as its connections show it: the address, and the link for a link-local one.
pub(super) type Remote = (IpAddr, u32);

pub(super) fn remote_of(addr: SocketAddr) -> Remote {
    match addr {
        SocketAddr::V4(addr) => (IpAddr::V4(*addr.ip()), 0),
        SocketAddr::V6(addr) => (IpAddr::V6(*addr.ip()), addr.scope_id()),
    }
}

/// A neighbour that is registered.
#[derive(Debug)]
struct Neighbour {
    door: Door,
    protection: Protection,
    password: Option<Secret>,
    /// The keys of the TCP Authentication Option that the socket has for it.
    tcp_ao: Vec<AoKey>,
    /// Why it has not got them all.
    refused: Option<SocketOptionError>,
}

/// Everybody who is registered. Whoever has not got the key that it must have stays in here: its
/// connections are refused, and do not fall to a wider range without a key.
#[derive(Debug, Default)]
pub(super) struct Registry {
    /// Whether connections are accepted at all.
    pub(super) is_open: bool,
    /// Whether strangers with a link-local address may turn out to be neighbours.
    pub(super) expects_link_local: bool,
    peers: BTreeMap<Remote, Neighbour>,
    pub(super) ranges: Vec<Registered>,
    keys: KeyRing,
}

impl Registry {
    /// In place of a neighbour with the same address.
    pub(super) fn add(&mut self, socket: BorrowedFd<'_>, transport: &Transport, peer: &PeerHandle) {
        self.remove(socket, transport);
        let address = transport.remote.ip();
        let set = |key| add_ao_key(socket, address, key, false);
        let neighbour = Neighbour {
            door: peer.door(),
            protection: Protection::from(transport),
            password: transport.password.clone(),
            tcp_ao: transport.tcp_ao.clone(),
            refused: transport.tcp_ao.iter().try_for_each(set).err(),
        };
        self.peers.insert(remote_of(transport.remote), neighbour);
    }

    pub(super) fn remove(&mut self, socket: BorrowedFd<'_>, transport: &Transport) {
        let before = self.peers.remove(&remote_of(transport.remote));
        for key in before.iter().flat_map(|before| &before.tcp_ao) {
            // Without the key, or with one for nobody: either way nobody is let in.
            let _ = remove_ao_key(socket, transport.remote.ip(), key);
        }
    }

    pub(super) fn take_range(&mut self, id: RangeId) -> Option<Registered> {
        let known = self.ranges.iter().position(|range| range.id == id)?;
        Some(self.ranges.remove(known))
    }

    /// Gives the socket the TCP MD5 keys for everybody as they are now. Returns where there was none
    /// before.
    pub(super) fn set_keys(&mut self, socket: BorrowedFd<'_>) -> Vec<Prefix> {
        let peers = self.peers.iter();
        let peers = peers.map(|((addr, _), peer)| (*addr, peer.password.as_ref()));
        let ranges: Vec<_> = self
            .ranges
            .iter()
            .map(|range| (range.id, range.prefix, range.password.as_ref()))
            .collect();
        let wanted = wanted(peers, &ranges);
        self.keys.apply(&wanted, |prefix, key| {
            if prefix == Prefix::host(prefix.addr()) {
                set_md5_key(socket, prefix.addr(), key)
            } else {
                set_md5_prefix_key(socket, prefix, key)
            }
        })
    }

    /// Those that have not got their key, and why.
    pub(super) fn refused(&self) -> impl Iterator<Item = (KeyOwner, &SocketOptionError)> {
        let peers = self.peers.iter().filter_map(|((addr, _), peer)| {
            let error = peer.refused.as_ref()?;
            Some((KeyOwner::Peer(*addr), error))
        });
        self.keys.refused().chain(peers)
    }

    /// Where connections of a neighbour, or a range, come from.
    pub(super) fn prefix(&self, owner: KeyOwner) -> Option<Prefix> {
        match owner {
            KeyOwner::Peer(addr) => Some(Prefix::host(addr)),
            KeyOwner::Range(id) => {
                let range = self.ranges.iter().find(|range| range.id == id);
                range.map(|range| range.prefix)
            }
        }
    }

    /// Gives a connection to whom it belongs, or gives it back if that is nobody.
    pub(super) fn pass_on(
        &self,
        stream: TcpStream,
        remote: SocketAddr,
    ) -> Result<(), (TcpStream, Refusal)> {
        let arrival = Arrival::of(&stream, remote.ip());
        if let Some(peer) = self.peers.get(&remote_of(remote)) {
            return match self.admits_peer(peer, remote.ip(), &arrival) {
                Err(refusal) => Err((stream, refusal)),
                Ok(()) => {
                    let under = peer.protection.clone();
                    // One that dials faster than its task can look loses the connection and retries.
                    let connection = Accepted { stream, under };
                    peer.door.offer(connection);
                    Ok(())
                }
            };
        }
        let range = match self.range(remote.ip(), &arrival) {
            Ok(range) => range,
            Err(refusal) => return Err((stream, refusal)),
        };
        match range.offer(stream, remote) {
            Offer::Resting(stream) => Err((stream, Refusal::IdleHold)),
            Offer::Full(stream) => Err((stream, Refusal::RangeFull)),
            Offer::Busy(stream) => Err((stream, Refusal::RangeBusy)),
            Offer::Taken => Ok(()),
        }
    }

    fn admits_peer(
        &self,
        peer: &Neighbour,
        addr: IpAddr,
        arrival: &Arrival,
    ) -> Result<(), Refusal> {
        peer.protection.admits(arrival)?;
        if peer.refused.is_some() || self.keys.is_refused(KeyOwner::Peer(addr)) {
            return Err(Refusal::KeyRefused);
        }
        Ok(())
    }

    /// The range with the longest prefix that has this address, if it takes the connection.
    fn range(&self, remote: IpAddr, arrival: &Arrival) -> Result<&Registered, Refusal> {
        let around = self.ranges.iter().filter(|r| r.prefix.contains(remote));
        let Some(range) = around.max_by_key(|range| range.prefix.len()) else {
            let may_be_known_soon = self.expects_link_local && is_link_local(remote);
            return Err(if may_be_known_soon {
                Refusal::NotFoundYet
            } else {
                Refusal::Unknown
            });
        };
        range.protection.admits(arrival)?;
        if self.keys.is_refused(KeyOwner::Range(range.id)) {
            return Err(Refusal::KeyRefused);
        }
        Ok(range)
    }
}

fn is_link_local(addr: IpAddr) -> bool {
    matches!(addr, IpAddr::V6(addr) if addr.is_unicast_link_local())
}

/// Connections refused, by reason.
#[derive(Debug, Default)]
pub(super) struct Refused([AtomicU64; Refusal::OF_LISTENERS.len()]);

impl Refused {
    pub(super) fn count(&self, why: Refusal) {
        if let Some(count) = self.of(why) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn get(&self, why: Refusal) -> u64 {
        self.of(why)
            .map_or(0, |count| count.load(Ordering::Relaxed))
    }

    fn of(&self, why: Refusal) -> Option<&AtomicU64> {
        let mut counts = Refusal::OF_LISTENERS.iter().zip(&self.0);
        counts.find(|(of, _)| **of == why).map(|(_, count)| count)
    }
}
