//! The objects directory of a lab: Node, BGPConfiguration and BGPPeer manifests.
//!
//! One file per object, replaced by rename, so that no speaker ever reads half a manifest. In a lab
//! with its objects in a cluster, the directory is the record of what was written there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::{
    cluster::LabCluster,
    speaker::Source,
    topology::{DualPrefix, Family, NODE_ASN, Node, Router, Topology},
};

/// A directory of manifests, shared by all speakers of a lab.
#[derive(Clone, Debug)]
pub struct Objects {
    dir: PathBuf,
    cluster: Option<LabCluster>,
}

/// How a manifest took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The object that was there has changed, or a file says so.
    InPlace,
    /// It is a new object; an older one of its name is gone.
    Anew,
}

impl Objects {
    /// The objects in this directory.
    pub fn of(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            cluster: None,
        }
    }

    /// The same objects, in the cluster too if that is where the speakers see them.
    #[must_use]
    pub fn seen_in(self, source: &Source) -> Self {
        let cluster = match source {
            Source::Cluster(cluster) => Some(cluster.clone()),
            Source::Objects | Source::Kube => None,
        };
        Self { cluster, ..self }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes, or replaces, one manifest.
    pub fn put(&self, name: &str, manifest: &str) -> Result<()> {
        self.write(name, manifest).map(drop)
    }

    fn write(&self, name: &str, manifest: &str) -> Result<Written> {
        let target = self.dir.join(format!("{name}.yaml"));
        let fresh = self.dir.join(format!(".{name}.fresh"));
        fs::write(&fresh, manifest)
            .and_then(|()| fs::rename(&fresh, &target))
            .with_context(|| format!("cannot write {}", target.display()))?;
        match &self.cluster {
            Some(cluster) => cluster.apply(manifest),
            None => Ok(Written::InPlace),
        }
    }

    /// Deletes one manifest.
    pub fn delete(&self, name: &str) -> Result<()> {
        let target = self.dir.join(format!("{name}.yaml"));
        if let Some(cluster) = &self.cluster {
            cluster.delete(&fs::read_to_string(&target)?)?;
        }
        fs::remove_file(&target).with_context(|| format!("cannot delete {}", target.display()))
    }

    /// Writes or replaces a Node.
    pub fn put_node(&self, node: &Node) -> Result<Written> {
        self.write(&node_file(&node.name), &node_manifest(node))
    }

    /// Writes the whole cluster.
    pub fn put_cluster(&self, topology: &Topology) -> Result<()> {
        fs::create_dir_all(&self.dir)?;
        for (name, manifest) in cluster(topology) {
            self.put(&name, &manifest)?;
        }
        Ok(())
    }
}

/// The name of a Node's file.
pub fn node_file(node: &str) -> String {
    format!("node-{node}")
}

/// Every object of the lab: file name without its suffix, and text.
pub fn cluster(topology: &Topology) -> Vec<(String, String)> {
    let mut objects = vec![("bgpconfiguration".to_owned(), configuration())];
    for router in &topology.routers {
        for family in Family::ALL {
            let name = peer_name(router, family);
            objects.push((
                format!("bgppeer-{name}"),
                peer_manifest(router, family, router.asn),
            ));
        }
    }
    for node in &topology.nodes {
        objects.push((node_file(&node.name), node_manifest(node)));
    }
    objects
}

/// `tor-v4`, …: the name of the BGPPeer of a router's session in a family.
pub fn peer_name(router: &Router, family: Family) -> String {
    match family {
        Family::V4 => format!("{}-v4", router.name),
        Family::V6 => format!("{}-v6", router.name),
    }
}

fn configuration() -> String {
    format!(
        "apiVersion: redstart.dev/v1alpha1\nkind: BGPConfiguration\nmetadata:\n  name: default\n\
         spec:\n  asn: {NODE_ASN}\n  timers:\n    connectRetrySeconds: 1\n"
    )
}

/// The BGPPeer of a router, with the AS that the nodes expect of it.
pub fn peer_manifest(router: &Router, family: Family, asn: u32) -> String {
    format!(
        "apiVersion: redstart.dev/v1alpha1\nkind: BGPPeer\nmetadata:\n  name: {}\n\
         spec:\n  address: \"{}\"\n  asn: {asn}\n",
        peer_name(router, family),
        router.rack.of(family)
    )
}

/// A Node.
pub fn node_manifest(node: &Node) -> String {
    let Node {
        name, addresses, ..
    } = node;
    let DualPrefix { v4, v6 } = &node.pod_cidrs;
    format!(
        "apiVersion: v1\nkind: Node\nmetadata:\n  name: {name}\n  labels:\n    \
         kubernetes.io/hostname: {name}\nspec:\n  podCIDR: {v4}\n  podCIDRs:\n  - {v4}\n  - {v6}\n\
         status:\n  addresses:\n  - type: InternalIP\n    address: {}\n  - type: InternalIP\n    \
         address: \"{}\"\n  - type: Hostname\n    address: {name}\n",
        addresses.v4, addresses.v6
    )
}
