//! Sessions with `BGPPeer`s, and passwords.

use redstart_bgp::types::FamilySet;

use super::*;
use crate::diagnostic::Severity;

#[test]
fn a_router_refuses_nothing_but_the_cluster_and_the_default_route() {
    let desired = clean(&(NODES.to_owned() + &tor("tor", "")), "a");
    let tor = peer(&desired, "tor");
    let refuse = [
        "10.0.1.0/24",
        "10.0.2.0/24",
        "2001:db8:1::/64",
        "2001:db8:2::/64",
    ];
    assert_eq!(
        tor.import,
        Import::AllBut {
            refuse: Arc::new(refuse.map(|p| p.parse().unwrap()).into()),
            default_route: false,
        }
    );
    assert_eq!(tor.ttl, Ttl::Hops(1));
    assert_eq!((tor.hold_time, tor.graceful_restart), (90, Some(120)));
}

/// RFC 5082 section 3: a neighbour that is not asked for it may be any number of hops away, or send
/// with any TTL.
#[test]
fn ttl_security_is_off_unless_it_is_configured() {
    for (spec, ttl) in [("", Ttl::Hops(1)), ("ttlSecurity: 1", Ttl::Security(1))] {
        let desired = clean(&(NODES.to_owned() + &tor("tor", spec)), "a");
        assert_eq!(peer(&desired, "tor").ttl, ttl, "{spec}");
        let strict = desired
            .peers
            .values()
            .filter(|peer| matches!(peer.ttl, Ttl::Security(_)));
        assert_eq!(
            strict.count(),
            usize::from(ttl == Ttl::Security(1)),
            "{spec}"
        );
    }
}

#[test]
fn peers_override_the_configuration() {
    let configuration = object(
        "BGPConfiguration",
        "default",
        "{ asn: 65010, listenPort: 1790, timers: { holdTimeSeconds: 30, connectRetrySeconds: 7 }, gracefulRestart: { enabled: false } }",
    );
    let spec = "port: 1179, timers: { holdTimeSeconds: 9 }, gracefulRestart: { enabled: true }, localASN: 64601";
    let desired = clean(
        &(NODES.to_owned() + &configuration + &tor("tor", spec)),
        "a",
    );
    assert_eq!(desired.listen.len(), 2);
    assert!(desired.listen.iter().all(|l| l.port() == 1790));
    let (mesh, tor) = (peer(&desired, "mesh-b"), peer(&desired, "tor"));
    assert_eq!((mesh.hold_time, tor.hold_time), (30, 9));
    assert_eq!(
        (mesh.connect_retry.as_secs(), tor.connect_retry.as_secs()),
        (7, 7)
    );
    assert_eq!(
        (mesh.graceful_restart, tor.graceful_restart),
        (None, Some(120))
    );
    let ports = [mesh, tor].map(|p| p.remote.address().map(|a| a.port()));
    assert_eq!(ports, [Some(1790), Some(1179)]);
    assert_eq!((mesh.local_as.0, tor.local_as.0), (65010, 64601));
    // With its own AS shown to it, the router is internal.
    assert_eq!(tor.ttl, Ttl::Hops(255));
}

#[test]
fn node_selectors_choose_the_nodes_of_a_peer() {
    let selector = "nodeSelector: { matchLabels: { rack: r2 } }";
    let yaml = NODES.to_owned() + &tor("tor", selector);
    assert_eq!(names(&clean(&yaml, "a")), ["mesh-b"]);
    assert_eq!(names(&clean(&yaml, "b")), ["mesh-a", "tor"]);
}

#[test]
fn a_peer_must_not_be_the_node_itself() {
    let yaml = NODES.to_owned() + &object("BGPPeer", "me", "{ address: \"2001:db8::1\", asn: 1 }");
    let (desired, diagnostic) = one(&yaml, "a");
    says(
        &diagnostic,
        "BGPPeer/me",
        "spec.address",
        Reason::OwnAddress,
    );
    assert_eq!(names(&desired), ["mesh-b"]);
}

#[test]
fn of_two_peers_with_one_address_the_first_by_name_counts() {
    let (desired, diagnostic) = one(&(NODES.to_owned() + &tor("t1", "") + &tor("t2", "")), "a");
    says(
        &diagnostic,
        "BGPPeer/t2",
        "spec.address",
        Reason::DuplicatePeerAddress,
    );
    assert!(diagnostic.message.contains("BGPPeer/t1"), "{diagnostic}");
    assert_eq!(names(&desired), ["mesh-b", "t1"]);
    let mesh = object("BGPPeer", "b-too", "{ address: 192.0.2.2, asn: Internal }");
    let (desired, diagnostic) = one(&(NODES.to_owned() + &mesh), "a");
    says(
        &diagnostic,
        "BGPPeer/b-too",
        "spec.address",
        Reason::DuplicatePeerAddress,
    );
    assert_eq!(names(&desired), ["mesh-b"]);
}

/// Who comes later takes no session away, whatever its name.
#[test]
fn of_two_peers_with_one_address_the_older_one_counts() {
    let aged = |name: &str, created: &str| {
        let name = format!("name: {name}");
        let dated = format!("{name}, creationTimestamp: \"{created}\"");
        tor(&name[6..], "").replacen(&name, &dated, 1)
    };
    let (old, new) = (
        aged("t2", "2026-05-28T20:26:40Z"),
        aged("t1", "2026-05-29T20:26:40Z"),
    );
    let (desired, diagnostic) = one(&(NODES.to_owned() + &old + &new), "a");
    let reason = Reason::DuplicatePeerAddress;
    says(&diagnostic, "BGPPeer/t1", "spec.address", reason);
    assert_eq!(names(&desired), ["mesh-b", "t2"]);
}

#[test]
fn of_two_peers_with_one_range_or_interface_the_first_by_name_counts() {
    for (place, field) in [
        (
            "listenRange: { cidr: 192.0.2.0/24 }",
            "spec.listenRange.cidr",
        ),
        ("interface: eth1", "spec.interface"),
    ] {
        let peer = |name| object("BGPPeer", name, &format!("{{ {place}, asn: External }}"));
        let yaml = NODES.to_owned() + &peer("t1") + &peer("t2");
        let (desired, diagnostics) = compile(&index(&yaml), "a").unwrap();
        says(
            diagnostics.iter().find(|d| d.object.name == "t2").unwrap(),
            "BGPPeer/t2",
            field,
            Reason::DuplicatePeerAddress,
        );
        assert_eq!(names(&desired), ["mesh-b", "t1"]);
    }
}

#[test]
fn a_range_or_interface_is_listened_on_in_its_family() {
    let nodes = node("a", "192.0.2.1", "10.0.1.0/24", "");
    for place in [
        "listenRange: { cidr: \"2001:db8::/64\" }",
        "interface: eth1",
    ] {
        let peer = object("BGPPeer", "tor", &format!("{{ {place}, asn: 64601 }}"));
        let (desired, _) = compile(&index(&format!("{nodes}{peer}")), "a").unwrap();
        let listen: Vec<_> = desired.listen.iter().map(ToString::to_string).collect();
        assert_eq!(listen, ["0.0.0.0:179", "[::]:179"], "{place}");
    }
}

#[test]
fn a_node_can_listen_on_its_own_addresses_alone() {
    let configuration = object("BGPConfiguration", "default", "{ listenOn: NodeAddresses }");
    let listen = |routers: &str| {
        let desired = clean(&format!("{NODES}{configuration}{routers}"), "a");
        let listen = desired.listen.iter().map(ToString::to_string);
        listen.collect::<Vec<_>>()
    };
    let own = listen("");
    assert_eq!(own.len(), 2);
    assert!(
        own.iter()
            .all(|at| !at.starts_with("0.0.0.0") && !at.starts_with("[::]")),
        "{own:?}"
    );
    let from = "sourceAddress: 198.51.100.7";
    let with_source = listen(&tor("tor", from));
    let more: Vec<_> = with_source.iter().filter(|at| !own.contains(at)).collect();
    assert_eq!(more, ["198.51.100.7:179"]);
}

#[test]
fn a_peer_must_not_have_the_name_of_a_mesh_session() {
    let (desired, diagnostic) = one(&(NODES.to_owned() + &tor("mesh-b", "")), "a");
    says(
        &diagnostic,
        "BGPPeer/mesh-b",
        "metadata.name",
        Reason::DuplicatePeerName,
    );
    assert_ne!(peer(&desired, "mesh-b").role, PeerRole::Router);
}

#[test]
fn a_family_that_the_node_has_no_address_of_is_offered_and_named() {
    let nodes = node("a", "192.0.2.1", "10.0.1.0/24", "");
    let (desired, diagnostic) = one(
        &format!("{nodes}{}", tor("tor", "families: [IPv4, IPv6]")),
        "a",
    );
    says(
        &diagnostic,
        "BGPPeer/tor",
        "spec.families",
        Reason::NoAddress,
    );
    assert_eq!(diagnostic.severity, Severity::Warning);
    assert_eq!(peer(&desired, "tor").families, FamilySet::ALL);
    let (desired, _) = one(&format!("{nodes}{}", tor("tor", "families: [IPv6]")), "a");
    let families = format!("{:?}", peer(&desired, "tor").families);
    assert_eq!(families, "{Ipv6Unicast}");
    // Over IPv6 there is an IPv6 address, whatever the Node says.
    let over_ipv6 = "{ address: \"2001:db8::254\", asn: External, families: [IPv6] }";
    clean(&(nodes + &object("BGPPeer", "tor", over_ipv6)), "a");
}

#[test]
fn an_address_that_appears_changes_no_session() {
    let mesh = node("b", "192.0.2.2", "10.0.2.0/24", "");
    let single = node("a", "192.0.2.1", "10.0.1.0/24", "") + &mesh + &tor("tor", "");
    let more = "address: \"192.0.2.1\" }, { type: InternalIP, address: \"2001:db8::1\" }";
    let dual = single.replace("address: \"192.0.2.1\" }", more);
    let (before, after) = (clean(&single, "a"), clean(&dual, "a"));
    assert_ne!(before.node, after.node);
    assert_eq!(before.peers, after.peers);
    let all = before.peers.values();
    assert!(all.map(|p| p.families).all(|f| f == FamilySet::ALL));
}

#[test]
fn passwords_come_from_secrets() {
    let configuration = object(
        "BGPConfiguration",
        "default",
        "{ mesh: { passwordSecretRef: { name: mesh } } }",
    );
    let yaml =
        NODES.to_owned() + &configuration + &tor("tor", "passwordSecretRef: { name: tor, key: k }");
    let yaml = yaml + &secret("mesh", "password", "one") + &secret("tor", "k", "two");
    let desired = clean(&yaml, "a");
    assert_eq!(
        peer(&desired, "mesh-b").password,
        Some(Password("one".to_owned()))
    );
    assert_eq!(
        peer(&desired, "tor").password,
        Some(Password("two".to_owned()))
    );
    assert!(!format!("{desired:?}").contains("two"));
}

#[test]
fn no_session_runs_without_the_password_that_was_asked_for() {
    let yaml = NODES.to_owned() + &tor("tor", "passwordSecretRef: { name: s }");
    let field = "spec.passwordSecretRef";
    for (secret, reason) in [
        (String::new(), Reason::SecretMissing),
        (secret("s", "other", "x"), Reason::SecretKeyMissing),
        (secret("s", "password", ""), Reason::InvalidPassword),
        (secret("s", "password", "x\n"), Reason::InvalidPassword),
        (
            secret("s", "password", &"x".repeat(81)),
            Reason::InvalidPassword,
        ),
    ] {
        let (desired, diagnostic) = one(&format!("{yaml}{secret}"), "a");
        says(&diagnostic, "BGPPeer/tor", field, reason);
        assert_eq!(names(&desired), ["mesh-b"]);
    }
    // RFC 2385 section 4.5: keys of up to 80 octets.
    let longest = "x".repeat(80);
    let desired = clean(&(yaml + &secret("s", "password", &longest)), "a");
    assert_eq!(peer(&desired, "tor").password, Some(Password(longest)));
    let mesh = object(
        "BGPConfiguration",
        "default",
        "{ mesh: { passwordSecretRef: { name: s } } }",
    );
    let (desired, diagnostic) = one(&format!("{NODES}{mesh}"), "a");
    says(
        &diagnostic,
        "BGPConfiguration/default",
        "spec.mesh.passwordSecretRef",
        Reason::SecretMissing,
    );
    assert_eq!(names(&desired), [""; 0]);
}

/// Rotated badly, or deleted and created anew: the sessions keep the password that they have, and it is
/// said. It goes with the last who names it.
#[test]
fn a_password_outlives_its_secret_until_there_is_another_one() {
    let mesh = object(
        "BGPConfiguration",
        "default",
        "{ mesh: { passwordSecretRef: { name: s } } }",
    );
    let tor = tor("tor", "passwordSecretRef: { name: s }");
    let yaml = NODES.to_owned() + &mesh + &tor + &secret("s", "password", "good");
    let mut index = index(&yaml);
    let (before, _) = compile(&index, "a").unwrap();
    let stays = |index: &Index, reason: Reason| {
        let (desired, mut problems) = compile(index, "a").unwrap();
        assert_eq!(desired, before);
        problems.extend(index.problems().cloned());
        let said: Vec<_> = problems
            .iter()
            .map(|p| (p.object.to_string(), p.field.as_str(), p.reason))
            .collect();
        for (object, field) in [
            ("BGPConfiguration/default", "spec.mesh.passwordSecretRef"),
            ("BGPPeer/tor", "spec.passwordSecretRef"),
        ] {
            assert!(
                said.contains(&(object.to_owned(), field, reason)),
                "{said:?}"
            );
        }
    };
    put(&mut index, &secret("s", "password", "new\n"));
    stays(&index, Reason::InvalidPassword);
    put(&mut index, &secret("s", "other", "new"));
    stays(&index, Reason::SecretKeyMissing);
    let key = ObjectKey::namespaced(Kind::Secret, crate::api::NAMESPACE, "s");
    index.apply(SourceEvent::Deleted(key));
    stays(&index, Reason::SecretMissing);
    index.apply(SourceEvent::Restarted {
        kind: Kind::Secret,
        objects: Vec::new(),
    });
    stays(&index, Reason::SecretMissing);
    put(&mut index, &secret("s", "password", ""));
    stays(&index, Reason::InvalidPassword);
    put(&mut index, &secret("s", "password", "new"));
    let (after, problems) = compile(&index, "a").unwrap();
    assert_eq!(problems, []);
    for name in ["mesh-b", "tor"] {
        let password = Some(Password("new".to_owned()));
        assert_eq!(peer(&after, name).password, password, "{name}");
    }

    let key = ObjectKey::namespaced(Kind::Secret, crate::api::NAMESPACE, "s");
    index.apply(SourceEvent::Deleted(key));
    assert_eq!(index.count(Kind::Secret), 1);
    for (kind, name) in [(Kind::BgpPeer, "tor"), (Kind::BgpConfiguration, "default")] {
        index.apply(SourceEvent::Deleted(ObjectKey::cluster(kind, name)));
    }
    assert_eq!(index.count(Kind::Secret), 0);
}

#[test]
fn keys_of_the_authentication_option_come_from_secrets_all_of_them() {
    let spec = "tcpAO: [{ sendID: 1, receiveID: 2, secretRef: { name: k, key: one } }, { sendID: 3, receiveID: 4, algorithm: AES-128-CMAC-96, secretRef: { name: k, key: two } }]";
    let yaml = NODES.to_owned() + &tor("tor", spec);
    let (desired, diagnostic) = one(&(yaml.clone() + &secret("k", "one", "x")), "a");
    says(
        &diagnostic,
        "BGPPeer/tor",
        "spec.tcpAO[1].secretRef",
        Reason::SecretKeyMissing,
    );
    assert_eq!(names(&desired), ["mesh-b"]);
    let both = "{ apiVersion: v1, kind: Secret, metadata: { name: k }, stringData: { one: x, two: z } }\n---\n";
    let desired = clean(&(yaml + both), "a");
    let key = |send_id, receive_id, algorithm, secret: &str| AoKey {
        send_id,
        receive_id,
        algorithm,
        secret: Password(secret.to_owned()),
    };
    assert_eq!(
        peer(&desired, "tor").tcp_ao,
        [
            key(1, 2, AoAlgorithm::HmacSha1, "x"),
            key(3, 4, AoAlgorithm::AesCmac, "z"),
        ]
    );
}

#[test]
fn timers_and_next_hops_are_those_of_the_object_or_the_configuration() {
    let configuration = object(
        "BGPConfiguration",
        "default",
        "{ timers: { delayOpenSeconds: 2, sendHoldSeconds: 60 } }",
    );
    let spec = "timers: { delayOpenSeconds: 0, sendHoldSeconds: 30 }, extendedNextHop: true";
    let yaml = NODES.to_owned() + &configuration + &tor("tor", spec);
    let desired = clean(&yaml, "a");
    let (mesh, tor) = (peer(&desired, "mesh-b"), peer(&desired, "tor"));
    let seconds = |time: Option<std::time::Duration>| time.map(|t| t.as_secs());
    assert_eq!(
        (seconds(mesh.delay_open), seconds(mesh.send_hold)),
        (Some(2), Some(60))
    );
    assert_eq!(
        (seconds(tor.delay_open), seconds(tor.send_hold)),
        (None, Some(30))
    );
    assert!(tor.extended_next_hop && !mesh.extended_next_hop);
}

#[test]
fn without_a_mesh_there_are_routers_only() {
    let none = object("BGPConfiguration", "default", "{ mesh: { mode: None } }");
    let desired = clean(&(NODES.to_owned() + &none + &tor("tor", "")), "a");
    assert_eq!(names(&desired), ["tor"]);
}

#[test]
fn a_router_at_the_other_end_of_an_interface_exchanges_both_families() {
    // Whatever addresses the node has: the next hop is its link-local one (RFC 8950).
    let interface = "{ interface: eth1, asn: External }";
    for address in ["192.0.2.9", "2001:db8::9"] {
        let yaml = node("alone", address, "10.0.9.0/24", "") + &object("BGPPeer", "tor", interface);
        let desired = clean(&yaml, "alone");
        assert_eq!(peer(&desired, "tor").families, FamilySet::ALL, "{address}");
        let ipv6 = desired.listen.iter().any(std::net::SocketAddr::is_ipv6);
        assert!(ipv6, "{address}: {:?}", desired.listen);
    }
    let offered = |more: &str| {
        let spec = format!("{{ interface: eth1, asn: External{more} }}");
        let yaml = node("alone", "192.0.2.9", "10.0.9.0/24", "") + &object("BGPPeer", "tor", &spec);
        peer(&clean(&yaml, "alone"), "tor").extended_next_hop
    };
    assert!(offered(""));
    assert!(!offered(", extendedNextHop: false"));
}

#[test]
fn what_says_nothing_to_a_router_of_this_as_is_named() {
    let configuration = object("BGPConfiguration", "default", "{ asn: 64512 }");
    let say = |asn: u32, more: &str| {
        let spec = format!("{{ address: 192.0.2.254, asn: {asn}, {more} }}");
        NODES.to_owned() + &configuration + &object("BGPPeer", "tor", &spec)
    };
    for (internal, external, more, field) in [
        (false, true, "role: Customer", "spec.role"),
        (
            false,
            true,
            "export: { removePrivateAS: true }",
            "spec.export.removePrivateAS",
        ),
        (
            false,
            true,
            "export: { allowPeerAS: true }",
            "spec.export.allowPeerAS",
        ),
        (
            false,
            true,
            "export: { routeServerClient: true }",
            "spec.export.routeServerClient",
        ),
        (
            true,
            false,
            "routeReflector: { client: true }",
            "spec.routeReflector.client",
        ),
    ] {
        for (asn, heard) in [(64512, internal), (64601, external)] {
            let yaml = say(asn, more);
            if heard {
                clean(&yaml, "a");
            } else {
                let (desired, diagnostic) = one(&yaml, "a");
                says(&diagnostic, "BGPPeer/tor", field, Reason::Conflict);
                assert_eq!(diagnostic.severity, Severity::Warning);
                assert!(desired.peers.contains_key(&PeerName("tor".to_owned())));
            }
        }
    }
}
