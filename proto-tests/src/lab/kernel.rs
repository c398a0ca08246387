//! What a namespace's kernel really holds, read by `ip -j` and not by anything of Redstart.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    net::IpAddr,
    process::{Child, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::{netns::Netns, topology::Family};

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

/// The route that shows that a monitor listens (RFC 2544: never used outside benchmarks).
const MONITOR_PROBE: &str = "198.18.255.255";

/// `ip monitor route` in a namespace, running.
#[derive(Debug)]
pub struct RouteMonitor {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl RouteMonitor {
    /// Starts to listen, and returns once it certainly does: it has seen a route that was made
    /// for that purpose (and is gone again).
    pub fn start(netns: &Netns) -> Result<Self> {
        let mut command = netns.command("ip");
        command
            .args(["-o", "monitor", "route"])
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
        let monitor = Self { child, lines };
        super::wait::until("ip monitor listens", Duration::from_secs(5), || {
            netns.ip(&[
                format!("route replace unreachable {MONITOR_PROBE} metric 4242"),
                format!("route del unreachable {MONITOR_PROBE} metric 4242"),
            ])?;
            if monitor
                .lines()
                .iter()
                .any(|line| line.starts_with("Deleted"))
            {
                return Ok(());
            }
            bail!("it shows nothing")
        })?;
        Ok(monitor)
    }

    fn lines(&self) -> Vec<String> {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Every change to a route since the start.
    pub fn changes(&self) -> Vec<String> {
        let mut lines = self.lines();
        lines.retain(|line| !line.contains(MONITOR_PROBE));
        lines
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
