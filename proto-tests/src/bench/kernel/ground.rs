//! Where a run happens: the daemon's namespace, its neighbours', the hosts' behind it, and cables.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use anyhow::Result;

use crate::lab::{
    netns::{Netns, host_ip},
    process::Processes,
    run_dir::{self, RunDir},
};

const NAME: &str = "fib";

/// Namespaces and a run directory, gone when dropped.
#[derive(Debug)]
pub struct Ground {
    /// Where the daemon is.
    pub daemon: Netns,
    /// Where its neighbours are.
    pub peers: Netns,
    /// Where packets come from.
    pub hosts: Netns,
    /// Logs, sockets, configuration.
    pub run_dir: RunDir,
    /// What runs.
    pub processes: Processes,
}

/// The daemon's end of the cable to a neighbour, and the neighbour's: of the family of the routes.
pub fn ends(neighbour: u8, ipv6: bool) -> [IpAddr; 2] {
    [1, 2].map(|host| {
        if ipv6 {
            Ipv6Addr::new(0xfd99, u16::from(neighbour), 0, 0, 0, 0, 0, host).into()
        } else {
            let host = u8::try_from(host).unwrap_or_default();
            Ipv4Addr::new(192, 168, neighbour, host).into()
        }
    })
}

impl Ground {
    /// Fresh, whatever was left.
    pub fn new() -> Result<Self> {
        run_dir::tear_down(NAME)?;
        let run_dir = RunDir::of(NAME);
        for dir in [run_dir.path().join("log"), run_dir.objects()] {
            fs::create_dir_all(dir)?;
        }
        let ground = Self {
            daemon: Netns::of(NAME, "n1"),
            peers: Netns::of(NAME, "ext"),
            hosts: Netns::of(NAME, "n2"),
            processes: Processes::of(run_dir.path()),
            run_dir,
        };
        ground.wire()?;
        Ok(ground)
    }

    fn wire(&self) -> Result<()> {
        let Self {
            daemon,
            peers,
            hosts,
            ..
        } = self;
        host_ip(&[daemon, peers, hosts].map(|netns| format!("netns add {}", netns.name())))?;
        let mut lines = vec!["link set lo up".to_owned()];
        for (link, far, end) in [
            ("eth0", peers, "eth0"),
            ("eth1", peers, "eth1"),
            ("eth2", hosts, "eth0"),
        ] {
            lines.push(format!(
                "link add {link} type veth peer name {end} netns {}",
                far.name()
            ));
        }
        for (link, number) in [("eth0", 1), ("eth1", 2), ("eth2", 3)] {
            lines.push(format!("addr add 192.168.{number}.1/24 dev {link}"));
            lines.push(format!("addr add fd99:{number}::1/64 dev {link} nodad"));
            lines.push(format!("link set {link} up"));
        }
        daemon.ip(&lines)?;
        daemon.sysctl(&[
            ("net/ipv4/ip_forward", "1"),
            // Else the kernel tells of each route that a changed group moves.
            ("net/ipv4/nexthop_compat_mode", "0"),
        ])?;
        // Whatever is sent to them, they take.
        peers.ip(&[
            "link set lo up".to_owned(),
            "addr add 192.168.1.2/24 dev eth0".to_owned(),
            "addr add fd99:1::2/64 dev eth0 nodad".to_owned(),
            "addr add 192.168.2.2/24 dev eth1".to_owned(),
            "link set eth0 up".to_owned(),
            "link set eth1 up".to_owned(),
            "route add local 0.0.0.0/1 dev lo".to_owned(),
            "route add 192.168.3.0/24 via 192.168.2.1".to_owned(),
        ])?;
        let loose = ["all", "eth0", "eth1"].map(|it| format!("net/ipv4/conf/{it}/rp_filter"));
        peers.sysctl(&loose.each_ref().map(|name| (name.as_str(), "0")))?;
        hosts.ip(&[
            "link set lo up".to_owned(),
            "addr add 192.168.3.2/24 dev eth0".to_owned(),
            "link set eth0 up".to_owned(),
            "route add default via 192.168.3.1".to_owned(),
        ])
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if let Err(error) = run_dir::tear_down(NAME) {
            eprintln!("{NAME}: not cleaned up: {error:#}");
        }
    }
}
