//! Packets between boxes: who can send to whom, and pings.

mod stream;
mod tcp;

use std::thread;

use anyhow::{Context as _, Result};

pub use self::{
    stream::Stream,
    tcp::{PORT, Seen, TcpServers, connect, serve, tcp_all},
};
use super::{
    Lab,
    netns::Netns,
    topology::{DualStack, Family, Topology},
    wait,
    wiring::join,
};

/// How many pings or connections are under way at once.
const AT_ONCE: usize = 8;

/// A box that sends and receives.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its name in the lab.
    pub name: String,
    /// The node that it is a pod of, if it is one.
    pub node: Option<String>,
    /// Its namespace.
    pub netns: Netns,
    /// Its addresses.
    pub addresses: DualStack,
}

/// The external host and every pod.
pub fn endpoints(lab: &Lab) -> Result<Vec<Endpoint>> {
    let mut endpoints = vec![Endpoint {
        name: Topology::EXT.to_owned(),
        node: None,
        netns: lab.netns(Topology::EXT),
        addresses: lab.topology.ext,
    }];
    for node in &lab.topology.nodes {
        for pod in &node.pods {
            let addresses = lab
                .pods
                .get(pod)
                .with_context(|| format!("{pod} is not attached"))?;
            endpoints.push(Endpoint {
                name: pod.clone(),
                node: Some(node.name.clone()),
                netns: lab.netns(pod),
                addresses: *addresses,
            });
        }
    }
    Ok(endpoints)
}

/// One direction of traffic: from where to where, by name.
#[derive(Clone, Debug)]
pub struct Flow<'a> {
    /// The sender, or the client.
    pub from: &'a Endpoint,
    /// The receiver, or the server.
    pub to: &'a Endpoint,
    /// By which protocol.
    pub family: Family,
}

/// External host <-> pods and pods <-> pods of other nodes, both directions, both families.
pub fn flows(endpoints: &[Endpoint]) -> Vec<Flow<'_>> {
    let mut flows = Vec::new();
    for from in endpoints {
        for to in endpoints.iter().filter(|to| to.node != from.node) {
            flows.extend(Family::ALL.map(|family| Flow { from, to, family }));
        }
    }
    flows
}

/// Sends one ping along each flow; one that is lost is a failure.
pub fn ping_all(flows: &[Flow<'_>]) -> Result<()> {
    for some in flows.chunks(AT_ONCE) {
        wait::check_interrupt()?;
        thread::scope(|scope| {
            join(
                some.iter()
                    .map(|flow| scope.spawn(move || ping(flow)))
                    .collect(),
            )
        })?;
    }
    Ok(())
}

fn ping(flow: &Flow<'_>) -> Result<()> {
    let to = flow.to.addresses.of(flow.family).to_string();
    flow.from
        .netns
        .output("ping", &["-n", "-q", "-c", "1", "-W", "3", &to])
        .map(drop)
        .with_context(|| format!("ping {} -> {} ({to})", flow.from.name, flow.to.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::topology::TorKind;

    #[test]
    fn flows_leave_the_node() {
        let topology = Topology::new("x", TorKind::Bird);
        let endpoint = |name: &str, node: Option<&str>| Endpoint {
            name: name.to_owned(),
            node: node.map(str::to_owned),
            netns: Netns::of("x", name),
            addresses: topology.ext,
        };
        let all = [
            endpoint("ext", None),
            endpoint("a", Some("n1")),
            endpoint("b", Some("n1")),
        ];
        let names: Vec<(&str, &str)> = flows(&all)
            .iter()
            .filter(|flow| flow.family == Family::V4)
            .map(|flow| (flow.from.name.as_str(), flow.to.name.as_str()))
            .collect();
        assert_eq!(
            names,
            [("ext", "a"), ("ext", "b"), ("a", "ext"), ("b", "ext")]
        );
    }
}
