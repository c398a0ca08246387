//! What can happen to a neighbour's task, and waiting for it.

use core::{
    future::poll_fn,
    task::{Context, Poll},
};

use tokio::net::TcpStream;

use crate::session::{ConnectError, OutBatch, Slot};

use super::{Dial, Pull, Socket, Task};

/// One thing that happened.
pub(super) enum Step {
    /// There is something new in the inbox.
    News,
    /// Nobody takes events any more.
    CoreGone,
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

impl Task<'_> {
    /// Waits for the next thing to happen. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Step {
        let deadline = [self.peer.poll_timeout(), self.publish_at];
        let deadline = deadline.into_iter().flatten().min();
        let reading = self.undelivered.is_none();
        let needs_core = self.undelivered.is_some() || self.wants_routes();
        tokio::select! {
            // The other end of it is in `ends`, so it is never closed.
            Ok(()) = self.ends.news.changed() => Step::News,
            result = dialled(&mut self.dial) => Step::Dialled(result),
            () = self.clock.sleep_until(deadline) => Step::Time,
            step = poll_fn(|it| poll_ready(it, &self.outgoing, Slot::Outgoing, reading)) => step,
            step = poll_fn(|it| poll_ready(it, &self.incoming, Slot::Incoming, reading)) => step,
            batch = answer(&mut self.pull) => Step::Pulled(batch),
            () = self.ends.ready.notified() => Step::RoutesReady,
            room = self.ends.core.reserve(), if needs_core => {
                let Ok(room) = room else { return Step::CoreGone };
                if let Some(waiting) = self.undelivered.take() {
                    room.send(*waiting);
                } else if let (request, Some(pull)) = self.request() {
                    room.send(request);
                    self.pull = Some(pull);
                    self.routes_ready = false;
                }
                Step::Delivered
            }
        }
    }
}

/// Whether the socket can be read (if it shall be) or written (if it could not before).
fn poll_ready(
    context: &mut Context<'_>,
    socket: &Option<Socket>,
    slot: Slot,
    reading: bool,
) -> Poll<Step> {
    let Some(Socket { stream, full, .. }) = socket else {
        return Poll::Pending;
    };
    // On an error, reading and writing will say what is wrong.
    let read = reading && stream.poll_read_ready(context).is_ready();
    let write = *full && stream.poll_write_ready(context).is_ready();
    if read || write {
        Poll::Ready(Step::Ready { slot, read, write })
    } else {
        Poll::Pending
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
