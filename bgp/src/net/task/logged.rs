//! What happens, as records for an update log.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::BytesMut;

use crate::{
    mrt::message::{self, Form, Session},
    session::{Happened, Journal, Noted},
};

use super::{
    super::{
        transport::Transport,
        update_log::{Records, UpdateLog},
    },
    Task,
};

impl Task<'_> {
    /// From now on to this log, or to none.
    pub(super) fn log_to(&mut self, log: Option<UpdateLog>) {
        self.log();
        let journal = log.as_ref().map(|log| Journal::new(log.wants_sent()));
        self.peer.set_journal(journal);
        self.log = log;
    }

    /// Passes on what the engine has noted.
    pub(super) fn log(&mut self) {
        let Some(log) = &self.log else {
            return;
        };
        let noted = self.peer.take_noted();
        if noted.is_empty() {
            return;
        }
        let mut records = Records::default();
        for noted in &noted {
            put(log, &self.done.transport, noted, &mut records.octets);
            records.count += 1;
        }
        log.pass(records);
    }
}

fn put(log: &UpdateLog, transport: &Transport, noted: &Noted, out: &mut BytesMut) {
    let (local, peer) = ends(transport, noted);
    let session = Session {
        peer_as: noted.remote_as,
        local_as: noted.local_as,
        peer,
        local,
    };
    let at = log.time(noted.at);
    match &noted.what {
        Happened::Received(codec, octets) => {
            let form = Form::of(codec, true, octets);
            message::put_message(at, &session, form, true, octets, out);
        }
        Happened::Sent(codec, octets) => {
            let form = Form::of(codec, false, octets);
            message::put_message(at, &session, form, false, octets, out);
        }
        Happened::StateChanged { from, to } => {
            message::put_state_change(at, &session, *from, *to, out);
        }
    }
}

/// Our address and the neighbour's: those of the connection, which may have begun under another transport than
/// that of now. Before there was one, ours is known only if it is configured.
fn ends(transport: &Transport, noted: &Noted) -> (IpAddr, IpAddr) {
    if let Some((local, remote)) = noted.ends {
        return (local.ip(), remote.ip());
    }
    let peer = transport.remote.ip();
    let unspecified = match peer {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    (transport.local.unwrap_or(unspecified), peer)
}
