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

use super::{Fault, Status, Totals, UnderWay, files::Files, store::Written};
use crate::index::MrtLog;

/// Between two attempts where nothing can be written: more and more.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MOST: Duration = Duration::from_secs(30);

/// How long to wait where there is nothing to do.
const IDLE: Duration = Duration::from_secs(3600);

/// How far the records' times may be off before they are set right: the system's clock is also slewed.
const OFF: Duration = Duration::from_secs(1);

/// Octets that are kept in one piece, about. So many are not put off for more.
const AT_ONCE: usize = 1 << 20;

/// What others see of the thread's work.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) status: watch::Sender<Status>,
    pub(crate) totals: Totals,
    pub(crate) under_way: UnderWay,
}

/// What the thread has.
pub(crate) struct Writer {
    from: UpdateLogEnd,
    clock: Clock,
    /// When the clock began, as records are dated.
    epoch: Duration,
    files: Files,
    shown: Shown,
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
        shown: Shown,
    ) -> Self {
        let mut writer = Self {
            from,
            clock,
            epoch: Duration::ZERO,
            files: Files::new(spec, node),
            shown,
            waiting: VecDeque::new(),
            again: None,
            lost: 0,
            said: None,
        };
        writer.date(Duration::ZERO);
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
        self.from.give_up(lost);
        self.tell_end();
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
        self.shown.under_way.begin();
        let outcome = self.files.write(now, waiting, &mut written);
        self.shown.under_way.end();
        self.from.done(before - waiting.len());
        let files = self.files.begun - begun;
        self.shown.totals.add(files, written);
        self.date(if files > 0 { Duration::ZERO } else { OFF });
        let is_well = outcome.is_ok();
        self.publish(now, outcome.err());
        is_well
    }

    /// The tasks' clock knows no steps of the system's: sets the records' time right if it is off by more
    /// than that. Those that are made already keep theirs.
    fn date(&mut self, off: Duration) {
        let elapsed = Duration::from_nanos(self.clock.now().as_nanos());
        let now = Duration::try_from(Timestamp::now().as_duration()).unwrap_or_default();
        let epoch = now.saturating_sub(elapsed);
        if epoch.abs_diff(self.epoch) > off {
            self.epoch = epoch;
            self.from.set_epoch(epoch);
        }
    }

    fn publish(&self, now: Timestamp, fault: Option<Fault>) {
        self.shown.status.send_if_modified(|status| {
            let changed = status.fault != fault || status.stuck != self.files.stuck;
            if status.fault.is_some() != fault.is_some() {
                status.since = now;
            }
            status.fault = fault;
            status.stuck.clone_from(&self.files.stuck);
            status.file = self.files.name();
            changed
        });
    }

    /// Says how many records are lost that nothing was said of yet.
    fn tell_end(&self) {
        let lost = self.from.lost() - self.said.unwrap_or(self.lost);
        if lost > 0 {
            warn!(
                lost,
                reason = "log-behind",
                "the MRT log ends, and records are lost that could not be written until then"
            );
        }
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

#[cfg(test)]
mod tests {
    use redstart_bgp::net::UpdateLog;

    use super::*;

    #[test]
    fn records_are_dated_anew_after_a_step_of_the_clock() {
        let dir = tempfile::TempDir::new().unwrap();
        let (_log, end) = UpdateLog::new(1 << 20, false);
        let (status, _) = watch::channel(Status::new(Timestamp::now()));
        let shown = Shown {
            status,
            totals: Totals::default(),
            under_way: UnderWay::new(),
        };
        let spec = MrtLog {
            directory: dir.path().to_owned(),
            rotate: Duration::from_secs(900),
            max_file: 1 << 20,
            keep_files: 3,
            sent: false,
        };
        let mut writer = Writer::new(end, Clock::new(), (spec, "n1"), shown);
        writer.write();
        let right = writer.epoch;
        for (off, is_set_right) in [(5_000, true), (300, false)] {
            writer.epoch = right + Duration::from_millis(off);
            writer.write();
            let after = writer.epoch.abs_diff(right);
            assert_eq!(after < Duration::from_millis(200), is_set_right);
        }
        assert_eq!(writer.shown.totals.counts().files, 1);
    }
}
