//! What is shown, in the wording of BIRD 2.

mod protocols;
mod routes;

use std::{fmt, fs};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
pub(super) use protocols::protocols;
use redstart_bgp::types::Family;
use redstart_rib::netlink::interfaces::{self as links, Interface};
pub(super) use routes::{originated, routes};
use tokio::{io::AsyncWrite, sync::mpsc};

use super::{
    reply::{Code, Reply},
    session::{Failure, NAME},
};
use crate::control::{PeerPattern, Query, ask};

/// The protocol of routes of our own.
const fn local(family: Family) -> &'static str {
    match family {
        Family::Ipv4Unicast => "local4",
        Family::Ipv6Unicast => "local6",
    }
}

const fn kernel(family: Family) -> &'static str {
    match family {
        Family::Ipv4Unicast => "kernel4",
        Family::Ipv6Unicast => "kernel6",
    }
}

const fn table(family: Family) -> &'static str {
    match family {
        Family::Ipv4Unicast => "master4",
        Family::Ipv6Unicast => "master6",
    }
}

/// A time as BIRD shows it: of today without the day, and without the time if it is long ago.
struct Since(Timestamp);

impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let recent = Timestamp::now().duration_since(self.0) < SignedDuration::from_hours(20);
        let format = if recent { "%H:%M:%S.%3f" } else { "%Y-%m-%d" };
        let zoned = self.0.to_zoned(TimeZone::system());
        f.pad(&zoned.strftime(format).to_string())
    }
}

/// A time in full.
fn in_full(at: Timestamp) -> String {
    let zoned = at.to_zoned(TimeZone::system());
    zoned.strftime("%Y-%m-%d %H:%M:%S.%3f").to_string()
}

/// `show status`
pub(super) async fn status<W: AsyncWrite + Unpin>(
    core: &mpsc::Sender<Query>,
    reply: &mut Reply<W>,
) -> Result<(), Failure> {
    let status = ask(core, Query::Status).await.ok_or(Failure::Busy)?;
    reply.line(Code::Version, NAME);
    let id = status.router_id.as_deref().unwrap_or("0.0.0.0");
    reply.line(Code::Uptime, format_args!("Router ID is {id}"));
    reply.line(Code::Uptime, format_args!("Hostname is {}", status.node));
    let times = [
        ("Current server time is", status.now),
        ("Last reboot on", status.started),
        (
            "Last reconfiguration on",
            status.configured.unwrap_or(status.started),
        ),
    ];
    for (label, at) in times {
        reply.line(Code::Uptime, format_args!("{label} {}", in_full(at)));
    }
    if status.ready {
        reply.end(Code::StatusReport, "Daemon is up and running");
    } else {
        let why = status.not_ready.join("; ");
        reply.end(
            Code::StatusReport,
            format_args!("Daemon is starting: {why}"),
        );
    }
    Ok(())
}

/// `show interfaces`
pub(super) async fn interfaces<W: AsyncWrite + Unpin>(
    summary: bool,
    reply: &mut Reply<W>,
) -> Result<(), Failure> {
    let list = match links::list().await {
        Ok(list) => list,
        Err(error) => {
            reply.end(
                Code::Failed,
                format_args!("The kernel did not answer: {error}"),
            );
            return Ok(());
        }
    };
    if summary {
        reply.line(
            Code::InterfaceHeading,
            format_args!(
                "{:<10} {:<6} {:<18} {}",
                "Interface", "State", "IPv4 address", "IPv6 address"
            ),
        );
    }
    for interface in &list {
        if summary {
            interface_summary(interface, reply);
        } else {
            interface_in_full(interface, reply);
        }
        reply.flush_some().await?;
    }
    reply.done();
    Ok(())
}

fn interface_summary<W: AsyncWrite + Unpin>(i: &Interface, reply: &mut Reply<W>) {
    // Link-local addresses are of no interest in one line.
    let first = |v6: bool| {
        let mut found = i.addresses.iter().filter(|a| a.address.is_ipv6() == v6);
        let found = found.find(|a| a.scope != links::Scope::Link);
        found.map_or_else(String::new, |a| format!("{}/{}", a.address, a.prefix_len))
    };
    let state = if i.is_up() { "up" } else { "down" };
    let line = format!(
        "{:<10} {state:<6} {:<18} {}",
        i.name,
        first(false),
        first(true)
    );
    reply.line(Code::InterfaceSummary, line);
}

fn interface_in_full<W: AsyncWrite + Unpin>(i: &Interface, reply: &mut Reply<W>) {
    let word = |yes: bool, word: &'static str| if yes { word } else { "" };
    let state = if i.is_up() { "up" } else { "down" };
    reply.line(
        Code::Interface,
        format_args!("{} {state} (index={})", i.name, i.index),
    );
    reply.line(
        Code::InterfaceFlags,
        format_args!(
            "\t{}{}{} Admin{} Link{}{} MTU={}",
            if i.point_to_point {
                "PtP"
            } else {
                "MultiAccess"
            },
            word(i.broadcast, " Broadcast"),
            word(i.multicast, " Multicast"),
            if i.up { "Up" } else { "Down" },
            if i.carrier { "Up" } else { "Down" },
            word(i.loopback, " Loopback"),
            i.mtu,
        ),
    );
    for a in &i.addresses {
        let preferred = word(!a.secondary, "Preferred, ");
        let scope = match a.scope {
            links::Scope::Global => "univ",
            links::Scope::Site => "site",
            links::Scope::Link => "link",
            links::Scope::Host => "host",
        };
        reply.line(
            Code::InterfaceAddress,
            format_args!(
                "\t{}/{} ({preferred}scope {scope})",
                a.address, a.prefix_len
            ),
        );
    }
}

/// `show symbols`: the names that other commands take.
pub(super) async fn symbols<W: AsyncWrite + Unpin>(
    core: &mpsc::Sender<Query>,
    which: &PeerPattern,
    reply: &mut Reply<W>,
) -> Result<(), Failure> {
    let peers = ask(core, Query::Protocols).await.ok_or(Failure::Busy)?;
    let own = Family::ALL.into_iter().flat_map(|f| [local(f), kernel(f)]);
    let own = own.chain(["device1", "bfd1"]).map(str::to_owned);
    let protocols = own.chain(peers.into_iter().map(|p| p.name));
    let protocols = protocols.map(|name| (name, "protocol"));
    let tables = Family::ALL.map(|f| (table(f).to_owned(), "routing table"));
    let symbols = tables.into_iter().chain(protocols);
    for (name, kind) in symbols.filter(|(name, _)| which.matches(name)) {
        reply.line(Code::Symbol, format_args!("{name:<8}\t{kind}"));
        reply.flush_some().await?;
    }
    reply.done();
    Ok(())
}

/// `show memory`: what the kernel knows of the process. No part of it is counted by itself.
pub(super) fn memory<W: AsyncWrite + Unpin>(reply: &mut Reply<W>) -> Result<(), Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    // `RssAnon:     1234 kB`
    let octets = |field: &str| {
        let line = status.lines().find_map(|l| l.strip_prefix(field));
        let number = line.and_then(|l| l.split_whitespace().next());
        number.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) * 1024
    };
    let (data, code) = (octets("RssAnon:"), octets("RssFile:"));
    reply.line(Code::Memory, "BIRD memory usage");
    reply.line(
        Code::Memory,
        format_args!("{:<17} {:>11} {:>11}", "", "Effective", "Overhead"),
    );
    for (label, size) in [("Data:", data), ("Program:", code), ("Total:", data + code)] {
        let line = format!(
            "{label:<17} {:>11} {:>11}",
            Size(size).to_string(),
            Size(0).to_string()
        );
        reply.line(Code::Memory, line);
    }
    reply.done();
    Ok(())
}

/// Octets with a unit: four digits at least, as BIRD has it.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut tenths, mut unit) = (self.0.saturating_mul(10), 0);
        while tenths >= 100_000 && unit < 3 {
            (tenths, unit) = (tenths / 1024, unit + 1);
        }
        let unit = [" B", "kB", "MB", "GB"][unit];
        write!(f, "{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

/// `show bfd sessions`
pub(super) async fn bfd_sessions<W: AsyncWrite + Unpin>(
    core: &mpsc::Sender<Query>,
    reply: &mut Reply<W>,
) -> Result<(), Failure> {
    let sessions = ask(core, Query::Bfd).await.ok_or(Failure::Busy)?;
    reply.line(Code::BfdSessions, "bfd1:");
    reply.line(
        Code::BfdSessions,
        format_args!(
            "{:<25} {:<10} {:<10} {:<12}  {:>8} {:>8}",
            "IP address", "Interface", "State", "Since", "Interval", "Timeout"
        ),
    );
    let seconds = |ms: u64| format!("{:>4}.{:03}", ms / 1000, ms % 1000);
    for s in sessions {
        let line = format!(
            "{:<25} {:<10} {:<10} {:<12}  {} {}",
            s.remote.to_string(),
            s.interface.as_deref().unwrap_or("---"),
            s.state,
            Since(s.since),
            seconds(s.transmit_interval_ms),
            seconds(s.detection_time_ms.unwrap_or(0)),
        );
        reply.line(Code::BfdSessions, line);
        reply.flush_some().await?;
    }
    reply.done();
    Ok(())
}

/// `help`: what `birdc` shows is its own; this is for whoever speaks the protocol by hand.
pub(super) fn help<W: AsyncWrite + Unpin>(reply: &mut Reply<W>) {
    for line in [
        "show status",
        "show protocols [all] [NAME | \"PATTERN\"]",
        "show route [PREFIX | for ADDR | in PREFIX] [table T] [protocol P] [export P | noexport P]",
        "           [where CONDITION] [primary | filtered] [all] [stats | count]",
        "show interfaces [summary]",
        "show bfd sessions",
        "show static",
        "show symbols",
        "show memory",
        "configure [check]",
        "disable | enable | restart | reload [in | out] NAME | \"PATTERN\" | all",
        "echo all | off",
        "restrict",
    ] {
        reply.line(Code::Done, line);
    }
    reply.done();
}
