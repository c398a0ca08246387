//! `BGPConfiguration`, checked.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
};

use redstart_bgp::types::{Asn, Prefix};

use super::{
    Kind, Meta, Object, ObjectKey, Observed,
    advertisement::parse_all,
    bmp::{self, BmpStation},
    mrt::{self, MrtLog},
    observed::Findings,
    policy,
    values::{graceful_restart, range, secret_ref, selector, timers, usable_asn},
};
use crate::{
    api::{
        BGPConfiguration, BGPConfigurationSpec, CONFIGURATION_NAME, DrainSpec, KernelSpec,
        MeshMode, MeshSpec, NextHopsSpec, ServicesSpec,
    },
    diagnostic::Reason,
};

/// A `BGPConfiguration` whose every field is in range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Name and the like.
    pub meta: Meta,
    /// What it says.
    pub spec: BGPConfigurationSpec,
    /// `services.allowedExternalIPs`.
    pub allowed_external_ips: BTreeSet<Prefix>,
    /// `services.allowedLoadBalancerIPs`.
    pub allowed_load_balancer_ips: BTreeSet<Prefix>,
    /// The Service ranges.
    pub service_cidrs: BTreeSet<Prefix>,
    /// The monitoring stations, by where they listen.
    pub bmp: BTreeMap<SocketAddr, BmpStation>,
    /// The update log, if there is to be one.
    pub mrt: Option<MrtLog>,
}

impl From<&BGPConfiguration> for Observed {
    fn from(object: &BGPConfiguration) -> Self {
        let meta = Meta::from(&object.metadata);
        let key = ObjectKey::cluster(Kind::BgpConfiguration, meta.name.as_str());
        let mut findings = Findings::new(&key);
        if meta.name != CONFIGURATION_NAME {
            let message = "it is not read: the only BGPConfiguration is named \"default\"";
            findings.error("metadata.name", Reason::NotDefault, message);
        }
        let spec = &object.spec;
        findings.take("spec.asn", Reason::InvalidAsn, usable_asn(Asn(spec.asn)));
        range(
            "spec.listenPort",
            &spec.listen_port,
            1..=u16::MAX,
            &mut findings,
        );
        kernel(&spec.kernel, &mut findings);
        graceful_restart(&spec.graceful_restart, &mut findings);
        timers("spec.timers", &spec.timers, &mut findings);
        mesh(&spec.mesh, &mut findings);
        drain(&spec.drain, &mut findings);
        let bmp = bmp::stations(&spec.bmp, &mut findings);
        let mrt = spec.mrt.as_ref();
        let mrt = mrt.map(|spec| mrt::log(spec, &mut findings));
        let password = spec.mesh.password_secret_ref.as_ref();
        secret_ref("spec.mesh.passwordSecretRef", password, &mut findings);
        policy::policies("spec.policies", &spec.policies, &mut findings);
        policy::policies("spec.mesh.policies", &spec.mesh.policies, &mut findings);
        let mut ranges = |field: &str, texts| {
            let field = format!("spec.{field}");
            parse_all(&field, Reason::InvalidCidr, texts, &mut findings)
        };
        let services = &spec.services;
        let configuration = Configuration {
            meta,
            allowed_external_ips: ranges(
                "services.allowedExternalIPs",
                &services.allowed_external_ips,
            ),
            allowed_load_balancer_ips: ranges(
                "services.allowedLoadBalancerIPs",
                &services.allowed_load_balancer_ips,
            ),
            service_cidrs: ranges("serviceCIDRs", &spec.service_cidrs),
            bmp,
            mrt,
            spec: spec.clone(),
        };
        service_times(services, &mut findings);
        let object = Object::Configuration(Box::new(configuration));
        findings.keep_if_clean(key, Some(object))
    }
}

fn service_times(services: &ServicesSpec, findings: &mut Findings) {
    let milliseconds = &services.debounce_milliseconds;
    range(
        "spec.services.debounceMilliseconds",
        milliseconds,
        0..=10_000,
        findings,
    );
    for (field, seconds) in [
        ("spec.services.minReadySeconds", services.min_ready_seconds),
        (
            "spec.services.withdrawDelaySeconds",
            services.withdraw_delay_seconds,
        ),
    ] {
        range(field, &seconds, 0..=3600, findings);
    }
}

/// The taint of a cordon, which is nothing to drain a node for.
const TAINT_UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

fn mesh(spec: &MeshSpec, findings: &mut Findings) {
    let reflectors = &spec.route_reflector;
    match &reflectors.node_selector {
        Some(labels) => selector("spec.mesh.routeReflector.nodeSelector", labels, findings),
        None if spec.mode == MeshMode::RouteReflector => {
            let message = "mode RouteReflector needs to know which nodes are reflectors";
            let field = "spec.mesh.routeReflector.nodeSelector";
            findings.error(field, Reason::MissingField, message);
        }
        None => {}
    }
    if let Some(text) = &reflectors.cluster_id {
        let id = text.parse::<Ipv4Addr>();
        let id = id.map_err(|_| format!("{text:?} does not look like an IPv4 address"));
        let field = "spec.mesh.routeReflector.clusterID";
        findings.take(field, Reason::InvalidAddress, id);
    }
    let auto = &spec.auto;
    let up_to = &auto.full_mesh_up_to;
    range("spec.mesh.auto.fullMeshUpTo", up_to, 0..=10_000, findings);
    range(
        "spec.mesh.auto.reflectors",
        &auto.reflectors,
        1..=16,
        findings,
    );
    let settle = &spec.settle_seconds;
    range("spec.mesh.settleSeconds", settle, 1..=3600, findings);
}

fn drain(spec: &DrainSpec, findings: &mut Findings) {
    if spec.taint_keys.iter().any(|key| key == TAINT_UNSCHEDULABLE) {
        let message = "a cordon does not drain a node";
        findings.error("spec.drain.taintKeys", Reason::InvalidValue, message);
    }
    range(
        "spec.drain.waitSeconds",
        &spec.wait_seconds,
        0..=3600,
        findings,
    );
    if spec.max_nodes.of(1).is_none() {
        let message = "must be a number, or a share from \"0%\" to \"100%\"";
        findings.error("spec.drain.maxNodes", Reason::InvalidValue, message);
    }
}

fn kernel(kernel: &KernelSpec, findings: &mut Findings) {
    for (at, table) in [
        ("spec.kernel.table", kernel.table),
        ("spec.kernel.nextHopTable", kernel.next_hop_table),
    ] {
        range(at, &table, 1..=u32::MAX, findings);
        if table == 255 {
            let message = "table 255 (local) belongs to the kernel";
            findings.error(at, Reason::InvalidValue, message);
        }
    }
    range("spec.kernel.metric", &kernel.metric, 1..=u32::MAX, findings);
    range(
        "spec.kernel.protocol",
        &kernel.protocol,
        5..=u8::MAX,
        findings,
    );
    range("spec.kernel.maxPaths", &kernel.max_paths, 1..=128, findings);
    let NextHopsSpec { objects, resilient } = &kernel.next_hops;
    if let Some(resilient) = resilient {
        let at = |field| format!("spec.kernel.nextHops.resilient.{field}");
        range(&at("buckets"), &resilient.buckets, 128..=16384, findings);
        range(
            &at("idleSeconds"),
            &resilient.idle_seconds,
            1..=86400,
            findings,
        );
        if !objects {
            let message = "resilient groups are nexthop objects, and those are off";
            findings.error(
                "spec.kernel.nextHops.resilient",
                Reason::InvalidValue,
                message,
            );
        }
    }
}
