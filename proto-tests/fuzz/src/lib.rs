//! What must hold for any octets, whoever sends them.
//!
//! The first octet of an input chooses what was negotiated, the rest is what came from the connection.
//! The fuzz targets call these functions with inputs that the fuzzer makes up; `tests/fuzz_corpus.rs`
//! calls them with the inputs that were worth keeping.

#[path = "../../tests/oracles/asked.rs"]
#[allow(
    dead_code,
    reason = "of its facts just those of routes are compared here"
)]
mod asked;
mod attributes;
#[path = "../../tests/oracles/bgpkit.rs"]
mod bgpkit;
#[path = "../../tests/oracles/dispositions.rs"]
#[allow(dead_code, reason = "the exceptions are counted elsewhere")]
mod dispositions;
#[path = "../../tests/oracles/facts.rs"]
#[allow(dead_code, reason = "the sessions are made here")]
mod facts;
#[path = "../../tests/oracles/rustbgpd.rs"]
mod rustbgpd;

use std::{collections::BTreeSet, net::Ipv4Addr};

pub use attributes::COMPARED;
use bgpkit_parser::{
    models::{AsnLength, AttributeValue, BgpMessage, NetworkPrefix},
    parser::bgp::parse_bgp_message,
};
use bytes::{Bytes, BytesMut};
use facts::{Context, Facts, fqdn, hex, segment};
use redstart_bgp::{
    types::{Family, FamilySet, NlriSet},
    wire::{Codec, Framer, Message, MessageType, Update},
};
use rustbgpd_wire::{Ipv4NlriEntry, Message as Theirs, decode_message};

/// What was negotiated, one bit each.
fn codec(choice: u8) -> Codec {
    let all_if = |bit: u8| {
        if choice & bit == 0 {
            FamilySet::EMPTY
        } else {
            FamilySet::ALL
        }
    };
    Codec {
        four_octet_as: choice & 1 != 0,
        ebgp: choice & 2 != 0,
        extended_messages: choice & 4 != 0,
        families: if choice & 8 == 0 {
            FamilySet::ALL
        } else {
            FamilySet::from_iter([Family::Ipv6Unicast])
        },
        add_path_receive: all_if(16),
        add_path_send: all_if(16),
        extended_next_hop: all_if(32),
    }
}

/// The messages that `octets` are cut into, up to the first that is none.
fn messages(codec: &Codec, octets: &[u8]) -> Vec<Bytes> {
    let mut framer = Framer::new();
    framer.set_extended(codec.extended_messages);
    framer.push(octets);
    core::iter::from_fn(|| framer.next().ok().flatten()).collect()
}

fn encoded(codec: &Codec, message: &Message) -> Vec<Message> {
    let mut out = BytesMut::new();
    let sent = codec.encode(message, &mut out);
    let list = messages(codec, &out);
    assert_eq!(sent, list.len(), "what is encoded is whole messages");
    list.iter()
        .map(|message| codec.decode(message).expect("what is encoded can be read"))
        .collect()
}

/// The routes of UPDATEs, in order: withdrawn ones, announced ones.
fn routes<'a>(updates: impl Iterator<Item = &'a Update> + Clone) -> [Vec<String>; 2] {
    let text = |set: &NlriSet| {
        set.iter()
            .map(|nlri| format!("{nlri:?}"))
            .collect::<Vec<_>>()
    };
    let mut routes = [
        updates
            .clone()
            .flat_map(|u| &u.unreach)
            .flat_map(text)
            .collect::<Vec<_>>(),
        updates
            .flat_map(|u| &u.reach)
            .flat_map(|reach| text(&reach.nlri))
            .collect(),
    ];
    routes.iter_mut().for_each(|list| list.sort());
    routes
}

/// Any octets are cut and read without a panic; what was read, and can be said, is read the same when
/// we say it.
pub fn round_trip(input: &[u8]) {
    let Some((&choice, octets)) = input.split_first() else {
        return;
    };
    let codec = codec(choice);
    for message in messages(&codec, octets) {
        match codec.decode(&message) {
            Ok(Message::Update(update)) => round_trip_update(&codec, update),
            // A capability list may be longer in our form than it came; then it is cut.
            Ok(Message::Open(_)) | Err(_) => {}
            Ok(message) => assert_eq!(encoded(&codec, &message), [message]),
        }
    }
}

fn round_trip_update(codec: &Codec, mut update: Update) {
    // The faults are of the message that came, not of what is left of it.
    update.faults.clear();
    update.malformed = None;
    let mut out = BytesMut::new();
    let sayable = |reach: &redstart_bgp::wire::Reach, out: &mut BytesMut| {
        codec.encode_reach(&reach.attrs, &reach.nlri, out).is_ok()
    };
    update.reach.retain(|reach| sayable(reach, &mut out));
    let said = encoded(codec, &Message::Update(update.clone()));
    let updates: Vec<Update> = said
        .into_iter()
        .map(|message| match message {
            Message::Update(update) => update,
            other => panic!("not an UPDATE: {other:?}"),
        })
        .collect();
    for update in &updates {
        assert_eq!(update.faults, [], "we say nothing malformed");
    }
    assert_eq!(routes(updates.iter()), routes(std::iter::once(&update)));
    // Attributes take their final form when they are said once: they do not change again.
    for update in updates {
        for reach in &update.reach {
            let again = encoded(
                codec,
                &Message::Update(Update {
                    reach: vec![reach.clone()],
                    ..Update::default()
                }),
            );
            for message in again {
                let Message::Update(again) = message else {
                    panic!("not an UPDATE");
                };
                assert!(again.reach.iter().all(|other| other.attrs == reach.attrs));
            }
        }
    }
}

/// Of an UPDATE that both we and another codec find nothing wrong with, both read the same routes and
/// attributes. Returns the kinds of attributes that were compared, by codec.
pub fn differential(input: &[u8]) -> BTreeSet<String> {
    let mut compared = BTreeSet::new();
    let Some((&choice, octets)) = input.split_first() else {
        return compared;
    };
    // Without path identifiers, with both families, messages of ordinary length.
    let codec = codec(choice & 3);
    let context = Context { codec };
    for message in messages(&codec, octets) {
        let Ok(Message::Update(ours)) = codec.decode(&message) else {
            continue;
        };
        if ours.faults.is_empty() {
            compare_with_rustbgpd(&codec, &message, &ours);
            compare_with_bgpkit(&codec, &message, &ours);
            compared.extend(attributes::compare(&context, &message, &ours));
        }
    }
    compared
}

/// Of an UPDATE, broken or not, another codec that knows RFC 7606 makes what we make of it, or a named
/// exception says why not. Not for the fuzzer: it finds no end of ways to break several rules at once,
/// and each would want a name.
pub fn dispositions(input: &[u8]) {
    let Some((&choice, octets)) = input.split_first() else {
        return;
    };
    let codec = codec(choice & 3);
    for message in messages(&codec, octets) {
        if message.get(18) != Some(&MessageType::Update.code()) {
            continue;
        }
        if let dispositions::Comparison::Unexplained(difference) =
            dispositions::compare(Context { codec }, &message)
        {
            panic!("{difference}\n{}", hex(&message));
        }
    }
}

/// The IPv4 routes of the classic field: those of MP_REACH_NLRI are another list there.
fn compare_with_rustbgpd(codec: &Codec, message: &Bytes, ours: &Update) {
    let mut copy = message.clone();
    let Ok(Theirs::Update(theirs)) = decode_message(&mut copy, 4096) else {
        return;
    };
    let Ok(theirs) = theirs.parse_revised(codec.four_octet_as, !codec.ebgp, false, &[]) else {
        return;
    };
    let announced = ours.reach.iter().map(|reach| &reach.nlri);
    let classic_alone = announced.clone().count() <= 1
        && announced.clone().all(|set| matches!(set, NlriSet::V4(_)));
    if theirs.malformed.is_empty() && classic_alone && !theirs.update.announced.is_empty() {
        assert_eq!(prefixes(announced), their_v4(&theirs.update.announced));
    }
}

/// All routes, of both families.
fn compare_with_bgpkit(codec: &Codec, message: &Bytes, ours: &Update) {
    let width = if codec.four_octet_as {
        AsnLength::Bits32
    } else {
        AsnLength::Bits16
    };
    let Ok(BgpMessage::Update(theirs)) = parse_bgp_message(&mut message.clone(), false, &width)
    else {
        return;
    };
    if theirs.attributes.has_validation_warnings() {
        return;
    }
    // Where it meets a default route, it takes what follows for routes with path identifiers.
    let mut sets = ours
        .reach
        .iter()
        .map(|reach| &reach.nlri)
        .chain(&ours.unreach);
    if sets.any(|set| set.iter().any(|nlri| nlri.prefix.len() == 0)) {
        return;
    }
    let mut announced = texts(&theirs.announced_prefixes);
    let mut withdrawn = texts(&theirs.withdrawn_prefixes);
    for attribute in &theirs.attributes {
        match attribute {
            AttributeValue::MpReachNlri(nlri) => announced.extend(texts(&nlri.prefixes)),
            AttributeValue::MpUnreachNlri(nlri) => withdrawn.extend(texts(&nlri.prefixes)),
            _ => {}
        }
    }
    assert_eq!(
        prefixes(ours.reach.iter().map(|reach| &reach.nlri)),
        announced
    );
    // What is announced in the same message counts as not withdrawn (RFC 4271 section 4.3): we keep
    // both, to be taken in that order.
    let mut ours = prefixes(ours.unreach.iter());
    for list in [&mut ours, &mut withdrawn] {
        list.retain(|prefix| !announced.contains(prefix));
    }
    assert_eq!(ours, withdrawn);
}

fn prefixes<'a>(sets: impl Iterator<Item = &'a NlriSet>) -> BTreeSet<String> {
    sets.flat_map(NlriSet::iter)
        .map(|nlri| nlri.prefix.to_string())
        .collect()
}

/// Without the bits beyond the length, which mean nothing (RFC 4271 section 4.3).
fn texts(list: &[NetworkPrefix]) -> BTreeSet<String> {
    list.iter()
        .map(|item| item.prefix.trunc().to_string())
        .collect()
}

/// The same.
fn their_v4(list: &[Ipv4NlriEntry]) -> BTreeSet<String> {
    list.iter()
        .map(|entry| {
            let len = entry.prefix.len;
            let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
            format!(
                "{}/{len}",
                Ipv4Addr::from(entry.prefix.addr.to_bits() & mask)
            )
        })
        .collect()
}
