//! BGP roles (RFC 9234): who is what, and who may not be what. What follows for routes is in
//! [`passing_on`](super::passing_on).

use anyhow::{Result, ensure};

use super::super::{
    bench::Bench,
    feature::Feature,
    session::{Dial, Extra, Roles, Session},
};
use crate::lab::topology::Family;

fn session(roles: Roles) -> Session {
    Session {
        extra: Some(Extra::Roles(roles)),
        ..Session::plain(Dial::Us)
    }
}

/// They are our provider and say so, as we say that we are their customer.
pub(super) fn provider_there(bench: &mut Bench) -> Result<()> {
    bench.start(&session(Roles::ProviderThere))?;
    bench.row(Feature::Roles, |bench| {
        agreed(bench, "customer", "provider")
    });
    Ok(())
}

/// The other way round.
pub(super) fn customer_there(bench: &mut Bench) -> Result<()> {
    bench.start(&session(Roles::CustomerThere))?;
    bench.row(Feature::RolesReversed, |bench| {
        agreed(bench, "provider", "customer")
    });
    Ok(())
}

fn agreed(bench: &mut Bench, ours: &str, theirs: &str) -> Result<()> {
    bench.up()?;
    let protocol = bench.ours.established()?;
    for (offers, role) in [
        (&protocol.local_capabilities, ours),
        (&protocol.remote_capabilities, theirs),
    ] {
        let role = format!("role {role}");
        ensure!(offers.contains(&role), "no {role} in {offers:?}");
    }
    bench.exchange(Family::V4)
}

/// Two providers of each other.
pub(super) fn clash(bench: &mut Bench) -> Result<()> {
    bench.start(&session(Roles::Clash))?;
    bench.row(Feature::RoleMismatch, |bench| {
        bench.refused(&["role-mismatch", "Role Mismatch"])?;
        bench.they_say(&["role mismatch"])
    });
    Ok(())
}
