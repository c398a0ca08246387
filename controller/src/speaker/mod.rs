//! The running daemon: every part wired to the others.
//!
//! [`run`] starts, in this order: logging is up already; the control socket; the source of objects
//! and the task that compiles them; the core task. Everything else (kernel, listeners, neighbours)
//! starts when the first complete configuration is there, because that is what it depends on.
//!
//! | file | job |
//! |---|---|
//! | `options` | the command line |
//! | `origin` | where objects come from: a directory, or the API with its cache |
//! | `objects` | objects in, desired state out |
//! | `core` | the one owner of the tables: its loop, and what happens after each input |
//! | `neighbours` | the neighbours' tasks: which there are |
//! | `neighbour` | one of them: what its events mean for the tables |
//! | `our_end` | our addresses of a session, which may change while it is up |
//! | `bfd` | which neighbours are watched by BFD, and what a failure means |
//! | `kernel` | the planner, and the batches that are out at the kernel |
//! | `marks` | under which marks routes of ours may be in the kernel |
//! | `cleanup` | `redstart cleanup`: what an uninstall leaves behind, removed |
//! | `transition` | from one topology of the mesh to another |
//! | `drain` | relieving this node of traffic |
//! | `hold_down` | addresses of Services that come and go too fast |
//! | `listeners` | the addresses to listen on |
//! | `ranges` | listen ranges, and what a member of one is |
//! | `abilities` | what the kernel may not have |
//! | `operate` | what an operator has done to sessions by hand |
//! | `unnumbered` | the routers at the other ends of interfaces |
//! | `gateways` | the routers that default routes lead to |
//! | `restart` | what to make of routes that an earlier process left |
//! | `translate` | words of the desired state to words of engine and RIB |
//! | `views` | answers to the control socket |
//!
//! A stop (SIGTERM, SIGINT) closes the sessions so that the neighbours keep our routes where graceful
//! restart was negotiated, and leaves the kernel's routes in place for the next process.

mod abilities;
mod bfd;
mod cleanup;
mod core;
mod drain;
mod gateways;
mod hold_down;
mod kernel;
mod listeners;
mod malformed;
mod marks;
mod neighbour;
mod neighbours;
mod objects;
mod operate;
mod options;
mod origin;
mod our_end;
mod ranges;
mod restart;
mod retention;
mod transition;
mod translate;
mod unnumbered;
mod views;

#[cfg(test)]
mod tests;

use std::{path::Path, pin::pin, sync::Arc, time::Duration};

use anyhow::Context as _;
pub use cleanup::{Cleanup, cleanup};
use kube::Client;
pub use options::{LogFormat, Options};
use redstart_bgp::net::Clock;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    bird,
    control::{self, Drains},
    health,
    source::{
        self,
        kube::{ConnectError, connect},
    },
    writer::Writer,
};

/// Questions from the control socket and scrapes that may wait for the core.
const QUERIES: usize = 16;

/// How long the source may take to end.
const SOURCE_END: Duration = Duration::from_secs(3);

/// Runs the speaker until it is told to stop.
///
/// # Errors
/// What keeps it from starting at all: the control socket, the address for metrics, a source of
/// objects that can never work. What can pass is reported and tried again instead.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let clock = Clock::new();
    let socket = control::unix_listener(&options.socket)?;
    let _file = control::SocketFile::new(&options.socket);
    let stop = CancellationToken::new();
    let scrapes = health::listen(options.metrics_listen).await?;
    stop_on_signal(&stop)?;

    let (queries, asked) = mpsc::channel(QUERIES);
    let client = client(&options).await?;
    let doors = control::serve(
        socket,
        queries.clone(),
        drains(&options, client.as_ref()),
        stop.clone(),
    );
    tokio::spawn(doors);
    if !options.no_bird_socket
        && let Some(door) = bird::Door::open(options.bird_socket.as_deref(), &options.socket)
    {
        tokio::spawn(door.serve(queries.clone(), options.bird_access, stop.clone()));
    }
    tokio::spawn(health::serve(scrapes, queries.clone(), stop.clone()));

    let (configured, configuration) = watch::channel(objects::Configured::default());
    let (batches, seen) = source::channel();
    tokio::spawn(objects::follow(options.node.clone(), seen, configured));
    let (origin, source) = origin::start(&options, batches, &stop);
    let source = tokio::spawn(source);
    info!(
        node = options.node,
        objects = origin.description,
        version = env!("CARGO_PKG_VERSION"),
        "starting"
    );

    if let Some(client) = client {
        let writer = writer(&options, client, queries, configuration.clone());
        tokio::spawn(writer.run(stop.clone()));
    }

    let ran_before = ran_before(&options.socket);
    let recorded = marks::Recorded::beside(&options.socket);
    let core = core::Core::new(clock, options.node, origin, ran_before, recorded);
    let core = tokio::spawn(core.run(
        core::Inputs {
            configuration,
            asked,
        },
        stop.clone(),
    ));
    until_ended(core, source, &stop).await
}

/// Waits for core and source. Whichever ends first takes the other one along.
async fn until_ended(
    mut core: JoinHandle<()>,
    source: JoinHandle<anyhow::Result<()>>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    // A panic in the core must not leave a daemon that looks alive. Its routes stay in the kernel.
    let mut source = pin!(async {
        match source.await {
            Ok(Err(error)) => Err(error),
            _ if stop.is_cancelled() => Ok(()),
            _ => Err(anyhow::anyhow!("the source of objects ended")),
        }
    });
    tokio::select! {
        ended = &mut core => {
            stop.cancel();
            // What the source keeps on disk is finished; a disk that hangs is not waited for.
            let _ = timeout(SOURCE_END, source).await;
            ended.context("the core task ended")
        }
        source = &mut source => {
            stop.cancel();
            core.await.context("the core task ended").and(source)
        }
    }
}

/// The API server, where objects come from there.
async fn client(options: &Options) -> Result<Option<Client>, ConnectError> {
    match options.objects {
        Some(_) => Ok(None),
        None => connect(options.kubeconfig.as_deref()).await.map(Some),
    }
}

/// Who tells the API server of this node.
fn writer(
    options: &Options,
    client: Client,
    core: mpsc::Sender<control::Query>,
    objects: watch::Receiver<objects::Configured>,
) -> Writer {
    let known = move || Arc::clone(&objects.borrow().known);
    Writer::new(options.node.clone(), client, core, Box::new(known))
}

/// How this node is drained by hand.
fn drains(options: &Options, client: Option<&Client>) -> Drains {
    match (client, &options.objects) {
        (Some(client), _) => Drains::by_api(&options.node, client.clone()),
        (None, from) => {
            let from = from.as_deref().unwrap_or(Path::new("nowhere"));
            Drains::by_manifests(&options.node, format!("directory {}", from.display()))
        }
    }
}

/// Whether a speaker ran here before, since the host booted; from now on one did. The mark lives
/// beside the socket: `/run` is empty after a boot, and outlives the process and its pod.
fn ran_before(socket: &Path) -> bool {
    let mark = socket.with_extension("ran");
    let before = mark.exists();
    if let Err(error) = std::fs::write(&mark, "") {
        warn!(reason = "no-restart-mark", path = %mark.display(), "the next start will look like a first one: {error}");
    }
    before
}

fn stop_on_signal(stop: &CancellationToken) -> anyhow::Result<()> {
    let mut term = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("waiting for SIGINT")?;
    let stop = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => info!(signal = "SIGTERM", "stopping"),
            _ = interrupt.recv() => info!(signal = "SIGINT", "stopping"),
        }
        stop.cancel();
        // Whoever asks twice does not want to wait.
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        error!("asked to stop again: leaving at once");
        std::process::exit(1);
    });
    Ok(())
}
