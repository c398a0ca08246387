//! The speaker of a node: Redstart, or the stand-in that proves the lab.

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::{Context as _, Result, bail};
use redstart_controller::control::views;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    Lab, bird,
    cluster::LabCluster,
    netns::stdout_of,
    process::Process,
    topology::{Topology, TorKind},
    wait,
};

/// What speaks on the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpeakerKind {
    /// `redstart run`.
    Redstart,
    /// BIRD with a generated configuration: the positive control.
    Bird,
}

/// Where speakers get their objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A directory of manifests.
    Objects,
    /// The Kubernetes API, served on the rack LAN by the tests' API server.
    Kube,
    /// The API of a cluster that is not the lab's own, through a relay.
    Cluster(LabCluster),
}

impl Source {
    /// What the Node or `BGPPeer` that the lab calls `short` is called there.
    pub fn object_name(&self, short: &str) -> String {
        match self {
            Self::Objects | Self::Kube => short.to_owned(),
            Self::Cluster(cluster) => cluster.object_name(short),
        }
    }

    /// The description of a lab with its objects there.
    pub fn topology(&self, lab: &str, kind: TorKind) -> Topology {
        let topology = Topology::new(lab, kind);
        match self {
            Self::Objects | Self::Kube => topology,
            Self::Cluster(_) => topology.in_foreign_cluster(),
        }
    }
}

/// How to start the speaker of a node.
#[derive(Clone, Debug)]
pub struct SpeakerStart {
    /// The node.
    pub node: String,
    /// A program and its arguments that starts the speaker: `setpriv …`.
    pub wrapper: Vec<String>,
    /// Objects from elsewhere than the lab's own directory.
    pub objects: Option<PathBuf>,
}

impl SpeakerStart {
    /// The usual start.
    pub fn of(node: &str) -> Self {
        Self {
            node: node.to_owned(),
            wrapper: Vec::new(),
            objects: None,
        }
    }
}

/// The role of a node's speaker in the record of processes and the logs.
pub fn role(node: &str) -> String {
    format!("speaker-{node}")
}

pub(super) fn start(lab: &Lab, start: &SpeakerStart) -> Result<Process> {
    let netns = lab.netns(&start.node);
    let node = lab.topology.node(&start.node);
    let node = node.with_context(|| format!("no node {}", start.node))?;
    if lab.options.speaker == SpeakerKind::Bird {
        let dir = lab.run_dir().path().join(format!("bird-{}", node.name));
        let config = bird::speaker_config(&lab.topology, node);
        return bird::start(&netns, &dir, &config, &role(&node.name), &lab.processes());
    }
    let program = lab.options.binaries.path("redstart");
    let program = program
        .to_str()
        .context("the path of redstart is not UTF-8")?;
    let mut words = start.wrapper.iter().map(String::as_str).chain([program]);
    let first = words.next().unwrap_or(program);
    let mut command = netns.command(first);
    command.args(words).args(["run", "--node"]);
    command.arg(lab.options.source.object_name(&node.name));
    match &lab.options.source {
        Source::Objects => {
            let shared = lab.run_dir().objects();
            command
                .arg("--objects")
                .arg(start.objects.as_ref().unwrap_or(&shared));
        }
        Source::Kube | Source::Cluster(_) => {
            command.arg("--kubeconfig").arg(lab.run_dir().kubeconfig());
            command.arg("--cache").arg(lab.run_dir().cache(&node.name));
        }
    }
    command
        .arg("--socket")
        .arg(lab.run_dir().socket(&node.name));
    command
        .arg("--bird-socket")
        .arg(lab.run_dir().bird_socket(&node.name));
    command.args(["--bird-access", "operate"]);
    // Whoever runs the lab may have a cluster of their own; it is not the lab's.
    command.env_remove("KUBECONFIG");
    lab.processes().spawn(&role(&node.name), &command)
}

/// Starts the tests' API server on the rack LAN; it serves the lab's objects and follows them.
pub(super) fn start_apiserver(lab: &Lab) -> Result<Process> {
    let program = lab.options.binaries.path("apiserver");
    let program = program
        .to_str()
        .context("the path of apiserver is not UTF-8")?;
    let kubeconfig = lab.run_dir().kubeconfig();
    let mut command = lab.netns(Topology::APISERVER).command(program);
    command
        .arg("--listen")
        .arg(format!("{}:6443", lab.topology.apiserver.v4));
    command.arg("--kubeconfig-out").arg(&kubeconfig);
    command
        .arg("--objects")
        .arg(lab.run_dir().objects())
        .arg("--follow");
    let mut process = lab.processes().spawn("apiserver", &command)?;
    wait::until("API server answers", Duration::from_secs(10), || {
        if let Some(status) = process.exited()? {
            bail!(
                "it ended: {status}; see {}",
                lab.processes().log("apiserver").display()
            );
        }
        if kubeconfig.exists() {
            Ok(())
        } else {
            bail!("no kubeconfig yet")
        }
    })?;
    Ok(process)
}

/// Asks the speaker of a node through `redc`.
pub fn redc(lab: &Lab, node: &str, args: &[&str]) -> Result<String> {
    let mut command = Command::new(lab.options.binaries.path("redc"));
    command.arg("-s").arg(lab.run_dir().socket(node)).args(args);
    stdout_of(&mut command).with_context(|| format!("redc on {node}"))
}

/// `show status` of a node's speaker.
pub fn status(lab: &Lab, node: &str) -> Result<views::Status> {
    ask(lab, node, &["show", "status"])
}

/// `show protocols` of a node's speaker.
pub fn protocols(lab: &Lab, node: &str) -> Result<Vec<views::Protocol>> {
    ask(lab, node, &["show", "protocols"])
}

/// `show kernel` of a node's speaker.
pub fn kernel(lab: &Lab, node: &str) -> Result<views::Kernel> {
    ask(lab, node, &["show", "kernel"])
}

fn ask<T: DeserializeOwned>(lab: &Lab, node: &str, words: &[&str]) -> Result<T> {
    let args: Vec<&str> = ["-o", "json"].iter().chain(words).copied().collect();
    let answer = redc(lab, node, &args)?;
    serde_json::from_str(&answer).with_context(|| format!("redc on {node} answered {answer}"))
}
