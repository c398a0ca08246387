//! GoBGP: asked and told by `gobgp`, in its namespace.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{
    programs::Programs,
    session::{
        Dial, Extra, SHARED_PREFIX, Session, THEIR_COMMUNITY, THEIR_MED, THEIR_ROUTER_ID,
        THIRD_ADDRESS, family_word, their_prefix,
    },
    site::Site,
    subject::{Heard, Subject, running},
};
use crate::lab::{
    netns::{Netns, stdout_of},
    process::{Process, Processes},
    topology::Family,
    wait,
};

const ROLE: &str = "gobgpd";
/// What the session is called in the answer of `gobgp neighbor`: `session_state` 6.
const ESTABLISHED: u64 = 6;

/// gobgpd with one session.
#[derive(Debug)]
pub struct GoBgp {
    programs: Programs,
    netns: Netns,
    dir: PathBuf,
    processes: Processes,
    process: Option<Process>,
    session: Option<Session>,
    announced: Vec<Family>,
}

impl GoBgp {
    pub(super) fn at(site: &Site) -> Self {
        Self {
            programs: site.programs.clone(),
            netns: site.them.clone(),
            dir: site.their_dir(),
            processes: site.processes.clone(),
            process: None,
            session: None,
            announced: Vec::new(),
        }
    }

    fn gobgp(&self, words: &str) -> Result<String> {
        let mut command = self.programs.inside(&self.netns, "gobgp");
        stdout_of(command.args(words.split(' ')))
    }

    fn peer(&self) -> Result<String> {
        let session = self.session.as_ref().context("not configured yet")?;
        Ok(session.our_address().to_string())
    }

    fn neighbor(&self) -> Result<Value> {
        let text = self.gobgp(&format!("-j neighbor {}", self.peer()?))?;
        serde_json::from_str(&text).with_context(|| format!("gobgp answered {text}"))
    }

    fn tell_route(&self, verb: &str, family: Family) -> Result<()> {
        let session = self.session.as_ref().context("not configured yet")?;
        let (prefix, next_hop) = (their_prefix(family), session.their_next_hop(family));
        let family = family_word(family);
        self.gobgp(&format!(
            "global rib {verb} {prefix} nexthop {next_hop} med {THEIR_MED} \
             community {THEIR_COMMUNITY} -a {family}"
        ))
        .map(drop)
    }

    fn run(&mut self, restarted: bool) -> Result<()> {
        let mut command = self.programs.inside(&self.netns, "gobgpd");
        command.arg("-f").arg(self.dir.join("gobgpd.toml"));
        command.args(["--log-plain", "-l", "debug", "--pprof-disable"]);
        command.args(["--api-hosts", "127.0.0.1:50051"]);
        if restarted {
            command.arg("-r");
        }
        self.process = Some(self.processes.spawn(ROLE, &command)?);
        wait::until("gobgpd answers", std::time::Duration::from_secs(10), || {
            self.gobgp("global").map(drop)
        })?;
        Ok(())
    }

    fn log(&self) -> String {
        let text = fs::read(self.processes.log(ROLE)).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }
}

const CLIENT: &str = "\
[neighbors.route-reflector.config]
route-reflector-client = true
route-reflector-cluster-id = \"192.0.2.2\"
";

fn config(session: &Session) -> String {
    let mut text = format!(
        "[global.config]\nas = {}\nrouter-id = \"{THEIR_ROUTER_ID}\"\n\
         local-address-list = [\"{}\"]\n[[neighbors]]\n[neighbors.config]\n\
         neighbor-address = \"{}\"\npeer-as = {}\n",
        session.their_as,
        session.their_address(),
        session.our_address(),
        session.our_as
    );
    if let Some(password) = &session.their_password {
        text.push_str(&format!("auth-password = \"{password}\"\n"));
    }
    text.push_str(&format!(
        "[neighbors.transport.config]\nlocal-address = \"{}\"\npassive-mode = {}\n\
         [neighbors.timers.config]\nconnect-retry = 1\nhold-time = {}\nkeepalive-interval = {}\n\
         idle-hold-time-after-reset = 1\n",
        session.their_address(),
        session.dial == Dial::Us,
        session.hold_time,
        (session.hold_time / 3).max(1)
    ));
    if session.ttl_security {
        text.push_str("[neighbors.ttl-security.config]\nenabled = true\nttl-min = 255\n");
    }
    if session.graceful_restart {
        text.push_str(
            "[neighbors.graceful-restart.config]\nenabled = true\nrestart-time = 30\n\
             deferral-time = 5\n",
        );
    }
    if session.they_reflect() {
        text.push_str(CLIENT);
    }
    for family in &session.families {
        text.push_str(&format!(
            "[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\n\
             afi-safi-name = \"{}-unicast\"\n[neighbors.afi-safis.mp-graceful-restart.config]\n\
             enabled = {}\n",
            family_word(*family),
            session.graceful_restart
        ));
        match session.extra {
            Some(Extra::AddPath) => {
                text.push_str("[neighbors.afi-safis.add-paths.config]\nsend-max = 4\n");
            }
            Some(Extra::AddPathFromUs) => {
                text.push_str("[neighbors.afi-safis.add-paths.config]\nreceive = true\n");
            }
            _ => {}
        }
    }
    if session.they_reflect() {
        text.push_str(&format!(
            "[[neighbors]]\n[neighbors.config]\nneighbor-address = \"{THIRD_ADDRESS}\"\n\
             peer-as = {}\n[neighbors.transport.config]\npassive-mode = true\n{CLIENT}",
            session.our_as
        ));
    }
    text
}

impl Subject for GoBgp {
    fn configure(&mut self, session: &Session) -> Result<()> {
        fs::create_dir_all(&self.dir)?;
        fs::write(self.dir.join("gobgpd.toml"), config(session))?;
        self.session = Some(session.clone());
        self.announced.clear();
        self.run(false)?;
        if session.they_reflect() {
            let next_hop = session.their_address();
            self.gobgp(&format!(
                "global rib add {SHARED_PREFIX} nexthop {next_hop}"
            ))?;
        }
        Ok(())
    }

    fn start(&mut self) -> Result<()> {
        self.run(true)?;
        self.announced
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
        self.announced.push(family);
        self.tell_route("add", family)
    }

    fn withdraw(&mut self, family: Family) -> Result<()> {
        self.announced.retain(|announced| *announced != family);
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
        let mut command = self.programs.inside(&self.netns, "gobgp");
        command.args(["neighbor", &peer, "shutdown", "--reason", text]);
        stdout_of(&mut command).map(drop)
    }

    fn says(&self) -> Result<String> {
        Ok(format!("{}{:#}", self.log(), self.neighbor()?))
    }

    fn end_of_rib(&self, family: Family) -> Result<()> {
        let name = format!("{}-unicast", family_word(family));
        super::subject::log_has(&self.log(), &["EOR", &name])
    }

    fn refresh_delimited(&self) -> Result<()> {
        bail!("it does not know them")
    }

    fn daemon(&mut self) -> Result<&mut Process> {
        running(&mut self.process)
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
