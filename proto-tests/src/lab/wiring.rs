//! Namespaces, links, addresses and sysctls: the lab's cables.

use std::{collections::BTreeMap, thread};

use anyhow::{Result, bail};

use super::{
    cni::Attachment,
    netns::{Netns, host_ip},
    run_dir::RunDir,
    topology::{DualStack, Topology},
};

/// No router advertisements, no duplicate address detection (addresses must work at once), no
/// reverse path filter in the way of ECMP, L4 hashes over ECMP paths.
const HOST: [(&str, &str); 6] = [
    ("net/ipv6/conf/default/accept_dad", "0"),
    ("net/ipv6/conf/default/dad_transmits", "0"),
    ("net/ipv6/conf/default/accept_ra", "0"),
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
    ("net/ipv6/conf/all/disable_ipv6", "0"),
];
const ROUTER: [(&str, &str); 5] = [
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
    ("net/ipv6/conf/default/forwarding", "1"),
    ("net/ipv4/fib_multipath_hash_policy", "1"),
    ("net/ipv6/fib_multipath_hash_policy", "1"),
];

/// A box's link to one of the two LANs.
struct Link {
    netns: String,
    interface: &'static str,
    lan: &'static str,
    port: String,
    addresses: DualStack,
}

/// Builds everything but the pods' interfaces, which are the CNI plugin's.
pub(super) fn wire(topology: &Topology) -> Result<()> {
    let lab = topology.lab.as_str();
    let links = links(topology);
    let switch = Netns::of(lab, Topology::SWITCH);
    let namespaces: Vec<String> = topology
        .boxes()
        .iter()
        .map(|name| format!("netns add {lab}-{name}"))
        .collect();
    host_ip(&namespaces)?;
    // Before any link exists: the defaults are what a new interface starts with.
    in_parallel(topology.boxes().iter().map(|name| {
        move || {
            let forwards = topology.nodes.iter().any(|node| node.name == *name)
                || topology.routers.iter().any(|router| router.name == *name);
            let netns = Netns::of(lab, name);
            let mut settings = HOST.to_vec();
            if forwards {
                settings.extend(ROUTER);
            }
            netns.sysctl(&settings)
        }
    }))?;
    host_ip(&cables(lab, &links))?;
    switch.ip(&bridges(&links))?;
    in_parallel(topology.boxes().iter().map(|name| {
        let lines = addresses(topology, name, &links);
        move || Netns::of(lab, name).ip(&lines)
    }))
}

fn links(topology: &Topology) -> Vec<Link> {
    let link = |netns: &str, interface, lan, addresses| Link {
        netns: netns.to_owned(),
        interface,
        lan,
        port: format!("{lan}-{netns}"),
        addresses,
    };
    let mut links = vec![
        link(Topology::EXT, "eth0", "ext", topology.ext),
        link(Topology::APISERVER, "eth0", "rack", topology.apiserver),
    ];
    for node in &topology.nodes {
        links.push(link(&node.name, "eth0", "rack", node.addresses));
    }
    for router in &topology.routers {
        links.push(link(&router.name, "rack0", "rack", router.rack));
        links.push(link(&router.name, "ext0", "ext", router.ext));
    }
    links
}

fn cables(lab: &str, links: &[Link]) -> Vec<String> {
    links
        .iter()
        .map(
            |Link {
                 netns,
                 interface,
                 port,
                 ..
             }| {
                format!(
                    "link add {interface} netns {lab}-{netns} type veth peer name {port} netns \
                 {lab}-{}",
                    Topology::SWITCH
                )
            },
        )
        .collect()
}

fn bridges(links: &[Link]) -> Vec<String> {
    let mut lines = Vec::new();
    for lan in ["rack", "ext"] {
        lines.push(format!(
            "link add {lan} type bridge forward_delay 0 mcast_snooping 0"
        ));
        lines.push(format!("link set {lan} up"));
    }
    for Link { lan, port, .. } in links {
        lines.push(format!("link set {port} master {lan} up"));
    }
    lines
}

fn addresses(topology: &Topology, name: &str, links: &[Link]) -> Vec<String> {
    let mut lines = vec!["link set lo up".to_owned()];
    for Link {
        interface,
        addresses,
        ..
    } in links.iter().filter(|link| link.netns == name)
    {
        lines.push(format!("address add {}/24 dev {interface}", addresses.v4));
        lines.push(format!(
            "address add {}/64 dev {interface} nodad",
            addresses.v6
        ));
        // Chosen, not derived from a random MAC address: so a next hop can be told by its number.
        lines.push(format!("link set {interface} addrgenmode none"));
        let link_local = addresses.link_local();
        lines.push(format!("address add {link_local}/64 dev {interface} nodad"));
        lines.push(format!("link set {interface} up"));
    }
    if name == Topology::EXT {
        lines.extend(ext_default_routes(topology));
    }
    lines
}

/// The external host knows the router(s), and nothing of pods.
fn ext_default_routes(topology: &Topology) -> [String; 2] {
    let hops = |address: &dyn Fn(DualStack) -> String| {
        let hops: Vec<String> = topology
            .routers
            .iter()
            .map(|router| format!("nexthop via {}", address(router.ext)))
            .collect();
        hops.join(" ")
    };
    [
        format!(
            "route add 0.0.0.0/0 {}",
            hops(&|addresses| addresses.v4.to_string())
        ),
        format!(
            "route add ::/0 {}",
            hops(&|addresses| addresses.v6.to_string())
        ),
    ]
}

/// Attaches every pod; nodes in parallel, the pods of one node one after the other, as a kubelet
/// with an empty node does.
pub(super) fn attach_pods(
    topology: &Topology,
    run_dir: &RunDir,
) -> Result<BTreeMap<String, DualStack>> {
    let lab = topology.lab.as_str();
    let mut pods = BTreeMap::new();
    let attached = thread::scope(|scope| {
        let handles: Vec<_> = topology
            .nodes
            .iter()
            .map(|node| {
                scope.spawn(move || -> Result<Vec<(String, DualStack)>> {
                    let leases = run_dir.leases(&node.name);
                    let node_netns = Netns::of(lab, &node.name);
                    node.pods
                        .iter()
                        .map(|pod| {
                            let attachment = Attachment {
                                node: &node_netns,
                                pod: &Netns::of(lab, pod),
                                pod_cidrs: &node.pod_cidrs,
                                leases: &leases,
                            };
                            Ok((pod.clone(), attachment.add()?))
                        })
                        .collect()
                })
            })
            .collect();
        join(handles)
    })?;
    pods.extend(attached.into_iter().flatten());
    Ok(pods)
}

/// Runs every job in a thread of its own; the first failure is the result.
fn in_parallel<J>(jobs: impl Iterator<Item = J>) -> Result<()>
where
    J: FnOnce() -> Result<()> + Send,
{
    thread::scope(|scope| join(jobs.map(|job| scope.spawn(job)).collect())).map(drop)
}

/// Waits for every thread, then returns what they found or the first failure.
pub(super) fn join<T>(handles: Vec<thread::ScopedJoinHandle<'_, Result<T>>>) -> Result<Vec<T>> {
    let results: Vec<_> = handles
        .into_iter()
        .map(thread::ScopedJoinHandle::join)
        .collect();
    results
        .into_iter()
        .map(|result| match result {
            Ok(result) => result,
            Err(_) => bail!("a thread of the lab panicked"),
        })
        .collect()
}
