//! Views of a neighbour for the CLI, metrics and Kubernetes status.

use core::time::Duration;
use std::sync::{Arc, LazyLock};

use crate::{
    time::Instant,
    wire::{MessageType, Notification},
};

use super::{
    negotiate::Negotiated,
    reason::DownReason,
    state::{Slot, State},
};

/// Messages in one direction, since the neighbour was configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// OPEN.
    pub open: u64,
    /// UPDATE.
    pub update: u64,
    /// NOTIFICATION.
    pub notification: u64,
    /// KEEPALIVE.
    pub keepalive: u64,
    /// ROUTE-REFRESH.
    pub route_refresh: u64,
}

impl Counters {
    /// All messages.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.open + self.update + self.notification + self.keepalive + self.route_refresh
    }

    /// Each type by its name.
    pub fn by_type(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("open", self.open),
            ("update", self.update),
            ("notification", self.notification),
            ("keepalive", self.keepalive),
            ("route-refresh", self.route_refresh),
        ]
        .into_iter()
    }

    pub(super) const fn count(&mut self, kind: MessageType) {
        let counter = match kind {
            MessageType::Open => &mut self.open,
            MessageType::Update => &mut self.update,
            MessageType::Notification => &mut self.notification,
            MessageType::Keepalive => &mut self.keepalive,
            MessageType::RouteRefresh => &mut self.route_refresh,
        };
        *counter += 1;
    }
}

/// The last errors, each with its time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastErrors {
    /// Why the last attempt or session ended.
    pub down: Option<(Instant, DownReason)>,
    /// The last NOTIFICATION that we sent.
    pub sent: Option<(Instant, Notification)>,
    /// The last NOTIFICATION that we received.
    pub received: Option<(Instant, Notification)>,
}

impl LastErrors {
    /// That there was none: the same for all neighbours.
    pub(super) fn none() -> Arc<Self> {
        static NONE: LazyLock<Arc<LastErrors>> = LazyLock::new(Arc::default);
        Arc::clone(&NONE)
    }
}

/// Time left on each timer that runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timers {
    /// HoldTimer.
    pub hold: Option<Duration>,
    /// KeepaliveTimer.
    pub keepalive: Option<Duration>,
    /// ConnectRetryTimer.
    pub connect_retry: Option<Duration>,
    /// DelayOpenTimer.
    pub delay_open: Option<Duration>,
    /// IdleHoldTimer.
    pub idle_hold: Option<Duration>,
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// When it was taken.
    pub at: Instant,
    /// The state.
    pub state: State,
    /// Stopped by [`super::Peer::stop`].
    pub stopped: bool,
    /// Who dialled the connection that is furthest.
    pub origin: Option<Slot>,
    /// The session's parameters, from OpenConfirm on.
    pub negotiated: Option<Arc<Negotiated>>,
    /// Since when the session is Established.
    pub established_since: Option<Instant>,
    /// When the state last changed.
    pub state_since: Instant,
    /// How often a session was Established.
    pub established_count: u64,
    /// Timers.
    pub timers: Timers,
    /// Messages received.
    pub received: Counters,
    /// Messages sent.
    pub sent: Counters,
    /// Octets that wait to be sent.
    pub queued: usize,
    /// The last errors.
    pub errors: Arc<LastErrors>,
}
