//! A neighbour of the daemon under test: a blocking socket, no more work per octet than there has to
//! be, so that the daemon is what is measured.
//!
//! While a phase is measured, what comes is only kept, with the time of each read. It is looked at when nothing
//! has come for anybody for a moment (or there is no room left), and what is found gets the time of the read that
//! brought it: to hold a table against what it should be takes about as long as a fast daemon takes to send it,
//! and would have it wait for a processor. A daemon that goes on after a moment of silence is read from late.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use socket2::{Domain, Socket, Type};

use super::{
    exact::Exact,
    keeper::{Keeper, Voice},
    table::{Key, PathHash, field, nlri, path_hash, path_hash_after_first},
};
use crate::malformed::build::message;

/// Where the daemon is.
pub const DAEMON: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
/// The daemon's AS. As those of the neighbours, which follow, it is none of a real table: sixteen-bit
/// private numbers do get there, and a path with a number of the receiver's is a loop.
pub const DAEMON_AS: u32 = 4_200_000_000;

const PORTION: usize = 1 << 18;
const HEADER: usize = 19;
/// After how long without octets for anybody those that came are looked at.
const LULL: Duration = Duration::from_millis(200);
/// How long a read waits.
const PAUSE: Duration = Duration::from_millis(50);

/// When octets came last, for any of the neighbours that are watched together: while one of them is still told
/// something, nobody takes a processor to look at what it was told.
#[derive(Debug)]
pub struct Lull {
    began: Instant,
    /// Microseconds after that.
    last: AtomicU64,
}

impl Default for Lull {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            last: AtomicU64::new(0),
        }
    }
}

impl Lull {
    fn note(&self, at: Instant) {
        let micros = at.saturating_duration_since(self.began).as_micros();
        let micros = u64::try_from(micros).unwrap_or(u64::MAX);
        self.last.fetch_max(micros, Ordering::Relaxed);
    }

    fn is_now(&self) -> bool {
        let last = Duration::from_micros(self.last.load(Ordering::Relaxed));
        self.began.elapsed() >= last + LULL
    }
}

/// Who a neighbour is.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// Its address.
    pub address: Ipv4Addr,
    /// Its AS.
    pub asn: u32,
    /// What it proposes.
    pub hold_time: u16,
}

/// An Established session.
#[derive(Debug)]
pub struct Peer {
    stream: Arc<TcpStream>,
    voice: Arc<Mutex<Voice>>,
    /// Says its KEEPALIVEs as long as there is somebody to say them for.
    _keeper: Keeper,
    /// What was read and not looked at, as far as `filled`.
    buffer: Vec<u8>,
    filled: usize,
    /// How far it was filled when.
    reads: Vec<(usize, Instant)>,
    /// The routes of what is read now.
    changes: Vec<(Key, Option<PathHash>)>,
    /// Its identifier, if it is in the daemon's AS.
    internal: Option<[u8; 4]>,
    /// When the last KEEPALIVE came, and the longest pause between two.
    heard: Instant,
    pause: Duration,
    /// What it holds.
    pub exact: Exact,
    /// UPDATEs received.
    pub messages: u64,
}

impl Peer {
    /// Tries until the session is up, or `bound` has passed.
    pub fn establish(identity: Identity, bound: Duration, keeper: &Keeper) -> Result<Self> {
        let end = Instant::now() + bound;
        loop {
            match Self::try_establish(identity, keeper) {
                Ok(peer) => return Ok(peer),
                Err(error) if Instant::now() > end => {
                    return Err(error).with_context(|| format!("{} is not up", identity.address));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    fn try_establish(identity: Identity, keeper: &Keeper) -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((identity.address, 0)).into())?;
        socket.connect_timeout(
            &SocketAddr::from((DAEMON, 179)).into(),
            Duration::from_secs(2),
        )?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        (&stream).write_all(&open(identity))?;
        ensure!(next_kind(&stream)? == 1, "no OPEN");
        (&stream).write_all(&message(4, &[]))?;
        ensure!(next_kind(&stream)? == 4, "no KEEPALIVE");
        let stream = Arc::new(stream);
        let interval = Duration::from_secs(u64::from(identity.hold_time / 3).max(1));
        let internal = identity.asn == DAEMON_AS;
        Ok(Self {
            voice: keeper.speak_for(Arc::clone(&stream), interval)?,
            _keeper: keeper.clone(),
            stream,
            buffer: vec![0; PORTION],
            filled: 0,
            reads: Vec::new(),
            changes: Vec::new(),
            internal: internal.then_some(identity.address.octets()),
            heard: Instant::now(),
            pause: Duration::ZERO,
            exact: Exact::default(),
            messages: 0,
        })
    }

    /// Sends messages that were made before.
    pub fn send(&self, messages: &[u8]) -> Result<()> {
        Ok(self.voice().say(messages)?)
    }

    /// Fails if a KEEPALIVE could not be sent.
    pub fn check(&self) -> Result<()> {
        self.voice().check().context("no KEEPALIVE could be sent")
    }

    fn voice(&self) -> MutexGuard<'_, Voice> {
        self.voice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The longest pause between KEEPALIVEs since this was asked last.
    pub fn take_pause(&mut self) -> Duration {
        std::mem::take(&mut self.pause)
    }

    /// How long a read waits when there is nothing.
    pub fn set_patience(&self, patience: Duration) -> Result<()> {
        Ok(self.stream.set_read_timeout(Some(patience))?)
    }

    /// Makes reads return at once when there is nothing.
    pub fn set_nonblocking(&self) -> Result<()> {
        Ok(self.stream.set_nonblocking(true)?)
    }

    /// Makes room for so many octets of messages, memory that is there already.
    pub fn make_room(&mut self, octets: usize) {
        self.buffer = vec![u8::MAX; octets.max(PORTION)];
    }

    /// Reads until the table is exact, and says when it was; fails when `bound` has passed.
    pub fn until_exact(&mut self, bound: Duration, lull: &Lull) -> Result<Instant> {
        let end = Instant::now() + bound;
        self.set_patience(PAUSE)?;
        let mut exact = Some(Instant::now()).filter(|_| self.exact.wrong() == 0);
        loop {
            if let Some(since) = exact {
                return Ok(since);
            }
            if Instant::now() > end {
                bail!(
                    "{} prefixes are wrong: {}",
                    self.exact.wrong(),
                    self.exact.complaints().join(", ")
                );
            }
            if self.read()? {
                lull.note(Instant::now());
            }
            if self.filled == self.buffer.len() || lull.is_now() || Instant::now() > end {
                exact = self.look()?;
            }
        }
    }

    /// Reads what there is, and looks at it; whether that was anything.
    pub fn read_some(&mut self) -> Result<bool> {
        let any = self.read()?;
        self.look()?;
        Ok(any)
    }

    fn read(&mut self) -> Result<bool> {
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        let count = match (&*self.stream).read(room) {
            Ok(0) => bail!("the daemon closed the session"),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(false);
            }
            Err(error) => return Err(error).context("the session broke"),
        };
        self.filled += count;
        self.reads.push((self.filled, Instant::now()));
        Ok(true)
    }

    /// Takes what was read. If the table is exact with it, says since when.
    fn look(&mut self) -> Result<Option<Instant>> {
        let buffer = std::mem::take(&mut self.buffer);
        let (mut used, mut exact) = (0, None);
        for (filled, at) in std::mem::take(&mut self.reads) {
            used += self.take_messages(buffer.get(used..filled).unwrap_or_default(), at)?;
            self.exact.take(&self.changes);
            self.changes.clear();
            exact = match (self.exact.wrong(), exact) {
                (0, None) => Some(at),
                (0, since) => since,
                _ => None,
            };
        }
        self.buffer = buffer;
        self.buffer.copy_within(used..self.filled, 0);
        self.filled -= used;
        Ok(exact)
    }

    /// Takes the whole messages of what had come by then; how many octets they are.
    fn take_messages(&mut self, came: &[u8], at: Instant) -> Result<usize> {
        let mut used = 0;
        while let Some(header) = came.get(used..used + HEADER) {
            let length = usize::from(u16::from_be_bytes([header[16], header[17]]));
            ensure!(length >= HEADER, "a message of {length} octets");
            let Some(body) = came.get(used + HEADER..used + length) else {
                break;
            };
            match header[18] {
                2 => self.take_update(body)?,
                3 => bail!("the daemon sent a NOTIFICATION: {body:02x?}"),
                4 => {
                    self.pause = self.pause.max(at.saturating_duration_since(self.heard));
                    self.heard = at;
                }
                _ => {}
            }
            used += length;
        }
        Ok(used)
    }

    fn take_update(&mut self, body: &[u8]) -> Result<()> {
        self.messages += 1;
        let (withdrawn, rest) = field(body)?;
        self.changes.extend(nlri(withdrawn).map(|key| (key, None)));
        let (mut attributes, announced) = field(rest)?;
        if announced.is_empty() {
            return Ok(());
        }
        let mut hash = None;
        while let [flags, code, rest @ ..] = attributes {
            let (size, head) = match (flags & 0x10, rest) {
                (0, [size, ..]) => (usize::from(*size), 3),
                (_, [high, low, ..]) => (usize::from(u16::from_be_bytes([*high, *low])), 4),
                _ => bail!("an attribute is cut"),
            };
            let value = attributes
                .get(head..head + size)
                .context("an attribute is cut")?;
            // Between internal peers paths may be equal: the next hop tells routes apart.
            match (code, self.internal) {
                (2, None) => hash = Some(path_hash_after_first(value)),
                (3, Some(_)) => hash = Some(path_hash(value)),
                // ORIGINATOR_ID: a route of its own has come back, and is ignored (RFC 4456 section 8).
                (9, Some(own)) if value == own => return Ok(()),
                _ => {}
            }
            attributes = attributes.get(head + size..).unwrap_or_default();
        }
        let hash = hash.context("routes without a path")?;
        let came = nlri(announced).map(|key| (key, Some(hash)));
        self.changes.extend(came);
        Ok(())
    }
}

/// The type of the next message, which is thrown away.
fn next_kind(mut stream: &TcpStream) -> Result<u8> {
    let mut header = [0; HEADER];
    stream.read_exact(&mut header)?;
    let length = usize::from(u16::from_be_bytes([header[16], header[17]]));
    let mut body = vec![0; length.saturating_sub(HEADER)];
    stream.read_exact(&mut body)?;
    Ok(header[18])
}

fn open(identity: Identity) -> Vec<u8> {
    let asn = identity.asn.to_be_bytes();
    let short = u16::try_from(identity.asn).unwrap_or(23456).to_be_bytes();
    let mut body = vec![4];
    body.extend(short);
    body.extend(identity.hold_time.to_be_bytes());
    body.extend(identity.address.octets());
    // IPv4 unicast (RFC 4760), route refresh (RFC 2918), four-octet AS numbers (RFC 6793).
    let capabilities = [&[1, 4, 0, 1, 0, 1][..], &[2, 0], &[65, 4], &asn].concat();
    let length = u8::try_from(capabilities.len()).unwrap_or_default();
    body.extend([length + 2, 2, length]);
    body.extend(capabilities);
    message(1, &body)
}
