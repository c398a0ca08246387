//! Nodes come and go, and get other pod CIDRs.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, bail};

use super::{
    routes::{expected, wait_all},
    sessions::{SessionSnapshot, established},
};
use crate::lab::{Lab, speaker, topology::DualPrefix, topology::Family};

/// From a change of an object to all kernels.
pub const CHANGE_BOUND: Duration = Duration::from_secs(1);
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
pub fn pod_cidrs_changed(lab: &Lab, node: &str) -> Result<Duration> {
    let before = SessionSnapshot::take(lab)?;
    let counts = established_counts(lab)?;
    let changed = lab
        .topology
        .with_pod_cidrs(node, &DualPrefix::pod_cidrs(77));
    lab.objects()
        .put_node(changed.node(node).context("no such node")?)?;
    let took = wait_all(lab, &expected(&changed), CHANGE_BOUND)
        .with_context(|| format!("the pod CIDRs of {node} changed"))?;
    lab.objects()
        .put_node(lab.topology.node(node).context("no such node")?)?;
    wait_all(lab, &expected(&lab.topology), CHANGE_BOUND)
        .with_context(|| format!("the pod CIDRs of {node} changed back"))?;
    before.unchanged(lab)?;
    let now = established_counts(lab)?;
    if now != counts {
        bail!("sessions were reset: established {counts:?} times, now {now:?}");
    }
    Ok(took)
}

/// How often each session of each node has come up.
fn established_counts(lab: &Lab) -> Result<BTreeMap<(String, String), u64>> {
    let mut counts = BTreeMap::new();
    for node in &lab.topology.nodes {
        for protocol in speaker::protocols(lab, &node.name)? {
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
