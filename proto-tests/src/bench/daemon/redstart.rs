//! Redstart, told by manifests.

use anyhow::Result;

use super::{
    super::{
        ground::Ground,
        peer::DAEMON_AS,
        policy::{self, POLICY, Rules, State},
        row::Scene,
        start::{self, NODE, Place},
    },
    Neighbour,
};
use crate::lab::{process::Process, requirements::Binaries};

pub(super) fn start(
    ground: &Ground,
    scene: Scene,
    neighbours: &[Neighbour],
    binaries: &Binaries,
) -> Result<Vec<Process>> {
    let place = Place {
        daemon: &ground.daemon,
        run_dir: &ground.run_dir,
        processes: &ground.processes,
    };
    if scene.row.has_policy() {
        let empty = Rules::default().manifest(State::default());
        policy::write(&ground.run_dir.objects(), &empty)?;
    }
    start::redstart(place, &manifests(scene, neighbours), binaries)
}

fn manifests(scene: Scene, neighbours: &[Neighbour]) -> String {
    let mut text = format!(
        "apiVersion: v1\nkind: Node\nmetadata: {{ name: {NODE} }}\nstatus:\n  addresses:\n  \
         - {{ type: InternalIP, address: 10.99.0.1 }}\n---\n\
         apiVersion: redstart.dev/v1alpha1\nkind: BGPConfiguration\nmetadata: {{ name: default }}\n\
         spec:\n  asn: {DAEMON_AS}\n  mesh: {{ mode: None }}\n  advertisePodCIDRs: false\n  \
         kernel: {{ install: {} }}\n  gracefulRestart: {{ enabled: false }}\n  \
         timers: {{ holdTimeSeconds: {} }}\n",
        scene.row.installs(),
        scene.hold_time()
    );
    for (index, neighbour) in neighbours.iter().enumerate() {
        let Neighbour { identity, told } = neighbour;
        text.push_str(&format!(
            "---\napiVersion: redstart.dev/v1alpha1\nkind: BGPPeer\nmetadata: {{ name: p{index} }}\n\
             spec:\n  address: {}\n  asn: {}\n  passive: true\n  families: [IPv4]\n  \
             import: {{ acceptASSets: true, defaultRoute: true }}\n  \
             maxPrefixes: {{ ipv4: 0 }}\n",
            identity.address, identity.asn
        ));
        if scene.row.reflects() {
            text.push_str("  routeReflector: { client: true }\n");
        } else if *told {
            text.push_str("  export: { transit: true }\n");
            if scene.row.has_policy() {
                text.push_str(&format!("  policies: {{ export: [{POLICY}] }}\n"));
            }
        }
    }
    text
}
