//! Why an attempt, a connection or a session ended.
//!
//! Closed enums: each reason has a stable identifier ([`DownReason::id`]) that logs, metrics, the CLI
//! and Kubernetes status share, and a text with the details.

use core::fmt;

use crate::{
    types::Family,
    wire::{CeaseSubcode, ErrorCode, Notification},
};

use super::{config::ResetReason, negotiate::OpenRefusal};

/// Why a TCP connection could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectError {
    /// The neighbour's host answered that nobody listens.
    Refused,
    /// No answer. A wrong TCP MD5 password looks like this.
    TimedOut,
    /// There is no route, or a router said so.
    Unreachable,
    /// The configured source address is not ours.
    LocalAddressNotAvailable,
    /// The kernel does not let us: firewall, or a privilege is missing.
    PermissionDenied,
    /// The kernel refused a socket option that the configuration asks for, such as a password. There
    /// is no session without it.
    SocketOption(&'static str),
    /// The kernel does not have a socket option that the configuration asks for.
    Unsupported(&'static str),
    /// Anything else: the `errno`.
    Os(i32),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection-refused"),
            Self::TimedOut => f.write_str("connect-timeout"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::LocalAddressNotAvailable => f.write_str("local-address-not-available"),
            Self::PermissionDenied => f.write_str("permission-denied"),
            Self::SocketOption(name) => write!(f, "socket-option-refused ({name})"),
            Self::Unsupported(name) => write!(f, "unsupported-by-kernel ({name})"),
            Self::Os(errno) => write!(f, "os-error ({errno})"),
        }
    }
}

/// How a TCP connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Disconnect {
    /// The neighbour closed it without a NOTIFICATION.
    Closed,
    /// The neighbour's host reset it.
    Reset,
    /// Nothing that we sent was acknowledged for too long.
    TimedOut,
    /// Anything else: the `errno`.
    Os(i32),
}

impl fmt::Display for Disconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed-by-peer"),
            Self::Reset => f.write_str("reset-by-peer"),
            Self::TimedOut => f.write_str("transmission-timeout"),
            Self::Os(errno) => write!(f, "os-error ({errno})"),
        }
    }
}

/// Why the operator, or the configuration, stops a neighbour. Each has a Cease subcode (RFC 4486).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// Administrative Shutdown, with a text for the neighbour's operator (RFC 9003; may be empty).
    Shutdown(String),
    /// Administrative Reset, with a text.
    Reset(String),
    /// The neighbour is no longer configured.
    Deconfigured(String),
    /// It sent more prefixes than allowed.
    MaximumPrefixes {
        /// Of this family.
        family: Family,
        /// The number allowed.
        limit: u32,
    },
    /// Something in its configuration changed that a session cannot take over.
    ConfigurationChange,
    /// BFD says that the path is gone (RFC 9384). Routes through it are of no use, so this is never
    /// covered by graceful restart.
    BfdDown,
    /// The link to the neighbour is gone: a NOTIFICATION would not arrive, or much later. As if the
    /// connection had failed (RFC 4271 section 8.1.4, event 18).
    InterfaceDown,
    /// We restart and the neighbour shall keep our routes: no NOTIFICATION, just a closed connection
    /// (RFC 4724 section 4.1).
    GracefulRestart,
}

impl StopReason {
    /// The NOTIFICATION to send, if any.
    ///
    /// With `hard`, both sides cover NOTIFICATIONs by graceful restart, and a stop that is meant as
    /// one must be a Hard Reset, which carries the actual reason as data (RFC 8538 section 3.1).
    #[must_use]
    pub fn notification(&self, hard: bool) -> Option<Notification> {
        let (cease, keeps_routes) = match self {
            Self::GracefulRestart | Self::InterfaceDown => return None,
            Self::Shutdown(text) => (
                Notification::cease_with_message(CeaseSubcode::AdministrativeShutdown, text),
                false,
            ),
            Self::Reset(text) => (
                Notification::cease_with_message(CeaseSubcode::AdministrativeReset, text),
                true,
            ),
            Self::Deconfigured(text) => (
                Notification::cease_with_message(CeaseSubcode::PeerDeconfigured, text),
                false,
            ),
            Self::MaximumPrefixes { family, limit } => {
                (Notification::max_prefixes(*family, *limit), false)
            }
            Self::ConfigurationChange => (cease(CeaseSubcode::OtherConfigurationChange), true),
            Self::BfdDown => (cease(CeaseSubcode::BfdDown), false),
        };
        Some(if hard && !keeps_routes {
            Notification::hard_reset(&cease)
        } else {
            cease
        })
    }

    /// The stable identifier.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        match self {
            Self::Shutdown(_) => "administrative-shutdown",
            Self::Reset(_) => "administrative-reset",
            Self::Deconfigured(_) => "peer-deconfigured",
            Self::MaximumPrefixes { .. } => "maximum-prefixes",
            Self::ConfigurationChange => "configuration-change",
            Self::BfdDown => "bfd-down",
            Self::InterfaceDown => "interface-down",
            Self::GracefulRestart => "graceful-restart",
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())?;
        match self {
            Self::Shutdown(text) | Self::Reset(text) | Self::Deconfigured(text)
                if !text.is_empty() =>
            {
                write!(f, " ({text})")
            }
            _ => Ok(()),
        }
    }
}

fn cease(subcode: CeaseSubcode) -> Notification {
    Notification::new(ErrorCode::Cease(subcode))
}

/// Why an attempt or a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DownReason {
    /// No TCP connection.
    ConnectFailed(ConnectError),
    /// The TCP connection went away.
    ConnectionLost(Disconnect),
    /// The neighbour sent this.
    NotificationReceived(Notification),
    /// The neighbour broke the protocol, and we sent this.
    NotificationSent(Notification),
    /// The neighbour's OPEN does not fit our configuration.
    OpenRefused(OpenRefusal),
    /// Nothing came from the neighbour for the whole hold time.
    HoldTimerExpired,
    /// The neighbour took nothing from us for the whole send hold time (RFC 9687).
    SendHoldTimerExpired,
    /// The other of two connections was kept (RFC 4271 section 6.8).
    Collision,
    /// The neighbour restarted: it connected again while the session was up (RFC 4724 section 5).
    PeerRestarted,
    /// Stopped from outside.
    Stopped(StopReason),
    /// The configuration changed.
    Reconfigured(ResetReason),
    /// A defect of ours: the task that ran the session panicked.
    InternalError,
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Penalty {
    /// Dial again after a short, growing pause.
    Retry,
    /// Rest in Idle. `ours`: we found the error, so an early connection from the neighbour would
    /// most likely only repeat it.
    Rest { ours: bool },
}

impl DownReason {
    /// The stable identifier.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        match self {
            Self::ConnectFailed(_) => "connect-failed",
            Self::ConnectionLost(_) => "connection-lost",
            Self::NotificationReceived(_) => "notification-received",
            Self::NotificationSent(_) => "notification-sent",
            Self::OpenRefused(refusal) => refusal.id(),
            Self::HoldTimerExpired => "hold-timer-expired",
            Self::SendHoldTimerExpired => "send-hold-timer-expired",
            Self::Collision => "collision",
            Self::PeerRestarted => "peer-restarted",
            Self::Stopped(_) => "stopped",
            Self::Reconfigured(_) => "reconfigured",
            Self::InternalError => "internal-error",
        }
    }

    /// Whether a session that ended like this leaves its routes in place for the restart time, when
    /// the neighbour speaks graceful restart.
    ///
    /// RFC 4724 covers the loss of the connection. With `notification` (both sent the N bit) RFC 8538
    /// section 4 adds every NOTIFICATION but a Hard Reset, and the hold timer.
    #[must_use]
    pub fn retains_routes(&self, notification: bool) -> bool {
        match self {
            Self::ConnectionLost(_)
            | Self::PeerRestarted
            | Self::SendHoldTimerExpired
            | Self::Stopped(StopReason::InterfaceDown) => true,
            Self::HoldTimerExpired | Self::NotificationSent(_) => notification,
            Self::NotificationReceived(n) => {
                notification && n.code != ErrorCode::Cease(CeaseSubcode::HardReset)
            }
            Self::Stopped(StopReason::Reset(_)) => notification,
            Self::ConnectFailed(_)
            | Self::OpenRefused(_)
            | Self::Collision
            | Self::Stopped(_)
            | Self::Reconfigured(_)
            | Self::InternalError => false,
        }
    }

    /// Whether this is how one of two good connections ends.
    pub(super) fn is_collision(&self) -> bool {
        match self {
            Self::Collision => true,
            Self::NotificationReceived(n) => {
                n.code == ErrorCode::Cease(CeaseSubcode::ConnectionCollisionResolution)
            }
            _ => false,
        }
    }

    /// Whether something was wrong with what was said, or nothing was said at all: more than a connection
    /// that was lost, or somebody's intention.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        let intended = matches!(self, Self::NotificationReceived(n) if is_not_wanted(n));
        !intended && matches!(self.penalty(), Penalty::Rest { .. })
    }

    pub(super) fn penalty(&self) -> Penalty {
        match self {
            // A Cease is somebody's intention, not a defect.
            Self::NotificationReceived(n)
                if matches!(n.code, ErrorCode::Cease(_)) && !is_not_wanted(n) =>
            {
                Penalty::Retry
            }
            Self::NotificationReceived(_) => Penalty::Rest { ours: false },
            Self::NotificationSent(_)
            | Self::OpenRefused(_)
            | Self::HoldTimerExpired
            | Self::SendHoldTimerExpired => Penalty::Rest { ours: true },
            Self::ConnectFailed(_)
            | Self::ConnectionLost(_)
            | Self::Collision
            | Self::PeerRestarted
            | Self::Stopped(_)
            | Self::Reconfigured(_)
            | Self::InternalError => Penalty::Retry,
        }
    }
}

/// Whether the neighbour said that it does not want a session for now. RFC 4486 section 4: after a
/// Cease with one of these subcodes, damping of the attempts to follow is recommended. Inside a Hard
/// Reset they mean the same (RFC 8538 section 3.1).
fn is_not_wanted(notification: &Notification) -> bool {
    let inner = notification.encapsulated();
    matches!(
        inner.as_ref().unwrap_or(notification).code,
        ErrorCode::Cease(
            CeaseSubcode::AdministrativeShutdown
                | CeaseSubcode::PeerDeconfigured
                | CeaseSubcode::ConnectionRejected
                | CeaseSubcode::OutOfResources
        )
    )
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())?;
        match self {
            Self::ConnectFailed(error) => write!(f, ": {error}"),
            Self::ConnectionLost(how) => write!(f, ": {how}"),
            Self::NotificationReceived(n) | Self::NotificationSent(n) => write!(f, ": {n}"),
            Self::OpenRefused(refusal) => write!(f, ": {refusal}"),
            Self::Stopped(why) => write!(f, ": {why}"),
            Self::Reconfigured(what) => write!(f, ": {what}"),
            Self::HoldTimerExpired
            | Self::SendHoldTimerExpired
            | Self::Collision
            | Self::PeerRestarted
            | Self::InternalError => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_gone_is_never_covered_by_graceful_restart() {
        let plain = StopReason::BfdDown.notification(false).unwrap();
        assert_eq!(plain.code, ErrorCode::Cease(CeaseSubcode::BfdDown));
        let hard = StopReason::BfdDown.notification(true).unwrap();
        assert_eq!(hard.code, ErrorCode::Cease(CeaseSubcode::HardReset));
        assert_eq!(hard.encapsulated(), Some(plain));
        for notification in [false, true] {
            assert!(!DownReason::Stopped(StopReason::BfdDown).retains_routes(notification));
        }
    }
}
