//! The run directory of a lab, and taking a lab down by it.
//!
//! `tear_down` works from what is on disk and in the kernel alone, so it does the same for a lab of
//! this very process, one that `lab up` left running, and one whose process was killed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::{
    LabOptions,
    cni::Attachment,
    netns::{self, Netns},
    process::Processes,
    speaker::{Source, SpeakerKind},
    topology::{DualStack, Topology, TorKind},
};

const ROOT: &str = "/run/redstart-lab";

/// What a lab was started with: enough to find everything again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Started {
    /// The routers.
    pub tor: TorKind,
    /// Where the speakers get their objects.
    pub source: Source,
    /// What speaks on the nodes.
    pub speaker: SpeakerKind,
    /// Where the project's programs are.
    pub binaries: PathBuf,
}

/// The directory of one lab.
#[derive(Clone, Debug)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// The directory of the lab of that name.
    pub fn of(lab: &str) -> Self {
        Self {
            path: Path::new(ROOT).join(lab),
        }
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The manifests that the speakers watch.
    pub fn objects(&self) -> PathBuf {
        self.path.join("objects")
    }

    /// How to reach the API server of a lab that has one.
    pub fn kubeconfig(&self) -> PathBuf {
        self.path.join("kubeconfig")
    }

    /// Where a node's speaker keeps the last known objects.
    pub fn cache(&self, node: &str) -> PathBuf {
        self.path.join(format!("cache-{node}"))
    }

    /// The control socket of a node's speaker.
    pub fn socket(&self, node: &str) -> PathBuf {
        self.path.join(format!("{node}.sock"))
    }

    /// The socket of a node's speaker for BIRD's clients.
    pub fn bird_socket(&self, node: &str) -> PathBuf {
        self.path.join(format!("{node}.ctl"))
    }

    /// The leases of the CNI plugin `host-local` on a node.
    pub fn leases(&self, node: &str) -> PathBuf {
        self.path.join(format!("cni-{node}"))
    }

    /// Small programs for `lab exec` in a box: a `birdc` that finds its socket, …
    pub fn tools(&self, name: &str) -> PathBuf {
        self.path.join(format!("tools-{name}"))
    }

    /// Makes such a program: a shell script that runs `command` with its own arguments after it.
    pub(super) fn write_tool(&self, name: &str, tool: &str, command: &str) -> Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = self.tools(name);
        fs::create_dir_all(&dir)?;
        let path = dir.join(tool);
        fs::write(&path, format!("#!/bin/sh\nexec {command} \"$@\"\n"))
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    fn started_file(&self) -> PathBuf {
        self.path.join("lab.json")
    }

    fn pods_file(&self) -> PathBuf {
        self.path.join("pods.json")
    }

    /// Makes the directory and writes down what is being started.
    pub(super) fn create(&self, options: &LabOptions) -> Result<()> {
        for dir in [self.path.clone(), self.path.join("log"), self.objects()] {
            fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        let started = Started {
            tor: options.tor,
            source: options.source.clone(),
            speaker: options.speaker,
            binaries: options.binaries.dir.clone(),
        };
        fs::write(self.started_file(), serde_json::to_string(&started)?)?;
        Ok(())
    }

    /// What was started here, or `None` if there is no such lab.
    pub fn started(&self) -> Result<Option<Started>> {
        match fs::read_to_string(self.started_file()) {
            Ok(text) => Ok(serde_json::from_str(&text).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("cannot read what was started"),
        }
    }

    pub(super) fn record_pods(&self, pods: &BTreeMap<String, DualStack>) -> Result<()> {
        let text: BTreeMap<&String, [String; 2]> = pods
            .iter()
            .map(|(name, addresses)| (name, [addresses.v4.to_string(), addresses.v6.to_string()]))
            .collect();
        fs::write(self.pods_file(), serde_json::to_string(&text)?)?;
        Ok(())
    }

    /// The pods' addresses, as they were when the lab came up.
    pub fn pods(&self) -> Result<BTreeMap<String, DualStack>> {
        let text = fs::read_to_string(self.pods_file()).context("the lab is not up")?;
        let raw: BTreeMap<String, [String; 2]> = serde_json::from_str(&text)?;
        raw.into_iter()
            .map(|(name, [v4, v6])| {
                Ok((
                    name,
                    DualStack {
                        v4: v4.parse()?,
                        v6: v6.parse()?,
                    },
                ))
            })
            .collect()
    }
}

/// A name that may stand in namespace names, paths and interface configuration.
pub fn check_name(name: &str) -> Result<()> {
    let fits = (1..=40).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !name.starts_with('-');
    if !fits {
        bail!("lab name {name:?}: letters, digits and '-' only, at most 40");
    }
    Ok(())
}

/// The labs that have a run directory.
pub fn labs() -> Result<Vec<String>> {
    let entries = match fs::read_dir(ROOT) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context(ROOT),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.path().is_dir() {
            names.extend(entry.file_name().into_string().ok());
        }
    }
    names.sort();
    Ok(names)
}

/// Removes everything that a lab of this name has left on the machine, and in the cluster that it
/// used. Nothing there is fine. A cluster that does not answer is an error, once: everything else
/// is removed, the memory of that cluster with it.
pub fn tear_down(lab: &str) -> Result<()> {
    check_name(lab)?;
    let run_dir = RunDir::of(lab);
    // While it is still written down where they are; what fails must not keep the rest.
    let cluster = match run_dir.started()?.map(|started| started.source) {
        Some(Source::Cluster(cluster)) => cluster.clean(),
        _ => Ok(()),
    };
    let existing = netns::list()?;
    detach_pods(lab, &run_dir, &existing);
    Processes::of(run_dir.path()).stop_all()?;
    let deletions: Vec<String> = Topology::every_namespace(lab)
        .into_iter()
        .filter(|name| existing.contains(name))
        .map(|name| format!("netns del {name}"))
        .collect();
    if !deletions.is_empty() {
        netns::host_ip(&deletions).context("cannot delete namespaces")?;
    }
    match fs::remove_dir_all(run_dir.path()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", run_dir.path().display()))
        }
        _ => cluster,
    }
}

/// CNI DEL of every pod, as a container runtime does. A pod that never was attached, or a node that
/// is half gone, must not stop the clean-up: deleting the namespaces takes the rest.
fn detach_pods(lab: &str, run_dir: &RunDir, existing: &[String]) {
    let Ok(Some(started)) = run_dir.started() else {
        return;
    };
    let topology = started.source.topology(lab, started.tor);
    std::thread::scope(|scope| {
        for node in &topology.nodes {
            scope.spawn(move || {
                for pod in &node.pods {
                    let (node_netns, pod_netns) = (Netns::of(lab, &node.name), Netns::of(lab, pod));
                    let there = |netns: &Netns| existing.iter().any(|name| name == netns.name());
                    if !there(&node_netns) || !there(&pod_netns) {
                        continue;
                    }
                    let attachment = Attachment {
                        node: &node_netns,
                        pod: &pod_netns,
                        pod_cidrs: &node.pod_cidrs,
                        leases: &run_dir.leases(&node.name),
                    };
                    if let Err(error) = attachment.del() {
                        eprintln!("lab {lab}: {error:#}");
                    }
                }
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_the_run_directory() {
        for bad in ["", "..", "a/b", "-a", "a b", "a\n"] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        check_name("rs-lab-1").unwrap();
    }
}
