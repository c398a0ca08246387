//! `redstart cleanup`: what an uninstall leaves behind, removed.
//!
//! A speaker that stops leaves its routes in the kernel, for the one that comes after it. Where none
//! will come, this removes them: every route under the marks that were noted beside the control socket
//! and under those that the command line says, and our nexthop objects. Nothing else.

use std::{
    collections::BTreeSet, io::Write, num::NonZeroU32, os::unix::net::UnixStream, path::PathBuf,
};

use anyhow::{Context as _, bail};
use clap::Args;
use redstart_rib::{
    fib::{FibConfig, Marks, Removal, Request, protocol_name},
    netlink::{self, NetlinkConfig, Removed},
};

use super::marks::Recorded;
use crate::control::DEFAULT_SOCKET;

/// Options of `redstart cleanup`.
#[derive(Clone, Debug, Args)]
pub struct Cleanup {
    /// Only say what would be removed.
    #[arg(long)]
    pub dry_run: bool,
    /// The control socket of the speaker that has ended: beside it stands under which table, metric and
    /// protocol its routes are.
    #[arg(long, value_name = "PATH", env = "REDSTART_SOCKET", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
    /// The routing table, as in the BGPConfiguration (`spec.kernel.table`), where nothing stands beside
    /// the socket.
    #[arg(long, default_value_t = FibConfig::TABLE_MAIN)]
    pub table: u32,
    /// The metric, likewise.
    #[arg(long, default_value_t = FibConfig::METRIC)]
    pub metric: NonZeroU32,
    /// The route protocol number, likewise.
    #[arg(long, default_value_t = FibConfig::PROTOCOL_BGP)]
    pub protocol: u8,
}

/// Removes every route and nexthop object of ours, and says to `out` what.
///
/// # Errors
/// A speaker is running here; the kernel cannot be read, or keeps something.
pub async fn cleanup(options: &Cleanup, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    if UnixStream::connect(&options.socket).is_ok() {
        bail!(
            "a speaker answers at {}: it would put its routes back; stop it first",
            options.socket.display()
        );
    }
    let mut recorded = Recorded::beside(&options.socket);
    let removal = options.removal(&recorded);
    let config = NetlinkConfig {
        tables: removal.marks.iter().map(|marks| marks.table).collect(),
        ..NetlinkConfig::default()
    };
    let (netlink, _events) = netlink::open(config)?;
    let removed = if options.dry_run {
        let dump = netlink.dump().await?;
        tell(&removal.requests(&dump), out)?
    } else {
        let removed = netlink.remove(&removal).await;
        let removed = removed.context("not everything could be removed")?;
        recorded.forget(&removal.marks);
        removed
    };
    let how = if options.dry_run { "would be" } else { "were" };
    let Removed { routes, nexthops } = removed;
    writeln!(
        out,
        "{routes} routes and {nexthops} nexthop objects {how} removed"
    )?;
    Ok(())
}

impl Cleanup {
    fn removal(&self, recorded: &Recorded) -> Removal {
        let told = Marks {
            table: self.table,
            protocol: self.protocol,
            metric: self.metric,
        };
        let mut marks = recorded.all().clone();
        marks.insert(told);
        let protocols = marks.iter().map(|marks| marks.protocol);
        Removal {
            objects_of: protocols.collect::<BTreeSet<_>>(),
            marks,
            first_nexthop_id: FibConfig::FIRST_NEXTHOP_ID.get(),
        }
    }
}

/// One line for each; how many of which.
fn tell(requests: &[Request], out: &mut (dyn Write + Send)) -> anyhow::Result<Removed> {
    let mut count = Removed::default();
    for request in requests {
        match request {
            Request::Route { key, .. } => {
                count.routes += 1;
                writeln!(
                    out,
                    "{} table {} proto {} metric {}",
                    key.prefix,
                    key.table,
                    protocol_name(key.protocol),
                    key.metric
                )?;
            }
            Request::Nexthop { id, protocol, .. } => {
                count.nexthops += 1;
                writeln!(
                    out,
                    "nexthop id {} proto {}",
                    id.0,
                    protocol_name(*protocol)
                )?;
            }
        }
    }
    Ok(count)
}
