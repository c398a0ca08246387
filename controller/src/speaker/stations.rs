//! The core's side of monitoring stations ([`crate::bmp`]): which there are, and what each is told next.
//!
//! What a station was told of a session is compared with the sessions that there are, each time that it
//! pulls. So it learns of the end of a session before it learns anything about the next one with the same
//! neighbour, and of a session that came and went meanwhile it learns nothing.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use redstart_bgp::{
    bmp::{PeerDown, Statistic},
    session::{DownReason, Negotiated, PeerId, StopReason},
    time::Instant,
    types::Family,
    wire::{CeaseSubcode, Codec, ErrorCode, Message, Notification},
};
use redstart_rib::{Rib, rib::ObserverId};
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::info;

use super::neighbours::Neighbours;
use crate::{
    bmp::{Batch, Change, FromStation, Local, Station, Status},
    compile::DesiredState,
    index::BmpStation,
};

/// Requests of stations that may wait: each has one at most.
const REQUESTS: usize = 8;

/// Routes in one answer, about: some hundred microseconds' work.
const MOST_ROUTES: usize = 2048;

/// How long stations may take to hear the last words.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Events of RFC 4271 section 8.1, for sessions that end without a NOTIFICATION: nothing, ManualStop,
/// TcpConnectionFails, and, of RFC 9687, SendHoldTimer_Expires.
mod event {
    pub(super) const NONE: u16 = 0;
    pub(super) const MANUAL_STOP: u16 = 2;
    pub(super) const TCP_CONNECTION_FAILS: u16 = 18;
    pub(super) const SEND_HOLD_TIMER_EXPIRES: u16 = 29;
}

/// Every station.
pub(super) struct Stations {
    to_core: mpsc::Sender<FromStation>,
    from: mpsc::Receiver<FromStation>,
    running: BTreeMap<SocketAddr, Running>,
    /// How many tasks there were: connections of one are never taken for those of another.
    tasks: u32,
}

/// A station with its task.
struct Running {
    /// Its number, which the numbers of its connections begin with.
    number: u32,
    spec: BmpStation,
    local: Local,
    wake: Arc<Notify>,
    status: watch::Receiver<Status>,
    /// What the connection that there is was told.
    shown: Option<Shown>,
    _stop: DropGuard,
    task: JoinHandle<()>,
}

/// What a connection was told.
struct Shown {
    connection: u64,
    observer: ObserverId,
    sessions: BTreeMap<PeerId, Arc<Negotiated>>,
}

impl Default for Stations {
    fn default() -> Self {
        let (to_core, from) = mpsc::channel(REQUESTS);
        Self {
            to_core,
            from,
            running: BTreeMap::new(),
            tasks: 0,
        }
    }
}

impl Stations {
    /// The next that a station's task says.
    pub(super) async fn next(&mut self) -> Option<FromStation> {
        self.from.recv().await
    }

    /// Makes the stations those of `desired`.
    pub(super) fn apply(&mut self, desired: &DesiredState, started: Timestamp, rib: &mut Rib) {
        let local = desired.node.as_ref().map(|node| Local {
            name: node.name.clone(),
            router_id: node.router_id,
            asn: node.asn,
            started,
        });
        let wanted = |remote: &SocketAddr, running: &Running| {
            desired.stations.get(remote) == Some(&running.spec)
                && local.as_ref() == Some(&running.local)
        };
        self.running.retain(|remote, running| {
            let stays = wanted(remote, running);
            if !stays && let Some(shown) = &running.shown {
                rib.forget_observer(shown.observer);
            }
            stays
        });
        let Some(local) = local else {
            return;
        };
        for (remote, spec) in &desired.stations {
            if !self.running.contains_key(remote) {
                let running = self.start(*remote, *spec, local.clone());
                self.running.insert(*remote, running);
            }
        }
    }

    fn start(&mut self, remote: SocketAddr, spec: BmpStation, local: Local) -> Running {
        info!(station = %remote, "monitoring station added");
        self.tasks += 1;
        let (publish, status) = watch::channel(Status::new(Timestamp::now()));
        let wake = Arc::new(Notify::new());
        let stop = CancellationToken::new();
        let station = Station {
            remote,
            spec,
            local: local.clone(),
            core: self.to_core.clone(),
            wake: Arc::clone(&wake),
            status: publish,
            connection: u64::from(self.tasks) << 32,
        };
        Running {
            number: self.tasks,
            spec,
            local,
            wake,
            status,
            shown: None,
            task: tokio::spawn(station.run(stop.clone())),
            _stop: stop.drop_guard(),
        }
    }

    /// Handles what a station's task says.
    pub(super) fn on_event(
        &mut self,
        event: FromStation,
        neighbours: &Neighbours,
        wall: impl Fn(Instant) -> Timestamp,
        rib: &mut Rib,
    ) {
        match event {
            FromStation::Gone {
                station,
                connection,
            } => {
                let running = self.running.get_mut(&station);
                let shown = running.and_then(|running| {
                    running
                        .shown
                        .take_if(|shown| shown.connection == connection)
                });
                if let Some(shown) = shown {
                    rib.forget_observer(shown.observer);
                }
            }
            FromStation::Pull {
                station,
                connection,
                statistics,
                reply,
            } => {
                // Who has no such station any more is about to stop: nothing is what it is told.
                let Some(running) = self.running.get_mut(&station) else {
                    return;
                };
                if connection >> 32 != u64::from(running.number) {
                    return;
                }
                let shown = running.shown(connection, rib);
                let changes = shown.changes(neighbours, wall);
                let observed = rib.observed(shown.observer, MOST_ROUTES);
                let numbers = if statistics {
                    shown.statistics(rib)
                } else {
                    Vec::new()
                };
                let _ = reply.send(Batch {
                    changes,
                    observed: observed.unwrap_or_default(),
                    statistics: numbers,
                });
            }
        }
    }

    /// Tells stations that there is something to pull.
    pub(super) fn wake(&self, sessions_changed: bool, rib: &mut Rib) {
        let ready = rib.take_ready_observers();
        for running in self.running.values() {
            let observer = running.shown.as_ref().map(|shown| shown.observer);
            if sessions_changed || observer.is_some_and(|id| ready.contains(&id)) {
                running.wake.notify_one();
            }
        }
    }

    /// Stations and how they are.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&SocketAddr, &BmpStation, Status)> {
        let running = self.running.iter();
        running.map(|(remote, one)| (remote, &one.spec, one.status.borrow().clone()))
    }

    /// Has every station hear the last words, if it can hear them soon.
    pub(super) async fn stop_all(&mut self) {
        let tasks: Vec<_> = std::mem::take(&mut self.running)
            .into_values()
            .map(|running| running.task)
            .collect();
        let ended = async {
            for task in tasks {
                let _ = task.await;
            }
        };
        let _ = timeout(STOP_TIMEOUT, ended).await;
    }
}

impl Running {
    /// What a connection was told: of one that is new, nothing.
    fn shown(&mut self, connection: u64, rib: &mut Rib) -> &mut Shown {
        let before = self.shown.take_if(|shown| shown.connection != connection);
        if let Some(before) = before {
            rib.forget_observer(before.observer);
        }
        self.shown.get_or_insert_with(|| Shown {
            connection,
            observer: rib.observe(self.spec.views),
            sessions: BTreeMap::new(),
        })
    }
}

impl Shown {
    /// The sessions that have ended since this was asked, and then those that have begun.
    fn changes(
        &mut self,
        neighbours: &Neighbours,
        wall: impl Fn(Instant) -> Timestamp,
    ) -> Vec<Change> {
        let now: BTreeMap<_, _> = neighbours
            .iter()
            .filter_map(|(name, n)| Some((n.id, (name, n.session_since()?))))
            .collect();
        let mut changes = Vec::new();
        self.sessions.retain(|peer, told| {
            let goes_on = now
                .get(peer)
                .is_some_and(|(_, (session, _))| Arc::ptr_eq(session, told));
            if !goes_on {
                let why = why_down(neighbours, *peer, told);
                changes.push(Change::Down { peer: *peer, why });
            }
            goes_on
        });
        for (peer, (name, (session, since))) in now {
            self.sessions.entry(peer).or_insert_with(|| {
                changes.push(Change::Up {
                    peer,
                    name: name.to_string(),
                    negotiated: Arc::clone(session),
                    since: wall(since),
                });
                Arc::clone(session)
            });
        }
        changes
    }

    fn statistics(&self, rib: &Rib) -> Vec<(Option<PeerId>, Vec<Statistic>)> {
        let mut best = Family::ALL.map(|family| {
            let own = rib.originations().keys();
            let own = own.filter(|prefix| prefix.family() == family).count();
            (family, own as u64)
        });
        let mut all = Vec::new();
        for peer in self.sessions.keys() {
            let (mut received, mut sent) = (0, 0);
            let mut by_family = Vec::new();
            for (family, best) in &mut best {
                let counts = rib.family_counts(*peer, *family).unwrap_or_default();
                let (in_count, out_count) = (counts.sent() as u64, counts.exported as u64);
                *best += counts.best as u64;
                received += in_count;
                sent += out_count;
                by_family.push(Statistic::FamilyAdjRibIn(*family, in_count));
                by_family.push(Statistic::FamilyAdjRibOut(*family, out_count));
            }
            let mut numbers = vec![Statistic::AdjRibIn(received), Statistic::AdjRibOut(sent)];
            numbers.append(&mut by_family);
            all.push((Some(*peer), numbers));
        }
        let total = best.iter().map(|(_, best)| best).sum();
        let mut numbers = vec![Statistic::LocRib(total)];
        numbers.extend(best.map(|(family, best)| Statistic::FamilyLocRib(family, best)));
        all.push((None, numbers));
        all
    }
}

fn why_down(neighbours: &Neighbours, peer: PeerId, session: &Negotiated) -> PeerDown {
    let neighbour = neighbours.iter().find(|(_, n)| n.id == peer);
    let Some((_, neighbour)) = neighbour else {
        return PeerDown::Deconfigured;
    };
    match neighbour.last_end() {
        Some(reason) => peer_down(reason, session),
        None => PeerDown::LocalNoNotification(event::NONE),
    }
}

/// The reason as RFC 7854 section 4.9 has it.
fn peer_down(reason: &DownReason, session: &Negotiated) -> PeerDown {
    let local = |notification: &Notification| {
        PeerDown::LocalNotification(message(notification, &session.codec))
    };
    match reason {
        DownReason::NotificationReceived(notification) => {
            PeerDown::RemoteNotification(message(notification, &session.codec))
        }
        DownReason::NotificationSent(notification) => local(notification),
        DownReason::HoldTimerExpired => local(&Notification::new(ErrorCode::HoldTimerExpired)),
        DownReason::Reconfigured(_) => local(&Notification::new(ErrorCode::Cease(
            CeaseSubcode::OtherConfigurationChange,
        ))),
        DownReason::Stopped(StopReason::InterfaceDown) => {
            PeerDown::LocalNoNotification(event::TCP_CONNECTION_FAILS)
        }
        DownReason::Stopped(why) => match why.notification(session.graceful_notification) {
            Some(notification) => local(&notification),
            None => PeerDown::LocalNoNotification(event::MANUAL_STOP),
        },
        DownReason::SendHoldTimerExpired => {
            PeerDown::LocalNoNotification(event::SEND_HOLD_TIMER_EXPIRES)
        }
        DownReason::ConnectionLost(_)
        | DownReason::ConnectFailed(_)
        | DownReason::PeerRestarted => PeerDown::RemoteNoNotification,
        DownReason::OpenRefused(_) | DownReason::Collision | DownReason::InternalError => {
            PeerDown::LocalNoNotification(event::NONE)
        }
    }
}

fn message(notification: &Notification, codec: &Codec) -> Bytes {
    let mut out = BytesMut::new();
    codec.encode(&Message::Notification(notification.clone()), &mut out);
    out.freeze()
}
