//! Why a wanted route is not in the kernel.
//!
//! Each reason has one stable identifier ([`ParkReason::id`]) that log, metric, CLI and status
//! share, and a sentence for people ([`fmt::Display`]).

use core::fmt;

use super::kernel::{KernelError, OpError, protocol_name};

/// Linux error numbers that mean something to the planner (the generic ones: x86, ARM, RISC-V,
/// POWER). The pure core has no libc to take them from.
pub mod errno {
    /// Not permitted.
    pub const EPERM: i32 = 1;
    /// No such route.
    pub const ENOENT: i32 = 2;
    /// No such route (what IPv4 and IPv6 deletes answer).
    pub const ESRCH: i32 = 3;
    /// Interrupted.
    pub const EINTR: i32 = 4;
    /// Try again.
    pub const EAGAIN: i32 = 11;
    /// Out of memory.
    pub const ENOMEM: i32 = 12;
    /// Busy.
    pub const EBUSY: i32 = 16;
    /// The route exists.
    pub const EEXIST: i32 = 17;
    /// No such link.
    pub const ENODEV: i32 = 19;
    /// Invalid request.
    pub const EINVAL: i32 = 22;
    /// The kernel was built without it.
    pub const EOPNOTSUPP: i32 = 95;
    /// The link is down.
    pub const ENETDOWN: i32 = 100;
    /// The gateway is not on any link.
    pub const ENETUNREACH: i32 = 101;
    /// No buffer space.
    pub const ENOBUFS: i32 = 105;
    /// The gateway cannot be reached.
    pub const EHOSTUNREACH: i32 = 113;
}

/// Why a wanted route is not in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParkReason {
    /// Somebody else has a route to the same prefix in our table; we never compete. Ends when that
    /// route goes.
    ForeignRoute {
        /// Whose: `rtm_protocol`.
        protocol: u8,
        /// Its metric.
        metric: u32,
    },
    /// The kernel has a route with our prefix and metric that we know nothing of; being looked up.
    RouteExists,
    /// The link does not exist.
    NoSuchInterface,
    /// The link is down.
    LinkDown,
    /// The gateway is on none of our links.
    GatewayUnreachable,
    /// The process lacks the capability to change routes.
    PermissionDenied,
    /// The kernel is short of something; tried again soon.
    KernelBusy {
        /// The error number.
        errno: i32,
    },
    /// The kernel did not answer; tried again soon.
    NoReply,
    /// The kernel refused for another reason.
    Kernel(KernelError),
}

impl ParkReason {
    /// The stable identifier.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        match self {
            Self::ForeignRoute { .. } => "foreign-route",
            Self::RouteExists => "route-exists",
            Self::NoSuchInterface => "no-such-interface",
            Self::LinkDown => "link-down",
            Self::GatewayUnreachable => "gateway-unreachable",
            Self::PermissionDenied => "permission-denied",
            Self::KernelBusy { .. } => "kernel-busy",
            Self::NoReply => "no-reply",
            Self::Kernel(_) => "kernel-refused",
        }
    }

    /// Whether nothing is wrong with the route itself, so that what is installed for the prefix may
    /// stay until the next attempt.
    pub(crate) const fn is_transient(&self) -> bool {
        matches!(self, Self::KernelBusy { .. } | Self::NoReply)
    }

    /// Whether a link or an address that appears may end the trouble.
    pub(crate) const fn depends_on_links(&self) -> bool {
        matches!(
            self,
            Self::NoSuchInterface | Self::LinkDown | Self::GatewayUnreachable
        )
    }
}

impl From<OpError> for ParkReason {
    fn from(error: OpError) -> Self {
        let OpError::Refused(error) = error else {
            return Self::NoReply;
        };
        match error.errno {
            errno::EPERM => Self::PermissionDenied,
            errno::EEXIST => Self::RouteExists,
            errno::ENODEV => Self::NoSuchInterface,
            errno::ENETDOWN => Self::LinkDown,
            errno::ENETUNREACH | errno::EHOSTUNREACH => Self::GatewayUnreachable,
            errno::EINTR | errno::EAGAIN | errno::ENOMEM | errno::EBUSY | errno::ENOBUFS => {
                Self::KernelBusy { errno: error.errno }
            }
            _ => Self::Kernel(error),
        }
    }
}

impl fmt::Display for ParkReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForeignRoute { protocol, metric } => write!(
                f,
                "a route to the same prefix exists that is not ours (proto {} metric {metric})",
                protocol_name(*protocol)
            ),
            Self::RouteExists => f.write_str("the kernel has an unknown route of the same key"),
            Self::NoSuchInterface => f.write_str("the interface does not exist"),
            Self::LinkDown => f.write_str("the interface is down"),
            Self::GatewayUnreachable => f.write_str("the gateway is on no link of this node"),
            Self::PermissionDenied => {
                f.write_str("not permitted to change routes (CAP_NET_ADMIN is missing)")
            }
            Self::KernelBusy { errno } => {
                let short = matches!(*errno, errno::ENOMEM | errno::ENOBUFS);
                let what = if short { "short of memory" } else { "busy" };
                write!(f, "the kernel is {what}; tried again soon (errno {errno})")
            }
            Self::NoReply => f.write_str("the kernel did not answer; tried again soon"),
            Self::Kernel(error) => write!(f, "the kernel refused: {error}"),
        }
    }
}

/// Where the route to a prefix stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstallState {
    /// In the kernel as wanted.
    Installed,
    /// On its way.
    Pending,
    /// Not in the kernel, for this reason.
    Parked(ParkReason),
    /// Left from before a restart, kept until it is wanted again or swept.
    Stale,
    /// Neither wanted nor there.
    NotDesired,
}

impl fmt::Display for InstallState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Installed => "installed",
            Self::Pending => "pending",
            Self::Parked(reason) => reason.id(),
            Self::Stale => "stale",
            Self::NotDesired => "not-desired",
        })
    }
}
