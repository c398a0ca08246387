//! The top-of-rack routers: real daemons, configured from the topology and asked by their own CLIs.
//!
//! A router expects an IPv4 and an IPv6 session from every node, announces the ext LAN to them and
//! puts the pod CIDRs that it learns into its kernel. It knows the nodes' addresses and AS, as the
//! network team's side would; it does not know one pod CIDR.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::{
    bird, frr,
    netns::Netns,
    process::{Process, Processes},
    topology::{Daemon, Router, Topology},
};

/// What a router's own CLI says of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterSession {
    /// The neighbour.
    pub neighbor: IpAddr,
    /// Whether it is Established.
    pub established: bool,
    /// The state in the daemon's own words.
    pub state: String,
    /// Changes whenever the session has been reset: the time of the last state change (BIRD), the
    /// counts of established and dropped connections (FRR).
    pub incarnation: String,
}

impl RouterSession {
    /// Whether `later` is this session, and nothing has happened to it.
    ///
    /// BIRD works out the time of the last change from a monotonic clock each time it is asked, so
    /// the last digit moves; a reset moves it by more than [`JITTER`].
    pub fn is_same(&self, later: &Self) -> bool {
        let incarnation = match (
            time_of_day(&self.incarnation),
            time_of_day(&later.incarnation),
        ) {
            (Some((what, before)), Some((same, after))) => {
                what == same && before.abs_diff(after) <= JITTER
            }
            _ => self.incarnation == later.incarnation,
        };
        incarnation
            && self.neighbor == later.neighbor
            && self.established == later.established
            && self.state == later.state
    }
}

/// Milliseconds by which two readings of one time may differ.
const JITTER: u64 = 10;

/// A text that ends with `HH:MM:SS.mmm`: what stands before, and the milliseconds since midnight.
fn time_of_day(text: &str) -> Option<(&str, u64)> {
    let (what, time) = text.rsplit_once(' ')?;
    let (clock, millis) = time.split_once('.')?;
    let mut seconds = 0;
    for part in clock.split(':') {
        seconds = seconds * 60 + part.parse::<u64>().ok()?;
    }
    Some((what, seconds * 1000 + millis.parse::<u64>().ok()?))
}

/// A router that runs.
#[derive(Debug)]
pub struct RunningRouter<'a> {
    /// Which one.
    pub router: &'a Router,
    /// Where it runs.
    pub netns: Netns,
    /// Its configuration, sockets and pid files.
    pub dir: PathBuf,
}

impl<'a> RunningRouter<'a> {
    /// The router of a lab whose run directory this is.
    pub fn of(topology: &Topology, router: &'a Router, run_dir: &Path) -> Self {
        Self {
            router,
            netns: Netns::of(&topology.lab, &router.name),
            dir: run_dir.join(&router.name),
        }
    }

    /// Writes its configuration and starts its daemons.
    pub fn start(&self, topology: &Topology, processes: &Processes) -> Result<Vec<Process>> {
        fs::create_dir_all(&self.dir)
            .with_context(|| format!("cannot make {}", self.dir.display()))?;
        match self.router.daemon {
            Daemon::Bird => {
                let config = bird::router_config(topology, self.router);
                let role = format!("{}-bird", self.router.name);
                Ok(vec![bird::start(
                    &self.netns,
                    &self.dir,
                    &config,
                    &role,
                    processes,
                )?])
            }
            Daemon::Frr => frr::start(self, topology, processes),
        }
    }

    /// The name of its CLI, and how to call it from anywhere.
    pub fn cli(&self) -> (&'static str, String) {
        let dir = self.dir.display();
        match self.router.daemon {
            Daemon::Bird => (
                "birdc",
                format!("/usr/sbin/birdc -s {dir}/{}", bird::SOCKET),
            ),
            Daemon::Frr => (
                "vtysh",
                format!("/usr/bin/vtysh --vty_socket {dir} --config_dir {dir}"),
            ),
        }
    }

    /// Its sessions with the nodes, as its own CLI shows them.
    pub fn sessions(&self) -> Result<Vec<RouterSession>> {
        match self.router.daemon {
            Daemon::Bird => bird::sessions(&self.dir),
            Daemon::Frr => frr::sessions(&self.dir),
        }
        .with_context(|| format!("sessions of {}", self.router.name))
    }

    /// Its session with that neighbour.
    pub fn session(&self, neighbor: IpAddr) -> Result<RouterSession> {
        let session = self
            .sessions()?
            .into_iter()
            .find(|session| session.neighbor == neighbor);
        session.with_context(|| format!("{} has no neighbor {neighbor}", self.router.name))
    }

    /// Fails unless every session with every node is Established.
    pub fn all_established(&self, topology: &Topology) -> Result<()> {
        let sessions = self.sessions()?;
        let expected = topology.nodes.len() * 2;
        if sessions.len() != expected {
            bail!(
                "{} shows {} sessions, not {expected}",
                self.router.name,
                sessions.len()
            );
        }
        let down: Vec<String> = sessions
            .iter()
            .filter(|session| !session.established)
            .map(|session| format!("{} is {}", session.neighbor, session.state))
            .collect();
        if !down.is_empty() {
            bail!("on {}: {}", self.router.name, down.join(", "));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(incarnation: &str) -> RouterSession {
        RouterSession {
            neighbor: [10, 10, 0, 1].into(),
            established: true,
            state: "up Established".to_owned(),
            incarnation: incarnation.to_owned(),
        }
    }

    #[test]
    fn a_reset_is_told_from_a_reading_of_the_clock() {
        let before = session("n1_v4 since 2026-11-21 06:28:34.999");
        for (later, same) in [
            ("n1_v4 since 2026-11-21 06:28:34.999", true),
            ("n1_v4 since 2026-11-21 06:28:35.000", true),
            ("n1_v4 since 2026-11-21 06:28:35.200", false),
            ("n1_v4 since 2026-11-22 06:28:34.999", false),
        ] {
            assert_eq!(before.is_same(&session(later)), same, "{later}");
        }
        let frr = session("established 1 dropped 0");
        assert!(frr.is_same(&frr.clone()));
        assert!(!frr.is_same(&session("established 2 dropped 1")));
    }
}
