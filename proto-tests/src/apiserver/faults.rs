//! What to do wrong, and when.
//!
//! A rule matches requests by verb and resource and acts on the first few or on all of them.
//! Watches that run already are told separately: they end, break off, or are told that they are too
//! old. An outage closes the listener and every connection, so that clients see what they see when
//! the machine is gone: connection refused.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::request::Verb;

/// Requests that the log keeps.
const LOGGED: usize = 10_000;

/// Requests to treat badly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Only this verb.
    #[serde(default)]
    pub verb: Option<Verb>,
    /// Only this resource, by plural.
    #[serde(default)]
    pub plural: Option<String>,
    /// So many are let through first.
    #[serde(default)]
    pub skip: u32,
    /// Only this often; for ever where absent.
    #[serde(default)]
    pub times: Option<u32>,
    /// What to do.
    pub action: Action,
}

/// What to do with a request that a rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Action {
    /// Answer with an error.
    Status {
        /// The HTTP status.
        code: u16,
        /// Seconds for `Retry-After`.
        #[serde(default)]
        retry_after: Option<u32>,
    },
    /// Answer late.
    Delay {
        /// How late.
        millis: u64,
    },
    /// Answer 200 with half a JSON document.
    Truncate,
}

/// What becomes of the watches that run now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WatchEnd {
    /// Ended in good order, as after `timeoutSeconds`.
    Close,
    /// Broken off in the middle of the response.
    Drop,
    /// An ERROR event with 410 Gone, then ended.
    Gone,
}

/// What becomes of a watch with `sendInitialEvents`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StreamingLists {
    /// Served, as by default since Kubernetes 1.34.
    Served,
    /// Answered with 422, as with the `WatchList` feature gate off.
    Refused,
    /// A parameter that nobody knows: the objects come, their end is never marked.
    Ignored,
}

/// One order to running watches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchOrder {
    /// Counts the orders, so that equal ones differ.
    pub number: u64,
    /// Which watches, by plural; all where absent.
    pub plural: Option<String>,
    /// What to do; `None` only before the first order.
    pub end: Option<WatchEnd>,
    /// Send a bookmark first, so many revisions behind the latest.
    pub bookmark: Option<u64>,
}

/// One request as it was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logged {
    /// `GET`.
    pub method: String,
    /// Path and query.
    pub uri: String,
    /// The HTTP status.
    pub code: u16,
}

#[derive(Debug)]
struct State {
    rules: Vec<Rule>,
    streaming_lists: StreamingLists,
    page_size: Option<usize>,
    token: String,
    tokens_made: u32,
    log: VecDeque<Logged>,
}

/// The knobs, and the log of requests.
#[derive(Debug)]
pub struct Faults {
    state: Mutex<State>,
    orders: watch::Sender<WatchOrder>,
    refusing: watch::Sender<bool>,
}

impl Faults {
    /// Nothing goes wrong yet.
    #[must_use]
    pub fn new(token: String) -> Self {
        Self {
            state: Mutex::new(State {
                rules: Vec::new(),
                streaming_lists: StreamingLists::Served,
                page_size: None,
                token,
                tokens_made: 0,
                log: VecDeque::new(),
            }),
            orders: watch::Sender::new(WatchOrder::default()),
            refusing: watch::Sender::new(false),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a rule; the first that matches acts.
    pub fn add(&self, rule: Rule) {
        self.state().rules.push(rule);
    }

    /// Forgets all rules, serves streaming lists and pages of any size, accepts connections.
    pub fn clear(&self) {
        let mut state = self.state();
        state.rules.clear();
        state.streaming_lists = StreamingLists::Served;
        state.page_size = None;
        drop(state);
        self.refusing.send_replace(false);
    }

    /// What becomes of `sendInitialEvents`.
    pub fn set_streaming_lists(&self, how: StreamingLists) {
        self.state().streaming_lists = how;
    }

    pub(super) fn streaming_lists(&self) -> StreamingLists {
        self.state().streaming_lists
    }

    /// No page of a list has more objects than this, whatever a client asks for.
    pub fn set_page_size(&self, objects: usize) {
        self.state().page_size = Some(objects);
    }

    pub(super) fn page_size(&self) -> Option<usize> {
        self.state().page_size
    }

    /// The action for a request, counting down rules that act a number of times.
    pub(super) fn action(&self, verb: Verb, plural: &str) -> Option<Action> {
        let mut state = self.state();
        let rule = state.rules.iter_mut().find(|rule| {
            rule.times != Some(0)
                && rule.verb.is_none_or(|it| it == verb)
                && rule.plural.as_deref().is_none_or(|it| it == plural)
        })?;
        if rule.skip > 0 {
            rule.skip -= 1;
            return None;
        }
        if let Some(times) = &mut rule.times {
            *times -= 1;
        }
        Some(rule.action)
    }

    /// Ends the watches that run now, of one resource or all.
    pub fn end_watches(&self, plural: Option<&str>, end: WatchEnd) {
        self.order(plural, Some(end), None);
    }

    /// The same after a bookmark that is out of order: so many revisions older than what the watch was
    /// told already.
    pub fn end_watches_late(&self, plural: Option<&str>, end: WatchEnd, behind: u64) {
        self.order(plural, Some(end), Some(behind));
    }

    /// Sends a bookmark on every watch that takes them.
    pub fn send_bookmarks(&self) {
        self.order(None, None, Some(0));
    }

    fn order(&self, plural: Option<&str>, end: Option<WatchEnd>, bookmark: Option<u64>) {
        self.orders.send_modify(|order| {
            order.number += 1;
            order.plural = plural.map(str::to_owned);
            order.end = end;
            order.bookmark = bookmark;
        });
    }

    pub(super) fn orders(&self) -> watch::Receiver<WatchOrder> {
        self.orders.subscribe()
    }

    /// Refuses connections from now on, and closes those that are open; or accepts them again.
    pub fn refuse_connections(&self, refuse: bool) {
        self.refusing.send_replace(refuse);
    }

    /// Refuses connections for a while. Returns when it is over.
    pub async fn outage(&self, duration: Duration) {
        self.refuse_connections(true);
        tokio::time::sleep(duration).await;
        self.refuse_connections(false);
    }

    pub(super) fn refusing(&self) -> watch::Receiver<bool> {
        self.refusing.subscribe()
    }

    /// The token that is accepted now.
    #[must_use]
    pub fn token(&self) -> String {
        self.state().token.clone()
    }

    /// Accepts another token from now on, and the old one no longer. Watches that run go on, as
    /// on a real server.
    pub fn rotate_token(&self) -> String {
        let mut state = self.state();
        state.tokens_made += 1;
        state.token = format!("rotated-token-{}", state.tokens_made);
        state.token.clone()
    }

    pub(super) fn log(&self, entry: Logged) {
        let mut state = self.state();
        if state.log.len() == LOGGED {
            state.log.pop_front();
        }
        state.log.push_back(entry);
    }

    /// The requests answered so far, oldest first. A watch is logged when it starts.
    #[must_use]
    pub fn requests(&self) -> Vec<Logged> {
        self.state().log.iter().cloned().collect()
    }
}
