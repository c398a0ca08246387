//! What must hold in a lab, as functions that fail with the reason.
//!
//! `lab run` and the tests of `proto-tests/tests/` call the same functions. None of them asks a
//! speaker about itself where a kernel or a router can answer.

pub mod errors;
pub mod foreign;
pub mod membership;
pub mod outage;
pub mod purity;
pub mod reachability;
pub mod redundancy;
pub mod restart;
pub mod routes;
pub mod sessions;

use std::time::Duration;

use anyhow::Result;

use super::{Lab, process::Signal, report::Report};

/// From the start of `up` to all routes in all kernels: what it should take on a machine with nothing
/// else to do. It is told, and nothing fails for it.
const CONVERGENCE_GOAL: Duration = Duration::from_secs(5);

/// Waits for all routes in all kernels and says how long it took since the start of `up`.
pub fn converged(lab: &Lab) -> Result<Duration> {
    sessions::established(lab, Duration::from_secs(60))?;
    let expected = routes::expected(&lab.topology);
    routes::wait_all(lab, &expected, Duration::from_secs(60))?;
    Ok(lab.began.elapsed())
}

/// Everything that must hold in a fresh lab; changes nothing in it.
pub fn steady(lab: &Lab, report: &mut Report) -> bool {
    report.check("all sessions up, all routes in all kernels", || {
        converged(lab).map(|took| {
            let (took, goal) = (took.as_secs_f64(), CONVERGENCE_GOAL.as_secs());
            format!("{took:.2} s after the start; the goal is {goal} s")
        })
    }) && report.check(
        "ping, external host <-> pods and pods <-> pods, IPv4 and IPv6",
        || reachability::ping(lab).map(|flows| format!("{flows} of {flows}")),
    ) && report.check(
        "TCP likewise, each end sees the other's real address",
        || reachability::tcp(lab).map(|flows| format!("{flows} of {flows}")),
    ) && report.check("no NAT rule, no tunnel", || {
        purity::no_nat_no_tunnel(lab).map(|boxes| format!("none in {boxes} namespaces"))
    })
}

/// What changes in the cluster, and what breaks, behind whatever router: for labs with Redstart
/// speakers. Leaves the lab as it was.
pub fn changes(lab: &mut Lab, report: &mut Report) -> bool {
    let took = |took: Duration| format!("after {} ms", took.as_millis());
    report.check("node deleted: its routes are gone everywhere", || {
        membership::node_removed(lab, "n3").map(took)
    }) && report.check(
        "pod CIDRs changed: routes replaced, no session reset",
        || membership::pod_cidrs_changed(lab, "n2").map(took),
    ) && report.check(
        "somebody else's route to the same prefix stays, and redc says so",
        || foreign::same_prefix(lab, "n1", "n3").map(|()| "IPv4 and IPv6"),
    ) && report.check(
        "speaker killed and restarted: no route touched, no packet lost",
        || restart::speaker_restarted(lab, "n2", Signal::Kill).map(|sent| format!("{sent} pings")),
    )
}
