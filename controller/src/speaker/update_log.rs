//! The core's side of the update log ([`crate::mrt_log`]): whether there is one, and what is wrong with it.

use std::{future, sync::Arc, time::Duration};

use jiff::Timestamp;
use redstart_bgp::net::{Clock, UpdateLog};
use tokio::{
    select,
    sync::{oneshot, watch},
    time::{Interval, MissedTickBehavior, interval, timeout},
};
use tracing::info;

use super::objects::log_difference;
use crate::{
    api::CONFIGURATION_NAME,
    compile::{DesiredState, NodeIdentity},
    diagnostic::{Diagnostic, Reason},
    index::{Kind, MrtLog},
    mrt_log::{Counts, Fault, ROOM, Shown, Status, Totals, UnderWay, Writer},
    object::ObjectRef,
};

/// How long the last records may take to be written.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// What is wrong where something is.
const FIELD: &str = "spec.mrt.directory";

/// A write that takes longer hangs.
const HANGS: Duration = Duration::from_secs(30);

/// How often to look for that.
const LOOK: Duration = Duration::from_secs(5);

/// The log, where there is one.
#[derive(Default)]
pub(super) struct Logging {
    running: Option<Running>,
    problems: Vec<Diagnostic>,
    /// Of all logs so far.
    totals: Totals,
}

struct Running {
    spec: MrtLog,
    node: String,
    log: UpdateLog,
    status: watch::Receiver<Status>,
    under_way: UnderWay,
    /// Whether a write hung when this was looked for last.
    hung: bool,
    look: Interval,
    /// Since when there is no thread, and why.
    gone: Option<(Timestamp, Fault)>,
    ended: oneshot::Receiver<()>,
}

impl Logging {
    /// Makes the log that of `desired`. Where the neighbours' records go.
    pub(super) fn apply(&mut self, desired: &DesiredState, clock: Clock) -> Option<UpdateLog> {
        let wanted = desired.mrt.as_ref().zip(desired.node.as_ref());
        let same = |it: &Running| {
            wanted.is_some_and(|(spec, node)| it.spec == *spec && it.node == node.name)
        };
        if !self.running.as_ref().is_some_and(same) {
            // The one before writes what it has, and ends when the neighbours have let go of it.
            let start = |(spec, node): (&MrtLog, &NodeIdentity)| {
                Running::start(spec, &node.name, clock, &self.totals)
            };
            self.running = wanted.map(start);
            self.follow();
        }
        Some(self.running.as_ref()?.log.clone())
    }

    /// Waits until something is, or is no longer, wrong with it, and takes note.
    pub(super) async fn changed(&mut self) {
        let Some(running) = &mut self.running else {
            return future::pending().await;
        };
        running.changed().await;
        self.follow();
    }

    fn follow(&mut self) {
        let problems = self.running.as_mut().map_or_else(Vec::new, |running| {
            running.status.mark_unchanged();
            running.problems()
        });
        log_difference(&self.problems, &problems);
        self.problems = problems;
    }

    pub(super) fn problems(&self) -> &[Diagnostic] {
        &self.problems
    }

    /// The log and how it is, with what all logs so far did.
    pub(super) fn view(&self) -> Option<(&MrtLog, Status, Counts)> {
        let running = self.running.as_ref()?;
        Some((&running.spec, running.status(), self.totals.counts()))
    }

    /// Has what there is written, if that can be done soon. The neighbours have let go of it.
    pub(super) async fn stop(&mut self) {
        if let Some(Running { log, ended, .. }) = self.running.take() {
            drop(log);
            let _ = timeout(STOP_TIMEOUT, ended).await;
        }
    }
}

impl Running {
    fn start(spec: &MrtLog, node: &str, clock: Clock, totals: &Totals) -> Self {
        info!(directory = %spec.directory.display(), "messages are logged");
        let (log, end) = UpdateLog::counted(ROOM, spec.sent, Arc::clone(&totals.lost));
        let (publish, status) = watch::channel(Status::new(Timestamp::now()));
        let under_way = UnderWay::new();
        let shown = Shown {
            status: publish,
            totals: totals.clone(),
            under_way: under_way.clone(),
        };
        let (ends, ended) = oneshot::channel();
        let writer = Writer::new(end, clock, (spec.clone(), node), shown);
        let gone = writer.start(ends).err().map(|error| {
            let message = format!("there is no thread for it: {error}");
            no_thread(message)
        });
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            spec: spec.clone(),
            node: node.to_owned(),
            log,
            status,
            under_way,
            hung: false,
            look,
            gone,
            ended,
        }
    }

    /// Waits until something else is wrong, or not any more.
    async fn changed(&mut self) {
        loop {
            select! {
                changed = self.status.changed(), if self.gone.is_none() => {
                    if changed.is_err() {
                        let message = "the thread for it ended, by a fault of the speaker";
                        self.gone = Some(no_thread(message.to_owned()));
                    }
                    return;
                }
                _ = self.look.tick() => {
                    if self.hung != self.hangs().is_some() {
                        self.hung = !self.hung;
                        return;
                    }
                }
            }
        }
    }

    /// How long it has been that a write hangs.
    fn hangs(&self) -> Option<Duration> {
        self.under_way.elapsed().filter(|it| *it > HANGS)
    }

    /// How it is, also where the thread cannot say so.
    fn status(&self) -> Status {
        let mut status = self.status.borrow().clone();
        if let Some((since, fault)) = &self.gone {
            status.since = *since;
            status.fault = Some(fault.clone());
        } else if let Some(elapsed) = self.hangs() {
            // It failed before, or does so since this write began.
            if status.fault.is_none() {
                let since = Timestamp::now().checked_sub(elapsed);
                status.since = since.unwrap_or(status.since);
            }
            status.fault = Some(self.hanging());
        }
        status
    }

    fn hanging(&self) -> Fault {
        let (directory, seconds) = (self.spec.directory.display(), HANGS.as_secs());
        Fault {
            reason: Reason::WriteFailed,
            message: format!("{directory}: a write has not ended for {seconds} seconds"),
        }
    }

    fn problems(&self) -> Vec<Diagnostic> {
        let status = self.status();
        let what = if self.gone.is_some() {
            "messages are not logged, and lost; it is not tried again until spec.mrt changes or the \
             speaker is started anew"
        } else if self.hangs().is_some() {
            "messages are not logged before it ends, and those that cannot wait are lost"
        } else {
            "messages are not logged, and those that cannot wait are lost; it is tried again"
        };
        problems(&status, what)
    }
}

fn no_thread(message: String) -> (Timestamp, Fault) {
    let reason = Reason::WriteFailed;
    (Timestamp::now(), Fault { reason, message })
}

fn problems(status: &Status, what: &str) -> Vec<Diagnostic> {
    let fault = status.fault.iter().map(|fault| {
        let (object, message) = problem(fault, what);
        Diagnostic::error(object, FIELD, fault.reason, message)
    });
    let stuck = status.stuck.iter().map(|stuck| {
        let what = "an old file cannot be removed; messages are logged all the same";
        let (object, message) = problem(stuck, what);
        Diagnostic::warning(object, FIELD, stuck.reason, message)
    });
    fault.chain(stuck).collect()
}

fn problem(fault: &Fault, what: &str) -> (ObjectRef, String) {
    let object = ObjectRef {
        kind: Kind::BgpConfiguration.as_str().to_owned(),
        name: CONFIGURATION_NAME.to_owned(),
    };
    (object, format!("{}: {what}", fault.message))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tempfile::TempDir;

    use super::*;
    use crate::diagnostic::Severity;

    fn start(directory: &Path) -> Running {
        let spec = MrtLog {
            directory: directory.to_owned(),
            rotate: Duration::from_secs(900),
            max_file: 1 << 20,
            keep_files: 3,
            sent: false,
        };
        Running::start(&spec, "n1", Clock::new(), &Totals::default())
    }

    #[test]
    fn an_old_file_that_stays_keeps_nothing_from_force() {
        let mut status = Status::new(Timestamp::UNIX_EPOCH);
        let fault = |reason| {
            let message = "/x".to_owned();
            Some(Fault { reason, message })
        };
        status.fault = fault(Reason::DiskFull);
        status.stuck = fault(Reason::FileNotRemoved);
        let severities: Vec<_> = problems(&status, "")
            .iter()
            .map(|it| (it.reason, it.severity))
            .collect();
        let expected = [
            (Reason::DiskFull, Severity::Error),
            (Reason::FileNotRemoved, Severity::Warning),
        ];
        assert_eq!(severities, expected);
    }

    #[tokio::test]
    async fn a_thread_that_ends_too_early_is_a_fault() {
        let dir = TempDir::new().unwrap();
        let mut running = start(dir.path());
        // As if it had ended: nobody has the other end of this one.
        running.status = watch::channel(Status::new(Timestamp::now())).1;
        running.changed().await;
        let [problem] = &running.problems()[..] else {
            panic!()
        };
        assert_eq!(problem.reason, Reason::WriteFailed);
        assert!(
            problem.message.contains("not tried again"),
            "{}",
            problem.message
        );
        assert_eq!(running.status().fault, running.gone.clone().map(|it| it.1));
        // It is said once.
        let more = timeout(Duration::from_millis(50), running.changed());
        assert!(more.await.is_err());
    }

    #[tokio::test]
    async fn a_write_that_hangs_is_a_fault_until_it_ends() {
        let dir = TempDir::new().unwrap();
        let mut running = start(dir.path());
        running.under_way = UnderWay::since(HANGS + LOOK);
        while !running.hung {
            running.changed().await;
        }
        let status = running.status();
        assert_eq!(status.fault, Some(running.hanging()));
        let [problem] = &running.problems()[..] else {
            panic!()
        };
        assert!(
            problem.message.contains("before it ends"),
            "{}",
            problem.message
        );
        running.under_way = UnderWay::new();
        assert_eq!(running.status().fault, None);
        assert_eq!(running.problems(), []);
    }
}
