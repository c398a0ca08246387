//! GoBGP. It cannot be told to tell one neighbour nothing without a policy that every route then
//! goes through, so its senders are told.

use anyhow::Result;

use super::{
    super::{ground::Ground, peer::DAEMON_AS, row::Scene},
    Neighbour, write,
};
use crate::lab::process::Process;

pub(super) fn start(
    ground: &Ground,
    scene: Scene,
    neighbours: &[Neighbour],
) -> Result<Vec<Process>> {
    let file = write(ground, "gobgpd.toml", &config(scene, neighbours))?;
    let mut command = ground.daemon.command("gobgpd");
    command.arg("-f").arg(file);
    command.args(["--log-plain", "-l", "warn", "--pprof-disable"]);
    command.args(["--api-hosts", "127.0.0.1:50051"]);
    Ok(vec![ground.processes.spawn("gobgpd", &command)?])
}

fn config(scene: Scene, neighbours: &[Neighbour]) -> String {
    let hold = scene.hold_time();
    let mut text = format!(
        "[global.config]\nas = {DAEMON_AS}\nrouter-id = \"10.99.0.1\"\n\
         local-address-list = [\"10.99.0.1\"]\n"
    );
    for Neighbour { identity, .. } in neighbours {
        text.push_str(&format!(
            "[[neighbors]]\n[neighbors.config]\nneighbor-address = \"{}\"\npeer-as = {}\n\
             [neighbors.transport.config]\npassive-mode = true\n[neighbors.timers.config]\n\
             hold-time = {hold}\nkeepalive-interval = {}\n",
            identity.address,
            identity.asn,
            hold / 3
        ));
        if scene.row.reflects() {
            text.push_str(
                "[neighbors.route-reflector.config]\nroute-reflector-client = true\n\
                 route-reflector-cluster-id = \"10.99.0.1\"\n",
            );
        }
    }
    text
}
