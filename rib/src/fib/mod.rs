//! The plan that makes the kernel's table match the Loc-RIB.
//!
//! Pure, like the rest of the core: [`Planner`] is told what the RIB wants, what the kernel says and
//! what time it is; it hands out operations in batches when asked. The driver that carries them to
//! the kernel is the feature `netlink`.
//!
//! The kernel lies, in measured ways: it replaces a stranger's route without an error, flushes
//! routes without an event, loses events when a buffer is full. The planner is tested against a
//! fake kernel that lies in the same ways ([`fake`], feature `test-util`), and the driver against
//! the real one.
//!
//! | module | job |
//! |---|---|
//! | `model` | a route as we want it, and as it is written |
//! | `marks` | what makes a route ours, and how to remove all of them |
//! | `object` | nexthop objects, which routes share |
//! | `kernel` | the words exchanged with the kernel: operations, outcomes, events, dumps |
//! | `reason` | why a wanted route is not installed |
//! | `plan` | the reconciler |
//! | `foreign` | who else has routes in our table |

#[cfg(any(test, feature = "test-util"))]
pub mod fake;
mod foreign;
mod kernel;
mod marks;
mod model;
mod object;
mod plan;
mod reason;

pub use kernel::{
    Change, Dump, KernelError, KernelEvent, KernelOp, KernelRoute, Link, LinkAddress,
    LinkNeighbour, OpError, OpId, ProtocolName, Request, RouteAction, protocol_name,
};
pub use marks::{Marks, Removal};
pub use model::{FibConfig, Form, NexthopStyle, Route, RouteKey, RouteKind, Target};
pub use object::{
    Group, KernelNexthop, Leg, Member, NexthopChange, NexthopId, NexthopSpec, Resilient,
};
pub use plan::{Arrival, FibCounters, FibTotals, Planner};
pub use reason::{InstallState, ParkReason, errno};
