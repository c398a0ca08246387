use std::{collections::BTreeSet, fs, path::PathBuf};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResourceExt, core::cel::Validator};
use serde_json::{Value, json};

use super::{schema::violations, *};
use crate::{diagnostic::Reason, index::Kind};

mod admission;
mod strict;

fn committed(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../manifests/crds")
        .join(name)
}

/// `REDSTART_UPDATE=1 cargo test -p redstart-controller api::` writes them anew.
#[test]
fn committed_crds_are_the_generated_ones() {
    let generated = crds_yaml().unwrap();
    let all: String = generated.iter().map(|(_, yaml)| yaml.as_str()).collect();
    let documents: Vec<CustomResourceDefinition> = serde_saphyr::from_multiple(&all).unwrap();
    assert_eq!(documents.len(), crds().len());
    for (name, yaml) in generated {
        let path = committed(&name);
        if std::env::var_os("REDSTART_UPDATE").is_some() {
            fs::write(&path, &yaml).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == yaml,
            "{} is not what the types generate; run with REDSTART_UPDATE=1",
            path.display()
        );
    }
}

#[test]
fn crds_are_cluster_scoped_and_have_a_status() {
    for crd in crds() {
        assert_eq!(crd.spec.scope, "Cluster");
        assert_eq!(crd.spec.names.categories, Some(vec!["redstart".to_owned()]));
        let version = &crd.spec.versions[0];
        assert_eq!(version.name, VERSION);
        let status = version.subresources.as_ref().map(|s| s.status.is_some());
        assert_eq!(status, Some(true));
    }
}

/// What `kubectl get` shows, and under which names.
#[test]
fn kinds_have_columns_and_short_names() {
    let mut names = BTreeSet::new();
    for crd in crds() {
        let kind = &crd.spec.names.kind;
        let short = crd.spec.names.short_names.unwrap_or_default();
        assert!(!short.is_empty(), "{kind} has no short name");
        for name in short.into_iter().chain([crd.spec.names.plural]) {
            assert!(names.insert(name.clone()), "{kind}: {name} is taken");
        }
        let version = &crd.spec.versions[0];
        let schema = json!(version.schema);
        let columns = version.additional_printer_columns.as_deref();
        let columns = columns.unwrap_or_default();
        assert!(columns.len() >= 2, "{kind}: {columns:?}");
        for column in columns {
            // A filter chooses among the items of a list.
            let path = column.json_path.split("[?(").next().unwrap_or_default();
            let steps = path.split('.').skip(1);
            let field = steps.fold(&schema["openAPIV3Schema"], |at, step| {
                &at["properties"][step]
            });
            let is_there = !field.is_null() || path == ".metadata.creationTimestamp";
            assert!(is_there, "{kind}: column {} shows nothing", column.name);
        }
    }
}

/// The CEL library at hand has no `type()`, which rules for int-or-string need: answers it, for an AS
/// number and for the most nodes that are drained at once.
fn answer_type_questions(schema: &Value, spec: &Value) -> Value {
    let is_number = spec["asn"].is_number().to_string();
    let is_share = (!spec["drain"]["maxNodes"].is_number()).to_string();
    let text = schema.to_string();
    let text = text.replace("type(self) == int", &is_number);
    text.replace("type(self) == string", &is_share)
        .parse()
        .unwrap()
}

/// What the CEL rules say about an object of `T`.
fn cel<T: CustomResourceExt>(name: &str, spec: &Value) -> Result<(), String> {
    let crd = serde_json::to_value(T::crd()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let schema = answer_type_questions(schema, spec);
    let object = json!({
        "apiVersion": API_VERSION,
        "kind": crd["spec"]["names"]["kind"],
        "metadata": { "name": name },
        "spec": spec,
    });
    Validator::new()
        .validate(&schema, &object, None)
        .map_err(|errors| errors.to_string())
}

#[track_caller]
fn refused<T: CustomResourceExt>(name: &str, spec: &Value, message: &str) {
    let said = cel::<T>(name, spec).unwrap_err();
    assert!(
        said.contains(message),
        "{said:?} does not contain {message:?}"
    );
}

fn configuration() -> Value {
    serde_json::to_value(BGPConfigurationSpec::default()).unwrap()
}

fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[field] = value;
    object
}

#[test]
fn cel_of_configuration() {
    type C = BGPConfiguration;
    let good = configuration();
    cel::<C>("default", &good).unwrap();
    refused::<C>("other", &good, "named 'default'");
    refused::<C>(
        "default",
        &with(good.clone(), "/asn", json!(23456)),
        "reserved",
    );
    let table = with(good.clone(), "/kernel/table", json!(255));
    refused::<C>("default", &table, "belongs to the kernel");
    let next_hops = json!({ "objects": false, "resilient": {} });
    let next_hops = with(good.clone(), "/kernel/nextHops", next_hops);
    refused::<C>("default", &next_hops, "those are off");
    let services = with(good.clone(), "/serviceCIDRs", json!(["10.96.0.0"]));
    refused::<C>("default", &services, "must be a CIDR");
    for (directory, allowed) in [("/var/log/mrt", true), ("var/log/mrt", false)] {
        let mrt = json!({ "directory": directory });
        let spec = with(good.clone(), "/mrt", mrt);
        assert_eq!(cel::<C>("default", &spec).is_ok(), allowed, "{directory}");
    }
    let drained_at_once = [
        (json!(0), true),
        (json!(5), true),
        (json!(-1), false),
        (json!("0%"), true),
        (json!("25%"), true),
        (json!("100%"), true),
        (json!("101%"), false),
        (json!("25"), false),
        (json!("-5%"), false),
        (json!("many"), false),
    ];
    for (most, allowed) in drained_at_once {
        let spec = with(good.clone(), "/drain/maxNodes", most.clone());
        assert_eq!(cel::<C>("default", &spec).is_ok(), allowed, "{most}");
    }
    for (hold, allowed) in [(0, true), (1, false), (2, false), (3, true), (90, true)] {
        let spec = with(good.clone(), "/timers/holdTimeSeconds", json!(hold));
        assert_eq!(cel::<C>("default", &spec).is_ok(), allowed, "{hold}");
    }
}

#[test]
fn cel_of_peer() {
    type P = BGPPeer;
    let good = json!({ "address": "192.0.2.1", "asn": 65000 });
    cel::<P>("tor", &good).unwrap();
    let address = with(good.clone(), "/address", json!("192.0.2.256"));
    refused::<P>("tor", &address, "not an IP address");
    for asn in [
        json!(0),
        json!(23456),
        json!(4294967295_u32),
        json!("Other"),
    ] {
        let spec = with(good.clone(), "/asn", asn);
        refused::<P>("tor", &spec, "must be an AS number");
    }
    for asn in [json!("Internal"), json!("External"), json!(4294967294_u32)] {
        cel::<P>("tor", &with(good.clone(), "/asn", asn)).unwrap();
    }
    let both = with(good.clone(), "/ebgpMultihop", json!(2));
    cel::<P>("tor", &both).unwrap();
    let both = with(both, "/ttlSecurity", json!(2));
    refused::<P>("tor", &both, "exclude each other");
    let strict = with(good.clone(), "/strictRole", json!(true));
    refused::<P>("tor", &strict, "without a role");
    cel::<P>("tor", &with(strict, "/role", json!("Peer"))).unwrap();
    let cluster = |id: &str| with(good.clone(), "/routeReflector", json!({ "clusterID": id }));
    refused::<P>("tor", &cluster("2001:db8::1"), "like an IPv4 address");
    cel::<P>("tor", &cluster("10.0.0.9")).unwrap();
    let family = with(good.clone(), "/sourceAddress", json!("2001:db8::1"));
    refused::<P>("tor", &family, "same family");
    cel::<P>("tor", &with(good, "/sourceAddress", json!("192.0.2.2"))).unwrap();
}

#[test]
fn cel_of_what_would_say_nothing() {
    type P = BGPPeer;
    let defaulted = |asn: Value| {
        json!({
            "address": "192.0.2.1", "asn": asn, "port": 179,
            "localASNOptions": { "noPrepend": true, "replaceAS": true },
            "addPath": { "receive": false, "send": false },
            "maxPrefixes": { "ipv4": 100_000, "ipv6": 100_000, "warningPercent": 75 },
            "routeReflector": { "client": false },
            "export": { "removePrivateAS": false, "routeServerClient": false, "allowPeerAS": false },
        })
    };
    let number = || defaulted(json!(65000));
    let (internal, external) = (defaulted(json!("Internal")), defaulted(json!("External")));
    let placed = |place: &str, value: Value| {
        let mut spec = with(number(), &format!("/{place}"), value);
        spec.as_object_mut().unwrap().remove("address");
        spec
    };
    let range = placed("listenRange", json!({ "cidr": "192.0.2.0/24", "limit": 9 }));
    let interface = placed("interface", json!("eth1"));
    let ipv6 = with(number(), "/families", json!(["IPv6"]));
    let unlimited = with(number(), "/maxPrefixes", json!({ "ipv4": 0, "ipv6": 0 }));
    #[rustfmt::skip]
    let cases = [
        (number(), "/localASNOptions/noPrepend", json!(false), "without a localASN"),
        (number(), "/localASNOptions/replaceAS", json!(false), "without a localASN"),
        (number(), "/addPath/maxPaths", json!(4), "addPath.send is off"),
        (unlimited, "/maxPrefixes/restartSeconds", json!(9), "without a limit"),
        (ipv6, "/extendedNextHop", json!(true), "families has no IPv4"),
        (range, "/port", json!(1179), "nodes never dial"),
        (interface, "/ebgpMultihop", json!(2), "one hop away"),
        (external, "/routeReflector/client", json!(true), "only an internal router"),
        (internal.clone(), "/role", json!("Peer"), "a role says nothing"),
        (internal.clone(), "/export/removePrivateAS", json!(true), "to an internal router"),
        (internal.clone(), "/export/routeServerClient", json!(true), "to an internal router"),
        (internal.clone(), "/export/allowPeerAS", json!(true), "to an internal router"),
        (with(internal, "/localASN", json!(64999)), "/localASNOptions/noPrepend", json!(false), "to an internal router"),
    ];
    for (spec, pointer, value, message) in cases {
        cel::<P>("tor", &spec).unwrap();
        refused::<P>("tor", &with(spec, pointer, value), message);
    }
    let local = with(number(), "/localASN", json!(64999));
    cel::<P>(
        "tor",
        &with(local, "/localASNOptions/noPrepend", json!(false)),
    )
    .unwrap();
}

#[test]
fn cel_of_the_keys_of_a_peer() {
    type P = BGPPeer;
    let peer = json!({ "address": "192.0.2.1", "asn": 65000 });
    let key = |send: u8, receive: u8| json!({ "sendID": send, "receiveID": receive, "secretRef": { "name": "ao" } });
    let with_keys = |keys: &[Value]| with(peer.clone(), "/tcpAO", json!(keys));
    cel::<P>("tor", &with_keys(&[])).unwrap();
    let rotating = with_keys(&[key(1, 2), key(2, 1), key(3, 3)]);
    cel::<P>("tor", &rotating).unwrap();
    for twice in [[key(1, 2), key(1, 3)], [key(2, 1), key(3, 1)]] {
        let spec = with_keys(&twice);
        refused::<P>("tor", &spec, "the same sendID or receiveID");
    }
    let password = json!({ "name": "tor" });
    let both = with(rotating, "/passwordSecretRef", password.clone());
    refused::<P>("tor", &both, "exclude each other");
    let none = with(with_keys(&[]), "/passwordSecretRef", password);
    cel::<P>("tor", &none).unwrap();
    let range =
        json!({ "listenRange": { "cidr": "192.0.2.0/24" }, "asn": 1, "tcpAO": [key(1, 1)] });
    refused::<P>("tor", &range, "a listen range cannot have tcpAO keys");
}

#[test]
fn cel_of_a_peers_place() {
    type P = BGPPeer;
    let interface = json!({ "interface": "eth1", "asn": "External" });
    cel::<P>("tor", &interface).unwrap();
    let range = json!({ "listenRange": { "cidr": "192.0.2.0/24" }, "asn": "External" });
    cel::<P>("tor", &range).unwrap();
    refused::<P>("tor", &json!({ "asn": 1 }), "exactly one of");
    let two = with(range.clone(), "/address", json!("192.0.2.1"));
    refused::<P>("tor", &two, "exactly one of");
    let two = with(range.clone(), "/interface", json!("eth1"));
    refused::<P>("tor", &two, "exactly one of");
    let gateway = json!({ "defaultGateway": "IPv6", "asn": "External" });
    cel::<P>("tor", &gateway).unwrap();
    let two = with(gateway.clone(), "/address", json!("192.0.2.1"));
    refused::<P>("tor", &two, "exactly one of");
    let source = with(gateway, "/sourceAddress", json!("192.0.2.1"));
    refused::<P>("tor", &source, "needs an address");
    let source = with(range.clone(), "/sourceAddress", json!("192.0.2.1"));
    refused::<P>("tor", &source, "needs an address");
    let cidr = with(range.clone(), "/listenRange/cidr", json!("192.0.2.0"));
    refused::<P>("tor", &cidr, "not a CIDR");
    cel::<P>("tor", &with(range, "/bindInterface", json!("vrf-red"))).unwrap();
    let bound = with(interface, "/bindInterface", json!("eth1"));
    refused::<P>("tor", &bound, "exclude each other");
    let odd = json!({ "interface": "eth/1", "asn": "External" });
    refused::<P>("tor", &odd, "not the name of");
}

#[test]
fn cel_of_advertisement() {
    type A = BGPAdvertisement;
    let good = json!({ "podCIDRs": true });
    cel::<A>("a", &good).unwrap();
    refused::<A>("a", &json!({ "podCIDRs": false }), "nothing to advertise");
    let prefixes =
        json!({ "podCIDRs": false, "staticPrefixes": ["192.0.2.0/24", "2001:db8::/32"] });
    cel::<A>("a", &prefixes).unwrap();
    let prefix = with(good.clone(), "/staticPrefixes", json!(["192.0.2.0"]));
    refused::<A>("a", &prefix, "must be a CIDR");
    let tables = |table: u32| json!({ "podCIDRs": false, "kernelTables": [table] });
    cel::<A>("a", &tables(119)).unwrap();
    refused::<A>("a", &tables(254), "the node's own");
    let communities = json!(["64512:100", "no-export"]);
    cel::<A>("a", &with(good.clone(), "/communities", communities)).unwrap();
    for bad in ["65536:1", "1", "1:2:3", "nope"] {
        let spec = with(good.clone(), "/communities", json!([bad]));
        refused::<A>("a", &spec, "a community is");
    }
    let large = with(good.clone(), "/largeCommunities", json!(["4200000000:1:2"]));
    cel::<A>("a", &large).unwrap();
    for bad in ["1:2", "4294967296:1:2"] {
        let spec = with(good.clone(), "/largeCommunities", json!([bad]));
        refused::<A>("a", &spec, "a large community is");
    }
}

#[test]
fn cel_of_policy() {
    type P = BGPPolicy;
    let one = |rule: Value| json!({ "rules": [rule] });
    cel::<P>("p", &one(json!({ "action": "Accept" }))).unwrap();
    let reject = one(json!({ "action": "Reject", "set": { "med": 1 } }));
    refused::<P>("p", &reject, "can neither set nor override");
    let reject = one(json!({ "action": "Reject", "overrides": ["DefaultRoute"] }));
    refused::<P>("p", &reject, "can neither set nor override");
    let med =
        |min: u32| one(json!({ "action": "Accept", "match": { "med": { "min": min, "max": 5 } } }));
    cel::<P>("p", &med(5)).unwrap();
    refused::<P>("p", &med(6), "min is more than max");
    let path = json!({ "minLength": 3, "maxLength": 2 });
    let path = one(json!({ "action": "Accept", "match": { "asPath": path } }));
    refused::<P>("p", &path, "minLength is more than maxLength");
    let next_hop = |to: &str| one(json!({ "action": "Next", "set": { "nextHop": to } }));
    for good in ["Self", "Unchanged", "Peer", "192.0.2.1", "2001:db8::1"] {
        cel::<P>("p", &next_hop(good)).unwrap();
    }
    refused::<P>("p", &next_hop("me"), "must be an IP address");
    let set = json!({ "med": 1, "removeMED": true });
    refused::<P>(
        "p",
        &one(json!({ "action": "Next", "set": set })),
        "exclude each other",
    );
}

#[test]
fn cel_of_bfd_profile() {
    type B = BFDProfile;
    let good = serde_json::to_value(BFDProfileSpec::default()).unwrap();
    cel::<B>("b", &good).unwrap();
    let echo = with(good, "/echoMode", json!(true));
    cel::<B>("b", &echo).unwrap();
    refused::<B>(
        "b",
        &with(echo, "/passiveMode", json!(true)),
        "exclude each other",
    );
}

#[test]
fn violations_have_path_and_reason() {
    let peer = |spec: Value| json!({ "apiVersion": API_VERSION, "kind": "BGPPeer", "metadata": { "name": "tor" }, "spec": spec });
    let said = |object: &Value| -> Vec<(String, Reason)> {
        violations(Kind::BgpPeer, object)
            .into_iter()
            .map(|v| (v.field, v.reason))
            .collect()
    };
    let good = json!({ "address": "192.0.2.1", "asn": 65000, "nodeSelector": { "matchLabels": { "any": "label" } } });
    assert_eq!(said(&peer(good)), []);
    assert_eq!(
        said(&peer(json!({
            "address": 7,
            "timers": { "holdTime": 3, "connectRetrySeconds": 0 },
            "families": ["IPv5"],
            "port": 65536,
            "passive": null,
        }))),
        [
            ("spec.address".to_owned(), Reason::InvalidValue),
            ("spec.families[0]".to_owned(), Reason::InvalidValue),
            ("spec.passive".to_owned(), Reason::InvalidValue),
            ("spec.port".to_owned(), Reason::InvalidValue),
            (
                "spec.timers.connectRetrySeconds".to_owned(),
                Reason::InvalidValue
            ),
            ("spec.timers.holdTime".to_owned(), Reason::UnknownField),
            ("spec.asn".to_owned(), Reason::MissingField),
        ]
    );
    let outside = json!({ "metadata": { "name": "tor", "label": {} }, "specs": {} });
    assert_eq!(
        said(&outside),
        [
            ("specs".to_owned(), Reason::UnknownField),
            ("metadata.label".to_owned(), Reason::UnknownField),
            ("spec".to_owned(), Reason::MissingField),
        ]
    );
}

#[test]
fn cel_of_a_selector() {
    let refused_as = |operator: &str, values: Option<&[&str]>| {
        let mut requirement = json!({ "key": "rack", "operator": operator });
        if let Some(values) = values {
            requirement["values"] = json!(values);
        }
        let selector = json!({ "matchExpressions": [requirement] });
        let spec = json!({ "address": "192.0.2.1", "asn": 64601, "nodeSelector": selector });
        cel::<BGPPeer>("tor", &spec).err()
    };
    for (operator, needs) in [("In", true), ("NotIn", true), ("Exists", false)] {
        let one: Option<&[&str]> = Some(&["r1"]);
        assert_eq!(refused_as(operator, one).is_none(), needs, "{operator}");
        for none in [None, Some(&[][..])] {
            assert_eq!(refused_as(operator, none).is_none(), !needs, "{operator}");
        }
    }
    let why = refused_as("In", None).unwrap();
    assert!(why.contains("operators In and NotIn need values"), "{why}");
}

#[test]
fn selectors_match_like_kubernetes() {
    let labels = [("rack", "r1"), ("zone", "a")];
    let labels = labels.into_iter().collect();
    let selects = |selector: Value| -> bool {
        serde_json::from_value::<LabelSelector>(selector)
            .unwrap()
            .matches(&labels)
    };
    let expression = |key: &str, operator: &str, values: &[&str]| json!({ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] });
    assert!(selects(json!({})));
    assert!(selects(json!({ "matchLabels": { "rack": "r1" } })));
    assert!(!selects(
        json!({ "matchLabels": { "rack": "r1", "zone": "b" } })
    ));
    assert!(selects(expression("rack", "In", &["r1", "r2"])));
    assert!(!selects(expression("none", "In", &["r1"])));
    assert!(!selects(expression("rack", "NotIn", &["r1"])));
    assert!(selects(expression("none", "NotIn", &["r1"])));
    assert!(selects(expression("rack", "Exists", &[])));
    assert!(selects(expression("none", "DoesNotExist", &[])));
    assert!(!selects(expression("rack", "DoesNotExist", &[])));
}
