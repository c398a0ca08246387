//! Whether this node is to be relieved of traffic, and what that does to its routes.
//!
//! Two steps, with the wait between them left to the speaker, which has a clock: first every route
//! gets GRACEFUL_SHUTDOWN (RFC 8326) and LOCAL_PREF 0 ([`soften`]), then it is withdrawn
//! ([`withdraw`]). Pod CIDRs stay unless asked otherwise: no other node can take their traffic.
//!
//! How many nodes are drained at once is limited, and every speaker says alone whether its node is
//! among them: in the order in which it was asked for, as the annotation, the taint or the condition
//! says it, whichever says the earliest. What says no time comes after all that was asked for until it was
//! heard of ([`Since`]), then by name. So who is asked for later takes nobody's place. A speaker that
//! starts anew keeps the order that the one before it had heard ([`DrainOrder`](crate::index::DrainOrder)).
//! One that starts on a node that has just booted was told of all that says no time at once, and takes it in
//! the order of names: it may find that it is its turn one node too early.
//!
//! A node that shuts down does not wait for its turn, because it goes anyway, but it has its place in
//! that order like the others, and keeps it until it is ready again. Who is drained already stays so
//! whatever the order and the limit say now, until nothing asks for it any more: routes that come back
//! for a moment help nobody.
//!
//! A cordon (`spec.unschedulable`, and its taint) is not looked at.

use std::{sync::Arc, time::Duration};

use redstart_bgp::types::{Community, Prefix};

use super::{Advertise, DesiredState, Origination, Scope, node_ref};
use crate::{
    api::{ANNOTATION_DRAIN, DrainSpec},
    diagnostic::{Diagnostic, Reason},
    index::{DrainSigns, Node, Since},
};

/// How many nodes are named to one that waits.
const NAMED: usize = 3;

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

/// What asks for the node to be drained, and since when.
fn signs(node: &Node, spec: &DrainSpec) -> impl Iterator<Item = (DrainReason, Since)> {
    let DrainSigns {
        shuts_down,
        asked,
        taints,
        ..
    } = &node.drain;
    let tainted = spec.taint_keys.iter().filter_map(|key| taints.get(key));
    let shuts_down = shuts_down.map(|since| (DrainReason::Shutdown, since));
    let asked = asked.map(|since| (DrainReason::Annotation, since));
    let tainted = tainted.map(|since| (DrainReason::Taint, *since));
    shuts_down.into_iter().chain(asked).chain(tainted)
}

/// Whether anything asks for the node to be drained, be it its turn or not.
pub(super) fn is_asked_for(node: &Node, spec: &DrainSpec) -> bool {
    signs(node, spec).next().is_some()
}

/// Whether this node is drained now; `is_under_way` says that it was until now. One that has to wait
/// for its turn is named.
pub(super) fn drain(
    scope: &Scope<'_>,
    is_under_way: bool,
    diagnostics: &mut Vec<Diagnostic>,
) -> Drain {
    let spec = &scope.configuration.drain;
    let why = signs(scope.own, spec).map(|(why, _)| why).min();
    let ahead = ahead(scope);
    // What cannot be read does not get this far.
    let limit = spec.max_nodes.of(scope.objects.nodes.len()).unwrap_or(0);
    let at_once = is_under_way || why == Some(DrainReason::Shutdown);
    let in_turn = at_once || ahead.len() < limit;
    if why.is_some() && !in_turn {
        let some = ahead.iter().take(limit).copied();
        let some = some.take(NAMED).collect::<Vec<_>>().join(", ");
        let more = if limit > NAMED { " and others" } else { "" };
        let message = match limit {
            0 => "spec.drain.maxNodes is 0: no node is drained but one that shuts down".to_owned(),
            _ => format!(
                "as many nodes as may be at once are drained already ({some}{more}); this one waits for its turn"
            ),
        };
        diagnostics.push(Diagnostic::warning(
            node_ref(&scope.own.meta.name),
            format!("metadata.annotations[{ANNOTATION_DRAIN}]"),
            Reason::DrainLimit,
            message,
        ));
    }
    Drain {
        why: why.filter(|_| in_turn),
        wait: Duration::from_secs(spec.wait_seconds.into()),
        withdraw_pod_cidrs: spec.withdraw_pod_cidrs,
    }
}

/// The nodes that were asked for before this one, the first one first.
fn ahead<'a>(scope: &Scope<'a>) -> Vec<&'a str> {
    let spec = &scope.configuration.drain;
    let place = |node: &'a Node| {
        let since = signs(node, spec).map(|(_, since)| since).min()?;
        Some((since, node.meta.name.as_str()))
    };
    let Some(own) = place(scope.own) else {
        return Vec::new();
    };
    let nodes = scope.objects.nodes.values();
    let mut before: Vec<_> = nodes.filter_map(place).filter(|it| *it < own).collect();
    before.sort_unstable();
    before.into_iter().map(|(_, name)| name).collect()
}

/// Makes every route one to avoid.
pub fn soften(desired: &mut DesiredState) {
    let soften = |way: &mut Advertise| {
        way.communities.insert(Community::GRACEFUL_SHUTDOWN);
        way.local_pref = Some(0);
    };
    change_routes(desired, |route| {
        for way in &mut route.advertise {
            soften(Arc::make_mut(way));
        }
    });
    let interfaces = desired.interfaces.values_mut().flatten();
    let tables = desired.kernel_tables.values_mut().flatten();
    interfaces.chain(tables).for_each(soften);
}

/// Tells nobody any more, but for what stays: pod CIDRs.
pub fn withdraw(desired: &mut DesiredState) {
    let pod_cidrs_too = desired.drain.withdraw_pod_cidrs;
    change_routes(desired, |route| {
        if pod_cidrs_too || !route.is_pod_cidr() {
            route.advertise.clear();
        }
    });
    desired.interfaces.clear();
    desired.kernel_tables.clear();
}

fn change_routes(desired: &mut DesiredState, change: impl Fn(&mut Origination)) {
    let changed = |(prefix, route): (&Prefix, &Arc<Origination>)| {
        let mut route = Origination::clone(route);
        change(&mut route);
        (*prefix, Arc::new(route))
    };
    desired.originations = desired.originations.iter().map(changed).collect();
}
