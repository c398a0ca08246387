//! One speaker in a large cluster: what it costs, and how fast it follows.
//!
//! The speaker is the real program in a network namespace of its own. Everything else is acted by one
//! process in another namespace, with a cable between them: the API server with every object of the
//! cluster, over TLS; the route reflectors of the mesh, which announce every node's pod CIDR; and a
//! router, which notes when each UPDATE came. What the speaker costs is read from `/proc`.
//!
//! | file | job |
//! |---|---|
//! | [`cluster`] | the objects, about as large as real ones, and what happens to them |
//! | [`ground`] | namespaces and cable |
//! | [`peer`] | a reflector, a router: blocking sockets |
//! | `stage` | all of that around a speaker |
//! | [`usage`] | processor time and memory of a process |
//!
//! Nothing in here asserts a time: [`measure`] prints, [`churn`] and [`mesh`] count sessions.

pub mod cluster;
pub mod ground;
pub mod peer;
mod stage;
pub mod usage;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, ensure};

use self::{
    cluster::Cluster,
    ground::Ground,
    stage::{Stage, put},
};
use crate::{apiserver::ApiServer, lab::requirements::Binaries};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// What a phase waits at its end for what it has caused.
const SETTLE: Duration = Duration::from_secs(3);

/// How large the cluster is, and how much happens in it.
#[derive(Clone, Debug, clap::Args)]
pub struct Size {
    /// Nodes, at least four.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(4..))]
    pub nodes: u32,
    /// Services; every second one has a load balancer address, which is advertised.
    #[arg(long, default_value_t = 10_000)]
    pub services: u32,
    /// Endpoints of each Service, in one `EndpointSlice`.
    #[arg(long, default_value_t = 10)]
    pub endpoints: u32,
    /// Changes of Services whose way to the router is timed, one by one.
    #[arg(long, default_value_t = 500)]
    pub changes: u32,
    /// Endpoints that are replaced.
    #[arg(long, default_value_t = 1_000)]
    pub restarts: u32,
    /// Changes of `EndpointSlice`s in a second while they are.
    #[arg(long, default_value_t = 100)]
    pub rate: u32,
}

/// The report of a run, a row for each phase.
struct Report(String);

impl Report {
    fn new() -> Self {
        let head = "| phase | wall s | CPU s | resident MiB | peak MiB |\n|---|---|---|---|---|\n";
        Self(head.to_owned())
    }

    /// Runs a phase and adds its row.
    fn phase(
        &mut self,
        stage: &Stage<'_>,
        name: &str,
        run: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let (start, before) = (Instant::now(), stage.usage()?);
        run()?;
        let (wall, after) = (start.elapsed().as_secs_f64(), stage.usage()?);
        let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64();
        let (resident, peak) = (after.resident_mib(), after.peak_mib());
        let row = format!("| {name} | {wall:.1} | {cpu:.2} | {resident:.1} | {peak:.1} |");
        eprintln!("{row}");
        Ok(writeln!(self.0, "{row}")?)
    }
}

/// Acts the cluster and measures the speaker. Returns a report in Markdown.
///
/// # Errors
/// Whatever did not come to pass.
pub fn measure(ground: &Ground, size: &Size, binaries: &Binaries) -> Result<String> {
    let cluster = Cluster::new(size);
    let stage = &Stage::set(ground, &cluster, binaries)?;
    let mut report = Report::new();
    report.phase(stage, "start, until all is advertised", || {
        stage.until_held(&mut BTreeSet::new(), &cluster.advertised())
    })?;
    report.phase(stage, "until all routes are in the kernel", || {
        stage.until_installed(size.nodes - 1)
    })?;
    report.phase(stage, "nothing happens", || {
        thread::sleep(3 * SETTLE);
        Ok(())
    })?;
    let [alone, meanwhile] = services(&mut report, stage, &cluster, size)?;
    report.phase(stage, "a heartbeat of each Node", || {
        paced(
            &stage.server,
            cluster.heartbeats(),
            Duration::from_millis(2),
        )
    })?;
    report.phase(stage, "a Node joins and leaves, ten times", || {
        for node in size.nodes..size.nodes + 10 {
            paced(&stage.server, [cluster.newcomer(node)], Duration::ZERO)?;
            cluster.leaves(&stage.server, node);
        }
        Ok(())
    })?;
    let (alone, meanwhile) = (percentiles(alone), percentiles(meanwhile));
    writeln!(report.0, "\n{alone}\nWhile endpoints restart:\n{meanwhile}")?;
    Ok(report.0)
}

/// What happens to Services and their endpoints; how long single changes took, alone and while endpoints
/// restart.
fn services(
    report: &mut Report,
    stage: &Stage<'_>,
    cluster: &Cluster,
    size: &Size,
) -> Result<[Vec<Duration>; 2]> {
    let pause = Duration::from_secs(1) / size.rate.max(1);
    let (server, endpoints) = (&stage.server, size.restarts);
    let (mut alone, mut meanwhile) = (Vec::new(), Vec::new());
    report.phase(stage, "changes of Services, one by one", || {
        for change in cluster.changes(size.changes) {
            alone.push(stage.time(&change)?);
        }
        Ok(())
    })?;
    report.phase(stage, "rolling restart of endpoints", || {
        paced(server, cluster.rolling_restart(endpoints), pause)
    })?;
    report.phase(stage, "the same, and changes one by one meanwhile", || {
        thread::scope(|scope| {
            let objects = cluster.rolling_restart(endpoints);
            let restart = scope.spawn(move || paced(server, objects, pause));
            for change in cluster.changes(size.changes / 5) {
                meanwhile.push(stage.time(&change)?);
            }
            let restarted = restart.join();
            restarted.map_err(|_| anyhow!("the restart panicked"))?
        })
    })?;
    paced(server, cluster.endpoints_here(endpoints), Duration::ZERO)?;
    report.phase(stage, "rolling restart on this node, policy Local", || {
        paced(server, cluster.rolling_restart_here(endpoints), pause)
    })?;
    Ok([alone, meanwhile])
}

/// Writes objects, with a pause after each, and waits for what follows.
fn paced(
    server: &ApiServer,
    objects: impl IntoIterator<Item = serde_json::Value>,
    pause: Duration,
) -> Result<()> {
    for object in objects {
        put(server, object)?;
        thread::sleep(pause);
    }
    thread::sleep(SETTLE);
    Ok(())
}

fn percentiles(mut latencies: Vec<Duration>) -> String {
    latencies.sort_unstable();
    let last = latencies.len().saturating_sub(1);
    let at = |percent: usize| {
        let latency = latencies.get(last * percent / 100).copied();
        latency.unwrap_or_default().as_secs_f64() * 1000.0
    };
    format!(
        "From the write of a change to the UPDATE at the router, {} changes, in ms, of which 50 are\n\
         `debounceMilliseconds`: median {:.1}, 90 % {:.1}, 99 % {:.1}, longest {:.1}.\n",
        latencies.len(),
        at(50),
        at(90),
        at(99),
        at(100)
    )
}

/// Changes all addresses, takes away all endpoints, brings them back, deletes all Services, and sees
/// the router follow.
///
/// # Errors
/// The router did not follow, or a session has ended meanwhile.
pub fn churn(ground: &Ground, size: &Size, binaries: &Binaries) -> Result<()> {
    let cluster = Cluster::new(size);
    let stage = Stage::set(ground, &cluster, binaries)?;
    let mut held = BTreeSet::new();
    let first = cluster.advertised();
    stage.until_held(&mut held, &first)?;
    stage.until_installed(size.nodes - 1)?;
    let before = stage.sessions()?;
    ensure!(before.iter().all(|(_, times)| *times == 1), "{before:?}");

    for object in cluster.moved() {
        stage.put(object)?;
    }
    stage.until_held(&mut held, &cluster.advertised_elsewhere())?;
    for slice in cluster.without_endpoints() {
        stage.put(slice)?;
    }
    stage.until_held(&mut held, &BTreeSet::new())?;
    for object in cluster.objects() {
        stage.put(object)?;
    }
    stage.until_held(&mut held, &first)?;
    cluster.delete_services(&stage.server);
    stage.until_held(&mut held, &BTreeSet::new())?;

    let after = stage.sessions()?;
    ensure!(before == after, "{before:?} became {after:?}");
    stage.stop()
}

/// Peers with every other node, and sees one Node deleted.
///
/// # Errors
/// A route did not come or go, or another session has ended meanwhile.
pub fn mesh(ground: &Ground, size: &Size, binaries: &Binaries) -> Result<()> {
    let cluster = Cluster::full_mesh(size);
    let stage = Stage::set(ground, &cluster, binaries)?;
    let others = size.nodes - 1;
    stage.until_installed(others)?;
    let before = stage.sessions()?;
    // With the router.
    ensure!(before.len() == usize::try_from(others)? + 1, "{before:?}");
    ensure!(before.iter().all(|(_, times)| *times == 1), "{before:?}");

    let last = size.nodes - 1;
    cluster.leaves(&stage.server, last);
    stage.until_installed(others - 1)?;
    let mut stayed = before;
    stayed.retain(|(name, _)| !name.contains(&cluster::name(last)));
    let now = stage.sessions()?;
    ensure!(stayed == now, "{stayed:?} became {now:?}");
    let usage = stage.usage()?;
    println!(
        "{others} neighbours: {:.1} s of processor time, {:.1} MiB",
        usage.cpu.as_secs_f64(),
        usage.resident_mib()
    );
    stage.stop()
}
