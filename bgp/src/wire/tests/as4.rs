//! Four-octet AS numbers past a speaker that does not know them (RFC 6793 section 4.2).

use bytes::BytesMut;

use super::{super::Codec, decode_update, hex, nlri, plain, update};
use crate::types::{
    Aggregator, AsPath, AsPathSegment, Asn, Ipv4Prefix, NextHop, PathAttributes, SegmentType,
};

fn old() -> Codec {
    Codec {
        four_octet_as: false,
        ..plain(true)
    }
}

/// Attribute octets of a path such as `1 2 {3 4} (5)`.
fn path(code: u8, text: &str, size: usize) -> Vec<u8> {
    let mut value = Vec::new();
    let spaced = text.replace('{', " { ").replace('}', " } ");
    let spaced = spaced.replace('(', " ( ").replace(')', " ) ");
    let mut kind = 2;
    let mut asns = Vec::new();
    let mut end = |kind: u8, asns: &mut Vec<u32>| {
        if !asns.is_empty() {
            value.extend([kind, u8::try_from(asns.len()).unwrap()]);
            for asn in asns.drain(..) {
                value.extend(&asn.to_be_bytes()[4 - size..]);
            }
        }
    };
    for word in spaced.split_whitespace() {
        match word {
            "{" | "(" | "}" | ")" => {
                end(kind, &mut asns);
                kind = match word {
                    "{" => 1,
                    "(" => 3,
                    _ => 2,
                };
            }
            asn => asns.push(asn.parse().unwrap()),
        }
    }
    end(kind, &mut asns);
    let flags = if code == 2 { 0x40 } else { 0xc0 };
    let mut attribute = vec![flags, code, u8::try_from(value.len()).unwrap()];
    attribute.extend(value);
    attribute
}

fn received(attributes: &[Vec<u8>]) -> PathAttributes {
    let mut list = hex("40010100 400304c0000201");
    list.extend(attributes.concat());
    let update = decode_update(&old(), &update(&[], &list, &[24, 10, 1, 2]));
    assert_eq!(update.faults, []);
    (*update.reach[0].attrs).clone()
}

#[test]
fn as4_path_replaces_the_end_of_the_path() {
    for (as_path, as4_path, merged) in [
        ("1 23456 23456", "70000 80000", "1 70000 80000"),
        ("23456 23456", "70000 80000", "70000 80000"),
        ("1 2 3 4 23456", "70000", "1 2 3 4 70000"),
        ("1 23456 {2 3}", "70000 {2 3}", "1 70000 {2 3}"),
        ("1 {2 3} 23456", "70000", "1 {2 3} 70000"),
        ("1 2 {3 4}", "{70000 4}", "1 2 {70000 4}"),
        // A set counts one, however many it has.
        ("1 {2 3} 4", "{2 70000} 4", "1 {2 70000} 4"),
        ("{2 3} 23456", "70000", "{2 3} 70000"),
        // Longer than the path: not what this route went by.
        ("1 23456", "1 2 70000", "1 23456"),
        ("", "70000", ""),
        // Confederation segments are none of ours; without them nothing may be left.
        ("1 23456", "(3) 70000", "1 70000"),
        ("1 23456", "(3)", "1 23456"),
    ] {
        let attrs = received(&[path(2, as_path, 2), path(17, as4_path, 4)]);
        let case = format!("{as_path:?} and {as4_path:?}");
        assert_eq!(attrs.as_path.to_string(), merged, "{case}");
        // The order of attributes means nothing.
        let attrs = received(&[path(17, as4_path, 4), path(2, as_path, 2)]);
        assert_eq!(attrs.as_path.to_string(), merged, "{case}");
    }
}

#[test]
fn a_merged_sequence_is_one() {
    let attrs = received(&[path(2, "1 23456", 2), path(17, "70000", 4)]);
    assert_eq!(attrs.as_path, AsPath::sequence([1, 70000].map(Asn)));
}

#[test]
fn aggregators_decide_whether_as4_counts() {
    let aggregator = |asn: &str| hex(&format!("c00706 {asn} c0000201"));
    let as4_aggregator = hex("c01208 00011170 c0000202");
    let paths = [path(2, "1 23456", 2), path(17, "70000", 4)];
    let with = |more: &[Vec<u8>]| {
        let attrs = received(&[&paths[..], more].concat());
        let aggregator = attrs.aggregator.map(|a| (a.asn.0, a.addr.octets()[3]));
        (attrs.as_path.to_string(), aggregator)
    };
    let merged = || "1 70000".to_owned();
    assert_eq!(with(&[]), (merged(), None));
    assert_eq!(with(&[aggregator("0001")]), (merged(), Some((1, 1))));
    assert_eq!(with(&[aggregator("5ba0")]), (merged(), Some((23456, 1))));
    assert_eq!(
        with(&[aggregator("5ba0"), as4_aggregator.clone()]),
        (merged(), Some((70000, 2)))
    );
    // Aggregated since by a speaker that knows neither: both are out of date.
    assert_eq!(
        with(&[aggregator("0001"), as4_aggregator.clone()]),
        ("1 23456".to_owned(), Some((1, 1)))
    );
    assert_eq!(with(&[as4_aggregator]), (merged(), None));
}

fn sent(attrs: &PathAttributes) -> Vec<u8> {
    let mut out = BytesMut::new();
    let routes = nlri::<Ipv4Prefix>(&["10.1.2.0/24"]);
    old().encode_reach(attrs, &routes, &mut out).unwrap();
    out.to_vec()
}

fn attributes(as_path: AsPath) -> PathAttributes {
    PathAttributes {
        as_path,
        next_hop: Some(NextHop::V4([192, 0, 2, 1].into())),
        ..PathAttributes::default()
    }
}

#[test]
fn as4_attributes_are_sent_only_where_they_say_more() {
    let narrow = attributes(AsPath::sequence([1, 65535].map(Asn)));
    let list = "40010100 400206 0202 0001ffff 400304c0000201";
    assert_eq!(sent(&narrow), update(&[], &hex(list), &[24, 10, 1, 2]));

    let mut wide = attributes(AsPath::sequence([1, 70000].map(Asn)));
    wide.aggregator = Some(Aggregator {
        asn: Asn(70000),
        addr: [192, 0, 2, 2].into(),
    });
    let list = "40010100 400206 0202 00015ba0 400304c0000201 c00706 5ba0c0000202 \
        c0110a 0202 00000001 00011170 c01208 00011170 c0000202";
    assert_eq!(sent(&wide), update(&[], &hex(list), &[24, 10, 1, 2]));
}

#[test]
fn confederation_segments_stay_out_of_as4_path() {
    let segment = |kind, asns: &[u32]| AsPathSegment {
        kind,
        asns: asns.iter().copied().map(Asn).collect(),
    };
    let confed = segment(SegmentType::ConfedSequence, &[70000]);
    let inside = attributes(AsPath {
        segments: [confed.clone(), segment(SegmentType::Sequence, &[1])]
            .into_iter()
            .collect(),
    });
    assert!(!sent(&inside).windows(2).any(|w| w == [0xc0, 17]));
    let outside = attributes(AsPath {
        segments: [confed, segment(SegmentType::Sequence, &[80000])]
            .into_iter()
            .collect(),
    });
    let as4_path = hex("c01106 0201 00013880");
    assert!(sent(&outside).windows(9).any(|w| w == as4_path));
}
