//! The routes that must be in the kernels, and that no others are.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use anyhow::{Result, bail};

use crate::lab::{
    Lab, kernel,
    topology::{DualPrefix, Family, Topology},
    wait,
};

/// Routes by box and family, then by prefix: the next hops.
pub type Expected = BTreeMap<(String, Family), BTreeMap<String, BTreeSet<IpAddr>>>;

/// What every box must have learned by BGP: the nodes the other nodes' pod CIDRs (by the mesh) and
/// the ext LAN from every router; the routers every pod CIDR.
pub fn expected(topology: &Topology) -> Expected {
    let mut expected = Expected::new();
    for family in Family::ALL {
        let pod_cidrs = |without: &str| -> BTreeMap<String, BTreeSet<IpAddr>> {
            topology
                .nodes
                .iter()
                .filter(|node| node.name != without)
                .map(|node| {
                    let hop = node.addresses.of(family);
                    (node.pod_cidrs.of(family).to_owned(), BTreeSet::from([hop]))
                })
                .collect()
        };
        for router in &topology.routers {
            expected.insert((router.name.clone(), family), pod_cidrs(""));
        }
        for node in &topology.nodes {
            let mut routes = pod_cidrs(&node.name);
            let hops = topology
                .routers
                .iter()
                .map(|router| router.rack.of(family))
                .collect();
            routes.insert(DualPrefix::ext().of(family).to_owned(), hops);
            expected.insert((node.name.clone(), family), routes);
        }
    }
    expected
}

/// Fails unless each expected route is there once with exactly these next hops, and there is no
/// other route that a routing daemon made.
pub fn all(lab: &Lab, expected: &Expected) -> Result<()> {
    for ((name, family), routes) in expected {
        let mut kernel = kernel::routes(&lab.netns(name), *family)?;
        for route in &mut kernel {
            route.next_hops = route
                .next_hops
                .iter()
                .map(|hop| lab.topology.global(*hop))
                .collect();
        }
        for (dst, hops) in routes {
            let found: Vec<_> = kernel.iter().filter(|route| route.dst == *dst).collect();
            match found.as_slice() {
                [] => bail!("{name} has no route to {dst}"),
                [route] if route.next_hops == *hops => {}
                [route] => {
                    bail!(
                        "{name} reaches {dst} by {:?}, not {hops:?}",
                        route.next_hops
                    );
                }
                many => bail!("{name} has {} routes to {dst}: {many:?}", many.len()),
            }
        }
        for route in &kernel {
            let dynamic = matches!(route.protocol.as_str(), "bgp" | "bird" | "zebra" | "186");
            if dynamic && !routes.contains_key(&route.dst) {
                bail!(
                    "{name} has a route to {} that nobody should announce",
                    route.dst
                );
            }
        }
    }
    Ok(())
}

/// Waits until [`all`] holds.
pub fn wait_all(lab: &Lab, expected: &Expected, bound: Duration) -> Result<Duration> {
    let ((), took) = wait::until("all routes in all kernels", bound, || all(lab, expected))?;
    Ok(took)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::topology::TorKind;

    #[test]
    fn two_routers_are_two_next_hops() {
        let expected = expected(&Topology::new("x", TorKind::Ecmp));
        let n1 = &expected[&("n1".to_owned(), Family::V4)];
        assert_eq!(n1.len(), 3);
        assert_eq!(n1["10.20.0.0/24"].len(), 2);
        assert!(!n1.contains_key("10.244.1.0/24"));
        assert_eq!(expected[&("tor2".to_owned(), Family::V6)].len(), 3);
    }
}
