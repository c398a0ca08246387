//! The octets of a neighbour's connections as they are, for somebody who wants to see them: a capture.
//!
//! A copy, in the portions in which they were read and written; a message may lie across two of them. It
//! begins where a message begins, whatever was under way. Looking makes nobody wait: what was not taken is
//! bounded, and whoever falls behind that hears no more, rather than something with a hole in it.

use core::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};

use crate::time::Instant;

/// Portions that may wait to be taken. None is larger than what is read or written at once, at most 64 KiB.
pub(super) const PORTIONS: usize = 128;

/// Something that went over a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// When.
    pub at: Instant,
    /// Our end of the connection.
    pub local: SocketAddr,
    /// The neighbour's end.
    pub remote: SocketAddr,
    /// What.
    pub what: Passing,
}

/// What went over a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passing {
    /// Nothing yet: the connection is new.
    Opened,
    /// Octets of the neighbour.
    Received(Bytes),
    /// Octets of ours, given to the kernel.
    Sent(Bytes),
}

/// Where a neighbour's task puts the copy.
#[derive(Clone, Debug)]
pub(super) struct Tap {
    to: mpsc::Sender<Passed>,
    over: Arc<Notify>,
}

/// Where somebody takes it.
#[derive(Debug)]
pub struct Onlooker {
    passed: mpsc::Receiver<Passed>,
    over: Arc<Notify>,
}

impl Tap {
    pub(super) fn new() -> (Self, Onlooker) {
        let (to, passed) = mpsc::channel(PORTIONS);
        let over = Arc::new(Notify::new());
        let tap = Self {
            to,
            over: over.clone(),
        };
        (tap, Onlooker { passed, over })
    }

    /// Whether somebody looks.
    pub(super) fn is_open(&self) -> bool {
        !self.to.is_closed()
    }

    /// Passes it on. `false`: there is no room, and nothing must be passed after that.
    pub(super) fn pass(&self, passed: Passed) -> bool {
        let taken = self.to.try_send(passed).is_ok();
        if !taken {
            self.over.notify_one();
        }
        taken
    }
}

/// Two are the same if they lead to the same place.
impl PartialEq for Tap {
    fn eq(&self, other: &Self) -> bool {
        self.to.same_channel(&other.to)
    }
}

impl Eq for Tap {}

impl Onlooker {
    /// What passed next. Nothing where the neighbour is no more, and after what was there when it was too
    /// much.
    pub async fn next(&mut self) -> Option<Passed> {
        tokio::select! {
            biased;
            passed = self.passed.recv() => passed,
            () = self.over.notified() => None,
        }
    }
}
