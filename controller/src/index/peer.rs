//! `BGPPeer`, parsed.

use std::{net::IpAddr, time::Duration};

use redstart_bgp::types::{Asn, FamilySet, Role};
use redstart_rib::PeerRules;

use super::{
    Kind, Meta, Object, ObjectKey, Observed,
    observed::Findings,
    policy, remote, rules, unheard,
    values::{families, graceful_restart, range, secret_ref, selector, timers, usable_asn},
};
use crate::{
    api::{
        BGPPeer, BGPPeerSpec, BfdSpec, GracefulRestartSpec, LabelSelector, PeerAsn, PoliciesSpec,
        SecretKeyRef, TcpAoKeySpec, TimersSpec,
    },
    compile::{AddPath, Remote, RemoteAs, Ttl},
    diagnostic::Reason,
};

/// A `BGPPeer` whose every field means something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Name, labels and the like.
    pub meta: Meta,
    /// Which nodes; `None` means all.
    pub node_selector: Option<LabelSelector>,
    /// Where the router is.
    pub remote: Remote,
    /// The link to bind sessions to.
    pub bind_interface: Option<String>,
    /// The router's AS.
    pub remote_as: RemoteAs,
    /// The AS number to show it.
    pub local_asn: Option<Asn>,
    /// Our address towards it.
    pub source_address: Option<IpAddr>,
    /// Never dial.
    pub passive: bool,
    /// How far away it may be, if that is said.
    pub ttl: Option<Ttl>,
    /// Where the password is.
    pub password: Option<SecretKeyRef>,
    /// Keys of the TCP Authentication Option.
    pub tcp_ao: Vec<TcpAoKeySpec>,
    /// Whether IPv4 routes may have an IPv6 next hop, if that is said.
    pub extended_next_hop: Option<bool>,
    /// Timers that differ.
    pub timers: TimersSpec,
    /// Families, if they are said.
    pub families: Option<FamilySet>,
    /// Graceful restart where it differs.
    pub graceful_restart: GracefulRestartSpec,
    /// Whether to take a default route.
    pub default_route: bool,
    /// What is special about it.
    pub rules: PeerRules,
    /// Whether it is told what others said.
    pub transit: bool,
    /// When a session that had too many routes starts again.
    pub limit_restart: Option<Duration>,
    /// Whether several paths for a prefix are taken and sent.
    pub add_path: AddPath,
    /// What we are to it.
    pub role: Option<Role>,
    /// Whether it must say what it is to us.
    pub strict_role: bool,
    /// Names of its policies.
    pub policies: PoliciesSpec,
    /// Bidirectional Forwarding Detection, if it is wanted.
    pub bfd: Option<BfdSpec>,
}

impl From<&BGPPeer> for Observed {
    fn from(object: &BGPPeer) -> Self {
        let meta = Meta::from(&object.metadata);
        let key = ObjectKey::cluster(Kind::BgpPeer, meta.name.as_str());
        let mut findings = Findings::new(&key);
        let peer = parse(meta, &object.spec, &mut findings);
        findings.keep_if_clean(key, peer.map(|peer| Object::Peer(peer.into())))
    }
}

fn parse(meta: Meta, spec: &BGPPeerSpec, findings: &mut Findings) -> Option<Peer> {
    if let Some(node_selector) = &spec.node_selector {
        selector("spec.nodeSelector", node_selector, findings);
    }
    range("spec.port", &spec.port, 1..=u16::MAX, findings);
    graceful_restart(&spec.graceful_restart, findings);
    timers("spec.timers", &spec.timers, findings);
    policy::policies("spec.policies", &spec.policies, findings);
    unheard::check(spec, findings);
    let password = spec.password_secret_ref.as_ref();
    secret_ref("spec.passwordSecretRef", password, findings);
    let remote = remote::parse(spec, findings);
    let source_address = spec
        .source_address
        .as_ref()
        .map(|text| remote::address("spec.sourceAddress", text, findings));
    if let (Some(remote), Some(Some(source))) = (&remote, source_address) {
        remote::check_source(remote, source, findings);
    }
    let remote_as = parse_remote_as(&spec.asn, findings);
    let local_asn = spec
        .local_asn
        .map(|n| findings.take("spec.localASN", Reason::InvalidAsn, usable_asn(Asn(n))));
    Some(Peer {
        meta,
        node_selector: spec.node_selector.clone(),
        remote: remote?,
        bind_interface: remote::bind_interface(spec, findings),
        remote_as: remote_as?,
        local_asn: local_asn.flatten(),
        source_address: source_address.flatten(),
        passive: spec.passive,
        ttl: parse_ttl(spec, findings),
        password: spec.password_secret_ref.clone(),
        tcp_ao: parse_tcp_ao(spec, findings),
        extended_next_hop: spec.extended_next_hop,
        timers: spec.timers.clone(),
        families: families(&spec.families),
        graceful_restart: spec.graceful_restart.clone(),
        default_route: spec.import.default_route,
        rules: rules::parse(spec, findings),
        transit: spec.export.transit,
        limit_restart: rules::limit_restart(&spec.max_prefixes, findings),
        add_path: AddPath {
            receive: spec.add_path.receive,
            send: spec.add_path.send,
        },
        role: rules::role(spec, findings),
        strict_role: spec.strict_role,
        policies: spec.policies.clone(),
        bfd: spec.bfd.clone(),
    })
}

fn parse_remote_as(asn: &PeerAsn, findings: &mut Findings) -> Option<RemoteAs> {
    let remote_as = match asn {
        PeerAsn::Relation(text) => match text.as_str() {
            "Internal" => Ok(RemoteAs::Internal),
            "External" => Ok(RemoteAs::External),
            _ => Err(format!(
                "{text:?} is not an AS number (without quotes), \"Internal\" or \"External\""
            )),
        },
        PeerAsn::Number(n) => u32::try_from(*n)
            .map_err(|_| format!("{n} is not an AS number"))
            .and_then(|n| usable_asn(Asn(n)))
            .map(RemoteAs::Number),
    };
    findings.take("spec.asn", Reason::InvalidAsn, remote_as)
}

fn parse_tcp_ao(spec: &BGPPeerSpec, findings: &mut Findings) -> Vec<TcpAoKeySpec> {
    let keys = &spec.tcp_ao;
    if !keys.is_empty() && spec.password_secret_ref.is_some() {
        let message = "passwordSecretRef and tcpAO exclude each other";
        findings.error("spec.tcpAO", Reason::Conflict, message);
    }
    if !keys.is_empty() && spec.listen_range.is_some() {
        let message = "a listen range cannot have tcpAO keys";
        findings.error("spec.tcpAO", Reason::Conflict, message);
    }
    for (i, key) in keys.iter().enumerate() {
        let field = format!("spec.tcpAO[{i}]");
        secret_ref(
            &format!("{field}.secretRef"),
            Some(&key.secret_ref),
            findings,
        );
        let same = |k: &TcpAoKeySpec| k.send_id == key.send_id || k.receive_id == key.receive_id;
        if keys.iter().take(i).any(same) {
            let message = "another key has the same sendID or receiveID";
            findings.error(field, Reason::Conflict, message);
        }
    }
    keys.clone()
}

fn parse_ttl(spec: &BGPPeerSpec, findings: &mut Findings) -> Option<Ttl> {
    if let Some(hops) = spec.ebgp_multihop {
        range("spec.ebgpMultihop", &hops, 1..=255, findings);
    }
    if let Some(hops) = spec.ttl_security {
        range("spec.ttlSecurity", &hops, 1..=254, findings);
    }
    if spec.ebgp_multihop.is_some() && spec.ttl_security.is_some() {
        let message = "ebgpMultihop and ttlSecurity exclude each other";
        findings.error("spec.ttlSecurity", Reason::Conflict, message);
    }
    spec.ttl_security
        .map(Ttl::Security)
        .or(spec.ebgp_multihop.map(Ttl::Hops))
}
