//! The cache between a scripted source and an index, on a real directory.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use redstart_bgp::types::{Asn, Family};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::*;
use crate::{
    index::{Index, Kind, ObjectKey, Objects, Observed, ServiceKey},
    source::{self, Source as _, SourceEvent, dir::DirSource, kube},
};

const HASTE: Tuning = Tuning {
    gather: Duration::from_millis(1),
    interval: Duration::from_millis(1),
    rest: 0,
    longest: Duration::ZERO,
};

#[test]
fn whoever_takes_long_to_write_writes_seldom() {
    let pause = |millis| Tuning::default().pause_after(Duration::from_millis(millis));
    assert_eq!(pause(5), Duration::from_secs(10));
    assert_eq!(pause(300), Duration::from_secs(30));
    assert_eq!(pause(60_000), Duration::from_secs(60));
}

/// A cache at work, and the index behind it.
struct World {
    verdict: watch::Sender<Verdict>,
    source: mpsc::Sender<Batch>,
    index: Index,
    arriving: mpsc::Receiver<Batch>,
    status: watch::Receiver<CacheStatus>,
    task: JoinHandle<()>,
}

impl World {
    fn start(directory: &Path) -> Self {
        Self::of_node(directory, "n1")
    }

    fn of_node(directory: &Path, node: &str) -> Self {
        Self::of(Cache::new(directory, node).tuned(HASTE))
    }

    fn of(cache: Cache) -> Self {
        let (source, from) = source::channel();
        let (to, arriving) = source::channel();
        let (verdict, of_index) = watch::channel(Verdict::default());
        let cache = cache.heeding(of_index);
        Self {
            verdict,
            source,
            index: Index::new(),
            arriving,
            status: cache.status(),
            task: tokio::spawn(cache.run(from, to)),
        }
    }

    async fn say(&mut self, batch: Batch) {
        self.source.send(batch).await.unwrap();
    }

    /// Every kind listed: these nodes, and nothing else but the configuration.
    async fn list(&mut self, nodes: &[&str]) {
        for kind in Kind::ALL {
            let objects = match kind {
                Kind::Node => nodes.iter().map(|name| node(name, "10.0.0.0/24")).collect(),
                Kind::Secret => vec![secret()],
                _ => Vec::new(),
            };
            self.say(vec![SourceEvent::Restarted { kind, objects }])
                .await;
        }
    }

    async fn take(&mut self) {
        let batch = self.arriving.recv().await.unwrap();
        self.take_in(batch);
    }

    fn take_in(&mut self, batch: Batch) {
        for event in batch {
            self.index.apply(event);
        }
        self.verdict.send_modify(|verdict| {
            verdict.batches += 1;
            verdict.kept = self.index.kept_in_force();
        });
    }

    async fn until_complete(&mut self) {
        while !self.index.is_complete() {
            self.take().await;
        }
    }

    async fn until_on_disk(&self, objects: usize) {
        let mut status = self.status.clone();
        let is = |now: &CacheStatus| now.objects == objects && !now.behind;
        status.wait_for(is).await.unwrap();
    }

    /// The source ends; what was said is on disk.
    async fn end(mut self) -> Index {
        let (source, _) = source::channel();
        drop(std::mem::replace(&mut self.source, source));
        while let Some(batch) = self.arriving.recv().await {
            self.take_in(batch);
        }
        self.task.await.unwrap();
        self.index
    }
}

fn observed(kind: Kind, object: Value) -> Observed {
    kube::take_in(kind, object)
}

fn node(name: &str, cidr: &str) -> Observed {
    let object = json!({
        "metadata": {"name": name, "resourceVersion": "7"},
        "spec": {"podCIDRs": [cidr]},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]},
    });
    observed(Kind::Node, object)
}

fn secret() -> Observed {
    let metadata = json!({"name": "tor", "namespace": "redstart-system"});
    observed(
        Kind::Secret,
        json!({"metadata": metadata, "data": {"password": "aHVudGVyMg=="}}),
    )
}

fn names(index: &Index) -> Vec<&str> {
    known(index).nodes.keys().map(String::as_str).collect()
}

fn known(index: &Index) -> &Objects {
    index.complete().unwrap()
}

/// A directory in which a cache with two nodes was written, and the objects in it.
async fn written() -> (tempfile::TempDir, Objects) {
    let directory = tempfile::tempdir().unwrap();
    let mut world = World::start(directory.path());
    world.list(&["a", "b"]).await;
    let index = world.end().await;
    (directory, known(&index).clone())
}

fn file_of(directory: &Path, kind: Kind) -> PathBuf {
    directory.join("objects").join(file::name(kind))
}

/// Damages a file of a good cache; the cache must be ignored, and the reason told.
async fn ignored_after(damage: impl FnOnce(&Path), node: &str) -> String {
    let (directory, _) = written().await;
    damage(&file_of(directory.path(), Kind::Node));
    let mut world = World::of_node(directory.path(), node);
    // Nothing but what the API says comes to the index, kind by kind.
    let kind = Kind::Secret;
    world
        .say(vec![SourceEvent::Restarted {
            kind,
            objects: Vec::new(),
        }])
        .await;
    world.take().await;
    assert!(
        !world.index.is_listed(Kind::Node),
        "half of a broken cache is in force"
    );
    assert!(!world.index.is_recalled());
    let error = world.status.borrow().error.clone().unwrap();
    // And a later listing of everything replaces it.
    world.list(&["c"]).await;
    world.until_complete().await;
    world.end().await;
    let mut next = World::of_node(directory.path(), node);
    next.take().await;
    assert_eq!(names(&next.index), ["c"]);
    error
}

#[tokio::test]
async fn a_start_without_an_api_server_has_the_last_known_objects() {
    let (directory, before) = written().await;
    let mut world = World::start(directory.path());
    world.take().await;
    assert_eq!(known(&world.index), &before);
    assert!(world.index.is_recalled());
    assert_eq!(world.status.borrow().objects, 3);
}

fn tor(policy: &str) -> Observed {
    let policies = json!({"import": [policy]});
    let spec = json!({
        "address": "192.0.2.254", "asn": 64601,
        "policies": policies, "passwordSecretRef": {"name": "tor"},
    });
    let object = json!({"metadata": {"name": "tor"}, "spec": spec});
    observed(Kind::BgpPeer, object)
}

fn policy(name: &str) -> Observed {
    let spec = json!({"rules": [{"action": "Accept"}]});
    let object = json!({"metadata": {"name": name}, "spec": spec});
    observed(Kind::BgpPolicy, object)
}

/// A Node with this AS number.
fn asn(asn: &str) -> Observed {
    let annotations = json!({"redstart.dev/asn": asn});
    let metadata = json!({"name": "a", "annotations": annotations});
    let spec = json!({"podCIDRs": ["10.0.0.0/24"]});
    observed(Kind::Node, json!({"metadata": metadata, "spec": spec}))
}

fn password(value: &str) -> Observed {
    let metadata = json!({"name": "tor", "namespace": "redstart-system"});
    let object = json!({"metadata": metadata, "stringData": {"password": value}});
    observed(Kind::Secret, object)
}

/// Of each of them, what is in force.
fn in_force(index: &Index) -> (Option<Asn>, Vec<String>, bool, Option<String>) {
    let objects = known(index);
    let secret = &objects.secrets["tor"];
    let used = secret.password("password").ok();
    (
        objects.nodes["a"].asn,
        objects.peers["tor"].policies.import.clone(),
        objects.policies.contains_key("p"),
        used.or(secret.last_password("password")).map(str::to_owned),
    )
}

/// A version that is not in force never gets to the disk, however it is told: after a restart, all is as it
/// was before. What is mended does.
#[tokio::test]
async fn the_last_good_version_outlives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut world = World::start(directory.path());
    for kind in Kind::ALL {
        let objects = match kind {
            Kind::Node => vec![asn("65001")],
            Kind::Secret => vec![password("good")],
            Kind::BgpPolicy => vec![policy("p")],
            Kind::BgpPeer => vec![tor("p")],
            _ => Vec::new(),
        };
        world
            .say(vec![SourceEvent::Restarted { kind, objects }])
            .await;
    }
    world.until_complete().await;
    let before = in_force(&world.index);
    world.until_on_disk(4).await;
    let relisted = |kind, objects| SourceEvent::Restarted { kind, objects };
    for bad in [
        SourceEvent::Applied(asn("65001x")),
        SourceEvent::Applied(password("bad\n")),
        SourceEvent::Applied(tor("missing")),
        relisted(Kind::Node, vec![asn("65001x")]),
        relisted(Kind::Secret, vec![password("")]),
        relisted(Kind::BgpPeer, vec![tor("missing")]),
        relisted(Kind::BgpPeer, vec![tor("p")]),
        SourceEvent::Deleted(ObjectKey::cluster(Kind::BgpPolicy, "p")),
        relisted(Kind::BgpPolicy, Vec::new()),
    ] {
        world.say(vec![bad]).await;
        world.take().await;
        assert_eq!(in_force(&world.index), before);
    }
    world.end().await;
    let mut world = World::start(directory.path());
    world.take().await;
    assert_eq!(in_force(&world.index), before);

    // The API server is heard, and knows no better.
    for kind in Kind::ALL {
        let objects = match kind {
            Kind::Node => vec![asn("65001x")],
            Kind::BgpPeer => vec![tor("missing")],
            _ => Vec::new(),
        };
        world.say(vec![relisted(kind, objects)]).await;
    }
    world.take().await;
    assert!(!world.index.is_recalled());
    assert_eq!(in_force(&world.index), before);

    for good in [asn("65002"), password("new"), policy("q"), tor("q")] {
        world.say(vec![SourceEvent::Applied(good)]).await;
        world.take().await;
    }
    let after = in_force(&world.index);
    assert_ne!(after, before);
    assert!(!after.2, "nobody names it any more");
    world.end().await;
    let mut world = World::start(directory.path());
    world.take().await;
    assert_eq!(in_force(&world.index), after);
}

/// The node was about to go off, and serves again; others were, and may still be. Pods of before the boot
/// are not there; those of other nodes may be.
#[tokio::test]
async fn a_start_does_not_believe_what_it_disproves() {
    let directory = tempfile::tempdir().unwrap();
    let shuts_down = |name: &str| {
        let ready = json!({"type": "Ready", "status": "False", "message": "node is shutting down"});
        let object = json!({"metadata": {"name": name}, "status": {"conditions": [ready]}});
        observed(Kind::Node, object)
    };
    let endpoint = |node: &str| json!({"addresses": ["10.0.0.7"], "nodeName": node, "conditions": {"ready": true}});
    let slice = json!({
        "metadata": {"name": "web-1", "namespace": "apps", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "endpoints": [endpoint("n1"), endpoint("n2")],
    });
    let mut world = World::start(directory.path());
    for kind in Kind::ALL {
        let objects = match kind {
            Kind::Node => vec![shuts_down("n1"), shuts_down("n2")],
            Kind::EndpointSlice => vec![observed(kind, slice.clone())],
            _ => Vec::new(),
        };
        world
            .say(vec![SourceEvent::Restarted { kind, objects }])
            .await;
    }
    world.end().await;

    for booted in [false, true] {
        let cache = Cache::new(directory.path(), "n1").tuned(HASTE);
        let cache = match booted {
            true => cache.of_before_the_boot(),
            false => cache,
        };
        let mut world = World::of(cache);
        world.take().await;
        let known = known(&world.index);
        let is_off = |name: &str| known.nodes[name].drain.shuts_down.is_some();
        assert_eq!((is_off("n1"), is_off("n2")), (false, true));
        let service = ServiceKey {
            namespace: "apps".into(),
            name: "web".into(),
        };
        let family = Family::Ipv4Unicast;
        let ready = |node| known.endpoints.count(&service, family, node).1.ready;
        assert_eq!((ready("n1"), ready("n2")), (u32::from(!booted), 1));
    }
}

#[tokio::test]
async fn the_cache_is_a_directory_of_manifests() {
    let (directory, before) = written().await;
    let (to, mut arriving) = source::channel();
    let stop = tokio_util::sync::CancellationToken::new();
    let dir = DirSource::new(directory.path().join("objects"));
    tokio::spawn(dir.run(to, stop.clone()));
    let mut index = Index::new();
    while !index.is_complete() {
        for event in arriving.recv().await.unwrap() {
            index.apply(event);
        }
    }
    stop.cancel();
    assert_eq!(known(&index), &before);
    assert_eq!(index.problems().count(), 0);
}

#[tokio::test]
async fn only_root_reads_the_passwords() {
    let (directory, _) = written().await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory.path().join("objects")), 0o700);
    for kind in Kind::ALL {
        assert_eq!(mode(&file_of(directory.path(), kind)), 0o600, "{kind}");
    }
}

#[tokio::test]
async fn what_was_deleted_during_an_outage_goes_when_every_kind_is_listed() {
    let (directory, _) = written().await;
    let mut world = World::start(directory.path());
    world.take().await;
    let nodes = SourceEvent::Restarted {
        kind: Kind::Node,
        objects: vec![node("b", "10.0.0.0/24"), node("c", "10.0.1.0/24")],
    };
    // A health report after the listing shows that the listing was held back.
    let health = SourceEvent::Health {
        kind: Kind::Node,
        health: source::Health::Synced,
    };
    world.say(vec![nodes, health]).await;
    world.take().await;
    assert_eq!(world.index.health(Kind::Node), source::Health::Synced);
    assert_eq!(names(&world.index), ["a", "b"]);
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Node) {
        world
            .say(vec![SourceEvent::Restarted {
                kind,
                objects: Vec::new(),
            }])
            .await;
    }
    world.take().await;
    assert_eq!(names(&world.index), ["b", "c"]);
    assert_eq!(known(&world.index).secrets.len(), 0);
    assert!(!world.index.is_recalled());
}

#[tokio::test]
async fn an_object_that_went_bad_during_an_outage_keeps_its_last_good_version() {
    let (directory, before) = written().await;
    let mut world = World::start(directory.path());
    world.take().await;
    let bad = observed(
        Kind::Node,
        json!({"metadata": {"name": "a"}, "spec": {"podCIDRs": 5}}),
    );
    assert_eq!(bad.object, None);
    for kind in Kind::ALL {
        let objects = if kind == Kind::Node {
            vec![bad.clone()]
        } else {
            Vec::new()
        };
        world
            .say(vec![SourceEvent::Restarted { kind, objects }])
            .await;
    }
    world.take().await;
    assert_eq!(known(&world.index).nodes["a"], before.nodes["a"]);
    assert_eq!(world.index.problems().count(), 1);
    // And it stays on disk.
    world.end().await;
    let mut next = World::start(directory.path());
    next.take().await;
    assert_eq!(known(&next.index).nodes["a"], before.nodes["a"]);
}

#[tokio::test]
async fn single_changes_are_kept_beside_what_did_not_change() {
    let (directory, _) = written().await;
    let mut world = World::start(directory.path());
    world.list(&["a", "b"]).await;
    world
        .say(vec![
            SourceEvent::Deleted(ObjectKey::cluster(Kind::Node, "a")),
            SourceEvent::Applied(node("aa", "10.0.7.0/24")),
        ])
        .await;
    let index = world.end().await;
    assert_eq!(names(&index), ["aa", "b"]);
    let mut next = World::start(directory.path());
    next.take().await;
    assert_eq!(known(&next.index), known(&index));
}

#[tokio::test]
async fn nothing_is_written_where_nothing_changed() {
    let (directory, _) = written().await;
    let stamp = || {
        let meta = |kind| fs::metadata(file_of(directory.path(), kind)).unwrap();
        Kind::ALL.map(|kind| meta(kind).modified().unwrap())
    };
    let before = stamp();
    let mut world = World::start(directory.path());
    world.list(&["b", "a"]).await;
    world.end().await;
    assert_eq!(stamp(), before);
}

#[tokio::test]
async fn a_cluster_that_is_half_listed_is_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let mut world = World::start(directory.path());
    let objects = vec![node("a", "10.0.0.0/24")];
    world
        .say(vec![SourceEvent::Restarted {
            kind: Kind::Node,
            objects,
        }])
        .await;
    world.end().await;
    assert!(!directory.path().join("objects").exists());
}

#[tokio::test]
async fn a_corrupt_cache_is_ignored() {
    let flip = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        fs::write(path, text.replace("10.0.0.0/24", "10.9.0.0/24")).unwrap();
    };
    assert!(ignored_after(flip, "n1").await.contains("checksum"));
    let garbage = |path: &Path| fs::write(path, [0xff; 100]).unwrap();
    assert!(ignored_after(garbage, "n1").await.contains("node.json"));
}

#[tokio::test]
async fn a_half_written_cache_is_ignored() {
    let cut = |path: &Path| {
        let text = fs::read(path).unwrap();
        fs::write(path, &text[..text.len() / 2]).unwrap();
    };
    assert!(ignored_after(cut, "n1").await.contains("node.json"));
    let missing = |path: &Path| fs::remove_file(path).unwrap();
    assert!(ignored_after(missing, "n1").await.contains("missing"));
}

/// It was written before that kind was read at all.
#[tokio::test]
async fn a_cache_without_a_kind_that_may_be_absent_is_used() {
    let (directory, _) = written().await;
    fs::remove_file(file_of(directory.path(), Kind::ServiceCidr)).unwrap();
    let mut world = World::start(directory.path());
    world.take().await;
    assert!(world.index.is_complete());
    assert_eq!(known(&world.index).nodes.len(), 2);
}

#[tokio::test]
async fn the_cache_of_another_version_or_node_is_ignored() {
    let older = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        let (now, then) = (r#""redstart.dev/cache":"1""#, r#""redstart.dev/cache":"0""#);
        fs::write(path, text.replace(now, then)).unwrap();
    };
    assert!(ignored_after(older, "n1").await.contains("format 0"));
    assert!(ignored_after(|_| {}, "n2").await.contains("node n1"));
}

#[tokio::test]
async fn a_crash_before_the_rename_leaves_the_old_objects() {
    let (directory, before) = written().await;
    let half = directory.path().join("objects/.node.json.new");
    fs::write(half, "{\"apiVersion\":").unwrap();
    let mut world = World::start(directory.path());
    world.take().await;
    assert_eq!(known(&world.index), &before);
}

#[tokio::test]
async fn a_disk_that_fails_costs_the_cache_alone_and_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    // A file where the directory should be.
    fs::write(directory.path().join("objects"), "").unwrap();
    let mut world = World::start(directory.path());
    world.list(&["a"]).await;
    world.until_complete().await;
    assert_eq!(names(&world.index), ["a"]);
    let mut status = world.status.clone();
    status
        .wait_for(|status| status.failures >= 2)
        .await
        .unwrap();
    assert!(status.borrow().behind && status.borrow().error.is_some());
    fs::remove_file(directory.path().join("objects")).unwrap();
    status
        .wait_for(|status| !status.behind && status.error.is_none())
        .await
        .unwrap();
    world.end().await;
    let mut next = World::start(directory.path());
    next.take().await;
    assert_eq!(names(&next.index), ["a"]);
}
