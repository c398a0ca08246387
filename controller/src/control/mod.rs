//! The control socket: HTTP/1.1 and JSON over a Unix socket.
//!
//! One stack serves `redc` and `curl --unix-socket` in a debug container. The socket is the only
//! administrative door: nothing on the network can change anything. What changes something is a
//! POST; the only such thing is `redc drain` ([`Drains`]), and the API server decides about it.
//!
//! The server holds no state of its own. It sends a [`Query`] to the core task and writes down the
//! answer; the table goes out in pages, so that neither side ever holds more than one page of it
//! and the core is never busy with one reader for long.

mod drains;
mod server;
mod services;
pub mod views;

pub use drains::{DrainError, Drains};
use redstart_bgp::types::Prefix;
pub(crate) use server::ask;
pub use server::{ControlError, SocketFile, serve, unix_listener};
use tokio::sync::oneshot;

/// Where the control socket is unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/redstart/redstart.sock";

/// A question to the core task. Each carries the place for its answer; a core that is gone drops it.
#[derive(Debug)]
pub enum Query {
    /// `show status`
    Status(oneshot::Sender<views::Status>),
    /// `show protocols`
    Protocols(oneshot::Sender<Vec<views::Protocol>>),
    /// Every prefix in the table, in order: what to ask for with [`Query::Routes`].
    Prefixes(oneshot::Sender<Vec<Prefix>>),
    /// These destinations; those that are gone by now are left out.
    Routes(Vec<Prefix>, oneshot::Sender<Vec<views::Route>>),
    /// The destination that an address uses: longest match.
    RouteFor(std::net::IpAddr, oneshot::Sender<Option<views::Route>>),
    /// `show kernel`
    Kernel(oneshot::Sender<views::Kernel>),
    /// `show services`: addresses of Services on this node. Cheap: what was decided, not its text.
    Services(oneshot::Sender<std::sync::Arc<crate::compile::ServiceTable>>),
    /// `show bfd sessions`
    Bfd(oneshot::Sender<Vec<views::BfdSession>>),
    /// Why the speaker is not ready, in words; empty if it is. Costs nothing that grows with the
    /// table, so probes may ask it often.
    Readiness(oneshot::Sender<Vec<String>>),
    /// Everything that is counted.
    Metrics(oneshot::Sender<crate::metrics::Snapshot>),
}
