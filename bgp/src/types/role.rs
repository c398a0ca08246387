//! The business relation between two ASes (RFC 9234): the BGP Role.
//!
//! Each speaker is configured with its own role towards the neighbour. The two must fit together
//! (section 4.2), and what may be sent where follows from them (section 5).

use core::fmt;

/// What a speaker is to its neighbour (RFC 9234 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// It carries the neighbour's traffic to everywhere.
    Provider,
    /// A route server (RFC 7947).
    RouteServer,
    /// A client of a route server.
    RouteServerClient,
    /// The neighbour carries its traffic to everywhere.
    Customer,
    /// They carry each other's customers' traffic.
    Peer,
}

impl Role {
    /// Every role, in wire order.
    pub const ALL: [Self; 5] = [
        Self::Provider,
        Self::RouteServer,
        Self::RouteServerClient,
        Self::Customer,
        Self::Peer,
    ];

    /// The number in the capability.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Provider => 0,
            Self::RouteServer => 1,
            Self::RouteServerClient => 2,
            Self::Customer => 3,
            Self::Peer => 4,
        }
    }

    /// The role with this number; `None` for a number that nobody has assigned.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Provider),
            1 => Some(Self::RouteServer),
            2 => Some(Self::RouteServerClient),
            3 => Some(Self::Customer),
            4 => Some(Self::Peer),
            _ => None,
        }
    }

    /// The one role that the neighbour of a speaker with this role can have (RFC 9234 section 4.2,
    /// table 2).
    #[must_use]
    pub const fn counterpart(self) -> Self {
        match self {
            Self::Provider => Self::Customer,
            Self::RouteServer => Self::RouteServerClient,
            Self::RouteServerClient => Self::RouteServer,
            Self::Customer => Self::Provider,
            Self::Peer => Self::Peer,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Provider => "provider",
            Self::RouteServer => "rs-server",
            Self::RouteServerClient => "rs-client",
            Self::Customer => "customer",
            Self::Peer => "peer",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_pairs_are_those_of_the_tables() {
        for (code, role) in (0..).zip(Role::ALL) {
            assert_eq!((role.code(), Role::from_code(code)), (code, Some(role)));
            assert_eq!(role.counterpart().counterpart(), role);
        }
        assert_eq!(Role::from_code(5), None);
        assert_eq!(Role::Provider.counterpart(), Role::Customer);
        assert_eq!(Role::RouteServer.counterpart(), Role::RouteServerClient);
        assert_eq!(Role::Peer.counterpart(), Role::Peer);
    }
}
