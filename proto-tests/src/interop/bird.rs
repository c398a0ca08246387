//! BIRD 2: asked by `birdc`, its routes switched by enabling and disabling a static protocol.

use std::path::PathBuf;

use anyhow::{Result, bail};

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
    bird,
    netns::{Netns, stdout_of},
    process::{Process, Processes},
    topology::Family,
};

const ROLE: &str = "bird";

/// BIRD with one session, `redstart`.
#[derive(Debug)]
pub struct Bird {
    programs: Programs,
    netns: Netns,
    dir: PathBuf,
    processes: Processes,
    process: Option<Process>,
    config: String,
    announced: Vec<Family>,
}

impl Bird {
    pub(super) fn at(site: &Site) -> Self {
        Self {
            programs: site.programs.clone(),
            netns: site.them.clone(),
            dir: site.their_dir(),
            processes: site.processes.clone(),
            process: None,
            config: String::new(),
            announced: Vec::new(),
        }
    }

    fn birdc(&self, words: &str) -> Result<String> {
        let mut command = self.programs.outside("birdc");
        command.arg("-s").arg(self.dir.join(bird::SOCKET));
        stdout_of(command.args(words.split(' ')))
    }

    fn log(&self) -> String {
        let text = std::fs::read(self.processes.log(ROLE)).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }
}

fn digit(family: Family) -> &'static str {
    match family {
        Family::V4 => "4",
        Family::V6 => "6",
    }
}

fn channel(session: &Session, family: Family) -> String {
    let mut options = String::new();
    if session.extra == Some(Extra::AddPath) {
        options.push_str("    add paths tx;\n");
    }
    if session.extra == Some(Extra::AddPathFromUs) {
        options.push_str("    add paths rx;\n");
    }
    if session.extra == Some(Extra::ExtendedNextHop) && family == Family::V4 {
        options.push_str("    extended next hop on;\n");
    }
    let mut attributes = format!("      bgp_med = {THEIR_MED};\n");
    for community in session.their_communities() {
        let (high, low) = community.split_once(':').unwrap_or_default();
        attributes.push_str(&format!("      bgp_community.add(({high},{low}));\n"));
    }
    if !session.four_octet_as {
        attributes.push_str(&format!("      bgp_path.prepend({BEHIND_THEM});\n"));
    }
    format!(
        "  {} {{\n{options}    import all;\n    export filter {{\n      \
         if proto = \"third\" then accept;\n      \
         if proto !~ \"own*\" then reject;\n{attributes}      accept;\n    }};\n  }};\n",
        family_word(family)
    )
}

/// The third speaker's session, and a route that both announce.
fn third(session: &Session) -> String {
    format!(
        "protocol static own {{ ipv4; route {SHARED_PREFIX} blackhole; }}\n\
         protocol bgp third {{\n  local {} as {};\n  neighbor {THIRD_ADDRESS} as {};\n  direct;\n  \
         passive;\n  rr client;\n  ipv4 {{ import all; export none; }};\n}}\n",
        session.their_address(),
        session.their_as,
        session.our_as
    )
}

/// `initial`: the routes that are there from the start, as after a restart.
fn config(session: &Session, initial: &[Family]) -> String {
    let mut text = format!(
        "log stderr all;\nrouter id {THEIR_ROUTER_ID};\ndebug protocols {{ states, events, packets }};\n\
         protocol device {{ scan time 10; }}\n"
    );
    for family in Family::ALL {
        let disabled = if initial.contains(&family) {
            ""
        } else {
            " disabled;"
        };
        text.push_str(&format!(
            "protocol static own{} {{{disabled} {}; route {} blackhole; }}\n",
            digit(family),
            family_word(family),
            their_prefix(family)
        ));
    }
    let on = |yes| if yes { "on" } else { "off" };
    text.push_str(&format!(
        "protocol bgp redstart {{\n  local {} as {};\n  neighbor {} as {};\n  direct;\n  \
         connect delay time 1;\n  connect retry time 1;\n  error wait time 1, 2;\n  \
         hold time {hold};\n  keepalive time {};\n  passive {};\n  enable as4 {};\n  \
         ttl security {};\n  graceful restart {};\n  graceful restart time 30;\n",
        session.their_address(),
        session.their_as,
        session.our_address(),
        session.our_as,
        (session.hold_time / 3).max(1),
        on(session.dial == Dial::Us),
        on(session.four_octet_as),
        on(session.ttl_security),
        on(session.graceful_restart),
        hold = session.hold_time,
    ));
    if let Some(password) = &session.their_password {
        text.push_str(&format!("  password \"{password}\";\n"));
    }
    if session.they_reflect() {
        text.push_str("  rr client;\n");
    }
    match session.extra {
        Some(Extra::ExtendedMessages) => text.push_str("  enable extended messages on;\n"),
        Some(Extra::Role) => text.push_str("  local role provider;\n"),
        _ => {}
    }
    for family in &session.families {
        text.push_str(&channel(session, *family));
    }
    text.push_str("}\n");
    if session.they_reflect() {
        text.push_str(&third(session));
    }
    text
}

impl Subject for Bird {
    fn configure(&mut self, session: &Session) -> Result<()> {
        self.config = config(session, &[]);
        self.announced.clear();
        self.start()
    }

    fn start(&mut self) -> Result<()> {
        let mut config = self.config.clone();
        for family in &self.announced {
            let name = format!("static own{} {{", digit(*family));
            config = config.replace(&format!("{name} disabled;"), &name);
        }
        std::fs::create_dir_all(&self.dir)?;
        let file = self.dir.join("bird.conf");
        std::fs::write(&file, config)?;
        let mut command = self.programs.inside(&self.netns, "bird");
        command.arg("-f").arg("-c").arg(&file);
        command.arg("-s").arg(self.dir.join(bird::SOCKET));
        self.process = Some(self.processes.spawn(ROLE, &command)?);
        Ok(())
    }

    fn established(&self) -> Result<()> {
        let text = self.birdc("show protocols redstart")?;
        if !text.contains("Established") {
            bail!("birdc shows {}", text.lines().last().unwrap_or_default());
        }
        Ok(())
    }

    fn announce(&mut self, family: Family) -> Result<()> {
        self.announced.push(family);
        self.birdc(&format!("enable own{}", digit(family)))
            .map(drop)
    }

    fn withdraw(&mut self, family: Family) -> Result<()> {
        self.announced.retain(|announced| *announced != family);
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
        let words = if self.programs.in_a_root() {
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
        Ok(self.log() + &self.birdc("show protocols all redstart")?)
    }

    fn end_of_rib(&self, _family: Family) -> Result<()> {
        // Its log does not say of which family: there must be one of each.
        let log = self.log();
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
        super::subject::mentions(&answer, &[prefix])
    }

    fn refresh_delimited(&self) -> Result<()> {
        super::subject::mentions(&self.log(), &["Got BEGIN-OF-RR", "Got END-OF-RR"])
    }

    fn daemon(&mut self) -> Result<&mut Process> {
        running(&mut self.process)
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
        "next_hop" => heard.next_hop = words().next().unwrap_or_default(),
        "med" => heard.med = value.parse().ok(),
        "community" => heard.communities = numbers(),
        "large_community" => heard.large_communities = numbers(),
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
                    \x20                    unicast [redstart 05:00] (100) [i]\n\
                    \tbgp_path: 65003\n\tbgp_originator_id: 10.99.0.3\n\tbgp_cluster_list: 10.99.0.1 10.99.0.9\n";
        let paths = parse_routes(text);
        assert_eq!(paths.len(), 2);
        assert_eq!(paths[0].as_path, "65001");
        assert_eq!(paths[0].next_hop, "fd99::1");
        assert_eq!(paths[0].med, Some(50));
        assert_eq!(paths[0].communities, ["64999:100", "1:2"]);
        assert_eq!(paths[0].large_communities, ["64999:1:100"]);
        assert_eq!(paths[1].as_path, "65003");
        assert_eq!(paths[1].originator_id.as_deref(), Some("10.99.0.3"));
        assert_eq!(paths[1].cluster_list, ["10.99.0.1", "10.99.0.9"]);
        assert_eq!(parse_routes("BIRD 2.0.12 ready.\n"), []);
    }
}
