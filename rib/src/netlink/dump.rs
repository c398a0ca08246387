//! Reading the kernel's tables: links, addresses, silent neighbours, nexthop objects, and the routes of
//! the tables that matter.
//!
//! Strict checking makes the kernel filter by table. A dump that the kernel interrupted may lack
//! entries that never changed, so it is made again. A table may have a million routes, and the kernel
//! tells them as fast as they are read: each is decoded as it comes, on a thread where that keeps
//! nobody waiting, and what the message took is used for the next one. The library would queue them all.

use std::{io, sync::Arc};

use netlink_packet_core::{NetlinkDeserializable, NetlinkHeader};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use tokio::{task::spawn_blocking, time::timeout};

use super::{
    NetlinkConfig, NetlinkError, decode,
    encode::{AF_INET, AF_INET6, NLM_F_REQUEST},
    message::Message,
    nexthop::RTM_GETNEXTHOP,
    socket,
    wire::{self, Writer},
};
use crate::fib::{Dump, KernelNexthop, KernelRoute, errno};

const ATTEMPTS: usize = 10;

const RTM_GETLINK: u16 = 18;
const RTM_GETADDR: u16 = 22;
const RTM_GETROUTE: u16 = 26;
const RTM_GETNEIGH: u16 = 30;
const RTA_TABLE: u16 = 15;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_DUMP: u16 = 0x300;

/// The kernel fills as much of it as it likes in one go, up to 32 KiB.
const DATAGRAM: usize = 64 << 10;

/// Reads everything.
pub(super) async fn dump(config: &Arc<NetlinkConfig>) -> Result<Dump, NetlinkError> {
    // In the network namespace of this thread.
    let mut reader = Reader::open(config).map_err(NetlinkError::Socket)?;
    let limit = config.dump_timeout;
    let config = Arc::clone(config);
    let everything = spawn_blocking(move || everything(&mut reader, &config));
    let result = timeout(limit, everything).await;
    let result = result.map_err(|_| NetlinkError::Timeout)?;
    result.map_err(|_| NetlinkError::Closed)?
}

fn everything(reader: &mut Reader, config: &NetlinkConfig) -> Result<Dump, NetlinkError> {
    let mut dump = Dump {
        // `struct ifinfomsg`, `struct ifaddrmsg`: of all families.
        links: reader.list("links", (RTM_GETLINK, &[0; 16]), |m| match m {
            Message::Route(RouteNetlinkMessage::NewLink(m)) => decode::link(&m),
            _ => None,
        })?,
        addresses: reader.list("addresses", (RTM_GETADDR, &[0; 8]), |m| match m {
            Message::Route(RouteNetlinkMessage::NewAddress(m)) => decode::address(&m),
            _ => None,
        })?,
        // `struct ndmsg`.
        silent: reader
            .list("neighbours", (RTM_GETNEIGH, &[0; 12]), |m| match m {
                Message::Route(RouteNetlinkMessage::NewNeighbour(m)) => decode::silent(&m),
                _ => None,
            })?
            .into_iter()
            .collect(),
        nexthops: nexthops(reader)?,
        ..Dump::default()
    };
    for table in config.tables() {
        for family in [AF_INET, AF_INET6] {
            dump.routes.append(&mut routes(reader, family, table)?);
        }
    }
    Ok(dump)
}

/// None, where the kernel has no such thing.
fn nexthops(reader: &mut Reader) -> Result<Vec<KernelNexthop>, NetlinkError> {
    let request = (RTM_GETNEXTHOP, &[0; 8][..]);
    let listed = reader.list("nexthop objects", request, |m| match m {
        Message::Nexthop(nexthop) => nexthop,
        _ => None,
    });
    match listed {
        Err(NetlinkError::Refused { .. }) => Ok(Vec::new()),
        listed => listed,
    }
}

fn routes(reader: &mut Reader, family: u8, table: u32) -> Result<Vec<KernelRoute>, NetlinkError> {
    // `struct rtmsg`, and the table as an attribute: the header has room for 255 only.
    let mut request = [0; 20];
    request[0] = family;
    let [length, kind] = [8, RTA_TABLE].map(u16::to_ne_bytes);
    for (at, octets) in [(12, &length[..]), (14, &kind), (16, &table.to_ne_bytes())] {
        request[at..at + octets.len()].copy_from_slice(octets);
    }
    reader.list("routes", (RTM_GETROUTE, &request), |m| match m {
        // A kernel without strict checking does not filter.
        Message::Route(RouteNetlinkMessage::NewRoute(m)) => {
            decode::route(&m).filter(|route| route.table == table)
        }
        _ => None,
    })
}

/// A connection for one dump.
struct Reader {
    socket: Socket,
    writer: Writer,
    answers: Vec<u8>,
    /// The number of the last request.
    number: u32,
}

/// A type of message, and its body.
type Asked<'a> = (u16, &'a [u8]);

impl Reader {
    fn open(config: &NetlinkConfig) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        // A kernel without it lists everything, and we filter.
        let _ = socket.set_netlink_get_strict_chk(true);
        socket::enlarge_receive_buffer(&socket, config.receive_buffer);
        socket::set_receive_timeout(&socket, config.dump_timeout)?;
        Ok(Self {
            socket,
            writer: Writer::default(),
            answers: Vec::with_capacity(DATAGRAM),
            number: 0,
        })
    }

    fn list<T>(
        &mut self,
        what: &'static str,
        asked: Asked<'_>,
        decode: impl Fn(Message) -> Option<T>,
    ) -> Result<Vec<T>, NetlinkError> {
        for _ in 0..ATTEMPTS {
            if let Some(list) = self.list_once(what, asked, &decode)? {
                return Ok(list);
            }
        }
        Err(NetlinkError::Interrupted { what })
    }

    /// `None` if the dump was interrupted.
    fn list_once<T>(
        &mut self,
        what: &'static str,
        (kind, body): Asked<'_>,
        decode: impl Fn(Message) -> Option<T>,
    ) -> Result<Option<Vec<T>>, NetlinkError> {
        self.number += 1;
        self.writer.clear();
        let flags = NLM_F_REQUEST | NLM_F_DUMP;
        self.writer
            .message(kind, flags, self.number, |w| w.octets_of(body));
        let kernel = SocketAddr::new(0, 0);
        let sent = self.socket.send_to(self.writer.octets(), &kernel, 0);
        sent.map_err(NetlinkError::Socket)?;
        let mut list = Vec::new();
        let mut interrupted = false;
        loop {
            self.receive()?;
            for message in wire::messages(&self.answers) {
                if message.number != self.number {
                    continue;
                }
                interrupted |= message.flags & NLM_F_DUMP_INTR != 0;
                if matches!(message.kind, NLMSG_DONE | NLMSG_ERROR) {
                    return match code(message.payload) {
                        0 => Ok((!interrupted).then_some(list)),
                        // A table that nobody has put a route in yet.
                        errno::ENOENT => Ok(Some(Vec::new())),
                        errno => Err(NetlinkError::Refused {
                            what,
                            source: io::Error::from_raw_os_error(errno),
                        }),
                    };
                }
                let mut header = NetlinkHeader::default();
                header.message_type = message.kind;
                // What it cannot read, it does not know: none of ours.
                let inner = Message::deserialize(&header, message.payload).ok();
                list.extend(inner.and_then(&decode));
            }
        }
    }

    fn receive(&mut self) -> Result<(), NetlinkError> {
        loop {
            self.answers.clear();
            match self.socket.recv(&mut self.answers, 0) {
                Ok(_) => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    return Err(NetlinkError::Timeout);
                }
                Err(_) => return Err(NetlinkError::Closed),
            }
        }
    }
}

/// The error number at the end of a dump, positive.
fn code(payload: &[u8]) -> i32 {
    let code = payload.first_chunk().map_or(0, |c| i32::from_ne_bytes(*c));
    code.saturating_neg()
}
