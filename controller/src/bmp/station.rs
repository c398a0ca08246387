//! One station: its connection, and when to give it up.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    io,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use jiff::Timestamp;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{Notify, mpsc, oneshot, watch},
    time::{Instant, interval_at, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Batch, FromStation, Local, tell::Teller};
use crate::index::BmpStation;

/// How long a station may take to answer.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a station may take nothing.
const STALL: Duration = Duration::from_secs(60);

/// How long the last words may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Between two attempts: RFC 7854 section 3.2 wants them to become rarer. A station that has just started
/// anew is back within a second or two, and one that is gone is asked for twice in a minute.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MOST: Duration = Duration::from_secs(30);

/// A connection that lasted as long was a good one: the next attempt is made soon.
const GOOD: Duration = Duration::from_secs(60);

/// Silent connections are looked after.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// How a station is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// Whether there is a connection.
    pub(crate) connected: bool,
    /// Whether it was shown everything once.
    pub(crate) complete: bool,
    /// Since when there is a connection, or none.
    pub(crate) since: Timestamp,
    /// Why there is none, or the last one ended.
    pub(crate) last_error: Option<&'static str>,
    /// The same, in words.
    pub(crate) last_error_text: Option<String>,
    /// Connections so far.
    pub(crate) connections: u64,
    /// Connections that ended because the station was too slow.
    pub(crate) too_slow: u64,
    /// Messages so far.
    pub(crate) messages: u64,
    /// Their octets.
    pub(crate) octets: u64,
    /// Routes that no message can carry.
    pub(crate) unsendable: u64,
}

impl Status {
    pub(crate) const fn new(now: Timestamp) -> Self {
        Self {
            connected: false,
            complete: false,
            since: now,
            last_error: None,
            last_error_text: None,
            connections: 0,
            too_slow: 0,
            messages: 0,
            octets: 0,
            unsendable: 0,
        }
    }
}

/// Why a connection ended, or was not made.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("it cannot be reached: {0}")]
    Connect(io::Error),
    #[error("it did not answer within {} s", CONNECT.as_secs())]
    ConnectTimeout,
    #[error("it closed the connection")]
    Closed,
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    #[error("it took nothing for {} s", STALL.as_secs())]
    Stalled,
    #[error("too much has changed since it was told last")]
    FellBehind,
}

impl Ended {
    /// The stable identifier.
    const fn id(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect-failed",
            Self::ConnectTimeout => "connect-timeout",
            Self::Closed => "closed-by-station",
            Self::Broken(_) => "connection-lost",
            Self::Stalled => "stalled",
            Self::FellBehind => "fell-behind",
        }
    }

    const fn is_too_slow(&self) -> bool {
        matches!(self, Self::Stalled | Self::FellBehind)
    }
}

/// A station's task, before it runs.
#[derive(Debug)]
pub(crate) struct Station {
    /// Where it listens.
    pub(crate) remote: SocketAddr,
    pub(crate) spec: BmpStation,
    pub(crate) local: Local,
    pub(crate) core: mpsc::Sender<FromStation>,
    /// Whether there may be something to tell.
    pub(crate) wake: Arc<Notify>,
    pub(crate) status: watch::Sender<Status>,
    /// The number of the connection that there is, or was last.
    pub(crate) connection: u64,
}

impl Station {
    /// Runs until `stop`, or the core is gone.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let station = self.remote;
        let mut pause = RETRY;
        loop {
            self.connection += 1;
            let began = Instant::now();
            let Err(ended) = self.connect(&stop).await else {
                return;
            };
            self.note(&ended);
            if began.elapsed() >= GOOD {
                pause = RETRY;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(spread(pause)) => {}
            }
            pause = (pause * 2).min(RETRY_MOST);
            let connection = self.connection;
            let gone = FromStation::Gone {
                station,
                connection,
            };
            if self.core.send(gone).await.is_err() {
                return;
            }
        }
    }

    fn note(&self, ended: &Ended) {
        let station = self.remote;
        let why = Some(ended.id());
        let mut news = false;
        self.status.send_modify(|status| {
            // What repeats itself is logged once.
            news = status.connected || status.last_error != why;
            if status.connected {
                status.since = Timestamp::now();
            }
            (status.connected, status.complete) = (false, false);
            status.last_error = why;
            status.last_error_text = Some(ended.to_string());
            status.too_slow += u64::from(ended.is_too_slow());
        });
        if news {
            warn!(%station, reason = ended.id(), "no connection to the monitoring station: {ended}");
        }
    }

    /// Until the end of the connection, or, without an error, of everything.
    async fn connect(&self, stop: &CancellationToken) -> Result<(), Ended> {
        let dial = timeout(CONNECT, TcpStream::connect(self.remote));
        let mut stream = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            dialled = dial => {
                dialled.map_err(|_| Ended::ConnectTimeout)?.map_err(Ended::Connect)?
            }
        };
        // Without it a station that is gone without a word is noticed when there is something to tell.
        let _ = SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
        info!(station = %self.remote, "connected to the monitoring station");
        self.status.send_modify(|status| {
            (status.connected, status.since) = (true, Timestamp::now());
            status.connections += 1;
        });
        let mut teller = Teller::new(self.local.clone(), self.spec.views);
        let told = tokio::select! {
            () = stop.cancelled() => Ok(()),
            told = self.tell(&mut stream, &mut teller) => told,
        };
        if told.is_ok() {
            let mut out = BytesMut::new();
            teller.end(&mut out);
            // Half a message may be before it; then it is of no use, and does no harm.
            let _ = timeout(FAREWELL, stream.write_all(&out)).await;
        }
        told
    }

    /// Tells what there is, and waits for more.
    async fn tell(&self, stream: &mut TcpStream, teller: &mut Teller) -> Result<(), Ended> {
        let every = self.spec.statistics.unwrap_or(Duration::MAX / 4);
        let mut statistics = interval_at(Instant::now() + every, every);
        let mut due = false;
        let mut out = BytesMut::new();
        teller.begin(&mut out);
        loop {
            let Some(batch) = self.pull(std::mem::take(&mut due)).await else {
                return Ok(());
            };
            let more = batch.observed.more;
            let lost = batch.observed.lost;
            teller.tell(batch, Timestamp::now(), &mut out);
            write(stream, &out).await?;
            self.count(teller, out.len());
            out.clear();
            if lost {
                return Err(Ended::FellBehind);
            }
            if more {
                continue;
            }
            tokio::select! {
                () = self.wake.notified() => {}
                _ = statistics.tick() => due = true,
                ended = closed(stream) => return Err(ended),
            }
        }
    }

    async fn pull(&self, statistics: bool) -> Option<Batch> {
        let (reply, answer) = oneshot::channel();
        let pull = FromStation::Pull {
            station: self.remote,
            connection: self.connection,
            statistics,
            reply,
        };
        self.core.send(pull).await.ok()?;
        answer.await.ok()
    }

    fn count(&self, teller: &mut Teller, octets: usize) {
        let told = teller.take_counts();
        self.status.send_if_modified(|status| {
            status.messages += told.messages;
            status.unsendable += told.unsendable;
            status.octets += octets as u64;
            status.complete |= told.complete;
            octets > 0
        });
    }
}

/// Writes all, as long as some of it is taken now and then.
async fn write(stream: &mut TcpStream, mut octets: &[u8]) -> Result<(), Ended> {
    while !octets.is_empty() {
        let written = timeout(STALL, stream.write(octets)).await;
        let written = written.map_err(|_| Ended::Stalled)?;
        let written = written.map_err(Ended::Broken)?;
        octets = octets.get(written..).unwrap_or_default();
    }
    Ok(())
}

/// Waits for the end of the connection: a station has nothing to say (RFC 7854 section 3.2).
async fn closed(stream: &mut TcpStream) -> Ended {
    let mut nothing = [0; 64];
    loop {
        match stream.read(&mut nothing).await {
            Ok(0) => return Ended::Closed,
            Ok(_) => {}
            Err(error) => return Ended::Broken(error),
        }
    }
}

/// Up to a half more: the nodes of a cluster shall not all come at once.
fn spread(pause: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish() % 512;
    pause + pause * u32::try_from(random).unwrap_or(0) / 1024
}
