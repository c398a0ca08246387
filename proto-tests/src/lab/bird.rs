//! BIRD 2: as a top-of-rack router, and as the stand-in speaker that proves the lab itself.
//!
//! The stand-in is a positive control: the same topology, CNI plugins and checks, but with a
//! speaker that is known to work on every node. A check that fails with Redstart and holds with
//! the stand-in has found a bug of Redstart; one that fails with both, a bug of the lab.

use std::{fmt::Write as _, fs, net::IpAddr, path::Path, process::Command};

use anyhow::{Context as _, Result};

use super::{
    netns::{Netns, stdout_of},
    process::{Process, Processes},
    router::RouterSession,
    topology::{DualPrefix, Family, NODE_ASN, Node, Router, Topology},
};

/// The control socket of the BIRD with this directory.
pub const SOCKET: &str = "bird.ctl";

/// Short timers, so that a lab is up in seconds; `merge paths` for ECMP; state times with
/// milliseconds, so that a reset shows.
const COMMON: &str = r#"timeformat protocol iso long ms;
timeformat log iso long ms;
protocol device { scan time 10; }
protocol kernel kernel4 {
  merge paths on;
  ipv4 { import none; export where source = RTS_BGP; };
}
protocol kernel kernel6 {
  merge paths on;
  ipv6 { import none; export where source = RTS_BGP; };
}
template bgp quick {
  connect delay time 1;
  connect retry time 1;
  error wait time 1, 2;
  hold time 9;
  keepalive time 3;
}
"#;

/// The configuration of a router: one session per node and family, the ext LAN announced.
pub fn router_config(topology: &Topology, router: &Router) -> String {
    let mut config = header(router.rack.v4, COMMON);
    write_static(&mut config, &DualPrefix::ext(), "via \"ext0\"");
    for node in &topology.nodes {
        for family in Family::ALL {
            let neighbor = Neighbor {
                name: &node.name,
                address: node.addresses.of(family),
                remote_as: NODE_ASN,
                local: router.rack.of(family),
                local_as: router.asn,
                family,
            };
            write_neighbor(&mut config, &neighbor);
        }
    }
    config
}

/// The configuration of the stand-in speaker of a node: full mesh and every router.
pub fn speaker_config(topology: &Topology, node: &Node) -> String {
    let mut config = header(node.addresses.v4, COMMON);
    write_static(&mut config, &node.pod_cidrs, "blackhole");
    let mesh = topology
        .nodes
        .iter()
        .filter(|other| other.name != node.name)
        .map(|other| (&other.name, other.addresses, NODE_ASN));
    let routers = topology
        .routers
        .iter()
        .map(|router| (&router.name, router.rack, router.asn));
    for (name, addresses, remote_as) in mesh.chain(routers) {
        for family in Family::ALL {
            let neighbor = Neighbor {
                name,
                address: addresses.of(family),
                remote_as,
                local: node.addresses.of(family),
                local_as: NODE_ASN,
                family,
            };
            write_neighbor(&mut config, &neighbor);
        }
    }
    config
}

fn header(router_id: std::net::Ipv4Addr, common: &str) -> String {
    format!("log stderr all;\nrouter id {router_id};\n{common}")
}

fn write_static(config: &mut String, prefixes: &DualPrefix, target: &str) {
    for family in Family::ALL {
        let (channel, name) = names(family);
        let prefix = prefixes.of(family);
        // Writing to a String cannot fail.
        let _ = writeln!(
            config,
            "protocol static own{name} {{ {channel}; route {prefix} {target}; }}"
        );
    }
}

struct Neighbor<'a> {
    name: &'a str,
    address: IpAddr,
    remote_as: u32,
    local: IpAddr,
    local_as: u32,
    family: Family,
}

/// No transit: only what this daemon announces by itself goes out.
fn write_neighbor(config: &mut String, neighbor: &Neighbor<'_>) {
    let Neighbor {
        name,
        address,
        remote_as,
        local,
        local_as,
        family,
    } = neighbor;
    let (channel, digit) = names(*family);
    // All share the rack LAN: an iBGP next hop needs no other routing protocol to find it.
    let _ = writeln!(
        config,
        "protocol bgp {name}_v{digit} from quick {{\n  \
           local {local} as {local_as};\n  \
           neighbor {address} as {remote_as};\n  direct;\n  \
           {channel} {{ import all; export where proto = \"own{digit}\"; next hop self; }};\n}}"
    );
}

fn names(family: Family) -> (&'static str, &'static str) {
    match family {
        Family::V4 => ("ipv4", "4"),
        Family::V6 => ("ipv6", "6"),
    }
}

/// Writes the configuration and starts BIRD in the foreground.
pub fn start(
    netns: &Netns,
    dir: &Path,
    config: &str,
    role: &str,
    processes: &Processes,
) -> Result<Process> {
    fs::create_dir_all(dir)?;
    let config_file = dir.join("bird.conf");
    fs::write(&config_file, config)
        .with_context(|| format!("cannot write {}", config_file.display()))?;
    let mut command = netns.command("bird");
    command
        .arg("-f")
        .arg("-c")
        .arg(&config_file)
        .arg("-s")
        .arg(dir.join(SOCKET));
    processes.spawn(role, &command)
}

/// What `birdc show route` prints with these words: nothing where there is no such route, which birdc
/// calls a failure. Any other failure is one.
pub fn routes(dir: &Path, words: &[&str]) -> Result<String> {
    let mut command = Command::new("birdc");
    command.arg("-s").arg(dir.join(SOCKET));
    match stdout_of(command.args(["show", "route"]).args(words)) {
        Err(error) if format!("{error:#}").contains("Network not found") => Ok(String::new()),
        shown => shown,
    }
}

/// Asks `birdc` for every BGP session.
pub fn sessions(dir: &Path) -> Result<Vec<RouterSession>> {
    let mut command = Command::new("birdc");
    command
        .arg("-s")
        .arg(dir.join(SOCKET))
        .args(["show", "protocols", "all"]);
    Ok(parse_sessions(&stdout_of(&mut command)?))
}

/// A block per protocol: a summary line, then indented details.
///
/// `NAME BGP --- up 2026-01-02 03:04:05.678 Established` is the summary of one that is up.
fn parse_sessions(text: &str) -> Vec<RouterSession> {
    let mut sessions = Vec::new();
    let mut summary: Option<(String, String, String)> = None;
    for line in text.lines() {
        if line.starts_with(char::is_alphabetic) {
            let words: Vec<&str> = line.split_whitespace().collect();
            summary = match words.as_slice() {
                [name, "BGP", _, state, day, time, info @ ..] => Some((
                    format!("{name} since {day} {time}"),
                    (*state).to_owned(),
                    info.join(" "),
                )),
                _ => None,
            };
        } else if let Some(address) = line.trim().strip_prefix("Neighbor address:")
            && let Ok(neighbor) = address.trim().parse()
            && let Some((incarnation, state, info)) = summary.take()
        {
            sessions.push(RouterSession {
                neighbor,
                established: state == "up" && info.starts_with("Established"),
                state: format!("{state} {info}").trim().to_owned(),
                incarnation,
            });
        }
    }
    sessions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::topology::TorKind;

    const PROTOCOLS: &str = "BIRD 2.0.12 ready.
Name       Proto      Table      State  Since         Info
device1    Device     ---        up     2026-11-21 04:00:00.123  
n1_v4      BGP        ---        up     2026-11-21 04:00:01.500  Established   
  BGP state:          Established
    Neighbor address: 10.10.0.1
    Neighbor AS:      64512
n1_v6      BGP        ---        start  2026-11-21 04:00:02.000  Active        Socket: Connection refused
  BGP state:          Active
    Neighbor address: fd00:10::1
";

    #[test]
    fn reads_birdc() {
        let sessions = parse_sessions(PROTOCOLS);
        assert_eq!(sessions.len(), 2);
        assert!(sessions[0].established);
        assert_eq!(sessions[0].neighbor.to_string(), "10.10.0.1");
        assert_eq!(
            sessions[0].incarnation,
            "n1_v4 since 2026-11-21 04:00:01.500"
        );
        assert!(!sessions[1].established);
        assert_eq!(sessions[1].state, "start Active Socket: Connection refused");
    }

    #[test]
    fn a_router_knows_no_pod_cidr() {
        let topology = Topology::new("x", TorKind::Bird);
        let config = router_config(&topology, &topology.routers[0]);
        assert!(!config.contains("244"), "{config}");
        assert_eq!(config.matches("protocol bgp").count(), 6);
    }

    #[test]
    fn the_stand_in_meshes_with_all_but_itself() {
        let topology = Topology::new("x", TorKind::Ecmp);
        let config = speaker_config(&topology, &topology.nodes[0]);
        assert_eq!(config.matches("protocol bgp").count(), 2 * (2 + 2));
        assert!(!config.contains("protocol bgp n1_"), "{config}");
    }
}
