//! Accepting connections, and passing each to its neighbour.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    net::{IpAddr, Shutdown, SocketAddr},
    os::fd::BorrowedFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{mpsc, watch},
    task::AbortHandle,
};

use crate::{session::Refusal, types::Prefix};

use super::{
    farewell::Farewells,
    handle::PeerHandle,
    range::{FromListener, Offer, Range, RangeId, Registered},
    sockopt::{SocketOptionError, add_ao_key, remove_ao_key, set_md5_key},
    transport::{AoKey, Secret, Transport},
};

/// Connections that the kernel completes before we take them: a whole mesh may dial at once.
const BACKLOG: u32 = 1024;

/// How long to wait when the process has no descriptor left for a connection.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Why there is no listener, or why it does not serve a neighbour.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another program, or another speaker, has the port.
    #[error(
        "cannot listen on {0}: the port is in use by another program (is another BGP speaker running on this host?)"
    )]
    AddressInUse(SocketAddr),
    /// The address is not on this host.
    #[error("cannot listen on {0}: the address is not on this host")]
    AddressNotAvailable(SocketAddr),
    /// Ports below 1024 need a privilege.
    #[error("cannot listen on {0}: permission denied (ports below 1024 need CAP_NET_BIND_SERVICE)")]
    PermissionDenied(SocketAddr),
    /// Anything else.
    #[error("cannot listen on {addr}: {source}")]
    Other {
        /// The address.
        addr: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// The password of a neighbour could not be set: its connections are not accepted.
    #[error("no connections accepted from {remote}: {source}")]
    Option {
        /// The neighbour.
        remote: IpAddr,
        /// The option.
        source: SocketOptionError,
    },
    /// The password of a range could not be set: connections from there are not accepted.
    #[error("no connections accepted from {range}: {source}")]
    Range {
        /// The range.
        range: Prefix,
        /// The option.
        source: SocketOptionError,
    },
}

impl ListenError {
    fn of(addr: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            ErrorKind::AddrInUse => Self::AddressInUse(addr),
            ErrorKind::AddrNotAvailable => Self::AddressNotAvailable(addr),
            ErrorKind::PermissionDenied => Self::PermissionDenied(addr),
            _ => Self::Other { addr, source },
        }
    }

    /// The stable identifier.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::AddressInUse(_) => "address-in-use",
            Self::AddressNotAvailable(_) => "address-not-available",
            Self::PermissionDenied(_) => "permission-denied",
            Self::Other { .. } => "listen-failed",
            Self::Option { source, .. } | Self::Range { source, .. } => source.id(),
        }
    }
}

/// A neighbour as its connections show it: the address, and the link for a link-local one.
type Remote = (IpAddr, u32);

fn remote_of(addr: SocketAddr) -> Remote {
    match addr {
        SocketAddr::V4(addr) => (IpAddr::V4(*addr.ip()), 0),
        SocketAddr::V6(addr) => (IpAddr::V6(*addr.ip()), addr.scope_id()),
    }
}

/// Who gets connections from where.
#[derive(Debug, Default)]
struct Registry {
    peers: BTreeMap<Remote, mpsc::Sender<TcpStream>>,
    /// The TCP MD5 keys of those that have one.
    passwords: BTreeMap<Remote, Secret>,
    /// The keys of the TCP Authentication Option that the socket has.
    keys: BTreeMap<Remote, Vec<AoKey>>,
    ranges: Vec<Registered>,
}

impl Registry {
    /// The TCP MD5 key for an address. The kernel keeps one for each address, but a link-local address
    /// may be that of a neighbour on each of several links: those with a password must have the same
    /// one, and none is left without because another one has gone.
    fn password(&self, remote: IpAddr) -> Option<&Secret> {
        let mut of_address = self.passwords.range((remote, 0)..=(remote, u32::MAX));
        of_address.next().map(|(_, secret)| secret)
    }

    /// The parts of `range` that its key must not bind.
    fn keyless(&self, range: &Registered) -> Vec<Prefix> {
        let peers = self.peers.keys().map(|(addr, _)| *addr);
        let hosts = peers
            .filter(|addr| self.password(*addr).is_none())
            .map(Prefix::host);
        let others = self.ranges.iter().filter(|other| !other.has_password());
        hosts
            .chain(others.map(|other| other.prefix))
            .filter(|part| *part != range.prefix && range.prefix.covers(*part))
            .collect()
    }

    /// Sets the keys of the ranges as they are now. A range whose key the kernel refuses is removed.
    fn set_keys(&mut self, socket: BorrowedFd<'_>) -> Result<(), ListenError> {
        let keyless: Vec<_> = self
            .ranges
            .iter()
            .map(|range| self.keyless(range))
            .collect();
        let mut result = Ok(());
        let mut keyless = keyless.iter();
        self.ranges.retain_mut(|range| {
            let spared = keyless.next().map_or(&[][..], Vec::as_slice);
            let Err(source) = range.set_keys(socket, spared) else {
                return true;
            };
            range.clear_keys(socket);
            let range = range.prefix;
            result = Err(ListenError::Range { range, source });
            false
        });
        result
    }

    fn take_range(&mut self, id: RangeId) -> Option<Registered> {
        let known = self.ranges.iter().position(|range| range.id == id)?;
        Some(self.ranges.remove(known))
    }

    /// Whether a range has a key that concerns others in it.
    fn has_keyed_ranges(&self) -> bool {
        self.ranges.iter().any(Registered::has_password)
    }

    /// The range with the longest prefix that has this address.
    fn range(&self, remote: IpAddr) -> Option<&Registered> {
        self.ranges
            .iter()
            .filter(|range| range.prefix.contains(remote))
            .max_by_key(|range| range.prefix.len())
    }
}

/// Connections refused.
#[derive(Debug, Default)]
struct Refused {
    unknown: AtomicU64,
    full: AtomicU64,
    busy: AtomicU64,
}

/// One listening socket and the task that accepts from it. Dropping it closes the socket; connections
/// that were passed on stay.
#[derive(Debug)]
pub struct Listener {
    local: SocketAddr,
    socket: Arc<TcpListener>,
    registry: watch::Sender<Registry>,
    refused: Arc<Refused>,
    task: AbortHandle,
}

impl Listener {
    /// Listens on `addr`; an IPv6 address takes IPv6 connections alone. Needs a tokio runtime.
    ///
    /// # Errors
    /// The address or port cannot be had.
    pub fn bind(addr: SocketAddr) -> Result<Self, ListenError> {
        let socket = open(addr).map_err(|e| ListenError::of(addr, e))?;
        let local = socket.local_addr().map_err(|e| ListenError::of(addr, e))?;
        let socket = Arc::new(socket);
        let (registry, registered) = watch::channel(Registry::default());
        let refused = Arc::new(Refused::default());
        let task = tokio::spawn(accept(socket.clone(), registered, refused.clone()));
        Ok(Self {
            local,
            socket,
            registry,
            refused,
            task: task.abort_handle(),
        })
    }

    /// The address, with the port that the kernel chose if none was asked for.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Passes connections from the address of `transport` to `peer` from now on. Call it again when
    /// the password changed. A neighbour of the other family is none of this listener's business and
    /// ignored.
    ///
    /// # Errors
    /// The kernel does not take the password. Connections of this neighbour are then refused.
    pub fn register(&self, transport: &Transport, peer: &PeerHandle) -> Result<(), ListenError> {
        if transport.remote.is_ipv4() != self.local.is_ipv4() {
            return Ok(());
        }
        // First the key, then the welcome.
        let keys = self
            .set_key(transport)
            .and_then(|()| self.set_ao(transport));
        keys.inspect_err(|_| self.turn_away(transport))?;
        let mut result = Ok(());
        self.registry.send_modify(|registry| {
            let remote = remote_of(transport.remote);
            registry.peers.insert(remote, peer.streams());
            if registry.has_keyed_ranges() {
                result = registry.set_keys(self.fd());
            }
        });
        result
    }

    /// Refuses connections from the address of `transport` from now on.
    pub fn unregister(&self, transport: &Transport) {
        if transport.remote.is_ipv4() != self.local.is_ipv4() {
            return;
        }
        self.turn_away(transport);
        self.clear_ao(transport);
        if self.forget_password(transport) {
            let registry = self.registry.borrow();
            let left = registry.password(transport.remote.ip());
            // Without the key, or with one for nobody: either way nobody is let in.
            let _ = set_md5_key(self.fd(), transport.remote.ip(), left);
        }
    }

    /// Nobody gets connections from that address any more, unless it is in a range.
    fn turn_away(&self, transport: &Transport) {
        self.registry.send_modify(|registry| {
            registry.peers.remove(&remote_of(transport.remote));
            if registry.has_keyed_ranges() {
                // A range whose key the kernel refuses has no members from now on.
                let _ = registry.set_keys(self.fd());
            }
        });
    }

    /// Whether there was one.
    fn forget_password(&self, transport: &Transport) -> bool {
        let mut known = false;
        self.registry.send_if_modified(|registry| {
            let remote = remote_of(transport.remote);
            known = registry.passwords.remove(&remote).is_some();
            false
        });
        known
    }

    /// Hands connections from addresses of a range to `owner` from now on, as long as nobody has
    /// registered the address. In place of a range with the same number, whose places stay taken: so a
    /// limit or a password changes. A range of the other family is ignored.
    ///
    /// # Errors
    /// The kernel does not take the password. Connections from the range are then refused.
    pub fn register_range(
        &self,
        range: &Range,
        owner: mpsc::Sender<FromListener>,
    ) -> Result<(), ListenError> {
        let fd = self.fd();
        let ours = range.prefix.addr().is_ipv4() == self.local.is_ipv4();
        let mut result = Ok(());
        self.registry.send_modify(|registry| {
            let mut before = registry.take_range(range.id);
            if ours {
                let registered = Registered::new(range, owner, before);
                registry.ranges.push(registered);
            } else if let Some(before) = &mut before {
                before.clear_keys(fd);
            }
            result = registry.set_keys(fd);
        });
        result
    }

    /// Refuses connections from a range from now on. Its neighbours stay as they are.
    pub fn unregister_range(&self, id: RangeId) {
        let fd = self.fd();
        self.registry.send_if_modified(|registry| {
            let Some(mut range) = registry.take_range(id) else {
                return false;
            };
            range.clear_keys(fd);
            // Wider ranges may have a key. One that the kernel refuses leaves nobody in.
            let _ = registry.set_keys(fd);
            true
        });
    }

    /// Connections refused because nobody with that address is configured.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.unknown.load(Ordering::Relaxed)
    }

    /// Connections refused because their range has no place left.
    #[must_use]
    pub fn refused_by_limit(&self) -> u64 {
        self.refused.full.load(Ordering::Relaxed)
    }

    /// Connections refused because the owner of their range had no time for them.
    #[must_use]
    pub fn refused_by_owner(&self) -> u64 {
        self.refused.busy.load(Ordering::Relaxed)
    }

    fn set_key(&self, transport: &Transport) -> Result<(), ListenError> {
        let remote = transport.remote.ip();
        self.forget_password(transport);
        let own = transport.password.clone();
        let key = own.or_else(|| self.registry.borrow().password(remote).cloned());
        match set_md5_key(self.fd(), remote, key.as_ref()) {
            // There was no key to take away.
            Err(_) if key.is_none() => {}
            other => other.map_err(|source| ListenError::Option { remote, source })?,
        }
        self.registry.send_if_modified(|registry| {
            let own = transport.password.clone();
            let own = own.map(|secret| (remote_of(transport.remote), secret));
            registry.passwords.extend(own);
            false
        });
        Ok(())
    }

    /// The keys of the TCP Authentication Option, in place of those before.
    fn set_ao(&self, transport: &Transport) -> Result<(), ListenError> {
        self.clear_ao(transport);
        let remote = transport.remote.ip();
        let set = |key| add_ao_key(self.fd(), remote, key, false);
        let result = transport.tcp_ao.iter().try_for_each(set);
        self.registry.send_if_modified(|registry| {
            let keys = transport.tcp_ao.clone();
            registry.keys.insert(remote_of(transport.remote), keys);
            false
        });
        result.map_err(|source| ListenError::Option { remote, source })
    }

    fn clear_ao(&self, transport: &Transport) {
        self.registry.send_if_modified(|registry| {
            let keys = registry.keys.remove(&remote_of(transport.remote));
            for key in keys.iter().flatten() {
                // Without the key, or with one for nobody: either way nobody is let in.
                let _ = remove_ao_key(self.fd(), transport.remote.ip(), key);
            }
            false
        });
    }

    fn fd(&self) -> BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&*self.socket)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
        // The task lets go of the socket a moment later; somebody may want the port now. A socket
        // that cannot be shut down is closed already.
        let _ = SockRef::from(&*self.socket).shutdown(Shutdown::Both);
    }
}

fn open(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restarted speaker must not wait for the old connections' TIME_WAIT.
    socket.set_reuseaddr(true)?;
    // A neighbour that checks the TTL (RFC 5082) checks it from the SYN-ACK on, which the listener
    // sends. Accepted sockets get a value of their own.
    let sock = SockRef::from(&socket);
    if addr.is_ipv4() {
        sock.set_ttl_v4(255)?;
    } else {
        sock.set_only_v6(true)?;
        sock.set_unicast_hops_v6(255)?;
    }
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

async fn accept(
    socket: Arc<TcpListener>,
    registered: watch::Receiver<Registry>,
    refused: Arc<Refused>,
) {
    let mut farewells = Farewells::default();
    loop {
        let Ok((stream, remote)) = socket.accept().await else {
            // The connection was gone already, or there is no descriptor left: not our end.
            tokio::time::sleep(EXHAUSTED).await;
            continue;
        };
        // A neighbour that dials faster than its task can look loses the connection and retries.
        match pass_on(&registered.borrow(), stream, remote) {
            Ok(()) => {}
            Err((stream, refusal)) => {
                let count = match refusal {
                    Refusal::RangeFull => &refused.full,
                    Refusal::RangeBusy => &refused.busy,
                    _ => &refused.unknown,
                };
                count.fetch_add(1, Ordering::Relaxed);
                farewells.refuse(stream, refusal.notification());
            }
        }
    }
}

/// Gives a connection to whom it belongs, or gives it back if that is nobody.
fn pass_on(
    registry: &Registry,
    stream: TcpStream,
    remote: SocketAddr,
) -> Result<(), (TcpStream, Refusal)> {
    if let Some(peer) = registry.peers.get(&remote_of(remote)) {
        let _ = peer.try_send(stream);
        return Ok(());
    }
    match registry.range(remote.ip()) {
        None => Err((stream, Refusal::Unknown)),
        Some(range) => match range.offer(stream, remote) {
            Offer::Full(stream) => Err((stream, Refusal::RangeFull)),
            Offer::Busy(stream) => Err((stream, Refusal::RangeBusy)),
            Offer::Taken => Ok(()),
        },
    }
}
