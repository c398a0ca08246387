//! The oracles, each reduced to the facts that it reads from a message.

pub(crate) mod asked;
pub(crate) mod bgpkit;
pub(crate) mod broken;
pub(crate) mod dispositions;
pub(crate) mod everything;
mod facts;
pub(crate) mod generate;
pub(crate) mod netgauze;
pub(crate) mod rustbgpd;

pub(crate) use facts::{Context, Facts, fqdn, hex, segment};
