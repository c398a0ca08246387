//! Reading the kernel's tables: links, addresses, and the routes of the tables that matter.
//!
//! Strict checking makes the kernel filter by table. A dump that the kernel interrupted may lack
//! entries that never changed, so it is made again.

use futures_util::StreamExt;
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::AddressMessage,
    link::LinkMessage,
    route::{RouteAttribute, RouteMessage, RouteScope},
};
use netlink_proto::ConnectionHandle;
use netlink_sys::{AsyncSocket, SocketAddr, protocols::NETLINK_ROUTE};
use tokio::time::timeout;

use super::{NetlinkConfig, NetlinkError, decode, message::Message, socket};
use crate::fib::{Dump, KernelNexthop, errno};

const ATTEMPTS: usize = 10;

type Handle = ConnectionHandle<Message>;

/// Reads everything.
pub(super) async fn dump(config: &NetlinkConfig) -> Result<Dump, NetlinkError> {
    let (mut connection, handle, _unsolicited) =
        netlink_proto::new_connection::<Message>(NETLINK_ROUTE).map_err(NetlinkError::Socket)?;
    let strict = connection.socket_mut().socket_mut();
    // A kernel without it lists everything, and we filter.
    let _ = strict.set_netlink_get_strict_chk(true);
    // The end of a dump carries its error code and the last interruption mark.
    connection.set_forward_done(true);
    socket::enlarge_receive_buffer(connection.socket_mut().socket_mut(), config.receive_buffer);
    let task = tokio::spawn(connection);
    let result = timeout(config.dump_timeout, everything(handle, config)).await;
    task.abort();
    result.map_err(|_| NetlinkError::Timeout)?
}

async fn everything(mut handle: Handle, config: &NetlinkConfig) -> Result<Dump, NetlinkError> {
    let mut dump = Dump::default();
    let links = Message::Route(RouteNetlinkMessage::GetLink(LinkMessage::default()));
    dump.links = list(&mut handle, "links", links, |m| match m {
        Message::Route(RouteNetlinkMessage::NewLink(m)) => decode::link(&m),
        _ => None,
    })
    .await?;
    let addresses = Message::Route(RouteNetlinkMessage::GetAddress(AddressMessage::default()));
    dump.addresses = list(&mut handle, "addresses", addresses, |m| match m {
        Message::Route(RouteNetlinkMessage::NewAddress(m)) => decode::address(&m),
        _ => None,
    })
    .await?;
    dump.nexthops = nexthops(&mut handle).await?;
    for table in config.tables() {
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let request = RouteNetlinkMessage::GetRoute(routes_of(family, table));
            let request = Message::Route(request);
            let routes = list(&mut handle, "routes", request, |m| match m {
                Message::Route(RouteNetlinkMessage::NewRoute(m)) => decode::route(&m),
                _ => None,
            });
            // A kernel without strict checking does not filter.
            let mut routes = routes.await?;
            routes.retain(|r| r.table == table);
            dump.routes.append(&mut routes);
        }
    }
    Ok(dump)
}

/// None, where the kernel has no such thing.
async fn nexthops(handle: &mut Handle) -> Result<Vec<KernelNexthop>, NetlinkError> {
    let listed = list(
        handle,
        "nexthop objects",
        Message::GetNexthops,
        |m| match m {
            Message::Nexthop(nexthop) => nexthop,
            _ => None,
        },
    );
    match listed.await {
        Err(NetlinkError::Refused { .. }) => Ok(Vec::new()),
        listed => listed,
    }
}

fn routes_of(family: AddressFamily, table: u32) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family;
    message.header.scope = RouteScope::Universe;
    message.attributes.push(RouteAttribute::Table(table));
    message
}

async fn list<T>(
    handle: &mut Handle,
    what: &'static str,
    request: Message,
    decode: impl Fn(Message) -> Option<T>,
) -> Result<Vec<T>, NetlinkError> {
    for _ in 0..ATTEMPTS {
        if let Some(list) = list_once(handle, what, request.clone(), &decode).await? {
            return Ok(list);
        }
    }
    Err(NetlinkError::Interrupted { what })
}

/// `None` if the dump was interrupted.
async fn list_once<T>(
    handle: &mut Handle,
    what: &'static str,
    request: Message,
    decode: impl Fn(Message) -> Option<T>,
) -> Result<Option<Vec<T>>, NetlinkError> {
    let mut message = NetlinkMessage::from(request);
    message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut answers = handle
        .request(message, SocketAddr::new(0, 0))
        .map_err(|_| NetlinkError::Closed)?;
    let mut list = Vec::new();
    let mut interrupted = false;
    while let Some(answer) = answers.next().await {
        interrupted |= answer.header.flags & NLM_F_DUMP_INTR != 0;
        let code = match answer.payload {
            NetlinkPayload::InnerMessage(inner) => {
                list.extend(decode(inner));
                continue;
            }
            NetlinkPayload::Done(done) => done.code,
            NetlinkPayload::Error(error) => error.raw_code(),
            NetlinkPayload::Overrun(_) => return Err(NetlinkError::Closed),
            _ => continue,
        };
        return match code.saturating_neg() {
            0 => Ok((!interrupted).then_some(list)),
            // A table that nobody has put a route in yet.
            errno::ENOENT => Ok(Some(Vec::new())),
            errno => Err(NetlinkError::Refused {
                what,
                source: std::io::Error::from_raw_os_error(errno),
            }),
        };
    }
    Err(NetlinkError::Closed)
}
