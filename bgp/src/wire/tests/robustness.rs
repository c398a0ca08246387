//! Octets from outside never panic, and what is accepted keeps its promises.

use bytes::BytesMut;
use proptest::{collection::vec, prelude::*};

use super::{
    super::{Codec, Disposition, EncodeError, Framer, Message, Update},
    arbitrary, cut, decode_update, message,
};
use crate::types::Family;

/// What the rest of the speaker relies on.
fn assert_sound(codec: &Codec, update: &Update) {
    let withdrawing = update
        .faults
        .iter()
        .any(|f| f.disposition == Disposition::TreatAsWithdraw);
    assert!(!withdrawing || update.reach.is_empty());
    assert!(
        update
            .faults
            .iter()
            .all(|f| f.disposition != Disposition::Reset)
    );
    assert!(update.reach.len() <= 2);
    for nlri in &update.unreach {
        assert!(!nlri.is_empty() && codec.families.contains(nlri.family()));
    }
    for reach in &update.reach {
        let attrs = &reach.attrs;
        assert!(!reach.nlri.is_empty() && codec.families.contains(reach.nlri.family()));
        assert!(attrs.next_hop.is_some());
        assert_eq!(attrs.local_pref.is_none(), codec.ebgp);
        assert!(attrs.communities.is_sorted_by(|a, b| a < b));
        assert!(attrs.extended_communities.is_sorted_by(|a, b| a < b));
        assert!(attrs.large_communities.is_sorted_by(|a, b| a < b));
        assert!(attrs.unknown.is_sorted_by(|a, b| a.code < b.code));
        assert!(attrs.as_path.iter().all(|asn| !asn.is_zero()));
        assert!(attrs.as_path.segments.iter().all(|s| !s.asns.is_empty()));
        assert_resent(codec, reach);
    }
}

/// What was accepted can be said again, and means the same.
fn assert_resent(codec: &Codec, reach: &super::super::Reach) {
    let mut out = BytesMut::new();
    match codec.encode_reach(&reach.attrs, &reach.nlri, &mut out) {
        // AS4_PATH can be more than came.
        Err(EncodeError::AttributesTooLong) => return,
        other => assert!(other.is_ok(), "{other:?}"),
    }
    for message in cut(codec, &out) {
        let again = decode_update(codec, &message);
        assert_eq!(again.faults, []);
        let mut attrs = (*again.reach[0].attrs).clone();
        // Segments of more than 255 come back in parts.
        assert_eq!(attrs.as_path.to_string(), reach.attrs.as_path.to_string());
        attrs.as_path = reach.attrs.as_path.clone();
        assert_eq!(attrs, *reach.attrs);
    }
}

/// On the session, and on ones of a single family.
fn assert_total(codec: &Codec, octets: &[u8]) {
    for families in [&Family::ALL[..], &Family::ALL[..1], &Family::ALL[1..]] {
        let codec = Codec {
            families: super::families(families),
            ..*codec
        };
        if let Ok(Message::Update(update)) = codec.decode(octets) {
            assert_sound(&codec, &update);
        }
    }
}

/// Sets the length field to what there is.
fn with_length(mut octets: Vec<u8>) -> Vec<u8> {
    let len = u16::try_from(octets.len()).unwrap().to_be_bytes();
    octets[16..18].copy_from_slice(&len);
    octets
}

#[derive(Clone, Debug)]
enum Mutation {
    Set(prop::sample::Index, u8),
    Flip(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Insert(prop::sample::Index, u8),
    Truncate(prop::sample::Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        3 => (at(), any::<u8>()).prop_map(|(i, octet)| Mutation::Set(i, octet)),
        3 => (at(), 0..8_u8).prop_map(|(i, bit)| Mutation::Flip(i, bit)),
        1 => at().prop_map(Mutation::Remove),
        1 => (at(), any::<u8>()).prop_map(|(i, octet)| Mutation::Insert(i, octet)),
        1 => at().prop_map(Mutation::Truncate),
    ]
}

/// Changes the body, of which only the first octets hold anything but prefixes.
fn mutate(octets: &mut Vec<u8>, mutation: &Mutation) {
    let body = octets.len().min(600).saturating_sub(19);
    if body == 0 {
        return;
    }
    let place = |index: &prop::sample::Index| 19 + index.index(body);
    match mutation {
        Mutation::Set(i, octet) => octets[place(i)] = *octet,
        Mutation::Flip(i, bit) => octets[place(i)] ^= 1 << bit,
        Mutation::Remove(i) => drop(octets.remove(place(i))),
        Mutation::Insert(i, octet) => octets.insert(place(i), *octet),
        Mutation::Truncate(i) => octets.truncate(place(i)),
    }
}

proptest! {
    #[test]
    fn any_octets(codec in arbitrary::codec(), octets in vec(any::<u8>(), 0..200)) {
        assert_total(&codec, &octets);
    }

    #[test]
    fn any_body(codec in arbitrary::codec(), kind in 0..7_u8, body in vec(any::<u8>(), 0..300)) {
        assert_total(&codec, &message(kind, &body));
    }

    /// Attributes with plausible headers and any values, in any order.
    #[test]
    fn any_attributes(
        codec in arbitrary::codec(),
        list in vec((any::<u8>(), 0..40_u8, vec(any::<u8>(), 0..24)), 0..8),
    ) {
        let mut attributes = Vec::new();
        for (flags, code, value) in list {
            attributes.extend([flags & !0x10, code, u8::try_from(value.len()).unwrap()]);
            attributes.extend(value);
        }
        assert_total(&codec, &super::update(&[], &attributes, &[24, 10, 1, 2]));
    }

    #[test]
    fn mutated_updates(
        (codec, attrs, routes) in arbitrary::announcement(),
        mutations in vec(mutation(), 1..4),
    ) {
        let mut out = BytesMut::new();
        codec.encode_reach(&attrs, &routes, &mut out).unwrap();
        let mut octets = cut(&codec, &out).swap_remove(0);
        for mutation in &mutations {
            mutate(&mut octets, mutation);
        }
        octets.truncate(if codec.extended_messages { 65535 } else { 4096 });
        assert_total(&codec, &with_length(octets));
    }

    #[test]
    fn mutated_opens(open in arbitrary::open(), mutations in vec(mutation(), 1..4)) {
        let mut out = BytesMut::new();
        Codec::default().encode(&Message::Open(open), &mut out);
        let mut octets = out.to_vec();
        for mutation in &mutations {
            mutate(&mut octets, mutation);
        }
        if let Ok(Message::Open(open)) = Codec::default().decode(&with_length(octets)) {
            prop_assert!(open.version == 4 && !open.asn.is_zero() && open.router_id.is_valid());
            prop_assert!(!matches!(open.hold_time, 1 | 2));
            // Every capability can be shown.
            prop_assert!(open.capabilities.iter().all(|c| !c.to_string().is_empty()));
        }
    }

    /// The framer finds the same messages however TCP cuts the stream.
    #[test]
    fn any_portions(
        kinds in vec(2..6_u8, 1..8),
        portions in vec(1..60_usize, 1..40),
    ) {
        let sent: Vec<_> = kinds
            .iter()
            .map(|kind| match kind {
                4 => message(4, &[]),
                2 => super::update(&[], &[], &[24, 10, 1, 2]),
                other => message(*other, &[1, 2, 3, 4]),
            })
            .collect();
        let stream = sent.concat();
        let mut framer = Framer::new();
        let mut got = Vec::new();
        let mut rest = &stream[..];
        for portion in portions.iter().cycle() {
            let (now, later) = rest.split_at(rest.len().min(*portion));
            framer.push(now);
            while let Some(message) = framer.next().unwrap() {
                got.push(message.to_vec());
            }
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(got, sent);
        prop_assert_eq!(framer.buffered(), 0);
    }
}

/// Every attribute type with every flag octet and a short value: no combination panics, and only
/// well-known types that nobody knows and MP attributes reset the session.
#[test]
fn every_type_with_every_flags() {
    let base = super::hex("40010100 40020602010000fde9 400304c0000201");
    let codec = super::plain(true);
    for code in 0..=u8::MAX {
        for flags in 0..=u8::MAX {
            for value in [&[][..], &[0], &[0; 4], &[0xff; 8]] {
                let len = u8::try_from(value.len()).unwrap();
                let mut attributes = base.clone();
                attributes.extend([flags, code]);
                attributes.extend(if flags & 0x10 == 0 {
                    vec![len]
                } else {
                    vec![0, len]
                });
                attributes.extend(value);
                let octets = super::update(&[], &attributes, &[24, 10, 1, 2]);
                let known = matches!(code, 1..=10 | 16..=18 | 32 | 35);
                let may_reset = matches!(code, 14 | 15) || (!known && flags & 0x80 == 0);
                match codec.decode(&octets) {
                    Ok(Message::Update(update)) => assert_sound(&codec, &update),
                    Ok(other) => panic!("{other:?}"),
                    Err(n) => assert!(may_reset, "type {code}, flags {flags:#x}: {n}"),
                }
            }
        }
    }
}
