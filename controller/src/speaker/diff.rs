//! `redc diff`: what would change if other objects were in force. Pure.
//!
//! Two desired states are compared, the one in force and the one that the compile step makes of the
//! objects with the changes in them. What a session survives is not decided here but asked of those
//! who decide when it happens: the neighbours' own comparison of configurations.

use std::{collections::BTreeSet, sync::Arc};

use redstart_bgp::session::Reconfigured;

use crate::{
    compile::{self, DesiredState, Origination, PeerName},
    control::views::{Diff, RouteDiff, SessionDiff},
};

/// What becomes of a neighbour that is there before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing of its session changes.
    Same,
    /// It is another neighbour by the same name.
    Another,
    /// The connection must look different.
    Transport,
    /// This.
    Session(Reconfigured),
}

/// Compares what is in force with what would be.
pub(super) fn diff(
    now: &DesiredState,
    then: &DesiredState,
    fate: impl Fn(&PeerName, &compile::Peer) -> Fate,
) -> Diff {
    Diff {
        sessions: sessions(now, then, fate),
        routes: routes(now, then),
        policies: policies(now, then),
        kernel: now.kernel != then.kernel,
        problems: Vec::new(),
    }
}

fn sessions(
    now: &DesiredState,
    then: &DesiredState,
    fate: impl Fn(&PeerName, &compile::Peer) -> Fate,
) -> Vec<SessionDiff> {
    let names: BTreeSet<&PeerName> = now.peers.keys().chain(then.peers.keys()).collect();
    let change = |name: &PeerName| match (now.peers.get(name), then.peers.get(name)) {
        (None, _) => Some(("new", None)),
        (Some(_), None) if then.spare.contains_key(name) => Some(("ends-when-replaced", None)),
        (Some(_), None) => Some(("ends", None)),
        (Some(_), Some(peer)) => match fate(name, peer) {
            Fate::Same => None,
            Fate::Another => Some(("resets", Some("another-neighbour".to_owned()))),
            Fate::Transport => Some(("resets", Some("transport".to_owned()))),
            Fate::Session(Reconfigured::Live) => Some(("live", None)),
            Fate::Session(Reconfigured::NextSession) => Some(("next-session", None)),
            Fate::Session(Reconfigured::Reset(why)) => Some(("resets", Some(why.to_string()))),
        },
    };
    let row = |name: &PeerName| {
        let (change, reason) = change(name)?;
        Some(SessionDiff {
            peer: name.to_string(),
            change: change.to_owned(),
            reason,
        })
    };
    names.into_iter().filter_map(row).collect()
}

/// Whom a route goes to.
fn told(origination: Option<&Origination>) -> BTreeSet<&PeerName> {
    let advertise = origination.into_iter().flat_map(|o| &o.advertise);
    advertise.flat_map(|advertise| &advertise.peers).collect()
}

fn routes(now: &DesiredState, then: &DesiredState) -> Vec<RouteDiff> {
    let prefixes: BTreeSet<_> = now
        .originations
        .keys()
        .chain(then.originations.keys())
        .collect();
    let row = |prefix| {
        let before = now.originations.get(prefix).map(|o| &**o);
        let after = then.originations.get(prefix).map(|o| &**o);
        if before == after {
            return None;
        }
        let (had, has) = (told(before), told(after));
        let names = |peers: &mut dyn Iterator<Item = &&PeerName>| -> Vec<String> {
            peers.map(ToString::to_string).collect()
        };
        let other = before.map(|o| &o.advertise) != after.map(|o| &o.advertise);
        Some(RouteDiff {
            prefix: prefix.to_string(),
            object: after.or(before).map(|o| o.object.to_string())?,
            told: names(&mut has.difference(&had)),
            withdrawn: names(&mut had.difference(&has)),
            changed: if other {
                names(&mut has.intersection(&had))
            } else {
                Vec::new()
            },
        })
    };
    prefixes.into_iter().filter_map(row).collect()
}

fn policies(now: &DesiredState, then: &DesiredState) -> Vec<String> {
    let differs = |(name, peer): &(&PeerName, &Arc<compile::Peer>)| {
        let before = now.peers.get(*name);
        before
            .is_some_and(|before| before.policies != peer.policies || before.import != peer.import)
    };
    then.peers
        .iter()
        .filter(differs)
        .map(|(name, _)| name.to_string())
        .collect()
}

#[cfg(test)]
mod tests;
