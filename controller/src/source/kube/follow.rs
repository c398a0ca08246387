//! One kind's watch: what arrives, and what to tell of it.
//!
//! [`Follower`] is the pure part: events and errors of `kube`'s watcher in, batches out, and what to
//! do next. [`follow`] does the waiting. Beyond what the watcher does by itself, it
//!
//! - rebuilds it in another [`ListMode`] where the server does not stream lists;
//! - rebuilds it, which lists again, where the watcher would repeat one request for ever: 410 Gone as
//!   the HTTP answer to a watch, and a resource version that the server has not reached (its etcd was
//!   restored from a backup);
//! - tries again at once when another kind's watch has recovered, so that objects of different kinds
//!   that changed during an outage arrive together;
//! - sees when a watch has been accepted, which the watcher does not tell before the next change;
//! - waits as long as a busy server asks for in its `Retry-After` header, which `kube` does not pass on;
//! - keeps to itself what is no news ([`Told`]).

use std::{
    collections::HashMap,
    hash::BuildHasher as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use futures_util::StreamExt;
use http::{Request, Response, header::RETRY_AFTER};
use kube::{
    Client,
    client::Body,
    runtime::watcher::{self, Event, InitialListStrategy, ListSemantic, watcher},
};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    Tuning,
    backoff::Backoff,
    diagnose::{WatchError, WatchReason, diagnose, retry_after, status},
    seen::{Seen, Watched, api_of},
    status::{ListMode, Statuses, WatchStatus},
};
use crate::{
    diagnostic::Reason,
    index::{Kind, ObjectKey, Observed},
    source::{Batch, Health, SourceEvent},
};

/// The answer to a resource version that the server has not reached ("Too large resource version").
const TOO_LARGE: u16 = 504;
/// The longest that a server may make us wait.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// When a server that has not got a kind which it may do without is asked again.
const ABSENT: Duration = Duration::from_secs(300);
/// How often in a row a server may say so, because it is behind, before everything is listed again.
const RESUMES: u32 = 5;

/// What to do after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Wait for the next one.
    Continue,
    /// Pause, then let the watcher try again.
    Pause,
    /// Pause, then list everything anew.
    Relist,
    /// List in another mode, at once.
    Renegotiate,
    /// Ask again after [`ABSENT`].
    Later,
}

/// What is known of one kind's watch.
pub(super) struct Follower {
    kind: Kind,
    statuses: watch::Sender<Statuses>,
    status: WatchStatus,
    health: Health,
    /// The listing so far, while one is under way.
    listing: Option<Vec<Observed>>,
    /// The first manifest of the last listing, which the others look like.
    model: Option<Arc<str>>,
    told: Told,
    failed_resumes: u32,
    /// The one Secret that is followed; all objects of the kind without it.
    only: Option<String>,
    /// Rung by the watch of any kind when it recovers.
    recovered: Arc<Notify>,
}

impl Follower {
    pub(super) fn new(
        kind: Kind,
        statuses: watch::Sender<Statuses>,
        recovered: Arc<Notify>,
    ) -> Self {
        Self {
            kind,
            statuses,
            status: WatchStatus::default(),
            health: Health::Starting,
            listing: None,
            model: None,
            told: Told::default(),
            failed_resumes: 0,
            only: None,
            recovered,
        }
    }

    /// Of one Secret alone.
    pub(super) fn of_secret(
        name: String,
        statuses: watch::Sender<Statuses>,
        recovered: Arc<Notify>,
    ) -> Self {
        Self {
            only: Some(name),
            ..Self::new(Kind::Secret, statuses, recovered)
        }
    }

    /// How to list and watch now.
    fn config(&self) -> watcher::Config {
        let mut config = watcher::Config::default();
        let left_alone = self.kind.left_alone().iter();
        let without: Vec<String> = left_alone.map(|label| format!("!{label}")).collect();
        if !without.is_empty() {
            config = config.labels(&without.join(","));
        }
        if let Some(name) = &self.only {
            config = config.fields(&format!("metadata.name={name}"));
        }
        match self.status.mode {
            ListMode::StreamingList => watcher::Config {
                initial_list_strategy: InitialListStrategy::StreamingList,
                ..config
            },
            // With a page size, "any version" is silently not asked for.
            ListMode::ListWatch if !self.status.listed => watcher::Config {
                page_size: None,
                list_semantic: ListSemantic::Any,
                ..config
            },
            ListMode::ListWatch => config,
        }
    }

    /// Takes in what the watcher says.
    fn event<K: Watched>(&mut self, event: Event<Seen<K>>, batch: &mut Batch) {
        self.failed_resumes = 0;
        self.status.last_event = Some(SystemTime::now());
        match event {
            Event::Init => {
                self.listing = Some(Vec::new());
                self.model = None;
                self.told = Told::default();
            }
            Event::InitApply(seen) => {
                self.told.is_news(&seen);
                let observed = self.take(seen);
                self.listing.get_or_insert_default().push(observed);
            }
            Event::InitDone => {
                self.told.pack();
                batch.push(SourceEvent::Restarted {
                    kind: self.kind,
                    objects: self.listing.take().unwrap_or_default(),
                });
                self.status.listed = true;
                self.status.listings += 1;
                // After a plain list, changes arrive from when the watch has been accepted.
                if self.status.mode == ListMode::StreamingList {
                    self.connected(batch);
                }
            }
            Event::Apply(seen) => {
                if self.told.is_news(&seen) {
                    batch.push(SourceEvent::Applied(self.take(seen)));
                }
                self.connected(batch);
            }
            Event::Delete(seen) => {
                let key = seen.key();
                self.told.forget(&key);
                batch.push(SourceEvent::Deleted(key));
                self.connected(batch);
            }
        }
        self.publish();
    }

    /// Parses an object. All manifests of a listing wait for the disk at once, so they are made small, and
    /// so may be many that change soon after each other.
    fn take<K: Watched>(&mut self, seen: Seen<K>) -> Observed {
        let mut observed = seen.observed();
        if observed.object.is_none() {
            self.status.invalid += 1;
        }
        observed.manifest = observed.manifest.map(|text| {
            let model = self.model.get_or_insert_with(|| text.read().into());
            text.like(model)
        });
        observed
    }

    /// The server has accepted a watch.
    fn opened(&mut self, batch: &mut Batch) {
        self.failed_resumes = 0;
        if self.status.listed && self.listing.is_none() {
            self.connected(batch);
            self.publish();
        }
    }

    fn connected(&mut self, batch: &mut Batch) {
        self.status.connected = true;
        self.tell(Health::Synced, batch);
    }

    /// Takes in a failure of the watcher.
    fn failure(&mut self, plural: &str, error: &watcher::Error, batch: &mut Batch) -> Next {
        let code = status(error).map(|status| status.code);
        let start = matches!(error, watcher::Error::WatchStartFailed(_));
        let streaming = self.status.mode == ListMode::StreamingList;
        if start && streaming && self.listing.is_none() && matches!(code, Some(400 | 422)) {
            self.fall_back("the API server does not stream lists");
            return Next::Renegotiate;
        }
        if self.is_absent(code) {
            self.absent(&diagnose(self.kind, plural, error), batch);
            return Next::Later;
        }
        self.failed(diagnose(self.kind, plural, error), batch);
        if start && code == Some(TOO_LARGE) {
            self.failed_resumes += 1;
        }
        if code == Some(410) || self.failed_resumes >= RESUMES {
            self.failed_resumes = 0;
            return Next::Relist;
        }
        Next::Pause
    }

    /// Whether this answer says that a kind which may be absent is. That it may not be read counts only when
    /// others may be: while an API server starts, nothing may.
    fn is_absent(&self, code: Option<u16>) -> bool {
        if !self.kind.is_optional() || self.status.listings > 0 {
            return false;
        }
        let others_are_listed = || {
            let all = self.statuses.borrow();
            all.iter().any(|(kind, it)| *kind != self.kind && it.listed)
        };
        code == Some(404) || code == Some(403) && others_are_listed()
    }

    /// The server does without the kind, or does not let us see it: then it has no objects.
    fn absent(&mut self, error: &WatchError, batch: &mut Batch) {
        self.listing = None;
        if self.status.listed {
            return;
        }
        self.status.listed = true;
        // There is nothing else to be connected to.
        self.status.connected = true;
        tracing::info!(kind = %self.kind, "the API server has none to see: {}", error.message);
        batch.push(SourceEvent::Restarted {
            kind: self.kind,
            objects: Vec::new(),
        });
        self.tell(Health::Synced, batch);
        self.publish();
    }

    /// A listing makes no progress.
    fn stalled(&mut self, batch: &mut Batch) -> Next {
        if self.status.mode == ListMode::StreamingList && self.listing.is_some() {
            self.fall_back("a streaming list did not end");
            return Next::Renegotiate;
        }
        let message = "the API server does not answer the list".to_owned();
        let reason = WatchReason::Stalled;
        self.failed(WatchError { reason, message }, batch);
        Next::Relist
    }

    fn fall_back(&mut self, why: &str) {
        tracing::info!(kind = %self.kind, "{why}: listing the plain way");
        self.status.mode = ListMode::ListWatch;
        self.listing = None;
        self.publish();
    }

    fn failed(&mut self, error: WatchError, batch: &mut Batch) {
        let reason = error.reason.as_str();
        if matches!(self.health, Health::Retrying { .. }) {
            tracing::debug!(kind = %self.kind, reason, "{}", error.message);
        } else {
            tracing::warn!(kind = %self.kind, reason, "watch failed, trying again: {}", error.message);
        }
        self.listing = None;
        self.status.connected = false;
        self.status.failures += 1;
        // That it may not be read is an answer too: nobody else has to wait for another one.
        if error.reason == WatchReason::Forbidden
            && let Some(name) = &self.only
        {
            let refused = Observed::unread(name, Reason::SecretForbidden, &error.message);
            batch.push(SourceEvent::Applied(refused));
        }
        let told = Health::Retrying {
            error: error.message.clone(),
        };
        self.status.last_error = Some((SystemTime::now(), error));
        self.tell(told, batch);
        self.publish();
    }

    fn tell(&mut self, health: Health, batch: &mut Batch) {
        if self.health == health {
            return;
        }
        if health == Health::Synced && self.health != Health::Starting {
            tracing::info!(kind = %self.kind, "watch recovered");
            self.recovered.notify_waiters();
        }
        self.health = health.clone();
        batch.push(SourceEvent::Health {
            kind: self.kind,
            health,
        });
    }

    /// Waits after a failure, but no longer than until another kind reaches the server.
    async fn pause(&self, duration: Duration) {
        let reason = self
            .status
            .last_error
            .as_ref()
            .map(|(_, error)| error.reason);
        if reason.is_some_and(WatchReason::is_about_the_connection) {
            // Either way it is time to try again.
            let _ = timeout(duration, self.recovered.notified()).await;
        } else {
            sleep(duration).await;
        }
    }

    fn publish(&self) {
        self.statuses.send_modify(|all| {
            all.insert(self.kind, self.status.clone());
        });
    }
}

/// What was last told of each object of a numerous kind, as a hash. Most of what happens to these in a
/// large cluster concerns no speaker, or not this one: heartbeats, new annotations, pods of other nodes.
/// That ends here.
#[derive(Debug, Default)]
struct Told {
    hasher: foldhash::quality::RandomState,
    objects: HashMap<u64, u64, foldhash::fast::RandomState>,
}

impl Told {
    /// Whether this was not what was told last of the object. From now on it is.
    fn is_news<K: Watched>(&mut self, seen: &Seen<K>) -> bool {
        if !K::KIND.is_numerous() {
            return true;
        }
        let now = self.hasher.hash_one(&seen.text);
        self.objects.insert(self.hash(&seen.key()), now) != Some(now)
    }

    fn forget(&mut self, key: &ObjectKey) {
        self.objects.remove(&self.hash(key));
    }

    fn hash(&self, key: &ObjectKey) -> u64 {
        self.hasher.hash_one((&key.namespace, &key.name))
    }

    /// Gives back the room that was left for more.
    fn pack(&mut self) {
        self.objects.shrink_to_fit();
    }
}

/// Follows one kind until the receiver of the batches is gone.
pub(super) async fn follow<K: Watched>(
    client: Client,
    tuning: Tuning,
    mut follower: Follower,
    batches: mpsc::Sender<Batch>,
) {
    let plural = K::plural(&());
    let mut backoff = Backoff::new(tuning.backoff_min, tuning.backoff_max);
    let answers = Arc::new(Answers::default());
    let api = api_of::<K>(heeding(client, Arc::clone(&answers)));
    loop {
        let mut events = Box::pin(watcher(api.clone(), follower.config()));
        let mut listed_by = Some(Instant::now() + tuning.listing_patience);
        loop {
            let mut batch = Batch::new();
            let mut wish = tuning.backoff_min;
            let next = tokio::select! {
                biased;
                () = answers.opened.notified() => {
                    follower.opened(&mut batch);
                    Next::Continue
                }
                event = within(listed_by, events.next()) => match event {
                    Some(Some(Ok(event))) => {
                        let watching = matches!(
                            event,
                            Event::InitDone | Event::Apply(_) | Event::Delete(_)
                        );
                        listed_by = (!watching).then(|| Instant::now() + tuning.listing_patience);
                        follower.event(event, &mut batch);
                        Next::Continue
                    }
                    Some(Some(Err(error))) => {
                        wish = retry_after(&error).max(answers.retry_after()).min(RETRY_AFTER_MAX);
                        follower.failure(&plural, &error, &mut batch)
                    }
                    // The watcher's stream does not end; if it did, a new one is the answer.
                    Some(None) => Next::Relist,
                    None => follower.stalled(&mut batch),
                },
            };
            if !batch.is_empty() && batches.send(batch).await.is_err() {
                return;
            }
            match next {
                Next::Continue => {}
                Next::Renegotiate => break,
                Next::Later => {
                    sleep(ABSENT).await;
                    break;
                }
                Next::Pause | Next::Relist => {
                    follower.pause(backoff.pause().max(wish)).await;
                    if next == Next::Relist {
                        break;
                    }
                    listed_by = listed_by.map(|_| Instant::now() + tuning.listing_patience);
                }
            }
        }
    }
}

/// The result, or `None` when the deadline has passed. Without a deadline it waits for ever.
async fn within<T>(deadline: Option<Instant>, future: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline, future).await.ok(),
        None => Some(future.await),
    }
}

/// What the server's answers say beyond what the watcher passes on.
#[derive(Debug, Default)]
struct Answers {
    /// Rung whenever it accepts a watch.
    opened: Notify,
    /// Seconds after which its last refusal wants to be asked again.
    retry_after: AtomicU64,
}

impl Answers {
    fn note(&self, is_watch: bool, response: &Response<Body>) {
        let header = response.headers().get(RETRY_AFTER);
        let seconds = header.and_then(|value| value.to_str().ok()?.parse().ok());
        self.retry_after
            .store(seconds.unwrap_or(0), Ordering::Relaxed);
        if is_watch && response.status().is_success() {
            self.opened.notify_one();
        }
    }

    /// How long to wait for what was refused last.
    fn retry_after(&self) -> Duration {
        Duration::from_secs(self.retry_after.load(Ordering::Relaxed))
    }
}

/// A client whose answers are noted.
fn heeding(client: Client, answers: Arc<Answers>) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, answers) = (client.clone(), Arc::clone(&answers));
        async move {
            let query = request.uri().query().unwrap_or_default();
            let is_watch = query.split('&').any(|part| part == "watch=true");
            let response: Response<Body> = client.send(request).await?;
            answers.note(is_watch, &response);
            Ok::<_, kube::Error>(response)
        }
    });
    Client::new(service, namespace)
}

#[cfg(test)]
mod tests;
