//! MP_REACH_NLRI and MP_UNREACH_NLRI (RFC 4760, RFC 2545, RFC 8950; RFC 7606 sections 5.3, 7.11 and
//! 7.12), and routes of families that this session does not have.

#![allow(
    clippy::too_many_lines,
    reason = "a function here is a table, and its lines are rows"
)]

use redstart_bgp::types::Family;

use super::{
    Case, EBGP, Expected, NEXT_HOP_6, NEXT_HOP_V4, NEXT_HOP_V6, ROUTE_V4, ROUTE_V6, Session,
    build::{announce, announce_v6, attr, mp_reach, mp_unreach, nothing},
};

/// The rows.
pub fn cases() -> Vec<Case> {
    let mut cases = structure();
    cases.extend(next_hop_lengths());
    cases.extend(next_hops());
    cases.extend(nlri());
    cases.extend(flags());
    cases.extend(other_families());
    cases.extend(over_ipv6());
    cases
}

fn reach(name: &str, source: &'static str, value: &[u8], expected: Expected) -> Case {
    let octets = announce_v6(EBGP).set(attr(0x80, 14, value)).message();
    Case::new(name, source, octets, expected).v6()
}

fn unreach(name: &str, source: &'static str, value: &[u8], expected: Expected) -> Case {
    let octets = nothing(EBGP).append(&attr(0x80, 15, value)).message();
    Case::new(name, source, octets, expected).v6()
}

fn structure() -> Vec<Case> {
    // RFC 4760 section 7 names Optional Attribute Error for whatever is wrong in these two.
    let reset = Expected::Reset(3, 9);
    let short = "CVE-2023-46752: truncated MP_REACH_NLRI";
    let section = "RFC 7606 section 7.12";
    vec![
        reach("mp-reach-empty", short, &[], reset),
        reach("mp-reach-length-3", short, &[0, 2, 1], reset),
        reach("mp-reach-length-4", short, &[0, 2, 1, 16], reset),
        reach(
            "mp-reach-next-hop-cut-short",
            short,
            &[0, 2, 1, 16, 0xfd, 0],
            reset,
        ),
        reach(
            "mp-reach-no-reserved-octet",
            short,
            &[[0, 2, 1, 16].as_slice(), &NEXT_HOP_V6].concat(),
            reset,
        ),
        unreach("mp-unreach-empty", section, &[], reset),
        unreach("mp-unreach-length-1", section, &[0], reset),
        unreach("mp-unreach-length-2", section, &[0, 2], reset),
        reach(
            "mp-reach-reserved-octet-set",
            "RFC 4760 section 3: ignored",
            &[[0, 2, 1, 16].as_slice(), &NEXT_HOP_V6, &[200], ROUTE_V6].concat(),
            Expected::Accept,
        ),
        reach(
            "mp-reach-without-nlri",
            "RFC 4760 section 3",
            &mp_reach(2, 1, &NEXT_HOP_V6, &[]),
            Expected::Ignore,
        ),
    ]
}

fn next_hop_lengths() -> Vec<Case> {
    [0_usize, 1, 4, 8, 15, 17, 24, 31, 33, 48, 64]
        .into_iter()
        .map(|len| {
            let octets: Vec<u8> = NEXT_HOP_V6.iter().copied().cycle().take(len).collect();
            reach(
                &format!("mp-reach-next-hop-length-{len}"),
                "RFC 7606 section 7.11",
                &mp_reach(2, 1, &octets, ROUTE_V6),
                Expected::Reset(3, 9),
            )
        })
        .collect()
}

fn next_hops() -> Vec<Case> {
    let semantic = "RFC 4271 section 6.3, RFC 2545 section 2";
    let link_local: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0];
    let multicast: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let mut loopback = [0; 16];
    loopback[15] = 1;
    let row = |name, source, next_hop: &[u8], expected| {
        reach(name, source, &mp_reach(2, 1, next_hop, ROUTE_V6), expected)
    };
    let unspecified = [0; 16];
    vec![
        row(
            "mp-next-hop-unspecified",
            semantic,
            &unspecified,
            Expected::Withdraw,
        ),
        row(
            "mp-next-hop-loopback",
            semantic,
            &loopback,
            Expected::Withdraw,
        ),
        row(
            "mp-next-hop-multicast",
            semantic,
            &multicast,
            Expected::Withdraw,
        ),
        row(
            "mp-next-hop-both-unspecified",
            semantic,
            &[unspecified, unspecified].concat(),
            Expected::Withdraw,
        ),
        row(
            "mp-next-hop-multicast-and-link-local",
            semantic,
            &[multicast, link_local].concat(),
            Expected::Withdraw,
        ),
        row(
            "mp-next-hop-loopback-and-link-local",
            semantic,
            &[loopback, link_local].concat(),
            Expected::Withdraw,
        ),
        row(
            "mp-next-hop-link-local-alone",
            "seen from several daemons",
            &link_local,
            Expected::Accept,
        ),
        row(
            "mp-next-hop-global-and-link-local",
            "RFC 2545 section 3",
            &[NEXT_HOP_V6, link_local].concat(),
            Expected::Accept,
        ),
        row(
            "mp-next-hop-second-not-link-local",
            "RFC 2545 section 3",
            &[NEXT_HOP_V6, NEXT_HOP_V6].concat(),
            Expected::Accept,
        ),
        row(
            "mp-next-hop-unspecified-and-link-local",
            "seen on unnumbered links",
            &[unspecified, link_local].concat(),
            Expected::Accept,
        ),
    ]
}

fn nlri() -> Vec<Case> {
    let source = "RFC 7606 section 5.3";
    let reset = Expected::Reset(3, 10);
    let with = |more: &[u8]| [ROUTE_V6, more].concat();
    let taken = |name, nlri: &[u8]| reach(name, source, &mp_reach(2, 1, &NEXT_HOP_V6, nlri), reset);
    let gone = |name, nlri: &[u8]| {
        unreach(
            name,
            "CVE-2023-47234: MP_UNREACH_NLRI with bad NLRI",
            &mp_unreach(2, 1, nlri),
            reset,
        )
    };
    vec![
        taken("mp-nlri-length-129", &with(&[129, 0x20, 1])),
        taken("mp-nlri-length-255", &with(&[255])),
        taken("mp-nlri-cut-short", &with(&[64, 0x20, 1, 0x0d])),
        taken("mp-nlri-length-alone", &with(&[8])),
        gone("mp-withdrawn-length-129", &[129, 0x20]),
        gone("mp-withdrawn-cut-short", &with(&[48, 0x20])),
        reach(
            "mp-nlri-host-bits",
            "RFC 4760 section 5",
            &mp_reach(2, 1, &NEXT_HOP_V6, &with(&[33, 0x20, 1, 0x0d, 0xb8, 0xff])),
            Expected::Accept,
        ),
        Case::new(
            "mp-reach-beside-classic-nlri",
            "RFC 7606 section 5.1: accepted when received",
            announce(EBGP)
                .prepend(&attr(0x80, 14, &mp_reach(2, 1, &NEXT_HOP_V6, ROUTE_V6)))
                .message(),
            Expected::Accept,
        ),
        Case::new(
            "mp-reach-last",
            "RFC 7606 section 5.1",
            announce_v6(EBGP)
                .without(14)
                .append(&attr(0x80, 14, &mp_reach(2, 1, &NEXT_HOP_V6, ROUTE_V6)))
                .message(),
            Expected::Accept,
        )
        .v6(),
        Case::new(
            "malformed-attribute-withdraws-both",
            "RFC 7606 section 2",
            announce(EBGP)
                .prepend(&attr(0x80, 14, &mp_reach(2, 1, &NEXT_HOP_V6, ROUTE_V6)))
                .set(attr(0x40, 1, &[9]))
                .message(),
            Expected::Withdraw,
        )
        .v6(),
        Case::new(
            "ipv4-in-mp-reach",
            "RFC 4760 section 3",
            announce(EBGP)
                .without(3)
                .nlri(&[])
                .prepend(&attr(0x80, 14, &mp_reach(1, 1, &NEXT_HOP_V4, ROUTE_V4)))
                .message(),
            Expected::Accept,
        ),
    ]
}

fn flags() -> Vec<Case> {
    let source = "RFC 7606 sections 3 (c), 5.3";
    let reset = Expected::Reset(3, 9);
    let row = |name, flags| {
        let octets = announce_v6(EBGP)
            .set(attr(flags, 14, &mp_reach(2, 1, &NEXT_HOP_V6, ROUTE_V6)))
            .message();
        Case::new(name, source, octets, reset).v6()
    };
    vec![
        row("mp-reach-optional-bit-turned", 0x00),
        row("mp-reach-transitive-bit-turned", 0xc0),
        row("mp-reach-partial-bit-turned", 0xa0),
    ]
}

/// A speaker that sends what nobody asked for: no route of ours is touched.
fn other_families() -> Vec<Case> {
    let row = |name, source, session, value: &[u8]| {
        let octets = announce_v6(session).set(attr(0x80, 14, value)).message();
        Case::new(name, source, octets, Expected::Ignore).on(session)
    };
    let source = "RFC 4760 section 7";
    let v4_only = Session::only(Family::Ipv4Unicast);
    let v6_only = Session::only(Family::Ipv6Unicast);
    vec![
        row(
            "ipv6-not-negotiated",
            source,
            v4_only,
            &mp_reach(2, 1, &NEXT_HOP_V6, ROUTE_V6),
        ),
        row(
            "ipv4-multicast",
            source,
            EBGP,
            &mp_reach(1, 2, &NEXT_HOP_V4, ROUTE_V4),
        ),
        row(
            "vpnv4",
            source,
            EBGP,
            &mp_reach(1, 128, &[0; 12], &[112, 0, 0, 1]),
        ),
        row(
            "labelled-unicast-cut-short",
            "CVE-2023-38407: labelled unicast past the end",
            EBGP,
            &mp_reach(1, 4, &NEXT_HOP_V4, &[24, 0]),
        ),
        row(
            "flowspec-length-0",
            "CVE-2023-38406: flowspec NLRI of length 0",
            EBGP,
            &mp_reach(1, 133, &[], &[0]),
        ),
        row(
            "flowspec-overruns",
            "CVE-2023-41909",
            EBGP,
            &mp_reach(1, 133, &[], &[0xf0, 200]),
        ),
        row(
            "evpn",
            source,
            EBGP,
            &mp_reach(25, 70, &NEXT_HOP_V4, &[2, 33, 0]),
        ),
        row(
            "link-state",
            source,
            EBGP,
            &mp_reach(16388, 71, &NEXT_HOP_V4, &[0, 1, 255, 255]),
        ),
        row("afi-0", source, EBGP, &mp_reach(0, 0, &[], &[])),
        row("afi-65535", source, EBGP, &mp_reach(65535, 255, &[1], &[1])),
        row(
            "vpnv4-labels-past-the-end",
            "CVE-2016-2342: VPN label stack",
            EBGP,
            &mp_reach(1, 128, &[0; 12], &[255, 0, 0, 0]),
        ),
        Case::new(
            "ipv4-classic-not-negotiated",
            source,
            announce(v6_only).message(),
            Expected::Ignore,
        )
        .on(v6_only),
        unreach(
            "withdrawn-of-unknown-family",
            source,
            &mp_unreach(1, 133, &[0]),
            Expected::Ignore,
        ),
        unreach(
            "end-of-rib-of-unknown-family",
            "RFC 4724 section 2",
            &mp_unreach(25, 70, &[]),
            Expected::Ignore,
        ),
    ]
}

/// RFC 8950: IPv4 routes by an IPv6 next hop, only where both sides have the capability.
fn over_ipv6() -> Vec<Case> {
    let source = "RFC 8950 section 4";
    let row = |name, session, next_hop: &[u8], expected| {
        let octets = announce(session)
            .without(3)
            .nlri(&[])
            .prepend(&attr(0x80, 14, &mp_reach(1, 1, next_hop, ROUTE_V4)))
            .message();
        Case::new(name, source, octets, expected).on(session)
    };
    vec![
        row("ipv4-over-ipv6", NEXT_HOP_6, &NEXT_HOP_V6, Expected::Accept),
        row(
            "ipv4-over-ipv6-not-negotiated",
            EBGP,
            &NEXT_HOP_V6,
            Expected::Reset(3, 9),
        ),
        row(
            "ipv4-over-ipv6-length-24",
            NEXT_HOP_6,
            &[0; 24],
            Expected::Reset(3, 9),
        ),
        row(
            "ipv4-over-ipv6-unspecified",
            NEXT_HOP_6,
            &[0; 16],
            Expected::Withdraw,
        ),
    ]
}
