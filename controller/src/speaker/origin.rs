//! Where objects come from: a directory, or the Kubernetes API with the cache behind it.

use std::pin::Pin;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::Options;
use crate::{
    cache::{Cache, CacheStatus, Verdict},
    source::{
        self, Batch, Source as _,
        dir::DirSource,
        kube::{KubeSource, Statuses},
    },
};

/// The source, as the core and its views know it.
#[derive(Debug)]
pub(super) struct Origin {
    /// What it is, in words.
    pub(super) description: String,
    /// How the watches of the API do.
    pub(super) watches: Option<watch::Receiver<Statuses>>,
    /// How the cache does.
    pub(super) cache: Option<watch::Receiver<CacheStatus>>,
}

impl Origin {
    /// One of which nothing but its description is known.
    pub(super) fn described(description: String) -> Self {
        Self {
            description,
            watches: None,
            cache: None,
        }
    }
}

/// The task of a source. It ends when it is told to stop, or can never work.
type SourceTask = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// The source that the options name: a directory, or the Kubernetes API. The second argument is for the
/// cache: whether a speaker ran here since the host booted, and what the index makes of what it says.
pub(super) fn start(
    options: &Options,
    (ran_before, verdict): (bool, watch::Receiver<Verdict>),
    batches: mpsc::Sender<Batch>,
    stop: &CancellationToken,
) -> (Origin, SourceTask) {
    let stop = stop.clone();
    if let Some(dir) = &options.objects {
        let origin = Origin::described(format!("directory {}", dir.display()));
        let source = DirSource::new(dir.clone());
        return (
            origin,
            Box::pin(async move { Ok(source.run(batches, stop).await?) }),
        );
    }
    let source = KubeSource::new(options.kubeconfig.clone()).for_node(&options.node);
    let mut origin = Origin {
        watches: Some(source.statuses()),
        ..Origin::described("the Kubernetes API".to_owned())
    };
    if options.no_cache {
        return (
            origin,
            Box::pin(async move { Ok(source.run(batches, stop).await?) }),
        );
    }
    let cache = Cache::new(&options.cache, &options.node).heeding(verdict);
    let cache = match ran_before {
        true => cache,
        false => cache.of_before_the_boot(),
    };
    origin.cache = Some(cache.status());
    let task = Box::pin(async move {
        let (seen, arriving) = source::channel();
        // The cache ends when the source has, and everything is on disk.
        let (result, ()) = tokio::join!(source.run(seen, stop), cache.run(arriving, batches));
        Ok(result?)
    });
    (origin, task)
}
