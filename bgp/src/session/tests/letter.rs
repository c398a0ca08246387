//! Rules that RFCs state in a sentence, and that nothing else would notice if they were broken.

use core::time::Duration;

use crate::{
    session::{
        Event, GracefulRestartConfig, LongLivedConfig, OutBatch, PeerConfig, RemoteAs, Slot, State,
        offer::{Withheld, local_open},
    },
    types::{
        AsPath, Asn, Family, FamilySet, Ipv4Prefix, NextHop, Nlri, NlriSet, PathAttributes, Role,
        RouterId,
    },
    wire::{
        Capability, ErrorCode, GracefulRestart, Message, Notification, RefreshKind, RouteRefresh,
    },
};

use super::support::{Harness, encode, our_config, their_open};

const SECOND: Duration = Duration::from_secs(1);

/// Established with a neighbour whose OPEN has these capabilities besides the usual ones.
fn session_with(capabilities: &[Capability]) -> Harness {
    let mut config = our_config();
    config.graceful_restart = Some(GracefulRestartConfig::default());
    let mut h = Harness::in_state(config, Slot::Outgoing, State::OpenSent);
    let mut open = their_open();
    open.capabilities.extend_from_slice(capabilities);
    h.receive(Slot::Outgoing, &Message::Open(open));
    h.receive(Slot::Outgoing, &Message::Keepalive);
    assert_eq!(h.peer.state(), State::Established);
    h.drain();
    h
}

/// RFC 4271 section 4.4.
#[test]
fn keepalives_are_a_second_apart() {
    let mut config = our_config();
    config.hold_time = 3;
    let mut h = Harness::in_state(config, Slot::Outgoing, State::Established);
    for n in 0..50 {
        let before = h.now;
        h.now = h.peer.poll_timeout().unwrap();
        h.peer.handle_timeout(h.now);
        assert_eq!(h.written(Slot::Outgoing), [Message::Keepalive]);
        // The first one after OPEN came on another clock.
        assert!(n == 0 || h.now - before >= SECOND);
        h.receive(Slot::Outgoing, &Message::Keepalive);
    }
}

/// Of many sessions those that are due at about the same time, so that the processor is woken once for them.
#[test]
fn keepalives_of_several_sessions_are_due_at_the_same_moments() {
    let mut h = Harness::in_state(our_config(), Slot::Outgoing, State::Established);
    let interval = h.peer.status(h.now).negotiated.unwrap().keepalive;
    for _ in 0..50 {
        let before = h.now;
        h.now = h.peer.poll_timeout().unwrap();
        assert!(h.now.as_nanos().is_multiple_of(200_000_000), "{:?}", h.now);
        assert!(h.now - before <= interval);
        h.now = h.now + Duration::from_millis(7);
        h.peer.handle_timeout(h.now);
        assert_eq!(h.written(Slot::Outgoing), [Message::Keepalive]);
        h.receive(Slot::Outgoing, &Message::Keepalive);
    }
}

/// RFC 9687 section 4.3: the SendHoldTimer is stopped where the hold time is zero.
#[test]
fn a_hold_time_of_zero_gives_the_neighbour_all_the_time_it_wants() {
    let mut config = our_config();
    config.hold_time = 0;
    let mut h = Harness::in_state(config, Slot::Outgoing, State::Established);
    let prefix = Ipv4Prefix::new([10, 0, 0, 0].into(), 8).unwrap();
    let attrs = PathAttributes {
        as_path: AsPath::sequence([Asn(65001)]),
        next_hop: Some(NextHop::V4([10, 0, 0, 1].into())),
        ..PathAttributes::default()
    };
    let batch = OutBatch {
        reach: vec![(attrs.into(), NlriSet::V4(vec![Nlri::plain(prefix)]))].into(),
        ..OutBatch::default()
    };
    h.peer.send_batch(h.now, &batch);
    assert!(!h.peer.transmit(Slot::Outgoing).is_empty());
    assert_eq!(h.peer.poll_timeout(), None);
}

/// RFC 9072 section 2: its form is for more than 255 octets of parameters. Everything that there is to
/// offer needs a third of that; a field that is new to [`PeerConfig`] has to be named here.
#[test]
fn no_configuration_makes_our_open_long() {
    let everything = PeerConfig {
        local_as: Asn(u32::MAX - 1),
        remote_as: RemoteAs::External,
        router_id: RouterId::from_u32(u32::MAX),
        hold_time: u16::MAX,
        connect_retry: SECOND,
        idle_hold: SECOND,
        passive: false,
        families: FamilySet::ALL,
        graceful_restart: Some(GracefulRestartConfig {
            restart_time: 4095,
            restarting: true,
            forwarding_preserved: FamilySet::ALL,
            notification: true,
        }),
        long_lived: Some(LongLivedConfig {
            stale_time: 0x00ff_ffff,
            families: FamilySet::ALL,
        }),
        add_path_receive: FamilySet::ALL,
        add_path_send: FamilySet::ALL,
        role: Some(Role::Provider),
        strict_role: true,
        enhanced_route_refresh: true,
        refresh_time: SECOND,
        delay_open: None,
        send_hold: None,
        extended_messages: true,
        extended_next_hop: true,
        collision_established: true,
    };
    let open = local_open(&everything, &Withheld::default());
    assert_eq!(open.capabilities.len(), 11);
    let octets = encode(&Message::Open(open));
    // The length of the parameters, after 28 octets of the message.
    assert_eq!(usize::from(octets[28]), octets.len() - 29);
    assert!(octets[28] <= 85, "{}", octets[28]);
}

/// RFC 4724 section 3.
#[test]
fn of_several_graceful_restart_capabilities_the_last_counts() {
    let restart = |restart_time| {
        Capability::GracefulRestart(GracefulRestart {
            restart_time,
            ..GracefulRestart::default()
        })
    };
    let h = session_with(&[restart(10), restart(20)]);
    let negotiated = h.peer.negotiated().unwrap();
    let restart = negotiated.graceful_restart.as_ref().unwrap();
    assert_eq!(restart.restart_time, 20);
}

/// RFC 5492 section 3.
#[test]
fn a_capability_that_nobody_knows_is_ignored() {
    let unknown = Capability::Unknown {
        code: 239,
        value: vec![1, 2, 3],
    };
    // The same one twice, and one that we know twice: no different.
    let h = session_with(&[unknown.clone(), unknown, Capability::RouteRefresh]);
    let plain = session_with(&[]);
    let (n, p) = (
        h.peer.negotiated().unwrap(),
        plain.peer.negotiated().unwrap(),
    );
    assert_eq!((n.codec, n.families), (p.codec, p.families));
}

/// RFC 2918 section 4 and RFC 7313 section 5.
#[test]
fn refreshes_that_mean_nothing_are_ignored() {
    let mut config = our_config();
    config.families = FamilySet::from_iter([Family::Ipv4Unicast]);
    let mut h = Harness::in_state(config, Slot::Outgoing, State::Established);
    let refresh = |afi, kind| {
        let safi = 1;
        Message::RouteRefresh(RouteRefresh { afi, safi, kind })
    };
    // A family that we know and did not negotiate, one that we do not know, a subtype from later.
    for message in [
        refresh(2, RefreshKind::Request),
        refresh(25, RefreshKind::Request),
        refresh(1, RefreshKind::Unknown(9)),
    ] {
        h.receive(Slot::Outgoing, &message);
        assert!(h.events().is_empty(), "{message:?}");
        assert_eq!(h.peer.state(), State::Established);
    }
    h.receive(Slot::Outgoing, &refresh(1, RefreshKind::Request));
    assert!(matches!(
        h.events()[..],
        [Event::RefreshRequested(Family::Ipv4Unicast)]
    ));
}

/// RFC 4271 section 6.4.
#[test]
fn a_notification_is_never_answered() {
    for (code, subcode) in [(6, 2), (3, 1), (9, 9), (0, 0), (255, 255)] {
        let mut h = Harness::in_state(our_config(), Slot::Incoming, State::Established);
        let notification = Notification::with_data(ErrorCode::from_wire(code, subcode), &[0xff; 3]);
        h.receive(Slot::Incoming, &Message::Notification(notification));
        assert_eq!(h.closes(), [(Slot::Incoming, vec![])], "{code}/{subcode}");
        let reason = h.reason().unwrap();
        assert_eq!(reason.id(), "notification-received");
    }
}

/// RFC 8654 section 3: who offers to take long messages takes them, also from a neighbour that does not
/// take any itself, and sends it none.
#[test]
fn long_messages_are_taken_by_who_offered_to() {
    let codec = crate::wire::Codec {
        extended_messages: true,
        ..super::support::codec()
    };
    let list = (0..3000_u32)
        .filter_map(|i| Ipv4Prefix::new((0x0a00_0000 + (i << 8)).into(), 24))
        .map(Nlri::plain)
        .collect();
    let mut long = bytes::BytesMut::new();
    assert_eq!(codec.encode_unreach(&NlriSet::V4(list), &mut long), 1);
    assert!(long.len() > 4096);
    for we_offer in [true, false] {
        let mut config = our_config();
        config.extended_messages = we_offer;
        let mut h = Harness::in_state(config, Slot::Outgoing, State::OpenSent);
        let mut open = their_open();
        open.capabilities
            .retain(|c| *c != Capability::ExtendedMessage);
        h.receive(Slot::Outgoing, &Message::Open(open));
        h.receive(Slot::Outgoing, &Message::Keepalive);
        h.drain();
        assert!(!h.peer.negotiated().unwrap().codec.extended_messages);
        h.peer.received(h.now, Slot::Outgoing, &long);
        let state = if we_offer {
            State::Established
        } else {
            State::Idle
        };
        assert_eq!(h.peer.state(), state);
    }
}

/// RFC 7606 section 6: what cannot be read belongs in the log, whole.
#[test]
fn a_message_that_ends_the_session_is_told_before_the_end() {
    let mut h = Harness::in_state(our_config(), Slot::Incoming, State::Established);
    // Withdrawn routes that run over the message.
    let mut message = vec![0xff; 16];
    message.extend([0, 23, 2, 0, 9, 0, 0]);
    h.peer.received(h.now, Slot::Incoming, &message);
    let events = h.events();
    let [Event::Malformed(told), Event::Down { .. }, ..] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(told[..], message);
    // Octets that are no message have no end: the NOTIFICATION says what there is to say.
    let mut h = Harness::in_state(our_config(), Slot::Incoming, State::Established);
    h.peer.received(h.now, Slot::Incoming, &[0; 19]);
    assert!(matches!(h.events()[..], [Event::Down { .. }, ..]));
}
