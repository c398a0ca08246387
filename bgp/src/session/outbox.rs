//! Bytes on their way to the socket, in the right order.
//!
//! A full table may be queued when a KEEPALIVE is due, and it must not wait for the table: the
//! neighbour's hold timer runs. So UPDATEs wait in a queue of their own and move to the wire buffer
//! in small portions of whole messages, whenever the wire buffer is empty. A control message joins
//! the wire buffer directly, behind one portion at most.
//!
//! The outbox also measures progress for the SendHoldTimer (RFC 9687): a session whose other end takes
//! nothing of what there is to send must end, however alive it looks in the other direction.

use core::time::Duration;

use bytes::{Buf, Bytes, BytesMut};

use crate::time::Instant;

/// How many octets of UPDATEs may be ahead of a control message: a few socket writes.
const PORTION: usize = 32 * 1024;

/// Length of the fixed header, and where its length field lies (RFC 4271 section 4.1).
const HEADER: usize = 19;
const LENGTH_AT: usize = 16;

/// The two queues of one connection.
#[derive(Debug)]
pub(super) struct Outbox {
    wire: BytesMut,
    /// How many octets of `wire` complete the message whose start is already written.
    torn: usize,
    updates: BytesMut,
    /// `None`: the SendHoldTimer does not run.
    send_hold: Option<Duration>,
    deadline: Option<Instant>,
}

impl Outbox {
    pub(super) fn new(send_hold: Option<Duration>) -> Self {
        Self {
            wire: BytesMut::new(),
            torn: 0,
            updates: BytesMut::new(),
            send_hold,
            deadline: None,
        }
    }

    /// Changes the SendHoldTime. A timer that runs goes on as it was, unless there is none any more.
    pub(super) fn set_send_hold(&mut self, send_hold: Option<Duration>) {
        self.send_hold = send_hold;
        self.deadline = self.deadline.filter(|_| send_hold.is_some());
    }

    /// Where control messages are appended. Call [`Outbox::arm`] afterwards.
    pub(super) fn control(&mut self) -> &mut BytesMut {
        &mut self.wire
    }

    /// Where UPDATEs are appended. Call [`Outbox::arm`] afterwards.
    pub(super) fn updates(&mut self) -> &mut BytesMut {
        &mut self.updates
    }

    /// Starts the SendHoldTimer if there is something to send and it does not run.
    pub(super) fn arm(&mut self, now: Instant) {
        if self.deadline.is_none() && !self.is_empty() {
            self.deadline = self.send_hold.map(|send_hold| now + send_hold);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.wire.is_empty() && self.updates.is_empty()
    }

    /// Octets in both queues.
    pub(super) fn len(&self) -> usize {
        self.wire.len() + self.updates.len()
    }

    /// Octets that are left to write of a message that has begun.
    pub(super) const fn torn(&self) -> usize {
        self.torn
    }

    /// When the neighbour must have taken something.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// What to write next.
    pub(super) fn pending(&mut self) -> &[u8] {
        if self.wire.is_empty() && !self.updates.is_empty() {
            let portion = whole_messages(&self.updates, PORTION);
            self.wire = self.updates.split_to(portion);
        }
        &self.wire
    }

    /// The messages that begin within the next `n` octets of what [`Outbox::pending`] showed.
    pub(super) fn begun(&self, n: usize) -> impl Iterator<Item = &[u8]> {
        let mut at = self.torn;
        core::iter::from_fn(move || {
            let rest = self.wire.get(at..).filter(|_| at < n)?;
            let message = rest.get(..message_len(rest))?;
            at += message.len();
            Some(message)
        })
    }

    /// The socket took `n` octets of what [`Outbox::pending`] showed.
    pub(super) fn wrote(&mut self, now: Instant, n: usize) {
        let n = n.min(self.wire.len());
        if n == 0 {
            return;
        }
        self.torn = if n < self.torn {
            self.torn - n
        } else {
            torn_after(
                self.wire.get(self.torn..).unwrap_or_default(),
                n - self.torn,
            )
        };
        self.wire.advance(n);
        self.deadline = None;
        self.arm(now);
    }

    /// The last octets of this connection: the rest of a torn message, so that the neighbour stays in
    /// step, then `last`. Everything else that waited is dropped.
    pub(super) fn farewell(mut self, last: Option<&[u8]>) -> Bytes {
        let Some(last) = last else {
            return Bytes::new();
        };
        self.wire.truncate(self.torn);
        self.wire.extend_from_slice(last);
        self.wire.freeze()
    }
}

/// The length of the message that starts `bytes`; at least a header, so that a walk always advances.
fn message_len(bytes: &[u8]) -> usize {
    match bytes.get(LENGTH_AT..LENGTH_AT + 2) {
        Some(&[hi, lo]) => usize::from(u16::from_be_bytes([hi, lo])).max(HEADER),
        _ => bytes.len().max(HEADER),
    }
}

/// The octets of as many whole messages as fit in `limit`, but at least one.
fn whole_messages(bytes: &[u8], limit: usize) -> usize {
    let mut end = 0;
    while let Some(rest) = bytes.get(end..).filter(|rest| !rest.is_empty()) {
        let next = end + message_len(rest);
        if end > 0 && next > limit {
            break;
        }
        end = next.min(bytes.len());
    }
    end
}

/// With `n` octets of `messages` written: how many octets complete the last message begun.
fn torn_after(messages: &[u8], n: usize) -> usize {
    let mut end = 0;
    while end < n {
        let Some(rest) = messages.get(end..) else {
            return 0;
        };
        end += message_len(rest);
    }
    end - n
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::ZERO;
    const HOLD: Duration = Duration::from_secs(480);
    const SEND_HOLD: Option<Duration> = Some(HOLD);

    fn message(len: u16, fill: u8) -> Vec<u8> {
        let mut m = vec![fill; usize::from(len)];
        m[LENGTH_AT..LENGTH_AT + 2].copy_from_slice(&len.to_be_bytes());
        m
    }

    #[test]
    fn control_overtakes_queued_updates_but_never_splits_a_message() {
        let mut outbox = Outbox::new(SEND_HOLD);
        for _ in 0..30 {
            outbox.updates().extend_from_slice(&message(4000, 2));
        }
        assert_eq!(outbox.pending().len(), 8 * 4000);
        outbox.wrote(NOW, 5000);
        outbox.control().extend_from_slice(&message(19, 4));
        assert_eq!(outbox.pending().len(), 27_000 + 19);
        outbox.wrote(NOW, 27_019);
        assert_eq!(outbox.pending()[18], 2);
        assert_eq!(outbox.len(), 22 * 4000);
    }

    #[test]
    fn a_message_begins_once_in_whatever_portions_it_is_written() {
        let mut outbox = Outbox::new(SEND_HOLD);
        for fill in 1..=3 {
            outbox.updates().extend_from_slice(&message(100, fill));
        }
        outbox.pending();
        let mut begun = Vec::new();
        for n in [30, 70, 0, 1, 150, 49] {
            begun.push(outbox.begun(n).map(|m| (m[0], m.len())).collect::<Vec<_>>());
            outbox.wrote(NOW, n);
        }
        assert!(outbox.is_empty());
        let nothing = Vec::new;
        let expected = [
            vec![(1, 100)],
            nothing(),
            nothing(),
            vec![(2, 100)],
            vec![(3, 100)],
            nothing(),
        ];
        assert_eq!(begun, expected);
    }

    #[test]
    fn farewell_completes_the_torn_message_and_drops_the_rest() {
        let mut outbox = Outbox::new(SEND_HOLD);
        for fill in 1..=3 {
            outbox.updates().extend_from_slice(&message(100, fill));
        }
        outbox.pending();
        outbox.wrote(NOW, 30);
        outbox.wrote(NOW, 120);
        let bytes = outbox.farewell(Some(&message(21, 9)));
        assert_eq!(bytes.len(), 50 + 21);
        assert!(bytes[..50].iter().all(|b| *b == 2));
        assert_eq!(bytes[50], 9);
    }

    #[test]
    fn farewell_without_a_torn_message_is_the_notification_alone() {
        let mut outbox = Outbox::new(SEND_HOLD);
        outbox.control().extend_from_slice(&message(50, 1));
        assert_eq!(outbox.farewell(Some(&message(21, 9))).len(), 21);
        assert!(Outbox::new(SEND_HOLD).farewell(None).is_empty());
    }

    #[test]
    fn progress_moves_the_send_hold_deadline() {
        let mut outbox = Outbox::new(SEND_HOLD);
        outbox.arm(NOW);
        assert_eq!(outbox.deadline(), None);
        outbox.control().extend_from_slice(&message(40, 1));
        outbox.arm(NOW);
        assert_eq!(outbox.deadline(), Some(NOW + HOLD));
        let later = NOW + Duration::from_secs(9);
        outbox.arm(later);
        assert_eq!(outbox.deadline(), Some(NOW + HOLD));
        outbox.wrote(later, 1);
        assert_eq!(outbox.deadline(), Some(later + HOLD));
        outbox.wrote(later, 39);
        assert_eq!(outbox.deadline(), None);
    }

    #[test]
    fn without_a_send_hold_time_there_is_no_deadline() {
        let mut outbox = Outbox::new(SEND_HOLD);
        outbox.control().extend_from_slice(&message(40, 1));
        outbox.arm(NOW);
        outbox.set_send_hold(None);
        assert_eq!(outbox.deadline(), None);
        outbox.arm(NOW);
        assert_eq!(outbox.deadline(), None);
    }
}
