//! Messages that took networks down, where no single row of an RFC says it: sizes, and combinations.

#![allow(
    clippy::too_many_lines,
    reason = "a function here is a table, and its lines are rows"
)]

use super::{
    Case, EBGP, EXTENDED, Expected, IBGP, PEER_AS, Session, TWO_OCTET,
    build::{announce, announce_v6, as_sequence, attr, nothing},
};

/// The rows.
pub fn cases() -> Vec<Case> {
    let mut cases = long_paths();
    cases.extend(combinations());
    cases.extend(otc());
    cases
}

fn path_of(session: Session, len: u32) -> Vec<u8> {
    let asns: Vec<u32> = core::iter::once(PEER_AS)
        .chain((1..len).map(|n| 1000 + n))
        .collect();
    announce(session)
        .set(attr(0x40, 2, &as_sequence(session, &asns)))
        .message()
}

fn long_paths() -> Vec<Case> {
    let row = |name, source, session, len| {
        Case::new(name, source, path_of(session, len), Expected::Accept).on(session)
    };
    vec![
        row(
            "as-path-of-255",
            "2009: AS_PATH longer than 255 ended OpenBGPD",
            EBGP,
            255,
        ),
        row(
            "as-path-of-256",
            "2009: AS_PATH longer than 255 ended OpenBGPD",
            EBGP,
            256,
        ),
        row(
            "as-path-of-1000",
            "CVE-2017-16227: AS_PATH of extended length",
            EBGP,
            1000,
        ),
        row(
            "as-path-of-1900-two-octet",
            "CVE-2017-16227",
            TWO_OCTET,
            1900,
        ),
        row(
            "as-path-of-2100",
            "CVE-2026-49943: AS_PATH of more than 2048",
            EXTENDED,
            2100,
        ),
        row("as-path-of-15000", "CVE-2026-49943", EXTENDED, 15000),
        Case::new(
            "as-path-of-2000-segments",
            "recursion and loops over segments",
            announce(EXTENDED)
                .set(attr(0x40, 2, &[2, 1, 0, 0, 0xfc, 0x58].repeat(2000)))
                .message(),
            Expected::Accept,
        )
        .on(EXTENDED),
    ]
}

fn combinations() -> Vec<Case> {
    let all_types = || {
        let mut parts = announce(EBGP);
        for code in 41..=255_u8 {
            parts = parts.append(&attr(0xc0, code, &[code; 3]));
        }
        parts
    };
    let two_malformed = announce(IBGP)
        .set(attr(0x80, 9, &[]))
        .set(attr(0x80, 10, &[1]))
        .set(attr(0xc0, 8, &[1]));
    vec![
        Case::new(
            "200-unknown-attributes",
            "resource exhaustion",
            all_types().message(),
            Expected::Accept,
        ),
        Case::new(
            "confederation-path-of-length-0",
            "GHSA-frrj: empty AS_PATH out of a confederation",
            announce(EBGP).set(attr(0x40, 2, &[3, 0])).message(),
            Expected::Withdraw,
        ),
        Case::new(
            "cluster-list-beside-unknown-twice",
            "CVE-2018-5379: CLUSTER_LIST and unknown attributes freed twice",
            announce(IBGP)
                .set(attr(0x80, 10, &[1; 8]))
                .append(&attr(0xc0, 99, &[1]))
                .append(&attr(0xc0, 99, &[2; 300]))
                .message(),
            Expected::DiscardAttribute(99),
        )
        .on(IBGP),
        Case::new(
            "unknown-transitive-of-300-octets",
            "CVE-2013-6051: an unknown attribute without a length of its own",
            announce(EBGP).append(&attr(0xc0, 99, &[1; 300])).message(),
            Expected::Accept,
        ),
        Case::new(
            "inconsistent-lengths-then-withdrawal",
            "CVE-2026-42285: withdrawal with inconsistent attribute lengths",
            nothing(EBGP)
                .withdrawn(super::ROUTE_V4)
                .append(&[0x40, 2, 50, 2, 1])
                .message(),
            Expected::Reset(3, 1),
        ),
        Case::new(
            "withdrawal-with-malformed-attribute",
            "RFC 7606 section 5.2",
            nothing(EBGP)
                .withdrawn(super::ROUTE_V4)
                .append(&attr(0xc0, 8, &[]))
                .message(),
            Expected::Reset(3, 5),
        ),
        Case::new(
            "withdrawal-with-unknown-attribute",
            "RFC 4271 section 4.3",
            nothing(EBGP)
                .withdrawn(super::ROUTE_V4)
                .append(&attr(0xc0, 99, &[1]))
                .message(),
            Expected::Withdraw,
        ),
        Case::new(
            "several-malformed-attributes",
            "RFC 7606 section 3 (h)",
            two_malformed.message(),
            Expected::Withdraw,
        )
        .on(IBGP),
        Case::new(
            "communities-of-4000-octets-v6",
            "CVE-2016-4049: an UPDATE too long for whom it is told to",
            announce_v6(EBGP)
                .append(&attr(0xc0, 8, &[1; 3900]))
                .message(),
            Expected::Accept,
        )
        .v6(),
    ]
}

/// RFC 9234 section 5: "The OTC Attribute is considered malformed if the length value is not 4",
/// and is then handled by treat-as-withdraw.
fn otc() -> Vec<Case> {
    let row = |name, source, flags, value: &[u8], expected| {
        let octets = announce(EBGP).append(&attr(flags, 35, value)).message();
        Case::new(name, source, octets, expected)
    };
    let section = "RFC 9234 section 5";
    let incident = "2025-10-24: OTC attribute of length 1024";
    vec![
        row("otc-empty", section, 0xc0, &[], OTC_MALFORMED),
        row("otc-length-3", section, 0xc0, &[0; 3], OTC_MALFORMED),
        row("otc-length-5", section, 0xc0, &[0; 5], OTC_MALFORMED),
        row("otc-length-1024", incident, 0xc0, &[1; 1024], OTC_MALFORMED),
        row("otc-as-0", "RFC 7607", 0xc0, &[0; 4], OTC_MALFORMED),
        row(
            "otc-length-4",
            section,
            0xc0,
            &[0, 0, 0xfc, 0x58],
            Expected::Accept,
        ),
    ]
}

/// What becomes of a malformed OTC.
const OTC_MALFORMED: Expected = Expected::Withdraw;
