//! A route that the other side does not have: an UPDATE that it sends without knowing.
//!
//! RFC 7313 is for tables that have come apart, which no implementation does when asked to. So the
//! UPDATE is written into the other side's own socket, a copy of which the kernel gives to whoever may
//! trace its owner (`pidfd_getfd`). It stands between messages as long as the other side says nothing
//! of its own accord in the same moment: in a session with a long hold time and nothing to announce.

use std::{
    io::Write as _,
    net::{IpAddr, TcpStream},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::{bench::Bench, side::number_after};
use crate::{
    lab::topology::Family,
    malformed::build::{UPDATE, attr, len16, message},
};

/// The route.
pub const SLIPPED_IN: &str = "198.51.107.0/24";
/// As it is on the wire.
const NLRI: [u8; 4] = [24, 198, 51, 107];

/// Has the other side announce it, in an external session over IPv4.
pub(super) fn announce(bench: &mut Bench) -> Result<()> {
    let octets = update(bench)?;
    session_socket(bench)?.write_all(&octets)?;
    Ok(())
}

fn update(bench: &mut Bench) -> Result<Vec<u8>> {
    let session = bench.theirs.side().session()?;
    let IpAddr::V4(next_hop) = session.their_next_hop(Family::V4) else {
        bail!("their next hop is one of IPv6");
    };
    let [a, b, c, d] = session.their_as.to_be_bytes();
    let attributes = [
        attr(0x40, 1, &[0]),
        attr(0x40, 2, &[2, 1, a, b, c, d]),
        attr(0x40, 3, &next_hop.octets()),
    ]
    .concat();
    let body = [&[0, 0], &len16(attributes.len())[..], &attributes, &NLRI].concat();
    Ok(message(UPDATE, &body))
}

/// A copy of their socket of the session.
fn session_socket(bench: &Bench) -> Result<TcpStream> {
    // … users:(("bird",pid=4711,fd=9))
    let ends = "( sport = :179 or dport = :179 )";
    let shown = bench
        .site
        .them
        .output("ss", &["-Htnp", "state", "established", ends])?;
    let pid = i32::try_from(number_after(&shown, "pid=")?)?;
    let fd = i32::try_from(number_after(&shown, "fd=")?)?;
    let pid = Pid::from_raw(pid).context("no process")?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    Ok(pidfd_getfd(process, fd, PidfdGetfdFlags::empty())?.into())
}
