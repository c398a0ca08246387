//! Every state, with everything that can happen in it.

use super::{MS, config, from_them, session_in};
use crate::bfd::{
    Event, State,
    state::{Diagnostic, DownReason},
};

use State::{AdminDown, Down, Init, Up};

/// RFC 5880 section 6.8.6: ours, heard, ours after.
const HEARD: [(State, State, State); 16] = [
    (AdminDown, AdminDown, AdminDown),
    (AdminDown, Down, AdminDown),
    (AdminDown, Init, AdminDown),
    (AdminDown, Up, AdminDown),
    (Down, AdminDown, Down),
    (Down, Down, Init),
    (Down, Init, Up),
    (Down, Up, Down),
    (Init, AdminDown, Down),
    (Init, Down, Init),
    (Init, Init, Up),
    (Init, Up, Up),
    (Up, AdminDown, Down),
    (Up, Down, Down),
    (Up, Init, Up),
    (Up, Up, Up),
];

#[test]
fn every_state_hears_every_state() {
    for (ours, heard, after) in HEARD {
        let (mut session, now) = session_in(ours, config(300, 3));
        session.received(now, &from_them(heard));
        let status = session.status();
        assert_eq!(status.state, after, "{ours} hears {heard}");
        let event = session.poll_event();
        assert_eq!(event.is_some(), ours != after, "{ours} hears {heard}");
        if let Some(event) = event {
            let reason = match (after, heard) {
                (Down, AdminDown) => Some(DownReason::NeighborAdminDown),
                (Down, _) => Some(DownReason::NeighborSignaledDown(Diagnostic::None)),
                _ => None,
            };
            assert_eq!(
                event,
                Event {
                    from: ours,
                    to: after,
                    reason
                }
            );
        }
        if ours > after {
            assert_eq!(status.diagnostic, Diagnostic::NeighborSignaledDown);
        }
    }
}

#[test]
fn every_state_has_a_word_on_silence() {
    for (ours, after, failures) in [
        (AdminDown, AdminDown, 0),
        (Down, Down, 0),
        (Init, Down, 0),
        (Up, Down, 1),
    ] {
        let (mut session, now) = session_in(ours, config(300, 3));
        session.handle_timeout(now + MS * 60_000);
        let status = session.status();
        assert_eq!((status.state, status.failures), (after, failures), "{ours}");
        assert_eq!(status.remote_discriminator, 0, "{ours}");
        if ours > after {
            assert_eq!(status.diagnostic, Diagnostic::DetectionTimeExpired);
            let reason = Some(DownReason::DetectionTimeExpired);
            assert_eq!(
                session.poll_event(),
                Some(Event {
                    from: ours,
                    to: after,
                    reason
                })
            );
        }
    }
}

#[test]
fn every_state_can_be_disabled_and_enabled() {
    for ours in State::ALL {
        let (mut session, now) = session_in(ours, config(300, 3));
        session.disable(now);
        assert_eq!(session.status().state, AdminDown);
        assert_eq!(
            session.status().diagnostic,
            Diagnostic::AdministrativelyDown
        );
        let event = session.poll_event();
        assert_eq!(
            event.map(|e| (e.from, e.reason)),
            (ours != AdminDown).then_some((ours, Some(DownReason::AdministrativelyDown)))
        );
        session.enable(now);
        assert_eq!(session.status().state, Down);
        session.received(now, &from_them(Init));
        assert_eq!(session.status().state, Up, "after {ours}");
    }
}

#[test]
fn only_a_failure_of_the_path_counts_as_one() {
    assert!(DownReason::DetectionTimeExpired.is_failure());
    assert!(DownReason::NeighborSignaledDown(Diagnostic::None).is_failure());
    assert!(!DownReason::NeighborAdminDown.is_failure());
    assert!(!DownReason::AdministrativelyDown.is_failure());
}
