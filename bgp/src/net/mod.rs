//! Sockets (feature `net`).
