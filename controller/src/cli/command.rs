//! What can be asked of the speaker, or done without one.

use std::{net::IpAddr, path::PathBuf};

use redstart_bgp::types::Prefix;

pub use super::grammar::ParseError;
use super::{grammar::Reading, table::COMMANDS};
use crate::control::Operation;

/// A command, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `show status`
    Status,
    /// `show protocols [all] [PEER]`
    Protocols {
        /// With everything that is known of each.
        all: bool,
        /// Just this one.
        name: Option<String>,
    },
    /// `show route …`
    Routes(Routes),
    /// `show kernel`
    Kernel,
    /// `show services`
    Services,
    /// `show bfd sessions`
    Bfd,
    /// `show bmp`
    Bmp,
    /// `show mrt`
    MrtLogs,
    /// `explain ADDR [to PEER]`
    Explain {
        /// An address or a prefix.
        what: String,
        /// Just to these neighbours: a name, or a pattern.
        to: Option<String>,
    },
    /// `why-down PEER`
    WhyDown {
        /// The neighbour.
        peer: String,
    },
    /// `history [PEER]`
    History {
        /// Just this one.
        peer: Option<String>,
    },
    /// `watch`
    Watch,
    /// `top`
    Top,
    /// `validate FILE|DIR`
    Validate {
        /// The manifests.
        path: PathBuf,
    },
    /// `diff FILE|DIR`
    Diff {
        /// The manifests.
        path: PathBuf,
    },
    /// `log LEVEL`
    Log {
        /// The level, or `default`.
        level: String,
    },
    /// `decode HEX|FILE`
    Decode {
        /// Hex, or the name of a file.
        input: String,
    },
    /// `dump mrt FILE`
    DumpMrt {
        /// The file to write; `-` for standard output.
        file: PathBuf,
    },
    /// `capture PEER -w FILE`
    Capture {
        /// The neighbour.
        peer: String,
        /// The file to write; `-` for standard output.
        file: PathBuf,
    },
    /// `enable`, `disable`, `restart`, `reload`
    Operate {
        /// What to do.
        what: Operation,
        /// With whose sessions: a name, or a pattern.
        peer: String,
    },
    /// `drain`
    Drain,
    /// `undrain`
    Undrain,
    /// `help`
    Help,
}

/// Which routes to show, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// To where.
    pub select: RouteSelect,
    /// From this neighbour.
    pub protocol: Option<String>,
    /// That this neighbour was told.
    pub export: Option<String>,
    /// That this neighbour was not told.
    pub noexport: Option<String>,
    /// For which this holds.
    pub condition: Option<String>,
    /// Just what was refused.
    pub filtered: bool,
    /// Just how many.
    pub count: bool,
    /// With every attribute.
    pub all: bool,
}

/// Destinations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RouteSelect {
    /// Every one.
    #[default]
    All,
    /// The one that an address uses: longest match.
    For(IpAddr),
    /// Exactly this one.
    Exact(Prefix),
    /// Those within this one, and itself.
    In(Prefix),
}

impl RouteSelect {
    /// Whether there is at most one of them.
    #[must_use]
    pub const fn is_one(self) -> bool {
        matches!(self, Self::For(_) | Self::Exact(_))
    }
}

/// Reads a command.
///
/// # Errors
/// [`ParseError`] names the word that does not fit and what would.
pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Command, ParseError> {
    Reading::of(COMMANDS, words)?.finish()
}

#[cfg(test)]
mod tests;
