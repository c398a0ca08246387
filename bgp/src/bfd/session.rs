//! One BFD session (RFC 5880 section 6.8).
//!
//! What we announce and what is in force can differ: to send less often, or to be content with
//! packets coming more often, the neighbour must know first (section 6.8.3). A *poll sequence* finds
//! that out: packets with P set, until one with F comes back.

use core::{num::NonZeroU8, time::Duration};
use std::collections::VecDeque;

use super::{
    packet::Packet,
    state::{Diagnostic, DownReason, State},
};
use crate::{jitter::Jitter, time::Instant};

/// "When bfd.SessionState is not Up, the system MUST set bfd.DesiredMinTxInterval to a value of not
/// less than one second" (section 6.8.3).
const SLOW: Duration = Duration::from_secs(1);

/// What is configured for one session. Any of it may change while the session is Up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How often to send, at most (bfd.DesiredMinTxInterval). Not zero.
    pub desired_min_tx: Duration,
    /// How often packets may come (bfd.RequiredMinRxInterval).
    pub required_min_rx: Duration,
    /// How many packets in a row the neighbour may miss (bfd.DetectMult).
    pub detect_multiplier: NonZeroU8,
    /// Say nothing before the neighbour does (section 6.1).
    pub passive: bool,
    /// Least TTL of what comes over several hops. Over one hop it is 255, whatever this says
    /// (RFC 5881 section 5).
    pub minimum_ttl: u8,
}

/// A session changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Before.
    pub from: State,
    /// Now.
    pub to: State,
    /// Why, if it left Up or Init for Down or AdminDown.
    pub reason: Option<DownReason>,
}

/// What the neighbour said last.
#[derive(Clone, Copy, Debug)]
struct Remote {
    state: State,
    discriminator: u32,
    diagnostic: Diagnostic,
    required_min_rx: Duration,
    desired_min_tx: Duration,
    detect_multiplier: u8,
    demand: bool,
    control_plane_independent: bool,
}

impl Default for Remote {
    /// A neighbour that has said nothing (section 6.8.1).
    fn default() -> Self {
        Self {
            state: State::Down,
            discriminator: 0,
            diagnostic: Diagnostic::None,
            required_min_rx: Duration::from_micros(1),
            desired_min_tx: Duration::ZERO,
            detect_multiplier: 0,
            demand: false,
            control_plane_independent: false,
        }
    }
}

/// A poll sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Poll {
    Idle,
    /// Packets have P set.
    Active,
    /// The same, and something was changed since: once more after the answer.
    ActiveThenAgain,
}

/// A pair of intervals: how often we send at most, how often the neighbour may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Intervals {
    tx: Duration,
    rx: Duration,
}

/// What a packet says, but for P and F.
type Contents = (State, Diagnostic, u32, Intervals, u8);

/// How a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Our state.
    pub state: State,
    /// The neighbour's, as it said last.
    pub remote_state: State,
    /// Why we were last not Up.
    pub diagnostic: Diagnostic,
    /// Why the neighbour was last not Up.
    pub remote_diagnostic: Diagnostic,
    /// Our number of the session.
    pub local_discriminator: u32,
    /// The neighbour's; zero if it is not known.
    pub remote_discriminator: u32,
    /// The time between two packets of ours, before jitter.
    pub transmit_interval: Duration,
    /// How long silence is borne; `None` if nothing was heard.
    pub detection_time: Option<Duration>,
    /// Whether the neighbour's BFD goes on without its control plane (the C bit; RFC 5882 section
    /// 4.3).
    pub remote_control_plane_independent: bool,
    /// Why the session was last left for Down or AdminDown, and how the C bit was then.
    pub last_down: Option<(DownReason, bool)>,
    /// Since when the state is as it is.
    pub since: Instant,
    /// How often the session left Up because of a failure.
    pub failures: u64,
    /// Packets sent.
    pub sent: u64,
    /// Packets received.
    pub received: u64,
}

/// One session.
///
/// The owner calls [`received`](Self::received) and [`handle_timeout`](Self::handle_timeout), then
/// [`poll_transmit`](Self::poll_transmit) and [`poll_event`](Self::poll_event) until they have nothing,
/// and then waits until [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Session {
    config: Config,
    discriminator: u32,
    state: State,
    diagnostic: Diagnostic,
    remote: Remote,
    announced: Intervals,
    in_force: Intervals,
    poll: Poll,
    final_owed: bool,
    due: bool,
    last_sent: Option<(Instant, Contents)>,
    next_send: Option<Instant>,
    last_received: Option<Instant>,
    /// In AdminDown: when the neighbour must have noticed.
    silent_from: Option<Instant>,
    since: Instant,
    last_down: Option<(DownReason, bool)>,
    counters: (u64, u64, u64),
    events: VecDeque<Event>,
    jitter: Jitter,
}

impl Session {
    /// A session that is Down and, unless passive, wants to send at once. `discriminator` must not be
    /// zero, and unique on this system.
    #[must_use]
    pub fn new(now: Instant, config: Config, discriminator: u32, seed: u64) -> Self {
        let mut session = Self {
            announced: Intervals {
                tx: config.desired_min_tx.max(SLOW),
                rx: config.required_min_rx,
            },
            in_force: Intervals {
                tx: config.desired_min_tx.max(SLOW),
                rx: config.required_min_rx,
            },
            config,
            discriminator,
            state: State::Down,
            diagnostic: Diagnostic::None,
            remote: Remote::default(),
            poll: Poll::Idle,
            final_owed: false,
            due: false,
            last_sent: None,
            next_send: None,
            last_received: None,
            silent_from: None,
            since: now,
            last_down: None,
            counters: (0, 0, 0),
            events: VecDeque::new(),
            jitter: Jitter::new(seed),
        };
        session.settle(now);
        session
    }

    /// Takes in a packet for this session (section 6.8.6, from "Set bfd.RemoteDiscr" on).
    pub fn received(&mut self, now: Instant, packet: &Packet) {
        self.counters.1 = self.counters.1.saturating_add(1);
        self.remote = Remote {
            state: packet.state,
            discriminator: packet.my_discriminator,
            diagnostic: packet.diagnostic,
            required_min_rx: packet.required_min_rx,
            desired_min_tx: packet.desired_min_tx,
            detect_multiplier: packet.detect_multiplier,
            demand: packet.demand,
            control_plane_independent: packet.control_plane_independent,
        };
        if packet.final_ {
            self.poll_answered();
        }
        if self.state != State::AdminDown {
            self.last_received = Some(now);
            if let Some((state, diagnostic)) = self.state.hears(packet.state) {
                if let Some(diagnostic) = diagnostic {
                    self.diagnostic = diagnostic;
                }
                let reason = diagnostic.map(|_| match packet.state {
                    State::AdminDown => DownReason::NeighborAdminDown,
                    _ => DownReason::NeighborSignaledDown(packet.diagnostic),
                });
                self.enter(now, state, reason);
            }
            // "If the Poll (P) bit is set, send a BFD Control packet to the remote system with the
            // Poll (P) bit clear, and the Final (F) bit set."
            self.final_owed |= packet.poll;
        }
        self.settle(now);
    }

    /// Tells the session that time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.detection_deadline().is_some_and(|at| at <= now) {
            if matches!(self.state, State::Init | State::Up) {
                self.diagnostic = Diagnostic::DetectionTimeExpired;
                self.enter(now, State::Down, Some(DownReason::DetectionTimeExpired));
            }
            // "If a period of a Detection Time passes without the receipt of a valid [...] BFD packet
            // from the remote system, this variable [bfd.RemoteDiscr] MUST be set to zero." What else
            // it said is as old.
            self.remote = Remote::default();
            self.last_received = None;
            self.poll = Poll::Idle;
        }
        if self.next_send.is_some_and(|at| at <= now) {
            self.due = true;
        }
        self.settle(now);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); `None`: not needed.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.next_send, self.detection_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The next packet to send, now.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Packet> {
        let (poll, final_) = if core::mem::take(&mut self.final_owed) {
            (false, true)
        } else if self.due && self.may_send(now) {
            self.due = false;
            (self.poll != Poll::Idle, false)
        } else {
            return None;
        };
        self.counters.0 = self.counters.0.saturating_add(1);
        self.last_sent = Some((now, self.contents()));
        if !final_ {
            let interval = self.transmit_interval();
            self.next_send = Some(now + self.jittered(interval));
        }
        Some(Packet {
            diagnostic: self.diagnostic,
            state: self.state,
            poll,
            final_,
            control_plane_independent: false,
            demand: false,
            detect_multiplier: self.config.detect_multiplier.get(),
            my_discriminator: self.discriminator,
            your_discriminator: self.remote.discriminator,
            desired_min_tx: self.announced.tx,
            required_min_rx: self.announced.rx,
            required_min_echo_rx: Duration::ZERO,
        })
    }

    /// The next change of state that the owner has not heard of.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Changes the configuration. A session that is Up stays Up.
    pub fn reconfigure(&mut self, now: Instant, config: Config) {
        let multiplier_changed = self.config.detect_multiplier != config.detect_multiplier;
        self.config = config;
        if multiplier_changed {
            self.start_poll();
        }
        self.settle(now);
    }

    /// Takes the session down (section 6.8.16). The neighbour is told for one detection time, then
    /// there is silence.
    pub fn disable(&mut self, now: Instant) {
        if self.state == State::AdminDown {
            return;
        }
        self.diagnostic = Diagnostic::AdministrativelyDown;
        self.last_received = None;
        self.poll = Poll::Idle;
        self.enter(
            now,
            State::AdminDown,
            Some(DownReason::AdministrativelyDown),
        );
        self.settle(now);
        self.silent_from = Some(now + self.remote_detection_time());
    }

    /// Whether it was taken down, and has told the neighbour for long enough.
    #[must_use]
    pub fn is_silent(&self, now: Instant) -> bool {
        self.silent_from.is_some_and(|at| at <= now)
    }

    /// Lets a session that was taken down come up again.
    pub fn enable(&mut self, now: Instant) {
        if self.state == State::AdminDown {
            self.silent_from = None;
            self.enter(now, State::Down, None);
            self.settle(now);
        }
    }

    /// Whether what came from so far away may be heard.
    pub(super) const fn accepts(&self, ttl: u8) -> bool {
        ttl >= self.config.minimum_ttl
    }

    /// Our number of the session.
    #[must_use]
    pub const fn discriminator(&self) -> u32 {
        self.discriminator
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            state: self.state,
            remote_state: self.remote.state,
            diagnostic: self.diagnostic,
            remote_diagnostic: self.remote.diagnostic,
            local_discriminator: self.discriminator,
            remote_discriminator: self.remote.discriminator,
            transmit_interval: self.transmit_interval(),
            detection_time: self.detection_time(),
            remote_control_plane_independent: self.remote.control_plane_independent,
            last_down: self.last_down,
            since: self.since,
            failures: self.counters.2,
            sent: self.counters.0,
            received: self.counters.1,
        }
    }

    fn enter(&mut self, now: Instant, to: State, reason: Option<DownReason>) {
        let from = core::mem::replace(&mut self.state, to);
        if to == State::Up {
            self.diagnostic = Diagnostic::None;
        }
        if from == State::Up && reason.is_some_and(DownReason::is_failure) {
            self.counters.2 = self.counters.2.saturating_add(1);
        }
        if let Some(reason) = reason {
            self.last_down = Some((reason, self.remote.control_plane_independent));
        }
        self.since = now;
        self.events.push_back(Event { from, to, reason });
    }

    /// After anything happened: intervals, what must be said, and when.
    fn settle(&mut self, now: Instant) {
        self.announce();
        self.adopt();
        if !self.may_send(now) {
            self.due = false;
            self.next_send = None;
            return;
        }
        // "A BFD Control packet SHOULD be transmitted during the interval between periodic Control
        // packet transmissions when the contents of that packet would differ from that in the
        // previously transmitted packet" (section 6.8.7).
        match self.last_sent {
            Some((at, contents)) if contents == self.contents() => {
                let latest = at + self.transmit_interval();
                // The interval may have become shorter.
                if !self.due && self.next_send.is_none_or(|next| next > latest) {
                    self.next_send = Some(latest);
                }
            }
            _ => self.due = true,
        }
    }

    /// Announces the intervals that the configuration and the state ask for.
    fn announce(&mut self) {
        let wanted = Intervals {
            tx: match self.state {
                State::Up => self.config.desired_min_tx,
                _ => self.config.desired_min_tx.max(SLOW),
            },
            rx: self.config.required_min_rx,
        };
        if wanted != self.announced {
            self.announced = wanted;
            // "If either bfd.DesiredMinTxInterval is changed or bfd.RequiredMinRxInterval is changed, a
            // Poll Sequence MUST be initiated."
            self.start_poll();
        }
    }

    /// Puts in force what may be: at once, or when no poll sequence is under way.
    fn adopt(&mut self) {
        if self.state != State::Up || self.poll == Poll::Idle {
            self.in_force = self.announced;
            return;
        }
        // "If bfd.DesiredMinTxInterval is increased and bfd.SessionState is Up, the actual transmission
        // interval used MUST NOT change until the Poll Sequence [...] has terminated."
        self.in_force.tx = self.in_force.tx.min(self.announced.tx);
        // "If bfd.RequiredMinRxInterval is reduced and bfd.SessionState is Up, the previous value of
        // bfd.RequiredMinRxInterval MUST be used when calculating the Detection Time for the remote
        // system until the Poll Sequence [...] has terminated."
        self.in_force.rx = self.in_force.rx.max(self.announced.rx);
    }

    fn start_poll(&mut self) {
        self.poll = match self.poll {
            // Nobody is there to answer; whoever comes hears the new values first.
            _ if self.remote.discriminator == 0 => Poll::Idle,
            Poll::Idle => Poll::Active,
            Poll::Active | Poll::ActiveThenAgain => Poll::ActiveThenAgain,
        };
    }

    fn poll_answered(&mut self) {
        self.poll = match self.poll {
            Poll::ActiveThenAgain => {
                // While the session is coming up, the next periodic packet will do.
                self.due |= self.state == State::Up;
                Poll::Active
            }
            Poll::Active | Poll::Idle => Poll::Idle,
        };
    }

    fn contents(&self) -> Contents {
        (
            self.state,
            self.diagnostic,
            self.remote.discriminator,
            self.announced,
            self.config.detect_multiplier.get(),
        )
    }

    /// Whether packets may be sent without being asked for (section 6.8.7).
    fn may_send(&self, now: Instant) -> bool {
        let waits = self.config.passive && self.remote.discriminator == 0;
        let unwelcome = self.remote.required_min_rx.is_zero();
        let on_demand = self.remote.demand
            && self.state == State::Up
            && self.remote.state == State::Up
            && self.poll == Poll::Idle;
        !waits && !unwelcome && !on_demand && !self.is_silent(now)
    }

    /// "The greater of bfd.DesiredMinTxInterval and bfd.RemoteMinRxInterval" (section 6.8.7).
    fn transmit_interval(&self) -> Duration {
        self.in_force.tx.max(self.remote.required_min_rx)
    }

    /// "The value of Detect Mult received from the remote system, multiplied by the agreed transmit
    /// interval of the remote system" (section 6.8.4).
    fn detection_time(&self) -> Option<Duration> {
        self.last_received?;
        let interval = self.in_force.rx.max(self.remote.desired_min_tx);
        Some(interval.saturating_mul(self.remote.detect_multiplier.into()))
    }

    /// How long the neighbour bears our silence.
    fn remote_detection_time(&self) -> Duration {
        self.transmit_interval()
            .saturating_mul(self.config.detect_multiplier.get().into())
    }

    fn detection_deadline(&self) -> Option<Instant> {
        Some(self.last_received? + self.detection_time()?)
    }

    /// "The periodic transmission of BFD Control packets MUST be jittered on a per-packet basis by up
    /// to 25%"; with a multiplier of one "the interval [...] MUST be no more than 90% of the
    /// negotiated transmission interval, and MUST be no less than 75%" (section 6.8.7).
    fn jittered(&mut self, interval: Duration) -> Duration {
        let most = if self.config.detect_multiplier.get() == 1 {
            921
        } else {
            1024
        };
        self.jitter.scale(interval, 768, most)
    }
}
