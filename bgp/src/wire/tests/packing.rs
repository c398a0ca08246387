//! UPDATEs are as few as hold the routes.

use bytes::BytesMut;

use super::{
    super::{Codec, EncodeError},
    cut, decode_update, families, items, nlri, plain,
};
use crate::types::{
    AsPath, Asn, Family, Ipv4Prefix, Ipv6Prefix, NextHop, Nlri, NlriSet, PathAttributes, PathId,
    Prefix, PrefixKey, UnknownAttribute,
};

fn attributes(next_hop: NextHop) -> PathAttributes {
    PathAttributes {
        as_path: AsPath::sequence([Asn(65001)]),
        next_hop: Some(next_hop),
        ..PathAttributes::default()
    }
}

/// Attributes that take `len` octets more, four at least.
fn filled(next_hop: NextHop, len: usize) -> PathAttributes {
    let header = if len > 258 { 4 } else { 3 };
    PathAttributes {
        unknown: [UnknownAttribute {
            flags: 0xe0,
            code: 99,
            value: vec![0; len - header].into(),
        }]
        .into(),
        ..attributes(next_hop)
    }
}

fn v4() -> NextHop {
    NextHop::V4([192, 0, 2, 1].into())
}

fn v6() -> NextHop {
    NextHop::V6("2001:db8::1".parse().unwrap())
}

/// `count` prefixes whose lengths go up and down, each with its own path identifier.
fn many<P: PrefixKey>(count: u32) -> NlriSet {
    let item = |i: u32| {
        let prefix = match P::FAMILY {
            Family::Ipv4Unicast => format!("{}/{}", std::net::Ipv4Addr::from(i << 10), 22 + i % 11),
            Family::Ipv6Unicast => {
                let addr = std::net::Ipv6Addr::from(u128::from(i) << 88);
                format!("{addr}/{}", 40 + i % 89)
            }
        };
        Nlri {
            prefix: P::from_prefix(prefix.parse().unwrap()).unwrap(),
            path_id: PathId(i),
        }
    };
    P::into_set((1..=count).map(item).collect())
}

/// Octets of one item on the wire.
fn size(item: Nlri<Prefix>, add_path: bool) -> usize {
    let path_id = if add_path { 4 } else { 0 };
    path_id + 1 + usize::from(item.prefix.len().div_ceil(8))
}

/// Every route is in one message, in order, and none could have gone into the message before.
fn assert_packed(codec: &Codec, set: &NlriSet, messages: &[Vec<u8>], withdrawn: bool) {
    let max = if codec.extended_messages { 65535 } else { 4096 };
    let add_path = codec.add_path_send.contains(set.family());
    let mut rest = items([set]);
    if !add_path {
        for item in &mut rest {
            item.path_id = PathId::NONE;
        }
    }
    for message in messages {
        assert!(message.len() <= max, "{} octets", message.len());
        let update = decode_update(codec, message);
        assert_eq!(update.faults, []);
        let got = if withdrawn {
            items(&update.unreach)
        } else {
            items(update.reach.iter().map(|reach| &reach.nlri))
        };
        assert!(!got.is_empty());
        let later = rest.split_off(got.len());
        assert_eq!(got, rest);
        rest = later;
        if let Some(next) = rest.first() {
            assert!(message.len() + size(*next, add_path) > max);
        }
    }
    assert_eq!(rest, []);
}

fn codecs() -> Vec<Codec> {
    let mut codecs = Vec::new();
    for extended_messages in [false, true] {
        for add_path in [&[][..], &Family::ALL] {
            codecs.push(Codec {
                extended_messages,
                add_path_send: families(add_path),
                add_path_receive: families(add_path),
                extended_next_hop: families(&[Family::Ipv4Unicast]),
                ..plain(true)
            });
        }
    }
    codecs
}

#[test]
fn messages_are_full_and_each_route_is_in_one() {
    let (few, many4, many6) = (
        nlri::<Ipv4Prefix>(&["10.0.0.0/8"]),
        many::<Ipv4Prefix>(20_000),
        many::<Ipv6Prefix>(9_000),
    );
    for codec in codecs() {
        for (set, next_hop) in [(&few, v4()), (&many4, v4()), (&many4, v6()), (&many6, v6())] {
            let mut out = BytesMut::new();
            let sent = codec.encode_reach(&attributes(next_hop), set, &mut out);
            let messages = cut(&codec, &out);
            assert_eq!(sent, Ok(messages.len()));
            assert_packed(&codec, set, &messages, false);

            let mut out = BytesMut::new();
            let sent = codec.encode_unreach(set, &mut out);
            let messages = cut(&codec, &out);
            assert_eq!(sent, messages.len());
            assert_packed(&codec, set, &messages, true);
        }
    }
}

#[test]
fn no_routes_are_no_message() {
    let mut out = BytesMut::new();
    for family in Family::ALL {
        let none = NlriSet::empty(family);
        assert_eq!(plain(true).encode_unreach(&none, &mut out), 0);
        assert_eq!(
            plain(true).encode_reach(&attributes(v6()), &none, &mut out),
            match family {
                Family::Ipv4Unicast => Err(EncodeError::NextHopFamily),
                Family::Ipv6Unicast => Ok(0),
            }
        );
    }
    assert!(out.is_empty());
}

#[test]
fn attributes_leave_room_for_one_prefix_or_there_is_nothing() {
    for (max, extended_messages) in [(4096, false), (65535, true)] {
        let codec = Codec {
            extended_messages,
            ..plain(true)
        };
        for (set, next_hop, prefix) in [
            (nlri::<Ipv4Prefix>(&["10.1.2.0/24"]), v4(), 4),
            (nlri::<Ipv6Prefix>(&["2001:db8::/32"]), v6(), 5),
        ] {
            let mut out = BytesMut::new();
            codec
                .encode_reach(&filled(next_hop, 300), &set, &mut out)
                .unwrap();
            // Attributes that leave just enough room for the prefix.
            let most = max - (out.len() - 300);
            let mut out = BytesMut::from(&b"before"[..]);
            let sent = codec.encode_reach(&filled(next_hop, most), &set, &mut out);
            assert_eq!((sent, out.len()), (Ok(1), 6 + max));
            assert_eq!(
                items([&decode_update(&codec, &out[6..]).reach[0].nlri]),
                items([&set])
            );

            for more in [1, prefix, prefix + 1, 5000] {
                let mut out = BytesMut::from(&b"before"[..]);
                let sent = codec.encode_reach(&filled(next_hop, most + more), &set, &mut out);
                assert_eq!(sent, Err(EncodeError::AttributesTooLong));
                assert_eq!(&out[..], b"before");
            }
        }
    }
}

#[test]
fn a_prefix_that_never_fits_takes_back_those_that_did() {
    let codec = plain(true);
    let mut out = BytesMut::new();
    let default = nlri::<Ipv4Prefix>(&["0.0.0.0/0"]);
    codec
        .encode_reach(&filled(v4(), 300), &default, &mut out)
        .unwrap();
    let attrs = filled(v4(), 4096 - (out.len() - 300));
    let mut out = BytesMut::new();
    assert_eq!(codec.encode_reach(&attrs, &default, &mut out), Ok(1));
    let both = nlri::<Ipv4Prefix>(&["0.0.0.0/0", "10.0.0.0/8"]);
    let mut out = BytesMut::from(&b"before"[..]);
    assert_eq!(
        codec.encode_reach(&attrs, &both, &mut out),
        Err(EncodeError::AttributesTooLong)
    );
    assert_eq!(&out[..], b"before");
}

#[test]
fn next_hops_that_a_family_cannot_have_are_refused() {
    let four = nlri::<Ipv4Prefix>(&["10.0.0.0/8"]);
    let six = nlri::<Ipv6Prefix>(&["2001:db8::/32"]);
    let none = PathAttributes::default();
    let extended = Codec {
        extended_next_hop: families(&[Family::Ipv4Unicast]),
        ..plain(true)
    };
    for (codec, attrs, set, expected) in [
        (plain(true), &none, &four, Err(EncodeError::NoNextHop)),
        (
            plain(true),
            &attributes(v6()),
            &four,
            Err(EncodeError::NextHopFamily),
        ),
        (
            plain(true),
            &attributes(v4()),
            &six,
            Err(EncodeError::NextHopFamily),
        ),
        (
            extended,
            &attributes(v4()),
            &six,
            Err(EncodeError::NextHopFamily),
        ),
        (extended, &attributes(v6()), &four, Ok(1)),
        (extended, &attributes(v4()), &four, Ok(1)),
    ] {
        let mut out = BytesMut::new();
        assert_eq!(codec.encode_reach(attrs, set, &mut out), expected);
        assert_eq!(out.is_empty(), expected.is_err());
    }
}

/// RFC 7606 section 5.1: one kind of route in a message, and the MP attribute first.
#[test]
fn a_message_has_one_kind_of_routes() {
    let six = nlri::<Ipv6Prefix>(&["2001:db8::/32"]);
    let mut out = BytesMut::new();
    plain(true)
        .encode_reach(&attributes(v6()), &six, &mut out)
        .unwrap();
    assert_eq!(out[19..21], [0, 0], "withdrawn routes");
    assert_eq!(out[24], 14, "the first attribute");
    let attributes_len = usize::from(u16::from_be_bytes([out[21], out[22]]));
    assert_eq!(out.len(), 23 + attributes_len, "NLRI");
}

#[test]
fn the_long_form_of_a_length_is_used_only_where_it_must_be() {
    for count in [1, 27, 28, 40] {
        let set = many::<Ipv6Prefix>(count);
        let octets: usize = items([&set])
            .into_iter()
            .map(|item| size(item, false))
            .sum();
        let mut out = BytesMut::new();
        assert_eq!(plain(true).encode_unreach(&set, &mut out), 1);
        let long = 3 + octets > 255;
        assert_eq!(out[23], if long { 0x90 } else { 0x80 }, "{count} prefixes");
        assert_packed(&plain(true), &set, &[out.to_vec()], true);
    }
}
