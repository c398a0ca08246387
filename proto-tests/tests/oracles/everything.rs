//! One of everything that we can say. What is added to the codec does not compile, or fails, until it is
//! here.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr},
};

use redstart_bgp::{
    types::{
        Aggregator, Aigp, AsPath, Asn, Community, ExtendedCommunity, Family, Ipv4Prefix,
        Ipv6Prefix, LargeCommunity, NextHop, Nlri, NlriSet, Origin, PathAttributes, RouterId,
        UnknownAttribute,
    },
    wire::{
        AddPathMode, Capability, ErrorCode, GracefulRestart, GracefulRestartFamily,
        LongLivedFamily, LongLivedGracefulRestart, Message, Notification, Open, RefreshKind,
        RouteRefresh,
    },
};

const GLOBAL: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// Every attribute at once. No field is left to a default: a new one belongs here.
fn attributes(next_hop: NextHop) -> PathAttributes {
    PathAttributes {
        origin: Origin::Egp,
        as_path: AsPath::sequence([Asn(65001), Asn(70_000)]),
        next_hop: Some(next_hop),
        med: Some(7),
        local_pref: Some(200),
        atomic_aggregate: true,
        aggregator: Some(Aggregator {
            asn: Asn(70_001),
            addr: Ipv4Addr::new(192, 0, 2, 9),
        }),
        originator_id: Some(RouterId(Ipv4Addr::new(192, 0, 2, 7))),
        cluster_list: [1, 2].into(),
        communities: [Community::new(65001, 1), Community::NO_EXPORT].into(),
        extended_communities: [ExtendedCommunity([0, 2, 0xfd, 0xe9, 0, 0, 0, 1])].into(),
        large_communities: [LargeCommunity {
            global: 1,
            local1: 2,
            local2: 3,
        }]
        .into(),
        aigp: Some(Aigp::of(9)),
        otc: Some(Asn(70_002)),
        partial: Default::default(),
        unknown: [UnknownAttribute {
            flags: 0xe0,
            code: 99,
            value: [1, 2, 3].into(),
        }]
        .into(),
    }
}

/// Each family with each next hop that it can have.
pub(crate) fn announcements() -> Vec<(PathAttributes, NlriSet)> {
    let v4 = Ipv4Prefix::new(Ipv4Addr::new(10, 1, 2, 0), 24).unwrap();
    let v4 = NlriSet::V4(vec![Nlri::plain(v4)]);
    let v6 = NlriSet::V6(vec![Nlri::plain(Ipv6Prefix::new(GLOBAL, 64).unwrap())]);
    let both = NextHop::V6LinkLocal {
        global: GLOBAL,
        link_local: LINK_LOCAL,
    };
    [
        (NextHop::V4(Ipv4Addr::new(192, 0, 2, 1)), v4.clone()),
        (NextHop::V6(GLOBAL), v4.clone()),
        (both, v4),
        (NextHop::V6(GLOBAL), v6.clone()),
        (both, v6),
    ]
    .map(|(next_hop, nlri)| (attributes(next_hop), nlri))
    .into()
}

/// The names of the variants of [`Capability`], and the function that names one.
macro_rules! variants {
    ($enum:ident { $($variant:ident),+ $(,)? }) => {{
        let name = |value: &$enum| -> &'static str { match value {
            $($enum::$variant { .. } => stringify!($variant),)+
        }};
        (BTreeSet::from([$(stringify!($variant)),+]), name)
    }};
}

fn capabilities() -> Vec<Capability> {
    vec![
        Capability::Multiprotocol { afi: 2, safi: 1 },
        Capability::RouteRefresh,
        Capability::ExtendedNextHop(vec![(1, 1, 2)]),
        Capability::ExtendedMessage,
        Capability::Role(3),
        Capability::GracefulRestart(GracefulRestart {
            restarting: true,
            notification: true,
            restart_time: 120,
            families: vec![GracefulRestartFamily {
                afi: 1,
                safi: 1,
                forwarding_preserved: true,
            }],
        }),
        Capability::FourOctetAs(Asn(70_000)),
        Capability::AddPath(vec![(1, 1, AddPathMode::Send), (2, 1, AddPathMode::Both)]),
        Capability::AddPath(vec![(1, 1, AddPathMode::Receive)]),
        Capability::EnhancedRouteRefresh,
        Capability::LongLivedGracefulRestart(LongLivedGracefulRestart {
            families: vec![LongLivedFamily {
                afi: 2,
                safi: 1,
                forwarding_preserved: true,
                stale_time: 86_400,
            }],
        }),
        Capability::Fqdn {
            host: "tor".to_owned(),
            domain: "example".to_owned(),
        },
        Capability::Unknown {
            code: 139,
            value: vec![1, 2],
        },
    ]
}

/// One OPEN for each.
pub(crate) fn opens() -> Vec<Open> {
    let (all, name) = variants!(Capability {
        Multiprotocol,
        RouteRefresh,
        ExtendedNextHop,
        ExtendedMessage,
        Role,
        GracefulRestart,
        FourOctetAs,
        AddPath,
        EnhancedRouteRefresh,
        LongLivedGracefulRestart,
        Fqdn,
        Unknown,
    });
    let capabilities = capabilities();
    assert_eq!(capabilities.iter().map(name).collect::<BTreeSet<_>>(), all);
    let with_number = |capability| match capability {
        Capability::FourOctetAs(_) => vec![capability],
        other => vec![other, Capability::FourOctetAs(Asn(70_000))],
    };
    capabilities
        .into_iter()
        .map(with_number)
        .map(open)
        .collect()
}

/// OPENs with more than 255 octets of parameters, from the shortest to nearly all that a message holds.
pub(crate) fn long_opens() -> Vec<Open> {
    let number = Capability::FourOctetAs(Asn(70_000));
    let unknown = |code, len| Capability::Unknown {
        code,
        value: vec![7; len],
    };
    // Capabilities of 254 octets: six for the number, two before a value.
    let shortest = vec![unknown(130, 246), number.clone()];
    let longest = (130..145).map(|code| unknown(code, 255));
    let longest = longest.chain([number]).collect();
    [shortest, longest].map(open).into()
}

fn open(capabilities: Vec<Capability>) -> Open {
    Open {
        version: 4,
        asn: Asn(70_000),
        hold_time: 90,
        router_id: RouterId(Ipv4Addr::new(192, 0, 2, 1)),
        capabilities,
    }
}

/// Every code and subcode that has a name, and every subtype of ROUTE-REFRESH that we send.
pub(crate) fn controls() -> Vec<Message> {
    let codes = (0..=u8::MAX).flat_map(|code| (0..=u8::MAX).map(move |subcode| (code, subcode)));
    let codes = codes.map(|(code, subcode)| ErrorCode::from_wire(code, subcode));
    let named = codes.filter(|code| !matches!(code, ErrorCode::Unknown { .. }));
    let notifications =
        named.map(|code| Message::Notification(Notification::with_data(code, &[0xab])));
    let kinds = [RefreshKind::Request, RefreshKind::Begin, RefreshKind::End];
    let refreshes = Family::ALL.into_iter().flat_map(|family| {
        kinds.map(|kind| {
            Message::RouteRefresh(RouteRefresh {
                afi: family.afi(),
                safi: family.safi(),
                kind,
            })
        })
    });
    notifications
        .chain(refreshes)
        .chain([Message::Keepalive])
        .collect()
}
