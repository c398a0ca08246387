//! BIRD 2: asked by `birdc`, its routes switched by enabling and disabling a static protocol.

use std::{path::PathBuf, process::Command};

use anyhow::{Result, bail};

use super::{
    session::{
        Dial, Extra, Session, THEIR_COMMUNITY, THEIR_MED, THEIR_ROUTER_ID, family_word,
        their_prefix,
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
            netns: site.them.clone(),
            dir: site.their_dir(),
            processes: site.processes.clone(),
            process: None,
            config: String::new(),
            announced: Vec::new(),
        }
    }

    fn birdc(&self, words: &str) -> Result<String> {
        let mut command = Command::new("birdc");
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
    let (large, small) = THEIR_COMMUNITY.split_once(':').unwrap_or_default();
    let mut options = String::new();
    if session.extra == Some(Extra::AddPath) {
        options.push_str("    add paths tx;\n");
    }
    if session.extra == Some(Extra::ExtendedNextHop) && family == Family::V4 {
        options.push_str("    extended next hop on;\n");
    }
    format!(
        "  {} {{\n{options}    import all;\n    export filter {{\n      \
         if proto !~ \"own*\" then reject;\n      bgp_med = {THEIR_MED};\n      \
         bgp_community.add(({large},{small}));\n      accept;\n    }};\n  }};\n",
        family_word(family)
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
    if session.internal() {
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
        self.process = Some(bird::start(
            &self.netns,
            &self.dir,
            &config,
            ROLE,
            &self.processes,
        )?);
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

    fn heard(&self, _family: Family, prefix: &str) -> Result<Option<Heard>> {
        Ok(parse_route(&self.birdc(&format!(
            "show route all protocol redstart where net = {prefix}"
        ))?))
    }

    fn refresh(&mut self, family: Family) -> Result<()> {
        // All channels of the protocol at once; BIRD 2.0 cannot name one.
        let _ = family;
        self.birdc("reload in redstart").map(drop)
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

    fn daemon(&mut self) -> Result<&mut Process> {
        running(&mut self.process)
    }
}

/// `BGP.as_path: 65001`, one attribute a line, below the route.
fn parse_route(text: &str) -> Option<Heard> {
    let mut heard = None;
    for line in text.lines() {
        let Some((name, value)) = line
            .trim()
            .strip_prefix("BGP.")
            .and_then(|line| line.split_once(": "))
        else {
            continue;
        };
        let heard = heard.get_or_insert_with(Heard::default);
        let numbers = || {
            value
                .split(['(', ')'])
                .map(|text| text.replace(", ", ":").replace(',', ":"))
                .filter(|text| !text.trim().is_empty())
                .collect()
        };
        match name {
            "as_path" => heard.as_path = value.to_owned(),
            "next_hop" => {
                let first = value.split_whitespace().next();
                heard.next_hop = first.unwrap_or_default().to_owned();
            }
            "med" => heard.med = value.parse().ok(),
            "community" => heard.communities = numbers(),
            "large_community" => heard.large_communities = numbers(),
            _ => {}
        }
    }
    heard
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_route() {
        let text = "BIRD 2.0.12 ready.\nTable master4:\n10.244.1.0/24        unicast [redstart 05:00] * (100) [AS65001i]\n\
                    \tvia 10.99.0.1 on eth0\n\tType: BGP univ\n\tBGP.origin: IGP\n\tBGP.as_path: 65001\n\
                    \tBGP.next_hop: fd99::1 fe80::1\n\tBGP.med: 50\n\tBGP.community: (64999,100) (1,2)\n\
                    \tBGP.large_community: (64999, 1, 100)\n";
        let heard = parse_route(text).unwrap();
        assert_eq!(heard.as_path, "65001");
        assert_eq!(heard.next_hop, "fd99::1");
        assert_eq!(heard.med, Some(50));
        assert_eq!(heard.communities, ["64999:100", "1:2"]);
        assert_eq!(heard.large_communities, ["64999:1:100"]);
        assert_eq!(parse_route("BIRD 2.0.12 ready.\n"), None);
    }
}
