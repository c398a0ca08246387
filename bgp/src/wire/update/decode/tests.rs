//! RFC 7606, row by row: one fault, what becomes of the routes, what is reported.
//!
//! Every message announces 10.0.0.0/8, unless its row says otherwise, and is well-formed but for
//! the one fault.

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::{
    types::FamilySet,
    wire::{
        Message,
        header::{MessageType, frame},
    },
};

const ORIGIN: &[u8] = &[0x40, 1, 1, 0];
const AS_PATH: &[u8] = &[0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe8];
const NEXT_HOP: &[u8] = &[0x40, 3, 4, 192, 0, 2, 1];
const LOCAL_PREF: &[u8] = &[0x40, 5, 4, 0, 0, 0, 100];
const NLRI: &[u8] = &[8, 10];
/// 2001:db8::/32 by fe80::1.
const MP_REACH: &[u8] = &[
    0x80, 14, 26, 0, 2, 1, 16, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 32, 0x20,
    1, 0x0d, 0xb8,
];
/// An empty one of IPv6.
const MP_UNREACH: &[u8] = &[0x80, 15, 3, 0, 2, 1];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    /// The routes stay; these attributes were discarded.
    Keep(&'static [(u8, FaultReason)]),
    /// The routes are withdrawn, for this first reason.
    Withdraw(u8, FaultReason),
    /// UPDATE Message Error with this subcode.
    Reset(u8),
}
use FaultReason::*;
use Outcome::*;

fn external() -> Codec {
    Codec {
        four_octet_as: true,
        ebgp: true,
        families: FamilySet::ALL,
        ..Codec::default()
    }
}

fn internal() -> Codec {
    Codec {
        ebgp: false,
        ..external()
    }
}

fn two_octet() -> Codec {
    Codec {
        four_octet_as: false,
        ..external()
    }
}

fn message(withdrawn: &[u8], attributes: &[&[u8]], nlri: &[u8]) -> Vec<u8> {
    let attributes = attributes.concat();
    let len = |field: &[u8]| u16::try_from(field.len()).unwrap().to_be_bytes();
    let mut out = BytesMut::new();
    frame(MessageType::Update, &mut out, |out| {
        out.extend_from_slice(&len(withdrawn));
        out.extend_from_slice(withdrawn);
        out.extend_from_slice(&len(&attributes));
        out.extend_from_slice(&attributes);
        out.extend_from_slice(nlri);
    });
    out.to_vec()
}

fn outcome(codec: &Codec, message: &[u8]) -> Outcome {
    let update = match codec.decode(message) {
        Ok(Message::Update(update)) => update,
        Err(notification) => {
            assert_eq!(notification.code.code(), 3);
            return Reset(notification.code.subcode());
        }
        other => panic!("{other:?}"),
    };
    let withdrawing = update
        .faults
        .iter()
        .find(|f| f.disposition == Disposition::TreatAsWithdraw);
    if let Some(fault) = withdrawing {
        assert_eq!(update.reach, []);
        assert!(!update.unreach.is_empty());
        return Withdraw(fault.code, fault.reason);
    }
    assert!(!update.reach.is_empty());
    let discarded: Vec<_> = update.faults.iter().map(|f| (f.code, f.reason)).collect();
    Keep(discarded.leak())
}

/// A message with one more attribute than it needs, or with one in the place of another.
fn with(codec: &Codec, attribute: &[u8]) -> Vec<u8> {
    let mut list: Vec<&[u8]> = vec![ORIGIN, AS_PATH, NEXT_HOP];
    if !codec.four_octet_as {
        list[1] = &[0x40, 2, 4, 2, 1, 0xfd, 0xe8];
    }
    if !codec.ebgp {
        list.push(LOCAL_PREF);
    }
    match list.iter().position(|a| a.get(1) == attribute.get(1)) {
        Some(place) => list[place] = attribute,
        None => list.push(attribute),
    }
    message(&[], &list, NLRI)
}

fn check(codec: &Codec, rows: &[(&[u8], Outcome)]) {
    for (attribute, expected) in rows {
        let got = outcome(codec, &with(codec, attribute));
        assert_eq!(got, *expected, "{attribute:02x?}");
    }
}

#[test]
fn well_known_attributes() {
    check(
        &external(),
        &[
            (ORIGIN, Keep(&[])),
            (&[0x40, 1, 1, 3], Withdraw(1, InvalidOrigin)),
            (&[0x40, 1, 0], Withdraw(1, InvalidLength)),
            (&[0x40, 1, 2, 0, 0], Withdraw(1, InvalidLength)),
            (&[0xc0, 1, 1, 0], Withdraw(1, InvalidFlags)),
            (&[0x00, 1, 1, 0], Withdraw(1, InvalidFlags)),
            (&[0x60, 1, 1, 0], Withdraw(1, InvalidFlags)),
            // The low four bits are ignored.
            (&[0x4f, 1, 1, 0], Keep(&[])),
            (&[0x50, 1, 0, 1, 0], Keep(&[])),
            (&[0x40, 2, 0], Keep(&[])),
            (
                &[0x40, 2, 6, 5, 1, 0, 0, 0, 1],
                Withdraw(2, MalformedSegment),
            ),
            (
                &[0x40, 2, 6, 0, 1, 0, 0, 0, 1],
                Withdraw(2, MalformedSegment),
            ),
            (&[0x40, 2, 2, 2, 0], Withdraw(2, MalformedSegment)),
            (&[0x40, 2, 1, 2], Withdraw(2, MalformedSegment)),
            (
                &[0x40, 2, 6, 2, 2, 0, 0, 0, 1],
                Withdraw(2, MalformedSegment),
            ),
            (
                &[0x40, 2, 7, 2, 1, 0, 0, 0, 1, 2],
                Withdraw(2, MalformedSegment),
            ),
            (&[0x40, 2, 6, 2, 1, 0, 0, 0, 0], Withdraw(2, AsZero)),
            (
                &[0x40, 2, 6, 3, 1, 0, 0, 0, 1],
                Withdraw(2, ConfederationSegment),
            ),
            (
                &[0x40, 2, 6, 4, 1, 0, 0, 0, 1],
                Withdraw(2, ConfederationSegment),
            ),
            (&[0x40, 3, 3, 192, 0, 2], Withdraw(3, InvalidLength)),
            (&[0x40, 3, 0], Withdraw(3, InvalidLength)),
            (&[0x40, 3, 4, 0, 0, 0, 0], Withdraw(3, InvalidNextHop)),
            (&[0x40, 3, 4, 127, 0, 0, 1], Withdraw(3, InvalidNextHop)),
            (&[0x40, 3, 4, 224, 0, 0, 1], Withdraw(3, InvalidNextHop)),
            (&[0x40, 6, 1, 0], Keep(&[(6, InvalidLength)])),
            (&[0xc0, 6, 0], Withdraw(6, InvalidFlags)),
        ],
    );
}

#[test]
fn optional_attributes() {
    check(
        &external(),
        &[
            (&[0x80, 4, 4, 0, 0, 0, 1], Keep(&[])),
            (&[0x80, 4, 3, 0, 0, 0], Withdraw(4, InvalidLength)),
            (&[0xc0, 4, 4, 0, 0, 0, 1], Withdraw(4, InvalidFlags)),
            (&[0xa0, 4, 4, 0, 0, 0, 1], Withdraw(4, InvalidFlags)),
            (&[0xc0, 7, 6, 0, 1, 1, 2, 3, 4], Keep(&[(7, InvalidLength)])),
            (&[0xc0, 7, 8, 0, 0, 0, 0, 1, 2, 3, 4], Keep(&[(7, AsZero)])),
            (&[0xe0, 7, 8, 0, 0, 0, 1, 1, 2, 3, 4], Keep(&[])),
            (&[0xc0, 8, 0], Withdraw(8, InvalidLength)),
            (&[0xc0, 8, 5, 0, 0, 0, 0, 0], Withdraw(8, InvalidLength)),
            (&[0x80, 8, 4, 0, 0, 0, 1], Withdraw(8, InvalidFlags)),
            (&[0xc0, 16, 0], Withdraw(16, InvalidLength)),
            (
                &[0xc0, 16, 7, 0, 0, 0, 0, 0, 0, 0],
                Withdraw(16, InvalidLength),
            ),
            (&[0xc0, 32, 0], Withdraw(32, InvalidLength)),
            (&[0xc0, 32, 4, 0, 0, 0, 0], Withdraw(32, InvalidLength)),
            (&[0xc0, 17, 1, 9], Keep(&[(17, FromFourOctetPeer)])),
            (&[0xc0, 18, 1, 9], Keep(&[(18, FromFourOctetPeer)])),
            // Unknown: passed on, ignored, and no attribute at all.
            (&[0xc0, 99, 1, 9], Keep(&[])),
            (&[0x80, 99, 1, 9], Keep(&[])),
            (&[0x40, 99, 1, 9], Reset(2)),
        ],
    );
}

#[test]
fn attributes_that_stay_within_the_as() {
    let rows: [&[u8]; 6] = [
        &[0x40, 5, 4, 0, 0, 0, 1],
        &[0xc0, 5, 1, 0],
        &[0x80, 9, 4, 1, 1, 1, 1],
        &[0x80, 9, 1, 0],
        &[0x80, 10, 4, 1, 1, 1, 1],
        &[0x80, 10, 0],
    ];
    for attribute in rows {
        let message = with(&external(), attribute);
        let Ok(Message::Update(update)) = external().decode(&message) else {
            panic!("{attribute:02x?}")
        };
        assert_eq!(update.faults.len(), 1);
        assert_eq!(update.faults[0].reason, FromExternalPeer);
        let attrs = &update.reach[0].attrs;
        assert_eq!((attrs.local_pref, attrs.originator_id), (None, None));
        assert!(attrs.cluster_list.is_empty());
    }
    check(
        &internal(),
        &[
            (LOCAL_PREF, Keep(&[])),
            (&[0x40, 5, 3, 0, 0, 0], Withdraw(5, InvalidLength)),
            (&[0x80, 9, 4, 1, 1, 1, 1], Keep(&[])),
            (&[0x80, 9, 5, 1, 1, 1, 1, 1], Withdraw(9, InvalidLength)),
            (&[0x80, 10, 4, 1, 1, 1, 1], Keep(&[])),
            (&[0x80, 10, 0], Withdraw(10, InvalidLength)),
            (
                &[0x80, 10, 6, 1, 1, 1, 1, 1, 1],
                Withdraw(10, InvalidLength),
            ),
        ],
    );
}

#[test]
fn four_octet_attributes_of_an_older_peer_are_discarded_if_malformed() {
    check(
        &two_octet(),
        &[
            (&[0xc0, 17, 6, 2, 1, 0, 1, 0, 0], Keep(&[])),
            (
                &[0xc0, 17, 5, 2, 1, 0, 1, 0],
                Keep(&[(17, MalformedSegment)]),
            ),
            (&[0xc0, 17, 6, 2, 1, 0, 0, 0, 0], Keep(&[(17, AsZero)])),
            (
                &[0xc0, 18, 6, 0, 1, 1, 1, 1, 1],
                Keep(&[(18, InvalidLength)]),
            ),
            (
                &[0xc0, 7, 8, 0, 0, 0, 1, 1, 1, 1, 1],
                Keep(&[(7, InvalidLength)]),
            ),
        ],
    );
}

#[test]
fn lists() {
    let check = |name, attributes: &[&[u8]], nlri: &[u8], expected| {
        let got = outcome(&external(), &message(&[], attributes, nlri));
        assert_eq!(got, expected, "{name}");
    };
    let all = [ORIGIN, AS_PATH, NEXT_HOP];
    check("no ORIGIN", &all[1..], NLRI, Withdraw(1, MissingMandatory));
    check(
        "no AS_PATH",
        &[ORIGIN, NEXT_HOP],
        NLRI,
        Withdraw(2, MissingMandatory),
    );
    check(
        "no NEXT_HOP",
        &all[..2],
        NLRI,
        Withdraw(3, MissingMandatory),
    );
    check("none at all", &[], NLRI, Withdraw(1, MissingMandatory));
    let again = [ORIGIN, AS_PATH, NEXT_HOP, &[0x40, 1, 1, 2]];
    check("ORIGIN twice", &again, NLRI, Keep(&[(1, Duplicate)]));
    let unknown_again = [ORIGIN, AS_PATH, NEXT_HOP, &[0xc0, 99, 0], &[0xc0, 99, 0]];
    check(
        "unknown twice",
        &unknown_again,
        NLRI,
        Keep(&[(99, Duplicate)]),
    );
    for rest in [
        &[0xc0][..],
        &[0xc0, 8],
        &[0xd0, 8, 0],
        &[0xc0, 8, 5, 0, 0, 0, 0],
    ] {
        let list = [ORIGIN, AS_PATH, NEXT_HOP, rest];
        let code = rest.get(1).copied().unwrap_or(0);
        check("overrun", &list, NLRI, Withdraw(code, AttributeOverrun));
        // Section 5.2: no routes that could be withdrawn.
        check("overrun, no NLRI", &list, &[], Reset(1));
    }
    check("bad ORIGIN, no NLRI", &[&[0x40, 1, 1, 9]], &[], Reset(6));
    check("prefix too long", &all, &[33, 10, 0, 0, 0, 0], Reset(10));
    check("prefix cut short", &all, &[24, 10, 0], Reset(10));
}

#[test]
fn lengths_of_fields_and_withdrawn_routes() {
    let reset = |message: &[u8]| outcome(&external(), message);
    assert_eq!(reset(&message(&[33, 1, 2, 3, 4, 5], &[], &[])), Reset(10));
    let mut overrun = message(&[], &[ORIGIN], &[]);
    overrun[22] += 1;
    assert_eq!(reset(&overrun), Reset(1));
    let mut overrun = message(NLRI, &[], &[]);
    overrun[20] += 3;
    assert_eq!(reset(&overrun), Reset(1));
}

#[test]
fn multiprotocol_attributes() {
    let check = |name, mp: &[u8], expected| {
        let attributes = [mp, ORIGIN, AS_PATH];
        let got = outcome(&external(), &message(&[], &attributes, &[]));
        assert_eq!(got, expected, "{name}");
    };
    let edit = |place: usize, octet: u8| {
        let mut mp = MP_REACH.to_vec();
        mp[place] = octet;
        mp
    };
    check("well-formed", MP_REACH, Keep(&[]));
    check("reserved octet", &edit(23, 7), Keep(&[]));
    check("wrong flags", &edit(0, 0xc0), Reset(9));
    check("next hop of 15 octets", &edit(6, 15), Reset(9));
    check("overrun", &edit(2, 200), Reset(9));
    check("prefix too long", &edit(24, 129), Reset(10));
    check("prefix cut short", &edit(24, 64), Reset(10));
    check(
        "next hop ff80::1",
        &edit(7, 0xff),
        Withdraw(14, InvalidNextHop),
    );
    let twice = [MP_REACH, MP_REACH].concat();
    check("MP_REACH_NLRI twice", &twice, Reset(1));
    let twice = [MP_UNREACH, MP_UNREACH].concat();
    check("MP_UNREACH_NLRI twice", &twice, Reset(1));
    check(
        "MP_UNREACH_NLRI, wrong flags",
        &[0x40, 15, 3, 0, 2, 1],
        Reset(9),
    );
    check(
        "MP_UNREACH_NLRI, bad prefix",
        &[0x80, 15, 4, 0, 2, 1, 129],
        Reset(10),
    );
}

#[test]
fn end_of_rib_is_an_update_with_nothing_else_in_it() {
    let end = |attributes: &[&[u8]]| {
        let decoded = external().decode(&message(&[], attributes, &[]));
        let Ok(Message::Update(update)) = decoded else {
            panic!("{decoded:?}")
        };
        update.end_of_rib
    };
    assert_eq!(end(&[]), Some(Family::Ipv4Unicast));
    assert_eq!(end(&[MP_UNREACH]), Some(Family::Ipv6Unicast));
    assert_eq!(end(&[ORIGIN]), None);
    assert_eq!(end(&[MP_UNREACH, ORIGIN]), None);
    assert_eq!(end(&[&[0x80, 15, 4, 0, 2, 1, 0]]), None);
    assert_eq!(end(&[&[0x80, 15, 3, 0, 25, 70]]), None);
    for family in Family::ALL {
        let mut out = BytesMut::new();
        external().encode_end_of_rib(family, &mut out);
        let Ok(Message::Update(update)) = external().decode(&out) else {
            panic!()
        };
        assert_eq!(update.end_of_rib, Some(family));
    }
}

#[test]
fn the_long_form_of_a_length_is_used_only_where_it_must_be() {
    for count in [1_u8, 55, 56, 200] {
        let octets: Vec<u8> = (0..count).flat_map(|n| [32, 0x20, 1, 0x0d, n]).collect();
        let nlri = nlri::decode(Family::Ipv6Unicast, false, &octets).unwrap();
        let mut out = BytesMut::new();
        assert_eq!(external().encode_unreach(&nlri, &mut out), 1);
        let long = 3 + octets.len() > 255;
        assert_eq!(out[23], if long { 0x90 } else { 0x80 }, "{count} prefixes");
        let Ok(Message::Update(update)) = external().decode(&out) else {
            panic!()
        };
        assert_eq!(update.unreach, [nlri]);
        assert_eq!(update.faults, []);
    }
}

proptest! {
    /// No octets make the decoder panic, and what it returns keeps its promises.
    #[test]
    fn mutated_messages_never_panic(
        edits in proptest::collection::vec((23_usize..70, any::<u8>()), 0..6),
        cut in 0_usize..40,
        flags in any::<[bool; 5]>(),
    ) {
        let attributes = [MP_REACH, ORIGIN, AS_PATH, NEXT_HOP, LOCAL_PREF];
        let mut octets = message(&[], &attributes, NLRI);
        for (place, octet) in edits {
            if let Some(target) = octets.get_mut(place) {
                *target = octet;
            }
        }
        octets.truncate(octets.len() - cut);
        let len = u16::try_from(octets.len()).unwrap().to_be_bytes();
        octets[16..18].copy_from_slice(&len);
        let [four_octet_as, ebgp, add_path, next_hop, ipv4_only] = flags;
        let all_if = |on| if on { FamilySet::ALL } else { FamilySet::EMPTY };
        let codec = Codec {
            four_octet_as,
            ebgp,
            add_path_receive: all_if(add_path),
            extended_next_hop: all_if(next_hop),
            families: if ipv4_only { Codec::default().families } else { FamilySet::ALL },
            ..Codec::default()
        };
        if let Ok(Message::Update(update)) = codec.decode(&octets) {
            for reach in &update.reach {
                prop_assert!(reach.attrs.next_hop.is_some());
                prop_assert!(!reach.nlri.is_empty());
                prop_assert!(codec.families.contains(reach.nlri.family()));
            }
            let withdraws = update.faults.iter().any(|f| f.disposition > Disposition::DiscardAttribute);
            prop_assert!(!withdraws || update.reach.is_empty());
            prop_assert!(update.faults.iter().all(|f| f.disposition < Disposition::Reset));
        }
    }
}
