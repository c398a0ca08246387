//! What is on the cable, counted by the packet filter of Redstart's namespace: for what no daemon
//! shows.

use anyhow::{Context as _, Result};

use super::side::number_after;
use crate::lab::netns::Netns;

/// Counters, named after what they count.
///
/// - `in-cs6`, `in-other`: packets with messages of BGP sessions by their DSCP (RFC 2474). A bare
///   acknowledgement, of 52 octets, or one of a connection, may come before the other side knows whose
///   connection it is.
/// - `out-cs6`, `out-other`: all packets of BGP sessions. A reset is the kernel's own, and part of none.
/// - `in-long-open`: OPENs with the extended length of optional parameters (RFC 9072 section 2): after 28
///   octets of the message, the length and the type are both 255. There is no telling where a
///   message begins but in the first segment; TCP's header has its timestamps, 32 octets in all.
const RULES: &str = "\
table inet wire {
  counter in-cs6 {}
  counter in-other {}
  counter out-cs6 {}
  counter out-other {}
  counter in-long-open {}
  chain in {
    type filter hook input priority 0
    meta l4proto != tcp return
    @th,400,8 1 @th,480,16 0xffff counter name in-long-open
    tcp flags syn return
    ip length <= 52 return
    tcp sport 179 ip dscp cs6 counter name in-cs6
    tcp sport 179 ip dscp != cs6 counter name in-other
    tcp dport 179 ip dscp cs6 counter name in-cs6
    tcp dport 179 ip dscp != cs6 counter name in-other
  }
  chain out {
    type filter hook output priority 0
    meta l4proto != tcp return
    tcp flags rst return
    tcp sport 179 ip dscp cs6 counter name out-cs6
    tcp sport 179 ip dscp != cs6 counter name out-other
    tcp dport 179 ip dscp cs6 counter name out-cs6
    tcp dport 179 ip dscp != cs6 counter name out-other
  }
}
";

/// Begins to count.
pub fn watch(netns: &Netns) -> Result<()> {
    let script = format!("nft -f - <<'end'\n{RULES}end\n");
    netns.output("sh", &["-e", "-c", &script]).map(drop)
}

/// Packets so far.
pub fn count(netns: &Netns, counter: &str) -> Result<u32> {
    let shown = netns.output("nft", &["list", "counter", "inet", "wire", counter])?;
    number_after(&shown, "packets").with_context(|| counter.to_owned())
}

/// Segments that the kernel of that namespace has thrown away because their MD5 digest is another one
/// than the key makes.
pub fn wrong_digests(netns: &Netns) -> Result<u32> {
    let text = netns.output("cat", &["/proc/net/netstat"])?;
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let mut words = || lines.next().into_iter().flat_map(str::split_whitespace);
    let at = words().position(|name| name == "TCPMD5Failure");
    let value = at
        .and_then(|at| words().nth(at))
        .context("no such counter")?;
    Ok(value.parse()?)
}
