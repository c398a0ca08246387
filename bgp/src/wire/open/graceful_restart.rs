//! Graceful restart (RFC 4724, RFC 8538) and its long-lived kind (RFC 9494) as capabilities.

use bytes::BufMut;

use super::super::parse::{self, PResult};

/// Restart State, the R bit (RFC 4724 section 3).
const RESTARTING: u16 = 0x8000;
/// Graceful NOTIFICATION, the N bit (RFC 8538 section 2).
const NOTIFICATION: u16 = 0x4000;
/// Restart Time has twelve bits.
const TIME_MASK: u16 = 0x0fff;
/// Forwarding State, the F bit of a family.
const FORWARDING: u8 = 0x80;
/// Long-lived stale time has 24 bits.
const STALE_TIME_MAX: u32 = 0x00ff_ffff;

/// Graceful Restart Capability (RFC 4724 section 3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GracefulRestart {
    /// R: the sender has restarted; its peer must not wait for its End-of-RIB before it sends.
    pub restarting: bool,
    /// N: NOTIFICATION and hold time expiry restart gracefully too (RFC 8538).
    pub notification: bool,
    /// How long the session may take to come back, in seconds, at most 4095.
    pub restart_time: u16,
    /// The families that restart gracefully.
    pub families: Vec<GracefulRestartFamily>,
}

/// One family of [`GracefulRestart`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GracefulRestartFamily {
    /// Address Family Identifier.
    pub afi: u16,
    /// Subsequent Address Family Identifier.
    pub safi: u8,
    /// F: forwarding went on through the restart.
    pub forwarding_preserved: bool,
}

impl GracefulRestart {
    pub(super) fn parse(input: &[u8]) -> PResult<'_, Self> {
        let (mut input, word) = parse::u16(input)?;
        let mut restart = Self {
            restarting: word & RESTARTING != 0,
            notification: word & NOTIFICATION != 0,
            restart_time: word & TIME_MASK,
            families: Vec::with_capacity(input.len() / 4),
        };
        while !input.is_empty() {
            let (rest, afi) = parse::u16(input)?;
            let (rest, safi) = parse::u8(rest)?;
            let (rest, flags) = parse::u8(rest)?;
            restart.families.push(GracefulRestartFamily {
                afi,
                safi,
                forwarding_preserved: flags & FORWARDING != 0,
            });
            input = rest;
        }
        Ok((input, restart))
    }

    pub(super) fn put(&self, out: &mut impl BufMut) {
        let flag = |set: bool, bit: u16| if set { bit } else { 0 };
        out.put_u16(
            flag(self.restarting, RESTARTING)
                | flag(self.notification, NOTIFICATION)
                | self.restart_time.min(TIME_MASK),
        );
        for family in &self.families {
            out.put_u16(family.afi);
            out.put_u8(family.safi);
            out.put_u8(if family.forwarding_preserved {
                FORWARDING
            } else {
                0
            });
        }
    }
}

/// Long-Lived Graceful Restart Capability (RFC 9494 section 3.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LongLivedGracefulRestart {
    /// The families that may be stale for long.
    pub families: Vec<LongLivedFamily>,
}

/// One family of [`LongLivedGracefulRestart`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongLivedFamily {
    /// Address Family Identifier.
    pub afi: u16,
    /// Subsequent Address Family Identifier.
    pub safi: u8,
    /// F: forwarding went on through the restart.
    pub forwarding_preserved: bool,
    /// How long routes may be stale, in seconds, at most 2^24 - 1.
    pub stale_time: u32,
}

impl LongLivedGracefulRestart {
    pub(super) fn parse(mut input: &[u8]) -> PResult<'_, Self> {
        let mut families = Vec::with_capacity(input.len() / 7);
        while !input.is_empty() {
            let (rest, afi) = parse::u16(input)?;
            let (rest, safi) = parse::u8(rest)?;
            // Flags and the 24-bit time are one word.
            let (rest, word) = parse::u32(rest)?;
            families.push(LongLivedFamily {
                afi,
                safi,
                forwarding_preserved: word & u32::from(FORWARDING) << 24 != 0,
                stale_time: word & STALE_TIME_MAX,
            });
            input = rest;
        }
        Ok((input, Self { families }))
    }

    pub(super) fn put(&self, out: &mut impl BufMut) {
        for family in &self.families {
            let flags = if family.forwarding_preserved {
                FORWARDING
            } else {
                0
            };
            out.put_u16(family.afi);
            out.put_u8(family.safi);
            out.put_u32(u32::from(flags) << 24 | family.stale_time.min(STALE_TIME_MAX));
        }
    }
}
