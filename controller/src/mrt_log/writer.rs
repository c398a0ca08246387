//! The thread that writes.

use std::{
    collections::VecDeque,
    io, mem, thread,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use jiff::Timestamp;
use redstart_bgp::{
    mrt,
    net::{Clock, NoRecords, UpdateLogEnd},
};
use tokio::sync::{oneshot, watch};
use tracing::warn;

use super::{Fault, Status, files::Files, store::Written};
use crate::index::MrtLog;

/// Between two attempts where nothing can be written: more and more.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MOST: Duration = Duration::from_secs(30);

/// How long to wait where there is nothing to do.
const IDLE: Duration = Duration::from_secs(3600);

/// Octets that are kept in one piece, about. So many are not put off for more.
const AT_ONCE: usize = 1 << 20;

/// What the thread has.
pub(crate) struct Writer {
    from: UpdateLogEnd,
    clock: Clock,
    files: Files,
    status: watch::Sender<Status>,
    /// Records that are taken and not written, in pieces: none is moved to make room for others.
    waiting: VecDeque<BytesMut>,
    /// When to try again, and how long it was put off.
    again: Option<(Instant, Duration)>,
    /// Records whose loss was noticed.
    lost: u64,
    /// Records that had been lost when this was said last, while they go on being lost.
    said: Option<u64>,
}

impl Writer {
    pub(crate) fn new(
        from: UpdateLogEnd,
        clock: Clock,
        (spec, node): (MrtLog, &str),
        status: watch::Sender<Status>,
    ) -> Self {
        let writer = Self {
            from,
            clock,
            files: Files::new(spec, node),
            status,
            waiting: VecDeque::new(),
            again: None,
            lost: 0,
            said: None,
        };
        writer.date();
        writer
    }

    /// Starts the thread, which ends when the neighbours have let go of the log. `ended` is closed then.
    pub(crate) fn start(self, ended: oneshot::Sender<()>) -> io::Result<()> {
        let run = move || {
            self.run();
            drop(ended);
        };
        let thread = thread::Builder::new().name("mrt-log".to_owned());
        thread.spawn(run).map(drop)
    }

    fn run(mut self) {
        // A directory that is not there is said at once.
        self.write();
        while self.take() != Err(NoRecords::Over) {
            let is_due = self.again.is_none_or(|(at, _)| at <= Instant::now());
            if is_due && (self.again.is_some() || !self.waiting.is_empty()) {
                self.write();
            }
            self.tell_lost();
        }
        self.write();
        let count = |records: &BytesMut| mrt::whole(records, records.len()).1;
        let lost: u64 = self.waiting.iter().map(count).sum();
        if lost > 0 {
            self.from.give_up(lost);
            self.tell_lost();
        }
        self.files.let_go();
    }

    /// Waits for records and takes what there is.
    fn take(&mut self) -> Result<(), NoRecords> {
        let left = |(at, _): (Instant, _)| at.saturating_duration_since(Instant::now());
        let mut wait = self.again.map_or(IDLE, left);
        loop {
            match self.from.next(mem::take(&mut wait)) {
                Ok(records) => self.put_off(records.octets),
                Err(NoRecords::Yet) => return Ok(()),
                Err(NoRecords::Over) => return Err(NoRecords::Over),
            }
            if self.again.is_none() && self.waiting.len() > 1 {
                return Ok(());
            }
        }
    }

    fn put_off(&mut self, records: BytesMut) {
        let last = self.waiting.back_mut();
        match last.filter(|last| last.len() + records.len() <= AT_ONCE) {
            Some(last) => last.extend_from_slice(&records),
            None => self.waiting.push_back(records),
        }
    }

    fn write(&mut self) {
        let is_well = loop {
            let mut first = self.waiting.pop_front().unwrap_or_default();
            let is_well = self.write_some(&mut first);
            if !first.is_empty() {
                self.waiting.push_front(first);
            }
            if !is_well || self.waiting.is_empty() {
                break is_well;
            }
        };
        let pause = self.again.map(|(_, pause)| pause);
        self.again = (!is_well).then(|| {
            let pause = pause.map_or(RETRY, |pause| (pause * 2).min(RETRY_MOST));
            (Instant::now() + pause, pause)
        });
    }

    /// Writes as much as goes at once, for which there is room again then. Whether it went well.
    fn write_some(&mut self, waiting: &mut BytesMut) -> bool {
        let (now, begun, before) = (Timestamp::now(), self.files.begun, waiting.len());
        let mut written = Written::default();
        let outcome = self.files.write(now, waiting, &mut written);
        self.from.done(before - waiting.len());
        if self.files.begun != begun {
            self.date();
        }
        let is_well = outcome.is_ok();
        self.publish(now, outcome.err(), written);
        is_well
    }

    /// The tasks' clock knows no steps of the system's: each file begins with the right time.
    fn date(&self) {
        let elapsed = Duration::from_nanos(self.clock.now().as_nanos());
        let now = Duration::try_from(Timestamp::now().as_duration()).unwrap_or_default();
        self.from.set_epoch(now.saturating_sub(elapsed));
    }

    fn publish(&self, now: Timestamp, fault: Option<Fault>, written: Written) {
        self.status.send_if_modified(|status| {
            let changed = status.fault != fault || status.stuck != self.files.stuck;
            if status.fault.is_some() != fault.is_some() {
                status.since = now;
            }
            status.fault = fault;
            status.stuck.clone_from(&self.files.stuck);
            status.file = self.files.name();
            status.files = self.files.begun;
            status.records += written.records;
            status.octets += written.octets;
            changed
        });
    }

    /// Says once that records are lost, and once how many it were.
    fn tell_lost(&mut self) {
        let before = mem::replace(&mut self.lost, self.from.lost());
        match self.said {
            None if self.lost > before => {
                self.said = Some(before);
                warn!(
                    reason = "log-behind",
                    "records of the MRT log are lost: they come faster than they can be written"
                );
            }
            Some(said) if self.lost == before && self.waiting.is_empty() => {
                let lost = self.lost - said;
                warn!(lost, reason = "log-behind", "the MRT log keeps up again");
                self.said = None;
            }
            _ => {}
        }
    }
}
