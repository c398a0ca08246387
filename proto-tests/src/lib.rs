//! wip

pub mod apiserver;
