//! The UPDATE as a whole: the lengths of its fields, NLRI, the attribute list, what is missing or
//! there twice (RFC 4271 section 6.3, RFC 7606 sections 3 to 5).

#![allow(
    clippy::too_many_lines,
    reason = "a function here is a table, and its lines are rows"
)]

use super::{
    ADD_PATH, Case, EBGP, Expected, IBGP, ROUTE_V4, TWO_OCTET,
    build::{UpdateParts, announce, announce_v6, attr, mp_unreach, nothing, update_with},
};

const FRAME: &str = "RFC 4271 section 6.3";
const NLRI: &str = "RFC 7606 section 5.3";
const LIST: &str = "RFC 7606 section 4";

/// The rows.
pub fn cases() -> Vec<Case> {
    let mut cases = frame();
    cases.extend(nlri());
    cases.extend(attribute_list());
    cases.extend(missing());
    cases.extend(duplicates());
    cases.extend(no_routes());
    cases
}

fn row(name: &str, source: &'static str, parts: &UpdateParts, expected: Expected) -> Case {
    Case::new(name, source, parts.message(), expected).on(parts.session())
}

fn frame() -> Vec<Case> {
    let attributes = [
        attr(0x40, 1, &[0]),
        attr(0x40, 2, &[]),
        attr(0x40, 3, &[10, 99, 0, 200]),
    ]
    .concat();
    let len = attributes.len();
    let reset = Expected::Reset(3, 1);
    let raw = |name, source, octets: Vec<u8>| Case::new(name, source, octets, reset);
    let underflow = "CVE-2026-37462: lengths that underflow 16 bits";
    vec![
        raw(
            "withdrawn-overrun",
            FRAME,
            update_with(&[], 300, &attributes, len, ROUTE_V4),
        ),
        raw(
            "withdrawn-overruns-by-1",
            FRAME,
            update_with(&[24, 10, 9, 0], 7, &[], 0, &[]),
        ),
        raw(
            "withdrawn-65535",
            underflow,
            update_with(&[], 65535, &[], 0, &[]),
        ),
        raw(
            "attributes-overrun",
            FRAME,
            update_with(&[], 0, &attributes, len + 20, ROUTE_V4),
        ),
        raw(
            "attributes-overrun-by-1",
            FRAME,
            update_with(&[], 0, &attributes, len + 1, &[]),
        ),
        raw(
            "attributes-65535",
            underflow,
            update_with(&[], 0, &attributes, 65535, ROUTE_V4),
        ),
        raw(
            "withdrawn-hides-attributes-length",
            underflow,
            update_with(&[], 2, &[], 0, &[]),
        ),
        raw(
            "withdrawn-leaves-one-octet",
            underflow,
            update_with(&[0], 2, &[], 0, &[]),
        ),
    ]
}

fn nlri() -> Vec<Case> {
    let reset = Expected::Reset(3, 10);
    let taken =
        |name, octets: &[u8], expected| row(name, NLRI, &announce(EBGP).nlri(octets), expected);
    let gone = |name, octets: &[u8]| row(name, NLRI, &nothing(EBGP).withdrawn(octets), reset);
    let with = |more: &[u8]| [ROUTE_V4, more].concat();
    vec![
        taken("nlri-length-33", &[33, 10, 9, 0, 0, 0], reset),
        taken("nlri-length-255", &with(&[255, 10]), reset),
        taken("nlri-cut-short", &with(&[24, 10, 8]), reset),
        taken("nlri-length-alone", &with(&[16]), reset),
        taken(
            "nlri-host-bits",
            &[24, 10, 9, 0, 30, 10, 8, 7, 255],
            Expected::Accept,
        ),
        taken("nlri-twice", &with(ROUTE_V4), Expected::Accept),
        taken(
            "nlri-beside-martian",
            &with(&[8, 127, 4, 224, 32, 255, 255, 255, 255]),
            Expected::Accept,
        ),
        gone("withdrawn-length-33", &[33, 10, 9, 0, 0, 0]),
        gone("withdrawn-cut-short", &[24, 10, 9]),
        row(
            "withdrawn-unknown-route",
            "RFC 4271 section 4.3",
            &nothing(EBGP).withdrawn(&[24, 10, 200, 0]),
            Expected::Ignore,
        ),
        row(
            "withdrawn-and-announced",
            "RFC 4271 section 4.3",
            &announce(EBGP).withdrawn(ROUTE_V4),
            Expected::Accept,
        ),
        row(
            "nlri-900-prefixes",
            "resource exhaustion",
            &announce(EBGP).nlri(&many_prefixes()),
            Expected::Accept,
        ),
        row(
            "add-path-identifier-cut-short",
            "RFC 7911 section 3",
            &announce(ADD_PATH).nlri(&[0, 0, 0]),
            reset,
        ),
        row(
            "add-path-without-identifier",
            "RFC 7911 section 3",
            &announce(ADD_PATH).nlri(ROUTE_V4),
            reset,
        ),
        row(
            "add-path-identifier-0",
            "RFC 7911 section 3",
            &announce(ADD_PATH).nlri(&[0, 0, 0, 0, 24, 10, 9, 0]),
            Expected::Accept,
        ),
    ]
}

fn many_prefixes() -> Vec<u8> {
    let mut out = ROUTE_V4.to_vec();
    for index in 0..900_u16 {
        let [hi, lo] = index.to_be_bytes();
        out.extend([24, 11, hi, lo]);
    }
    out
}

fn attribute_list() -> Vec<Case> {
    let withdraw = Expected::Withdraw;
    let tail = |name, octets: &[u8]| row(name, LIST, &announce(EBGP).append(octets), withdraw);
    vec![
        tail("attribute-of-1-octet", &[0xc0]),
        tail("attribute-of-2-octets", &[0xc0, 8]),
        tail("attribute-of-3-octets-extended", &[0xd0, 8, 0]),
        tail("attribute-overruns", &[0xc0, 8, 8, 0, 0, 0, 1]),
        tail("attribute-overruns-extended", &[0xd0, 8, 255, 255, 0]),
        tail("unknown-attribute-overruns", &[0xc0, 99, 200, 1]),
        tail("unknown-optional-attribute-overruns", &[0x80, 99, 200, 1]),
        tail("med-overruns", &[0x80, 4, 4, 0, 0]),
        row(
            "inner-length-too-long",
            LIST,
            &announce(EBGP).set(vec![0x40, 1, 9, 0]),
            withdraw,
        ),
        row(
            "inner-length-too-short",
            LIST,
            &announce(EBGP).set(vec![0x40, 2, 4, 2, 1, 0, 0, 0xfc, 0x58]),
            // What is left of the value reads as an attribute that overruns.
            withdraw,
        ),
        row(
            "mp-reach-overruns",
            "RFC 7606 section 3 (j); CVE-2017-15865, CVE-2018-5378: an answer with what lies behind the message",
            &nothing(EBGP).append(&[0x80, 14, 200, 0, 2, 1, 16]),
            Expected::Reset(3, 9),
        )
        .v6(),
        row(
            "mp-unreach-overruns",
            "RFC 7606 section 3 (j)",
            &nothing(EBGP).append(&[0x80, 15, 200, 0, 2, 1, 16]),
            Expected::Reset(3, 9),
        )
        .v6(),
        row(
            "strongest-action-wins",
            "RFC 7606 section 3 (h)",
            &announce(EBGP)
                .append(&attr(0xc0, 7, &[0; 3]))
                .set(attr(0x40, 1, &[9])),
            withdraw,
        ),
        row(
            "reset-beats-withdraw",
            "RFC 7606 section 3 (h)",
            &announce(EBGP).set(attr(0x40, 1, &[9])).nlri(&[33, 10]),
            Expected::Reset(3, 10),
        ),
        row(
            "attributes-in-reverse-order",
            "RFC 4271 section 5",
            &nothing(EBGP)
                .append(&attr(0x40, 3, &[10, 99, 0, 200]))
                .append(&attr(0x40, 2, &[2, 1, 0, 0, 0xfc, 0x58]))
                .append(&attr(0x40, 1, &[2]))
                .nlri(ROUTE_V4),
            Expected::Accept,
        ),
        row(
            "low-flag-bits-set",
            "RFC 4271 section 4.3: ignored when received",
            &announce(EBGP).set(attr(0x4f & !0x10, 1, &[0])),
            Expected::Accept,
        ),
        row(
            "extended-length-for-one-octet",
            "RFC 4271 section 4.3",
            &announce(EBGP).set(attr(0x50, 1, &[0])),
            Expected::Accept,
        ),
    ]
}

fn missing() -> Vec<Case> {
    let source = "RFC 7606 section 3 (d)";
    let withdraw = Expected::Withdraw;
    vec![
        row("no-origin", source, &announce(EBGP).without(1), withdraw),
        row("no-as-path", source, &announce(EBGP).without(2), withdraw),
        row("no-next-hop", source, &announce(EBGP).without(3), withdraw),
        row(
            "no-local-pref-internal",
            source,
            &announce(IBGP).without(5),
            withdraw,
        ),
        row(
            "no-origin-v6",
            source,
            &announce_v6(EBGP).without(1),
            withdraw,
        )
        .v6(),
        row(
            "no-as-path-v6",
            source,
            &announce_v6(EBGP).without(2),
            withdraw,
        )
        .v6(),
        row(
            "next-hop-beside-mp-reach",
            "RFC 4760 section 3: ignored",
            &announce_v6(EBGP).append(&attr(0x40, 3, &[10, 99, 0, 200])),
            Expected::Accept,
        )
        .v6(),
        row(
            "nlri-without-attributes",
            "CVE-2023-41358: NLRI with an attribute length of 0",
            &nothing(EBGP).nlri(ROUTE_V4),
            withdraw,
        ),
        row(
            "only-unknown-attribute",
            "CVE-2023-46753: an unknown transitive attribute and nothing mandatory",
            &nothing(EBGP).append(&attr(0xc0, 99, &[1])).nlri(ROUTE_V4),
            withdraw,
        ),
    ]
}

fn duplicates() -> Vec<Case> {
    let source = "RFC 7606 section 3 (g)";
    let twice = |name, attribute: Vec<u8>| {
        let code = attribute.get(1).copied().unwrap_or_default();
        let parts = announce(EBGP).set(attribute.clone()).append(&attribute);
        row(name, source, &parts, Expected::DiscardAttribute(code))
    };
    vec![
        twice("origin-twice", attr(0x40, 1, &[0])),
        twice("as-path-twice", attr(0x40, 2, &[2, 1, 0, 0, 0xfc, 0x58])),
        twice("next-hop-twice", attr(0x40, 3, &[10, 99, 0, 200])),
        twice("med-twice", attr(0x80, 4, &[0, 0, 0, 1])),
        twice("communities-twice", attr(0xc0, 8, &[0, 1, 0, 2])),
        twice("large-communities-twice", attr(0xc0, 32, &[1; 12])),
        twice("unknown-twice", attr(0xc0, 99, &[1])),
        row(
            "origin-twice-second-malformed",
            source,
            &announce(EBGP).append(&attr(0x40, 1, &[9, 9])),
            Expected::DiscardAttribute(1),
        ),
        row(
            "origin-twice-first-malformed",
            source,
            &announce(EBGP)
                .set(attr(0x40, 1, &[9]))
                .append(&attr(0x40, 1, &[0])),
            Expected::Withdraw,
        ),
        row(
            "mp-reach-twice",
            source,
            &announce_v6(EBGP).append(&attr(0x80, 14, &[0, 2, 1, 0, 0])),
            Expected::Reset(3, 1),
        )
        .v6(),
        row(
            "mp-unreach-twice",
            source,
            &nothing(EBGP)
                .append(&attr(0x80, 15, &mp_unreach(2, 1, &[])))
                .append(&attr(0x80, 15, &mp_unreach(2, 1, &[]))),
            Expected::Reset(3, 1),
        )
        .v6(),
    ]
}

/// RFC 7606 section 5.2: without routes to announce, anything stronger than discarding resets.
fn no_routes() -> Vec<Case> {
    let source = "RFC 7606 section 5.2";
    let ignore = Expected::Ignore;
    vec![
        row(
            "attributes-alone",
            source,
            &announce(EBGP).nlri(&[]),
            ignore,
        ),
        row(
            "malformed-attributes-alone",
            source,
            &announce(EBGP).nlri(&[]).set(attr(0x40, 1, &[9])),
            Expected::Reset(3, 6),
        ),
        row(
            "end-of-rib-with-malformed-attribute",
            "CVE-2023-47235: End-of-RIB with a malformed attribute",
            &nothing(EBGP)
                .append(&attr(0x80, 15, &mp_unreach(2, 1, &[])))
                .append(&attr(0x40, 1, &[9])),
            Expected::Reset(3, 6),
        )
        .v6(),
        row(
            "end-of-rib-with-attributes",
            "RFC 4724 section 2",
            &nothing(EBGP)
                .append(&attr(0x80, 15, &mp_unreach(2, 1, &[])))
                .append(&attr(0x40, 1, &[0])),
            ignore,
        )
        .v6(),
        row(
            "discarded-attribute-alone",
            source,
            &nothing(EBGP).append(&attr(0xc0, 7, &[0; 3])),
            ignore,
        ),
        row(
            "end-of-rib-twice",
            "RFC 4724 section 2",
            &nothing(EBGP),
            ignore,
        ),
        row(
            "end-of-rib-two-octet",
            "RFC 4724 section 2",
            &nothing(TWO_OCTET),
            ignore,
        ),
    ]
}
