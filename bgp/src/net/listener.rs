//! Accepting connections, and passing each to its neighbour: see [`super::registry`] for whose it is,
//! [`super::arrival`] for what it must be like, [`super::keys`] for the TCP MD5 keys.

use core::future::poll_fn;
use std::{
    io::{self, ErrorKind},
    net::{IpAddr, Shutdown, SocketAddr},
    os::fd::BorrowedFd,
    sync::Arc,
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
    arrival::Arrival,
    farewell::Farewells,
    handle::PeerHandle,
    keys::KeyOwner,
    range::{FromListener, Range, RangeId, Registered},
    registry::{Refused, Registry},
    sockopt::SocketOptionError,
    transport::{CS6, Transport},
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

/// A neighbour or a range that must have a key, and has none because the kernel did not take it. Its
/// connections are refused.
#[derive(Debug, thiserror::Error)]
#[error("the kernel took no key for connections from {prefix}: {source}")]
pub struct Unprotected {
    /// Who.
    pub owner: KeyOwner,
    /// Where its connections come from.
    pub prefix: Prefix,
    /// What the kernel said.
    pub source: SocketOptionError,
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
    /// Listens on `addr`; an IPv6 address takes IPv6 connections alone. Connections wait until
    /// [`Listener::start`]. Needs a tokio runtime.
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

    /// Accepts connections from now on. To be called once those are registered that are known: whoever
    /// comes before is a stranger, and would be told so.
    pub fn start(&self) {
        self.registry.send_if_modified(|registry| {
            let opens = !registry.is_open;
            registry.is_open = true;
            opens
        });
    }

    /// The address, with the port that the kernel chose if none was asked for.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Whether strangers with an IPv6 link-local address may turn out to be neighbours that are still
    /// looked for. They are not told that they are strangers, and so come again soon.
    pub fn expect_link_local(&self, expected: bool) {
        self.change(|registry, _| registry.expects_link_local = expected);
    }

    /// Passes connections from the address of `transport` to `peer` from now on, if they come as its must.
    /// Call it again when the transport changed. A neighbour of the other family is none of this
    /// listener's business and ignored.
    ///
    /// # Errors
    /// The kernel does not take the password. Connections of this neighbour are then refused.
    pub fn register(&self, transport: &Transport, peer: &PeerHandle) -> Result<(), ListenError> {
        self.register_all([(transport, peer)]);
        let remote = transport.remote.ip();
        match self.refusal(KeyOwner::Peer(remote)) {
            None => Ok(()),
            Some(source) => Err(ListenError::Option { remote, source }),
        }
    }

    /// Registers many at once; [`Listener::unprotected`] has those whose password the kernel does not take.
    pub fn register_all<'a>(
        &self,
        peers: impl IntoIterator<Item = (&'a Transport, &'a PeerHandle)>,
    ) {
        let mut peers = peers.into_iter();
        self.change(|registry, socket| {
            let ours = peers.by_ref().filter(|(t, _)| self.is_for(t.remote.ip()));
            ours.for_each(|(transport, peer)| registry.add(socket, transport, peer));
        });
    }

    /// Refuses connections from the address of `transport` from now on, unless it is in a range.
    pub fn unregister(&self, transport: &Transport) {
        if self.is_for(transport.remote.ip()) {
            self.change(|registry, socket| registry.remove(socket, transport));
        }
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
        let ours = self.is_for(range.prefix.addr());
        self.change(|registry, _| {
            let before = registry.take_range(range.id);
            if ours {
                let registered = Registered::new(range, owner, before);
                registry.ranges.push(registered);
            }
        });
        match self.refusal(KeyOwner::Range(range.id)) {
            None => Ok(()),
            Some(source) => {
                let range = range.prefix;
                Err(ListenError::Range { range, source })
            }
        }
    }

    /// Refuses connections from a range from now on. Its neighbours stay as they are.
    pub fn unregister_range(&self, id: RangeId) {
        self.change(|registry, _| drop(registry.take_range(id)));
    }

    /// Those whose connections are refused because the kernel did not take their key. Each change tries
    /// again, and may concern others: the key of a range goes around those in it that have none, and a
    /// kernel has room for so many.
    #[must_use]
    pub fn unprotected(&self) -> Vec<Unprotected> {
        let registry = self.registry.borrow();
        let unprotected = |(owner, source): (KeyOwner, &SocketOptionError)| {
            Some(Unprotected {
                owner,
                prefix: registry.prefix(owner)?,
                source: source.clone(),
            })
        };
        registry.refused().filter_map(unprotected).collect()
    }

    /// Connections refused for this reason.
    #[must_use]
    pub fn refused(&self, why: Refusal) -> u64 {
        self.refused.get(why)
    }

    /// Changes who gets connections, and then the keys. Nothing is accepted meanwhile.
    fn change(&self, change: impl FnOnce(&mut Registry, BorrowedFd<'_>)) {
        self.registry.send_if_modified(|registry| {
            change(registry, self.fd());
            let protected = registry.set_keys(self.fd());
            if !protected.is_empty() {
                self.empty_queue(registry, &protected);
            }
            false
        });
    }

    /// Takes what waits in the kernel's queue: a connection from an address that has just got a key may
    /// have been made by anybody.
    fn empty_queue(&self, registry: &Registry, protected: &[Prefix]) {
        while let Ok((socket, remote)) = SockRef::from(&*self.socket).accept() {
            let Some(remote) = remote.as_socket() else {
                continue;
            };
            if protected.iter().any(|prefix| prefix.contains(remote.ip())) {
                continue;
            }
            let stream = socket
                .set_nonblocking(true)
                .and_then(|()| TcpStream::from_std(socket.into()));
            if let Ok(stream) = stream
                && let Err((_, why)) = registry.pass_on(stream, remote)
            {
                self.refused.count(why);
            }
        }
    }

    fn refusal(&self, of: KeyOwner) -> Option<SocketOptionError> {
        let registry = self.registry.borrow();
        let mut refused = registry.refused();
        refused
            .find(|(owner, _)| *owner == of)
            .map(|(_, error)| error.clone())
    }

    fn is_for(&self, addr: IpAddr) -> bool {
        addr.is_ipv4() == self.local.is_ipv4()
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
    // sends. Accepted sockets get a value of their own. The same goes for the traffic class: a SYN-ACK
    // that a congested link drops is a session that does not come back.
    let sock = SockRef::from(&socket);
    if addr.is_ipv4() {
        sock.set_ttl_v4(255)?;
        sock.set_tos_v4(CS6)?;
    } else {
        sock.set_only_v6(true)?;
        sock.set_unicast_hops_v6(255)?;
        sock.set_tclass_v6(CS6)?;
    }
    Arrival::remember(std::os::fd::AsFd::as_fd(&socket), addr.is_ipv6())?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

async fn accept(
    socket: Arc<TcpListener>,
    mut registered: watch::Receiver<Registry>,
    refused: Arc<Refused>,
) {
    if registered
        .wait_for(|registry| registry.is_open)
        .await
        .is_err()
    {
        return;
    }
    let mut farewells = Farewells::default();
    loop {
        // One step with the registry, so that no change comes between.
        let passed = poll_fn(|context| {
            let registry = registered.borrow();
            socket.poll_accept(context).map(|accepted| {
                let (stream, remote) = accepted?;
                Ok::<_, io::Error>(registry.pass_on(stream, remote))
            })
        });
        match passed.await {
            Ok(Ok(())) => {}
            Ok(Err((stream, why))) => {
                refused.count(why);
                farewells.refuse(stream, why);
            }
            // The connection was gone already, or there is no descriptor left: not our end.
            Err(_) => tokio::time::sleep(EXHAUSTED).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel answers with before there is a connection (SYN-ACKs) goes by the listener.
    #[tokio::test]
    async fn what_a_listener_sends_is_marked_and_comes_from_close_by() {
        let v4 = open(([127, 0, 0, 1], 0).into()).unwrap();
        let v4 = SockRef::from(&v4);
        assert_eq!((v4.ttl_v4().unwrap(), v4.tos_v4().unwrap()), (255, CS6));
        let v6 = open("[::1]:0".parse().unwrap()).unwrap();
        let v6 = SockRef::from(&v6);
        let class = v6.tclass_v6().unwrap();
        assert_eq!((v6.unicast_hops_v6().unwrap(), class), (255, CS6));
    }
}
