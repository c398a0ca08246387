//! Labs, scenarios and oracles for Redstart: real routers, real CNI plugins, a real kernel.
//!
//! Nothing in here is part of the product; everything in here runs the product as its users do.

pub mod apiserver;
pub mod bench;
pub mod chance;
pub mod interop;
pub mod lab;
pub mod malformed;
pub mod program;
pub mod scale;
