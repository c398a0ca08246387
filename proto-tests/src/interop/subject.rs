//! What the matrix asks of a foreign implementation.

use std::{fmt, time::Duration};

use anyhow::{Context as _, Result, bail};

use super::{
    bird::Bird, exabgp::ExaBgp, frr::Frr, gobgp::GoBgp, openbgpd::OpenBgpd, session::Session,
    side::TheirSide, site::Site,
};
use crate::lab::{process::Signal, topology::Family};

/// A foreign implementation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Implementation {
    /// BIRD 2.
    Bird,
    /// FRR.
    Frr,
    /// GoBGP.
    GoBgp,
    /// ExaBGP.
    ExaBgp,
    /// OpenBGPD, the portable version.
    OpenBgpd,
}

impl Implementation {
    /// All of them, in the order of the table's columns.
    pub const ALL: [Self; 5] = [
        Self::Bird,
        Self::Frr,
        Self::GoBgp,
        Self::ExaBgp,
        Self::OpenBgpd,
    ];

    /// Ready to be started at that site.
    pub fn subject(self, site: &Site) -> Box<dyn Subject> {
        match self {
            Self::Bird => Box::new(Bird::at(site)),
            Self::Frr => Box::new(Frr::at(site)),
            Self::GoBgp => Box::new(GoBgp::at(site)),
            Self::ExaBgp => Box::new(ExaBgp::at(site)),
            Self::OpenBgpd => Box::new(OpenBgpd::at(site)),
        }
    }

    /// Short, for names of namespaces.
    pub fn word(self) -> &'static str {
        match self {
            Self::Bird => "bird",
            Self::Frr => "frr",
            Self::GoBgp => "gobgp",
            Self::ExaBgp => "exabgp",
            Self::OpenBgpd => "obgpd",
        }
    }

    /// Whether it sends Router Advertisements itself, where that is how neighbours find each other.
    pub fn advertises_itself(self) -> bool {
        matches!(self, Self::Bird | Self::Frr)
    }

    /// The program that must be there, and the Debian package that brings it.
    pub fn needs(self) -> (&'static str, &'static str) {
        match self {
            Self::Bird => ("bird", "bird2"),
            Self::Frr => ("vtysh", "frr"),
            Self::GoBgp => ("gobgpd", "gobgpd"),
            Self::ExaBgp => ("exabgp", "exabgp"),
            Self::OpenBgpd => ("bgpctl", "openbgpd"),
        }
    }
}

impl fmt::Display for Implementation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bird => "BIRD",
            Self::Frr => "FRR",
            Self::GoBgp => "GoBGP",
            Self::ExaBgp => "ExaBGP",
            Self::OpenBgpd => "OpenBGPD",
        })
    }
}

/// A route of ours, as the other side has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// AS numbers, blanks between them.
    pub as_path: String,
    /// Next hop; the global one of two.
    pub next_hop: String,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// `64999:100`.
    pub communities: Vec<String>,
    /// `64999:1:100`.
    pub large_communities: Vec<String>,
    /// `rt:65003:77`, `ro:65003:78`.
    pub extended_communities: Vec<String>,
    /// AIGP.
    pub aigp: Option<u64>,
    /// OTC.
    pub otc: Option<u32>,
    /// ORIGINATOR_ID.
    pub originator_id: Option<String>,
    /// CLUSTER_LIST.
    pub cluster_list: Vec<String>,
}

/// A foreign implementation at a site, with one session: the one to Redstart.
pub trait Subject: fmt::Debug {
    /// Writes the configuration and starts the daemon. Nothing is announced yet.
    fn configure(&mut self, session: &Session) -> Result<()>;

    /// Starts the daemon again, with the configuration of before and what it announced.
    fn start(&mut self) -> Result<()>;

    /// Whether it says that the session is Established; the state in its own words otherwise.
    fn established(&self) -> Result<()>;

    /// Ends the pause that it makes after an error before it takes up a session again.
    fn hurry(&self) -> Result<()> {
        Ok(())
    }

    /// Announces its prefix of that family.
    fn announce(&mut self, family: Family) -> Result<()>;

    /// Takes it back.
    fn withdraw(&mut self, family: Family) -> Result<()>;

    /// Every path that it has from Redstart for a prefix.
    fn all_heard(&self, family: Family, prefix: &str) -> Result<Vec<Heard>>;

    /// What it has from Redstart for a prefix, if anything.
    fn heard(&self, family: Family, prefix: &str) -> Result<Option<Heard>> {
        Ok(self.all_heard(family, prefix)?.into_iter().next())
    }

    /// Sends ROUTE-REFRESH.
    fn refresh(&mut self, family: Family) -> Result<()>;

    /// Ends the session by an Administrative Shutdown with that text.
    fn shut_down(&mut self, text: &str) -> Result<()>;

    /// Everything that it logs and shows of the session: where its operator would look for the reason
    /// that the neighbour gave.
    fn says(&self) -> Result<String>;

    /// How its log tells that the End-of-RIB of a family has arrived.
    fn end_of_rib(&self, family: Family) -> Result<()>;

    /// Whether it shows that BoRR and EoRR have arrived.
    fn refresh_delimited(&self) -> Result<()>;

    /// Whether it shows that it was asked for its routes again.
    fn refresh_asked(&self) -> Result<()>;

    /// Whether it shows that it has sent BoRR and EoRR.
    fn answer_delimited(&self) -> Result<()>;

    /// Fails unless it has left a route of ours out, as one that leaked.
    fn refuses(&self, prefix: &str) -> Result<()> {
        match self.heard(Family::V4, prefix)? {
            None => Ok(()),
            Some(heard) => bail!("it has {heard:?}"),
        }
    }

    /// Whether it has that many large communities with our prefix.
    fn heard_large_communities(&self, family: Family, prefix: &str, many: usize) -> Result<()> {
        let heard = self.heard(family, prefix)?.context("not there")?;
        match heard.large_communities.len() {
            count if count == many => Ok(()),
            count => bail!("{count} large communities"),
        }
    }

    /// The hold time that was agreed on, in seconds.
    fn hold_time(&self) -> Result<u32>;

    /// Where it runs, and what it was told.
    fn side(&mut self) -> &mut TheirSide;

    /// Sends the daemon a signal, without waiting.
    fn signal(&mut self, signal: Signal) -> Result<()> {
        self.side().daemon()?.record.signal(signal)
    }

    /// Sends a signal to whatever has its BFD sessions.
    fn signal_bfd(&mut self, signal: Signal) -> Result<()> {
        self.signal(signal)
    }

    /// Ends the daemon like a crash would.
    fn kill(&mut self) -> Result<()> {
        self.side()
            .daemon()?
            .stop(Signal::Kill, Duration::from_secs(5))
    }
}
