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
    fib::{KernelError, ParkReason},
    import::Refusal,
    nexthop::{Answer, Gateway, NexthopSet, Resolve, Resolved, Unresolved},
    policy::{Action, Program, RouteSource, Rule, RuleSource, SafeDefaults},
};

use super::*;
use crate::{
    api::ServiceAddress,
    cli::render,
    compile::{self, Kernel, ServiceRoute, ServiceTable, Verdict, Withheld},
    control::{DrainStep, Held},
    index::ServiceKey,
    object::ObjectRef,
};

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

/// Values of an enum. Where one of its variants is not among them, this does not build.
macro_rules! every {
    ($kind:ident: $($variant:ident $(($field:expr))? $({$($name:ident: $value:expr),*})?),*) => {{
        let _ = |value: &$kind| match value { $($kind::$variant { .. })|* => () };
        [$($kind::$variant $(($field))? $({$($name: $value),*})?),*]
    }};
}

mod exports;
mod kernel;
mod paths;
mod services;

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
    /// What the kernel shall have, of what is in there or on its way.
    wanted: KernelRoute,
    /// Whether gateways answer the kernel.
    silent: bool,
    unreachable: Option<&'static str>,
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
        Self::sharing(1)
    }

    /// Where that many paths share the traffic.
    fn sharing(max_paths: u8) -> Self {
        let gateway = Gateway::via([10, 0, 0, 1].into(), 1);
        let mut world = Self {
            rib: Rib::new(RibConfig { max_paths }, 1),
            desired: DesiredState::idle(Kernel::default()),
            services: Services::default(),
            kernel: BTreeMap::new(),
            wanted: KernelRoute::unicast([gateway].into_iter().collect::<NexthopSet>()),
            silent: false,
            unreachable: None,
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
            let wanted = state.as_ref().map(|_| self.wanted.clone());
            (state.unwrap_or(InstallState::NotDesired), wanted)
        };
        let facts = Facts {
            rib: &self.rib,
            peers: peers.collect(),
            desired: Some(&self.desired),
            services: &self.services,
            kernel: &kernel,
            links: &BTreeMap::from([(1, "eth0".to_owned())]),
            unreachable: self.unreachable.map(str::to_owned),
            silent: &|_| self.silent,
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

fn only(family: Family) -> FamilySet {
    [family].into_iter().collect()
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

/// All situations there are.
fn all() -> Vec<Situation> {
    let all = [
        paths::refused(),
        paths::unresolved(),
        paths::lost(),
        exports::told(),
        services::withheld(),
        services::services(),
        kernel::states(),
        kernel::reasons(),
    ];
    all.into_iter().flatten().collect()
}

/// Fails if no situation says this of one of these.
fn each_is_said<T>(reasons: impl IntoIterator<Item = T>, says: impl Fn(T) -> String) {
    let all = all();
    for reason in reasons {
        let part = says(reason);
        let is_said = all.iter().any(|situation| situation.says.contains(&part));
        assert!(is_said, "no situation for {part:?}");
    }
}

/// Nothing that can be the reason for what an operator sees is left out.
#[test]
fn each_typed_reason_has_a_situation() {
    assert!(all().len() >= 40, "{}", all().len());
    let refusals = every![Refusal: AsLoop, OriginatorLoop, ClusterLoop, FirstAs, OwnNextHop, NoNextHop,
        Martian, NotAllowed, NotOwnersNextHop, Protected, DefaultRoute, Family, AsSet, RouteLeak,
        RemoteNextHop, Policy, TooManyPaths];
    assert_eq!(refusals, Refusal::ALL);
    // Of routes that are refused for these, nothing is held that could be explained.
    let unheld = [Refusal::Family, Refusal::TooManyPaths];
    let held = refusals.into_iter().filter(|why| !unheld.contains(why));
    each_is_said(held, |why| format!("refused-{why}: "));
    let steps = every![Step: Local, LongLivedStale, LocalPref, Aigp, AsPath, Origin, Med, Ebgp, IgpMetric,
        RouterId, ClusterList, PeerAddress, PathId];
    assert_eq!(steps, Step::ALL);
    each_is_said(steps, |step| format!("lost-{step} to "));
    let unresolved = every![Unresolved: Pending, NoRoute, OnlyDefaultRoute, Unreachable, LinkDown,
        NoInterface, OwnAddress, Recursive];
    assert_eq!(unresolved, Unresolved::ALL);
    each_is_said(unresolved, |why| format!("next-hop-{why}: "));
}

#[test]
fn each_typed_reason_of_an_export_has_a_situation() {
    use export::Withheld;
    let withheld = every![Withheld: PeerDown, Family, NoRoute, NotAdvertised, NoTransit, LearnedFromPeer,
        IbgpToIbgp, Originator, NoAdvertise, NoExport, AsLoop, AsSet, OnlyToCustomer, LongLivedStale,
        PeerIsNextHop, UnusableNextHop, NoNextHopSelf, TooLong, Policy];
    assert_eq!(withheld, Withheld::ALL);
    each_is_said(withheld, |why| format!("withheld [{why}]"));
}

#[test]
fn each_typed_reason_of_a_service_has_a_situation() {
    let withheld = every![Withheld: NotSelected, UnusableAddress, PodAddress, SpeakerAddress, NotAllowed,
        NodeExcluded, NetworkUnavailable, NoPeer, NoNodeAddress, NoEndpoints, NoLocalEndpoints];
    each_is_said(withheld, |why| format!("IP: withheld [{why}]: "));
    let held = every![Held: MinReady, WithdrawDelay];
    each_is_said(held, |held| format!(" [{}]: ", held.as_str()));
    let steps = every![DrainStep: Marked, Withdrawn];
    each_is_said(steps, |step| format!(" [{}]: ", step.as_str()));
}

#[test]
fn each_typed_reason_of_the_kernel_has_a_situation() {
    let unknown = KernelError::new(22);
    let parked = every![ParkReason: ForeignRoute { protocol: 4, metric: 7 }, RouteExists, NoSuchInterface,
        LinkDown, GatewayUnreachable, PermissionDenied, KernelBusy { errno: 12 }, NoReply, Kernel(unknown)];
    each_is_said(parked, |why| format!("kernel: parked [{}]: ", why.id()));
    let states =
        every![InstallState: Installed, Pending, Parked(ParkReason::LinkDown), Stale, NotDesired];
    each_is_said(states, |state| match state {
        InstallState::Parked(_) => "kernel: parked [".to_owned(),
        InstallState::NotDesired => "kernel: not-wanted [".to_owned(),
        state => format!("kernel: {state}\n"),
    });
    let not_wanted = every![NotWanted: NoUsablePath, OwnRoute, NotAskedFor, NotYet];
    each_is_said(not_wanted, |why| {
        let (id, says) = why.texts();
        format!("kernel: not-wanted [{id}]: {}", &says[..12])
    });
}
