//! The third speaker of a scene where somebody reflects routes: another Redstart, in the same AS, with
//! one session, to whoever reflects.

use std::fs;

use anyhow::{Context as _, Result};

use super::{
    session::{SHARED_PREFIX, Session, THIRD_ADDRESS, THIRD_PREFIX},
    site::{Site, THIRD_NODE},
};
use crate::lab::{process::Process, requirements::Binaries};

/// Starts it.
pub(super) fn start(site: &Site, binaries: &Binaries, session: &Session) -> Result<Process> {
    let dir = site.run_dir.path().join("third");
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("objects.yaml"), objects(session))?;
    let program = binaries.path("redstart");
    let program = program.to_str().context("the path is not UTF-8")?;
    let mut command = site.third.command(program);
    command.args(["run", "--node", THIRD_NODE, "--log-format", "text"]);
    command.arg("--objects").arg(&dir);
    command.arg("--socket").arg(dir.join("redstart.sock"));
    command.env_remove("KUBECONFIG");
    site.processes.spawn("third", &command)
}

fn objects(session: &Session) -> String {
    let reflector = if session.they_reflect() {
        session.their_address()
    } else {
        session.our_address()
    };
    let asn = session.our_as;
    format!(
        "apiVersion: v1\nkind: Node\nmetadata:\n  name: {THIRD_NODE}\nstatus:\n  addresses:\n  \
         - type: InternalIP\n    address: {THIRD_ADDRESS}\n---\n\
         apiVersion: redstart.dev/v1alpha1\nkind: BGPConfiguration\nmetadata:\n  name: default\n\
         spec:\n  asn: {asn}\n  mesh:\n    mode: None\n  timers:\n    connectRetrySeconds: 1\n\
         ---\napiVersion: redstart.dev/v1alpha1\nkind: BGPPeer\nmetadata:\n  name: reflector\n\
         spec:\n  address: \"{reflector}\"\n  asn: {asn}\n  families: [IPv4]\n---\n\
         apiVersion: redstart.dev/v1alpha1\nkind: BGPAdvertisement\nmetadata:\n  name: own\n\
         spec:\n  staticPrefixes: [{THIRD_PREFIX}, {SHARED_PREFIX}]\n"
    )
}
