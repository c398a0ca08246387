//! The UDP sockets of BFD (RFC 5881 section 4, RFC 5883 section 5).
//!
//! Packets arrive at one of two ports, and a socket for each family listens there while some session
//! needs it. Each session sends from a socket and port of its own: "The source port MUST be in the
//! range 49152 through 65535. The same UDP source port number MUST be used for all BFD Control packets
//! associated with a particular session."

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    os::fd::AsFd as _,
};

use socket2::{Domain, MaybeUninitSlice, MsgHdrMut, Protocol, SockAddr, SockRef, Socket, Type};
use tokio::{io::Interest, net::UdpSocket};

use crate::{
    bfd::{Arrival, Hops, SessionKey},
    net::{
        ancillary,
        sockopt::{Buffer, set_receive_packet_info, set_receive_ttl},
    },
};

/// No valid packet is longer: its length field is one octet (RFC 5880 section 4.1).
const DATAGRAM: usize = 256;

/// Room for two control messages, and then some.
const CONTROL: usize = 128;

/// RFC 5881 section 5: packets leave with a TTL or Hop Limit of 255; over several hops too, for the sake of those who look at how far a packet came.
const TTL: u32 = 255;

/// Internetwork control, as BGP's own packets.
const TRAFFIC_CLASS: u32 = 0xc0;

const FIRST_SOURCE_PORT: u16 = 49152;
const SOURCE_PORTS: u16 = u16::MAX - FIRST_SOURCE_PORT + 1;

/// How many source ports to try before giving up for now.
const TRIES: u16 = 64;

impl Hops {
    const fn port(self) -> u16 {
        match self {
            Self::Single => 3784,
            Self::Multi => 4784,
        }
    }
}

/// Where packets of some sessions arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) hops: Hops,
    pub(super) is_ipv6: bool,
}

impl Place {
    pub(super) const ALL: [Self; 4] = [
        Self::new(Hops::Single, false),
        Self::new(Hops::Single, true),
        Self::new(Hops::Multi, false),
        Self::new(Hops::Multi, true),
    ];

    const fn new(hops: Hops, is_ipv6: bool) -> Self {
        Self { hops, is_ipv6 }
    }

    pub(super) fn serves(self, key: SessionKey) -> bool {
        self == Self::new(key.hops, key.remote.is_ipv6())
    }

    pub(super) fn address(self) -> SocketAddr {
        SocketAddr::new(unspecified(self.is_ipv6), self.hops.port())
    }
}

const fn unspecified(is_ipv6: bool) -> IpAddr {
    if is_ipv6 {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    } else {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    }
}

fn udp(is_ipv6: bool) -> io::Result<Socket> {
    let domain = if is_ipv6 { Domain::IPV6 } else { Domain::IPV4 };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if is_ipv6 {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A socket that packets arrive at.
pub(super) struct Receiver {
    socket: UdpSocket,
    place: Place,
    datagram: Buffer<DATAGRAM>,
    control: Buffer<CONTROL>,
}

impl Receiver {
    pub(super) fn open(place: Place) -> io::Result<Self> {
        let socket = udp(place.is_ipv6)?;
        set_receive_ttl(socket.as_fd(), place.is_ipv6, true).map_err(io::Error::other)?;
        set_receive_packet_info(socket.as_fd(), place.is_ipv6, true).map_err(io::Error::other)?;
        socket.bind(&place.address().into())?;
        Ok(Self {
            socket: UdpSocket::from_std(socket.into())?,
            place,
            datagram: Buffer::new(),
            control: Buffer::new(),
        })
    }

    /// Waits until there may be a packet.
    pub(super) async fn readable(&self) {
        // An error is met again by whoever reads.
        let _ = self.socket.readable().await;
    }

    /// The next packet, if one is there.
    pub(super) fn receive(&mut self) -> io::Result<(Arrival, &[u8])> {
        let mut from = SockAddr::from(SocketAddr::new(unspecified(self.place.is_ipv6), 0));
        let (datagram, control) = (&mut self.datagram, &mut self.control);
        let socket = &self.socket;
        let (len, control_len) = socket.try_io(Interest::READABLE, || {
            let mut buffers = [MaybeUninitSlice::new(datagram.for_kernel())];
            let mut header = MsgHdrMut::new()
                .with_addr(&mut from)
                .with_buffers(&mut buffers)
                .with_control(control.for_kernel());
            let len = SockRef::from(socket).recvmsg(&mut header, 0)?;
            Ok((len, header.control_len()))
        })?;
        let source = from.as_socket().map(|from| from.ip());
        let (ttl, interface) = told(self.place.is_ipv6, self.control.octets(control_len));
        let arrival = Arrival {
            source: source.unwrap_or(unspecified(self.place.is_ipv6)),
            // What the kernel did not tell matches no session that asks for it.
            interface: interface.unwrap_or(0),
            ttl: ttl.unwrap_or(0),
            hops: self.place.hops,
        };
        Ok((arrival, self.datagram.octets(len)))
    }
}

/// TTL and interface of a datagram.
fn told(is_ipv6: bool, control: &[u8]) -> (Option<u8>, Option<u32>) {
    // `struct in_pktinfo` begins with the interface, `struct in6_pktinfo` ends with it.
    let (level, ttl, info, offset) = if is_ipv6 {
        let level = libc::IPPROTO_IPV6;
        (level, libc::IPV6_HOPLIMIT, libc::IPV6_PKTINFO, 16)
    } else {
        (libc::IPPROTO_IP, libc::IP_TTL, libc::IP_PKTINFO, 0)
    };
    let int = |kind, offset| ancillary::int(ancillary::value(control, level, kind)?, offset);
    (
        int(ttl, 0).and_then(|ttl| u8::try_from(ttl).ok()),
        int(info, offset).and_then(|index| u32::try_from(index).ok()),
    )
}

/// Where a session sends from.
pub(super) struct Sender(Socket);

impl Sender {
    /// Opens a socket at `local`, or where the kernel finds best each time. `ports` counts the source
    /// ports that were tried.
    pub(super) fn open(
        key: SessionKey,
        local: Option<IpAddr>,
        ports: &mut u16,
    ) -> io::Result<Self> {
        let is_ipv6 = key.remote.is_ipv6();
        let socket = udp(is_ipv6)?;
        if is_ipv6 {
            socket.set_unicast_hops_v6(TTL)?;
            socket.set_tclass_v6(TRAFFIC_CLASS)?;
        } else {
            socket.set_ttl_v4(TTL)?;
            socket.set_tos_v4(TRAFFIC_CLASS)?;
        }
        let local = local.unwrap_or(unspecified(is_ipv6));
        let mut tries = TRIES;
        loop {
            *ports = ports.wrapping_add(1) % SOURCE_PORTS;
            let address = address(key, local, FIRST_SOURCE_PORT + *ports);
            match socket.bind(&address.into()) {
                Ok(()) => return Ok(Self(socket)),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => tries -= 1,
                Err(error) => return Err(error),
            }
        }
    }

    #[cfg(test)]
    pub(super) fn port(&self) -> u16 {
        let local = self.0.local_addr().unwrap();
        local.as_socket().unwrap().port()
    }

    pub(super) fn send(&self, key: SessionKey, datagram: &[u8]) -> io::Result<()> {
        let to = address(key, key.remote, key.hops.port());
        self.0.send_to(datagram, &to.into()).map(drop)
    }
}

/// An address on the session's interface, if it has one.
fn address(key: SessionKey, ip: IpAddr, port: u16) -> SocketAddr {
    match (ip, key.interface) {
        (IpAddr::V6(ip), Some(interface)) if ip.is_unicast_link_local() => {
            SocketAddrV6::new(ip, port, 0, interface).into()
        }
        _ => SocketAddr::new(ip, port),
    }
}
