//! Scenarios against any Kubernetes cluster, real or [`ApiServer`](super::ApiServer), by kubeconfig.
//!
//! A scenario that takes a [`Cluster`] runs against the test server always, and against a real
//! cluster too when `REDSTART_TEST_KUBECONFIG` names a kubeconfig:
//!
//! ```text
//! REDSTART_TEST_KUBECONFIG=~/.kube/config cargo test -p redstart-proto-tests --test kube_cluster
//! ```
//!
//! `lab_cluster`, with a whole lab, does so likewise; see CONTRIBUTING.md.
//!
//! The account must be allowed to manage Nodes, redstart.dev objects and CRDs. The cluster needs no
//! special state and is left as it was: every object is named `redstart-test-RUN-…` and labelled
//! `redstart.dev/test-run=RUN`, and only what carries that label is deleted. CRDs that are missing are
//! created with that label too, so those that were there before stay. After a test process was
//! killed, this removes what is left:
//!
//! ```text
//! kubectl delete nodes,crds -l redstart.dev/test-run
//! kubectl delete bgpconfigurations,bgppeers,bgpadvertisements -l redstart.dev/test-run
//! ```

use std::{env, panic::AssertUnwindSafe, path::PathBuf, time::Duration};

use anyhow::Context;
use futures_util::FutureExt;
use k8s_openapi::{
    api::core::v1::Node,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use redstart_controller::{
    api::{BGPAdvertisement, BGPConfiguration, BGPPeer, crds},
    source::kube::connect,
};
use serde::de::DeserializeOwned;
use serde_json::json;

/// Names a kubeconfig; scenarios run against that cluster too.
pub const KUBECONFIG_VARIABLE: &str = "REDSTART_TEST_KUBECONFIG";
/// What every object of a run is labelled with.
pub const RUN_LABEL: &str = "redstart.dev/test-run";

/// How long a CRD may take to be served, or to go with what is left of its kind.
const ESTABLISHED_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The kubeconfig of the real cluster to test against, if one was named.
#[must_use]
pub fn real_kubeconfig() -> Option<PathBuf> {
    env::var_os(KUBECONFIG_VARIABLE)
        .filter(|it| !it.is_empty())
        .map(PathBuf::from)
}

/// A cluster, and what one run has put there.
pub struct Cluster {
    client: Client,
    /// The kubeconfig that leads to it, for the speaker under test.
    pub kubeconfig: PathBuf,
    run: String,
}

impl Cluster {
    /// The cluster of a kubeconfig, for the run of that name. Asks nothing of it yet.
    ///
    /// # Errors
    /// What is wrong with the kubeconfig.
    pub async fn connect(kubeconfig: PathBuf, run: String) -> anyhow::Result<Self> {
        let client = connect(Some(&kubeconfig)).await?;
        Ok(Self {
            client,
            kubeconfig,
            run,
        })
    }

    /// To ask it anything else.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Runs a scenario and takes away what it made, also when it panics or fails.
    ///
    /// # Errors
    /// What the scenario says, or what the cluster refused.
    pub async fn scenario<F>(kubeconfig: PathBuf, body: F) -> anyhow::Result<()>
    where
        F: AsyncFnOnce(&mut Self) -> anyhow::Result<()>,
    {
        let run = std::process::id().to_string();
        let mut cluster = Self::connect(kubeconfig, run).await?;
        let whole = async {
            cluster.install_crds().await?;
            body(&mut cluster).await
        };
        let result = AssertUnwindSafe(whole).catch_unwind().await;
        let cleaned = cluster.clean().await;
        match result {
            Ok(result) => result.and(cleaned),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// The full name of an object of this run.
    #[must_use]
    pub fn name(&self, short: &str) -> String {
        format!("redstart-test-{}-{short}", self.run)
    }

    /// Creates a Node with an address and pod CIDRs. No kubelet stands behind it.
    ///
    /// # Errors
    /// What the cluster refused.
    pub async fn create_node(
        &self,
        short: &str,
        address: &str,
        pod_cidrs: &[&str],
    ) -> anyhow::Result<Node> {
        let api: Api<Node> = Api::all(self.client.clone());
        let node = self.object(
            short,
            json!({
                "spec": {
                    "podCIDR": pod_cidrs.first(), "podCIDRs": pod_cidrs,
                    // Nothing is to be scheduled there.
                    "taints": [{"key": RUN_LABEL, "effect": "NoExecute"}],
                },
            }),
        )?;
        api.create(&PostParams::default(), &node).await?;
        let status = json!({
            "status": {"addresses": [{"type": "InternalIP", "address": address}]},
        });
        let patch = Patch::Merge(&status);
        Ok(api
            .patch_status(&self.name(short), &PatchParams::default(), &patch)
            .await?)
    }

    /// Creates a `BGPPeer`.
    ///
    /// # Errors
    /// What the cluster refused.
    pub async fn create_peer(&self, short: &str, spec: serde_json::Value) -> anyhow::Result<()> {
        let api: Api<BGPPeer> = Api::all(self.client.clone());
        let peer = self.object(short, json!({"spec": spec}))?;
        api.create(&PostParams::default(), &peer).await?;
        Ok(())
    }

    /// Changes an object by a merge patch.
    ///
    /// # Errors
    /// What the cluster refused.
    pub async fn patch<K>(&self, short: &str, patch: serde_json::Value) -> anyhow::Result<()>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let api: Api<K> = Api::all(self.client.clone());
        let patch = Patch::Merge(patch);
        api.patch(&self.name(short), &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }

    /// Deletes an object of this run.
    ///
    /// # Errors
    /// What the cluster refused.
    pub async fn delete<K>(&self, short: &str) -> anyhow::Result<()>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let api: Api<K> = Api::all(self.client.clone());
        api.delete(&self.name(short), &DeleteParams::default())
            .await?;
        Ok(())
    }

    fn object<K>(&self, short: &str, mut object: serde_json::Value) -> anyhow::Result<K>
    where
        K: Resource<DynamicType = ()> + DeserializeOwned,
    {
        object["apiVersion"] = json!(K::api_version(&()));
        object["kind"] = json!(K::kind(&()));
        object["metadata"] = json!({
            "name": self.name(short), "labels": {RUN_LABEL: self.run},
        });
        Ok(serde_json::from_value(object)?)
    }

    /// Creates the CRDs that are missing, and waits until they are served.
    ///
    /// # Errors
    /// What the cluster refused, or that it takes too long.
    pub async fn install_crds(&self) -> anyhow::Result<()> {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        for mut crd in crds() {
            if api.get_opt(&crd.name_any()).await?.is_some() {
                continue;
            }
            let label = (RUN_LABEL.to_owned(), self.run.clone());
            crd.labels_mut().extend([label]);
            api.create(&PostParams::default(), &crd).await?;
        }
        let served = async {
            while self.served::<BGPPeer>().await.is_err()
                || self.served::<BGPConfiguration>().await.is_err()
                || self.served::<BGPAdvertisement>().await.is_err()
            {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        tokio::time::timeout(ESTABLISHED_WITHIN, served)
            .await
            .context("the CRDs are not served in time")
    }

    async fn served<K>(&self) -> kube::Result<()>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let api: Api<K> = Api::all(self.client.clone());
        api.list_metadata(&ListParams::default().limit(1)).await?;
        Ok(())
    }

    /// Deletes everything of this run, and waits until the CRDs among it are gone: the next run
    /// must not take one that is going for one that is there.
    ///
    /// # Errors
    /// What the cluster refused, or that it takes too long.
    pub async fn clean(&self) -> anyhow::Result<()> {
        self.delete_labelled::<Node>().await?;
        self.delete_labelled::<BGPPeer>().await?;
        self.delete_labelled::<BGPAdvertisement>().await?;
        self.delete_labelled::<BGPConfiguration>().await?;
        self.delete_labelled::<CustomResourceDefinition>().await?;
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let gone = async {
            while !api.list_metadata(&self.mine()).await?.items.is_empty() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(ESTABLISHED_WITHIN, gone)
            .await
            .context("the CRDs do not go")?
    }

    fn mine(&self) -> ListParams {
        ListParams::default().labels(&format!("{RUN_LABEL}={}", self.run))
    }

    async fn delete_labelled<K>(&self) -> anyhow::Result<()>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let api: Api<K> = Api::all(self.client.clone());
        match api
            .delete_collection(&DeleteParams::default(), &self.mine())
            .await
        {
            // Without its CRD, nothing of a kind is there.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            result => Ok(result.map(drop)?),
        }
    }
}
