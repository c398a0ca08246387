//! One link: when to solicit, when to advertise, and which routers there are.
//!
//! [`Discovery`] lives as long as the link is up: whoever owns it makes a new one when the link comes
//! back. It is told the time and what arrived, and says what to send and when to be called next.
//!
//! # Sending
//!
//! Advertisements go out at a random time between a third of and the whole maximum interval (RFC 4861
//! section 6.2.4), the first few [`Limits::min_delay`] apart, and in answer to solicitations after a
//! short random delay (section 6.2.6), but never closer than [`Limits::min_delay`]. All go to all nodes.
//!
//! Solicitations go out while no router is known, at intervals that double up to
//! [`Limits::max_solicit`] (as RFC 7559 has it: a host that stopped after three would never find a
//! router whose first advertisement was lost).
//!
//! # Which router
//!
//! The first one heard is *the* router, until it is silent for so long that it must be gone; then the
//! next one. A second router does not take the place of one that still advertises: it would be a reset
//! for every advertisement of a stranger. That there are several is said, and for people to mend.
//!
//! Router Lifetime is not looked at: it is about default routes, and routers that only do what we do
//! send 0. A router is asked once more before it is given up.

use core::time::Duration;
use std::{collections::BTreeMap, net::Ipv6Addr};

use super::message::{Invalid, Message, Received};
use crate::{jitter::Jitter, time::Instant};

/// Routers remembered on one link: anybody there can make up addresses.
const MAX_ROUTERS: usize = 8;

/// The times of RFC 4861 section 6.2.1 and 10, as they suit a link between routers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// MaxRtrAdvInterval. What FRR uses for unnumbered peering.
    pub max_interval: Duration,
    /// MIN_DELAY_BETWEEN_RAS.
    pub min_delay: Duration,
    /// MAX_RA_DELAY_TIME: the longest wait before a solicitation is answered.
    pub answer_delay: Duration,
    /// RTR_SOLICITATION_INTERVAL: the first pause between two solicitations.
    pub first_solicit: Duration,
    /// The longest such pause.
    pub max_solicit: Duration,
    /// After so much silence a router is asked whether it is there.
    pub doubt: Duration,
    /// After so much silence it is gone.
    pub lost: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_interval: Duration::from_secs(10),
            min_delay: Duration::from_secs(3),
            answer_delay: Duration::from_millis(500),
            first_solicit: Duration::from_secs(4),
            max_solicit: Duration::from_secs(60),
            doubt: Duration::from_secs(30),
            lost: Duration::from_secs(45),
        }
    }
}

/// Advertisements that are sent in quick succession, so that the other end need not wait
/// (MAX_INITIAL_RTR_ADVERTISEMENTS).
const INITIAL: u8 = 3;

/// Who is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    /// The router.
    pub router: Option<Ipv6Addr>,
    /// Further ones, in order of address.
    pub others: Vec<Ipv6Addr>,
}

/// The state of one link that is up. See the module's page.
#[derive(Clone, Debug)]
pub struct Discovery {
    limits: Limits,
    jitter: Jitter,
    own: Ipv6Addr,
    /// Every router that was heard lately, and when last.
    heard: BTreeMap<Ipv6Addr, Instant>,
    router: Option<Ipv6Addr>,
    advertise_at: Instant,
    last_advertised: Option<Instant>,
    advertised: u8,
    solicit_at: Option<Instant>,
    solicit_pause: Duration,
}

impl Discovery {
    /// A link that came up just now. `own`: our link-local address there, whose messages are not for us.
    #[must_use]
    pub fn new(now: Instant, own: Ipv6Addr, seed: u64, limits: Limits) -> Self {
        Self {
            limits,
            jitter: Jitter::new(seed),
            own,
            heard: BTreeMap::new(),
            router: None,
            advertise_at: now,
            last_advertised: None,
            advertised: 0,
            solicit_at: Some(now),
            solicit_pause: limits.first_solicit,
        }
    }

    /// Who is there now.
    #[must_use]
    pub fn sighting(&self) -> Sighting {
        let others = self.heard.keys().copied();
        Sighting {
            router: self.router,
            others: others.filter(|addr| Some(*addr) != self.router).collect(),
        }
    }

    /// A message arrived.
    ///
    /// # Errors
    /// It is not valid, and was not looked at.
    pub fn on_message(&mut self, now: Instant, received: &Received<'_>) -> Result<(), Invalid> {
        let message = received.validate()?;
        if received.from == self.own {
            return Ok(());
        }
        match message {
            Message::Solicitation => self.answer(now),
            Message::Advertisement => self.heard_from(now, received.from),
        }
        Ok(())
    }

    /// RFC 4861 section 6.2.6: after "a random delay within the range 0 through MAX_RA_DELAY_TIME", and
    /// multicast advertisements "MUST be rate limited to no more than one advertisement every
    /// MIN_DELAY_BETWEEN_RAS seconds".
    fn answer(&mut self, now: Instant) {
        let soon = now
            + self
                .jitter
                .between(Duration::ZERO, self.limits.answer_delay);
        let earliest = self
            .last_advertised
            .map_or(now, |at| at + self.limits.min_delay);
        self.advertise_at = self.advertise_at.min(soon.max(earliest));
    }

    fn heard_from(&mut self, now: Instant, from: Ipv6Addr) {
        let known = self.heard.len() < MAX_ROUTERS || self.heard.contains_key(&from);
        if known {
            self.heard.insert(from, now);
            self.router.get_or_insert(from);
        }
        if self.router == Some(from) {
            self.solicit_pause = self.limits.first_solicit;
            self.solicit_at = Some(now + self.limits.doubt);
        }
    }

    /// What is due: to be called at [`Discovery::poll_timeout`], and harmless at other times.
    pub fn on_time(&mut self, now: Instant) -> Vec<Message> {
        self.forget(now);
        let mut due = Vec::new();
        if self.solicit_at.is_some_and(|at| at <= now) {
            due.push(Message::Solicitation);
            self.solicit_at = Some(now + self.solicit_pause);
            self.solicit_pause = self.limits.max_solicit.min(self.solicit_pause * 2);
        }
        if self.advertise_at <= now {
            due.push(Message::Advertisement);
            self.advertised = self.advertised.saturating_add(1);
            self.last_advertised = Some(now);
            self.advertise_at = now + self.interval();
        }
        due
    }

    /// A message could not be sent, as when our address is still being checked for duplicates
    /// (RFC 4862 section 5.4): it is tried again in `after`.
    pub fn unsent(&mut self, now: Instant, message: Message, after: Duration) {
        match message {
            Message::Solicitation => {
                self.solicit_at = self.solicit_at.map(|at| at.min(now + after));
                self.solicit_pause = self.limits.first_solicit;
            }
            Message::Advertisement => {
                self.advertise_at = self.advertise_at.min(now + after);
                self.advertised = self.advertised.saturating_sub(1);
                self.last_advertised = None;
            }
        }
    }

    /// When to call [`Discovery::on_time`].
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        let silent = self.heard.values().map(|at| *at + self.limits.lost);
        silent
            .chain(self.solicit_at)
            .fold(self.advertise_at, Instant::min)
    }

    /// Forgets whoever is silent for too long.
    fn forget(&mut self, now: Instant) {
        let lost = self.limits.lost;
        self.heard.retain(|_, at| *at + lost > now);
        if self
            .router
            .is_some_and(|addr| !self.heard.contains_key(&addr))
        {
            self.router = self.heard.keys().next().copied();
            self.solicit_at = Some(match self.router {
                Some(_) => now + self.limits.doubt,
                None => now,
            });
        }
    }

    fn interval(&mut self) -> Duration {
        if self.advertised < INITIAL {
            return self.limits.min_delay;
        }
        let max = self.limits.max_interval;
        self.jitter.between(max / 3, max)
    }
}
