//! A copy of what goes over the connections, for somebody who looks.

use core::net::SocketAddr;

use bytes::Bytes;

use crate::session::Slot;

use super::{
    super::{
        clock::Clock,
        tap::{Passed, Passing, Tap},
    },
    Socket, Task,
};

impl Task<'_> {
    /// Somebody begins to look. A tap sees messages from their start: it is given what is here of one that
    /// is not whole, and spared the rest of one that is half sent.
    pub(super) fn tapped(&mut self, tap: Option<Tap>) {
        self.tap = tap;
        let sockets = [
            (Slot::Outgoing, &mut self.outgoing),
            (Slot::Incoming, &mut self.incoming),
        ];
        for (slot, socket) in sockets {
            let Some(socket) = socket else {
                continue;
            };
            let (begun, torn) = self.peer.under_way(slot);
            socket.unseen = torn;
            if !begun.is_empty() {
                let what = || Passing::Received(Bytes::copy_from_slice(begun));
                pass(&mut self.tap, self.clock, socket.ends, what);
            }
        }
    }
}

impl Socket {
    /// Octets went out.
    pub(super) fn sent(&mut self, octets: &[u8], tap: &mut Option<Tap>, clock: Clock) {
        let unseen = self.unseen.min(octets.len());
        self.unseen -= unseen;
        let seen = octets.get(unseen..).unwrap_or_default();
        if !seen.is_empty() {
            pass(tap, clock, self.ends, || {
                Passing::Sent(Bytes::copy_from_slice(seen))
            });
        }
    }
}

/// Tells somebody who looks, if anybody does, what went over a connection.
pub(super) fn pass(
    tap: &mut Option<Tap>,
    clock: Clock,
    (local, remote): (SocketAddr, SocketAddr),
    what: impl FnOnce() -> Passing,
) {
    let Some(open) = tap.as_ref().filter(|tap| tap.is_open()) else {
        *tap = None;
        return;
    };
    let taken = open.pass(Passed {
        at: clock.now(),
        local,
        remote,
        what: what(),
    });
    if !taken {
        *tap = None;
    }
}
