//! RFC 7606, one row for each fault: `rfc7606.txt` says what every UPDATE leads to.

use std::collections::BTreeSet;

use super::{
    super::{Codec, Disposition, Message, Update},
    decode_update, hex, message, plain, update,
};
use crate::types::{Aigp, NextHop, PathAttributes};

const TABLE: &str = include_str!("rfc7606.txt");

const ORIGIN: &str = "40 01 01 00";
const NEXT_HOP: &str = "40 03 04 c0000201";
const LOCAL_PREF: &str = "40 05 04 00000064";
/// MP_REACH_NLRI of 2001:db8::/32 by 2001:db8::1.
const MP_REACH: &str = "80 0e 1a 0002 01 10 20010db8000000000000000000000001 00 20 20010db8";
/// The two routes of the table, as octets and as text.
const ROUTES: [(&str, &str); 2] = [("180a0102", "10.1.2.0/24"), ("2020010db8", "2001:db8::/32")];

/// Who sends the UPDATE of a row.
struct Peer {
    codec: Codec,
    path: &'static str,
}

impl Peer {
    fn named(name: &str) -> Self {
        let four = "40 02 06 0201 0000fde9";
        let two = "40 02 04 0201 fde9";
        let (codec, path) = match name {
            "ebgp" => (plain(true), four),
            "ibgp" => (plain(false), four),
            // A peer that does not speak four-octet AS numbers.
            "old" => (
                Codec {
                    four_octet_as: false,
                    ..plain(true)
                },
                two,
            ),
            // A session without IPv4 unicast.
            "ipv6" => (
                Codec {
                    families: super::families(&[crate::types::Family::Ipv6Unicast]),
                    ..plain(true)
                },
                four,
            ),
            other => panic!("no peer {other:?}"),
        };
        Self { codec, path }
    }

    /// The octets that the words of a row stand for.
    fn octets(&self, words: &str) -> Vec<u8> {
        let base = |next_hop: &str| {
            let local_pref = if self.codec.ebgp { "" } else { LOCAL_PREF };
            format!("{ORIGIN} {} {next_hop} {local_pref}", self.path)
        };
        words
            .split_whitespace()
            .flat_map(|word| match word {
                "BASE" => hex(&base(NEXT_HOP)),
                "MPBASE" => hex(&base("")),
                "ORIGIN" => hex(ORIGIN),
                "PATH" => hex(self.path),
                "NEXTHOP" => hex(NEXT_HOP),
                "LOCALPREF" => hex(LOCAL_PREF),
                "MPREACH" => hex(MP_REACH),
                "ROUTE" => hex(ROUTES[0].0),
                zeros if zeros.starts_with("00*") => vec![0; zeros[3..].parse().unwrap()],
                other => hex(other),
            })
            .collect()
    }

    /// `attributes`, `attributes / nlri`, `withdrawn / attributes / nlri`, or `= body`.
    fn message(&self, words: &str) -> Vec<u8> {
        if let Some(body) = words.strip_prefix('=') {
            return message(2, &self.octets(body));
        }
        let fields: Vec<_> = words.split('/').map(|field| self.octets(field)).collect();
        match &fields[..] {
            [attributes] => update(&[], attributes, &self.octets("ROUTE")),
            [attributes, nlri] => update(&[], attributes, nlri),
            [withdrawn, attributes, nlri] => update(withdrawn, attributes, nlri),
            _ => panic!("too many fields in {words:?}"),
        }
    }

    /// What a message with nothing but [`Peer::octets`]' `BASE` says.
    fn base(&self) -> PathAttributes {
        let codec = Codec {
            families: crate::types::FamilySet::ALL,
            ..self.codec
        };
        let update = decode_update(&codec, &self.message("BASE"));
        (*update.reach[0].attrs).clone()
    }
}

/// Which of [`ROUTES`] a message holds.
fn routes(octets: &[u8]) -> BTreeSet<String> {
    ROUTES
        .iter()
        .filter(|(route, _)| {
            let route = hex(route);
            octets.windows(route.len()).any(|window| window == route)
        })
        .map(|(_, text)| (*text).to_owned())
        .collect()
}

fn announced(update: &Update) -> BTreeSet<String> {
    super::items(update.reach.iter().map(|reach| &reach.nlri))
        .iter()
        .map(|n| n.prefix.to_string())
        .collect()
}

fn withdrawn(update: &Update) -> BTreeSet<String> {
    super::items(&update.unreach)
        .iter()
        .map(|n| n.prefix.to_string())
        .collect()
}

/// Whether every announced route has the attributes of `BASE` and its own next hop.
fn as_base(peer: &Peer, update: &Update) -> bool {
    let base = peer.base();
    update.reach.iter().all(|reach| {
        let expected = PathAttributes {
            next_hop: match reach.nlri.family() {
                crate::types::Family::Ipv4Unicast => base.next_hop,
                crate::types::Family::Ipv6Unicast => {
                    Some(NextHop::V6("2001:db8::1".parse().unwrap()))
                }
            },
            ..base.clone()
        };
        *reach.attrs == expected
    })
}

/// Whether the first fault with `disposition` is `named`, by type code and reason.
fn named(update: &Update, disposition: Option<Disposition>, name: &str) -> bool {
    let mut faults = update.faults.iter();
    let first = faults.find(|f| Some(f.disposition) == disposition);
    first.is_some_and(|f| format!("{} {}", f.code, f.reason) == name)
}

/// Judges one row; an error says what happened instead.
fn judge(peer: &Peer, expected: &str, octets: &[u8]) -> Result<(), String> {
    let (verb, argument) = expected.split_once(' ').unwrap_or((expected, ""));
    let update = match peer.codec.decode(octets) {
        Ok(Message::Update(update)) => update,
        Ok(other) => return Err(format!("{other:?}")),
        Err(n) => {
            let got = format!("reset {}/{}", n.code.code(), n.code.subcode());
            return if got == expected { Ok(()) } else { Err(got) };
        }
    };
    let routes = routes(octets);
    let none = BTreeSet::new();
    let worst = update.faults.iter().map(|f| f.disposition).max();
    let discarded = Some(Disposition::DiscardAttribute);
    let kept = announced(&update) == routes && withdrawn(&update) == none;
    let right = match verb {
        "accept" => kept && worst.is_none(),
        "ignore" => kept && worst.is_none() && as_base(peer, &update),
        "discard" => {
            kept && worst == discarded
                && named(&update, discarded, argument)
                && as_base(peer, &update)
        }
        "pass" => {
            let code: u8 = argument.parse().unwrap();
            let passes = |attrs: &PathAttributes| {
                attrs
                    .unknown
                    .iter()
                    .any(|u| u.code == code && u.flags == 0xe0)
            };
            kept && worst.is_none() && update.reach.iter().all(|reach| passes(&reach.attrs))
        }
        "withdraw" => {
            let withdrawing = Some(Disposition::TreatAsWithdraw);
            update.reach.is_empty()
                && !routes.is_empty()
                && withdrawn(&update) == routes
                && worst == withdrawing
                && named(&update, withdrawing, argument)
        }
        "nothing" => update.reach.is_empty() && withdrawn(&update) == none,
        _ => false,
    };
    if right {
        Ok(())
    } else {
        Err(format!("{update:?}"))
    }
}

#[test]
fn every_fault_has_its_disposition() {
    let mut rows = 0;
    let mut wrong = Vec::new();
    for (number, line) in TABLE.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let columns: Vec<_> = line.split('|').map(str::trim).collect();
        let [expected, peer, name, words] = columns[..] else {
            panic!("line {}: {line:?} has not four columns", number + 1);
        };
        rows += 1;
        let peer = Peer::named(peer);
        if let Err(got) = judge(&peer, expected, &peer.message(words)) {
            let line = number + 1;
            wrong.push(format!("line {line}: {name}: not {expected} but {got}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(rows >= 70, "only {rows} rows");
}

#[test]
fn of_duplicates_the_first_counts() {
    let peer = Peer::named("ebgp");
    for (words, code) in [
        ("BASE 80 04 04 00000001 80 04 04 00000002", 4),
        ("BASE 80 04 04 00000001 80 04 01 02", 4),
    ] {
        let update = decode_update(&peer.codec, &peer.message(words));
        assert_eq!(update.reach[0].attrs.med, Some(1));
        assert_eq!(update.faults[0].code, code);
        assert_eq!(
            update.faults[0].disposition,
            Disposition::DiscardAttribute,
            "{words}"
        );
    }
    let words = "BASE e0 63 01 aa c0 63 01 bb";
    let update = decode_update(&peer.codec, &peer.message(words));
    let unknown = &update.reach[0].attrs.unknown;
    assert_eq!(unknown.len(), 1);
    assert_eq!(*unknown[0].value, [0xaa]);
}

#[test]
fn a_reset_carries_the_attribute_at_fault() {
    let peer = Peer::named("ebgp");
    for (words, data) in [
        ("BASE 40 63 02 abcd", "40 63 02 abcd"),
        ("MPBASE 80 0e 03 0002 01 /", "80 0e 03 0002 01"),
        ("BASE 80 0f 02 0002", "80 0f 02 0002"),
    ] {
        let notification = peer.codec.decode(&peer.message(words)).unwrap_err();
        assert_eq!(&notification.data[..], hex(data), "{words}");
    }
}

#[test]
fn what_was_wrong_is_told() {
    let peer = Peer::named("ebgp");
    for (words, text) in [
        (
            "BASE 80 04 03 000000",
            "attribute 4: invalid-length (treat-as-withdraw)",
        ),
        (
            "BASE 40 05 04 00000064",
            "attribute 5: from-external-peer (discard-attribute)",
        ),
        (
            "PATH NEXTHOP",
            "attribute 1: missing-mandatory (treat-as-withdraw)",
        ),
        (
            "BASE 80 04 05 00000000",
            "attribute 4: attribute-overrun (treat-as-withdraw)",
        ),
    ] {
        let update = decode_update(&peer.codec, &peer.message(words));
        let faults: Vec<_> = update.faults.iter().map(ToString::to_string).collect();
        assert_eq!(faults, [text], "{words}");
    }
}

/// RFC 7606 section 6: the log shall have the whole message.
#[test]
fn a_malformed_update_comes_whole() {
    let peer = Peer::named("ebgp");
    let message = peer.message("BASE 80 04 03 000000");
    let update = decode_update(&peer.codec, &message);
    assert_eq!(update.malformed.as_deref(), Some(&message[..]));
    let update = decode_update(&peer.codec, &peer.message("BASE"));
    assert_eq!(update.malformed, None);
}

/// RFC 7311 section 3.2: a malformed AIGP is ignored without a word, whatever is wrong with it.
#[test]
fn a_malformed_aigp_is_quietly_ignored() {
    let peer = Peer::named("ebgp");
    for words in [
        "BASE c0 1a 0b 01 000b 0000000000000007",
        "BASE 40 1a 0b 01 000b 0000000000000007",
        "BASE a0 1a 0b 01 000b 0000000000000007",
        "BASE 80 1a 0b 01 000b ffffffffffffffff",
        "BASE 80 1a 0a 01 000a 00000000000007",
        "BASE 80 1a 01 01",
        "BASE 80 1a 00",
    ] {
        let update = decode_update(&peer.codec, &peer.message(words));
        assert_eq!(*update.reach[0].attrs, peer.base(), "{words}");
        assert_eq!(update.faults, [], "{words}");
    }
}

/// RFC 7311 section 3: what is not the first AIGP TLV is passed along unchanged.
#[test]
fn aigp_is_read_and_written_whole() {
    let peer = Peer::named("ibgp");
    let octets = "80 1a 1a 02 0004 05 01 000b 0000000000000007 01 000b 0000000000000009";
    let words = format!("BASE {octets}");
    let update = decode_update(&peer.codec, &peer.message(&words));
    let reach = &update.reach[0];
    let metric = reach.attrs.aigp.as_ref().and_then(Aigp::metric);
    assert_eq!(metric, Some(7));
    let mut out = bytes::BytesMut::new();
    let written = peer.codec.encode_reach(&reach.attrs, &reach.nlri, &mut out);
    assert_eq!(written, Ok(1));
    let octets = hex(octets);
    assert!(out.windows(octets.len()).any(|window| window == octets));
}

/// RFC 4271 section 5, of attributes that we know and somebody before us did not.
#[test]
fn partial_stays_set() {
    let peer = Peer::named("ebgp");
    for (code, value) in [
        ("07", "08 0000fde9 0a000001"),
        ("08", "04 fde90001"),
        ("10", "08 0002fde900000001"),
        ("20", "0c 0000fde90000000100000002"),
        ("23", "04 0000fde9"),
    ] {
        for flags in ["c0", "e0"] {
            let octets = hex(&format!("{flags} {code} {value}"));
            let words = format!("BASE {flags} {code} {value}");
            let update = decode_update(&peer.codec, &peer.message(&words));
            let mut out = bytes::BytesMut::new();
            let reach = &update.reach[0];
            let codec = &peer.codec;
            codec
                .encode_reach(&reach.attrs, &reach.nlri, &mut out)
                .unwrap();
            let said = out.windows(octets.len()).any(|window| window == octets);
            assert!(said, "{words}");
        }
    }
}
