//! The control socket: HTTP/1.1 and JSON over a Unix socket.
//!
//! One stack serves `redc`, `curl --unix-socket` in a debug container, and later the watchers. The
//! socket is the only administrative door: nothing on the network can change anything.

pub mod views;

/// Where the control socket is unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/redstart/redstart.sock";
