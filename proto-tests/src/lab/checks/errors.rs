//! Bad input: a clear error that names object, field and reason, while the rest works.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use redstart_controller::control::views::KernelRoute;

use super::{
    routes::{self, expected, wait_all},
    sessions::{SessionSnapshot, established},
};
use crate::lab::{
    Lab,
    objects::{peer_manifest, peer_name},
    process::{Process, Signal},
    speaker::{self, SpeakerStart},
    topology::{Family, Router},
    wait,
};

const PATIENCE: Duration = Duration::from_secs(5);
const BACK: Duration = Duration::from_secs(15);

/// A problem that a speaker must report.
#[derive(Clone, Copy, Debug)]
pub struct Complaint<'a> {
    /// `Kind/name`.
    pub object: &'a str,
    /// The field's path.
    pub field: &'a str,
    /// The identifier.
    pub reason: &'a str,
}

/// Puts a bad manifest in place; every node complains as it should, the last good state stays
/// (routes, sessions); then puts things right (`good`, or nothing there), and nobody complains.
pub fn bad_manifest(
    lab: &Lab,
    file: &str,
    bad: &str,
    good: Option<&str>,
    complaint: Complaint<'_>,
) -> Result<()> {
    let before = SessionSnapshot::take(lab)?;
    lab.objects().put(file, bad)?;
    for node in &lab.topology.nodes {
        wait::until(
            &format!("{} on {}", complaint.reason, node.name),
            PATIENCE,
            || complains(lab, &node.name, complaint),
        )?;
    }
    let expected = expected(&lab.topology);
    let time = Duration::from_millis(300);
    wait::holds("the last good state", time, || routes::all(lab, &expected))?;
    before.unchanged(lab)?;
    match good {
        Some(good) => lab.objects().put(file, good)?,
        None => lab.objects().delete(file)?,
    }
    for node in &lab.topology.nodes {
        wait::until("no complaint any more", PATIENCE, || {
            let problems = speaker::status(lab, &node.name)?.problems;
            if problems.is_empty() {
                Ok(())
            } else {
                bail!("{problems:?}")
            }
        })?;
    }
    before.unchanged(lab)
}

fn complains(lab: &Lab, node: &str, complaint: Complaint<'_>) -> Result<()> {
    let problems = speaker::status(lab, node)?.problems;
    let found = problems.iter().any(|problem| {
        problem.object == complaint.object
            && problem.field == complaint.field
            && problem.reason == complaint.reason
            && !problem.message.is_empty()
    });
    if !found {
        bail!("{node} reports {problems:?}, not {complaint:?}");
    }
    Ok(())
}

/// The nodes expect another AS of a router than it has, in one family: that session goes down and
/// says why, with both numbers; the others stay, and traffic goes on in the other family.
pub fn wrong_peer_as(lab: &Lab, router: &Router) -> Result<()> {
    const WRONG: u32 = 65099;
    let file = format!("bgppeer-{}-v4", router.name);
    let before = SessionSnapshot::take(lab)?;
    lab.objects()
        .put(&file, &peer_manifest(router, Family::V4, WRONG))?;
    let name = peer_name(router, Family::V4);
    let name = lab.options.source.object_name(&name);
    let real = router.asn.to_string();
    for node in &lab.topology.nodes {
        wait::until("the session says why it is down", BACK, || {
            let protocols = speaker::protocols(lab, &node.name)?;
            let protocol = protocols.iter().find(|protocol| protocol.name == name);
            let protocol = protocol.with_context(|| format!("no {name}"))?;
            let error = protocol.last_error.clone().unwrap_or_default();
            if protocol.state == "Established"
                || !error.contains(&WRONG.to_string())
                || !error.contains(&real)
            {
                bail!("{name} of {} is {}: {error:?}", node.name, protocol.state);
            }
            Ok(())
        })?;
    }
    before.unchanged_with(lab, |neighbor| neighbor.is_ipv6())?;
    lab.objects()
        .put(&file, &peer_manifest(router, Family::V4, router.asn))?;
    established(lab, BACK)?;
    wait_all(lab, &expected(&lab.topology), BACK)?;
    Ok(())
}

/// Port 179 is taken on a node: the speaker says so, naming the address, and gets its sessions by
/// dialling out; when the port is free, it listens.
pub fn port_in_use(lab: &mut Lab, node: &str) -> Result<()> {
    lab.stop_speaker(node, Signal::Terminate)?;
    let mut squatter = squat(lab, node)?;
    lab.start_speaker(&SpeakerStart::of(node))?;
    wait::until("the speaker says that it cannot listen", BACK, || {
        let listeners = speaker::status(lab, node)?.listeners;
        let in_use = listeners.iter().any(|listener| {
            listener.address.port() == 179
                && listener
                    .error
                    .as_deref()
                    .is_some_and(|error| error.contains("in use"))
        });
        if in_use {
            Ok(())
        } else {
            bail!("it shows {listeners:?}")
        }
    })?;
    established(lab, BACK).context("port 179 in use: by dialling out")?;
    wait_all(lab, &expected(&lab.topology), BACK)?;
    squatter.stop(Signal::Kill, PATIENCE)?;
    wait::until("the speaker listens once the port is free", BACK, || {
        let listeners = speaker::status(lab, node)?.listeners;
        let all = listeners.iter().all(|listener| listener.error.is_none());
        if all && !listeners.is_empty() {
            Ok(())
        } else {
            bail!("it shows {listeners:?}")
        }
    })?;
    Ok(())
}

fn squat(lab: &Lab, node: &str) -> Result<Process> {
    let program = lab.options.binaries.path("lab");
    let mut command = lab
        .netns(node)
        .command(program.to_str().context("path is not UTF-8")?);
    command.args(["tcp-serve", "[::]:179"]);
    let processes = lab.processes();
    let squatter = processes.spawn("squatter", &command)?;
    wait::until("port 179 is taken", PATIENCE, || {
        let log = std::fs::read_to_string(processes.log("squatter"))?;
        if log.contains("listening") {
            Ok(())
        } else {
            bail!("{log:?}")
        }
    })?;
    Ok(squatter)
}

/// A speaker without `CAP_NET_ADMIN`: it says so for every route that it cannot install, and its
/// sessions work; with the capability it installs them.
pub fn no_net_admin(lab: &mut Lab, node: &str) -> Result<()> {
    restart_from_scratch(lab, node, "-net_admin")?;
    established(lab, BACK).context("without NET_ADMIN")?;
    wait::until("the speaker says what it may not do", BACK, || {
        let view = speaker::kernel(lab, node)?;
        let refused =
            |route: &KernelRoute| route.state.reason.as_deref() == Some("permission-denied");
        if view.routes.is_empty() || !view.routes.iter().all(refused) {
            bail!("show kernel says {:?}", view.routes);
        }
        Ok(())
    })?;
    lab.stop_speaker(node, Signal::Terminate)?;
    lab.start_speaker(&SpeakerStart::of(node))?;
    wait_all(lab, &expected(&lab.topology), BACK).context("with NET_ADMIN again")?;
    Ok(())
}

/// A speaker with no capabilities but these (`net_admin`, …) does its whole job.
pub fn capabilities_are_enough(lab: &mut Lab, node: &str, capabilities: &[String]) -> Result<()> {
    let plus: Vec<String> = capabilities
        .iter()
        .map(|name| format!(",+{name}"))
        .collect();
    restart_from_scratch(lab, node, &format!("-all{}", plus.concat()))?;
    established(lab, BACK)?;
    wait_all(lab, &expected(&lab.topology), BACK)?;
    let listeners = speaker::status(lab, node)?.listeners;
    match listeners.iter().find(|listener| listener.error.is_some()) {
        Some(listener) => bail!("it cannot listen: {listener:?}"),
        None => Ok(()),
    }
}

/// Restarts a speaker with another capability bounding set, and none of its routes in the kernel.
fn restart_from_scratch(lab: &mut Lab, node: &str, bounding_set: &str) -> Result<()> {
    lab.stop_speaker(node, Signal::Terminate)?;
    // Takes the routes along that name objects; `ip route flush` does not manage those.
    let flush = ["nexthop", "flush", "proto", "186"];
    lab.netns(node).output("ip", &flush)?;
    for family in Family::ALL {
        let args = [family.flag(), "route", "flush", "proto", "bgp"];
        lab.netns(node).output("ip", &args)?;
    }
    let mut start = SpeakerStart::of(node);
    start.wrapper = ["setpriv", "--bounding-set", bounding_set]
        .map(str::to_owned)
        .into();
    lab.start_speaker(&start)
}
