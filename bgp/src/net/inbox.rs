//! What is left for a neighbour's task: what its handle desires, and connections that were accepted.
//!
//! One place, and no channel of its own for each: an empty channel takes more than a neighbour's state in the
//! engine.

use core::mem;
use std::sync::{Arc, Weak};

use tokio::sync::watch;

use super::{handle::Desired, range::Accepted};

/// Accepted connections that may wait for the task to look.
const STREAMS: usize = 4;

/// What is there.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) desired: Arc<Desired>,
    /// The handle is gone.
    pub(super) is_over: bool,
    accepted: Vec<Accepted>,
}

/// Where something can be left, and taken.
#[derive(Clone, Debug)]
pub(super) struct Inbox(Arc<watch::Sender<Content>>);

/// Where a listener can leave connections, as long as there is the handle or the task.
#[derive(Debug)]
pub(super) struct Door(Weak<watch::Sender<Content>>);

impl Door {
    /// See [`Inbox::offer`].
    pub(super) fn offer(&self, connection: Accepted) -> bool {
        let inbox = self.0.upgrade().map(Inbox);
        inbox.is_some_and(|inbox| inbox.offer(connection))
    }
}

impl Inbox {
    /// With what tells the task that there is something new.
    pub(super) fn new(desired: Desired) -> (Self, watch::Receiver<Content>) {
        let (content, news) = watch::channel(Content {
            desired: Arc::new(desired),
            is_over: false,
            accepted: Vec::new(),
        });
        (Self(Arc::new(content)), news)
    }

    /// Changes what is desired.
    pub(super) fn modify(&self, change: impl FnOnce(&mut Desired)) {
        self.0
            .send_modify(|content| change(Arc::make_mut(&mut content.desired)));
    }

    /// The same, where that returns whether it has changed anything.
    pub(super) fn modify_if(&self, change: impl FnOnce(&mut Arc<Desired>) -> bool) {
        self.0
            .send_if_modified(|content| change(&mut content.desired));
    }

    /// Nobody desires anything any more.
    pub(super) fn close(&self) {
        self.0.send_modify(|content| content.is_over = true);
    }

    /// Leaves a connection, unless several wait already, or the task is gone: then it is closed.
    pub(super) fn offer(&self, connection: Accepted) -> bool {
        let mut connection = Some(connection);
        !self.0.is_closed()
            && self.0.send_if_modified(|content| {
                let is_room = content.accepted.len() < STREAMS;
                if is_room {
                    content.accepted.extend(connection.take());
                }
                is_room
            })
    }

    pub(super) fn door(&self) -> Door {
        Door(Arc::downgrade(&self.0))
    }

    /// The connections that were left.
    pub(super) fn accepted(&self) -> Vec<Accepted> {
        let mut accepted = Vec::new();
        self.0.send_if_modified(|content| {
            accepted = mem::take(&mut content.accepted);
            false
        });
        accepted
    }
}
