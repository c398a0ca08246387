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
//! | `arrivals` | when changes of objects arrive |
//! | `core` | the one owner of the tables: its loop, and what happens after each input |
//! | `neighbours` | the neighbours' tasks: which there are |
//! | `neighbour` | one of them: what its events mean for the tables |
//! | `our_end` | our addresses of a session, which may change while it is up |
//! | `bfd` | which neighbours are watched by BFD, and what a failure means |
//! | `kernel` | the planner, and the batches that are out at the kernel |
//! | `router_id` | the BGP Identifier that the neighbours know |
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
//! | `stations` | monitoring stations, and what each is told next |
//! | `update_log` | the log of messages in MRT files, and what is wrong with it |
//! | `searches` | the list of what these two look for |
//! | `own_routes` | the routes of our own, from what is in force to the RIB |
//! | `own_addresses` | whether this host has the addresses of our ends of sessions |
//! | `beside` | small files beside the control socket |
//! | `restart` | what to make of routes that an earlier process left |
//! | `translate` | words of the desired state to words of engine and RIB |
//! | `views` | answers to the control socket |
//! | `explain` | why a destination is as it is, step by step |
//! | `drops` | what the kernel drops of TCP, and when it did last |
//! | `why_down` | why there is no session with a neighbour |
//! | `history` | what happened to a neighbour lately |
//! | `diff` | what would change with other objects |
//!
//! A stop (SIGTERM, SIGINT) closes the sessions so that the neighbours keep our routes where graceful
//! restart was negotiated, and leaves the kernel's routes in place for the next process.

mod abilities;
mod arrivals;
mod beside;
mod bfd;
mod cleanup;
mod core;
mod diff;
mod drain;
mod drain_order;
mod drops;
mod explain;
mod gateways;
mod history;
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
mod own_addresses;
mod own_routes;
mod ranges;
mod restart;
mod retention;
mod router_id;
mod searches;
mod seldom;
mod stations;
mod transition;
mod translate;
mod unnumbered;
mod update_log;
mod views;
mod why_down;

#[cfg(test)]
mod tests;

use std::{io, path::Path, pin::pin, sync::Arc, time::Duration};

use anyhow::Context as _;
pub use cleanup::{Cleanup, cleanup};
use kube::Client;
pub use options::{LogFormat, Options};
use redstart_bgp::net::Clock;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    allocator, bird, cache,
    control::{self, Doors, Drains},
    glass, health,
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
    let readers = Readers::listen(&options).await?;
    stop_on_signal(&stop)?;
    tokio::spawn(allocator::stay_small());

    let (queries, asked) = mpsc::channel(QUERIES);
    let client = client(&options).await?;
    let (previews, previewed) = mpsc::channel(1);
    let doors = Doors {
        core: queries.clone(),
        drains: drains(&options, client.as_ref()),
        previews,
    };
    tokio::spawn(control::serve(socket, doors, stop.clone()));
    serve_birds_clients(&options, &queries, &stop);
    readers.serve(&queries, &stop);

    let (configured, configuration) = watch::channel(objects::Configured::default());
    let (batches, seen) = source::channel();
    let (verdict, of_index) = watch::channel(cache::Verdict::default());
    let drain_mark = drain::DrainMark::beside(&options.socket);
    tokio::spawn(objects::follow(
        options.node.clone(),
        objects::Past::beside(&options.socket, &drain_mark),
        seen,
        previewed,
        configured,
        verdict,
    ));
    let ran_before = ran_before(&options.socket);
    let (origin, source) = origin::start(&options, (ran_before, of_index), batches, &stop);
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

    let core = core::Core::new(
        clock,
        options.node,
        origin,
        ran_before,
        marks::Recorded::beside(&options.socket),
        drain_mark,
        hold_down::Told::beside(&options.socket, ran_before),
    );
    let inputs = core::Inputs {
        configuration,
        asked,
    };
    let core = tokio::spawn(core.run(inputs, stop.clone()));
    until_ended(core, source, &stop).await
}

/// Where the network may read: scrapes and probes, and the looking glass if it is wanted.
struct Readers {
    scrapes: TcpListener,
    glass: Option<TcpListener>,
}

impl Readers {
    async fn listen(options: &Options) -> io::Result<Self> {
        let scrapes = health::listen(options.metrics_listen, "metrics and health").await?;
        let glass = match options.looking_glass {
            Some(address) => Some(health::listen(address, "the looking glass").await?),
            None => None,
        };
        Ok(Self { scrapes, glass })
    }

    fn serve(self, queries: &mpsc::Sender<control::Query>, stop: &CancellationToken) {
        tokio::spawn(health::serve(self.scrapes, queries.clone(), stop.clone()));
        if let Some(glass) = self.glass {
            tokio::spawn(glass::serve(glass, queries.clone(), stop.clone()));
        }
    }
}

/// Opens the door for `birdc` and the like, if it is wanted.
fn serve_birds_clients(
    options: &Options,
    queries: &mpsc::Sender<control::Query>,
    stop: &CancellationToken,
) {
    if !options.no_bird_socket
        && let Some(door) = bird::Door::open(options.bird_socket.as_deref(), &options.socket)
    {
        tokio::spawn(door.serve(queries.clone(), options.bird_access, stop.clone()));
    }
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
