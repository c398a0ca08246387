//! ExaBGP: told through the standard output of a process that it starts, and telling it everything
//! through its standard input, as JSON.
//!
//! It keeps no table. What it has heard is what its events add up to since the session came up.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::Write as _,
    net::Ipv4Addr,
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{
    session::{
        AS_TRANS, Dial, Extra, SHARED_PREFIX, Session, THEIR_MED, THEIR_ROUTER_ID, THIRD_ADDRESS,
        THIRD_PREFIX, Third, family_word,
    },
    side::{TheirSide, mentions},
    site::Site,
    subject::{Heard, Subject},
    third::{self, AIGP},
};
use crate::lab::topology::Family;

/// ExaBGP with one session.
#[derive(Debug)]
pub struct ExaBgp {
    side: TheirSide,
}

impl ExaBgp {
    pub(super) fn at(site: &Site) -> Self {
        Self {
            side: TheirSide::at(site, "exabgp"),
        }
    }

    fn tell(&self, line: &str) -> Result<()> {
        let mut file = OpenOptions::new()
            .append(true)
            .open(self.side.dir.join("commands"))?;
        writeln!(file, "{line}")?;
        Ok(())
    }

    fn tell_route(&self, verb: &str, family: Family) -> Result<()> {
        let session = self.side.session()?;
        let aigp = match session.extra {
            Some(Extra::Aigp) => format!(" aigp {AIGP}"),
            _ => String::new(),
        };
        session
            .their_prefixes(family)
            .iter()
            .try_for_each(|prefix| {
                self.tell(&format!(
                    "{verb} route {prefix} next-hop {} med {THEIR_MED} community [{}]{aigp}",
                    session.their_next_hop(family),
                    session.their_communities().join(" ")
                ))
            })
    }

    /// Every event since the daemon started. The last line may still be on its way.
    fn events(&self) -> Vec<Value> {
        let text = fs::read(self.side.dir.join("events")).unwrap_or_default();
        String::from_utf8_lossy(&text)
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// The events of the session that is up, or why there is none.
    fn since_up(&self) -> Result<Vec<Value>> {
        let mut events = self.events();
        let is = |event: &Value, state: &str| {
            event.pointer("/neighbor/state").and_then(Value::as_str) == Some(state)
        };
        let Some(up) = events.iter().rposition(|event| is(event, "up")) else {
            bail!("no session yet");
        };
        if events.iter().skip(up).any(|event| is(event, "down")) {
            bail!("its session is down");
        }
        Ok(events.split_off(up))
    }
}

/// It compares the number in the OPEN itself, where there is no other.
fn our_as(session: &Session) -> u32 {
    match u16::try_from(session.our_as) {
        Err(_) if !session.four_octet_as => AS_TRANS,
        _ => session.our_as,
    }
}

fn config(session: &Session, dir: &std::path::Path) -> String {
    let on = |yes| if yes { "enable" } else { "disable" };
    let mut text = format!(
        "process told {{\n  run /bin/sh {}/told.sh;\n  encoder json;\n}}\n\
         neighbor {} {{\n  router-id {THEIR_ROUTER_ID};\n  local-address {};\n  local-as {};\n  \
         peer-as {};\n  hold-time {};\n  group-updates false;\n",
        dir.display(),
        session.our_address(),
        session.their_address(),
        session.their_as,
        our_as(session),
        session.hold_time
    );
    if session.dial == Dial::Us {
        text.push_str("  passive true;\n  listen 179;\n");
    }
    if let Some(password) = &session.their_password {
        text.push_str(&format!("  md5-password \"{password}\";\n"));
    }
    if session.ttl_security {
        text.push_str("  outgoing-ttl 255;\n  incoming-ttl 255;\n");
    }
    text.push_str(&format!(
        "  capability {{\n    asn4 {};\n    route-refresh enable;\n    graceful-restart {};\n",
        on(session.four_octet_as),
        if session.graceful_restart {
            "30"
        } else {
            "disable"
        }
    ));
    if session.extra == Some(Extra::AddPath) {
        text.push_str("    add-path send;\n");
    }
    if session.extra == Some(Extra::AddPathFromUs) {
        text.push_str("    add-path receive;\n");
    }
    if session.extra == Some(Extra::ExtendedNextHop) {
        text.push_str("    nexthop enable;\n");
    }
    text.push_str("  }\n  family {\n");
    for family in &session.families {
        text.push_str(&format!("    {} unicast;\n", family_word(*family)));
    }
    if session.extra == Some(Extra::ExtendedNextHop) {
        text.push_str("  }\n  nexthop {\n    ipv4 unicast ipv6;\n");
    }
    text.push_str("  }\n  api {\n    processes [ told ];\n    neighbor-changes;\n");
    // It stumbles over its own event of a negotiation with several paths.
    if !matches!(session.extra, Some(Extra::AddPath | Extra::AddPathFromUs)) {
        text.push_str("    negotiated;\n");
    }
    text.push_str(
        "    receive {\n      \
         parsed;\n      update;\n      notification;\n      refresh;\n    }\n  }\n}\n",
    );
    text
}

impl Subject for ExaBgp {
    fn configure(&mut self, session: &Session) -> Result<()> {
        self.side.take_over(session)?;
        let dir = &self.side.dir;
        fs::write(dir.join("exabgp.conf"), config(session, dir))?;
        // It keeps no routes of others; so both paths of what somebody would reflect are its own, and
        // what it would pass on.
        let mut commands = String::new();
        if session.extra == Some(Extra::AddPath) {
            for (path, next_hop) in [(1, "10.99.0.2"), (2, THIRD_ADDRESS)] {
                let _ = writeln!(
                    commands,
                    "announce route {SHARED_PREFIX} next-hop {next_hop} path-information 0.0.0.{path}"
                );
            }
            let _ = writeln!(
                commands,
                "announce route {THIRD_PREFIX} next-hop {THIRD_ADDRESS} \
                 originator-id {THIRD_ADDRESS} cluster-list [ {THEIR_ROUTER_ID} ]"
            );
        }
        if session.third == Some(Third::BehindThem) {
            for route in third::routes(session, &format!("{} ", session.their_as)) {
                let _ = writeln!(commands, "announce {route}");
            }
        }
        fs::write(dir.join("commands"), commands)?;
        // A shell gives its children in the background no standard input of their own.
        let script = format!(
            "exec 3<&0\ncat <&3 >{dir}/events &\n\
             exec tail --pid=$PPID -s 0.1 -n +1 -f {dir}/commands\n",
            dir = dir.display()
        );
        fs::write(dir.join("told.sh"), script)?;
        self.start()
    }

    fn start(&mut self) -> Result<()> {
        fs::write(self.side.dir.join("events"), "")?;
        let mut command = self.side.programs.inside(&self.side.netns, "exabgp");
        command.arg(self.side.dir.join("exabgp.conf"));
        for (name, value) in [
            ("exabgp.daemon.user", "root"),
            ("exabgp.daemon.drop", "false"),
            ("exabgp.api.ack", "false"),
            ("exabgp.api.cli", "false"),
            ("exabgp.log.destination", "stdout"),
            // Without the cache, a route that is announced again after a withdrawal goes out again.
            ("exabgp.cache.attributes", "false"),
        ] {
            command.env(name, value);
        }
        self.side.run(&command)
    }

    fn established(&self) -> Result<()> {
        self.since_up().map(drop)
    }

    fn announce(&mut self, family: Family) -> Result<()> {
        self.tell_route("announce", family)
    }

    fn withdraw(&mut self, family: Family) -> Result<()> {
        self.tell_route("withdraw", family)
    }

    fn all_heard(&self, family: Family, prefix: &str) -> Result<Vec<Heard>> {
        let name = format!("{} unicast", family_word(family));
        // Its paths, by path identifier.
        let mut paths: BTreeMap<String, Heard> = BTreeMap::new();
        for event in self.since_up()? {
            let Some(update) = event.pointer("/neighbor/message/update") else {
                continue;
            };
            let part = |verb: &str| update.get(verb).and_then(|part| part.get(&name));
            for path in part("withdraw")
                .into_iter()
                .flat_map(|list| paths_of(list, prefix))
            {
                paths.remove(&path);
            }
            let hops = part("announce").and_then(Value::as_object);
            for (next_hop, prefixes) in hops.into_iter().flatten() {
                for path in paths_of(prefixes, prefix) {
                    let attributes = update.get("attribute").unwrap_or(&Value::Null);
                    let heard = read(next_hop, attributes);
                    // A route whose next hop is two addresses is listed under each; the global one,
                    // which is before the other, counts.
                    if next_hop.starts_with("fe80:") {
                        paths.entry(path).or_insert(heard);
                    } else {
                        paths.insert(path, heard);
                    }
                }
            }
        }
        Ok(paths.into_values().collect())
    }

    fn refresh(&mut self, family: Family) -> Result<()> {
        self.tell(&format!(
            "announce route-refresh {} unicast",
            family_word(family)
        ))
    }

    fn shut_down(&mut self, _text: &str) -> Result<()> {
        // Its API takes a subcode and no text.
        self.tell("teardown 2")
    }

    fn says(&self) -> Result<String> {
        // As it wrote them: not everything that it writes is JSON.
        let events = fs::read(self.side.dir.join("events")).unwrap_or_default();
        Ok(self.side.log() + &String::from_utf8_lossy(&events))
    }

    fn end_of_rib(&self, family: Family) -> Result<()> {
        let told = self.since_up()?.into_iter().any(|event| {
            let eor = event.pointer("/neighbor/message/eor");
            let afi = eor.and_then(|eor| eor.get("afi")).and_then(Value::as_str);
            afi == Some(family_word(family))
        });
        if !told {
            bail!("no event of an End-of-RIB");
        }
        Ok(())
    }

    fn refresh_delimited(&self) -> Result<()> {
        // As it wrote them: these events are not JSON.
        let words = ["begin", "end"].map(|word| format!("\"subtype\": \"\"{word}\"\""));
        mentions(&self.says()?, &words.each_ref().map(String::as_str))
    }

    fn refresh_asked(&self) -> Result<()> {
        mentions(&self.says()?, &["\"subtype\": \"\"query\"\""])
    }

    fn answer_delimited(&self) -> Result<()> {
        bail!("it cannot write them")
    }

    fn hold_time(&self) -> Result<u32> {
        let agreed = self.events().into_iter().rev().find_map(|event| {
            let hold = event.pointer("/neighbor/negotiated/hold_time");
            hold.or_else(|| event.pointer("/negotiated/hold_time"))?
                .as_u64()
        });
        Ok(agreed.context("no event of a negotiation")?.try_into()?)
    }

    fn side(&mut self) -> &mut TheirSide {
        &mut self.side
    }
}

/// `[{"nlri": PREFIX, "path-information": ID}, …]`: the identifiers of the prefix's paths.
fn paths_of(list: &Value, prefix: &str) -> Vec<String> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |entry: &Value, name: &str| entry.get(name).map(Value::to_string);
    list.iter()
        .filter(|entry| entry.get("nlri").and_then(Value::as_str) == Some(prefix))
        .map(|entry| text(entry, "path-information").unwrap_or_default())
        .collect()
}

fn read(next_hop: &str, attributes: &Value) -> Heard {
    let list = |name| {
        attributes
            .get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let joined = |name| {
        list(name)
            .map(|community| {
                let parts = community.as_array().map(Vec::as_slice).unwrap_or_default();
                let parts: Vec<String> = parts.iter().map(Value::to_string).collect();
                parts.join(":")
            })
            .collect()
    };
    let path: Vec<String> = list("as-path").map(Value::to_string).collect();
    Heard {
        as_path: path.join(" "),
        next_hop: next_hop.to_owned(),
        med: attributes
            .get("med")
            .and_then(Value::as_u64)
            .and_then(|med| med.try_into().ok()),
        communities: joined("community"),
        large_communities: joined("large-community"),
        extended_communities: list("extended-community")
            .filter_map(|community| community.get("string").and_then(Value::as_str))
            .map(extended)
            .collect(),
        aigp: attributes.get("aigp").and_then(aigp),
        otc: attributes
            .as_object()
            .into_iter()
            .flatten()
            .find(|(name, _)| name.starts_with("attribute-0x23-"))
            .and_then(|(_, value)| hexadecimal(value.as_str()?)?.try_into().ok()),
        originator_id: attributes
            .get("originator-id")
            .and_then(Value::as_str)
            .map(str::to_owned),
        cluster_list: list("cluster-list")
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
    }
}

/// `target:65003:77`, and `origin:65003:0.0.0.78`: the same number of 32 bits, as an address.
fn extended(community: &str) -> String {
    let community = community
        .replace("target:", "rt:")
        .replace("origin:", "ro:");
    let Some((before, number)) = community.rsplit_once(':') else {
        return community;
    };
    match number.parse::<Ipv4Addr>() {
        Ok(number) => format!("{before}:{}", number.to_bits()),
        Err(_) => community,
    }
}

/// `0x000003E8`.
fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

fn aigp(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| hexadecimal(value.as_str()?))
}
