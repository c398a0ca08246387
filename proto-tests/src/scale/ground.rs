//! Where a run happens: the speaker's namespace, the namespace of everything else, and a cable.

use std::{fs, net::Ipv4Addr};

use anyhow::Result;

use super::cluster;
use crate::lab::{
    netns::{Netns, host_ip},
    process::Processes,
    run_dir::{self, RunDir},
    topology::Topology,
};

/// The API server.
pub const API_SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 255, 2);
/// The router.
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 255, 1);

const NAME: &str = "scale";
/// Named like the boxes of a lab, which is what the clean-up looks for.
const NODE: &str = "n1";

/// Two namespaces and a run directory.
#[derive(Debug)]
pub struct Ground {
    /// Where the speaker is.
    pub node: Netns,
    /// Where everything else is.
    pub world: Netns,
    /// Logs and sockets.
    pub run_dir: RunDir,
    /// What runs.
    pub processes: Processes,
    /// Whether it goes with this value.
    owned: bool,
}

impl Ground {
    /// A new one where the neighbours of the speaker, by number, have their addresses; gone when it is
    /// dropped.
    ///
    /// # Errors
    /// What `ip` complains about.
    pub fn wire(neighbours: impl Iterator<Item = u32>) -> Result<Self> {
        run_dir::tear_down(NAME)?;
        let mut ground = Self::existing();
        ground.owned = true;
        fs::create_dir_all(ground.run_dir.path().join("log"))?;
        let (node, world) = (&ground.node, &ground.world);
        host_ip(&[
            format!("netns add {}", node.name()),
            format!("netns add {}", world.name()),
        ])?;
        let cable = format!(
            "link add eth0 type veth peer name eth0 netns {}",
            world.name()
        );
        let here = format!("addr add {}/16 dev eth0", cluster::address(0));
        let up = "link set eth0 up";
        let lines = [cable.as_str(), "link set lo up", &here, up];
        node.ip(&lines.map(str::to_owned))?;
        let mut lines = ["link set lo up", up].map(str::to_owned).to_vec();
        let neighbours = neighbours.map(cluster::address);
        for there in neighbours.chain([API_SERVER, ROUTER]) {
            lines.push(format!("addr add {there}/16 dev eth0"));
        }
        world.ip(&lines)?;
        Ok(ground)
    }

    /// The one that another process has wired.
    #[must_use]
    pub fn existing() -> Self {
        let run_dir = RunDir::of(NAME);
        Self {
            node: Netns::of(NAME, NODE),
            world: Netns::of(NAME, Topology::EXT),
            processes: Processes::of(run_dir.path()),
            run_dir,
            owned: false,
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if self.owned
            && let Err(error) = run_dir::tear_down(NAME)
        {
            eprintln!("{NAME}: not cleaned up: {error:#}");
        }
    }
}
