//! `redc why-down`: from what TCP and the session saw to what is probably the matter. Pure.
//!
//! The engine knows how the last attempt ended ([`DownReason`]). That is the whole answer where the
//! neighbour spoke, and half of it where it did not: silence may be a firewall, another password or a
//! host too far away. Then the kernel's counters tell more ([`Drops`](super::drops::Drops)): of segments that it drops
//! because of a key or a TTL it says nothing to anybody, but counts them. They count for the whole
//! network namespace, so what rests on them alone is said as a probability.

use std::{cmp::Reverse, net::IpAddr};

use redstart_bgp::{
    session::{ConnectError, Disconnect, DownReason, OpenRefusal, State, StopReason},
    wire::{CeaseSubcode, ErrorCode, Notification, OpenSubcode},
};

use super::drops::{Lately, Tcp};
use crate::control::views::Cause;

/// What is known.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) state: State,
    /// Why its address is not known, for one that is looked for.
    pub(super) unfound: Option<String>,
    pub(super) remote: Option<IpAddr>,
    /// The address is one of this host's own.
    pub(super) remote_is_ours: bool,
    /// The kernel asks for it on its link in vain.
    pub(super) silent: bool,
    /// Our address towards it, if that is fixed, and whether this host has it.
    pub(super) local: Option<(IpAddr, bool)>,
    pub(super) disabled: bool,
    pub(super) over_limit: bool,
    pub(super) link_down: bool,
    pub(super) passive: bool,
    pub(super) has_password: bool,
    /// TTL security, with the most hops.
    pub(super) ttl_security: Option<u8>,
    /// The most hops, where there is none.
    pub(super) hops: Option<u8>,
    pub(super) down: Option<DownReason>,
    /// Whether that was the end of a session, and not of an attempt to have one.
    pub(super) was_up: bool,
    /// The last NOTIFICATION that it sent, if there was no session since.
    pub(super) told: Option<Notification>,
    pub(super) dropped: Tcp<Lately>,
    /// Why this host does not listen for it.
    pub(super) not_listening: Option<String>,
}

fn cause(id: &str, says: impl Into<String>, suggestion: impl Into<String>) -> Cause {
    Cause {
        id: id.to_owned(),
        says: says.into(),
        suggestion: suggestion.into(),
    }
}

/// What is the matter, the likeliest first. Nothing while there is a session.
pub(super) fn causes(facts: &Facts) -> Vec<Cause> {
    if facts.state == State::Established {
        return Vec::new();
    }
    let mut causes = held_down(facts);
    if causes.is_empty() {
        causes.extend(by_addresses(facts));
        causes.extend(silent_drops(facts));
        causes.extend(by_last_error(facts));
    }
    if let Some(error) = &facts.not_listening {
        causes.push(cause(
            "not-listening",
            format!("this host does not listen for BGP: {error}"),
            "see which process has port 179 (ss -ltnp), or set listenPort of BGPConfiguration",
        ));
    }
    if causes.is_empty() {
        causes.push(waiting(facts));
    }
    causes
}

/// Nobody tries: that is all there is to say.
fn held_down(facts: &Facts) -> Vec<Cause> {
    let mut causes = Vec::new();
    if facts.disabled {
        causes.push(cause(
            "disabled",
            "an operator has disabled it here",
            "redc enable PEER",
        ));
    }
    if facts.over_limit {
        causes.push(cause(
            "maximum-prefixes",
            "it sent more routes than maxPrefixes allows, and stays down",
            "raise the limit of the BGPPeer, or have the neighbour send less; then redc enable PEER",
        ));
    }
    if facts.link_down {
        causes.push(cause(
            "link-down",
            "the link to it is down",
            "look at the interface and the cable (ip link)",
        ));
    }
    if let Some(why) = &facts.unfound {
        causes.push(cause(
            "address-not-found",
            format!("its address is not known: {why}"),
            "see that the interface, or the default route, is there, and that the router announces \
             itself (RFC 4861)",
        ));
    }
    causes
}

/// What is wrong with the addresses themselves.
fn by_addresses(facts: &Facts) -> Vec<Cause> {
    let mut causes = Vec::new();
    if let (true, Some(remote)) = (facts.remote_is_ours, facts.remote) {
        causes.push(cause(
            "own-address",
            format!("{remote} is an address of this very host"),
            "correct the address of the BGPPeer, or its nodeSelector",
        ));
    }
    if let Some((local, false)) = facts.local {
        causes.push(cause(
            "local-address-not-available",
            format!("sessions are to come from {local}, which this host does not have"),
            "correct sourceAddress of the BGPPeer, or give the address to an interface",
        ));
    }
    causes
}

/// What the kernel drops without a word: what it dropped last first, for on the way from one password to
/// another there is more than one.
fn silent_drops(facts: &Facts) -> Vec<Cause> {
    let dropped = &facts.dropped;
    let silent = matches!(
        &facts.down,
        None | Some(
            DownReason::ConnectFailed(ConnectError::TimedOut)
                | DownReason::ConnectionLost(Disconnect::TimedOut)
                | DownReason::HoldTimerExpired
        )
    );
    if !silent {
        return Vec::new();
    }
    let mut causes = Vec::new();
    let mut add =
        |lately: Lately, cause| causes.extend((lately.count > 0).then_some((lately.at, cause)));
    if facts.has_password {
        add(
            dropped.md5_failure,
            cause(
                "md5-mismatch",
                "probably the passwords differ: segments come with another TCP MD5 key",
                "compare the Secret of passwordSecretRef with the neighbour's password",
            ),
        );
        add(
            dropped.md5_missing,
            cause(
                "md5-only-here",
                "probably the neighbour has no password: segments come without a TCP MD5 key",
                "set the password on the neighbour, or remove passwordSecretRef",
            ),
        );
    } else {
        add(
            dropped.md5_unexpected,
            cause(
                "md5-only-there",
                "probably the neighbour has a password: segments come with a TCP MD5 key",
                "set passwordSecretRef of the BGPPeer",
            ),
        );
    }
    if let Some(hops) = facts.ttl_security {
        add(
            dropped.low_ttl,
            cause(
                "ttl-security",
                format!(
                    "probably TTL security differs: segments come from more than {hops} hops away, \
                         or not with a TTL of 255"
                ),
                "set ttl-security on the neighbour as well, or ttlSecurity off; count the routers between",
            ),
        );
    }
    causes.sort_by_key(|(at, _)| Reverse(*at));
    causes.into_iter().map(|(_, cause)| cause).collect()
}

fn by_last_error(facts: &Facts) -> Option<Cause> {
    Some(match facts.down.as_ref()? {
        DownReason::ConnectFailed(error) => not_connected(facts, *error)?,
        DownReason::ConnectionLost(how) => lost(facts, *how),
        DownReason::NotificationReceived(notification) => told_by_peer(notification),
        DownReason::NotificationSent(notification) => cause(
            "protocol-error",
            format!("the neighbour broke the protocol, and we told it so: {notification}"),
            "the log has the message in hex; redc decode reads it. Look for a newer version of the \
             neighbour's software",
        ),
        DownReason::OpenRefused(refusal) => open_refused(refusal),
        DownReason::HoldTimerExpired => cause(
            "hold-timer-expired",
            "nothing came from the neighbour for the whole hold time",
            "look for loss or an MTU problem on the path (large UPDATEs pass last), or a neighbour \
             that is overloaded",
        ),
        DownReason::SendHoldTimerExpired => cause(
            "send-hold-timer-expired",
            "the neighbour acknowledged nothing that we sent (RFC 9687)",
            "the neighbour hangs or its host does: look at it there",
        ),
        DownReason::Collision | DownReason::PeerRestarted => cause(
            "starting-again",
            "the neighbour connects anew",
            "wait a moment; if it goes on, look why the neighbour restarts",
        ),
        DownReason::Stopped(StopReason::BfdDown) => cause(
            "bfd-down",
            "BFD says that the path is gone",
            "redc show bfd sessions; look for loss on the path",
        ),
        DownReason::Stopped(why) => cause(
            "stopped",
            format!("this side ended it: {why}"),
            "redc enable PEER if that was by hand; otherwise it comes again by itself",
        ),
        DownReason::Reconfigured(what) => cause(
            "reconfigured",
            format!("its configuration changed: {what}"),
            "wait for the next attempt",
        ),
        DownReason::InternalError => cause(
            "internal-error",
            "a defect of this speaker",
            "please report it, with the log",
        ),
    })
}

fn not_connected(facts: &Facts, error: ConnectError) -> Option<Cause> {
    let port = "nobody listens on the neighbour's address and port";
    Some(match error {
        ConnectError::TimedOut | ConnectError::Unreachable if facts.silent => cause(
            "nobody-on-the-link",
            "nobody on the link answers for the neighbour's address (ARP, Neighbour Discovery)",
            "see that the neighbour is up and has this address, and that both are in one network \
             (cable, VLAN)",
        ),
        ConnectError::Refused => cause(
            "nobody-listening",
            port,
            "is its BGP running, and on that address and port? It may also reject this node in a \
             firewall",
        ),
        ConnectError::TimedOut => no_answer(facts),
        ConnectError::Unreachable => cause(
            "no-route",
            "this host has no route to the neighbour, or a router on the way says that there is none",
            "ip route get ADDRESS; for a neighbour more than one hop away set ebgpMultihop",
        ),
        // Said already.
        ConnectError::LocalAddressNotAvailable => match facts.local {
            Some((_, false)) => return None,
            _ => cause(
                "local-address-not-available",
                "the source address of the session is not on this host",
                "correct sourceAddress of the BGPPeer",
            ),
        },
        ConnectError::PermissionDenied => cause(
            "permission-denied",
            "the kernel does not let this process connect",
            "a firewall rule of this host rejects it, or a capability of the pod is missing",
        ),
        ConnectError::SocketOption(option) => cause(
            "socket-option-refused",
            format!(
                "the kernel refused the socket option {option}, which the configuration asks for"
            ),
            "capabilities of the pod (NET_ADMIN, NET_RAW), or the sysctl net.core.optmem_max for keys",
        ),
        ConnectError::Unsupported(option) => cause(
            "unsupported-by-kernel",
            format!("this kernel does not have {option}, which the configuration asks for"),
            "do without it, or use a newer kernel",
        ),
        ConnectError::Os(errno) => cause(
            "os-error",
            format!("the system refused the connection with error {errno}"),
            "look for it in the log",
        ),
    })
}

fn no_answer(facts: &Facts) -> Cause {
    let key = if facts.has_password {
        " It may also be that the passwords differ: then nobody answers."
    } else {
        " It may also be that the neighbour expects a password (TCP MD5): then it does not \
         answer."
    };
    let far = match (facts.hops, facts.ttl_security) {
        (_, Some(_)) => " Or that it has no TTL security.",
        (Some(1), _) => " Or that it is more than one hop away (ebgpMultihop).",
        _ => "",
    };
    cause(
        "no-answer",
        "no answer to our connection attempts",
        format!(
            "see whether the neighbour can be pinged from this node, and whether a \
                 firewall drops TCP port 179.{key}{far}"
        ),
    )
}

fn lost(facts: &Facts, how: Disconnect) -> Cause {
    if !facts.was_up {
        // Whoever wants no session says so once, and closes connections from then on.
        if let Some(told) = facts.told.as_ref().filter(|it| keeps_us_out(it)) {
            return told_by_peer(told);
        }
        return cause(
            "closed-before-open",
            "the neighbour takes the connection and closes it before it says anything",
            "it does not know this node as a neighbour: see there for the address that we come from, \
             and whether it is to accept connections from it",
        );
    }
    match how {
        Disconnect::TimedOut => cause(
            "transmission-timeout",
            "what we sent was not acknowledged for too long",
            "the path is gone or loses packets; BFD finds that sooner",
        ),
        _ => cause(
            "connection-lost",
            "the neighbour's host ended the connection without a word",
            "its BGP crashed or was restarted: see its log",
        ),
    }
}

/// Whether it says that there shall be no session for now.
fn keeps_us_out(notification: &Notification) -> bool {
    let inner = notification.encapsulated();
    let said = inner.as_ref().unwrap_or(notification);
    matches!(
        said.code,
        ErrorCode::Cease(
            CeaseSubcode::AdministrativeShutdown
                | CeaseSubcode::PeerDeconfigured
                | CeaseSubcode::MaximumPrefixesReached
        )
    )
}

fn told_by_peer(notification: &Notification) -> Cause {
    let inner = notification.encapsulated();
    let said = inner.as_ref().unwrap_or(notification);
    let (id, suggestion) = match said.code {
        ErrorCode::Cease(CeaseSubcode::AdministrativeShutdown) => (
            "shut-down-there",
            "the neighbour's operator has shut it down: ask there",
        ),
        ErrorCode::Cease(CeaseSubcode::PeerDeconfigured | CeaseSubcode::ConnectionRejected) => (
            "not-wanted-there",
            "the neighbour does not have this node configured, or not as it is: compare addresses \
             and AS numbers there",
        ),
        ErrorCode::Cease(CeaseSubcode::MaximumPrefixesReached) => (
            "too-many-routes-for-it",
            "advertise less to it, or have its limit raised",
        ),
        ErrorCode::Cease(CeaseSubcode::OutOfResources) => (
            "out-of-resources-there",
            "the neighbour is overloaded: look there",
        ),
        ErrorCode::Cease(_) => (
            "ended-there",
            "the neighbour ended it on purpose; it may come back",
        ),
        ErrorCode::Open(OpenSubcode::BadPeerAs) => (
            "bad-peer-as-there",
            "the neighbour expects another AS of us: compare asn (or localASN) here with its \
             configuration",
        ),
        ErrorCode::Open(OpenSubcode::UnacceptableHoldTime) => (
            "hold-time",
            "the neighbour does not accept our hold time: set holdTimeSeconds",
        ),
        ErrorCode::Open(_) => (
            "open-refused-there",
            "the neighbour does not accept our OPEN: compare what is offered with what it expects",
        ),
        ErrorCode::HoldTimerExpired => (
            "hold-timer-expired-there",
            "the neighbour heard nothing of us for its hold time: loss or an MTU problem on the path",
        ),
        _ => (
            "protocol-error-there",
            "the neighbour objects to what we sent: please report it, with its log",
        ),
    };
    cause(id, format!("the neighbour says: {said}"), suggestion)
}

fn open_refused(refusal: &OpenRefusal) -> Cause {
    let suggestion = match refusal {
        OpenRefusal::BadPeerAs { .. } => "correct asn of the BGPPeer, or the neighbour's AS",
        OpenRefusal::BadBgpIdentifier(_) => {
            "two speakers have one BGP Identifier: set routerIDRule here, or the router id there"
        }
        OpenRefusal::NoCommonFamily(_) => "enable a family on both sides (families)",
        OpenRefusal::RoleMismatch { .. } => "correct the BGP role on one of the sides (RFC 9234)",
    };
    cause(
        refusal.id(),
        format!("the neighbour's OPEN does not fit: {refusal}"),
        suggestion,
    )
}

fn waiting(facts: &Facts) -> Cause {
    if facts.passive {
        return cause(
            "waiting-passively",
            "this side waits for the neighbour to connect, and it has not",
            "see that the neighbour is configured to dial this node, or unset passive",
        );
    }
    cause(
        "trying",
        "the first attempt is under way",
        "ask again in a moment",
    )
}

#[cfg(test)]
mod tests;
