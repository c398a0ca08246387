//! FRR: zebra and bgpd, asked and told by `vtysh`.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{
    session::{
        Dial, Extra, SHARED_PREFIX, STALE_TIME, Session, Side, THEIR_MED, THEIR_ROUTER_ID,
        THIRD_ADDRESS, Third, family_word,
    },
    side::{TheirSide, log_has},
    site::Site,
    subject::{Heard, Subject},
    third::AIGP,
};
use crate::lab::{
    frr::DAEMON_DIR,
    netns::stdout_of,
    process::{Process, Signal},
    topology::Family,
    wait,
};

const ZEBRA_SOCKET: &str = "zserv.api";
const PATIENCE: Duration = Duration::from_secs(15);

/// FRR with one session.
#[derive(Debug)]
pub struct Frr {
    /// Its daemon is bgpd.
    side: TheirSide,
    zebra: Option<Process>,
    bfdd: Option<Process>,
}

impl Frr {
    pub(super) fn at(site: &Site) -> Self {
        Self {
            side: TheirSide::at(site, "bgpd"),
            zebra: None,
            bfdd: None,
        }
    }

    fn ask(&self, words: &str) -> Result<String> {
        self.vtysh("bgpd", &[words.to_owned()])
    }

    fn vtysh(&self, daemon: &str, lines: &[String]) -> Result<String> {
        let mut command = self.side.programs.outside("vtysh");
        command.arg("--vty_socket").arg(&self.side.dir);
        command.arg("--config_dir").arg(&self.side.dir);
        command.args(["-d", daemon]);
        for line in lines {
            command.args(["-c", line]);
        }
        stdout_of(&mut command)
    }

    /// Gives what is in the directory to the user that the daemons run as.
    fn own(&self) -> Result<()> {
        let mut command = self.side.programs.outside("chown");
        stdout_of(command.args(["-R", "frr:frr"]).arg(&self.side.dir)).map(drop)
    }

    fn neighbor(&self) -> Result<Value> {
        let name = peer(self.side.session()?);
        let all: Value =
            serde_json::from_str(&self.ask(&format!("show bgp neighbors {name} json"))?)?;
        all.get(&name)
            .cloned()
            .with_context(|| format!("vtysh shows no {name}"))
    }

    fn tell(&self, lines: &[String]) -> Result<()> {
        let mut all = vec!["configure terminal".to_owned()];
        all.extend_from_slice(lines);
        self.vtysh("bgpd", &all).map(drop)
    }

    fn network(&self, family: Family, no: &str) -> Result<()> {
        let session = self.side.session()?;
        let mut lines = vec![
            format!("router bgp {}", session.their_as),
            format!("address-family {} unicast", family_word(family)),
        ];
        let prefixes = session.their_prefixes(family);
        lines.extend(
            prefixes
                .iter()
                .map(|prefix| format!("{no}network {prefix}")),
        );
        self.tell(&lines)
    }

    fn command(&self, daemon: &str) -> std::process::Command {
        let side = &self.side;
        let dir = &side.dir;
        let mut command = side
            .programs
            .inside(&side.netns, &format!("{DAEMON_DIR}/{daemon}"));
        command.arg("-f").arg(dir.join(format!("{daemon}.conf")));
        command.arg("-i").arg(dir.join(format!("{daemon}.pid")));
        command.arg("--vty_socket").arg(dir).arg("-P").arg("0");
        command.arg("-z").arg(dir.join(ZEBRA_SOCKET));
        command
    }

    /// Zebra, once, and bfdd where it is asked for.
    fn start_others(&mut self, session: &Session) -> Result<()> {
        if self.zebra.is_none() {
            let zebra = self.command("zebra");
            self.zebra = Some(self.side.processes.spawn("zebra", &zebra)?);
        }
        let socket = self.side.dir.join(ZEBRA_SOCKET);
        wait::until("zebra's socket", PATIENCE, || {
            socket.exists().then_some(()).context("not there")
        })?;
        if session.extra == Some(Extra::Bfd) {
            let mut bfdd = self.command("bfdd");
            if !self.side.programs.in_a_root() {
                // Newer releases have no such socket.
                let control = self.side.dir.join("bfdd.sock");
                bfdd.arg(format!("--bfdctl={}", control.display()));
            }
            self.bfdd = Some(self.side.processes.spawn("bfdd", &bfdd)?);
            wait::until("bfdd answers", PATIENCE, || {
                self.vtysh("bfdd", &["show bfd peers".to_owned()])
            })?;
        }
        Ok(())
    }
}

/// What the session to Redstart is called.
fn peer(session: &Session) -> String {
    match session.extra {
        Some(Extra::Unnumbered) => "eth0".to_owned(),
        _ => session.our_address().to_string(),
    }
}

fn config(session: &Session, announced: &[Family]) -> String {
    let peer = peer(session);
    let remote = match session.extra {
        Some(Extra::Unnumbered) => "interface remote-as external".to_owned(),
        _ => format!("remote-as {}", session.our_as),
    };
    let hostname = match session.extra {
        Some(Extra::LongOpen) => "them-and-nobody-else-in-all-the-whole-wide-world-but-them",
        _ => "them",
    };
    let mut text = format!(
        "hostname {hostname}\nlog stdout\ndebug bgp neighbor-events\ndebug bgp updates\n\
         router bgp {}\n bgp router-id {THEIR_ROUTER_ID}\n no bgp ebgp-requires-policy\n \
         no bgp default ipv4-unicast\n no bgp network import-check\n bgp log-neighbor-changes\n \
         timers bgp {} {}\n neighbor {peer} {remote}\n neighbor {peer} timers connect 1\n \
         neighbor {peer} advertisement-interval 0\n",
        session.their_as,
        (session.hold_time / 3).max(1),
        session.hold_time,
    );
    for words in options(session) {
        text.push_str(&format!(" neighbor {peer} {words}\n"));
    }
    if !session.four_octet_as {
        // AS_TRANS is not the number that it is told to expect first.
        text.push_str(&format!(" no neighbor {peer} enforce-first-as\n"));
    }
    text.push_str(&graceful_restart(session));
    if session.third_is_theirs() {
        text.push_str(&format!(
            " neighbor {THIRD_ADDRESS} remote-as {}\n neighbor {THIRD_ADDRESS} passive\n",
            session.third_as()
        ));
        if session.passes_on() {
            text.push_str(&format!(" neighbor {THIRD_ADDRESS} aigp\n"));
        }
    }
    for family in &session.families {
        text.push_str(&address_family(
            session,
            *family,
            announced.contains(family),
        ));
    }
    if session.extra == Some(Extra::LongOpen) {
        for family in MORE_FAMILIES {
            text.push_str(&format!(
                " address-family {family}\n  neighbor {peer} activate\n  \
                 neighbor {peer} addpath-tx-all-paths\n exit-address-family\n"
            ));
        }
    }
    text.push_str("exit\n");
    text.push_str(&route_map(session));
    text
}

/// Families that make the OPEN long.
const MORE_FAMILIES: [&str; 7] = [
    "ipv4 multicast",
    "ipv6 multicast",
    "ipv4 flowspec",
    "ipv6 flowspec",
    "ipv4 vpn",
    "ipv6 vpn",
    "l2vpn evpn",
];

/// What it keeps over a restart, and for how long.
fn graceful_restart(session: &Session) -> String {
    let mut text = String::new();
    if session.graceful_restart {
        text.push_str(&format!(
            " bgp graceful-restart\n bgp graceful-restart restart-time {}\n \
             bgp graceful-restart preserve-fw-state\n",
            session.restart_time
        ));
    }
    match session.extra {
        Some(Extra::LongLived | Extra::LongOpen) => text.push_str(&format!(
            " bgp long-lived-graceful-restart stale-time {STALE_TIME}\n"
        )),
        Some(Extra::Notification) => text.push_str(" bgp graceful-restart notification\n"),
        _ => {}
    }
    text
}

/// What is said of the neighbour.
fn options(session: &Session) -> Vec<String> {
    let mut all = Vec::new();
    let mut say = |words: &str| all.push(words.to_owned());
    if session.dial == Dial::Us {
        say("passive");
    }
    if let Some(password) = &session.their_password {
        say(&format!("password {password}"));
    }
    if session.ttl_security {
        say("ttl-security hops 1");
    }
    if !session.four_octet_as {
        say("dont-capability-negotiate");
    }
    if let Some(role) = session.their_role() {
        say(&format!("local-role {role}"));
    }
    if session.passes_on() {
        say("aigp");
    }
    match session.extra {
        Some(Extra::ExtendedNextHop) => say("capability extended-nexthop"),
        Some(Extra::Bfd) => say("bfd"),
        _ => {}
    }
    all
}

fn address_family(session: &Session, family: Family, announced: bool) -> String {
    let peer = peer(session);
    let mut text = format!(
        " address-family {} unicast\n  neighbor {peer} activate\n  \
         neighbor {peer} route-map out out\n",
        family_word(family)
    );
    let mut say = |words: &str| text.push_str(&format!("  {words}\n"));
    if session.third_is_theirs() {
        say(&format!("neighbor {THIRD_ADDRESS} activate"));
    }
    if session.third == Some(Third::TheirClient) {
        say(&format!("neighbor {peer} route-reflector-client"));
        say(&format!("neighbor {THIRD_ADDRESS} route-reflector-client"));
        say(&format!("network {SHARED_PREFIX}"));
    }
    match session.extra {
        Some(Extra::AddPath) => say(&format!("neighbor {peer} addpath-tx-all-paths")),
        Some(Extra::Limit(Side::Them)) => say(&format!("neighbor {peer} maximum-prefix 1")),
        _ => {}
    }
    if announced {
        for prefix in session.their_prefixes(family) {
            say(&format!("network {prefix}"));
        }
    }
    text + " exit-address-family\n"
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
        if session.extra == Some(Extra::Aigp) {
            text.push_str(&format!(" set aigp-metric {AIGP}\n"));
        }
        text.push_str(" on-match next\nexit\n");
        number += 10;
    }
    text.push_str(&format!("route-map out permit {number}\nexit\n"));
    text
}

impl Subject for Frr {
    fn configure(&mut self, session: &Session) -> Result<()> {
        self.side.take_over(session)?;
        let dir = &self.side.dir;
        for daemon in ["zebra", "bfdd"] {
            let file = dir.join(format!("{daemon}.conf"));
            fs::write(file, "hostname them\nlog stdout\n")?;
        }
        fs::write(dir.join("vtysh.conf"), "")?;
        self.own()?;
        self.start_others(session)?;
        self.start()
    }

    fn start(&mut self) -> Result<()> {
        let config = config(self.side.session()?, &self.side.announced);
        fs::write(self.side.dir.join("bgpd.conf"), config)?;
        self.own()?;
        let bgpd = self.command("bgpd");
        self.side.run(&bgpd)?;
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
        self.side.announced.push(family);
        self.network(family, "")
    }

    fn withdraw(&mut self, family: Family) -> Result<()> {
        self.side.announced.retain(|announced| *announced != family);
        self.network(family, "no ")
    }

    fn all_heard(&self, family: Family, prefix: &str) -> Result<Vec<Heard>> {
        let words = format!("show bgp {} unicast {prefix} json", family_word(family));
        let answer: Value = serde_json::from_str(&self.ask(&words)?)?;
        let paths = answer.get("paths").and_then(Value::as_array);
        Ok(paths.into_iter().flatten().map(heard).collect())
    }

    fn refresh(&mut self, family: Family) -> Result<()> {
        let peer = peer(self.side.session()?);
        self.ask(&format!("clear bgp {} {peer} soft in", family_word(family)))
            .map(drop)
    }

    fn shut_down(&mut self, text: &str) -> Result<()> {
        let session = self.side.session()?;
        self.tell(&[
            format!("router bgp {}", session.their_as),
            format!("neighbor {} shutdown message {text}", peer(session)),
        ])
    }

    fn says(&self) -> Result<String> {
        Ok(format!("{}{:#}", self.side.log(), self.neighbor()?))
    }

    fn end_of_rib(&self, family: Family) -> Result<()> {
        let words = match family {
            Family::V4 => "rcvd End-of-RIB for IPv4 Unicast",
            Family::V6 => "rcvd End-of-RIB for IPv6 Unicast",
        };
        log_has(&self.side.log(), &[words])
    }

    fn refresh_delimited(&self) -> Result<()> {
        let log = self.side.log();
        log_has(&log, &["rcvd", "route-refresh (BoRR)"])?;
        log_has(&log, &["rcvd", "route-refresh (EoRR)"])
    }

    fn refresh_asked(&self) -> Result<()> {
        let neighbor = self.neighbor()?;
        let received = neighbor.pointer("/messageStats/routeRefreshRecv");
        match received.and_then(Value::as_u64) {
            Some(1..) => Ok(()),
            count => bail!("vtysh shows {count:?} ROUTE-REFRESHes"),
        }
    }

    fn answer_delimited(&self) -> Result<()> {
        let log = self.side.log();
        log_has(&log, &["sending", "route-refresh (BoRR)"])?;
        log_has(&log, &["sending", "route-refresh (EoRR)"])
    }

    fn hold_time(&self) -> Result<u32> {
        let neighbor = self.neighbor()?;
        let milliseconds = neighbor
            .get("bgpTimerHoldTimeMsecs")
            .and_then(Value::as_u64);
        let seconds = milliseconds.context("no hold time")? / 1000;
        Ok(seconds.try_into()?)
    }

    fn side(&mut self) -> &mut TheirSide {
        &mut self.side
    }

    fn signal_bfd(&mut self, signal: Signal) -> Result<()> {
        let bfdd = self.bfdd.as_ref().context("bfdd does not run")?;
        bfdd.record.signal(signal)
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
    let is_global = |hop: &&Value| {
        let scope = hop.get("scope").and_then(Value::as_str);
        scope != Some("link-local")
    };
    let mut hops = hops.into_iter().flatten();
    let next_hop = hops
        .clone()
        .find(is_global)
        .or_else(|| hops.next())
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
        extended_communities: text(&["extendedCommunity", "string"])
            .split_whitespace()
            .map(|community| community.to_lowercase().replace("soo:", "ro:"))
            .collect(),
        aigp: path.get("aigpMetric").and_then(Value::as_u64),
        otc: path
            .get("otc")
            .and_then(Value::as_u64)
            .and_then(|asn| asn.try_into().ok()),
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
