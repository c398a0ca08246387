//! Nodes come and go, and get other pod CIDRs.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use anyhow::{Context as _, Result, bail};

use super::{
    routes::{expected, wait_all},
    sessions::{SessionSnapshot, established},
};
use crate::lab::{
    Lab,
    objects::Written,
    speaker,
    topology::{DualPrefix, Family, Node, Topology},
};

/// From a change of an object to all kernels, on a machine that is busy. The checks say how long it took.
pub const CHANGE_BOUND: Duration = Duration::from_secs(10);
/// For everything to be as it was, new sessions included.
const BACK_BOUND: Duration = Duration::from_secs(15);

/// Deletes a Node: its routes leave every other kernel, and no other session notices. Then creates
/// it anew. Says how long the routes took to go.
pub fn node_removed(lab: &Lab, node: &str) -> Result<Duration> {
    let gone = lab.topology.node(node).context("no such node")?;
    let before = SessionSnapshot::take(lab)?;
    lab.objects()
        .delete(&crate::lab::objects::node_file(node))?;
    let took = wait_all(lab, &expected(&lab.topology.without(node)), CHANGE_BOUND)
        .with_context(|| format!("{node} was deleted"))?;
    before.unchanged_with(lab, |neighbor| {
        Family::ALL
            .iter()
            .all(|family| gone.addresses.of(*family) != neighbor)
    })?;
    lab.objects().put_node(gone)?;
    established(lab, BACK_BOUND).with_context(|| format!("{node} is back"))?;
    wait_all(lab, &expected(&lab.topology), BACK_BOUND)
        .with_context(|| format!("{node} is back"))?;
    Ok(took)
}

/// Gives a node other pod CIDRs: every kernel has the new routes and not the old ones, and no
/// session was reset, the routers' or the mesh's. Then gives it back the old ones. Says how long
/// the change took.
///
/// Where an API server wants a new Node for that, the node's own sessions may come up anew.
pub fn pod_cidrs_changed(lab: &Lab, node: &str) -> Result<Duration> {
    let old = lab.topology.node(node).context("no such node")?;
    let others = Sessions::Without(old);
    let before = SessionSnapshot::take(lab)?;
    let counts = established_counts(lab, &Sessions::All)?;
    let counts_of_others = established_counts(lab, &others)?;
    let changed = (lab.topology).with_pod_cidrs(node, &DualPrefix::other_pod_cidrs());
    let (written, took) =
        change(lab, &changed, node).with_context(|| format!("the pod CIDRs of {node} changed"))?;
    change(lab, &lab.topology, node)
        .with_context(|| format!("the pod CIDRs of {node} changed back"))?;
    let (which, counts) = match written {
        Written::InPlace => (Sessions::All, counts),
        Written::Anew => (others, counts_of_others),
    };
    before.unchanged_with(lab, |neighbor| which.has_neighbor(neighbor))?;
    let now = established_counts(lab, &which)?;
    if now != counts {
        bail!("sessions were reset: established {counts:?} times, now {now:?}");
    }
    Ok(took)
}

/// Writes the node as it is in that topology and waits until the kernels follow.
fn change(lab: &Lab, to: &Topology, node: &str) -> Result<(Written, Duration)> {
    let written = (lab.objects()).put_node(to.node(node).context("no such node")?)?;
    let bound = match written {
        Written::InPlace => CHANGE_BOUND,
        Written::Anew => BACK_BOUND,
    };
    let took = wait_all(lab, &expected(to), bound)?;
    if written == Written::Anew {
        established(lab, BACK_BOUND)?;
    }
    Ok((written, took))
}

/// Which sessions of the lab are meant.
enum Sessions<'a> {
    All,
    Without(&'a Node),
}

impl Sessions<'_> {
    fn has_node(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Without(node) => node.name != name,
        }
    }

    fn has_neighbor(&self, neighbor: IpAddr) -> bool {
        match self {
            Self::All => true,
            Self::Without(node) => Family::ALL
                .iter()
                .all(|family| node.addresses.of(*family) != neighbor),
        }
    }
}

/// How often each of these sessions has come up. A cluster that is not the lab's own may have
/// other Nodes; nobody answers at their addresses.
fn established_counts(lab: &Lab, which: &Sessions<'_>) -> Result<BTreeMap<(String, String), u64>> {
    let mut counts = BTreeMap::new();
    for node in lab
        .topology
        .nodes
        .iter()
        .filter(|node| which.has_node(&node.name))
    {
        for protocol in speaker::protocols(lab, &node.name)? {
            let Some(remote) = protocol.remote.map(|remote| remote.ip()) else {
                continue;
            };
            if !lab.topology.has_on_rack(remote) || !which.has_neighbor(remote) {
                continue;
            }
            if protocol.state != "Established" {
                bail!("{} of {} is {}", protocol.name, node.name, protocol.state);
            }
            counts.insert(
                (node.name.clone(), protocol.name),
                protocol.established_count,
            );
        }
    }
    Ok(counts)
}
