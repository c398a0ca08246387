//! A speaker dies and comes back, and the network does not notice.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    routes::{self, expected, wait_all},
    sessions::established,
};
use crate::lab::{
    Lab,
    kernel::{RouteMonitor, routes_to},
    process::Signal,
    speaker::{self, SpeakerStart},
    topology::{DualPrefix, Family, Topology},
    traffic::{Stream, endpoints},
    wait,
};

/// Far less than a restart time (120 s), and more than the Selection_Deferral_Timer (5 s).
const NOT_WAITED: Duration = Duration::from_secs(15);

/// How long a speaker stays dead.
const DEAD: Duration = Duration::from_millis(1500);

/// Ends the speaker of a node by a signal and starts it anew.
///
/// Holds if all routes stay in all kernels all the time, none of the node's own is deleted, added
/// or changed (`ip monitor route` shows nothing), there are no duplicates, and no packet between
/// the external host and a pod of the node is lost. Says how many packets there were.
pub fn speaker_restarted(lab: &mut Lab, node: &str, signal: Signal) -> Result<u64> {
    let expected = expected(&lab.topology);
    let all = endpoints(lab)?;
    let ext = all.iter().find(|endpoint| endpoint.name == Topology::EXT);
    let pod = all
        .iter()
        .find(|endpoint| endpoint.node.as_deref() == Some(node));
    let (ext, pod) = (
        ext.context("no external host")?,
        pod.context("no such node")?,
    );
    let streams = [Stream::start(ext, pod)?, Stream::start(pod, ext)?];
    let monitor = RouteMonitor::start(&lab.netns(node))?;
    lab.stop_speaker(node, signal)?;
    wait::holds("all routes while the speaker is dead", DEAD, || {
        routes::all(lab, &expected)
    })?;
    lab.start_speaker(&SpeakerStart::of(node))?;
    established(lab, Duration::from_secs(15)).context("the speaker is back")?;
    wait_all(lab, &expected, Duration::from_secs(5)).context("the speaker is back")?;
    // What is wrongly believed stale goes when the last End-of-RIB has come: give it the time.
    wait::holds("all routes once it is back", DEAD, || {
        routes::all(lab, &expected)
    })?;
    let changes = monitor.changes()?;
    if !changes.is_empty() {
        bail!(
            "the kernel's routes of {node} changed:\n{}",
            changes.join("\n")
        );
    }
    let mut packets = 0;
    for stream in streams {
        packets += stream.stop()?;
    }
    Ok(packets)
}

/// Kills the speaker of a node, starts it anew, and does both again as soon as it is back, within one
/// restart window. Holds if no route changes in any kernel.
pub fn speaker_restarted_twice(lab: &mut Lab, node: &str) -> Result<()> {
    let expected = expected(&lab.topology);
    let monitors: Vec<RouteMonitor> = lab
        .topology
        .nodes
        .iter()
        .map(|node| RouteMonitor::start(&lab.netns(&node.name)))
        .collect::<Result<_>>()?;
    for _ in 0..2 {
        lab.stop_speaker(node, Signal::Kill)?;
        lab.start_speaker(&SpeakerStart::of(node))?;
        established(lab, Duration::from_secs(15)).context("the speaker is back")?;
        // What is stale when a neighbour restarts once more is to go (RFC 4724 section 4.2).
        wait::until("it has said everything again", NOT_WAITED, || {
            confirmed(lab)
        })?;
    }
    wait::holds("all routes once it is back", 2 * DEAD, || {
        routes::all(lab, &expected)
    })?;
    for monitor in &monitors {
        let changes = monitor.changes()?;
        if !changes.is_empty() {
            bail!("routes changed:\n{}", changes.join("\n"));
        }
    }
    Ok(())
}

/// Nobody holds a route over somebody's restart any more.
fn confirmed(lab: &Lab) -> Result<()> {
    for node in &lab.topology.nodes {
        for protocol in speaker::protocols(lab, &node.name)? {
            let (name, state) = (&protocol.name, &protocol.state);
            ensure!(state == "Established", "{name} of {} is {state}", node.name);
            let stale = protocol.routes.stale;
            ensure!(stale == 0, "{stale} routes of {name} at {}", node.name);
        }
    }
    Ok(())
}

/// A node's speaker is dead for good while another one restarts and a third gets new pod CIDRs: the
/// one that restarts learns them at once, and does not wait for the dead one.
pub fn one_peer_stays_down(
    lab: &mut Lab,
    dead: &str,
    restarted: &str,
    changed: &str,
) -> Result<()> {
    lab.stop_speaker(dead, Signal::Kill)?;
    lab.stop_speaker(restarted, Signal::Kill)?;
    let now = (lab.topology).with_pod_cidrs(changed, &DualPrefix::other_pod_cidrs());
    let node = now.node(changed).context("no such node")?;
    lab.objects().put_node(node)?;
    lab.start_speaker(&SpeakerStart::of(restarted))?;
    let netns = lab.netns(restarted);
    let new = node.pod_cidrs.v4.clone();
    wait::until(
        "the new pod CIDRs are learned",
        NOT_WAITED,
        || match routes_to(&netns, Family::V4, &new)?.is_empty() {
            true => bail!("{restarted} has no route to {new}"),
            false => Ok(()),
        },
    )?;
    Ok(())
}
