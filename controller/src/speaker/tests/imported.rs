//! What other agents put into kernel tables of their own is advertised on request.

use super::*;

/// Whatever tables the node reads.
fn reading(tables: &[u32]) -> DesiredState {
    DesiredState {
        kernel_tables: tables.iter().map(|table| (*table, Vec::new())).collect(),
        ..node(kernel(254, 179), [])
    }
}

/// Until the routes of our own are these.
async fn until_prefixes(core: &Running, expected: &[&str]) {
    let expected: Vec<Prefix> = expected.iter().map(|p| p.parse().unwrap()).collect();
    let waited = timeout(PATIENCE, async {
        while core.prefixes().await != expected {
            tokio::time::sleep(PAUSE).await;
        }
    });
    assert!(waited.await.is_ok(), "in vain: {expected:?}");
}

#[test]
fn routes_in_a_table_of_others_are_ours_to_tell_while_they_are_there() {
    in_namespace(async {
        ip("link add veth0 type veth peer name veth1");
        ip("link set veth0 up");
        ip("link set veth1 up");
        ip("route add 10.8.0.0/24 dev veth0 proto 30 table 119");
        ip("route add default dev veth0 proto 30 table 119");
        ip("route add 10.9.0.0/24 dev veth0 proto 30 table 120");
        let core = Running::start(reading(&[119]));
        until_prefixes(&core, &["10.8.0.0/24"]).await;

        ip("route add blackhole 10.8.1.0/24 proto 30 table 119");
        until_prefixes(&core, &["10.8.0.0/24", "10.8.1.0/24"]).await;
        // The kernel says nothing of the route that goes with the link.
        ip("link set veth0 down");
        until_prefixes(&core, &["10.8.1.0/24"]).await;

        core.configure(reading(&[]));
        until_prefixes(&core, &[]).await;
        core.configure(reading(&[119]));
        until_prefixes(&core, &["10.8.1.0/24"]).await;
        ip("route del blackhole 10.8.1.0/24 table 119");
        until_prefixes(&core, &[]).await;
        core.stop().await;
    });
}
