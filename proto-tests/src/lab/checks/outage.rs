//! The API server goes away, and the network does not notice: not even when a speaker restarts
//! meanwhile.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::{
    membership,
    routes::{self, expected, wait_all},
    sessions::established,
};
use crate::lab::{
    Lab,
    kernel::RouteMonitor,
    objects::node_file,
    process::Signal,
    speaker::{self, SpeakerStart},
    topology::Topology,
    wait,
};

/// How long nothing must happen.
const QUIET: Duration = Duration::from_secs(3);
/// For what was just listed to be on disk.
const WRITTEN: Duration = Duration::from_secs(30);
/// For speakers to reach an API server that is back: attempts are up to 30 s apart, and may take as
/// long to fail.
const REACHED: Duration = Duration::from_secs(100);

/// The API server's cable is pulled; `restarted` is killed and starts anew without it; `deleted` is
/// deleted meanwhile.
///
/// Holds if no route in the kernels of the other nodes changes during the outage (`ip monitor route`
/// shows nothing, and did show a Node that was deleted before it), and if the deleted Node's routes go
/// when the API server is back.
pub fn api_server_away(lab: &mut Lab, restarted: &str, deleted: &str) -> Result<()> {
    let all = expected(&lab.topology);
    let control = RouteMonitor::start(&lab.netns(restarted))?;
    membership::node_removed(lab, deleted)?;
    if control.changes().is_empty() {
        bail!("the monitor does not see routes that come and go");
    }
    for node in &lab.topology.nodes {
        on_disk(lab, &node.name)?;
    }

    cable(lab, "down")?;
    let stays = lab.topology.without(deleted);
    let monitors: Vec<(String, RouteMonitor)> = stays
        .nodes
        .iter()
        .map(|node| {
            Ok((
                node.name.clone(),
                RouteMonitor::start(&lab.netns(&node.name))?,
            ))
        })
        .collect::<Result<_>>()?;
    lab.objects().delete(&node_file(deleted))?;
    wait::holds("all routes without an API server", QUIET, || {
        routes::all(lab, &all)
    })?;
    lab.stop_speaker(restarted, Signal::Kill)?;
    lab.start_speaker(&SpeakerStart::of(restarted))?;
    established(lab, Duration::from_secs(15)).context("restarted without an API server")?;
    wait::holds(
        "all routes after a restart without an API server",
        QUIET,
        || routes::all(lab, &all),
    )?;
    let cache = speaker::status(lab, restarted)?.source.cache;
    if !cache.is_some_and(|cache| cache.in_force) {
        bail!("{restarted} does not speak from what is on its disk");
    }
    for (node, monitor) in &monitors {
        let changes = monitor.changes();
        if !changes.is_empty() {
            bail!("routes of {node} changed:\n{}", changes.join("\n"));
        }
    }

    cable(lab, "up")?;
    wait_all(lab, &expected(&stays), REACHED).context("the API server is back")?;
    Ok(())
}

fn cable(lab: &Lab, state: &str) -> Result<()> {
    lab.netns(Topology::APISERVER)
        .ip(&[format!("link set eth0 {state}")])
}

fn on_disk(lab: &Lab, node: &str) -> Result<()> {
    wait::until("the objects are on disk", WRITTEN, || {
        let cache = speaker::status(lab, node)?.source.cache;
        let cache = cache.context("there is no cache")?;
        if cache.objects == 0 || cache.behind {
            bail!(
                "{node}: {} objects, behind: {}",
                cache.objects,
                cache.behind
            );
        }
        Ok(())
    })?;
    Ok(())
}
