//! The connection that carries operations: one batch at a time, every answer accounted for.
//!
//! The library numbers messages and hands each answer back with its number, so an answer finds its
//! operation even if others are missing. What is missing when the time is up is reported as lost,
//! and the connection is not trusted again.

use core::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use netlink_packet_core::{
    ErrorMessage, NLM_F_ACK_TLVS, NLM_F_CAPPED, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_proto::ConnectionHandle;
use netlink_sys::{AsyncSocket, SocketAddr, protocols::NETLINK_ROUTE};
use tokio::{sync::mpsc, task::AbortHandle, time::timeout};

use super::{Batch, NetlinkConfig, NetlinkError, Outcomes, encode, socket};
use crate::fib::{KernelError, KernelOp, OpError, errno};

/// The netlink port numbers of our request connections: the present one and the one before. The
/// kernel marks each event with the port of who caused it.
#[derive(Debug, Default)]
pub(super) struct OwnPorts {
    current: AtomicU32,
    previous: AtomicU32,
}

impl OwnPorts {
    fn set(&self, port: u32) {
        let before = self.current.swap(port, Ordering::Relaxed);
        self.previous.store(before, Ordering::Relaxed);
    }

    /// Whether an event from `port` is the echo of an operation of ours. Port 0 is the kernel.
    pub(super) fn contains(&self, port: u32) -> bool {
        port != 0
            && (port == self.current.load(Ordering::Relaxed)
                || port == self.previous.load(Ordering::Relaxed))
    }
}

/// Carries batches, one after the other.
pub(super) struct Requests {
    config: Arc<NetlinkConfig>,
    ports: Arc<OwnPorts>,
    connection: Option<Connection>,
}

impl Requests {
    pub(super) fn open(
        config: Arc<NetlinkConfig>,
        ports: Arc<OwnPorts>,
    ) -> Result<Self, NetlinkError> {
        let connection = Some(Connection::open(&config, &ports)?);
        Ok(Self {
            config,
            ports,
            connection,
        })
    }

    pub(super) async fn run(mut self, mut batches: mpsc::Receiver<Batch>) {
        while let Some(Batch { ops, answer }) = batches.recv().await {
            let outcomes = self.apply(&ops).await;
            // Nobody waits any more if the caller was cancelled; it will resync.
            let _ = answer.send(outcomes);
        }
    }

    async fn apply(&mut self, ops: &[KernelOp]) -> Outcomes {
        let mut outcomes = Outcomes::with_capacity(ops.len());
        for chunk in ops.chunks(self.config.batch.clamp(1, 256)) {
            let results = self.send(chunk).await;
            outcomes.extend(chunk.iter().map(|op| op.id).zip(results));
        }
        outcomes
    }

    async fn send(&mut self, ops: &[KernelOp]) -> Vec<Result<(), OpError>> {
        let mut results = vec![Err(OpError::Lost); ops.len()];
        if self.connection.as_ref().is_none_or(Connection::is_worn) {
            self.connection = Connection::open(&self.config, &self.ports).ok();
        }
        let Some(connection) = &mut self.connection else {
            return results;
        };
        let exchange = connection.exchange(ops, &mut results);
        let done = timeout(self.config.request_timeout, exchange).await;
        if done != Ok(true) {
            self.connection = None;
        }
        results
    }
}

/// One socket. Dropping it closes the socket.
struct Connection {
    handle: ConnectionHandle<RouteNetlinkMessage>,
    unsolicited: Unsolicited,
    task: AbortHandle,
    /// The number of the last message sent.
    sent: u32,
}

type Unsolicited = core::pin::Pin<
    Box<dyn Stream<Item = (NetlinkMessage<RouteNetlinkMessage>, SocketAddr)> + Send>,
>;

impl Connection {
    fn open(config: &NetlinkConfig, ports: &OwnPorts) -> Result<Self, NetlinkError> {
        let (mut connection, handle, unsolicited) =
            netlink_proto::new_connection::<RouteNetlinkMessage>(NETLINK_ROUTE)
                .map_err(NetlinkError::Socket)?;
        // Acknowledgements are the answers that we count.
        connection.set_forward_ack(true);
        let socket = connection.socket_mut().socket_mut();
        let address = socket.bind_auto().map_err(NetlinkError::Socket)?;
        // Answers without the request in them, but with words. Both are conveniences: an old kernel
        // without them answers all the same.
        let _ = socket.set_cap_ack(true);
        let _ = socket.set_ext_ack(true);
        socket::enlarge_receive_buffer(socket, config.receive_buffer);
        ports.set(address.port_number());
        Ok(Self {
            handle,
            unsolicited: Box::pin(unsolicited),
            task: tokio::spawn(connection).abort_handle(),
            sent: 0,
        })
    }

    /// Message numbers are about to run out.
    const fn is_worn(&self) -> bool {
        self.sent > u32::MAX / 2
    }

    /// Sends `ops` in one datagram and fills in the answers. Whether all came.
    async fn exchange(&mut self, ops: &[KernelOp], results: &mut [Result<(), OpError>]) -> bool {
        let first = self.sent.wrapping_add(1);
        let messages: Vec<_> = ops.iter().map(encode::message).collect();
        let Ok(count) = u32::try_from(messages.len()) else {
            return false;
        };
        self.sent = self.sent.wrapping_add(count);
        let Ok(mut answers) = self.handle.request_batch(messages, SocketAddr::new(0, 0)) else {
            return false;
        };
        let mut missing = ops.len();
        while missing > 0 {
            let answer = tokio::select! {
                answer = answers.next() => answer,
                // Nothing but an overrun comes here.
                _ = self.unsolicited.next() => None,
            };
            let Some(message) = answer else {
                return false;
            };
            let index = message.header.sequence_number.wrapping_sub(first);
            let slot = usize::try_from(index).ok().and_then(|i| results.get_mut(i));
            if let (Some(slot), Some(result)) = (slot, outcome(&message)) {
                *slot = result;
                missing -= 1;
            }
        }
        true
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What an answer says; `None` if it is none.
fn outcome(message: &NetlinkMessage<RouteNetlinkMessage>) -> Option<Result<(), OpError>> {
    let NetlinkPayload::Error(error) = &message.payload else {
        return None;
    };
    let Some(code) = error.code else {
        return Some(Ok(()));
    };
    let errno = code.get().saturating_neg();
    let words = words(message.header.flags, error);
    Some(Err(OpError::Refused(KernelError {
        errno,
        message: words.or_else(|| explain(errno)),
    })))
}

/// Words for refusals that come without.
fn explain(error: i32) -> Option<Box<str>> {
    (error == errno::EPERM).then(|| "changing routes needs the capability CAP_NET_ADMIN".into())
}

const HEADER: usize = 16;
const NLMSGERR_ATTR_MSG: u16 = 1;
const NLA_TYPE_MASK: u16 = 0x3fff;

/// The kernel's own words: attribute `NLMSGERR_ATTR_MSG` behind the request's header, or behind the
/// whole request if it was not cut off.
fn words(flags: u16, error: &ErrorMessage) -> Option<Box<str>> {
    if flags & NLM_F_ACK_TLVS == 0 {
        return None;
    }
    let echoed = error.header.get(..4)?;
    let request = match flags & NLM_F_CAPPED {
        0 => usize::try_from(u32::from_ne_bytes(echoed.try_into().ok()?)).ok()?,
        _ => HEADER,
    };
    let mut rest = error.header.get(request.next_multiple_of(4)..)?;
    while let Some((head, tail)) = rest.split_at_checked(4) {
        let len = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let kind = u16::from_ne_bytes([head[2], head[3]]) & NLA_TYPE_MASK;
        let value = tail.get(..len.checked_sub(4)?)?;
        if kind == NLMSGERR_ATTR_MSG {
            let text = value.split(|b| *b == 0).next()?;
            return Some(String::from_utf8_lossy(text).into());
        }
        rest = tail.get(value.len().next_multiple_of(4)..)?;
    }
    None
}
