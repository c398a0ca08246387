//! The engine against itself, against every input in every state, and against nonsense.

mod arbitrary;
mod cells;
mod collisions;
mod damped;
mod events;
mod journal;
mod letter;
mod lifecycle;
mod network;
mod refresh;
mod sending;
mod support;
mod world;
