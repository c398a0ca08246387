//! OPENs against configurations.

use super::{
    super::offer::{Withheld, local_open},
    *,
};
use crate::session::{GracefulRestartConfig, LongLivedConfig};
use crate::wire::{AddPathMode, GracefulRestartFamily};

const US: Asn = Asn(65001);
const THEM: Asn = Asn(4_200_000_001);

fn id(n: u32) -> RouterId {
    RouterId::from_u32(n)
}

fn config(remote_as: RemoteAs) -> PeerConfig {
    let mut config = PeerConfig::new(US, remote_as, id(1));
    config.families = FamilySet::ALL;
    config
}

fn theirs() -> Open {
    let mut config = PeerConfig::new(THEM, RemoteAs::External, id(2));
    config.families = FamilySet::ALL;
    config.hold_time = 30;
    local_open(&config, &Withheld::default())
}

fn run(config: &PeerConfig, theirs: Open) -> Result<Negotiated, OpenRefusal> {
    let addr = SocketAddr::from(([127, 0, 0, 1], 179));
    negotiate(
        config,
        &local_open(config, &Withheld::default()),
        theirs,
        (addr, addr),
    )
}

#[test]
fn agreement() {
    let n = run(&config(RemoteAs::Number(THEM)), theirs()).unwrap();
    assert_eq!(n.families, FamilySet::ALL);
    assert_eq!(n.hold_time, Duration::from_secs(30));
    assert_eq!(n.keepalive, Duration::from_secs(10));
    assert!(n.codec.four_octet_as && n.codec.ebgp && n.route_refresh);
    assert!(n.codec.extended_messages);
    assert_eq!(n.remote_as, THEM);
}

#[test]
fn as_rules() {
    #[rustfmt::skip]
    let rows = [
        (RemoteAs::Number(THEM), THEM,       true),
        (RemoteAs::Number(THEM), Asn(65002), false),
        (RemoteAs::Number(Asn::TRANS), Asn::TRANS, false),
        (RemoteAs::Internal,     US,         true),
        (RemoteAs::Internal,     THEM,       false),
        (RemoteAs::External,     THEM,       true),
        (RemoteAs::External,     US,         false),
        (RemoteAs::External,     Asn(0),     false),
        (RemoteAs::External,     Asn::TRANS, false),
    ];
    for (expected, got, accepted) in rows {
        let mut open = theirs();
        open.asn = got;
        let result = run(&config(expected), open);
        let refusal = OpenRefusal::BadPeerAs { expected, got };
        assert_eq!(result.is_ok(), accepted, "{expected} {got}");
        if !accepted {
            assert_eq!(result, Err(refusal), "{expected} {got}");
        }
    }
}

#[test]
fn identifiers_must_differ_within_an_as_only() {
    let mut open = theirs();
    open.router_id = id(1);
    assert!(run(&config(RemoteAs::External), open.clone()).is_ok());
    open.asn = US;
    assert_eq!(
        run(&config(RemoteAs::Internal), open.clone()),
        Err(OpenRefusal::BadBgpIdentifier(id(1)))
    );
}

#[test]
fn the_smaller_hold_time_counts_and_zero_is_the_smallest() {
    for (offered, expected) in [(0, 0), (3, 3), (600, 90)] {
        let mut open = theirs();
        open.hold_time = offered;
        let n = run(&config(RemoteAs::External), open).unwrap();
        assert_eq!(n.hold_time.as_secs(), expected);
    }
}

#[test]
fn a_neighbour_without_capabilities_speaks_ipv4_unicast() {
    let mut open = theirs();
    open.asn = Asn(65002);
    open.capabilities.clear();
    let n = run(&config(RemoteAs::External), open.clone()).unwrap();
    assert_eq!(n.families, FamilySet::from_iter([Family::Ipv4Unicast]));
    assert!(!n.codec.four_octet_as && !n.route_refresh);

    let mut v6_only = config(RemoteAs::External);
    v6_only.families = FamilySet::from_iter([Family::Ipv6Unicast]);
    let refusal = run(&v6_only, open).unwrap_err();
    assert_eq!(refusal.id(), "no-common-family");
    assert_eq!(refusal.notification().data.as_ref(), [1, 4, 0, 2, 0, 1]);
}

#[test]
fn an_unknown_family_is_not_mistaken_for_none() {
    let mut open = theirs();
    open.capabilities = vec![Capability::Multiprotocol { afi: 25, safi: 70 }];
    assert_eq!(
        run(&config(RemoteAs::External), open),
        Err(OpenRefusal::NoCommonFamily(FamilySet::ALL))
    );
}

#[test]
fn routes_are_retained_by_the_letter_of_graceful_restart() {
    use crate::session::{Disconnect, StopReason};
    use crate::wire::CeaseSubcode;
    let us_with = |notification| {
        let mut us = config(RemoteAs::External);
        us.graceful_restart = Some(GracefulRestartConfig {
            notification,
            ..GracefulRestartConfig::default()
        });
        us
    };
    let lost = DownReason::ConnectionLost(Disconnect::Reset);
    let received = |sub| DownReason::NotificationReceived(Notification::new(ErrorCode::Cease(sub)));
    let reset = received(CeaseSubcode::AdministrativeReset);
    let hard = received(CeaseSubcode::HardReset);

    assert_eq!(
        run(&us_with(true), theirs()).unwrap().retained(&lost),
        FamilySet::EMPTY
    );
    for (ours, notification) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut open = theirs();
        open.capabilities
            .push(Capability::GracefulRestart(GracefulRestart {
                restarting: false,
                notification,
                restart_time: 5000,
                families: vec![GracefulRestartFamily {
                    afi: 1,
                    safi: 1,
                    forwarding_preserved: true,
                }],
            }));
        let n = run(&us_with(ours), open).unwrap();
        let v4 = FamilySet::from_iter([Family::Ipv4Unicast]);
        let by_notification = if ours && notification {
            v4
        } else {
            FamilySet::EMPTY
        };
        assert_eq!(n.retained(&lost), v4);
        assert_eq!(n.retained(&reset), by_notification);
        assert_eq!(n.retained(&DownReason::HoldTimerExpired), by_notification);
        assert_eq!(n.retained(&hard), FamilySet::EMPTY);
        let stop = DownReason::Stopped(StopReason::Shutdown(String::new()));
        assert_eq!(n.retained(&stop), FamilySet::EMPTY);
    }
}

fn unicast(family: Family) -> FamilySet {
    FamilySet::from_iter([family])
}

/// Their OPEN with `capability` added.
fn theirs_with(capability: Capability) -> Open {
    let mut open = theirs();
    open.capabilities.push(capability);
    open
}

#[test]
fn several_paths_flow_where_one_sends_and_the_other_receives() {
    use AddPathMode::{Both, Receive, Send};
    let (v4, none) = (unicast(Family::Ipv4Unicast), FamilySet::EMPTY);
    #[rustfmt::skip]
    let rows = [
        // we receive, we send, they,        we get to receive, to send
        (v4,           v4,      Some(Both),    v4,   v4),
        (v4,           v4,      Some(Send),    v4,   none),
        (v4,           v4,      Some(Receive), none, v4),
        (v4,           none,    Some(Both),    v4,   none),
        (none,         v4,      Some(Both),    none, v4),
        (none,         v4,      Some(Send),    none, none),
        (none,         none,    Some(Both),    none, none),
        (v4,           v4,      None,          none, none),
    ];
    for (i, (we_receive, we_send, they, receive, send)) in rows.into_iter().enumerate() {
        let mut us = config(RemoteAs::External);
        (us.add_path_receive, us.add_path_send) = (we_receive, we_send);
        let mut open = theirs();
        let list = they.map(|mode| Capability::AddPath(vec![(1, 1, mode), (25, 70, mode)]));
        open.capabilities.extend(list);
        let n = run(&us, open).unwrap();
        assert_eq!(
            (n.add_path_receive, n.add_path_send),
            (receive, send),
            "row {i}"
        );
        let codec = (n.codec.add_path_receive, n.codec.add_path_send);
        assert_eq!(codec, (receive, send), "row {i}");
    }
}

#[test]
fn several_paths_of_a_family_without_a_session_are_none() {
    let mut us = config(RemoteAs::External);
    us.families = unicast(Family::Ipv6Unicast);
    us.add_path_receive = FamilySet::ALL;
    let both = vec![(1, 1, AddPathMode::Both), (2, 1, AddPathMode::Both)];
    let n = run(&us, theirs_with(Capability::AddPath(both))).unwrap();
    assert_eq!(n.add_path_receive, us.families);
}

/// RFC 9234 section 4.2, table 2, and every other pair.
#[test]
fn roles_must_correspond() {
    for ours in Role::ALL {
        for code in 0..=6 {
            let mut us = config(RemoteAs::External);
            us.role = Some(ours);
            let result = run(&us, theirs_with(Capability::Role(code)));
            let pair = (ours.code(), code);
            if [(0, 3), (3, 0), (1, 2), (2, 1), (4, 4)].contains(&pair) {
                let n = result.unwrap();
                assert_eq!(n.role, Some(ours));
                assert_eq!(n.remote_role().map(Role::code), Some(code));
                continue;
            }
            let refusal = result.unwrap_err();
            assert_eq!(refusal.id(), "role-mismatch", "{pair:?}");
            let mismatch = ErrorCode::Open(OpenSubcode::RoleMismatch);
            assert_eq!(refusal.notification().code, mismatch);
            assert_eq!((mismatch.code(), mismatch.subcode()), (2, 11));
        }
    }
}

#[test]
fn a_missing_role_is_refused_in_strict_mode_alone() {
    let mut us = config(RemoteAs::External);
    us.role = Some(Role::Customer);
    let n = run(&us, theirs()).unwrap();
    assert_eq!(
        n.role,
        Some(Role::Customer),
        "our own rules apply all the same"
    );
    us.strict_role = true;
    let refusal = run(&us, theirs()).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "as customer we need a provider, the neighbour has no definite role"
    );
    // Two different ones are none; the same one twice is one.
    let mut twice = theirs_with(Capability::Role(0));
    twice.capabilities.push(Capability::Role(0));
    assert!(run(&us, twice.clone()).is_ok());
    twice.capabilities.push(Capability::Role(4));
    us.strict_role = false;
    assert_eq!(run(&us, twice).unwrap_err().id(), "role-mismatch");
}

#[test]
fn roles_are_for_external_sessions_and_for_those_that_have_one() {
    let n = run(
        &config(RemoteAs::External),
        theirs_with(Capability::Role(3)),
    )
    .unwrap();
    assert_eq!((n.role, n.remote_role()), (None, None));
    let mut us = config(RemoteAs::Internal);
    (us.role, us.strict_role) = (Some(Role::Peer), true);
    let offered = local_open(&us, &Withheld::default()).capabilities;
    assert!(!offered.iter().any(|c| matches!(c, Capability::Role(_))));
    let mut open = theirs();
    open.asn = US;
    assert_eq!(run(&us, open).unwrap().role, None);
}

#[test]
fn long_lived_needs_graceful_restart_on_both_sides() {
    let long_lived = || {
        Capability::LongLivedGracefulRestart(LongLivedGracefulRestart {
            families: [(1, 1, 3600), (2, 1, 0), (25, 70, 60)]
                .map(|(afi, safi, stale_time)| LongLivedFamily {
                    afi,
                    safi,
                    forwarding_preserved: false,
                    stale_time,
                })
                .to_vec(),
        })
    };
    let restart = Capability::GracefulRestart(GracefulRestart::default());
    let mut us = config(RemoteAs::External);
    us.long_lived = Some(LongLivedConfig {
        stale_time: 1 << 30,
        families: unicast(Family::Ipv6Unicast),
    });
    let mut open = theirs_with(long_lived());
    open.capabilities.push(restart);
    // We do not offer ours without graceful restart.
    assert_eq!(run(&us, open.clone()).unwrap().long_lived, None);
    us.graceful_restart = Some(GracefulRestartConfig::default());
    // Nor is theirs taken without it.
    let n = run(&us, theirs_with(long_lived())).unwrap();
    assert_eq!(n.long_lived, None);

    let n = run(&us, open).unwrap();
    let hour = Some(Duration::from_secs(3600));
    assert_eq!(n.long_lived_stale_time(Family::Ipv4Unicast), hour);
    assert_eq!(n.long_lived_stale_time(Family::Ipv6Unicast), None, "zero");
    // Its Graceful Restart capability lists no family: what stays, stays for long.
    let lost = DownReason::ConnectionLost(crate::session::Disconnect::Reset);
    assert_eq!(n.retained(&lost), unicast(Family::Ipv4Unicast));
    let offered = n.local_capabilities.iter().find_map(|c| match c {
        Capability::LongLivedGracefulRestart(gr) => Some(gr.families.clone()),
        _ => None,
    });
    let [family] = &offered.unwrap()[..] else {
        panic!("{:?}", n.local_capabilities);
    };
    assert_eq!((family.afi, family.stale_time), (2, 0x00ff_ffff));
}

#[test]
fn extensions_need_both_sides() {
    let all = |config: &mut PeerConfig| {
        config.extended_messages = true;
        config.extended_next_hop = true;
        config.enhanced_route_refresh = true;
    };
    let (mut us, mut them) = (
        config(RemoteAs::External),
        PeerConfig::new(THEM, RemoteAs::External, id(2)),
    );
    for (we, they) in [(true, true), (true, false), (false, true)] {
        (us.extended_messages, them.extended_messages) = (false, false);
        (us.extended_next_hop, them.extended_next_hop) = (false, false);
        (us.enhanced_route_refresh, them.enhanced_route_refresh) = (false, false);
        if we {
            all(&mut us);
        }
        if they {
            all(&mut them);
        }
        let n = run(&us, local_open(&them, &Withheld::default())).unwrap();
        let both = we && they;
        assert_eq!(n.codec.extended_messages, both);
        assert_eq!(n.enhanced_route_refresh, both);
        assert_eq!(!n.codec.extended_next_hop.is_empty(), both);
        // A family that only one of us has is no part of the session.
        assert_eq!(n.families, unicast(Family::Ipv4Unicast));
    }
}
