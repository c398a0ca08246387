//! Messages octet by octet, and back. What an independent reader makes of them: `proto-tests`.

use std::net::IpAddr;

use bytes::{Bytes, BytesMut};
use proptest::{collection::vec, prelude::*};

use super::{
    ADMINISTRATIVELY_CLOSED, Information, Message, PeerDown, PeerHeader, PeerKind, PeerUp,
    ReadError, Statistic, read,
};
use crate::{
    mrt::Time,
    types::{Asn, Family, RouterId},
};

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    let octet = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(octet).collect()
}

fn header(kind: PeerKind, address: &str) -> PeerHeader {
    PeerHeader {
        kind,
        address: address.parse().unwrap(),
        asn: Asn(65001),
        router_id: RouterId([10, 0, 0, 1].into()),
        time: Time {
            seconds: 2,
            micros: 3,
        },
    }
}

const fn global(adj_rib_out: bool, post_policy: bool) -> PeerKind {
    PeerKind::Global {
        adj_rib_out,
        post_policy,
        two_octet_as: false,
    }
}

fn octets(message: &Message) -> BytesMut {
    let mut out = BytesMut::new();
    message.put(&mut out);
    out
}

/// Written as expected, and read as it was.
fn is_both_ways(message: &Message, expected: &str) {
    let out = octets(message);
    assert_eq!(out, hex(expected)[..], "{out:02x?}");
    assert_eq!(read(&out), Ok(Some((message.clone(), &[][..]))));
}

const V4_IN: &str = "0000000000000000 000000000000000000000000 0a000001 0000fde9 0a000001";

#[test]
fn a_beginning_and_an_end() {
    let list = vec![
        Information::SysDescr("Redstart".to_owned()),
        Information::SysName("a".to_owned()),
    ];
    let expected = "03 00000017 04 0001 0008 5265647374617274 0002 0001 61";
    is_both_ways(&Message::Initiation(list), expected);
    let list = vec![Information::Reason(ADMINISTRATIVELY_CLOSED)];
    is_both_ways(&Message::Termination(list), "03 0000000c 05 0001 0002 0000");
}

/// The flags of RFC 7854 section 4.2 and RFC 8671 section 4, and those of RFC 9069 section 4.2.
#[test]
fn which_table_a_route_is_of() {
    let update = Bytes::from_static(&[0xff]);
    for (kind, address, octets) in [
        (global(false, false), "10.0.0.1", "00 00"),
        (global(false, true), "10.0.0.1", "00 40"),
        (global(true, true), "10.0.0.1", "00 50"),
        (PeerKind::LocRib { filtered: false }, "10.0.0.1", "03 00"),
        (PeerKind::LocRib { filtered: true }, "10.0.0.1", "03 80"),
    ] {
        let message = Message::RouteMonitoring(header(kind, address), update.clone());
        let expected = format!("03 00000031 00 {octets} {V4_IN} 00000002 00000003 ff");
        is_both_ways(&message, &expected);
    }
    let two = PeerKind::Global {
        adj_rib_out: false,
        post_policy: false,
        two_octet_as: true,
    };
    let message = Message::RouteMonitoring(header(two, "2001:db8::1"), update);
    let peer = "0000000000000000 20010db8000000000000000000000001 0000fde9 0a000001";
    let expected = format!("03 00000031 00 00 a0 {peer} 00000002 00000003 ff");
    is_both_ways(&message, &expected);
}

#[test]
fn a_session_that_comes_and_goes() {
    let peer = header(global(false, false), "10.0.0.1");
    let open = |id: u8| {
        let mut open = vec![0xff; 16];
        open.extend([0, 29, 1, 4, 0xfd, 0xe9, 0, 90, 10, 0, 0, id, 0]);
        Bytes::from(open)
    };
    let up = PeerUp {
        local: "10.0.0.9".parse().unwrap(),
        local_port: 179,
        remote_port: 40000,
        sent_open: open(9),
        received_open: open(1),
        information: vec![Information::TableName("global".to_owned())],
    };
    let marker = "ff".repeat(16);
    let expected = format!(
        "03 00000088 03 00 00 {V4_IN} 00000002 00000003
         000000000000000000000000 0a000009 00b3 9c40
         {marker} 001d 01 04 fde9 005a 0a000009 00
         {marker} 001d 01 04 fde9 005a 0a000001 00
         0003 0006 676c6f62616c"
    );
    is_both_ways(&Message::PeerUp(peer, Box::new(up)), &expected);
    let notification = Bytes::from(hex(&format!("{marker} 0015 03 06 02")));
    let said = format!("{marker} 0015 03 06 02");
    for (why, reason) in [
        (
            PeerDown::LocalNotification(notification.clone()),
            format!("01 {said}"),
        ),
        (PeerDown::LocalNoNotification(18), "02 0012".to_owned()),
        (
            PeerDown::RemoteNotification(notification),
            format!("03 {said}"),
        ),
        (PeerDown::RemoteNoNotification, "04".to_owned()),
        (PeerDown::Deconfigured, "05".to_owned()),
        (
            PeerDown::LocRib(vec![Information::TableName("global".to_owned())]),
            "06 0003 0006 676c6f62616c".to_owned(),
        ),
    ] {
        let body = format!("00 00 {V4_IN} 00000002 00000003 {reason}");
        let len = 6 + hex(&body).len();
        is_both_ways(
            &Message::PeerDown(peer, why),
            &format!("03 {len:08x} 02 {body}"),
        );
    }
}

#[test]
fn numbers_about_a_peer() {
    let peer = header(global(false, false), "10.0.0.1");
    let list = vec![
        Statistic::AdjRibIn(5),
        Statistic::FamilyAdjRibOut(Family::Ipv6Unicast, 6),
    ];
    let expected = format!(
        "03 0000004f 01 00 00 {V4_IN} 00000002 00000003 00000002
         0007 0008 0000000000000005
         0011 000b 0002 01 0000000000000006"
    );
    is_both_ways(&Message::StatisticsReport(peer, list), &expected);
}

#[test]
fn what_cannot_be_read_is_named() {
    assert_eq!(read(&[4, 0, 0, 0, 6, 4]), Err(ReadError::Version(4)));
    assert_eq!(read(&[3, 0, 0, 0, 6, 9]), Err(ReadError::Type(9)));
    assert_eq!(read(&[3, 0, 0, 0, 5, 4]), Err(ReadError::Short));
    assert_eq!(read(&[3, 0, 0, 0, 6, 2]), Err(ReadError::Short));
    let peer = header(global(false, false), "10.0.0.1");
    let mut message = octets(&Message::PeerDown(peer, PeerDown::Deconfigured));
    message[48] = 77;
    assert_eq!(read(&message), Err(ReadError::Reason(77)));
    message[6] = 2;
    assert_eq!(read(&message), Err(ReadError::PeerType(2)));
}

fn peer() -> impl Strategy<Value = PeerHeader> {
    let kind = prop_oneof![
        any::<[bool; 3]>().prop_map(|[adj_rib_out, post_policy, two_octet_as]| {
            PeerKind::Global {
                adj_rib_out,
                post_policy,
                two_octet_as,
            }
        }),
        Just(PeerKind::LocRib { filtered: true }),
    ];
    let rest: (_, _) = (any::<IpAddr>(), any::<[u32; 4]>());
    (kind, rest).prop_map(|(kind, (address, [asn, id, seconds, micros]))| PeerHeader {
        kind,
        // A Loc-RIB has no address, so no flag that says of which family it would be.
        address: match kind {
            PeerKind::Global { .. } => address,
            PeerKind::LocRib { .. } => IpAddr::from([0; 4]),
        },
        asn: Asn(asn),
        router_id: RouterId(id.into()),
        time: Time { seconds, micros },
    })
}

fn statistic() -> impl Strategy<Value = Statistic> {
    let family = prop_oneof![Just(Family::Ipv4Unicast), Just(Family::Ipv6Unicast)];
    (0..6, family, any::<u64>()).prop_map(|(kind, family, n)| match kind {
        0 => Statistic::AdjRibIn(n),
        1 => Statistic::LocRib(n),
        2 => Statistic::AdjRibOut(n),
        3 => Statistic::FamilyAdjRibIn(family, n),
        4 => Statistic::FamilyLocRib(family, n),
        _ => Statistic::FamilyAdjRibOut(family, n),
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        peer in peer(),
        statistics in vec(statistic(), 0..8),
        update: Vec<u8>,
        text: String,
    ) {
        for message in [
            Message::StatisticsReport(peer, statistics),
            Message::RouteMonitoring(peer, update.into()),
            Message::Initiation(vec![Information::Text(text.clone()), Information::SysName(text)]),
        ] {
            let mut out = octets(&message);
            for missing in 1..=6 {
                prop_assert_eq!(read(&out[..out.len() - missing]), Ok(None));
            }
            out.extend_from_slice(&[3]);
            prop_assert_eq!(read(&out), Ok(Some((message, &[3][..]))));
        }
    }

    #[test]
    fn no_octets_bring_it_to_a_fall(kind in 0..8_u8, mut body: Vec<u8>, peer_type in 0..5_u8) {
        if let Some(first) = body.first_mut() {
            *first = peer_type;
        }
        let len = u32::try_from(6 + body.len()).unwrap();
        let mut octets = vec![3];
        octets.extend(len.to_be_bytes());
        octets.push(kind);
        octets.extend(body);
        let _ = read(&octets);
    }
}
