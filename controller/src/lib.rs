//! The Redstart daemon: from Kubernetes objects to sessions, routes and the kernel.

pub mod cli;
pub mod compile;
pub mod control;
pub mod health;
pub mod metrics;
