//! Addresses that sessions are to come from and that this host has not got.
//!
//! Usually the wrong network card was found: the kubelet takes the address of some interface, or what
//! the node's name resolves to. The kernel says no more than that an address is not available; this
//! says which, who wants it, and what there is instead. Pure.

use std::{collections::BTreeSet, net::IpAddr};

use redstart_rib::resolver::KernelView;

use super::objects::log_difference;
use crate::{
    compile::{DesiredState, PeerRole},
    diagnostic::{Diagnostic, Reason},
    index::Kind,
    object::ObjectRef,
};

/// What is wrong with our ends of sessions.
#[derive(Debug, Default)]
pub(super) struct OwnAddresses {
    /// The view's generation at the last round.
    seen: Option<u64>,
    problems: Vec<Diagnostic>,
}

impl OwnAddresses {
    /// The objects may want other addresses.
    pub(super) const fn look_again(&mut self) {
        self.seen = None;
    }

    /// Compares what is wanted with what is there, where either may have changed.
    pub(super) fn follow(&mut self, desired: &DesiredState, view: &KernelView) {
        let now = view.link_generation();
        if self.seen.replace(now) == Some(now) {
            return;
        }
        let problems = problems(desired, view);
        log_difference(&self.problems, &problems);
        self.problems = problems;
    }

    pub(super) fn problems(&self) -> &[Diagnostic] {
        &self.problems
    }
}

fn problems(desired: &DesiredState, view: &KernelView) -> Vec<Diagnostic> {
    let Some(node) = &desired.node else {
        return Vec::new();
    };
    let mut missing = BTreeSet::new();
    for peer in desired.peers.values() {
        let Some(local) = peer.local.filter(|local| !view.is_own(*local)) else {
            continue;
        };
        let (object, field) = match &peer.role {
            PeerRole::Mesh { .. } => {
                let kind = Kind::Node.as_str().to_owned();
                let name = node.name.clone();
                (ObjectRef { kind, name }, "status.addresses")
            }
            PeerRole::Router => (peer.source.clone(), "spec.sourceAddress"),
        };
        missing.insert((object, field, local));
    }
    let there = there(view);
    let problem = |(object, field, local)| {
        let message = format!(
            "{local} is on no interface of this node, so that no session can come from it; there is {there}"
        );
        Diagnostic::warning(object, field, Reason::AddressNotHere, message)
    };
    missing.into_iter().map(problem).collect()
}

/// The interfaces with their addresses, but for those that no session comes from.
fn there(view: &KernelView) -> String {
    let name = |ifindex: u32| view.links().find(|link| link.ifindex == ifindex);
    let mut told: Vec<String> = view
        .addresses()
        .filter(|a| !a.addr.is_loopback() && !is_link_local(a.addr))
        .filter_map(|a| Some(format!("{} with {}", name(a.ifindex)?.name, a.addr)))
        .collect();
    told.sort();
    match told.is_empty() {
        true => "no other".to_owned(),
        false => told.join(", "),
    }
}

const fn is_link_local(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(addr) => addr.is_link_local(),
        IpAddr::V6(addr) => addr.is_unicast_link_local(),
    }
}
