//! A speaker with its looking glass, and its neighbours.

use std::{fmt::Write as _, fs};

use anyhow::{Result, ensure};
use redstart_controller::control::views::Status;
use redstart_proto_tests::lab::wait;

use super::{browser::Browser, page::is_shown};
use crate::cable_world::{SOON, World};

const GLASS: &str = "127.0.0.1:9180";
/// Where the page is.
pub(crate) const PAGE: &str = "http://127.0.0.1:9180/";

/// What BIRD tells us and we take.
const ROUTES: u32 = 40;

/// The speaker with two routers, BIRD and GoBGP, and one that is not there, and with so many nodes in the
/// mesh, which one program acts. The last nodes are off.
pub(crate) struct Site {
    pub(crate) world: World,
    nodes: u32,
    off: u32,
}

impl Site {
    pub(crate) fn up(name: &str, nodes: u32, off: u32) -> Self {
        let world = World::new(name, 1).unwrap();
        let mut site = Self { world, nodes, off };
        site.wire().unwrap();
        site.put_objects().unwrap();
        site.start_routers().unwrap();
        site.start_speaker().unwrap();
        site.wait_for_routes();
        site
    }

    fn wire(&self) -> Result<()> {
        self.world.us.ip(&[
            "addr add 10.30.0.1/24 dev up1".to_owned(),
            "route add 10.40.0.0/16 via 10.30.0.11".to_owned(),
        ])?;
        // Every address of a node is there.
        self.world.them.ip(&[
            "addr add 10.30.0.11/24 dev down1".to_owned(),
            "addr add 10.30.0.12/24 dev down1".to_owned(),
            // Nobody listens there.
            "addr add 10.30.0.13/24 dev down1".to_owned(),
            "route add local 10.40.0.0/16 dev lo".to_owned(),
        ])
    }

    fn put_objects(&self) -> Result<()> {
        self.world.put_node(&["10.30.0.1"])?;
        self.world.put(
            "configuration",
            "apiVersion: redstart.dev/v1alpha1\nkind: BGPConfiguration\nmetadata:\n  name: default\n\
             spec:\n  asn: 64512\n  mesh:\n    mode: FullMesh\n  timers:\n    connectRetrySeconds: 1\n",
        )?;
        let node = |n: u32| {
            let (name, address) = (node_name(n), address(n));
            let cidr = format!("{}/24", pod_network(n));
            format!(
                "apiVersion: v1\nkind: Node\nmetadata:\n  name: {name}\nspec:\n  podCIDR: {cidr}\n  \
                 podCIDRs: [{cidr}]\nstatus:\n  addresses:\n  - type: InternalIP\n    address: {address}\n"
            )
        };
        let nodes: Vec<String> = (0..self.nodes).map(node).collect();
        if !nodes.is_empty() {
            self.world.put("nodes", &nodes.join("---\n"))?;
        }
        self.world.put_router("tor-a", "10.30.0.11", "")?;
        self.world.put_router("tor-b", "10.30.0.12", "")?;
        self.world.put_router("away", "10.30.0.13", "")
    }

    fn start_routers(&mut self) -> Result<()> {
        let mut config =
            "router id 10.20.0.1;\nlog stderr all;\nprotocol device { scan time 1; }\n\
             protocol static s4 { ipv4;\n"
                .to_owned();
        for n in 0..ROUTES {
            let _ = writeln!(config, "route 20.0.{n}.0/24 blackhole;");
        }
        // It has our AS in its path, and is refused.
        config.push_str("route 10.66.6.0/24 blackhole;\n");
        config.push_str(
            "}\nprotocol bgp tor { local 10.30.0.11 as 65020; neighbor 10.30.0.1 as 64512; direct;\n\
             strict bind yes; connect delay time 1; connect retry time 1; error wait time 1, 2;\n\
             ipv4 { import all; export filter { if source != RTS_STATIC then reject;\n\
             if net = 10.66.6.0/24 then bgp_path.prepend(64512); accept; }; }; }\n",
        );
        self.world.start_bird(&config)?;
        let gobgp = self.world.path("gobgpd.toml");
        fs::write(
            &gobgp,
            "[global.config]\nas = 65030\nrouter-id = \"10.30.0.12\"\n\
             local-address-list = [\"10.30.0.12\"]\n[[neighbors]]\n[neighbors.config]\n\
             neighbor-address = \"10.30.0.1\"\npeer-as = 64512\n[neighbors.transport.config]\n\
             local-address = \"10.30.0.12\"\n",
        )?;
        let mut command = self.world.them.command("gobgpd");
        command.arg("-f").arg(gobgp).arg("--pprof-disable");
        command.args(["--api-hosts", "127.0.0.1:50051"]);
        self.world.spawn("gobgpd", &command)?;
        self.start_nodes()
    }

    /// The nodes that are on.
    fn start_nodes(&mut self) -> Result<()> {
        let on = (0..self.nodes - self.off).map(|n| format!("{} {}\n", address(n), pod_network(n)));
        let list = self.world.path("nodes.list");
        fs::write(&list, on.collect::<String>())?;
        let mut command = self.world.them.command(env!("CARGO_BIN_EXE_lab"));
        command.arg("nodes").arg(list);
        self.world.spawn("nodes", &command)
    }

    pub(crate) fn start_speaker(&mut self) -> Result<()> {
        let objects = self.world.path("objects");
        let objects = objects.to_string_lossy();
        self.world
            .run_redstart(&["--objects", &objects, "--looking-glass", GLASS])
    }

    /// Peers, as configured.
    pub(crate) fn peers(&self) -> u64 {
        u64::from(self.nodes) + 3
    }

    fn wait_for_routes(&self) {
        let sessions = self.peers() - u64::from(self.off) - 1;
        // A pod CIDR of each node.
        let routes = u64::from(ROUTES + self.nodes - self.off);
        wait::until("the sessions are up and have said all", 3 * SOON, || {
            let Status { peers, kernel, .. } = self.world.status()?;
            ensure!(peers.established == sessions, "{peers:?}");
            ensure!(kernel.installed == routes, "{kernel:?}");
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error:#}\n{}", self.world.log("redstart")));
    }

    pub(crate) fn browser(&self) -> Browser {
        let mut browser = Browser::start(&self.world.us).unwrap();
        browser.resize(1180, 800).unwrap();
        browser.prefer("light").unwrap();
        browser.open(PAGE).unwrap();
        browser.until(SOON, &is_shown("Live")).unwrap();
        browser
    }
}

pub(crate) fn node_name(n: u32) -> String {
    format!("rack{:02}-node{:02}", n / 50 + 1, n % 50 + 1)
}

fn address(n: u32) -> String {
    format!("10.40.{}.{}", n / 50 + 1, n % 50 + 11)
}

fn pod_network(n: u32) -> String {
    format!("10.{}.{}.0", 128 + n / 200, n % 200)
}
