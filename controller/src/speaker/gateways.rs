//! The default gateways as neighbours: where the kernel's own default route leads.
//!
//! A `BGPPeer` with `defaultGateway` says no address. The route of the lowest metric with a gateway on a
//! link that works is taken, as the kernel would; one that BGP made does not count. Each of its gateways
//! is a neighbour, named `OBJECT-ADDRESS`. When the route leads elsewhere, so do the neighbours, at once:
//! unlike a router that falls silent on a link, somebody has said that this one is a gateway no longer. One
//! that stays a gateway keeps its session, whatever happens to the others. A router that is a neighbour already
//! by its address is left to that, and one with a link-local address on an interface that a `BGPPeer` names, to
//! that one, be it found yet or not: it is one router, and has one session.
//!
//! Where there is no default route at all, nobody has said who the gateway is instead, and most often it is
//! back in a moment: networkd, NetworkManager and the DHCP clients take the route away and put it back when
//! they are restarted or renew a lease. So the last gateways stay for [`GAP`]. If they really are gone, the
//! session's own timers, BFD and the link say so.
//!
//! Pure: what the kernel holds comes in as a [`KernelView`].

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr, SocketAddrV6},
    time::Duration,
};

use redstart_bgp::{time::Instant, types::Family};
use redstart_rib::{nexthop::Gateway, resolver::KernelView};
use tracing::info;

use super::{
    neighbours::Neighbours,
    ranges::member_name,
    searches::{Places, Search, Searches, Sought, Spot, Unfound, spot},
};
use crate::{
    compile::{DesiredState, PeerName, Remote},
    diagnostic::{Diagnostic, Reason},
};

/// How long gateways stay neighbours while there is no default route: longer than a restart of what
/// configures the network takes, with the first answers of a DHCP server or a router.
const GAP: Duration = Duration::from_secs(10);

/// Every neighbour that is a default gateway.
#[derive(Default)]
pub(super) struct Gateways {
    routes: Searches<DefaultRoute>,
    taken: Taken,
}

/// What other peers have.
#[derive(Default)]
struct Taken {
    spots: BTreeSet<Spot>,
    /// Whoever has a link-local address there.
    interfaces: BTreeSet<String>,
    names: BTreeSet<PeerName>,
}

impl Taken {
    fn has(&self, name: &PeerName, at: SocketAddr, view: &KernelView) -> bool {
        self.names.contains(name) || self.has_place(at, view)
    }

    fn has_place(&self, at: SocketAddr, view: &KernelView) -> bool {
        let (_, link) = spot(at);
        let mut links = view.links().filter(|it| link != 0 && it.ifindex == link);
        self.spots.contains(&spot(at)) || links.any(|it| self.interfaces.contains(&it.name))
    }
}

/// The default route of a family, and where it leads.
#[derive(Debug)]
struct DefaultRoute {
    family: Family,
    /// The TCP port of the gateways.
    port: u16,
    /// The gateways that are neighbours.
    places: Places,
    /// Since when the kernel has no such route, while they stay for all that.
    gap: Option<Instant>,
    /// Why there are none, or why others are not.
    trouble: Vec<(Reason, String)>,
}

impl Sought for DefaultRoute {
    fn of(remote: &Remote) -> Option<Self> {
        let Remote::DefaultGateway { family, port } = *remote else {
            return None;
        };
        Some(Self {
            family,
            port,
            places: Places::new(),
            gap: None,
            trouble: Vec::new(),
        })
    }
}

impl Gateways {
    /// Follows the default routes for the neighbours of `desired` and for nobody else.
    pub(super) fn apply(&mut self, now: Instant, desired: &DesiredState, to: &mut Neighbours) {
        self.routes.apply(now, desired, to);
        let addresses = desired.peers.values().filter_map(|p| p.remote.address());
        let interfaces = desired.peers.values().filter_map(|p| match &p.remote {
            Remote::Interface { name, .. } => Some(name.clone()),
            _ => None,
        });
        self.taken = Taken {
            spots: addresses.map(spot).collect(),
            interfaces: interfaces.collect(),
            names: desired.peers.keys().cloned().collect(),
        };
    }

    /// Tells `to` where the default routes lead. Whether anything changed there.
    pub(super) fn follow(&mut self, now: Instant, view: &KernelView, to: &mut Neighbours) -> bool {
        let gap_is_over = self.poll_timeout().is_some_and(|at| at <= now);
        if !self.routes.have_moved(view.generation()) && !gap_is_over {
            return false;
        }
        let mut news = false;
        for (name, search) in self.routes.iter_mut() {
            let route = &mut search.sought;
            route.look(now, name, view, &self.taken);
            if to.locate(name, route.places.clone()) {
                news = true;
                let gateways: Vec<_> = route.places.values().map(SocketAddr::ip).collect();
                info!(peer = %name, ?gateways, "the default route leads to other gateways");
            }
        }
        let problems = self.routes.values().flat_map(Search::problems).collect();
        self.routes.set_problems(problems);
        news
    }

    /// When the next gap has lasted for too long.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let gaps = self.routes.values().filter_map(|it| it.sought.gap);
        gaps.min().map(|since| since + GAP)
    }

    /// What keeps gateways from being neighbours.
    pub(super) fn problems(&self) -> &[Diagnostic] {
        self.routes.problems()
    }

    /// Peers without a gateway to be a neighbour.
    pub(super) fn unfound(&self) -> impl Iterator<Item = (&PeerName, Unfound<'_>)> {
        let all = self.routes.iter();
        let unfound = all.filter(|(_, search)| search.sought.places.is_empty());
        unfound.map(|(name, search)| {
            let why = search.sought.trouble.first();
            (name, search.unfound(why.map(|(_, why)| why.clone())))
        })
    }
}

impl DefaultRoute {
    /// Looks where the route leads now.
    fn look(&mut self, now: Instant, peer: &PeerName, view: &KernelView, taken: &Taken) {
        let gateways = view.default_gateways(self.family);
        if gateways.is_empty() {
            self.places.retain(|name, at| !taken.has(name, *at, view));
        }
        if gateways.is_empty()
            && !self.places.is_empty()
            && now < *self.gap.get_or_insert(now) + GAP
        {
            return;
        }
        self.gap = None;
        self.places.clear();
        self.trouble.clear();
        if gateways.is_empty() {
            let why = format!(
                "the kernel has no {} default route with a gateway: there is no session",
                self.family
            );
            self.trouble.push((Reason::NoDefaultGateway, why));
        }
        let port = self.port;
        for at in gateways.into_iter().filter_map(|g| address(g, port)) {
            let (ip, name) = (at.ip(), member_name(peer, at));
            if taken.has_place(at, view) {
                let why = format!(
                    "the default gateway {ip} is a neighbour already, by its address or as the router on its interface, and that one counts"
                );
                self.trouble.push((Reason::DuplicatePeerAddress, why));
            } else if taken.names.contains(&name) {
                let why = format!(
                    "another neighbour has the name {name}: there is no session with the default gateway {ip}"
                );
                self.trouble.push((Reason::DuplicatePeerName, why));
            } else {
                self.places.insert(name, at);
            }
        }
    }
}

/// Where a gateway is. A link-local address is one on its link alone.
fn address(gateway: Gateway, port: u16) -> Option<SocketAddr> {
    Some(match gateway.via? {
        IpAddr::V6(addr) if addr.is_unicast_link_local() => {
            SocketAddr::V6(SocketAddrV6::new(addr, port, 0, gateway.ifindex))
        }
        addr => SocketAddr::new(addr, port),
    })
}

impl Search<DefaultRoute> {
    /// What people should know.
    fn problems(&self) -> impl Iterator<Item = Diagnostic> {
        self.sought.trouble.iter().map(|(reason, why)| {
            let object = self.spec.source.clone();
            Diagnostic::warning(object, "spec.defaultGateway", *reason, why.clone())
        })
    }
}

#[cfg(test)]
mod tests;
