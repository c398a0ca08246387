//! Pods reach, and are reached, by their own addresses.

use anyhow::Result;

use crate::lab::{
    Lab,
    traffic::{TcpServers, endpoints, flows, ping_all, tcp_all},
};

/// Pings along every flow, one packet each, none lost. Says how many.
pub fn ping(lab: &Lab) -> Result<usize> {
    let endpoints = endpoints(lab)?;
    let flows = flows(&endpoints);
    ping_all(&flows)?;
    Ok(flows.len())
}

/// TCP along every flow; both ends see the other's real address. Says how many connections.
pub fn tcp(lab: &Lab) -> Result<usize> {
    let endpoints = endpoints(lab)?;
    let flows = flows(&endpoints);
    let _servers = TcpServers::start(lab, &endpoints)?;
    tcp_all(lab, &flows)?;
    Ok(flows.len())
}
