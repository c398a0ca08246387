//! Octets in and out.

use core::cell::RefCell;
use std::io::{self, ErrorKind};

use crate::{
    session::{Disconnect, Slot},
    time::Instant,
};

use super::{super::connect::disconnect, Task};

/// Octets to read at once.
const READ: usize = 64 * 1024;

thread_local! {
    /// Where neighbours read to: nothing stays in it, so those of one thread share it.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

impl Task {
    /// Reads what is there, up to one buffer. Never waits.
    pub(super) fn read(&mut self, now: Instant, slot: Slot) {
        let socket = match slot {
            Slot::Outgoing => &self.outgoing,
            Slot::Incoming => &self.incoming,
        };
        let Some(socket) = socket else {
            return;
        };
        let (stream, peer) = (&socket.stream, &mut self.peer);
        let read: io::Result<usize> = BUFFER.with_borrow_mut(|buffer| {
            let count = stream.try_read(buffer)?;
            let bytes = buffer.get(..count).unwrap_or_default();
            if !bytes.is_empty() {
                peer.received(now, slot, bytes);
            }
            Ok(count)
        });
        match read {
            Ok(0) => self.lost(now, slot, Disconnect::Closed),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => self.lost(now, slot, disconnect(&error)),
        }
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
                Ok(n) => self.peer.wrote(now, slot, n),
                Err(error) if error.kind() == ErrorKind::WouldBlock => socket.full = true,
                Err(error) => {
                    // It may have told why before it went.
                    if self.undelivered.is_none() {
                        self.read(now, slot);
                    }
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
