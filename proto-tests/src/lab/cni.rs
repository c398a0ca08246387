//! Pods, attached by the real CNI plugins.
//!
//! What a container runtime does, without the runtime: the `bridge` plugin is executed in the
//! node's namespace with `CNI_COMMAND=ADD` and the network configuration on its standard input; it
//! calls `host-local` for addresses out of the node's pod CIDRs, makes the node's bridge, the veth
//! pair and the pod's default route. No `ipMasq`: the point of the lab is that nobody translates
//! an address. CNI specification 0.4.0, which every packaged plugin speaks.

use std::{net::IpAddr, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    netns::{Netns, pipe},
    topology::{DualPrefix, DualStack},
};

/// Where Debian's containernetworking-plugins puts the plugins, then where upstream does.
const PLUGIN_DIRS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];

/// The directory with the plugins on this machine.
pub fn plugin_dir() -> Option<&'static str> {
    PLUGIN_DIRS.into_iter().find(|dir| {
        ["bridge", "host-local"]
            .iter()
            .all(|plugin| Path::new(dir).join(plugin).exists())
    })
}

/// A pod's place: its namespace, and its node's.
#[derive(Debug)]
pub struct Attachment<'a> {
    /// Where the plugin runs.
    pub node: &'a Netns,
    /// What it attaches.
    pub pod: &'a Netns,
    /// Where the addresses come from.
    pub pod_cidrs: &'a DualPrefix,
    /// Where `host-local` keeps its leases.
    pub leases: &'a Path,
}

impl Attachment<'_> {
    /// Attaches the pod and returns the addresses that it got.
    pub fn add(&self) -> Result<DualStack> {
        let answer = self.call("ADD")?;
        let result: AddResult = serde_json::from_str(&answer)
            .with_context(|| format!("CNI ADD of {} answered {answer}", self.pod.name()))?;
        result
            .dual_stack()
            .with_context(|| format!("CNI ADD of {} gave {answer}", self.pod.name()))
    }

    /// Detaches the pod and gives its addresses back.
    pub fn del(&self) -> Result<()> {
        self.call("DEL").map(drop)
    }

    fn call(&self, verb: &str) -> Result<String> {
        let dir = plugin_dir().context("no CNI plugins: containernetworking-plugins is missing")?;
        let mut command: Command = self.node.command(&format!("{dir}/bridge"));
        command
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", self.pod.name())
            .env("CNI_NETNS", self.pod.path())
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", dir);
        pipe(&mut command, &self.config().to_string())
            .with_context(|| format!("CNI {verb} of {}", self.pod.name()))
    }

    fn config(&self) -> Value {
        json!({
            "cniVersion": "0.4.0",
            "name": "pods",
            "type": "bridge",
            "bridge": "cni0",
            "isDefaultGateway": true,
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "dataDir": self.leases,
                "ranges": [
                    [{ "subnet": self.pod_cidrs.v4 }],
                    [{ "subnet": self.pod_cidrs.v6 }],
                ],
            },
        })
    }
}

#[derive(Deserialize)]
struct AddResult {
    ips: Vec<AssignedIp>,
}

#[derive(Deserialize)]
struct AssignedIp {
    /// With the prefix length: `10.244.1.2/24`.
    address: String,
}

impl AddResult {
    fn dual_stack(&self) -> Result<DualStack> {
        let (mut v4, mut v6) = (None, None);
        for ip in &self.ips {
            let address = ip.address.split('/').next().unwrap_or_default();
            match address
                .parse()
                .with_context(|| format!("address {address:?}"))?
            {
                IpAddr::V4(address) => v4 = Some(address),
                IpAddr::V6(address) => v6 = Some(address),
            }
        }
        let (Some(v4), Some(v6)) = (v4, v6) else {
            bail!("not one address of each family");
        };
        Ok(DualStack { v4, v6 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_plugin_answers() {
        let answer = r#"{"cniVersion":"0.4.0","ips":[
            {"version":"4","interface":2,"address":"10.244.1.2/24","gateway":"10.244.1.1"},
            {"version":"6","interface":2,"address":"fd00:244:1::2/64"}],"dns":{}}"#;
        let result: AddResult = serde_json::from_str(answer).unwrap();
        let addresses = result.dual_stack().unwrap();
        assert_eq!(addresses.v4.to_string(), "10.244.1.2");
        assert_eq!(addresses.v6.to_string(), "fd00:244:1::2");
        let half: AddResult =
            serde_json::from_str(r#"{"ips":[{"address":"10.0.0.1/8"}]}"#).unwrap();
        assert!(half.dual_stack().is_err());
    }
}
