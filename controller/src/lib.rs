//! The Redstart daemon: from Kubernetes objects to sessions, routes and the kernel.

pub mod allocator;
pub mod api;
pub mod bird;
pub(crate) mod bmp;
pub mod cache;
pub mod cli;
pub mod compile;
pub mod control;
pub mod diagnostic;
pub mod glass;
pub mod health;
pub mod index;
pub mod labels;
pub mod log_level;
pub mod metrics;
pub(crate) mod mrt_log;
pub mod object;
pub mod rbac;
pub mod shared_map;
pub mod source;
pub mod speaker;
pub mod status;
pub mod text;
pub mod writer;
