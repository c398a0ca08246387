//! A scripted peer: a TCP connection, an honest OPEN, and whatever octets the case has.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use redstart_bgp::{
    types::{Family, FamilySet},
    wire::{Capability, Codec, Framer, Message, Open},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::super::{
    ROUTE_V4, ROUTE_V6, Session,
    build::{
        self, KEEPALIVE, UpdateParts, announce, announce_v6, attr, message, mp_unreach, nothing,
    },
};

const PATIENCE: Duration = Duration::from_secs(15);
/// 10.8.0.0/24: announced after the case.
const SENTINEL_V4: &[u8] = &[24, 10, 8, 0];
/// 2001:db8:8::/48.
const SENTINEL_V6: &[u8] = &[48, 0x20, 0x01, 0x0d, 0xb8, 0, 8];

/// A connection to the speaker.
pub(super) struct Connection {
    stream: TcpStream,
    framer: Framer,
    codec: Codec,
    /// The last message.
    octets: Bytes,
}

/// What arrived.
#[derive(Debug)]
pub(super) enum Arrived {
    /// A message.
    Message(Message),
    /// The speaker closed the connection.
    Closed,
}

impl Connection {
    /// Connects from `local`.
    pub(super) async fn open(local: [u8; 4]) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((local, 0)))?;
        let speaker = SocketAddr::from((super::SPEAKER, 179));
        let stream = timeout(PATIENCE, socket.connect(speaker))
            .await
            .context("cannot connect")??;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            framer: Framer::new(),
            codec: Codec::default(),
            octets: Bytes::new(),
        })
    }

    /// Sends octets. A connection that the speaker has closed is no error: the reader will see it.
    pub(super) async fn send(&mut self, octets: &[u8]) -> Result<()> {
        match timeout(PATIENCE, self.stream.write_all(octets)).await {
            Err(_) => bail!("the speaker does not read"),
            Ok(_) => Ok(()),
        }
    }

    /// The next message, or the end. Safe to drop at any await.
    pub(super) async fn next(&mut self) -> Result<Arrived> {
        loop {
            match self.framer.next() {
                Ok(Some(octets)) => {
                    let decoded = self.codec.decode(&octets);
                    self.octets = octets;
                    return match decoded {
                        Ok(message) => Ok(Arrived::Message(message)),
                        Err(error) => bail!("the speaker's message is wrong: {error}"),
                    };
                }
                Ok(None) => {}
                Err(error) => bail!("the speaker's header is wrong: {error}"),
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return Ok(Arrived::Closed),
                Ok(count) => self.framer.push(buffer.get(..count).unwrap_or_default()),
            }
        }
    }

    /// The octets of the message that [`Connection::next`] returned last.
    pub(super) fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// How what follows looks.
    pub(super) fn read_as(&mut self, codec: Codec) {
        self.framer.set_extended(codec.extended_messages);
        self.codec = codec;
    }

    async fn expect(&mut self, what: &str) -> Result<Message> {
        match timeout(PATIENCE, self.next()).await {
            Err(_) => bail!("no {what}"),
            Ok(Ok(Arrived::Message(message))) => Ok(message),
            Ok(Ok(Arrived::Closed)) => bail!("closed in place of {what}"),
            Ok(Err(error)) => Err(error),
        }
    }

    /// The speaker's OPEN.
    pub(super) async fn read_open(&mut self) -> Result<Open> {
        match self.expect("OPEN").await? {
            Message::Open(open) => Ok(open),
            other => bail!("not an OPEN: {other:?}"),
        }
    }

    /// Comes to Established as the peer of `session`. A speaker that does not offer what the case needs
    /// is an error: then the case would show nothing.
    pub(super) async fn establish(&mut self, session: Session, id: [u8; 4]) -> Result<()> {
        self.send(&build::open(session, id)).await?;
        let theirs = self.read_open().await?;
        if !offers(&theirs, session) {
            bail!("a session of this kind is not offered");
        }
        self.confirm().await?;
        // Path identifiers go one way: towards the speaker.
        self.read_as(Codec {
            add_path_receive: FamilySet::EMPTY,
            ..session.codec()
        });
        Ok(())
    }

    /// KEEPALIVE both ways.
    pub(super) async fn confirm(&mut self) -> Result<()> {
        self.keepalive().await?;
        match self.expect("KEEPALIVE").await? {
            Message::Keepalive => Ok(()),
            other => bail!("not a KEEPALIVE: {other:?}"),
        }
    }

    /// Sends a KEEPALIVE.
    pub(super) async fn keepalive(&mut self) -> Result<()> {
        self.send(&message(KEEPALIVE, &[])).await
    }
}

/// Whether a session of this kind can come up with a speaker that sent this OPEN.
fn offers(theirs: &Open, session: Session) -> bool {
    let has = |wanted: fn(&Capability) -> bool| theirs.capabilities.iter().any(wanted);
    (!session.extended_messages || has(|c| matches!(c, Capability::ExtendedMessage)))
        && (!session.extended_next_hop || has(|c| matches!(c, Capability::ExtendedNextHop(_))))
        && (!session.add_path || has(|c| matches!(c, Capability::AddPath(_))))
}

/// The proper announcements of both families with a `tag`, each with its End-of-RIB.
pub(super) fn good_routes(session: Session, tag: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if session.families.contains(Family::Ipv4Unicast) {
        out.extend(classic(session, ROUTE_V4).good().append(tag).message());
        out.extend(nothing(session).message());
    }
    if session.families.contains(Family::Ipv6Unicast) {
        out.extend(by_mp_reach(session, ROUTE_V6).good().append(tag).message());
        let end = attr(0x80, 15, &mp_unreach(2, 1, &[]));
        out.extend(nothing(session).append(&end).message());
    }
    out
}

/// The route that shows that everything before it was read, in each family of the session.
pub(super) fn sentinel(session: Session) -> Vec<u8> {
    if session.families.contains(Family::Ipv4Unicast) {
        classic(session, SENTINEL_V4).message()
    } else {
        by_mp_reach(session, SENTINEL_V6).message()
    }
}

/// One IPv4 route.
pub(super) fn classic(session: Session, nlri: &[u8]) -> UpdateParts {
    announce(session).nlri(&identified(session, nlri))
}

fn by_mp_reach(session: Session, nlri: &[u8]) -> UpdateParts {
    let value = build::mp_reach(2, 1, &super::super::NEXT_HOP_V6, &identified(session, nlri));
    announce_v6(session).set(attr(0x80, 14, &value))
}

/// With path identifier 0 where the session has those.
fn identified(session: Session, nlri: &[u8]) -> Vec<u8> {
    let id: &[u8] = if session.add_path { &[0; 4] } else { &[] };
    [id, nlri].concat()
}
