//! Records octet by octet, and back. What other tools make of them: `lab_mrt` and `proto-tests`.

use std::net::IpAddr;

use bytes::BytesMut;
use proptest::prelude::*;

use super::{
    Records, Time, is_mrt,
    message::{self, Form, Said, Session},
    table::{self, Entry, Peer},
    whole,
};
use crate::{
    session::State,
    types::{AsPath, Asn, Family, FamilySet, NextHop, PathAttributes, PathId, RouterId},
    wire::Codec,
};

const AT: Time = Time {
    seconds: 0x6a00_0000,
    micros: 7,
};

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    let octet = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(octet).collect()
}

fn session(peer: &str, local: &str) -> Session {
    Session {
        peer_as: Asn(65001),
        local_as: Asn(4_200_000_000),
        peer: peer.parse().unwrap(),
        local: local.parse().unwrap(),
    }
}

fn attributes(next_hop: &str) -> PathAttributes {
    PathAttributes {
        as_path: AsPath::sequence([Asn(65001)]),
        next_hop: Some(NextHop::from(next_hop.parse::<IpAddr>().unwrap())),
        ..PathAttributes::default()
    }
}

#[test]
fn the_peers_of_a_table() {
    let peers = [
        Peer::local(RouterId([10, 0, 0, 9].into()), Asn(65009)),
        Peer {
            router_id: RouterId([10, 0, 0, 1].into()),
            address: "2001:db8::1".parse().unwrap(),
            asn: Asn(65001),
        },
    ];
    let mut out = BytesMut::new();
    table::put_peers(AT.seconds, peers[0].router_id, "all", &peers, &mut out);
    let expected = hex("6a000000 000d 0001 00000031 0a000009 0003616c6c 0002
         02 0a000009 00000000 0000fdf1
         03 0a000001 20010db8000000000000000000000001 0000fde9");
    assert_eq!(out, expected[..]);
}

#[test]
fn the_entries_of_a_prefix() {
    let attributes = attributes("10.0.0.1");
    let entry = |path_id| Entry {
        peer: 1,
        originated: 5,
        path_id: PathId(path_id),
        attributes: &attributes,
    };
    let (mut out, mut sequence) = (BytesMut::new(), 8);
    let prefix = "192.0.2.0/24".parse().unwrap();
    table::put_prefix_entries(
        AT.seconds,
        &mut sequence,
        prefix,
        &[entry(0), entry(3)],
        &mut out,
    );
    // ORIGIN, AS_PATH and NEXT_HOP; no LOCAL_PREF, for the route has none.
    let attributes = "0014 40010100 40020602010000fde9 4003040a000001";
    let expected = hex(&format!(
        "6a000000 000d 0002 00000026 00000008 18c00002 0001 0001 00000005 {attributes}
         6a000000 000d 0008 0000002a 00000009 18c00002 0001 0001 00000005 00000003 {attributes}"
    ));
    assert_eq!(out, expected[..]);
    assert_eq!(sequence, 10);
}

#[test]
fn of_the_next_hop_of_ipv6_routes_nothing_else_is_told() {
    let attributes = attributes("2001:db8::1");
    let entry = Entry {
        peer: 0,
        originated: 0,
        path_id: PathId(0),
        attributes: &attributes,
    };
    let alone = hex("800e 11 10 20010db8000000000000000000000001");
    // Also of IPv4 routes that go by such a one (RFC 8950).
    for prefix in ["2001:db8:1::/48", "192.0.2.0/24"] {
        let mut out = BytesMut::new();
        let prefix = prefix.parse().unwrap();
        table::put_prefix_entries(0, &mut 0, prefix, &[entry], &mut out);
        assert!(out.ends_with(&alone), "{prefix}: {out:02x?}");
    }
}

#[test]
fn messages_and_states() {
    let session = session("10.0.0.1", "10.0.0.9");
    let form = Form {
        four_octet_as: true,
        add_path: false,
    };
    let mut out = BytesMut::new();
    message::put_message(AT, &session, form, true, &[1, 2], &mut out);
    message::put_state_change(
        AT,
        &session,
        State::OpenConfirm,
        State::Established,
        &mut out,
    );
    let of = "0000fde9 fa56ea00 0000 0001 0a000001 0a000009";
    let expected = hex(&format!(
        "6a000000 0011 0004 0000001a 00000007 {of} 0102
         6a000000 0011 0005 0000001c 00000007 {of} 0005 0006"
    ));
    assert_eq!(out, expected[..]);
}

#[test]
fn a_file_that_is_cut_says_so() {
    let session = session("2001:db8::1", "2001:db8::9");
    let mut file = BytesMut::new();
    message::put_state_change(AT, &session, State::Idle, State::Connect, &mut file);
    assert!(is_mrt(&file));
    let mut records = Records::new(&file);
    let first = records.next().unwrap();
    assert_eq!((first.at, first.time), (16, AT));
    let said = Said::StateChange { from: 1, to: 2 };
    assert_eq!(message::read(&first), Some((session, said)));
    assert!(records.next().is_none() && !records.is_cut());
    for cut in 1..file.len() {
        let mut records = Records::new(&file[..cut]);
        assert!(records.next().is_none() && records.is_cut(), "{cut}");
    }
}

/// An UPDATE from its parts; the octets of the lengths are made here.
fn update(withdrawn: &str, attributes: &str, nlri: &str) -> Vec<u8> {
    let [withdrawn, attributes, nlri] = [withdrawn, attributes, nlri].map(hex);
    let sized = |part: &[u8]| {
        let len = u16::try_from(part.len()).unwrap();
        [&len.to_be_bytes()[..], part].concat()
    };
    let body = [sized(&withdrawn), sized(&attributes), nlri].concat();
    let len = u16::try_from(19 + body.len()).unwrap();
    [&[0xff; 16][..], &len.to_be_bytes(), &[2], &body].concat()
}

#[test]
fn whether_there_are_path_identifiers_is_a_matter_of_the_families_in_a_message() {
    let v6_reach = "80 0e 05 0002 01 00 00";
    let v6_unreach = "90 0f 0003 0002 01";
    let (four, six) = (Family::Ipv4Unicast, Family::Ipv6Unicast);
    let keepalive = [&[0xff; 16][..], &[0, 19, 4]].concat();
    let cut = update("", "800e", "");
    let cases = [
        (update("18c00002", "", ""), vec![four]),
        (update("", "40010100", "18c00002"), vec![four]),
        (update("", &format!("40010100 {v6_reach}"), ""), vec![six]),
        (update("", v6_unreach, ""), vec![six]),
        (update("", v6_unreach, "18c00002"), vec![four, six]),
        (update("", "", ""), vec![]),
        (keepalive, vec![]),
        (cut, vec![]),
        (vec![0xff; 19], vec![]),
    ];
    for (message, families) in cases {
        for family in Family::ALL {
            let codec = Codec {
                four_octet_as: true,
                add_path_receive: FamilySet::from_iter([family]),
                ..Codec::default()
            };
            let received = Form::of(&codec, true, &message);
            let expected = Form {
                four_octet_as: true,
                add_path: families.contains(&family),
            };
            assert_eq!(received, expected, "{family} in {message:02x?}");
            assert!(!Form::of(&codec, false, &message).add_path);
        }
    }
}

#[test]
fn as_many_whole_records_as_fit() {
    let session = session("10.0.0.1", "10.0.0.9");
    let mut file = BytesMut::new();
    for _ in 0..3 {
        message::put_state_change(AT, &session, State::Idle, State::Connect, &mut file);
    }
    let one = file.len() / 3;
    for (limit, expected) in [
        (0, 1),
        (one, 1),
        (2 * one - 1, 1),
        (2 * one, 2),
        (usize::MAX, 3),
    ] {
        assert_eq!(whole(&file, limit), (expected * one, expected as u64));
    }
    assert_eq!(whole(&file[..3 * one - 1], usize::MAX), (2 * one, 2));
    assert_eq!(whole(&file[..one - 1], usize::MAX), (0, 0));
}

proptest! {
    #[test]
    fn the_form_of_any_octets_is_found(mut octets in proptest::collection::vec(any::<u8>(), 19..200)) {
        octets[18] = 2;
        let codec = Codec { add_path_send: FamilySet::ALL, ..Codec::default() };
        let _ = Form::of(&codec, false, &octets);
    }

    #[test]
    fn what_is_written_is_read_again(
        seconds: u32,
        micros in 0..1_000_000_u32,
        peer_as in 1..u32::from(u16::MAX),
        addresses: [IpAddr; 2],
        [four_octet_as, add_path, received]: [bool; 3],
        octets: Vec<u8>,
    ) {
        let [peer, local] = addresses;
        prop_assume!(peer.is_ipv4() == local.is_ipv4());
        let (time, form) = (Time { seconds, micros }, Form { four_octet_as, add_path });
        let session = Session { peer_as: Asn(peer_as), local_as: Asn(64512), peer, local };
        let mut file = BytesMut::new();
        message::put_message(time, &session, form, received, &octets, &mut file);
        let record = Records::new(&file).next().unwrap();
        let said = Said::Message { form, received, message: &octets };
        prop_assert_eq!(message::read(&record), Some((session, said)));
        prop_assert_eq!(record.time, time);
        prop_assert_eq!(&file[record.at..], record.body);
    }

    #[test]
    fn no_octets_bring_it_to_a_fall(octets: Vec<u8>, kind in 0..20_u16, subtype in 0..12_u16) {
        let mut file = vec![0; 4];
        file.extend(kind.to_be_bytes());
        file.extend(subtype.to_be_bytes());
        file.extend(u32::try_from(octets.len()).unwrap().to_be_bytes());
        file.extend(octets);
        for record in Records::new(&file) {
            let _ = message::read(&record);
        }
    }
}
