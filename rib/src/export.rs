//! What a peer is told about a prefix: the rules between Loc-RIB and Adj-RIB-Out.
//!
//! Pure functions of a path, the peer and our originations. The batch that goes out and the
//! explanation on the CLI come from the same one (`judge`), so they cannot disagree.

use core::fmt;
use std::{borrow::Cow, collections::BTreeMap, net::IpAddr, sync::Arc};

use redstart_bgp::types::{
    AsPath, Asn, Community, Family, NextHop, PathAttributes, Prefix, Role, RouterId,
};

use crate::{
    import::has_sets,
    origination::{Merged, OriginSource, Origination},
    peers::{Peer, PeerInfo},
    policy::{
        Hits, NextHopRule, Passed, RouteSource, RuleSource, SafeDefault, SetNextHop, Subject,
    },
};

/// Why a peer is not told about a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Withheld {
    /// There is no session.
    PeerDown,
    /// The session did not negotiate the family.
    Family,
    /// There is no usable route.
    NoRoute,
    /// It is ours, and no advertisement of it names this peer.
    NotAdvertised,
    /// It was learned, and this speaker is not a transit for this peer.
    NoTransit,
    /// It was learned from this very peer.
    LearnedFromPeer,
    /// It was learned by iBGP, the peer is internal, and neither is our client (RFC 4271 section 9.2,
    /// RFC 4456 section 6).
    IbgpToIbgp,
    /// It was brought into the AS by this very peer, and reflected on the way (RFC 4456 section 8).
    Originator,
    /// It carries NO_ADVERTISE (RFC 1997).
    NoAdvertise,
    /// It carries NO_EXPORT or NO_EXPORT_SUBCONFED, and the peer is external (RFC 1997).
    NoExport,
    /// The peer's AS is in the AS_PATH: it would refuse it, as far as we know.
    AsLoop,
    /// Its path has an AS_SET or AS_CONFED_SET (RFC 9774).
    AsSet,
    /// It carries OTC, and the peer is no customer (RFC 9234 section 5).
    OnlyToCustomer,
    /// It is stale for long, and the peer does not know what that means (RFC 9494 section 4.3).
    LongLivedStale,
    /// Its next hop, which we are not to change, is the peer itself (RFC 4271 section 5.1.3).
    PeerIsNextHop,
    /// Its next hop, which we are not to change, is one that the peer cannot use: of a family that it
    /// did not ask for (RFC 8950 section 5), or on a link of ours.
    UnusableNextHop,
    /// We have no address of this family on the session to offer as next hop.
    NoNextHopSelf,
    /// Its attributes leave no room for the prefix in a message to the peer (RFC 8654 section 4).
    TooLong,
    /// A rule of a policy rejected it.
    Policy,
}

impl Withheld {
    /// Every reason.
    pub const ALL: [Self; 19] = [
        Self::PeerDown,
        Self::Family,
        Self::NoRoute,
        Self::NotAdvertised,
        Self::NoTransit,
        Self::LearnedFromPeer,
        Self::IbgpToIbgp,
        Self::Originator,
        Self::NoAdvertise,
        Self::NoExport,
        Self::AsLoop,
        Self::AsSet,
        Self::OnlyToCustomer,
        Self::LongLivedStale,
        Self::PeerIsNextHop,
        Self::UnusableNextHop,
        Self::NoNextHopSelf,
        Self::TooLong,
        Self::Policy,
    ];
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::PeerDown => "peer-down",
            Self::Family => "family-not-negotiated",
            Self::NoRoute => "no-route",
            Self::NotAdvertised => "not-advertised",
            Self::NoTransit => "no-transit",
            Self::LearnedFromPeer => "learned-from-peer",
            Self::IbgpToIbgp => "ibgp-to-ibgp",
            Self::Originator => "peer-is-originator",
            Self::NoAdvertise => "no-advertise",
            Self::NoExport => "no-export",
            Self::AsLoop => "as-loop",
            Self::AsSet => "as-set",
            Self::OnlyToCustomer => "only-to-customer",
            Self::LongLivedStale => "long-lived-stale",
            Self::PeerIsNextHop => "peer-is-next-hop",
            Self::UnusableNextHop => "unusable-next-hop",
            Self::NoNextHopSelf => "no-next-hop-self",
            Self::TooLong => "attributes-too-long",
            Self::Policy => "policy",
        })
    }
}

/// What is said to a peer about a prefix, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportVerdict {
    /// What it shall be told.
    pub decision: Result<Arc<PathAttributes>, Withheld>,
    /// What it was told. Differs from `decision` while the change waits to be pulled.
    pub told: Option<Arc<PathAttributes>>,
    /// The advertisements that name this peer, for a route of our own.
    pub because: Vec<OriginSource>,
    /// The rules of policies that let the best path pass, or the one that rejected it.
    pub rules: Vec<RuleSource>,
}

/// A route to a prefix, as the export rules see it.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "judged where it is made, and kept nowhere"
)]
pub(crate) enum Exported<'a> {
    None,
    Own(Option<&'a Origination>),
    Learned(Learned<'a>),
}

/// One that a peer sent.
#[derive(Clone, Debug)]
pub(crate) struct Learned<'a> {
    pub(crate) from: &'a Peer,
    pub(crate) attrs: Cow<'a, PathAttributes>,
    /// Whether it is kept long after the session that it came by.
    pub(crate) long_lived: bool,
    /// Whether its MED is taken away because of who sent it.
    pub(crate) med_removed: bool,
}

impl<'a> Learned<'a> {
    /// Who brought the route into the AS.
    fn originator(&self) -> RouterId {
        self.attrs.originator_id.unwrap_or(self.from.info.router_id)
    }

    /// Its attributes as policies see them.
    fn without_removed_med(self) -> Cow<'a, PathAttributes> {
        let mut attrs = self.attrs;
        if self.med_removed && attrs.med.is_some() {
            attrs.to_mut().med = None;
        }
        attrs
    }
}

/// The originations of this speaker.
pub(crate) type Originations = BTreeMap<Prefix, Origination>;

/// What `peer` shall be told about `prefix` if `route` is the one to tell.
pub(crate) fn judge(
    peer: &Peer,
    prefix: Prefix,
    route: Exported<'_>,
) -> Result<PathAttributes, Withheld> {
    let info = &peer.info;
    if !peer.up {
        return Err(Withheld::PeerDown);
    }
    if !info.families.contains(prefix.family()) {
        return Err(Withheld::Family);
    }
    match route {
        Exported::None => Err(Withheld::NoRoute),
        Exported::Own(origination) => advertise(peer, prefix, origination),
        Exported::Learned(learned) if learned.from.id == peer.id => Err(Withheld::LearnedFromPeer),
        Exported::Learned(learned) => {
            let (from, originator) = (&learned.from.info, learned.originator());
            let loops = learned.attrs.as_path.count(info.remote_as) > 0;
            let hits = info.policies.export.hits(prefix);
            let attrs = pass_on(&info.terms(), prefix.family(), &hits, learned)?;
            match concerns(info, from, originator, |_| loops, attrs.next_hop) {
                Some(why) => Err(why),
                None => Ok(attrs),
            }
        }
    }
}

/// A route of our own as the peer is told it.
fn advertise(
    peer: &Peer,
    prefix: Prefix,
    origination: Option<&Origination>,
) -> Result<PathAttributes, Withheld> {
    let info = &peer.info;
    let merged = origination
        .and_then(|o| o.merged(peer.id))
        .ok_or(Withheld::NotAdvertised)?;
    let program = &info.policies.export;
    let attrs = Cow::Owned(originated(&merged));
    let passed = program.run(&program.hits(prefix), own_subject(prefix), attrs);
    let passed = passed.map_err(|_| Withheld::Policy)?;
    let dress = Dress::new(merged.med, merged.prepend, &passed);
    let next_hop = choose_next_hop(info, prefix.family(), None, passed.next_hop)?;
    if leads_back(info, next_hop) {
        return Err(Withheld::PeerIsNextHop);
    }
    let mut attrs = passed.attrs.into_owned();
    attrs.next_hop = Some(next_hop);
    towards(info, &dress, &mut attrs);
    before_shutdown(info, &mut attrs);
    Ok(attrs)
}

/// RFC 8326 section 4.2: before a session is shut down, GRACEFUL_SHUTDOWN is on all that goes to the
/// neighbour. Within the AS, LOCAL_PREF says the same to those who do not know it.
fn before_shutdown(info: &PeerInfo, attrs: &mut PathAttributes) {
    if info.rules.graceful_shutdown {
        add_community(attrs, Community::GRACEFUL_SHUTDOWN);
        attrs.local_pref = info.is_internal().then_some(0);
    }
}

/// A learned route as all peers with these [terms](PeerInfo::terms) are told it, if it may go there. What
/// is about one of them alone is judged by [`concerns`]. `hits`: what their policies find special about
/// the prefix.
pub(crate) fn pass_on(
    terms: &PeerInfo,
    family: Family,
    hits: &Hits,
    learned: Learned<'_>,
) -> Result<PathAttributes, Withheld> {
    may_pass_on(terms, family, &learned)?;
    let (from, long_lived) = (&learned.from.info, learned.long_lived);
    let (received, originator) = (learned.attrs.next_hop, learned.originator());
    let program = &terms.policies.export;
    let passed = program.run(hits, from.subject(family), learned.without_removed_med());
    let passed = passed.map_err(|_| Withheld::Policy)?;
    let asked = passed.overrides.contains(SafeDefault::LearnedRoutes);
    if !asked && !terms.export.transit && !terms.is_reflected_to(from) {
        return Err(Withheld::NoTransit);
    }
    let dress = Dress::new(None, 0, &passed);
    let came = Came {
        from,
        next_hop: received,
    };
    let next_hop = choose_next_hop(terms, family, Some(&came), passed.next_hop)?;
    let mut attrs = passed.attrs.into_owned();
    passed_on(terms, from, (long_lived, originator), &mut attrs);
    let kept = received == Some(next_hop);
    if !kept || !has_aigp_on_both(terms, from) {
        attrs.aigp = None;
    }
    attrs.next_hop = Some(next_hop);
    if terms.is_route_server_client() {
        as_route_server(terms, &mut attrs);
    } else {
        towards(terms, &dress, &mut attrs);
    }
    before_shutdown(terms, &mut attrs);
    Ok(attrs)
}

/// Why a peer is not told what others like it are: the route is about the peer itself. `loops` says
/// whether an AS is in the path as it was received; `next_hop` is the one to tell.
pub(crate) fn concerns(
    info: &PeerInfo,
    from: &PeerInfo,
    originator: RouterId,
    loops: impl FnOnce(Asn) -> bool,
    next_hop: Option<NextHop>,
) -> Option<Withheld> {
    // It would find its own BGP Identifier in ORIGINATOR_ID, and ignore the route.
    if info.is_reflected_to(from) && originator == info.router_id {
        return Some(Withheld::Originator);
    }
    let refused = !info.is_internal() && !info.rules.peer_as_allowed;
    if refused && loops(info.remote_as) {
        return Some(Withheld::AsLoop);
    }
    let back = next_hop.is_some_and(|next_hop| leads_back(info, next_hop));
    back.then_some(Withheld::PeerIsNextHop)
}

/// RFC 4271 section 5.1.3: no route goes to a peer with an address of that peer as its next hop.
fn leads_back(info: &PeerInfo, next_hop: NextHop) -> bool {
    let own = [info.next_hop_self.v4, info.next_hop_self.v6];
    next_hop.addr() == info.remote_addr && !own.contains(&Some(next_hop))
}

/// Where a learned route came from, as far as its next hop is concerned.
struct Came<'a> {
    from: &'a PeerInfo,
    next_hop: Option<NextHop>,
}

/// What policies see of a route of our own.
const fn own_subject(prefix: Prefix) -> Subject<'static> {
    Subject {
        family: prefix.family(),
        source: RouteSource::Own,
        from: None,
    }
}

/// The rules of the peer's policies that decide about a route.
pub(crate) fn rules(peer: &Peer, prefix: Prefix, route: Exported<'_>) -> Vec<RuleSource> {
    let program = &peer.info.policies.export;
    match route {
        Exported::Own(Some(origination)) => {
            let merged = origination.merged(peer.id).unwrap_or_default();
            program.explain(prefix, own_subject(prefix), &originated(&merged))
        }
        Exported::Learned(learned) => {
            let subject = learned.from.info.subject(prefix.family());
            program.explain(prefix, subject, &learned.without_removed_med())
        }
        Exported::Own(None) | Exported::None => Vec::new(),
    }
}

/// What an external peer sees because advertisements or policies say so.
struct Dress {
    /// MULTI_EXIT_DISC; one that a neighbouring AS sent is none.
    med: Option<u32>,
    /// How often to prepend beyond the once that eBGP asks for.
    prepend: usize,
}

impl Dress {
    /// With what advertisements say of a route of our own.
    fn new(med: Option<u32>, prepend: u8, passed: &Passed<'_>) -> Self {
        Self {
            med: if passed.med_decided {
                passed.attrs.med
            } else {
                med
            },
            prepend: usize::from(prepend) + usize::from(passed.prepend),
        }
    }
}

/// Whether a learned route may go to peers like this at all.
fn may_pass_on(info: &PeerInfo, family: Family, learned: &Learned<'_>) -> Result<(), Withheld> {
    let (from, attrs, external) = (&learned.from.info, &learned.attrs, !info.is_internal());
    if info.is_reflected_to(from) {
        // Neither rule holds for what is reflected.
    } else if !info.takes_learned() {
        return Err(Withheld::NoTransit);
    } else if !external && from.is_internal() {
        // RFC 4271 section 9.2: "When a BGP speaker receives an UPDATE message from an internal peer,
        // the receiving BGP speaker SHALL NOT re-distribute the routing information contained in that
        // UPDATE message to other internal peers".
        return Err(Withheld::IbgpToIbgp);
    }
    // RFC 1997: NO_ADVERTISE "MUST NOT be advertised to other BGP peers", NO_EXPORT "MUST NOT be
    // advertised outside a BGP confederation boundary". RFC 7947 section 2.2.4: they are not for a route
    // server to follow, but for its clients.
    let follows = !(info.is_route_server_client() && from.is_route_server_client());
    if follows && attrs.has_community(Community::NO_ADVERTISE) {
        return Err(Withheld::NoAdvertise);
    }
    let stays = [Community::NO_EXPORT, Community::NO_EXPORT_SUBCONFED];
    if external && follows && stays.into_iter().any(|c| attrs.has_community(c)) {
        return Err(Withheld::NoExport);
    }
    // RFC 9774 section 3: paths with AS_SETs or AS_CONFED_SETs must not be advertised.
    if !info.rules.as_sets && has_sets(&attrs.as_path) {
        return Err(Withheld::AsSet);
    }
    // RFC 9234 section 5: a route with OTC must not go to providers, peers and route servers.
    let upward = [Role::Provider, Role::Peer, Role::RouteServer].map(Some);
    if attrs.otc.is_some() && upward.contains(&info.remote_role()) {
        return Err(Withheld::OnlyToCustomer);
    }
    // RFC 9494 section 4.3: the route should not go to a neighbour that did not send the capability.
    let stale = learned.long_lived || attrs.has_community(Community::LLGR_STALE);
    if stale && !info.long_lived.contains(family) {
        return Err(Withheld::LongLivedStale);
    }
    Ok(())
}

/// RFC 7311 section 3.3: the attribute means something on either session. It then goes along with a
/// next hop that is left alone, unchanged (section 3.4.3). With ours in its place the metric would have
/// to grow by a distance, and to be told again whenever that changes: there the attribute is left out.
fn has_aigp_on_both(info: &PeerInfo, from: &PeerInfo) -> bool {
    info.has_aigp() && from.has_aigp()
}

/// Makes a learned route what it is when it leaves here, but for its next hop and what only one kind of
/// peer sees.
fn passed_on(
    info: &PeerInfo,
    from: &PeerInfo,
    (long_lived, originator): (bool, RouterId),
    attrs: &mut PathAttributes,
) {
    // RFC 9494 section 4.2: the community must be on what is stale for long.
    if long_lived {
        add_community(attrs, Community::LLGR_STALE);
    }
    // RFC 8326 section 4.2: and this one on what comes by a session that is about to be shut down.
    if from.rules.graceful_shutdown && !from.is_internal() {
        add_community(attrs, Community::GRACEFUL_SHUTDOWN);
    }
    if let Some(local) = from.local_as_received() {
        attrs.as_path.put_before(local, 1);
    }
    // RFC 4456 section 8: a reflector must put its CLUSTER_ID before the CLUSTER_LIST, which it makes
    // if there is none; and it makes no ORIGINATOR_ID where there is one.
    if info.is_reflected_to(from) {
        attrs.originator_id = Some(originator);
        let clusters = attrs.cluster_list.iter().copied();
        attrs.cluster_list = core::iter::once(info.cluster_id())
            .chain(clusters)
            .collect();
    }
}

fn add_community(attrs: &mut PathAttributes, community: Community) {
    if !attrs.has_community(community) {
        let mut communities = core::mem::take(&mut attrs.communities).into_vec();
        communities.push(community);
        communities.sort_unstable();
        attrs.communities = communities.into();
    }
}

/// The next hop to offer: what a policy sets, else what a learned route keeps, else ours.
fn choose_next_hop(
    info: &PeerInfo,
    family: Family,
    came: Option<&Came<'_>>,
    set: Option<SetNextHop>,
) -> Result<NextHop, Withheld> {
    let chosen = match (set, came) {
        (Some(SetNextHop::Address(address)), _) if can_carry(info, family, address) => {
            Some(NextHop::from(address))
        }
        (Some(SetNextHop::Own), _) | (_, None) => None,
        (Some(SetNextHop::Unchanged), Some(came)) => {
            kept_next_hop(info, family, came, NextHopRule::Unchanged)?
        }
        (_, Some(came)) => kept_next_hop(info, family, came, info.rules.next_hop)?,
    };
    let own = || info.next_hop_self.for_family(family);
    chosen.or_else(own).ok_or(Withheld::NoNextHopSelf)
}

/// Whether the peer can use `address` as next hop of routes of `family` (RFC 8950).
const fn can_carry(info: &PeerInfo, family: Family, address: IpAddr) -> bool {
    match family {
        Family::Ipv4Unicast => address.is_ipv4() || info.extended_next_hop,
        Family::Ipv6Unicast => address.is_ipv6(),
    }
}

/// The next hop that a learned route keeps, or `None` where ours takes its place. Where it must be
/// kept and the peer cannot use it, the route is withheld.
fn kept_next_hop(
    info: &PeerInfo,
    family: Family,
    came: &Came<'_>,
    rule: NextHopRule,
) -> Result<Option<NextHop>, Withheld> {
    // RFC 4456 section 10: a reflector leaves NEXT_HOP, AS_PATH, LOCAL_PREF and MED alone; RFC 7947
    // section 2.2.1: a route server does so.
    let must = info.is_reflected_to(came.from)
        || info.is_route_server_client()
        || rule == NextHopRule::Unchanged;
    match usable_next_hop(info, family, came) {
        None if must => Err(Withheld::UnusableNextHop),
        None => Ok(None),
        Some(next_hop) => Ok((must || may_keep(info, next_hop, rule)).then_some(next_hop)),
    }
}

/// The next hop of a learned route, if the peer could use it: not of another family without RFC 8950,
/// nor on a link of ours (RFC 2545 section 3).
fn usable_next_hop(info: &PeerInfo, family: Family, came: &Came<'_>) -> Option<NextHop> {
    let received = came.next_hop?;
    match (family, received) {
        (Family::Ipv4Unicast, NextHop::V4(_)) => Some(received),
        (Family::Ipv6Unicast, NextHop::V4(_)) => None,
        (Family::Ipv4Unicast, _) if !info.extended_next_hop => None,
        (_, NextHop::V6(addr) | NextHop::V6LinkLocal { global: addr, .. }) => {
            let elsewhere = addr.is_unspecified() || addr.is_unicast_link_local();
            (!elsewhere).then_some(NextHop::V6(addr))
        }
    }
}

/// Whether the rule leaves the next hop as it is.
fn may_keep(info: &PeerInfo, next_hop: NextHop, rule: NextHopRule) -> bool {
    match rule {
        NextHopRule::Own => false,
        NextHopRule::Unchanged => true,
        NextHopRule::Standard => info.is_internal(),
        NextHopRule::ThirdParty => {
            // Terms have a subnet only if the peer is on it.
            let near = |subnet: Prefix| subnet.contains(next_hop.addr());
            info.is_internal() || info.subnet.is_some_and(near)
        }
    }
}

/// A route of our own as its advertisements dress it. Communities such as NO_EXPORT are for the
/// receiver to follow: they do not hold the route back here.
fn originated(merged: &Merged) -> PathAttributes {
    PathAttributes {
        med: merged.med,
        local_pref: merged.local_pref,
        communities: merged.communities.iter().copied().collect(),
        large_communities: merged.large_communities.iter().copied().collect(),
        extended_communities: merged.extended_communities.iter().copied().collect(),
        ..PathAttributes::default()
    }
}

/// What only one kind of peer sees.
fn towards(info: &PeerInfo, dress: &Dress, attrs: &mut PathAttributes) {
    if info.is_internal() {
        // RFC 4271 section 5.1.5: LOCAL_PREF "SHALL be included in all UPDATE messages that a given
        // BGP speaker sends to other internal peers".
        attrs.local_pref = Some(attrs.effective_local_pref());
    } else {
        towards_external(info, dress, attrs);
    }
}

/// RFC 7947 section 2.2: a route server leaves AS_PATH, MED and communities as they came. What means
/// nothing outside the AS is left out all the same.
fn as_route_server(info: &PeerInfo, attrs: &mut PathAttributes) {
    leave_as(attrs);
    mark_downward(info, attrs);
}

fn towards_external(info: &PeerInfo, dress: &Dress, attrs: &mut PathAttributes) {
    if info.rules.remove_private_as {
        attrs.as_path = without(&attrs.as_path, Asn::is_private);
    }
    // RFC 4271 section 5.1.2 b: towards an external peer "the local system prepends its own AS number".
    if let Some(own) = info.own_as_sent() {
        attrs.as_path.put_before(own, 1);
    }
    attrs.as_path.put_before(info.local_as, 1 + dress.prepend);
    // RFC 4271 section 5.1.4: a MED that came from a neighbouring AS "MUST NOT be propagated to other
    // neighboring ASes".
    attrs.med = dress.med;
    leave_as(attrs);
    // RFC 4360 section 6: extended communities that are non-transitive stay in the AS.
    let extended = &attrs.extended_communities;
    if extended.iter().any(|c| !c.is_transitive()) {
        let transitive = extended.iter().copied().filter(|c| c.is_transitive());
        attrs.extended_communities = transitive.collect();
    }
    mark_downward(info, attrs);
}

/// RFC 4271 section 5.1.5: LOCAL_PREF "MUST NOT" go to external peers. RFC 4456: ORIGINATOR_ID and
/// CLUSTER_LIST are non-transitive and mean nothing outside the AS.
fn leave_as(attrs: &mut PathAttributes) {
    attrs.local_pref = None;
    attrs.originator_id = None;
    attrs.cluster_list = Box::default();
}

fn mark_downward(info: &PeerInfo, attrs: &mut PathAttributes) {
    // RFC 9234 section 5: to a route without OTC that goes to a customer, a peer or a route server's
    // client it must be added, with the AS number of the local AS.
    let downward = [Role::Customer, Role::Peer, Role::RouteServerClient].map(Some);
    if downward.contains(&info.remote_role()) {
        attrs.otc = attrs.otc.or(Some(info.local_as));
    }
}

/// The path without the ASes that `unwanted` picks, and without segments that this leaves empty.
fn without(path: &AsPath, unwanted: fn(Asn) -> bool) -> AsPath {
    let mut path = path.clone();
    for segment in &mut path.segments {
        segment.asns.retain(|asn| !unwanted(*asn));
    }
    path.segments.retain(|segment| !segment.asns.is_empty());
    path
}
