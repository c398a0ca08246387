//! One speaker in a cluster of some size, over TLS, with reflectors and a router:
//! `redstart_proto_tests::scale`.

#![allow(clippy::panic, reason = "a test says what went wrong by panicking")]

use std::process::Command;

use redstart_proto_tests::lab::netns::stdout_of;

/// 5,000 load balancer addresses appear, change, lose all endpoints, come back and are deleted.
#[test]
fn case_i_churn_of_5000_service_addresses_resets_no_session() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cluster_scale"));
    command.args(["churn", "--services", "10000", "--nodes", "4"]);
    if let Err(error) = stdout_of(command.args(["--endpoints", "4"])) {
        panic!("{error:#}");
    }
}
