//! The default gateway as a neighbour: where the kernel's own default route leads.
//!
//! A `BGPPeer` with `defaultGateway` says no address. The route of the lowest metric with a gateway on a
//! link that works is taken, as the kernel would; one that BGP made does not count. When the route
//! changes, so does the neighbour, at once: unlike a router that falls silent on a link, somebody has
//! said that this one is the gateway no longer. Of several gateways of one route the session is with the
//! first, or with the one that it is with already.
//!
//! Pure: what the kernel holds comes in as a [`KernelView`].

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr, SocketAddrV6},
};

use redstart_bgp::{time::Instant, types::Family};
use redstart_rib::{nexthop::Gateway, resolver::KernelView};
use tracing::info;

use super::{neighbours::Neighbours, objects::log_difference, unnumbered::Unfound};
use crate::{
    compile::{DesiredState, Peer, PeerName, Remote},
    diagnostic::{Diagnostic, Reason},
};

/// Every neighbour that is a default gateway.
#[derive(Default)]
pub(super) struct Gateways {
    wanted: BTreeMap<PeerName, Wanted>,
    /// Addresses that are neighbours by other objects.
    taken: BTreeSet<IpAddr>,
    /// The view's generation at the last round.
    seen: Option<u64>,
    problems: Vec<Diagnostic>,
}

/// One neighbour.
struct Wanted {
    spec: Peer,
    family: Family,
    port: u16,
    since: Instant,
    /// Where the default route leads.
    gateways: Vec<SocketAddr>,
    /// Which of them it is.
    chosen: Option<SocketAddr>,
    /// Whether another object has a session with it already.
    is_taken: bool,
}

impl Gateways {
    /// Follows the default routes for the neighbours of `desired` and for nobody else.
    pub(super) fn apply(&mut self, now: Instant, desired: &DesiredState, to: &mut Neighbours) {
        let wanted = |(name, spec): (&PeerName, &Peer)| match spec.remote {
            Remote::DefaultGateway { family, port } => {
                Some((name.clone(), (spec.clone(), family, port)))
            }
            _ => None,
        };
        let wanted: BTreeMap<_, _> = desired.peers.iter().filter_map(wanted).collect();
        self.wanted.retain(|name, old| {
            let same = |(_, family, port): &(Peer, Family, u16)| {
                (*family, *port) == (old.family, old.port)
            };
            let kept = wanted.get(name).is_some_and(same);
            if !kept {
                to.locate(name, None);
            }
            kept
        });
        for (name, (spec, family, port)) in wanted {
            let entry = self.wanted.entry(name).or_insert_with(|| Wanted {
                spec: spec.clone(),
                family,
                port,
                since: now,
                gateways: Vec::new(),
                chosen: None,
                is_taken: false,
            });
            entry.spec = spec;
        }
        let addresses = desired.peers.values().filter_map(|p| p.remote.address());
        self.taken = addresses.map(|address| address.ip()).collect();
        self.seen = None;
    }

    /// Tells `to` where the default routes lead. Whether anything changed there.
    pub(super) fn follow(&mut self, view: &KernelView, to: &mut Neighbours) -> bool {
        if self.seen.replace(view.generation()) == Some(view.generation()) {
            return false;
        }
        let mut news = false;
        for (name, wanted) in &mut self.wanted {
            wanted.look(view, &self.taken);
            let place = wanted.chosen.filter(|_| !wanted.is_taken);
            if to.locate(name, place) {
                news = true;
                match place {
                    Some(at) => info!(peer = %name, gateway = %at.ip(), "default gateway found"),
                    None => info!(peer = %name, "no default gateway any more"),
                }
            }
        }
        let problems: Vec<_> = self.wanted.values().filter_map(Wanted::problem).collect();
        log_difference(&self.problems, &problems);
        self.problems = problems;
        news
    }

    /// What keeps gateways from being neighbours, and what makes them doubtful.
    pub(super) fn problems(&self) -> &[Diagnostic] {
        &self.problems
    }

    /// Neighbours that are not found: there is nothing else to show of them than this.
    pub(super) fn unfound(&self) -> impl Iterator<Item = (&PeerName, Unfound<'_>)> {
        let unfound = |wanted: &&Wanted| wanted.chosen.is_none() || wanted.is_taken;
        let all = self
            .wanted
            .iter()
            .filter(move |(_, wanted)| unfound(wanted));
        all.map(|(name, wanted)| {
            let unfound = Unfound {
                spec: &wanted.spec,
                since: wanted.since,
                why: wanted.problem().map(|problem| problem.message),
            };
            (name, unfound)
        })
    }
}

impl Wanted {
    fn look(&mut self, view: &KernelView, taken: &BTreeSet<IpAddr>) {
        let place = |gateway: Gateway| {
            Some(match gateway.via? {
                // A link-local address is one on its link alone.
                IpAddr::V6(addr) if addr.is_unicast_link_local() => {
                    SocketAddr::V6(SocketAddrV6::new(addr, self.port, 0, gateway.ifindex))
                }
                addr => SocketAddr::new(addr, self.port),
            })
        };
        let gateways = view.default_gateways(self.family);
        self.gateways = gateways.into_iter().filter_map(place).collect();
        let stays = self.chosen.filter(|at| self.gateways.contains(at));
        self.chosen = stays.or(self.gateways.first().copied());
        self.is_taken = self.chosen.is_some_and(|at| taken.contains(&at.ip()));
    }

    /// What people should know.
    fn problem(&self) -> Option<Diagnostic> {
        let warning = |reason, message| {
            let object = self.spec.source.clone();
            let field = "spec.defaultGateway";
            Some(Diagnostic::warning(object, field, reason, message))
        };
        let Some(chosen) = self.chosen else {
            let message = format!(
                "the kernel has no {} default route with a gateway: there is no session",
                self.family
            );
            return warning(Reason::NoDefaultGateway, message);
        };
        if self.is_taken {
            let message = format!(
                "the default gateway {} is a neighbour by its address already, and that one counts",
                chosen.ip()
            );
            return warning(Reason::DuplicatePeerAddress, message);
        }
        let others = self.gateways.iter().filter(|at| **at != chosen);
        let others: Vec<String> = others.map(|at| at.ip().to_string()).collect();
        if others.is_empty() {
            return None;
        }
        let message = format!(
            "the default route has several gateways: the session is with {}, not with {}",
            chosen.ip(),
            others.join(", ")
        );
        warning(Reason::SeveralRouters, message)
    }
}
