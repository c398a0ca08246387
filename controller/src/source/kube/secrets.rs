//! Secrets: one watch for each that an object names, and nothing of any other.
//!
//! What may name one ([`Object::secrets`]) passes by here on its way to the index. [`Secrets`] is the pure
//! part: which Secrets are wanted, what is known of each, and when to tell. [`relay`] does the waiting.
//!
//! - All of them make one listing, which is told once every kind that may name one was listed and
//!   every Secret that is named has answered: with the object, or that there is none.
//! - An object that names another Secret than before is held back until that one has answered, for
//!   [`PATIENCE`] at most. So a password that changes by another Secret does not cost the session.
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
    index::{Kind, ObjectKey, Observed},
    source::{Batch, CHANNEL_CAPACITY, Health, SourceEvent},
};

/// How long an object waits for the Secrets that it names.
const PATIENCE: Duration = Duration::from_secs(5);

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
            SourceEvent::Applied(observed) => {
                known.object = Some(Some(observed.clone()));
                told.then_some(SourceEvent::Applied(observed))
            }
            SourceEvent::Deleted(key) => {
                known.object = Some(None);
                told.then_some(SourceEvent::Deleted(key))
            }
            SourceEvent::Health { health, .. } => {
                known.health = health;
                None
            }
            SourceEvent::Problems { .. } => None,
        }
    }

    /// A Secret that nobody names any more; what to tell of it.
    fn forget(&mut self, name: &str) -> Option<SourceEvent> {
        let object = self.known.remove(name)?.object.flatten()?;
        self.told.then_some(SourceEvent::Deleted(object.key))
    }

    /// The listing, if it is complete now and was not before; and how well Secrets are seen, if that is
    /// new.
    fn tell(&mut self, batch: &mut Batch) {
        let all_listed = Kind::ALL
            .iter()
            .filter(|kind| kind.names_secrets())
            .all(|kind| self.listed.contains(kind));
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
        let follower = Follower::new(Kind::Secret, statuses, recovered).only(name.to_owned());
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
    let mut watches = Watches {
        with,
        tasks: JoinSet::new(),
        running: BTreeMap::new(),
        statuses: BTreeMap::new(),
        answers,
    };
    let mut secrets = Secrets::default();
    // What waits for Secrets that it names, and until when.
    let mut held: Option<(Batch, Instant)> = None;
    loop {
        let mut out = Batch::new();
        let until = held.as_ref().map_or_else(Instant::now, |(_, until)| *until);
        tokio::select! {
            biased;
            Some((name, batch)) = answered.recv() => {
                out.extend(batch.into_iter().filter_map(|event| secrets.answer(&name, event)));
            }
            () = sleep_until(until), if held.is_some() => {
                out.extend(held.take().map(|(batch, _)| batch).into_iter().flatten());
            }
            batch = objects.recv(), if held.is_none() => {
                let Some(batch) = batch else { return };
                batch.iter().for_each(|event| secrets.note(event));
                held = Some((batch, Instant::now() + PATIENCE));
            }
        }
        let wanted = secrets.wanted();
        for name in &wanted {
            if !secrets.known.contains_key(name) {
                secrets.known.insert(name.clone(), Known::default());
                watches.start(name);
            }
        }
        // At the start there is nothing that could be lost: the listing waits by itself.
        if !secrets.told || secrets.is_settled() {
            out.extend(held.take().map(|(batch, _)| batch).into_iter().flatten());
        }
        if held.is_none() {
            let gone: Vec<String> = secrets.known.keys().cloned().collect();
            for name in gone.iter().filter(|name| !wanted.contains(*name)) {
                watches.stop(name);
                out.extend(secrets.forget(name));
            }
        }
        secrets.tell(&mut out);
        let status = secrets.status(&watches.statuses);
        watches.with.statuses.send_if_modified(|all| {
            let before = all.insert(Kind::Secret, status.clone());
            before.as_ref() != Some(&status)
        });
        if !out.is_empty() && batches.send(out).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::source::kube::take_in;

    fn peer(name: &str, secret: Option<&str>) -> Observed {
        let secret = secret.map(|secret| json!({"name": secret}));
        let mut spec = json!({"address": "192.0.2.1", "asn": 64999});
        if let Some(secret) = secret {
            spec["passwordSecretRef"] = secret;
        }
        take_in(
            Kind::BgpPeer,
            json!({"metadata": {"name": name}, "spec": spec}),
        )
    }

    fn secret(name: &str, password: &str) -> Observed {
        let metadata = json!({"name": name, "namespace": "redstart-system"});
        let object: Value = json!({"metadata": metadata, "stringData": {"password": password}});
        take_in(Kind::Secret, object)
    }

    fn listing(kind: Kind, objects: Vec<Observed>) -> SourceEvent {
        SourceEvent::Restarted { kind, objects }
    }

    fn names(secrets: &Secrets) -> Vec<String> {
        secrets.wanted().into_iter().collect()
    }

    /// Follows what is wanted, as `relay` does.
    fn follow_wanted(secrets: &mut Secrets) {
        for name in secrets.wanted() {
            secrets.known.entry(name).or_default();
        }
    }

    #[test]
    fn the_listing_is_told_when_every_secret_that_is_named_has_answered() {
        let mut secrets = Secrets::default();
        let mut told = Batch::new();
        secrets.note(&listing(
            Kind::BgpPeer,
            vec![peer("a", Some("x")), peer("b", Some("y"))],
        ));
        follow_wanted(&mut secrets);
        assert_eq!(names(&secrets), ["x", "y"]);
        let x = secret("x", "one");
        let answer = listing(Kind::Secret, vec![x.clone()]);
        assert_eq!(secrets.answer("x", answer), None);
        let none = listing(Kind::Secret, Vec::new());
        assert_eq!(secrets.answer("y", none), None);
        secrets.tell(&mut told);
        assert_eq!(told, [], "the configuration may name one more");
        secrets.note(&listing(Kind::BgpConfiguration, Vec::new()));
        secrets.tell(&mut told);
        assert_eq!(told, [listing(Kind::Secret, vec![x.clone()])]);

        // Afterwards only differences are told, also when a watch lists again.
        assert_eq!(secrets.answer("x", listing(Kind::Secret, vec![x])), None);
        let other = secret("x", "two");
        let changed = secrets.answer("x", listing(Kind::Secret, vec![other.clone()]));
        assert_eq!(changed, Some(SourceEvent::Applied(other.clone())));
        let gone = secrets.answer("x", listing(Kind::Secret, Vec::new()));
        assert_eq!(gone, Some(SourceEvent::Deleted(other.key)));
    }

    #[test]
    fn a_secret_is_followed_for_one_version_longer_than_it_is_named() {
        let mut secrets = Secrets::default();
        secrets.note(&SourceEvent::Applied(peer("a", Some("x"))));
        secrets.note(&SourceEvent::Applied(peer("a", Some("y"))));
        assert_eq!(names(&secrets), ["x", "y"]);
        // What cannot be used leaves everything as it is; what says the same again does too.
        let mut bad = peer("a", Some("z"));
        bad.object = None;
        secrets.note(&SourceEvent::Applied(bad));
        secrets.note(&SourceEvent::Applied(peer("a", Some("y"))));
        assert_eq!(names(&secrets), ["x", "y"]);
        secrets.note(&SourceEvent::Applied(peer("a", None)));
        assert_eq!(names(&secrets), ["y"]);
        secrets.note(&SourceEvent::Deleted(peer("a", None).key));
        assert!(names(&secrets).is_empty());
    }

    #[test]
    fn health_is_that_of_the_worst() {
        let mut secrets = Secrets::default();
        for kind in [Kind::BgpPeer, Kind::BgpConfiguration] {
            secrets.note(&listing(kind, Vec::new()));
        }
        let mut told = Batch::new();
        secrets.tell(&mut told);
        let health = |health| SourceEvent::Health {
            kind: Kind::Secret,
            health,
        };
        let nothing_to_see = [listing(Kind::Secret, Vec::new()), health(Health::Synced)];
        assert_eq!(told, nothing_to_see);
        secrets.note(&SourceEvent::Applied(peer("a", Some("x"))));
        follow_wanted(&mut secrets);
        assert!(!secrets.is_settled());
        let forbidden = Health::Retrying {
            error: "forbidden".to_owned(),
        };
        secrets.answer("x", health(forbidden.clone()));
        assert!(secrets.is_settled());
        told.clear();
        secrets.tell(&mut told);
        assert_eq!(told, [health(forbidden)]);
    }
}
