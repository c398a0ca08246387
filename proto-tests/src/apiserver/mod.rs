//! A Kubernetes API server for tests: real HTTP over TLS, real semantics, faults on demand.
//!
//! It keeps any kind of object as JSON and knows no field but metadata and status. What it does as a
//! real server does, because the project's own client code depends on it:
//!
//! - paged lists that stay consistent (`limit`, `continue`, 410 when the token has expired), the
//!   `resourceVersion=0` list that ignores `limit`;
//! - watches from a resource version, with bookmarks, selectors, `timeoutSeconds`, 410 Gone, and
//!   streaming lists (`sendInitialEvents`) that can be switched off (422);
//! - create, update with optimistic locking, merge patch, server-side apply with field owners and
//!   conflicts, `/status`, dry run;
//! - CRDs: creating one serves its kind, deleting it answers 404;
//! - TLS by an authority of its own, a bearer token, 401 without it; RBAC where it is told the rules.
//!
//! What it does not: validation, admission, finalizers, garbage collection, OpenAPI.
//!
//! [`Faults`] makes it misbehave, from the test or over HTTP below `/_test/` ([`control`]).
//!
//! Invariants: one revision counter orders all writes; a watch that is not told 410 misses no write;
//! no lock is held across an await.

mod apply;
pub mod cluster;
pub mod control;
mod discovery;
pub mod faults;
mod kubeconfig;
mod patch;
mod rbac;
mod read;
mod request;
mod resource;
mod seed;
mod selector;
mod serve;
mod status;
mod store;
mod tls;
mod write;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

pub use faults::Faults;
pub use kubeconfig::{Credential, Kubeconfig};
pub use rbac::{Grant, grants};
pub use request::Verb;
pub use resource::{Gvr, Key, plain_crd};
pub use status::Refusal;

use self::{
    request::{Query, Target},
    seed::Directory,
    store::{SharedStore, Write},
    tls::CurrentIdentity,
};

/// How to start a server.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Further names and addresses under which clients reach it, for the certificate.
    pub names: Vec<String>,
    /// The bearer token.
    pub token: String,
    /// How often an idle watch gets a bookmark; a real server's is about a minute.
    pub bookmark_interval: Duration,
    /// What the account may do; everything where absent.
    pub grants: Option<Vec<Grant>>,
    /// Whether our own CRDs are there from the start.
    pub redstart_crds: bool,
    /// A directory of manifests for the first content.
    pub objects: Option<PathBuf>,
    /// Follow changes of that directory.
    pub follow_objects: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            names: Vec::new(),
            token: "test-token".to_owned(),
            bookmark_interval: Duration::from_secs(1),
            grants: None,
            redstart_crds: true,
            objects: None,
            follow_objects: false,
        }
    }
}

/// What all connections share.
#[derive(Debug)]
pub struct Api {
    store: SharedStore,
    faults: Faults,
    bookmark_interval: Duration,
    grants: RwLock<Option<Vec<Grant>>>,
}

impl Api {
    /// Creates or replaces an object as it is, status included, without a request.
    ///
    /// # Errors
    /// A kind that is not served, or no name.
    pub fn put(&self, mut object: Value) -> Result<Arc<Value>, Refusal> {
        let key = self.key_of(&object)?;
        let missing = || Refusal::not_found("kind", &object["kind"].to_string());
        let resource = self.store.read().resource(&key.gvr).ok_or_else(missing)?;
        let stored = self.store.write(&key, |store| {
            let old = store.get(&key);
            write::own_metadata(store, &resource, &key, old.as_deref(), &mut object);
            Ok(if old.as_deref() == Some(&object) {
                Write::Keep
            } else {
                Write::Put(object)
            })
        })?;
        stored.ok_or_else(|| Refusal::not_found(&key.gvr.qualified(), &key.name))
    }

    /// Deletes an object without a request. `false` if it was not there.
    pub fn remove(&self, key: &Key) -> bool {
        let result = self.store.write(key, |_| Ok::<_, Refusal>(Write::Delete));
        matches!(result, Ok(Some(_)))
    }

    /// Where an object lives, by its `apiVersion`, `kind` and metadata.
    ///
    /// # Errors
    /// A kind that is not served, or no name.
    pub fn key_of(&self, object: &Value) -> Result<Key, Refusal> {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        let name = text("name");
        let (api_version, kind) = (&object["apiVersion"], &object["kind"]);
        if name.is_empty() {
            return Err(Refusal::invalid(format!(
                "{kind}: metadata.name: Required value"
            )));
        }
        let resources = self.store.read().resources();
        let resource = resources
            .iter()
            .find(|it| it.kind == *kind && it.gvr.api_version() == *api_version)
            .ok_or_else(|| {
                Refusal::invalid(format!("no matches for kind {kind} in {api_version}"))
            })?;
        let namespace = match (resource.namespaced, text("namespace")) {
            (false, _) => "",
            (true, "") => "default",
            (true, namespace) => namespace,
        };
        Ok(Key {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            gvr: resource.gvr.clone(),
        })
    }
}

/// A running server. Dropping it stops it.
pub struct ApiServer {
    api: Arc<Api>,
    address: SocketAddr,
    identity: CurrentIdentity,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl ApiServer {
    /// Starts a server in the network namespace of the calling thread. It answers when this
    /// returns.
    ///
    /// # Errors
    /// The address cannot be opened, a name does not go into a certificate, the directory of
    /// objects cannot be read.
    pub fn start(options: Options) -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind(options.listen)
            .with_context(|| format!("cannot listen on {}", options.listen))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let identity = CurrentIdentity::generate(reached_at(address), options.names)?;
        let api = Arc::new(Api {
            store: SharedStore::default(),
            faults: Faults::new(options.token),
            bookmark_interval: options.bookmark_interval,
            grants: RwLock::new(options.grants),
        });
        if options.redstart_crds {
            for crd in redstart_crds() {
                api.put(crd)?;
            }
        }
        let mut directory = options.objects.as_deref().map(Directory::new);
        if let Some(directory) = &mut directory {
            directory.sync(&api)?;
        }
        let stop = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let serve = {
            let (api, stop) = (Arc::clone(&api), stop.clone());
            let identity = identity.clone();
            let followed = directory.filter(|_| options.follow_objects);
            move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        result = serve::run(listener, identity, Arc::clone(&api)) => {
                            if let Err(error) = result {
                                eprintln!("apiserver: {error}");
                            }
                        }
                        () = follow(followed, &api) => {}
                    }
                });
            }
        };
        Ok(Self {
            api,
            address,
            identity,
            stop,
            thread: Some(
                thread::Builder::new()
                    .name("apiserver".to_owned())
                    .spawn(serve)?,
            ),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate authority that clients must trust.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        self.identity.get().ca_pem
    }

    /// Shows a certificate of another authority from now on, to new connections.
    ///
    /// # Errors
    /// None that starting had not.
    pub fn rotate_authority(&self) -> anyhow::Result<()> {
        self.identity.replace()
    }

    /// The knobs.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.api.faults
    }

    /// Allows the account this from now on, and nothing else. Watches that are open go on.
    pub fn grant(&self, grants: Vec<Grant>) {
        let now = self.api.grants.write();
        *now.unwrap_or_else(PoisonError::into_inner) = Some(grants);
    }

    /// A kubeconfig with the right authority and the token that is accepted now.
    #[must_use]
    pub fn kubeconfig(&self) -> Kubeconfig {
        Kubeconfig {
            server: format!("https://{}", self.address),
            ca_pem: self.ca_pem(),
            ca_file: None,
            credential: Credential::Token(self.api.faults.token()),
        }
    }

    /// See [`Api::put`].
    ///
    /// # Errors
    /// A kind that is not served, or no name.
    pub fn put(&self, object: Value) -> Result<Arc<Value>, Refusal> {
        self.api.put(object)
    }

    /// Deletes an object; `namespace` is empty for cluster-scoped ones. `false` if it was not
    /// there.
    pub fn remove(&self, gvr: &Gvr, namespace: &str, name: &str) -> bool {
        self.api.remove(&Key {
            gvr: gvr.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }

    /// An object as it is now.
    #[must_use]
    pub fn get(&self, gvr: &Gvr, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.api.store.read().get(&Key {
            gvr: gvr.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Every object of a kind as it is now, by namespace and name.
    #[must_use]
    pub fn list(&self, gvr: &Gvr) -> Vec<Arc<Value>> {
        let store = self.api.store.read();
        let objects = store.list(gvr);
        objects.map(|(_, object)| Arc::clone(object)).collect()
    }

    /// Forgets the history: every resource version until now is 410 Gone.
    pub fn compact(&self) {
        self.api.store.compact();
    }

    /// Waits until the server ends, which it does by error alone.
    pub fn join(mut self) {
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed.
            let _ = thread.join();
        }
    }
}

impl Api {
    /// Whether the account may do that.
    fn authorize(&self, verb: Verb, target: &Target, query: &Query) -> Result<(), Refusal> {
        let grants = self.grants.read().unwrap_or_else(PoisonError::into_inner);
        match &*grants {
            Some(grants) => rbac::authorize(grants, verb, target, query),
            None => Ok(()),
        }
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The addresses that a server which listens at `address` is reached at.
fn reached_at(address: SocketAddr) -> Vec<IpAddr> {
    let loopback = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv6Addr::LOCALHOST.into(),
    ];
    let other = Some(address.ip()).filter(|ip| !ip.is_unspecified() && !loopback.contains(ip));
    loopback.into_iter().chain(other).collect()
}

async fn follow(directory: Option<Directory>, api: &Api) {
    let Some(mut directory) = directory else {
        return std::future::pending().await;
    };
    let mut said = String::new();
    loop {
        tokio::time::sleep(seed::INTERVAL).await;
        let problem = directory.sync(api).err().map(|error| format!("{error:#}"));
        let problem = problem.unwrap_or_default();
        if problem != said && !problem.is_empty() {
            eprintln!("apiserver: {problem}");
        }
        said = problem;
    }
}

/// Our own CRDs.
fn redstart_crds() -> Vec<Value> {
    let crds = redstart_controller::api::crds();
    crds.into_iter().map(|crd| json!(crd)).collect()
}
