//! Roles (RFC 9234): which OPENs fit together, and which routes are leaks.
//!
//! The speaker has a role in most rows, by its `BGPPeer`. The codec knows none: to it a number that
//! nobody has assigned is a role like any other, and a leak a route like any other.

use redstart_bgp::types::Role;

use super::{
    Case, EBGP, Expected, IBGP, LocalRole, PEER_AS, Session,
    build::{announce, attr, capabilities, capability, offered, open_with},
    open::ID,
};

const CAPABILITY: &str = "RFC 9234 section 4.1";
const PAIRS: &str = "RFC 9234 section 4.2";
const OTC: &str = "RFC 9234 section 5";
/// Role Mismatch.
const MISMATCH: Expected = Expected::Reset(2, 11);

/// The rows.
pub fn cases() -> Vec<Case> {
    let mut cases = pairs();
    cases.extend(opens());
    cases.extend(lengths());
    cases.extend(leaks());
    cases
}

/// A session in which the speaker has this role.
fn as_a(role: Role) -> Session {
    Session {
        role: Some(LocalRole {
            role,
            strict: false,
        }),
        ..EBGP
    }
}

/// The same, and the peer has to say its own.
fn strictly(role: Role) -> Session {
    Session {
        role: Some(LocalRole { role, strict: true }),
        ..EBGP
    }
}

/// An OPEN with these role capabilities.
fn open(name: String, session: Session, roles: &[&[u8]], expected: Expected) -> Case {
    let mut list = offered(Session {
        role: None,
        ..session
    });
    for value in roles {
        list.extend(capability(9, value));
    }
    let octets = open_with(session, ID, &capabilities(&list));
    Case::new(name, PAIRS, octets, expected)
        .on(session)
        .first()
        .codec_says(Expected::Accept)
}

/// Every pair of roles: those of table 2 of the RFC come up, all others do not.
fn pairs() -> Vec<Case> {
    let fits = |ours, theirs| {
        matches!(
            (ours, theirs),
            (Role::Provider, Role::Customer)
                | (Role::Customer, Role::Provider)
                | (Role::RouteServer, Role::RouteServerClient)
                | (Role::RouteServerClient, Role::RouteServer)
                | (Role::Peer, Role::Peer)
        )
    };
    let pair = |ours: Role, theirs: Role| {
        let expected = if fits(ours, theirs) {
            Expected::Accept
        } else {
            MISMATCH
        };
        let name = format!("role-{ours}-to-{theirs}");
        open(name, as_a(ours), &[&[theirs.code()]], expected)
    };
    let with_all = |ours| Role::ALL.map(|theirs| pair(ours, theirs));
    Role::ALL.into_iter().flat_map(with_all).collect()
}

/// What is said of roles, beside one that is right or wrong.
fn opens() -> Vec<Case> {
    let row = |name: &str, session, roles: &[&[u8]], expected| {
        open(name.to_owned(), session, roles, expected)
    };
    let customer = Role::Customer;
    let (provider, peer) = ([Role::Provider.code()], [Role::Peer.code()]);
    vec![
        row("role-unassigned", as_a(customer), &[&[5]], MISMATCH),
        row("role-255", as_a(customer), &[&[255]], MISMATCH),
        row("role-missing", as_a(customer), &[], Expected::Accept),
        row("role-missing-strict", strictly(customer), &[], MISMATCH),
        row(
            "role-strict",
            strictly(customer),
            &[&provider],
            Expected::Accept,
        ),
        row(
            "role-twice-the-same",
            as_a(customer),
            &[&provider, &provider],
            Expected::Accept,
        ),
        row(
            "role-twice-and-different",
            as_a(customer),
            &[&provider, &peer],
            MISMATCH,
        ),
        row(
            "role-twice-and-different-right-one-last",
            as_a(customer),
            &[&peer, &provider],
            MISMATCH,
        ),
        // Who has no role of its own checks none.
        row("role-where-we-have-none", EBGP, &[&[255]], Expected::Accept),
        row(
            "role-on-an-internal-session",
            IBGP,
            &[&peer],
            Expected::Accept,
        ),
    ]
}

/// A capability that is not one octet long says nothing.
fn lengths() -> Vec<Case> {
    let row = |name: &str, session, value: &[u8], expected| Case {
        source: CAPABILITY,
        ..open(name.to_owned(), session, &[value], expected)
    };
    let customer = Role::Customer;
    vec![
        row("role-length-2", as_a(customer), &[0, 0], Expected::Accept),
        row(
            "role-length-2-strict",
            strictly(customer),
            &[0, 0],
            MISMATCH,
        ),
        row("role-empty-strict", strictly(customer), &[], MISMATCH),
    ]
}

/// Routes with OTC, by what the speaker is to the peer.
fn leaks() -> Vec<Case> {
    let row = |name: &str, ours, otc: u32, expected| {
        let session = as_a(ours);
        let marked = attr(0xc0, 35, &otc.to_be_bytes());
        let octets = announce(session).append(&marked).message();
        Case::new(name, OTC, octets, expected).on(session)
    };
    let (leak, fine) = (Expected::Refuse, Expected::Accept);
    let malformed = attr(0xc0, 35, &[0; 5]);
    let customer = as_a(Role::Provider);
    vec![
        row("otc-from-a-customer", Role::Provider, PEER_AS, leak),
        row("otc-from-a-customer-other-as", Role::Provider, 65001, leak),
        row("otc-from-an-rs-client", Role::RouteServer, PEER_AS, leak),
        row("otc-from-a-peer", Role::Peer, PEER_AS, fine),
        row("otc-from-a-peer-other-as", Role::Peer, 65001, leak),
        row("otc-from-a-provider", Role::Customer, 65001, fine),
        row("otc-from-an-rs", Role::RouteServerClient, 65001, fine),
        Case::new(
            "otc-malformed-from-a-customer",
            OTC,
            announce(customer).append(&malformed).message(),
            Expected::Withdraw,
        )
        .on(customer),
    ]
}
