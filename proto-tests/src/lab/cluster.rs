//! Objects in a Kubernetes cluster that is not the lab's own.
//!
//! The speakers, their network, the routers and the pods are the lab's; the Nodes, peers and
//! configuration are objects in whatever cluster a kubeconfig names, and reach the speakers through
//! a [relay](super::relay). Nothing of the lab is a real node there: no kubelet stands behind it and
//! its taint keeps pods away.
//!
//! What the cluster has besides stays as it is and must not mix with the lab: its Nodes become mesh
//! peers of the lab's speakers that never come up, for the lab has no way out. What would change the
//! outcome (any redstart.dev object, a Node with the lab's addresses) is refused before anything is
//! written. So is a cluster where Redstart runs, for its speakers would take the lab's Nodes for
//! their own: they would dial them in vain.
//!
//! Every object is named `redstart-test-RUN-…` and labelled (see [`Cluster`]), but for the
//! `BGPConfiguration`, whose only name is `default`. The lab's run directory remembers the run, so
//! `lab down` and the next `lab up` delete what a killed lab left.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail};
use http::{
    Uri,
    uri::{Parts, Scheme},
};
use ipnetwork::IpNetwork;
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, ResourceExt as _,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    config::Kubeconfig,
};
use redstart_controller::api::{BGPAdvertisement, BGPConfiguration, BGPPeer};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    objects::Written,
    topology::{DualPrefix, Family, Topology},
};
use crate::apiserver::cluster::{Cluster, RUN_LABEL};

/// How long the cluster may take for what is asked of it at once.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A cluster, and the name of this run in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabCluster {
    kubeconfig: PathBuf,
    run: String,
}

impl LabCluster {
    /// A new run in the cluster of that kubeconfig's current context.
    pub fn new(kubeconfig: &Path) -> Result<Self> {
        let kubeconfig = fs::canonicalize(kubeconfig)
            .with_context(|| format!("cannot read {}", kubeconfig.display()))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let run = format!("{:x}-{now:x}", std::process::id());
        Ok(Self { kubeconfig, run })
    }

    /// What an object of the lab is called there.
    pub fn object_name(&self, short: &str) -> String {
        format!("redstart-test-{}-{short}", self.run)
    }

    /// Refuses a cluster that does not go together with this lab, and makes the CRDs that are
    /// missing.
    pub(super) fn prepare(&self, topology: &Topology) -> Result<()> {
        self.ask(async |cluster| {
            for kind in ["BGPConfiguration", "BGPPeer", "BGPAdvertisement"] {
                refuse_any(cluster, kind).await?;
            }
            let nodes: Api<Node> = Api::all(cluster.client());
            for node in nodes.list(&ListParams::default()).await? {
                refuse_overlap(&node, topology)?;
            }
            cluster.install_crds().await
        })
        .context("the lab cannot use this cluster")
    }

    /// Creates or changes the object of a manifest.
    pub(super) fn apply(&self, manifest: &str) -> Result<Written> {
        let object = self.object(manifest)?;
        let name = object.name_any();
        self.ask(async |cluster| apply(&api(cluster, kind(&object))?, &object).await)
            .with_context(|| format!("cannot write {} {name}", kind(&object)))
    }

    /// Deletes the object of a manifest.
    pub(super) fn delete(&self, manifest: &str) -> Result<()> {
        let object = self.object(manifest)?;
        let name = object.name_any();
        self.ask(async |cluster| {
            let api = api(cluster, kind(&object))?;
            api.delete(&name, &DeleteParams::default()).await?;
            Ok(())
        })
        .with_context(|| format!("cannot delete {} {name}", kind(&object)))
    }

    /// Deletes everything of this run.
    pub(super) fn clean(&self) -> Result<()> {
        self.ask(Cluster::clean).with_context(|| {
            format!(
                "objects labelled {RUN_LABEL}={} may be left in the cluster of {}",
                self.run,
                self.kubeconfig.display()
            )
        })
    }

    /// Writes a kubeconfig for the speakers, who reach the API server at `relay`: the current
    /// context alone, its credentials, the server's own name for its certificate. Returns the
    /// `HOST:PORT` of the server.
    pub(super) fn write_relayed(&self, relay: SocketAddr, to: &Path) -> Result<String> {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig)?;
        let (kubeconfig, server) = relayed(kubeconfig, relay)
            .with_context(|| format!("cannot relay {}", self.kubeconfig.display()))?;
        let text = serde_json::to_string_pretty(&kubeconfig)?;
        // It holds credentials.
        OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(to)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("cannot write {}", to.display()))?;
        Ok(server)
    }

    fn object(&self, manifest: &str) -> Result<DynamicObject> {
        let mut object: Value = serde_saphyr::from_str(manifest)?;
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        let metadata = &mut object["metadata"];
        let short = metadata["name"].as_str().unwrap_or_default().to_owned();
        metadata["labels"][RUN_LABEL] = json!(self.run);
        if kind != "BGPConfiguration" {
            metadata["name"] = json!(self.object_name(&short));
        }
        if kind == "Node" {
            metadata["labels"]["kubernetes.io/hostname"] = json!(self.object_name(&short));
            object["spec"]["taints"] = json!([{"key": RUN_LABEL, "effect": "NoExecute"}]);
        }
        Ok(serde_json::from_value(object)?)
    }

    fn ask<T>(&self, question: impl AsyncFnOnce(&Cluster) -> Result<T>) -> Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let answer = async {
            let cluster = Cluster::connect(self.kubeconfig.clone(), self.run.clone()).await?;
            question(&cluster).await
        };
        runtime.block_on(async {
            tokio::time::timeout(ANSWER_WITHIN, answer)
                .await
                .with_context(|| format!("the cluster does not answer in {ANSWER_WITHIN:?}"))?
        })
    }
}

fn kind(object: &DynamicObject) -> &str {
    object.types.as_ref().map_or("", |types| &types.kind)
}

fn api(cluster: &Cluster, kind: &str) -> Result<Api<DynamicObject>> {
    let resource = match kind {
        "Node" => ApiResource::erase::<Node>(&()),
        "BGPConfiguration" => ApiResource::erase::<BGPConfiguration>(&()),
        "BGPPeer" => ApiResource::erase::<BGPPeer>(&()),
        "BGPAdvertisement" => ApiResource::erase::<BGPAdvertisement>(&()),
        _ => bail!("a lab puts no {kind:?} in a cluster"),
    };
    Ok(Api::all_with(cluster.client(), &resource))
}

async fn apply(api: &Api<DynamicObject>, object: &DynamicObject) -> Result<Written> {
    let name = object.name_any();
    let create = PostParams::default();
    if api.get_opt(&name).await?.is_none() {
        api.create(&create, object).await?;
        return Ok(Written::Anew);
    }
    let params = PatchParams::default();
    match api.patch(&name, &params, &Patch::Merge(object)).await {
        Ok(_) => {
            if let Some(status) = object.data.get("status") {
                let status = Patch::Merge(json!({"status": status}));
                api.patch_status(&name, &params, &status).await?;
            }
            Ok(Written::InPlace)
        }
        // A real API server lets a Node's pod CIDRs be set once and never be changed: in such a
        // cluster they change when the Node is deleted and registered again.
        Err(kube::Error::Api(status)) if status.code == 422 && kind(object) == "Node" => {
            api.delete(&name, &DeleteParams::default()).await?;
            api.create(&create, object).await?;
            Ok(Written::Anew)
        }
        Err(error) => Err(error.into()),
    }
}

/// Redstart's objects are not the lab's to change, and would change the lab.
async fn refuse_any(cluster: &Cluster, kind: &str) -> Result<()> {
    let objects = match api(cluster, kind)?.list(&ListParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        objects => objects?,
    };
    match objects.items.first() {
        None => Ok(()),
        Some(object) => bail!(
            "it has {kind}/{}: use a test cluster where no Redstart runs, and without \
             redstart.dev objects",
            object.name_any()
        ),
    }
}

/// A Node there with the lab's pod CIDRs or addresses would be preferred to the lab's own.
fn refuse_overlap(node: &Node, topology: &Topology) -> Result<()> {
    let name = node.name_any();
    let spec = node.spec.clone().unwrap_or_default();
    let theirs = spec.pod_cidrs.unwrap_or_default();
    let mut ours: Vec<&DualPrefix> = topology.nodes.iter().map(|node| &node.pod_cidrs).collect();
    let other = DualPrefix::other_pod_cidrs();
    ours.push(&other);
    for theirs in theirs.iter().filter_map(|text| text.parse().ok()) {
        for ours in ours.iter().flat_map(|it| Family::ALL.map(|of| it.of(of))) {
            if overlap(theirs, ours.parse()?) {
                bail!("its Node {name} has pod CIDR {theirs}, and the lab needs {ours}");
            }
        }
    }
    let status = node.status.clone().unwrap_or_default();
    for address in status.addresses.unwrap_or_default() {
        if (address.address.parse()).is_ok_and(|address| topology.has_on_rack(address)) {
            let address = address.address;
            bail!("its Node {name} has the address {address}, which the lab uses too");
        }
    }
    Ok(())
}

fn overlap(a: IpNetwork, b: IpNetwork) -> bool {
    a.contains(b.network()) || b.contains(a.network())
}

/// The kubeconfig's current context with the relay in place of the server, and the server.
fn relayed(mut kubeconfig: Kubeconfig, relay: SocketAddr) -> Result<(Kubeconfig, String)> {
    let current = kubeconfig.current_context.clone().unwrap_or_default();
    kubeconfig.contexts.retain(|it| it.name == current);
    let context = kubeconfig.contexts.first();
    let context = context.and_then(|it| it.context.clone());
    let context = context.with_context(|| format!("there is no context {current:?}"))?;
    kubeconfig.clusters.retain(|it| it.name == context.cluster);
    (kubeconfig.auth_infos).retain(|it| Some(&it.name) == context.user.as_ref());
    let cluster = kubeconfig.clusters.first_mut();
    let cluster = cluster.and_then(|it| it.cluster.as_mut());
    let cluster = cluster.with_context(|| format!("there is no cluster {:?}", context.cluster))?;
    if cluster.proxy_url.is_some() {
        bail!("a proxy-url stands between: the relay goes to the server itself");
    }
    let server: Uri = cluster.server.as_deref().unwrap_or_default().parse()?;
    let host = server.host().context("its server has no host")?.to_owned();
    let tls = server.scheme() != Some(&Scheme::HTTP);
    let port = server.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let mut parts: Parts = server.into_parts();
    parts.authority = Some(relay.to_string().parse()?);
    cluster.server = Some(Uri::from_parts(parts)?.to_string());
    let bare = host.trim_matches(['[', ']']).to_owned();
    cluster.tls_server_name.get_or_insert(bare);
    Ok((kubeconfig, format!("{host}:{port}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{objects::node_manifest, speaker::Source, topology::TorKind};

    fn cluster() -> LabCluster {
        LabCluster {
            kubeconfig: "/nowhere".into(),
            run: "1-2".to_owned(),
        }
    }

    fn topology() -> Topology {
        Source::Cluster(cluster()).topology("x", TorKind::Bird)
    }

    #[test]
    fn objects_are_named_and_labelled_by_the_run() {
        let node = &topology().nodes[0];
        let object = cluster().object(&node_manifest(node)).unwrap();
        assert_eq!(object.name_any(), "redstart-test-1-2-n1");
        assert_eq!(object.labels()[RUN_LABEL], "1-2");
        assert_eq!(object.data["spec"]["podCIDR"], "10.244.101.0/24");
        let text = "apiVersion: redstart.dev/v1alpha1\nkind: BGPConfiguration\n\
                    metadata:\n  name: default\nspec: {}\n";
        let object = cluster().object(text).unwrap();
        assert_eq!(object.name_any(), "default");
        assert_eq!(object.labels()[RUN_LABEL], "1-2");
    }

    #[test]
    fn nodes_in_the_way_are_refused() {
        let node = |cidr: &str, address: &str| -> Node {
            serde_json::from_value(json!({
                "metadata": {"name": "worker"}, "spec": {"podCIDRs": [cidr]},
                "status": {"addresses": [{"type": "InternalIP", "address": address}]},
            }))
            .unwrap()
        };
        let refused = |cidr, address| {
            let result = refuse_overlap(&node(cidr, address), &topology());
            result.map_err(|error| error.to_string()).err()
        };
        assert_eq!(refused("10.244.1.0/24", "172.18.0.2"), None);
        for (cidr, address, why) in [
            ("10.244.0.0/16", "172.18.0.2", "pod CIDR 10.244.0.0/16"),
            ("fd00:244:102::/80", "172.18.0.2", "fd00:244:102::/64"),
            ("10.244.1.0/24", "10.10.0.2", "the address 10.10.0.2"),
        ] {
            let said = refused(cidr, address).unwrap();
            assert!(said.contains("worker") && said.contains(why), "{said}");
        }
    }

    #[test]
    fn the_speakers_kubeconfig_names_the_relay_and_the_servers_certificate() {
        let text = "
current-context: b
contexts:
- {name: a, context: {cluster: a, user: a}}
- {name: b, context: {cluster: b, user: b}}
clusters:
- {name: a, cluster: {server: 'https://a.example'}}
- {name: b, cluster: {server: 'https://[2001:db8::1]:8443/k8s/b'}}
users:
- {name: a, user: {token: other}}
- {name: b, user: {token: secret}}
";
        let kubeconfig = Kubeconfig::from_yaml(text).unwrap();
        let relay = "10.10.0.200:6443".parse().unwrap();
        let (relayed, server) = relayed(kubeconfig, relay).unwrap();
        assert_eq!(server, "[2001:db8::1]:8443");
        let written = serde_json::to_value(&relayed).unwrap();
        let cluster = &written["clusters"][0]["cluster"];
        assert_eq!(cluster["server"], "https://10.10.0.200:6443/k8s/b");
        assert_eq!(cluster["tls-server-name"], "2001:db8::1");
        assert_eq!(written["users"][0]["user"]["token"], "secret");
        assert!(!written.to_string().contains("other"), "{written}");
    }
}
