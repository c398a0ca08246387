//! Finding the router at the other end of a link that has no addresses: unnumbered peering.
//!
//! Every IPv6 link has link-local addresses without anybody's doing. To peer over them, each end
//! must learn the other's, and Router Advertisements (RFC 4861) say it: a router sends them to all
//! nodes of the link, from its link-local address. So both ends advertise, and each takes the sender
//! of what it hears for its BGP neighbour. FRR's `neighbor IFNAME interface` does the same, so this
//! finds FRR and FRR finds us.
//!
//! | module | job |
//! |---|---|
//! | `message` | Router Solicitations and Advertisements, to octets and back |
//! | `link` | what to send when, and which routers there are: [`Discovery`], pure |
//!
//! The socket is in `net` (feature `net`).
//!
//! # Invariants
//!
//! - No host takes us for a default router: Router Lifetime is always 0 (RFC 4861 section 4.2), and
//!   we announce no prefix and no parameter.
//! - What did not come from the link itself (hop limit 255, a link-local source) is not looked at
//!   (RFC 4861 section 6.1).

mod link;
mod message;

pub use link::{Discovery, Limits, Sighting};
pub use message::{Invalid, Message, Received};

#[cfg(test)]
mod tests;
