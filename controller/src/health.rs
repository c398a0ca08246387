//! `/metrics`, `/healthz` and `/readyz`: what the kubelet and Prometheus ask over TCP. Read-only.
//!
//! Liveness asks one thing: does the core task still answer? It never depends on the API server
//! or on a neighbour, because a restart heals neither. Readiness says whether a configuration is
//! in force.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderName, StatusCode, header::CONTENT_TYPE},
    routing::get,
};
use prometheus::TEXT_FORMAT;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    control::{Query, ask},
    metrics::{self, Process},
};

/// Answers until `stop`.
///
/// # Errors
/// The listener's own.
pub async fn serve(
    listener: TcpListener,
    core: mpsc::Sender<Query>,
    stop: CancellationToken,
) -> io::Result<()> {
    let app = Router::new()
        .route("/metrics", get(metrics_page))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(core);
    axum::serve(listener, app)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

/// Opens the address, with an error that names it and what it is for. Where `[::]` cannot be had because
/// the host has no IPv6, `0.0.0.0` is what was meant.
///
/// # Errors
/// As the system says, with the address before it.
pub(crate) async fn listen(addr: SocketAddr, for_what: &str) -> io::Result<TcpListener> {
    let no_ipv6 = |e: &io::Error| {
        addr.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
            && matches!(
                e.raw_os_error(),
                Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)
            )
    };
    let opened = match TcpListener::bind(addr).await {
        Err(e) if no_ipv6(&e) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, addr.port())).await,
        other => other,
    };
    opened.map_err(|e| {
        io::Error::new(
            e.kind(),
            format!("cannot listen on {addr} for {for_what}: {e}"),
        )
    })
}

type Core = State<mpsc::Sender<Query>>;
type Answer = (StatusCode, String);

const NO_ANSWER: &str = "the core task does not answer\n";

async fn metrics_page(State(core): Core) -> ([(HeaderName, &'static str); 1], Answer) {
    let page = ask(&core, Query::Metrics).await.map(|mut snapshot| {
        snapshot.process = Process::read();
        metrics::encode(&snapshot)
    });
    let answer = match page {
        Some(Ok(page)) => (StatusCode::OK, page),
        Some(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        None => (StatusCode::SERVICE_UNAVAILABLE, NO_ANSWER.to_owned()),
    };
    ([(CONTENT_TYPE, TEXT_FORMAT)], answer)
}

async fn healthz(State(core): Core) -> Answer {
    match ask(&core, Query::Readiness).await {
        Some(_) => (StatusCode::OK, "ok\n".to_owned()),
        None => (StatusCode::SERVICE_UNAVAILABLE, NO_ANSWER.to_owned()),
    }
}

async fn readyz(State(core): Core) -> Answer {
    match ask(&core, Query::Readiness).await {
        Some(not_ready) if not_ready.is_empty() => (StatusCode::OK, "ok\n".to_owned()),
        Some(not_ready) => (StatusCode::SERVICE_UNAVAILABLE, not_ready.join("\n") + "\n"),
        None => (StatusCode::SERVICE_UNAVAILABLE, NO_ANSWER.to_owned()),
    }
}
