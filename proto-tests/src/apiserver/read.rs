//! Get, list and watch.
//!
//! A watch is a stream that is pulled: it replays the history from its own position whenever the
//! client can take more, so a slow client costs nothing but falls behind, and is told 410 Gone when
//! the history has moved on without it.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, stream};
use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};

use super::{
    Api,
    faults::{StreamingLists, WatchEnd, WatchOrder},
    request::Query,
    resource::{Gvr, Key, Resource},
    selector::Selector,
    status::Refusal,
    store::{Change, at},
};

/// The annotation on the bookmark that ends the initial events of a streaming list.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";
/// What a watch without `timeoutSeconds` gets.
const DEFAULT_WATCH_SECONDS: u64 = 1800;

/// What a list or watch covers.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    gvr: Gvr,
    namespace: String,
    selector: Selector,
}

impl Scope {
    /// From resource, namespace (empty for all) and query.
    ///
    /// # Errors
    /// 400 for selectors that do not parse.
    pub(super) fn new(gvr: &Gvr, namespace: &str, query: &Query) -> Result<Self, Refusal> {
        Ok(Self {
            gvr: gvr.clone(),
            namespace: namespace.to_owned(),
            selector: Selector::parse(query.get("labelSelector"), query.get("fieldSelector"))?,
        })
    }

    /// Whether an object is in it.
    #[must_use]
    pub(super) fn covers(&self, key: &Key, object: &Value) -> bool {
        key.gvr == self.gvr
            && (self.namespace.is_empty() || key.namespace == self.namespace)
            && self.selector.matches(object)
    }
}

/// A list, whole or one page of it.
///
/// # Errors
/// 400, 410 for an expired continue token, 504 for a revision in the future.
pub(super) fn list(
    api: &Api,
    resource: &Resource,
    scope: &Scope,
    query: &Query,
) -> Result<Value, Refusal> {
    let store = api.store.read();
    let wanted = query.number("resourceVersion")?;
    if let Some(wanted) = wanted.filter(|it| *it > store.revision()) {
        return Err(Refusal::too_large(wanted, store.revision()));
    }
    let (revision, after) = match query.get("continue") {
        "" => (store.revision(), None),
        token => parse_continue(token).map(|(revision, key)| (revision, Some(key)))?,
    };
    if revision < store.oldest() {
        return Err(Refusal::expired(revision, store.oldest()));
    }
    // Like the real watch cache: "any version" is answered whole, whatever the limit.
    let limit = query.number("limit")?.filter(|_| wanted != Some(0));
    let limit = limit
        .filter(|it| *it > 0)
        .map_or(usize::MAX, |it| usize::try_from(it).unwrap_or(usize::MAX));
    let most = api.faults.page_size().filter(|_| wanted != Some(0));
    let limit = limit.min(most.unwrap_or(usize::MAX));

    let objects: BTreeMap<Key, Arc<Value>> = store.list_at(&resource.gvr, revision);
    let mut rest = objects
        .iter()
        .filter(|(key, object)| scope.covers(key, object))
        .skip_while(|(key, _)| after.as_ref().is_some_and(|after| place(key) <= *after));
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let remaining = rest.count();

    let mut metadata = json!({"resourceVersion": revision.to_string()});
    if let Some((last, _)) = page.last().filter(|_| remaining > 0) {
        metadata["continue"] = json!(format!("{revision}:{}", place(last)));
        metadata["remainingItemCount"] = json!(remaining);
    }
    let items: Vec<&Value> = page.iter().map(|(_, object)| object.as_ref()).collect();
    Ok(json!({
        "kind": format!("{}List", resource.kind),
        "apiVersion": resource.gvr.api_version(),
        "metadata": metadata,
        "items": items,
    }))
}

/// Where a key sorts within its resource; a character below all others joins the two names.
fn place(key: &Key) -> String {
    format!("{} {}", key.namespace, key.name)
}

fn parse_continue(token: &str) -> Result<(u64, String), Refusal> {
    token
        .split_once(':')
        .and_then(|(revision, place)| Some((revision.parse().ok()?, place.to_owned())))
        .ok_or_else(|| Refusal::bad_request("continue key is not valid"))
}

/// A watch that has been accepted.
pub(super) struct Watch {
    api: Arc<Api>,
    resource: Resource,
    scope: Scope,
    /// All writes up to here are in `pending` or sent.
    position: u64,
    pending: VecDeque<Event>,
    bookmarks: bool,
    ending: Ending,
    next_bookmark: Instant,
    deadline: Instant,
    written: watch::Receiver<u64>,
    orders: watch::Receiver<WatchOrder>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Running,
    /// Ends when `pending` is sent.
    Close,
    Drop,
}

impl Watch {
    /// Accepts a watch.
    ///
    /// # Errors
    /// 422 for a streaming list that is switched off or asked for in the wrong way; 504 for a
    /// revision in the future.
    pub(super) fn start(
        api: &Arc<Api>,
        resource: &Resource,
        scope: Scope,
        query: &Query,
    ) -> Result<Self, Refusal> {
        let served = api.faults.streaming_lists();
        if served != StreamingLists::Ignored {
            check_streaming(served, query)?;
        }
        let streaming = served == StreamingLists::Served && query.flag("sendInitialEvents");
        let seconds = query.number("timeoutSeconds")?.filter(|it| *it > 0);
        let from = query.number("resourceVersion")?.unwrap_or(0);
        let mut watch = Self {
            api: Arc::clone(api),
            resource: resource.clone(),
            scope,
            position: from,
            pending: VecDeque::new(),
            bookmarks: query.flag("allowWatchBookmarks"),
            ending: Ending::Running,
            next_bookmark: Instant::now() + api.bookmark_interval,
            deadline: Instant::now()
                + Duration::from_secs(seconds.unwrap_or(DEFAULT_WATCH_SECONDS)),
            written: api.store.subscribe(),
            orders: api.faults.orders(),
        };
        let store = api.store.read();
        if from > store.revision() {
            return Err(Refusal::too_large(from, store.revision()));
        }
        let asked = query.get("sendInitialEvents");
        let unasked = asked.is_empty() || served == StreamingLists::Ignored;
        if streaming || (unasked && from == 0) {
            watch.position = store.revision();
            for (key, object) in store.list(&watch.resource.gvr) {
                if watch.scope.covers(key, object) {
                    watch.pending.push_back(event("ADDED", object));
                }
            }
        }
        if streaming && watch.bookmarks {
            let annotations = json!({INITIAL_EVENTS_END: "true"});
            let end = watch.bookmark(Some(annotations));
            watch.pending.push_back(end);
        }
        Ok(watch)
    }

    /// The events, one JSON document per line. An error breaks the response off.
    pub(super) fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        stream::unfold(self, |mut watch| async move {
            let next = watch.next().await?;
            Some((next, watch))
        })
    }

    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(Ok(event.line()));
            }
            match self.ending {
                Ending::Close => return None,
                Ending::Drop => {
                    // Said once: the next pull ends the stream.
                    self.ending = Ending::Close;
                    return Some(Err(io::Error::from(io::ErrorKind::ConnectionReset)));
                }
                Ending::Running => {}
            }
            self.catch_up();
            if !self.pending.is_empty() {
                continue;
            }
            tokio::select! {
                biased;
                changed = self.orders.changed() => match changed {
                    Ok(()) => self.obey(),
                    Err(_) => return None,
                },
                changed = self.written.changed() => if changed.is_err() {
                    return None;
                },
                () = tokio::time::sleep_until(self.next_bookmark), if self.bookmarks => {
                    self.next_bookmark = Instant::now() + self.api.bookmark_interval;
                    self.pending.push_back(self.bookmark(None));
                }
                () = tokio::time::sleep_until(self.deadline) => return None,
            }
        }
    }

    fn catch_up(&mut self) {
        let api = Arc::clone(&self.api);
        let store = api.store.read();
        if store.resource(&self.resource.gvr).is_none() {
            // The CRD is gone. What went with it is told first.
            self.ending = Ending::Close;
        }
        if self.position < store.oldest() && self.position != store.revision() {
            let gone = Refusal::expired(self.position, store.oldest());
            self.fail(&gone);
            return;
        }
        for change in store.since(self.position) {
            if let Some(event) = self.describe(change) {
                self.pending.push_back(event);
            }
        }
        self.position = store.revision();
    }

    /// What a write is to this watch: an object that a label change moves into the selection is
    /// added, one that leaves it is deleted.
    fn describe(&self, change: &Change) -> Option<Event> {
        let covered = |object: &Option<Arc<Value>>| {
            object
                .clone()
                .filter(|object| self.scope.covers(&change.key, object))
        };
        match (covered(&change.before), covered(&change.after)) {
            (None, None) => None,
            (None, Some(after)) => Some(event("ADDED", &after)),
            (Some(_), Some(after)) => Some(event("MODIFIED", &after)),
            (Some(before), None) => Some(event("DELETED", &at(&before, change.revision))),
        }
    }

    fn obey(&mut self) {
        let order = self.orders.borrow_and_update().clone();
        let mine = order.plural.as_ref();
        if mine.is_some_and(|plural| *plural != self.resource.gvr.plural) {
            return;
        }
        if let Some(behind) = order.bookmark
            && self.bookmarks
        {
            let revision = self.position.saturating_sub(behind);
            self.pending.push_back(self.bookmark_at(revision, None));
        }
        match order.end {
            Some(WatchEnd::Close) => self.ending = Ending::Close,
            Some(WatchEnd::Drop) => self.ending = Ending::Drop,
            Some(WatchEnd::Gone) => {
                let revision = self.api.store.read().revision();
                self.fail(&Refusal::expired(self.position, revision));
            }
            None => {}
        }
    }

    fn fail(&mut self, refusal: &Refusal) {
        if let Some(status) = refusal.to_status() {
            self.pending.push_back(event("ERROR", &Arc::new(status)));
        }
        self.ending = Ending::Close;
    }

    fn bookmark(&self, annotations: Option<Value>) -> Event {
        self.bookmark_at(self.position, annotations)
    }

    fn bookmark_at(&self, revision: u64, annotations: Option<Value>) -> Event {
        let mut object = json!({
            "kind": self.resource.kind,
            "apiVersion": self.resource.gvr.api_version(),
            "metadata": {"resourceVersion": revision.to_string(), "creationTimestamp": null},
        });
        if let Some(annotations) = annotations {
            object["metadata"]["annotations"] = annotations;
        }
        event("BOOKMARK", &Arc::new(object))
    }
}

/// One line of a watch.
struct Event {
    kind: &'static str,
    object: Arc<Value>,
}

impl Event {
    /// Like a real server's: the type comes first, so that clients can decode the object as it comes.
    fn line(&self) -> Bytes {
        let Self { kind, object } = self;
        Bytes::from(format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n"))
    }
}

fn event(kind: &'static str, object: &Arc<Value>) -> Event {
    Event {
        kind,
        object: Arc::clone(object),
    }
}

/// The rules for `sendInitialEvents`, in a real server's words.
fn check_streaming(served: StreamingLists, query: &Query) -> Result<(), Refusal> {
    let forbidden = |why: &str| {
        Err(Refusal::invalid(format!(
            "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: {why}"
        )))
    };
    if query.get("sendInitialEvents").is_empty() {
        return Ok(());
    }
    if served == StreamingLists::Refused {
        return forbidden(
            "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled",
        );
    }
    if query.get("resourceVersionMatch") != "NotOlderThan" {
        return forbidden(
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        );
    }
    Ok(())
}
