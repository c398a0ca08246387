//! Writes what [`status`](crate::status) decides to the Kubernetes API: the node's `BGPNodeStatus`,
//! by server-side apply, and Events.
//!
//! A task of its own that asks the core like any other reader. It never holds the core up: the core
//! answers from memory, and nothing is sent to it. An API server that is away, slow or refuses costs
//! writes, with growing pauses between attempts; what is written then is the state as it is then.
//!
//! Server-side apply with a field manager per node: nobody else's fields are touched, and no read is
//! needed before a write. The object is owned by its Node, so it goes when that goes.

mod objects;

use std::{
    collections::BTreeMap,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    time::Duration,
};

use k8s_openapi::api::events::v1 as events;
use kube::{
    Api, Client, Error,
    api::{Patch, PatchParams, PostParams},
};
use redstart_bgp::net::Clock;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::{
    api::{BGPNodeStatus, NodeStatus},
    control::{Query, ask, views},
    object::ObjectRef,
    status::{
        events::{Entry, Ledger, Look, happened},
        pace::{Pace, Tuning},
        page::{differs, page},
    },
};

/// The longest that one request may take.
const REQUEST: Duration = Duration::from_secs(15);

/// Where Events about objects without a namespace belong.
const EVENT_NAMESPACE: &str = "default";

/// What tells objects from earlier ones of the same name, as far as known: those that own what is
/// written, or that Events are about.
pub type Uids = BTreeMap<ObjectRef, String>;

/// One node's writer.
pub struct Writer {
    node: String,
    client: Client,
    core: mpsc::Sender<Query>,
    uids: Box<dyn Fn() -> Uids + Send + Sync>,
    clock: Clock,
    tuning: Tuning,
    /// What was last written, and of which Node.
    written: Option<NodeStatus>,
    owner: Option<String>,
    failing: bool,
}

impl Writer {
    /// The writer of `node`. `uids` are looked up whenever something is written.
    #[must_use]
    pub fn new(
        node: String,
        client: Client,
        core: mpsc::Sender<Query>,
        uids: Box<dyn Fn() -> Uids + Send + Sync>,
    ) -> Self {
        Self {
            node,
            client,
            core,
            uids,
            clock: Clock::new(),
            tuning: Tuning::default(),
            written: None,
            owner: None,
            failing: false,
        }
    }

    /// With other times.
    #[must_use]
    pub fn tuned(self, tuning: Tuning) -> Self {
        Self { tuning, ..self }
    }

    /// Writes until `stop`, or until the core is gone.
    pub async fn run(mut self, stop: CancellationToken) {
        let _ = stop.run_until_cancelled(self.write_on()).await;
    }

    async fn write_on(&mut self) {
        let mut pace = Pace::new(self.tuning, random());
        let mut ledger = Ledger::new(self.clock.now(), RandomState::new().build_hasher().finish());
        let mut before = Look::default();
        loop {
            // All nodes of a cluster may have started at once.
            tokio::time::sleep(self.tuning.look.mul_f64(0.5 + random())).await;
            if self.core.is_closed() {
                return;
            }
            // A core that is busy is asked again.
            let (Some(status), Some(peers)) = (
                ask(&self.core, Query::Status).await,
                ask(&self.core, Query::Protocols).await,
            ) else {
                continue;
            };
            // Before there is a configuration there is nothing to say that means anything.
            if status.configured.is_none() {
                continue;
            }
            self.tell_events(&mut ledger, &mut before, &status, &peers)
                .await;
            self.tell_status(&mut pace, &status, &peers).await;
        }
    }

    async fn tell_status(
        &mut self,
        pace: &mut Pace,
        status: &views::Status,
        peers: &[views::Protocol],
    ) {
        let heartbeat = u32::try_from(self.tuning.heartbeat.as_secs()).unwrap_or(u32::MAX);
        let page = page(status, peers, heartbeat, self.written.as_ref());
        let changed = self.written.as_ref().is_none_or(|old| differs(old, &page));
        if !pace.is_due(self.clock.now(), changed) {
            return;
        }
        let result = self.write_status(&page).await;
        pace.attempted(self.clock.now(), result.is_ok(), random());
        match result {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    info!("the BGPNodeStatus is written again");
                }
                self.written = Some(page);
            }
            Err(error) if !std::mem::replace(&mut self.failing, true) => {
                warn!(
                    reason = "status-not-written",
                    "BGPNodeStatus {}: {error}; trying again", self.node
                );
            }
            Err(error) => debug!(reason = "status-not-written", "{error}"),
        }
    }

    async fn write_status(&mut self, page: &NodeStatus) -> Result<(), WriteError> {
        let owner = (self.uids)().remove(&objects::node(&self.node));
        // Without its owner it would stay for ever.
        let owner = owner.ok_or(WriteError::NoNode)?;
        let api: Api<BGPNodeStatus> = Api::all(self.client.clone());
        let params = PatchParams::apply(&objects::manager(&self.node)).force();
        let object = objects::node_status(&self.node, &owner);
        let status = objects::status_of(&object, page);
        if self.owner.as_ref() != Some(&owner) {
            within(api.patch(&self.node, &params, &Patch::Apply(&object))).await?;
            self.owner = Some(owner);
        }
        let written = within(api.patch_status(&self.node, &params, &Patch::Apply(&status))).await;
        if matches!(&written, Err(WriteError::Kube(error)) if is_missing(error)) {
            // Somebody deleted it: the next attempt makes it anew.
            self.owner = None;
        }
        written.map(|_| ())
    }

    async fn tell_events(
        &self,
        ledger: &mut Ledger,
        before: &mut Look,
        status: &views::Status,
        peers: &[views::Protocol],
    ) {
        let look = Look::new(&self.node, peers, &status.problems);
        let now = self.clock.now();
        for notice in happened(before, &look) {
            ledger.note(now, notice);
        }
        *before = look;
        let due = ledger.due(now);
        if due.is_empty() {
            return;
        }
        let uids = (self.uids)();
        for entry in due {
            if let Err(error) = self.write_event(&entry, &uids, status).await {
                debug!(
                    reason = "event-not-written",
                    subject = entry.subject.object,
                    "{error}"
                );
            }
        }
    }

    async fn write_event(
        &self,
        entry: &Entry,
        uids: &Uids,
        status: &views::Status,
    ) -> Result<(), WriteError> {
        let api: Api<events::Event> = Api::namespaced(self.client.clone(), EVENT_NAMESPACE);
        let name = objects::event_name(&self.node, entry);
        if !entry.new {
            let patch = objects::series(entry, status.now);
            let params = PatchParams::default();
            let patched = within(api.patch(&name, &params, &Patch::Merge(&patch))).await;
            match patched {
                // Events do not live long; a series may outlive its own.
                Err(WriteError::Kube(error)) if is_missing(&error) => {}
                other => return other.map(|_| ()),
            }
        }
        let event = objects::event(&self.node, &name, EVENT_NAMESPACE, entry, uids, status.now);
        let event = serde_json::from_value(event)?;
        within(api.create(&PostParams::default(), &event)).await?;
        Ok(())
    }
}

/// Something was not written.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("{0}")]
    Kube(#[from] Error),
    #[error("the API server does not answer")]
    Timeout,
    #[error("there is no Node of this name")]
    NoNode,
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

async fn within<T>(request: impl Future<Output = Result<T, Error>>) -> Result<T, WriteError> {
    let answer = timeout(REQUEST, request).await;
    Ok(answer.map_err(|_| WriteError::Timeout)??)
}

fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 404)
}

/// Uniform in [0, 1). Not a secret: it only spreads the nodes of a cluster.
fn random() -> f64 {
    let bits = RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(bits >> 32).unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
}
