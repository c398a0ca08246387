//! OPEN: fixed fields, optional parameters in both shapes (RFC 9072), capabilities (RFC 5492).
//!
//! One rule decides most rows: lengths that do not add up refuse the OPEN; a capability whose value
//! is not what its own RFC says is not negotiated, and costs nothing else.

#![allow(
    clippy::too_many_lines,
    reason = "a function here is a table, and its lines are rows"
)]

use super::{
    Case, EBGP, Expected, IBGP, OUR_ID, Session, TWO_OCTET,
    build::{OPEN, capabilities, capability, len16, message, offered, open_with},
};

const FIXED: &str = "RFC 4271 section 6.2";
const PARAMETERS: &str = "RFC 5492 section 4";
const EXTENDED: &str = "RFC 9072 section 2";
/// Identifier of the peer; the live test puts the session's own address in its place.
pub(super) const ID: [u8; 4] = [10, 99, 1, 1];

/// The rows.
pub fn cases() -> Vec<Case> {
    let mut cases = fixed_fields();
    cases.extend(identity());
    cases.extend(parameters());
    cases.extend(extended_parameters());
    cases.extend(capability_values());
    cases.into_iter().map(Case::first).collect()
}

fn fields(version: u8, asn: u16, hold: u16, id: [u8; 4], parameters: &[u8]) -> Vec<u8> {
    let mut body = vec![version];
    body.extend(asn.to_be_bytes());
    body.extend(hold.to_be_bytes());
    body.extend(id);
    body.extend(parameters);
    message(OPEN, &body)
}

fn usual() -> Vec<u8> {
    capabilities(&offered(EBGP))
}

fn fixed_fields() -> Vec<Case> {
    let row = |name, version, asn, hold, id, expected| {
        Case::new(
            name,
            FIXED,
            fields(version, asn, hold, id, &usual()),
            expected,
        )
    };
    vec![
        row("version-3", 3, 64600, 90, ID, Expected::Reset(2, 1)),
        row("version-5", 5, 64600, 90, ID, Expected::Reset(2, 1)),
        row("version-0", 0, 64600, 90, ID, Expected::Reset(2, 1)),
        row("hold-time-1", 4, 64600, 1, ID, Expected::Reset(2, 6)),
        row("hold-time-2", 4, 64600, 2, ID, Expected::Reset(2, 6)),
        row("hold-time-0", 4, 64600, 0, ID, Expected::Accept),
        row("hold-time-3", 4, 64600, 3, ID, Expected::Accept),
        row("hold-time-65535", 4, 64600, 65535, ID, Expected::Accept),
        row("identifier-0", 4, 64600, 90, [0; 4], Expected::Reset(2, 3)),
        row(
            "my-as-field-differs-from-capability",
            4,
            1,
            90,
            ID,
            Expected::Accept,
        ),
        Case::new(
            "identifier-no-host-address",
            "RFC 6286 section 2.1: any number but zero",
            fields(4, 64600, 90, [239, 1, 2, 3], &usual()),
            Expected::Accept,
        ),
    ]
}

fn identity() -> Vec<Case> {
    let mut zero = capability(1, &[0, 1, 0, 1]);
    zero.extend(capability(65, &[0; 4]));
    let mut stranger = capability(1, &[0, 1, 0, 1]);
    stranger.extend(capability(65, &65_001_u32.to_be_bytes()));
    let vpn_only = [
        capability(1, &[0, 1, 0, 128]),
        capability(65, &64600_u32.to_be_bytes()),
    ]
    .concat();
    vec![
        Case::new(
            "my-as-0",
            "RFC 7607 section 2",
            fields(4, 0, 90, ID, &[0]),
            Expected::Reset(2, 2),
        ),
        Case::new(
            "capability-as-0",
            "RFC 7607 section 2",
            fields(4, 64600, 90, ID, &capabilities(&zero)),
            Expected::Reset(2, 2),
        ),
        Case::new(
            "another-as",
            FIXED,
            fields(4, 64600, 90, ID, &capabilities(&stranger)),
            Expected::Reset(2, 2),
        )
        .codec_says(Expected::Accept),
        Case::new(
            "as-trans-without-capability",
            "RFC 6793 section 9",
            fields(4, 23456, 90, ID, &[0]),
            Expected::Reset(2, 2),
        )
        .codec_says(Expected::Accept),
        Case::new(
            "our-identifier-in-our-as",
            "RFC 6286 section 2.2",
            open_with(IBGP, OUR_ID, &capabilities(&offered(IBGP))),
            Expected::Reset(2, 3),
        )
        .on(IBGP)
        .codec_says(Expected::Accept),
        Case::new(
            "our-identifier-in-another-as",
            "RFC 6286 section 2.1: unique within an AS",
            open_with(EBGP, OUR_ID, &usual()),
            Expected::Accept,
        ),
        Case::new(
            "no-common-family",
            "RFC 5492 section 5",
            fields(4, 64600, 90, ID, &capabilities(&vpn_only)),
            Expected::Reset(2, 7),
        )
        .codec_says(Expected::Accept),
        Case::new(
            "no-parameters",
            FIXED,
            fields(4, 64600, 90, ID, &[0]),
            Expected::Accept,
        ),
    ]
}

fn parameters() -> Vec<Case> {
    let bad = Expected::Reset(2, 0);
    let row = |name, source, parameters: &[u8], expected| {
        Case::new(name, source, fields(4, 64600, 90, ID, parameters), expected)
    };
    let empty: Vec<u8> = [vec![254], [2, 0].repeat(127)].concat();
    let four = capability(65, &64600_u32.to_be_bytes());
    let two_parameters = [vec![12, 2, 2, 2, 0, 2, 6], four.clone()].concat();
    let mut overlong = usual();
    overlong.push(0);
    vec![
        row("parameters-overrun", FIXED, &[20, 2, 2, 1, 4], bad),
        row("octets-after-parameters", FIXED, &overlong, bad),
        row(
            "parameters-length-missing",
            "CVE-2018-5381: OPEN lengths",
            &[1],
            bad,
        ),
        row(
            "parameter-ends-after-type",
            "CVE-2022-43681: OPEN ends after an option's type",
            &[1, 2],
            bad,
        ),
        row("parameter-overrun", PARAMETERS, &[4, 2, 9, 1, 0], bad),
        row(
            "parameter-authentication",
            FIXED,
            &[3, 1, 1, 0],
            Expected::Reset(2, 4),
        ),
        row(
            "parameter-unknown",
            FIXED,
            &[2, 77, 0],
            Expected::Reset(2, 4),
        ),
        row(
            "parameter-empty-127-times",
            "CVE-2018-5381: endless loop over OPEN parameters",
            &empty,
            Expected::Accept,
        ),
        row(
            "two-capability-parameters",
            PARAMETERS,
            &two_parameters,
            Expected::Accept,
        ),
        row("capability-ends-after-code", PARAMETERS, &[3, 2, 1, 1], bad),
        row(
            "capability-overruns-parameter",
            "GHSA-gjrg: capability read past its length",
            &[6, 2, 4, 1, 4, 0, 1],
            bad,
        ),
        row(
            "capability-reads-into-next-parameter",
            "GHSA-gjrg",
            &[10, 2, 3, 65, 4, 0, 2, 3, 0, 0, 0],
            bad,
        ),
        row(
            "four-octet-as-cut-short",
            "CVE-2022-36440: peek at AS4 behind the end",
            &[4, 2, 4, 65, 4],
            bad,
        ),
        row(
            "four-octet-as-ends-with-message",
            "CVE-2022-36440, CVE-2012-0255",
            &[7, 2, 5, 65, 4, 0, 0, 0],
            bad,
        ),
    ]
}

fn extended_parameters() -> Vec<Case> {
    let bad = Expected::Reset(2, 0);
    let row = |name, source, parameters: &[u8], expected| {
        Case::new(name, source, fields(4, 64600, 90, ID, parameters), expected)
    };
    let long = |list: &[u8], first| {
        let mut out = vec![first, 255];
        out.extend(len16(list.len() + 3));
        out.push(2);
        out.extend(len16(list.len()));
        out.extend(list);
        out
    };
    let mut many = offered(EBGP);
    for code in 200..205 {
        many.extend(capability(code, &[0; 100]));
    }
    let truncated = "CVE-2022-40302: extended optional parameters cut short";
    vec![
        row(
            "extended-parameters",
            EXTENDED,
            &long(&offered(EBGP), 255),
            Expected::Accept,
        ),
        row(
            "extended-parameters-long",
            EXTENDED,
            &long(&many, 255),
            Expected::Accept,
        ),
        row(
            "extended-parameters-any-first-length",
            EXTENDED,
            &long(&offered(EBGP), 1),
            Expected::Accept,
        ),
        row(
            "extended-empty",
            EXTENDED,
            &[255, 255, 0, 0],
            Expected::Accept,
        ),
        row("extended-no-length", truncated, &[255, 255], bad),
        row("extended-half-a-length", truncated, &[255, 255, 0], bad),
        row("extended-overrun", truncated, &[255, 255, 0, 9, 2, 0], bad),
        row(
            "extended-parameter-half-a-length",
            "CVE-2022-40318: two-octet parameter length cut short",
            &[255, 255, 0, 2, 2, 0],
            bad,
        ),
        row(
            "extended-parameter-type-alone",
            "CVE-2022-43681",
            &[255, 255, 0, 1, 2],
            bad,
        ),
        row(
            "extended-parameter-overrun",
            "CVE-2022-40318",
            &[255, 255, 0, 4, 2, 0, 9, 0],
            bad,
        ),
        row(
            "extended-length-65535",
            truncated,
            &[255, 255, 255, 255, 2, 255, 252],
            bad,
        ),
    ]
}

/// Every row comes up; the capability counts for nothing.
fn capability_values() -> Vec<Case> {
    let row = |name, source, code, value: &[u8]| with_capability(name, source, EBGP, code, value);
    let mut cases = vec![
        row(
            "multiprotocol-length-3",
            "RFC 4760 section 8",
            1,
            &[0, 1, 0],
        ),
        row("multiprotocol-empty", "RFC 4760 section 8", 1, &[]),
        row(
            "multiprotocol-length-5",
            "RFC 4760 section 8",
            1,
            &[0, 1, 0, 1, 0],
        ),
        row("multiprotocol-twice", PARAMETERS, 1, &[0, 1, 0, 1]),
        row(
            "route-refresh-with-value",
            "RFC 2918 section 2",
            2,
            &[1, 2, 3, 4],
        ),
        row("orf-empty", "CVE-2012-1820: ORF capability", 3, &[]),
        row(
            "orf-count-overruns",
            "CVE-2012-1820",
            3,
            &[0, 1, 0, 1, 200, 64, 3],
        ),
        row(
            "extended-next-hop-length-5",
            "RFC 8950 section 4",
            5,
            &[0, 1, 0, 1, 0],
        ),
        row("extended-message-with-value", "RFC 8654 section 3", 6, &[0]),
        row("role-empty", "RFC 9234 section 4.1", 9, &[]),
        row("graceful-restart-empty", "RFC 4724 section 3", 64, &[]),
        row("graceful-restart-length-1", "RFC 4724 section 3", 64, &[0]),
        row(
            "graceful-restart-length-3",
            "RFC 4724 section 3",
            64,
            &[0, 120, 0],
        ),
        row(
            "add-path-direction-0",
            "RFC 7911 section 4",
            69,
            &[0, 1, 1, 0],
        ),
        row(
            "add-path-direction-4",
            "RFC 7911 section 4",
            69,
            &[0, 1, 1, 4],
        ),
        row("add-path-length-3", "RFC 7911 section 4", 69, &[0, 1, 1]),
        row(
            "enhanced-refresh-with-value",
            "RFC 7313 section 3.1",
            70,
            &[9],
        ),
        row(
            "llgr-length-6",
            "CVE-2023-31489: LLGR capability length",
            71,
            &[0, 1, 1, 0x80, 0, 0],
        ),
        row(
            "llgr-length-8",
            "CVE-2023-31489",
            71,
            &[0, 1, 1, 0x80, 0, 0, 9, 0],
        ),
        row(
            "fqdn-empty",
            "CVE-2023-41361: FQDN capability length",
            73,
            &[],
        ),
        row(
            "fqdn-host-overruns",
            "CVE-2023-41361",
            73,
            &[200, b'a', b'b'],
        ),
        row(
            "fqdn-domain-overruns",
            "CVE-2023-41361",
            73,
            &[1, b'a', 255, b'b'],
        ),
        row(
            "fqdn-not-utf-8",
            "draft-walton-bgp-hostname-capability",
            73,
            &[2, 0xff, 0xfe, 0],
        ),
        row(
            "fqdn-escape-sequence",
            "text for a terminal",
            73,
            &[4, 0x1b, b'[', b'2', b'J', 0],
        ),
        row(
            "software-version-empty",
            "CVE-2025-43971: software version of length 0",
            75,
            &[],
        ),
        row(
            "software-version-overruns",
            "CVE-2024-44070 class",
            75,
            &[200, b'x'],
        ),
        row("software-version-zero-text", "CVE-2025-43971", 75, &[0]),
        row("unknown-capability", PARAMETERS, 99, &[1, 2, 3]),
        row("capability-255", PARAMETERS, 255, &[0; 30]),
        row("capability-0", PARAMETERS, 0, &[]),
    ];
    // Without a proper capability 65 the session has two-octet AS numbers.
    for (name, value) in [
        ("four-octet-as-empty", [].as_slice()),
        ("four-octet-as-length-2", &[0xfc, 0x58]),
        ("four-octet-as-length-5", &[0, 0, 0xfc, 0x58, 0]),
    ] {
        let source = "CVE-2012-0255, CVE-2022-36440: AS4 capability";
        cases.push(with_capability(name, source, TWO_OCTET, 65, value));
    }
    cases
}

fn with_capability(
    name: &str,
    source: &'static str,
    session: Session,
    code: u8,
    value: &[u8],
) -> Case {
    let mut list = offered(session);
    list.extend(capability(code, value));
    let octets = open_with(session, ID, &capabilities(&list));
    Case::new(name, source, octets, Expected::Accept).on(session)
}
