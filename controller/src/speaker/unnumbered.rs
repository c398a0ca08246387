//! Unnumbered neighbours: where the router at the other end of an interface is.
//!
//! A `BGPPeer` with an `interface` says no address. While the interface is up and has a link-local
//! address, a task on it looks for a router (`redstart_bgp::discovery`); what it finds becomes the
//! neighbour's address, link included: the same link-local address on two links is two routers.
//!
//! # When the address changes
//!
//! - A router that falls silent keeps its session, if it has one: what ends sessions is their own hold
//!   timer. So does one next to which another appears. The next one has its turn when the session is
//!   over.
//! - A link that goes down ends the session with it, without a word, as a connection that is lost.
//! - An interface that is gone, or came back under another index, takes its neighbour with it.

use std::{
    net::{Ipv6Addr, SocketAddr, SocketAddrV6},
    sync::Arc,
    time::Duration,
};

use redstart_bgp::{
    discovery::Sighting,
    net::{Clock, LinkDiscovery},
    time::Instant,
};
use redstart_rib::resolver::KernelView;
use tokio::sync::Notify;
use tracing::info;

use super::{
    neighbours::Neighbours,
    searches::{Places, Search, Searches, Sought, Unfound},
};
use crate::{
    compile::{DesiredState, PeerName, Remote},
    diagnostic::{Diagnostic, Reason},
};

/// How long a router may take to be found before anybody is told.
const GRACE: Duration = Duration::from_secs(5);

/// The pause before a socket that could not be had is asked for again.
const RETRY: Duration = Duration::from_secs(5);

/// Every neighbour whose address is found out.
pub(super) struct Unnumbered {
    clock: Clock,
    seed: u64,
    /// Notified by every search that sees something new.
    changed: Arc<Notify>,
    searches: Searches<Router>,
}

/// The router at the other end of an interface.
struct Router {
    interface: String,
    port: u16,
    link: Link,
    /// Where it is.
    at: Option<SocketAddrV6>,
}

impl Sought for Router {
    fn of(remote: &Remote) -> Option<Self> {
        let Remote::Interface { name, port } = remote else {
            return None;
        };
        Some(Self {
            interface: name.clone(),
            port: *port,
            link: Link::Missing,
            at: None,
        })
    }
}

/// What keeps a search from running, or the search.
enum Link {
    Missing,
    Down,
    NoLinkLocal,
    Refused {
        why: String,
        retry_at: Instant,
    },
    Searched {
        ifindex: u32,
        own: Ipv6Addr,
        discovery: LinkDiscovery,
    },
}

impl Unnumbered {
    pub(super) fn new(clock: Clock, seed: u64) -> Self {
        Self {
            clock,
            seed,
            changed: Arc::default(),
            searches: Searches::default(),
        }
    }

    /// Searches for the neighbours of `desired` and for nobody else.
    pub(super) fn apply(&mut self, now: Instant, desired: &DesiredState, to: &mut Neighbours) {
        self.searches.apply(now, desired, to);
    }

    /// Until some search sees something new.
    pub(super) fn changed(&self) -> impl Future<Output = ()> + Send + use<> {
        let changed = self.changed.clone();
        async move { changed.notified().await }
    }

    /// Follows the links, and tells `to` where the routers are. Whether anything changed there.
    pub(super) fn follow(&mut self, now: Instant, links: &KernelView, to: &mut Neighbours) -> bool {
        if self.searches.is_empty() && self.problems().is_empty() {
            return false;
        }
        let moved = self.searches.have_moved(links.generation());
        let mut news = false;
        for (name, search) in self.searches.iter_mut() {
            let router = &mut search.sought;
            if (moved || router.link.is_due(now))
                && router.follow(now, links, self.seed, self.clock, &self.changed)
            {
                search.since = now;
            }
            to.follow_link(name, router.link.is_usable());
            router.place(to.has_session(name));
            let at = router.at.map(|at| (name.clone(), SocketAddr::V6(at)));
            news |= to.locate(name, Places::from_iter(at));
        }
        let problems = self.searches.values().filter_map(|s| s.problem(now));
        let problems = problems.collect();
        self.searches.set_problems(problems);
        news
    }

    pub(super) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let due = |search: &Search<Router>| match &search.sought.link {
            Link::Refused { retry_at, .. } => Some(*retry_at),
            Link::Searched { .. } => Some(search.since + GRACE).filter(|at| *at > now),
            Link::Missing | Link::Down | Link::NoLinkLocal => None,
        };
        self.searches.values().filter_map(due).min()
    }

    /// What keeps neighbours from being found, and what makes them doubtful.
    pub(super) fn problems(&self) -> &[Diagnostic] {
        self.searches.problems()
    }

    /// Peers whose router is not found.
    pub(super) fn unfound(&self) -> impl Iterator<Item = (&PeerName, Unfound<'_>)> {
        let all = self.searches.iter();
        let unfound = all.filter(|(_, search)| search.sought.at.is_none());
        unfound.map(|(name, search)| {
            let why = search.sought.trouble().map(|(_, why)| why);
            (name, search.unfound(why))
        })
    }
}

impl Link {
    /// Whether a session can run over it.
    const fn is_usable(&self) -> bool {
        matches!(self, Self::Searched { .. } | Self::Refused { .. })
    }

    fn is_due(&self, now: Instant) -> bool {
        matches!(self, Self::Refused { retry_at, .. } if *retry_at <= now)
    }
}

impl Router {
    /// Searches on the link as it is now. Whether a search has begun.
    fn follow(
        &mut self,
        now: Instant,
        links: &KernelView,
        seed: u64,
        clock: Clock,
        changed: &Arc<Notify>,
    ) -> bool {
        let Some(link) = links.link_named(&self.interface) else {
            (self.link, self.at) = (Link::Missing, None);
            return false;
        };
        self.at = self.at.filter(|at| at.scope_id() == link.ifindex);
        if !(link.up && link.carrier) {
            self.link = Link::Down;
            return false;
        }
        let Some(own) = link_local(links, link.ifindex) else {
            self.link = Link::NoLinkLocal;
            return false;
        };
        let (ifindex, here) = (link.ifindex, (link.ifindex, own));
        match &self.link {
            Link::Searched { ifindex, own, .. } if (*ifindex, *own) == here => return false,
            Link::Refused { retry_at, .. } if *retry_at > now => return false,
            _ => {}
        }
        let seed = seed.wrapping_add(u64::from(ifindex));
        self.link = match LinkDiscovery::start(ifindex, own, seed, clock, changed.clone()) {
            Ok(discovery) => Link::Searched {
                ifindex,
                own,
                discovery,
            },
            Err(error) => Link::Refused {
                why: error.to_string(),
                retry_at: now + RETRY,
            },
        };
        true
    }

    /// Where the router is, by what the search sees. One with a session stays.
    fn place(&mut self, has_session: bool) {
        let Link::Searched { ifindex, .. } = self.link else {
            return;
        };
        let Some(router) = self.sighting().router else {
            return;
        };
        let at = SocketAddrV6::new(router, self.port, 0, ifindex);
        if self.at == Some(at) || (self.at.is_some() && has_session) {
            return;
        }
        info!(interface = self.interface, router = %router, "router found");
        self.at = Some(at);
    }

    fn sighting(&self) -> Sighting {
        match &self.link {
            Link::Searched { discovery, .. } => discovery.seen(),
            _ => Sighting::default(),
        }
    }

    /// Why there is no router.
    fn trouble(&self) -> Option<(Reason, String)> {
        let interface = &self.interface;
        Some(match &self.link {
            Link::Missing => (
                Reason::InterfaceMissing,
                format!("this node has no interface {interface}"),
            ),
            Link::Down => (
                Reason::InterfaceDown,
                format!("interface {interface} is down"),
            ),
            Link::NoLinkLocal => (
                Reason::NoAddress,
                format!(
                    "interface {interface} has no IPv6 link-local address (is IPv6 disabled on it?)"
                ),
            ),
            Link::Refused { why, .. } => (
                Reason::DiscoveryFailed,
                format!("no search for a router on interface {interface}: {why}"),
            ),
            Link::Searched { .. } if self.sighting().router.is_none() => (
                Reason::RouterNotFound,
                format!("no router sends Router Advertisements on interface {interface}"),
            ),
            Link::Searched { .. } => return None,
        })
    }
}

impl Search<Router> {
    /// What people should know.
    fn problem(&self, now: Instant) -> Option<Diagnostic> {
        let warning = |reason, message| {
            let object = self.spec.source.clone();
            Some(Diagnostic::warning(
                object,
                "spec.interface",
                reason,
                message,
            ))
        };
        let router = &self.sought;
        if let Some((reason, why)) = router.trouble() {
            if reason == Reason::RouterNotFound && now < self.since + GRACE {
                return None;
            }
            let effect = match router.at {
                Some(at) => format!("what is known of {} stays", at.ip()),
                None => "there is no session over it".to_owned(),
            };
            return warning(reason, format!("{why}; {effect}"));
        }
        let seen = router.sighting();
        let chosen = router.at.map(|at| *at.ip());
        let others: Vec<String> = seen
            .others
            .iter()
            .chain(&seen.router)
            .filter(|addr| Some(**addr) != chosen)
            .map(ToString::to_string)
            .collect();
        let (chosen, others) = (chosen.filter(|_| !others.is_empty())?, others.join(", "));
        let message = format!(
            "several routers send Router Advertisements on interface {}: the session is with {chosen}, not with {others}",
            router.interface
        );
        warning(Reason::SeveralRouters, message)
    }
}

/// Our link-local address on a link.
fn link_local(links: &KernelView, ifindex: u32) -> Option<Ipv6Addr> {
    let mut addresses = links.addresses().filter(|a| a.ifindex == ifindex);
    addresses.find_map(|a| match a.addr {
        std::net::IpAddr::V6(addr) if addr.is_unicast_link_local() => Some(addr),
        _ => None,
    })
}
