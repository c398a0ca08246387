//! What the kernel drops of TCP without a word to anybody, and when it did last. Pure.
//!
//! The kernel counts such segments for the whole network namespace and for ever. What was counted while
//! another password was in force, or of a neighbour that is gone, tells nothing of now: so the counters are
//! looked at whenever an attempt fails, and once a minute also without, since nothing may fail here where only
//! the neighbour dials. What has not risen for a while does not count.

use std::{cmp::Reverse, time::Duration};

use redstart_bgp::time::Instant;

/// Longer than a neighbour waits before its next attempt, and TCP before it sends the next SYN.
const LATELY: Duration = Duration::from_secs(180);

/// How far apart two looks are at least, but for those of who asks.
const PAUSE: Duration = Duration::from_secs(1);

/// How far apart they are at most, so that what has risen is not much older than the look.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Something for each kind of drop that the kernel counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tcp<T> {
    /// A key was expected, and there was none.
    pub(super) md5_missing: T,
    /// There was a key, and none was expected.
    pub(super) md5_unexpected: T,
    /// The key was another one.
    pub(super) md5_failure: T,
    /// The TTL was too low (RFC 5082).
    pub(super) low_ttl: T,
}

/// Segments, since the kernel counts.
pub(super) type TcpCounters = Tcp<u64>;

/// Segments of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lately {
    /// How many, since they began to be dropped.
    pub(super) count: u64,
    /// When it was seen last that there are more.
    pub(super) at: Option<Instant>,
}

impl TcpCounters {
    /// Reads `/proc/net/netstat`: a line of names, and a line of numbers.
    pub(super) fn parse(text: &str) -> Self {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
        let names = lines.next().unwrap_or_default().split_whitespace();
        let numbers = lines.next().unwrap_or_default().split_whitespace();
        let mut counters = Self::default();
        for (name, number) in names.zip(numbers) {
            let counter = match name {
                "TCPMD5NotFound" => &mut counters.md5_missing,
                "TCPMD5Unexpected" => &mut counters.md5_unexpected,
                "TCPMD5Failure" => &mut counters.md5_failure,
                "TCPMinTTLDrop" => &mut counters.low_ttl,
                _ => continue,
            };
            *counter = number.parse().unwrap_or(0);
        }
        counters
    }
}

impl Tcp<Lately> {
    /// In words, those that there were, the last ones first.
    pub(super) fn described(self) -> Vec<String> {
        let mut all = [
            (self.md5_failure, "with another TCP MD5 key"),
            (self.md5_missing, "without the TCP MD5 key that is expected"),
            (
                self.md5_unexpected,
                "with a TCP MD5 key where none is expected",
            ),
            (self.low_ttl, "with a TTL too low for TTL security"),
        ];
        all.sort_by_key(|(lately, _)| Reverse(lately.at));
        let there = all.into_iter().filter(|(lately, _)| lately.count > 0);
        there
            .map(|(lately, what)| format!("{} segments dropped {what}", lately.count))
            .collect()
    }
}

/// Drops of one kind, from one time of quiet to the next.
#[derive(Clone, Copy, Debug, Default)]
struct Episode {
    before: u64,
    counted: u64,
    rose: Option<Instant>,
}

impl Episode {
    const fn after(counted: u64) -> Self {
        Self {
            before: counted,
            counted,
            rose: None,
        }
    }

    fn is_late(&self, now: Instant) -> bool {
        self.rose.is_some_and(|rose| now < rose + LATELY)
    }

    fn look(&mut self, now: Instant, counted: u64) {
        if counted <= self.counted {
            return;
        }
        if !self.is_late(now) {
            self.before = self.counted;
        }
        self.counted = counted;
        self.rose = Some(now);
    }

    fn lately(&self, now: Instant) -> Lately {
        if !self.is_late(now) {
            return Lately::default();
        }
        Lately {
            count: self.counted - self.before,
            at: self.rose,
        }
    }
}

/// What was counted, and when.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Drops {
    kinds: Tcp<Episode>,
    looked: Option<Instant>,
}

impl Drops {
    /// None yet, though the kernel has counted some.
    pub(super) const fn after(counted: TcpCounters) -> Self {
        Self {
            kinds: Tcp {
                md5_missing: Episode::after(counted.md5_missing),
                md5_unexpected: Episode::after(counted.md5_unexpected),
                md5_failure: Episode::after(counted.md5_failure),
                low_ttl: Episode::after(counted.low_ttl),
            },
            looked: None,
        }
    }

    /// An attempt has failed: looks at the counters, unless that was just done.
    pub(super) fn attempt_failed(&mut self, now: Instant, read: impl FnOnce() -> TcpCounters) {
        self.look_after(PAUSE, now, read);
    }

    /// Looks at the counters, if nobody has for long.
    pub(super) fn on_time(&mut self, now: Instant, read: impl FnOnce() -> TcpCounters) {
        self.look_after(LONGEST_PAUSE, now, read);
    }

    /// When that is.
    pub(super) fn poll_timeout(&self) -> Instant {
        self.looked.map_or(Instant::ZERO, |at| at + LONGEST_PAUSE)
    }

    fn look_after(&mut self, pause: Duration, now: Instant, read: impl FnOnce() -> TcpCounters) {
        if self.looked.is_none_or(|at| at + pause <= now) {
            self.looked = Some(now);
            self.look(now, read());
        }
    }

    fn look(&mut self, now: Instant, counted: TcpCounters) {
        let kinds = &mut self.kinds;
        kinds.md5_missing.look(now, counted.md5_missing);
        kinds.md5_unexpected.look(now, counted.md5_unexpected);
        kinds.md5_failure.look(now, counted.md5_failure);
        kinds.low_ttl.look(now, counted.low_ttl);
    }

    /// What was dropped lately, if the kernel has counted that much by now.
    pub(super) fn lately(mut self, now: Instant, counted: TcpCounters) -> Tcp<Lately> {
        self.look(now, counted);
        Tcp {
            md5_missing: self.kinds.md5_missing.lately(now),
            md5_unexpected: self.kinds.md5_unexpected.lately(now),
            md5_failure: self.kinds.md5_failure.lately(now),
            low_ttl: self.kinds.low_ttl.lately(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_by_name() {
        let text = "TcpExt: SyncookiesSent TCPMD5NotFound TCPMD5Unexpected TCPMD5Failure TCPMinTTLDrop\n\
                    TcpExt: 1 2 3 4 5\nIpExt: InNoRoutes\nIpExt: 9\n";
        let expected = Tcp {
            md5_missing: 2,
            md5_unexpected: 3,
            md5_failure: 4,
            low_ttl: 5,
        };
        assert_eq!(TcpCounters::parse(text), expected);
        assert_eq!(TcpCounters::parse("what else"), TcpCounters::default());
    }

    #[test]
    fn what_was_counted_long_ago_does_not_count() {
        let failures = |md5_failure| TcpCounters {
            md5_failure,
            ..TcpCounters::default()
        };
        let start = Instant::ZERO + Duration::from_secs(9);
        let mut drops = Drops::after(failures(7));
        assert_eq!(drops.lately(start, failures(7)), Tcp::default());
        let seen = drops.lately(start, failures(9)).md5_failure;
        assert_eq!((seen.count, seen.at), (2, Some(start)));
        drops.attempt_failed(start, || failures(10));
        // So soon nobody looks again.
        drops.attempt_failed(start + PAUSE / 2, || failures(99));
        let later = start + LATELY / 2;
        let seen = drops.lately(later, failures(10)).md5_failure;
        assert_eq!((seen.count, seen.at), (3, Some(start)));
        assert_eq!(drops.lately(start + LATELY, failures(10)), Tcp::default());
        // Another time begins anew.
        let seen = drops.lately(start + LATELY, failures(11)).md5_failure;
        assert_eq!(seen.count, 1);
    }

    #[test]
    fn what_was_dropped_while_nothing_failed_here_is_not_dropped_now() {
        let failures = |md5_failure| TcpCounters {
            md5_failure,
            ..TcpCounters::default()
        };
        let mut drops = Drops::default();
        let mut now = Instant::ZERO;
        let mut counted = 0;
        // Five minutes with a wrong password, of a neighbour that is waited for; then an hour without.
        for minute in 0..65 {
            now = drops.poll_timeout();
            counted += u64::from(minute < 5);
            drops.on_time(now, || failures(counted));
        }
        assert!(now >= Instant::ZERO + 64 * LONGEST_PAUSE);
        assert_eq!(drops.lately(now, failures(counted)), Tcp::default());
        let seen = drops.lately(now, failures(counted + 1)).md5_failure;
        assert_eq!((seen.count, seen.at), (1, Some(now)));
    }

    #[test]
    fn the_last_ones_are_told_first() {
        let mut drops = Drops::default();
        let (one, two) = (Instant::ZERO, Instant::ZERO + PAUSE);
        let counted = |md5_failure, md5_missing| TcpCounters {
            md5_failure,
            md5_missing,
            ..TcpCounters::default()
        };
        drops.attempt_failed(one, || counted(5, 0));
        let seen = drops.lately(two, counted(5, 1)).described();
        let expected = [
            "1 segments dropped without the TCP MD5 key that is expected",
            "5 segments dropped with another TCP MD5 key",
        ];
        assert_eq!(seen, expected);
    }
}
