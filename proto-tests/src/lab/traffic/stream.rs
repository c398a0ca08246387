//! Continuous pings, to see whether a single one is lost while something breaks.

use std::{
    io::Read as _,
    net::IpAddr,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use super::Endpoint;
use crate::lab::{netns::stdout_of, topology::Family};

/// Pings without end along one direction, fifty a second to each address, to see whether any is
/// lost.
#[derive(Debug)]
pub struct Stream {
    what: String,
    pings: Vec<Child>,
}

impl Stream {
    /// Starts to send.
    pub fn start(from: &Endpoint, to: &Endpoint) -> Result<Self> {
        let addresses = Family::ALL.map(|family| to.addresses.of(family));
        Self::towards(from, &to.name, &addresses)
    }

    /// Starts to send to the addresses of what is called `to`.
    pub fn towards(from: &Endpoint, to: &str, addresses: &[IpAddr]) -> Result<Self> {
        let mut stream = Self {
            what: format!("{} -> {to}", from.name),
            pings: Vec::new(),
        };
        for address in addresses {
            let mut command = from.netns.command("ping");
            command.args(["-n", "-q", "-i", "0.02", &address.to_string()]);
            command.stdout(Stdio::piped()).stderr(Stdio::null());
            stream
                .pings
                .push(command.spawn().context("cannot run ping")?);
        }
        Ok(stream)
    }

    /// Ends it, and fails if any packet was lost. Says how many there were.
    pub fn stop(mut self) -> Result<u64> {
        let mut total = 0;
        for mut ping in std::mem::take(&mut self.pings) {
            // SIGINT makes ping sum up.
            stdout_of(Command::new("sh").args(["-c", &format!("kill -INT {}", ping.id())]))?;
            let mut text = String::new();
            if let Some(mut stdout) = ping.stdout.take() {
                stdout.read_to_string(&mut text)?;
            }
            ping.wait()?;
            let (sent, received) = summary(&text).with_context(|| format!("ping said {text:?}"))?;
            // The last one may still be on its way.
            if received + 1 < sent || received == 0 {
                bail!("{}: {received} of {sent} packets arrived", self.what);
            }
            total += sent;
        }
        Ok(total)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        for ping in &mut self.pings {
            let _ = ping.kill();
            let _ = ping.wait();
        }
    }
}

/// `250 packets transmitted, 250 received, 0% packet loss, time 5002ms`
fn summary(text: &str) -> Option<(u64, u64)> {
    let line = text
        .lines()
        .find(|line| line.contains("packets transmitted"))?;
    let mut numbers = line.split(", ").map(|part| part.split(' ').next());
    let sent = numbers.next()??.parse().ok()?;
    let received = numbers.next()??.parse().ok()?;
    Some((sent, received))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ping_sums_up() {
        let text = "--- 10.0.0.1 ping statistics ---\n\
                    250 packets transmitted, 249 received, 0.4% packet loss, time 5002ms\n";
        assert_eq!(summary(text), Some((250, 249)));
        assert_eq!(summary("ping: unreachable"), None);
    }
}
