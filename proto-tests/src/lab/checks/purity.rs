//! No NAT and no overlay, anywhere in the lab.

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::lab::{Lab, kernel, netns::Netns, topology::Family};

/// Tunnel devices that some kernels put, unused and down, into every new namespace as soon as the
/// module is loaded (`net.core.fb_tunnels_only_for_init_net`).
const KERNEL_FALLBACK: [&str; 9] = [
    "tunl0", "gre0", "gretap0", "erspan0", "sit0", "ip_vti0", "ip6tnl0", "ip6gre0", "ip6_vti0",
];

/// Checks every namespace of the lab: no packet filter rule of any kind, no interface but loopback,
/// veth and bridge, no route with an encapsulation. Says how many namespaces.
pub fn no_nat_no_tunnel(lab: &Lab) -> Result<usize> {
    let boxes = lab.topology.boxes();
    for name in &boxes {
        let netns = lab.netns(name);
        no_rules(&netns)?;
        no_tunnel(&netns)?;
        for family in Family::ALL {
            // Reading fails on a route with an encapsulation.
            kernel::routes(&netns, family)?;
        }
    }
    Ok(boxes.len())
}

/// nftables (also what `iptables-nft` makes) and the old iptables: both must be empty.
fn no_rules(netns: &Netns) -> Result<()> {
    let ruleset = netns.output("nft", &["list", "ruleset"])?;
    if !ruleset.trim().is_empty() {
        bail!("{} has packet filter rules:\n{ruleset}", netns.name());
    }
    for tables in ["/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"] {
        let names = netns.output("sh", &["-c", &format!("cat {tables} 2>/dev/null || true")])?;
        if !names.trim().is_empty() {
            bail!(
                "{} has iptables tables: {}",
                netns.name(),
                names.replace('\n', " ")
            );
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct Link {
    ifname: String,
    #[serde(default)]
    flags: Vec<String>,
    link_type: String,
    linkinfo: Option<LinkInfo>,
}

#[derive(Deserialize)]
struct LinkInfo {
    info_kind: Option<String>,
}

fn no_tunnel(netns: &Netns) -> Result<()> {
    let text = netns.output("ip", &["-d", "-j", "link", "show"])?;
    match foreign_link(&text)? {
        Some(link) => bail!("{} has {link}", netns.name()),
        None => Ok(()),
    }
}

fn foreign_link(text: &str) -> Result<Option<String>> {
    let links: Vec<Link> = serde_json::from_str(text).context("ip answered no JSON")?;
    for link in links {
        let kind = link.linkinfo.and_then(|info| info.info_kind);
        let plain = matches!(kind.as_deref(), Some("veth" | "bridge"))
            || (kind.is_none() && link.link_type == "loopback");
        let fallback = KERNEL_FALLBACK.contains(&link.ifname.as_str())
            && !link.flags.iter().any(|flag| flag == "UP");
        if !plain && !fallback {
            return Ok(Some(format!("{} of kind {kind:?}", link.ifname)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tunnel_is_found() {
        let plain = r#"[{"ifname":"lo","flags":["UP"],"link_type":"loopback"},
            {"ifname":"eth0","flags":["UP"],"link_type":"ether","linkinfo":{"info_kind":"veth"}},
            {"ifname":"tunl0","flags":["NOARP"],"link_type":"ipip","linkinfo":{"info_kind":"ipip"}}]"#;
        assert_eq!(foreign_link(plain).unwrap(), None);
        for (name, flags, kind) in [
            ("tunl0", "UP", "ipip"),
            ("vxlan.calico", "", "vxlan"),
            ("wg0", "", "wireguard"),
        ] {
            let text = format!(
                r#"[{{"ifname":"{name}","flags":["{flags}"],"link_type":"x","linkinfo":{{"info_kind":"{kind}"}}}}]"#
            );
            assert!(foreign_link(&text).unwrap().is_some(), "{name}");
        }
    }
}
