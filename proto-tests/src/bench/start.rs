//! Starting daemons, which is the same for both kinds of benchmarks.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};

use crate::lab::{
    netns::Netns,
    process::{Process, Processes},
    requirements::Binaries,
    run_dir::RunDir,
    wait,
};

/// The node that the speaker runs on.
pub(super) const NODE: &str = "n1";

/// Where a daemon runs.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) daemon: &'a Netns,
    pub(super) run_dir: &'a RunDir,
    pub(super) processes: &'a Processes,
}

/// Redstart with these objects; it runs when this returns.
pub(super) fn redstart(
    place: Place<'_>,
    manifests: &str,
    binaries: &Binaries,
) -> Result<Vec<Process>> {
    let objects = place.run_dir.objects();
    fs::write(objects.join("all.yaml"), manifests)?;
    let program = binaries.path("redstart");
    let mut command = place.daemon.command(program.to_str().context("not UTF-8")?);
    let socket = place.run_dir.socket(NODE);
    command.args(["run", "--node", NODE, "--log", "warn"]);
    command.arg("--objects").arg(objects);
    command.arg("--socket").arg(&socket);
    command.env_remove("KUBECONFIG");
    let process = place.processes.spawn("redstart", &command)?;
    appears(&socket)?;
    Ok(vec![process])
}

/// Waits for a file, such as a socket.
pub(super) fn appears(path: &Path) -> Result<()> {
    let what = format!("{} appears", path.display());
    wait::until(&what, Duration::from_secs(15), || {
        path.exists().then_some(()).context("not there")
    })
    .map(drop)
}
