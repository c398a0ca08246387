use super::*;

#[test]
fn every_pair_of_octets_survives_and_reads_as_words() {
    for code in 0..=u8::MAX {
        for subcode in 0..=u8::MAX {
            let parsed = ErrorCode::from_wire(code, subcode);
            assert_eq!((parsed.code(), parsed.subcode()), (code, subcode));
            assert!(!parsed.to_string().is_empty());
        }
    }
}

#[test]
fn texts_are_those_of_the_rfcs() {
    for (code, subcode, text) in [
        (1, 2, "Message Header Error: Bad Message Length"),
        (2, 2, "OPEN Message Error: Bad Peer AS"),
        (2, 11, "OPEN Message Error: Role Mismatch"),
        (3, 11, "UPDATE Message Error: Malformed AS_PATH"),
        (4, 0, "Hold Timer Expired"),
        (
            5,
            2,
            "Finite State Machine Error: Receive Unexpected Message in OpenConfirm State",
        ),
        (6, 2, "Cease: Administrative Shutdown"),
        (6, 10, "Cease: BFD Down"),
        (6, 77, "Cease: Subcode 77"),
        (7, 1, "ROUTE-REFRESH Message Error: Invalid Message Length"),
        (8, 0, "Send Hold Timer Expired"),
        (9, 3, "Error Code 9: Subcode 3"),
    ] {
        assert_eq!(ErrorCode::from_wire(code, subcode).to_string(), text);
    }
}

#[test]
fn shutdown_message_is_cut_on_a_character_boundary() {
    // 128 characters of two octets: 256 octets, one too many.
    let long = "ä".repeat(128);
    let sent = Notification::cease_with_message(CeaseSubcode::AdministrativeShutdown, &long);
    assert_eq!(sent.data.len(), 1 + 254);
    assert_eq!(sent.shutdown_message(), Some("ä".repeat(127)));
}

#[test]
fn only_shutdown_and_reset_carry_a_message() {
    let other = Notification::cease_with_message(CeaseSubcode::ConnectionRejected, "no");
    assert!(other.data.is_empty());
    let empty = Notification::cease_with_message(CeaseSubcode::AdministrativeReset, "");
    assert!(empty.data.is_empty());
    let foreign = Notification::with_data(ErrorCode::HoldTimerExpired, b"\x02hi");
    assert_eq!(foreign.shutdown_message(), None);
}

#[test]
fn shutdown_message_from_a_peer_is_cleaned() {
    let code = ErrorCode::Cease(CeaseSubcode::AdministrativeShutdown);
    let read = |data: &[u8]| Notification::with_data(code, data).shutdown_message();
    assert_eq!(read(b"\x09a\x1b[31m\r\nb"), Some("a [31m  b".to_owned()));
    assert_eq!(read(b"\x03a\xffb"), Some("a\u{fffd}b".to_owned()));
    let reversed = "a\u{202e}b\u{200b}c\u{2028}d";
    let mut data = vec![u8::try_from(reversed.len()).unwrap()];
    data.extend_from_slice(reversed.as_bytes());
    assert_eq!(read(&data), Some("a b c d".to_owned()));
    for contradictory in [&b""[..], b"\x00", b"\x05hi", b"\x01hi", b"\x01\n"] {
        assert_eq!(read(contradictory), None, "{contradictory:?}");
    }
}

#[test]
fn hard_reset_carries_its_reason() {
    let inner = Notification::cease_with_message(CeaseSubcode::AdministrativeShutdown, "bye");
    let outer = Notification::hard_reset(&inner);
    assert_eq!(&outer.data[..], b"\x06\x02\x03bye");
    assert_eq!(outer.encapsulated(), Some(inner));
    assert_eq!(outer.shutdown_message().as_deref(), Some("bye"));
    assert_eq!(
        outer.to_string(),
        "Cease: Hard Reset (Cease: Administrative Shutdown) (\"bye\")"
    );
    // Too short to hold a reason: still a Hard Reset.
    let bare = Notification::with_data(ErrorCode::Cease(CeaseSubcode::HardReset), &[6]);
    assert_eq!(bare.encapsulated(), None);
    assert_eq!(bare.to_string(), "Cease: Hard Reset");
}

#[test]
fn maximum_prefixes_names_family_and_limit() {
    let n = Notification::max_prefixes(Family::Ipv6Unicast, 0x0102_0304);
    assert_eq!(&n.data[..], [0, 2, 1, 1, 2, 3, 4]);
}

#[test]
fn data_longer_than_a_message_is_cut() {
    let n = Notification::with_data(ErrorCode::HoldTimerExpired, &[0; 70_000]);
    for (extended, len) in [(false, 4096), (true, 65535)] {
        let mut out = BytesMut::new();
        n.encode(extended, &mut out);
        assert_eq!(out.len(), len);
    }
}
