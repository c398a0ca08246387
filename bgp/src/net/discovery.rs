//! Router discovery on a link: the raw ICMPv6 socket around [`crate::discovery`].
//!
//! One task per link. Who it sees is a value to be watched; the owner is woken when it changes.
//! Needs the capability CAP_NET_RAW.

use core::time::Duration;
use std::{
    io,
    net::{Ipv6Addr, SocketAddrV6},
    os::fd::AsFd as _,
    sync::Arc,
};

use socket2::{Domain, MaybeUninitSlice, MsgHdrMut, Protocol, SockAddr, SockRef, Socket, Type};
use tokio::{
    io::Interest,
    net::UdpSocket,
    sync::{Notify, watch},
    task::AbortHandle,
};

use super::{
    ancillary,
    clock::Clock,
    sockopt::{Buffer, SocketOptionError, named, set_icmp6_filter},
};
use crate::discovery::{Discovery, Limits, Message, Received, Sighting};

/// The longest message that is looked at: more than any link's MTU is worth here.
const MESSAGE: usize = 2048;

/// Room for the hop limit, `struct cmsghdr` and an int, and then some.
const CONTROL: usize = 64;

/// When to try again what could not be sent.
const RETRY: Duration = Duration::from_millis(500);

/// Why routers cannot be looked for.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// A raw socket needs a privilege.
    #[error("no raw ICMPv6 socket: permission denied (it needs CAP_NET_RAW)")]
    PermissionDenied,
    /// The kernel did not take an option.
    #[error(transparent)]
    Option(#[from] SocketOptionError),
    /// Anything else.
    #[error("no raw ICMPv6 socket: {0}")]
    Other(io::Error),
}

impl DiscoveryError {
    /// The stable identifier.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::PermissionDenied => "permission-denied",
            Self::Option(error) => error.id(),
            Self::Other(_) => "no-icmpv6-socket",
        }
    }
}

/// The search for routers on one link. Dropping it ends the search.
#[derive(Debug)]
pub struct LinkDiscovery {
    seen: watch::Receiver<Sighting>,
    task: AbortHandle,
}

impl LinkDiscovery {
    /// Starts on the link `ifindex`, which is up and where `own` is our address. `changed` is notified
    /// whenever [`LinkDiscovery::seen`] says something else. Needs a tokio runtime.
    ///
    /// # Errors
    /// There is no socket to be had for it.
    pub fn start(
        ifindex: u32,
        own: Ipv6Addr,
        seed: u64,
        clock: Clock,
        changed: Arc<Notify>,
    ) -> Result<Self, DiscoveryError> {
        let socket = Icmp::open(ifindex)?;
        let discovery = Discovery::new(clock.now(), own, seed, Limits::default());
        let (tell, seen) = watch::channel(Sighting::default());
        let task = tokio::spawn(run(discovery, socket, clock, tell, changed));
        Ok(Self {
            seen,
            task: task.abort_handle(),
        })
    }

    /// Who is there.
    #[must_use]
    pub fn seen(&self) -> Sighting {
        self.seen.borrow().clone()
    }
}

impl Drop for LinkDiscovery {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    mut discovery: Discovery,
    socket: Icmp,
    clock: Clock,
    tell: watch::Sender<Sighting>,
    changed: Arc<Notify>,
) {
    let mut room = Room {
        octets: Buffer::new(),
        control: Buffer::new(),
    };
    loop {
        let now = clock.now();
        for message in discovery.on_time(now) {
            if socket.send(message).is_err() {
                discovery.unsent(now, message, RETRY);
            }
        }
        let seen = discovery.sighting();
        if tell.send_if_modified(|known| core::mem::replace(known, seen.clone()) != seen) {
            changed.notify_one();
        }
        tokio::select! {
            received = socket.receive(&mut room) => match received {
                // What is not valid is "silently discarded" (RFC 4861 section 6.1).
                Ok(Some(received)) => _ = discovery.on_message(clock.now(), &received),
                Ok(None) => {}
                // The link went down: its owner will end this task.
                Err(_) => tokio::time::sleep(RETRY).await,
            },
            () = clock.sleep_until(Some(discovery.poll_timeout())) => {}
        }
    }
}

/// Where a message is received to.
struct Room {
    octets: Buffer<MESSAGE>,
    control: Buffer<CONTROL>,
}

/// A socket that sends and receives the messages of router discovery on one link.
struct Icmp {
    /// tokio has no type for raw sockets; this one reads, writes and waits just the same.
    socket: UdpSocket,
    ifindex: u32,
}

impl Icmp {
    fn open(ifindex: u32) -> Result<Self, DiscoveryError> {
        let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6));
        let socket = socket.map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => DiscoveryError::PermissionDenied,
            _ => DiscoveryError::Other(error),
        })?;
        // First the filter: what arrives before it is not for us.
        set_icmp6_filter(
            socket.as_fd(),
            &[Message::Solicitation, Message::Advertisement].map(Message::icmp_type),
        )?;
        named("O_NONBLOCK", socket.set_nonblocking(true))?;
        // RFC 4861 section 4.1 and 4.2: Hop Limit is 255.
        named("IPV6_MULTICAST_HOPS", socket.set_multicast_hops_v6(255))?;
        named("IPV6_MULTICAST_LOOP", socket.set_multicast_loop_v6(false))?;
        named("IPV6_MULTICAST_IF", socket.set_multicast_if_v6(ifindex))?;
        named("IPV6_RECVHOPLIMIT", socket.set_recv_hoplimit_v6(true))?;
        for message in [Message::Solicitation, Message::Advertisement] {
            let joined = socket.join_multicast_v6(&message.destination(), ifindex);
            named("IPV6_JOIN_GROUP", joined)?;
        }
        let socket = UdpSocket::from_std(socket.into()).map_err(DiscoveryError::Other)?;
        Ok(Self { socket, ifindex })
    }

    fn send(&self, message: Message) -> io::Result<()> {
        let to = SocketAddrV6::new(message.destination(), 0, 0, self.ifindex);
        SockRef::from(&self.socket)
            .send_to(&message.encode(), &SockAddr::from(to))
            .map(drop)
    }

    /// The next message; `None` if it came from another link.
    async fn receive<'a>(&self, room: &'a mut Room) -> io::Result<Option<Received<'a>>> {
        let mut read = || receive(&SockRef::from(&self.socket), room);
        let (octets, control, from) = self.socket.async_io(Interest::READABLE, &mut read).await?;
        let Some(from) = from.as_socket_ipv6() else {
            return Ok(None);
        };
        // A link-local source names the link that it came by; an unspecified one does not.
        let here = from.scope_id() == self.ifindex || from.ip().is_unspecified();
        Ok(here.then(|| Received {
            from: *from.ip(),
            hop_limit: hop_limit(room.control.octets(control)),
            octets: room.octets.octets(octets),
        }))
    }
}

/// How many octets of message and of control messages there are, and the source.
fn receive(socket: &Socket, room: &mut Room) -> io::Result<(usize, usize, SockAddr)> {
    let mut from = SockAddr::from(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0));
    let mut buffers = [MaybeUninitSlice::new(room.octets.for_kernel())];
    let mut header = MsgHdrMut::new()
        .with_addr(&mut from)
        .with_buffers(&mut buffers)
        .with_control(room.control.for_kernel());
    let len = socket.recvmsg(&mut header, 0)?;
    let control = header.control_len();
    Ok((len, control, from))
}

/// The hop limit among control messages.
fn hop_limit(control: &[u8]) -> Option<u8> {
    let value = ancillary::value(control, libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT)?;
    u8::try_from(ancillary::int(value, 0)?).ok()
}
