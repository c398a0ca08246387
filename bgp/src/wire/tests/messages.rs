//! Vectors: octets as RFCs and other speakers write them, and the values that they are. Both ways.

use bytes::BytesMut;

use super::{
    super::{
        CeaseSubcode, Codec, ErrorCode, Framer, Message, Notification, RefreshKind, RouteRefresh,
        Update,
    },
    decode_update, families, hex, message, nlri, plain, update,
};
use crate::types::{
    Aggregator, Aigp, AsPath, AsPathSegment, Asn, Community, ExtendedCommunity, Family, FamilySet,
    Ipv4Prefix, Ipv6Prefix, LargeCommunity, NextHop, Nlri, NlriSet, Origin, PathAttributes, PathId,
    RouterId, SegmentType, UnknownAttribute,
};

/// A message as it is on the wire of one kind of session, and the value that it is.
pub(super) struct Vector {
    pub(super) codec: Codec,
    pub(super) octets: Vec<u8>,
    pub(super) value: Message,
}

impl Vector {
    fn check(&self) {
        let Self {
            codec,
            octets,
            value,
        } = self;
        assert_eq!(codec.decode(octets).as_ref(), Ok(value));
        let mut out = BytesMut::new();
        assert_eq!(codec.encode(value, &mut out), 1);
        assert_eq!(out[..], octets[..], "{value:?}");
    }
}

/// Everything here that has an answer both ways; `vectors` knows whether something is missing.
pub(super) fn all() -> Vec<Vector> {
    [
        small(),
        from_outside(),
        vec![from_inside()],
        path_forms(),
        next_hop_forms(),
        route_forms(),
        withdrawal_forms(),
        as4_forms(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn small_messages() {
    small().iter().for_each(Vector::check);
}

fn small() -> Vec<Vector> {
    let shutdown = Notification::cease_with_message(CeaseSubcode::AdministrativeShutdown, "bye");
    let refresh = |afi, kind| Message::RouteRefresh(RouteRefresh { afi, safi: 1, kind });
    let rows = [
        (4, "", Message::Keepalive),
        (3, "0602 03 627965", Message::Notification(shutdown)),
        (
            3,
            "0400",
            Message::Notification(Notification::new(ErrorCode::HoldTimerExpired)),
        ),
        (5, "0001 00 01", refresh(1, RefreshKind::Request)),
        (5, "0002 01 01", refresh(2, RefreshKind::Begin)),
        (5, "0002 02 01", refresh(2, RefreshKind::End)),
        (5, "4004 09 01", refresh(0x4004, RefreshKind::Unknown(9))),
    ];
    let vectors = rows.into_iter().map(|(kind, body, value)| Vector {
        codec: Codec::default(),
        octets: message(kind, &hex(body)),
        value,
    });
    vectors.collect()
}

/// RFC 4271 section 6.1, RFC 8654 section 4, RFC 7313 section 5: (header and body, extended
/// messages, error code and subcode, data).
#[test]
fn faults_of_the_header() {
    let marker = "ffffffffffffffffffffffffffffffff";
    for (octets, extended, code, data) in [
        ("fe", false, (1, 1), ""),
        (
            "fffffffffffffffffffffffffffffffe 0013 04",
            false,
            (1, 1),
            "",
        ),
        (
            "00000000000000000000000000000000 0013 04",
            false,
            (1, 1),
            "",
        ),
        ("M 0000", false, (1, 2), "0000"),
        ("M 0012", false, (1, 2), "0012"),
        ("M 1001", false, (1, 2), "1001"),
        ("M ffff", false, (1, 2), "ffff"),
        ("M 0013 00", false, (1, 3), "00"),
        ("M 0013 06", false, (1, 3), "06"),
        ("M 0013 09", false, (1, 3), "09"),
        ("M 0013 ff", true, (1, 3), "ff"),
        ("M 001c 01", false, (1, 2), "001c"),
        ("M 1001 01", true, (1, 2), "1001"),
        ("M 0016 02", false, (1, 2), "0016"),
        ("M 0014 03", false, (1, 2), "0014"),
        ("M 0014 04", false, (1, 2), "0014"),
        ("M 1001 04", true, (1, 2), "1001"),
        ("M 0016 05", false, (1, 2), "0016"),
    ] {
        let mut framer = Framer::new();
        framer.set_extended(extended);
        framer.push(&hex(&octets.replace('M', marker)));
        for _ in 0..2 {
            let n = framer.next().unwrap_err();
            assert_eq!((n.code.code(), n.code.subcode()), code, "{octets}");
            assert_eq!(n.data[..], hex(data), "{octets}");
        }
    }
    // Longer than four octets: an ORF, which was not offered, and a marker that cannot be.
    let request = message(5, &hex("0001 00 01 01"));
    let n = plain(true).decode(&request).unwrap_err();
    assert_eq!((n.code.code(), n.code.subcode()), (1, 2));
    let marker = message(5, &hex("0001 01 01 01"));
    let n = plain(true).decode(&marker).unwrap_err();
    assert_eq!((n.code.code(), n.code.subcode()), (7, 1));
    assert_eq!(n.data[..], marker);
    // A subtype that nobody knows is ignored, so its length is not judged.
    let unknown = message(5, &hex("0001 07 01 01"));
    assert!(plain(true).decode(&unknown).is_ok());
}

#[test]
fn lengths_that_only_extended_messages_may_have() {
    let attributes = hex("40010100 40020602010000fde9 400304c0000201 d0631000");
    let attributes = [attributes, vec![0; 4096]].concat();
    let octets = update(&[], &attributes, &[24, 10, 1, 2]);
    let extended = Codec {
        extended_messages: true,
        ..plain(true)
    };
    assert_eq!(decode_update(&extended, &octets).faults, []);
    let n = plain(true).decode(&octets).unwrap_err();
    assert_eq!((n.code.code(), n.code.subcode()), (1, 2));
    for codec in [plain(true), extended] {
        let n = codec.decode(&octets[..40]).unwrap_err();
        assert_eq!(
            (n.code.code(), n.code.subcode()),
            (1, 2),
            "not the whole message"
        );
    }
}

fn attributes() -> PathAttributes {
    PathAttributes {
        as_path: AsPath::sequence([Asn(65001)]),
        next_hop: Some(NextHop::V4([192, 0, 2, 1].into())),
        ..PathAttributes::default()
    }
}

fn announces(attrs: PathAttributes, nlri: NlriSet) -> Message {
    let reach = super::super::Reach {
        attrs: attrs.into(),
        nlri,
    };
    Message::Update(Update {
        reach: vec![reach],
        ..Update::default()
    })
}

/// ORIGIN, AS_PATH and NEXT_HOP of [`attributes`].
const MANDATORY: &str = "40010100 400206 0201 0000fde9 400304 c0000201";

#[test]
fn attributes_from_outside() {
    from_outside().iter().for_each(Vector::check);
}

fn from_outside() -> Vec<Vector> {
    type Edit = fn(&mut PathAttributes);
    let rows: [(&str, Edit); 10] = [
        ("", |_| {}),
        ("800404 00000007", |a| a.med = Some(7)),
        ("400600", |a| a.atomic_aggregate = true),
        ("c00708 00011170 c0000209", |a| {
            a.aggregator = Some(Aggregator {
                asn: Asn(70_000),
                addr: [192, 0, 2, 9].into(),
            });
        }),
        ("c00808 fde90001 ffffff01", |a| {
            a.communities = [Community::new(65001, 1), Community::NO_EXPORT].into();
        }),
        ("c01008 0002fde900000064", |a| {
            a.extended_communities = [ExtendedCommunity([0, 2, 0xfd, 0xe9, 0, 0, 0, 100])].into();
        }),
        ("c0200c 00000001 00000002 00000003", |a| {
            a.large_communities = [LargeCommunity {
                global: 1,
                local1: 2,
                local2: 3,
            }]
            .into();
        }),
        ("801a0b 01000b0000000000000007", |a| {
            a.aigp = Some(Aigp::of(7));
        }),
        ("c02304 0000fde9", |a| a.otc = Some(Asn(65001))),
        // In the order of their codes, those that are not read as well.
        ("e01c00 c0200c 000000010000000200000003 e06302 abcd", |a| {
            let unknown = |code, value: &[u8]| UnknownAttribute {
                flags: 0xe0,
                code,
                value: value.into(),
            };
            a.unknown = [unknown(28, &[]), unknown(99, &[0xab, 0xcd])].into();
            a.large_communities = [LargeCommunity {
                global: 1,
                local1: 2,
                local2: 3,
            }]
            .into();
        }),
    ];
    let routes = nlri::<Ipv4Prefix>(&["10.1.2.0/24"]);
    let vectors = rows.into_iter().map(|(more, edit)| {
        let mut attrs = attributes();
        edit(&mut attrs);
        let list = hex(&format!("{MANDATORY} {more}"));
        Vector {
            codec: plain(true),
            octets: update(&[], &list, &[24, 10, 1, 2]),
            value: announces(attrs, routes.clone()),
        }
    });
    vectors.collect()
}

#[test]
fn attributes_from_inside() {
    from_inside().check();
}

fn from_inside() -> Vector {
    let attrs = PathAttributes {
        origin: Origin::Incomplete,
        as_path: AsPath::EMPTY,
        local_pref: Some(200),
        originator_id: Some(RouterId::from_u32(0xc000_0207)),
        cluster_list: [1, 2].into(),
        ..attributes()
    };
    let list = "40010102 400200 400304c0000201 400504 000000c8 800904 c0000207 \
        800a08 0000000100000002";
    let routes = nlri::<Ipv4Prefix>(&["10.1.2.0/24"]);
    Vector {
        codec: plain(false),
        octets: update(&[], &hex(list), &[24, 10, 1, 2]),
        value: announces(attrs, routes),
    }
}

#[test]
fn an_internal_peer_is_always_told_a_local_pref() {
    let routes = nlri::<Ipv4Prefix>(&["10.1.2.0/24"]);
    let mut out = BytesMut::new();
    plain(false)
        .encode_reach(&attributes(), &routes, &mut out)
        .unwrap();
    let list = hex(&format!("{MANDATORY} 400504 00000064"));
    assert_eq!(out[..], update(&[], &list, &[24, 10, 1, 2]));
}

#[test]
fn paths() {
    path_forms().iter().for_each(Vector::check);
}

/// Every ORIGIN, and every kind of segment but those of a confederation: we are in none.
fn path_forms() -> Vec<Vector> {
    let segment = |kind, asns: &[u32]| AsPathSegment {
        kind,
        asns: asns.iter().copied().map(Asn).collect(),
    };
    let sequence = segment(SegmentType::Sequence, &[65001]);
    let rows = [
        (
            Origin::Igp,
            "40010100 400210 0201 0000fde9 0102 00000001 ffffffff",
            vec![sequence.clone(), segment(SegmentType::Set, &[1, u32::MAX])],
        ),
        (
            Origin::Egp,
            "40010101 400206 0201 0000fde9",
            vec![sequence.clone()],
        ),
        (
            Origin::Incomplete,
            "40010102 40020c 0201 0000fde9 0201 00000007",
            vec![sequence, segment(SegmentType::Sequence, &[7])],
        ),
    ];
    let routes = nlri::<Ipv4Prefix>(&["10.1.2.0/24"]);
    let vectors = rows.into_iter().map(|(origin, list, segments)| Vector {
        codec: plain(true),
        octets: update(
            &[],
            &hex(&format!("{list} 400304c0000201")),
            &[24, 10, 1, 2],
        ),
        value: announces(
            PathAttributes {
                origin,
                as_path: AsPath {
                    segments: segments.into(),
                },
                ..attributes()
            },
            routes.clone(),
        ),
    });
    vectors.collect()
}

/// Towards a speaker of two-octet numbers: AS4_PATH and AS4_AGGREGATOR.
fn as4_forms() -> Vec<Vector> {
    let attrs = PathAttributes {
        as_path: AsPath::sequence([Asn(65001), Asn(70_000)]),
        aggregator: Some(Aggregator {
            asn: Asn(70_000),
            addr: [192, 0, 2, 9].into(),
        }),
        ..attributes()
    };
    let list = "40010100 400206 0202 fde9 5ba0 400304 c0000201 c00706 5ba0 c0000209 \
        c0110a 0202 0000fde9 00011170 c01208 00011170 c0000209";
    vec![Vector {
        codec: Codec {
            four_octet_as: false,
            ..plain(true)
        },
        octets: update(&[], &hex(list), &[24, 10, 1, 2]),
        value: announces(attrs, nlri::<Ipv4Prefix>(&["10.1.2.0/24"])),
    }]
}

#[test]
fn as4_attributes() {
    as4_forms().iter().for_each(Vector::check);
}

#[test]
fn next_hops() {
    next_hop_forms().iter().for_each(Vector::check);
}

/// Each next hop that each family can have in MP_REACH_NLRI (RFC 2545, RFC 8950).
fn next_hop_forms() -> Vec<Vector> {
    let global = "2001:db8::1".parse().unwrap();
    let link_local = "fe80::1".parse().unwrap();
    let six = nlri::<Ipv6Prefix>(&["2001:db8::/32", "::/0"]);
    let four = nlri::<Ipv4Prefix>(&["10.1.2.0/24"]);
    let codec = Codec {
        extended_next_hop: families(&[Family::Ipv4Unicast]),
        ..plain(true)
    };
    let (g, l) = (
        "20010db8000000000000000000000001",
        "fe800000000000000000000000000001",
    );
    let rows = [
        (
            format!("800e1b 000201 10 {g} 00 2020010db8 00"),
            NextHop::V6(global),
            &six,
        ),
        (
            format!("800e2b 000201 20 {g} {l} 00 2020010db8 00"),
            NextHop::V6LinkLocal { global, link_local },
            &six,
        ),
        (
            format!("800e1b 000201 10 {l} 00 2020010db8 00"),
            NextHop::V6LinkLocal {
                global: link_local,
                link_local,
            },
            &six,
        ),
        (
            format!("800e19 000101 10 {g} 00 180a0102"),
            NextHop::V6(global),
            &four,
        ),
        (
            format!("800e29 000101 20 {g} {l} 00 180a0102"),
            NextHop::V6LinkLocal { global, link_local },
            &four,
        ),
    ];
    let vectors = rows.into_iter().map(|(mp, next_hop, routes)| {
        let list = hex(&format!("{mp} 40010100 4002060201 0000fde9"));
        let attrs = PathAttributes {
            next_hop: Some(next_hop),
            ..attributes()
        };
        Vector {
            codec,
            octets: update(&[], &list, &[]),
            value: announces(attrs, routes.clone()),
        }
    });
    vectors.collect()
}

#[test]
fn prefixes_and_path_identifiers() {
    route_forms().iter().for_each(Vector::check);

    // Bits after the prefix are irrelevant.
    let octets = update(&[], &hex(MANDATORY), &hex("01ff 170a0103"));
    let got = decode_update(&plain(true), &octets);
    let masked = nlri::<Ipv4Prefix>(&["128.0.0.0/1", "10.1.2.0/23"]);
    assert_eq!(got.reach[0].nlri, masked);
}

fn route_forms() -> Vec<Vector> {
    let add_path = Codec {
        add_path_receive: FamilySet::ALL,
        add_path_send: FamilySet::ALL,
        ..plain(true)
    };
    let prefix = Ipv4Prefix::new([10, 1, 2, 0].into(), 24).unwrap();
    let item = |id| Nlri {
        prefix,
        path_id: PathId(id),
    };
    let two = NlriSet::V4(vec![item(1), item(u32::MAX)]);
    let numbered = hex("00000001180a0102 ffffffff180a0102");
    let plainly = nlri::<Ipv4Prefix>(&["0.0.0.0/0", "128.0.0.0/1", "10.1.2.3/32"]);
    let rows = [
        (
            plain(true),
            update(&[], &hex(MANDATORY), &hex("00 0180 200a010203")),
            announces(attributes(), plainly),
        ),
        (
            add_path,
            update(&[], &hex(MANDATORY), &numbered),
            announces(attributes(), two.clone()),
        ),
        (add_path, update(&numbered, &[], &[]), withdraws(two)),
    ];
    let vectors = rows.into_iter().map(|(codec, octets, value)| Vector {
        codec,
        octets,
        value,
    });
    vectors.collect()
}

fn withdraws(nlri: NlriSet) -> Message {
    Message::Update(Update {
        unreach: vec![nlri],
        ..Update::default()
    })
}

#[test]
fn withdrawals_and_ends_of_rib() {
    withdrawal_forms().iter().for_each(Vector::check);
    // IPv4 may end in the form of the other families.
    let octets = update(&[], &hex("800f03 000101"), &[]);
    assert_eq!(
        decode_update(&plain(true), &octets).end_of_rib,
        Some(Family::Ipv4Unicast)
    );
}

fn withdrawal_forms() -> Vec<Vector> {
    let end = |family| {
        Message::Update(Update {
            end_of_rib: Some(family),
            ..Update::default()
        })
    };
    let four = nlri::<Ipv4Prefix>(&["10.1.2.0/24"]);
    let six = nlri::<Ipv6Prefix>(&["2001:db8::/32"]);
    let rows = [
        ("180a0102", "", withdraws(four)),
        ("", "800f08 000201 2020010db8", withdraws(six)),
        ("", "", end(Family::Ipv4Unicast)),
        ("", "800f03 000201", end(Family::Ipv6Unicast)),
    ];
    let vectors = rows
        .into_iter()
        .map(|(withdrawn, attributes, value)| Vector {
            codec: plain(true),
            octets: update(&hex(withdrawn), &hex(attributes), &[]),
            value,
        });
    vectors.collect()
}

/// Not an End-of-RIB, although nothing is announced.
#[test]
fn almost_an_end_of_rib() {
    let six_only = Codec {
        families: families(&[Family::Ipv6Unicast]),
        ..plain(true)
    };
    for (codec, withdrawn, attributes) in [
        (plain(true), "", "800f03 001946"),
        (plain(true), "", "800f03 000202"),
        (plain(true), "", "800f03 000201 40010100"),
        (plain(true), "", "800f03 000201 806300"),
        (plain(true), "", "40010100"),
        (plain(true), "180a0102", "800f03 000201"),
        (six_only, "", ""),
        (six_only, "", "800f03 000101"),
    ] {
        let octets = update(&hex(withdrawn), &hex(attributes), &[]);
        let update = decode_update(&codec, &octets);
        assert_eq!(update.end_of_rib, None, "{withdrawn} / {attributes}");
    }
}

/// Sets are kept in order and without duplicates, as RFC 8092 section 3 asks.
#[test]
fn communities_are_sets() {
    let list = format!(
        "{MANDATORY} c0080c 00000002 00000001 00000002 \
         c02024 000000020000000000000000 000000010000000000000000 000000020000000000000000"
    );
    let update = decode_update(&plain(true), &update(&[], &hex(&list), &[24, 10, 1, 2]));
    let attrs = &update.reach[0].attrs;
    assert_eq!(*attrs.communities, [1, 2].map(Community));
    let large = |global| LargeCommunity {
        global,
        local1: 0,
        local2: 0,
    };
    assert_eq!(*attrs.large_communities, [large(1), large(2)]);
}
