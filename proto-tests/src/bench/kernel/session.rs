//! One neighbour of the daemon under test: a blocking socket, and beside it, where that is asked for, a
//! BFD session (RFC 5880) that is just enough to come up, and to say that it is down.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use socket2::{Domain, SockRef, Socket, Type};

use super::{ground::ends, messages, now};

/// The daemon's AS.
pub const DAEMON_AS: u32 = 4_200_000_000;

/// The AS of a neighbour.
pub fn asn(neighbour: u8) -> u32 {
    DAEMON_AS + u32::from(neighbour)
}

/// An Established session.
#[derive(Debug)]
pub struct Session {
    stream: TcpStream,
}

impl Session {
    /// Tries until the session is up, or `bound` has passed.
    pub fn establish(neighbour: u8, ipv6: bool, bound: Duration) -> Result<Self> {
        let end = Instant::now() + bound;
        loop {
            match Self::try_establish(neighbour, ipv6) {
                Ok(session) => return Ok(session),
                Err(error) if Instant::now() > end => {
                    return Err(error).with_context(|| format!("neighbour {neighbour} is not up"));
                }
                Err(_) => thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    fn try_establish(neighbour: u8, ipv6: bool) -> Result<Self> {
        let [daemon, own] = ends(neighbour, ipv6);
        let domain = if ipv6 { Domain::IPV6 } else { Domain::IPV4 };
        let socket = Socket::new(domain, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((own, 0)).into())?;
        let to = SocketAddr::from((daemon, 179));
        socket.connect_timeout(&to.into(), Duration::from_secs(2))?;
        let mut stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let id = Ipv4Addr::new(192, 168, neighbour, 2);
        stream.write_all(&messages::open(asn(neighbour), id, ipv6))?;
        let mut session = Self { stream };
        ensure!(session.next_kind()? == 1, "no OPEN");
        let keepalive = crate::malformed::build::message(4, &[]);
        session.send(&keepalive)?;
        ensure!(session.next_kind()? == 4, "no KEEPALIVE");
        Ok(session)
    }

    /// The type of the next message, which is thrown away.
    fn next_kind(&mut self) -> Result<u8> {
        let mut header = [0; 19];
        self.stream.read_exact(&mut header)?;
        let length = u16::from_be_bytes([header[16], header[17]]);
        let mut body = vec![0; usize::from(length).saturating_sub(19)];
        self.stream.read_exact(&mut body)?;
        Ok(header[18])
    }

    /// Sends messages that were made before.
    pub fn send(&mut self, messages: &[u8]) -> Result<()> {
        self.stream.write_all(messages).context("the session broke")
    }

    /// Ends the connection by a RST; when that was.
    pub fn reset(self) -> Result<Duration> {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))?;
        let end = now()?;
        drop(self.stream);
        Ok(end)
    }
}

/// States of RFC 5880 section 4.1.
const DOWN: u8 = 1;
const INIT: u8 = 2;
const UP: u8 = 3;
/// Not one of them: nothing is sent any more.
const OVER: u8 = 0;
/// Diagnostic "Control Detection Time Expired".
const EXPIRED: u8 = 1;
const INTERVAL: Duration = Duration::from_millis(50);

/// A BFD session over one hop (RFC 5881).
#[derive(Debug)]
pub struct Bfd {
    socket: UdpSocket,
    daemon: IpAddr,
    state: Arc<AtomicU8>,
    /// What the daemon calls its end.
    discriminator: Arc<std::sync::Mutex<[u8; 4]>>,
}

impl Bfd {
    /// Comes up with the daemon, and stays up.
    pub fn start(neighbour: u8, bound: Duration) -> Result<Self> {
        let [daemon, own] = ends(neighbour, false);
        let listening = UdpSocket::bind((own, 3784))?;
        let socket = UdpSocket::bind((own, 49152))?;
        // "MUST be sent with a TTL ... of 255" (RFC 5881 section 5).
        socket.set_ttl(255)?;
        let bfd = Self {
            socket,
            daemon,
            state: Arc::new(AtomicU8::new(DOWN)),
            discriminator: Arc::default(),
        };
        let (state, discriminator) = (Arc::clone(&bfd.state), Arc::clone(&bfd.discriminator));
        thread::spawn(move || listen(&listening, &state, &discriminator));
        let end = Instant::now() + bound;
        while bfd.state.load(Ordering::Relaxed) != UP {
            ensure!(Instant::now() < end, "BFD does not come up");
            bfd.send(0)?;
            thread::sleep(INTERVAL);
        }
        let (socket, daemon) = (bfd.socket.try_clone()?, bfd.daemon);
        let speaking = Self {
            socket,
            daemon,
            state: Arc::clone(&bfd.state),
            discriminator: Arc::clone(&bfd.discriminator),
        };
        thread::spawn(move || {
            while speaking.state.load(Ordering::Relaxed) != OVER && speaking.send(0).is_ok() {
                thread::sleep(INTERVAL);
            }
        });
        Ok(bfd)
    }

    /// Says that the session is down; when that was.
    pub fn fail(self) -> Result<Duration> {
        self.state.store(DOWN, Ordering::Relaxed);
        let end = now()?;
        self.send(EXPIRED)?;
        self.state.store(OVER, Ordering::Relaxed);
        Ok(end)
    }

    fn send(&self, diagnostic: u8) -> Result<()> {
        let state = self.state.load(Ordering::Relaxed);
        if state == OVER {
            bail!("over");
        }
        let interval = 50_000_u32.to_be_bytes();
        let Ok(theirs) = self.discriminator.lock() else {
            bail!("a thread panicked");
        };
        // Version 1, diagnostic; state; multiplier; length; discriminators; intervals in microseconds.
        let packet = [
            &[1 << 5 | diagnostic, state << 6, 20, 24, 0, 0, 0, 1][..],
            &*theirs,
            &interval,
            &interval,
            &[0; 4],
        ];
        self.socket.send_to(&packet.concat(), (self.daemon, 3784))?;
        Ok(())
    }
}

/// Follows RFC 5880 section 6.8.6 as far as coming up.
fn listen(socket: &UdpSocket, state: &AtomicU8, discriminator: &std::sync::Mutex<[u8; 4]>) {
    let mut packet = [0; 64];
    while let Ok(len) = socket.recv(&mut packet) {
        let theirs = packet[1] >> 6;
        let next = match (state.load(Ordering::Relaxed), theirs) {
            (OVER, _) => return,
            (DOWN, DOWN) => INIT,
            (DOWN, INIT) | (INIT, INIT | UP) => UP,
            (same, _) => same,
        };
        if let (true, Ok(mut known)) = (len >= 24, discriminator.lock()) {
            known.copy_from_slice(&packet[4..8]);
            state.store(next, Ordering::Relaxed);
        }
    }
}
