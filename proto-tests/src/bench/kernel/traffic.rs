//! A stream of packets along all routes, from the hosts through the daemon's node to its neighbours,
//! and when the last one came to each of them.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use socket2::{Domain, Socket, Type};

use super::{messages, now};

const PORT: u16 = 9;
const DESTINATIONS: u32 = 1000;
/// Between two packets. With the timer's own slack, ten thousand a second.
const PAUSE: Duration = Duration::from_micros(50);

/// What to send along.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Stream {
    /// How many routes.
    pub routes: u32,
}

impl Stream {
    /// Sends until it is killed.
    pub fn run(self) -> Result<()> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let destinations = messages::destinations(self.routes, false, DESTINATIONS)?;
        for destination in destinations.iter().cycle() {
            socket.send_to(b"x", SocketAddr::from((*destination, PORT)))?;
            thread::sleep(PAUSE);
        }
        Ok(())
    }
}

/// A stream, and what came of it.
#[derive(Debug)]
pub struct Traffic {
    sender: Child,
    stop: Arc<AtomicBool>,
    watchers: Vec<JoinHandle<Result<Seen>>>,
}

/// What came to a neighbour.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// How many packets.
    pub packets: u64,
    /// When the last one came.
    pub last: Duration,
}

impl Traffic {
    /// Listens at both neighbours, then starts `command`, which sends.
    pub fn start(mut command: Command) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut watchers = Vec::new();
        for link in ["eth0", "eth1"] {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
            socket.bind_device(Some(link.as_bytes()))?;
            let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
            socket.bind(&SocketAddr::from((any, PORT)).into())?;
            let stop = Arc::clone(&stop);
            watchers.push(thread::spawn(move || watch(&socket.into(), &stop)));
        }
        let sender = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start the stream")?;
        Ok(Self {
            sender,
            stop,
            watchers,
        })
    }

    /// Ends it; what came to each neighbour.
    pub fn stop(mut self) -> Result<Vec<Seen>> {
        let _ = self.sender.kill();
        let _ = self.sender.wait();
        self.stop.store(true, Ordering::Relaxed);
        let watchers = std::mem::take(&mut self.watchers);
        let seen = watchers
            .into_iter()
            .map(|watcher| watcher.join().map_err(|_| anyhow!("a thread panicked"))?);
        seen.collect()
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        let _ = self.sender.kill();
        let _ = self.sender.wait();
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn watch(socket: &UdpSocket, stop: &AtomicBool) -> Result<Seen> {
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    let mut seen = Seen::default();
    while !stop.load(Ordering::Relaxed) {
        if socket.recv(&mut [0; 16]).is_ok() {
            seen.packets += 1;
            seen.last = now()?;
        }
    }
    Ok(seen)
}
