//! NOTIFICATION and ROUTE-REFRESH.
//!
//! There is no answer to a NOTIFICATION, however odd (RFC 4271 section 6.4): the session ends, and
//! what was in it may only reach people in clean form. A ROUTE-REFRESH that asks for nothing that we
//! have is ignored (RFC 2918 section 4, RFC 7313 section 5).

#![allow(
    clippy::too_many_lines,
    reason = "a function here is a table, and its lines are rows"
)]

use super::{
    Case, Expected, Session,
    build::{NOTIFICATION, ROUTE_REFRESH, message},
};
use redstart_bgp::types::Family;

/// The rows.
pub fn cases() -> Vec<Case> {
    let mut cases = notifications();
    cases.extend(refreshes());
    cases
}

fn notifications() -> Vec<Case> {
    let row = |name, source, body: &[u8]| {
        Case::new(name, source, message(NOTIFICATION, body), Expected::End)
    };
    let text = |len: usize| {
        let mut body = vec![6, 2, u8::try_from(len).unwrap_or(u8::MAX)];
        body.extend(vec![b'x'; len]);
        body
    };
    let overflow = "CVE-2019-16159: shutdown text of more than 128 octets";
    let rfc9003 = "RFC 9003 section 2";
    vec![
        row("shutdown-text-128", overflow, &text(128)),
        row("shutdown-text-129", overflow, &text(129)),
        row("shutdown-text-255", overflow, &text(255)),
        row("shutdown-text-empty", rfc9003, &text(0)),
        row("shutdown-text-missing", rfc9003, &[6, 2]),
        row("shutdown-text-overruns", rfc9003, &[6, 2, 200, b'x']),
        row(
            "shutdown-text-with-rest",
            rfc9003,
            &[6, 2, 1, b'x', b'y', b'z'],
        ),
        row(
            "shutdown-text-not-utf-8",
            "RFC 9003 section 5",
            &[6, 2, 3, 0xff, 0xfe, 0x80],
        ),
        row(
            "shutdown-text-escape-sequence",
            "RFC 9003 section 5: text for a terminal",
            b"\x06\x02\x0a\x1b[2J\x1b]0;x\x07",
        ),
        row(
            "notification-twice",
            "CVE-2025-59688: NOTIFICATION to a session that ends",
            &[6, 4],
        )
        .followed_by(&message(NOTIFICATION, &[6, 4])),
        row("hard-reset-empty", "RFC 8538 section 3", &[6, 9]),
        row("hard-reset-half", "RFC 8538 section 3", &[6, 9, 6]),
        row(
            "hard-reset-in-hard-reset",
            "RFC 8538 section 3",
            &[6, 9, 6, 9, 6, 9],
        ),
        row(
            "max-prefixes-short-data",
            "RFC 4486 section 4",
            &[6, 1, 0, 1],
        ),
        row("error-code-0", "RFC 4271 section 4.5", &[0, 0]),
        row(
            "error-code-255",
            "RFC 4271 section 4.5",
            &[255, 255, 1, 2, 3],
        ),
        row("cease-subcode-255", "RFC 4486", &[6, 255]),
        row("version-data-missing", "RFC 4271 section 6.2", &[2, 1]),
        row(
            "data-to-the-end",
            "2026 FRR: NOTIFICATION text copied without its length",
            &[[3, 1].as_slice(), &[b'%'; 4075]].concat(),
        ),
        row(
            "notification-for-open",
            "RFC 4271 section 6.4",
            &[2, 7, 1, 4, 0, 1, 0, 1],
        )
        .first(),
    ]
}

fn refreshes() -> Vec<Case> {
    let row = |name, source, body: &[u8], expected| {
        Case::new(name, source, message(ROUTE_REFRESH, body), expected)
    };
    let enhanced = "RFC 7313 section 5";
    let orf = "CVE-2023-41360, CVE-2010-2948: ORF in ROUTE-REFRESH";
    let ignore = Expected::Ignore;
    let bad_length = Expected::Reset(1, 2);
    vec![
        row(
            "refresh-family-unknown",
            "RFC 2918 section 4",
            &[0, 25, 0, 70],
            ignore,
        ),
        row(
            "refresh-safi-unknown",
            "RFC 2918 section 4",
            &[0, 1, 0, 128],
            ignore,
        ),
        row("refresh-afi-0", "RFC 2918 section 4", &[0, 0, 0, 0], ignore),
        row(
            "refresh-not-negotiated",
            "RFC 2918 section 4",
            &[0, 2, 0, 1],
            ignore,
        )
        .on(Session::only(Family::Ipv4Unicast)),
        row("refresh-subtype-3", enhanced, &[0, 1, 3, 1], ignore),
        row("refresh-subtype-255", enhanced, &[0, 1, 255, 1], ignore),
        row("refresh-end-without-begin", enhanced, &[0, 1, 2, 1], ignore),
        row(
            "refresh-begin-unknown-family",
            enhanced,
            &[0, 77, 1, 1],
            ignore,
        ),
        row(
            "refresh-begin-length-5",
            enhanced,
            &[0, 1, 1, 1, 0],
            Expected::Reset(7, 1),
        ),
        row(
            "refresh-end-length-5",
            enhanced,
            &[0, 1, 2, 1, 0],
            Expected::Reset(7, 1),
        ),
        row(
            "refresh-begin-long",
            enhanced,
            &[[0, 1, 1, 1].as_slice(), &[0; 2000]].concat(),
            Expected::Reset(7, 1),
        ),
        row(
            "refresh-with-one-octet-more",
            "RFC 2918 section 3",
            &[0, 1, 0, 1, 0],
            bad_length,
        ),
        row(
            "refresh-orf-empty",
            orf,
            &[0, 1, 0, 1, 1, 64, 0, 0],
            bad_length,
        ),
        row(
            "refresh-orf-overruns",
            orf,
            &[0, 1, 0, 1, 1, 64, 255, 255, 0],
            bad_length,
        ),
        row(
            "refresh-orf-entry-cut",
            orf,
            &[0, 1, 0, 1, 1, 64, 0, 3, 0, 0, 0],
            bad_length,
        ),
        row(
            "refresh-orf-prefix-length-33",
            orf,
            &[0, 1, 0, 1, 1, 64, 0, 8, 0, 0, 0, 0, 5, 0, 33, 33],
            bad_length,
        ),
    ]
}
