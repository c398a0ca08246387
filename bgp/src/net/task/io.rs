//! Octets in and out.

use core::cell::RefCell;
use std::io::{self, ErrorKind};

use bytes::Bytes;
use tokio::{io::Interest, net::TcpStream};

use crate::{
    session::{Disconnect, Peer, Slot},
    time::Instant,
};

use super::{
    super::{connect::disconnect, tap::Passing},
    Task,
    tapped::pass,
};

/// Octets to read at once. What they hold is passed on in one piece, and more of it would not stay in a near cache.
const READ: usize = 32 * 1024;

thread_local! {
    /// Where neighbours read to: nothing stays in it, so those of one thread share it.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

impl Task<'_> {
    /// Reads what is there, up to one buffer. Never waits.
    pub(super) fn read(&mut self, now: Instant, slot: Slot) {
        let receive = |peer: &mut Peer, bytes: &[u8]| peer.received(now, slot, bytes);
        let Some(read) = self.take(slot, try_read, receive) else {
            return;
        };
        match read {
            Ok(0) => self.lost(now, slot, Disconnect::Closed),
            Ok(_) => self.read_at = now,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => self.lost(now, slot, disconnect(&error)),
        }
    }

    /// Reads all that there is of a connection that is broken: it may have said why before it went. Also
    /// where the core has no room, for nothing of it goes there but the reason. The runtime is not asked: it
    /// may not have heard yet that something came.
    fn hear_out(&mut self, now: Instant, slot: Slot) {
        let last = |peer: &mut Peer, bytes: &[u8]| peer.received_last(now, slot, bytes);
        let read = |stream: &TcpStream, buffer: &mut [u8]| Ok(rustix::io::read(stream, buffer)?);
        while let Some(Ok(1..)) = self.take(slot, read, last) {
            self.log();
            // A NOTIFICATION closes the connection, and there is nothing to read from then.
            while let Some(action) = self.peer.poll_action() {
                self.act(action);
            }
        }
    }

    /// Gives the engine up to one buffer of what the connection in `slot` has, if there is one.
    fn take(
        &mut self,
        slot: Slot,
        read: impl Fn(&TcpStream, &mut [u8]) -> io::Result<usize>,
        receive: impl Fn(&mut Peer, &[u8]),
    ) -> Option<io::Result<usize>> {
        let socket = match slot {
            Slot::Outgoing => &self.outgoing,
            Slot::Incoming => &self.incoming,
        };
        let (socket, peer) = (socket.as_ref()?, &mut self.peer);
        let (tap, clock) = (&mut self.tap, self.clock);
        Some(BUFFER.with_borrow_mut(|buffer| {
            let count = read(&socket.stream, buffer)?;
            let bytes = buffer.get(..count).unwrap_or_default();
            if !bytes.is_empty() {
                let what = || Passing::Received(Bytes::copy_from_slice(bytes));
                pass(tap, clock, socket.ends, what);
                receive(peer, bytes);
            }
            Ok(count)
        }))
    }

    /// Writes what the kernel takes. `true`: the connection is gone.
    pub(super) fn write(&mut self, now: Instant, slot: Slot) -> bool {
        loop {
            let socket = match slot {
                Slot::Outgoing => &mut self.outgoing,
                Slot::Incoming => &mut self.incoming,
            };
            let Some(socket) = socket.as_mut().filter(|socket| !socket.full) else {
                return false;
            };
            let pending = self.peer.transmit(slot);
            if pending.is_empty() {
                return false;
            }
            match socket.stream.try_write(pending) {
                Ok(n) => {
                    let written = pending.get(..n).unwrap_or_default();
                    socket.sent(written, &mut self.tap, self.clock);
                    self.peer.wrote(now, slot, n);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => socket.full = true,
                Err(error) => {
                    self.hear_out(now, slot);
                    self.lost(now, slot, disconnect(&error));
                    return true;
                }
            }
        }
    }

    /// The connection in `slot` is gone.
    fn lost(&mut self, now: Instant, slot: Slot, how: Disconnect) {
        // `None` if the engine has just asked for it to be closed.
        if self.socket_mut(slot).take().is_some() {
            self.peer.closed(now, slot, how);
        }
    }
}

/// Reads what is there, up to one buffer. Where that does not fill the buffer there is no more (but behind
/// urgent data, which BGP has not): the runtime is told so, and tells of what comes after that, or of the end,
/// without another attempt to find nothing.
fn try_read(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    let read = stream.try_io(Interest::READABLE, || {
        count = rustix::io::read(stream, &mut *buffer)?;
        match count {
            1.. if count < buffer.len() => Err(ErrorKind::WouldBlock.into()),
            _ => Ok(count),
        }
    });
    if count > 0 { Ok(count) } else { read }
}
