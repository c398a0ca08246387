//! One situation for each outcome there is: what was decided, and what the operator reads.

use std::{collections::BTreeSet, net::Ipv4Addr, sync::Arc};

use redstart_bgp::types::{
    Aigp, AsPath, AsPathSegment, Asn, Community, Family, FamilySet, Nlri, NlriSet, Origin, PathId,
    Role, RouterId, SegmentType,
};
use redstart_rib::{
    Advertise, ExportPolicy, ImportPolicy, NextHopSelf, OriginSource, Origination, Owner, PeerDown,
    PeerInfo, PeerPolicies, PeerRules, PeerSelector, RibConfig, SessionKind,
    decision::Step,
    export,
    fib::ParkReason,
    import::Refusal,
    nexthop::{Answer, Gateway, Resolve, Resolved, Unresolved},
    policy::{Action, Program, RouteSource, Rule, RuleSource, SafeDefaults},
};

use super::*;
use crate::{
    api::ServiceAddress,
    cli::render,
    compile::{self, Kernel, ServiceRoute, ServiceTable, Withheld},
    control::{DrainStep, Held},
    index::ServiceKey,
    object::ObjectRef,
};

const TOR: u8 = 1;
const TOR2: u8 = 2;
const N2: u8 = 3;
const N3: u8 = 4;
const NET: &str = "10.20.0.0/24";

struct World {
    rib: Rib,
    desired: DesiredState,
    services: Services,
    kernel: BTreeMap<Prefix, InstallState>,
}

/// Next hops in 10.0.0.0/24 are on a link, as is IPv6; those in 10.0.1.0/24 are farther, of others there
/// is something to say.
struct Net;

impl Resolve for Net {
    fn resolve(&self, next_hop: NextHop, _: Option<u32>) -> Answer {
        let gateways = [Gateway::via(next_hop.addr(), 1)].into_iter().collect();
        let IpAddr::V4(address) = next_hop.addr() else {
            return Ok(Resolved::new(gateways, 0)).into();
        };
        let [.., third, fourth] = address.octets();
        match (third, fourth) {
            (0, _) => Ok(Resolved::new(gateways, 0)),
            (1, _) => Ok(Resolved::new(gateways, 10)),
            (_, 1) => Err(Unresolved::NoRoute),
            (_, 2) => Err(Unresolved::OnlyDefaultRoute),
            (_, 3) => Err(Unresolved::Unreachable),
            (_, 4) => Err(Unresolved::LinkDown),
            (_, 5) => Err(Unresolved::NoInterface),
            (_, 6) => Err(Unresolved::OwnAddress),
            (_, 7) => Err(Unresolved::Recursive),
            _ => Err(Unresolved::Pending),
        }
        .into()
    }
}

fn p(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn source(kind: &str, name: &str) -> OriginSource {
    OriginSource {
        kind: kind.to_owned(),
        name: name.to_owned(),
    }
}

fn object(kind: &str, name: &str) -> ObjectRef {
    ObjectRef {
        kind: kind.to_owned(),
        name: name.to_owned(),
    }
}

fn info(n: u8) -> PeerInfo {
    let internal = n >= N2;
    PeerInfo {
        name: format!("p{n}").into(),
        source: if internal {
            RouteSource::Mesh
        } else {
            RouteSource::Router
        },
        kind: if internal {
            SessionKind::Ibgp
        } else {
            SessionKind::Ebgp
        },
        local_as: Asn(64512),
        own_as: Asn(64512),
        remote_as: Asn(if internal {
            64512
        } else {
            65000 + u32::from(n)
        }),
        router_id: RouterId(Ipv4Addr::new(192, 0, 2, n)),
        remote_addr: [10, 0, 0, n].into(),
        local_router_id: RouterId(Ipv4Addr::new(192, 0, 2, 100)),
        next_hop_self: NextHopSelf {
            v4: Some(NextHop::V4([10, 0, 0, 100].into())),
            v6: None,
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
        export: ExportPolicy { transit: !internal },
        policies: PeerPolicies::default(),
        rules: PeerRules::default(),
    }
}

/// A path of one hop, by way of the neighbour itself.
fn attrs(n: u8) -> PathAttributes {
    let path: &[u32] = if n >= N2 { &[] } else { &[65000 + n as u32] };
    PathAttributes {
        as_path: AsPath::sequence(path.iter().copied().map(Asn)),
        next_hop: Some(NextHop::V4([10, 0, 0, n].into())),
        local_pref: (n >= N2).then_some(100),
        ..PathAttributes::default()
    }
}

fn rejecting() -> Arc<Program> {
    let rule = Rule {
        source: RuleSource {
            policy: "no-lab".into(),
            number: 2,
            name: None,
        },
        conditions: [].into(),
        changes: [].into(),
        action: Action::Reject,
        overrides: SafeDefaults::NONE,
    };
    Program::new(vec![rule]).into()
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            rib: Rib::new(RibConfig { max_paths: 1 }, 1),
            desired: DesiredState::idle(Kernel::default()),
            services: Services::default(),
            kernel: BTreeMap::new(),
        };
        for n in [TOR, TOR2, N2, N3] {
            world.peer(n, |_| {});
        }
        world
    }

    /// A session with a neighbour, with something special about it.
    fn peer(&mut self, n: u8, change: impl FnOnce(&mut PeerInfo)) -> &mut Self {
        let id = PeerId(n.into());
        self.rib.peer_down(id, PeerDown::Flush);
        let mut info = info(n);
        change(&mut info);
        self.rib.peer_up(id, info).unwrap();
        self
    }

    fn learn_at(
        &mut self,
        prefix: &str,
        n: u8,
        change: impl FnOnce(&mut PathAttributes),
    ) -> &mut Self {
        let mut attrs = attrs(n);
        change(&mut attrs);
        let nlri = match p(prefix) {
            Prefix::V4(prefix) => NlriSet::V4([Nlri::plain(prefix)].into_iter().collect()),
            Prefix::V6(prefix) => NlriSet::V6([Nlri::plain(prefix)].into_iter().collect()),
        };
        self.rib.announce(PeerId(n.into()), &Arc::new(attrs), &nlri);
        self.rib.resolve_pending(&Net);
        self
    }

    fn learn(&mut self, n: u8, change: impl FnOnce(&mut PathAttributes)) -> &mut Self {
        self.learn_at(NET, n, change)
    }

    /// A route of our own, advertised to these.
    fn own(&mut self, to: &[u8]) -> &mut Self {
        let peers: BTreeSet<_> = to.iter().map(|n| PeerId((*n).into())).collect();
        let advertise = Advertise {
            source: source("BGPAdvertisement", "public"),
            to: PeerSelector::Peers(peers),
            communities: BTreeSet::new(),
            large_communities: BTreeSet::new(),
            extended_communities: BTreeSet::new(),
            local_pref: None,
            med: None,
            prepend: 0,
        };
        let origination = Origination {
            source: source("Service", "apps/web"),
            advertise: vec![advertise.into()],
            blackhole: false,
        };
        self.rib.set_originations([(p(NET), origination)].into());
        let advertise = compile::Advertise {
            source: object("BGPAdvertisement", "public"),
            peers: BTreeSet::new(),
            communities: BTreeSet::new(),
            large_communities: BTreeSet::new(),
            extended_communities: BTreeSet::new(),
            local_pref: None,
            med: None,
            prepend: 0,
        };
        let origination = compile::Origination {
            object: object("Service", "apps/web"),
            advertise: vec![Arc::new(advertise)],
            blackhole: false,
        };
        self.desired
            .originations
            .insert(p(NET), Arc::new(origination));
        self
    }

    /// What is there to send is sent.
    fn pull(&mut self) -> &mut Self {
        for n in [TOR, TOR2, N2, N3] {
            while self.rib.has_updates(PeerId(n.into())) {
                self.rib.pull(PeerId(n.into()), 10);
            }
        }
        self
    }

    fn service(&mut self, verdict: Verdict) -> &mut Self {
        let key = ServiceKey {
            namespace: "apps".into(),
            name: "web".into(),
        };
        let route = ServiceRoute {
            address: [10, 20, 0, 5].into(),
            kind: ServiceAddress::LoadBalancerIP,
            verdict,
        };
        let sources = [(object("BGPAdvertisement", "public"), Vec::new())];
        self.services.table = Arc::new(ServiceTable {
            sources: sources.into(),
            services: std::iter::once((key, [route].into())).collect(),
        });
        self
    }

    fn in_kernel(&mut self, state: InstallState) -> &mut Self {
        self.kernel.insert(p(NET), state);
        self
    }

    fn text(&self, asked: &str, to: u8) -> String {
        let names = ["tor", "tor2", "mesh-n2", "mesh-n3"];
        let peers = (1..).zip(names).map(|(n, name)| {
            let object = match name.strip_prefix("mesh-") {
                Some(node) => format!("Node/{node}"),
                None => format!("BGPPeer/{name}"),
            };
            (PeerId(n), name.to_owned(), object)
        });
        let kernel = |prefix| {
            let state = self.kernel.get(&prefix).cloned();
            (state.unwrap_or(InstallState::NotDesired), None)
        };
        let facts = Facts {
            rib: &self.rib,
            peers: peers.collect(),
            desired: Some(&self.desired),
            services: &self.services,
            kernel: &kernel,
            links: &BTreeMap::from([(1, "eth0".to_owned())]),
            silent: &|_| false,
        };
        let to = names[usize::from(to) - 1];
        let asked = asked.parse().unwrap();
        render::explanation(&explain(&facts, asked, |name| name == to))
    }
}

/// What happened, what is asked about whom, and what the answer must have in it.
struct Situation {
    asked: &'static str,
    to: u8,
    says: &'static str,
    before: fn(&mut World),
}

macro_rules! situations {
    ($($asked:expr, $to:expr, $says:expr, |$world:ident| $before:expr;)*) => {
        vec![$(Situation {
            asked: $asked,
            to: $to,
            says: $says,
            before: |$world: &mut World| { $before; },
        }),*]
    };
}

fn check(situations: &[Situation]) {
    for situation in situations {
        let mut world = World::new();
        (situation.before)(&mut world);
        let text = world.text(situation.asked, situation.to);
        let part = situation.says;
        assert!(text.contains(part), "{part:?} is not said in:\n{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= 160, "too long: {line}");
        }
    }
}

/// Nothing that can be the reason for what an operator sees is left out above.
#[test]
fn each_typed_reason_has_a_situation() {
    let all = [
        refused(),
        unresolved(),
        lost(),
        told(),
        services(),
        kernel(),
    ];
    let says: Vec<_> = all.iter().flatten().map(|s| s.says).collect();
    assert!(says.len() >= 40, "{}", says.len());
    // Of routes that are refused for these, nothing is held that could be explained.
    let unheld = [Refusal::Family, Refusal::TooManyPaths];
    let refusals = Refusal::ALL.into_iter().filter(|r| !unheld.contains(r));
    let ids = refusals
        .map(|reason| format!("refused-{reason}: "))
        .chain(Step::ALL.into_iter().map(|step| format!("lost-{step} to ")))
        .chain(
            Unresolved::ALL
                .into_iter()
                .map(|why| format!("next-hop-{why}: ")),
        )
        .chain(
            export::Withheld::ALL
                .into_iter()
                .map(|why| format!("withheld [{why}]")),
        );
    for id in ids {
        assert!(
            says.iter().any(|says| says.contains(&id)),
            "no situation for {id:?}"
        );
    }
}

fn unresolved_by(world: &mut World, n: u8) {
    world.learn(TOR, |a| {
        a.next_hop = Some(NextHop::V4([10, 0, 9, n].into()));
    });
}

fn refused() -> Vec<Situation> {
    situations! {
        NET, TOR2, "refused-as-loop: our own AS",
            |w| w.learn(TOR, |a| a.as_path = AsPath::sequence([65001, 64512].map(Asn)));
        NET, TOR2, "refused-originator-loop: ",
            |w| w.learn(N2, |a| a.originator_id = Some(RouterId([192, 0, 2, 100].into())));
        NET, TOR2, "refused-cluster-loop: ",
            |w| w.learn(N2, |a| a.cluster_list = [u32::from_be_bytes([192, 0, 2, 100])].into());
        NET, TOR2, "refused-first-as-mismatch: ",
            |w| w.learn(TOR, |a| a.as_path = AsPath::sequence([Asn(65009)]));
        NET, TOR2, "refused-own-next-hop: ",
            |w| w.learn(TOR, |a| a.next_hop = Some(NextHop::V4([10, 0, 0, 100].into())));
        NET, TOR2, "refused-no-next-hop: ", |w| w.learn(TOR, |a| a.next_hop = None);
        "127.0.0.1", TOR2, "refused-martian-prefix: ", |w| w.learn_at("127.0.0.0/8", TOR, |_| {});
        NET, TOR2, "refused-not-allowed: the prefix does not belong to the node",
            |w| w.peer(N2, |i| i.import = ImportPolicy::Owner("n2".into())).learn(N2, |_| {});
        NET, TOR2, "refused-not-owners-next-hop: ", |w| owned_and_led_elsewhere(w);
        NET, TOR2, "refused-protected-prefix: ",
            |w| w.peer(TOR, |i| i.import = all_but(&["10.20.0.0/16"])).learn(TOR, |_| {});
        "0.0.0.0/0", TOR2, "refused-default-route: ",
            |w| w.peer(TOR, |i| i.import = all_but(&[])).learn_at("0.0.0.0/0", TOR, |_| {});
        "2001:db8::1", TOR2, "No route covers it",
            |w| w.peer(TOR, |i| i.families = only(Family::Ipv4Unicast)).learn_at("2001:db8::/32", TOR, |_| {});
        NET, TOR2, "refused-as-set: ", |w| w.learn(TOR, with_set);
        NET, TOR2, "refused-route-leak: ",
            |w| w.peer(TOR, |i| i.role = Some(Role::Provider)).learn(TOR, |a| a.otc = Some(Asn(7)));
        NET, TOR2, "refused-remote-next-hop: ",
            |w| w.peer(TOR, |i| i.subnet = Some(p("10.0.0.0/24")))
                .learn(TOR, |a| a.next_hop = Some(NextHop::V4([10, 0, 1, 1].into())));
        NET, TOR2, "refused-policy: a rule of an import policy rejects it (no-lab rule 2)",
            |w| w.peer(TOR, |i| i.policies.import = rejecting()).learn(TOR, |_| {});
    }
}

#[test]
fn what_was_refused_says_why() {
    check(&refused());
}

fn only(family: Family) -> FamilySet {
    [family].into_iter().collect()
}

fn all_but(refuse: &[&str]) -> ImportPolicy {
    ImportPolicy::AllBut {
        refuse: Arc::new(refuse.iter().map(|prefix| p(prefix)).collect()),
        default_route: false,
    }
}

fn with_set(attrs: &mut PathAttributes) {
    let asns = [Asn(65003), Asn(65004)].into_iter().collect();
    let kind = SegmentType::Set;
    attrs.as_path.segments.push(AsPathSegment { kind, asns });
}

fn owners() -> BTreeMap<Prefix, Owner> {
    let owner = Owner {
        node: "n2".into(),
        router_ids: [RouterId([192, 0, 2, N2].into())].into(),
        addresses: vec![[10, 0, 0, N2].into()],
    };
    [(p(NET), owner)].into()
}

fn owned_and_led_elsewhere(world: &mut World) {
    world.desired.owners = owners().into();
    world.rib.set_owners(owners());
    world.peer(N2, |i| i.import = ImportPolicy::Owner("n2".into()));
    world.learn(N2, |a| {
        a.next_hop = Some(NextHop::V4([10, 0, 0, N3].into()));
    });
}

fn unresolved() -> Vec<Situation> {
    situations! {
        NET, TOR2, "next-hop-no-route: the kernel has no route", |w| unresolved_by(w, 1);
        NET, TOR2, "next-hop-only-default-route: ", |w| unresolved_by(w, 2);
        NET, TOR2, "next-hop-unreachable: ", |w| unresolved_by(w, 3);
        NET, TOR2, "next-hop-link-down: ", |w| unresolved_by(w, 4);
        NET, TOR2, "next-hop-no-interface: ", |w| unresolved_by(w, 5);
        NET, TOR2, "next-hop-own-address: ", |w| unresolved_by(w, 6);
        NET, TOR2, "next-hop-recursive: ", |w| unresolved_by(w, 7);
        NET, TOR2, "next-hop-pending: ", |w| unresolved_by(w, 8);
        NET, TOR2, "not-wanted [no-usable-path]", |w| unresolved_by(w, 1);
        NET, TOR2, "withheld [no-route]", |w| unresolved_by(w, 1);
    }
}

#[test]
fn a_next_hop_that_cannot_be_used_says_why() {
    check(&unresolved());
}

fn lost() -> Vec<Situation> {
    situations! {
        NET, TOR2, "from tor (BGPPeer/tor, ebgp): lost-local to local: ",
            |w| w.learn(TOR, |_| {}).own(&[TOR]);
        NET, TOR2, "from mesh-n2 (Node/n2, ibgp): lost-local-pref to mesh-n3: ",
            |w| w.learn(N2, |_| {}).learn(N3, |a| a.local_pref = Some(200));
        NET, TOR2, "lost-aigp to mesh-n2: ",
            |w| w.learn(N2, |a| a.aigp = Some(Aigp::of(5))).learn(N3, |_| {});
        NET, TOR2, "lost-as-path to tor2: ",
            |w| w.learn(TOR, |a| a.as_path = AsPath::sequence([65001, 7].map(Asn)))
                .learn(TOR2, |_| {});
        NET, TOR2, "lost-origin to tor2: ",
            |w| w.learn(TOR, |a| a.origin = Origin::Incomplete).learn(TOR2, |_| {});
        NET, TOR2, "lost-med to mesh-n3: ", |w| w.learn(N2, |a| a.med = Some(5)).learn(N3, |_| {});
        NET, TOR2, "lost-ebgp to tor: ",
            |w| w.learn(N2, |a| a.as_path = AsPath::sequence([Asn(7)])).learn(TOR, |_| {});
        NET, TOR2, "lost-igp-metric to mesh-n3: ",
            |w| w.learn(N2, |a| a.next_hop = Some(NextHop::V4([10, 0, 1, 1].into())))
                .learn(N3, |_| {});
        NET, TOR2, "from mesh-n3 (Node/n3, ibgp): lost-router-id to mesh-n2: ",
            |w| w.learn(N2, |_| {}).learn(N3, |_| {});
        NET, TOR2, "lost-cluster-list to mesh-n3: ",
            |w| w.peer(N3, |i| i.router_id = info(N2).router_id).learn(N2, |a| a.cluster_list = [1].into())
                .learn(N3, |_| {});
        NET, TOR2, "lost-peer-address to mesh-n2: ",
            |w| w.peer(N3, |i| i.router_id = info(N2).router_id).learn(N2, |_| {})
                .learn(N3, |_| {});
        NET, TOR2, "lost-long-lived-stale to mesh-n3: ",
            |w| w.learn(N2, |a| a.communities = [Community::LLGR_STALE].into()).learn(N3, |_| {});
        NET, TOR2, "lost-path-id to tor: ", |w| { w.learn(TOR, |_| {}); two_paths(w); };
        NET, TOR2, "from tor (BGPPeer/tor, ebgp): best\n", |w| w.learn(TOR, |_| {});
    }
}

#[test]
fn the_step_that_a_path_lost_in_is_named_and_to_whom() {
    check(&lost());
}

const fn ipv4(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, n)
}

fn cannot_be_sent(world: &mut World, n: u8) {
    let Prefix::V4(prefix) = p(NET) else { return };
    let routes = NlriSet::V4([Nlri::plain(prefix)].into_iter().collect());
    let why = export::Withheld::TooLong;
    world.rib.unsendable(PeerId(n.into()), &routes, why);
}

fn two_paths(world: &mut World) {
    let Prefix::V4(prefix) = p(NET) else { return };
    let nlri = Nlri {
        prefix,
        path_id: PathId(7),
    };
    let nlri = NlriSet::V4([nlri].into_iter().collect());
    world
        .rib
        .announce(PeerId(TOR.into()), &Arc::new(attrs(TOR)), &nlri);
    world.rib.resolve_pending(&Net);
}

fn told() -> Vec<Situation> {
    situations! {
        NET, TOR2, "tor2: told\n", |w| w.learn(TOR, |_| {}).pull();
        NET, TOR2, "tor2: waiting", |w| w.learn(TOR, |_| {});
        NET, TOR, "tor: told, because of BGPAdvertisement/public\n", |w| w.own(&[TOR]).pull();
        NET, TOR, "as_path 64512", |w| w.own(&[TOR]).pull();
        NET, TOR2, "withheld [peer-down]",
            |w| w.learn(TOR, |_| {}).rib.peer_down(PeerId(TOR2.into()), PeerDown::Flush);
        NET, TOR2, "withheld [family-not-negotiated]",
            |w| w.learn(TOR, |_| {}).peer(TOR2, |i| i.families = only(Family::Ipv6Unicast));
        NET, TOR2, "withheld [not-advertised]", |w| w.own(&[TOR]);
        NET, TOR2, "withheld [no-transit]",
            |w| w.peer(TOR2, |i| i.export.transit = false).learn(TOR, |_| {});
        NET, TOR, "withheld [learned-from-peer]", |w| w.learn(TOR, |_| {});
        NET, N3, "withheld [ibgp-to-ibgp]",
            |w| w.peer(N3, |i| i.export.transit = true).learn(N2, |_| {});
        NET, N3, "withheld [peer-is-originator]",
            |w| w.peer(N3, |i| i.rules.client = true)
                .learn(N2, |a| a.originator_id = Some(info(N3).router_id));
        NET, TOR2, "withheld [no-advertise]",
            |w| w.learn(TOR, |a| a.communities = [Community::NO_ADVERTISE].into());
        NET, TOR2, "withheld [no-export]",
            |w| w.learn(TOR, |a| a.communities = [Community::NO_EXPORT].into());
        NET, N3, "withheld [peer-is-next-hop]",
            |w| w.peer(N3, |i| i.rules.client = true)
                .learn(N2, |a| a.next_hop = Some(NextHop::V4(ipv4(N3))));
        NET, N3, "withheld [unusable-next-hop]",
            |w| w.peer(N3, |i| i.rules.client = true)
                .learn(N2, |a| a.next_hop = Some(NextHop::V6("2001:db8::9".parse().unwrap())));
        NET, TOR2, "withheld [attributes-too-long]",
            |w| { w.learn(TOR, |_| {}).pull(); cannot_be_sent(w, TOR2); };
        NET, TOR2, "withheld [as-loop]",
            |w| w.learn(TOR, |a| a.as_path = AsPath::sequence([65001, 65002].map(Asn)));
        NET, TOR2, "withheld [as-set]",
            |w| w.peer(TOR, |i| i.rules.as_sets = true).learn(TOR, with_set);
        NET, TOR2, "withheld [only-to-customer]",
            |w| w.peer(TOR2, |i| i.role = Some(Role::Customer))
                .learn(TOR, |a| a.otc = Some(Asn(65001)));
        NET, TOR2, "withheld [long-lived-stale]",
            |w| w.learn(TOR, |a| a.communities = [Community::LLGR_STALE].into());
        NET, TOR2, "withheld [no-next-hop-self]",
            |w| w.peer(TOR2, |i| i.next_hop_self.v4 = None).own(&[TOR2]);
        NET, TOR2, "withheld [policy]: a rule of an export policy rejects it (no-lab rule 2)",
            |w| w.peer(TOR2, |i| i.policies.export = rejecting()).learn(TOR, |_| {});
    }
}

#[test]
fn what_a_neighbour_is_told_and_why_not() {
    check(&told());
}

fn advertised() -> Verdict {
    Verdict::Advertised {
        host: vec![0],
        aggregates: Vec::new(),
    }
}

const ADDRESS: &str = "10.20.0.5";

fn services() -> Vec<Situation> {
    situations! {
        ADDRESS, TOR, "Service apps/web, LoadBalancerIP: advertised, because of BGPAdvertisement/public",
            |w| w.service(advertised());
        ADDRESS, TOR, "LoadBalancerIP: aggregated",
            |w| w.service(Verdict::Advertised { host: vec![], aggregates: vec![(0, p(NET))] });
        ADDRESS, TOR, "waiting [min-ready]: ",
            |w| w.service(advertised()).services.held.insert(p("10.20.0.5/32"), Held::MinReady);
        ADDRESS, TOR, "advertised [withdraw-delay]: ",
            |w| w.service(advertised()).services.held.insert(p("10.20.0.5/32"), Held::WithdrawDelay);
        ADDRESS, TOR, "advertised [draining]: ",
            |w| w.service(advertised()).services.drain = Some(DrainStep::Marked);
        ADDRESS, TOR, "withheld [drained]: ",
            |w| w.service(advertised()).services.drain = Some(DrainStep::Withdrawn);
        ADDRESS, TOR, "from local (Service/apps/web): best, advertised by BGPAdvertisement/public",
            |w| w.own(&[TOR]);
        ADDRESS, TOR, "Node n2 has 10.20.0.0/24", |w| w.desired.owners = owners().into();
        ADDRESS, TOR, "Not used: 10.20.0.0/24",
            |w| w.learn_at("10.0.0.0/8", TOR, |_| {}).learn(TOR, |a| a.next_hop = None);
    }
}

#[test]
fn what_the_objects_say_of_a_service_comes_first() {
    let withheld: [(Withheld, &str); 11] = [
        (Withheld::NotSelected, "not-selected"),
        (Withheld::UnusableAddress, "unusable-address"),
        (Withheld::PodAddress, "pod-address"),
        (Withheld::SpeakerAddress, "speaker-address"),
        (Withheld::NotAllowed, "not-allowed"),
        (Withheld::NodeExcluded, "node-excluded"),
        (Withheld::NetworkUnavailable, "network-unavailable"),
        (Withheld::NoPeer, "no-peer"),
        (Withheld::NoNodeAddress, "no-node-address"),
        (Withheld::NoEndpoints, "no-endpoints"),
        (Withheld::NoLocalEndpoints, "no-local-endpoints"),
    ];
    for (why, id) in withheld {
        let mut world = World::new();
        let text = world.service(Verdict::Withheld(why)).text(ADDRESS, TOR);
        let line = format!(
            "Service apps/web, LoadBalancerIP: withheld [{id}]: {}",
            meaning::service(why)
        );
        assert!(text.contains(&line), "{line:?} is not said in:\n{text}");
        assert!(text.contains("No route covers it"), "{text}");
    }
    check(&services());
}

fn kernel() -> Vec<Situation> {
    situations! {
        NET, TOR2, "kernel: installed", |w| w.learn(TOR, |_| {}).in_kernel(InstallState::Installed);
        NET, TOR2, "kernel: pending", |w| w.learn(TOR, |_| {}).in_kernel(InstallState::Pending);
        NET, TOR2, "kernel: stale", |w| w.learn(TOR, |_| {}).in_kernel(InstallState::Stale);
        NET, TOR2, "kernel: parked [link-down]: ",
            |w| w.learn(TOR, |_| {}).in_kernel(InstallState::Parked(ParkReason::LinkDown));
        NET, TOR2, "kernel: parked [permission-denied]: ",
            |w| w.learn(TOR, |_| {}).in_kernel(InstallState::Parked(ParkReason::PermissionDenied));
        NET, TOR2, "kernel: not-wanted [not-yet]", |w| w.learn(TOR, |_| {});
        NET, TOR2, "kernel: not-wanted [not-asked-for]",
            |w| w.learn(TOR, |_| {}).desired.kernel.install = false;
        NET, TOR2, "kernel: not-wanted [own-route]", |w| w.own(&[]);
    }
}

#[test]
fn what_the_kernel_has_is_the_last_step() {
    check(&kernel());
}
