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
    collections::BTreeMap,
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

use super::{neighbours::Neighbours, objects::log_difference};
use crate::{
    compile::{DesiredState, Peer, PeerName, Remote},
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
    searches: BTreeMap<PeerName, Search>,
    /// The resolver's generation at the last round.
    seen: Option<u64>,
    problems: Vec<Diagnostic>,
}

/// One neighbour.
struct Search {
    spec: Peer,
    interface: String,
    port: u16,
    since: Instant,
    link: Link,
    /// Where the router is.
    router: Option<SocketAddrV6>,
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
            searches: BTreeMap::new(),
            seen: None,
            problems: Vec::new(),
        }
    }

    /// Searches for the neighbours of `desired` and for nobody else.
    pub(super) fn apply(&mut self, now: Instant, desired: &DesiredState, to: &mut Neighbours) {
        let wanted = |(name, spec): (&PeerName, &Peer)| match &spec.remote {
            Remote::Interface {
                name: interface,
                port,
            } => Some((name.clone(), (spec.clone(), interface.clone(), *port))),
            Remote::Address(_) | Remote::Range { .. } | Remote::DefaultGateway { .. } => None,
        };
        let wanted: BTreeMap<_, _> = desired.peers.iter().filter_map(wanted).collect();
        self.searches.retain(|name, search| {
            let same = |(_, interface, port): &(Peer, String, u16)| {
                (interface, *port) == (&search.interface, search.port)
            };
            let kept = wanted.get(name).is_some_and(same);
            if !kept {
                to.locate(name, None);
            }
            kept
        });
        for (name, (spec, interface, port)) in wanted {
            let search = self.searches.entry(name).or_insert_with(|| Search {
                spec: spec.clone(),
                interface,
                port,
                since: now,
                link: Link::Missing,
                router: None,
            });
            search.spec = spec;
        }
        self.seen = None;
    }

    /// Until some search sees something new.
    pub(super) fn changed(&self) -> impl Future<Output = ()> + Send + use<> {
        let changed = self.changed.clone();
        async move { changed.notified().await }
    }

    /// Follows the links, and tells `to` where the routers are. Whether anything changed there.
    pub(super) fn follow(&mut self, now: Instant, links: &KernelView, to: &mut Neighbours) -> bool {
        if self.searches.is_empty() && self.problems.is_empty() {
            return false;
        }
        let moved = self.seen.replace(links.generation()) != Some(links.generation());
        let mut news = false;
        for (name, search) in &mut self.searches {
            if moved || search.link.is_due(now) {
                search.follow(now, links, self.seed, self.clock, &self.changed);
            }
            to.follow_link(name, search.link.is_usable());
            search.place(to.has_session(name));
            news |= to.locate(name, search.router.map(SocketAddr::V6));
        }
        let problems: Vec<_> = self
            .searches
            .values()
            .filter_map(|s| s.problem(now))
            .collect();
        log_difference(&self.problems, &problems);
        self.problems = problems;
        news
    }

    pub(super) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let due = |search: &Search| match &search.link {
            Link::Refused { retry_at, .. } => Some(*retry_at),
            Link::Searched { .. } => Some(search.since + GRACE).filter(|at| *at > now),
            Link::Missing | Link::Down | Link::NoLinkLocal => None,
        };
        self.searches.values().filter_map(due).min()
    }

    /// What keeps neighbours from being found, and what makes them doubtful.
    pub(super) fn problems(&self) -> &[Diagnostic] {
        &self.problems
    }

    /// Neighbours that are not found: there is nothing else to show of them than this.
    pub(super) fn unfound(&self) -> impl Iterator<Item = (&PeerName, Unfound<'_>)> {
        self.searches
            .iter()
            .filter(|(_, search)| search.router.is_none())
            .map(|(name, search)| {
                let unfound = Unfound {
                    spec: &search.spec,
                    since: search.since,
                    why: search.trouble().map(|(_, why)| why),
                };
                (name, unfound)
            })
    }
}

/// A neighbour that is not found.
pub(super) struct Unfound<'a> {
    pub(super) spec: &'a Peer,
    pub(super) since: Instant,
    pub(super) why: Option<String>,
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

impl Search {
    /// Searches on the link as it is now.
    fn follow(
        &mut self,
        now: Instant,
        links: &KernelView,
        seed: u64,
        clock: Clock,
        changed: &Arc<Notify>,
    ) {
        let Some(link) = links.link_named(&self.interface) else {
            (self.link, self.router) = (Link::Missing, None);
            return;
        };
        self.router = self.router.filter(|at| at.scope_id() == link.ifindex);
        if !(link.up && link.carrier) {
            self.link = Link::Down;
            return;
        }
        let Some(own) = link_local(links, link.ifindex) else {
            self.link = Link::NoLinkLocal;
            return;
        };
        let (ifindex, here) = (link.ifindex, (link.ifindex, own));
        match &self.link {
            Link::Searched { ifindex, own, .. } if (*ifindex, *own) == here => return,
            Link::Refused { retry_at, .. } if *retry_at > now => return,
            _ => {}
        }
        self.since = now;
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
        if self.router == Some(at) || (self.router.is_some() && has_session) {
            return;
        }
        info!(interface = self.interface, router = %router, "router found");
        self.router = Some(at);
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
        if let Some((reason, why)) = self.trouble() {
            if reason == Reason::RouterNotFound && now < self.since + GRACE {
                return None;
            }
            let effect = match self.router {
                Some(router) => format!("what is known of {} stays", router.ip()),
                None => "there is no session over it".to_owned(),
            };
            return warning(reason, format!("{why}; {effect}"));
        }
        let seen = self.sighting();
        let chosen = self.router.map(|at| *at.ip());
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
            self.interface
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
