//! Where a run happens: the daemon's namespace, the neighbours', and a cable.

use std::{fs, path::PathBuf};

use anyhow::Result;

use super::{peer::DAEMON, row::Scene};
use crate::lab::{
    netns::{Netns, host_ip},
    process::Processes,
    run_dir::{self, RunDir},
};

const NAME: &str = "race";

/// Two namespaces and a run directory, gone when dropped.
#[derive(Debug)]
pub struct Ground {
    /// Where the daemon is.
    pub daemon: Netns,
    /// Where its neighbours are.
    pub peers: Netns,
    /// Logs, sockets, configuration.
    pub run_dir: RunDir,
    /// What runs.
    pub processes: Processes,
}

impl Ground {
    /// With the addresses of the neighbours of that row.
    pub fn new(scene: Scene) -> Result<Self> {
        run_dir::tear_down(NAME)?;
        let run_dir = RunDir::of(NAME);
        for dir in [run_dir.path().join("log"), run_dir.objects()] {
            fs::create_dir_all(dir)?;
        }
        let ground = Self {
            daemon: Netns::of(NAME, "n1"),
            peers: Netns::of(NAME, "ext"),
            processes: Processes::of(run_dir.path()),
            run_dir,
        };
        ground.wire(scene)?;
        Ok(ground)
    }

    fn wire(&self, scene: Scene) -> Result<()> {
        let (daemon, peers) = (&self.daemon, &self.peers);
        host_ip(&[
            format!("netns add {}", daemon.name()),
            format!("netns add {}", peers.name()),
        ])?;
        daemon.ip(&[
            format!(
                "link add eth0 type veth peer name eth0 netns {}",
                peers.name()
            ),
            "link set lo up".to_owned(),
            format!("addr add {DAEMON}/16 dev eth0"),
            "link set eth0 up".to_owned(),
        ])?;
        let mut lines = vec!["link set lo up".to_owned(), "link set eth0 up".to_owned()];
        for identity in scene.senders().iter().chain(&scene.monitors()) {
            lines.push(format!("addr add {}/16 dev eth0", identity.address));
        }
        peers.ip(&lines)
    }

    /// The directory of the daemon.
    pub fn dir(&self) -> PathBuf {
        self.run_dir.path().to_owned()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if let Err(error) = run_dir::tear_down(NAME) {
            eprintln!("{NAME}: not cleaned up: {error:#}");
        }
    }
}
