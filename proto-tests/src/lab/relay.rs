//! A way from the rack LAN to an API server outside the lab, and nothing else.
//!
//! The lab's namespaces have no way out, on purpose. `lab relay FROM TO` copies byte streams, and a
//! lab on a real cluster runs two: one in the namespace `api` from the rack LAN to a Unix socket,
//! one outside from that socket to the API server. A Unix socket is a file, not a network address,
//! so it joins the two without a route between them, and no process is in two namespaces. TLS goes
//! through unbroken: the speakers check the API server's own certificate.
//!
//! ```text
//! speaker -> rack LAN :6443 -> [relay in LAB-api] -> RUN/relay.sock -> [relay outside] -> API server
//! ```

use std::{fmt, io, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::Semaphore,
    time::timeout,
};

use super::{Lab, process::Process, topology::Topology, wait};

/// How many streams are open at once. A speaker holds one per kind of object.
const AT_ONCE: usize = 128;
/// How long the far end may take to accept.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Before the next attempt when a listener cannot accept: out of file descriptors, say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The port on the rack LAN.
pub const PORT: u16 = 6443;

/// One end of a relay: `tcp:HOST:PORT` or `unix:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// A name or address, and a port.
    Tcp(String),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(place) => write!(f, "tcp:{place}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for End {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("tcp", place)) => Ok(Self::Tcp(place.to_owned())),
            Some(("unix", path)) => Ok(Self::Unix(path.into())),
            _ => Err(format!("{text:?} is neither tcp:HOST:PORT nor unix:PATH")),
        }
    }
}

/// Both kinds of streams.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    async fn bind(at: &End) -> io::Result<Self> {
        Ok(match at {
            End::Tcp(place) => Self::Tcp(TcpListener::bind(place).await?),
            End::Unix(path) => Self::Unix(UnixListener::bind(path)?),
        })
    }

    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tcp(listener) => Box::new(listener.accept().await?.0),
            Self::Unix(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

async fn connect(to: &End) -> io::Result<Box<dyn Stream>> {
    Ok(match to {
        End::Tcp(place) => Box::new(TcpStream::connect(place).await?),
        End::Unix(path) => Box::new(UnixStream::connect(path).await?),
    })
}

/// Listens at `from` and joins every stream there to one of its own to `to`, until killed.
pub fn run(from: &End, to: &End) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = Listener::bind(from)
            .await
            .with_context(|| format!("cannot listen at {from}"))?;
        println!("listening at {from}");
        serve(&listener, to).await
    })
}

async fn serve(listener: &Listener, to: &End) -> Result<()> {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        // Who comes when there is no room waits in the listener's backlog.
        let place = Arc::clone(&room).acquire_owned().await?;
        let mut near = match listener.accept().await {
            Ok(near) => near,
            Err(error) => {
                eprintln!("cannot accept: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let to = to.clone();
        tokio::spawn(async move {
            let _place = place;
            match timeout(CONNECT_WITHIN, connect(&to)).await {
                // How a stream ends is for its two ends to say.
                Ok(Ok(mut far)) => drop(copy_bidirectional(&mut near, &mut far).await),
                Ok(Err(error)) => eprintln!("cannot connect to {to}: {error}"),
                Err(_) => eprintln!("cannot connect to {to}: no answer in {CONNECT_WITHIN:?}"),
            }
        });
    }
}

/// Starts both relays of a lab; `server` is the API server's `HOST:PORT` as seen from outside.
pub(super) fn start(lab: &Lab, server: &str) -> Result<Vec<Process>> {
    let program = lab.options.binaries.path("lab");
    let program = program.to_str().context("the path of lab is not UTF-8")?;
    let middle = End::Unix(lab.run_dir().path().join("relay.sock"));
    let rack = End::Tcp(format!("{}:{PORT}", lab.topology.apiserver.v4));
    let server = End::Tcp(server.to_owned());
    let outside = std::process::Command::new(program);
    let inside = lab.netns(Topology::APISERVER).command(program);
    let mut started = Vec::new();
    for (role, mut command, from, to) in [
        ("relay-outside", outside, &middle, &server),
        ("relay-inside", inside, &rack, &middle),
    ] {
        command.args(["relay", &from.to_string(), &to.to_string()]);
        let mut process = lab.processes().spawn(role, &command)?;
        let log = lab.processes().log(role);
        wait::until("the relay listens", CONNECT_WITHIN, || {
            if let Some(status) = process.exited()? {
                bail!("it ended: {status}; see {}", log.display());
            }
            if !std::fs::read_to_string(&log)?.contains("listening") {
                bail!("not yet");
            }
            Ok(())
        })?;
        started.push(process);
    }
    Ok(started)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn ends_are_written_as_they_are_read() {
        for text in ["tcp:127.0.0.1:6443", "tcp:[::1]:443", "unix:/run/a.sock"] {
            assert_eq!(text.parse::<End>().unwrap().to_string(), text);
        }
        assert!("127.0.0.1:80".parse::<End>().is_err());
    }

    /// TCP to a Unix socket to TCP, as in a lab: what one end says arrives, and so does its end.
    #[tokio::test]
    async fn bytes_and_ends_go_through_both_relays() {
        let dir = tempfile::tempdir().unwrap();
        let middle = End::Unix(dir.path().join("middle.sock"));
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = End::Tcp(server.local_addr().unwrap().to_string());
        let outside = Listener::bind(&middle).await.unwrap();
        let inside = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = inside.local_addr().unwrap();
        let inside = Listener::Tcp(inside);
        let story = async {
            let mut client = TcpStream::connect(near).await.unwrap();
            client.write_all(b"list").await.unwrap();
            client.shutdown().await.unwrap();
            let (mut peer, _) = server.accept().await.unwrap();
            let mut heard = String::new();
            peer.read_to_string(&mut heard).await.unwrap();
            assert_eq!(heard, "list");
            // The other direction is still open.
            peer.write_all(b"watch").await.unwrap();
            drop(peer);
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer, "watch");
        };
        tokio::select! {
            () = story => {}
            _ = serve(&outside, &far) => panic!("the relay outside has ended"),
            _ = serve(&inside, &middle) => panic!("the relay inside has ended"),
            () = tokio::time::sleep(CONNECT_WITHIN) => panic!("the story takes too long"),
        }
    }
}
