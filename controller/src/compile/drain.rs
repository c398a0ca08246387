//! Whether this node is to be relieved of traffic, and what that does to its routes.
//!
//! Two steps, with the wait between them left to the speaker, which has a clock: first every route
//! gets GRACEFUL_SHUTDOWN (RFC 8326) and LOCAL_PREF 0 ([`soften`]), then it is withdrawn
//! ([`withdraw`]). Pod CIDRs stay unless asked otherwise: no other node can take their traffic.
//!
//! How many nodes are drained at once is limited, and every speaker says alone whether its node is
//! among them: by the time in the annotation, then by name. Nodes that shut down go first and do not
//! wait, because they go anyway. A cordon (`spec.unschedulable`, and its taint) is not looked at.

use std::{sync::Arc, time::Duration};

use redstart_bgp::types::Community;

use super::{DesiredState, Scope, node_ref};
use crate::{
    api::{ANNOTATION_DRAIN, DrainSpec},
    diagnostic::{Diagnostic, Reason},
    index::Node,
};

/// How this node is relieved of traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drain {
    /// Why, or `None` while it is not.
    pub why: Option<DrainReason>,
    /// How long routes are unattractive before they are withdrawn.
    pub wait: Duration,
    /// Whether pod CIDRs are withdrawn too.
    pub withdraw_pod_cidrs: bool,
}

/// Why a node is relieved of traffic. In order: the first of several counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DrainReason {
    /// It shuts down.
    Shutdown,
    /// By its annotation `redstart.dev/drain`.
    Annotation,
    /// It has one of the taints that the configuration names.
    Taint,
}

impl DrainReason {
    /// The stable identifier.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shutdown => "node-shutdown",
            Self::Annotation => "drain-annotation",
            Self::Taint => "drain-taint",
        }
    }
}

/// Why the node is to be drained, if it is.
fn reason(node: &Node, spec: &DrainSpec) -> Option<DrainReason> {
    let signs = &node.drain;
    if signs.shuts_down {
        Some(DrainReason::Shutdown)
    } else if signs.asked.is_some() {
        Some(DrainReason::Annotation)
    } else {
        let tainted = spec.taint_keys.iter().any(|key| signs.taints.contains(key));
        tainted.then_some(DrainReason::Taint)
    }
}

/// Whether anything asks for the node to be drained, be it its turn or not.
pub(super) fn is_asked_for(node: &Node, spec: &DrainSpec) -> bool {
    reason(node, spec).is_some()
}

/// Whether this node is drained now. One that has to wait for its turn is named.
pub(super) fn drain(scope: &Scope<'_>, diagnostics: &mut Vec<Diagnostic>) -> Drain {
    let spec = &scope.configuration.drain;
    let asked = reason(scope.own, spec);
    let in_turn = asked == Some(DrainReason::Shutdown) || is_in_turn(scope);
    if asked.is_some() && !in_turn {
        diagnostics.push(Diagnostic::warning(
            node_ref(&scope.own.meta.name),
            format!("metadata.annotations[{ANNOTATION_DRAIN}]"),
            Reason::DrainLimit,
            "as many nodes as may be at once are drained already; this one waits for its turn",
        ));
    }
    Drain {
        why: asked.filter(|_| in_turn),
        wait: Duration::from_secs(spec.wait_seconds.into()),
        withdraw_pod_cidrs: spec.withdraw_pod_cidrs,
    }
}

/// Whether this node is among the first of those to be drained.
fn is_in_turn(scope: &Scope<'_>) -> bool {
    let spec = &scope.configuration.drain;
    let nodes = &scope.objects.nodes;
    let place = |node: &Node| {
        let why = reason(node, spec)?;
        let later = why != DrainReason::Shutdown;
        let time = node.drain.asked.flatten().unwrap_or(i64::MAX);
        Some((later, time, node.meta.name.clone()))
    };
    let Some(own) = place(scope.own) else {
        return false;
    };
    let before = nodes
        .values()
        .filter_map(place)
        .filter(|p| *p < own)
        .count();
    // What cannot be read does not get this far.
    let limit = spec.max_nodes.of(nodes.len()).unwrap_or(0);
    before < limit
}

/// Makes every route one to avoid.
pub fn soften(desired: &mut DesiredState) {
    let routes = desired.originations.values_mut().map(Arc::make_mut);
    let routes = routes.flat_map(|o| &mut o.advertise);
    let interfaces = desired.interfaces.values_mut().flatten();
    let tables = desired.kernel_tables.values_mut().flatten();
    for advertise in routes.chain(interfaces).chain(tables) {
        advertise.communities.insert(Community::GRACEFUL_SHUTDOWN);
        advertise.local_pref = Some(0);
    }
}

/// Tells nobody any more, but for what stays: pod CIDRs.
pub fn withdraw(desired: &mut DesiredState) {
    let pod_cidrs_too = desired.drain.withdraw_pod_cidrs;
    let routes = desired.originations.values_mut().map(Arc::make_mut);
    for origination in routes.filter(|o| pod_cidrs_too || !o.is_pod_cidr()) {
        origination.advertise.clear();
    }
    desired.interfaces.clear();
    desired.kernel_tables.clear();
}
