//! Interoperability with BIRD, FRR, GoBGP, ExaBGP and OpenBGPD, as a matrix that a run fills in.
//!
//! A [`feature::Feature`] is a row, a [`subject::Implementation`] a column. A scene sets up one kind
//! of session between a real Redstart and the real other daemon, each in a network namespace of its
//! own, and asserts a few rows; scenes run side by side. What is known not to work is in [`limits`]
//! with the reason. [`document`] writes the table.
//!
//! Who owns what is as in [`crate::lab`]: everything of a scene is named `ix-SCENE-PEER`, recorded in
//! its run directory, and gone when its [`site::Site`] is dropped.

pub mod bench;
pub mod bird;
pub mod document;
pub mod exabgp;
pub mod feature;
pub mod frr;
pub mod gobgp;
pub mod limits;
pub mod matrix;
pub mod newer;
pub mod openbgpd;
pub mod ours;
pub mod programs;
pub mod scenes;
pub mod session;
pub mod side;
pub mod site;
pub mod slipped_in;
pub mod subject;
pub mod third;
pub mod wire;

use anyhow::{Result, bail};

use self::{programs::Programs, subject::Implementation};

/// Fails with the packages that are missing.
pub fn check_requirements(programs: &Programs) -> Result<()> {
    let missing: Vec<&str> = Implementation::ALL
        .into_iter()
        .map(Implementation::needs)
        .filter(|(tool, _)| !programs.has(tool))
        .map(|(_, package)| package)
        .collect();
    if !missing.is_empty() {
        bail!("missing: apt-get install {}", missing.join(" "));
    }
    Ok(())
}
