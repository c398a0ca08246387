//! Optional attributes: communities, route reflection, four-octet AS numbers, and types that are
//! passed on unread.

#![allow(
    clippy::too_many_lines,
    reason = "a function here is a table, and its lines are rows"
)]

use super::{
    Case, EBGP, Expected, IBGP, OUR_ID, Session, TWO_OCTET,
    build::{announce, attr},
};

/// The rows.
pub fn cases() -> Vec<Case> {
    let mut cases = communities();
    cases.extend(reflection());
    cases.extend(four_octet_as());
    cases.extend(aigp());
    cases.extend(unread());
    cases.extend(unrecognized());
    cases
}

fn with(
    name: &str,
    source: &'static str,
    session: Session,
    attribute: &[u8],
    expected: Expected,
) -> Case {
    let octets = announce(session).set(attribute.to_vec()).message();
    Case::new(name, source, octets, expected).on(session)
}

fn communities() -> Vec<Case> {
    let row = |name, source, code, value: &[u8], expected| {
        with(name, source, EBGP, &attr(0xc0, code, value), expected)
    };
    let withdraw = Expected::Withdraw;
    let standard = "RFC 7606 section 7.8";
    let extended = "RFC 7606 section 7.14";
    let large = "RFC 8092 section 6";
    vec![
        row("communities-empty", standard, 8, &[], withdraw),
        row("communities-length-3", standard, 8, &[0; 3], withdraw),
        row("communities-length-5", standard, 8, &[0; 5], withdraw),
        row("communities-length-257", standard, 8, &[0; 257], withdraw),
        row(
            "communities-repeated",
            "RFC 1997",
            8,
            &[0, 1, 0, 1, 0, 1, 0, 1],
            Expected::Accept,
        ),
        row("extended-communities-empty", extended, 16, &[], withdraw),
        row(
            "extended-communities-length-7",
            extended,
            16,
            &[0; 7],
            withdraw,
        ),
        row(
            "extended-communities-length-9",
            "CVE-2010-1674, CVE-2011-3327: extended communities",
            16,
            &[0; 9],
            withdraw,
        ),
        row(
            "extended-communities-unknown-type",
            "CVE-2018-5380: type used as an index",
            16,
            &[0xff; 8],
            Expected::Accept,
        ),
        row("large-communities-empty", large, 32, &[], withdraw),
        row("large-communities-length-11", large, 32, &[0; 11], withdraw),
        row("large-communities-length-13", large, 32, &[0; 13], withdraw),
        row(
            "large-communities-repeated",
            "RFC 8092 section 5",
            32,
            &[7; 24],
            Expected::Accept,
        ),
        row(
            "communities-900",
            "resource exhaustion",
            8,
            &many_communities(900),
            Expected::Accept,
        ),
        row(
            "communities-1000",
            "resource exhaustion",
            8,
            &many_communities(1000),
            Expected::Accept,
        ),
    ]
}

fn many_communities(count: u16) -> Vec<u8> {
    (0..count)
        .flat_map(|value| {
            let [hi, lo] = value.to_be_bytes();
            [0xfc, 0x58, hi, lo]
        })
        .collect()
}

fn reflection() -> Vec<Case> {
    let originator = "RFC 7606 section 7.9";
    let cluster = "RFC 7606 section 7.10";
    let row = |name, source, session, code, value: &[u8], expected| {
        with(name, source, session, &attr(0x80, code, value), expected)
    };
    let withdraw = Expected::Withdraw;
    vec![
        row(
            "originator-id-external",
            originator,
            EBGP,
            9,
            &[10, 0, 0, 9],
            Expected::DiscardAttribute(9),
        ),
        row(
            "originator-id-external-malformed",
            originator,
            EBGP,
            9,
            &[1],
            Expected::DiscardAttribute(9),
        ),
        row("originator-id-empty", originator, IBGP, 9, &[], withdraw),
        row(
            "originator-id-length-3",
            originator,
            IBGP,
            9,
            &[0; 3],
            withdraw,
        ),
        row(
            "originator-id-length-5",
            originator,
            IBGP,
            9,
            &[1; 5],
            withdraw,
        ),
        row(
            "originator-id-is-ours",
            "RFC 4456 section 8",
            IBGP,
            9,
            &OUR_ID,
            Expected::Refuse,
        ),
        row(
            "cluster-list-external",
            cluster,
            EBGP,
            10,
            &[10, 0, 0, 9],
            Expected::DiscardAttribute(10),
        ),
        row(
            "cluster-list-external-malformed",
            cluster,
            EBGP,
            10,
            &[1],
            Expected::DiscardAttribute(10),
        ),
        row("cluster-list-empty", cluster, IBGP, 10, &[], withdraw),
        row(
            "cluster-list-length-3",
            cluster,
            IBGP,
            10,
            &[0; 3],
            withdraw,
        ),
        row(
            "cluster-list-length-5",
            cluster,
            IBGP,
            10,
            &[1; 5],
            withdraw,
        ),
        row(
            "cluster-list-with-ours",
            "RFC 4456 section 8",
            IBGP,
            10,
            &OUR_ID,
            Expected::Refuse,
        ),
    ]
}

fn four_octet_as() -> Vec<Case> {
    let source = "RFC 6793 section 6";
    let path = |name, source, session, value: &[u8], expected| {
        with(name, source, session, &attr(0xc0, 17, value), expected)
    };
    let aggregator = |name, session, value: &[u8]| {
        let octets = announce(session)
            .set(attr(0xc0, 7, &aggregator_of(session)))
            .set(attr(0xc0, 18, value))
            .message();
        Case::new(name, source, octets, Expected::DiscardAttribute(18)).on(session)
    };
    let discard = Expected::DiscardAttribute(17);
    let good = &[2, 1, 0, 0, 0xfc, 0x58];
    vec![
        path("as4-path-from-new-speaker", source, EBGP, good, discard),
        path(
            "as4-path-from-new-speaker-malformed",
            source,
            EBGP,
            &[9],
            discard,
        ),
        path("as4-path-empty", source, TWO_OCTET, &[], discard),
        path(
            "as4-path-length-5",
            source,
            TWO_OCTET,
            &[2, 1, 0, 0, 0],
            discard,
        ),
        path(
            "as4-path-segment-type-9",
            source,
            TWO_OCTET,
            &[9, 1, 0, 0, 0xfc, 0x58],
            discard,
        ),
        path(
            "as4-path-segment-empty",
            source,
            TWO_OCTET,
            &[2, 0],
            discard,
        ),
        path(
            "as4-path-segment-overruns",
            source,
            TWO_OCTET,
            &[2, 200, 0, 0, 0xfc, 0x58],
            discard,
        ),
        path(
            "as4-path-as-0",
            "RFC 7607 section 2",
            TWO_OCTET,
            &[2, 1, 0, 0, 0, 0],
            discard,
        ),
        path(
            "as4-path-longer-than-as-path",
            "RFC 6793 section 4.2.3: ignored",
            TWO_OCTET,
            &[2, 3, 0, 1, 0, 1, 0, 1, 0, 2, 0, 1, 0, 3],
            Expected::Accept,
        ),
        path(
            "as4-path-with-confederation",
            "2009: AS_CONFED_SEQUENCE leaked in AS4_PATH; RFC 6793 section 6",
            TWO_OCTET,
            &[3, 1, 0, 0, 0, 9, 2, 1, 0, 0, 0xfc, 0x58],
            Expected::Accept,
        ),
        Case::new(
            "as4-path-malformed-before-as-path",
            "CVE-2026-41643: malformed AS4_PATH ahead of AS_PATH",
            announce(TWO_OCTET)
                .prepend(&attr(0xc0, 17, &[2, 200, 0, 0, 0xfc, 0x58]))
                .message(),
            discard,
        )
        .on(TWO_OCTET),
        aggregator(
            "as4-aggregator-from-new-speaker",
            EBGP,
            &[0, 1, 0, 1, 10, 0, 0, 1],
        ),
        aggregator("as4-aggregator-empty", TWO_OCTET, &[]),
        aggregator("as4-aggregator-length-7", TWO_OCTET, &[0; 7]),
        aggregator("as4-aggregator-length-9", TWO_OCTET, &[1; 9]),
        aggregator("as4-aggregator-as-0", TWO_OCTET, &[0, 0, 0, 0, 10, 0, 0, 1]),
    ]
}

/// AS_TRANS, so that AS4_AGGREGATOR would count.
fn aggregator_of(session: Session) -> Vec<u8> {
    let mut value = super::build::asn_octets(session, 23456);
    value.extend([10, 0, 0, 1]);
    value
}

/// RFC 7311 section 3.2: a malformed AIGP is ignored without a word, and so is any on a session that
/// has it disabled, as external ones have (section 3.3).
fn aigp() -> Vec<Case> {
    let metric = [1, 0, 11, 0, 0, 0, 0, 0, 0, 0, 7];
    let crash = "CVE-2023-41359: AIGP of one octet";
    let malformed = "RFC 7311 section 3.2";
    let row = |name: &str, source, flags, value: &[u8]| {
        let aigp = attr(flags, 26, value);
        [("", IBGP), ("-from-outside", EBGP)].map(|(where_from, session)| {
            let name = format!("aigp-{name}{where_from}");
            with(&name, source, session, &aigp, Expected::Accept)
        })
    };
    let whole_and = |more: &[u8]| [&metric, more].concat();
    [
        row("well-formed", "RFC 7311 section 3", 0x80, &metric),
        row("twice", malformed, 0x80, &whole_and(&metric)),
        row("unknown-tlv", malformed, 0x80, &[9, 0, 4, 1]),
        row("empty", malformed, 0x80, &[]),
        row("1-octet", crash, 0x80, &[1]),
        row("tlv-length-0", crash, 0x80, &[1, 0, 0]),
        row("tlv-length-2", malformed, 0x80, &[9, 0, 2]),
        row(
            "tlv-length-10",
            malformed,
            0x80,
            &[1, 0, 10, 0, 0, 0, 0, 0, 0, 7],
        ),
        row("tlv-overrun", malformed, 0x80, &whole_and(&[9, 0, 200, 1])),
        row("half-a-tlv", malformed, 0x80, &whole_and(&[9, 0])),
        row(
            "without-end",
            malformed,
            0x80,
            &[1, 0, 11, 255, 255, 255, 255, 255, 255, 255, 255],
        ),
        row("transitive", malformed, 0xc0, &metric),
        row("well-known", malformed, 0x40, &metric),
    ]
    .concat()
}

/// Types that we do not read: optional transitive ones go on untouched, and no content of theirs can
/// do anything.
fn unread() -> Vec<Case> {
    let row = |name, source, flags, code, value: &[u8]| {
        with(
            name,
            source,
            EBGP,
            &attr(flags, code, value),
            Expected::Accept,
        )
    };
    let corrupted = "VU#347067: corrupted optional attributes reset sessions far away";
    vec![
        row("pmsi-tunnel-short", corrupted, 0xc0, 22, &[0]),
        row(
            "tunnel-encapsulation-corrupt",
            "CVE-2023-38802: attribute 23",
            0xc0,
            23,
            &[0, 1, 0, 200, 1],
        ),
        row(
            "tunnel-encapsulation-empty",
            "CVE-2023-38802",
            0xc0,
            23,
            &[],
        ),
        row(
            "traffic-engineering-short",
            "RFC 7606 section 7.13",
            0x80,
            24,
            &[1],
        ),
        row(
            "ipv6-extended-communities-length-19",
            "CVE-2026-37461: attribute 25",
            0xc0,
            25,
            &[0; 19],
        ),
        row(
            "entropy-label",
            "2023-06: attribute 28 in the wild; CVE-2023-38283",
            0xc0,
            28,
            &[],
        ),
        row(
            "entropy-label-corrupt",
            "CVE-2023-38283",
            0xe0,
            28,
            &[0xff; 40],
        ),
        row("link-state-corrupt", corrupted, 0x80, 29, &[4, 0, 255, 255]),
        row(
            "prefix-sid-zeros",
            "2025-05-20: attribute 40 of zeros",
            0xc0,
            40,
            &[0; 16],
        ),
        row(
            "prefix-sid-short",
            "CVE-2023-31490, CVE-2024-31948",
            0xc0,
            40,
            &[1, 0, 200],
        ),
        row("prefix-sid-empty", "CVE-2024-31948", 0xc0, 40, &[]),
        row(
            "attr-set-corrupt",
            "RFC 6368 section 5",
            0xc0,
            128,
            &[0, 0, 0],
        ),
        row("attribute-0", corrupted, 0xc0, 0, &[1, 2, 3]),
        row("attribute-254", corrupted, 0xc0, 254, &[0; 100]),
        row("attribute-255-development", corrupted, 0xc0, 255, &[1]),
    ]
}

fn unrecognized() -> Vec<Case> {
    let source = "RFC 4271 section 5";
    let row = |name, source, flags, expected| {
        with(name, source, EBGP, &attr(flags, 99, &[1, 2, 3]), expected)
    };
    let well_known = "RFC 4271 section 6.3, CVE-2026-41642: unrecognised well-known attribute";
    vec![
        row("unknown-transitive", source, 0xc0, Expected::Accept),
        row("unknown-transitive-partial", source, 0xe0, Expected::Accept),
        row(
            "unknown-transitive-low-bits",
            source,
            0xcf,
            Expected::Accept,
        ),
        row("unknown-non-transitive", source, 0x80, Expected::Accept),
        row(
            "unknown-non-transitive-partial",
            source,
            0xa0,
            Expected::Accept,
        ),
        row(
            "unknown-well-known",
            well_known,
            0x40,
            Expected::Reset(3, 2),
        ),
        row(
            "unknown-without-flags",
            well_known,
            0x00,
            Expected::Reset(3, 2),
        ),
        row(
            "unknown-well-known-partial",
            well_known,
            0x60,
            Expected::Reset(3, 2),
        ),
    ]
}
