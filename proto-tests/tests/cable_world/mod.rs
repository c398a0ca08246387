//! A node and a router with cables between them that have no addresses but IPv6 link-local ones.
//!
//! The node's interfaces are `up1`, `up2`, …, the router's `down1`, `down2`, …. What either has to say
//! is on its loopback interface.

#![allow(dead_code, reason = "each test program uses a part")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use redstart_controller::control::views;
use redstart_proto_tests::lab::{
    exclusive::Exclusive,
    frr::DAEMON_DIR,
    netns::{self, Netns, host_ip},
    process::{Process, Processes, Signal},
    requirements::Binaries,
    run_dir::{self, RunDir},
    topology::Topology,
    wait,
};
use serde::de::DeserializeOwned;

const NODE: &str = "n1";

/// How long anything here may take, on a machine that is busy.
pub(crate) const SOON: Duration = Duration::from_secs(40);

/// Duplicate address detection and other people's advertisements would be in the way.
const SYSCTLS: [(&str, &str); 5] = [
    ("net/ipv6/conf/all/disable_ipv6", "0"),
    ("net/ipv6/conf/default/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_ra", "0"),
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
];

/// The two, and what runs there. Gone when dropped.
pub(crate) struct World {
    name: String,
    pub(crate) us: Netns,
    pub(crate) them: Netns,
    binaries: Binaries,
    run_dir: RunDir,
    processes: Processes,
    running: Vec<Process>,
    _exclusive: Exclusive,
}

impl World {
    /// With so many cables.
    pub(crate) fn new(name: &str, links: usize) -> Result<Self> {
        let exclusive = Exclusive::wait()?;
        run_dir::tear_down(name)?;
        let run_dir = RunDir::of(name);
        for dir in [run_dir.path().join("log"), run_dir.objects()] {
            fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        let world = Self {
            name: name.to_owned(),
            us: Netns::of(name, NODE),
            them: Netns::of(name, Topology::EXT),
            binaries: Binaries::beside(env!("CARGO_BIN_EXE_lab")),
            processes: Processes::of(run_dir.path()),
            running: Vec::new(),
            run_dir,
            _exclusive: exclusive,
        };
        world.wire(links)?;
        Ok(world)
    }

    /// With one cable, and IPv4 addresses at its ends.
    pub(crate) fn addressed(name: &str) -> Result<Self> {
        let world = Self::new(name, 1)?;
        let add = |address: &str| [format!("addr add {address}")];
        world.us.ip(&add("10.30.0.1/24 dev up1"))?;
        world.them.ip(&add("10.30.0.11/24 dev down1"))?;
        Ok(world)
    }

    fn wire(&self, links: usize) -> Result<()> {
        let both = [&self.us, &self.them];
        host_ip(&both.map(|netns| format!("netns add {}", netns.name())))?;
        for netns in both {
            netns.sysctl(&SYSCTLS)?;
            netns.ip(&["link set lo up".to_owned()])?;
        }
        for n in 1..=links {
            let them = self.them.name();
            self.us.ip(&[
                format!("link add up{n} type veth peer name down{n} netns {them}"),
                format!("link set up{n} up"),
            ])?;
            self.them.ip(&[format!("link set down{n} up")])?;
        }
        let loopback = |addresses: [&str; 2]| addresses.map(|a| format!("addr add {a} dev lo"));
        self.us.ip(&loopback(["10.244.1.1/24", "fd44:1::1/64"]))?;
        self.them.ip(&loopback(["10.20.0.1/24", "fd20::1/64"]))
    }

    /// Writes an object, in one step: a half-written one must not be read.
    pub(crate) fn put(&self, name: &str, manifest: &str) -> Result<()> {
        let fresh = self.run_dir.path().join(format!("{name}.new"));
        let place = self.run_dir.objects().join(format!("{name}.yaml"));
        fs::write(&fresh, manifest)
            .and_then(|()| fs::rename(&fresh, place))
            .with_context(|| format!("cannot write {name}"))
    }

    /// A `BGPPeer` for an address.
    pub(crate) fn put_router(&self, name: &str, address: &str, more: &str) -> Result<()> {
        self.put(
            name,
            &format!(
                "apiVersion: redstart.dev/v1alpha1\nkind: BGPPeer\nmetadata:\n  name: {name}\n\
                 spec:\n  address: \"{address}\"\n  asn: External\n{more}"
            ),
        )
    }

    /// A `BGPPeer` for an interface.
    pub(crate) fn put_peer(&self, name: &str, interface: &str, more: &str) -> Result<()> {
        self.put(
            name,
            &format!(
                "apiVersion: redstart.dev/v1alpha1\nkind: BGPPeer\nmetadata:\n  name: {name}\n\
                 spec:\n  interface: {interface}\n  asn: External\n{more}"
            ),
        )
    }

    /// A `BGPPeer` for whoever connects from a range, with a password.
    pub(crate) fn put_range(&self, name: &str, cidr: &str, limit: u32) -> Result<()> {
        self.put(
            "secret",
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: range\n  namespace: redstart-system\n\
             stringData:\n  password: swordfish\n",
        )?;
        self.put(
            name,
            &format!(
                "apiVersion: redstart.dev/v1alpha1\nkind: BGPPeer\nmetadata:\n  name: {name}\n\
                 spec:\n  listenRange:\n    cidr: {cidr}\n    limit: {limit}\n  asn: External\n  \
                 passwordSecretRef:\n    name: range\n"
            ),
        )
    }

    /// Writes the Node, with these addresses.
    pub(crate) fn put_node(&self, addresses: &[&str]) -> Result<()> {
        let address = |a: &&str| format!("  - type: InternalIP\n    address: \"{a}\"\n");
        let addresses: String = addresses.iter().map(address).collect();
        self.put(
            "node",
            &format!(
                "apiVersion: v1\nkind: Node\nmetadata:\n  name: n1\nspec:\n  podCIDR: 10.244.1.0/24\n  \
                 podCIDRs: [10.244.1.0/24, \"fd44:1::/64\"]\nstatus:\n  addresses:\n{addresses}"
            ),
        )
    }

    /// Starts the speaker, with the Node's one address on no link.
    pub(crate) fn start_redstart(&mut self) -> Result<()> {
        self.start_redstart_at(&["10.99.0.1"])
    }

    /// Starts the speaker of a Node with these addresses.
    pub(crate) fn start_redstart_at(&mut self, addresses: &[&str]) -> Result<()> {
        self.put_node(addresses)?;
        self.put_configuration()?;
        let objects = self.run_dir.objects();
        self.run_redstart(&["--objects", &objects.to_string_lossy()])
    }

    /// Writes the configuration: no mesh, and no waiting.
    pub(crate) fn put_configuration(&self) -> Result<()> {
        self.put(
            "configuration",
            "apiVersion: redstart.dev/v1alpha1\nkind: BGPConfiguration\nmetadata:\n  name: default\n\
             spec:\n  asn: 65010\n  mesh:\n    mode: None\n  timers:\n    connectRetrySeconds: 1\n    \
             holdTimeSeconds: 240\n",
        )
    }

    /// Starts the speaker with its objects from elsewhere.
    pub(crate) fn run_redstart(&mut self, source: &[&str]) -> Result<()> {
        let program = self.binaries.path("redstart");
        let mut command = self.us.command(&program.to_string_lossy());
        command.args(["run", "--node", NODE]).args(source);
        command.arg("--socket").arg(self.run_dir.socket(NODE));
        command.args(["--log-format", "text"]);
        command.env_remove("KUBECONFIG");
        self.spawn("redstart", &command)
    }

    /// Starts an API server with the objects written so far, whose account may do what these roles say.
    /// Where its kubeconfig is.
    pub(crate) fn start_apiserver(&mut self, roles: &str) -> Result<PathBuf> {
        let (file, kubeconfig) = (self.path("roles.yaml"), self.path("kubeconfig"));
        fs::write(&file, roles)?;
        let program = self.binaries.path("apiserver");
        let mut command = self.us.command(&program.to_string_lossy());
        command.arg("--roles").arg(file);
        command.arg("--objects").arg(self.run_dir.objects());
        command.arg("--kubeconfig-out").arg(&kubeconfig);
        self.spawn("apiserver", &command)?;
        wait::until("the API server", SOON, || {
            ensure!(kubeconfig.exists(), "it has written no kubeconfig");
            Ok(())
        })
        .with_context(|| self.log("apiserver"))?;
        Ok(kubeconfig)
    }

    /// What the speaker answers to a GET on its port for probes and metrics.
    pub(crate) fn get(&self, path: &str) -> Result<String> {
        let script = format!(
            "exec 3<>/dev/tcp/127.0.0.1/9179; printf 'GET {path} HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
        );
        self.us.output("bash", &["-c", &script])
    }

    /// Starts a program, which ends with this value.
    pub(crate) fn spawn(&mut self, role: &str, command: &Command) -> Result<()> {
        self.running.push(self.processes.spawn(role, command)?);
        Ok(())
    }

    /// The speaker's control socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.run_dir.socket(NODE)
    }

    /// `redc`, before its words.
    pub(crate) fn redc_command(&self) -> Command {
        let mut command = Command::new(self.binaries.path("redc"));
        command.arg("-s").arg(self.socket());
        command
    }

    /// What `redc` prints.
    pub(crate) fn redc(&self, words: &str) -> Result<String> {
        netns::stdout_of(self.redc_command().args(words.split_whitespace()))
    }

    /// What `redc` answers.
    pub(crate) fn ask<T: DeserializeOwned>(&self, words: &[&str]) -> Result<T> {
        let mut command = self.redc_command();
        let answer = netns::stdout_of(command.args(["-o", "json"]).args(words))?;
        serde_json::from_str(&answer).with_context(|| format!("redc answered {answer}"))
    }

    /// A neighbour, as `redc show protocols all` shows it.
    pub(crate) fn protocol(&self, name: &str) -> Result<views::Protocol> {
        let all: Vec<views::Protocol> = self.ask(&["show", "protocols", "all"])?;
        let found = all.into_iter().find(|protocol| protocol.name == name);
        found.with_context(|| format!("redc shows no {name}"))
    }

    /// How a neighbour is watched.
    pub(crate) fn bfd(&self, name: &str) -> Result<views::BfdSession> {
        let all: Vec<views::BfdSession> = self.ask(&["show", "bfd", "sessions"])?;
        let found = all.into_iter().find(|session| session.peer == name);
        found.with_context(|| format!("{name} is not watched"))
    }

    /// The names of all neighbours.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let all: Vec<views::Protocol> = self.ask(&["show", "protocols", "all"])?;
        Ok(all.into_iter().map(|protocol| protocol.name).collect())
    }

    /// Waits until there are just these neighbours.
    pub(crate) fn has_neighbours(&self, expected: &[&str]) -> Result<()> {
        wait::until(&format!("the neighbours are {expected:?}"), SOON, || {
            let names = self.names()?;
            if names == expected {
                return Ok(());
            }
            bail!("{names:?}")
        })
        .map(drop)
        .with_context(|| self.log("redstart"))
    }

    /// What the speaker says of itself.
    pub(crate) fn status(&self) -> Result<views::Status> {
        self.ask(&["show", "status"])
    }

    /// Waits until a neighbour is in this state.
    pub(crate) fn is(&self, name: &str, state: &str) -> Result<views::Protocol> {
        let (protocol, _) = wait::until(&format!("{name} is {state}"), SOON, || {
            let protocol = self.protocol(name)?;
            if protocol.state == state {
                return Ok(protocol);
            }
            bail!(
                "{} {}",
                protocol.state,
                protocol.last_error.unwrap_or_default()
            )
        })
        .with_context(|| self.log("redstart"))?;
        Ok(protocol)
    }

    /// Waits until `redc show status` has exactly these problems, object and reason.
    pub(crate) fn has_problems(&self, expected: &[(&str, &str)]) -> Result<Vec<views::Problem>> {
        let (problems, _) = wait::until(&format!("the problems are {expected:?}"), SOON, || {
            let status: views::Status = self.ask(&["show", "status"])?;
            let has = |p: &views::Problem| (p.object.clone(), p.reason.clone());
            let mut shown: Vec<_> = status.problems.iter().map(has).collect();
            shown.sort();
            let expected = expected
                .iter()
                .map(|(o, r)| ((*o).to_owned(), (*r).to_owned()));
            if shown == expected.collect::<Vec<_>>() {
                return Ok(status.problems);
            }
            bail!("{shown:?}")
        })?;
        Ok(problems)
    }

    /// Waits until `ip route show` for a prefix says all of this and nothing of that.
    pub(crate) fn routed(
        &self,
        netns: &Netns,
        prefix: &str,
        says: &[&str],
        not: &[&str],
    ) -> Result<()> {
        let family = if prefix.contains(':') { "-6" } else { "-4" };
        wait::until(&format!("{prefix} {says:?}"), SOON, || {
            let text = netns.output("ip", &[family, "route", "show", prefix])?;
            let right = says.iter().all(|part| text.contains(part))
                && !not.iter().any(|part| text.contains(part));
            if right { Ok(()) } else { bail!("{text:?}") }
        })
        .map(drop)
        .with_context(|| self.log("redstart"))
    }

    /// Waits until each end reaches the other, from what it announces to what the other one does.
    pub(crate) fn ping_both_ways(&self) -> Result<()> {
        let ends = [
            (&self.us, "10.244.1.1", "10.20.0.1"),
            (&self.us, "fd44:1::1", "fd20::1"),
            (&self.them, "10.20.0.1", "10.244.1.1"),
            (&self.them, "fd20::1", "fd44:1::1"),
        ];
        for (netns, from, to) in ends {
            wait::until(&format!("{from} reaches {to}"), SOON, || {
                netns.output("ping", &["-c", "1", "-W", "1", "-I", from, to])
            })?;
        }
        Ok(())
    }

    /// The link-local address of an interface.
    pub(crate) fn link_local(&self, netns: &Netns, interface: &str) -> Result<String> {
        let (addr, _) = wait::until("a link-local address", SOON, || {
            let args = [
                "-6", "-o", "addr", "show", "dev", interface, "scope", "link",
            ];
            let text = netns.output("ip", &args)?;
            let word = text
                .split_whitespace()
                .find(|word| word.starts_with("fe80"));
            let word = word.context("none")?;
            Ok(word.split('/').next().unwrap_or(word).to_owned())
        })?;
        Ok(addr)
    }

    /// A place for a file of the test's own.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.run_dir.path().join(name)
    }

    /// A log.
    pub(crate) fn whole_log(&self, role: &str) -> Result<String> {
        Ok(fs::read_to_string(self.processes.log(role))?)
    }

    /// The end of a log.
    pub(crate) fn log(&self, role: &str) -> String {
        let text = self.whole_log(role).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(40).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// The process of a program.
    pub(crate) fn pid(&self, role: &str) -> Result<u32> {
        let mut running = self.running.iter();
        let process = running.find(|process| process.record.role == role);
        Ok(process
            .with_context(|| format!("no {role} runs"))?
            .record
            .pid)
    }

    fn their_dir(&self) -> PathBuf {
        self.run_dir.path().join("them")
    }

    /// Starts FRR with this configuration of bgpd.
    pub(crate) fn start_frr(&mut self, bgpd: &str) -> Result<()> {
        self.start_frr_daemons(&["zebra", "bgpd"], bgpd, "")
    }

    /// The same with its BFD.
    pub(crate) fn start_frr_with_bfd(&mut self, bgpd: &str, bfdd: &str) -> Result<()> {
        self.start_frr_daemons(&["zebra", "bfdd", "bgpd"], bgpd, bfdd)
    }

    fn start_frr_daemons(&mut self, daemons: &[&str], bgpd: &str, bfdd: &str) -> Result<()> {
        let dir = self.their_dir();
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("zebra.conf"), "hostname them\nlog stdout\n")?;
        fs::write(dir.join("vtysh.conf"), "")?;
        fs::write(dir.join("bgpd.conf"), bgpd)?;
        fs::write(dir.join("bfdd.conf"), bfdd)?;
        netns::stdout_of(Command::new("chown").args(["-R", "frr:frr"]).arg(&dir))?;
        for &daemon in daemons {
            let mut command = self.them.command(&format!("{DAEMON_DIR}/{daemon}"));
            command.arg("-f").arg(dir.join(format!("{daemon}.conf")));
            command.arg("-i").arg(dir.join(format!("{daemon}.pid")));
            command.arg("--vty_socket").arg(&dir).args(["-P", "0"]);
            command.arg("-z").arg(dir.join("zserv.api"));
            if daemon == "bfdd" {
                let control = format!("{}/bfdd.sock", dir.display());
                command.args(["--bfdctl", &control]);
            }
            self.spawn(daemon, &command)?;
            if daemon == "zebra" {
                wait::until("zebra's socket", SOON, || {
                    fs::metadata(dir.join("zserv.api")).context("not there")
                })?;
            }
        }
        Ok(())
    }

    /// What FRR's bgpd answers.
    pub(crate) fn vtysh(&self, words: &str) -> Result<String> {
        self.vtysh_lines("bgpd", &[words])
    }

    /// What FRR's bfdd answers.
    pub(crate) fn vtysh_of_bfd(&self, words: &str) -> Result<String> {
        self.vtysh_lines("bfdd", &[words])
    }

    /// Changes the configuration of FRR's bgpd.
    pub(crate) fn vtysh_configure(&self, lines: &[&str]) -> Result<()> {
        self.vtysh_lines("bgpd", &[&["configure terminal"], lines].concat())
            .map(drop)
    }

    fn vtysh_lines(&self, daemon: &str, lines: &[&str]) -> Result<String> {
        let dir = self.their_dir();
        let mut command = Command::new("vtysh");
        command.arg("--vty_socket").arg(&dir);
        command.arg("--config_dir").arg(&dir);
        command.args(["-d", daemon]);
        for line in lines {
            command.args(["-c", line]);
        }
        netns::stdout_of(&mut command)
    }

    /// Starts a way from a TCP port on their side to a Unix socket of the test's.
    pub(crate) fn start_relay(&mut self, port: u16, socket: &Path) -> Result<()> {
        let program = self.binaries.path("lab");
        let mut command = self.them.command(&program.to_string_lossy());
        command.args(["relay", &format!("tcp:10.30.0.11:{port}")]);
        command.arg(format!("unix:{}", socket.display()));
        self.spawn("relay", &command)
    }

    /// Tells a program something.
    pub(crate) fn signal(&self, role: &str, signal: Signal) -> Result<()> {
        let mut running = self.running.iter();
        let process = running.find(|process| process.record.role == role);
        process
            .with_context(|| format!("no {role} runs"))?
            .record
            .signal(signal)
    }

    /// Ends a program like a crash would.
    pub(crate) fn kill(&mut self, role: &str) -> Result<()> {
        self.end(role, Signal::Kill)
    }

    /// Ends a program.
    pub(crate) fn end(&mut self, role: &str, signal: Signal) -> Result<()> {
        let mut running = self.running.iter();
        let at = running.position(|process| process.record.role == role);
        let at = at.with_context(|| format!("no {role} runs"))?;
        self.running.remove(at).stop(signal, SOON)
    }

    /// Starts BIRD with this configuration.
    pub(crate) fn start_bird(&mut self, config: &str) -> Result<()> {
        let dir = self.their_dir();
        fs::create_dir_all(&dir)?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
        fs::write(dir.join("bird.conf"), config)?;
        let mut command = self.them.command("bird");
        command.arg("-f").arg("-c").arg(dir.join("bird.conf"));
        command.arg("-s").arg(dir.join("bird.ctl"));
        self.spawn("bird", &command)
    }

    /// Gives the running BIRD another configuration.
    pub(crate) fn configure_bird(&self, config: &str) -> Result<()> {
        fs::write(self.their_dir().join("bird.conf"), config)?;
        wait::until("BIRD obeys", SOON, || self.birdc(&["configure"])).map(drop)
    }

    /// Waits until what BIRD says of a route has this in it.
    pub(crate) fn bird_knows(&self, prefix: &str, says: &str) -> Result<()> {
        wait::until(&format!("BIRD has {prefix} with {says:?}"), SOON, || {
            let text = self.birdc(&["show", "route", "all", prefix])?;
            if text.contains(says) {
                Ok(())
            } else {
                bail!("{text}")
            }
        })
        .map(drop)
        .with_context(|| self.log("redstart"))
    }

    /// What BIRD answers.
    pub(crate) fn birdc(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new("birdc");
        command.arg("-s").arg(self.their_dir().join("bird.ctl"));
        netns::stdout_of(command.args(words))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Err(error) = run_dir::tear_down(&self.name) {
            eprintln!("{}: not cleaned up: {error:#}", self.name);
        }
    }
}
