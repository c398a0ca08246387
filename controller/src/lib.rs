//! The Redstart daemon: from Kubernetes objects to sessions, routes and the kernel.

pub mod compile;
