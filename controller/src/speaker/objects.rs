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
    api::CONFIGURATION_NAME,
    compile::{Compiler, DesiredState, ServiceTable},
    diagnostic::{Diagnostic, Severity},
    index::{Changes, Index, Kind},
    source::{Batch, Health},
    status::known::Known,
};

/// The longest that a change waits for more of them, as a multiple of the debounce time.
const DEBOUNCE_CAP: u32 = 10;

/// What the objects say, at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Configured {
    /// What to do, once every kind was listed.
    pub desired: Option<Arc<DesiredState>>,
    /// What is wrong with the objects.
    pub problems: Vec<Diagnostic>,
    /// What is to be known of the objects in order to tell the cluster about them.
    pub known: Arc<Known>,
    /// What was decided about Services.
    pub services: Arc<ServiceTable>,
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
    let mut compiler = Compiler::new(node.as_str());
    while let Some(batch) = batches.recv().await {
        take_in(&mut index, batch);
        let debounce = debounce(&index);
        let cap = Instant::now() + debounce * DEBOUNCE_CAP;
        loop {
            let quiet = (Instant::now() + debounce).min(cap);
            // The first complete listing is not held back: the cluster waits for it.
            if index.is_complete() && configured.borrow().desired.is_none() {
                break;
            }
            match timeout_at(quiet, batches.recv()).await {
                Ok(Some(batch)) => take_in(&mut index, batch),
                Ok(None) | Err(_) => break,
            }
        }
        publish(&mut index, &node, &mut compiler, &configured);
    }
}

/// How long to wait for more changes after one.
fn debounce(index: &Index) -> Duration {
    let configurations = index.complete().map(|objects| &objects.configurations);
    let configuration = configurations.and_then(|all| all.get(CONFIGURATION_NAME));
    let services = configuration.map(|c| c.spec.services.clone());
    let milliseconds = services.unwrap_or_default().debounce_milliseconds;
    Duration::from_millis(milliseconds.into())
}

fn take_in(index: &mut Index, batch: Batch) {
    for event in batch {
        index.apply(event);
    }
}

fn publish(
    index: &mut Index,
    node: &str,
    compiler: &mut Compiler,
    configured: &watch::Sender<Configured>,
) {
    let changes = if index.is_complete() {
        index.take_changes()
    } else {
        // They wait for the first compile, which looks at everything; so do the problems until then.
        Changes::everything()
    };
    let compiled = match changes.is_empty() {
        true => None,
        false => compiler.compile(index, &changes),
    };
    // Nobody is told of single Services.
    let retold = index.take_standings_changed() || changes.everything;
    configured.send_modify(|now| {
        now.kinds = kinds(index);
        if retold {
            now.known = Arc::new(Known::of(index, node));
        }
        let problems = match compiled {
            None if index.is_complete() => return,
            None => index.problems().cloned().collect(),
            Some(compiled) => {
                if now.desired.as_deref() != Some(&compiled.desired) {
                    now.desired = Some(compiled.desired);
                }
                now.services = Arc::new(compiled.services);
                compiled.diagnostics
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
