//! The roles of the manifests are enough, and allow no more Secrets than objects name.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]

mod kube_world;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube_world::{
    Follower, HASTE, base_roles, block_on, known, node, peer, peer_with_secret, secret, server,
};
use redstart_controller::{
    compile::compile,
    diagnostic::{Diagnostic, Reason},
    index::{Index, Kind},
    rbac::role_yaml,
    source::{Health, kube::connect},
    status::conditions::verdicts,
};
use redstart_proto_tests::apiserver::{
    ApiServer, Grant, Gvr, Options,
    faults::{Action, Rule, WatchEnd},
    grants,
};
use serde_json::{Value, json};

/// The base, with the Secrets that these objects name in the place of its one.
fn narrow(objects: &[Value]) -> Vec<Grant> {
    let manifests: Vec<String> = objects.iter().map(Value::to_string).collect();
    let manifests = manifests.iter().map(|text| ("objects.json", text.as_str()));
    let role = grants(&role_yaml(manifests).unwrap()).unwrap();
    let base = base_roles().into_iter();
    let others = base.filter(|grant| grant.namespace.is_empty());
    others.chain(role).collect()
}

fn server_allowing(grants: Vec<Grant>, objects: &[Value]) -> ApiServer {
    let options = Options {
        grants: Some(grants),
        ..Options::default()
    };
    server(options, objects.iter().cloned())
}

/// A node, a router whose password is in one of two Secrets, and these.
fn objects() -> [Value; 4] {
    [
        node("a", "10.0.1.0/24"),
        peer_with_secret("tor", "192.0.2.9", "x"),
        secret("x", "x"),
        secret("y", "y"),
    ]
}

fn secrets(index: &Index) -> Vec<&str> {
    known(index).secrets.keys().map(String::as_str).collect()
}

#[test]
fn the_base_role_lets_a_speaker_read_what_it_must() {
    let objects = [
        node("a", "10.0.1.0/24"),
        peer_with_secret("tor", "192.0.2.9", "bgp-passwords"),
        secret("bgp-passwords", "x"),
        secret("y", "y"),
    ];
    let server = server_allowing(base_roles(), &objects);
    block_on(async {
        let mut follower = Follower::start(&server.kubeconfig());
        follower.until_complete().await;
        assert_eq!(secrets(&follower.index), ["bgp-passwords"]);
        refused_are(&server, &["y"]).await;
    });
}

/// Nobody names it, and the role would allow it.
#[test]
fn a_secret_that_nobody_names_is_not_read() {
    let objects = objects();
    let server = server_allowing(narrow(&both()), &objects);
    block_on(async {
        let mut follower = Follower::start(&server.kubeconfig());
        follower.until_complete().await;
        assert_eq!(secrets(&follower.index), ["x"]);
    });
}

/// Routers that name the two Secrets of [`objects`].
fn both() -> [Value; 2] {
    [
        peer_with_secret("tor", "192.0.2.9", "x"),
        peer_with_secret("other", "192.0.2.10", "y"),
    ]
}

/// None of these Secrets can be read, nor can they all be listed.
async fn refused_are(server: &ApiServer, names: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kubeconfig");
    server.kubeconfig().write(&path).unwrap();
    let client = connect(Some(&path)).await.unwrap();
    let api: Api<Secret> = Api::namespaced(client, "redstart-system");
    let mut answers = vec![api.list(&Default::default()).await.map(drop)];
    for name in names {
        answers.push(api.get(name).await.map(drop));
    }
    for refused in answers {
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("forbidden"), "{refused}");
    }
}

#[test]
fn a_role_that_names_secrets_is_enough_and_allows_no_others() {
    let objects = objects();
    let server = server_allowing(narrow(&objects), &objects);
    block_on(async {
        let mut follower = Follower::start(&server.kubeconfig());
        follower.until_complete().await;
        assert_eq!(secrets(&follower.index), ["x"]);
        refused_are(&server, &["y"]).await;
        // It changes, and is followed.
        server.put(secret("x", "another")).unwrap();
        let is_new = |index: &Index| known(index).secrets["x"].data["password"] == b"another";
        follower.until(is_new).await;
    });
}

#[test]
fn a_secret_that_the_role_does_not_name_costs_nobody_else_anything() {
    let objects = objects();
    let server = server_allowing(narrow(&objects), &objects);
    block_on(async {
        let mut follower = Follower::start_tuned(&server.kubeconfig(), HASTE);
        follower.until_complete().await;
        server
            .put(peer_with_secret("other", "192.0.2.10", "y"))
            .unwrap();
        follower
            .until_health(Kind::Secret, |health| match health {
                Health::Retrying { error } => error.contains("secrets \"y\" is forbidden"),
                _ => false,
            })
            .await;
        follower.until_caught_up(&server).await;
        assert_eq!(secrets(&follower.index), ["x"]);
        assert_eq!(known(&follower.index).peers.len(), 2);
        // Nobody names it any more: all is well.
        let peers = Gvr::new("redstart.dev", "v1alpha1", "bgppeers");
        server.remove(&peers, "", "other");
        follower
            .until_health(Kind::Secret, |health| *health == Health::Synced)
            .await;
    });
}

#[test]
fn an_object_that_names_another_secret_comes_with_it() {
    let objects = objects();
    let server = server_allowing(narrow(&both()), &objects);
    block_on(async {
        let mut follower = Follower::start(&server.kubeconfig());
        follower.until_complete().await;
        server
            .put(peer_with_secret("tor", "192.0.2.9", "y"))
            .unwrap();
        // At no moment does the peer name a Secret that is not there.
        let names_y = |index: &Index| {
            let peer = &known(index).peers["tor"];
            peer.password.as_ref().unwrap().name == "y"
        };
        while !names_y(&follower.index) {
            follower.take().await;
            assert!(!names_y(&follower.index) || secrets(&follower.index).contains(&"y"));
        }
    });
}

/// Of the routers only `other` is refused, which names a Secret that may not be read, and it is said of
/// the object, its field and why.
fn only_who_names_it_is_refused(index: &Index) {
    let (desired, problems) = compile(index, "a").unwrap();
    let peers = desired.peers.keys().map(|name| name.0.as_str());
    assert_eq!(peers.collect::<Vec<_>>(), ["plain", "tor"]);
    assert_eq!(desired.originations.len(), 1, "the pod CIDR");
    let of_other = |problem: &&Diagnostic| problem.object.to_string() == "BGPPeer/other";
    let told: Vec<_> = problems.iter().filter(of_other).collect();
    let [problem] = told[..] else {
        panic!("{told:?}");
    };
    let field = "spec.passwordSecretRef";
    let said = (problem.field.as_str(), problem.reason);
    assert_eq!(said, (field, Reason::SecretForbidden));
    let message = &problem.message;
    assert!(message.contains("Secret redstart-system/y"), "{message}");
    let verdicts = verdicts(index);
    let mut claims = verdicts[&problem.object].claims.iter();
    let claim = claims.find(|claim| claim.kind == "ResolvedRefs").unwrap();
    let said = (claim.holds, claim.reason.as_str());
    assert_eq!(said, (false, "SecretForbidden"));
    assert!(claim.message.starts_with(field), "{}", claim.message);
    // The server's own words are there as well.
    let words = "secrets \"y\" is forbidden";
    let told = problems.iter().any(|it| it.message.contains(words));
    assert!(told, "{problems:?}");
}

/// Nobody else waits for it; when it may be read, all is well, and stays so when it may not any more.
#[test]
fn a_start_does_not_wait_for_a_secret_that_may_not_be_read() {
    let allowed = objects();
    let refused = [
        peer("plain", "192.0.2.8"),
        peer_with_secret("other", "192.0.2.10", "y"),
    ];
    let all = [&allowed[..], &refused[..]].concat();
    let server = server_allowing(narrow(&allowed), &all);
    block_on(async {
        let mut follower = Follower::start_tuned(&server.kubeconfig(), HASTE);
        follower.until(Index::is_complete).await;
        only_who_names_it_is_refused(&follower.index);

        server.grant(narrow(&both()));
        follower.until(|index| secrets(index) == ["x", "y"]).await;
        let (desired, problems) = compile(&follower.index, "a").unwrap();
        assert_eq!((desired.peers.len(), problems), (3, vec![]));

        server.grant(narrow(&allowed));
        server.faults().end_watches(Some("secrets"), WatchEnd::Gone);
        let is_refused = |index: &Index| known(index).unread_secrets.contains_key("y");
        follower.until(is_refused).await;
        let (desired, problems) = compile(&follower.index, "a").unwrap();
        assert_eq!(desired.peers.len(), 3);
        let of_secrets = problems.iter().all(|it| it.object.kind == "Secret");
        assert!(of_secrets, "{problems:?}");
    });
}

/// Nor for one that the API server cannot give; without its password no session runs, and with it one does.
#[test]
fn a_start_does_not_wait_for_ever_for_a_secret_that_answers_with_errors() {
    let all = objects();
    let server = server_allowing(narrow(&all), &all);
    server.faults().add(Rule {
        verb: None,
        plural: Some("secrets".to_owned()),
        skip: 0,
        times: None,
        action: Action::Status {
            code: 500,
            retry_after: None,
        },
    });
    block_on(async {
        let mut follower = Follower::start_tuned(&server.kubeconfig(), HASTE);
        follower.until(Index::is_complete).await;
        let (desired, problems) = compile(&follower.index, "a").unwrap();
        assert!(desired.peers.is_empty(), "{:?}", desired.peers);
        assert_eq!(desired.originations.len(), 1, "the pod CIDR");
        let said = problems.iter().map(|it| (it.object.to_string(), it.reason));
        let unread = ("BGPPeer/tor".to_owned(), Reason::Unreadable);
        assert!(said.into_iter().any(|it| it == unread), "{problems:?}");

        server.faults().clear();
        follower.until(|index| secrets(index) == ["x"]).await;
        let (desired, problems) = compile(&follower.index, "a").unwrap();
        assert_eq!((desired.peers.len(), problems), (1, vec![]));
    });
}

/// A Role that was made before we read `ServiceCIDR`s, and an API server that is older than they are, do.
#[test]
fn service_cidrs_are_read_where_they_may_be_and_missed_by_nobody() {
    let range = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes"}, "spec": {"cidrs": ["10.96.0.0/12"]},
    });
    let objects = [node("a", "10.0.1.0/24"), range];
    let knows = |index: &Index| known(index).service_cidrs.len();
    block_on(async {
        let server = server_allowing(base_roles(), &objects);
        let mut follower = Follower::start(&server.kubeconfig());
        follower.until_complete().await;
        assert_eq!(knows(&follower.index), 1);

        let mut older = base_roles();
        older.retain(|grant| {
            let mut resources = grant.rule.resources.iter().flatten();
            !resources.any(|it| it == "servicecidrs")
        });
        let server = server_allowing(older, &objects);
        let mut follower = Follower::start(&server.kubeconfig());
        follower.until_complete().await;
        assert_eq!(knows(&follower.index), 0);
        assert!(
            follower.status(Kind::ServiceCidr).connected,
            "nothing is amiss"
        );

        let server = server_allowing(base_roles(), &objects);
        server.faults().add(Rule {
            verb: None,
            plural: Some("servicecidrs".to_owned()),
            skip: 0,
            times: None,
            action: Action::Status {
                code: 404,
                retry_after: None,
            },
        });
        let mut follower = Follower::start(&server.kubeconfig());
        follower.until_complete().await;
        assert_eq!(knows(&follower.index), 0);
    });
}
