//! Scenarios, one rule each, and the model test.

mod aigp;
mod bent;
mod chains;
mod checks;
mod exports;
mod groups;
mod history;
mod lifecycle;
mod model;
mod naive;
mod onlooker;
mod our_end;
mod owners;
mod passed_on;
mod policies;
mod recursive;
mod reflection;
mod review;
mod rules;
mod selection;
mod several;
mod stale;
mod together;
mod walk;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use redstart_bgp::types::{AsPath, Asn, NextHop, Nlri, NlriSet, PathId, RouterId};
use smallvec::SmallVec;

use super::*;
use crate::{
    fib::Route,
    nexthop::{Answer, Gateway, Resolve, Resolved, Unresolved},
    origination::{Advertise, OriginSource, Origination, PeerSelector},
    peers::{NextHopSelf, SessionKind},
    policy::{Action, Change, Condition, NextHopRule, RouteSource, Rule, RuleSource, SafeDefaults},
};

const LOCAL_AS: Asn = Asn(64512);

fn p(s: &str) -> Prefix {
    s.parse().unwrap()
}

fn ip(s: &str) -> IpAddr {
    s.parse().unwrap()
}

/// One route as a list.
fn nlri(prefix: &str) -> NlriSet {
    list(&[p(prefix)])
}

/// Routes of one family as a list.
fn list(prefixes: &[Prefix]) -> NlriSet {
    let mut set = NlriSet::empty(prefixes[0].family());
    for prefix in prefixes {
        match (&mut set, *prefix) {
            (NlriSet::V4(list), Prefix::V4(p)) => list.push(Nlri::plain(p)),
            (NlriSet::V6(list), Prefix::V6(p)) => list.push(Nlri::plain(p)),
            _ => panic!("mixed families"),
        }
    }
    set
}

/// A session with router `n` of AS 65001, whatever `n`.
fn same_as(n: u8) -> PeerInfo {
    PeerInfo {
        remote_as: Asn(65001),
        ..info(SessionKind::Ebgp, n)
    }
}

/// A session with peer `n`, at 10.0.0.n, in AS 65000+n or ours.
fn info(kind: SessionKind, n: u8) -> PeerInfo {
    PeerInfo {
        name: format!("p{n}").into(),
        source: RouteSource::Router,
        kind,
        local_as: LOCAL_AS,
        own_as: LOCAL_AS,
        remote_as: match kind {
            SessionKind::Ebgp => Asn(65000 + u32::from(n)),
            SessionKind::Ibgp => LOCAL_AS,
        },
        router_id: RouterId(Ipv4Addr::new(192, 0, 2, n)),
        remote_addr: [10, 0, 0, n].into(),
        local_router_id: RouterId(Ipv4Addr::new(192, 0, 2, 100)),
        next_hop_self: NextHopSelf {
            v4: Some(NextHop::V4([10, 0, 0, 100].into())),
            v6: Some(NextHop::V6("2001:db8::100".parse().unwrap())),
        },
        families: FamilySet::ALL,
        add_path_send: FamilySet::EMPTY,
        long_lived: FamilySet::EMPTY,
        extended_next_hop: false,
        role: None,
        subnet: None,
        interface: None,
        enforce_first_as: true,
        import: ImportPolicy::accept_all(),
        export: ExportPolicy::default(),
        policies: PeerPolicies::default(),
        rules: PeerRules::default(),
    }
}

fn transit(kind: SessionKind, n: u8) -> PeerInfo {
    PeerInfo {
        export: ExportPolicy { transit: true },
        ..info(kind, n)
    }
}

/// A rule of a policy `test`.
fn rule<const C: usize, const D: usize>(
    conditions: [Condition; C],
    changes: [Change; D],
    action: Action,
) -> Rule {
    Rule {
        source: RuleSource {
            policy: "test".into(),
            number: 1,
            name: None,
        },
        conditions: conditions.into(),
        changes: changes.into(),
        action,
        overrides: SafeDefaults::NONE,
    }
}

/// Attributes as peer `n` would send them, over `path` and with itself as next hop.
fn attrs(path: &[u32], n: u8) -> PathAttributes {
    PathAttributes {
        as_path: AsPath::sequence(path.iter().copied().map(Asn)),
        next_hop: Some(NextHop::V4([10, 0, 0, n].into())),
        ..PathAttributes::default()
    }
}

/// Every next hop is on link 1.
struct Anywhere;

impl Resolve for Anywhere {
    fn resolve(&self, next_hop: NextHop, _: Option<u32>) -> Answer {
        Ok(Resolved::new(
            SmallVec::from_iter([Gateway::via(next_hop.addr(), 1)]),
            0,
        ))
        .into()
    }
}

/// Links with this metric or a greater one are those of the default route.
const BY_DEFAULT: u32 = 1_000_000;

/// Those below, but not below this, are those of a static route with a prefix of 24 bits.
const BY_STATIC: u32 = 500_000;

/// Resolves what it lists, by the link 1 with the metric given.
#[derive(Clone, Debug, Default)]
struct Links(BTreeMap<IpAddr, u32>);

impl Resolve for Links {
    fn resolve(&self, next_hop: NextHop, _: Option<u32>) -> Answer {
        let addr = next_hop.addr();
        let gateways = SmallVec::from_iter([Gateway::via(addr, 1)]);
        let (state, yields_to) = match self.0.get(&addr) {
            Some(metric) if *metric < BY_STATIC => (Ok(*metric), None),
            Some(metric) if *metric < BY_DEFAULT => (Ok(*metric), Some(25)),
            Some(metric) => (Ok(*metric), Some(1)),
            None => (Err(Unresolved::NoRoute), Some(0)),
        };
        Answer {
            state: state.map(|metric| Resolved::new(gateways, metric)),
            yields_to,
        }
    }
}

/// Every peer 10.0.0.1 to 10.0.0.9 on a connected link.
fn connected() -> Links {
    Links((1..10).map(|n| (IpAddr::from([10, 0, 0, n]), 0)).collect())
}

fn source(name: &str) -> OriginSource {
    OriginSource {
        kind: "Node".to_owned(),
        name: name.to_owned(),
    }
}

fn advertise(to: PeerSelector) -> Advertise {
    Advertise {
        source: source("default"),
        to,
        communities: BTreeSet::new(),
        large_communities: BTreeSet::new(),
        extended_communities: BTreeSet::new(),
        local_pref: None,
        med: None,
        prepend: 0,
    }
}

fn origination(advertise: Vec<Advertise>) -> Origination {
    Origination {
        source: source("n1"),
        advertise: advertise.into_iter().map(Arc::new).collect(),
        blackhole: false,
    }
}

/// A RIB with these sessions.
fn rib(peers: &[(u32, PeerInfo)]) -> Rib {
    let mut rib = Rib::new(RibConfig::default(), 7);
    for (id, info) in peers {
        rib.peer_up(PeerId(*id), info.clone()).unwrap();
    }
    rib
}

impl Rib {
    /// Announces one route and resolves its next hop.
    #[expect(clippy::needless_pass_by_value, reason = "each is made for it")]
    fn learn(&mut self, peer: u32, prefix: &str, attrs: PathAttributes) -> AnnounceOutcome {
        let outcome = self.announce(PeerId(peer), &attrs, &nlri(prefix));
        self.resolve_pending(&connected());
        outcome
    }

    fn originate(&mut self, prefix: &str, origination: Origination) {
        self.set_originations([(p(prefix), origination)].into());
    }

    /// What a peer is told now: announced prefixes with their attributes, and withdrawn ones.
    fn drain(&mut self, peer: u32) -> (BTreeMap<Prefix, Arc<PathAttributes>>, BTreeSet<Prefix>) {
        let (mut told, mut gone) = (BTreeMap::new(), BTreeSet::new());
        while self.has_updates(PeerId(peer)) {
            let batch = self.pull(PeerId(peer), 2);
            gone.extend(
                batch
                    .withdraw
                    .iter()
                    .flat_map(NlriSet::iter)
                    .map(|n| n.prefix),
            );
            for (attrs, list) in &batch.reach {
                told.extend(list.iter().map(|n| (n.prefix, Arc::clone(attrs))));
            }
        }
        (told, gone)
    }

    fn best_peer(&self, prefix: &str) -> Option<u32> {
        match self.lookup(p(prefix))?.best()?.source {
            PathSource::Peer(peer) => Some(peer.0),
            PathSource::Local(_) => None,
        }
    }

    fn fib(&mut self) -> BTreeMap<Prefix, Option<Route>> {
        self.take_fib_changes(usize::MAX).into_iter().collect()
    }
}
