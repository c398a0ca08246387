//! What the rest of the daemon sees of a neighbour's task.

use core::{
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    task::JoinHandle,
};

use crate::{
    session::{DownReason, Event, OutBatch, Peer, PeerConfig, PeerId, PeerStatus, StopReason},
    time::Instant,
    types::{Family, FamilySet},
    wire::Updates,
};

use super::{
    clock::Clock,
    inbox::{Content, Door, Inbox},
    range::Accepted,
    tap::{Onlooker, Tap},
    task::{Ends, Task},
    transport::Transport,
    update_log::UpdateLog,
};

/// How long a neighbour rests whose task panicked: what led to that may come again with its first
/// message.
const REST_AFTER_PANIC: Duration = Duration::from_secs(60);

/// What a neighbour's task says to the owner of the routing table.
#[derive(Debug)]
pub enum FromPeer {
    /// Something happened.
    Event {
        /// To whom.
        peer: PeerId,
        /// What.
        event: Event,
    },
    /// Routes came, in this order: as many UPDATEs as one read from the socket held.
    Updates {
        /// From whom.
        peer: PeerId,
        /// They.
        updates: Updates,
        /// When that was.
        read_at: Instant,
    },
    /// The session can take routes. Answer with what is there, up to about `max` prefixes; an empty
    /// batch means that there is nothing, and the task asks again after
    /// [`PeerHandle::routes_ready`].
    Pull {
        /// Who asks.
        peer: PeerId,
        /// How many prefixes make a good batch.
        max: usize,
        /// Where the answer goes. Sending never blocks.
        reply: oneshot::Sender<OutBatch>,
    },
}

/// What a neighbour's task shall do: a value, not a series of commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Desired {
    pub(super) session: PeerConfig,
    pub(super) transport: Transport,
    /// Whether it is stopped.
    pub(super) stopped: bool,
    /// How many stops were asked for, and why the last one. One that was taken back before the task
    /// looked has to be done all the same: whoever asked for it counts on the end of the session.
    pub(super) stops: (u64, StopReason),
    /// How many restarts were asked for, and why the last one.
    pub(super) restarts: (u64, StopReason),
    /// How many refreshes were asked for, by family.
    pub(super) refreshes: [u64; Family::ALL.len()],
    /// Where a copy of what goes over the connections is to go.
    pub(super) tap: Option<Tap>,
    /// Where what happens is to be logged.
    pub(super) log: Option<UpdateLog>,
}

/// A handle on a neighbour's task. Dropping it ends the session, as de-configured, and the task.
///
/// No method waits, and what is asked for twice is done once.
#[derive(Debug)]
pub struct PeerHandle {
    inbox: Inbox,
    ready: Arc<Notify>,
    status: watch::Receiver<Arc<PeerStatus>>,
    task: JoinHandle<()>,
}

/// Starts a neighbour: a task that dials at once, unless passive. Needs a tokio runtime.
///
/// Connections from the neighbour arrive after [`super::Listener::register`].
#[must_use]
pub fn spawn_peer(
    id: PeerId,
    session: PeerConfig,
    transport: Transport,
    seed: u64,
    clock: Clock,
    core: mpsc::Sender<FromPeer>,
) -> PeerHandle {
    spawn_logged_peer(id, session, transport, seed, clock, core, None)
}

/// The same with a log of what happens, from the first change of state on.
#[must_use]
pub fn spawn_logged_peer(
    id: PeerId,
    session: PeerConfig,
    transport: Transport,
    seed: u64,
    clock: Clock,
    core: mpsc::Sender<FromPeer>,
    log: Option<UpdateLog>,
) -> PeerHandle {
    let (inbox, news) = Inbox::new(Desired {
        session,
        transport,
        stopped: false,
        stops: (0, StopReason::Reset(String::new())),
        restarts: (0, StopReason::Reset(String::new())),
        refreshes: [0; Family::ALL.len()],
        tap: None,
        log,
    });
    let ready = Arc::new(Notify::new());
    let (publish, status) = watch::channel(idle(&news.borrow().desired, clock));
    let ends = Ends {
        id,
        inbox: inbox.clone(),
        news,
        ready: ready.clone(),
        seed,
        clock,
        core,
        status: publish,
    };
    PeerHandle {
        inbox,
        ready,
        status,
        task: tokio::spawn(guard(ends, async |ends| Task::new(ends).run().await)),
    }
}

/// Runs the task of a neighbour. A panic takes the sockets with it, but the routing table would keep the
/// routes: say that the session is over. After a rest, or once the handle asks for something, another
/// task takes over.
pub(super) async fn guard(mut ends: Ends, mut run: impl AsyncFnMut(&mut Ends)) {
    loop {
        if !panics(pin!(run(&mut ends))).await {
            return;
        }
        let desired = ends.news.borrow().desired.clone();
        ends.status.send_replace(idle(&desired, ends.clock));
        let peer = ends.id;
        let event = Event::Down {
            reason: DownReason::InternalError,
            retained: FamilySet::EMPTY,
        };
        if ends
            .core
            .send(FromPeer::Event { peer, event })
            .await
            .is_err()
        {
            return;
        }
        let is_news = |new: &Content| new.is_over || !Arc::ptr_eq(&new.desired, &desired);
        tokio::select! {
            () = tokio::time::sleep(REST_AFTER_PANIC) => {}
            new = ends.news.wait_for(is_news) => {
                if new.map_or(true, |new| new.is_over) {
                    return;
                }
            }
        }
    }
}

/// What is to be seen of a neighbour that has done nothing.
fn idle(desired: &Desired, clock: Clock) -> Arc<PeerStatus> {
    Arc::new(Peer::new(desired.session.clone(), 0).status(clock.now()))
}

/// Whether it comes to a panic, and not to its end.
async fn panics(mut task: Pin<&mut impl Future<Output = ()>>) -> bool {
    poll_fn(|context| {
        // It is not polled again after that, and what it held is gone.
        let polled = catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(context)));
        polled.map_or(Poll::Ready(true), |polled| polled.map(|()| false))
    })
    .await
}

impl PeerHandle {
    /// There are routes to pull. May be called at any time and any number of times.
    pub fn routes_ready(&self) {
        self.ready.notify_one();
    }

    /// Ends the session and stays down, until [`PeerHandle::start`].
    pub fn stop(&self, why: StopReason) {
        self.inbox.modify(|desired| {
            desired.stops = (desired.stops.0.wrapping_add(1), why);
            desired.stopped = true;
        });
    }

    /// Starts again after a stop.
    pub fn start(&self) {
        self.inbox.modify(|desired| desired.stopped = false);
    }

    /// Ends the session and dials again at once.
    pub fn restart(&self, why: StopReason) {
        self.inbox.modify(|desired| {
            desired.restarts = (desired.restarts.0.wrapping_add(1), why);
        });
    }

    /// Takes over a changed configuration. Only a change of identity resets the session: see
    /// [`crate::session::Peer::reconfigure`]; so does any change of the transport, but that of one
    /// password into another. The session survives that if the neighbour gets the new one within
    /// the hold time; until then neither end hears the other. The listeners do not hear of a changed
    /// address or password by this: register again.
    pub fn reconfigure(&self, session: PeerConfig, transport: Transport) {
        self.inbox.modify_if(|desired| {
            let changed = desired.session != session || desired.transport != transport;
            if changed {
                let desired = Arc::make_mut(desired);
                (desired.session, desired.transport) = (session, transport);
            }
            changed
        });
    }

    /// Asks the neighbour for all its routes of a family again, if there is a session that can.
    pub fn refresh(&self, family: Family) {
        self.inbox.modify(|desired| {
            for (count, of) in desired.refreshes.iter_mut().zip(Family::ALL) {
                *count = count.wrapping_add(u64::from(of == family));
            }
        });
    }

    /// Has a copy made of all that goes over the neighbour's connections from now on. It ends where it is
    /// not taken fast enough, and with the task. `None`: somebody else has one made.
    #[must_use]
    pub fn tap(&self) -> Option<Onlooker> {
        let mut onlooker = None;
        self.inbox.modify_if(|desired| {
            let is_free = !desired.tap.as_ref().is_some_and(Tap::is_open);
            if is_free {
                let (tap, to) = Tap::new();
                Arc::make_mut(desired).tap = Some(tap);
                onlooker = Some(to);
            }
            is_free
        });
        onlooker
    }

    /// Has what happens from now on logged here, or no longer.
    pub fn log_to(&self, log: Option<UpdateLog>) {
        self.inbox.modify_if(|desired| {
            let changed = desired.log != log;
            if changed {
                Arc::make_mut(desired).log = log;
            }
            changed
        });
    }

    /// A snapshot, at most a moment old.
    #[must_use]
    pub fn status(&self) -> Arc<PeerStatus> {
        self.status.borrow().clone()
    }

    /// A receiver that sees every change of state.
    #[must_use]
    pub fn watch_status(&self) -> watch::Receiver<Arc<PeerStatus>> {
        self.status.clone()
    }

    /// Ends the task, and waits until its connections are closed: the last NOTIFICATION has had its
    /// chance to arrive. Takes about a second at most.
    pub async fn ended(mut self) {
        self.inbox.close();
        // Also where the runtime ended it.
        let _ = (&mut self.task).await;
    }

    /// Passes on a connection that the neighbour made, from a range that it is a member of. `false`: the
    /// task has several waiting already, or is gone, and the connection is closed.
    pub fn accept(&self, connection: Accepted) -> bool {
        self.inbox.offer(connection)
    }

    pub(super) fn door(&self) -> Door {
        self.inbox.door()
    }
}

impl Drop for PeerHandle {
    fn drop(&mut self) {
        self.inbox.close();
    }
}
