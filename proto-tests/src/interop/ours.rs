//! Redstart's side of a session: a Node, a BGPConfiguration, a BGPPeer, a BGPAdvertisement, and the
//! real daemon with its real CLI.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context as _, Result, bail};
use redstart_controller::control::views;
use serde::de::DeserializeOwned;

use super::{
    session::{
        Dial, Extra, MANY, OUR_COMMUNITY, OUR_LARGE_COMMUNITY, OUR_MED, SHARED_PREFIX, STALE_TIME,
        Session, Side, THIRD_ADDRESS, Third, our_address, our_prefix,
    },
    side::mentions,
    site::{NODE, Site},
};
use crate::lab::{
    netns::stdout_of,
    process::{Process, Signal},
    requirements::Binaries,
    run_dir::RunDir,
    topology::Family,
};

const ROLE: &str = "redstart";

/// The speaker at a site.
#[derive(Debug)]
pub struct Ours {
    binaries: Binaries,
    run_dir: RunDir,
    process: Option<Process>,
}

impl Ours {
    /// Not started yet.
    pub fn at(site: &Site, binaries: &Binaries) -> Self {
        Self {
            binaries: binaries.clone(),
            run_dir: site.run_dir.clone(),
            process: None,
        }
    }

    /// Writes the objects of a session; a running speaker takes them over.
    pub fn configure(&self, session: &Session) -> Result<()> {
        self.put("node.yaml", &node())?;
        self.put("configuration.yaml", &configuration(session))?;
        self.put("advertisement.yaml", &advertisement())?;
        if let Some(password) = &session.our_password {
            self.put("secret.yaml", &secret(password))?;
        }
        if session.third == Some(Third::OurClient) {
            self.put(
                "third.yaml",
                &third(session, "  routeReflector:\n    client: true\n"),
            )?;
            self.put("shared.yaml", &more("shared", &[SHARED_PREFIX]))?;
        }
        if session.third == Some(Third::BehindUs) {
            self.put("third.yaml", &third(session, "  aigp: true\n"))?;
        }
        if session.extra == Some(Extra::Limit(Side::Them)) {
            let prefixes = ["203.0.113.0/25", "203.0.113.128/25"];
            self.put("more.yaml", &more("more", &prefixes))?;
        }
        if session.extra == Some(Extra::ExtendedMessages) {
            for (name, manifest) in many_communities() {
                self.put(&name, &manifest)?;
            }
        }
        self.put("peer.yaml", &peer(session))
    }

    /// Replaces an object in one step: a half-written one must not be read.
    fn put(&self, name: &str, manifest: &str) -> Result<()> {
        let dir = self.run_dir.objects();
        let fresh = self.run_dir.path().join(format!("{name}.new"));
        fs::write(&fresh, manifest)
            .and_then(|()| fs::rename(&fresh, dir.join(name)))
            .with_context(|| format!("cannot write {name}"))
    }

    /// Deletes an object.
    pub fn delete(&self, name: &str) -> Result<()> {
        fs::remove_file(self.run_dir.objects().join(name))
            .with_context(|| format!("cannot delete {name}"))
    }

    /// Gives the other side's password another value.
    pub fn change_password(&self, password: &str) -> Result<()> {
        self.put("secret.yaml", &secret(password))
    }

    /// Stops advertising the pod CIDRs.
    pub fn advertise_nothing(&self) -> Result<()> {
        self.put(
            "advertisement.yaml",
            "apiVersion: redstart.dev/v1alpha1\nkind: BGPAdvertisement\nmetadata:\n  name: own\n\
             spec:\n  staticPrefixes: [203.0.113.0/24]\n",
        )
    }

    /// Advertises the pod CIDRs.
    pub fn advertise(&self) -> Result<()> {
        self.put("advertisement.yaml", &advertisement())
    }

    /// Starts the speaker.
    pub fn start(&mut self, site: &Site) -> Result<()> {
        let program = self.binaries.path("redstart");
        let program = program.to_str().context("the path is not UTF-8")?;
        let mut command = site.us.command(program);
        command.args(["run", "--node", NODE]);
        command.arg("--objects").arg(self.run_dir.objects());
        command.arg("--socket").arg(self.run_dir.socket(NODE));
        command.arg("--bird-socket").arg(self.bird_socket());
        command.args(["--bird-access", "operate"]);
        command.args(["--log-format", "text"]);
        command.env_remove("KUBECONFIG");
        self.process = Some(site.processes.spawn(ROLE, &command)?);
        Ok(())
    }

    /// Ends it like a crash would.
    pub fn kill(&mut self) -> Result<()> {
        let process = self.process.as_mut().context("it does not run")?;
        process.stop(Signal::Kill, Duration::from_secs(5))
    }

    /// Ends it like an operator would.
    pub fn stop(&mut self) -> Result<()> {
        let process = self.process.as_mut().context("it does not run")?;
        process.stop(Signal::Terminate, Duration::from_secs(10))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let process = self.process.as_ref().context("it does not run")?;
        process.record.signal(signal)
    }

    /// What `redc` answers.
    pub fn redc(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new(self.binaries.path("redc"));
        command.arg("-s").arg(self.run_dir.socket(NODE));
        stdout_of(command.args(words))
    }

    fn bird_socket(&self) -> PathBuf {
        self.run_dir.bird_socket(NODE)
    }

    /// Asks the other side for its routes again. That is a command of BIRD's client, this machine's.
    pub fn refresh(&self) -> Result<()> {
        let mut command = Command::new("birdc");
        command.arg("-s").arg(self.bird_socket());
        let answer = stdout_of(command.args(["reload", "in", "them"]))?;
        mentions(&answer, &["them: reloading"])
    }

    fn ask<T: DeserializeOwned>(&self, words: &[&str]) -> Result<T> {
        let answer = self.redc(&[&["-o", "json"], words].concat())?;
        serde_json::from_str(&answer).with_context(|| format!("redc answered {answer}"))
    }

    /// The session with the other side, as `redc show protocols all` shows it.
    pub fn protocol(&self) -> Result<views::Protocol> {
        let all: Vec<views::Protocol> = self.ask(&["show", "protocols", "all"])?;
        // From a listen range, it has its address in its name too.
        let named = |protocol: &views::Protocol| protocol.name.starts_with("them");
        let them = all.into_iter().find(named);
        them.context("redc does not show the neighbour")
    }

    /// Fails with the state, and the last error, unless the session is Established.
    pub fn established(&self) -> Result<views::Protocol> {
        let protocol = self.protocol()?;
        if protocol.state != "Established" {
            let error = protocol.last_error.unwrap_or_default();
            bail!("redc shows {} {error}", protocol.state);
        }
        Ok(protocol)
    }

    /// The paths to a prefix, as `redc show route all` shows them.
    pub fn paths(&self, prefix: &str) -> Result<Vec<views::Path>> {
        let routes: Vec<views::Route> = self.ask(&["show", "route", "all"])?;
        let found = routes.into_iter().find(|route| route.prefix == prefix);
        Ok(found.map(|route| route.paths).unwrap_or_default())
    }

    /// The path to a prefix that was refused.
    pub fn refused(&self, prefix: &str) -> Result<views::Path> {
        let routes: Vec<views::Route> = self.ask(&["show", "route", "filtered"])?;
        let route = routes.into_iter().find(|route| route.prefix == prefix);
        let paths = route.into_iter().flat_map(|route| route.paths);
        let refused = paths.into_iter().find(views::Path::is_refused);
        refused.with_context(|| format!("redc shows no refused {prefix}"))
    }

    /// Neighbours that a prefix was sent to.
    pub fn exported(&self, prefix: &str) -> Result<Vec<String>> {
        let routes: Vec<views::Route> = self.ask(&["show", "route", "all"])?;
        let found = routes.into_iter().find(|route| route.prefix == prefix);
        Ok(found.context("not there")?.exported)
    }

    /// Fails unless BFD is up with the other side, as either says.
    pub fn bfd_up(&self) -> Result<()> {
        let sessions: Vec<views::BfdSession> = self.ask(&["show", "bfd", "sessions"])?;
        let session = sessions.first().context("redc shows no BFD session")?;
        if (session.state.as_str(), session.remote_state.as_str()) != ("Up", "Up") {
            bail!("redc shows {session:?}");
        }
        Ok(())
    }

    /// The only path to a prefix.
    pub fn path(&self, prefix: &str) -> Result<views::Path> {
        let mut paths = self.paths(prefix)?;
        match paths.pop() {
            Some(path) if paths.is_empty() => Ok(path),
            Some(_) => bail!("redc shows several paths to {prefix}"),
            None => bail!("redc shows no {prefix}"),
        }
    }
}

fn node() -> String {
    let (v4, v6) = (our_prefix(Family::V4), our_prefix(Family::V6));
    format!(
        "apiVersion: v1\nkind: Node\nmetadata:\n  name: {NODE}\nspec:\n  podCIDR: {v4}\n  \
         podCIDRs: [\"{v4}\", \"{v6}\"]\nstatus:\n  addresses:\n  - type: InternalIP\n    \
         address: {}\n  - type: InternalIP\n    address: \"{}\"\n",
        our_address(Family::V4),
        our_address(Family::V6)
    )
}

fn configuration(session: &Session) -> String {
    let long_lived = match session.extra {
        Some(Extra::LongLived) => STALE_TIME,
        _ => 0,
    };
    format!(
        "apiVersion: redstart.dev/v1alpha1\nkind: BGPConfiguration\nmetadata:\n  name: default\n\
         spec:\n  asn: {}\n  mesh:\n    mode: None\n  timers:\n    connectRetrySeconds: 1\n    \
         holdTimeSeconds: {}\n  gracefulRestart:\n    enabled: {}\n    restartTimeSeconds: {}\n    \
         longLivedStaleSeconds: {long_lived}\n",
        session.our_as, session.hold_time, session.graceful_restart, session.restart_time
    )
}

fn advertisement() -> String {
    format!(
        "apiVersion: redstart.dev/v1alpha1\nkind: BGPAdvertisement\nmetadata:\n  name: own\n\
         spec:\n  podCIDRs: true\n  med: {OUR_MED}\n  communities: [\"{OUR_COMMUNITY}\"]\n  \
         largeCommunities: [\"{OUR_LARGE_COMMUNITY}\"]\n"
    )
}

fn secret(password: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: them\n  namespace: redstart-system\n\
         stringData:\n  password: {password}\n"
    )
}

fn peer(session: &Session) -> String {
    let families: Vec<&str> = session
        .families
        .iter()
        .map(|family| match family {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        })
        .collect();
    let mut text = format!(
        "apiVersion: redstart.dev/v1alpha1\nkind: BGPPeer\nmetadata:\n  name: them\nspec:\n  \
         asn: {}\n  families: [{}]\n",
        session.their_as,
        families.join(", "),
    );
    let mut say = |words: &str| text.push_str(&format!("  {words}\n"));
    match session.extra {
        Some(Extra::ListenRange) => say("listenRange: { cidr: 10.99.0.0/24 }"),
        Some(Extra::Unnumbered) => say("interface: eth0"),
        _ => say(&format!("address: \"{}\"", session.their_address())),
    }
    if session.dial == Dial::Them && session.extra != Some(Extra::ListenRange) {
        say("passive: true");
    }
    if session.our_password.is_some() {
        say("passwordSecretRef: { name: them }");
    }
    if let Some(role) = session.our_role() {
        say(&format!("role: {role}"));
    }
    if session.ttl_security {
        say("ttlSecurity: 1");
    }
    match session.extra {
        Some(Extra::ExtendedNextHop) => say("extendedNextHop: true"),
        Some(Extra::AddPath) => say("addPath: { receive: true }"),
        Some(Extra::AddPathFromUs) => say("addPath: { send: true }"),
        Some(Extra::Bfd) => say("bfd: {}"),
        Some(Extra::Limit(Side::Us)) => say("maxPrefixes: { ipv4: 1 }"),
        _ => {}
    }
    match session.third {
        Some(Third::OurClient) => say("routeReflector: { client: true }"),
        Some(Third::BehindThem) => say("aigp: true"),
        Some(Third::BehindUs) => {
            say("aigp: true");
            say("export: { transit: true, nextHop: ThirdParty }");
        }
        _ => {}
    }
    text
}

/// The third speaker, a neighbour of ours.
fn third(session: &Session, options: &str) -> String {
    format!(
        "apiVersion: redstart.dev/v1alpha1\nkind: BGPPeer\nmetadata:\n  name: third\nspec:\n  \
         address: {THIRD_ADDRESS}\n  asn: {}\n  families: [IPv4]\n  passive: true\n{options}",
        session.third_as()
    )
}

/// More prefixes of our own.
fn more(name: &str, prefixes: &[&str]) -> String {
    format!(
        "apiVersion: redstart.dev/v1alpha1\nkind: BGPAdvertisement\nmetadata:\n  name: {name}\n\
         spec:\n  staticPrefixes: [{}]\n",
        prefixes.join(", ")
    )
}

/// The communities of our pod CIDRs that make their UPDATE long: an object may name 64.
fn many_communities() -> Vec<(String, String)> {
    let all: Vec<String> = (1..=MANY / 3).map(|n| format!("\"64999:2:{n}\"")).collect();
    let object = |(number, some): (usize, &[String])| {
        let name = format!("many{number}");
        let manifest = format!(
            "apiVersion: redstart.dev/v1alpha1\nkind: BGPAdvertisement\nmetadata:\n  name: {name}\n\
             spec:\n  podCIDRs: true\n  largeCommunities: [{}]\n",
            some.join(", ")
        );
        (format!("{name}.yaml"), manifest)
    };
    all.chunks(64).enumerate().map(object).collect()
}
