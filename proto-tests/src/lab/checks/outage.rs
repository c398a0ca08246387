//! The API server goes away, and the network does not notice: not even when a speaker restarts
//! meanwhile.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, bail};

use super::{
    membership,
    routes::{self, expected, wait_all},
    sessions::established,
};
use crate::lab::{
    Lab,
    kernel::RouteMonitor,
    netns::stdout_of,
    objects::node_file,
    process::Signal,
    speaker::{self, SpeakerStart},
    topology::{NODE_ASN, Topology},
    wait,
};

/// How long nothing must happen.
const QUIET: Duration = Duration::from_secs(3);
/// The restart time (RFC 4724), as short as an outage is long here: ten minutes without an API server are
/// longer than that of a cluster.
const RESTART_TIME: Duration = Duration::from_secs(8);
/// For what was just listed to be on disk.
const WRITTEN: Duration = Duration::from_secs(30);
/// For speakers to reach an API server that is back: attempts are up to 30 s apart, and may take as
/// long to fail.
const REACHED: Duration = Duration::from_secs(100);

/// The API server's cable is pulled; `restarted` is killed and starts anew without it; `deleted` is
/// deleted meanwhile. All that takes longer than the restart time.
///
/// Holds if no route in the kernels of the other nodes changes during the outage (`ip monitor route`
/// shows nothing, and did show a Node that was deleted before it), and if the deleted Node's routes go
/// when the API server is back, and no others.
pub fn api_server_away(lab: &mut Lab, restarted: &str, deleted: &str) -> Result<()> {
    let seconds = RESTART_TIME.as_secs();
    let configuration = format!(
        "apiVersion: redstart.dev/v1alpha1\nkind: BGPConfiguration\nmetadata:\n  name: default\nspec:\n  \
         asn: {NODE_ASN}\n  timers:\n    connectRetrySeconds: 1\n  gracefulRestart:\n    \
         restartTimeSeconds: {seconds}\n"
    );
    lab.objects().put("bgpconfiguration", &configuration)?;
    let all = expected(&lab.topology);
    let control = RouteMonitor::start(&lab.netns(restarted))?;
    membership::node_removed(lab, deleted)?;
    if control.changes()?.is_empty() {
        bail!("the monitor does not see routes that come and go");
    }
    for node in &lab.topology.nodes {
        on_disk(lab, &node.name)?;
    }

    cable(lab, "down")?;
    let stays = lab.topology.without(deleted);
    let monitors = monitors(lab, &stays)?;
    lab.objects().delete(&node_file(deleted))?;
    wait::holds("all routes without an API server", QUIET, || {
        routes::all(lab, &all)
    })?;
    lab.stop_speaker(restarted, Signal::Kill)?;
    lab.start_speaker(&SpeakerStart::of(restarted))?;
    established(lab, Duration::from_secs(15)).context("restarted without an API server")?;
    wait::holds(
        "all routes after a restart without an API server",
        RESTART_TIME + QUIET,
        || routes::all(lab, &all),
    )?;
    let log = fs::read_to_string(lab.processes().log(&format!("speaker-{restarted}")))?;
    let (_, since) = log
        .rsplit_once("\"starting\"")
        .context("it never started")?;
    if !since.contains("recovery is over") {
        bail!("the restart time is not over yet: {since}");
    }
    let cache = speaker::status(lab, restarted)?.source.cache;
    if !cache.is_some_and(|cache| cache.in_force) {
        bail!("{restarted} does not speak from what is on its disk");
    }
    unchanged(&monitors)?;

    cable(lab, "up")?;
    wait_all(lab, &expected(&stays), REACHED).context("the API server is back")?;
    let gone = lab.topology.node(deleted).context("no such node")?;
    let gone = [&*gone.pod_cidrs.v4, &*gone.pod_cidrs.v6];
    lost_only(&monitors, &gone)
}

/// `restarted` is killed, and starts anew without the API server from objects that were written down
/// before the Node `joined` was there. Then the API server is back.
///
/// Holds if no route in any kernel changes in all that time, neither of `joined` where `restarted` has
/// yet to hear of it nor the other way round, although every neighbour known to `restarted` has told all
/// that it has; and if everything that the monitors would have shown is shown when `joined` goes.
pub fn restarted_with_what_was_known_before(
    lab: &mut Lab,
    restarted: &str,
    joined: &str,
) -> Result<()> {
    let all = expected(&lab.topology);
    let cache = lab.run_dir().cache(restarted);
    let outdated = cache.with_extension("outdated");
    let node = lab.topology.node(joined).context("no such node")?.clone();
    lab.objects().delete(&node_file(joined))?;
    wait_all(
        lab,
        &expected(&lab.topology.without(joined)),
        membership::CHANGE_BOUND,
    )?;
    on_disk(lab, restarted)?;
    copy(&cache, &outdated)?;
    lab.objects().put_node(&node)?;
    established(lab, Duration::from_secs(15)).context("the node is back")?;
    wait_all(lab, &all, Duration::from_secs(15)).context("the node is back")?;

    let monitors = monitors(lab, &lab.topology)?;
    cable(lab, "down")?;
    lab.stop_speaker(restarted, Signal::Kill)?;
    fs::remove_dir_all(&cache)?;
    fs::rename(&outdated, &cache)?;
    lab.start_speaker(&SpeakerStart::of(restarted))?;
    wait::until(
        "sessions with all known neighbours",
        Duration::from_secs(15),
        || {
            let known = speaker::protocols(lab, restarted)?;
            let up = known.iter().filter(|known| known.state == "Established");
            if known.is_empty() || up.count() < known.len() {
                bail!("{known:?}");
            }
            Ok(())
        },
    )?;
    wait::holds("all routes with outdated objects", QUIET, || {
        routes::all(lab, &all)
    })?;
    cable(lab, "up")?;
    wait::until("the API server's objects", REACHED, || {
        let cache = speaker::status(lab, restarted)?.source.cache;
        match cache.is_some_and(|cache| cache.in_force) {
            true => bail!("{restarted} speaks from what is on its disk"),
            false => Ok(()),
        }
    })?;
    established(lab, Duration::from_secs(60)).context("the API server is back")?;
    wait::holds("all routes", QUIET, || routes::all(lab, &all))?;
    unchanged(&monitors)?;

    membership::node_removed(lab, joined)?;
    for (node, monitor) in &monitors {
        if monitor.changes()?.is_empty() {
            bail!("the monitor of {node} does not see routes that come and go");
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut cp = Command::new("cp");
    stdout_of(cp.arg("-a").arg(from).arg(to))?;
    Ok(())
}

fn monitors(lab: &Lab, of: &Topology) -> Result<Vec<(String, RouteMonitor)>> {
    let nodes = of.nodes.iter().map(|node| {
        let monitor = RouteMonitor::start(&lab.netns(&node.name))?;
        Ok((node.name.clone(), monitor))
    });
    nodes.collect()
}

fn unchanged(monitors: &[(String, RouteMonitor)]) -> Result<()> {
    for (node, monitor) in monitors {
        let changes = monitor.changes()?;
        if !changes.is_empty() {
            bail!("routes of {node} changed:\n{}", changes.join("\n"));
        }
    }
    Ok(())
}

/// Every monitor saw routes to these prefixes go, and nothing else.
fn lost_only(monitors: &[(String, RouteMonitor)], prefixes: &[&str]) -> Result<()> {
    for (node, monitor) in monitors {
        let changes = monitor.changes()?;
        let is_of_these = |line: &String| {
            line.starts_with("Deleted") && prefixes.iter().any(|prefix| line.contains(prefix))
        };
        if changes.is_empty() || !changes.iter().all(is_of_these) {
            bail!(
                "routes of {node} changed otherwise:\n{}",
                changes.join("\n")
            );
        }
    }
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
