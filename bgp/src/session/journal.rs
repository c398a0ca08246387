//! What happens to a neighbour, in order: every message as it was on the wire, and every change of
//! state. For an update log (RFC 6396 section 4.4). Kept only where somebody asked for it, and polled
//! like every other output.

use std::{mem, net::SocketAddr};

use bytes::Bytes;

use crate::{time::Instant, types::Asn, wire::Codec};

use super::{
    config::{PeerConfig, RemoteAs},
    connection::Connection,
    state::State,
};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// When.
    pub at: Instant,
    /// The neighbour's AS number; zero where it is not known yet.
    pub remote_as: Asn,
    /// Ours.
    pub local_as: Asn,
    /// Our end and the neighbour's, of the connection or of the last one, if there was any.
    pub ends: Option<(SocketAddr, SocketAddr)>,
    /// What.
    pub what: Happened,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// A whole message came, readable or not.
    Received(Codec, Bytes),
    /// A message went to the socket, or the first octets of it.
    Sent(Codec, Bytes),
    /// The state that operators see changed.
    StateChanged {
        /// From this one.
        from: State,
        /// To this one.
        to: State,
    },
}

/// What is noted of a neighbour, until it is polled.
#[derive(Clone, Debug)]
pub struct Journal {
    sent: bool,
    /// Those of the connection that was seen last.
    ends: Option<(SocketAddr, SocketAddr)>,
    /// Whom the last OPEN came from.
    remote_as: Asn,
    noted: Vec<Noted>,
}

impl Journal {
    /// Of what is received and, if `sent`, of what is sent as well; with changes of state.
    #[must_use]
    pub const fn new(sent: bool) -> Self {
        Self {
            sent,
            ends: None,
            remote_as: Asn(0),
            noted: Vec::new(),
        }
    }

    pub(super) const fn wants_sent(&self) -> bool {
        self.sent
    }

    pub(super) fn take(&mut self) -> Vec<Noted> {
        mem::take(&mut self.noted)
    }

    /// Notes something about what is or was on `connection`.
    pub(super) fn note(
        &mut self,
        at: Instant,
        config: &PeerConfig,
        connection: Option<&Connection>,
        what: Happened,
    ) {
        self.see(connection);
        let last = self.remote_as;
        self.noted.push(Noted {
            at,
            remote_as: match config.remote_as {
                RemoteAs::Number(asn) => asn,
                RemoteAs::Internal => config.local_as,
                RemoteAs::External if last == config.local_as => Asn(0),
                RemoteAs::External => last,
            },
            local_as: config.local_as,
            ends: self.ends,
            what,
        });
    }

    /// Remembers whose connection it is, for what is noted after its end.
    pub(super) fn see(&mut self, connection: Option<&Connection>) {
        let Some(connection) = connection else {
            return;
        };
        // A connection that was gone at once has no ends.
        let link = connection.link();
        if let Some(link) = link.filter(|link| !link.remote.ip().is_unspecified()) {
            self.ends = Some((link.local, link.remote));
        }
        if let Some(session) = connection.session() {
            self.remote_as = session.negotiated.remote_as;
        }
    }

    /// Forgets whose connection the last one was: the next one may be somebody else's.
    pub(super) const fn forget(&mut self) {
        self.ends = None;
        self.remote_as = Asn(0);
    }
}
