//! The API server for tests behaves like a real one towards kube's own client.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::{
    api::core::v1::{Node, Secret},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Config, Error,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::{ApiResource, GroupVersionKind, WatchEvent},
};
use redstart_proto_tests::apiserver::{
    ApiServer, Credential, Gvr, Options, Verb,
    faults::{Action, Rule, StreamingLists, WatchEnd},
};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(20);

/// Runs a test body against a fresh server, bounded in time.
fn with_server<F: Future<Output = ()>>(body: impl FnOnce(ApiServer) -> F) {
    let server = ApiServer::start(Options::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        tokio::time::timeout(LIMIT, body(server))
            .await
            .expect("the test takes too long");
    });
}

async fn client_of(kubeconfig: &redstart_proto_tests::apiserver::Kubeconfig) -> Client {
    let parsed = Kubeconfig::from_yaml(&kubeconfig.document()).unwrap();
    let mut config = Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default())
        .await
        .unwrap();
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

async fn client(server: &ApiServer) -> Client {
    client_of(&server.kubeconfig()).await
}

fn node(name: &str, cidr: &str) -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name}, "spec": {"podCIDRs": [cidr]},
    })
}

fn code(error: &Error) -> u16 {
    match error {
        Error::Api(status) => status.code,
        other => panic!("not an answer of the API: {other:?}"),
    }
}

fn nodes() -> Gvr {
    Gvr::new("", "v1", "nodes")
}

#[test]
fn pages_show_one_moment_until_their_history_is_forgotten() {
    with_server(|server| async move {
        for name in ["a", "b", "c"] {
            server.put(node(name, "10.0.0.0/24")).unwrap();
        }
        let api: Api<Node> = Api::all(client(&server).await);
        let first = api.list(&ListParams::default().limit(2)).await.unwrap();
        assert_eq!(
            (first.items.len(), first.metadata.remaining_item_count),
            (2, Some(1))
        );
        server.remove(&nodes(), "", "c");
        server.put(node("d", "10.0.0.0/24")).unwrap();

        let token = first.metadata.continue_.unwrap();
        let next = ListParams::default().limit(2).continue_token(&token);
        let second = api.list(&next).await.unwrap();
        let names: Vec<_> = second
            .items
            .iter()
            .filter_map(|it| it.metadata.name.clone())
            .collect();
        assert_eq!(names, ["c"]);
        assert_eq!(
            second.metadata.resource_version,
            first.metadata.resource_version
        );

        server.compact();
        assert_eq!(code(&api.list(&next).await.unwrap_err()), 410);
    });
}

#[test]
fn a_watch_replays_what_it_missed_or_is_told_that_it_cannot() {
    with_server(|server| async move {
        server.put(node("a", "10.0.0.0/24")).unwrap();
        let api: Api<Node> = Api::all(client(&server).await);
        let listed = api.list(&ListParams::default()).await.unwrap();
        let version = listed.metadata.resource_version.unwrap();
        server.put(node("a", "10.0.1.0/24")).unwrap();
        server.remove(&nodes(), "", "a");

        let mut events = api
            .watch(&WatchParams::default(), &version)
            .await
            .unwrap()
            .boxed();
        assert!(matches!(
            events.next().await,
            Some(Ok(WatchEvent::Modified(_)))
        ));
        let Some(Ok(WatchEvent::Deleted(last))) = events.next().await else {
            panic!("no DELETED event");
        };
        assert_ne!(last.metadata.resource_version.as_ref(), Some(&version));
        server.faults().send_bookmarks();
        assert!(matches!(
            events.next().await,
            Some(Ok(WatchEvent::Bookmark(_)))
        ));
        server.faults().end_watches(Some("nodes"), WatchEnd::Close);
        assert!(events.next().await.is_none());

        server.compact();
        let mut late = api
            .watch(&WatchParams::default(), &version)
            .await
            .unwrap()
            .boxed();
        match late.next().await {
            Some(Ok(WatchEvent::Error(status))) => assert_eq!(status.code, 410),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_streaming_list_ends_with_its_bookmark_and_can_be_switched_off() {
    with_server(|server| async move {
        server.put(node("a", "10.0.0.0/24")).unwrap();
        let api: Api<Node> = Api::all(client(&server).await);
        let params = WatchParams::default().initial_events();
        let events = api.watch(&params, "0").await.unwrap().take(2);
        let events: Vec<_> = events.try_collect().await.unwrap();
        assert!(matches!(&events[0], WatchEvent::Added(_)));
        match &events[1] {
            WatchEvent::Bookmark(bookmark) => {
                assert_eq!(
                    bookmark.metadata.annotations["k8s.io/initial-events-end"],
                    "true"
                );
            }
            other => panic!("{other:?}"),
        }
        server.faults().set_streaming_lists(StreamingLists::Refused);
        let refused = api.watch(&params, "0").await.map(|_| ()).unwrap_err();
        assert_eq!(code(&refused), 422);
    });
}

#[test]
fn only_the_right_token_and_authority_get_in() {
    with_server(|server| async move {
        let mut stranger = server.kubeconfig();
        stranger.credential = Credential::Anonymous;
        let api: Api<Node> = Api::all(client_of(&stranger).await);
        assert_eq!(
            code(&api.list(&ListParams::default()).await.unwrap_err()),
            401
        );

        let other = ApiServer::start(Options::default()).unwrap();
        let mut deceived = server.kubeconfig();
        deceived.ca_pem = other.ca_pem();
        let api: Api<Node> = Api::all(client_of(&deceived).await);
        let error = api.list(&ListParams::default()).await.unwrap_err();
        assert!(!matches!(error, Error::Api(_)), "{error:?}");

        let old: Api<Node> = Api::all(client(&server).await);
        old.list(&ListParams::default()).await.unwrap();
        server.faults().rotate_token();
        assert_eq!(
            code(&old.list(&ListParams::default()).await.unwrap_err()),
            401
        );
        let new: Api<Node> = Api::all(client(&server).await);
        new.list(&ListParams::default()).await.unwrap();
    });
}

#[test]
fn status_is_applied_by_field_owners() {
    with_server(|server| async move {
        server.put(node("a", "10.0.0.0/24")).unwrap();
        let api: Api<Node> = Api::all(client(&server).await);
        let condition = |kind: &str, status: &str| {
            Patch::Apply(json!({
                "apiVersion": "v1", "kind": "Node",
                "metadata": {"name": "a"},
                "spec": {"podCIDRs": ["10.9.9.0/24"]},
                "status": {"conditions": [{"type": kind, "status": status}]},
            }))
        };
        let as_x = PatchParams::apply("speaker/x");
        let as_y = PatchParams::apply("speaker/y");
        api.patch_status("a", &as_x, &condition("X", "True"))
            .await
            .unwrap();
        let both = api
            .patch_status("a", &as_y, &condition("Y", "True"))
            .await
            .unwrap();
        let conditions = both.status.unwrap().conditions.unwrap();
        assert_eq!(
            conditions
                .iter()
                .map(|it| it.type_.as_str())
                .collect::<Vec<_>>(),
            ["X", "Y"]
        );
        // The spec is not part of its status.
        assert_eq!(both.spec.unwrap().pod_cidrs.unwrap(), ["10.0.0.0/24"]);

        let refused = api
            .patch_status("a", &as_y, &condition("X", "False"))
            .await
            .unwrap_err();
        assert_eq!(code(&refused), 409);
        let forced = as_y.clone().force();
        let taken = api
            .patch_status("a", &forced, &condition("X", "False"))
            .await
            .unwrap();
        let again = api
            .patch_status("a", &forced, &condition("X", "False"))
            .await
            .unwrap();
        assert_eq!(
            taken.metadata.resource_version,
            again.metadata.resource_version
        );
    });
}

#[test]
fn objects_are_created_replaced_with_locking_and_deleted() {
    with_server(|server| async move {
        let api: Api<Secret> = Api::namespaced(client(&server).await, "redstart-system");
        let secret: Secret = serde_json::from_value(json!({
            "metadata": {"name": "s"}, "stringData": {"password": "x"},
        }))
        .unwrap();
        let post = PostParams::default();
        let mut made = api.create(&post, &secret).await.unwrap();
        assert_eq!(made.data.as_ref().unwrap()["password"].0, b"x");
        assert_eq!(code(&api.create(&post, &secret).await.unwrap_err()), 409);
        let stale = made.clone();
        made.type_ = Some("Opaque".to_owned());
        api.replace("s", &post, &made).await.unwrap();
        assert_eq!(
            code(&api.replace("s", &post, &stale).await.unwrap_err()),
            409
        );
        api.delete("s", &DeleteParams::default()).await.unwrap();
        assert_eq!(code(&api.get("s").await.unwrap_err()), 404);
    });
}

#[test]
fn a_kind_comes_and_goes_with_its_crd() {
    with_server(|server| async move {
        let client = client(&server).await;
        let kind = GroupVersionKind::gvk("redstart.dev", "v1alpha1", "BGPPeer");
        let peers: Api<DynamicObject> =
            Api::all_with(client.clone(), &ApiResource::from_gvk(&kind));
        let crds: Api<CustomResourceDefinition> = Api::all(client);
        peers.list(&ListParams::default()).await.unwrap();
        let mut crd = crds.get("bgppeers.redstart.dev").await.unwrap();
        let post = PostParams::default();
        crds.delete("bgppeers.redstart.dev", &DeleteParams::default())
            .await
            .unwrap();
        assert_eq!(
            code(&peers.list(&ListParams::default()).await.unwrap_err()),
            404
        );
        crd.metadata.resource_version = None;
        crds.create(&post, &crd).await.unwrap();
        assert!(
            peers
                .list(&ListParams::default())
                .await
                .unwrap()
                .items
                .is_empty()
        );
    });
}

#[test]
fn rules_act_as_often_as_they_say_and_an_outage_refuses_connections() {
    with_server(|server| async move {
        let api: Api<Node> = Api::all(client(&server).await);
        server.faults().add(Rule {
            verb: Some(Verb::List),
            plural: Some("nodes".to_owned()),
            skip: 0,
            times: Some(1),
            action: Action::Status {
                code: 429,
                retry_after: Some(1),
            },
        });
        assert_eq!(
            code(&api.list(&ListParams::default()).await.unwrap_err()),
            429
        );
        let listed = api.list(&ListParams::default()).await.unwrap();

        let version = listed.metadata.resource_version.unwrap();
        let mut events = api
            .watch(&WatchParams::default(), &version)
            .await
            .unwrap()
            .boxed();
        server.faults().refuse_connections(true);
        assert!(!matches!(events.next().await, Some(Ok(_))));
        let error = api.list(&ListParams::default()).await.unwrap_err();
        assert!(!matches!(error, Error::Api(_)), "{error:?}");
        server.faults().refuse_connections(false);
        while api.list(&ListParams::default()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}
