//! What one change costs does not depend on how many Services there are: counted in allocations, which
//! are the same at every run and on every machine.
#![expect(
    unsafe_code,
    reason = "an allocator that counts is one, and passes everything on"
)]
#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::Arc,
};

use k8s_openapi::api::{
    core::v1 as core, discovery::v1::EndpointSlice, networking::v1 as networking,
};
use redstart_controller::{
    api::{BGPAdvertisement, BGPPeer},
    compile::{Compiled, Compiler},
    index::{Index, Kind, Observed, SourceEvent},
};
use serde_json::json;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is that of the trait.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is that of the trait.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many allocations that takes, and what it comes to.
fn counted<T>(run: impl FnOnce() -> T) -> (usize, T) {
    let before = ALLOCATIONS.get();
    let result = run();
    (ALLOCATIONS.get() - before, result)
}

fn node() -> Observed {
    let node: core::Node = serde_json::from_value(json!({
        "metadata": {"name": "a"},
        "spec": {"podCIDRs": ["10.0.1.0/24"]},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]},
    }))
    .unwrap();
    (&node).into()
}

fn service_cidr() -> Observed {
    let range: networking::ServiceCIDR = serde_json::from_value(json!({
        "metadata": {"name": "kubernetes"}, "spec": {"cidrs": ["10.96.0.0/12"]},
    }))
    .unwrap();
    (&range).into()
}

fn router() -> Observed {
    let peer: BGPPeer = serde_json::from_value(json!({
        "metadata": {"name": "tor"}, "spec": {"address": "192.0.2.254", "asn": 64999},
    }))
    .unwrap();
    (&peer).into()
}

fn advertisement() -> Observed {
    let advertisement: BGPAdvertisement = serde_json::from_value(json!({
        "metadata": {"name": "public"},
        "spec": {"services": {
            "addresses": ["LoadBalancerIP"],
            "aggregates": [{"prefix": "203.0.0.0/16", "hostRoutes": true}],
        }},
    }))
    .unwrap();
    (&advertisement).into()
}

/// With an address that depends on `block`.
fn service(number: u32, block: u32) -> Observed {
    let address = format!("203.0.{}.{}", block + number / 200, number % 200 + 1);
    let service: core::Service = serde_json::from_value(json!({
        "metadata": {"name": format!("s{number:05}"), "namespace": "apps"},
        "spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.1"},
        "status": {"loadBalancer": {"ingress": [{"ip": address}]}},
    }))
    .unwrap();
    (&service).into()
}

/// Of a Service, with two endpoints.
fn slice(number: u32, ready: bool) -> Observed {
    let endpoint =
        |ready| json!({"addresses": ["10.0.1.7"], "nodeName": "a", "conditions": {"ready": ready}});
    let slice: EndpointSlice = serde_json::from_value(json!({
        "metadata": {
            "name": format!("s{number:05}-x"), "namespace": "apps",
            "labels": {"kubernetes.io/service-name": format!("s{number:05}")},
        },
        "addressType": "IPv4",
        "endpoints": [endpoint(true), endpoint(ready)],
    }))
    .unwrap();
    (&slice).into()
}

/// A cluster with so many Services, compiled once.
fn cluster(services: u32) -> (Index, Compiler, Compiled) {
    let mut index = Index::new();
    for kind in Kind::ALL {
        let objects = match kind {
            Kind::Node => vec![node()],
            Kind::BgpPeer => vec![router()],
            Kind::ServiceCidr => vec![service_cidr()],
            Kind::BgpAdvertisement => vec![advertisement()],
            Kind::Service => (0..services).map(|n| service(n, 0)).collect(),
            Kind::EndpointSlice => (0..services).map(|n| slice(n, true)).collect(),
            _ => Vec::new(),
        };
        index.apply(SourceEvent::Restarted { kind, objects });
    }
    let mut compiler = Compiler::new("a");
    let changes = index.take_changes();
    let compiled = compiler.compile(&index, &changes).unwrap();
    assert_eq!(compiled.diagnostics, []);
    (index, compiler, compiled)
}

/// What the changes cost, one after the other, in a cluster of this size.
fn costs(services: u32) -> [usize; 2] {
    let (mut index, mut compiler, before) = cluster(services);
    let routes = before.desired.originations.len();
    // The pod CIDR and the aggregate.
    assert_eq!(routes, 2 + usize::try_from(services).unwrap());
    let middle = services / 2;
    let mut change = |observed| {
        counted(|| {
            index.apply(SourceEvent::Applied(observed));
            let changes = index.take_changes();
            compiler.compile(&index, &changes)
        })
    };
    let (moved, after) = change(service(middle, 100));
    let after = after.unwrap();
    assert_eq!(after.desired.originations.len(), routes);
    assert!(!Arc::ptr_eq(&before.desired, &after.desired));
    let (restarted, nothing) = change(slice(middle, false));
    assert_eq!(nothing, None, "one of two endpoints is still ready");
    [moved, restarted]
}

#[test]
fn a_change_costs_the_same_in_a_cluster_of_any_size() {
    let (small, large) = (costs(100), costs(6_400));
    // Of the trees that are shared, what leads to the change is new: six levels more each time that the
    // cluster is 64 times as large, twice as many where a red-black tree is out of balance.
    let more = 150;
    assert!(
        small.iter().zip(&large).all(|(s, l)| *l <= s + more),
        "{small:?} with 100 Services, {large:?} with 6,400"
    );
}
