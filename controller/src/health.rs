//! `/metrics`, `/healthz` and `/readyz`: what the kubelet and Prometheus ask over TCP. Read-only.
//!
//! Liveness asks one thing: does the core task still answer? It never depends on the API server
//! or on a neighbour, because a restart heals neither. Readiness says whether a configuration is
//! in force.

use std::{io, net::SocketAddr};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    control::{Query, ask},
    metrics,
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

/// Opens the address, with an error that names it.
///
/// # Errors
/// As the system says, with the address before it.
pub async fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(addr).await.map_err(|e| {
        io::Error::new(
            e.kind(),
            format!("cannot listen on {addr} for metrics and health: {e}"),
        )
    })
}

type Core = State<mpsc::Sender<Query>>;
type Answer = (StatusCode, String);

const NO_ANSWER: &str = "the core task does not answer\n";

async fn metrics_page(State(core): Core) -> Answer {
    match ask(&core, Query::Metrics)
        .await
        .map(|snapshot| metrics::encode(&snapshot))
    {
        Some(Ok(page)) => (StatusCode::OK, page),
        Some(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        None => (StatusCode::SERVICE_UNAVAILABLE, NO_ANSWER.to_owned()),
    }
}

async fn healthz(State(core): Core) -> Answer {
    match ask(&core, Query::Metrics).await {
        Some(_) => (StatusCode::OK, "ok\n".to_owned()),
        None => (StatusCode::SERVICE_UNAVAILABLE, NO_ANSWER.to_owned()),
    }
}

async fn readyz(State(core): Core) -> Answer {
    match ask(&core, Query::Metrics).await {
        Some(s) if s.ready => (StatusCode::OK, "ok\n".to_owned()),
        Some(s) => (
            StatusCode::SERVICE_UNAVAILABLE,
            s.not_ready.join("\n") + "\n",
        ),
        None => (StatusCode::SERVICE_UNAVAILABLE, NO_ANSWER.to_owned()),
    }
}
