//! What is written is read back the same, over every kind of session.

use bytes::BytesMut;
use proptest::prelude::*;

use super::{
    super::{Codec, Message},
    arbitrary, cut, decode_update, items,
};

fn assert_same(codec: &Codec, message: &Message) {
    let mut out = BytesMut::new();
    assert_eq!(codec.encode(message, &mut out), 1);
    assert_eq!(codec.decode(&out).as_ref(), Ok(message));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn announcements((codec, attrs, routes) in arbitrary::announcement()) {
        let mut out = BytesMut::new();
        let sent = codec.encode_reach(&attrs, &routes, &mut out);
        let messages = cut(&codec, &out);
        prop_assert_eq!(sent, Ok(messages.len()));
        let mut got = Vec::new();
        for message in &messages {
            let update = decode_update(&codec, message);
            prop_assert_eq!(&update.faults, &[]);
            prop_assert_eq!((&update.unreach, update.end_of_rib), (&vec![], None));
            prop_assert_eq!(update.reach.len(), 1);
            prop_assert_eq!(&*update.reach[0].attrs, &attrs);
            got.extend(items([&update.reach[0].nlri]));
        }
        prop_assert_eq!(got, items([&routes]));
    }

    #[test]
    fn withdrawals((codec, _, routes) in arbitrary::announcement()) {
        let mut out = BytesMut::new();
        let sent = codec.encode_unreach(&routes, &mut out);
        let messages = cut(&codec, &out);
        prop_assert_eq!(sent, messages.len());
        let mut got = Vec::new();
        for message in &messages {
            let update = decode_update(&codec, message);
            prop_assert_eq!((&update.faults, &update.reach), (&vec![], &vec![]));
            got.extend(items(&update.unreach));
        }
        prop_assert_eq!(got, items([&routes]));
    }

    #[test]
    fn ends_of_rib(codec in arbitrary::codec(), family in arbitrary::family()) {
        let mut out = BytesMut::new();
        codec.encode_end_of_rib(family, &mut out);
        let update = decode_update(&codec, &out);
        prop_assert_eq!(update.end_of_rib, Some(family));
        prop_assert_eq!((&update.faults, &update.reach), (&vec![], &vec![]));
        prop_assert_eq!(&update.unreach, &vec![]);
    }

    #[test]
    fn opens(open in arbitrary::open()) {
        assert_same(&Codec::default(), &Message::Open(open));
    }

    #[test]
    fn notifications(codec in arbitrary::codec(), notification in arbitrary::notification()) {
        assert_same(&codec, &Message::Notification(notification));
    }

    #[test]
    fn refreshes(codec in arbitrary::codec(), refresh in arbitrary::route_refresh()) {
        assert_same(&codec, &Message::RouteRefresh(refresh));
    }

    /// An UPDATE goes out as one message for each of its parts, in the order in which a receiver
    /// handles them.
    #[test]
    fn whole_updates((codec, attrs, routes) in arbitrary::announcement()) {
        let update = super::Update {
            unreach: vec![routes.clone()],
            reach: vec![super::super::Reach { attrs: attrs.into(), nlri: routes.clone() }],
            end_of_rib: Some(routes.family()),
            ..super::Update::default()
        };
        let mut out = BytesMut::new();
        let sent = codec.encode(&Message::Update(update), &mut out);
        let messages = cut(&codec, &out);
        prop_assert_eq!(sent, messages.len());
        let updates: Vec<_> = messages.iter().map(|m| decode_update(&codec, m)).collect();
        let first_reach = updates.iter().position(|u| !u.reach.is_empty()).unwrap();
        let last_unreach = updates.iter().rposition(|u| !u.unreach.is_empty()).unwrap();
        prop_assert!(last_unreach < first_reach);
        prop_assert_eq!(updates.last().unwrap().end_of_rib, Some(routes.family()));
    }
}

/// A segment has one octet for its length: longer ones go as several (RFC 4271 section 5.1.2).
#[test]
fn paths_of_thousands() {
    use crate::types::{AsPath, Asn, Ipv4Prefix, NextHop, PathAttributes};
    let routes = super::nlri::<Ipv4Prefix>(&["10.0.0.0/8"]);
    for (count, four_octet_as) in [(255, true), (256, true), (3000, true), (3000, false)] {
        let codec = Codec {
            four_octet_as,
            extended_messages: true,
            ..super::plain(true)
        };
        let attrs = PathAttributes {
            as_path: AsPath::sequence((1..=count).map(|n| Asn(65_000 + n))),
            next_hop: Some(NextHop::V4([192, 0, 2, 1].into())),
            ..PathAttributes::default()
        };
        let mut out = BytesMut::new();
        assert_eq!(codec.encode_reach(&attrs, &routes, &mut out), Ok(1));
        let update = decode_update(&codec, &out);
        assert_eq!(update.faults, []);
        let path = &update.reach[0].attrs.as_path;
        assert!(path.iter().eq(attrs.as_path.iter()), "{count}");
        assert!(path.segments.iter().all(|s| s.asns.len() <= 255));
        assert_eq!(path.hop_count(), attrs.as_path.hop_count());
    }
}
