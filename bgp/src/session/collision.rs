//! Connection collision resolution (RFC 4271 section 6.8, RFC 6286 section 2.3).
//!
//! When both speakers dial at once there are two connections, and both must close the same one
//! without talking about it. Each compares the two BGP Identifiers "to retain only the connection
//! initiated by the BGP speaker with the higher-valued BGP Identifier". RFC 6286 lets two ASes use the
//! same identifier; then the connection of the speaker with the larger AS number is kept.
//!
//! "A BGP speaker MAY also examine connections in an OpenSent state if it knows the BGP Identifier of
//! the peer by means outside of the protocol." We do: whoever has this address is this neighbour. So a
//! collision is resolved with the first OPEN, and at both ends alike. But a connection that stays
//! silent is no such connection: anybody may have made it who can use the address, or a neighbour that
//! died right after. It counts for [`COLLISION_WINDOW`] and then loses, or it could keep a good one
//! away for as long as it likes.

use core::time::Duration;

use crate::types::{Asn, RouterId};

use super::state::Slot;

/// How long a simultaneous start can explain a second connection: each end sends its OPEN as soon as
/// its connection is up.
pub(super) const COLLISION_WINDOW: Duration = Duration::from_secs(10);

/// How a speaker is known on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Speaker {
    pub(super) router_id: RouterId,
    pub(super) asn: Asn,
}

/// How far the other connection is when an OPEN arrives on one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Other {
    /// No connection, or one whose TCP handshake is not done.
    None,
    /// In OpenSent or OpenConfirm.
    Opening,
    /// In OpenSent for longer than [`COLLISION_WINDOW`].
    Silent,
    /// Established, and there is no sign that the neighbour gave it up.
    Established,
    /// Established, but the neighbour has evidently begun again (RFC 4724 section 5).
    Abandoned,
}

/// Which connection to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Neither.
    NoCollision,
    /// The one on which the OPEN arrived.
    CloseThis,
    /// The other one.
    CloseOther,
}

/// The slot that survives between two speakers, whatever their states.
///
/// "Comparing BGP Identifiers is done by converting them to host byte order and treating them as
/// 4-octet unsigned integers." Two speakers of one AS with the same identifier never get here: the
/// OPEN is refused.
pub(super) fn survivor(local: Speaker, remote: Speaker) -> Slot {
    if (local.router_id, local.asn) > (remote.router_id, remote.asn) {
        Slot::Outgoing
    } else {
        Slot::Incoming
    }
}

/// Decides about a connection in slot `this` on which a valid OPEN arrived.
///
/// "Unless allowed via configuration, a connection collision with an existing BGP connection that is
/// in the Established state causes closing of the newly created connection."
pub(super) fn resolve(
    this: Slot,
    other: Other,
    local: Speaker,
    remote: Speaker,
    established_may_lose: bool,
) -> Verdict {
    match other {
        Other::None => Verdict::NoCollision,
        Other::Abandoned | Other::Silent => Verdict::CloseOther,
        Other::Established if !established_may_lose => Verdict::CloseThis,
        Other::Opening | Other::Established => {
            if survivor(local, remote) == this {
                Verdict::CloseOther
            } else {
                Verdict::CloseThis
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speaker(id: u32, asn: u32) -> Speaker {
        Speaker {
            router_id: RouterId::from_u32(id),
            asn: Asn(asn),
        }
    }

    #[test]
    fn truth_table() {
        use Verdict::*;
        let (low, high) = (speaker(1, 65001), speaker(0xc000_0000, 65002));
        let (same_low, same_high) = (speaker(7, 65001), speaker(7, 65002));
        #[rustfmt::skip]
        let rows = [
            // this,          other,              local,     remote,    may lose, expected
            (Slot::Outgoing, Other::None,        low,       high,      false, NoCollision),
            (Slot::Incoming, Other::None,        high,      low,       true,  NoCollision),
            (Slot::Outgoing, Other::Opening,     low,       high,      false, CloseThis),
            (Slot::Incoming, Other::Opening,     low,       high,      false, CloseOther),
            (Slot::Outgoing, Other::Opening,     high,      low,       false, CloseOther),
            (Slot::Incoming, Other::Opening,     high,      low,       false, CloseThis),
            (Slot::Outgoing, Other::Opening,     same_low,  same_high, false, CloseThis),
            (Slot::Incoming, Other::Opening,     same_low,  same_high, false, CloseOther),
            (Slot::Outgoing, Other::Opening,     same_high, same_low,  false, CloseOther),
            (Slot::Incoming, Other::Opening,     same_high, same_low,  false, CloseThis),
            (Slot::Outgoing, Other::Established, high,      low,       false, CloseThis),
            (Slot::Incoming, Other::Established, low,       high,      false, CloseThis),
            (Slot::Outgoing, Other::Established, high,      low,       true,  CloseOther),
            (Slot::Incoming, Other::Established, high,      low,       true,  CloseThis),
            (Slot::Incoming, Other::Established, low,       high,      true,  CloseOther),
            (Slot::Outgoing, Other::Abandoned,   low,       high,      false, CloseOther),
            (Slot::Incoming, Other::Abandoned,   high,      low,       false, CloseOther),
            (Slot::Outgoing, Other::Silent,      low,       high,      false, CloseOther),
            (Slot::Incoming, Other::Silent,      high,      low,       false, CloseOther),
        ];
        for (i, (this, other, local, remote, may_lose, expected)) in rows.into_iter().enumerate() {
            assert_eq!(
                resolve(this, other, local, remote, may_lose),
                expected,
                "row {i}"
            );
        }
    }

    #[test]
    fn both_ends_keep_the_same_connection() {
        // One end's outgoing connection is the other end's incoming one.
        for (a, b) in [
            ((1, 1), (2, 1)),
            ((2, 1), (1, 9)),
            ((5, 1), (5, 2)),
            ((5, 2), (5, 1)),
        ] {
            let (a, b) = (speaker(a.0, a.1), speaker(b.0, b.1));
            assert_eq!(survivor(a, b), survivor(b, a).other(), "{a:?} {b:?}");
        }
    }
}
