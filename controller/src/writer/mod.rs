//! Writes what [`status`](crate::status) decides to the Kubernetes API: the node's `BGPNodeStatus` and
//! the conditions of objects, by server-side apply, and Events.
//!
//! A task of its own that asks the core like any other reader. It never holds the core up: the core
//! answers from memory, and nothing is sent to it. An API server that is away, slow or refuses costs
//! writes, with growing pauses between attempts; what is written then is the state as it is then.
//!
//! Server-side apply: nobody else's fields are touched, and no read is needed before a write. A
//! `BGPNodeStatus` has a field manager per node, and is owned by its Node, so it goes when that goes.
//! Conditions of an object have one field manager, whichever node writes them; what nodes find out about it by
//! themselves has another one, in the same way.

mod objects;

use std::{
    collections::BTreeMap,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::events::v1 as events;
use kube::{
    Api, Client, Error,
    api::{DynamicObject, Patch, PatchParams, PostParams},
};
use redstart_bgp::net::Clock;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::objects::Regarding;
use crate::{
    api::{BGPNodeStatus, NodeStatus},
    control::{Query, ask, views},
    object::ObjectRef,
    status::{
        conditions::Verdict,
        events::{Look, happened},
        known::Known,
        ledger::{Entry, Ledger},
        pace::{Pace, Tuning},
        page::{differs, page},
        programmed::programmed,
        ring::Ring,
        turn::Turns,
    },
};

/// The longest that one request may take.
const REQUEST: Duration = Duration::from_secs(15);

/// Where Events about objects without a namespace belong.
const EVENT_NAMESPACE: &str = "default";

/// The field manager of conditions: the same for all nodes, who all write the same.
const CONDITIONS_MANAGER: &str = "redstart";

/// That of the condition in which one node speaks for all.
const NODES_MANAGER: &str = "redstart-nodes";

/// Most objects whose conditions are written between two looks.
const CONDITIONS_AT_ONCE: usize = 10;

/// One node's writer.
pub struct Writer {
    node: String,
    client: Client,
    core: mpsc::Sender<Query>,
    known: Box<dyn Fn() -> Arc<Known> + Send + Sync>,
    clock: Clock,
    tuning: Tuning,
    /// What was last written, and of which Node.
    written: Option<NodeStatus>,
    owner: Option<String>,
    failing: bool,
}

impl Writer {
    /// The writer of `node`. What is `known` is looked up whenever something is to be written.
    #[must_use]
    pub fn new(
        node: String,
        client: Client,
        core: mpsc::Sender<Query>,
        known: Box<dyn Fn() -> Arc<Known> + Send + Sync>,
    ) -> Self {
        Self {
            node,
            client,
            core,
            known,
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
        let mut turns = Turns::new(random(), Duration::ZERO);
        // What a node finds may come and go all the time.
        let mut turns_of_nodes = Turns::new(random(), self.tuning.interval);
        loop {
            // Nodes that look at the same moment would go on doing so.
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
            let known = (self.known)();
            self.tell_events(&mut ledger, &mut before, &status, &peers, &known)
                .await;
            self.tell_status(&mut pace, &status, &peers, &known).await;
            let turn = (&mut turns, CONDITIONS_MANAGER);
            self.tell_conditions(turn, status.now, (&known.nodes, &known.verdicts))
                .await;
            let found = programmed(&self.node, (&peers, &status.problems), &known);
            let turn = (&mut turns_of_nodes, NODES_MANAGER);
            self.tell_conditions(turn, status.now, (&known.nodes, &found))
                .await;
        }
    }

    async fn tell_status(
        &mut self,
        pace: &mut Pace,
        status: &views::Status,
        peers: &[views::Protocol],
        known: &Known,
    ) {
        let heartbeat = u32::try_from(self.tuning.heartbeat.as_secs()).unwrap_or(u32::MAX);
        let page = page(status, peers, heartbeat, self.written.as_ref());
        let changed = self.written.as_ref().is_none_or(|old| differs(old, &page));
        if !pace.is_due(self.clock.now(), changed) {
            return;
        }
        let result = self.write_status(&page, known).await;
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

    async fn write_status(&mut self, page: &NodeStatus, known: &Known) -> Result<(), WriteError> {
        // Without its owner it would stay for ever.
        let owner = known.node_uid.clone().ok_or(WriteError::NoNode)?;
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
        known: &Known,
    ) {
        let now = self.clock.now();
        let look = Look::new(now, before, &self.node, (peers, &status.problems), known);
        for notice in happened(before, &look) {
            ledger.note(now, notice);
        }
        *before = look;
        let mut due = ledger.due(now).into_iter();
        while let Some(entry) = due.next() {
            if let Err(error) = self.write_event(&entry, known, status.now).await {
                if error.may_pass() {
                    ledger.failed(&entry);
                }
                // Nor would the others be answered.
                if matches!(error, WriteError::Timeout) {
                    due.by_ref().for_each(|entry| ledger.failed(&entry));
                }
                debug!(
                    reason = "event-not-written",
                    subject = entry.subject.object,
                    "{error}"
                );
            }
        }
    }

    async fn tell_conditions(
        &self,
        (turns, manager): (&mut Turns, &str),
        now: Timestamp,
        (nodes, verdicts): (&Ring, &BTreeMap<ObjectRef, Verdict>),
    ) {
        let at = self.clock.now();
        for object in turns.due(at, &self.node, nodes, verdicts, CONDITIONS_AT_ONCE) {
            let Some(verdict) = verdicts.get(&object) else {
                continue;
            };
            let written = self.write_conditions(manager, &object, verdict, now).await;
            if let Err(error) = written {
                debug!(
                    reason = "conditions-not-written",
                    subject = %object,
                    "{error}"
                );
            }
        }
    }

    async fn write_conditions(
        &self,
        manager: &str,
        object: &ObjectRef,
        verdict: &Verdict,
        now: Timestamp,
    ) -> Result<(), WriteError> {
        let Some(resource) = objects::resource(&object.kind) else {
            return Ok(());
        };
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let params = PatchParams::apply(manager).force();
        let mut patch = objects::conditions(object, verdict, now);
        if manager != CONDITIONS_MANAGER {
            // It is for those conditions that every object has.
            drop(
                patch["status"]
                    .as_object_mut()
                    .and_then(|it| it.remove("observedGeneration")),
            );
        }
        let patch = Patch::Apply(patch);
        within(api.patch_status(&object.name, &params, &patch)).await?;
        Ok(())
    }

    async fn write_event(
        &self,
        entry: &Entry,
        known: &Known,
        now: Timestamp,
    ) -> Result<(), WriteError> {
        let mut regarding = Regarding::of(&self.node, &entry.subject.object, known);
        let namespace = regarding.namespace.clone();
        let namespace = namespace.as_deref().unwrap_or(EVENT_NAMESPACE);
        let api: Api<events::Event> = Api::namespaced(self.client.clone(), namespace);
        let name = objects::event_name(&self.node, entry);
        if !entry.new {
            let patch = objects::series(entry, now);
            let params = PatchParams::default();
            let patched = within(api.patch(&name, &params, &Patch::Merge(&patch))).await;
            match patched {
                // Events do not live long; a series may outlive its own.
                Err(WriteError::Kube(error)) if is_missing(&error) => {}
                other => return other.map(|_| ()),
            }
        }
        if regarding.uid.is_none() {
            regarding.uid = self.uid(&regarding).await;
        }
        let place = (namespace, name.as_str());
        let event = objects::event(&self.node, place, entry, &regarding, now);
        let event = serde_json::from_value(event)?;
        within(api.create(&PostParams::default(), &event)).await?;
        Ok(())
    }

    /// The uid of an object, if the API server has it: one question for each new Event, whose number is
    /// bounded, instead of a uid for each of ten thousand Services in memory.
    async fn uid(&self, regarding: &Regarding) -> Option<String> {
        let resource = regarding.resource()?;
        let client = self.client.clone();
        let api: Api<DynamicObject> = match &regarding.namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        };
        let object = within(api.get_metadata(&regarding.name)).await.ok()?;
        object.metadata.uid
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

impl WriteError {
    /// Whether the same may be taken another time.
    fn may_pass(&self) -> bool {
        match self {
            Self::Kube(Error::Api(status)) => status.code == 429 || status.code >= 500,
            Self::Kube(_) | Self::Timeout => true,
            Self::NoNode | Self::Json(_) => false,
        }
    }
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
