//! TCP connections, and the addresses that each end sees.
//!
//! The server is this project's `lab tcp-serve`: it prints the address of each peer and tells it
//! to the peer, so both ends of a connection know what the other believes. With no NAT anywhere on
//! the way, the four addresses are the two hosts' own.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::{AT_ONCE, Endpoint, Flow};
use crate::lab::{
    Lab,
    netns::stdout_of,
    process::{Process, Signal},
    wait,
    wiring::join,
};

/// The port of the TCP servers.
pub const PORT: u16 = 8080;
/// How long one connection or one answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What one connection showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// What the client dialled.
    pub dialled: SocketAddr,
    /// The client's own address on this connection.
    pub client: IpAddr,
    /// The client's address as the server sees it.
    pub client_at_server: IpAddr,
    /// The server's own address on this connection.
    pub server: IpAddr,
}

/// The TCP servers of a lab; they end with this value.
#[derive(Debug)]
pub struct TcpServers {
    running: BTreeMap<String, Process>,
}

impl TcpServers {
    /// Starts a server on every endpoint and waits until all of them listen.
    pub fn start(lab: &Lab, endpoints: &[Endpoint]) -> Result<Self> {
        let program = lab.options.binaries.path("lab");
        let program = program.to_str().context("the path of lab is not UTF-8")?;
        let processes = lab.processes();
        let mut servers = Self {
            running: BTreeMap::new(),
        };
        for endpoint in endpoints {
            let _ = std::fs::remove_file(processes.log(&role(&endpoint.name)));
            let mut command = endpoint.netns.command(program);
            command.args(["tcp-serve", &format!("[::]:{PORT}")]);
            let process = processes.spawn(&role(&endpoint.name), &command)?;
            servers.running.insert(endpoint.name.clone(), process);
        }
        for endpoint in endpoints {
            let log = processes.log(&role(&endpoint.name));
            wait::until("TCP server listens", PATIENCE, || {
                let text = std::fs::read_to_string(&log)?;
                if text.contains("listening") {
                    Ok(())
                } else {
                    bail!("its log: {text:?}")
                }
            })?;
        }
        Ok(servers)
    }
}

impl Drop for TcpServers {
    fn drop(&mut self) {
        for process in self.running.values_mut() {
            let _ = process.stop(Signal::Kill, Duration::from_secs(1));
        }
    }
}

fn role(endpoint: &str) -> String {
    format!("tcp-{endpoint}")
}

/// Connects along each flow and checks all four addresses; then checks that each server printed
/// each client's real address.
pub fn tcp_all(lab: &Lab, flows: &[Flow<'_>]) -> Result<()> {
    for some in flows.chunks(AT_ONCE) {
        wait::check_interrupt()?;
        thread::scope(|scope| {
            join(
                some.iter()
                    .map(|flow| scope.spawn(move || tcp(lab, flow)))
                    .collect(),
            )
        })?;
    }
    for flow in flows {
        let log = lab.processes().log(&role(&flow.to.name));
        let printed = std::fs::read_to_string(&log)?;
        let client = flow.from.addresses.of(flow.family);
        if !printed.lines().any(|line| line == format!("peer {client}")) {
            bail!(
                "the server on {} never printed peer {client}:\n{printed}",
                flow.to.name
            );
        }
    }
    Ok(())
}

fn tcp(lab: &Lab, flow: &Flow<'_>) -> Result<()> {
    let what = format!(
        "TCP {} -> {} ({})",
        flow.from.name, flow.to.name, flow.family
    );
    let dialled = SocketAddr::new(flow.to.addresses.of(flow.family), PORT);
    let program = lab.options.binaries.path("lab");
    let mut command = flow
        .from
        .netns
        .command(program.to_str().context("path is not UTF-8")?);
    command.args(["tcp-connect", &dialled.to_string()]);
    let answer = stdout_of(&mut command).with_context(|| what.clone())?;
    let seen: Seen = serde_json::from_str(&answer).with_context(|| format!("{what}: {answer}"))?;
    let real = flow.from.addresses.of(flow.family);
    let expected = Seen {
        dialled,
        client: real,
        client_at_server: real,
        server: dialled.ip(),
    };
    if seen != expected {
        bail!("{what}: somebody translates addresses: {seen:?}, not {expected:?}");
    }
    Ok(())
}

/// `lab tcp-serve`: prints `peer ADDRESS` for each connection and answers it with that address
/// and its own.
pub fn serve(listen: SocketAddr) -> Result<()> {
    let listener =
        TcpListener::bind(listen).with_context(|| format!("cannot listen on {listen}"))?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (mut stream, peer) = listener.accept().context("cannot accept")?;
        let peer = peer.ip().to_canonical();
        println!("peer {peer}");
        let own = stream.local_addr()?.ip().to_canonical();
        // A client that is gone already is its own concern.
        let _ = writeln!(stream, "{peer} {own}");
    }
}

/// `lab tcp-connect`: connects, and returns what both ends saw.
pub fn connect(server: SocketAddr) -> Result<Seen> {
    let stream = TcpStream::connect_timeout(&server, PATIENCE)
        .with_context(|| format!("cannot connect to {server}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let client = stream.local_addr()?.ip().to_canonical();
    let mut line = String::new();
    BufReader::new(stream)
        .read_line(&mut line)
        .context("no answer")?;
    let (client_at_server, own) = line
        .trim()
        .split_once(' ')
        .with_context(|| format!("odd answer {line:?}"))?;
    Ok(Seen {
        dialled: server,
        client,
        client_at_server: client_at_server.parse()?,
        server: own.parse()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_tell_what_they_see() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, peer) = listener.accept().unwrap();
            writeln!(stream, "{} 192.0.2.1", peer.ip()).unwrap();
        });
        let seen = connect(address).unwrap();
        server.join().unwrap();
        assert_eq!(seen.client, address.ip());
        assert_eq!(seen.client_at_server, address.ip());
        assert_eq!(seen.server.to_string(), "192.0.2.1");
    }
}
