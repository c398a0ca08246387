//! What is left for a neighbour's task: what its handle desires, and connections that were accepted.
//!
//! One place, and no channel of its own for each: an empty channel takes more than a neighbour's state in the
//! engine.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

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
    accepted: VecDeque<Accepted>,
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
            accepted: VecDeque::new(),
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
                let is_room = !content.is_over && content.accepted.len() < STREAMS;
                if is_room {
                    content.accepted.extend(connection.take());
                }
                is_room
            })
    }

    pub(super) fn door(&self) -> Door {
        Door(Arc::downgrade(&self.0))
    }

    /// Of the connections that were left the first.
    pub(super) fn next_accepted(&self) -> Option<Accepted> {
        let mut first = None;
        self.0.send_if_modified(|content| {
            first = content.accepted.pop_front();
            false
        });
        first
    }
}

impl Content {
    /// Whether connections wait.
    pub(super) fn has_accepted(&self) -> bool {
        !self.accepted.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::{
        net::Transport,
        session::{PeerConfig, RemoteAs, StopReason},
        types::{Asn, RouterId},
    };

    fn desired() -> Desired {
        let session = PeerConfig::new(Asn(1), RemoteAs::Number(Asn(2)), RouterId::from_u32(1));
        Desired {
            session,
            transport: Transport::new(([127, 0, 0, 1], 1).into()),
            stopped: false,
            stops: (0, StopReason::Shutdown(String::new())),
            restarts: (0, StopReason::Shutdown(String::new())),
            refreshes: [0; 2],
            tap: None,
            log: None,
        }
    }

    async fn connection(listener: &TcpListener) -> Accepted {
        let address = listener.local_addr().unwrap();
        let (dialled, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        drop(dialled);
        Accepted {
            stream: accepted.unwrap().0,
            under: (&desired().transport).into(),
        }
    }

    #[tokio::test]
    async fn some_connections_wait_and_more_are_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (inbox, mut news) = Inbox::new(desired());
        let door = inbox.door();
        for n in 0..STREAMS + 2 {
            assert_eq!(door.offer(connection(&listener).await), n < STREAMS);
        }
        assert!(news.has_changed().unwrap());
        for left in (0..STREAMS).rev() {
            assert!(inbox.next_accepted().is_some());
            assert_eq!(news.borrow_and_update().has_accepted(), left > 0);
        }
        assert!(inbox.next_accepted().is_none());
        inbox.close();
        assert!(
            !door.offer(connection(&listener).await),
            "the handle is gone"
        );
    }

    #[tokio::test]
    async fn nobody_waits_for_a_task_that_is_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (inbox, news) = Inbox::new(desired());
        let door = inbox.door();
        drop(news);
        assert!(!door.offer(connection(&listener).await));
        drop(inbox);
        assert!(!door.offer(connection(&listener).await));
    }
}
