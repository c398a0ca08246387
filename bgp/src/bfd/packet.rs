//! The BFD Control packet (RFC 5880 section 4.1).
//!
//! Structure, and those checks of section 6.8.6 that need no session, are here: what [`Packet::parse`]
//! returns is well formed. Times are microseconds on the wire.

use core::time::Duration;

use nom::{
    IResult, Parser as _,
    number::complete::{be_u8, be_u32},
};

use super::state::{Diagnostic, State};

/// Octets of a packet without authentication.
pub const LEN: usize = 24;

const VERSION: u8 = 1;
const POLL: u8 = 1 << 5;
const FINAL: u8 = 1 << 4;
const CONTROL_PLANE_INDEPENDENT: u8 = 1 << 3;
const AUTHENTICATION: u8 = 1 << 2;
const DEMAND: u8 = 1 << 1;
const MULTIPOINT: u8 = 1;

/// One BFD Control packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Why the sender was last not Up.
    pub diagnostic: Diagnostic,
    /// The sender's state.
    pub state: State,
    /// The sender wants an answer with `final_` set, at once.
    pub poll: bool,
    /// The answer to a poll.
    pub final_: bool,
    /// The sender's BFD goes on without its control plane.
    pub control_plane_independent: bool,
    /// The sender wants no periodic packets while both are Up.
    pub demand: bool,
    /// How many packets in a row may be lost. Not zero.
    pub detect_multiplier: u8,
    /// The sender's number of the session. Not zero.
    pub my_discriminator: u32,
    /// The receiver's number of the session, or zero if the sender does not know it.
    pub your_discriminator: u32,
    /// The sender would like to send this often, at most.
    pub desired_min_tx: Duration,
    /// The sender can take packets this often, at most. Zero: send none periodically.
    pub required_min_rx: Duration,
    /// The same for echo packets. Zero: none are welcome.
    pub required_min_echo_rx: Duration,
}

/// Why octets are not a packet that can be used (RFC 5880 section 6.8.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PacketError {
    /// Fewer octets than a packet has, or than it says that it has.
    #[error("too-short")]
    TooShort,
    /// "If the version number is not correct (1), the packet MUST be discarded."
    #[error("version")]
    Version,
    /// The length field says less than a packet needs.
    #[error("length-field")]
    Length,
    /// "If the Detect Mult field is zero, the packet MUST be discarded."
    #[error("detect-multiplier-zero")]
    DetectMultiplierZero,
    /// "If the Multipoint (M) bit is nonzero, the packet MUST be discarded."
    #[error("multipoint")]
    Multipoint,
    /// "If the My Discriminator field is zero, the packet MUST be discarded."
    #[error("my-discriminator-zero")]
    MyDiscriminatorZero,
    /// "If the Your Discriminator field is zero and the State field is not Down or AdminDown, the
    /// packet MUST be discarded."
    #[error("your-discriminator-zero")]
    YourDiscriminatorZero,
    /// "If the A bit is set and no authentication is in use [...], the packet MUST be discarded."
    #[error("authentication")]
    Authentication,
}

/// The fields as they lie on the wire.
type Fields = (u8, u8, u8, u8, u32, u32, u32, u32, u32);

fn fields(input: &[u8]) -> IResult<&[u8], Fields> {
    (
        be_u8, be_u8, be_u8, be_u8, be_u32, be_u32, be_u32, be_u32, be_u32,
    )
        .parse(input)
}

impl Packet {
    /// Reads the payload of a datagram.
    ///
    /// # Errors
    ///
    /// The packet must be discarded, and why.
    pub fn parse(datagram: &[u8]) -> Result<Self, PacketError> {
        let Ok((_, (first, flags, detect_multiplier, length, mine, yours, tx, rx, echo))) =
            fields(datagram)
        else {
            return Err(PacketError::TooShort);
        };
        if first >> 5 != VERSION {
            return Err(PacketError::Version);
        }
        let authenticated = flags & AUTHENTICATION != 0;
        let least = if authenticated { LEN + 2 } else { LEN };
        if usize::from(length) < least {
            return Err(PacketError::Length);
        }
        if usize::from(length) > datagram.len() {
            return Err(PacketError::TooShort);
        }
        if detect_multiplier == 0 {
            return Err(PacketError::DetectMultiplierZero);
        }
        if flags & MULTIPOINT != 0 {
            return Err(PacketError::Multipoint);
        }
        if mine == 0 {
            return Err(PacketError::MyDiscriminatorZero);
        }
        let state = State::from_bits(flags >> 6);
        if yours == 0 && !matches!(state, State::Down | State::AdminDown) {
            return Err(PacketError::YourDiscriminatorZero);
        }
        if authenticated {
            return Err(PacketError::Authentication);
        }
        Ok(Self {
            diagnostic: Diagnostic::from_code(first),
            state,
            poll: flags & POLL != 0,
            final_: flags & FINAL != 0,
            control_plane_independent: flags & CONTROL_PLANE_INDEPENDENT != 0,
            demand: flags & DEMAND != 0,
            detect_multiplier,
            my_discriminator: mine,
            your_discriminator: yours,
            desired_min_tx: Duration::from_micros(tx.into()),
            required_min_rx: Duration::from_micros(rx.into()),
            required_min_echo_rx: Duration::from_micros(echo.into()),
        })
    }

    /// The packet's octets. Times above 4294 seconds are cut to that.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; LEN] {
        let mut flags = self.state.bits() << 6;
        for (set, bit) in [
            (self.poll, POLL),
            (self.final_, FINAL),
            (self.control_plane_independent, CONTROL_PLANE_INDEPENDENT),
            (self.demand, DEMAND),
        ] {
            if set {
                flags |= bit;
            }
        }
        let mut bytes = [0; LEN];
        bytes[0] = VERSION << 5 | self.diagnostic.code();
        bytes[1] = flags;
        bytes[2] = self.detect_multiplier;
        bytes[3] = 24;
        for (at, word) in [
            (4, self.my_discriminator),
            (8, self.your_discriminator),
            (12, micros(self.desired_min_tx)),
            (16, micros(self.required_min_rx)),
            (20, micros(self.required_min_echo_rx)),
        ] {
            bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}
