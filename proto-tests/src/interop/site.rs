//! Where one scene happens: two network namespaces with a cable between them, and a run directory.
//!
//! Named like a lab of one node and one host outside (`ix-SCENE-PEER-n1`, `-ext`), with its run
//! directory where labs have theirs, so that [`run_dir::tear_down`] and `lab down` know how to remove
//! it, also after a crash.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};

use crate::lab::{
    netns::{Netns, host_ip},
    process::Processes,
    run_dir::{self, RunDir},
    topology::Topology,
};

/// The Kubernetes node, where Redstart runs.
pub const NODE: &str = "n1";

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
    /// What runs.
    pub processes: Processes,
}

impl Site {
    /// Builds it, after removing what a crash may have left under the same name.
    pub fn new(name: &str) -> Result<Self> {
        run_dir::tear_down(name).context("cannot clear the leftovers of an old run")?;
        let run_dir = RunDir::of(name);
        for dir in [run_dir.path().join("log"), run_dir.objects()] {
            fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        let site = Self {
            name: name.to_owned(),
            us: Netns::of(name, NODE),
            them: Netns::of(name, Topology::EXT),
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
        self.us.ip(&[format!(
            "link add eth0 type veth peer name eth0 netns {}",
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
