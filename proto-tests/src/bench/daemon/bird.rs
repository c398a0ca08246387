//! BIRD 2.

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
    let file = write(ground, "bird.conf", &config(scene, neighbours))?;
    let mut command = ground.daemon.command("bird");
    command.arg("-f").arg("-c").arg(file);
    command.arg("-s").arg(ground.dir().join("bird.ctl"));
    Ok(vec![ground.processes.spawn("bird", &command)?])
}

fn config(scene: Scene, neighbours: &[Neighbour]) -> String {
    let mut text = format!(
        "log stderr {{ warning, error, fatal }};\nrouter id 10.99.0.1;\nprotocol device {{}}\n\
         template bgp peer {{ local 10.99.0.1 as {DAEMON_AS}; hold time {}; passive on; direct; \
         graceful restart off; }}\n",
        scene.hold_time()
    );
    if scene.row.installs() {
        text.push_str("protocol kernel { ipv4 { export all; import none; }; }\n");
    }
    for (index, Neighbour { identity, told }) in neighbours.iter().enumerate() {
        let export = if *told { "all" } else { "none" };
        let client = if scene.row.reflects() {
            "rr client; "
        } else {
            ""
        };
        text.push_str(&format!(
            "protocol bgp p{index} from peer {{ neighbor {} as {}; {client}\
             ipv4 {{ import all; export {export}; }}; }}\n",
            identity.address, identity.asn
        ));
    }
    text
}
