//! FRR: zebra and bgpd, asked and told by `vtysh`.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{
    session::{
        Dial, Extra, Session, THEIR_COMMUNITY, THEIR_MED, THEIR_ROUTER_ID, family_word,
        their_prefix,
    },
    site::Site,
    subject::{Heard, Subject, running},
};
use crate::lab::{
    frr::{DAEMON_DIR, vtysh},
    netns::{Netns, stdout_of},
    process::{Process, Processes},
    topology::Family,
    wait,
};

const ZEBRA_SOCKET: &str = "zserv.api";
const PATIENCE: Duration = Duration::from_secs(15);

/// FRR with one session.
#[derive(Debug)]
pub struct Frr {
    netns: Netns,
    dir: PathBuf,
    processes: Processes,
    zebra: Option<Process>,
    bgpd: Option<Process>,
    session: Option<Session>,
    announced: Vec<Family>,
}

impl Frr {
    pub(super) fn at(site: &Site) -> Self {
        Self {
            netns: site.them.clone(),
            dir: site.their_dir(),
            processes: site.processes.clone(),
            zebra: None,
            bgpd: None,
            session: None,
            announced: Vec::new(),
        }
    }

    fn session(&self) -> Result<&Session> {
        self.session.as_ref().context("not configured yet")
    }

    fn ask(&self, words: &str) -> Result<String> {
        vtysh(&self.dir, "bgpd", words)
    }

    fn neighbor(&self) -> Result<Value> {
        let session = self.session()?;
        let address = session.our_address().to_string();
        let all: Value =
            serde_json::from_str(&self.ask(&format!("show bgp neighbors {address} json"))?)?;
        all.get(&address)
            .cloned()
            .with_context(|| format!("vtysh shows no {address}"))
    }

    fn tell(&self, lines: &[String]) -> Result<()> {
        let mut command = Command::new("vtysh");
        command.arg("--vty_socket").arg(&self.dir);
        command.arg("--config_dir").arg(&self.dir);
        command.args(["-d", "bgpd", "-c", "configure terminal"]);
        for line in lines {
            command.args(["-c", line]);
        }
        stdout_of(&mut command).map(drop)
    }

    fn network(&self, family: Family, no: &str) -> Result<()> {
        self.tell(&[
            format!("router bgp {}", self.session()?.their_as),
            format!("address-family {} unicast", family_word(family)),
            format!("{no}network {}", their_prefix(family)),
        ])
    }

    fn spawn(&self, daemon: &str) -> Result<Process> {
        let dir = &self.dir;
        let mut command = self.netns.command(&format!("{DAEMON_DIR}/{daemon}"));
        command.arg("-f").arg(dir.join(format!("{daemon}.conf")));
        command.arg("-i").arg(dir.join(format!("{daemon}.pid")));
        command.arg("--vty_socket").arg(dir).arg("-P").arg("0");
        command.arg("-z").arg(dir.join(ZEBRA_SOCKET));
        self.processes.spawn(daemon, &command)
    }

    fn log(&self) -> String {
        let text = fs::read(self.processes.log("bgpd")).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }
}

fn config(session: &Session, announced: &[Family]) -> String {
    let peer = session.our_address();
    let mut text = format!(
        "hostname them\nlog stdout\ndebug bgp neighbor-events\ndebug bgp updates\n\
         router bgp {}\n bgp router-id {THEIR_ROUTER_ID}\n no bgp ebgp-requires-policy\n \
         no bgp default ipv4-unicast\n no bgp network import-check\n bgp log-neighbor-changes\n \
         timers bgp {} {}\n neighbor {peer} remote-as {}\n neighbor {peer} timers connect 1\n \
         neighbor {peer} advertisement-interval 0\n",
        session.their_as,
        (session.hold_time / 3).max(1),
        session.hold_time,
        session.our_as
    );
    let mut neighbor = |words: &str| text.push_str(&format!(" neighbor {peer} {words}\n"));
    if session.dial == Dial::Us {
        neighbor("passive");
    }
    if let Some(password) = &session.their_password {
        neighbor(&format!("password {password}"));
    }
    if session.ttl_security {
        neighbor("ttl-security hops 1");
    }
    if !session.four_octet_as {
        neighbor("dont-capability-negotiate");
    }
    if session.extra == Some(Extra::ExtendedNextHop) {
        neighbor("capability extended-nexthop");
    }
    if session.extra == Some(Extra::Role) {
        neighbor("local-role provider");
    }
    if session.graceful_restart {
        text.push_str(
            " bgp graceful-restart\n bgp graceful-restart restart-time 30\n \
             bgp graceful-restart preserve-fw-state\n",
        );
    }
    for family in &session.families {
        text.push_str(&format!(
            " address-family {} unicast\n  neighbor {peer} activate\n  \
             neighbor {peer} route-map out out\n",
            family_word(*family)
        ));
        if session.internal() {
            text.push_str(&format!("  neighbor {peer} route-reflector-client\n"));
        }
        if session.extra == Some(Extra::AddPath) {
            text.push_str(&format!("  neighbor {peer} addpath-tx-all-paths\n"));
        }
        if announced.contains(family) {
            text.push_str(&format!("  network {}\n", their_prefix(*family)));
        }
        text.push_str(" exit-address-family\n");
    }
    text.push_str(&format!(
        "exit\nroute-map out permit 10\n set metric {THEIR_MED}\n \
         set community {THEIR_COMMUNITY}\nexit\n"
    ));
    text
}

impl Subject for Frr {
    fn configure(&mut self, session: &Session) -> Result<()> {
        self.session = Some(session.clone());
        self.announced.clear();
        fs::create_dir_all(&self.dir)?;
        fs::write(self.dir.join("zebra.conf"), "hostname them\nlog stdout\n")?;
        fs::write(self.dir.join("vtysh.conf"), "")?;
        stdout_of(Command::new("chown").args(["-R", "frr:frr"]).arg(&self.dir))?;
        self.zebra = Some(self.spawn("zebra")?);
        let socket = self.dir.join(ZEBRA_SOCKET);
        wait::until("zebra's socket", PATIENCE, || {
            socket.exists().then_some(()).context("not there")
        })?;
        self.start()
    }

    fn start(&mut self) -> Result<()> {
        let config = config(self.session()?, &self.announced);
        let file = self.dir.join("bgpd.conf");
        fs::write(&file, config)?;
        stdout_of(Command::new("chown").arg("frr:frr").arg(&file))?;
        self.bgpd = Some(self.spawn("bgpd")?);
        // Without the interfaces from zebra, bgpd treats what it learns as withdrawn.
        wait::until("bgpd knows zebra", PATIENCE, || {
            let clients = vtysh(&self.dir, "zebra", "show zebra client summary")?;
            let known = clients.lines().any(|line| line.starts_with("bgp "));
            known.then_some(()).context(clients)
        })?;
        Ok(())
    }

    fn established(&self) -> Result<()> {
        let neighbor = self.neighbor()?;
        match neighbor.get("bgpState").and_then(Value::as_str) {
            Some("Established") => Ok(()),
            state => bail!("vtysh shows {state:?}"),
        }
    }

    fn announce(&mut self, family: Family) -> Result<()> {
        self.announced.push(family);
        self.network(family, "")
    }

    fn withdraw(&mut self, family: Family) -> Result<()> {
        self.announced.retain(|announced| *announced != family);
        self.network(family, "no ")
    }

    fn heard(&self, family: Family, prefix: &str) -> Result<Option<Heard>> {
        let words = format!("show bgp {} unicast {prefix} json", family_word(family));
        let answer: Value = serde_json::from_str(&self.ask(&words)?)?;
        let path = answer.get("paths").and_then(|paths| paths.get(0));
        Ok(path.map(heard))
    }

    fn refresh(&mut self, family: Family) -> Result<()> {
        let peer = self.session()?.our_address();
        self.ask(&format!("clear bgp {} {peer} soft in", family_word(family)))
            .map(drop)
    }

    fn shut_down(&mut self, text: &str) -> Result<()> {
        let session = self.session()?;
        self.tell(&[
            format!("router bgp {}", session.their_as),
            format!("neighbor {} shutdown message {text}", session.our_address()),
        ])
    }

    fn says(&self) -> Result<String> {
        Ok(format!("{}{:#}", self.log(), self.neighbor()?))
    }

    fn end_of_rib(&self, family: Family) -> Result<()> {
        let words = match family {
            Family::V4 => "rcvd End-of-RIB for IPv4 Unicast",
            Family::V6 => "rcvd End-of-RIB for IPv6 Unicast",
        };
        super::subject::log_has(&self.log(), &[words])
    }

    fn daemon(&mut self) -> Result<&mut Process> {
        running(&mut self.bgpd)
    }
}

fn heard(path: &Value) -> Heard {
    let text = |names: &[&str]| {
        let found = names
            .iter()
            .try_fold(path, |value, name| value.get(name))
            .and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    let list = |name| {
        text(&[name, "string"])
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    };
    let hops = path.get("nexthops").and_then(Value::as_array);
    let global = hops.into_iter().flatten().find(|hop| {
        let scope = hop.get("scope").and_then(Value::as_str);
        scope != Some("link-local")
    });
    let next_hop = global
        .and_then(|hop| hop.get("ip"))
        .and_then(Value::as_str)
        .unwrap_or_default();
    let metric = ["metric", "med"].iter().find_map(|name| path.get(name));
    Heard {
        as_path: text(&["aspath", "string"]),
        next_hop: next_hop.to_owned(),
        med: metric
            .and_then(Value::as_u64)
            .and_then(|metric| metric.try_into().ok()),
        communities: list("community"),
        large_communities: list("largeCommunity"),
    }
}
