//! Messages that are read together say what each says alone.

use bytes::BytesMut;
use proptest::{collection::vec, prelude::*};

use super::{
    super::{Codec, Message, Update, Updates},
    arbitrary, cut, message,
};
use crate::types::Family;

/// An octet of some message that is something else.
type Fault = Option<(prop::sample::Index, u8)>;

fn messages() -> impl Strategy<Value = (Codec, Vec<Vec<u8>>)> {
    let said = |codec: Codec| {
        let one = arbitrary::family().prop_flat_map(move |family| {
            (
                arbitrary::attributes(codec, family),
                arbitrary::routes(codec, family),
                any::<bool>(),
                proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
            )
        });
        (Just(codec), vec(one, 1..6))
    };
    arbitrary::codec()
        .prop_flat_map(said)
        .prop_map(|(codec, said)| {
            let messages = said
                .into_iter()
                .flat_map(|(attributes, routes, withdrawn, fault)| {
                    let mut out = BytesMut::new();
                    if withdrawn {
                        codec.encode_unreach(&routes, &mut out);
                    }
                    // What cannot be sent is left out.
                    let _ = codec.encode_reach(&attributes, &routes, &mut out);
                    let messages = cut(&codec, &out).into_iter();
                    messages.map(move |octets| bent(octets, fault))
                });
            (codec, messages.chain([message(2, &[0; 4])]).collect())
        })
}

fn bent(mut octets: Vec<u8>, fault: Fault) -> Vec<u8> {
    if let Some((at, octet)) = fault {
        // Behind the header: a stream without boundaries has no messages.
        let at = 19 + at.index(octets.len() - 19);
        octets[at] = octet;
    }
    octets
}

proptest! {
    /// Also around those that reset the session, and on sessions that lack a family.
    #[test]
    fn together_as_alone((codec, messages) in messages()) {
        for families in [&Family::ALL[..], &Family::ALL[..1], &Family::ALL[1..]] {
            let codec = Codec { families: super::families(families), ..codec };
            let read = messages.iter().map(Vec::len).sum();
            let mut together = Updates::read(read);
            let mut alone = Vec::new();
            for octets in &messages {
                let at_once = codec.decode_update(octets, &mut together);
                match (codec.decode(octets), at_once) {
                    (Ok(Message::Update(update)), Ok(end_of_rib)) => {
                        prop_assert_eq!(update.end_of_rib, end_of_rib);
                        alone.push(update);
                    }
                    (Err(one), Err(other)) => prop_assert_eq!(one, other),
                    different => prop_assert!(false, "{different:?}"),
                }
            }
            alone.retain(|update| *update != Update::default());
            prop_assert_eq!(&together.messages(), &alone);
            let again: Updates = alone.iter().cloned().collect();
            prop_assert_eq!(again.messages(), alone);
        }
    }
}
