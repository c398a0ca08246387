//! Objects from the Kubernetes API.
//!
//! One task per [`Kind`] follows `kube`'s watcher and turns what it says into [`SourceEvent`]s. An
//! object is reduced to what is used while the response is decoded, without even reading what it is
//! large by (`skip`), and parsed if it is not what was told of it before. So neither a listing nor a
//! queue ever holds whole Nodes, a heartbeat costs no more than reading it, and no object, however
//! malformed, can stop a watch.
//!
//! What holds whatever the API server does:
//!
//! - **Nothing is ever taken away by trouble.** A listing is handed over once it is complete, as one
//!   event. A listing that breaks off is forgotten; a lost connection is [`Health`] and no more.
//! - **A kind that cannot be listed is never "listed, and empty"**: a CRD that is not installed, a
//!   refused token and a missing permission all keep the index incomplete, and readiness says why.
//! - **Every failure is tried again**, after a growing, random pause, for ever. Only a kubeconfig
//!   that cannot be used ends the source.
//! - **Nothing waits for ever.** A connection that says nothing for [`READ_TIMEOUT`] is given up (a
//!   healthy one carries a bookmark each minute), and so is a listing that makes no progress.
//!
//! Listing: a streaming list (`sendInitialEvents`) first, because it costs the server and us the
//! least. A server that refuses it (400, 422), or leaves it without its end as one does that does
//! not know it, gets list and watch: for the first listing whatever its cache has, because all nodes
//! of a cluster may start at once; after 410 Gone the newest, so as never to go back in time.
//!
//! Secrets: those of [`NAMESPACE`](crate::api::NAMESPACE) that objects name, each with a watch of its
//! own (`secrets`), so that a Role may allow these and no others.
//!
//! Services and EndpointSlices are asked for with the labels that kube-proxy asks with
//! ([`Kind::left_alone`]): the endpoints of headless Services, which may be most of a cluster's, do
//! not travel to each node.
//!
//! Rotated tokens and certificate authorities are read again by `kube` itself, about each minute.

mod backoff;
mod diagnose;
mod follow;
mod project;
mod secrets;
mod seen;
mod skip;
mod status;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::api::{
    core::v1 as core, discovery::v1::EndpointSlice, networking::v1::ServiceCIDR,
};
use kube::{
    Client, Config,
    config::{InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::seen::read_manifest;
#[cfg(test)]
pub(crate) use self::seen::take_in;
pub use self::{
    diagnose::{WatchError, WatchReason},
    status::{ListMode, Statuses, WatchStatus},
};
use self::{
    follow::{Follower, follow},
    secrets::Watching,
    seen::Watched,
    skip::OWN_NODE,
};
use super::{Batch, Source};
#[cfg(doc)]
use super::{Health, SourceEvent};
use crate::{
    api::{BFDProfile, BGPAdvertisement, BGPConfiguration, BGPPeer, BGPPolicy},
    index::Kind,
};

/// How long a connection may say nothing. API servers send a bookmark about each minute.
pub const READ_TIMEOUT: Duration = Duration::from_secs(150);

/// The times that may be chosen. The defaults are right for clusters; tests are in a hurry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// The pause after a first failure, about.
    pub backoff_min: Duration,
    /// The longest pause.
    pub backoff_max: Duration,
    /// How long a listing may make no progress.
    pub listing_patience: Duration,
    /// How long a connection may say nothing.
    pub read_timeout: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            backoff_min: Duration::from_millis(500),
            backoff_max: Duration::from_secs(30),
            listing_patience: Duration::from_secs(60),
            read_timeout: READ_TIMEOUT,
        }
    }
}

/// The Kubernetes API as a source.
#[derive(Debug)]
pub struct KubeSource {
    kubeconfig: Option<PathBuf>,
    node: Option<Arc<str>>,
    tuning: Tuning,
    statuses: watch::Sender<Statuses>,
}

/// Why the Kubernetes API cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The file that was named is missing or is no usable kubeconfig.
    #[error("kubeconfig {}: {source}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<KubeconfigError>,
    },
    /// No file was named, and neither the environment nor the pod says where the API is.
    #[error("no Kubernetes API is configured: {0}")]
    NotConfigured(#[from] Box<InferConfigError>),
    /// The configuration names credentials or authorities that cannot be used.
    #[error("Kubernetes client: {0}")]
    Client(#[from] Box<kube::Error>),
}

impl KubeSource {
    /// The API that a kubeconfig names. Without one: the kubeconfig of the environment (`KUBECONFIG`,
    /// `~/.kube/config`), or the cluster that this pod runs in.
    #[must_use]
    pub fn new(kubeconfig: Option<PathBuf>) -> Self {
        let unknown = Kind::ALL.map(|kind| (kind, WatchStatus::default()));
        Self {
            kubeconfig,
            node: None,
            tuning: Tuning::default(),
            statuses: watch::Sender::new(BTreeMap::from(unknown)),
        }
    }

    /// For the speaker of this node: of the endpoints of others, it is told in which states there are
    /// some, not how many.
    #[must_use]
    pub fn for_node(self, node: &str) -> Self {
        Self {
            node: Some(node.into()),
            ..self
        }
    }

    /// With other times.
    #[must_use]
    pub fn tuned(self, tuning: Tuning) -> Self {
        Self { tuning, ..self }
    }

    /// How each watch does, always up to date; for metrics and the CLI.
    #[must_use]
    pub fn statuses(&self) -> watch::Receiver<Statuses> {
        self.statuses.subscribe()
    }
}

/// A client for what [`KubeSource::new`] is told.
///
/// # Errors
/// See [`ConnectError`]. The API server is not asked anything yet.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Client, ConnectError> {
    connect_with(kubeconfig, READ_TIMEOUT).await
}

async fn connect_with(
    kubeconfig: Option<&Path>,
    read_timeout: Duration,
) -> Result<Client, ConnectError> {
    let mut config = match kubeconfig {
        Some(path) => from_file(path).await?,
        None => Config::infer().await.map_err(Box::new)?,
    };
    config.read_timeout = Some(read_timeout);
    config.reset_reader_on_write = true;
    // `follow` tries again by itself, and must see each failure to report it.
    config.default_retry = false;
    Ok(Client::try_from(config).map_err(Box::new)?)
}

async fn from_file(path: &Path) -> Result<Config, ConnectError> {
    let wrong = |source| ConnectError::Kubeconfig {
        path: path.to_owned(),
        source: Box::new(source),
    };
    let kubeconfig = Kubeconfig::read_from(path).map_err(wrong)?;
    let authority = authority_file(&kubeconfig);
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(wrong)?;
    config.root_cert_file = authority;
    Ok(config)
}

/// The file with the authority of the cluster of the current context, which may be rotated. `kube`
/// follows that of a pod's service account by itself, and reads any other one once.
fn authority_file(kubeconfig: &Kubeconfig) -> Option<PathBuf> {
    let current = kubeconfig.current_context.as_ref()?;
    let contexts = &mut kubeconfig.contexts.iter();
    let context = contexts.find(|it| it.name == *current)?.context.as_ref()?;
    let clusters = &mut kubeconfig.clusters.iter();
    let cluster = clusters.find(|it| it.name == context.cluster)?;
    let cluster = cluster.cluster.as_ref()?;
    if cluster.certificate_authority_data.is_some() {
        return None;
    }
    cluster.certificate_authority.as_ref().map(PathBuf::from)
}

impl Source for KubeSource {
    type Error = ConnectError;

    async fn run(
        self,
        batches: mpsc::Sender<Batch>,
        stop: CancellationToken,
    ) -> Result<(), ConnectError> {
        let client = connect_with(self.kubeconfig.as_deref(), self.tuning.read_timeout).await?;
        let mut tasks = JoinSet::new();
        let (objects, passing) = mpsc::channel(1);
        let task = Task {
            client,
            node: self.node,
            tuning: self.tuning,
            statuses: self.statuses,
            batches: objects,
            recovered: Arc::new(Notify::new()),
        };
        let watching = Watching {
            client: task.client.clone(),
            tuning: task.tuning,
            statuses: task.statuses.clone(),
            recovered: Arc::clone(&task.recovered),
        };
        tasks.spawn(secrets::relay(watching, passing, batches));
        task.spawn::<core::Node>(&mut tasks);
        task.spawn::<core::Service>(&mut tasks);
        task.spawn::<EndpointSlice>(&mut tasks);
        task.spawn::<ServiceCIDR>(&mut tasks);
        task.spawn::<BGPConfiguration>(&mut tasks);
        task.spawn::<BGPPeer>(&mut tasks);
        task.spawn::<BGPAdvertisement>(&mut tasks);
        task.spawn::<BGPPolicy>(&mut tasks);
        task.spawn::<BFDProfile>(&mut tasks);
        drop(task);
        // A task ends when nobody takes its batches any more. Dropping the set aborts the others: all
        // that they hold is what the next start lists again.
        let ended = stop.run_until_cancelled(tasks.join_next()).await;
        if let Some(Some(Err(error))) = ended
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
        Ok(())
    }
}

/// What the task of each kind gets.
struct Task {
    client: Client,
    node: Option<Arc<str>>,
    tuning: Tuning,
    statuses: watch::Sender<Statuses>,
    batches: mpsc::Sender<Batch>,
    recovered: Arc<Notify>,
}

impl Task {
    fn spawn<K: Watched>(&self, tasks: &mut JoinSet<()>) {
        let recovered = Arc::clone(&self.recovered);
        let follower = Follower::new(K::KIND, self.statuses.clone(), recovered);
        let following = follow::<K>(
            self.client.clone(),
            self.tuning,
            follower,
            self.batches.clone(),
        );
        match &self.node {
            Some(node) => tasks.spawn(OWN_NODE.scope(Arc::clone(node), following)),
            None => tasks.spawn(following),
        };
    }
}
