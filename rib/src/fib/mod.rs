//! The plan that makes the kernel's table match the Loc-RIB.

mod model;

pub use model::{Route, RouteKind};
