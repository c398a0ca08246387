//! Objects as they are parsed and kept.

mod index;
mod nodes;
mod peers;
mod specs;

use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;
use redstart_bgp::types::{Asn, Family, Role, RouterId};
use redstart_rib::{NextHopRule, PeerRules, PrefixLimit};
use serde_json::{Value, json};

use super::*;
use crate::{
    api::{BGPAdvertisement, BGPConfiguration, BGPPeer},
    compile::{Remote, RemoteAs, Ttl},
    diagnostic::Reason,
};

fn node(object: Value) -> Observed {
    Observed::from(&serde_json::from_value::<core::Node>(object).unwrap())
}

fn peer(name: &str, spec: &Value) -> Observed {
    let object = json!({
        "apiVersion": "redstart.dev/v1alpha1", "kind": "BGPPeer",
        "metadata": { "name": name }, "spec": spec,
    });
    Observed::from(&serde_json::from_value::<BGPPeer>(object).unwrap())
}

fn configuration(name: &str, spec: &Value) -> Observed {
    let object = json!({
        "apiVersion": "redstart.dev/v1alpha1", "kind": "BGPConfiguration",
        "metadata": { "name": name }, "spec": spec,
    });
    Observed::from(&serde_json::from_value::<BGPConfiguration>(object).unwrap())
}

fn advertisement(spec: &Value) -> Observed {
    let object = json!({
        "apiVersion": "redstart.dev/v1alpha1", "kind": "BGPAdvertisement",
        "metadata": { "name": "a" }, "spec": spec,
    });
    Observed::from(&serde_json::from_value::<BGPAdvertisement>(object).unwrap())
}

fn problems(observed: &Observed) -> Vec<(&str, Reason)> {
    let list = observed.problems.iter();
    list.map(|p| (p.field.as_str(), p.reason)).collect()
}

#[track_caller]
fn refused(observed: &Observed, field: &str, reason: Reason) {
    assert_eq!(problems(observed), [(field, reason)]);
    assert_eq!(observed.object, None);
}

#[track_caller]
fn parsed_node(observed: Observed) -> Node {
    match observed.object {
        Some(Object::Node(node)) => *node,
        other => panic!("not a Node: {other:?}"),
    }
}

fn listed(kind: Kind, objects: Vec<Observed>) -> SourceEvent {
    SourceEvent::Restarted { kind, objects }
}

fn complete_index() -> Index {
    let mut index = Index::new();
    for kind in Kind::ALL {
        index.apply(listed(kind, Vec::new()));
    }
    index
}
