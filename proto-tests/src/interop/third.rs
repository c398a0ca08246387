//! The third speaker, with one session.
//!
//! Where somebody reflects: another Redstart, in the same AS. Where somebody passes routes on: an
//! ExaBGP in an AS of its own, whose routes carry what an ordinary speaker would not make.

use std::{fs, net::IpAddr, path::Path};

use anyhow::{Context as _, Result};

use super::{
    session::{SHARED_PREFIX, Session, THIRD_ADDRESS, THIRD_PREFIX, Third},
    site::{Site, THIRD_NODE},
};
use crate::lab::{process::Process, requirements::Binaries};

/// A route with communities of every kind, an attribute that nobody knows, and AIGP.
pub const DECORATED: &str = "198.51.104.0/24";
/// Its extended communities: a route target and a route origin.
pub const EXTENDED: [&str; 2] = ["rt:65003:77", "ro:65003:78"];
/// Its large communities.
pub const LARGE: [&str; 2] = ["65003:1:2", "65003:4294967295:0"];
/// Its community.
pub const COMMUNITY: &str = "65003:51";
/// Its AIGP.
pub const AIGP: u64 = 1000;
/// A route with NO_EXPORT.
pub const NOT_EXPORTED: &str = "198.51.105.0/24";
/// A route with OTC, as the provider of the third speaker would have put it there.
pub const FOR_CUSTOMERS: &str = "198.51.106.0/24";

/// Those routes, as ExaBGP is told them. `through`: the AS that has passed them on, if one has.
pub(super) fn routes(session: &Session, through: &str) -> [String; 3] {
    let origin = session.third_as();
    let route = |prefix, more: &str| {
        format!("route {prefix} next-hop {THIRD_ADDRESS} as-path [ {through}{origin} ] {more}")
    };
    let extended = EXTENDED.map(|community| {
        community
            .replace("rt:", "target:")
            .replace("ro:", "origin:")
    });
    let decoration = format!(
        "community [ {COMMUNITY} ] extended-community [ {} ] large-community [ {} ] \
         attribute [ 0x1a 0x80 0x01000b{AIGP:016x} ] attribute [ 0x63 0xc0 0x01020304 ]",
        extended.join(" "),
        LARGE.join(" ")
    );
    [
        route(DECORATED, &decoration),
        route(NOT_EXPORTED, "community [ no-export ]"),
        // AS 65009 is nobody here.
        route(FOR_CUSTOMERS, "attribute [ 0x23 0xc0 0x0000fdf1 ]"),
    ]
}

/// Starts it.
pub(super) fn start(
    site: &Site,
    binaries: &Binaries,
    third: Third,
    session: &Session,
) -> Result<Process> {
    let dir = site.run_dir.path().join("third");
    fs::create_dir_all(&dir)?;
    let neighbor = if session.third_is_theirs() {
        session.their_address()
    } else {
        session.our_address()
    };
    match third {
        Third::TheirClient | Third::OurClient => {
            let objects = objects(&neighbor.to_string(), session.our_as);
            redstart(site, binaries, &dir, &objects)
        }
        Third::BehindThem => exabgp(site, &dir, session, &neighbor, session.their_as),
        Third::BehindUs => exabgp(site, &dir, session, &neighbor, session.our_as),
    }
}

fn redstart(site: &Site, binaries: &Binaries, dir: &Path, objects: &str) -> Result<Process> {
    fs::write(dir.join("objects.yaml"), objects)?;
    let program = binaries.path("redstart");
    let program = program.to_str().context("the path is not UTF-8")?;
    let mut command = site.third.command(program);
    command.args(["run", "--node", THIRD_NODE, "--log-format", "text"]);
    command.arg("--objects").arg(dir);
    command.arg("--socket").arg(dir.join("redstart.sock"));
    command.env_remove("KUBECONFIG");
    site.processes.spawn("third", &command)
}

fn objects(reflector: &str, asn: u32) -> String {
    format!(
        "apiVersion: v1\nkind: Node\nmetadata:\n  name: {THIRD_NODE}\nstatus:\n  addresses:\n  \
         - type: InternalIP\n    address: {THIRD_ADDRESS}\n---\n\
         apiVersion: redstart.dev/v1alpha1\nkind: BGPConfiguration\nmetadata:\n  name: default\n\
         spec:\n  asn: {asn}\n  mesh:\n    mode: None\n  timers:\n    connectRetrySeconds: 1\n\
         ---\napiVersion: redstart.dev/v1alpha1\nkind: BGPPeer\nmetadata:\n  name: reflector\n\
         spec:\n  address: \"{reflector}\"\n  asn: {asn}\n  families: [IPv4]\n---\n\
         apiVersion: redstart.dev/v1alpha1\nkind: BGPAdvertisement\nmetadata:\n  name: own\n\
         spec:\n  staticPrefixes: [{THIRD_PREFIX}, {SHARED_PREFIX}]\n"
    )
}

/// The one of this machine, whatever release the other side is of.
fn exabgp(
    site: &Site,
    dir: &Path,
    session: &Session,
    neighbor: &IpAddr,
    asn: u32,
) -> Result<Process> {
    let local_as = session.third_as();
    let routes: String = routes(session, "")
        .map(|route| format!("    {route};\n"))
        .concat();
    let config = format!(
        "neighbor {neighbor} {{\n  router-id {THIRD_ADDRESS};\n  local-address {THIRD_ADDRESS};\n  \
         local-as {local_as};\n  peer-as {asn};\n  hold-time 9;\n  family {{\n    ipv4 unicast;\n  }}\n  static {{\n{routes}  }}\n}}\n"
    );
    let file = dir.join("exabgp.conf");
    fs::write(&file, config)?;
    let mut command = site.third.command("exabgp");
    command.arg(file);
    for (name, value) in [
        ("exabgp.daemon.user", "root"),
        ("exabgp.daemon.drop", "false"),
        ("exabgp.api.cli", "false"),
        ("exabgp.log.destination", "stdout"),
    ] {
        command.env(name, value);
    }
    site.processes.spawn("third", &command)
}
