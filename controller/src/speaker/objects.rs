//! From objects to desired state: takes in what the source sees, compiles, publishes.
//!
//! Level-triggered. However many objects change at once, the core sees one new [`Configured`], at
//! most every [`DEBOUNCE`] or so: a rolling restart does not make a thousand compiles. Nothing is
//! compiled before every kind was listed once, so a half-filled index never withdraws anything.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout_at},
};
use tracing::{error, info, warn};

use super::{
    arrivals::{self, Arrivals},
    drain::DrainMark,
    drain_order, router_id,
};
use crate::{
    allocator,
    api::CONFIGURATION_NAME,
    cache,
    compile::{Compiled, Compiler, DesiredState, ServiceTable},
    control::Preview,
    diagnostic::{Diagnostic, Severity},
    index::{Changes, Index, Kind},
    source::{Batch, Health},
    status::known::Known,
};

/// The longest that a change waits for more of them, as a multiple of the debounce time.
const DEBOUNCE_CAP: u32 = 10;

/// How long after all was made anew, and what was before has gone, its memory goes back.
const TIDY_AFTER: Duration = Duration::from_secs(1);

/// What the objects say, at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Configured {
    /// What to do, once every kind was listed.
    pub desired: Option<Arc<DesiredState>>,
    /// Whether the objects are those that an earlier process knew: the API server has not listed every
    /// kind since the start.
    pub recalled: bool,
    /// What is wrong with the objects.
    pub problems: Vec<Diagnostic>,
    /// What is to be known of the objects in order to tell the cluster about them.
    pub known: Arc<Known>,
    /// What was decided about Services.
    pub services: Arc<ServiceTable>,
    /// How the source does, kind by kind.
    pub kinds: Vec<KindStatus>,
    /// When the objects arrived that led to what is desired.
    pub arrivals: Arrivals,
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

impl Configured {
    /// Why nothing that has changed is in force: the API server answers, but has not told of all kinds yet.
    /// Where it does not answer at all, what the cache has is the best there is.
    pub(super) fn unlisted(&self) -> Vec<String> {
        let answers = self.kinds.iter().any(|k| k.health == Health::Synced);
        if !(self.recalled && answers) {
            return Vec::new();
        }
        let why = |k: &KindStatus| match &k.health {
            Health::Retrying { error } => Some(format!(
                "{} cannot be listed, and until it is no change of anything is in force: {error}",
                k.kind
            )),
            Health::Starting | Health::Synced => None,
        };
        self.kinds.iter().filter_map(why).collect()
    }
}

/// What an earlier process left.
pub(super) struct Past {
    /// Who the node was.
    known_as: router_id::Known,
    /// Whether it was drained.
    is_drained: bool,
    /// Who was to be drained before whom.
    drain_order: drain_order::Kept,
}

impl Past {
    pub(super) fn beside(socket: &Path, mark: &DrainMark) -> Self {
        Self {
            known_as: router_id::Known::beside(socket),
            is_drained: mark.step().is_some(),
            drain_order: drain_order::Kept::beside(socket),
        }
    }
}

/// Runs until the source ends.
pub(super) async fn follow(
    node: String,
    mut past: Past,
    batches: mpsc::Receiver<Batch>,
    mut previews: mpsc::Receiver<Preview>,
    configured: watch::Sender<Configured>,
    verdict: watch::Sender<cache::Verdict>,
) {
    let mut index = Index::of_node(&node);
    index.recall_drain_order(past.drain_order.order().clone());
    let compiler = Compiler::new(node.as_str()).known_as(past.known_as.chosen());
    let mut compiler = compiler.with_drained(past.is_drained);
    let mut batches = arrivals::stamped(batches);
    // The first arrival of objects that are not compiled yet.
    let mut since: Option<Instant> = None;
    let take_in = |index: &mut Index, since: &mut Option<Instant>, (at, batch)| {
        arrivals::note_first(since, at, &batch);
        take_in(index, batch);
        // Before the cache writes it down.
        verdict.send_modify(|verdict| {
            verdict.batches += 1;
            verdict.kept = index.kept_in_force();
        });
    };
    let mut tidy_at = None;
    loop {
        let batch = tokio::select! {
            batch = batches.recv() => batch,
            Some(asked) = previews.recv() => {
                preview(&index, compiler.clone(), asked);
                continue;
            }
            () = reached(tidy_at) => {
                tidy_at = None;
                tokio::task::spawn_blocking(allocator::give_back);
                continue;
            }
        };
        let Some(batch) = batch else {
            return;
        };
        take_in(&mut index, &mut since, batch);
        let debounce = debounce(&index);
        let cap = Instant::now() + debounce * DEBOUNCE_CAP;
        loop {
            let quiet = (Instant::now() + debounce).min(cap);
            // The first complete listing is not held back: the cluster waits for it.
            if index.is_complete() && configured.borrow().desired.is_none() {
                // The listings have left as much behind as the compile is about to take.
                allocator::give_back();
                break;
            }
            match timeout_at(quiet, batches.recv()).await {
                Ok(Some(batch)) => take_in(&mut index, &mut since, batch),
                Ok(None) | Err(_) => break,
            }
        }
        let compiled = compile(&mut index, &mut compiler);
        if compiled.0.everything {
            tidy_at = Some(Instant::now() + TIDY_AFTER);
            // Not that of half a cluster, nor of one that an earlier process knew.
            if index.is_complete() && !index.is_recalled() {
                index.forget_earlier_drains();
                past.drain_order.note(index.drain_order());
            }
        }
        // Before the neighbours hear of it.
        if let Some(chosen) = compiler.router_id() {
            past.known_as.note(chosen);
        }
        publish(&mut index, &node, (since.take(), compiled), &configured);
    }
}

/// Waits until then, or for ever.
async fn reached(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// What more events would come to, tried on a copy: nothing of it stays.
fn preview(index: &Index, mut compiler: Compiler, asked: Preview) {
    let mut index = index.clone();
    take_in(&mut index, asked.events);
    let compiled = compiler.compile(&index, &Changes::everything());
    // Whoever asked may be gone.
    let _ = asked.reply.send(compiled);
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

/// What changed in the index, and what follows from it.
fn compile(index: &mut Index, compiler: &mut Compiler) -> (Changes, Option<Compiled>) {
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
    (changes, compiled)
}

fn publish(
    index: &mut Index,
    node: &str,
    (since, (changes, compiled)): (Option<Instant>, (Changes, Option<Compiled>)),
    configured: &watch::Sender<Configured>,
) {
    // Made beside the one that others read, who would have to wait.
    let mut next = configured.borrow().clone();
    next.kinds = kinds(index);
    next.recalled = index.is_recalled();
    // Nobody is told of single Services.
    if index.take_standings_changed() || changes.everything {
        next.known = Arc::new(Known::of(index, node));
    }
    let problems = match compiled {
        None if index.is_complete() => None,
        None => Some(index.problems().cloned().collect()),
        Some(compiled) => {
            if next.desired.as_ref() != Some(&compiled.desired) {
                next.desired = Some(compiled.desired);
                next.arrivals.note(since);
            }
            next.services = Arc::new(compiled.services);
            Some(compiled.diagnostics)
        }
    };
    if let Some(problems) = problems {
        log_difference(&next.problems, &problems);
        next.problems = problems;
    }
    configured.send_replace(next);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// As with a ClusterRole that is older than the speaker. It must stop a rolling update, and a lack of
    /// any API server must not.
    #[test]
    fn one_kind_that_cannot_be_listed_holds_back_the_others_and_is_named() {
        let forbidden = Health::Retrying {
            error: "403".to_owned(),
        };
        let of = |recalled, healths: [&Health; 2]| {
            let kinds = [Kind::Node, Kind::BgpPolicy].into_iter().zip(healths);
            let kinds = kinds.map(|(kind, health)| KindStatus {
                kind,
                listed: true,
                objects: 1,
                health: health.clone(),
            });
            Configured {
                kinds: kinds.collect(),
                recalled,
                ..Configured::default()
            }
        };
        let unlisted = of(true, [&Health::Synced, &forbidden]).unlisted();
        assert_eq!(unlisted.len(), 1);
        assert!(
            unlisted[0].starts_with("BGPPolicy cannot be listed") && unlisted[0].ends_with("403")
        );
        for fine in [
            of(true, [&forbidden, &forbidden]),
            of(true, [&Health::Synced, &Health::Starting]),
            of(false, [&Health::Synced, &forbidden]),
        ] {
            assert_eq!(fine.unlisted(), [""; 0]);
        }
    }
}
