//! What happened to a neighbour lately: state changes and messages, for `redc history`.
//!
//! Bounded: the oldest entry goes when there are too many. What repeats itself is one entry with a
//! count: a thousand UPDATEs in a row say no more than that, nor does a neighbour that refuses every
//! second. The steps of an attempt that meets nobody are left out.

use std::{cmp::Reverse, collections::VecDeque};

use redstart_bgp::{
    session::{DownReason, Event, Slot, State},
    time::Instant,
    types::Family,
    wire::Said,
};

use crate::control::Operation;

/// The most entries.
const MOST: usize = 256;

/// The most entries of all neighbours together.
const MOST_OF_ALL: usize = 500;

/// The latest entries.
#[derive(Debug, Default)]
pub(super) struct History {
    entries: VecDeque<Entry>,
    /// When there was a session last, however long ago.
    last_up: Option<Instant>,
}

/// Something that happened, once or several times in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// First.
    pub(super) at: Instant,
    /// Last.
    pub(super) until: Instant,
    pub(super) times: u64,
    pub(super) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    State {
        from: State,
        to: State,
    },
    Up,
    Down(Box<DownReason>),
    Failed {
        slot: Slot,
        reason: Box<DownReason>,
    },
    Updates {
        announced: u64,
        withdrawn: u64,
        faults: u64,
    },
    EndOfRib(Family),
    RefreshRequested(Family),
    RefreshBegin(Family),
    RefreshEnd(Family),
    Malformed {
        octets: usize,
    },
    Unsendable {
        routes: usize,
    },
    Operated(Operation),
}

impl What {
    /// A stable identifier of its kind.
    pub(super) const fn id(&self) -> &'static str {
        match self {
            Self::State { .. } => "state",
            Self::Up => "up",
            Self::Down(_) => "down",
            Self::Failed { .. } => "attempt-failed",
            Self::Updates { .. } => "update-received",
            Self::EndOfRib(_) => "end-of-rib-received",
            Self::RefreshRequested(_) => "route-refresh-received",
            Self::RefreshBegin(_) => "refresh-begin-received",
            Self::RefreshEnd(_) => "refresh-end",
            Self::Malformed { .. } => "malformed-received",
            Self::Unsendable { .. } => "unsendable",
            Self::Operated(_) => "operator",
        }
    }

    /// In words.
    pub(super) fn text(&self) -> String {
        match self {
            Self::State { from, to } => format!("{from} -> {to}"),
            Self::Up => "session established".to_owned(),
            Self::Down(reason) => format!("session down: {reason}"),
            Self::Failed { slot, reason } => format!("no session ({slot}): {reason}"),
            Self::Updates {
                announced,
                withdrawn,
                faults,
            } => {
                let faults = match faults {
                    0 => String::new(),
                    faults => format!(", {faults} faults"),
                };
                format!("UPDATE received: {announced} announced, {withdrawn} withdrawn{faults}")
            }
            Self::EndOfRib(family) => format!("End-of-RIB received: {family}"),
            Self::RefreshRequested(family) => format!("ROUTE-REFRESH received: {family}"),
            Self::RefreshBegin(family) => format!("the neighbour tells all again: {family}"),
            Self::RefreshEnd(family) => format!("the neighbour has told all again: {family}"),
            Self::Malformed { octets } => format!("a message of {octets} octets is malformed"),
            Self::Unsendable { routes } => format!("{routes} routes cannot be sent"),
            Self::Operated(what) => format!("operator: {}", what.as_str()),
        }
    }

    /// Takes another one in, if it is more of the same.
    fn takes_in(&mut self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Updates {
                    announced,
                    withdrawn,
                    faults,
                },
                Self::Updates {
                    announced: a,
                    withdrawn: w,
                    faults: f,
                },
            ) => {
                *announced += a;
                *withdrawn += w;
                *faults += f;
                true
            }
            (mine, other) => mine == other,
        }
    }
}

/// The latest entries of several histories, oldest first, each with whose it is. UPDATEs are left out:
/// where there are many neighbours they would crowd out everything else.
pub(super) fn latest<'a, N>(
    histories: impl Iterator<Item = (N, &'a History)>,
) -> Vec<(N, &'a Entry)>
where
    N: Copy,
{
    let is_news = |entry: &&Entry| !matches!(entry.what, What::Updates { .. });
    let mut latest: Vec<(N, &Entry)> = Vec::new();
    for (whose, history) in histories {
        let news = history.entries().filter(is_news);
        latest.extend(news.map(|entry| (whose, entry)));
        // What is too old for the answer is not kept until the end.
        if latest.len() > 2 * MOST_OF_ALL {
            keep_latest(&mut latest);
        }
    }
    keep_latest(&mut latest);
    latest.sort_by_key(|(_, entry)| entry.until);
    latest
}

fn keep_latest<N>(entries: &mut Vec<(N, &Entry)>) {
    if entries.len() > MOST_OF_ALL {
        entries.select_nth_unstable_by_key(MOST_OF_ALL, |(_, entry)| Reverse(entry.until));
        entries.truncate(MOST_OF_ALL);
    }
}

impl History {
    /// Oldest first.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Whether what ended last was a session, and no attempt to have one.
    pub(super) fn ended_a_session(&self) -> bool {
        let mut latest = self.entries.iter().rev();
        let end = latest.find(|it| matches!(it.what, What::Down(_) | What::Failed { .. }));
        end.is_some_and(|it| matches!(it.what, What::Down(_)))
    }

    /// When a session began last.
    pub(super) const fn last_up(&self) -> Option<Instant> {
        self.last_up
    }

    /// Notes what an event of the session means.
    pub(super) fn note_event(&mut self, now: Instant, event: &Event) {
        let what = match event {
            Event::StateChanged { from, to } => {
                let attempt = |state| matches!(state, State::Idle | State::Connect | State::Active);
                if attempt(*from) && attempt(*to) {
                    return;
                }
                What::State {
                    from: *from,
                    to: *to,
                }
            }
            Event::Established(_) => What::Up,
            Event::Down { reason, .. } => What::Down(Box::new(reason.clone())),
            Event::AttemptFailed { slot, reason } => What::Failed {
                slot: *slot,
                reason: Box::new(reason.clone()),
            },
            // These come many at a time, and are noted where they are taken in.
            Event::Updates(_) => return,
            Event::Malformed(message) => What::Malformed {
                octets: message.len(),
            },
            Event::RefreshRequested(family) => What::RefreshRequested(*family),
            Event::RefreshBegin(family) => What::RefreshBegin(*family),
            Event::RefreshEnd(family) => What::RefreshEnd(*family),
            Event::Unsendable(what) => What::Unsendable {
                routes: what.nlri.len(),
            },
        };
        self.note(now, what);
    }

    /// Notes a part of an UPDATE, which is the first one of it or not.
    pub(super) fn note_said(&mut self, now: Instant, said: Said<'_>, is_first: bool) {
        let (announced, withdrawn, faults) = match said {
            Said::Announced(_, routes) => (routes.len(), 0, 0),
            Said::Withdrawn(routes) => (0, routes.len(), 0),
            Said::Malformed(malformed) => (0, 0, malformed.faults().len()),
            Said::EndOfRib(family) => return self.note(now, What::EndOfRib(family)),
        };
        let what = What::Updates {
            announced: announced as u64,
            withdrawn: withdrawn as u64,
            faults: faults as u64,
        };
        self.note_times(now, u64::from(is_first), what);
    }

    /// Notes something.
    pub(super) fn note(&mut self, now: Instant, what: What) {
        if what == What::Up {
            self.last_up = Some(now);
        }
        self.note_times(now, 1, what);
    }

    fn note_times(&mut self, now: Instant, times: u64, what: What) {
        if let Some(last) = self.entries.back_mut()
            && last.what.takes_in(&what)
        {
            last.until = now;
            last.times += times;
            return;
        }
        if self.entries.len() == MOST {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry {
            at: now,
            until: now,
            times: times.max(1),
            what,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use redstart_bgp::{
        session::ConnectError,
        types::{NlriSet, PathAttributes},
        wire::{AttributeFault, Disposition, FaultReason, Reach, Update, Updates},
    };

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn texts(history: &History) -> Vec<(u64, String)> {
        history
            .entries()
            .map(|entry| (entry.times, entry.what.text()))
            .collect()
    }

    #[test]
    fn what_repeats_itself_is_one_entry() {
        let mut history = History::default();
        let refused = Event::AttemptFailed {
            slot: Slot::Outgoing,
            reason: DownReason::ConnectFailed(ConnectError::Refused),
        };
        let changed = |from, to| Event::StateChanged { from, to };
        for n in 0..1000 {
            history.note_event(at(n), &changed(State::Idle, State::Connect));
            history.note_event(at(n), &changed(State::Connect, State::Active));
            history.note_event(at(n), &refused);
        }
        history.note_event(at(1000), &changed(State::Active, State::OpenSent));
        let failed = "no session (outgoing): connect-failed: connection-refused";
        let expected = [
            (1000, failed.to_owned()),
            (1, "Active -> OpenSent".to_owned()),
        ];
        assert_eq!(texts(&history), expected);
        let first = history.entries().next().unwrap();
        assert_eq!((first.at, first.until), (at(0), at(999)));
    }

    #[test]
    fn when_there_was_a_session_is_known_for_longer_than_the_rest() {
        let mut history = History::default();
        history.note(at(1), What::Up);
        for n in 0..1000 {
            let from = [State::Active, State::OpenSent][n % 2];
            let to = [State::OpenSent, State::Active][n % 2];
            history.note(at(2), What::State { from, to });
        }
        assert!(history.entries().all(|entry| entry.what != What::Up));
        assert_eq!(history.last_up(), Some(at(1)));
    }

    fn note(history: &mut History, update: Update) {
        let updates = Updates::from(update);
        let mut parts = updates.iter();
        loop {
            let is_first = parts.is_between_messages();
            let Some(said) = parts.next() else {
                return;
            };
            history.note_said(at(1), said, is_first);
        }
    }

    /// However many parts it has.
    #[test]
    fn an_update_counts_once() {
        let routes = |n: u8| {
            let prefix = redstart_bgp::types::Ipv4Prefix::new([10, n, 0, 0].into(), 16);
            NlriSet::V4(vec![redstart_bgp::types::Nlri::plain(prefix.unwrap())])
        };
        let update = Update {
            unreach: vec![routes(1)],
            reach: vec![Reach {
                attrs: PathAttributes::default().into(),
                nlri: routes(2),
            }],
            faults: vec![AttributeFault {
                code: 5,
                disposition: Disposition::DiscardAttribute,
                reason: FaultReason::InvalidLength,
            }],
            ..Update::default()
        };
        let mut history = History::default();
        for _ in 0..2 {
            note(&mut history, update.clone());
        }
        let text = "UPDATE received: 2 announced, 2 withdrawn, 2 faults";
        assert_eq!(texts(&history), [(2, text.to_owned())]);
    }

    #[test]
    fn updates_add_up_and_an_end_of_rib_is_its_own() {
        let mut history = History::default();
        let withdrawn = Update {
            unreach: vec![NlriSet::V4(vec![redstart_bgp::types::Nlri::plain(
                redstart_bgp::types::Ipv4Prefix::new([10, 0, 0, 0].into(), 8).unwrap(),
            )])],
            ..Update::default()
        };
        let end = Update {
            end_of_rib: Some(Family::Ipv4Unicast),
            ..Update::default()
        };
        for update in [&withdrawn, &withdrawn, &end, &withdrawn] {
            note(&mut history, update.clone());
        }
        let update = |n| format!("UPDATE received: 0 announced, {n} withdrawn");
        let expected = [
            (2, update(2)),
            (1, "End-of-RIB received: ipv4".to_owned()),
            (1, update(1)),
        ];
        assert_eq!(texts(&history), expected);
    }

    #[test]
    fn of_all_histories_the_latest_news_come_in_order() {
        let note = |history: &mut History, n: u64| {
            let octets = n as usize;
            history.note(at(n), What::Malformed { octets });
        };
        let (mut even, mut odd) = (History::default(), History::default());
        // More than are kept of one, and of both more than are answered.
        for n in (0..600).step_by(2) {
            note(&mut even, n);
            note(&mut odd, n + 1);
        }
        let updates = What::Updates {
            announced: 1,
            withdrawn: 0,
            faults: 0,
        };
        odd.note(at(600), updates);
        let latest = latest([("even", &even), ("odd", &odd)].into_iter());
        let shown: Vec<_> = latest.iter().map(|(n, e)| (*n, e.until)).collect();
        let whose = |n: u64| if n.is_multiple_of(2) { "even" } else { "odd" };
        let expected: Vec<_> = (100..600).map(|n| (whose(n), at(n))).collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_oldest_go_first() {
        let mut history = History::default();
        for n in 0..=MOST as u64 {
            let octets = n as usize;
            history.note(at(n), What::Malformed { octets });
        }
        assert_eq!(history.entries().count(), MOST);
        assert_eq!(history.entries().next().unwrap().at, at(1));
    }
}
