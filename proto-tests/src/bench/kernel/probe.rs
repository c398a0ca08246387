//! When the kernel has all routes, or none: asked in the daemon's namespace by a process there.
//!
//! Counting a million routes takes the kernel longer than the daemon may take for some thousand of
//! them. So a thousand destinations, the first and the last among them, are looked up until each has a
//! route, which costs next to nothing; only then routes are counted, until there are as many.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{IpAddr, SocketAddr, UdpSocket},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use super::{messages, now};
use crate::lab::netns::stdout_of;

const SAMPLES: u32 = 1000;
/// How long the slowest of the daemons may take for a phase.
pub const PATIENCE: Duration = Duration::from_secs(200);
/// Links get addresses and routes of their own while they come up.
const SLACK: u32 = 16;
const PAUSE: Duration = Duration::from_millis(1);

/// What to look for.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Probe {
    /// How many routes.
    pub routes: u32,
    /// Whether they are IPv6.
    #[arg(long)]
    pub ipv6: bool,
}

impl Probe {
    /// Answers each line (`there` or `gone`) of the standard input by the time when it was so, and
    /// `mend` by the times that it took until each of some routes was back that were removed.
    pub fn run(self) -> Result<()> {
        let destinations = messages::destinations(self.routes, self.ipv6, SAMPLES)?;
        let socket = UdpSocket::bind(if self.ipv6 { "[::]:0" } else { "0.0.0.0:0" })?;
        let before = count(self.ipv6)?;
        println!("ready");
        for line in std::io::stdin().lock().lines() {
            let line = line?;
            if line == "mend" {
                println!("{}", serde_json::to_string(&self.mend(&socket)?)?);
                continue;
            }
            let there = line == "there";
            let end = Instant::now() + PATIENCE;
            for destination in &destinations {
                while has_route(&socket, *destination) != there {
                    ensure!(
                        Instant::now() < end,
                        "the route to {destination}: not {there}"
                    );
                    thread::sleep(PAUSE);
                }
            }
            let wanted = before + if there { self.routes } else { 0 };
            while !is_reached(count(self.ipv6)?, wanted, there) {
                ensure!(
                    Instant::now() < end,
                    "{} of {wanted} routes",
                    count(self.ipv6)?
                );
            }
            println!("{}", now()?.as_nanos());
        }
        Ok(())
    }

    /// Removes routes, one after the other. The time until each is back is counted from before the
    /// command that removes it.
    fn mend(&self, socket: &UdpSocket) -> Result<Vec<Duration>> {
        const REMOVED: u32 = 100;
        let mut took = Vec::new();
        for destination in messages::destinations(self.routes, self.ipv6, REMOVED)? {
            let found = ip(&["route", "get", "fibmatch", &destination.to_string()])?;
            let prefix = found.split_whitespace().next().context("no route")?;
            let began = Instant::now();
            ip(&["route", "del", prefix])?;
            while !has_route(socket, destination) {
                ensure!(began.elapsed() < PATIENCE, "{prefix} does not come back");
                thread::sleep(PAUSE / 10);
            }
            took.push(began.elapsed());
        }
        Ok(took)
    }
}

fn ip(words: &[&str]) -> Result<String> {
    stdout_of(Command::new("ip").args(words))
}

fn is_reached(count: u32, wanted: u32, there: bool) -> bool {
    if there {
        count + SLACK >= wanted
    } else {
        count <= wanted + SLACK
    }
}

fn has_route(socket: &UdpSocket, destination: IpAddr) -> bool {
    // Sends nothing: the kernel only looks up the route.
    socket.connect(SocketAddr::from((destination, 9))).is_ok()
}

/// How many routes this namespace has.
fn count(ipv6: bool) -> Result<u32> {
    if ipv6 {
        let text = std::fs::read_to_string("/proc/self/net/rt6_stats")?;
        let entries = text
            .split_whitespace()
            .nth(3)
            .context("rt6_stats is short")?;
        return Ok(u32::from_str_radix(entries, 16)?);
    }
    ipv4_routes("self")
}

/// How many IPv4 routes the main table of a process's namespace has.
pub(in crate::bench) fn ipv4_routes(process: &str) -> Result<u32> {
    let text = std::fs::read_to_string(format!("/proc/{process}/net/fib_triestat"))?;
    let mut lines = text.lines().skip_while(|line| *line != "Main:");
    let count = lines.find_map(|line| line.trim().strip_prefix("Prefixes:"));
    Ok(count.context("no table main")?.trim().parse()?)
}

/// A probe at work.
#[derive(Debug)]
pub struct Running {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Running {
    /// Starts `command`, and waits until it looks.
    pub fn start(mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the probe")?;
        let input = child.stdin.take().context("no input")?;
        let output = child.stdout.take().context("no output")?;
        let mut running = Self {
            child,
            input,
            output: BufReader::new(output),
        };
        ensure!(running.line()? == "ready", "the probe does not start");
        Ok(running)
    }

    /// The time when all routes were there, or were gone.
    pub fn until(&mut self, there: bool) -> Result<Duration> {
        writeln!(self.input, "{}", if there { "there" } else { "gone" })?;
        Ok(Duration::from_nanos(self.line()?.parse()?))
    }

    /// How long it took until each of a hundred routes was back that somebody had removed.
    pub fn mend(&mut self) -> Result<Vec<Duration>> {
        writeln!(self.input, "mend")?;
        Ok(serde_json::from_str(&self.line()?)?)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.output.read_line(&mut line)? > 0, "the probe has ended");
        Ok(line.trim().to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
