//! What is written is read back the same.

use std::net::Ipv6Addr;

use bytes::BytesMut;

use super::super::{Codec, Message};
use crate::types::{
    Aggregator, AsPath, Asn, Community, FamilySet, LargeCommunity, NextHop, Nlri, NlriSet, Origin,
    PathAttributes, Prefix, PrefixKey,
};

fn codec(four_octet_as: bool, ebgp: bool) -> Codec {
    Codec {
        four_octet_as,
        ebgp,
        families: FamilySet::ALL,
        ..Codec::default()
    }
}

fn nlri<P: PrefixKey>(list: &[&str]) -> NlriSet {
    let prefix = |s: &&str| P::from_prefix(s.parse::<Prefix>().unwrap()).unwrap();
    P::into_set(list.iter().map(prefix).map(Nlri::plain).collect())
}

fn attributes(next_hop: NextHop) -> PathAttributes {
    PathAttributes {
        origin: Origin::Incomplete,
        as_path: AsPath::sequence([64512, 65_536, 4_200_000_000].map(Asn)),
        next_hop: Some(next_hop),
        med: Some(7),
        local_pref: Some(200),
        atomic_aggregate: true,
        aggregator: Some(Aggregator {
            asn: Asn(70_000),
            addr: [192, 0, 2, 9].into(),
        }),
        communities: [Community::new(1, 2), Community::NO_EXPORT].into(),
        large_communities: [LargeCommunity {
            global: 1,
            local1: 2,
            local2: 3,
        }]
        .into(),
        otc: Some(Asn(4_200_000_001)),
        ..PathAttributes::default()
    }
}

fn round_trip(codec: &Codec, attrs: &PathAttributes, routes: &NlriSet) {
    let mut out = BytesMut::new();
    assert_eq!(codec.encode_reach(attrs, routes, &mut out), Ok(1));
    let Ok(Message::Update(update)) = codec.decode(&out) else {
        panic!("not an UPDATE")
    };
    assert_eq!(update.faults, []);
    assert_eq!(update.reach.len(), 1);
    assert_eq!(
        (&*update.reach[0].attrs, &update.reach[0].nlri),
        (attrs, routes)
    );
}

#[test]
fn announcements_survive_either_width_of_as_numbers() {
    let v4 = nlri::<crate::types::Ipv4Prefix>(&["10.0.0.0/8", "10.1.2.0/23", "0.0.0.0/0"]);
    let v6 = nlri::<crate::types::Ipv6Prefix>(&["2001:db8::/32", "fd00::1/128"]);
    let next_hop: Ipv6Addr = "2001:db8::1".parse().unwrap();
    for four_octet_as in [true, false] {
        let codec = codec(four_octet_as, false);
        round_trip(&codec, &attributes(NextHop::V4([192, 0, 2, 1].into())), &v4);
        round_trip(&codec, &attributes(NextHop::V6(next_hop)), &v6);
    }
}

#[test]
fn local_pref_stays_within_the_as() {
    let v4 = nlri::<crate::types::Ipv4Prefix>(&["10.0.0.0/8"]);
    let attrs = attributes(NextHop::V4([192, 0, 2, 1].into()));
    let mut out = BytesMut::new();
    codec(true, true)
        .encode_reach(&attrs, &v4, &mut out)
        .unwrap();
    let Ok(Message::Update(update)) = codec(true, true).decode(&out) else {
        panic!()
    };
    assert_eq!(update.reach[0].attrs.local_pref, None);
    assert_eq!(update.faults, []);
}

/// The width of AS numbers on the session does not change the attribute (RFC 9234 section 5).
#[test]
fn only_to_customer_has_four_octets_or_withdraws_the_routes() {
    let v4 = nlri::<crate::types::Ipv4Prefix>(&["10.0.0.0/8"]);
    let attrs = attributes(NextHop::V4([192, 0, 2, 1].into()));
    let codec = codec(false, true);
    let mut out = BytesMut::new();
    codec.encode_reach(&attrs, &v4, &mut out).unwrap();
    let otc = [0xc0, 35, 4, 0xfa, 0x56, 0xea, 0x01];
    let at = out.windows(7).position(|octets| octets == otc).unwrap();
    // One octet shorter: the attribute, and with it the fields that say how long they are.
    let mut short = out.to_vec();
    short.remove(at + 6);
    short[at + 2] = 3;
    short[17] -= 1;
    short[22] -= 1;
    let Ok(Message::Update(update)) = codec.decode(&short) else {
        panic!("not an UPDATE")
    };
    assert_eq!((update.reach.len(), update.unreach), (0, vec![v4]));
    assert_eq!(update.faults.first().map(|fault| fault.code), Some(35));
}
