//! What a namespace's kernel really holds, read by `ip -j` and not by anything of Redstart.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    net::IpAddr,
    process::{Child, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::{netns::Netns, topology::Family, wait};

/// A route of the main table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelRoute {
    /// `10.244.1.0/24`, `default`, a bare address for a host route.
    pub dst: String,
    /// Who made it, by name or number: `bgp`, `kernel`, `static`, …
    pub protocol: String,
    /// Its metric, 0 if it has none.
    pub metric: u32,
    /// Where it leads; empty for a connected or a blackhole route.
    pub next_hops: BTreeSet<IpAddr>,
    /// `unicast` if `ip` says nothing else.
    pub kind: String,
}

#[derive(Deserialize)]
struct RawRoute {
    dst: String,
    #[serde(default)]
    protocol: String,
    #[serde(default)]
    metric: u32,
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(flatten)]
    hop: RawHop,
    #[serde(default)]
    nexthops: Vec<RawHop>,
    /// A lightweight tunnel: there must be none in the lab.
    encap: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct RawHop {
    gateway: Option<IpAddr>,
    via: Option<RawVia>,
}

#[derive(Deserialize)]
struct RawVia {
    host: IpAddr,
}

impl RawHop {
    fn address(&self) -> Option<IpAddr> {
        self.gateway.or(self.via.as_ref().map(|via| via.host))
    }
}

/// All routes of a family in the main table.
pub fn routes(netns: &Netns, family: Family) -> Result<Vec<KernelRoute>> {
    let text = netns.output(
        "ip",
        &["-j", family.flag(), "route", "show", "table", "main"],
    )?;
    parse(&text).with_context(|| format!("routes of {}", netns.name()))
}

fn parse(text: &str) -> Result<Vec<KernelRoute>> {
    // Old versions of ip print nothing at all, instead of an empty list, for an empty table.
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let raw: Vec<RawRoute> = serde_json::from_str(text).context("ip answered no JSON")?;
    raw.into_iter()
        .map(|route| {
            if route.encap.is_some() {
                bail!("the route to {} is a tunnel", route.dst);
            }
            let hops = std::iter::once(&route.hop).chain(&route.nexthops);
            Ok(KernelRoute {
                next_hops: hops.filter_map(RawHop::address).collect(),
                dst: route.dst,
                protocol: route.protocol,
                metric: route.metric,
                kind: route.kind.unwrap_or_else(|| "unicast".to_owned()),
            })
        })
        .collect()
}

/// The routes to exactly this prefix.
pub fn routes_to(netns: &Netns, family: Family, dst: &str) -> Result<Vec<KernelRoute>> {
    let mut routes = routes(netns, family)?;
    routes.retain(|route| route.dst == dst);
    Ok(routes)
}

/// The route that shows how far a monitor has come (RFC 2544: never used outside benchmarks).
const MONITOR_PROBE: &str = "198.18.255.255";

/// The metric of the next such route: by it a monitor knows its own.
static NEXT_PROBE: AtomicU32 = AtomicU32::new(4242);

/// For a monitor to show what happened, on a machine that is busy.
const SHOWN: Duration = Duration::from_secs(30);

/// `ip monitor` in a namespace, running.
#[derive(Debug)]
pub struct RouteMonitor {
    netns: Netns,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl RouteMonitor {
    /// Starts to listen to changes of routes, and returns once it certainly does: it has seen a
    /// route that was made for that purpose (and is gone again).
    pub fn start(netns: &Netns) -> Result<Self> {
        Self::with(netns, &[])
    }

    /// The same, and `others` beside routes, in the words of `ip monitor`: `nexthop`, ….
    pub fn with(netns: &Netns, others: &[&str]) -> Result<Self> {
        let mut command = netns.command("ip");
        command
            .args(["-o", "monitor", "route"])
            .args(others)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().context("cannot start ip monitor")?;
        let stdout = child.stdout.take().context("ip monitor has no output")?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                sink.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(line);
            }
        });
        let netns = netns.clone();
        let monitor = Self {
            netns,
            child,
            lines,
        };
        monitor.catch_up()?;
        Ok(monitor)
    }

    /// Waits until it has shown everything up to now: a route comes and goes after all that, and it
    /// shows things in their order.
    fn catch_up(&self) -> Result<()> {
        let metric = NEXT_PROBE.fetch_add(1, Ordering::Relaxed);
        let probe = format!("unreachable {MONITOR_PROBE} metric {metric}");
        let is_it = |line: &String| {
            let mut words = line.split_whitespace().skip_while(|word| *word != "metric");
            line.starts_with("Deleted")
                && line.contains(MONITOR_PROBE)
                && words.nth(1) == Some(&*metric.to_string())
        };
        wait::until("ip monitor shows what happens", SHOWN, || {
            let once = ["replace", "del"].map(|verb| format!("route {verb} {probe}"));
            self.netns.ip(&once)?;
            match self.lines().iter().any(is_it) {
                true => Ok(()),
                false => bail!("not yet"),
            }
        })?;
        Ok(())
    }

    fn lines(&self) -> Vec<String> {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Every change from the start up to now. What `ip monitor` has yet to print is waited for.
    pub fn changes(&self) -> Result<Vec<String>> {
        self.catch_up()?;
        let mut lines = self.lines();
        lines.retain(|line| !line.contains(MONITOR_PROBE));
        Ok(lines)
    }
}

impl Drop for RouteMonitor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_single_multipath_and_connected_routes() {
        let text = r#"[
          {"dst":"10.244.2.0/24","gateway":"10.10.0.2","dev":"eth0","protocol":"bgp","metric":20,"flags":[]},
          {"dst":"10.20.0.0/24","protocol":"bgp","metric":20,"flags":[],"nexthops":[
             {"gateway":"10.10.0.254","dev":"eth0","weight":1,"flags":[]},
             {"via":{"family":"inet6","host":"fe80::1"},"dev":"eth0","weight":1,"flags":[]}]},
          {"type":"blackhole","dst":"10.9.0.0/16","protocol":"static","flags":[]},
          {"dst":"10.10.0.0/24","dev":"eth0","protocol":"kernel","scope":"link","prefsrc":"10.10.0.1","flags":[]}]"#;
        let routes = parse(text).unwrap();
        assert_eq!(routes[0].metric, 20);
        assert_eq!(routes[0].next_hops.len(), 1);
        assert_eq!(routes[1].next_hops.len(), 2);
        assert_eq!(routes[2].kind, "blackhole");
        assert!(routes[3].next_hops.is_empty());
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn a_tunnelled_route_is_an_error() {
        let text = r#"[{"dst":"10.0.0.0/8","encap":"ip","gateway":"10.0.0.1"}]"#;
        assert!(parse(text).is_err());
    }
}
