//! Where one scene happens: two network namespaces with a cable between them (three with a switch, where
//! somebody reflects), and a run directory.
//!
//! Named like a lab of one node and one host outside (`ix-SCENE-PEER-n1`, `-ext`), with its run
//! directory where labs have theirs, so that [`run_dir::tear_down`] and `lab down` know how to remove
//! it, also after a crash.

use std::{fs, net::IpAddr, path::PathBuf};

use anyhow::{Context as _, Result};

use super::{bench::UP, programs::Programs, session::THIRD_ADDRESS, side::mentions};
use crate::lab::{
    netns::{Netns, host_ip},
    process::{Process, Processes},
    run_dir::{self, RunDir},
    topology::Topology,
    wait,
};

/// The Kubernetes node, where Redstart runs.
pub const NODE: &str = "n1";

/// The node of the third speaker.
pub const THIRD_NODE: &str = "n3";

/// Duplicate address detection would delay every session by a second or two.
const SYSCTLS: [(&str, &str); 4] = [
    ("net/ipv6/conf/all/disable_ipv6", "0"),
    ("net/ipv6/conf/default/accept_dad", "0"),
    ("net/ipv6/conf/default/dad_transmits", "0"),
    ("net/ipv6/conf/default/accept_ra", "0"),
];

/// Two namespaces, a cable, a directory. Gone when dropped, with every process in it.
#[derive(Debug)]
pub struct Site {
    /// `ix-SCENE-PEER`.
    pub name: String,
    /// Redstart's side.
    pub us: Netns,
    /// The other side.
    pub them: Netns,
    /// Sockets, logs, objects.
    pub run_dir: RunDir,
    /// The third speaker's side.
    pub third: Netns,
    /// What runs.
    pub processes: Processes,
    /// Where the other side's programs are.
    pub programs: Programs,
}

impl Site {
    /// Builds it, after removing what a crash may have left under the same name.
    pub fn new(name: &str, programs: &Programs) -> Result<Self> {
        run_dir::tear_down(name).context("cannot clear the leftovers of an old run")?;
        let run_dir = RunDir::of(name);
        for dir in [run_dir.path().join("log"), run_dir.objects()] {
            fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        let site = Self {
            name: name.to_owned(),
            us: Netns::of(name, NODE),
            them: Netns::of(name, Topology::EXT),
            third: Netns::of(name, THIRD_NODE),
            programs: programs.clone(),
            processes: Processes::of(run_dir.path()),
            run_dir,
        };
        site.wire()?;
        Ok(site)
    }

    fn wire(&self) -> Result<()> {
        let ends = [(&self.us, 1), (&self.them, 2)];
        host_ip(&ends.map(|(netns, _)| format!("netns add {}", netns.name())))?;
        for (netns, _) in ends {
            netns.sysctl(&SYSCTLS)?;
        }
        // The MAC addresses make the link-local ones.
        self.us.ip(&[format!(
            "link add eth0 address 02:00:00:00:00:01 type veth \
             peer name eth0 address 02:00:00:00:00:02 netns {}",
            self.them.name()
        )])?;
        for (netns, host) in ends {
            netns.ip(&[
                "link set lo up".to_owned(),
                "link set eth0 up".to_owned(),
                format!("addr add 10.99.0.{host}/24 dev eth0"),
                format!("addr add fd99::{host}/64 dev eth0 nodad"),
            ])?;
        }
        Ok(())
    }

    /// Makes room for a third speaker: the cable between the two ends in a bridge on the other side,
    /// with one to the third.
    pub fn add_third(&self) -> Result<()> {
        let (them, third) = (self.them.name(), self.third.name());
        host_ip(&[format!("netns add {third}")])?;
        self.third.sysctl(&SYSCTLS)?;
        self.them
            .ip(&[
                "link add lan type bridge forward_delay 0 mcast_snooping 0".to_owned(),
                "addr flush dev eth0".to_owned(),
                "link set eth0 master lan".to_owned(),
                format!("link add third type veth peer name eth0 netns {third}"),
                "link set third master lan up".to_owned(),
                "link set lan up".to_owned(),
                "addr add 10.99.0.2/24 dev lan".to_owned(),
                "addr add fd99::2/64 dev lan nodad".to_owned(),
            ])
            .with_context(|| format!("{them} as a switch"))?;
        self.third.ip(&[
            "link set lo up".to_owned(),
            "link set eth0 up".to_owned(),
            format!("addr add {THIRD_ADDRESS}/24 dev eth0"),
        ])
    }

    /// Leaves the cable without addresses but the link-local ones: the others go to the loopback
    /// interfaces.
    pub fn take_addresses(&self) -> Result<()> {
        for (netns, host) in [(&self.us, 1), (&self.them, 2)] {
            netns.ip(&[
                format!("addr del 10.99.0.{host}/24 dev eth0"),
                format!("addr del fd99::{host}/64 dev eth0"),
                format!("addr add 10.99.0.{host}/32 dev lo"),
                format!("addr add fd99::{host}/128 dev lo"),
            ])?;
            netns.sysctl(&[("net/ipv6/conf/all/forwarding", "1")])?;
        }
        Ok(())
    }

    /// Waits until the other side's kernel knows a neighbour, which it does by its Router
    /// Advertisements.
    pub fn known_there(&self, address: &IpAddr) -> Result<()> {
        wait::until("they know our link-local address", UP, || {
            let known = self
                .them
                .output("ip", &["-6", "neighbor", "show", "dev", "eth0"])?;
            mentions(&known, &[&address.to_string()])
        })
        .map(drop)
    }

    /// Sends Router Advertisements for a daemon that leaves that to others: by BIRD, this machine's.
    pub fn advertise_router(&self) -> Result<Process> {
        let dir = self.run_dir.path().join("radv");
        fs::create_dir_all(&dir)?;
        let config = "router id 192.0.2.9;\nprotocol device {}\nprotocol radv { interface \"eth0\" \
                      { min ra interval 3; max ra interval 4; default lifetime 0; }; }\n";
        fs::write(dir.join("bird.conf"), config)?;
        let mut command = self.them.command("bird");
        command.args(["-f", "-c"]).arg(dir.join("bird.conf"));
        command.arg("-s").arg(dir.join("bird.ctl"));
        self.processes.spawn("radv", &command)
    }

    /// The directory of the other side's daemon.
    pub fn their_dir(&self) -> PathBuf {
        self.run_dir.path().join("them")
    }

    /// The log of a role, as far as it is written.
    pub fn log(&self, role: &str) -> String {
        let text = fs::read(self.processes.log(role)).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // A failed scene can be looked at: its logs and its namespaces stay until the next run.
        if std::env::var_os("REDSTART_KEEP").is_some() {
            return;
        }
        if let Err(error) = run_dir::tear_down(&self.name) {
            eprintln!("{}: not cleaned up: {error:#}", self.name);
        }
    }
}
