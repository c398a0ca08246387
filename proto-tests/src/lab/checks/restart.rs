//! A speaker dies and comes back, and the network does not notice.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::{
    routes::{self, expected, wait_all},
    sessions::established,
};
use crate::lab::{
    Lab,
    kernel::RouteMonitor,
    process::Signal,
    speaker::SpeakerStart,
    topology::Topology,
    traffic::{Stream, endpoints},
    wait,
};

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
    let changes = monitor.changes();
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
