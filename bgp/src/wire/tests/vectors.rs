//! Nothing that the codec knows is without a vector.
//!
//! The vectors are beside what they are about, in `messages` and in the tests of OPEN. Here stands what
//! there must be one of: each message, attribute, capability, form of a next hop, and each code that the
//! IANA registries have for a NOTIFICATION. Whatever is added to the codec fails here, or does not
//! compile, until it has one.

use std::collections::BTreeSet;

use bytes::BytesMut;

use super::{
    super::{
        AddPathMode, Capability, Codec, ErrorCode, Message, MessageType, Notification, RefreshKind,
        attr, open,
    },
    message, messages,
};
use crate::types::{Family, NextHop, Origin, PathAttributes, SegmentType};

/// The names of all variants of an enum, and the function that names one. A variant that is not listed
/// does not compile.
macro_rules! variants {
    ($enum:ident { $($variant:ident),+ $(,)? }) => {{
        let name = |value: &$enum| -> &'static str { match value {
            $($enum::$variant { .. } => stringify!($variant),)+
        }};
        (BTreeSet::from([$(stringify!($variant)),+]), name)
    }};
}

/// Every announcement that has a vector, with its family.
fn announced() -> Vec<(Family, PathAttributes)> {
    let updates = messages::all()
        .into_iter()
        .filter_map(|vector| match vector.value {
            Message::Update(update) => Some(update),
            _ => None,
        });
    let reach = updates.flat_map(|update| update.reach);
    reach
        .map(|reach| (reach.nlri.family(), (*reach.attrs).clone()))
        .collect()
}

/// The type codes in the attribute list of an UPDATE.
fn attribute_codes(octets: &[u8]) -> BTreeSet<u8> {
    let len = |at: usize| usize::from(u16::from_be_bytes([octets[at], octets[at + 1]]));
    let mut at = 21 + len(19);
    let end = at + 2 + len(at);
    at += 2;
    let mut codes = BTreeSet::new();
    while at < end {
        codes.insert(octets[at + 1]);
        at += if octets[at] & 0x10 == 0 {
            3 + usize::from(octets[at + 2])
        } else {
            4 + len(at + 2)
        };
    }
    codes
}

#[test]
fn every_message_has_a_vector() {
    let (all, name) = variants!(Message {
        Open,
        Update,
        Notification,
        Keepalive,
        RouteRefresh
    });
    let mut seen: BTreeSet<_> = messages::all().iter().map(|v| name(&v.value)).collect();
    assert!(!open::tests::with_vectors().is_empty());
    seen.insert("Open");
    assert_eq!(seen, all);
    assert_eq!(all.len(), MessageType::ALL.len());

    let (all, name) = variants!(RefreshKind {
        Request,
        Begin,
        End,
        Unknown
    });
    let vectors = messages::all();
    let kinds = vectors.iter().filter_map(|vector| match &vector.value {
        Message::RouteRefresh(refresh) => Some(name(&refresh.kind)),
        _ => None,
    });
    assert_eq!(kinds.collect::<BTreeSet<_>>(), all);
}

#[test]
fn every_attribute_has_a_vector() {
    let seen: BTreeSet<u8> = messages::all()
        .iter()
        .filter(|vector| matches!(vector.value, Message::Update(_)))
        .flat_map(|vector| attribute_codes(&vector.octets))
        .collect();
    let missing: Vec<u8> = attr::known_codes()
        .filter(|code| !seen.contains(code))
        .collect();
    assert_eq!(missing, []);
    let known: BTreeSet<u8> = attr::known_codes().collect();
    assert!(
        seen.iter().any(|code| !known.contains(code)),
        "one that nobody knows"
    );
}

#[test]
fn every_form_of_an_attribute_has_a_vector() {
    let (all, name) = variants!(Origin {
        Igp,
        Egp,
        Incomplete
    });
    let seen = announced()
        .into_iter()
        .map(|(_, attrs)| name(&attrs.origin));
    assert_eq!(seen.collect::<BTreeSet<_>>(), all);

    let (all, name) = variants!(SegmentType {
        Set,
        Sequence,
        ConfedSequence,
        ConfedSet
    });
    // From anybody but a member of one's own confederation these are malformed: `faults` has them.
    let all = &all - &BTreeSet::from(["ConfedSequence", "ConfedSet"]);
    let paths = announced().into_iter().map(|(_, attrs)| attrs.as_path);
    let segments = paths.flat_map(|path| path.segments);
    assert_eq!(
        segments.map(|s| name(&s.kind)).collect::<BTreeSet<_>>(),
        all
    );

    let (all, name) = variants!(NextHop {
        V4,
        V6,
        V6LinkLocal
    });
    for family in Family::ALL {
        let mut expected = all.clone();
        if family == Family::Ipv6Unicast {
            expected.remove("V4");
        }
        let of_family = announced().into_iter().filter(|(f, _)| *f == family);
        let seen = of_family.filter_map(|(_, attrs)| attrs.next_hop.as_ref().map(name));
        assert_eq!(seen.collect::<BTreeSet<_>>(), expected, "{family}");
    }
}

#[test]
fn every_family_has_vectors_for_its_withdrawals_and_its_end() {
    let (mut withdrawn, mut ended) = (BTreeSet::new(), BTreeSet::new());
    for vector in messages::all() {
        if let Message::Update(update) = vector.value {
            withdrawn.extend(update.unreach.iter().map(|set| set.family().to_string()));
            ended.extend(update.end_of_rib.map(|family| family.to_string()));
        }
    }
    let all: BTreeSet<_> = Family::ALL.iter().map(ToString::to_string).collect();
    assert_eq!((withdrawn, ended), (all.clone(), all));
}

#[test]
fn every_capability_has_a_vector() {
    let (all, name) = variants!(Capability {
        Multiprotocol,
        RouteRefresh,
        ExtendedNextHop,
        ExtendedMessage,
        Role,
        GracefulRestart,
        FourOctetAs,
        AddPath,
        EnhancedRouteRefresh,
        LongLivedGracefulRestart,
        Fqdn,
        Unknown,
    });
    let capabilities = open::tests::with_vectors();
    assert_eq!(capabilities.iter().map(name).collect::<BTreeSet<_>>(), all);

    let (all, name) = variants!(AddPathMode {
        Receive,
        Send,
        Both
    });
    let modes = capabilities.iter().flat_map(|capability| match capability {
        Capability::AddPath(list) => list.iter().map(|(.., mode)| name(mode)).collect(),
        _ => vec![],
    });
    assert_eq!(modes.collect::<BTreeSet<_>>(), all);
}

/// Code, subcode and name, as in the IANA registry "BGP Error (Notification) Codes" and those of its
/// subcodes.
const NOTIFICATIONS: [(u8, u8, &str); 48] = [
    (1, 0, "Message Header Error: Unspecific"),
    (1, 1, "Message Header Error: Connection Not Synchronized"),
    (1, 2, "Message Header Error: Bad Message Length"),
    (1, 3, "Message Header Error: Bad Message Type"),
    (2, 0, "OPEN Message Error: Unspecific"),
    (2, 1, "OPEN Message Error: Unsupported Version Number"),
    (2, 2, "OPEN Message Error: Bad Peer AS"),
    (2, 3, "OPEN Message Error: Bad BGP Identifier"),
    (2, 4, "OPEN Message Error: Unsupported Optional Parameter"),
    (2, 5, "OPEN Message Error: Authentication Failure"),
    (2, 6, "OPEN Message Error: Unacceptable Hold Time"),
    (2, 7, "OPEN Message Error: Unsupported Capability"),
    (2, 11, "OPEN Message Error: Role Mismatch"),
    (3, 0, "UPDATE Message Error: Unspecific"),
    (3, 1, "UPDATE Message Error: Malformed Attribute List"),
    (
        3,
        2,
        "UPDATE Message Error: Unrecognized Well-known Attribute",
    ),
    (3, 3, "UPDATE Message Error: Missing Well-known Attribute"),
    (3, 4, "UPDATE Message Error: Attribute Flags Error"),
    (3, 5, "UPDATE Message Error: Attribute Length Error"),
    (3, 6, "UPDATE Message Error: Invalid ORIGIN Attribute"),
    (3, 7, "UPDATE Message Error: AS Routing Loop"),
    (3, 8, "UPDATE Message Error: Invalid NEXT_HOP Attribute"),
    (3, 9, "UPDATE Message Error: Optional Attribute Error"),
    (3, 10, "UPDATE Message Error: Invalid Network Field"),
    (3, 11, "UPDATE Message Error: Malformed AS_PATH"),
    (4, 0, "Hold Timer Expired"),
    (5, 0, "Finite State Machine Error: Unspecific"),
    (
        5,
        1,
        "Finite State Machine Error: Receive Unexpected Message in OpenSent State",
    ),
    (
        5,
        2,
        "Finite State Machine Error: Receive Unexpected Message in OpenConfirm State",
    ),
    (
        5,
        3,
        "Finite State Machine Error: Receive Unexpected Message in Established State",
    ),
    (6, 0, "Cease: Unspecific"),
    (6, 1, "Cease: Maximum Number of Prefixes Reached"),
    (6, 2, "Cease: Administrative Shutdown"),
    (6, 3, "Cease: Peer De-configured"),
    (6, 4, "Cease: Administrative Reset"),
    (6, 5, "Cease: Connection Rejected"),
    (6, 6, "Cease: Other Configuration Change"),
    (6, 7, "Cease: Connection Collision Resolution"),
    (6, 8, "Cease: Out of Resources"),
    (6, 9, "Cease: Hard Reset"),
    (6, 10, "Cease: BFD Down"),
    (7, 0, "ROUTE-REFRESH Message Error: Unspecific"),
    (7, 1, "ROUTE-REFRESH Message Error: Invalid Message Length"),
    (8, 0, "Send Hold Timer Expired"),
    // Numbers that no registry has go both ways too.
    (0, 0, "Error Code 0: Subcode 0"),
    (4, 1, "Hold Timer Expired: Subcode 1"),
    (6, 200, "Cease: Subcode 200"),
    (99, 7, "Error Code 99: Subcode 7"),
];

#[test]
fn every_notification_has_a_vector() {
    let mut known = BTreeSet::new();
    for (code, subcode, text) in NOTIFICATIONS {
        let octets = message(3, &[code, subcode, 0xab]);
        let Ok(value) = Codec::default().decode(&octets) else {
            panic!("{text}");
        };
        let Message::Notification(notification) = &value else {
            panic!("{value:?}");
        };
        assert_eq!(notification.code.to_string(), text);
        assert_eq!(notification.data[..], [0xab], "{text}");
        let mut out = BytesMut::new();
        Codec::default().encode(&value, &mut out);
        assert_eq!(out[..], octets, "{text}");
        if !matches!(notification.code, ErrorCode::Unknown { .. }) {
            known.insert((code, subcode));
        }
    }
    let all = (0..=u8::MAX).flat_map(|code| (0..=u8::MAX).map(move |subcode| (code, subcode)));
    let read: BTreeSet<_> = all
        .filter(|(code, subcode)| {
            let code = Notification::new(ErrorCode::from_wire(*code, *subcode)).code;
            !matches!(code, ErrorCode::Unknown { .. })
        })
        .collect();
    assert_eq!(known, read);
}
