//! OpenBGPD, the portable version.

use std::{fs, os::unix::fs::PermissionsExt as _};

use anyhow::Result;

use super::{
    super::{ground::Ground, peer::DAEMON_AS, row::Scene},
    Neighbour, write,
};
use crate::lab::process::Process;

/// Where its unprivileged processes chroot to; Debian's service makes it when it starts.
const EMPTY: &str = "/run/openbgpd";

pub(super) fn start(
    ground: &Ground,
    scene: Scene,
    neighbours: &[Neighbour],
) -> Result<Vec<Process>> {
    fs::create_dir_all(EMPTY)?;
    let file = write(ground, "bgpd.conf", &config(ground, scene, neighbours))?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    let mut command = ground.daemon.command("bgpd");
    command.args(["-d", "-f"]).arg(file);
    Ok(vec![ground.processes.spawn("openbgpd", &command)?])
}

fn config(ground: &Ground, scene: Scene, neighbours: &[Neighbour]) -> String {
    let mut text = format!(
        "AS {DAEMON_AS}\nrouter-id 10.99.0.1\nholdtime {}\nfib-update no\nsocket \"{}\"\n\
         listen on 10.99.0.1\n",
        scene.hold_time(),
        ground.dir().join("bgpd.sock").display()
    );
    for Neighbour { identity, .. } in neighbours {
        text.push_str(&format!(
            "neighbor {} {{\n  remote-as {}\n  passive\n  announce restart no\n{}}}\n",
            identity.address,
            identity.asn,
            if scene.row.reflects() {
                "  route-reflector\n"
            } else {
                ""
            }
        ));
    }
    text.push_str("allow from any\nallow to any\n");
    for Neighbour { identity, told } in neighbours {
        if !told {
            text.push_str(&format!("deny quick to {}\n", identity.address));
        }
    }
    text
}
