//! The yardstick: a program that does nothing but write routes.
//!
//! Messages made by hand, 256 in a datagram, one acknowledgement for each datagram, every route by the
//! same nexthop object. It keeps no state, looks at no answer but whether it is a refusal, and does not
//! know what it wrote.

use std::{net::IpAddr, process::Command, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use redstart_bgp::types::Prefix;

use super::{Row, act::Measured, ground::ends, messages, now, probe::Running};
use crate::{bench::usage, lab::netns::stdout_of};

const BATCH: usize = 256;
const SETTLE: Duration = Duration::from_secs(1);
/// The object that routes name, and the leg in it.
const GROUP: u32 = 2;

/// What to write, where the daemon would be.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Raw {
    /// The row.
    pub row: Row,
    /// How many routes.
    #[arg(long)]
    pub routes: u32,
}

impl Raw {
    /// Writes all and deletes all. What that took goes to standard output as lines of JSON.
    pub fn run(self) -> Result<()> {
        let ipv6 = self.row.is_ipv6();
        let [_, gateway] = ends(1, ipv6);
        let objects = [
            format!("nexthop add id 1 via {gateway} dev eth0"),
            format!("nexthop add id {GROUP} group 1"),
        ];
        for object in objects {
            stdout_of(Command::new("ip").args(object.split(' ')))?;
        }
        let mut probe = Command::new(std::env::current_exe()?);
        probe.args(["probe", &self.routes.to_string()]);
        probe.args(ipv6.then_some("--ipv6"));
        let mut probe = Running::start(probe)?;
        let prefixes = messages::prefixes(self.routes, ipv6)?;
        let writer = Writer::open(GROUP)?;
        let own = std::process::id();
        for (phase, add) in [("announce", true), ("withdraw", false)] {
            thread::sleep(SETTLE);
            let before = usage::alone(own);
            let began = now()?;
            let end = thread::scope(|scope| {
                let probing = scope.spawn(|| probe.until(add));
                // On this thread: the time of one that has ended counts no more.
                writer.write(prefixes.iter().copied(), add)?;
                probing.join().ok().context("a thread panicked")?
            })?;
            let usage = usage::alone(own);
            let measured = Measured {
                phase: phase.to_owned(),
                routes: self.routes,
                wall: end.saturating_sub(began),
                cpu: usage.cpu.saturating_sub(before.cpu),
                peak: usage.peak,
            };
            println!("{}", serde_json::to_string(&measured)?);
        }
        Ok(())
    }
}

/// A socket to the kernel.
#[derive(Debug)]
pub struct Writer {
    socket: Socket,
    group: u32,
}

impl Writer {
    /// Opens it, for routes that name `group`.
    pub fn open(group: u32) -> Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        Ok(Self { socket, group })
    }

    /// Adds or deletes routes to `prefixes`.
    pub fn write(&self, prefixes: impl Iterator<Item = Prefix>, add: bool) -> Result<()> {
        let kernel = SocketAddr::new(0, 0);
        let (mut datagram, mut answer) = (Vec::new(), Vec::with_capacity(65536));
        let (mut waiting, mut prefixes) = (0, prefixes.peekable());
        while let Some(prefix) = prefixes.next() {
            waiting += 1;
            let last = waiting == BATCH || prefixes.peek().is_none();
            self.append(&mut datagram, prefix, add, last);
            if last {
                self.socket.send_to(&datagram, &kernel, 0)?;
                answer.clear();
                self.socket.recv(&mut answer, 0)?;
                ensure!(answer.get(16..20) == Some(&[0; 4]), "{prefix} is refused");
                datagram.clear();
                waiting = 0;
            }
        }
        Ok(())
    }

    fn append(&self, datagram: &mut Vec<u8>, prefix: Prefix, add: bool, ack: bool) {
        let start = datagram.len();
        // RTM_NEWROUTE with NLM_F_CREATE and NLM_F_EXCL, or RTM_DELROUTE; NLM_F_ACK.
        let (kind, flags): (u16, u16) = if add { (24, 0x601) } else { (25, 1) };
        let flags = flags | if ack { 4 } else { 0 };
        datagram.extend(0_u32.to_ne_bytes());
        datagram.extend(kind.to_ne_bytes());
        datagram.extend(flags.to_ne_bytes());
        datagram.extend([0; 8]);
        // AF_INET or AF_INET6; the main table, proto bgp, RTN_UNICAST.
        let family = if prefix.addr().is_ipv4() { 2 } else { 10 };
        let (scope, kind) = if add { (0, 1) } else { (255, 0) };
        datagram.extend([family, prefix.len(), 0, 0, 254, 186, scope, kind]);
        datagram.extend(0_u32.to_ne_bytes());
        // RTA_DST, RTA_PRIORITY, RTA_NH_ID.
        match prefix.addr() {
            IpAddr::V4(address) => attribute(datagram, 1, &address.octets()),
            IpAddr::V6(address) => attribute(datagram, 1, &address.octets()),
        }
        attribute(datagram, 6, &179_u32.to_ne_bytes());
        if add {
            attribute(datagram, 30, &self.group.to_ne_bytes());
        }
        let len = u32::try_from(datagram.len() - start).unwrap_or_default();
        if let Some(head) = datagram.get_mut(start..start + 4) {
            head.copy_from_slice(&len.to_ne_bytes());
        }
    }
}

/// Values of four octets and of sixteen need no padding.
fn attribute(datagram: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let len = u16::try_from(4 + value.len()).unwrap_or_default();
    datagram.extend(len.to_ne_bytes());
    datagram.extend(kind.to_ne_bytes());
    datagram.extend(value);
}
