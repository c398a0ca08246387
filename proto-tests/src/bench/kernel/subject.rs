//! The daemons under test: what each is told, which is the same, and how it is started.
//!
//! Every neighbour configured and passive, no policy, nothing told to anybody, equal paths shared,
//! default timers of everything but the hold time, of which there is none. Where `REDSTART_INTEROP_ROOT`
//! names the root of another Debian (see `interop-newer.sh`), its BIRD and FRR take part as well.

use std::{fmt::Write as _, fs};

use anyhow::Result;

use super::{
    super::start::{self, NODE, Place, appears},
    Row,
    ground::{Ground, ends},
    session::{DAEMON_AS, asn},
};
use crate::{
    interop::programs::Programs,
    lab::{frr::DAEMON_DIR, netns::stdout_of, process::Process, requirements::Binaries},
};

/// Which daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Kind {
    /// This project's.
    Redstart,
    /// BIRD.
    Bird,
    /// FRR: bgpd and zebra.
    Frr,
    /// Nobody: a program that only writes the routes.
    Raw,
}

/// A daemon of one version.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Which.
    pub kind: Kind,
    /// With its version, where it is not this project's.
    pub name: String,
    programs: Programs,
}

impl Subject {
    /// Those of these kinds that are on this machine: Redstart first.
    pub fn all(kinds: &[Kind]) -> Result<Vec<Self>> {
        let here = Programs::default();
        let newer = std::env::var_os("REDSTART_INTEROP_ROOT");
        let newer = newer.map(|root| Programs::in_root(root.as_ref()));
        let mut all = Vec::new();
        if kinds.contains(&Kind::Redstart) {
            all.push(Self {
                kind: Kind::Redstart,
                name: "Redstart".to_owned(),
                programs: here.clone(),
            });
        }
        if kinds.contains(&Kind::Raw) {
            all.push(Self {
                kind: Kind::Raw,
                name: "only writing".to_owned(),
                programs: here.clone(),
            });
        }
        for programs in [Some(here), newer].into_iter().flatten() {
            let zebra = format!("{DAEMON_DIR}/zebra");
            for (kind, name, program, says) in [
                (Kind::Bird, "BIRD", "bird", "bird"),
                (Kind::Frr, "FRR", "vtysh", zebra.as_str()),
            ] {
                if kinds.contains(&kind) && programs.has(program) {
                    let name = version(name, says, &programs)?;
                    let programs = programs.clone();
                    all.push(Self {
                        kind,
                        name,
                        programs,
                    });
                }
            }
        }
        Ok(all)
    }

    /// Whether it is asked to do the row.
    pub fn can(&self, row: Row) -> bool {
        match row {
            Row::Ipv4 | Row::Ipv6 => true,
            Row::Lost => self.kind != Kind::Raw,
            Row::LostByBfd | Row::Removed => self.kind == Kind::Redstart,
        }
    }

    /// Starts it for a row. It may take a moment until it listens.
    pub fn start(&self, ground: &Ground, row: Row, binaries: &Binaries) -> Result<Vec<Process>> {
        match self.kind {
            Kind::Redstart => redstart(ground, row, binaries),
            Kind::Bird => self.bird(ground, row),
            Kind::Frr => self.frr(ground, row),
            Kind::Raw => Ok(Vec::new()),
        }
    }

    fn bird(&self, ground: &Ground, row: Row) -> Result<Vec<Process>> {
        let dir = ground.run_dir.path();
        let file = dir.join("bird.conf");
        fs::write(&file, bird_config(row))?;
        let mut command = self.programs.inside(&ground.daemon, "bird");
        command.arg("-f").arg("-c").arg(file);
        command.arg("-s").arg(dir.join("bird.ctl"));
        Ok(vec![ground.processes.spawn("bird", &command)?])
    }

    fn frr(&self, ground: &Ground, row: Row) -> Result<Vec<Process>> {
        let dir = ground.run_dir.path();
        fs::write(dir.join("zebra.conf"), "hostname dut\nlog stdout errors\n")?;
        fs::write(dir.join("bgpd.conf"), frr_config(row))?;
        stdout_of(
            self.programs
                .outside("chown")
                .args(["-R", "frr:frr"])
                .arg(dir),
        )?;
        let spawn = |daemon: &str| {
            let program = format!("{DAEMON_DIR}/{daemon}");
            let mut command = self.programs.inside(&ground.daemon, &program);
            command.arg("-f").arg(dir.join(format!("{daemon}.conf")));
            command.arg("-i").arg(dir.join(format!("{daemon}.pid")));
            command.arg("--vty_socket").arg(dir).args(["-P", "0"]);
            command.arg("-z").arg(dir.join("zserv.api"));
            ground.processes.spawn(daemon, &command)
        };
        let zebra = spawn("zebra")?;
        appears(&dir.join("zserv.api"))?;
        Ok(vec![zebra, spawn("bgpd")?])
    }
}

/// The daemon with the version that it says of itself.
fn version(name: &str, program: &str, programs: &Programs) -> Result<String> {
    let output = programs.outside(program).arg("--version").output()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let number = text
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    Ok(format!("{name} {}", number.unwrap_or("?")))
}

fn bird_config(row: Row) -> String {
    let family = if row.is_ipv6() { "ipv6" } else { "ipv4" };
    let mut text = format!(
        "log stderr {{ warning, error, fatal }};\nrouter id 192.168.1.1;\nprotocol device {{}}\n\
         protocol kernel {{ merge paths on; {family} {{ export all; import none; }}; }}\n"
    );
    for neighbour in 1..=row.neighbours() {
        let [own, far] = ends(neighbour, row.is_ipv6());
        let _ = writeln!(
            text,
            "protocol bgp p{neighbour} {{ local {own} as {DAEMON_AS}; neighbor {far} as {}; \
             hold time 0; passive on; direct; graceful restart off; \
             {family} {{ import all; export none; }}; }}",
            asn(neighbour)
        );
    }
    text
}

fn frr_config(row: Row) -> String {
    let family = if row.is_ipv6() { "ipv6" } else { "ipv4" };
    let mut text = format!(
        "hostname dut\nlog stdout errors\nrouter bgp {DAEMON_AS}\n bgp router-id 192.168.1.1\n \
         no bgp ebgp-requires-policy\n no bgp default ipv4-unicast\n timers bgp 0 0\n \
         bgp bestpath as-path multipath-relax\n bgp graceful-restart-disable\n"
    );
    for neighbour in 1..=row.neighbours() {
        let [_, far] = ends(neighbour, row.is_ipv6());
        let _ = writeln!(
            text,
            " neighbor {far} remote-as {}\n neighbor {far} passive",
            asn(neighbour)
        );
    }
    let _ = writeln!(text, " address-family {family} unicast");
    for neighbour in 1..=row.neighbours() {
        let [_, far] = ends(neighbour, row.is_ipv6());
        let _ = writeln!(
            text,
            "  neighbor {far} activate\n  neighbor {far} route-map none out"
        );
    }
    text.push_str(" exit-address-family\nexit\nroute-map none deny 10\nexit\n");
    text
}

fn redstart(ground: &Ground, row: Row, binaries: &Binaries) -> Result<Vec<Process>> {
    let place = Place {
        daemon: &ground.daemon,
        run_dir: &ground.run_dir,
        processes: &ground.processes,
    };
    start::redstart(place, &manifests(row), binaries)
}

fn manifests(row: Row) -> String {
    let [own, _] = ends(1, row.is_ipv6());
    let mut text = format!(
        "apiVersion: v1\nkind: Node\nmetadata: {{ name: {NODE} }}\nstatus:\n  addresses:\n  \
         - {{ type: InternalIP, address: '{own}' }}\n---\n\
         apiVersion: redstart.dev/v1alpha1\nkind: BGPConfiguration\nmetadata: {{ name: default }}\n\
         spec:\n  asn: {DAEMON_AS}\n  mesh: {{ mode: None }}\n  advertisePodCIDRs: false\n  \
         gracefulRestart: {{ enabled: false }}\n  timers: {{ holdTimeSeconds: 0 }}\n"
    );
    if row == Row::LostByBfd {
        text.push_str(
            "---\napiVersion: redstart.dev/v1alpha1\nkind: BFDProfile\nmetadata: { name: fast }\n\
             spec: { receiveInterval: 100, transmitInterval: 100, detectMultiplier: 20 }\n",
        );
    }
    let family = if row.is_ipv6() { "IPv6" } else { "IPv4" };
    for neighbour in 1..=row.neighbours() {
        let [_, far] = ends(neighbour, row.is_ipv6());
        let _ = write!(
            text,
            "---\napiVersion: redstart.dev/v1alpha1\nkind: BGPPeer\n\
             metadata: {{ name: p{neighbour} }}\nspec:\n  address: '{far}'\n  asn: {}\n  \
             passive: true\n  families: [{family}]\n  maxPrefixes: {{ ipv4: 0, ipv6: 0 }}\n",
            asn(neighbour)
        );
        if row == Row::LostByBfd && neighbour == 1 {
            text.push_str("  bfd: { profile: fast }\n");
        }
    }
    text
}
