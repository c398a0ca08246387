//! The connection that carries operations: many in one datagram, every answer accounted for.
//!
//! The kernel works through a datagram while it is being sent, so this is a thread of its own and not
//! a task: planner and kernel work at the same time, and nobody else waits for either. Only the last
//! message of a datagram asks to be acknowledged; of the others the kernel answers those that it
//! refuses, and says so before it acknowledges the last. So silence means success if the
//! acknowledgement came and no answer was dropped; what an overrun makes uncertain is reported as
//! lost.

use core::sync::atomic::{AtomicU32, Ordering};
use std::{io, sync::Arc};

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use tokio::sync::mpsc;

use super::{
    Batch, NetlinkConfig, NetlinkError, Outcomes,
    encode::{self, NLM_F_ACK},
    pace::Pace,
    socket,
    wire::{self, Writer},
};
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

    /// The present one.
    pub(super) fn current(&self) -> u32 {
        self.current.load(Ordering::Relaxed)
    }

    /// Whether an event from `port` is the echo of an operation of ours. Port 0 is the kernel.
    pub(super) fn contains(&self, port: u32) -> bool {
        port != 0
            && (port == self.current.load(Ordering::Relaxed)
                || port == self.previous.load(Ordering::Relaxed))
    }
}

/// What the kernel said to a message, if it said anything.
type Answer = Option<Result<(), OpError>>;

/// Most octets of one datagram. The socket's send buffer must hold it, and its default is three times
/// as much.
const DATAGRAM: usize = 64 << 10;

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
        let connection = Connection::open(&config, &ports).map_err(NetlinkError::Socket)?;
        Ok(Self {
            config,
            ports,
            connection: Some(connection),
        })
    }

    /// Until nobody is left to ask for anything.
    #[expect(
        clippy::disallowed_types,
        clippy::disallowed_methods,
        reason = "how long the kernel takes is to be seen here alone"
    )]
    pub(super) fn run(mut self, mut batches: mpsc::Receiver<Batch>, pace: &Pace) {
        while let Some(Batch { ops, answer }) = batches.blocking_recv() {
            let began = std::time::Instant::now();
            let outcomes = self.apply(&ops);
            pace.note(ops.len(), began.elapsed());
            // Nobody waits any more if the caller was cancelled; it will resync.
            let _ = answer.send((outcomes, ops));
        }
    }

    fn apply(&mut self, ops: &[KernelOp]) -> Outcomes {
        let mut outcomes = Outcomes::with_capacity(ops.len());
        let mut rest = ops;
        while !rest.is_empty() {
            let (results, silence) = self.send(rest);
            // At least one, or this would never end.
            let (sent, left) = rest.split_at(results.len().clamp(1, rest.len()));
            let results = (results.into_iter()).map(|r| r.unwrap_or_else(|| silence.clone()));
            outcomes.extend(sent.iter().map(|op| op.id).zip(results));
            rest = left;
        }
        outcomes
    }

    /// Sends as many as one datagram takes; what the kernel said to each, and what it means if it said
    /// nothing.
    fn send(&mut self, ops: &[KernelOp]) -> (Vec<Answer>, Result<(), OpError>) {
        if self.connection.as_ref().is_none_or(Connection::is_worn) {
            self.connection = Connection::open(&self.config, &self.ports).ok();
        }
        let Some(connection) = &mut self.connection else {
            return (vec![None; ops.len()], Err(OpError::Lost));
        };
        let (results, complete) = connection.exchange(ops, self.config.batch.max(1));
        if complete {
            return (results, Ok(()));
        }
        self.connection = None;
        (results, Err(OpError::Lost))
    }
}

/// One socket. Dropping it closes the socket.
struct Connection {
    socket: Socket,
    writer: Writer,
    answers: Vec<u8>,
    /// The number of the last message sent.
    sent: u32,
}

impl Connection {
    fn open(config: &NetlinkConfig, ports: &OwnPorts) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        let address = socket.bind_auto()?;
        // Answers without the request in them, but with words. Both are conveniences: an old kernel
        // without them answers all the same.
        let _ = socket.set_cap_ack(true);
        let _ = socket.set_ext_ack(true);
        socket::enlarge_receive_buffer(&socket, config.receive_buffer);
        socket::set_receive_timeout(&socket, config.request_timeout)?;
        ports.set(address.port_number());
        Ok(Self {
            socket,
            writer: Writer::default(),
            answers: Vec::with_capacity(DATAGRAM),
            sent: 0,
        })
    }

    /// Message numbers are about to run out.
    const fn is_worn(&self) -> bool {
        self.sent > u32::MAX / 2
    }

    /// Sends the first of `ops`, at most `most`, in one datagram. What the kernel said to each, and
    /// whether nothing of it is missing.
    fn exchange(&mut self, ops: &[KernelOp], most: usize) -> (Vec<Answer>, bool) {
        let first = self.sent.wrapping_add(1);
        let mut count = 0;
        self.writer.clear();
        for op in ops.iter().take(most) {
            if count > 0 && self.writer.len() >= DATAGRAM {
                break;
            }
            self.sent = self.sent.wrapping_add(1);
            encode::message(op, self.sent, &mut self.writer);
            count += 1;
        }
        self.writer.add_flags(NLM_F_ACK);
        let mut results = vec![None; count];
        let kernel = SocketAddr::new(0, 0);
        let sent = self.socket.send_to(self.writer.octets(), &kernel, 0);
        let complete = sent.is_ok() && self.collect(first, &mut results);
        (results, complete)
    }

    /// Reads answers until that to the last message. Whether none is missing.
    fn collect(&mut self, first: u32, results: &mut [Answer]) -> bool {
        let Some(last) = results.len().checked_sub(1) else {
            return true;
        };
        while results.get(last).is_some_and(Option::is_none) {
            self.answers.clear();
            // Fails on an overrun, and when no answer comes in time.
            match self.socket.recv(&mut self.answers, 0) {
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return false,
            }
            for message in wire::messages(&self.answers) {
                let index = usize::try_from(message.number.wrapping_sub(first));
                let slot = index.ok().and_then(|i| results.get_mut(i));
                if let (Some(slot), Some(result)) = (slot, outcome(&message)) {
                    *slot = Some(result);
                }
            }
        }
        true
    }
}

const NLMSG_ERROR: u16 = 2;

/// What an answer says; `None` if it is none.
fn outcome(message: &wire::Message<'_>) -> Option<Result<(), OpError>> {
    if message.kind != NLMSG_ERROR {
        return None;
    }
    let code = i32::from_ne_bytes(message.payload.get(..4)?.try_into().ok()?);
    if code == 0 {
        return Some(Ok(()));
    }
    let errno = code.saturating_neg();
    let words = words(message.flags, message.payload.get(4..)?);
    Some(Err(OpError::Refused(KernelError {
        errno,
        message: words.or_else(|| explain(errno)),
    })))
}

/// Words for refusals that come without.
fn explain(error: i32) -> Option<Box<str>> {
    (error == errno::EPERM).then(|| "changing routes needs the capability CAP_NET_ADMIN".into())
}

const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;

/// The kernel's own words: attribute `NLMSGERR_ATTR_MSG` behind the request's header, or behind the
/// whole request if it was not cut off.
fn words(flags: u16, echoed: &[u8]) -> Option<Box<str>> {
    if flags & NLM_F_ACK_TLVS == 0 {
        return None;
    }
    let request = match flags & NLM_F_CAPPED {
        0 => usize::try_from(wire::u32_at(echoed, 0)?).ok()?,
        _ => wire::HEADER,
    };
    let rest = echoed.get(request.next_multiple_of(4)..)?;
    let (_, value) = wire::attributes(rest).find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG)?;
    let text = value.split(|b| *b == 0).next()?;
    Some(String::from_utf8_lossy(text).into())
}
