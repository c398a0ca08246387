//! How a connection came in, and whether that is how its neighbour's must.
//!
//! One port serves every neighbour, and the kernel completes a handshake before anybody can say what
//! this neighbour's connections must be like. So the options that are set on an accepted socket come
//! too late for what is in its buffer by then: a host far away could send a whole session with its
//! first segments. What it cannot do is to complete the handshake with a TTL that only those nearby
//! have. The kernel remembers that segment of each connection: its TTL or hop limit, and the link that
//! it came in by (`IP_PKTOPTIONS`, ip(7); `IPV6_2292PKTOPTIONS`). SYN cookies change nothing about it.
//!
//! So there are two steps, in this order, before a single octet is read:
//!
//! 1. The segment that completed the handshake is looked at ([`Protection::admits`]). A connection that
//!    passed too many routers (RFC 5082 section 3), or came in by another link than its neighbour's,
//!    is closed without a word.
//! 2. The accepted socket gets the same rule for everything to come (`IP_MINTTL`, `SO_BINDTODEVICE`;
//!    see [`Transport::apply`]).
//!
//! What arrives between the two is from the host that passed the first one, or from somebody who
//! guessed the sequence numbers of a connection that is a moment old; against that TCP has its own
//! means (RFC 5961), with and without GTSM.
//!
//! # Rules change
//!
//! A connection is accepted under the rules of a moment, and waits in queues. It carries those rules
//! along, and a neighbour whose rules are others by then does not take it. In the kernel's queue wait
//! connections too; the ones from before their address had a TCP MD5 key are closed when it gets one:
//! see [`super::keys`].

use std::{
    io,
    net::IpAddr,
    os::fd::{AsFd as _, BorrowedFd},
};

use socket2::SockRef;
use tokio::net::TcpStream;

use super::{
    ancillary::{int, value},
    range::Range,
    sockopt::{Buffer, get_octets, interface_index, set_receive_packet_info, set_receive_ttl},
    transport::Transport,
};
use crate::session::Refusal;

/// Room for the two control messages of a connection.
const CONTROL: usize = 256;

/// Where `struct in6_pktinfo` has the index of the interface; `struct in_pktinfo` begins with it.
const IPV6_IFINDEX_AT: usize = 16;

/// What a connection must be like, so that its neighbour takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Protection {
    least_ttl: Option<u8>,
    interface: Option<String>,
    md5: bool,
    tcp_ao: bool,
}

impl From<&Transport> for Protection {
    fn from(transport: &Transport) -> Self {
        Self {
            least_ttl: transport.ttl.least_accepted(),
            interface: transport.interface.clone(),
            md5: transport.password.is_some(),
            tcp_ao: !transport.tcp_ao.is_empty(),
        }
    }
}

impl From<&Range> for Protection {
    fn from(range: &Range) -> Self {
        Self {
            least_ttl: range.ttl.least_accepted(),
            interface: range.interface.clone(),
            md5: range.password.is_some(),
            tcp_ao: false,
        }
    }
}

impl Protection {
    /// Whether a connection came the way it must. Where the kernel does not tell, it did not.
    pub(super) fn admits(&self, arrival: &Arrival) -> Result<(), Refusal> {
        let near = |least| arrival.ttl.is_some_and(|ttl| ttl >= least);
        if !self.least_ttl.is_none_or(near) {
            return Err(Refusal::TtlSecurity);
        }
        let by = |interface: &String| arrival.came_by(interface);
        if !self.interface.as_ref().is_none_or(by) {
            return Err(Refusal::OtherInterface);
        }
        Ok(())
    }
}

/// How the segment came in that completed the handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Arrival {
    ttl: Option<u8>,
    ifindex: Option<u32>,
    /// The link, or the VRF, that the kernel has bound the connection to.
    bound_to: Option<Vec<u8>>,
}

impl Arrival {
    /// Has the kernel remember it for every connection that is accepted from this socket.
    pub(super) fn remember(listener: BorrowedFd<'_>, is_ipv6: bool) -> io::Result<()> {
        tell(listener, is_ipv6, true)
    }

    /// Of a connection that was accepted, once: it is not told again.
    pub(super) fn of(stream: &TcpStream, remote: IpAddr) -> Self {
        let bound_to = SockRef::from(stream).device().ok().flatten();
        let (ttl, ifindex) = handshake(stream.as_fd(), remote.is_ipv6()).unwrap_or_default();
        // Every segment of a connection would be kept for those who want to be told.
        let _ = tell(stream.as_fd(), remote.is_ipv6(), false);
        Self {
            ttl,
            ifindex,
            bound_to,
        }
    }

    fn came_by(&self, interface: &str) -> bool {
        self.bound_to.as_deref() == Some(interface.as_bytes())
            || (self.ifindex.is_some() && self.ifindex == interface_index(interface))
    }
}

fn tell(socket: BorrowedFd<'_>, is_ipv6: bool, on: bool) -> io::Result<()> {
    set_receive_ttl(socket, is_ipv6, on)
        .and_then(|()| set_receive_packet_info(socket, is_ipv6, on))
        .map_err(io::Error::other)
}

/// TTL and interface.
fn handshake(socket: BorrowedFd<'_>, is_ipv6: bool) -> io::Result<(Option<u8>, Option<u32>)> {
    let mut buffer = Buffer::<CONTROL>::new();
    let (level, option, ttl, info, ifindex_at) = if is_ipv6 {
        let level = libc::IPPROTO_IPV6;
        let (ttl, info) = (libc::IPV6_HOPLIMIT, libc::IPV6_PKTINFO);
        (level, libc::IPV6_2292PKTOPTIONS, ttl, info, IPV6_IFINDEX_AT)
    } else {
        let (ttl, info) = (libc::IP_TTL, libc::IP_PKTINFO);
        (libc::IPPROTO_IP, libc::IP_PKTOPTIONS, ttl, info, 0)
    };
    let control = get_octets(socket, level, option, &mut buffer)?;
    let number = |kind, at| int(value(control, level, kind)?, at);
    Ok((
        number(ttl, 0).and_then(|ttl| u8::try_from(ttl).ok()),
        number(info, ifindex_at).and_then(|ifindex| u32::try_from(ifindex).ok()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Ttl;

    #[test]
    fn a_connection_must_have_come_as_its_neighbours_do() {
        let arrival = |ttl, ifindex, bound_to: Option<&str>| Arrival {
            ttl,
            ifindex,
            bound_to: bound_to.map(|name| name.as_bytes().to_vec()),
        };
        let mut transport = Transport::new(([192, 0, 2, 1], 179).into());
        let admits =
            |transport: &Transport, arrival: &Arrival| Protection::from(transport).admits(arrival);
        let unknown = Arrival::default();
        assert_eq!(admits(&transport, &unknown), Ok(()));

        transport.ttl = Ttl::Security(2);
        for (ttl, expected) in [
            (Some(255), Ok(())),
            (Some(254), Ok(())),
            (Some(253), Err(Refusal::TtlSecurity)),
            (None, Err(Refusal::TtlSecurity)),
        ] {
            let arrival = arrival(ttl, None, None);
            assert_eq!(admits(&transport, &arrival), expected, "{ttl:?}");
        }

        transport.ttl = Ttl::Hops(1);
        transport.interface = Some("lo".to_owned());
        let elsewhere = Err(Refusal::OtherInterface);
        for (ifindex, bound_to, expected) in [
            (Some(1), None, Ok(())),
            (Some(2), None, elsewhere),
            (None, None, elsewhere),
            (Some(2), Some("lo"), Ok(())),
            (Some(2), Some("eth0"), elsewhere),
        ] {
            let arrival = arrival(Some(64), ifindex, bound_to);
            assert_eq!(admits(&transport, &arrival), expected, "{arrival:?}");
        }
        // A link that is not there is nobody's.
        transport.interface = Some("nowhere0".to_owned());
        assert_eq!(admits(&transport, &unknown), elsewhere);
    }
}
