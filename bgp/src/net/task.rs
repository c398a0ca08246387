//! The task of one neighbour: sockets on one side, the engine in the middle, the core on the other.
//!
//! Each turn of the loop first settles everything that can be done without waiting (actions, writes,
//! events, a request for routes) and then waits for the next thing to happen. Nothing in a turn
//! waits, so KEEPALIVEs go out and timers run however slow the core or the other end is.
//!
//! When the core's channel is full, one event is held back and reading stops: TCP slows the
//! neighbour down. The engine is told, so that silence that is our own doing expires no hold timer.

mod io;
mod logged;
mod step;
mod tapped;

use core::{net::SocketAddr, pin::Pin, time::Duration};
use std::sync::Arc;

use tokio::{
    net::TcpStream,
    sync::{Notify, mpsc, oneshot, watch},
};

use crate::{
    session::{
        Action, ConnectError, Disconnect, Event, Negotiated, OutBatch, Peer, PeerId, PeerStatus,
        Slot, StopReason,
    },
    time::Instant,
    types::Family,
};

use super::{
    arrival::Protection,
    clock::Clock,
    connect::dial,
    farewell::Farewells,
    handle::{Desired, FromPeer},
    inbox::{Content, Inbox},
    range::Accepted,
    tap::{Passing, Tap},
    transport::Transport,
    update_log::UpdateLog,
};
use step::Step;
use tapped::pass;

/// Prefixes to ask for at once: enough to fill many messages, and gone from the socket quickly.
const BATCH: usize = 4096;

/// How old a published status may be.
const STATUS_AGE: Duration = Duration::from_millis(250);

/// An attempt to connect.
type Dial = Pin<Box<dyn Future<Output = Result<TcpStream, ConnectError>> + Send>>;

/// A request for routes, and the session for which it was made.
struct Pull {
    session: Arc<Negotiated>,
    reply: oneshot::Receiver<OutBatch>,
}

/// One of the two connections.
struct Socket {
    stream: TcpStream,
    /// The kernel takes no more: wait until it does.
    full: bool,
    /// Our end, and the neighbour's.
    ends: (SocketAddr, SocketAddr),
    /// Octets that are left to send of a message that a tap has not seen from its start.
    unseen: usize,
}

/// What a task shares with the rest of the daemon, and leaves to the next one if it panics.
pub(super) struct Ends {
    pub(super) id: PeerId,
    pub(super) inbox: Inbox,
    /// That there is something new in it.
    pub(super) news: watch::Receiver<Content>,
    pub(super) ready: Arc<Notify>,
    pub(super) seed: u64,
    pub(super) clock: Clock,
    pub(super) core: mpsc::Sender<FromPeer>,
    pub(super) status: watch::Sender<Arc<PeerStatus>>,
}

pub(super) struct Task<'a> {
    ends: &'a mut Ends,
    clock: Clock,
    peer: Peer,
    /// The part of `desired` that is done.
    done: Arc<Desired>,
    outgoing: Option<Socket>,
    incoming: Option<Socket>,
    dial: Option<Dial>,
    farewells: Farewells,
    /// Where a copy of what goes over the connections goes.
    tap: Option<Tap>,
    /// Where what happens is logged.
    log: Option<UpdateLog>,
    /// The event, or the routes, for which the core had no room.
    undelivered: Option<Box<FromPeer>>,
    /// When something was last read.
    read_at: Instant,
    routes_ready: bool,
    pull: Option<Pull>,
    /// Whether there may be something to publish.
    changed: bool,
    published_at: Instant,
    publish_at: Option<Instant>,
    core_gone: bool,
}

impl<'a> Task<'a> {
    pub(super) fn new(ends: &'a mut Ends) -> Self {
        let clock = ends.clock;
        let done = ends.news.borrow().desired.clone();
        // Connections may wait that were left while there was no task.
        ends.news.mark_changed();
        let (tap, log) = (done.tap.clone(), done.log.clone());
        let peer = Peer::new(done.session.clone(), ends.seed);
        let mut task = Self {
            ends,
            clock,
            peer,
            done,
            outgoing: None,
            incoming: None,
            dial: None,
            farewells: Farewells::default(),
            tap,
            log: None,
            undelivered: None,
            read_at: clock.now(),
            routes_ready: false,
            pull: None,
            changed: false,
            published_at: clock.now(),
            publish_at: None,
            core_gone: false,
        };
        task.log_to(log);
        task
    }

    /// Runs until the handle is dropped or the core is gone.
    pub(super) async fn run(&mut self) {
        if !self.done.stopped {
            self.peer.start(self.clock.now());
        }
        loop {
            self.settle();
            if self.core_gone {
                break;
            }
            let step = self.next().await;
            if !self.handle(step) {
                break;
            }
        }
        let why = StopReason::Deconfigured(String::new());
        if !self.done.stopped && !self.core_gone {
            self.peer.stop(self.clock.now(), &why);
        }
        self.settle();
        self.publish();
        self.farewells.done().await;
    }

    /// Handles what happened. `false`: the handle is gone.
    fn handle(&mut self, step: Step) -> bool {
        let now = self.clock.now();
        // Publishing is no reason to publish again: an idle neighbour costs nothing.
        let idle = matches!(step, Step::Time) && !self.is_due(now);
        match step {
            Step::News => {
                if !self.look(now) {
                    return false;
                }
            }
            Step::CoreGone => self.core_gone = true,
            Step::Dialled(result) => self.dialled(now, result),
            Step::Time => self.on_time(now),
            Step::Ready { slot, read, write } => {
                if let Some(socket) = self.socket_mut(slot) {
                    socket.full &= !write;
                }
                if read {
                    self.read(now, slot);
                }
            }
            Step::Pulled(batch) => self.pulled(now, &batch),
            Step::RoutesReady => self.routes_ready = true,
            Step::Delivered => {}
        }
        self.changed |= !idle;
        true
    }

    /// Whether a timer of the engine is due.
    fn is_due(&self, now: Instant) -> bool {
        self.peer.poll_timeout().is_some_and(|at| at <= now)
    }

    /// Does everything that needs no waiting.
    fn settle(&mut self) {
        let now = self.clock.now();
        loop {
            while let Some(action) = self.peer.poll_action() {
                self.act(action);
            }
            let lost = Slot::ALL.map(|slot| self.write(now, slot));
            if lost == [false, false] {
                break;
            }
        }
        self.log();
        self.deliver(now);
        self.ask();
        if core::mem::take(&mut self.changed) {
            self.publish_soon(now);
        }
    }

    /// Publishes at once if that was not done for a while: a neighbour that says no more than KEEPALIVEs
    /// needs no timer for it.
    fn publish_soon(&mut self, now: Instant) {
        let at = self.published_at + STATUS_AGE;
        if at <= now {
            self.publish();
        } else {
            self.publish_at.get_or_insert(at);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Connect => self.dial(),
            Action::MakeRoom => self.outgoing = self.incoming.take(),
            Action::Close { slot, farewell } => {
                if slot == Slot::Outgoing {
                    self.dial = None;
                }
                if let Some(mut socket) = self.socket_mut(slot).take() {
                    socket.sent(&farewell, &mut self.tap, self.clock);
                    self.farewells.close(socket.stream, farewell);
                }
            }
        }
    }

    /// Looks what is in the inbox. `false`: the handle is gone.
    fn look(&mut self, now: Instant) -> bool {
        // First: what is desired then is no older than the rules that it was accepted under.
        let accepted = self.ends.inbox.next_accepted();
        let (desired, is_over, has_more) = {
            let content = self.ends.news.borrow();
            (
                content.desired.clone(),
                content.is_over,
                content.has_accepted(),
            )
        };
        if has_more {
            // In another turn: what this one leaves to write goes before.
            self.ends.news.mark_changed();
        }
        self.apply(now, &desired);
        if let Some(connection) = accepted.filter(|_| !is_over) {
            self.accepted(now, connection);
        }
        !is_over
    }

    /// Makes the difference between what is desired and what is done disappear.
    fn apply(&mut self, now: Instant, new: &Arc<Desired>) {
        let old = core::mem::replace(&mut self.done, new.clone());
        let stops = !old.stopped && new.stops.0 != old.stops.0;
        if new.tap != old.tap {
            self.tapped(new.tap.clone());
        }
        if new.log != old.log {
            self.log_to(new.log.clone());
        }
        if stops {
            self.peer.stop(now, &new.stops.1);
        }
        let rotated = old.transport.differs_by_key(&new.transport) && self.rekey(&old.transport);
        if new.transport != old.transport && !rotated {
            self.peer.transport_changed(now);
        }
        if new.session != old.session {
            self.peer.reconfigure(now, new.session.clone());
        }
        if new.restarts.0 != old.restarts.0 {
            self.peer.restart(now, &new.restarts.1);
        }
        if !new.stopped && (old.stopped || stops) {
            self.peer.start(now);
        }
        for (family, counts) in Family::ALL
            .into_iter()
            .zip(new.refreshes.iter().zip(old.refreshes))
        {
            if *counts.0 != counts.1 {
                self.peer.send_route_refresh(now, family);
            }
        }
    }

    /// Gives what is connected, or about to be, the key of `done`. `false`: a socket has not got it, and
    /// must not go on with the old one.
    fn rekey(&mut self, old: &Transport) -> bool {
        if self.dial.is_some() {
            self.dial();
        }
        let transport = &self.done.transport;
        [&self.outgoing, &self.incoming]
            .into_iter()
            .flatten()
            .all(|socket| transport.apply_key(old, &socket.stream).is_ok())
    }

    fn dial(&mut self) {
        let dialling = dial(self.done.transport.clone(), self.user_timeout());
        self.dial = Some(Box::pin(dialling));
    }

    /// How long the kernel may try to deliver: as long as the SendHoldTimer (RFC 9687), which ends the
    /// session for the same reason. If it were shorter, the configured time would mean nothing.
    fn user_timeout(&self) -> Duration {
        self.done.session.longest_send_hold()
    }

    /// The neighbour connected. Only under the rules that are in force, or it has to come again.
    fn accepted(&mut self, now: Instant, Accepted { stream, under }: Accepted) {
        if under != Protection::from(&self.done.transport) {
            return;
        }
        if let Err(refusal) = self.peer.admit(now) {
            return self.farewells.refuse(stream, refusal);
        }
        while let Some(action) = self.peer.poll_action() {
            self.act(action);
        }
        self.connected(now, Slot::Incoming, stream);
    }

    fn dialled(&mut self, now: Instant, result: Result<TcpStream, ConnectError>) {
        self.dial = None;
        match result {
            Ok(stream) => self.connected(now, Slot::Outgoing, stream),
            Err(error) => self.peer.connect_failed(now, error),
        }
    }

    fn connected(&mut self, now: Instant, slot: Slot, stream: TcpStream) {
        // Outgoing sockets have their options since before they connected.
        let options = match slot {
            Slot::Outgoing => Ok(()),
            Slot::Incoming => {
                let options = self.done.transport.apply(&stream, self.user_timeout());
                options.map_err(|error| error.errno())
            }
        };
        let addresses = options.and_then(|()| {
            let both = stream
                .local_addr()
                .and_then(|a| Ok((a, stream.peer_addr()?)));
            both.map_err(|error| error.raw_os_error().unwrap_or_default())
        });
        match addresses {
            Ok((local, remote)) => {
                let ends = (local, remote);
                pass(&mut self.tap, self.clock, ends, || Passing::Opened);
                *self.socket_mut(slot) = Some(Socket {
                    stream,
                    full: false,
                    ends,
                    unseen: 0,
                });
                self.peer.connected(now, slot, local, remote);
            }
            // Without its options, or gone again: as if it had never been.
            Err(errno) => {
                let unknown = ([0; 4], 0).into();
                self.peer.connected(now, slot, unknown, unknown);
                self.peer.closed(now, slot, Disconnect::Os(errno));
            }
        }
    }

    fn on_time(&mut self, now: Instant) {
        // What has arrived counts before what has expired: the machine may have been busy.
        if self.undelivered.is_none() {
            Slot::ALL.into_iter().for_each(|slot| self.read(now, slot));
        }
        self.peer.handle_timeout(now);
        if self.publish_at.is_some_and(|at| at <= now) {
            self.publish();
        }
    }

    fn pulled(&mut self, now: Instant, batch: &OutBatch) {
        let Some(pull) = self.pull.take() else {
            return;
        };
        // A batch for a session that is over must not reach the next one, which gets everything.
        let current = self.peer.negotiated();
        if !current.is_some_and(|n| Arc::ptr_eq(n, &pull.session)) {
            return;
        }
        if !batch.is_empty() || self.peer.holds_routes() {
            self.peer.send_batch(now, batch);
        }
        // A piece of a table may have nothing to say, and the next one much.
        self.routes_ready |= batch.more || !batch.is_empty();
    }

    /// Hands events to the core until there is none or no room.
    fn deliver(&mut self, now: Instant) {
        while self.undelivered.is_none() {
            let Some(next) = self.next_for_core() else {
                break;
            };
            match self.ends.core.try_send(next) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(next)) => self.undelivered = Some(next.into()),
                Err(mpsc::error::TrySendError::Closed(_)) => self.core_gone = true,
            }
        }
        if self.undelivered.is_some() {
            self.peer.read_paused();
        } else {
            self.peer.read_resumed(now);
        }
    }

    fn next_for_core(&mut self) -> Option<FromPeer> {
        let peer = self.ends.id;
        Some(match self.peer.poll_event()? {
            Event::Updates(updates) => FromPeer::Updates {
                peer,
                updates,
                read_at: self.read_at,
            },
            event => {
                self.publish();
                FromPeer::Event { peer, event }
            }
        })
    }

    /// Whether routes should be asked for now.
    fn wants_routes(&self) -> bool {
        self.routes_ready
            && self.pull.is_none()
            && self.undelivered.is_none()
            && self.peer.wants_batch()
    }

    fn ask(&mut self) {
        if !self.wants_routes() {
            return;
        }
        let (request, pull) = self.request();
        // No room: `next` waits for it.
        if let (Ok(()), Some(pull)) = (self.ends.core.try_send(request), pull) {
            self.asked(pull);
        }
    }

    fn request(&self) -> (FromPeer, Option<Pull>) {
        let (reply, answer) = oneshot::channel();
        let request = FromPeer::Pull {
            peer: self.ends.id,
            max: BATCH,
            reply,
        };
        let pull = self.peer.negotiated().map(|session| Pull {
            session: session.clone(),
            reply: answer,
        });
        (request, pull)
    }

    fn asked(&mut self, pull: Pull) {
        self.pull = Some(pull);
        // What becomes ready from now on is not in this answer.
        self.routes_ready = false;
    }

    fn publish(&mut self) {
        let now = self.clock.now();
        (self.changed, self.published_at, self.publish_at) = (false, now, None);
        let status = self.peer.status(now);
        self.ends.status.send_replace(Arc::new(status));
    }

    fn socket_mut(&mut self, slot: Slot) -> &mut Option<Socket> {
        match slot {
            Slot::Outgoing => &mut self.outgoing,
            Slot::Incoming => &mut self.incoming,
        }
    }
}
