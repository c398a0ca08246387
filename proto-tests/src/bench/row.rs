//! What is measured: the rows, and the neighbours that each takes.

use std::{fmt, net::Ipv4Addr};

use super::{
    peer::{DAEMON_AS, Identity},
    table::Sender,
};

/// A row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Row {
    /// One neighbour sends a full table, another gets it; then all is withdrawn; then it comes again
    /// and the neighbour is lost.
    Table,
    /// The table comes and goes while it also goes into the kernel and out of it, with a hold time that a daemon
    /// with too much to do lets expire.
    Installing,
    /// A full table to ten neighbours.
    Receivers,
    /// A full table, then a day of changes.
    Churn,
    /// A full table past a policy of 1,000 rules towards the monitor; then rules change.
    Policy,
    /// Ten neighbours send a tenth of the table each.
    Disjoint,
    /// Ten neighbours send the same tenth of the table; then the best of them is lost.
    Same,
    /// 100 clients of a route reflector send 100 prefixes each.
    Reflector,
    /// 500 internal neighbours send 4 prefixes each, into the kernel; then nothing happens.
    Mesh,
}

impl Row {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Table,
        Self::Installing,
        Self::Receivers,
        Self::Churn,
        Self::Policy,
        Self::Disjoint,
        Self::Same,
        Self::Reflector,
        Self::Mesh,
    ];

    /// Whether routes go into the kernel.
    pub fn installs(self) -> bool {
        matches!(self, Self::Mesh | Self::Installing)
    }

    /// Whether what is told to monitors goes past a policy, which changes.
    pub fn has_policy(self) -> bool {
        self == Self::Policy
    }

    /// Whether the neighbours are in the daemon's AS.
    pub fn is_internal(self) -> bool {
        matches!(self, Self::Reflector | Self::Mesh)
    }

    /// Whether they are clients of the daemon as of a route reflector.
    pub fn reflects(self) -> bool {
        self == Self::Reflector
    }

    /// What the routes of a sender look like.
    pub fn sender(self, index: usize, identity: Identity) -> Sender {
        let extra = if self == Self::Same { index } else { 0 };
        Sender {
            asn: identity.asn,
            next_hop: identity.address,
            extra: u8::try_from(extra).unwrap_or(u8::MAX),
        }
    }

    /// As it is usually.
    pub fn as_usual(self) -> Scene {
        Scene {
            row: self,
            variation: Variation::default(),
        }
    }
}

/// In what a run of a row differs from how it is usually.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Variation {
    /// How many receivers, clients of a reflector, or nodes of a mesh there are, instead of 10, 100 and 500.
    /// Each receiver takes some 50 octets for each prefix, and what it is told is looked at on the way where
    /// there are many: then the table should be small.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub sessions: Option<u16>,
    /// The hold time of all sessions, in seconds, instead of the row's own.
    #[arg(long, value_parser = clap::value_parser!(u16).range(3..))]
    pub hold_time: Option<u16>,
}

/// A row as it is run.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Scene {
    /// The row.
    pub row: Row,
    /// How it is varied.
    #[command(flatten)]
    pub variation: Variation,
}

impl Scene {
    /// The hold time in force, in seconds.
    pub fn hold_time(self) -> u16 {
        self.variation.hold_time.unwrap_or(match self.row {
            Row::Installing => 3,
            Row::Mesh => 9,
            _ => 240,
        })
    }

    fn sessions(self, usually: u16) -> u16 {
        self.variation.sessions.unwrap_or(usually)
    }

    /// Who sends.
    pub fn senders(self) -> Vec<Identity> {
        let count = match self.row {
            Row::Table | Row::Installing | Row::Receivers | Row::Churn | Row::Policy => 1,
            Row::Disjoint | Row::Same => 10,
            Row::Reflector => self.sessions(100),
            Row::Mesh => self.sessions(500),
        };
        let external = !self.row.is_internal();
        (0..count)
            .map(|n| Identity {
                address: address(if external { 1 } else { 4 }, n),
                asn: if external {
                    DAEMON_AS + 1 + u32::from(n)
                } else {
                    DAEMON_AS
                },
                hold_time: self.hold_time(),
            })
            .collect()
    }

    /// Who gets what they send.
    pub fn monitors(self) -> Vec<Identity> {
        let count = match self.row {
            Row::Receivers => self.sessions(10),
            Row::Reflector | Row::Mesh => 0,
            _ => 1,
        };
        (0..count)
            .map(|n| Identity {
                address: address(2, n),
                asn: DAEMON_AS + 1001 + u32::from(n),
                hold_time: self.hold_time(),
            })
            .collect()
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Table => "table",
            Self::Installing => "installing",
            Self::Receivers => "receivers",
            Self::Churn => "churn",
            Self::Policy => "policy",
            Self::Disjoint => "disjoint",
            Self::Same => "same",
            Self::Reflector => "reflector",
            Self::Mesh => "mesh",
        })
    }
}

/// 10.99.`net`.1 and on, 250 in each third octet.
fn address(net: u8, number: u16) -> Ipv4Addr {
    let high = u8::try_from(number / 250).unwrap_or_default();
    let low = u8::try_from(number % 250).unwrap_or_default();
    Ipv4Addr::new(10, 99, net + high, low + 1)
}
