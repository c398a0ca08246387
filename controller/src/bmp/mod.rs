//! Monitoring stations, by the BGP Monitoring Protocol (RFC 7854, RFC 8671, RFC 9069).
//!
//! Each station has a task of its own, which dials it, and pulls from the core what to tell as it can take
//! more: state, as everybody is told ([ADR 2](../../../docs/adr/0002-state-not-queues.md)). A station that
//! does not read makes its own task wait, and nobody else. It is cut off when it takes nothing for a minute,
//! or when so much has happened meanwhile that there is no use in telling it all; then it is told from the
//! beginning, on another connection (RFC 7854 section 3.2).
//!
//! | file | job |
//! |---|---|
//! | this one | what the core and a station's task say to each other |
//! | `station` | the task: the connection, and when to give it up |
//! | `tell` | what the core says, as messages (pure) |

mod station;
mod tell;

#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::Arc};

use jiff::Timestamp;
use redstart_bgp::{
    bmp::{PeerDown, Statistic},
    session::{Negotiated, PeerId},
    types::{Asn, RouterId},
};
use redstart_rib::rib::Observed;
pub(crate) use station::{Station, Status};
use tokio::sync::oneshot;

/// Who this speaker is to a station.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Local {
    /// The node's name.
    pub(crate) name: String,
    /// The BGP Identifier.
    pub(crate) router_id: RouterId,
    /// The AS.
    pub(crate) asn: Asn,
    /// When the clock began by which routes are dated.
    pub(crate) started: Timestamp,
}

/// What a station's task says to the core.
#[derive(Debug)]
pub(crate) enum FromStation {
    /// It can take more. A connection that the core does not know begins with everything.
    Pull {
        /// Whose task.
        station: SocketAddr,
        /// The number of its connection.
        connection: u64,
        /// Whether numbers are due.
        statistics: bool,
        /// Where the answer goes. Sending never blocks.
        reply: oneshot::Sender<Batch>,
    },
    /// The connection is over.
    Gone {
        /// Whose task.
        station: SocketAddr,
        /// The number of the connection.
        connection: u64,
    },
}

/// What to tell a station next, in this order.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Sessions that have come or gone.
    pub(crate) changes: Vec<Change>,
    /// Routes.
    pub(crate) observed: Observed,
    /// Numbers, of a peer or of the Loc-RIB.
    pub(crate) statistics: Vec<(Option<PeerId>, Vec<Statistic>)>,
}

/// A session that has come or gone.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// There is one.
    Up {
        /// With whom.
        peer: PeerId,
        /// What the neighbour is called here.
        name: String,
        /// What was agreed on.
        negotiated: Arc<Negotiated>,
        /// Since when.
        since: Timestamp,
    },
    /// It is over.
    Down {
        /// With whom.
        peer: PeerId,
        /// Why.
        why: PeerDown,
    },
}
