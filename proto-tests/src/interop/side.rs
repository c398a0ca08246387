//! What every foreign implementation has: a place to run in, a daemon, and what it was told.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail};

use super::{programs::Programs, session::Session, site::Site};
use crate::lab::{
    netns::Netns,
    process::{Process, Processes},
    topology::Family,
};

/// The other side of a session.
#[derive(Debug)]
pub struct TheirSide {
    /// Where its programs are.
    pub programs: Programs,
    /// Where they run.
    pub netns: Netns,
    /// Its configuration and sockets.
    pub dir: PathBuf,
    /// What runs.
    pub processes: Processes,
    /// Families whose prefixes it announces.
    pub announced: Vec<Family>,
    role: &'static str,
    daemon: Option<Process>,
    session: Option<Session>,
}

impl TheirSide {
    /// Nothing runs yet. `role`: what its daemon is called in the record of processes.
    pub fn at(site: &Site, role: &'static str) -> Self {
        Self {
            programs: site.programs.clone(),
            netns: site.them.clone(),
            dir: site.their_dir(),
            processes: site.processes.clone(),
            announced: Vec::new(),
            role,
            daemon: None,
            session: None,
        }
    }

    /// Takes over a session; nothing is announced yet.
    pub fn take_over(&mut self, session: &Session) -> Result<()> {
        self.session = Some(session.clone());
        self.announced.clear();
        fs::create_dir_all(&self.dir).context("no directory")
    }

    /// The session.
    pub fn session(&self) -> Result<&Session> {
        self.session.as_ref().context("not configured yet")
    }

    /// Redstart's address.
    pub fn peer(&self) -> Result<String> {
        Ok(self.session()?.our_address().to_string())
    }

    /// Starts the daemon.
    pub fn run(&mut self, command: &Command) -> Result<()> {
        self.daemon = Some(self.processes.spawn(self.role, command)?);
        Ok(())
    }

    /// The daemon, which must have been started.
    pub fn daemon(&mut self) -> Result<&mut Process> {
        self.daemon.as_mut().context("it does not run")
    }

    /// What the daemon has logged so far.
    pub fn log(&self) -> String {
        let text = fs::read(self.processes.log(self.role)).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// Fails unless a text has all these words.
pub(super) fn mentions(text: &str, words: &[&str]) -> Result<()> {
    match words.iter().find(|word| !text.contains(**word)) {
        None => Ok(()),
        Some(word) => bail!("it does not show {word:?}"),
    }
}

/// Fails unless the log has a line with all these words.
pub(super) fn log_has(log: &str, words: &[&str]) -> Result<()> {
    if log
        .lines()
        .any(|line| words.iter().all(|word| line.contains(word)))
    {
        return Ok(());
    }
    bail!("no line with {words:?} in its log");
}

/// The number that follows these words in a text.
pub(super) fn number_after(text: &str, words: &str) -> Result<u32> {
    let (_, rest) = text
        .split_once(words)
        .with_context(|| format!("it does not show {words:?}"))?;
    let digits: String = rest
        .trim_start()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().with_context(|| format!("{words}{rest}"))
}
