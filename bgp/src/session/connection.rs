//! One slot: a state with its data inside.
//!
//! The states of RFC 4271 section 8.2.2 as far as they belong to one TCP connection. What a state
//! does not have cannot be used: only OpenConfirm and Established hold a [`Negotiated`].

use core::{mem, time::Duration};
use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;

use crate::{
    jitter::Jitter,
    time::Instant,
    wire::{Capability, Codec, Framer, Message, MessageType, Notification, Open, Update},
};

use super::{
    batch::Announced,
    negotiate::Negotiated,
    outbox::Outbox,
    refresh::Refresh,
    state::{Slot, State},
    status::Counters,
};

/// "A HoldTimer value of 4 minutes is suggested" while the neighbour's OPEN is awaited (RFC 4271
/// section 8.2.2).
pub(super) const OPEN_HOLD: Duration = Duration::from_secs(240);

/// The SendHoldTimer runs eight minutes, or twice the hold time if that is longer (RFC 9687 section
/// 6).
pub(super) const SEND_HOLD: Duration = Duration::from_secs(480);

/// "KEEPALIVE messages MUST NOT be sent more frequently than one per second" (RFC 4271 section 4.4).
const MIN_KEEPALIVE: Duration = Duration::from_secs(1);

/// KEEPALIVEs are due at multiples of this: of hundreds of sessions many are sent each time that the processor
/// is woken.
const KEEPALIVES_TOGETHER: Duration = Duration::from_millis(200);

/// Where the header has the type of a message (RFC 4271 section 4.1).
const TYPE_AT: usize = 18;

/// Why there is no next message.
#[derive(Debug)]
pub(super) struct Unreadable {
    /// What to tell the neighbour.
    pub(super) notification: Notification,
    /// The message; empty where the stream has lost its boundaries.
    pub(super) message: Bytes,
}

/// One TCP connection and its buffers.
#[derive(Debug)]
pub(super) struct Link {
    /// Who dialled. The slot says the same, unless an Established connection had to make room.
    pub(super) origin: Slot,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) framer: Framer,
    pub(super) outbox: Outbox,
    /// The connection is broken, and only what the neighbour said of that counts.
    pub(super) broken: bool,
}

impl Link {
    pub(super) fn new(origin: Slot, local: SocketAddr, remote: SocketAddr) -> Self {
        Self {
            origin,
            local,
            remote,
            framer: Framer::new(),
            outbox: Outbox::new(Some(SEND_HOLD)),
            broken: false,
        }
    }

    /// Queues a message ahead of all UPDATEs.
    pub(super) fn send(
        &mut self,
        now: Instant,
        codec: &Codec,
        message: &Message,
        sent: &mut Counters,
    ) {
        codec.encode(message, self.outbox.control());
        self.outbox.arm(now);
        sent.count(message.kind());
    }
}

/// The TCP connection is up, and we wait a little for the neighbour's OPEN before we send ours: Connect
/// or Active with the DelayOpenTimer running (RFC 4271 section 8.2.2).
#[derive(Debug)]
pub(super) struct Delayed {
    pub(super) link: Link,
    /// The DelayOpenTimer.
    pub(super) until: Instant,
}

/// Our OPEN is out.
#[derive(Debug)]
pub(super) struct OpenSent {
    pub(super) link: Link,
    pub(super) ours: Open,
    /// Since when the neighbour could have answered: our OPEN went out then, or that of a connection
    /// before this one that was as silent.
    pub(super) since: Instant,
    pub(super) hold: Instant,
}

/// The OPENs agree.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) link: Link,
    pub(super) negotiated: Arc<Negotiated>,
    /// How the neighbour's messages look.
    receive: Codec,
    /// `None`: the hold time is zero.
    pub(super) hold: Option<Instant>,
    pub(super) keepalive: Option<Instant>,
    /// Routes that wait for others with the same attributes to fill a message with.
    pub(super) held: Option<Announced>,
}

impl Session {
    /// Moves a connection to OpenConfirm. The caller sends the KEEPALIVE that acknowledges the OPEN.
    pub(super) fn confirm(
        mut link: Link,
        negotiated: Negotiated,
        send_hold_time: Option<Duration>,
        now: Instant,
        jitter: &mut Jitter,
    ) -> Self {
        // "By advertising the BGP Extended Message Capability to a peer, a BGP speaker conveys that it is
        // able to receive and properly handle BGP Extended Messages" (RFC 8654 section 3): whether
        // or not the peer advertises it too. What we send goes by both.
        let mut receive = negotiated.codec;
        receive.extended_messages = negotiated
            .local_capabilities
            .contains(&Capability::ExtendedMessage);
        link.framer.set_extended(receive.extended_messages);
        link.outbox
            .set_send_hold(send_hold(negotiated.hold_time, send_hold_time));
        let mut session = Self {
            link,
            negotiated: Arc::new(negotiated),
            receive,
            hold: None,
            keepalive: None,
            held: None,
        };
        session.restart_hold(now);
        session.restart_keepalive(now, jitter);
        session
    }

    pub(super) fn restart_hold(&mut self, now: Instant) {
        let hold_time = self.negotiated.hold_time;
        self.hold = (!hold_time.is_zero()).then(|| now + hold_time);
    }

    pub(super) fn restart_keepalive(&mut self, now: Instant, jitter: &mut Jitter) {
        let interval = self.negotiated.keepalive;
        self.keepalive = (!interval.is_zero()).then(|| due(now, interval, jitter.apply(interval)));
    }
}

/// When a KEEPALIVE is due, of which RFC 4271 section 10 wants that it is after three quarters of the interval
/// at the earliest.
fn due(now: Instant, interval: Duration, jittered: Duration) -> Instant {
    let at = now + jittered.max(MIN_KEEPALIVE);
    let latest = now + interval.max(MIN_KEEPALIVE);
    // One of them is in the last quarter of an interval, but where that is a second, the least that may be.
    at.round_up(KEEPALIVES_TOGETHER)
        .min(latest.round_down(KEEPALIVES_TOGETHER))
        .max(now + MIN_KEEPALIVE)
}

/// The SendHoldTime of a session. None where the hold time is zero: "the SendHoldTimer is stopped"
/// (RFC 9687 section 4.3).
pub(super) fn send_hold(hold_time: Duration, configured: Option<Duration>) -> Option<Duration> {
    // Section 4.4: it must be greater than the hold time.
    let configured = configured.map(|time| time.max(hold_time + Duration::from_secs(1)));
    (!hold_time.is_zero()).then(|| configured.unwrap_or_else(|| SEND_HOLD.max(hold_time * 2)))
}

/// Routes flow.
#[derive(Debug)]
pub(super) struct Established {
    pub(super) session: Session,
    pub(super) since: Instant,
    pub(super) refresh: Refresh,
}

/// One slot.
#[derive(Debug, Default)]
pub(super) enum Connection {
    /// Free.
    #[default]
    Idle,
    /// The driver dials; give up at the deadline. [`super::Slot::Outgoing`] only.
    Connecting { deadline: Instant },
    /// The TCP connection is up; our OPEN is not out yet.
    Delayed(Box<Delayed>),
    /// Waiting for the neighbour's OPEN.
    OpenSent(Box<OpenSent>),
    /// Waiting for the neighbour's first KEEPALIVE.
    OpenConfirm(Box<Session>),
    /// A session.
    Established(Box<Established>),
}

impl Connection {
    pub(super) fn take(&mut self) -> Self {
        mem::take(self)
    }

    pub(super) const fn is_idle(&self) -> bool {
        matches!(self, Self::Idle)
    }

    /// The state as operators know it, if the slot is in use.
    pub(super) fn state(&self) -> Option<State> {
        match self {
            Self::Idle => None,
            Self::Connecting { .. } => Some(State::Connect),
            Self::Delayed(delayed) => Some(match delayed.link.origin {
                Slot::Outgoing => State::Connect,
                Slot::Incoming => State::Active,
            }),
            Self::OpenSent(_) => Some(State::OpenSent),
            Self::OpenConfirm(_) => Some(State::OpenConfirm),
            Self::Established(_) => Some(State::Established),
        }
    }

    pub(super) fn link(&self) -> Option<&Link> {
        match self {
            Self::Idle | Self::Connecting { .. } => None,
            Self::Delayed(delayed) => Some(&delayed.link),
            Self::OpenSent(open) => Some(&open.link),
            Self::OpenConfirm(session) => Some(&session.link),
            Self::Established(established) => Some(&established.session.link),
        }
    }

    pub(super) fn link_mut(&mut self) -> Option<&mut Link> {
        match self {
            Self::Idle | Self::Connecting { .. } => None,
            Self::Delayed(delayed) => Some(&mut delayed.link),
            Self::OpenSent(open) => Some(&mut open.link),
            Self::OpenConfirm(session) => Some(&mut session.link),
            Self::Established(established) => Some(&mut established.session.link),
        }
    }

    pub(super) fn session(&self) -> Option<&Session> {
        match self {
            Self::OpenConfirm(session) => Some(session),
            Self::Established(established) => Some(&established.session),
            Self::Idle | Self::Connecting { .. } | Self::Delayed(_) | Self::OpenSent(_) => None,
        }
    }

    pub(super) fn session_mut(&mut self) -> Option<&mut Session> {
        match self {
            Self::OpenConfirm(session) => Some(session),
            Self::Established(established) => Some(&mut established.session),
            Self::Idle | Self::Connecting { .. } | Self::Delayed(_) | Self::OpenSent(_) => None,
        }
    }

    pub(super) fn established(&self) -> Option<&Established> {
        match self {
            Self::Established(established) => Some(established),
            _ => None,
        }
    }

    pub(super) fn established_mut(&mut self) -> Option<&mut Established> {
        match self {
            Self::Established(established) => Some(established),
            _ => None,
        }
    }

    /// Since when the neighbour has our OPEN and said nothing.
    pub(super) fn silent_since(&self) -> Option<Instant> {
        match self {
            Self::OpenSent(open) => Some(open.since),
            _ => None,
        }
    }

    /// The HoldTimer.
    pub(super) fn hold(&self) -> Option<Instant> {
        match self {
            Self::OpenSent(open) => Some(open.hold),
            other => other.session().and_then(|session| session.hold),
        }
    }

    /// How our messages on this connection look now.
    pub(super) fn codec(&self) -> Codec {
        self.session()
            .map_or_else(Codec::default, |session| session.negotiated.codec)
    }

    /// How the neighbour's messages on this connection look now.
    pub(super) fn receive_codec(&self) -> Codec {
        self.session()
            .map_or_else(Codec::default, |session| session.receive)
    }

    /// The next whole message that arrived, as it is.
    pub(super) fn next_message(&mut self) -> Result<Option<Bytes>, Unreadable> {
        let Some(link) = self.link_mut() else {
            return Ok(None);
        };
        link.framer.next().map_err(|notification| Unreadable {
            notification,
            message: Bytes::new(),
        })
    }

    /// Whether a message that arrived is an UPDATE of a session.
    pub(super) fn reads_updates(&self, message: &[u8]) -> bool {
        is_update(message) && self.established().is_some()
    }

    /// What another message says that arrived.
    pub(super) fn read(&self, bytes: &Bytes) -> Result<Message, Unreadable> {
        // Before there is a session nothing is known of how an UPDATE looks. It is refused for coming
        // at all, whatever is in it (RFC 4271 section 8.2.2, events 27 and 28).
        if is_update(bytes) {
            return Ok(Message::Update(Update::default()));
        }
        let unreadable = |notification| Unreadable {
            notification,
            message: bytes.clone(),
        };
        self.receive_codec().decode(bytes).map_err(unreadable)
    }

    /// When this slot next needs `handle_timeout`.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let (a, b) = match self {
            Self::Idle => return None,
            Self::Connecting { deadline } => return Some(*deadline),
            Self::Delayed(delayed) => (Some(delayed.until), None),
            Self::OpenSent(open) => (Some(open.hold), None),
            Self::OpenConfirm(session) => (session.hold, session.keepalive),
            Self::Established(established) => {
                (established.session.hold, established.session.keepalive)
            }
        };
        let send_hold = self.link().and_then(|link| link.outbox.deadline());
        let refresh = self.established().and_then(|e| e.refresh.deadline());
        [a, b, send_hold, refresh].into_iter().flatten().min()
    }

    /// The last octets for the socket: see [`Outbox::farewell`].
    pub(super) fn farewell(self, notification: Option<&Notification>) -> Bytes {
        let codec = self.codec();
        let link = match self {
            Self::Idle | Self::Connecting { .. } => return Bytes::new(),
            Self::Delayed(delayed) => delayed.link,
            Self::OpenSent(open) => open.link,
            Self::OpenConfirm(session) => session.link,
            Self::Established(established) => established.session.link,
        };
        let last = notification.map(|notification| {
            let mut bytes = bytes::BytesMut::new();
            codec.encode(&Message::Notification(notification.clone()), &mut bytes);
            bytes
        });
        link.outbox.farewell(last.as_deref())
    }
}

fn is_update(message: &[u8]) -> bool {
    message.get(TYPE_AT) == Some(&MessageType::Update.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keepalives_are_due_together_within_the_last_quarter_of_their_intervals() {
        for hold_time in [3, 4, 5, 6, 7, 9, 90, 65_535] {
            let interval = Duration::from_secs(hold_time) / 3;
            for milliseconds in 0..400 {
                let now = Instant::ZERO + Duration::from_millis(1_000_000 + milliseconds);
                for percent in [75, 80, 92, 100] {
                    let at = due(now, interval, interval * percent / 100);
                    let pause = at - now;
                    assert!(
                        pause <= interval.max(MIN_KEEPALIVE),
                        "{hold_time} {pause:?}"
                    );
                    assert!(pause >= interval * 3 / 4 && pause >= MIN_KEEPALIVE);
                    let nanos = u64::try_from(KEEPALIVES_TOGETHER.as_nanos()).unwrap();
                    assert!(hold_time == 3 || at.as_nanos().is_multiple_of(nanos));
                }
            }
        }
    }
}
