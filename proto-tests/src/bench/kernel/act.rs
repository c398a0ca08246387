//! One row with one daemon: acts the neighbours, in their namespace, and measures.
//!
//! What it measured goes to standard output as lines of JSON.

use std::{process::Command, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use super::{
    Row,
    ground::ends,
    messages::{Messages, messages},
    now,
    probe::{PATIENCE, Running},
    session::{Bfd, Session, asn},
    traffic::Traffic,
};
use crate::bench::usage::{self, Usage};

const UP: Duration = Duration::from_secs(60);
/// After the sessions have come up, and between phases.
const SETTLE: Duration = Duration::from_secs(1);
/// No packet for so long: the path is left.
const SILENCE: Duration = Duration::from_secs(2);

/// What to act.
#[derive(Clone, Debug, clap::Args)]
pub struct Act {
    /// The row.
    pub row: Row,
    /// How many routes.
    #[arg(long)]
    pub routes: u32,
    /// The daemon's processes.
    #[arg(required = true)]
    pub pids: Vec<u32>,
    /// Of the daemon and of the hosts: as paths.
    #[arg(long, num_args = 2)]
    pub namespaces: Vec<String>,
}

/// One phase of a row, measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// What happened.
    pub phase: String,
    /// How many routes.
    pub routes: u32,
    /// From the first octet, or the end of the session, to the last route or packet.
    pub wall: Duration,
    /// Processor time of the daemon in between.
    pub cpu: Duration,
    /// The most memory of the daemon so far.
    pub peak: u64,
}

impl Act {
    /// Does it.
    pub fn run(&self) -> Result<()> {
        match self.row {
            Row::Ipv4 | Row::Ipv6 => self.install(),
            Row::Lost | Row::LostByBfd => self.lose(),
            Row::Removed => self.remove(),
        }
    }

    /// This program in another namespace.
    fn there(&self, namespace: usize, words: &[&str]) -> Result<Command> {
        let namespace = self.namespaces.get(namespace).context("no namespace")?;
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={namespace}")).arg("--");
        command.arg(std::env::current_exe()?).args(words);
        Ok(command)
    }

    fn probe(&self) -> Result<Running> {
        let routes = self.routes.to_string();
        let mut words = vec!["probe", &routes];
        words.extend(self.row.is_ipv6().then_some("--ipv6"));
        Running::start(self.there(0, &words)?)
    }

    fn messages(&self, neighbour: u8) -> Result<Messages> {
        let [_, own] = ends(neighbour, self.row.is_ipv6());
        messages(self.routes, asn(neighbour), own)
    }

    fn tell(&self, phase: &str, before: Usage, wall: Duration) -> Result<()> {
        let usage = usage::of(&self.pids)?;
        let measured = Measured {
            phase: phase.to_owned(),
            routes: self.routes,
            wall,
            cpu: usage.cpu.saturating_sub(before.cpu),
            peak: usage.peak,
        };
        println!("{}", serde_json::to_string(&measured)?);
        Ok(())
    }

    fn install(&self) -> Result<()> {
        let messages = self.messages(1)?;
        let mut probe = self.probe()?;
        let mut session = Session::establish(1, self.row.is_ipv6(), UP)?;
        thread::sleep(SETTLE);
        for (phase, octets, there) in [
            ("announce", &messages.announcements, true),
            ("withdraw", &messages.withdrawals, false),
        ] {
            let before = usage::of(&self.pids)?;
            let began = now()?;
            let end = thread::scope(|scope| {
                let sending = scope.spawn(|| session.send(octets));
                let end = probe.until(there)?;
                sending.join().ok().context("a thread panicked")??;
                anyhow::Ok(end)
            })?;
            self.tell(phase, before, end.saturating_sub(began))?;
            thread::sleep(SETTLE);
        }
        Ok(())
    }

    fn lose(&self) -> Result<()> {
        let mut probe = self.probe()?;
        let mut sessions = Vec::new();
        for neighbour in [1, 2] {
            sessions.push(Session::establish(neighbour, false, UP)?);
        }
        let bfd = match self.row {
            Row::LostByBfd => Some(Bfd::start(1, UP)?),
            _ => None,
        };
        thread::sleep(SETTLE);
        // Nobody is told before the other has been: both are there when the first route is written.
        for (session, neighbour) in sessions.iter_mut().zip([1, 2]) {
            session.send(&self.messages(neighbour)?.announcements)?;
        }
        probe.until(true)?;
        self.settle()?;
        let stream = ["stream", &self.routes.to_string()];
        let traffic = Traffic::start(self.there(1, &stream)?)?;
        thread::sleep(SETTLE);
        let before = usage::of(&self.pids)?;
        let first = sessions.remove(0);
        let end = match bfd {
            Some(bfd) => bfd.fail()?,
            None => first.reset()?,
        };
        self.settle()?;
        thread::sleep(SILENCE);
        let seen = traffic.stop()?;
        ensure!(
            seen.iter().all(|seen| seen.packets > 0),
            "not both paths were used: {seen:?}"
        );
        let last = seen.first().context("nobody watched")?.last;
        self.tell("last packet", before, last.saturating_sub(end))
    }

    fn remove(&self) -> Result<()> {
        let mut probe = self.probe()?;
        let mut session = Session::establish(1, false, UP)?;
        session.send(&self.messages(1)?.announcements)?;
        probe.until(true)?;
        self.settle()?;
        let before = usage::of(&self.pids)?;
        let mut took = probe.mend()?;
        took.sort_unstable();
        let half = took.len() / 2;
        for (phase, at) in [("median", half), ("slowest", took.len() - 1)] {
            self.tell(phase, before, *took.get(at).context("none was removed")?)?;
        }
        Ok(())
    }

    /// Waits until the daemon has next to nothing to do for a while.
    fn settle(&self) -> Result<()> {
        const WHILE: Duration = Duration::from_millis(1500);
        usage::until_at_rest(&self.pids, 20, PATIENCE, || {
            thread::sleep(WHILE);
            Ok(())
        })
    }
}
