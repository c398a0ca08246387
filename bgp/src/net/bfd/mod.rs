//! BFD's sockets, and the one thread that owns them and every session of [`crate::bfd`].
//!
//! A thread with a small runtime of its own, because a detection time may be 30 ms: a full table that
//! is being read or decided on must delay no packet, and none may seem late for it. Before timers are
//! looked at, everything that waits in the sockets is read: a process that was held up itself finds its
//! neighbours alive.
//!
//! State, not queues: which sessions there shall be is a value that the thread watches, and how they
//! are is one that it shows. It is shown at once when a state changes, and once a second for its
//! counters, of which nobody is told. Who reads late misses no failure: [`Status::failures`] counts
//! them.
//!
//! | file | job |
//! |---|---|
//! | `socket` | ports, TTL, interfaces |

mod socket;

use core::time::Duration;
use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    thread,
};

use tokio::sync::watch;

use self::socket::{Place, Receiver, Sender};
use super::clock::Clock;
use crate::{
    bfd::{Config, SessionKey, Sessions, State, Status},
    time::Instant,
};

/// How often the counters are shown, and how often what failed is tried again.
const SECOND: Duration = Duration::from_secs(1);

/// Packets taken from one socket before the timers get a turn.
const BURST: usize = 256;

/// How long to wait until the neighbours were told of an end.
const FAREWELL: Duration = Duration::from_millis(200);

/// A session that shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BfdSession {
    /// Our address, if it is fixed.
    pub local: Option<IpAddr>,
    /// How fast.
    pub config: Config,
}

/// How everything is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BfdView {
    /// The sessions, also those that are going away.
    pub sessions: BTreeMap<SessionKey, Status>,
    /// Datagrams that were of no use, by reason.
    pub discarded: BTreeMap<String, u64>,
    /// Addresses that cannot be listened at, and why.
    pub deaf: BTreeMap<SocketAddr, String>,
}

/// The nice value of the thread, if it may have that: to wait for a processor for longer than a detection
/// time is to lose every path.
const PRECEDENCE: i32 = -10;

/// A handle on the thread. Dropping it takes every session down and ends the thread.
#[derive(Debug)]
pub struct Bfd {
    wanted: watch::Sender<BTreeMap<SessionKey, BfdSession>>,
    view: watch::Receiver<Arc<BfdView>>,
}

impl Bfd {
    /// Starts the thread, without sessions and without sockets.
    ///
    /// # Errors
    /// The system has no thread or no timer to give.
    pub fn start(clock: Clock, seed: u64) -> io::Result<Self> {
        let (wanted, asked) = watch::channel(BTreeMap::new());
        let (shown, view) = watch::channel(Arc::default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let run = move || {
            // Of this thread. Needs CAP_SYS_NICE; without it, this thread waits as long as others do.
            let _ = rustix::process::setpriority_process(None, PRECEDENCE);
            runtime.block_on(Shell::new(clock, seed).run(asked, shown));
        };
        thread::Builder::new().name("bfd".to_owned()).spawn(run)?;
        Ok(Self { wanted, view })
    }

    /// Makes the sessions these. What changed is changed in place: a session that is Up stays Up.
    pub fn set(&self, sessions: BTreeMap<SessionKey, BfdSession>) {
        self.wanted.send_if_modified(|wanted| {
            let changed = *wanted != sessions;
            *wanted = sessions;
            changed
        });
    }

    /// How everything is.
    #[must_use]
    pub fn view(&self) -> Arc<BfdView> {
        self.view.borrow().clone()
    }

    /// Waits until a state changed since the last call.
    pub async fn changed(&mut self) {
        if self.view.changed().await.is_err() {
            // The thread is gone, and nothing will change any more.
            core::future::pending::<()>().await;
        }
    }

    /// Takes every session down, and waits a moment until the neighbours were told: that it is not the
    /// path that failed (RFC 5882 section 3.2), so that our routes can outlive a restart.
    pub async fn farewell(&mut self) {
        self.set(BTreeMap::new());
        let is_over = |view: &Arc<BfdView>| {
            let mut sessions = view.sessions.values();
            sessions.all(|status| status.state == State::AdminDown)
        };
        let told = self.view.wait_for(is_over);
        let _ = tokio::time::timeout(FAREWELL, told).await;
    }
}

/// The thread's own.
struct Shell {
    clock: Clock,
    sessions: Sessions,
    wanted: BTreeMap<SessionKey, BfdSession>,
    receivers: [Port; Place::ALL.len()],
    senders: BTreeMap<SessionKey, Sender>,
    ports: u16,
    discarded: BTreeMap<String, u64>,
    /// Something happened that others want to hear of.
    changed: bool,
    shown_at: Instant,
}

struct Port {
    place: Place,
    receiver: Option<Receiver>,
    /// Why there is none, though one is needed.
    failed: Option<String>,
}

impl Shell {
    fn new(clock: Clock, seed: u64) -> Self {
        let port = |place| Port {
            place,
            receiver: None,
            failed: None,
        };
        let [_, _, _, _, _, _, a, b] = seed.to_be_bytes();
        Self {
            clock,
            sessions: Sessions::new(seed),
            wanted: BTreeMap::new(),
            receivers: Place::ALL.map(port),
            senders: BTreeMap::new(),
            ports: u16::from_be_bytes([a, b]),
            discarded: BTreeMap::new(),
            changed: false,
            shown_at: Instant::ZERO,
        }
    }

    async fn run(
        mut self,
        mut asked: watch::Receiver<BTreeMap<SessionKey, BfdSession>>,
        shown: watch::Sender<Arc<BfdView>>,
    ) {
        let mut owned = true;
        loop {
            let wake = self.clock.sleep_until(self.next_timeout());
            let [a, b, c, d] = &self.receivers;
            tokio::select! {
                changed = asked.changed(), if owned => {
                    owned = changed.is_ok();
                    let wanted = match changed {
                        Ok(()) => asked.borrow_and_update().clone(),
                        Err(_) => BTreeMap::new(),
                    };
                    self.want(wanted);
                }
                () = a.readable() => {}
                () = b.readable() => {}
                () = c.readable() => {}
                () = d.readable() => {}
                () = wake => {}
            }
            self.turn(&shown);
            if !owned && !self.has_sessions() {
                return;
            }
        }
    }

    fn has_sessions(&self) -> bool {
        self.sessions.keys().next().is_some()
    }

    fn next_timeout(&self) -> Option<Instant> {
        let listens = self.receivers.iter().any(|port| port.receiver.is_some());
        let busy = listens || self.has_sessions();
        let tidy = busy.then_some(self.shown_at + SECOND);
        self.sessions.poll_timeout().into_iter().chain(tidy).min()
    }

    /// Makes the sessions these.
    fn want(&mut self, wanted: BTreeMap<SessionKey, BfdSession>) {
        self.changed = true;
        let now = self.clock.now();
        let before = core::mem::replace(&mut self.wanted, wanted);
        for key in before.keys().filter(|key| !self.wanted.contains_key(key)) {
            self.sessions.remove(now, *key);
        }
        for (key, session) in &self.wanted {
            let old = before.get(key);
            if old.is_some_and(|old| old.local != session.local) {
                self.senders.remove(key);
            }
            if old.is_none_or(|old| old.config != session.config) {
                self.sessions.set(now, *key, session.config.clone());
            }
        }
    }

    /// Packets in, then timers, then packets out; and, where something changed or once a second, what
    /// follows.
    fn turn(&mut self, shown: &watch::Sender<Arc<BfdView>>) {
        if self.changed {
            self.listen();
        }
        for port in &mut self.receivers {
            port.read(self.clock.now(), &mut self.sessions, &mut self.discarded);
        }
        self.sessions.handle_timeout(self.clock.now());
        self.transmit();
        while self.sessions.poll_event().is_some() {
            self.changed = true;
        }
        let now = self.clock.now();
        if self.changed || self.shown_at + SECOND <= now {
            self.shown_at = now;
            self.listen();
            let sessions = &self.sessions;
            self.senders
                .retain(|key, _| sessions.status(*key).is_some());
            self.show(shown);
        }
    }

    /// Listens where there are sessions, and nowhere else.
    fn listen(&mut self) {
        let keys: Vec<SessionKey> = self.sessions.keys().collect();
        for port in &mut self.receivers {
            let needed = keys.iter().any(|key| port.place.serves(*key));
            self.changed |= port.listen(needed);
        }
    }

    /// What cannot be sent is lost, as any packet can be: the next one follows soon.
    fn transmit(&mut self) {
        while let Some((key, packet)) = self.sessions.poll_transmit() {
            if !self.senders.contains_key(&key) {
                let local = self.wanted.get(&key).and_then(|session| session.local);
                let Ok(sender) = Sender::open(key, local, &mut self.ports) else {
                    continue;
                };
                self.senders.insert(key, sender);
            }
            if let Some(sender) = self.senders.get(&key) {
                let _ = sender.send(key, &packet.to_bytes());
            }
        }
    }

    fn show(&mut self, shown: &watch::Sender<Arc<BfdView>>) {
        let changed = core::mem::take(&mut self.changed);
        let view = Arc::new(self.view());
        shown.send_if_modified(|old| {
            *old = view;
            changed
        });
    }

    fn view(&self) -> BfdView {
        let status = |key| Some((key, self.sessions.status(key)?));
        let failed = |port: &Port| {
            let why = port.failed.as_ref()?;
            Some((port.place.address(), why.clone()))
        };
        BfdView {
            sessions: self.sessions.keys().filter_map(status).collect(),
            discarded: self.discarded.clone(),
            deaf: self.receivers.iter().filter_map(failed).collect(),
        }
    }
}

impl Port {
    async fn readable(&self) {
        match &self.receiver {
            Some(receiver) => receiver.readable().await,
            None => core::future::pending().await,
        }
    }

    /// Listens while it is `needed`. Whether it failed otherwise than before.
    fn listen(&mut self, needed: bool) -> bool {
        let before = self.failed.take();
        if !needed {
            self.receiver = None;
        } else if self.receiver.is_none() {
            match Receiver::open(self.place) {
                Ok(receiver) => self.receiver = Some(receiver),
                Err(error) => self.failed = Some(error.to_string()),
            }
        }
        self.failed != before
    }

    fn read(
        &mut self,
        now: Instant,
        sessions: &mut Sessions,
        discarded: &mut BTreeMap<String, u64>,
    ) {
        let Some(receiver) = &mut self.receiver else {
            return;
        };
        for _ in 0..BURST {
            let Ok((arrival, datagram)) = receiver.receive() else {
                return;
            };
            if let Err(why) = sessions.received(now, arrival, datagram) {
                *discarded.entry(why.to_string()).or_default() += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
