//! What is checked before a received route may become a candidate.
//!
//! A refused route stays in the Adj-RIB-In with its reason: the CLI shows it under its prefix, a
//! change of policy takes effect without asking the peer again, and the counts are exact.

use core::fmt;
use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use redstart_bgp::types::{AsPath, Community, NextHop, PathAttributes, Prefix, Role, SegmentType};

use crate::{
    peers::{PeerInfo, SessionKind},
    policy::SafeDefault,
};

/// Why a received route is not a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Refusal {
    /// Our own AS is in the AS_PATH (RFC 4271 section 9.1.2).
    AsLoop,
    /// ORIGINATOR_ID is our BGP Identifier (RFC 4456 section 8).
    OriginatorLoop,
    /// Our cluster id is in the CLUSTER_LIST (RFC 4456 section 8).
    ClusterLoop,
    /// An external peer's path does not start with its AS (RFC 4271 section 6.3).
    FirstAs,
    /// The next hop is an address of ours (RFC 4271 section 6.3).
    OwnNextHop,
    /// There is no next hop.
    NoNextHop,
    /// The prefix can't be routed: loopback, link-local, multicast, "this network", reserved.
    Martian,
    /// Not among the prefixes that this peer may announce.
    NotAllowed,
    /// The prefix is a node's, and the next hop is not an address of that node.
    NotOwnersNextHop,
    /// Within the cluster's own ranges.
    Protected,
    /// The default route, which was not asked for.
    DefaultRoute,
    /// The session did not negotiate this family.
    Family,
    /// The path has an AS_SET or AS_CONFED_SET (RFC 9774).
    AsSet,
    /// The peer passed on what it may only send to its customers (RFC 9234 section 5).
    RouteLeak,
    /// An external peer one hop away named a next hop outside the subnet that it shares with us
    /// (RFC 4271 section 6.3).
    RemoteNextHop,
    /// A rule of a policy rejected it.
    Policy,
    /// The peer sent more paths to the prefix than are held of one peer (RFC 7911). Such a path is not
    /// held: it counts among those received no more than one that never came.
    TooManyPaths,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Self; 17] = [
        Self::AsLoop,
        Self::OriginatorLoop,
        Self::ClusterLoop,
        Self::FirstAs,
        Self::OwnNextHop,
        Self::NoNextHop,
        Self::Martian,
        Self::NotAllowed,
        Self::NotOwnersNextHop,
        Self::Protected,
        Self::DefaultRoute,
        Self::Family,
        Self::AsSet,
        Self::RouteLeak,
        Self::RemoteNextHop,
        Self::Policy,
        Self::TooManyPaths,
    ];

    /// The safe default that refuses here, if it is one that a policy can set aside.
    pub(crate) const fn safe_default(self) -> Option<SafeDefault> {
        match self {
            Self::DefaultRoute => Some(SafeDefault::DefaultRoute),
            Self::Protected => Some(SafeDefault::ClusterRanges),
            Self::Martian => Some(SafeDefault::Martians),
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::AsLoop => "as-loop",
            Self::OriginatorLoop => "originator-loop",
            Self::ClusterLoop => "cluster-loop",
            Self::FirstAs => "first-as-mismatch",
            Self::OwnNextHop => "own-next-hop",
            Self::NoNextHop => "no-next-hop",
            Self::Martian => "martian-prefix",
            Self::NotAllowed => "not-allowed",
            Self::NotOwnersNextHop => "not-owners-next-hop",
            Self::Protected => "protected-prefix",
            Self::DefaultRoute => "default-route",
            Self::Family => "family-not-negotiated",
            Self::AsSet => "as-set",
            Self::RouteLeak => "route-leak",
            Self::RemoteNextHop => "remote-next-hop",
            Self::Policy => "policy",
            Self::TooManyPaths => "too-many-paths",
        })
    }
}

/// A number of routes for each reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefusalCounts([u32; Refusal::ALL.len()]);

impl RefusalCounts {
    pub(crate) const fn add(&mut self, reason: Refusal) {
        self.0[reason as usize] += 1;
    }

    pub(crate) const fn sub(&mut self, reason: Refusal) {
        self.0[reason as usize] -= 1;
    }

    /// Routes refused for `reason`.
    #[must_use]
    pub const fn get(&self, reason: Refusal) -> usize {
        self.0[reason as usize] as usize
    }

    /// Routes refused for any reason.
    #[must_use]
    pub fn total(&self) -> usize {
        self.0.iter().map(|count| *count as usize).sum()
    }

    /// The reasons that occurred.
    pub fn iter(&self) -> impl Iterator<Item = (Refusal, usize)> + '_ {
        Refusal::ALL
            .into_iter()
            .map(|reason| (reason, self.get(reason)))
            .filter(|(_, count)| *count > 0)
    }
}

impl core::ops::AddAssign for RefusalCounts {
    fn add_assign(&mut self, rhs: Self) {
        for (mine, other) in self.0.iter_mut().zip(rhs.0) {
            *mine += other;
        }
    }
}

/// Why a route with these attributes is refused whatever its prefix.
pub(crate) fn refuses_attributes(info: &PeerInfo, attrs: &PathAttributes) -> Option<Refusal> {
    // RFC 4271 section 9.1.2: "If the AS_PATH attribute of a BGP route contains an AS loop, the BGP
    // route should be excluded from the Phase 2 decision function."
    if own_as_count(info, attrs) > usize::from(info.rules.own_as_allowed) {
        return Some(Refusal::AsLoop);
    }
    // RFC 4456 section 8: "A router that recognizes the ORIGINATOR_ID attribute SHOULD ignore a route
    // received with its BGP Identifier as the ORIGINATOR_ID", and "If the local CLUSTER_ID is found in
    // the CLUSTER_LIST, the advertisement received SHOULD be ignored."
    if attrs.originator_id == Some(info.local_router_id) {
        return Some(Refusal::OriginatorLoop);
    }
    if attrs.cluster_list.contains(&info.cluster_id()) {
        return Some(Refusal::ClusterLoop);
    }
    // RFC 4271 section 6.3: "If the UPDATE message is received from an external peer, the local
    // system MAY check whether the leftmost (...) AS in the AS_PATH attribute is equal to the
    // autonomous system number of the peer that sent the message."
    if info.kind == SessionKind::Ebgp
        && info.enforce_first_as
        && attrs.as_path.first_as() != Some(info.remote_as)
    {
        return Some(Refusal::FirstAs);
    }
    // RFC 9774 section 3: a path with an AS_SET or AS_CONFED_SET must be treated as withdrawn. Kept
    // with the reason and never a candidate, it is withdrawn in effect.
    if !info.rules.as_sets && has_sets(&attrs.as_path) {
        return Some(Refusal::AsSet);
    }
    if is_leaked(info, attrs) {
        return Some(Refusal::RouteLeak);
    }
    match attrs.next_hop {
        None => Some(Refusal::NoNextHop),
        Some(next_hop) if is_own(info, next_hop) => Some(Refusal::OwnNextHop),
        Some(next_hop) => is_remote(info, next_hop).then_some(Refusal::RemoteNextHop),
    }
}

/// How often an AS of ours is in the path: the one that we are in, and the one that the peer sees.
fn own_as_count(info: &PeerInfo, attrs: &PathAttributes) -> usize {
    let own = attrs.as_path.count(info.own_as);
    if info.own_as == info.local_as {
        own
    } else {
        own + attrs.as_path.count(info.local_as)
    }
}

/// Whether the path has a segment without order.
pub(crate) fn has_sets(path: &AsPath) -> bool {
    let set = |kind| matches!(kind, SegmentType::Set | SegmentType::ConfedSet);
    path.segments.iter().any(|segment| set(segment.kind))
}

/// RFC 9234 section 5, by what the peer is to us: a route with OTC from a customer or a route server's
/// client is a leak and must not be used; nor one from a peer, if the value is not that peer's AS.
fn is_leaked(info: &PeerInfo, attrs: &PathAttributes) -> bool {
    match info.remote_role() {
        Some(Role::Customer | Role::RouteServerClient) => attrs.otc.is_some(),
        Some(Role::Peer) => attrs.otc.is_some_and(|otc| otc != info.remote_as),
        Some(Role::Provider | Role::RouteServer) | None => false,
    }
}

/// The attributes as they are kept: without what an external peer has no business to say, and with
/// what we are to add on receipt. What was kept under other rules may be put in again.
pub(crate) fn normalize<'a>(info: &PeerInfo, attrs: &'a PathAttributes) -> Cow<'a, PathAttributes> {
    if info.is_internal() {
        return Cow::Borrowed(attrs);
    }
    // RFC 4271 section 5.1.5: LOCAL_PREF received from an external peer "MUST be ignored by the
    // receiving speaker"; RFC 7606 sections 7.9 and 7.10 say the same of ORIGINATOR_ID and
    // CLUSTER_LIST. RFC 8326 sections 4.1 and 4.2: who receives GRACEFUL_SHUTDOWN, or is about to shut
    // the session down, makes LOCAL_PREF low, for which it recommends 0.
    let told = attrs.has_community(Community::GRACEFUL_SHUTDOWN);
    let shutdown = (told && !info.rules.ignore_graceful_shutdown) || info.rules.graceful_shutdown;
    let local_pref = shutdown.then_some(0);
    // RFC 9234 section 5: to a route from a provider, a peer or a route server that has no OTC it must
    // be added, with the AS number of the remote AS.
    let otc = match info.remote_role() {
        Some(Role::Provider | Role::Peer | Role::RouteServer) => attrs.otc.or(Some(info.remote_as)),
        Some(Role::Customer | Role::RouteServerClient) | None => attrs.otc,
    };
    let unchanged = attrs.local_pref == local_pref
        && attrs.otc == otc
        && attrs.originator_id.is_none()
        && attrs.cluster_list.is_empty();
    if unchanged {
        return Cow::Borrowed(attrs);
    }
    Cow::Owned(PathAttributes {
        local_pref,
        otc,
        originator_id: None,
        cluster_list: Box::default(),
        ..PathAttributes::clone(attrs)
    })
}

/// RFC 4271 section 6.3: the next hop "MUST NOT be the IP address of the receiving speaker". Other
/// addresses of this node are found by the resolver.
fn is_own(info: &PeerInfo, next_hop: NextHop) -> bool {
    let own = [info.next_hop_self.v4, info.next_hop_self.v6];
    own.into_iter()
        .flatten()
        .flat_map(addresses)
        .any(|own| addresses(next_hop).any(|other| other == own))
}

/// RFC 4271 section 6.3, of an external peer that is one hop away: the next hop must be the peer's
/// address, or "share a common subnet with the receiving BGP speaker". That can be told of the family
/// of the session alone; every link-local address is on the link.
fn is_remote(info: &PeerInfo, next_hop: NextHop) -> bool {
    let judges = info.kind == SessionKind::Ebgp && !info.rules.remote_next_hops;
    let shared = info.subnet.filter(|subnet| {
        judges && subnet.contains(info.remote_addr) && !is_link_local(info.remote_addr)
    });
    shared.is_some_and(|subnet| {
        addresses(next_hop).all(|addr| {
            let same_family = addr.is_ipv4() == info.remote_addr.is_ipv4();
            same_family && !is_link_local(addr) && !subnet.contains(addr)
        })
    })
}

const fn is_link_local(addr: IpAddr) -> bool {
    matches!(addr, IpAddr::V6(addr) if addr.is_unicast_link_local())
}

/// The addresses that a next hop holds; the global one may be left out as `::`.
fn addresses(next_hop: NextHop) -> impl Iterator<Item = IpAddr> {
    let link_local = match next_hop {
        NextHop::V6LinkLocal { link_local, .. } => Some(IpAddr::V6(link_local)),
        NextHop::V4(_) | NextHop::V6(_) => None,
    };
    [Some(next_hop.addr()), link_local]
        .into_iter()
        .flatten()
        .filter(|addr| !addr.is_unspecified())
}

/// Whether packets to `prefix` can't be routed. A range that merely contains such addresses is none:
/// the default route contains them all.
pub(crate) fn is_martian(prefix: Prefix) -> bool {
    let (addr, len) = (prefix.addr(), prefix.len());
    match addr {
        IpAddr::V4(addr) => is_martian_v4(addr, len),
        IpAddr::V6(addr) => is_martian_v6(addr, len),
    }
}

/// RFC 6890: this network, loopback, link-local; RFC 5771: multicast; RFC 1112: reserved.
const fn is_martian_v4(addr: Ipv4Addr, len: u8) -> bool {
    let [a, b, ..] = addr.octets();
    match a {
        0 | 127 => len >= 8,
        169 => b == 254 && len >= 16,
        224.. => len >= 4,
        _ => false,
    }
}

/// RFC 4291: unspecified, loopback, IPv4-mapped, link-local, multicast.
const fn is_martian_v6(addr: Ipv6Addr, len: u8) -> bool {
    let special = addr.to_bits() <= 1 && len == 128;
    let mapped = addr.to_bits() >> 32 == 0xffff && len >= 96;
    special
        || mapped
        || (addr.is_unicast_link_local() && len >= 10)
        || (addr.is_multicast() && len >= 8)
}
