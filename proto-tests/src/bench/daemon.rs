//! The daemons under test: what each is told, which is the same, and how it is started.
//!
//! One AS at 10.99.0.1, every neighbour configured and passive, no policy, no kernel routes but in
//! the row that is about them. Senders are told nothing, where the daemon can be told so.

mod bird;
mod frr;
mod gobgp;
mod openbgpd;
mod redstart;

use std::{fmt, fs};

use anyhow::{Context as _, Result};

use super::{
    ground::Ground,
    peer::Identity,
    row::{Row, Scene},
};
use crate::lab::{process::Process, requirements::Binaries};

/// A daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Daemon {
    /// This project's.
    Redstart,
    /// BIRD.
    Bird,
    /// FRR: bgpd and zebra.
    Frr,
    /// OpenBGPD.
    Openbgpd,
    /// GoBGP.
    Gobgp,
}

/// A neighbour as the daemon is told of it.
#[derive(Clone, Copy, Debug)]
struct Neighbour {
    identity: Identity,
    /// Whether it is told what others say.
    told: bool,
}

impl Daemon {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Redstart,
        Self::Bird,
        Self::Frr,
        Self::Openbgpd,
        Self::Gobgp,
    ];

    /// Whether it is on this machine, and can do the row.
    pub fn can(self, row: Row) -> bool {
        let program = match self {
            Self::Redstart => return true,
            // What a change of policy is would be something else for each.
            _ if row.has_policy() => return false,
            Self::Bird => "bird",
            Self::Frr => "vtysh",
            // It writes no kernel routes on Linux.
            Self::Openbgpd if row.installs() => return false,
            Self::Openbgpd => "bgpctl",
            // It needs zebra for that.
            Self::Gobgp if row.installs() => return false,
            Self::Gobgp => "gobgpd",
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|dir| dir.join(program).exists())
    }

    /// Starts it for a row. It may take a moment until it listens.
    pub fn start(self, ground: &Ground, scene: Scene, binaries: &Binaries) -> Result<Vec<Process>> {
        let neighbours: Vec<Neighbour> = scene
            .senders()
            .into_iter()
            .map(|identity| Neighbour {
                identity,
                told: scene.row.reflects(),
            })
            .chain(scene.monitors().into_iter().map(|identity| Neighbour {
                identity,
                told: true,
            }))
            .collect();
        match self {
            Self::Redstart => redstart::start(ground, scene, &neighbours, binaries),
            Self::Bird => bird::start(ground, scene, &neighbours),
            Self::Frr => frr::start(ground, scene, &neighbours),
            Self::Openbgpd => openbgpd::start(ground, scene, &neighbours),
            Self::Gobgp => gobgp::start(ground, scene, &neighbours),
        }
    }
}

impl fmt::Display for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Redstart => "Redstart",
            Self::Bird => "BIRD",
            Self::Frr => "FRR",
            Self::Openbgpd => "OpenBGPD",
            Self::Gobgp => "GoBGP",
        })
    }
}

fn write(ground: &Ground, name: &str, text: &str) -> Result<std::path::PathBuf> {
    let file = ground.dir().join(name);
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}
