//! Values as peers can have them, for properties.

use proptest::{collection::vec, option, prelude::*, sample::subsequence};
use smallvec::SmallVec;

use super::super::{
    AddPathMode, Capability, Codec, ErrorCode, GracefulRestart, GracefulRestartFamily,
    LongLivedFamily, LongLivedGracefulRestart, Notification, Open, RefreshKind, RouteRefresh,
};
use crate::types::{
    Aggregator, Aigp, AsPath, AsPathSegment, Asn, Community, ExtendedCommunity, Family, FamilySet,
    Ipv4Prefix, Ipv6Prefix, LargeCommunity, NextHop, Nlri, NlriSet, Origin, PathAttributes, PathId,
    RouterId, SegmentType, UnknownAttribute,
};

fn family_set() -> impl Strategy<Value = FamilySet> {
    subsequence(Family::ALL.to_vec(), 0..=2).prop_map(FamilySet::from_iter)
}

/// A session with both families; what is sent with path identifiers is received so.
pub(super) fn codec() -> impl Strategy<Value = Codec> {
    (any::<[bool; 4]>(), family_set()).prop_map(|(flags, add_path)| {
        let [four_octet_as, ebgp, extended_messages, extended_next_hop] = flags;
        Codec {
            four_octet_as,
            ebgp,
            extended_messages,
            families: FamilySet::ALL,
            add_path_receive: add_path,
            add_path_send: add_path,
            extended_next_hop: if extended_next_hop {
                FamilySet::from_iter([Family::Ipv4Unicast])
            } else {
                FamilySet::EMPTY
            },
        }
    })
}

/// Not zero, and as often of two octets as of four.
fn asn() -> impl Strategy<Value = Asn> {
    prop_oneof![1..=u32::from(u16::MAX), 1..=u32::MAX].prop_map(Asn)
}

fn as_path() -> impl Strategy<Value = AsPath> {
    let kind = prop_oneof![Just(SegmentType::Sequence), Just(SegmentType::Set)];
    let segment = (kind, vec(asn(), 1..20)).prop_map(|(kind, asns)| AsPathSegment {
        kind,
        asns: SmallVec::from_vec(asns),
    });
    vec(segment, 0..5).prop_map(|segments| AsPath {
        segments: SmallVec::from_vec(segments),
    })
}

/// A sorted list without duplicates, as a decoded attribute holds it.
fn set<T: Ord + core::fmt::Debug>(
    item: impl Strategy<Value = T>,
) -> impl Strategy<Value = Box<[T]>> {
    vec(item, 0..12).prop_map(|mut list| {
        list.sort();
        list.dedup();
        list.into()
    })
}

fn large_community() -> impl Strategy<Value = LargeCommunity> {
    any::<[u32; 3]>().prop_map(|[global, local1, local2]| LargeCommunity {
        global,
        local1,
        local2,
    })
}

/// Types that Redstart does not read.
fn unknown() -> impl Strategy<Value = Box<[UnknownAttribute]>> {
    let codes = vec![0, 11, 13, 20, 22, 25, 28, 31, 33, 34, 36, 40, 128, 254, 255];
    subsequence(codes, 0..4).prop_flat_map(|codes| {
        let each: Vec<_> = codes
            .into_iter()
            .map(|code| {
                vec(any::<u8>(), 0..300).prop_map(move |value| UnknownAttribute {
                    flags: 0xe0,
                    code,
                    value: value.into(),
                })
            })
            .collect();
        each.prop_map(Vec::into_boxed_slice)
    })
}

/// One that `codec` can send for `family`.
fn next_hop(codec: Codec, family: Family) -> BoxedStrategy<NextHop> {
    let v4 = any::<[u8; 4]>().prop_map(|[a, b, c, d]| NextHop::V4([1 + a % 126, b, c, d].into()));
    let global = any::<[u8; 16]>().prop_map(|mut octets| {
        octets[0] = 0x20;
        octets.into()
    });
    let link_local = any::<[u8; 8]>().prop_map(|id| {
        let mut octets = [0; 16];
        octets[..2].copy_from_slice(&[0xfe, 0x80]);
        octets[8..].copy_from_slice(&id);
        octets.into()
    });
    let v6 = prop_oneof![
        global.clone().prop_map(NextHop::V6),
        link_local.clone().prop_map(|addr| NextHop::V6LinkLocal {
            global: addr,
            link_local: addr
        }),
        (global, link_local)
            .prop_map(|(global, link_local)| NextHop::V6LinkLocal { global, link_local }),
    ];
    match family {
        Family::Ipv6Unicast => v6.boxed(),
        Family::Ipv4Unicast if codec.extended_next_hop.contains(family) => {
            prop_oneof![v4, v6].boxed()
        }
        Family::Ipv4Unicast => v4.boxed(),
    }
}

/// Attributes that cross the session `codec` unchanged.
pub(super) fn attributes(codec: Codec, family: Family) -> impl Strategy<Value = PathAttributes> {
    let origin = prop_oneof![
        Just(Origin::Igp),
        Just(Origin::Egp),
        Just(Origin::Incomplete)
    ];
    let aggregator = (asn(), any::<[u8; 4]>()).prop_map(|(asn, addr)| Aggregator {
        asn,
        addr: addr.into(),
    });
    let first = (
        origin,
        as_path(),
        next_hop(codec, family),
        option::of(any::<u32>()),
        any::<u32>(),
        any::<bool>(),
        option::of(aggregator),
        option::of(any::<u32>().prop_map(RouterId::from_u32)),
    );
    let second = (
        vec(any::<u32>(), 0..8),
        set(any::<u32>().prop_map(Community)),
        set(any::<[u8; 8]>().prop_map(ExtendedCommunity)),
        set(large_community()),
        option::of(asn()),
        option::of((0..u64::MAX).prop_map(Aigp::of)),
        unknown(),
    );
    (first, second).prop_map(move |(first, second)| {
        let (origin, as_path, next_hop, med, local_pref, atomic_aggregate, aggregator, id) = first;
        let (clusters, communities, extended, large, otc, aigp, unknown) = second;
        PathAttributes {
            origin,
            as_path,
            next_hop: Some(next_hop),
            med,
            local_pref: (!codec.ebgp).then_some(local_pref),
            atomic_aggregate,
            aggregator,
            originator_id: id.filter(|_| !codec.ebgp),
            cluster_list: if codec.ebgp {
                [].into()
            } else {
                clusters.into()
            },
            communities,
            extended_communities: extended,
            large_communities: large,
            aigp,
            otc,
            unknown,
            partial: Default::default(),
        }
    })
}

/// Prefixes of `family`, with path identifiers if `codec` sends them.
pub(super) fn routes(codec: Codec, family: Family) -> BoxedStrategy<NlriSet> {
    let add_path = codec.add_path_send.contains(family);
    let path_id = move |id: u32| if add_path { PathId(id) } else { PathId::NONE };
    match family {
        Family::Ipv4Unicast => {
            let item = (any::<[u8; 4]>(), 0..=32_u8, any::<u32>());
            let item = item.prop_map(move |(addr, len, id)| Nlri {
                prefix: Ipv4Prefix::new(addr.into(), len).unwrap(),
                path_id: path_id(id),
            });
            vec(item, 1..2000).prop_map(NlriSet::V4).boxed()
        }
        Family::Ipv6Unicast => {
            let item = (any::<[u8; 16]>(), 0..=128_u8, any::<u32>());
            let item = item.prop_map(move |(addr, len, id)| Nlri {
                prefix: Ipv6Prefix::new(addr.into(), len).unwrap(),
                path_id: path_id(id),
            });
            vec(item, 1..1000).prop_map(NlriSet::V6).boxed()
        }
    }
}

pub(super) fn family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::Ipv4Unicast), Just(Family::Ipv6Unicast)]
}

/// A session, and a set of routes with their attributes that it can carry.
pub(super) fn announcement() -> impl Strategy<Value = (Codec, PathAttributes, NlriSet)> {
    (codec(), family()).prop_flat_map(|(codec, family)| {
        (
            Just(codec),
            attributes(codec, family),
            routes(codec, family),
        )
    })
}

fn capability() -> impl Strategy<Value = Capability> {
    let mode = prop_oneof![
        Just(AddPathMode::Receive),
        Just(AddPathMode::Send),
        Just(AddPathMode::Both)
    ];
    let kept = (any::<u16>(), any::<u8>(), any::<bool>()).prop_map(|(afi, safi, kept)| {
        GracefulRestartFamily {
            afi,
            safi,
            forwarding_preserved: kept,
        }
    });
    let restart = (any::<[bool; 2]>(), 0..4096_u16, vec(kept, 0..5)).prop_map(
        |([restarting, notification], restart_time, families)| GracefulRestart {
            restarting,
            notification,
            restart_time,
            families,
        },
    );
    let stale = (any::<u16>(), any::<u8>(), any::<bool>(), 0..1_u32 << 24).prop_map(
        |(afi, safi, forwarding_preserved, stale_time)| LongLivedFamily {
            afi,
            safi,
            forwarding_preserved,
            stale_time,
        },
    );
    let long_lived = vec(stale, 0..5).prop_map(|families| LongLivedGracefulRestart { families });
    let code = any::<u8>().prop_filter("known", |code| {
        !matches!(code, 1 | 2 | 5 | 6 | 9 | 64 | 65 | 69..=71 | 73)
    });
    prop_oneof![
        any::<(u16, u8)>().prop_map(|(afi, safi)| Capability::Multiprotocol { afi, safi }),
        Just(Capability::RouteRefresh),
        vec(any::<(u16, u16, u16)>(), 0..5).prop_map(Capability::ExtendedNextHop),
        Just(Capability::ExtendedMessage),
        any::<u8>().prop_map(Capability::Role),
        restart.prop_map(Capability::GracefulRestart),
        vec((any::<u16>(), any::<u8>(), mode), 0..5).prop_map(Capability::AddPath),
        Just(Capability::EnhancedRouteRefresh),
        long_lived.prop_map(Capability::LongLivedGracefulRestart),
        ("[a-zä]{0,20}", "[a-z.]{0,20}")
            .prop_map(|(host, domain)| Capability::Fqdn { host, domain }),
        (code, vec(any::<u8>(), 0..=255))
            .prop_map(|(code, value)| Capability::Unknown { code, value }),
    ]
}

/// An OPEN that a peer may send: some need the long form of RFC 9072.
pub(super) fn open() -> impl Strategy<Value = Open> {
    let hold_time = prop_oneof![Just(0), 3..=u16::MAX];
    let capabilities = vec(capability(), 0..10);
    (asn(), hold_time, 1..=u32::MAX, capabilities).prop_map(
        |(asn, hold_time, id, mut capabilities)| {
            if asn.0 > u32::from(u16::MAX) {
                capabilities.push(Capability::FourOctetAs(asn));
            }
            Open {
                version: 4,
                asn,
                hold_time,
                router_id: RouterId::from_u32(id),
                capabilities,
            }
        },
    )
}

pub(super) fn notification() -> impl Strategy<Value = Notification> {
    (any::<u8>(), any::<u8>(), vec(any::<u8>(), 0..600)).prop_map(|(code, subcode, data)| {
        Notification::with_data(ErrorCode::from_wire(code, subcode), &data)
    })
}

pub(super) fn route_refresh() -> impl Strategy<Value = RouteRefresh> {
    let kind = prop_oneof![
        Just(RefreshKind::Request),
        Just(RefreshKind::Begin),
        Just(RefreshKind::End),
        (3..=u8::MAX).prop_map(RefreshKind::Unknown),
    ];
    (any::<u16>(), any::<u8>(), kind).prop_map(|(afi, safi, kind)| RouteRefresh { afi, safi, kind })
}
