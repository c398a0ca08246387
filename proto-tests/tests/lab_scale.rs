//! One speaker in a cluster of some size, over TLS, with reflectors and a router:
//! `redstart_proto_tests::scale`.

#![allow(clippy::panic, reason = "a test says what went wrong by panicking")]

use std::process::Command;

use redstart_proto_tests::lab::netns::stdout_of;

fn run(words: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cluster_scale"));
    if let Err(error) = stdout_of(command.args(words)) {
        panic!("{error:#}");
    }
}

/// 5,000 load balancer addresses appear, change, lose all endpoints, come back and are deleted.
#[test]
fn case_i_churn_of_5000_service_addresses_resets_no_session() {
    run(&[
        "churn",
        "--services",
        "10000",
        "--nodes",
        "4",
        "--endpoints",
        "4",
    ]);
}

/// Acceptance case j: 999 sessions with other nodes, and their routes in the kernel.
#[test]
fn case_j_a_mesh_of_1000_nodes_comes_up_and_a_node_that_leaves_disturbs_nobody() {
    run(&["mesh", "--nodes", "1000"]);
}
