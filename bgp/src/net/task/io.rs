//! Octets in and out.

use std::io::ErrorKind;

use crate::{
    session::{Disconnect, Slot},
    time::Instant,
};

use super::{super::connect::disconnect, Task};

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
        match socket.stream.try_read(&mut self.buffer) {
            Ok(0) => self.lost(now, slot, Disconnect::Closed),
            Ok(n) => {
                let bytes = self.buffer.get(..n).unwrap_or_default();
                self.peer.received(now, slot, bytes);
            }
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
