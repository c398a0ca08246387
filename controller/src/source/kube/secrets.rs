//! Secrets: one watch for each that an object names, and nothing of any other.
//!
//! What may name one ([`Object::secrets`]) passes by here on its way to the index. [`Secrets`] is the pure
//! part: which Secrets are wanted, what is known of each, and when to tell. [`relay`] does the waiting.
//!
//! - All of them make one listing, which is told once every kind that may name one was listed and
//!   every Secret that is named has answered: with the object, that there is none, or that it may not
//!   be read. One that does not, or with errors only, is waited for as long as any listing
//!   ([`Tuning::listing_patience`]) and then counts as one that cannot be read. That costs those who name it, and nobody else.
//! - An object that names another Secret than before is held back until that one has answered, for
//!   [`PATIENCE`] at most. So a password that changes by another Secret does not cost the session. Only
//!   what may name Secrets waits for it ([`Held`]); Nodes, Services and the like go by.
//! - A Secret is followed for one version longer than it is named, because a version that waits for
//!   something else leaves the one before in force (`index::references`).
//!
//! By name, RBAC can allow these alone: a Role with `resourceNames` lets a client list and watch with
//! `fieldSelector=metadata.name=…`, and read nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use tokio::{
    sync::{Notify, mpsc, watch},
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep_until},
};

use super::{
    Tuning,
    follow::{Follower, follow},
    status::{Statuses, WatchStatus},
};
use crate::{
    diagnostic::Reason,
    index::{Kind, ObjectKey, Observed},
    source::{Batch, CHANNEL_CAPACITY, Health, SourceEvent},
};

/// How long an object waits for the Secrets that it names.
const PATIENCE: Duration = Duration::from_secs(5);

/// Most events of objects that may name Secrets that wait behind others.
const MOST_BEHIND: usize = 256;

/// What an object names now, and what it named before.
type Names = [BTreeSet<String>; 2];

/// What is known of the Secrets that are named.
#[derive(Default)]
struct Secrets {
    names: BTreeMap<ObjectKey, Names>,
    /// The kinds that may name Secrets and were listed.
    listed: BTreeSet<Kind>,
    /// By name: what was answered, and how well it is seen.
    known: BTreeMap<String, Known>,
    /// Whether the listing was told.
    told: bool,
    health: Health,
}

#[derive(Default)]
struct Known {
    /// `None` before an answer.
    object: Option<Option<Observed>>,
    health: Health,
}

impl Known {
    /// Takes an error for an answer, or silence, if there was no other, and says it.
    fn give_up(&mut self, name: &str) -> Option<&Observed> {
        if self.object.is_some() {
            return None;
        }
        let words = match &self.health {
            Health::Retrying { error } => error,
            _ => "the API server does not answer",
        };
        let unread = Observed::unread(name, Reason::Unreadable, words);
        self.object.insert(Some(unread)).as_ref()
    }
}

impl Secrets {
    /// Takes note of what passes by.
    fn note(&mut self, event: &SourceEvent) {
        match event {
            SourceEvent::Restarted { kind, objects } if kind.names_secrets() => {
                self.listed.insert(*kind);
                let keys: BTreeSet<&ObjectKey> = objects.iter().map(|it| &it.key).collect();
                self.names
                    .retain(|key, _| key.kind != *kind || keys.contains(key));
                objects.iter().for_each(|observed| self.name(observed));
            }
            SourceEvent::Applied(observed) if observed.key.kind.names_secrets() => {
                self.name(observed);
            }
            SourceEvent::Deleted(key) => _ = self.names.remove(key),
            _ => {}
        }
    }

    fn name(&mut self, observed: &Observed) {
        // Of what cannot be used the version before stays in force.
        let Some(object) = &observed.object else {
            return;
        };
        let named: BTreeSet<String> = object.secrets().map(str::to_owned).collect();
        let names = self.names.entry(observed.key.clone()).or_default();
        if names[0] != named {
            names[1] = std::mem::replace(&mut names[0], named);
        }
    }

    /// The Secrets to follow.
    fn wanted(&self) -> BTreeSet<String> {
        self.names.values().flatten().flatten().cloned().collect()
    }

    /// Whether an answer for every one of them is there, or is not to be expected soon.
    fn is_settled(&self) -> bool {
        let settled = |known: &Known| {
            known.object.is_some() || matches!(known.health, Health::Retrying { .. })
        };
        self.known.values().all(settled)
    }

    /// Takes in what the watch of one Secret says; what to tell of it.
    fn answer(&mut self, name: &str, event: SourceEvent) -> Option<SourceEvent> {
        let told = self.told;
        let known = self.known.get_mut(name)?;
        match event {
            SourceEvent::Restarted { mut objects, .. } => {
                let now = objects.pop();
                let before = known.object.replace(now.clone()).flatten();
                match (now, before) {
                    _ if !told => None,
                    (Some(now), before) if before.as_ref() != Some(&now) => {
                        Some(SourceEvent::Applied(now))
                    }
                    (None, Some(before)) => Some(SourceEvent::Deleted(before.key)),
                    _ => None,
                }
            }
            SourceEvent::Applied(now) => {
                let before = known.object.replace(Some(now.clone())).flatten();
                let news = told && before.as_ref() != Some(&now);
                news.then_some(SourceEvent::Applied(now))
            }
            SourceEvent::Deleted(key) => {
                known.object = Some(None);
                told.then_some(SourceEvent::Deleted(key))
            }
            SourceEvent::Health { health, .. } => {
                let failed = matches!(health, Health::Retrying { .. });
                known.health = health;
                let unread = (told && failed).then(|| known.give_up(name)).flatten();
                unread.cloned().map(SourceEvent::Applied)
            }
            SourceEvent::Recalled | SourceEvent::Problems { .. } => None,
        }
    }

    /// A Secret that nobody names any more; what to tell of it.
    fn forget(&mut self, name: &str) -> Option<SourceEvent> {
        let object = self.known.remove(name)?.object.flatten()?;
        self.told.then_some(SourceEvent::Deleted(object.key))
    }

    /// Whether it is known which Secrets are named, and some have not answered.
    fn is_waiting(&self) -> bool {
        !self.told && self.is_known_who_names_them()
    }

    fn is_known_who_names_them(&self) -> bool {
        let mut kinds = Kind::ALL.iter().filter(|kind| kind.names_secrets());
        kinds.all(|kind| self.listed.contains(kind))
    }

    /// Waits no longer for those that have not answered, or with errors only.
    fn give_up(&mut self) {
        for (name, known) in &mut self.known {
            known.give_up(name);
        }
    }

    /// The listing, if it is complete now and was not before; and how well Secrets are seen, if that is
    /// new.
    fn tell(&mut self, batch: &mut Batch) {
        let all_listed = self.is_known_who_names_them();
        let answered = self.known.values().all(|known| known.object.is_some());
        if !self.told && all_listed && answered {
            self.told = true;
            let objects = self
                .known
                .values()
                .filter_map(|k| k.object.clone().flatten());
            batch.push(SourceEvent::Restarted {
                kind: Kind::Secret,
                objects: objects.collect(),
            });
        }
        let health = self.overall();
        if health != self.health {
            self.health = health.clone();
            let kind = Kind::Secret;
            batch.push(SourceEvent::Health { kind, health });
        }
    }

    /// The worst of all.
    fn overall(&self) -> Health {
        let all = || self.known.values().map(|known| &known.health);
        let retrying = all().find(|health| matches!(health, Health::Retrying { .. }));
        match retrying {
            Some(retrying) => retrying.clone(),
            None if self.told && all().all(|health| *health == Health::Synced) => Health::Synced,
            None => Health::Starting,
        }
    }

    /// The watches as one.
    fn status(&self, each: &BTreeMap<String, watch::Receiver<Statuses>>) -> WatchStatus {
        let mut sum = WatchStatus {
            listed: self.told,
            connected: self.told,
            ..WatchStatus::default()
        };
        for statuses in each.values() {
            let Some(status) = statuses.borrow().get(&Kind::Secret).cloned() else {
                continue;
            };
            sum.connected &= status.connected;
            sum.mode = status.mode;
            sum.listings += status.listings;
            sum.failures += status.failures;
            sum.invalid += status.invalid;
            sum.last_event = sum.last_event.max(status.last_event);
            let time = |status: &WatchStatus| status.last_error.as_ref().map(|(at, _)| *at);
            if time(&status) > time(&sum) {
                sum.last_error = status.last_error;
            }
        }
        sum
    }
}

fn may_name_secrets(event: &SourceEvent) -> bool {
    match event {
        SourceEvent::Restarted { kind, .. } | SourceEvent::Health { kind, .. } => {
            kind.names_secrets()
        }
        SourceEvent::Applied(observed) => observed.key.kind.names_secrets(),
        SourceEvent::Deleted(key) => key.kind.names_secrets(),
        SourceEvent::Recalled | SourceEvent::Problems { .. } => false,
    }
}

/// What waits for Secrets that it names, in the order in which it came.
#[derive(Default)]
struct Held {
    first: Batch,
    /// How long those wait.
    until: Option<Instant>,
    /// What came after them.
    behind: Batch,
}

impl Held {
    fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// Whether there is room for more.
    fn has_room(&self) -> bool {
        self.behind.len() < MOST_BEHIND
    }

    /// Keeps back what may name Secrets; the rest.
    fn take_in(&mut self, now: Instant, batch: Batch) -> Batch {
        let (waiting, others): (Batch, Batch) = batch.into_iter().partition(may_name_secrets);
        if !waiting.is_empty() && self.first.is_empty() {
            self.until = Some(now + PATIENCE);
            self.first = waiting;
        } else {
            self.behind.extend(waiting);
        }
        others
    }

    /// Lets those go that have waited longest; what is behind them waits from now on.
    fn let_go(&mut self, now: Instant) -> Batch {
        let next = std::mem::take(&mut self.behind);
        self.until = (!next.is_empty()).then_some(now + PATIENCE);
        std::mem::replace(&mut self.first, next)
    }

    /// Lets everything go.
    fn let_all_go(&mut self) -> Batch {
        let mut all = std::mem::take(self);
        all.first.append(&mut all.behind);
        all.first
    }
}

/// What the watch of each Secret gets.
pub(super) struct Watching {
    pub(super) client: Client,
    pub(super) tuning: Tuning,
    pub(super) statuses: watch::Sender<Statuses>,
    pub(super) recovered: Arc<Notify>,
}

/// A batch from the watch of a Secret.
type Named = (String, Batch);

/// The watches that run.
struct Watches {
    with: Watching,
    tasks: JoinSet<()>,
    running: BTreeMap<String, AbortHandle>,
    statuses: BTreeMap<String, watch::Receiver<Statuses>>,
    answers: mpsc::Sender<Named>,
}

impl Watches {
    fn start(&mut self, name: &str) {
        let statuses = watch::Sender::new(Statuses::new());
        self.statuses.insert(name.to_owned(), statuses.subscribe());
        let recovered = Arc::clone(&self.with.recovered);
        let follower = Follower::of_secret(name.to_owned(), statuses, recovered);
        let (sender, mut batches) = mpsc::channel(1);
        let (client, tuning) = (self.with.client.clone(), self.with.tuning);
        let (answers, name) = (self.answers.clone(), name.to_owned());
        let key = name.clone();
        let task = self.tasks.spawn(async move {
            let forward = async {
                while let Some(batch) = batches.recv().await {
                    if answers.send((name.clone(), batch)).await.is_err() {
                        return;
                    }
                }
            };
            // The first to end is the one that lost its reader.
            tokio::select! {
                () = follow::<Secret>(client, tuning, follower, sender) => {}
                () = forward => {}
            }
        });
        self.running.insert(key, task);
    }

    /// Starts to follow those of `wanted` that are not followed yet.
    fn start_new(&mut self, wanted: &BTreeSet<String>, secrets: &mut Secrets) {
        for name in wanted {
            if !secrets.known.contains_key(name) {
                secrets.known.insert(name.clone(), Known::default());
                self.start(name);
            }
        }
    }

    fn publish(&self, status: &WatchStatus) {
        self.with.statuses.send_if_modified(|all| {
            let before = all.insert(Kind::Secret, status.clone());
            before.as_ref() != Some(status)
        });
    }

    fn stop(&mut self, name: &str) {
        self.statuses.remove(name);
        if let Some(task) = self.running.remove(name) {
            task.abort();
        }
    }
}

/// Passes on what comes by, and what becomes of the Secrets that it names, until either end is gone.
pub(super) async fn relay(
    with: Watching,
    mut objects: mpsc::Receiver<Batch>,
    batches: mpsc::Sender<Batch>,
) {
    let (answers, mut answered) = mpsc::channel(CHANNEL_CAPACITY);
    let patience = with.tuning.listing_patience;
    let mut watches = Watches {
        with,
        tasks: JoinSet::new(),
        running: BTreeMap::new(),
        statuses: BTreeMap::new(),
        answers,
    };
    let mut secrets = Secrets::default();
    let mut held = Held::default();
    let mut waiting_since = None;
    loop {
        let mut out = Batch::new();
        let until = held.until.unwrap_or_else(Instant::now);
        let start = secrets.is_waiting();
        let started = start.then(|| *waiting_since.get_or_insert_with(Instant::now));
        let patient_until = started.map_or_else(Instant::now, |since| since + patience);
        tokio::select! {
            biased;
            Some((name, batch)) = answered.recv() => {
                out.extend(batch.into_iter().filter_map(|event| secrets.answer(&name, event)));
            }
            () = sleep_until(until), if !held.is_empty() => {
                out.extend(held.let_go(Instant::now()));
            }
            () = sleep_until(patient_until), if started.is_some() => {
                secrets.give_up();
                waiting_since = None;
            }
            batch = objects.recv(), if held.has_room() => {
                let Some(batch) = batch else { return };
                batch.iter().for_each(|event| secrets.note(event));
                out.extend(held.take_in(Instant::now(), batch));
            }
        }
        let wanted = secrets.wanted();
        watches.start_new(&wanted, &mut secrets);
        // At the start there is nothing that could be lost: the listing waits by itself.
        if !secrets.told || secrets.is_settled() {
            out.extend(held.let_all_go());
        }
        if held.is_empty() {
            let gone: Vec<String> = secrets.known.keys().cloned().collect();
            for name in gone.iter().filter(|name| !wanted.contains(*name)) {
                watches.stop(name);
                out.extend(secrets.forget(name));
            }
        }
        secrets.tell(&mut out);
        watches.publish(&secrets.status(&watches.statuses));
        if !out.is_empty() && batches.send(out).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
