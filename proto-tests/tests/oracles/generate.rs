//! Whatever we may have to send.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::{collection::vec, option, prelude::*, sample::select};
use redstart_bgp::{
    types::{
        Aggregator, Aigp, AsPath, AsPathSegment, Asn, Community, ExtendedCommunity, Family,
        Ipv4Prefix, Ipv6Prefix, LargeCommunity, NextHop, Nlri, NlriSet, Origin, PathAttributes,
        PathId, RouterId, SegmentType, UnknownAttribute,
    },
    wire::{
        AddPathMode, Capability, ErrorCode, GracefulRestart, GracefulRestartFamily,
        LongLivedFamily, LongLivedGracefulRestart, Message, Notification, Open, RefreshKind,
        RouteRefresh,
    },
};

use super::Context;

fn asn() -> impl Strategy<Value = Asn> {
    prop_oneof![1..=65535_u32, 65536..u32::MAX].prop_map(Asn)
}

fn as_path() -> impl Strategy<Value = AsPath> {
    let kind = prop_oneof![4 => Just(SegmentType::Sequence), 1 => Just(SegmentType::Set)];
    let segment = (kind, vec(asn(), 1..6)).prop_map(|(kind, asns)| AsPathSegment {
        kind,
        asns: asns.into_iter().collect(),
    });
    vec(segment, 0..4).prop_map(|segments| AsPath {
        segments: segments.into_iter().collect(),
    })
}

fn context() -> impl Strategy<Value = Context> {
    (any::<bool>(), any::<bool>(), any::<bool>())
        .prop_map(|(wide, ebgp, add_path)| Context::established(wide, ebgp, add_path))
}

fn v4_host() -> impl Strategy<Value = Ipv4Addr> {
    (1..=223_u8, any::<u8>(), any::<u8>(), 1..=254_u8)
        .prop_filter("loopback", |(a, ..)| *a != 127)
        .prop_map(|(a, b, c, d)| Ipv4Addr::new(a, b, c, d))
}

fn v6_host() -> impl Strategy<Value = Ipv6Addr> {
    any::<u64>().prop_map(|low| {
        let [a, b, c, d] =
            [48, 32, 16, 0].map(|shift| u16::try_from(low >> shift & 0xffff).unwrap());
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, a, b, c, d.max(1))
    })
}

fn v6_next_hop() -> impl Strategy<Value = NextHop> {
    let pair = (v6_host(), any::<u16>()).prop_map(|(global, low)| NextHop::V6LinkLocal {
        global,
        link_local: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, low),
    });
    prop_oneof![v6_host().prop_map(NextHop::V6), pair]
}

fn id(add_path: bool, id: u32) -> PathId {
    PathId(if add_path { id } else { 0 })
}

fn v4_list(add_path: bool) -> impl Strategy<Value = NlriSet> {
    let one = (v4_host(), 8..=32_u8, any::<u32>()).prop_map(move |(addr, len, path)| Nlri {
        prefix: Ipv4Prefix::new(addr, len).unwrap(),
        path_id: id(add_path, path),
    });
    vec(one, 1..6).prop_map(NlriSet::V4)
}

fn v6_list(add_path: bool) -> impl Strategy<Value = NlriSet> {
    let one = (v6_host(), 16..=128_u8, any::<u32>()).prop_map(move |(addr, len, path)| Nlri {
        prefix: Ipv6Prefix::new(addr, len).unwrap(),
        path_id: id(add_path, path),
    });
    vec(one, 1..6).prop_map(NlriSet::V6)
}

/// Sorted, each once, as the codec keeps them.
fn set<T: Ord>(mut list: Vec<T>) -> Box<[T]> {
    list.sort();
    list.dedup();
    list.into()
}

fn communities() -> impl Strategy<Value = PathAttributes> {
    let large = any::<[u32; 3]>().prop_map(|[global, local1, local2]| LargeCommunity {
        global,
        local1,
        local2,
    });
    // Type, subtype, value. Of the non-transitive types one oracle keeps no octets.
    let extended = (select(vec![0x00, 0x01, 0x02, 0x03, 0x80]), any::<[u8; 7]>())
        .prop_map(|(kind, [a, b, c, d, e, f, g])| ExtendedCommunity([kind, a, b, c, d, e, f, g]));
    let flags = select(vec![0xc0_u8, 0xe0]);
    let unknown =
        (flags, 100..=120_u8, vec(any::<u8>(), 0..300)).prop_map(|(flags, code, value)| {
            UnknownAttribute {
                flags,
                code,
                value: value.into(),
            }
        });
    (
        vec(any::<u32>().prop_map(Community), 0..5),
        vec(extended, 0..4),
        vec(large, 0..4),
        vec(unknown, 0..3),
    )
        .prop_map(|(communities, extended, large, mut unknown)| {
            unknown.sort();
            unknown.dedup_by_key(|attribute| attribute.code);
            PathAttributes {
                communities: set(communities),
                extended_communities: set(extended),
                large_communities: set(large),
                unknown: unknown.into(),
                ..PathAttributes::default()
            }
        })
}

pub(crate) fn attributes() -> impl Strategy<Value = PathAttributes> {
    let origin = select(vec![Origin::Igp, Origin::Egp, Origin::Incomplete]);
    let aggregator = (asn(), v4_host()).prop_map(|(asn, addr)| Aggregator { asn, addr });
    let internal = (
        any::<u32>(),
        option::of(v4_host().prop_map(RouterId)),
        vec(any::<u32>(), 0..4),
    );
    (
        (origin, as_path(), option::of(any::<u32>()), any::<bool>()),
        (option::of(aggregator), internal, option::of(asn())),
        option::of(0..u64::MAX),
        communities(),
    )
        .prop_map(|(first, (aggregator, internal, otc), aigp, rest)| {
            let (origin, as_path, med, atomic_aggregate) = first;
            let (local_pref, originator_id, clusters) = internal;
            let mut rest = rest;
            // One oracle refuses AS_SET as such, another shows no octets of extended communities: what
            // has both would leave one alone.
            if as_path.segments.iter().any(|s| s.kind == SegmentType::Set) {
                rest.extended_communities = Box::default();
            }
            PathAttributes {
                origin,
                as_path,
                med,
                atomic_aggregate,
                aggregator,
                local_pref: Some(local_pref),
                originator_id,
                cluster_list: clusters.into(),
                otc,
                aigp: aigp.map(Aigp::of),
                ..rest
            }
        })
}

/// A session, attributes with a next hop that fits, and routes.
pub(crate) fn announcement() -> impl Strategy<Value = (Context, PathAttributes, NlriSet)> {
    (context(), attributes()).prop_flat_map(|(context, attrs)| {
        let add_path = context.add_path();
        let routes = prop_oneof![
            (v4_host().prop_map(NextHop::V4), v4_list(add_path)).boxed(),
            (v6_next_hop(), v6_list(add_path)).boxed(),
            // RFC 8950.
            (v6_next_hop(), v4_list(add_path)).boxed(),
        ];
        routes.prop_map(move |(next_hop, nlri)| {
            let attrs = PathAttributes {
                next_hop: Some(next_hop),
                ..attrs.clone()
            };
            (context, attrs, nlri)
        })
    })
}

pub(crate) fn withdrawal() -> impl Strategy<Value = (Context, NlriSet)> {
    context().prop_flat_map(|context| {
        let add_path = context.add_path();
        let lists = prop_oneof![v4_list(add_path).boxed(), v6_list(add_path).boxed()];
        lists.prop_map(move |nlri| (context, nlri))
    })
}

/// A path of that many ASes.
pub(crate) fn long_path(len: u32) -> (PathAttributes, NlriSet) {
    let attrs = PathAttributes {
        as_path: AsPath::sequence((1..=len).map(Asn)),
        next_hop: Some(NextHop::V4(Ipv4Addr::new(192, 0, 2, 1))),
        ..PathAttributes::default()
    };
    let prefix = Ipv4Prefix::new(Ipv4Addr::new(10, 0, 0, 0), 8).unwrap();
    (attrs, NlriSet::V4(vec![Nlri::plain(prefix)]))
}

fn families<T: core::fmt::Debug + Clone>(
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = Vec<(u16, T)>> {
    let afis = select(vec![vec![], vec![1_u16], vec![2], vec![1, 2]]);
    (afis, vec(value, 2)).prop_map(|(afis, values)| afis.into_iter().zip(values).collect())
}

fn capability() -> impl Strategy<Value = Capability> {
    let restart = (
        any::<bool>(),
        any::<bool>(),
        0..4096_u16,
        families(any::<bool>()),
    )
        .prop_map(|(restarting, notification, restart_time, families)| {
            let families = families
                .into_iter()
                .map(|(afi, kept)| GracefulRestartFamily {
                    afi,
                    safi: 1,
                    forwarding_preserved: kept,
                });
            Capability::GracefulRestart(GracefulRestart {
                restarting,
                notification,
                restart_time,
                families: families.collect(),
            })
        });
    let long_lived = families((any::<bool>(), 0..0x0100_0000_u32)).prop_map(|families| {
        let families = families
            .into_iter()
            .map(|(afi, (kept, stale_time))| LongLivedFamily {
                afi,
                safi: 1,
                forwarding_preserved: kept,
                stale_time,
            });
        Capability::LongLivedGracefulRestart(LongLivedGracefulRestart {
            families: families.collect(),
        })
    });
    let mode = select(vec![
        AddPathMode::Receive,
        AddPathMode::Send,
        AddPathMode::Both,
    ]);
    let add_path = families(mode).prop_map(|list| {
        Capability::AddPath(list.into_iter().map(|(afi, mode)| (afi, 1, mode)).collect())
    });
    prop_oneof![
        select(vec![1_u16, 2]).prop_map(|afi| Capability::Multiprotocol { afi, safi: 1 }),
        Just(Capability::RouteRefresh),
        Just(Capability::ExtendedNextHop(vec![(1, 1, 2)])),
        Just(Capability::ExtendedMessage),
        (0..5_u8).prop_map(Capability::Role),
        restart,
        add_path,
        Just(Capability::EnhancedRouteRefresh),
        long_lived,
        ("[a-z]{1,20}", "[a-z.]{0,20}")
            .prop_map(|(host, domain)| Capability::Fqdn { host, domain }),
        (130..=180_u8, vec(any::<u8>(), 0..60))
            .prop_map(|(code, value)| Capability::Unknown { code, value }),
    ]
}

/// Each code at most once; long ones need the extended parameters of RFC 9072.
pub(crate) fn open() -> impl Strategy<Value = Open> {
    let hold = prop_oneof![Just(0), 3..=u16::MAX];
    (asn(), hold, v4_host(), vec(capability(), 0..12)).prop_map(|(asn, hold_time, id, mut list)| {
        list.sort_by_key(Capability::code);
        list.dedup_by_key(|capability| capability.code());
        list.push(Capability::FourOctetAs(asn));
        Open {
            version: 4,
            asn,
            hold_time,
            router_id: RouterId(id),
            capabilities: list,
        }
    })
}

pub(crate) fn control() -> impl Strategy<Value = Message> {
    let notification =
        (1..=7_u8, 0..=12_u8, vec(any::<u8>(), 0..200)).prop_map(|(code, subcode, data)| {
            Message::Notification(Notification::with_data(
                ErrorCode::from_wire(code, subcode),
                &data,
            ))
        });
    let kind = select(vec![
        RefreshKind::Request,
        RefreshKind::Begin,
        RefreshKind::End,
    ]);
    let refresh = (select(Family::ALL.to_vec()), kind).prop_map(|(family, kind)| {
        Message::RouteRefresh(RouteRefresh {
            afi: family.afi(),
            safi: family.safi(),
            kind,
        })
    });
    prop_oneof![4 => notification, 2 => refresh, 1 => Just(Message::Keepalive)]
}
