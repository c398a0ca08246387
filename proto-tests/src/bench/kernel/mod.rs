//! How fast a neighbour's routes get into the kernel and out of it, and how fast traffic leaves a
//! neighbour that is lost: Redstart beside BIRD, FRR and a program that only writes, in one run. The runner is `benches/kernel.rs`.
//!
//! ```text
//!   hosts ──────────── n1 ═══════════ ext
//!   192.168.3.2        the daemon     two neighbours, 192.168.1.2 (eth0) and 192.168.2.2 (eth1)
//! ```
//!
//! Everything happens in network namespaces made for one run of one daemon. What runs in one of them is
//! a process of its own, of this same program: the neighbours ([`act`]), a look at the kernel
//! ([`probe`]), packets along the routes ([`traffic`]). They agree on the wall clock of the machine.
//!
//! | file | job |
//! |---|---|
//! | [`ground`] | namespaces and cables |
//! | [`subject`] | the daemons: configuration, start |
//! | [`messages`] | what the neighbours say |
//! | [`session`] | one neighbour, and its BFD |
//! | [`probe`] | when the kernel has all routes, or none |
//! | [`traffic`] | a stream along all routes, and its last packet on a path |
//! | [`act`] | one row with one daemon |
//! | [`raw`] | a program that only writes routes, in the daemon's place |
//! | [`report`] | medians and ratios |

pub mod act;
pub mod ground;
pub mod messages;
pub mod probe;
pub mod raw;
pub mod report;
pub mod session;
pub mod subject;
pub mod traffic;

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Row {
    /// One neighbour's IPv4 routes into the kernel; then all are withdrawn.
    Ipv4,
    /// The same for IPv6.
    Ipv6,
    /// Two neighbours say the same; the session with one of them is reset.
    Lost,
    /// The same, and BFD says that it is down.
    LostByBfd,
    /// Somebody removes a hundred routes, one after the other.
    Removed,
}

impl Row {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Ipv4,
        Self::Ipv6,
        Self::Lost,
        Self::LostByBfd,
        Self::Removed,
    ];

    /// Whether the routes are IPv6.
    pub fn is_ipv6(self) -> bool {
        self == Self::Ipv6
    }

    /// How many neighbours say them.
    pub fn neighbours(self) -> u8 {
        match self {
            Self::Ipv4 | Self::Ipv6 | Self::Removed => 1,
            Self::Lost | Self::LostByBfd => 2,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Lost => "lost",
            Self::LostByBfd => "lost-by-bfd",
            Self::Removed => "removed",
        })
    }
}

/// The time of this machine's wall clock, since 1970: the same in every process.
pub fn now() -> Result<Duration> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?)
}
