//! The message header (RFC 4271 section 6.1, RFC 8654), and octets that are no BGP at all.

#![allow(
    clippy::too_many_lines,
    reason = "a function here is a table, and its lines are rows"
)]

use super::{
    Case, EBGP, EXTENDED, Expected, Session,
    build::{
        KEEPALIVE, NOTIFICATION, OPEN, ROUTE_REFRESH, UPDATE, announce, attr, message, open,
        with_length,
    },
};

const LENGTHS: &str = "RFC 4271 section 6.1";

/// The rows.
pub fn cases() -> Vec<Case> {
    let mut cases = markers();
    cases.extend(lengths());
    cases.extend(types());
    cases.extend(extended());
    cases
}

fn markers() -> Vec<Case> {
    let not_synchronized = Expected::Reset(1, 1);
    let marker = |at: usize, octet| {
        let mut octets = message(KEEPALIVE, &[]);
        if let Some(place) = octets.get_mut(at) {
            *place = octet;
        }
        octets
    };
    let zeros = [vec![0; 16], vec![0, 19, 4]].concat();
    vec![
        Case::new(
            "marker-first-octet",
            LENGTHS,
            marker(0, 0),
            not_synchronized,
        ),
        Case::new(
            "marker-last-octet",
            LENGTHS,
            marker(15, 0xfe),
            not_synchronized,
        ),
        Case::new("marker-all-zero", LENGTHS, zeros, not_synchronized),
        Case::new(
            "http-request",
            LENGTHS,
            *b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            not_synchronized,
        )
        .first(),
        Case::new(
            "tls-client-hello",
            LENGTHS,
            [[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3].as_slice(), &[0xff; 20]].concat(),
            not_synchronized,
        )
        .first(),
        Case::new(
            "marker-in-second-connection-octet",
            LENGTHS,
            [[0xff, 0].as_slice(), &[0xff; 30]].concat(),
            not_synchronized,
        )
        .first(),
    ]
}

fn lengths() -> Vec<Case> {
    let bad = Expected::Reset(1, 2);
    let row =
        |name, kind, body: &[u8], len| Case::new(name, LENGTHS, with_length(kind, body, len), bad);
    vec![
        row("length-0", KEEPALIVE, &[], 0),
        row("length-18", KEEPALIVE, &[], 18),
        row("length-4097", UPDATE, &[0; 4078], 4097).first(),
        row("length-65535", UPDATE, &[0; 100], 65535).first(),
        row("keepalive-20", KEEPALIVE, &[0], 20),
        row("keepalive-4096", KEEPALIVE, &[0; 4077], 4096),
        row("update-22", UPDATE, &[0; 3], 22),
        row("update-19", UPDATE, &[], 19),
        row("notification-19", NOTIFICATION, &[], 19),
        row("notification-20", NOTIFICATION, &[6], 20),
        row("route-refresh-19", ROUTE_REFRESH, &[], 19),
        row("route-refresh-22", ROUTE_REFRESH, &[0, 1, 0], 22),
        row("open-28", OPEN, &[4, 0xfc, 0x58, 0, 90, 10, 0, 0, 1], 28).first(),
        row("open-19", OPEN, &[], 19).first(),
        row("open-4097", OPEN, &[4; 4078], 4097).first(),
    ]
}

fn types() -> Vec<Case> {
    let row = |name, source, kind, body: &[u8]| {
        Case::new(name, source, message(kind, body), Expected::Reset(1, 3))
    };
    vec![
        row("type-0", LENGTHS, 0, &[]),
        row(
            "type-6-capability",
            "CVE-2022-37032, CVE-2024-31949: CAPABILITY message read out of bounds",
            6,
            &[1, 0, 64, 2, 0],
        ),
        row(
            "type-9",
            "CVE-2023-46565: one header of type 9 ended the daemon",
            9,
            &[],
        ),
        row("type-128", LENGTHS, 128, &[0; 4]),
        row("type-255", LENGTHS, 255, &[]),
        row("type-9-first", "CVE-2023-46565", 9, &[]).first(),
    ]
}

/// An UPDATE of exactly this length, filled up by an unknown attribute.
fn filled(session: Session, len: usize) -> Vec<u8> {
    let parts = announce(session);
    let rest = len.saturating_sub(parts.message().len() + 4);
    parts.append(&attr(0xd0, 99, &vec![7; rest])).message()
}

fn extended() -> Vec<Case> {
    let source = "RFC 8654 section 4";
    let bad = Expected::Reset(1, 2);
    let long = |len| filled(EXTENDED, len);
    vec![
        Case::new("extended-update-5000", source, long(5000), Expected::Accept).on(EXTENDED),
        Case::new(
            "extended-update-65535",
            source,
            long(65535),
            Expected::Accept,
        )
        .on(EXTENDED),
        Case::new(
            "extended-keepalive-4097",
            source,
            with_length(KEEPALIVE, &[0; 4078], 4097),
            bad,
        )
        .on(EXTENDED),
        Case::new(
            "extended-open-4097",
            source,
            with_length(OPEN, &[4; 4078], 4097),
            bad,
        )
        .on(EXTENDED),
        Case::new(
            "update-of-5000-in-opensent",
            source,
            filled(EBGP, 5000),
            bad,
        )
        .first(),
        // Who offers the capability takes long messages, whether or not the sender has it too.
        Case::new(
            "update-of-5000-from-who-did-not-offer",
            "RFC 8654 section 3",
            filled(EBGP, 5000),
            Expected::Accept,
        )
        .codec_says(bad),
        Case::new(
            "update-of-4096",
            LENGTHS,
            filled(EBGP, 4096),
            Expected::Accept,
        ),
        Case::new(
            "open-in-established",
            "RFC 6608 section 3",
            open(EBGP, [10, 99, 7, 7]),
            Expected::Reset(5, 3),
        )
        .codec_says(Expected::Accept),
        Case::new(
            "keepalive-in-opensent",
            "RFC 6608 section 3",
            message(KEEPALIVE, &[]),
            Expected::Reset(5, 1),
        )
        .first()
        .codec_says(Expected::Ignore),
        Case::new(
            "update-in-opensent",
            "RFC 6608 section 3",
            announce(EBGP).message(),
            Expected::Reset(5, 1),
        )
        .first()
        .codec_says(Expected::Withdraw),
        Case::new(
            "route-refresh-in-opensent",
            "RFC 6608 section 3",
            message(ROUTE_REFRESH, &[0, 1, 0, 1]),
            Expected::Reset(5, 1),
        )
        .first()
        .codec_says(Expected::Ignore),
    ]
}
