//! FRR: zebra, and bgpd that leaves the kernel alone where the row does.

use anyhow::Result;

use super::{
    super::{ground::Ground, peer::DAEMON_AS, row::Scene, start::appears},
    Neighbour, write,
};
use crate::lab::{frr::DAEMON_DIR, netns::stdout_of, process::Process};

pub(super) fn start(
    ground: &Ground,
    scene: Scene,
    neighbours: &[Neighbour],
) -> Result<Vec<Process>> {
    write(ground, "zebra.conf", "hostname dut\nlog stdout errors\n")?;
    write(ground, "bgpd.conf", &config(scene, neighbours))?;
    let dir = ground.dir();
    stdout_of(
        std::process::Command::new("chown")
            .args(["-R", "frr:frr"])
            .arg(&dir),
    )?;
    let spawn = |daemon: &str, more: &[&str]| {
        let mut command = ground.daemon.command(&format!("{DAEMON_DIR}/{daemon}"));
        command.arg("-f").arg(dir.join(format!("{daemon}.conf")));
        command.arg("-i").arg(dir.join(format!("{daemon}.pid")));
        command.arg("--vty_socket").arg(&dir).args(["-P", "0"]);
        command.arg("-z").arg(dir.join("zserv.api")).args(more);
        ground.processes.spawn(daemon, &command)
    };
    let zebra = spawn("zebra", &[])?;
    appears(&dir.join("zserv.api"))?;
    let bgpd = spawn("bgpd", if scene.row.installs() { &[] } else { &["-n"] })?;
    Ok(vec![zebra, bgpd])
}

fn config(scene: Scene, neighbours: &[Neighbour]) -> String {
    let hold = scene.hold_time();
    let mut text = format!(
        "hostname dut\nlog stdout errors\nrouter bgp {DAEMON_AS}\n bgp router-id 10.99.0.1\n \
         no bgp ebgp-requires-policy\n no bgp default ipv4-unicast\n timers bgp {} {hold}\n \
         bgp graceful-restart-disable\n",
        hold / 3
    );
    for Neighbour { identity, .. } in neighbours {
        let address = identity.address;
        text.push_str(&format!(
            " neighbor {address} remote-as {}\n neighbor {address} passive\n \
             neighbor {address} advertisement-interval 0\n",
            identity.asn
        ));
    }
    text.push_str(" address-family ipv4 unicast\n");
    for Neighbour { identity, told } in neighbours {
        let address = identity.address;
        text.push_str(&format!("  neighbor {address} activate\n"));
        if scene.row.reflects() {
            text.push_str(&format!("  neighbor {address} route-reflector-client\n"));
        }
        if !told {
            text.push_str(&format!("  neighbor {address} route-map none out\n"));
        }
    }
    text.push_str(" exit-address-family\nexit\nroute-map none deny 10\nexit\n");
    text
}
