//! Messages from every kind of input, and what is said of them.

use bytes::BytesMut;
use redstart_bgp::{
    types::{Asn, Ipv4Prefix, NextHop, Nlri, NlriSet, Origin, PathAttributes, RouterId},
    wire::Open,
};

use super::*;

const KEEPALIVE: &str = "ffffffffffffffffffffffffffffffff001304";

fn encoded(four_octet_as: bool, message: &Message) -> Vec<u8> {
    let codec = Codec {
        four_octet_as,
        ..everything()
    };
    let mut out = BytesMut::new();
    codec.encode(message, &mut out);
    out.to_vec()
}

fn open(capabilities: Vec<Capability>) -> Vec<u8> {
    let open = Open {
        version: 4,
        asn: Asn(65001),
        hold_time: 90,
        router_id: RouterId([192, 0, 2, 1].into()),
        capabilities,
    };
    encoded(true, &Message::Open(open))
}

/// An UPDATE with one route, over AS 65001.
fn update(four_octet_as: bool) -> Vec<u8> {
    let attrs = PathAttributes {
        origin: Origin::Igp,
        as_path: redstart_bgp::types::AsPath::sequence([Asn(65001)]),
        next_hop: Some(NextHop::V4([10, 0, 0, 1].into())),
        local_pref: Some(100),
        ..PathAttributes::default()
    };
    let prefix = Ipv4Prefix::new([10, 20, 0, 0].into(), 24).unwrap();
    let nlri = NlriSet::V4(vec![Nlri::plain(prefix)]);
    let codec = Codec {
        four_octet_as,
        ..everything()
    };
    let mut out = BytesMut::new();
    codec.encode_reach(&attrs, &nlri, &mut out).unwrap();
    out.to_vec()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn part<'d>(decoded: &'d Decoded, name: &str) -> &'d Part {
    let mut parts = decoded.parts.iter();
    parts.find(|part| part.name.starts_with(name)).unwrap()
}

#[test]
fn hex_is_taken_as_it_stands_in_logs() {
    for text in [
        KEEPALIVE.to_owned(),
        format!("0x{KEEPALIVE}"),
        KEEPALIVE.to_uppercase(),
        KEEPALIVE.replace("ff", "ff:").replace("0013", " 00 13 "),
    ] {
        let decoded = typed(&text).unwrap();
        assert_eq!(decoded.len(), 1, "{text}");
        assert_eq!(
            (decoded[0].kind.as_str(), decoded[0].verdict.as_str()),
            ("KEEPALIVE", "valid")
        );
    }
    for text in ["no hex", "abc", ""] {
        typed(text).unwrap_err();
    }
}

#[test]
fn parts_cover_every_octet_once_and_say_what_they_mean() {
    let both = [
        open(vec![
            Capability::RouteRefresh,
            Capability::FourOctetAs(Asn(65001)),
        ]),
        update(true),
    ];
    let decoded = typed(&hex(&both.concat())).unwrap();
    for one in &decoded {
        assert_eq!(one.verdict, "valid");
        let mut at = one.from;
        for part in &one.parts {
            assert_eq!(part.from, at, "{one:#?}");
            at = part.to;
        }
        assert_eq!(at, one.to);
    }
    let (open, update) = (&decoded[0], &decoded[1]);
    assert_eq!(part(open, "hold time").says, "90");
    assert_eq!(part(open, "BGP Identifier").says, "192.0.2.1");
    assert_eq!(part(open, "capability 65").says, "4-octet-as 0000fde9");
    assert_eq!(part(update, "ORIGIN").says, "IGP");
    assert_eq!(part(update, "AS_PATH").says, "65001");
    assert_eq!(part(update, "NEXT_HOP").says, "10.0.0.1");
    assert_eq!(part(update, "LOCAL_PREF").says, "100");
    assert_eq!(part(update, "NLRI").says, "10.20.0.0/24");
    let text = text(update);
    assert!(text.starts_with("UPDATE, octets 39-"), "{text}");
}

#[test]
fn the_verdict_is_the_codecs() {
    // ORIGIN 9: RFC 7606 section 7.1.
    let mut octets = update(true);
    let origin = typed(&hex(&octets)).unwrap();
    let origin = part(&origin[0], "ORIGIN").to - 1;
    octets[origin] = 9;
    let decoded = &typed(&hex(&octets)).unwrap()[0];
    assert_eq!(decoded.verdict, "treat-as-withdraw");
    assert_eq!(
        decoded.faults,
        ["attribute 1: invalid-origin (treat-as-withdraw)"]
    );

    octets[16..18].copy_from_slice(&10_u16.to_be_bytes());
    let decoded = &typed(&hex(&octets)).unwrap()[0];
    assert_eq!(decoded.verdict, "reset");
    assert!(
        decoded.faults[0].starts_with("NOTIFICATION "),
        "{decoded:?}"
    );

    let whole = update(true);
    let cut = &typed(&hex(&whole[..30])).unwrap()[0];
    assert_eq!((cut.verdict.as_str(), cut.to), ("incomplete", 30));
}

/// Whatever is cut off or changed: no panic, and every octet has a place.
#[test]
fn nothing_that_is_cut_or_changed_is_too_much() {
    let whole = [open(vec![Capability::RouteRefresh]), update(true)].concat();
    for end in 1..whole.len() {
        let _ = file("cut", &whole[..end]);
        let mut changed = whole.clone();
        for with in [0, 1, 0x7f, 0xff] {
            changed[end] = with;
            let decoded = plain(&changed);
            assert_eq!(decoded.last().unwrap().to, changed.len());
            decoded
                .iter()
                .for_each(|one| assert!(!text(one).is_empty()));
        }
    }
}

/// A packet of a capture: Ethernet, IPv4, TCP.
fn packet(from: (u8, u16), to: (u8, u16), sequence: u32, syn: bool, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend([0x08, 0x00, 0x45, 0]);
    let total = u16::try_from(40 + payload.len()).unwrap();
    frame.extend(total.to_be_bytes());
    frame.extend([0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, from.0, 10, 0, 0, to.0]);
    frame.extend(from.1.to_be_bytes());
    frame.extend(to.1.to_be_bytes());
    frame.extend(sequence.to_be_bytes());
    frame.extend([
        0,
        0,
        0,
        0,
        0x50,
        if syn { 2 } else { 0x10 },
        0,
        0,
        0,
        0,
        0,
        0,
    ]);
    frame.extend(payload);
    // Padding, as short frames have.
    frame.resize(frame.len().max(60), 0);
    let length = u32::try_from(frame.len()).unwrap().to_le_bytes();
    [&[0; 8], &length[..], &length[..], &frame].concat()
}

fn capture(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
    file.extend([0; 12]);
    file.extend(1_u32.to_le_bytes());
    packets.iter().for_each(|packet| file.extend(packet));
    file
}

#[test]
fn a_capture_is_put_together_by_sequence_numbers() {
    let (us, them) = ((1, 40000), (2, 179));
    // They do not know AS numbers of four octets, so nobody uses them.
    let sent = [
        open(vec![Capability::FourOctetAs(Asn(65001))]),
        update(false),
    ]
    .concat();
    let answer = open(vec![]);
    let (first, second) = sent.split_at(40);
    let next = 1_001 + 40;
    let packets = [
        packet(us, them, 1_000, true, b""),
        packet(them, us, 5_000, true, b""),
        packet(us, them, next, false, second),
        packet(them, us, 5_001, false, &answer),
        packet(us, them, 1_001, false, first),
        packet(us, them, 1_001, false, first),
        // Others are none of our business.
        packet((1, 40001), (2, 80), 1, false, b"GET / HTTP/1.0"),
    ];
    let decoded = file("capture", &capture(&packets)).unwrap();
    let kinds: Vec<_> = decoded
        .iter()
        .map(|one| {
            (
                one.source.as_deref().unwrap(),
                one.kind.as_str(),
                one.verdict.as_str(),
            )
        })
        .collect();
    let ours = "10.0.0.1:40000 to 10.0.0.2:179";
    assert_eq!(
        kinds,
        [
            (ours, "OPEN", "valid"),
            (ours, "UPDATE", "valid"),
            ("10.0.0.2:179 to 10.0.0.1:40000", "OPEN", "valid"),
        ]
    );
    assert_eq!(part(&decoded[1], "AS_PATH").says, "65001");

    let streams = pcap::streams(&capture(&packets[2..3])).unwrap();
    assert!(!streams[0].gap, "nobody knows what was before");
    let gap = [packets[0].clone(), packets[2].clone()];
    assert!(pcap::streams(&capture(&gap)).unwrap()[0].gap);
    assert_eq!(file("capture", &capture(&[])), Err(DecodeError::Empty));
    let next_generation = [0x0a, 0x0d, 0x0d, 0x0a, 0, 0, 0, 0];
    let refused = file("capture", &next_generation).unwrap_err();
    assert_eq!(refused, DecodeError::Pcap(PcapError::NextGeneration));
}

/// Where it is not known that both ends are in one AS, a route without LOCAL_PREF is one from outside.
#[test]
fn a_route_without_local_pref_is_wrong_where_the_session_is_known_to_be_internal() {
    let (us, them) = ((1, 40000), (2, 179));
    let attrs = PathAttributes {
        as_path: redstart_bgp::types::AsPath::sequence([Asn(65001)]),
        next_hop: Some(NextHop::V4([10, 0, 0, 1].into())),
        ..PathAttributes::default()
    };
    let prefix = Ipv4Prefix::new([10, 20, 0, 0].into(), 24).unwrap();
    let nlri = NlriSet::V4(vec![Nlri::plain(prefix)]);
    let [_, external] = of_either_kind(everything());
    let mut route = BytesMut::new();
    external.encode_reach(&attrs, &nlri, &mut route).unwrap();
    let open = open(vec![Capability::FourOctetAs(Asn(65001))]);
    let verdict = |packets: &[_]| {
        let decoded = file("capture", &capture(packets)).unwrap();
        let mut updates = decoded.into_iter().filter(|one| one.kind == "UPDATE");
        updates.next().unwrap().verdict
    };
    let middle = packet(us, them, 1, false, &route);
    assert_eq!(verdict(&[middle]), "valid");
    let whole = [
        packet(us, them, 1, false, &[&open[..], &route].concat()),
        packet(them, us, 1, false, &open),
    ];
    assert_eq!(verdict(&whole), "treat-as-withdraw");
}

#[test]
fn mrt_says_whose_message_it_is_and_how_long_as_numbers_are() {
    let record = |subtype: u16, addresses: &[u8], message: &[u8]| {
        let body = [addresses, message].concat();
        let length = u32::try_from(body.len()).unwrap();
        let head = [&1_780_000_000_u32.to_be_bytes()[..], &16_u16.to_be_bytes()];
        [
            &head.concat(),
            &subtype.to_be_bytes()[..],
            &length.to_be_bytes(),
            &body,
        ]
        .concat()
    };
    let two = [0xfd, 0xe9, 0xfd, 0xea, 0, 0, 0, 1, 10, 0, 0, 1, 10, 0, 0, 2];
    let four = [
        0, 0, 0xfd, 0xe9, 0, 0, 0xfd, 0xea, 0, 0, 0, 1, 10, 0, 0, 1, 10, 0, 0, 2,
    ];
    let mrt = [
        record(1, &two, &update(false)),
        record(0, &two, &[0, 1, 0, 6]),
        record(4, &four, &update(true)),
        record(7, &four, &update(true)),
    ]
    .concat();
    let decoded = file("updates.mrt", &mrt).unwrap();
    let sources: Vec<_> = decoded
        .iter()
        .map(|one| one.source.as_deref().unwrap())
        .collect();
    let from = "2026-05-28T20:26:40Z from 10.0.0.1 AS65001";
    assert_eq!(
        sources,
        [from, from, "2026-05-28T20:26:40Z to 10.0.0.1 AS65001"]
    );
    for one in &decoded {
        assert_eq!(
            (one.verdict.as_str(), part(one, "AS_PATH").says.as_str()),
            ("valid", "65001")
        );
        assert_eq!(&mrt[one.from..one.from + 16], [0xff; 16]);
    }
    assert_eq!(file("cut.mrt", &mrt[..mrt.len() - 1]).unwrap().len(), 2);
}

#[test]
fn a_file_of_another_kind_is_named() {
    let refused = file("notes.txt", b"what is this?").unwrap_err();
    let text = "notes.txt is not a capture, an MRT file, hex or plain BGP messages";
    assert_eq!(refused.to_string(), text);
}
