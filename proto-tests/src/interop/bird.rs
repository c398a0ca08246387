//! BIRD: asked by `birdc`, its routes switched by enabling and disabling a static protocol.

use std::fmt::Write as _;

use anyhow::{Result, bail};

use super::{
    session::{
        Dial, Extra, SHARED_PREFIX, STALE_TIME, Session, Side, THEIR_MED, THEIR_ROUTER_ID,
        THIRD_ADDRESS, Third, family_word,
    },
    side::{TheirSide, mentions, number_after},
    site::Site,
    subject::{Heard, Subject},
    third::AIGP,
};
use crate::lab::{bird, netns::stdout_of, topology::Family};

/// BIRD with one session, `redstart`.
#[derive(Debug)]
pub struct Bird {
    side: TheirSide,
    config: String,
}

impl Bird {
    pub(super) fn at(site: &Site) -> Self {
        Self {
            side: TheirSide::at(site, "bird"),
            config: String::new(),
        }
    }

    fn birdc(&self, words: &str) -> Result<String> {
        let mut command = self.side.programs.outside("birdc");
        command.arg("-s").arg(self.side.dir.join(bird::SOCKET));
        stdout_of(command.args(words.split(' ')))
    }
}

fn digit(family: Family) -> &'static str {
    match family {
        Family::V4 => "4",
        Family::V6 => "6",
    }
}

fn channel(session: &Session, family: Family) -> String {
    let mut text = format!("  {} {{\n", family_word(family));
    let mut say = |line: &str| text.push_str(&format!("    {line}\n"));
    match session.extra {
        Some(Extra::AddPath) => say("add paths tx;"),
        Some(Extra::AddPathFromUs) => say("add paths rx;"),
        Some(Extra::LongOpen) => say("add paths on;"),
        Some(Extra::ExtendedNextHop | Extra::Unnumbered) if family == Family::V4 => {
            say("extended next hop on;");
        }
        Some(Extra::Limit(Side::Them)) => say("import limit 1 action disable;"),
        _ => {}
    }
    if session.extra == Some(Extra::Aigp) {
        say("aigp originate;");
    } else if session.passes_on() {
        say("aigp on;");
    }
    say("import all;");
    say("export filter {");
    say("  if proto = \"third\" then accept;");
    say("  if proto !~ \"own*\" then reject;");
    say(&format!("  bgp_med = {THEIR_MED};"));
    for community in session.their_communities() {
        let (high, low) = community.split_once(':').unwrap_or_default();
        say(&format!("  bgp_community.add(({high},{low}));"));
    }
    say("  accept;");
    say("};");
    text + "  };\n"
}

/// The third speaker's session; where BIRD reflects, a route that both announce too.
fn third(session: &Session) -> String {
    let (own, option) = match session.third {
        Some(Third::TheirClient) => (
            format!("protocol static own {{ ipv4; route {SHARED_PREFIX} blackhole; }}\n"),
            "  rr client;\n",
        ),
        _ => (String::new(), ""),
    };
    format!(
        "{own}protocol bgp third {{\n  local {} as {};\n  neighbor {THIRD_ADDRESS} as {};\n  \
         direct;\n  passive;\n{option}  ipv4 {{ import all; export none; aigp on; }};\n}}\n",
        session.their_address(),
        session.their_as,
        session.third_as()
    )
}

/// Channels and a host name that make the OPEN long.
const LONG_OPEN: &str = "\
  advertise hostname on;\n  long lived graceful restart on;\n  \
  ipv4 multicast { table m4; add paths on; import none; export none; };\n  \
  ipv6 multicast { table m6; add paths on; import none; export none; };\n  \
  flow4 { table f4; add paths on; import none; export none; };\n  \
  flow6 { table f6; add paths on; import none; export none; };\n  \
  vpn4 mpls { table v4; add paths on; import none; export none; };\n  \
  vpn6 mpls { table v6; add paths on; import none; export none; };\n";

fn top(session: &Session) -> String {
    let mut text = format!(
        "log stderr all;\nrouter id {THEIR_ROUTER_ID};\n\
         debug protocols {{ states, events, packets }};\nprotocol device {{ scan time 10; }}\n"
    );
    match session.extra {
        Some(Extra::Bfd) => text.push_str(
            "protocol bfd { interface \"*\" { interval 200 ms; idle tx interval 300 ms; }; }\n",
        ),
        Some(Extra::Unnumbered) => text.push_str(
            "protocol radv { interface \"eth0\" { min ra interval 3; max ra interval 4; \
             default lifetime 0; }; }\n",
        ),
        Some(Extra::LongOpen) => {
            let name = "long-".repeat(12);
            let _ = writeln!(
                text,
                "hostname \"{name}name\";\nipv4 table m4;\nipv6 table m6;\n\
                 flow4 table f4;\nflow6 table f6;\nvpn4 table v4;\nvpn6 table v6;"
            );
        }
        _ => {}
    }
    let metric = match session.extra {
        Some(Extra::Aigp) => format!(" {{ igp_metric = {AIGP}; }}"),
        _ => String::new(),
    };
    for family in Family::ALL {
        let routes: String = session
            .their_prefixes(family)
            .iter()
            .map(|prefix| format!(" route {prefix} blackhole{metric};"))
            .collect();
        let _ = writeln!(
            text,
            "protocol static own{} {{ disabled; {};{routes} }}",
            digit(family),
            family_word(family),
        );
    }
    text
}

fn config(session: &Session) -> String {
    let mut text = top(session);
    let on = |yes| if yes { "on" } else { "off" };
    let scope = match session.extra {
        Some(Extra::Unnumbered) => "%eth0",
        _ => "",
    };
    text.push_str(&format!(
        "protocol bgp redstart {{\n  local {} as {};\n  neighbor {}{scope} as {};\n  direct;\n  \
         connect delay time 1;\n  connect retry time 1;\n  error wait time 1, 2;\n  \
         hold time {hold};\n  keepalive time {};\n  passive {};\n  enable as4 {};\n  \
         ttl security {};\n  graceful restart {};\n  graceful restart time {};\n",
        session.their_address(),
        session.their_as,
        session.our_address(),
        session.our_as,
        (session.hold_time / 3).max(1),
        on(session.dial == Dial::Us),
        on(session.four_octet_as),
        on(session.ttl_security),
        on(session.graceful_restart),
        session.restart_time,
        hold = session.hold_time,
    ));
    if let Some(password) = &session.their_password {
        text.push_str(&format!("  password \"{password}\";\n"));
    }
    if session.third == Some(Third::TheirClient) {
        text.push_str("  rr client;\n");
    }
    if let Some(role) = session.their_role() {
        text.push_str(&format!("  local role {role};\n"));
    }
    match session.extra {
        Some(Extra::ExtendedMessages) => text.push_str("  enable extended messages on;\n"),
        Some(Extra::LongLived) => text.push_str(&format!(
            "  long lived graceful restart on;\n  long lived stale time {STALE_TIME};\n"
        )),
        Some(Extra::Bfd) => text.push_str("  bfd on;\n"),
        Some(Extra::LongOpen) => text.push_str(LONG_OPEN),
        _ => {}
    }
    for family in &session.families {
        text.push_str(&channel(session, *family));
    }
    text.push_str("}\n");
    if session.third_is_theirs() {
        text.push_str(&third(session));
    }
    text
}

impl Subject for Bird {
    fn configure(&mut self, session: &Session) -> Result<()> {
        self.config = config(session);
        self.side.take_over(session)?;
        self.start()
    }

    fn start(&mut self) -> Result<()> {
        // The routes are there from the start, as after a restart.
        let mut config = self.config.clone();
        for family in &self.side.announced {
            let name = format!("static own{} {{", digit(*family));
            config = config.replace(&format!("{name} disabled;"), &name);
        }
        let file = self.side.dir.join("bird.conf");
        std::fs::write(&file, config)?;
        let mut command = self.side.programs.inside(&self.side.netns, "bird");
        command.arg("-f").arg("-c").arg(&file);
        command.arg("-s").arg(self.side.dir.join(bird::SOCKET));
        self.side.run(&command)
    }

    fn established(&self) -> Result<()> {
        let text = self.birdc("show protocols redstart")?;
        if !text.contains("Established") {
            bail!("birdc shows {}", text.lines().last().unwrap_or_default());
        }
        Ok(())
    }

    fn announce(&mut self, family: Family) -> Result<()> {
        self.side.announced.push(family);
        self.birdc(&format!("enable own{}", digit(family)))
            .map(drop)
    }

    fn withdraw(&mut self, family: Family) -> Result<()> {
        self.side.announced.retain(|announced| *announced != family);
        self.birdc(&format!("disable own{}", digit(family)))
            .map(drop)
    }

    fn all_heard(&self, _family: Family, prefix: &str) -> Result<Vec<Heard>> {
        Ok(parse_routes(&self.birdc(&format!(
            "show route all protocol redstart where net = {prefix}"
        ))?))
    }

    fn refresh(&mut self, family: Family) -> Result<()> {
        // All channels of the protocol at once; BIRD 2.0 cannot name one.
        let _ = family;
        let words = if self.side.programs.in_a_root() {
            "reload bgp in redstart"
        } else {
            "reload in redstart"
        };
        self.birdc(words).map(drop)
    }

    fn shut_down(&mut self, text: &str) -> Result<()> {
        self.birdc(&format!("disable redstart \"{text}\""))
            .map(drop)
    }

    fn says(&self) -> Result<String> {
        Ok(self.side.log() + &self.birdc("show protocols all redstart")?)
    }

    fn end_of_rib(&self, _family: Family) -> Result<()> {
        // Its log does not say of which family: there must be one of each.
        let log = self.side.log();
        let seen = log.lines().filter(|line| line.contains("Got END-OF-RIB"));
        match seen.count() {
            0 | 1 => bail!("not one of each family in its log"),
            _ => Ok(()),
        }
    }

    fn heard_large_communities(&self, _family: Family, prefix: &str, many: usize) -> Result<()> {
        // It shows only the first of them.
        let answer = self.birdc(&format!(
            "show route where net = {prefix} && bgp_large_community.len = {many}"
        ))?;
        mentions(&answer, &[prefix])
    }

    fn refresh_delimited(&self) -> Result<()> {
        mentions(&self.side.log(), &["Got BEGIN-OF-RR", "Got END-OF-RR"])
    }

    fn refresh_asked(&self) -> Result<()> {
        mentions(&self.side.log(), &["Got ROUTE-REFRESH"])
    }

    fn answer_delimited(&self) -> Result<()> {
        let log = self.side.log();
        mentions(&log, &["Sending BEGIN-OF-RR", "Sending END-OF-RR"])
    }

    fn hold_time(&self) -> Result<u32> {
        let text = self.birdc("show protocols all redstart")?;
        let line = text.lines().find(|line| line.contains("Hold timer:"));
        let (_, agreed) = line
            .and_then(|line| line.split_once('/'))
            .unwrap_or_default();
        number_after(agreed, "")
    }

    fn side(&mut self) -> &mut TheirSide {
        &mut self.side
    }
}

/// A line with `[redstart …]` for each path, its attributes below: `BGP.as_path: 65001`, and
/// `bgp_path: 65001` in BIRD 3.
fn parse_routes(text: &str) -> Vec<Heard> {
    let mut paths: Vec<Heard> = Vec::new();
    for line in text.lines() {
        if line.contains("[redstart ") {
            paths.push(Heard::default());
        }
        let line = line.trim();
        let named = line
            .strip_prefix("BGP.")
            .or_else(|| line.strip_prefix("bgp_"));
        let Some((name, value)) = named.and_then(|line| line.split_once(": ")) else {
            continue;
        };
        if let Some(heard) = paths.last_mut() {
            read_attribute(heard, name, value);
        }
    }
    paths
}

fn read_attribute(heard: &mut Heard, name: &str, value: &str) {
    let words = || value.split_whitespace().map(str::to_owned);
    let numbers = || {
        value
            .split(['(', ')'])
            .map(|text| text.replace(", ", ":").replace(',', ":"))
            .filter(|text| !text.trim().is_empty())
            .collect()
    };
    match name {
        "as_path" | "path" => heard.as_path = value.to_owned(),
        "next_hop" => heard.next_hop = words().find(|hop| hop != "::").unwrap_or_default(),
        "med" => heard.med = value.parse().ok(),
        "community" => heard.communities = numbers(),
        "large_community" => heard.large_communities = numbers(),
        "ext_community" => heard.extended_communities = numbers(),
        "aigp" => heard.aigp = value.parse().ok(),
        "otc" => heard.otc = value.parse().ok(),
        "originator_id" => heard.originator_id = Some(value.to_owned()),
        "cluster_list" => heard.cluster_list = words().collect(),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_routes() {
        let text = "BIRD 2.0.12 ready.\nTable master4:\n10.244.1.0/24        unicast [redstart 05:00] * (100) [AS65001i]\n\
                    \tvia 10.99.0.1 on eth0\n\tType: BGP univ\n\tBGP.origin: IGP\n\tBGP.as_path: 65001\n\
                    \tBGP.next_hop: fd99::1 fe80::1\n\tBGP.med: 50\n\tBGP.community: (64999,100) (1,2)\n\
                    \tBGP.large_community: (64999, 1, 100)\n\
                    \tBGP.ext_community: (rt, 65003, 77) (generic, 0x43000000, 0x1)\n\tBGP.otc: 65001\n\
                    \x20                    unicast [redstart 05:00] (100) [i]\n\
                    \tbgp_path: 65003\n\tbgp_originator_id: 10.99.0.3\n\tbgp_cluster_list: 10.99.0.1 10.99.0.9\n";
        let paths = parse_routes(text);
        assert_eq!(paths.len(), 2);
        assert_eq!(paths[0].as_path, "65001");
        assert_eq!(paths[0].next_hop, "fd99::1");
        assert_eq!(paths[0].med, Some(50));
        assert_eq!(paths[0].communities, ["64999:100", "1:2"]);
        assert_eq!(paths[0].large_communities, ["64999:1:100"]);
        assert_eq!(
            paths[0].extended_communities,
            ["rt:65003:77", "generic:0x43000000:0x1"]
        );
        assert_eq!((paths[0].otc, paths[0].aigp), (Some(65001), None));
        assert_eq!(paths[1].as_path, "65003");
        assert_eq!(paths[1].originator_id.as_deref(), Some("10.99.0.3"));
        assert_eq!(paths[1].cluster_list, ["10.99.0.1", "10.99.0.9"]);
        assert_eq!(parse_routes("BIRD 2.0.12 ready.\n"), []);
    }
}
