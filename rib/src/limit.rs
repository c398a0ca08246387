//! How many routes a peer may send.
//!
//! RFC 4271 section 6.7 lets a speaker bound the number of prefixes that it takes from a neighbour, and
//! end the session with a Cease (subcode 1, RFC 4486) when there are more. What is counted is what the
//! peer sent in the session, refused routes included: the bound protects memory. Stale routes, kept over
//! a restart of the peer, do not count: a peer that comes back with other routes than it had has sent
//! no more than it may, and has its say before the old ones go (RFC 4724 section 4.2). There may be no
//! more of them than of the others.

use core::fmt;

/// The most routes of one family that a peer may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixLimit {
    /// More are too many.
    pub max: u32,
    /// From this share of them on there is a warning; per cent, 100 or more for none.
    pub warn_percent: u8,
}

/// Where a peer stands with its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LimitState {
    /// There is no limit, or it is far.
    #[default]
    Within,
    /// The share that deserves a warning is reached.
    Warning,
    /// There are more routes than allowed.
    Exceeded,
}

impl fmt::Display for LimitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Within => "within-limit",
            Self::Warning => "limit-warning",
            Self::Exceeded => "limit-exceeded",
        })
    }
}

impl PrefixLimit {
    /// Where a peer stands that sent `received` routes.
    #[must_use]
    pub fn state(self, received: usize) -> LimitState {
        let received = u64::try_from(received).unwrap_or(u64::MAX);
        let max = u64::from(self.max);
        if received > max {
            LimitState::Exceeded
        } else if self.warn_percent < 100
            && received.saturating_mul(100) >= max * u64::from(self.warn_percent)
        {
            LimitState::Warning
        } else {
            LimitState::Within
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_allowed_route_is_allowed() {
        let limit = |max, warn_percent| PrefixLimit { max, warn_percent };
        #[rustfmt::skip]
        let rows = [
            (limit(10, 75), 7, LimitState::Within),
            (limit(10, 75), 8, LimitState::Warning),
            (limit(10, 75), 10, LimitState::Warning),
            (limit(10, 75), 11, LimitState::Exceeded),
            (limit(10, 100), 10, LimitState::Within),
            (limit(u32::MAX, 99), usize::MAX, LimitState::Exceeded),
        ];
        for (limit, received, state) in rows {
            assert_eq!(limit.state(received), state, "{received} of {limit:?}");
        }
    }
}
