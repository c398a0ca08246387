//! OpenBGPD: told and asked by `bgpctl`. Its portable version writes no kernel routes on Linux.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{
    session::{
        Dial, Extra, SHARED_PREFIX, Session, Side, THEIR_MED, THEIR_ROUTER_ID, THIRD_ADDRESS, Third,
    },
    side::{TheirSide, log_has, mentions, number_after},
    site::Site,
    subject::{Heard, Subject},
};
use crate::lab::{netns::stdout_of, process::Signal, topology::Family, wait};

/// Where its unprivileged processes chroot to; Debian's service makes it when it starts.
const EMPTY: &str = "/run/openbgpd";

/// OpenBGPD with one session to Redstart.
#[derive(Debug)]
pub struct OpenBgpd {
    side: TheirSide,
}

impl OpenBgpd {
    pub(super) fn at(site: &Site) -> Self {
        Self {
            side: TheirSide::at(site, "openbgpd"),
        }
    }

    fn bgpctl(&self, words: &[&str]) -> Result<String> {
        // Interfaces have other numbers elsewhere, and it shows them by name.
        let mut command = self.side.programs.inside(&self.side.netns, "bgpctl");
        command.arg("-s").arg(self.side.dir.join("bgpd.sock"));
        stdout_of(command.args(words))
    }

    fn peer(&self) -> Result<String> {
        Ok(self.side.peer()? + scope(self.side.session()?))
    }

    /// Fails unless it has counted some ROUTE-REFRESH of each of these kinds.
    fn counts_refresh(&self, direction: &str, kinds: &[&str]) -> Result<()> {
        let answer = self.ask(&["show", "neighbor", &self.peer()?])?;
        let counts = answer.pointer(&format!("/neighbors/0/stats/route-refresh/{direction}"));
        let count = |kind: &&str| counts?.get(kind)?.as_u64();
        match kinds.iter().find(|kind| !matches!(count(kind), Some(1..))) {
            None => Ok(()),
            Some(kind) => bail!("bgpctl shows no {kind} {direction}: {counts:?}"),
        }
    }

    fn ask(&self, words: &[&str]) -> Result<Value> {
        let text = self.bgpctl(&[&["-j"], words].concat())?;
        serde_json::from_str(&text).with_context(|| format!("bgpctl answered {text}"))
    }
}

fn neighbor(session: &Session, address: &str, options: &str) -> String {
    let scope = scope(session);
    let mut text = format!(
        "neighbor {address}{scope} {{\n  remote-as {}\n  local-address {}{scope}\n  announce IPv4 none\n  \
         announce IPv6 none\n{options}",
        if address == THIRD_ADDRESS {
            session.third_as()
        } else {
            session.our_as
        },
        session.their_address()
    );
    for family in &session.families {
        let name = match family {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        };
        text.push_str(&format!("  announce {name} unicast\n"));
    }
    if session.third == Some(Third::TheirClient) {
        text.push_str("  route-reflector\n");
    }
    text.push_str("}\n");
    text
}

/// What a link-local address must have after it.
fn scope(session: &Session) -> &'static str {
    match session.extra {
        Some(Extra::Unnumbered) => "%eth0",
        _ => "",
    }
}

fn options(session: &Session, newer: bool) -> String {
    let mut text = String::from("  announce enhanced refresh yes\n");
    let mut say = |line: &str| text.push_str(&format!("  {line}\n"));
    if session.dial == Dial::Us {
        say("passive");
    }
    if let Some(password) = &session.their_password {
        say(&format!("tcp md5sig password {password}"));
    }
    if session.ttl_security {
        say("ttl-security yes");
    }
    if !session.four_octet_as {
        say("announce as-4byte no");
    }
    if !session.graceful_restart {
        say("announce restart no");
    }
    match session.their_role() {
        Some(role) if newer => say(&format!("role {role}")),
        Some(role) => say(&format!("announce policy {role}")),
        None => {}
    }
    match session.extra {
        Some(Extra::AddPath) => say("announce add-path send all"),
        Some(Extra::AddPathFromUs) => say("announce add-path recv yes"),
        Some(Extra::Notification) => say("announce graceful notification yes"),
        Some(Extra::Limit(Side::Them)) => say("max-prefix 1"),
        Some(Extra::ExtendedMessages) => say("announce extended message yes"),
        Some(Extra::ExtendedNextHop | Extra::Unnumbered) => say("announce extended nexthop yes"),
        _ => {}
    }
    text
}

fn config(session: &Session, dir: &Path, newer: bool) -> String {
    let mut text = format!(
        "AS {}\nrouter-id {THEIR_ROUTER_ID}\nconnect-retry 1\nholdtime {}\nfib-update no\n\
         socket \"{}\"\nlisten on {}{}\nlog updates\n",
        session.their_as,
        session.hold_time,
        dir.join("bgpd.sock").display(),
        session.their_address(),
        scope(session)
    );
    if session.third == Some(Third::TheirClient) {
        text.push_str(&format!("network {SHARED_PREFIX}\n"));
    }
    let peer = session.our_address().to_string();
    text.push_str(&neighbor(session, &peer, &options(session, newer)));
    if session.third_is_theirs() {
        text.push_str(&neighbor(session, THIRD_ADDRESS, "  passive\n"));
    }
    text.push_str("allow from any\nallow to any\n");
    text
}

impl Subject for OpenBgpd {
    fn configure(&mut self, session: &Session) -> Result<()> {
        self.side.take_over(session)?;
        fs::create_dir_all(EMPTY)?;
        let file = self.side.dir.join("bgpd.conf");
        let newer = self.side.programs.in_a_root();
        fs::write(&file, config(session, &self.side.dir, newer))?;
        // It reads no configuration that others could have written, or could read a password in.
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
        self.start()
    }

    fn start(&mut self) -> Result<()> {
        let mut command = self.side.programs.inside(&self.side.netns, "bgpd");
        command.args(["-d", "-v", "-f"]);
        command.arg(self.side.dir.join("bgpd.conf"));
        self.side.run(&command)?;
        wait::until("bgpd answers", Duration::from_secs(10), || {
            self.bgpctl(&["show", "summary"]).map(drop)
        })?;
        let announced = std::mem::take(&mut self.side.announced);
        announced
            .into_iter()
            .try_for_each(|family| self.announce(family))
    }

    fn established(&self) -> Result<()> {
        let answer = self.ask(&["show", "neighbor", &self.peer()?])?;
        let state = answer.pointer("/neighbors/0/state");
        if state.and_then(Value::as_str) != Some("Established") {
            bail!("bgpctl shows {state:?}");
        }
        Ok(())
    }

    fn hurry(&self) -> Result<()> {
        self.bgpctl(&["neighbor", &self.peer()?, "up"]).map(drop)
    }

    fn announce(&mut self, family: Family) -> Result<()> {
        self.side.announced.push(family);
        let session = self.side.session()?;
        let (next_hop, med) = (session.their_next_hop(family), THEIR_MED.to_string());
        let next_hop = next_hop.to_string();
        for prefix in session.their_prefixes(family) {
            let mut words = vec!["network", "add", prefix, "med", &med, "nexthop", &next_hop];
            let communities = session.their_communities();
            for community in &communities {
                words.extend(["community", community]);
            }
            self.bgpctl(&words)?;
        }
        Ok(())
    }

    fn withdraw(&mut self, family: Family) -> Result<()> {
        self.side.announced.retain(|announced| *announced != family);
        let prefixes = self.side.session()?.their_prefixes(family);
        prefixes
            .iter()
            .try_for_each(|prefix| self.bgpctl(&["network", "delete", prefix]).map(drop))
    }

    fn all_heard(&self, family: Family, prefix: &str) -> Result<Vec<Heard>> {
        let _ = family;
        let peer = self.peer()?;
        let answer = self.ask(&["show", "rib", "detail", "in", "neighbor", &peer, prefix])?;
        let paths = answer.get("rib").and_then(Value::as_array);
        Ok(paths.into_iter().flatten().map(heard).collect())
    }

    fn refresh(&mut self, family: Family) -> Result<()> {
        // All families at once.
        let _ = family;
        self.bgpctl(&["neighbor", &self.peer()?, "refresh"])
            .map(drop)
    }

    fn shut_down(&mut self, text: &str) -> Result<()> {
        self.bgpctl(&["neighbor", &self.peer()?, "down", text])
            .map(drop)
    }

    fn says(&self) -> Result<String> {
        let neighbor = self.bgpctl(&["show", "neighbor", &self.peer()?])?;
        Ok(self.side.log() + &neighbor)
    }

    fn end_of_rib(&self, family: Family) -> Result<()> {
        let name = match family {
            Family::V4 => "IPv4 unicast",
            Family::V6 => "IPv6 unicast",
        };
        log_has(&self.side.log(), &["received", name, "EOR marker"])
    }

    fn refresh_delimited(&self) -> Result<()> {
        self.counts_refresh("received", &["borr", "eorr"])
    }

    fn refresh_asked(&self) -> Result<()> {
        self.counts_refresh("received", &["request"])
    }

    fn answer_delimited(&self) -> Result<()> {
        self.counts_refresh("sent", &["borr", "eorr"])
    }

    fn refuses(&self, prefix: &str) -> Result<()> {
        // It keeps what it refuses, and marks it.
        let shown = self.bgpctl(&["show", "rib", "detail", "in", prefix])?;
        mentions(&shown, &["otc leak"])
    }

    fn hold_time(&self) -> Result<u32> {
        let shown = self.bgpctl(&["show", "neighbor", &self.peer()?])?;
        number_after(&shown, "holdtime")
    }

    fn side(&mut self) -> &mut TheirSide {
        &mut self.side
    }

    /// The sessions are in a child of the daemon: all its processes get the signal.
    fn signal(&mut self, signal: Signal) -> Result<()> {
        self.side.daemon()?.record.signal_group(signal)
    }

    fn kill(&mut self) -> Result<()> {
        self.signal(Signal::Kill)?;
        self.side
            .daemon()?
            .stop(Signal::Kill, Duration::from_secs(5))
    }
}

fn heard(path: &Value) -> Heard {
    let text = |name: &str| {
        let value = path.get(name).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let list = |name: &str| {
        let list = path.get(name).and_then(Value::as_array);
        let texts = list.into_iter().flatten().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    };
    // Attributes that are rarer: a list of objects, each with a member named after what it holds.
    let attributes = path.get("attributes").and_then(Value::as_array);
    let has = |one: &Value, name, value| one.get(name).and_then(Value::as_str) == Some(value);
    let attribute = |name: &str| attributes?.iter().find_map(|one| one.get(name));
    let metric = path.get("metric").and_then(Value::as_u64);
    Heard {
        as_path: text("aspath"),
        next_hop: text("exit_nexthop").replace("%eth0", ""),
        med: metric.and_then(|metric| metric.try_into().ok()),
        communities: list("communities"),
        large_communities: list("large_communities"),
        extended_communities: list("extended_communities")
            .into_iter()
            .map(|community: String| community.replace("rt ", "rt:").replace("soo ", "ro:"))
            .collect(),
        aigp: None,
        otc: attributes
            .and_then(|all| all.iter().find(|one| has(one, "type", "OTC"))?.get("as"))
            .and_then(Value::as_u64)
            .and_then(|asn| asn.try_into().ok()),
        originator_id: attribute("originator")
            .and_then(Value::as_str)
            .map(str::to_owned),
        cluster_list: attribute("cluster_list")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
    }
}
