//! What can happen to a neighbour's task, and waiting for it.

use tokio::{io::Interest, net::TcpStream};

use crate::session::{ConnectError, OutBatch, Slot};

use super::{super::range::Accepted, Dial, Pull, Socket, Task};

/// One thing that happened.
pub(super) enum Step {
    /// The handle asks for something else.
    Desired,
    /// The handle was dropped.
    HandleGone,
    /// Nobody takes events any more.
    CoreGone,
    /// The neighbour connected.
    Accepted(Box<Accepted>),
    /// An attempt to connect came to an end.
    Dialled(Result<TcpStream, ConnectError>),
    /// A timer is due.
    Time,
    /// A socket has something for us, or room.
    Ready {
        /// Which one.
        slot: Slot,
        /// There is something to read.
        read: bool,
        /// There is room to write.
        write: bool,
    },
    /// The core answered a request for routes.
    Pulled(OutBatch),
    /// The core has routes.
    RoutesReady,
    /// The core took what had waited for room.
    Delivered,
}

impl Task {
    /// Waits for the next thing to happen. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Step {
        let deadline = [self.peer.poll_timeout(), self.publish_at];
        let deadline = deadline.into_iter().flatten().min();
        let reading = self.undelivered.is_none();
        let needs_core = self.undelivered.is_some() || self.wants_routes();
        // Made ahead, because the wait for room borrows the task.
        let mut request = (needs_core && self.undelivered.is_none()).then(|| self.request());
        tokio::select! {
            changed = self.desired.changed() => match changed {
                Ok(()) => Step::Desired,
                Err(_) => Step::HandleGone,
            },
            Some(connection) = self.accepted.recv() => Step::Accepted(connection),
            result = dialled(&mut self.dial) => Step::Dialled(result),
            () = self.clock.sleep_until(deadline) => Step::Time,
            step = ready(&self.outgoing, Slot::Outgoing, reading) => step,
            step = ready(&self.incoming, Slot::Incoming, reading) => step,
            batch = answer(&mut self.pull) => Step::Pulled(batch),
            () = self.ready.notified() => Step::RoutesReady,
            room = self.core.reserve(), if needs_core => {
                let Ok(room) = room else { return Step::CoreGone };
                if let Some(waiting) = self.undelivered.take() {
                    room.send(waiting);
                } else if let Some((request, Some(pull))) = request.take() {
                    room.send(request);
                    self.pull = Some(pull);
                    self.routes_ready = false;
                }
                Step::Delivered
            }
        }
    }
}

/// Waits until the socket can be read (if it shall be) or written (if it could not before).
async fn ready(socket: &Option<Socket>, slot: Slot, reading: bool) -> Step {
    let Some(Socket { stream, full, .. }) = socket else {
        return core::future::pending().await;
    };
    let interest = match (reading, full) {
        (true, true) => Interest::READABLE | Interest::WRITABLE,
        (true, false) => Interest::READABLE,
        (false, true) => Interest::WRITABLE,
        (false, false) => return core::future::pending().await,
    };
    // On an error, reading and writing will say what is wrong.
    let ready = stream.ready(interest).await;
    let (readable, writable) = ready.map_or((true, true), |ready| {
        (
            ready.is_readable() || ready.is_read_closed(),
            ready.is_writable() || ready.is_write_closed(),
        )
    });
    Step::Ready {
        slot,
        read: reading && readable,
        write: *full && writable,
    }
}

async fn dialled(dial: &mut Option<Dial>) -> Result<TcpStream, ConnectError> {
    match dial {
        Some(dial) => dial.await,
        None => core::future::pending().await,
    }
}

/// A core that drops the request has nothing to send.
async fn answer(pull: &mut Option<Pull>) -> OutBatch {
    match pull {
        Some(pull) => (&mut pull.reply).await.unwrap_or_default(),
        None => core::future::pending().await,
    }
}
