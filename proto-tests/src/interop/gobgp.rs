//! GoBGP: asked and told by `gobgp`, in its namespace.

use std::fs;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{
    session::{
        Dial, Extra, SHARED_PREFIX, STALE_TIME, Session, Side, THEIR_COMMUNITY, THEIR_MED,
        THEIR_ROUTER_ID, THIRD_ADDRESS, Third, family_word,
    },
    side::{TheirSide, log_has},
    site::Site,
    subject::{Heard, Subject},
    third::AIGP,
};
use crate::lab::{netns::stdout_of, topology::Family, wait};

/// What the session is called in the answer of `gobgp neighbor`: `session_state` 6.
const ESTABLISHED: u64 = 6;

/// gobgpd with one session.
#[derive(Debug)]
pub struct GoBgp {
    side: TheirSide,
}

impl GoBgp {
    pub(super) fn at(site: &Site) -> Self {
        Self {
            side: TheirSide::at(site, "gobgpd"),
        }
    }

    fn gobgp(&self, words: &str) -> Result<String> {
        let mut command = self.side.programs.inside(&self.side.netns, "gobgp");
        stdout_of(command.args(words.split(' ')))
    }

    fn neighbor(&self) -> Result<Value> {
        let text = self.gobgp(&format!("-j neighbor {}", self.peer()?))?;
        serde_json::from_str(&text).with_context(|| format!("gobgp answered {text}"))
    }

    fn peer(&self) -> Result<String> {
        let peer = self.side.peer()?;
        Ok(match self.side.session()?.extra {
            Some(Extra::Unnumbered) => format!("{peer}%eth0"),
            _ => peer,
        })
    }

    fn tell_route(&self, verb: &str, family: Family) -> Result<()> {
        let session = self.side.session()?;
        let next_hop = session.their_next_hop(family);
        let word = family_word(family);
        let aigp = match session.extra {
            Some(Extra::Aigp) => format!(" aigp metric {AIGP}"),
            _ => String::new(),
        };
        session
            .their_prefixes(family)
            .iter()
            .try_for_each(|prefix| {
                self.gobgp(&format!(
                    "global rib {verb} {prefix} nexthop {next_hop} med {THEIR_MED} \
                 community {THEIR_COMMUNITY}{aigp} -a {word}"
                ))
                .map(drop)
            })
    }

    fn run(&mut self, restarted: bool) -> Result<()> {
        let mut command = self.side.programs.inside(&self.side.netns, "gobgpd");
        command.arg("-f").arg(self.side.dir.join("gobgpd.toml"));
        command.args(["--log-plain", "-l", "debug", "--pprof-disable"]);
        command.args(["--api-hosts", "127.0.0.1:50051"]);
        if restarted {
            command.arg("-r");
        }
        self.side.run(&command)?;
        wait::until("gobgpd answers", std::time::Duration::from_secs(10), || {
            self.gobgp("global").map(drop)
        })?;
        Ok(())
    }
}

const CLIENT: &str = "\
[neighbors.route-reflector.config]
route-reflector-client = true
route-reflector-cluster-id = \"192.0.2.2\"
";

/// Without it, it gives its own address as next hop to external neighbours.
const NEXT_HOP_UNCHANGED: &str = "\
[[policy-definitions]]
name = \"as-it-came\"
[[policy-definitions.statements]]
[policy-definitions.statements.actions]
route-disposition = \"accept-route\"
[policy-definitions.statements.actions.bgp-actions]
set-next-hop = \"unchanged\"
[global.apply-policy.config]
export-policy-list = [\"as-it-came\"]
default-export-policy = \"accept-route\"
";

fn config(session: &Session) -> String {
    let unnumbered = session.extra == Some(Extra::Unnumbered);
    let (listen, neighbor) = if unnumbered {
        ("::".to_owned(), "neighbor-interface = \"eth0\"".to_owned())
    } else {
        let neighbor = format!("neighbor-address = \"{}\"", session.our_address());
        (session.their_address().to_string(), neighbor)
    };
    let mut text = format!(
        "[global.config]\nas = {}\nrouter-id = \"{THEIR_ROUTER_ID}\"\n\
         local-address-list = [\"{listen}\"]\n[[neighbors]]\n[neighbors.config]\n\
         {neighbor}\npeer-as = {}\n",
        session.their_as, session.our_as
    );
    if let Some(password) = &session.their_password {
        text.push_str(&format!("auth-password = \"{password}\"\n"));
    }
    text.push_str("[neighbors.transport.config]\n");
    if !unnumbered {
        let local = session.their_address();
        text.push_str(&format!("local-address = \"{local}\"\n"));
    }
    text.push_str(&format!(
        "passive-mode = {}\n\
         [neighbors.timers.config]\nconnect-retry = 1\nhold-time = {}\nkeepalive-interval = {}\n\
         idle-hold-time-after-reset = 1\n",
        session.dial == Dial::Us && !unnumbered,
        session.hold_time,
        (session.hold_time / 3).max(1)
    ));
    if session.ttl_security {
        text.push_str("[neighbors.ttl-security.config]\nenabled = true\nttl-min = 255\n");
    }
    if session.graceful_restart {
        text.push_str(&format!(
            "[neighbors.graceful-restart.config]\nenabled = true\nrestart-time = {}\n\
             deferral-time = 5\nlong-lived-enabled = {}\nnotification-enabled = {}\n",
            session.restart_time,
            session.extra == Some(Extra::LongLived),
            session.extra == Some(Extra::Notification),
        ));
    }
    if session.third == Some(Third::TheirClient) {
        text.push_str(CLIENT);
    }
    for family in &session.families {
        text.push_str(&family_config(session, *family));
    }
    if session.third_is_theirs() {
        text.push_str(&third(session));
    }
    text
}

/// The third speaker, and what is done with its routes.
fn third(session: &Session) -> String {
    let mut text = format!(
        "[[neighbors]]\n[neighbors.config]\nneighbor-address = \"{THIRD_ADDRESS}\"\n\
         peer-as = {}\n[neighbors.transport.config]\npassive-mode = true\n",
        session.third_as()
    );
    text.push_str(match session.third {
        Some(Third::TheirClient) => CLIENT,
        _ => NEXT_HOP_UNCHANGED,
    });
    text
}

fn family_config(session: &Session, family: Family) -> String {
    let mut text = format!(
        "[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\n\
         afi-safi-name = \"{}-unicast\"\n[neighbors.afi-safis.mp-graceful-restart.config]\n\
         enabled = {}\n",
        family_word(family),
        session.graceful_restart
    );
    let mut say = |section: &str, line: &str| {
        text.push_str(&format!("[neighbors.afi-safis.{section}.config]\n{line}\n"));
    };
    match session.extra {
        Some(Extra::AddPath) => say("add-paths", "send-max = 4"),
        Some(Extra::AddPathFromUs) => say("add-paths", "receive = true"),
        Some(Extra::Limit(Side::Them)) => say("prefix-limit", "max-prefixes = 1"),
        Some(Extra::LongLived) => say(
            "long-lived-graceful-restart",
            &format!("enabled = true\nrestart-time = {STALE_TIME}"),
        ),
        _ => {}
    }
    text
}

impl Subject for GoBgp {
    fn configure(&mut self, session: &Session) -> Result<()> {
        self.side.take_over(session)?;
        fs::write(self.side.dir.join("gobgpd.toml"), config(session))?;
        self.run(false)?;
        if session.third == Some(Third::TheirClient) {
            let next_hop = session.their_address();
            self.gobgp(&format!(
                "global rib add {SHARED_PREFIX} nexthop {next_hop}"
            ))?;
        }
        Ok(())
    }

    fn start(&mut self) -> Result<()> {
        self.run(true)?;
        self.side
            .announced
            .iter()
            .try_for_each(|family| self.tell_route("add", *family))
    }

    fn established(&self) -> Result<()> {
        let neighbor = self.neighbor()?;
        let state = neighbor.pointer("/state/session_state");
        if state.and_then(Value::as_u64) != Some(ESTABLISHED) {
            bail!("gobgp shows state {state:?}");
        }
        Ok(())
    }

    fn announce(&mut self, family: Family) -> Result<()> {
        self.side.announced.push(family);
        self.tell_route("add", family)
    }

    fn withdraw(&mut self, family: Family) -> Result<()> {
        self.side.announced.retain(|announced| *announced != family);
        self.tell_route("del", family)
    }

    fn all_heard(&self, family: Family, prefix: &str) -> Result<Vec<Heard>> {
        let words = format!(
            "-j neighbor {} adj-in {prefix} -a {}",
            self.peer()?,
            family_word(family)
        );
        // An empty table is an error to gobgp, of exit code 1.
        let Ok(text) = self.gobgp(&words) else {
            return Ok(Vec::new());
        };
        let Ok(answer) = serde_json::from_str::<Value>(&text) else {
            return Ok(Vec::new());
        };
        let paths = answer.get(prefix).and_then(Value::as_array);
        let attributes = paths
            .into_iter()
            .flatten()
            .filter_map(|path| path.get("attrs").and_then(Value::as_array));
        Ok(attributes.map(|attributes| heard(attributes)).collect())
    }

    fn refresh(&mut self, family: Family) -> Result<()> {
        let words = format!(
            "neighbor {} softresetin -a {}",
            self.peer()?,
            family_word(family)
        );
        self.gobgp(&words).map(drop)
    }

    fn shut_down(&mut self, text: &str) -> Result<()> {
        let peer = self.peer()?;
        let mut command = self.side.programs.inside(&self.side.netns, "gobgp");
        command.args(["neighbor", &peer, "shutdown", "--reason", text]);
        stdout_of(&mut command).map(drop)
    }

    fn says(&self) -> Result<String> {
        Ok(format!("{}{:#}", self.side.log(), self.neighbor()?))
    }

    fn end_of_rib(&self, family: Family) -> Result<()> {
        let name = format!("{}-unicast", family_word(family));
        log_has(&self.side.log(), &["EOR", &name])
    }

    fn refresh_delimited(&self) -> Result<()> {
        bail!("it does not know them")
    }

    fn refresh_asked(&self) -> Result<()> {
        let neighbor = self.neighbor()?;
        let received = neighbor.pointer("/state/messages/received/refresh");
        match received.and_then(Value::as_u64) {
            Some(1..) => Ok(()),
            count => bail!("gobgp shows {count:?} ROUTE-REFRESHes"),
        }
    }

    fn answer_delimited(&self) -> Result<()> {
        bail!("it does not know them")
    }

    fn hold_time(&self) -> Result<u32> {
        let neighbor = self.neighbor()?;
        let agreed = neighbor.pointer("/timers/state/negotiated_hold_time");
        let seconds = agreed.and_then(Value::as_u64).context("no hold time")?;
        Ok(seconds.try_into()?)
    }

    fn side(&mut self) -> &mut TheirSide {
        &mut self.side
    }
}

/// A list of attributes by their type codes.
fn heard(attributes: &[Value]) -> Heard {
    let mut heard = Heard::default();
    let number = |value: Option<&Value>| value.and_then(Value::as_u64).unwrap_or_default();
    for attribute in attributes {
        let list = |name| attribute.get(name).and_then(Value::as_array).into_iter();
        match number(attribute.get("type")) {
            2 => {
                let numbers: Vec<String> = list("as_paths")
                    .flatten()
                    .filter_map(|segment| segment.get("asns").and_then(Value::as_array))
                    .flatten()
                    .map(Value::to_string)
                    .collect();
                heard.as_path = numbers.join(" ");
            }
            3 | 14 => {
                let next_hop = attribute.get("nexthop").and_then(Value::as_str);
                heard.next_hop = next_hop.unwrap_or_default().to_owned();
            }
            4 => heard.med = number(attribute.get("metric")).try_into().ok(),
            8 => {
                heard.communities = list("communities")
                    .flatten()
                    .filter_map(Value::as_u64)
                    .map(|value| format!("{}:{}", value >> 16, value & 0xffff))
                    .collect();
            }
            9 => {
                let id = attribute.get("value").and_then(Value::as_str);
                heard.originator_id = id.map(str::to_owned);
            }
            10 => {
                let ids = list("value").flatten().filter_map(Value::as_str);
                heard.cluster_list = ids.map(str::to_owned).collect();
            }
            16 => {
                heard.extended_communities = list("value").flatten().map(extended).collect();
            }
            26 => {
                let mut metrics = list("value").flatten().filter_map(|tlv| tlv.get("metric"));
                heard.aigp = metrics.next_back().and_then(Value::as_u64);
            }
            // As it shows attributes that it does not know: its octets, in base64.
            35 => heard.otc = attribute.get("value").and_then(Value::as_str).and_then(otc),
            32 => {
                heard.large_communities = list("value")
                    .flatten()
                    .map(|value| {
                        let part = |name| number(value.get(name));
                        format!(
                            "{}:{}:{}",
                            part("ASN"),
                            part("LocalData1"),
                            part("LocalData2")
                        )
                    })
                    .collect();
            }
            _ => {}
        }
    }
    heard
}

/// A route target or a route origin of a two-octet AS.
fn extended(community: &Value) -> String {
    let number = |name| community.get(name).and_then(Value::as_u64);
    let kind = match (number("type"), number("subtype")) {
        (Some(0), Some(2)) => "rt",
        (Some(0), Some(3)) => "ro",
        _ => return community.to_string(),
    };
    let value = community.get("value").and_then(Value::as_str);
    format!("{kind}:{}", value.unwrap_or_default())
}

/// The number in four octets in base64.
fn otc(value: &str) -> Option<u32> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = value.trim_end_matches('=').chars();
    let bits = digits.map(|digit| DIGITS.find(digit).and_then(|at| u64::try_from(at).ok()));
    // Six digits are 36 bits, the last four of which mean nothing.
    let number = bits
        .collect::<Option<Vec<_>>>()?
        .iter()
        .fold(0, |all, six| (all << 6) | six);
    u32::try_from(number >> 4).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_octets_in_base64() {
        assert_eq!(otc("AAD96Q=="), Some(65001));
        assert_eq!(otc("?"), None);
    }
}
