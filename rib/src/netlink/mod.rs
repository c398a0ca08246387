//! The only netlink socket of the project: carries the planner's operations to the kernel and the
//! kernel's events back.
//!
//! Three connections, each opened again when it fails:
//!
//! - **Requests** (`requests`): batches of operations, many messages in one datagram with one
//!   acknowledgement, on a thread of its own. Answers that do not come make the connection suspect:
//!   it is dropped, and the operations are reported as lost.
//! - **Events** (`monitor`): multicast of links, addresses, nexthop objects and routes. What the
//!   consumer cannot take is dropped and told as [`KernelEvent::Overrun`]; a dump that is asked for
//!   then comes in order with the events. Echoes of our own operations are left out.
//! - **Dumps** (`dump`): a fresh connection for each, filtered in the kernel.
//!
//! Sockets belong to the network namespace of the thread that opens them. [`open`] must be called
//! within a tokio runtime.

mod decode;
mod dump;
mod encode;
pub mod interfaces;
mod message;
mod monitor;
mod nexthop;
mod pace;
mod removal;
mod requests;
mod socket;
#[cfg(test)]
mod tests;
mod wire;

use core::time::Duration;
use std::{collections::BTreeSet, io, sync::Arc};

use pace::Pace;
pub use removal::{RemovalError, Removed};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::fib::{Dump, FibConfig, KernelEvent, KernelOp, OpError, OpId};

/// How to talk to the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetlinkConfig {
    /// The tables to watch; `main` is always watched as well.
    pub tables: BTreeSet<u32>,
    /// Most operations in one datagram. How many are sent at a time follows from how fast the kernel is:
    /// see [`NetlinkHandle::batch`].
    pub batch: usize,
    /// How long the kernel may take to answer a batch.
    pub request_timeout: Duration,
    /// How long a dump may take.
    pub dump_timeout: Duration,
    /// How many events may wait for the consumer before they are dropped for a dump.
    pub event_capacity: usize,
    /// The sockets' receive buffers, in octets.
    pub receive_buffer: u32,
}

impl Default for NetlinkConfig {
    fn default() -> Self {
        Self {
            tables: BTreeSet::new(),
            batch: 1024,
            request_timeout: Duration::from_secs(5),
            dump_timeout: Duration::from_secs(30),
            event_capacity: 4096,
            receive_buffer: 8 << 20,
        }
    }
}

impl NetlinkConfig {
    /// The tables whose routes matter.
    fn tables(&self) -> impl Iterator<Item = u32> {
        let others = self.tables.iter().copied();
        let others = others.filter(|table| *table != FibConfig::TABLE_MAIN);
        core::iter::once(FibConfig::TABLE_MAIN).chain(others)
    }
}

/// Netlink does not work.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// No socket could be opened or set up.
    #[error("cannot open a netlink socket: {0}")]
    Socket(#[source] io::Error),
    /// The kernel refused a dump.
    #[error("the kernel refused to list {what}: {source}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// The kernel's error.
        source: io::Error,
    },
    /// The tables changed too quickly to be read.
    #[error("{what} kept changing while being listed")]
    Interrupted {
        /// What was asked for.
        what: &'static str,
    },
    /// The kernel did not answer.
    #[error("the kernel did not answer")]
    Timeout,
    /// The connection broke.
    #[error("the netlink connection broke")]
    Closed,
}

/// To send operations and ask for dumps. Cheap to clone; the driver stops with the last one.
#[derive(Clone, Debug)]
pub struct NetlinkHandle {
    config: Arc<NetlinkConfig>,
    batches: mpsc::Sender<Batch>,
    pace: Arc<Pace>,
    resync: Arc<Notify>,
    trouble: watch::Receiver<Option<Arc<NetlinkError>>>,
}

/// One call of [`NetlinkHandle::apply`].
struct Batch {
    ops: Vec<KernelOp>,
    answer: oneshot::Sender<Answered>,
}

/// What became of a batch, and the batch: who made it lets go of it. What it shares with the planner is
/// counted, and two threads that count take turns.
type Answered = (Outcomes, Vec<KernelOp>);

/// How many batches may wait for the one that is being carried out.
const WAITING: usize = 4;

/// A batch on its way. Dropping it leaves its fate unknown.
#[derive(Debug)]
pub struct Submitted {
    ids: Vec<OpId>,
    outcomes: oneshot::Receiver<Answered>,
}

impl Submitted {
    /// Waits for what became of each operation. Nothing is lost if the wait is given up and begun
    /// again.
    pub async fn outcomes(&mut self) -> Outcomes {
        match (&mut self.outcomes).await {
            Ok((outcomes, _)) => outcomes,
            Err(_) => self
                .ids
                .drain(..)
                .map(|id| (id, Err(OpError::Lost)))
                .collect(),
        }
    }
}

/// What became of each operation, in the order of the batch.
pub type Outcomes = Vec<(OpId, Result<(), OpError>)>;

/// The nice value of the thread that writes, if it may have that: packets go wrong ways until it has.
const PRECEDENCE: i32 = -10;

/// Opens netlink in the network namespace of this thread and starts the driver.
///
/// The first event is [`KernelEvent::Synced`], unless some were lost already: then that comes first.
///
/// # Errors
/// No socket can be opened. Missing permission is not an error here: it shows as `EPERM` of the
/// first operation, and events work without.
pub fn open(
    config: NetlinkConfig,
) -> Result<(NetlinkHandle, mpsc::Receiver<KernelEvent>), NetlinkError> {
    let config = Arc::new(config);
    let (batches, batches_rx) = mpsc::channel(WAITING);
    let (events_tx, events) = mpsc::channel(config.event_capacity.max(1));
    let (trouble_tx, trouble) = watch::channel(None);
    let resync = Arc::new(Notify::new());
    let ports = Arc::new(requests::OwnPorts::default());

    let pace = Arc::new(Pace::new(config.batch.max(1)));
    let requests = requests::Requests::open(Arc::clone(&config), Arc::clone(&ports))?;
    let monitor = monitor::Monitor::open(
        Arc::clone(&config),
        ports,
        events_tx,
        Arc::clone(&resync),
        trouble_tx,
    )?;
    // Of this network namespace, as sockets that it opens again must be.
    let thread = std::thread::Builder::new().name("netlink".to_owned());
    let paced = Arc::clone(&pace);
    let run = move || {
        // Of this thread. Needs CAP_SYS_NICE; without it, this thread waits as long as others do.
        let _ = rustix::process::setpriority_process(None, PRECEDENCE);
        requests.run(batches_rx, &paced);
    };
    thread.spawn(run).map_err(NetlinkError::Socket)?;
    tokio::spawn(monitor.run());
    let handle = NetlinkHandle {
        config,
        batches,
        pace,
        resync,
        trouble,
    };
    Ok((handle, events))
}

impl NetlinkHandle {
    /// Sends operations and waits for what became of each. Batches are carried out one after the
    /// other.
    pub async fn apply(&self, ops: Vec<KernelOp>) -> Outcomes {
        self.submit(ops).outcomes().await
    }

    /// Sends operations behind those that were submitted before. Whoever has more than four batches
    /// on their way hears that the next ones are lost.
    #[must_use]
    pub fn submit(&self, ops: Vec<KernelOp>) -> Submitted {
        let ids = ops.iter().map(|op| op.id).collect();
        let (answer, outcomes) = oneshot::channel();
        // What does not get in is dropped, and with it the sender of the answer.
        let _ = self.batches.try_send(Batch { ops, answer });
        Submitted { ids, outcomes }
    }

    /// How many operations to submit at a time, so that each batch takes the kernel about a
    /// millisecond: what is urgent waits for those that were submitted before.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.pace.batch()
    }

    /// Asks for a [`KernelEvent::Synced`] among the events, of a time after this call. Whoever asks
    /// again before it is there may get one for both.
    pub fn resync(&self) {
        self.resync.notify_one();
    }

    /// Reads the kernel's tables now, outside of the order of events: for people to look at.
    ///
    /// # Errors
    /// The kernel refused or did not answer.
    pub async fn dump(&self) -> Result<Dump, NetlinkError> {
        dump::dump(&self.config).await
    }

    /// Why the kernel's state cannot be read at present, if it cannot. The driver keeps trying.
    #[must_use]
    pub fn trouble(&self) -> Option<Arc<NetlinkError>> {
        self.trouble.borrow().clone()
    }
}
