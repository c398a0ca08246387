//! From objects to desired state: takes in what the source sees, compiles, publishes.
//!
//! Level-triggered. However many objects change at once, the core sees one new [`Configured`], at
//! most every [`DEBOUNCE`] or so: a rolling restart does not make a thousand compiles. Nothing is
//! compiled before every kind was listed once, so a half-filled index never withdraws anything.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout_at},
};
use tracing::{error, info, warn};

use crate::{
    compile::{DesiredState, compile},
    diagnostic::{Diagnostic, Severity},
    index::{Index, Kind},
    source::{Batch, Health},
    status::known::Known,
};

/// How long to wait for more changes after one.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// The longest that a change waits for more of them.
const DEBOUNCE_CAP: Duration = Duration::from_millis(500);

/// What the objects say, at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Configured {
    /// What to do, once every kind was listed.
    pub desired: Option<Arc<DesiredState>>,
    /// What is wrong with the objects.
    pub problems: Vec<Diagnostic>,
    /// What is to be known of the objects in order to tell the cluster about them.
    pub known: Arc<Known>,
    /// How the source does, kind by kind.
    pub kinds: Vec<KindStatus>,
}

/// One kind of objects.
#[derive(Clone, Debug)]
pub(super) struct KindStatus {
    /// Which.
    pub kind: Kind,
    /// Whether it was listed once.
    pub listed: bool,
    /// Objects known.
    pub objects: usize,
    /// How well the source sees it.
    pub health: Health,
}

/// Runs until the source ends.
pub(super) async fn follow(
    node: String,
    mut batches: mpsc::Receiver<Batch>,
    configured: watch::Sender<Configured>,
) {
    let mut index = Index::new();
    while let Some(batch) = batches.recv().await {
        let mut changed = take_in(&mut index, batch);
        let cap = Instant::now() + DEBOUNCE_CAP;
        loop {
            let quiet = (Instant::now() + DEBOUNCE).min(cap);
            // The first complete listing is not held back: the cluster waits for it.
            if index.is_complete() && configured.borrow().desired.is_none() {
                break;
            }
            match timeout_at(quiet, batches.recv()).await {
                Ok(Some(batch)) => changed |= take_in(&mut index, batch),
                Ok(None) | Err(_) => break,
            }
        }
        publish(&mut index, &node, changed, &configured);
    }
}

fn take_in(index: &mut Index, batch: Batch) -> bool {
    batch
        .into_iter()
        .fold(false, |changed, event| index.apply(event) | changed)
}

fn publish(index: &mut Index, node: &str, changed: bool, configured: &watch::Sender<Configured>) {
    let compiled = if changed { compile(index, node) } else { None };
    let retold = index.take_standings_changed();
    configured.send_modify(|now| {
        now.kinds = kinds(index);
        if changed || retold {
            now.known = Arc::new(Known::of(index, node));
        }
        if !changed {
            return;
        }
        let problems = match compiled {
            None => index.problems().cloned().collect(),
            Some((desired, problems)) => {
                if now.desired.as_deref() != Some(&desired) {
                    now.desired = Some(Arc::new(desired));
                }
                problems
            }
        };
        log_difference(&now.problems, &problems);
        now.problems = problems;
    });
}

fn kinds(index: &Index) -> Vec<KindStatus> {
    Kind::ALL
        .into_iter()
        .map(|kind| KindStatus {
            kind,
            listed: index.is_listed(kind),
            objects: index.count(kind),
            health: index.health(kind),
        })
        .collect()
}

/// Says each problem once, when it appears, and once more when it is over.
pub(super) fn log_difference(before: &[Diagnostic], now: &[Diagnostic]) {
    let (old, new): (BTreeSet<_>, BTreeSet<_>) = (before.iter().collect(), now.iter().collect());
    for d in new.difference(&old) {
        let (object, field, reason) = (d.object.to_string(), d.field.as_str(), d.reason.as_str());
        match d.severity {
            Severity::Error => error!(object, field, reason, "{}", d.message),
            Severity::Warning => warn!(object, field, reason, "{}", d.message),
        }
    }
    for d in old.difference(&new) {
        info!(object = %d.object, field = d.field, reason = d.reason.as_str(), "problem solved");
    }
}
