//! Vectors both ways, and what makes an OPEN unacceptable.

use super::*;
use crate::wire::{
    Codec, Message,
    tests::{hex, message},
};

/// Version 4, AS 65001, hold time 90, identifier 192.0.2.1.
const FIXED: &str = "04 fde9 005a c0000201";

fn open(capabilities: Vec<Capability>) -> Open {
    Open {
        version: 4,
        asn: Asn(65001),
        hold_time: 90,
        router_id: RouterId::from_u32(0xc000_0201),
        capabilities,
    }
}

/// One OPEN with `parameters`, length and all.
fn decode(parameters: &str) -> Result<Open, Notification> {
    decode_body(&format!("{FIXED} {parameters}"))
}

fn decode_body(body: &str) -> Result<Open, Notification> {
    match Codec::default().decode(&message(1, &hex(body)))? {
        Message::Open(open) => Ok(open),
        other => panic!("{other:?} is not an OPEN"),
    }
}

fn assert_vectors(vectors: &[(&str, Capability)]) {
    for (octets, capability) in vectors {
        let len = hex(octets).len();
        let body = format!("{FIXED} {:02x} 02 {len:02x} {octets}", len + 2);
        let open = open(vec![capability.clone()]);
        assert_eq!(decode_body(&body).as_ref(), Ok(&open));
        let mut out = BytesMut::new();
        open.encode(&mut out);
        assert_eq!(out[..], message(1, &hex(&body)), "{open:?}");
    }
}

/// Those that have a vector; `wire::tests::vectors` knows whether one is missing.
pub(in crate::wire) fn with_vectors() -> Vec<Capability> {
    let all = early().into_iter().chain(late());
    all.map(|(_, capability)| capability).collect()
}

#[test]
fn capabilities_both_ways() {
    assert_vectors(&early());
}

fn early() -> Vec<(&'static str, Capability)> {
    let kept = |afi, forwarding_preserved| GracefulRestartFamily {
        afi,
        safi: 1,
        forwarding_preserved,
    };
    vec![
        (
            "01 04 0002 00 01",
            Capability::Multiprotocol { afi: 2, safi: 1 },
        ),
        ("02 00", Capability::RouteRefresh),
        (
            "05 06 0001 0001 0002",
            Capability::ExtendedNextHop(vec![(1, 1, 2)]),
        ),
        ("06 00", Capability::ExtendedMessage),
        ("09 01 03", Capability::Role(3)),
        (
            "40 0a c078 0001 01 80 0002 01 00",
            Capability::GracefulRestart(GracefulRestart {
                restarting: true,
                notification: true,
                restart_time: 120,
                families: vec![kept(1, true), kept(2, false)],
            }),
        ),
        (
            "40 02 0000",
            Capability::GracefulRestart(GracefulRestart::default()),
        ),
        ("41 04 0000fde9", Capability::FourOctetAs(Asn(65001))),
    ]
}

#[test]
fn capabilities_of_later_years_both_ways() {
    assert_vectors(&late());
}

fn late() -> Vec<(&'static str, Capability)> {
    let long_lived = LongLivedFamily {
        afi: 2,
        safi: 1,
        forwarding_preserved: true,
        stale_time: 86_400,
    };
    vec![
        (
            "45 08 0001 01 03 0002 01 01",
            Capability::AddPath(vec![
                (1, 1, AddPathMode::Both),
                (2, 1, AddPathMode::Receive),
            ]),
        ),
        (
            "45 04 0001 01 02",
            Capability::AddPath(vec![(1, 1, AddPathMode::Send)]),
        ),
        ("46 00", Capability::EnhancedRouteRefresh),
        (
            "47 07 0002 01 80 015180",
            Capability::LongLivedGracefulRestart(LongLivedGracefulRestart {
                families: vec![long_lived],
            }),
        ),
        (
            "49 06 03 746f72 01 78",
            Capability::Fqdn {
                host: "tor".to_owned(),
                domain: "x".to_owned(),
            },
        ),
        (
            "80 02 abcd",
            Capability::Unknown {
                code: 128,
                value: vec![0xab, 0xcd],
            },
        ),
    ]
}

#[test]
fn without_capabilities() {
    assert_eq!(decode("00"), Ok(open(vec![])));
    let mut out = BytesMut::new();
    open(vec![]).encode(&mut out);
    assert_eq!(out[..], message(1, &hex(&format!("{FIXED} 00"))));
    // An empty parameter, and one parameter for each capability, as old speakers send them.
    assert_eq!(decode("02 02 00"), Ok(open(vec![])));
    let two = open(vec![Capability::RouteRefresh, Capability::ExtendedMessage]);
    assert_eq!(decode("08 02 02 02 00 02 02 06 00"), Ok(two));
}

#[test]
fn a_four_octet_number_comes_from_its_capability() {
    let body = "04 5ba0 005a c0000201 08 02 06 41 04 00011170";
    let wide = Open {
        asn: Asn(70_000),
        ..open(vec![Capability::FourOctetAs(Asn(70_000))])
    };
    assert_eq!(decode_body(body).as_ref(), Ok(&wide));
    let mut out = BytesMut::new();
    wide.encode(&mut out);
    assert_eq!(out[..], message(1, &hex(body)));
}

/// RFC 9072: the long form where 255 octets are too few, and by anybody who likes it.
#[test]
fn long_parameters() {
    let unknown = |len: usize| Capability::Unknown {
        code: 200,
        value: vec![7; len],
    };
    // 253 octets of capabilities are the most that the short form holds.
    for (capabilities, long) in [
        (vec![unknown(251)], false),
        (vec![unknown(252)], true),
        (vec![unknown(255); 4], true),
    ] {
        let open = open(capabilities);
        let mut out = BytesMut::new();
        open.encode(&mut out);
        assert_eq!(out[28..30] == [255, 255], long);
        assert_eq!(Codec::default().decode(&out), Ok(Message::Open(open)));
    }
    let refresh = open(vec![Capability::RouteRefresh]);
    for parameters in [
        "ff ff 0005 02 0002 02 00",
        // The one-octet length is ignored.
        "01 ff 0005 02 0002 02 00",
        "07 ff 0005 02 0002 02 00",
    ] {
        assert_eq!(decode(parameters), Ok(refresh.clone()), "{parameters}");
    }
}

#[test]
fn capabilities_of_a_wrong_shape_are_not_negotiated() {
    for octets in [
        "01 03 000200",
        "01 05 0002000100",
        "02 01 00",
        "05 05 0001000100",
        "06 01 00",
        "09 00",
        "09 02 0000",
        "40 00",
        "40 01 00",
        "40 05 0000 000101",
        "41 00",
        "41 03 000001",
        "41 08 0000000100000001",
        "45 03 000101",
        "45 04 0001 01 00",
        "45 04 0001 01 04",
        "46 01 00",
        "47 06 000101000000",
        "49 00",
        "49 01 ff",
        "49 03 05 6162",
        "49 03 01 ff 00",
        "4b 00",
    ] {
        let value = hex(octets);
        let len = value.len();
        // One that follows is read all the same.
        let parameters = format!("{:02x} 02 {:02x} {octets} 02 00", len + 4, len + 2);
        let expected = Capability::Unknown {
            code: value[0],
            value: value[2..].to_vec(),
        };
        let expected = open(vec![expected, Capability::RouteRefresh]);
        assert_eq!(decode(&parameters), Ok(expected), "{octets}");
    }
}

#[test]
fn unacceptable() {
    for (body, subcode) in [
        // Version, AS number, hold time, identifier.
        ("03 fde9 005a c0000201 00", 1),
        ("05 fde9 005a c0000201 00", 1),
        ("04 0000 005a c0000201 00", 2),
        ("04 fde9 005a c0000201 08 02 06 41 04 00000000", 2),
        ("04 0000 005a c0000201 08 02 06 41 04 0000fde9", 2),
        ("04 fde9 0001 c0000201 00", 6),
        ("04 fde9 0002 c0000201 00", 6),
        ("04 fde9 005a 00000000 00", 3),
        // Parameters: longer than the message, shorter, cut short.
        ("04 fde9 005a c0000201 01", 0),
        ("04 fde9 005a c0000201 00 02", 0),
        ("04 fde9 005a c0000201 01 02", 0),
        ("04 fde9 005a c0000201 02 02 01", 0),
        ("04 fde9 005a c0000201 04 02 04 02 00", 0),
        // The same in the long form; it ends after the type, or within a length.
        ("04 fde9 005a c0000201 ff ff", 0),
        ("04 fde9 005a c0000201 ff ff 00", 0),
        ("04 fde9 005a c0000201 ff ff 0001 02", 0),
        ("04 fde9 005a c0000201 ff ff 0003 02 0001", 0),
        ("04 fde9 005a c0000201 ff ff 0002 02 0000", 0),
        // Capabilities past the end of their parameter.
        ("04 fde9 005a c0000201 03 02 01 02", 0),
        ("04 fde9 005a c0000201 04 02 02 41 04", 0),
        ("04 fde9 005a c0000201 06 02 02 41 02 02 00", 0),
        // Parameters that nobody has: authentication (deprecated), and an unknown one.
        ("04 fde9 005a c0000201 03 01 01 00", 4),
        ("04 fde9 005a c0000201 02 09 00", 4),
    ] {
        let notification = decode_body(body).unwrap_err();
        let code = (notification.code.code(), notification.code.subcode());
        assert_eq!(code, (2, subcode), "{body}");
    }
    // The largest version that we speak (RFC 4271 section 6.2).
    let notification = decode_body("03 fde9 005a c0000201 00").unwrap_err();
    assert_eq!(notification.data[..], [0, 4]);
    assert!(decode_body("04 fde9 0003 c0000201 00").is_ok());
    assert!(decode_body("04 fde9 0000 c0000201 00").is_ok());
}
