//! What is kept of a neighbour that went away, and for how long. Pure.
//!
//! RFC 4724 section 4.2: after the loss of a session its routes stay for the neighbour's restart time.
//! RFC 9494 section 4.2: those of families with a long-lived stale time stay on as a last resort, and
//! that time runs on, over sessions that come and go, until an End-of-RIB: a neighbour that keeps
//! failing does not keep its old routes for ever.

use std::{collections::BTreeMap, time::Duration};

use redstart_bgp::{
    session::Negotiated,
    time::Instant,
    types::{Family, FamilySet},
};

/// What to do about the stale routes of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Keep them as a last resort.
    KeepLong(Family),
    /// Forget them.
    Sweep(Family),
}

/// The timers of one neighbour.
#[derive(Debug, Default)]
pub(super) struct Retention {
    /// When the restart time of a family is over, and how long its routes stay beyond that.
    restart: BTreeMap<Family, (Instant, Option<Duration>)>,
    /// Until when routes of a family are a last resort.
    long_lived: BTreeMap<Family, Instant>,
    /// Families for which that time ran out while the neighbour was telling its table.
    expired: FamilySet,
}

impl Retention {
    /// The session is over, and routes of `retained` are to stay. Those that do: RFC 9494 section 4.2
    /// has those of a family go whose long time ran out before the neighbour had told its table.
    pub(super) fn lost(
        &mut self,
        now: Instant,
        retained: FamilySet,
        restart_time: impl Fn(Family) -> Duration,
        stale_time: impl Fn(Family) -> Option<Duration>,
    ) -> FamilySet {
        let expired = std::mem::take(&mut self.expired);
        let stays = |family: &Family| !expired.contains(*family);
        let kept: FamilySet = retained.iter().filter(stays).collect();
        self.long_lived.retain(|family, _| kept.contains(*family));
        let timer = |family| (family, (now + restart_time(family), stale_time(family)));
        self.restart = kept.iter().map(timer).collect();
        kept
    }

    /// The neighbour is back: what is stale waits for its table until `end`, not for itself any more.
    pub(super) fn extend(&mut self, end: Instant) {
        for (at, _) in self.restart.values_mut() {
            *at = end;
        }
    }

    /// Nothing is kept.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Whether routes of `family` are a last resort.
    pub(super) fn is_long_lived(&self, family: Family) -> bool {
        self.long_lived.contains_key(&family)
    }

    /// No stale route of `family` is left: the neighbour told its table, or does not want it kept.
    pub(super) fn is_swept(&mut self, family: Family) {
        self.long_lived.remove(&family);
        self.restart.remove(&family);
        self.expired.remove(family);
    }

    /// What is due. `up`: there is a session again, which has yet to confirm what is stale.
    pub(super) fn poll(&mut self, now: Instant, up: bool) -> Vec<Due> {
        let mut due = Vec::new();
        for family in Family::ALL {
            if let Some(stale_time) = self.take_restart(now, family) {
                match stale_time.filter(|_| !up) {
                    Some(stale_time) => {
                        let end = self.long_lived.entry(family);
                        end.or_insert(now + stale_time);
                        due.push(Due::KeepLong(family));
                    }
                    None if self.is_long_lived(family) => {}
                    None => due.push(Due::Sweep(family)),
                }
            }
            if self.long_lived.get(&family).is_some_and(|at| *at <= now) {
                self.long_lived.remove(&family);
                if up {
                    self.expired.insert(family);
                }
                due.push(Due::Sweep(family));
            }
        }
        due
    }

    /// The stale time of a family whose restart time is over.
    fn take_restart(&mut self, now: Instant, family: Family) -> Option<Option<Duration>> {
        let (at, stale_time) = *self.restart.get(&family)?;
        if at > now {
            return None;
        }
        self.restart.remove(&family);
        Some(stale_time)
    }

    /// When something is due next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let restart = self.restart.values().map(|(at, _)| *at);
        self.long_lived.values().copied().chain(restart).min()
    }
}

/// How long routes of a family stay before they are a last resort: for the restart time, if the
/// capability lists the family. One that only the long-lived capability lists has a restart time of
/// zero (RFC 9494 section 4.2).
pub(super) fn restart_time(negotiated: &Negotiated, family: Family) -> Duration {
    let restart = negotiated.graceful_restart.as_ref();
    let listed = restart.filter(|gr| {
        let mut families = gr.families.iter();
        families.any(|f| Family::from_afi_safi(f.afi, f.safi) == Some(family))
    });
    Duration::from_secs(listed.map_or(0, |gr| gr.restart_time.into()))
}

/// RFC 4724 section 4.2: routes kept over a restart go at once if the new Graceful Restart capability
/// does not set the Forwarding State bit of their family or does not list the family, or if there is
/// no such capability. RFC 9494 section 4.2 says the same of its own capability and what is stale for
/// long.
pub(super) fn forwarding_preserved(
    negotiated: &Negotiated,
    family: Family,
    long_lived: bool,
) -> bool {
    let is_this = |afi, safi| Family::from_afi_safi(afi, safi) == Some(family);
    let by_restart = negotiated.graceful_restart.as_ref().is_some_and(|gr| {
        let mut families = gr.families.iter();
        families.any(|f| f.forwarding_preserved && is_this(f.afi, f.safi))
    });
    let by_long_lived = negotiated.long_lived.as_ref().is_some_and(|gr| {
        let mut families = gr.families.iter();
        families.any(|f| f.forwarding_preserved && is_this(f.afi, f.safi))
    });
    by_long_lived || (by_restart && !long_lived)
}

#[cfg(test)]
mod tests {
    use redstart_bgp::wire::{
        GracefulRestart, GracefulRestartFamily, LongLivedFamily, LongLivedGracefulRestart,
    };

    use super::{super::tests::negotiated, *};

    const V4: Family = Family::Ipv4Unicast;
    const V6: Family = Family::Ipv6Unicast;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    /// IPv4 may be stale for 1000 s beyond the restart time, IPv6 may not.
    fn lost(retention: &mut Retention, now: u64) -> FamilySet {
        let stale_time = |family| (family == V4).then_some(Duration::from_secs(1000));
        let restart_time = |_| Duration::from_secs(100);
        retention.lost(at(now), FamilySet::ALL, restart_time, stale_time)
    }

    #[test]
    fn routes_stay_for_the_restart_time_and_some_beyond_it() {
        let mut retention = Retention::default();
        lost(&mut retention, 0);
        assert_eq!(retention.poll(at(99), false), []);
        let due = retention.poll(at(100), false);
        assert_eq!(due, [Due::KeepLong(V4), Due::Sweep(V6)]);
        assert_eq!(retention.poll_timeout(), Some(at(1100)));
        assert_eq!(retention.poll(at(1100), false), [Due::Sweep(V4)]);
        assert_eq!(retention.poll_timeout(), None);
    }

    /// RFC 9494 section 4.2: the timer runs on when the session is back, until its End-of-RIB.
    #[test]
    fn the_long_time_goes_on_over_sessions_that_end_before_their_table_is_told() {
        let mut retention = Retention::default();
        lost(&mut retention, 0);
        retention.poll(at(100), false);
        lost(&mut retention, 900);
        assert_eq!(retention.poll(at(1000), false)[0], Due::KeepLong(V4));
        assert_eq!(retention.poll(at(1100), false), [Due::Sweep(V4)]);
        // With its table told, the next loss starts from the beginning.
        lost(&mut retention, 2000);
        retention.poll(at(2100), false);
        retention.is_swept(V4);
        lost(&mut retention, 2900);
        retention.poll(at(3000), false);
        assert_eq!(retention.poll_timeout(), Some(at(4000)));
    }

    /// RFC 9494 section 4.2, of a session that ends before its table is told, after the timer.
    #[test]
    fn what_was_told_of_a_table_too_late_and_not_to_its_end_is_not_kept() {
        for told in [false, true] {
            let mut retention = Retention::default();
            lost(&mut retention, 0);
            retention.poll(at(100), false);
            assert_eq!(retention.poll(at(1100), true), [Due::Sweep(V4)]);
            if told {
                retention.is_swept(V4);
            }
            let kept = lost(&mut retention, 1200);
            assert_eq!((kept.contains(V4), kept.contains(V6)), (told, true));
            // Just once.
            assert_eq!(lost(&mut retention, 1300), FamilySet::ALL);
        }
    }

    #[test]
    fn a_session_that_does_not_tell_its_table_in_time_loses_what_is_stale() {
        let mut retention = Retention::default();
        lost(&mut retention, 0);
        let due = retention.poll(at(100), true);
        assert_eq!(due, [Due::Sweep(V4), Due::Sweep(V6)]);
    }

    #[test]
    fn what_is_no_longer_retained_has_no_timer() {
        let mut retention = Retention::default();
        lost(&mut retention, 0);
        retention.poll(at(100), false);
        retention.forget();
        assert_eq!(
            (retention.poll_timeout(), retention.poll(at(9999), false)),
            (None, vec![])
        );
    }

    /// A neighbour that is back, with the Forwarding State bits of its two capabilities for IPv4.
    /// `None`: the family is not listed.
    fn back(restart: Option<bool>, long_lived: Option<bool>) -> Negotiated {
        let (afi, safi) = (V4.afi(), V4.safi());
        let restart = restart.map(|forwarding_preserved| GracefulRestartFamily {
            afi,
            safi,
            forwarding_preserved,
        });
        let long_lived = long_lived.map(|forwarding_preserved| LongLivedFamily {
            afi,
            safi,
            forwarding_preserved,
            stale_time: 1000,
        });
        Negotiated {
            graceful_restart: Some(GracefulRestart {
                families: restart.into_iter().collect(),
                ..GracefulRestart::default()
            }),
            long_lived: long_lived.map(|family| LongLivedGracefulRestart {
                families: vec![family],
            }),
            ..negotiated([192, 0, 2, 1])
        }
    }

    /// RFC 4724 and RFC 9494, sections 4.2.
    #[test]
    fn routes_stay_if_forwarding_went_on() {
        #[rustfmt::skip]
        let rows = [
            // restart,   long-lived,  keeps stale, keeps stale for long
            (None,        None,        false,       false),
            (Some(false), None,        false,       false),
            (Some(true),  None,        true,        false),
            (None,        Some(true),  true,        true),
            (Some(false), Some(false), false,       false),
            (Some(true),  Some(false), true,        false),
        ];
        for (restart, long_lived, stale, long) in rows {
            let back = back(restart, long_lived);
            let keeps = |is_long| forwarding_preserved(&back, V4, is_long);
            let what = format!("{restart:?} {long_lived:?}");
            assert_eq!((keeps(false), keeps(true)), (stale, long), "{what}");
            assert!(
                !forwarding_preserved(&back, V6, false),
                "{what}: not listed"
            );
        }
        let mut without = back(Some(true), None);
        without.graceful_restart = None;
        assert!(!forwarding_preserved(&without, V4, false));
    }

    /// A family that only the long-lived capability lists has no restart time.
    #[test]
    fn the_restart_time_is_for_families_that_are_listed() {
        let mut back = back(Some(false), None);
        if let Some(gr) = &mut back.graceful_restart {
            gr.restart_time = 90;
        }
        assert_eq!(restart_time(&back, V4), Duration::from_secs(90));
        assert_eq!(restart_time(&back, V6), Duration::ZERO);
    }
}
