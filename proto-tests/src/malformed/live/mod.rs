//! The table on live sessions: one speaker, one peer for every case, all of them at once.
//!
//! The speaker runs as its users run it, in a namespace of its own, with a `BGPPeer` for every case.
//! Each scripted peer has its own address, announces the route properly, waits until everybody is
//! there, sends its message, and then a sentinel: a session that survives must have read that too. A
//! bystander with routes of its own, one of them to the very prefix of the cases, is told all paths of
//! all cases and must see in them what the table says, and nothing else of it all.
//!
//! What became of the routes is asked of the speaker (`redc -o json`) as well, and of the bystander's
//! routes the kernel.

mod bystander;
mod peer;
mod run;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use redstart_bgp::types::Role;
pub use run::{Report, run};

use super::{Case, LocalRole, OUR_AS, build, table};
use crate::lab::{
    exclusive::Exclusive,
    netns::{self, Netns},
    objects::Objects,
    process::{Process, Processes, Signal},
    requirements::Binaries,
    wait,
};

const LAB: &str = "rs-malformed";
const RUN: &str = "/run/redstart-lab/rs-malformed";
/// The speaker's address; its BGP Identifier is the same.
const SPEAKER: [u8; 4] = super::OUR_ID;
/// The bystander's name and address.
const BYSTANDER: (&str, [u8; 4]) = ("bystander", [10, 99, 0, 2]);
/// Its AS.
const BYSTANDER_AS: u16 = 64_700;

/// The address of the peer with this number.
fn address(index: usize) -> Result<[u8; 4]> {
    let third = u8::try_from(1 + index / 250)?;
    let fourth = u8::try_from(1 + index % 250)?;
    Ok([10, 99, third, fourth])
}

fn dotted([a, b, c, d]: [u8; 4]) -> String {
    format!("{a}.{b}.{c}.{d}")
}

/// The speaker and the namespaces; gone when dropped.
#[derive(Debug)]
pub struct World {
    /// The programs of this project.
    binaries: Binaries,
    speaker: Process,
    _exclusive: Exclusive,
}

impl World {
    /// Starts a speaker that has a peer for every case, and waits until it is ready.
    pub fn up(binaries: Binaries) -> Result<Self> {
        let exclusive = Exclusive::wait()?;
        tear_down()?;
        let run_dir = Path::new(RUN);
        for dir in ["log", "objects"] {
            fs::create_dir_all(run_dir.join(dir))?;
        }
        let cases = table();
        wire(cases.len())?;
        write_objects(&cases)?;
        let program = binaries.path("redstart");
        let mut command = node().command(program.to_str().context("not UTF-8")?);
        command
            .args(["run", "--node", "n1", "--objects"])
            .arg(run_dir.join("objects"))
            .arg("--socket")
            .arg(socket())
            .env_remove("KUBECONFIG");
        let speaker = Processes::of(run_dir).spawn("speaker", &command)?;
        let world = Self {
            binaries,
            speaker,
            _exclusive: exclusive,
        };
        let asked = world.binaries.clone();
        wait::until("the speaker has its peers", Duration::from_secs(15), || {
            let peers = run::protocols(&asked)?;
            if peers.len() == cases.len() + 1 {
                Ok(())
            } else {
                bail!("{} of {} peers", peers.len(), cases.len() + 1)
            }
        })?;
        Ok(world)
    }

    /// A command in the namespace of the peers.
    pub fn among_peers(&self, program: &Path) -> Result<Command> {
        Ok(peers().command(program.to_str().context("not UTF-8")?))
    }

    /// Fails unless the speaker still is the process that was started, and never panicked.
    pub fn speaker_is_well(&mut self) -> Result<()> {
        if let Some(status) = self.speaker.exited()? {
            bail!("the speaker ended: {status}");
        }
        let log = self.log();
        match log.lines().find(|line| line.contains("panicked")) {
            Some(line) => bail!("the speaker panicked: {line}"),
            None => Ok(()),
        }
    }

    /// What the speaker logged.
    pub fn log(&self) -> String {
        fs::read_to_string(Processes::of(Path::new(RUN)).log("speaker")).unwrap_or_default()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Err(error) = self.speaker.stop(Signal::Terminate, Duration::from_secs(5)) {
            eprintln!("{LAB}: {error:#}");
        }
        if let Err(error) = tear_down() {
            eprintln!("{LAB}: not cleaned up: {error:#}");
        }
    }
}

fn node() -> Netns {
    Netns::of(LAB, "node")
}

fn peers() -> Netns {
    Netns::of(LAB, "peers")
}

fn socket() -> PathBuf {
    Path::new(RUN).join("n1.sock")
}

/// Removes what this run, or one that was killed, has left.
fn tear_down() -> Result<()> {
    Processes::of(Path::new(RUN)).stop_all()?;
    let existing = netns::list()?;
    let deletions: Vec<String> = [node(), peers()]
        .iter()
        .filter(|netns| existing.iter().any(|name| name == netns.name()))
        .map(|netns| format!("netns del {}", netns.name()))
        .collect();
    if !deletions.is_empty() {
        netns::host_ip(&deletions)?;
    }
    match fs::remove_dir_all(RUN) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context(RUN),
        _ => Ok(()),
    }
}

/// Two namespaces and a cable.
fn wire(peer_count: usize) -> Result<()> {
    let (node, peers) = (node(), peers());
    netns::host_ip(&[
        format!("netns add {}", node.name()),
        format!("netns add {}", peers.name()),
        format!(
            "link add eth0 netns {} type veth peer name eth0 netns {}",
            node.name(),
            peers.name()
        ),
    ])?;
    let up = |address: &str| {
        vec![
            "link set lo up".to_owned(),
            format!("address add {address}/16 dev eth0"),
            "link set eth0 up".to_owned(),
        ]
    };
    let mut lines = up(&dotted(SPEAKER));
    lines.push("address add fd00:99::1/64 dev eth0 nodad".to_owned());
    node.ip(&lines)?;
    let mut lines = up(&dotted(BYSTANDER.1));
    for index in 0..peer_count {
        lines.push(format!(
            "address add {}/16 dev eth0",
            dotted(address(index)?)
        ));
    }
    peers.ip(&lines)
}

fn write_objects(cases: &[Case]) -> Result<()> {
    let objects = Objects::of(&Path::new(RUN).join("objects"));
    objects.put(
        "bgpconfiguration",
        &format!(
            "apiVersion: redstart.dev/v1alpha1\nkind: BGPConfiguration\nmetadata:\n  name: default\n\
             spec:\n  asn: {OUR_AS}\n"
        ),
    )?;
    objects.put(
        "node-n1",
        "apiVersion: v1\nkind: Node\nmetadata:\n  name: n1\nspec:\n  podCIDRs:\n  - 10.244.1.0/24\n  \
         - fd00:10:244:1::/64\nstatus:\n  addresses:\n  - type: InternalIP\n    address: 10.99.0.1\n  \
         - type: InternalIP\n    address: fd00:99::1\n",
    )?;
    let peer = |name: &str, address: [u8; 4], asn: u32| {
        format!(
            "apiVersion: redstart.dev/v1alpha1\nkind: BGPPeer\nmetadata:\n  name: {name}\nspec:\n  \
             address: {}\n  asn: {asn}\n  passive: true\n",
            dotted(address)
        )
    };
    let (name, at) = BYSTANDER;
    let mut all = peer(name, at, BYSTANDER_AS.into());
    all.push_str("  addPath:\n    send: true\n  export:\n    transit: true\n");
    for (index, case) in cases.iter().enumerate() {
        all.push_str("---\n");
        all.push_str(&peer(
            &case.name,
            address(index)?,
            build::peer_as(case.session),
        ));
        if case.session.add_path {
            all.push_str("  addPath:\n    receive: true\n");
        }
        if case.session.extended_next_hop {
            all.push_str("  extendedNextHop: true\n");
        }
        if let Some(LocalRole { role, strict }) = case.session.role {
            let role = match role {
                Role::Provider => "Provider",
                Role::Customer => "Customer",
                Role::Peer => "Peer",
                Role::RouteServer => "RouteServer",
                Role::RouteServerClient => "RouteServerClient",
            };
            all.push_str(&format!("  role: {role}\n  strictRole: {strict}\n"));
        }
    }
    objects.put("bgppeers", &all)
}
