//! The attributes of RFC 4271: flags of every type, then values row by row (RFC 7606 section 7).

#![allow(
    clippy::too_many_lines,
    reason = "a function here is a table, and its lines are rows"
)]

use super::{
    Case, EBGP, Expected, IBGP, Session, TWO_OCTET,
    build::{announce, attr},
};

/// The rows.
pub fn cases() -> Vec<Case> {
    let mut cases = flags();
    cases.extend(origin());
    cases.extend(as_path());
    cases.extend(next_hop());
    cases.extend(numbers());
    cases.extend(aggregation());
    cases
}

/// The route with this attribute.
fn with(
    name: impl Into<String>,
    source: &'static str,
    session: Session,
    attribute: &[u8],
    expected: Expected,
) -> Case {
    let octets = announce(session).set(attribute.to_vec()).message();
    Case::new(name, source, octets, expected).on(session)
}

/// Each type with each flag turned round. The Partial bit says something on optional transitive
/// attributes alone.
fn flags() -> Vec<Case> {
    let values: [(&str, u8, u8, Session, &[u8]); 13] = [
        ("origin", 0x40, 1, EBGP, &[0]),
        ("as-path", 0x40, 2, EBGP, &[2, 1, 0, 0, 0xfc, 0x58]),
        ("next-hop", 0x40, 3, EBGP, &[10, 99, 0, 200]),
        ("med", 0x80, 4, EBGP, &[0, 0, 0, 9]),
        ("local-pref", 0x40, 5, IBGP, &[0, 0, 0, 9]),
        ("atomic-aggregate", 0x40, 6, EBGP, &[]),
        (
            "aggregator",
            0xc0,
            7,
            EBGP,
            &[0, 0, 0xfc, 0x58, 10, 0, 0, 1],
        ),
        ("communities", 0xc0, 8, EBGP, &[0xfc, 0x58, 0, 1]),
        ("originator-id", 0x80, 9, IBGP, &[10, 0, 0, 9]),
        ("cluster-list", 0x80, 10, IBGP, &[10, 0, 0, 9]),
        (
            "extended-communities",
            0xc0,
            16,
            EBGP,
            &[0, 2, 0xfc, 0x58, 0, 0, 0, 1],
        ),
        ("as4-path", 0xc0, 17, TWO_OCTET, &[2, 1, 0, 0, 0xfc, 0x58]),
        (
            "large-communities",
            0xc0,
            32,
            EBGP,
            &[0, 0, 0xfc, 0x58, 0, 0, 0, 1, 0, 0, 0, 2],
        ),
    ];
    let mut cases = Vec::new();
    for (name, right, code, session, value) in values {
        for (flag, bit) in [("optional", 0x80), ("transitive", 0x40), ("partial", 0x20)] {
            let harmless = bit == 0x20 && right == 0xc0;
            let expected = if harmless {
                Expected::Accept
            } else {
                Expected::Withdraw
            };
            cases.push(with(
                format!("{name}-{flag}-bit-turned"),
                "RFC 7606 section 3 (c)",
                session,
                &attr(right ^ bit, code, value),
                expected,
            ));
        }
    }
    cases
}

fn origin() -> Vec<Case> {
    let row = |name, value: &[u8]| {
        with(
            name,
            "RFC 7606 section 7.1",
            EBGP,
            &attr(0x40, 1, value),
            Expected::Withdraw,
        )
    };
    vec![
        row("origin-empty", &[]),
        row("origin-length-2", &[0, 0]),
        row("origin-3", &[3]),
        row("origin-255", &[255]),
        row("origin-length-255", &[0; 255]),
    ]
}

fn as_path() -> Vec<Case> {
    let source = "RFC 7606 section 7.2";
    let withdraw = Expected::Withdraw;
    let row = |name, source, value: &[u8], expected| {
        with(name, source, EBGP, &attr(0x40, 2, value), expected)
    };
    let confederation = "RFC 5065 section 5";
    let zero = "RFC 7607 section 2";
    vec![
        row(
            "as-path-segment-type-0",
            source,
            &[0, 1, 0, 0, 0xfc, 0x58],
            withdraw,
        ),
        row(
            "as-path-segment-type-5",
            "CVE-2010-2949: unknown segment type",
            &[5, 1, 0, 0, 0xfc, 0x58],
            withdraw,
        ),
        row(
            "as-path-segment-type-255",
            source,
            &[255, 1, 0, 0, 0xfc, 0x58],
            withdraw,
        ),
        row("as-path-segment-empty", source, &[2, 0], withdraw),
        row(
            "as-path-second-segment-empty",
            source,
            &[2, 1, 0, 0, 0xfc, 0x58, 2, 0],
            withdraw,
        ),
        row(
            "as-path-segment-overruns",
            source,
            &[2, 9, 0, 0, 0xfc, 0x58],
            withdraw,
        ),
        row(
            "as-path-segment-overruns-by-1",
            source,
            &[2, 1, 0, 0, 0xfc],
            withdraw,
        ),
        row(
            "as-path-one-octet-left",
            source,
            &[2, 1, 0, 0, 0xfc, 0x58, 2],
            withdraw,
        ),
        row("as-path-one-octet", source, &[2], withdraw),
        row(
            "as-path-two-octet-numbers",
            "RFC 6793 section 4.2.3",
            &[2, 1, 0xfc, 0x58],
            withdraw,
        ),
        row(
            "as-path-as-0",
            zero,
            &[2, 2, 0, 0, 0xfc, 0x58, 0, 0, 0, 0],
            withdraw,
        ),
        row("as-path-as-0-first", zero, &[2, 1, 0, 0, 0, 0], withdraw),
        row(
            "as-path-confederation-sequence",
            confederation,
            &[3, 1, 0, 0, 0xfc, 0x58],
            withdraw,
        ),
        row(
            "as-path-confederation-set",
            confederation,
            &[4, 1, 0, 0, 0xfc, 0x58],
            withdraw,
        ),
        row(
            "as-path-confederation-behind",
            confederation,
            &[2, 1, 0, 0, 0xfc, 0x58, 3, 1, 0, 0, 0, 9],
            withdraw,
        ),
        row(
            "as-path-with-set",
            "RFC 9774 section 3: AS_SET",
            &[2, 1, 0, 0, 0xfc, 0x58, 1, 2, 0, 0, 0, 7, 0, 0, 0, 8],
            Expected::Refuse,
        ),
        row(
            "as-path-empty-external",
            "RFC 4271 section 6.3: first AS",
            &[],
            Expected::Refuse,
        ),
        row(
            "as-path-of-a-stranger",
            "RFC 4271 section 6.3: first AS",
            &[2, 1, 0, 0, 0, 9],
            Expected::Refuse,
        ),
        row(
            "as-path-with-our-as",
            "RFC 4271 section 9.1.2",
            &[2, 2, 0, 0, 0xfc, 0x58, 0, 0, 0xfb, 0xf4],
            Expected::Refuse,
        ),
        with(
            "as-path-four-octet-numbers",
            "RFC 6793 section 4.2.3",
            TWO_OCTET,
            &attr(0x40, 2, &[2, 1, 0, 0, 0xfc, 0x58]),
            withdraw,
        ),
        with(
            "as-path-confederation-internal",
            confederation,
            IBGP,
            &attr(0x40, 2, &[3, 1, 0, 0, 0xfc, 0x58]),
            withdraw,
        ),
    ]
}

fn next_hop() -> Vec<Case> {
    let length = "RFC 7606 section 7.3";
    let semantic = "RFC 4271 section 6.3";
    let row = |name, source, value: &[u8]| {
        with(
            name,
            source,
            EBGP,
            &attr(0x40, 3, value),
            Expected::Withdraw,
        )
    };
    let mut cases = vec![
        row(
            "next-hop-empty",
            "CVE-2026-30405: NEXT_HOP shorter than 4",
            &[],
        ),
        row("next-hop-length-3", "CVE-2026-30405", &[10, 99, 0]),
        row("next-hop-length-5", length, &[10, 99, 0, 200, 0]),
        row("next-hop-length-16", length, &[0; 16]),
        row("next-hop-0.0.0.0", semantic, &[0; 4]),
        row("next-hop-this-network", semantic, &[0, 1, 2, 3]),
        row("next-hop-loopback", semantic, &[127, 0, 0, 1]),
        row("next-hop-multicast", semantic, &[224, 0, 0, 5]),
        row("next-hop-class-e", semantic, &[240, 0, 0, 1]),
        row("next-hop-broadcast", semantic, &[255; 4]),
    ];
    cases.push(with(
        "next-hop-is-ours",
        semantic,
        EBGP,
        &attr(0x40, 3, &super::OUR_ID),
        Expected::Refuse,
    ));
    cases
}

fn numbers() -> Vec<Case> {
    let med = |name, value: &[u8]| {
        with(
            name,
            "RFC 7606 section 7.4",
            EBGP,
            &attr(0x80, 4, value),
            Expected::Withdraw,
        )
    };
    let local_pref = |name, session, value: &[u8], expected| {
        with(
            name,
            "RFC 7606 section 7.5",
            session,
            &attr(0x40, 5, value),
            expected,
        )
    };
    let discard = Expected::DiscardAttribute(5);
    vec![
        med("med-empty", &[]),
        med("med-length-3", &[0; 3]),
        med("med-length-5", &[0; 5]),
        local_pref("local-pref-external", EBGP, &[0, 0, 0, 100], discard),
        local_pref("local-pref-external-malformed", EBGP, &[0], discard),
        local_pref("local-pref-empty", IBGP, &[], Expected::Withdraw),
        local_pref("local-pref-length-3", IBGP, &[0; 3], Expected::Withdraw),
        local_pref("local-pref-length-5", IBGP, &[0; 5], Expected::Withdraw),
    ]
}

fn aggregation() -> Vec<Case> {
    let atomic = |name, value: &[u8]| {
        let discard = Expected::DiscardAttribute(6);
        with(
            name,
            "RFC 7606 section 7.6",
            EBGP,
            &attr(0x40, 6, value),
            discard,
        )
    };
    let aggregator = |name, source, session, value: &[u8]| {
        let discard = Expected::DiscardAttribute(7);
        with(name, source, session, &attr(0xc0, 7, value), discard)
    };
    let source = "RFC 7606 section 7.7";
    vec![
        atomic("atomic-aggregate-length-1", &[0]),
        atomic("atomic-aggregate-length-4", &[0; 4]),
        aggregator("aggregator-empty", source, EBGP, &[]),
        aggregator(
            "aggregator-length-6-four-octet",
            source,
            EBGP,
            &[0xfc, 0x58, 10, 0, 0, 1],
        ),
        aggregator("aggregator-length-7", source, EBGP, &[0; 7]),
        aggregator("aggregator-length-9", source, EBGP, &[1; 9]),
        aggregator(
            "aggregator-length-8-two-octet",
            source,
            TWO_OCTET,
            &[0, 0, 0xfc, 0x58, 10, 0, 0, 1],
        ),
        aggregator(
            "aggregator-as-0",
            "RFC 7607 section 2",
            EBGP,
            &[0, 0, 0, 0, 10, 0, 0, 1],
        ),
        aggregator(
            "aggregator-as-0-two-octet",
            "RFC 7607 section 2",
            TWO_OCTET,
            &[0, 0, 10, 0, 0, 1],
        ),
    ]
}
