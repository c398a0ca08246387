//! The Redstart daemon: from Kubernetes objects to sessions, routes and the kernel.

pub mod api;
pub mod bird;
pub mod cache;
pub mod cli;
pub mod compile;
pub mod control;
pub mod diagnostic;
pub mod health;
pub mod index;
pub mod metrics;
pub mod object;
pub mod rbac;
pub mod source;
pub mod speaker;
pub mod status;
pub mod writer;
