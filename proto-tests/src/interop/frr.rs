//! FRR: zebra and bgpd, asked and told by `vtysh`.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{
    programs::Programs,
    session::{
        BEHIND_THEM, Dial, Extra, SHARED_PREFIX, Session, THEIR_MED, THEIR_ROUTER_ID,
        THIRD_ADDRESS, family_word, their_prefix,
    },
    site::Site,
    subject::{Heard, Subject, running},
};
use crate::lab::{
    frr::DAEMON_DIR,
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
    programs: Programs,
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
            programs: site.programs.clone(),
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
        self.vtysh("bgpd", &[words.to_owned()])
    }

    fn vtysh(&self, daemon: &str, lines: &[String]) -> Result<String> {
        let mut command = self.programs.outside("vtysh");
        command.arg("--vty_socket").arg(&self.dir);
        command.arg("--config_dir").arg(&self.dir);
        command.args(["-d", daemon]);
        for line in lines {
            command.args(["-c", line]);
        }
        stdout_of(&mut command)
    }

    /// Gives what is in the directory to the user that the daemons run as.
    fn own(&self) -> Result<()> {
        let mut command = self.programs.outside("chown");
        stdout_of(command.args(["-R", "frr:frr"]).arg(&self.dir)).map(drop)
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
        let mut all = vec!["configure terminal".to_owned()];
        all.extend_from_slice(lines);
        self.vtysh("bgpd", &all).map(drop)
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
        let mut command = self
            .programs
            .inside(&self.netns, &format!("{DAEMON_DIR}/{daemon}"));
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
    if !session.four_octet_as {
        // AS_TRANS is not the number that it is told to expect first.
        text.push_str(&format!(" no neighbor {peer} enforce-first-as\n"));
    }
    if session.graceful_restart {
        text.push_str(
            " bgp graceful-restart\n bgp graceful-restart restart-time 30\n \
             bgp graceful-restart preserve-fw-state\n",
        );
    }
    if session.they_reflect() {
        text.push_str(&format!(
            " neighbor {THIRD_ADDRESS} remote-as {}\n neighbor {THIRD_ADDRESS} passive\n",
            session.our_as
        ));
    }
    for family in &session.families {
        text.push_str(&address_family(
            session,
            *family,
            announced.contains(family),
        ));
    }
    text.push_str("exit\n");
    text.push_str(&route_map(session));
    text
}

fn address_family(session: &Session, family: Family, announced: bool) -> String {
    let peer = session.our_address();
    let mut text = format!(
        " address-family {} unicast\n  neighbor {peer} activate\n  \
         neighbor {peer} route-map out out\n",
        family_word(family)
    );
    if session.they_reflect() {
        text.push_str(&format!(
            "  neighbor {peer} route-reflector-client\n  network {SHARED_PREFIX}\n  \
             neighbor {THIRD_ADDRESS} activate\n  \
             neighbor {THIRD_ADDRESS} route-reflector-client\n"
        ));
    }
    if session.extra == Some(Extra::AddPath) {
        text.push_str(&format!("  neighbor {peer} addpath-tx-all-paths\n"));
    }
    if announced {
        text.push_str(&format!("  network {}\n", their_prefix(family)));
    }
    text.push_str(" exit-address-family\n");
    text
}

/// What its own routes go out with. No line may be longer than vtysh reads.
fn route_map(session: &Session) -> String {
    let mut text = String::new();
    let mut number = 10;
    for communities in session.their_communities().chunks(50) {
        text.push_str(&format!(
            "route-map out permit {number}\n set metric {THEIR_MED}\n \
             set community {} additive\n",
            communities.join(" ")
        ));
        if number == 10 && !session.four_octet_as {
            text.push_str(&format!(" set as-path prepend {BEHIND_THEM}\n"));
        }
        text.push_str(" on-match next\nexit\n");
        number += 10;
    }
    text.push_str(&format!("route-map out permit {number}\nexit\n"));
    text
}

impl Subject for Frr {
    fn configure(&mut self, session: &Session) -> Result<()> {
        self.session = Some(session.clone());
        self.announced.clear();
        fs::create_dir_all(&self.dir)?;
        fs::write(self.dir.join("zebra.conf"), "hostname them\nlog stdout\n")?;
        fs::write(self.dir.join("vtysh.conf"), "")?;
        self.own()?;
        if self.zebra.is_none() {
            self.zebra = Some(self.spawn("zebra")?);
        }
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
        self.own()?;
        self.bgpd = Some(self.spawn("bgpd")?);
        // Without the interfaces from zebra, bgpd treats what it learns as withdrawn.
        wait::until("bgpd knows zebra", PATIENCE, || {
            let clients = self.vtysh("zebra", &["show zebra client summary".to_owned()])?;
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

    fn all_heard(&self, family: Family, prefix: &str) -> Result<Vec<Heard>> {
        let words = format!("show bgp {} unicast {prefix} json", family_word(family));
        let answer: Value = serde_json::from_str(&self.ask(&words)?)?;
        let paths = answer.get("paths").and_then(Value::as_array);
        Ok(paths.into_iter().flatten().map(heard).collect())
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

    fn refresh_delimited(&self) -> Result<()> {
        let log = self.log();
        super::subject::mentions(&log, &["route-refresh (BoRR)", "route-refresh (EoRR)"])
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
        originator_id: path
            .get("originatorId")
            .and_then(Value::as_str)
            .map(str::to_owned),
        cluster_list: path
            .pointer("/clusterList/list")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
    }
}
