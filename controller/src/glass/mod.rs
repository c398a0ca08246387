//! The looking glass: a web page that shows the speaker to people who would rather look than read.
//!
//! It changes nothing and adds nothing: what it shows are the answers of [`control`](crate::control) that
//! `redc` prints, from the same handlers ([`control::looks`](crate::control)). Only the counts of the last
//! hour are its own ([`samples`]). The page is a few files in the program ([`files`]); it loads nothing from
//! elsewhere, and the policy that goes with each answer has browsers enforce that.
//!
//! Whoever reaches the address sees everything that the page shows, so it is off unless asked for. What a
//! stranger can do to the speaker is bounded: connections and their age, the time for a request, and the
//! core's time ([`in_turn`]). A connection beyond that waits in the kernel. What a web site of a stranger can
//! do to a reader on the node is nothing ([`named_here`]).

mod files;
mod samples;

use std::{
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{FromRef, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header, uri::Authority},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse as _, Response},
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, Semaphore, mpsc, oneshot},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use self::samples::{Sample, Samples};
use crate::control::{Query, looks};

/// Connections at once.
const CONNECTIONS: usize = 32;

/// After an answer of the core comes a rest, so many times as long as the answer took.
const REST: u32 = 3;

/// A core that is slow for other reasons is not given longer rests than this.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// How long a connection may take for what.
#[derive(Clone, Copy)]
struct Patience {
    /// To say what it wants, first and after each answer.
    request: Duration,
    /// For everything. Browsers open another one without a word.
    age: Duration,
    /// To read what it is told last.
    last_answer: Duration,
}

const PATIENCE: Patience = Patience {
    request: Duration::from_secs(10),
    age: Duration::from_secs(60),
    last_answer: Duration::from_secs(10),
};

/// How long to rest where no connection can be accepted: it is descriptors that are wanting then.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Nothing but what comes from here, no markup made of text, no frame around it, no cookie to any avail.
static HEADERS: [(HeaderName, HeaderValue); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
             connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
             require-trusted-types-for 'script'; trusted-types 'none'",
        ),
    ),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// Serves the page until `stop`.
pub async fn serve(listener: TcpListener, core: mpsc::Sender<Query>, stop: CancellationToken) {
    let samples = Samples::default();
    let taking = samples.clone().take(core.clone());
    let app = app(core, samples, listener.local_addr().ok());
    tokio::select! {
        () = stop.cancelled() => {}
        () = taking => {}
        () = accept(&listener, &app, PATIENCE, &stop) => {}
    }
}

/// What the handlers have.
#[derive(Clone)]
struct Glass {
    core: mpsc::Sender<Query>,
    samples: Samples,
}

impl FromRef<Glass> for mpsc::Sender<Query> {
    fn from_ref(glass: &Glass) -> Self {
        glass.core.clone()
    }
}

fn app(core: mpsc::Sender<Query>, samples: Samples, at: Option<SocketAddr>) -> Router {
    let app = looks()
        .route_layer(from_fn_with_state(Arc::default(), in_turn))
        .route("/v1/samples", get(hour))
        .with_state(Glass { core, samples })
        .merge(files::router())
        .fallback(|| async { (StatusCode::NOT_FOUND, "there is no such page\n") });
    let is_local = at.is_some_and(|at| at.ip().is_loopback());
    let app = if is_local {
        app.layer(from_fn(named_here))
    } else {
        app
    };
    app.layer(from_fn(protected))
}

async fn hour(State(glass): State<Glass>) -> Json<Vec<Sample>> {
    Json(glass.samples.list())
}

/// Lets one request at a time ask the core, with a rest after it: whoever asks as fast as can be takes a
/// quarter of the core's time. Those that wait are no more than there are connections; who goes away in
/// the middle saves nobody the rest.
async fn in_turn(State(turn): State<Arc<Mutex<()>>>, request: Request, next: Next) -> Response {
    let turn = turn.lock_owned().await;
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        let began = Instant::now();
        let response = next.run(request).await;
        let rest = LONGEST_REST.min(began.elapsed() * REST);
        let _gone = tell.send(response);
        sleep(rest).await;
        drop(turn);
    });
    let response = told.await;
    response.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// What is served on the node itself is for those on the node. A web site that they visit may have its own
/// name mean this address (DNS rebinding) and read what it likes, but its requests bear that name.
async fn named_here(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST);
    if host.is_some_and(is_this_host) {
        return next.run(request).await;
    }
    let refusal = "this page is served to those who call it localhost or by its address\n";
    (StatusCode::MISDIRECTED_REQUEST, refusal).into_response()
}

/// Whether a `Host` is an address or `localhost`, which no web site can be called.
fn is_this_host(host: &HeaderValue) -> bool {
    let Ok(host) = Authority::try_from(host.as_bytes()) else {
        return false;
    };
    let name = host.host().trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

async fn protected(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().extend(HEADERS.iter().cloned());
    response
}

async fn accept(
    listener: &TcpListener,
    app: &Router,
    patience: Patience,
    stop: &CancellationToken,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let (app, stop) = (app.clone(), stop.clone());
        tokio::spawn(async move {
            converse(stream, app, patience, &stop).await;
            drop(place);
        });
    }
}

/// Answers on one connection. How it ends is the browser's affair.
async fn converse(stream: TcpStream, app: Router, patience: Patience, stop: &CancellationToken) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.request)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    let mut connection = pin!(connection);
    tokio::select! {
        _ended = connection.as_mut() => return,
        () = sleep(patience.age) => {}
        () = stop.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ended = timeout(patience.last_answer, connection).await;
}

#[cfg(test)]
mod tests;
