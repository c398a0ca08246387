use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{DirSource, Watch};
use crate::{
    diagnostic::Reason,
    index::{Index, Kind},
    source::{Batch, Health, Source, channel},
};

fn peer(name: &str, address: &str) -> String {
    format!(
        "apiVersion: redstart.dev/v1alpha1\nkind: BGPPeer\nmetadata: {{ name: {name} }}\nspec: {{ address: {address}, asn: 64601 }}\n"
    )
}

/// A running source with an index behind it.
struct Running {
    dir: TempDir,
    index: Index,
    batches: mpsc::Receiver<Batch>,
    _stop: DropGuard,
}

impl Running {
    async fn start(dir: TempDir) -> Self {
        let (tx, batches) = channel();
        let stop = CancellationToken::new();
        tokio::spawn(DirSource::new(dir.path()).run(tx, stop.clone()));
        let mut running = Self {
            dir,
            index: Index::new(),
            batches,
            _stop: stop.drop_guard(),
        };
        running.until(Index::is_complete).await;
        running
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// As tools that care do: write beside, then rename.
    fn replace(&self, name: &str, text: &str) {
        let beside = self.path(&format!(".{name}.tmp"));
        fs::write(&beside, text).unwrap();
        fs::rename(beside, self.path(name)).unwrap();
    }

    /// Takes in batches until the index is as wanted.
    async fn until(&mut self, wanted: impl Fn(&Index) -> bool) {
        let waiting = async {
            while !wanted(&self.index) {
                for event in self.batches.recv().await.unwrap() {
                    self.index.apply(event);
                }
            }
        };
        let waited = timeout(Duration::from_secs(10), waiting).await;
        assert!(waited.is_ok(), "not as wanted: {:#?}", self.index);
    }

    fn address(index: &Index, name: &str) -> Option<String> {
        let objects = index.complete()?;
        let remote = &objects.peers.get(name)?.remote;
        Some(remote.address()?.ip().to_string())
    }

    fn reasons(index: &Index) -> Vec<(String, Reason)> {
        index
            .problems()
            .map(|p| (p.object.to_string(), p.reason))
            .collect()
    }
}

fn directory(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

#[tokio::test]
async fn an_empty_directory_is_a_complete_listing() {
    let running = Running::start(directory(&[])).await;
    assert!(running.index.complete().unwrap().peers.is_empty());
    assert_eq!(running.index.health(Kind::Node), Health::Synced);
}

#[tokio::test]
async fn a_missing_directory_is_an_error() {
    let (tx, _rx) = channel();
    let run = DirSource::new(Path::new("/nonexistent")).run(tx, CancellationToken::new());
    let error = run.await.unwrap_err().to_string();
    assert!(error.contains("/nonexistent"), "{error}");
}

#[tokio::test]
async fn files_are_added_changed_and_deleted() {
    let dir = directory(&[("a.yaml", &peer("a", "192.0.2.1")), ("ignored.txt", "{")]);
    let mut running = Running::start(dir).await;
    let address = |name: &'static str| move |i: &Index| Running::address(i, name);
    assert_eq!(address("a")(&running.index).unwrap(), "192.0.2.1");

    running.replace("b.yml", &peer("b", "192.0.2.2"));
    running.until(|i| address("b")(i).is_some()).await;
    running.replace("b.yml", &peer("b", "192.0.2.3"));
    running
        .until(|i| address("b")(i).as_deref() == Some("192.0.2.3"))
        .await;
    fs::remove_file(running.path("b.yml")).unwrap();
    running.until(|i| address("b")(i).is_none()).await;
    assert_eq!(address("a")(&running.index).unwrap(), "192.0.2.1");
}

#[tokio::test]
async fn a_file_that_goes_bad_keeps_its_objects_and_says_where() {
    let dir = directory(&[("a.yaml", &peer("a", "192.0.2.1"))]);
    let mut running = Running::start(dir).await;
    running.replace("a.yaml", "apiVersion: v1\nkind: [\n");
    running.until(|i| i.problems().count() == 1).await;
    let problem = running.index.problems().next().unwrap().clone();
    assert_eq!(problem.object.to_string(), "File/a.yaml");
    assert_eq!(problem.reason, Reason::InvalidYaml);
    assert!(problem.message.contains("line "), "{problem}");
    assert!(Running::address(&running.index, "a").is_some());

    running.replace("a.yaml", &peer("a", "192.0.2.9"));
    running
        .until(|i| Running::address(i, "a").as_deref() == Some("192.0.2.9"))
        .await;
    assert_eq!(Running::reasons(&running.index), []);
}

#[tokio::test]
async fn an_object_that_goes_bad_keeps_its_last_good_version() {
    let dir = directory(&[("a.yaml", &peer("a", "192.0.2.1"))]);
    let mut running = Running::start(dir).await;
    let text = peer("a", "192.0.2.2").replace("asn:", "assn:");
    running.replace("a.yaml", &format!("{text}---\n{}", peer("b", "192.0.2.3")));
    running.until(|i| Running::address(i, "b").is_some()).await;
    assert_eq!(
        Running::reasons(&running.index),
        [
            ("BGPPeer/a".to_owned(), Reason::UnknownField),
            ("BGPPeer/a".to_owned(), Reason::MissingField),
        ]
    );
    let problem = running.index.problems().next().unwrap();
    assert_eq!(problem.field, "spec.assn");
    assert!(problem.message.contains("a.yaml"), "{problem}");
    assert_eq!(Running::address(&running.index, "a").unwrap(), "192.0.2.1");
}

#[tokio::test]
async fn of_two_files_with_one_object_the_first_by_name_counts() {
    let dir = directory(&[("b.yaml", &peer("a", "192.0.2.2"))]);
    let mut running = Running::start(dir).await;
    running.replace("a.yaml", &peer("a", "192.0.2.1"));
    running
        .until(|i| Running::address(i, "a").as_deref() == Some("192.0.2.1"))
        .await;
    let problem = running.index.problems().next().unwrap().clone();
    assert_eq!(problem.reason, Reason::DuplicateObject);
    assert_eq!(problem.object.to_string(), "BGPPeer/a");
    assert!(problem.message.contains("a.yaml and b.yaml"), "{problem}");

    fs::remove_file(running.path("a.yaml")).unwrap();
    running
        .until(|i| Running::address(i, "a").as_deref() == Some("192.0.2.2"))
        .await;
    assert_eq!(running.index.problems().count(), 0);
}

/// The kubelet mounts a ConfigMap as links through `..data`, and swaps that one link.
#[tokio::test]
async fn a_configmap_swap_comes_in_one_batch() {
    let dir = directory(&[]);
    for (version, number) in [("..1", 1), ("..2", 2)] {
        fs::create_dir(dir.path().join(version)).unwrap();
        for name in ["a", "b"] {
            let path = dir.path().join(version).join(format!("{name}.yaml"));
            fs::write(path, peer(name, &format!("192.0.2.{number}"))).unwrap();
        }
    }
    symlink("..1", dir.path().join("..data")).unwrap();
    for name in ["a.yaml", "b.yaml"] {
        symlink(Path::new("..data").join(name), dir.path().join(name)).unwrap();
    }
    let mut running = Running::start(dir).await;
    assert_eq!(Running::address(&running.index, "b").unwrap(), "192.0.2.1");
    symlink("..2", running.path("..data_tmp")).unwrap();
    fs::rename(running.path("..data_tmp"), running.path("..data")).unwrap();
    let batch = timeout(Duration::from_secs(10), running.batches.recv()).await;
    for event in batch.unwrap().unwrap() {
        running.index.apply(event);
    }
    for name in ["a", "b"] {
        let address = Running::address(&running.index, name);
        assert_eq!(address.as_deref(), Some("192.0.2.2"), "{name}");
    }
}

#[tokio::test]
async fn a_directory_that_vanishes_takes_nothing_with_it() {
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("objects");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("a.yaml"), peer("a", "192.0.2.1")).unwrap();
    let (tx, mut batches) = channel();
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    tokio::spawn(DirSource::new(&path).run(tx, stop));
    let mut index = Index::new();
    let mut moved = false;
    let waiting = async {
        while !matches!(index.health(Kind::Node), Health::Retrying { .. }) {
            for event in batches.recv().await.unwrap() {
                index.apply(event);
            }
            if index.is_complete() && !moved {
                moved = true;
                fs::rename(&path, parent.path().join("elsewhere")).unwrap();
            }
        }
    };
    timeout(Duration::from_secs(10), waiting).await.unwrap();
    assert!(Running::address(&index, "a").is_some());
}

/// Steps by hand: what a look at the wrong moment sees is not taken for the truth.
#[tokio::test]
async fn a_file_that_is_being_written_is_waited_for() {
    let dir = directory(&[("a.yaml", &peer("a", "192.0.2.1"))]);
    let path = dir.path().join("a.yaml");
    let mut watch = Watch::new(DirSource::new(dir.path()));
    let mut index = Index::new();
    let address = |index: &Index| Running::address(index, "a");
    for _ in 0..2 {
        for event in watch.step().await.0 {
            index.apply(event);
        }
    }
    assert_eq!(address(&index).as_deref(), Some("192.0.2.1"));

    // Deleted, created, and written in two pieces, with a look after each: the first piece alone
    // would be a good object.
    let text = peer("a", "192.0.2.2");
    fs::remove_file(&path).unwrap();
    assert_eq!(watch.step().await.0, []);
    fs::write(&path, &text).unwrap();
    assert_eq!(watch.step().await.0, []);
    fs::write(&path, format!("{text}---\n{}", peer("b", "192.0.2.3"))).unwrap();
    assert_eq!(watch.step().await.0, []);
    let (batch, _) = watch.step().await;
    assert_eq!(batch.len(), 2, "{batch:?}");
    for event in batch {
        index.apply(event);
    }
    assert_eq!(address(&index).as_deref(), Some("192.0.2.2"));
    assert!(Running::address(&index, "b").is_some());
    assert_eq!(watch.step().await.0, []);
}

/// A file that never comes to rest must not keep the others from coming into force.
#[tokio::test(start_paused = true)]
async fn patience_with_unsettled_files_ends() {
    let dir = directory(&[("restless.yaml", "")]);
    let mut watch = Watch::new(DirSource::new(dir.path()));
    fs::write(dir.path().join("a.yaml"), peer("a", "192.0.2.1")).unwrap();
    let mut index = Index::new();
    let mut text = String::new();
    for _ in 0..40 {
        text.push('#');
        fs::write(dir.path().join("restless.yaml"), &text).unwrap();
        let (batch, pause) = watch.step().await;
        for event in batch {
            index.apply(event);
        }
        tokio::time::advance(pause).await;
    }
    assert!(Running::address(&index, "a").is_some());
}
