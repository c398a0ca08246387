//! FRR as a top-of-rack router: zebra and bgpd (and mgmtd, in the versions that have it).
//!
//! The daemons run in the foreground with their own configuration files and sockets, so that
//! several labs and an FRR of the machine's own do not meet. They drop to the user `frr`, as Debian
//! builds them to, so their directory is that user's.

use std::{
    collections::BTreeMap, fmt::Write as _, fs, path::Path, process::Command, time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::{
    netns::stdout_of,
    process::{Process, Processes},
    router::{RouterSession, RunningRouter},
    topology::{DualPrefix, Family, NODE_ASN, Router, Topology},
    wait,
};

/// Where Debian puts the daemons.
pub const DAEMON_DIR: &str = "/usr/lib/frr";
const ZEBRA_SOCKET: &str = "zserv.api";
/// How long the daemons may take to find each other.
const PATIENCE: Duration = Duration::from_secs(10);

/// bgpd's configuration: a session per node and family, the ext LAN announced, nothing passed on
/// from node to node.
pub fn config(topology: &Topology, router: &Router) -> String {
    let mut text = format!(
        "hostname {}\nlog stdout\nrouter bgp {}\n bgp router-id {}\n",
        router.name, router.asn, router.rack.v4
    );
    text.push_str(
        " no bgp ebgp-requires-policy\n no bgp default ipv4-unicast\n no bgp network import-check\n \
         bgp bestpath as-path multipath-relax\n timers bgp 3 9\n",
    );
    // Writing to a String cannot fail.
    for node in &topology.nodes {
        for family in Family::ALL {
            let neighbor = node.addresses.of(family);
            let _ = writeln!(text, " neighbor {neighbor} remote-as {NODE_ASN}");
            let _ = writeln!(text, " neighbor {neighbor} timers connect 1");
        }
    }
    for family in Family::ALL {
        let (name, any) = match family {
            Family::V4 => ("ipv4", "ip"),
            Family::V6 => ("ipv6", "ipv6"),
        };
        let _ = writeln!(text, " address-family {name} unicast");
        let _ = writeln!(text, "  network {}", DualPrefix::ext().of(family));
        let _ = writeln!(text, "  maximum-paths 8");
        for node in &topology.nodes {
            let neighbor = node.addresses.of(family);
            let _ = writeln!(text, "  neighbor {neighbor} activate");
            let _ = writeln!(text, "  neighbor {neighbor} prefix-list own-{any} out");
        }
        let _ = writeln!(text, " exit-address-family");
    }
    text.push_str("exit\n");
    let own = DualPrefix::ext();
    let _ = writeln!(text, "ip prefix-list own-ip seq 5 permit {}", own.v4);
    let _ = writeln!(text, "ipv6 prefix-list own-ipv6 seq 5 permit {}", own.v6);
    text
}

/// Writes the configuration and starts the daemons.
pub fn start(
    running: &RunningRouter<'_>,
    topology: &Topology,
    processes: &Processes,
) -> Result<Vec<Process>> {
    let dir = &running.dir;
    let zebra = format!("hostname {}\nlog stdout\n", running.router.name);
    fs::write(dir.join("zebra.conf"), &zebra)?;
    fs::write(dir.join("mgmtd.conf"), &zebra)?;
    fs::write(dir.join("vtysh.conf"), "")?;
    fs::write(dir.join("bgpd.conf"), config(topology, running.router))?;
    stdout_of(Command::new("chown").args(["-R", "frr:frr"]).arg(dir))?;
    let mut started = Vec::new();
    for daemon in ["mgmtd", "zebra", "bgpd"] {
        if daemon == "mgmtd" && !Path::new(DAEMON_DIR).join(daemon).exists() {
            continue;
        }
        started.push(spawn(running, daemon, processes)?);
        if daemon == "zebra" {
            wait::until("zebra's socket", PATIENCE, || {
                if dir.join(ZEBRA_SOCKET).exists() {
                    Ok(())
                } else {
                    bail!("not there")
                }
            })?;
        }
    }
    // A session that comes up before bgpd has the interfaces from zebra loses its IPv6 routes for
    // good: bgpd treats them as withdrawn, "no peer interface information".
    wait::until("bgpd knows zebra", PATIENCE, || {
        let clients = vtysh(dir, "zebra", "show zebra client summary")?;
        if clients.lines().any(|line| line.starts_with("bgp ")) {
            Ok(())
        } else {
            bail!(clients)
        }
    })?;
    Ok(started)
}

fn spawn(running: &RunningRouter<'_>, daemon: &str, processes: &Processes) -> Result<Process> {
    let dir = &running.dir;
    let mut command = running.netns.command(&format!("{DAEMON_DIR}/{daemon}"));
    command.arg("-f").arg(dir.join(format!("{daemon}.conf")));
    command.arg("-i").arg(dir.join(format!("{daemon}.pid")));
    command.arg("--vty_socket").arg(dir).arg("-P").arg("0");
    if daemon != "mgmtd" {
        command.arg("-z").arg(dir.join(ZEBRA_SOCKET));
    }
    processes.spawn(&format!("{}-{daemon}", running.router.name), &command)
}

pub(crate) fn vtysh(dir: &Path, daemon: &str, words: &str) -> Result<String> {
    let mut command = Command::new("vtysh");
    command
        .arg("--vty_socket")
        .arg(dir)
        .arg("--config_dir")
        .arg(dir);
    stdout_of(command.args(["-d", daemon, "-c", words]))
}

/// Asks `vtysh` for every BGP session.
pub fn sessions(dir: &Path) -> Result<Vec<RouterSession>> {
    parse_sessions(&vtysh(dir, "bgpd", "show bgp neighbors json")?)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FrrNeighbor {
    bgp_state: String,
    #[serde(default)]
    connections_established: u64,
    #[serde(default)]
    connections_dropped: u64,
}

fn parse_sessions(text: &str) -> Result<Vec<RouterSession>> {
    let neighbors: BTreeMap<String, FrrNeighbor> =
        serde_json::from_str(text).with_context(|| format!("vtysh answered {text}"))?;
    neighbors
        .into_iter()
        .map(|(address, neighbor)| {
            Ok(RouterSession {
                neighbor: address
                    .parse()
                    .with_context(|| format!("neighbor {address:?}"))?,
                established: neighbor.bgp_state == "Established",
                incarnation: format!(
                    "established {} dropped {}",
                    neighbor.connections_established, neighbor.connections_dropped
                ),
                state: neighbor.bgp_state,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::topology::TorKind;

    #[test]
    fn reads_vtysh() {
        let text = r#"{"10.10.0.1":{"bgpState":"Established","connectionsEstablished":2,
            "connectionsDropped":1,"remoteAs":64512},"fd00:10::1":{"bgpState":"Active"}}"#;
        let sessions = parse_sessions(text).unwrap();
        assert!(sessions[0].established);
        assert_eq!(sessions[0].incarnation, "established 2 dropped 1");
        assert_eq!(sessions[1].state, "Active");
        assert!(parse_sessions("% error").is_err());
    }

    #[test]
    fn a_router_knows_no_pod_cidr() {
        let topology = Topology::new("x", TorKind::Frr);
        let config = config(&topology, &topology.routers[0]);
        assert!(!config.contains("244"), "{config}");
        assert_eq!(config.matches("remote-as").count(), 6);
    }
}
