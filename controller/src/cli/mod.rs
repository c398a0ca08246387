//! `redc`: what an operator types, and what comes back.
//!
//! Shaped like `birdc`: words that may be shortened while they stay unambiguous. [`command`] knows
//! the words, [`client`] asks the daemon, [`render`] makes text that reads like BIRD's. `-o json`
//! prints the answer as it came.

pub mod client;
pub mod command;
pub mod render;
