//! The core's side of the update log ([`crate::mrt_log`]): whether there is one, and what is wrong with it.

use std::{future, time::Duration};

use jiff::Timestamp;
use redstart_bgp::net::{Clock, UpdateLog};
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};
use tracing::info;

use super::objects::log_difference;
use crate::{
    api::CONFIGURATION_NAME,
    compile::DesiredState,
    diagnostic::{Diagnostic, Reason},
    index::{Kind, MrtLog},
    mrt_log::{Fault, ROOM, Status, Writer},
    object::ObjectRef,
};

/// How long the last records may take to be written.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// The log, where there is one.
#[derive(Default)]
pub(super) struct Logging {
    running: Option<Running>,
    problems: Vec<Diagnostic>,
}

struct Running {
    spec: MrtLog,
    node: String,
    log: UpdateLog,
    status: watch::Receiver<Status>,
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
            self.running = wanted.map(|(spec, node)| start(spec, &node.name, clock));
            self.follow();
        }
        Some(self.running.as_ref()?.log.clone())
    }

    /// Waits until something is, or is no longer, wrong with it, and takes note.
    pub(super) async fn changed(&mut self) {
        let Some(running) = &mut self.running else {
            return future::pending().await;
        };
        if running.status.changed().await.is_err() {
            return future::pending().await;
        }
        self.follow();
    }

    fn follow(&mut self) {
        let problems = self.running.as_mut().map_or_else(Vec::new, |running| {
            let status = running.status.borrow_and_update();
            problems(&status)
        });
        log_difference(&self.problems, &problems);
        self.problems = problems;
    }

    pub(super) fn problems(&self) -> &[Diagnostic] {
        &self.problems
    }

    /// The log and how it is, with the number of records that were lost.
    pub(super) fn view(&self) -> Option<(&MrtLog, Status, u64)> {
        let running = self.running.as_ref()?;
        let status = running.status.borrow().clone();
        Some((&running.spec, status, running.log.lost()))
    }

    /// Has what there is written, if that can be done soon. The neighbours have let go of it.
    pub(super) async fn stop(&mut self) {
        if let Some(Running { log, ended, .. }) = self.running.take() {
            drop(log);
            let _ = timeout(STOP_TIMEOUT, ended).await;
        }
    }
}

fn start(spec: &MrtLog, node: &str, clock: Clock) -> Running {
    info!(directory = %spec.directory.display(), "messages are logged");
    let (log, end) = UpdateLog::new(ROOM, spec.sent);
    let (publish, status) = watch::channel(Status::new(Timestamp::now()));
    let (ends, ended) = oneshot::channel();
    let writer = Writer::new(end, clock, (spec.clone(), node), publish.clone());
    if let Err(error) = writer.start(ends) {
        let message = format!("there is no thread for it: {error}");
        let reason = Reason::WriteFailed;
        publish.send_modify(|status| status.fault = Some(Fault { reason, message }));
    }
    Running {
        spec: spec.clone(),
        node: node.to_owned(),
        log,
        status,
        ended,
    }
}

fn problems(status: &Status) -> Vec<Diagnostic> {
    let fault = status.fault.iter().map(|fault| {
        let what =
            "messages are not logged, and those that cannot wait are lost; it is tried again";
        problem(fault, what)
    });
    let stuck = status.stuck.iter().map(|stuck| {
        let what = "an old file cannot be removed; messages are logged all the same";
        problem(stuck, what)
    });
    fault.chain(stuck).collect()
}

fn problem(fault: &Fault, what: &str) -> Diagnostic {
    let object = ObjectRef {
        kind: Kind::BgpConfiguration.as_str().to_owned(),
        name: CONFIGURATION_NAME.to_owned(),
    };
    let message = format!("{}: {what}", fault.message);
    Diagnostic::error(object, "spec.mrt.directory", fault.reason, message)
}
