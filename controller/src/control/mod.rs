//! The control socket: HTTP/1.1 and JSON over a Unix socket.
//!
//! One stack serves `redc` and `curl --unix-socket` in a debug container. The socket is the only
//! administrative door: nothing on the network can change anything. What changes something is a
//! POST: `redc drain` ([`Drains`]), about which the API server decides, and what an operator has done
//! to sessions ([`Operation`]).
//!
//! The server holds no state of its own. It sends a [`Query`] to the core task and writes down the
//! answer; the table goes out in pages, so that neither side ever holds more than one page of it
//! and the core is never busy with one reader for long.

pub(crate) mod capture;
pub mod condition;
mod drains;
pub(crate) mod meaning;
pub(crate) mod mrt;
mod pages;
pub(crate) mod select;
mod server;
mod services;
pub mod views;
mod wildcard;

use std::{collections::BTreeMap, fmt, net::IpAddr, str::FromStr, sync::Arc};

pub use drains::{DrainError, Drains};
use redstart_bgp::types::{Family, Prefix};
use redstart_rib::rib::{Cursor, RouteView, Walked};
use serde::{Deserialize, Serialize};
pub use server::{ControlError, SocketFile, serve, unix_listener};
pub(crate) use server::{ask, looks};
pub(crate) use services::{Why, judged as judged_services};
use tokio::sync::{mpsc, oneshot};

use crate::{
    compile::{Compiled, ServiceTable},
    source::Batch,
};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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

impl Operation {
    /// The stable identifier.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Restart => "restart",
            Self::Reload => "reload",
            Self::ReloadIn => "reload-in",
            Self::ReloadOut => "reload-out",
        }
    }
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

impl Operated {
    /// The stable identifier.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Already => "already",
            Self::NotPossible => "not-possible",
        }
    }
}

/// A step of a walk through the tables: which prefixes, from where on.
#[derive(Clone, Debug)]
pub struct Walk {
    /// From here on.
    pub from: Cursor,
    /// Of this family.
    pub family: Option<Family>,
    /// That lie in this one, or are it.
    pub within: Option<Prefix>,
    /// With a path from one of these neighbours, or from `local`.
    pub source: Option<PeerPattern>,
    /// With a path that was refused.
    pub refused: bool,
}

/// A destination to explain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// What packets to this address use.
    Address(IpAddr),
    /// Exactly this prefix.
    Prefix(Prefix),
}

impl Asked {
    /// As a prefix.
    #[must_use]
    pub fn prefix(self) -> Prefix {
        match self {
            Self::Address(address) => Prefix::host(address),
            Self::Prefix(prefix) => prefix,
        }
    }
}

impl FromStr for Asked {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let prefix = || text.parse().map(Self::Prefix).ok();
        let asked = text.parse().map(Self::Address).ok().or_else(prefix);
        asked.ok_or_else(|| format!("{text:?} is neither an address nor a prefix"))
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Prefix(prefix) => prefix.fmt(f),
        }
    }
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

/// A question to the task that compiles: what would it come to if these events came next? Nothing
/// while not every kind was listed once.
#[derive(Debug)]
pub struct Preview {
    /// The events.
    pub events: Batch,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Option<Compiled>>,
}

/// Whom the control socket passes requests to.
#[derive(Clone)]
pub struct Doors {
    /// The core.
    pub core: mpsc::Sender<Query>,
    /// Whoever annotates the Node.
    pub drains: Drains,
    /// The task that compiles.
    pub previews: mpsc::Sender<Preview>,
}

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
    /// Some prefixes in the tables: what to ask for with [`Query::Routes`].
    Walk(Walk, oneshot::Sender<Walked>),
    /// These destinations; those that are gone by now are left out.
    Routes(Vec<Prefix>, oneshot::Sender<Vec<views::Route>>),
    /// Whose routes are in the tables, for a dump of them; nothing before this speaker knows who it is.
    TablePeers(oneshot::Sender<Option<mrt::TablePeers>>),
    /// The same destinations as they are held.
    Held(Vec<Prefix>, oneshot::Sender<Vec<RouteView>>),
    /// The destination that an address uses: longest match.
    RouteFor(IpAddr, oneshot::Sender<Option<views::Route>>),
    /// `explain`: a destination, and what the neighbours meant are told of it. Nothing where no
    /// neighbour is meant.
    Explain(
        Asked,
        PeerPattern,
        oneshot::Sender<Option<views::Explanation>>,
    ),
    /// `why-down`: for the neighbour of this name, if there is one.
    WhyDown(String, oneshot::Sender<Option<views::WhyDown>>),
    /// `history`: of the neighbour of this name, if there is one; of all without a name. Oldest first.
    History(
        Option<String>,
        oneshot::Sender<Option<Vec<views::HistoryEntry>>>,
    ),
    /// `capture`: what goes over the connections of the neighbour of this name from now on.
    Capture(
        String,
        oneshot::Sender<Result<capture::Tapped, capture::NoCapture>>,
    ),
    /// `diff`: what would change if this were in force.
    Diff(Box<Compiled>, oneshot::Sender<views::Diff>),
    /// `show kernel`
    Kernel(oneshot::Sender<views::Kernel>),
    /// `show services`: addresses of Services on this node. Cheap: what was decided, not its text.
    Services(oneshot::Sender<Services>),
    /// `show bfd sessions`
    Bfd(oneshot::Sender<Vec<views::BfdSession>>),
    /// `show bmp`
    Bmp(oneshot::Sender<Vec<views::BmpStation>>),
    /// `show mrt`
    MrtLogs(oneshot::Sender<Vec<views::MrtLog>>),
    /// Why the speaker is not ready, in words; empty if it is. Costs nothing that grows with the
    /// table, so probes may ask it often.
    Readiness(oneshot::Sender<Vec<String>>),
    /// Everything that is counted.
    Metrics(oneshot::Sender<crate::metrics::Snapshot>),
}
