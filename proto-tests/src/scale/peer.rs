//! The speaker's neighbours: blocking sockets, a thread each, and no more of BGP than it takes.
//!
//! Deliberately not the product's own codec. Only IPv4 unicast by the fields of RFC 4271.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::ground::ROUTER;
use crate::{
    bench::table::field,
    malformed::build::{KEEPALIVE, OPEN, UPDATE, message},
};

const PORT: u16 = 179;
const HEADER: usize = 19;
const CLUSTER_AS: u16 = 64512;
const ROUTER_AS: u16 = 64999;
/// Longer than any run: nobody here waits for keepalives.
const HOLD_TIME: u16 = 3600;
/// What a router notes before anybody asks.
const HEARD: usize = 1 << 17;
/// How often the speaker hears from a neighbour that has nothing to say.
const SAY_KEEPALIVE: Duration = Duration::from_secs(20);

/// What the speaker said of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It is reached by it.
    Announced(Ipv4Addr),
    /// No longer.
    Withdrawn(Ipv4Addr),
}

/// A router: notes what it hears, and when.
#[derive(Debug)]
pub struct Router {
    heard: mpsc::Receiver<(Instant, Said)>,
}

impl Router {
    /// Waits for the speaker's connection in the background.
    ///
    /// # Errors
    /// The address is not here.
    pub fn listen(at: Ipv4Addr) -> Result<Self> {
        let listener = TcpListener::bind((at, PORT)).with_context(|| at.to_string())?;
        // More than there are routes: reading must not stop, or the time would be that of the reader.
        let (tell, heard) = mpsc::sync_channel(HEARD);
        thread::spawn(move || {
            if let Err(error) = hear(&listener, &tell) {
                eprintln!("router: {error:#}");
            }
        });
        Ok(Self { heard })
    }

    /// The next thing that is said.
    ///
    /// # Errors
    /// Nothing was said until `end`, or the session is gone.
    pub fn next(&self, end: Instant) -> Result<(Instant, Said)> {
        let wait = end.saturating_duration_since(Instant::now());
        Ok(self.heard.recv_timeout(wait)?)
    }

    /// Throws away what was said.
    pub fn forget(&self) {
        while self.heard.try_recv().is_ok() {}
    }
}

fn hear(listener: &TcpListener, tell: &mpsc::SyncSender<(Instant, Said)>) -> Result<()> {
    let mut session = Session::accept(listener, ROUTER_AS, ROUTER)?;
    loop {
        let (kind, body) = session.read()?;
        let now = Instant::now();
        if kind != UPDATE {
            continue;
        }
        let (withdrawn, rest) = field(&body)?;
        let (_attributes, announced) = field(rest)?;
        for host in hosts(withdrawn) {
            tell.send((now, Said::Withdrawn(host)))?;
        }
        for host in hosts(announced) {
            tell.send((now, Said::Announced(host)))?;
        }
    }
}

/// The host routes in a field of NLRI.
fn hosts(mut octets: &[u8]) -> impl Iterator<Item = Ipv4Addr> + '_ {
    let prefixes = std::iter::from_fn(move || {
        let (len, rest) = octets.split_first()?;
        let (value, rest) = rest.split_at_checked(usize::from(len.div_ceil(8)))?;
        octets = rest;
        Some(value)
    });
    prefixes.filter_map(|value| <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from))
}

/// A route reflector of the mesh.
#[derive(Debug)]
pub struct Reflector;

impl Reflector {
    /// Waits for the speaker's connection in the background and announces the pod CIDRs of these nodes
    /// to it: owner, and a /24.
    ///
    /// # Errors
    /// The address is not here.
    pub fn listen(
        at: Ipv4Addr,
        routes: impl Iterator<Item = (Ipv4Addr, Ipv4Addr)> + Send + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind((at, PORT)).with_context(|| at.to_string())?;
        thread::spawn(move || {
            if let Err(error) = reflect(&listener, at, routes) {
                eprintln!("reflector {at}: {error:#}");
            }
        });
        Ok(Self)
    }
}

fn reflect(
    listener: &TcpListener,
    at: Ipv4Addr,
    routes: impl Iterator<Item = (Ipv4Addr, Ipv4Addr)>,
) -> Result<()> {
    let mut session = Session::accept(listener, CLUSTER_AS, at)?;
    let mut messages = Vec::new();
    for (owner, prefix) in routes {
        messages.extend(reflected(at, owner, prefix));
    }
    // End-of-RIB (RFC 4724 section 2).
    messages.extend(message(UPDATE, &[0; 4]));
    session.say(&messages)?;
    loop {
        session.read()?;
    }
}

/// The /24 of a node; its own route where the node is the reflector.
fn reflected(at: Ipv4Addr, owner: Ipv4Addr, prefix: Ipv4Addr) -> Vec<u8> {
    let mut attributes = vec![0x40, 1, 1, 0, 0x40, 2, 0, 0x40, 3, 4];
    attributes.extend(owner.octets());
    attributes.extend([0x40, 5, 4, 0, 0, 0, 100]);
    if owner != at {
        attributes.extend([0x80, 9, 4]);
        attributes.extend(owner.octets());
        attributes.extend([0x80, 10, 4]);
        attributes.extend(at.octets());
    }
    let [length @ .., high, low] = attributes.len().to_be_bytes();
    debug_assert!(length.iter().all(|octet| *octet == 0));
    let [a, b, c, _] = prefix.octets();
    let body = [&[0, 0, high, low], &attributes[..], &[24, a, b, c]].concat();
    message(UPDATE, &body)
}

/// Writes whole messages, whoever else writes.
fn say(writer: &Mutex<TcpStream>, messages: &[u8]) -> io::Result<()> {
    let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
    writer.write_all(messages)
}

struct Session {
    stream: TcpStream,
    /// To write to. A long answer goes out in pieces, and no KEEPALIVE may come in between.
    writer: Arc<Mutex<TcpStream>>,
    buffer: Vec<u8>,
}

impl Session {
    /// Accepts until a connection gets as far as Established; the speaker may try more than once.
    fn accept(listener: &TcpListener, asn: u16, identifier: Ipv4Addr) -> Result<Self> {
        loop {
            let (stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            let writer = Arc::new(Mutex::new(stream.try_clone()?));
            let mut session = Self {
                stream,
                writer,
                buffer: Vec::new(),
            };
            if session.establish(asn, identifier).is_ok() {
                let writer = Arc::clone(&session.writer);
                thread::spawn(move || {
                    while say(&writer, &message(KEEPALIVE, &[])).is_ok() {
                        thread::sleep(SAY_KEEPALIVE);
                    }
                });
                return Ok(session);
            }
        }
    }

    fn say(&self, messages: &[u8]) -> io::Result<()> {
        say(&self.writer, messages)
    }

    fn establish(&mut self, asn: u16, identifier: Ipv4Addr) -> Result<()> {
        self.say(&open(asn, identifier))?;
        while self.read()?.0 != OPEN {}
        self.say(&message(KEEPALIVE, &[]))?;
        while self.read()?.0 != KEEPALIVE {}
        Ok(())
    }

    /// The next message: its type and its body.
    fn read(&mut self) -> Result<(u8, Vec<u8>)> {
        loop {
            if let Some(header) = self.buffer.get(..HEADER) {
                let (kind, length) = (header[18], u16::from_be_bytes([header[16], header[17]]));
                let length = usize::from(length);
                if let Some(body) = self.buffer.get(HEADER..length) {
                    let body = body.to_vec();
                    self.buffer.drain(..length);
                    if kind == 3 {
                        bail!("NOTIFICATION {body:02x?}");
                    }
                    return Ok((kind, body));
                }
            }
            let mut more = [0; 1 << 16];
            let count = self.stream.read(&mut more)?;
            if count == 0 {
                bail!("the speaker closed the session");
            }
            self.buffer.extend(more.get(..count).unwrap_or_default());
        }
    }
}

fn open(asn: u16, identifier: Ipv4Addr) -> Vec<u8> {
    let mut body = vec![4];
    body.extend(asn.to_be_bytes());
    body.extend(HOLD_TIME.to_be_bytes());
    body.extend(identifier.octets());
    // IPv4 unicast (RFC 4760), four-octet AS numbers (RFC 6793), graceful restart (RFC 4724).
    let mut capabilities = vec![1, 4, 0, 1, 0, 1, 65, 4, 0, 0];
    capabilities.extend(asn.to_be_bytes());
    capabilities.extend([64, 2, 0, 120]);
    let [.., length] = capabilities.len().to_be_bytes();
    body.extend([length + 2, 2, length]);
    body.extend(capabilities);
    message(OPEN, &body)
}
