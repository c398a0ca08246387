//! The control socket: HTTP/1.1 and JSON over a Unix socket.
//!
//! One stack serves `redc` and `curl --unix-socket` in a debug container. The socket is the only
//! administrative door: nothing on the network can change anything. What changes something is a
//! POST; the only such thing is `redc drain` ([`Drains`]), and the API server decides about it.
//!
//! The server holds no state of its own. It sends a [`Query`] to the core task and writes down the
//! answer; the table goes out in pages, so that neither side ever holds more than one page of it
//! and the core is never busy with one reader for long.

pub mod condition;
mod drains;
pub(crate) mod select;
mod server;
mod services;
pub mod views;
mod wildcard;

use std::{collections::BTreeMap, sync::Arc};

pub use drains::{DrainError, Drains};
use redstart_bgp::types::Prefix;
pub(crate) use server::ask;
pub use server::{ControlError, SocketFile, serve, unix_listener};
use tokio::sync::oneshot;

use crate::compile::ServiceTable;

/// What was decided about addresses of Services, and what is made of it.
#[derive(Clone, Debug, Default)]
pub struct Services {
    /// By the objects as they are.
    pub table: Arc<ServiceTable>,
    /// Those that are held as they were.
    pub held: BTreeMap<Prefix, Held>,
    /// How far the node is drained, if it is.
    pub drain: Option<DrainStep>,
}

/// How far a node is relieved of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainStep {
    /// Its routes are marked with GRACEFUL_SHUTDOWN.
    Marked,
    /// Its routes are withdrawn.
    Withdrawn,
}

impl DrainStep {
    /// The stable identifier.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Marked => "draining",
            Self::Withdrawn => "drained",
        }
    }
}

/// Why an address of a Service is not as the objects ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// It is not told yet: it could not be served for `minReadySeconds`.
    MinReady,
    /// It is told still: its endpoints have gone within `withdrawDelaySeconds`.
    WithdrawDelay,
}

impl Held {
    /// The stable identifier.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MinReady => "min-ready",
            Self::WithdrawDelay => "withdraw-delay",
        }
    }
}

/// What an operator can have done to a neighbour's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// End the session and stay down (Cease, Administrative Shutdown), until enabled again or
    /// until the speaker is started anew: the objects are what lasts.
    Disable,
    /// The opposite.
    Enable,
    /// End the session (Cease, Administrative Reset) and dial again.
    Restart,
    /// Both of what follows.
    Reload,
    /// Ask the neighbour for its routes again (RFC 2918).
    ReloadIn,
    /// Tell the neighbour every route again.
    ReloadOut,
}

/// What became of an [`Operation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operated {
    /// It is on its way.
    Done,
    /// It was so already.
    Already,
    /// There is no session, or the neighbour cannot send its routes again.
    NotPossible,
}

/// Which neighbours are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerPattern {
    /// All of them.
    All,
    /// The one of this name.
    Name(String),
    /// Those whose names match: `*` is any text, `?` any character.
    Like(String),
}

impl PeerPattern {
    /// Whether a neighbour of this name is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Name(wanted) => wanted == name,
            Self::Like(pattern) => wildcard::matches(
                pattern.as_bytes(),
                name.as_bytes(),
                |part| *part == b'*',
                |part, c| part == c || *part == b'?',
            ),
        }
    }
}

/// Where the control socket is unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/redstart/redstart.sock";

/// A question to the core task. Each carries the place for its answer; a core that is gone drops it.
#[derive(Debug)]
pub enum Query {
    /// `show status`
    Status(oneshot::Sender<views::Status>),
    /// `show protocols`
    Protocols(oneshot::Sender<Vec<views::Protocol>>),
    /// How much the tables hold. Costs nothing that grows with them.
    Tables(oneshot::Sender<Vec<views::Table>>),
    /// Has something done to the sessions of neighbours.
    Operate(
        Operation,
        PeerPattern,
        oneshot::Sender<Vec<(String, Operated)>>,
    ),
    /// Every prefix in the table, in order: what to ask for with [`Query::Routes`].
    Prefixes(oneshot::Sender<Vec<Prefix>>),
    /// These destinations; those that are gone by now are left out.
    Routes(Vec<Prefix>, oneshot::Sender<Vec<views::Route>>),
    /// The destination that an address uses: longest match.
    RouteFor(std::net::IpAddr, oneshot::Sender<Option<views::Route>>),
    /// `show kernel`
    Kernel(oneshot::Sender<views::Kernel>),
    /// `show services`: addresses of Services on this node. Cheap: what was decided, not its text.
    Services(oneshot::Sender<Services>),
    /// `show bfd sessions`
    Bfd(oneshot::Sender<Vec<views::BfdSession>>),
    /// Why the speaker is not ready, in words; empty if it is. Costs nothing that grows with the
    /// table, so probes may ask it often.
    Readiness(oneshot::Sender<Vec<String>>),
    /// Everything that is counted.
    Metrics(oneshot::Sender<crate::metrics::Snapshot>),
}
