//! From the words of the desired state to those of the engine and of the RIB. Pure.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
};

use redstart_bgp::{
    net::{AoAlgorithm, AoKey},
    session::{GracefulRestartConfig, LongLivedConfig, Negotiated, PeerConfig, PeerId, RemoteAs},
    types::{Family, FamilySet, NextHop, Prefix, Role},
    wire::Capability,
};
use redstart_rib::{
    Advertise, ExportPolicy, ImportPolicy, NextHopSelf, OriginSource, Origination, PeerInfo,
    PeerSelector, SessionKind, fib::FibConfig, imported::Imported, policy::RouteSource,
    resolver::KernelView,
};

use crate::{
    compile::{self, Import, NodeIdentity, PeerName, PeerRole},
    index::usable_unicast,
    object::ObjectRef,
};

/// What this process knows of the one before it (RFC 4724 section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Restarted {
    /// The R bit: this start follows a stop within the restart time.
    pub(super) restarting: bool,
    /// The F bits: routes of the process before are still in the kernel.
    pub(super) forwarding: FamilySet,
}

/// Where on the links of this node a session is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OnLink {
    /// The link of a link-local neighbour.
    pub(super) interface: Option<u32>,
    /// A global address of ours there.
    pub(super) global: Option<Ipv6Addr>,
    /// Our link-local address on the subnet that both ends of a session over global addresses share.
    pub(super) link_local: Option<Ipv6Addr>,
    /// The subnet that our end of the session is in.
    pub(super) subnet: Option<Prefix>,
}

/// The engine's configuration of a neighbour.
pub(super) fn session(
    peer: &compile::Peer,
    node: &NodeIdentity,
    restarted: Restarted,
) -> PeerConfig {
    let remote_as = match peer.remote_as {
        compile::RemoteAs::Number(asn) => RemoteAs::Number(asn),
        compile::RemoteAs::Internal => RemoteAs::Internal,
        compile::RemoteAs::External => RemoteAs::External,
    };
    let mut config = PeerConfig::new(peer.local_as, remote_as, node.router_id);
    config.hold_time = peer.hold_time;
    config.connect_retry = peer.connect_retry;
    config.passive = peer.passive;
    config.delay_open = peer.delay_open;
    config.send_hold = peer.send_hold;
    config.extended_next_hop = peer.extended_next_hop;
    config.families = peer.families;
    config.graceful_restart = peer
        .graceful_restart
        .map(|restart_time| GracefulRestartConfig {
            restart_time,
            restarting: restarted.restarting,
            // Our routes live in the kernel: they outlive this process.
            forwarding_preserved: restarted.forwarding.intersection(peer.families),
            notification: true,
        });
    config.long_lived = (peer.long_lived > 0).then_some(LongLivedConfig {
        stale_time: peer.long_lived,
        families: peer.families,
    });
    let families_if = |wanted| {
        if wanted {
            peer.families
        } else {
            FamilySet::EMPTY
        }
    };
    config.add_path_receive = families_if(peer.add_path.receive);
    config.add_path_send = families_if(peer.add_path.send);
    config.role = peer.bgp_role;
    config.strict_role = peer.strict_role;
    config
}

/// A key of the TCP Authentication Option, as the engine takes it.
pub(super) fn ao_key(key: &compile::AoKey) -> AoKey {
    AoKey {
        send_id: key.send_id,
        receive_id: key.receive_id,
        algorithm: match key.algorithm {
            compile::AoAlgorithm::HmacSha1 => AoAlgorithm::HmacSha1,
            compile::AoAlgorithm::AesCmac => AoAlgorithm::AesCmac,
        },
        secret: key.secret.0.as_bytes().to_vec().into(),
    }
}

/// What the RIB must know of a session that is up.
pub(super) fn peer_info(
    peer: &compile::Peer,
    node: &NodeIdentity,
    negotiated: &Negotiated,
    link: OnLink,
) -> PeerInfo {
    let extended_next_hop = negotiated
        .codec
        .extended_next_hop
        .contains(Family::Ipv4Unicast);
    let long_lived = |family: &Family| knows_long_lived(negotiated, *family);
    PeerInfo {
        name: peer.policy_name().into(),
        source: match peer.role {
            PeerRole::Mesh { .. } => RouteSource::Mesh,
            PeerRole::Router => RouteSource::Router,
        },
        kind: if negotiated.is_external() {
            SessionKind::Ebgp
        } else {
            SessionKind::Ibgp
        },
        local_as: negotiated.local_as,
        own_as: node.asn,
        remote_as: negotiated.remote_as,
        router_id: negotiated.remote_router_id,
        remote_addr: negotiated.remote_addr.ip(),
        local_router_id: negotiated.local_router_id,
        next_hop_self: next_hop_self(node, negotiated.local_addr.ip(), link, extended_next_hop),
        families: negotiated.families,
        add_path_send: negotiated.add_path_send,
        long_lived: negotiated.families.iter().filter(long_lived).collect(),
        extended_next_hop,
        role: negotiated.role,
        interface: link.interface,
        subnet: link.subnet,
        // A route server does not put its AS into the path (RFC 7947 section 2.2.2.1).
        enforce_first_as: negotiated.role != Some(Role::RouteServerClient),
        import: import(&peer.import),
        export: export(peer),
        policies: peer.policies.clone(),
        rules: peer.rules,
    }
}

/// Whether the neighbour's Long-Lived Graceful Restart capability lists the family: with a stale time
/// or not, it knows what LLGR_STALE means (RFC 9494 section 4.3).
fn knows_long_lived(negotiated: &Negotiated, family: Family) -> bool {
    let listed = negotiated
        .remote_capabilities
        .iter()
        .filter_map(|c| match c {
            Capability::LongLivedGracefulRestart(restart) => Some(&restart.families),
            _ => None,
        });
    listed
        .flatten()
        .any(|f| Family::from_afi_safi(f.afi, f.safi) == Some(family))
}

/// What to give a neighbour, beyond what is advertised to it.
pub(super) fn export(peer: &compile::Peer) -> ExportPolicy {
    ExportPolicy {
        transit: peer.transit,
    }
}

/// Our end of the session for its own family; the node's address for the other one, unless IPv4 routes
/// may have an IPv6 next hop: RFC 8950 section 5 wants the session's.
///
/// On a subnet that both ends share there are two addresses, the global one and the link-local one (RFC
/// 2545 section 3); on an unnumbered link without a global one, that is the link-local one twice.
fn next_hop_self(node: &NodeIdentity, local: IpAddr, link: OnLink, extended: bool) -> NextHopSelf {
    let mut next_hops = NextHopSelf {
        v4: node.ipv4.map(NextHop::V4),
        v6: node.ipv6.map(NextHop::V6),
    };
    match local {
        IpAddr::V4(addr) => next_hops.v4 = Some(NextHop::V4(addr)),
        IpAddr::V6(addr) => {
            let own = if addr.is_unicast_link_local() {
                NextHop::V6LinkLocal {
                    global: link.global.unwrap_or(addr),
                    link_local: addr,
                }
            } else if let Some(link_local) = link.link_local {
                NextHop::V6LinkLocal {
                    global: addr,
                    link_local,
                }
            } else {
                NextHop::V6(addr)
            };
            next_hops.v6 = Some(own);
            if extended {
                next_hops.v4 = Some(own);
            }
        }
    }
    next_hops
}

/// What to take from a neighbour.
pub(super) fn import(import: &Import) -> ImportPolicy {
    match import {
        Import::Owner(node) => ImportPolicy::Owner(node.clone()),
        Import::AllBut {
            refuse,
            default_route,
        } => ImportPolicy::AllBut {
            refuse: refuse.clone(),
            default_route: *default_route,
        },
    }
}

/// Routes of our own, with neighbours by number; those of a range by its name. A name without a
/// neighbour is left out: it is one that could not be set up.
pub(super) fn originations(
    wanted: &compile::Originations,
    ids: &Ids,
) -> BTreeMap<Prefix, Origination> {
    let origination = |o: &compile::Origination| Origination {
        source: source(&o.object),
        advertise: advertise(&o.advertise, ids),
        blackhole: o.blackhole,
    };
    wanted
        .iter()
        .map(|(prefix, o)| (*prefix, origination(o)))
        .collect()
}

/// Neighbours by the name that objects know them by: one, or the members of a range.
type Ids = BTreeMap<PeerName, Vec<PeerId>>;

fn advertise(entries: &[compile::Advertise], ids: &Ids) -> Vec<Advertise> {
    let entry = |a: &compile::Advertise| Advertise {
        source: source(&a.source),
        to: PeerSelector::Peers(
            a.peers
                .iter()
                .filter_map(|name| ids.get(name))
                .flatten()
                .copied()
                .collect(),
        ),
        communities: a.communities.clone(),
        large_communities: a.large_communities.clone(),
        extended_communities: a.extended_communities.clone(),
        local_pref: a.local_pref,
        med: a.med,
        prepend: a.prepend,
    };
    entries.iter().map(entry).collect()
}

/// Adds the addresses of this node's network interfaces as they are now, each as a host route. Only
/// addresses that lead here from elsewhere count.
pub(super) fn add_interfaces(
    originations: &mut BTreeMap<Prefix, Origination>,
    interfaces: &BTreeMap<String, Vec<compile::Advertise>>,
    view: &KernelView,
    ids: &Ids,
) {
    for (name, entries) in interfaces {
        let Some(link) = view.link_named(name) else {
            continue;
        };
        let here = view.addresses().filter(|a| a.ifindex == link.ifindex);
        for address in here.map(|a| a.addr).filter(|a| usable_unicast(*a).is_ok()) {
            let origination = originations
                .entry(Prefix::host(address))
                .or_insert_with(|| Origination {
                    source: OriginSource {
                        kind: "Interface".to_owned(),
                        name: name.clone(),
                    },
                    advertise: Vec::new(),
                    blackhole: false,
                });
            origination.advertise.extend(advertise(entries, ids));
        }
    }
}

/// Adds what kernel tables have routes to now. A default route is never passed on.
pub(super) fn add_kernel_tables(
    originations: &mut BTreeMap<Prefix, Origination>,
    tables: &BTreeMap<u32, Vec<compile::Advertise>>,
    imported: &Imported,
    ids: &Ids,
) {
    for (table, entries) in tables {
        for prefix in imported.prefixes(*table).filter(|p| p.len() > 0) {
            let origination = originations.entry(prefix).or_insert_with(|| Origination {
                source: OriginSource {
                    kind: "KernelTable".to_owned(),
                    name: table.to_string(),
                },
                advertise: Vec::new(),
                blackhole: false,
            });
            origination.advertise.extend(advertise(entries, ids));
        }
    }
}

fn source(object: &ObjectRef) -> OriginSource {
    OriginSource {
        kind: object.kind.clone(),
        name: object.name.clone(),
    }
}

/// How our kernel routes are marked. `None` where the metric is 0, which the schema refuses.
pub(super) fn fib(kernel: &compile::Kernel) -> Option<FibConfig> {
    Some(FibConfig {
        table: kernel.table,
        protocol: kernel.protocol,
        metric: NonZeroU32::new(kernel.metric)?,
        nexthops: kernel.nexthops,
        ..FibConfig::default()
    })
}

/// `mesh` or `router`, as views and metrics say it.
pub(super) fn role(role: &PeerRole) -> &'static str {
    match role {
        PeerRole::Mesh { .. } => "mesh",
        PeerRole::Router => "router",
    }
}

/// Families as text.
pub(super) fn families(set: FamilySet) -> Vec<String> {
    set.iter().map(|f: Family| f.to_string()).collect()
}

/// Whether going from `old` to `new` is a change of who the neighbour is: its session cannot be kept,
/// and neither can anything that was learned from it.
pub(super) fn is_another(old: &compile::Peer, new: &compile::Peer) -> bool {
    old.remote != new.remote || old.role != new.role
}

#[cfg(test)]
mod tests {
    use std::{
        net::{Ipv4Addr, Ipv6Addr},
        sync::Arc,
        time::Duration,
    };

    use redstart_bgp::types::{Asn, RouterId};

    use redstart_rib::{PeerPolicies, PeerRules};

    use super::*;
    use crate::compile::{AddPath, Remote, Ttl};

    const V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);

    fn node() -> NodeIdentity {
        NodeIdentity {
            name: "n1".to_owned(),
            asn: Asn(64512),
            router_id: RouterId(V4),
            ipv4: Some(V4),
            ipv6: Some(V6),
        }
    }

    fn router() -> compile::Peer {
        compile::Peer {
            source: ObjectRef {
                kind: "BGPPeer".to_owned(),
                name: "tor".to_owned(),
            },
            role: PeerRole::Router,
            remote: Remote::Address(([10, 0, 0, 254], 179).into()),
            bind_interface: None,
            local: None,
            remote_as: compile::RemoteAs::External,
            local_as: Asn(64999),
            families: [Family::Ipv4Unicast].into_iter().collect(),
            passive: false,
            hold_time: 90,
            connect_retry: Duration::from_secs(5),
            ttl: Ttl::Hops(1),
            graceful_restart: Some(120),
            password: None,
            delay_open: None,
            send_hold: None,
            extended_next_hop: false,
            tcp_ao: Vec::new(),
            import: Import::Owner("n1".to_owned()),
            long_lived: 0,
            rules: PeerRules::default(),
            transit: false,
            limit_restart: None,
            add_path: AddPath::default(),
            bgp_role: None,
            strict_role: false,
            policies: PeerPolicies::default(),
            bfd: None,
        }
    }

    #[test]
    fn the_next_hop_is_our_end_of_the_session_and_the_nodes_address_for_the_other_family() {
        let next_hops = |local: &str, extended| {
            let own = next_hop_self(&node(), local.parse().unwrap(), OnLink::default(), extended);
            (own.v4.map(NextHop::addr), own.v6.map(NextHop::addr))
        };
        let text = |v4: &str, v6: &str| (v4.parse().ok(), v6.parse().ok());
        for extended in [false, true] {
            let over_v4 = next_hops("10.9.0.1", extended);
            assert_eq!(over_v4, text("10.9.0.1", "fd00::1"));
        }
        let over_v6 = next_hops("fd09::1", false);
        assert_eq!(over_v6, text("10.0.0.1", "fd09::1"));
        let extended = next_hops("fd09::1", true);
        assert_eq!(extended, text("fd09::1", "fd09::1"), "RFC 8950");
        // A node without an IPv4 address has no other next hop for IPv4 routes (RFC 8950).
        let lone = NodeIdentity {
            ipv4: None,
            ..node()
        };
        let own = |extended| {
            next_hop_self(
                &lone,
                "fd09::1".parse().unwrap(),
                OnLink::default(),
                extended,
            )
            .v4
        };
        assert_eq!(own(false), None);
        assert_eq!(own(true).map(NextHop::addr), "fd09::1".parse().ok());
    }

    #[test]
    fn on_an_unnumbered_session_the_next_hop_is_our_link_local_address() {
        let link_local: Ipv6Addr = "fe80::1".parse().unwrap();
        let own = |global, extended| {
            let link = OnLink {
                global,
                ..OnLink::default()
            };
            next_hop_self(&node(), link_local.into(), link, extended)
        };
        let alone = NextHop::V6LinkLocal {
            global: link_local,
            link_local,
        };
        let both = NextHop::V6LinkLocal {
            global: V6,
            link_local,
        };
        let rows = [
            (None, true, Some(alone), Some(alone)),
            (Some(V6), true, Some(both), Some(both)),
            // Without RFC 8950 there is the node's address, for whoever can do something with it.
            (None, false, Some(NextHop::V4(V4)), Some(alone)),
        ];
        for (global, extended, v4, v6) in rows {
            let next_hops = own(global, extended);
            assert_eq!(
                (next_hops.v4, next_hops.v6),
                (v4, v6),
                "{global:?}, {extended}"
            );
        }
    }

    #[test]
    fn on_a_shared_subnet_the_next_hop_is_both_of_our_addresses() {
        let link_local: Ipv6Addr = "fe80::1".parse().unwrap();
        let global: Ipv6Addr = "fd09::1".parse().unwrap();
        let own = |link_local| {
            let link = OnLink {
                link_local,
                ..OnLink::default()
            };
            next_hop_self(&node(), global.into(), link, true)
        };
        let both = NextHop::V6LinkLocal { global, link_local };
        let shared = own(Some(link_local));
        assert_eq!((shared.v4, shared.v6), (Some(both), Some(both)));
        assert_eq!(own(None).v6, Some(NextHop::V6(global)));
    }

    #[test]
    fn an_open_offers_what_the_object_asks_for() {
        let plain = session(&router(), &node(), Restarted::default());
        assert_eq!((plain.long_lived, plain.role), (None, None));
        assert!(plain.add_path_receive.is_empty() && plain.add_path_send.is_empty());
        let asked = compile::Peer {
            long_lived: 86_400,
            add_path: AddPath {
                receive: true,
                send: true,
            },
            bgp_role: Some(Role::Customer),
            strict_role: true,
            delay_open: Some(Duration::from_secs(7)),
            send_hold: Some(Duration::from_secs(30)),
            extended_next_hop: true,
            ..router()
        };
        let config = session(&asked, &node(), Restarted::default());
        let long_lived = config.long_lived.unwrap();
        assert_eq!(long_lived.stale_time, 86_400);
        assert_eq!(long_lived.families, asked.families);
        assert_eq!(config.add_path_receive, asked.families);
        assert_eq!(config.add_path_send, asked.families);
        assert_eq!((config.role, config.strict_role), (asked.bgp_role, true));
        assert_eq!(config.delay_open, asked.delay_open);
        assert_eq!(config.send_hold, asked.send_hold);
        assert!(config.extended_next_hop);
    }

    #[test]
    fn an_open_promises_what_the_kernel_kept_of_the_families_of_the_session() {
        let restarted = Restarted {
            restarting: true,
            forwarding: FamilySet::ALL,
        };
        let config = session(&router(), &node(), restarted);
        let restart = config.graceful_restart.unwrap();
        assert!(restart.restarting && restart.notification);
        assert_eq!(restart.restart_time, 120);
        assert_eq!(restart.forwarding_preserved, router().families);

        let first = session(&router(), &node(), Restarted::default());
        let restart = first.graceful_restart.unwrap();
        assert!(!restart.restarting && restart.forwarding_preserved.is_empty());

        let without = compile::Peer {
            graceful_restart: None,
            ..router()
        };
        let config = session(&without, &node(), restarted);
        assert_eq!(config.graceful_restart, None);
    }

    #[test]
    fn only_address_and_role_make_another_neighbour() {
        let old = router();
        let same = compile::Peer {
            local_as: Asn(1),
            remote_as: compile::RemoteAs::Number(Asn(2)),
            hold_time: 3,
            passive: true,
            families: FamilySet::ALL,
            ..router()
        };
        assert!(!is_another(&old, &same));
        let moved = compile::Peer {
            remote: Remote::Address(([10, 0, 0, 253], 179).into()),
            ..router()
        };
        assert!(is_another(&old, &moved));
        let joined = compile::Peer {
            role: PeerRole::Mesh {
                node: "n2".to_owned(),
            },
            ..router()
        };
        assert!(is_another(&old, &joined));
    }

    #[test]
    fn an_advertisement_reaches_the_neighbours_that_there_are() {
        let name = |name: &str| PeerName(name.to_owned());
        let object = router().source;
        let advertise = compile::Advertise {
            source: object.clone(),
            peers: [name("tor"), name("gone")].into(),
            communities: [].into(),
            large_communities: [].into(),
            extended_communities: [].into(),
            local_pref: Some(200),
            med: None,
            prepend: 2,
        };
        let prefix: Prefix = "10.244.1.0/24".parse().unwrap();
        let origination = compile::Origination {
            object,
            advertise: vec![advertise],
            blackhole: true,
        };
        let ids = [
            (name("tor"), vec![PeerId(7), PeerId(9)]),
            (name("other"), vec![PeerId(8)]),
        ]
        .into();
        let made = originations(&[(prefix, Arc::new(origination))].into(), &ids);
        assert!(made[&prefix].blackhole);
        let advertise = &made[&prefix].advertise[0];
        assert_eq!(
            advertise.to,
            PeerSelector::Peers([PeerId(7), PeerId(9)].into())
        );
        assert_eq!((advertise.local_pref, advertise.prepend), (Some(200), 2));
    }

    #[test]
    fn a_metric_of_zero_marks_nothing() {
        let kernel = |metric| compile::Kernel {
            metric,
            ..compile::Kernel::default()
        };
        assert_eq!(fib(&kernel(0)), None);
        assert_eq!(fib(&kernel(7)).unwrap().metric.get(), 7);
    }
}
