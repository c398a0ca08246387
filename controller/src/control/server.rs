//! Routes of the control socket.

use std::{
    fs, io,
    net::IpAddr,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    extract::{FromRef, Query as UrlQuery, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use futures_util::stream;
use jiff::Timestamp;
use redstart_bgp::types::Prefix;
use serde::Deserialize;
use tokio::{
    net::UnixListener,
    sync::{mpsc, oneshot},
};
use tokio_util::sync::CancellationToken;

use super::{
    DrainError, Drains, PeerPattern, Query,
    condition::Condition,
    select::{Busy, Net, Paths, Routes, Selection, Told},
    views,
};

/// How long the core may take before the reader is told that it is busy.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The control socket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Another daemon answers there.
    #[error("control socket {0}: another redstart is listening there")]
    InUse(PathBuf),
    /// There is a file that no daemon left there.
    #[error("control socket {0}: there is a file of this name that is not a socket")]
    NotASocket(PathBuf),
    /// The system refused.
    #[error("control socket {path}: {error}")]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// Opens the socket, for its owner and group alone. A socket file that a killed daemon left behind
/// is replaced; one that somebody answers on is not.
///
/// # Errors
/// [`ControlError`] names the path.
pub fn unix_listener(path: &Path) -> Result<UnixListener, ControlError> {
    let io = |error| ControlError::Io {
        path: path.to_owned(),
        error,
    };
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(ControlError::InUse(path.to_owned()));
    }
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(io)?;
    }
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path).map_err(io)?,
        Ok(_) => return Err(ControlError::NotASocket(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io(error)),
    }
    let listener = UnixListener::bind(path).map_err(io)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(io)?;
    Ok(listener)
}

/// The socket's place in the file system. Dropping it removes the file, unless another daemon has
/// put its own there since.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: Option<Identity>,
}

/// Device, inode, and time of the last change: inodes are used again.
type Identity = (u64, u64, (i64, i64));

impl SocketFile {
    /// The file at `path`, as it is now.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let identity = Self::identity(&path);
        Self { path, identity }
    }

    fn identity(path: &Path) -> Option<Identity> {
        let meta = fs::symlink_metadata(path).ok()?;
        Some((meta.dev(), meta.ino(), (meta.ctime(), meta.ctime_nsec())))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some() && self.identity == Self::identity(&self.path) {
            // A socket file that nobody listens on hurts nobody: the next daemon replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Answers until `stop`.
///
/// # Errors
/// The listener's own.
pub async fn serve(
    listener: UnixListener,
    core: mpsc::Sender<Query>,
    drains: Drains,
    stop: CancellationToken,
) -> io::Result<()> {
    let app = Router::new()
        .route("/v1/status", get(status))
        .route("/v1/protocols", get(protocols))
        .route("/v1/routes", get(routes))
        .route("/v1/kernel", get(kernel))
        .route("/v1/drain", post(drain))
        .route("/v1/undrain", post(undrain))
        .route("/v1/services", get(services))
        .route("/v1/bfd", get(bfd))
        .fallback(|| async { Refusal::NoSuchPath })
        .with_state(Doors { core, drains });
    axum::serve(listener, app)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

/// Whom requests are passed to.
#[derive(Clone)]
struct Doors {
    core: mpsc::Sender<Query>,
    drains: Drains,
}

impl FromRef<Doors> for mpsc::Sender<Query> {
    fn from_ref(doors: &Doors) -> Self {
        doors.core.clone()
    }
}

impl FromRef<Doors> for Drains {
    fn from_ref(doors: &Doors) -> Self {
        doors.drains.clone()
    }
}

type Core = State<mpsc::Sender<Query>>;

/// Why a request is not answered.
enum Refusal {
    Busy,
    NoSuchPath,
    NoSuchPeer(String),
    NotUnderstood(String),
    NotDrained(DrainError),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (code, error) = match self {
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                format!(
                    "the speaker did not answer within {} s",
                    ANSWER_TIMEOUT.as_secs()
                ),
            ),
            Self::NoSuchPath => (
                StatusCode::NOT_FOUND,
                "this daemon does not know that request".to_owned(),
            ),
            Self::NoSuchPeer(name) => (StatusCode::NOT_FOUND, format!("there is no peer {name:?}")),
            Self::NotUnderstood(why) => (StatusCode::BAD_REQUEST, why),
            Self::NotDrained(why) => (StatusCode::CONFLICT, why.to_string()),
        };
        (code, Json(views::Error { error })).into_response()
    }
}

/// Sends a query to the core and waits for its answer, both bounded in time.
pub(crate) async fn ask<T>(
    core: &mpsc::Sender<Query>,
    query: impl FnOnce(oneshot::Sender<T>) -> Query,
) -> Option<T> {
    let (reply, answer) = oneshot::channel();
    let exchange = async {
        core.send(query(reply)).await.ok()?;
        answer.await.ok()
    };
    tokio::time::timeout(ANSWER_TIMEOUT, exchange)
        .await
        .ok()
        .flatten()
}

async fn status(State(core): Core) -> Result<Json<views::Status>, Refusal> {
    ask(&core, Query::Status)
        .await
        .map(Json)
        .ok_or(Refusal::Busy)
}

async fn drain(State(drains): State<Drains>) -> Result<Json<views::Annotated>, Refusal> {
    let done = drains.drain(Timestamp::now()).await;
    done.map(Json).map_err(Refusal::NotDrained)
}

async fn undrain(State(drains): State<Drains>) -> Result<Json<views::Annotated>, Refusal> {
    drains
        .undrain()
        .await
        .map(Json)
        .map_err(Refusal::NotDrained)
}

async fn kernel(State(core): Core) -> Result<Json<views::Kernel>, Refusal> {
    ask(&core, Query::Kernel)
        .await
        .map(Json)
        .ok_or(Refusal::Busy)
}

async fn services(State(core): Core) -> Result<Json<Vec<views::Service>>, Refusal> {
    let services = ask(&core, Query::Services).await.ok_or(Refusal::Busy)?;
    Ok(Json(super::services::rows(&services)))
}

async fn bfd(State(core): Core) -> Result<Json<Vec<views::BfdSession>>, Refusal> {
    ask(&core, Query::Bfd).await.map(Json).ok_or(Refusal::Busy)
}

#[derive(Deserialize)]
struct ProtocolsQuery {
    name: Option<String>,
}

async fn protocols(
    State(core): Core,
    UrlQuery(query): UrlQuery<ProtocolsQuery>,
) -> Result<Json<Vec<views::Protocol>>, Refusal> {
    let mut list = ask(&core, Query::Protocols).await.ok_or(Refusal::Busy)?;
    if let Some(name) = query.name {
        list.retain(|p| p.name == name);
        if list.is_empty() {
            return Err(Refusal::NoSuchPeer(name));
        }
    }
    Ok(Json(list))
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RoutesQuery {
    r#for: Option<IpAddr>,
    prefix: Option<String>,
    r#in: Option<String>,
    protocol: Option<String>,
    export: Option<String>,
    noexport: Option<String>,
    r#where: Option<String>,
    /// `accepted`, `primary`, `filtered`; every path without it.
    paths: Option<Paths>,
}

impl RoutesQuery {
    fn selection(self) -> Result<Selection, Refusal> {
        let prefix = |text: String| {
            let parsed = text.parse::<Prefix>();
            parsed.map_err(|e| Refusal::NotUnderstood(e.to_string()))
        };
        let net = match (self.r#for, self.prefix, self.r#in) {
            (Some(addr), _, _) => Net::For(addr),
            (None, Some(text), _) => Net::Exact(prefix(text)?),
            (None, None, Some(text)) => Net::In(prefix(text)?),
            (None, None, None) => Net::All,
        };
        let condition = self.r#where.map(|text| Condition::parse(&text)).transpose();
        Ok(Selection {
            family: None,
            net,
            from: self.protocol.map(PeerPattern::Like),
            told: self
                .export
                .map(Told::Export)
                .or(self.noexport.map(Told::NoExport)),
            paths: self.paths.unwrap_or(Paths::All),
            condition: condition.map_err(|e| Refusal::NotUnderstood(e.to_string()))?,
        })
    }
}

async fn routes(
    State(core): Core,
    UrlQuery(query): UrlQuery<RoutesQuery>,
) -> Result<Response, Refusal> {
    let found = Routes::select(core, query.selection()?).await;
    let found = found.map_err(|Busy| Refusal::Busy)?;
    Ok(ndjson(Body::from_stream(pages(found))))
}

fn ndjson(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

/// One page after the other, each asked for when the reader has taken the one before.
fn pages(found: Routes) -> impl stream::Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(found, |mut found| async move {
        let page = found.page().await;
        let page = page.map_err(|Busy| io::Error::other("the speaker is busy"))?;
        Ok(page.map(|routes| (Bytes::from(json_lines(&routes)), found)))
    })
}

fn json_lines(routes: &[views::Route]) -> Vec<u8> {
    let mut out = Vec::new();
    for route in routes {
        // Writing plain strings and numbers to memory cannot fail.
        if serde_json::to_writer(&mut out, route).is_ok() {
            out.push(b'\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client;

    /// A core that knows `n` routes.
    async fn fake_core(mut queries: mpsc::Receiver<Query>, n: u8) {
        let prefix = |i| Prefix::host(IpAddr::from([192, 0, 2, i]));
        let route = |p: &Prefix| views::Route {
            prefix: p.to_string(),
            paths: vec![],
            kernel: None,
            exported: vec![],
            rejected: vec![],
        };
        while let Some(query) = queries.recv().await {
            match query {
                Query::Prefixes(reply) => _ = reply.send((0..n).map(prefix).collect()),
                Query::Routes(list, reply) => _ = reply.send(list.iter().map(route).collect()),
                Query::RouteFor(_, reply) => _ = reply.send(None),
                Query::Protocols(reply) => _ = reply.send(vec![]),
                _ => {}
            }
        }
    }

    async fn with_server(n: u8, check: impl AsyncFnOnce(&Path)) {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("run/redstart.sock");
        let (core, queries) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let listener = unix_listener(&socket).unwrap();
        let drains = Drains::by_manifests("n1", "directory /etc/redstart");
        let server = tokio::spawn(serve(listener, core, drains, stop.clone()));
        let core = tokio::spawn(fake_core(queries, n));
        check(&socket).await;
        stop.cancel();
        server.await.unwrap().unwrap();
        core.abort();
    }

    #[tokio::test]
    async fn streams_every_route_once() {
        with_server(200, async |socket| {
            let body = client::get(socket, "/v1/routes").await.unwrap();
            let routes: Vec<views::Route> = client::lines(&body).unwrap();
            assert_eq!(routes.len(), 200);
            assert_eq!(routes[199].prefix, "192.0.2.199/32");
        })
        .await;
    }

    #[tokio::test]
    async fn refusals_say_why() {
        with_server(0, async |socket| {
            for (path, text) in [
                ("/v1/protocols?name=tor", "there is no peer \"tor\""),
                (
                    "/v1/routes?prefix=10.0.0.0",
                    "\"10.0.0.0\" is not a prefix (expected ADDRESS/LENGTH)",
                ),
                ("/v2/status", "this daemon does not know that request"),
            ] {
                let error = client::get(socket, path).await.unwrap_err();
                assert_eq!(error.to_string(), text, "{path}");
            }
        })
        .await;
    }

    #[tokio::test]
    async fn without_an_api_server_a_drain_says_how() {
        with_server(0, async |socket| {
            let error = client::post(socket, "/v1/drain").await.unwrap_err();
            let text = "the objects come from directory /etc/redstart: there, set the annotation \
                        redstart.dev/drain of Node n1";
            assert_eq!(error.to_string(), text);
            // A link that is followed changes nothing.
            client::get(socket, "/v1/drain").await.unwrap_err();
        })
        .await;
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("redstart.sock");
        let first = unix_listener(&socket).unwrap();
        assert!(matches!(
            unix_listener(&socket),
            Err(ControlError::InUse(_))
        ));
        drop(first);
        assert!(socket.exists());
        unix_listener(&socket).unwrap();
    }

    #[tokio::test]
    async fn a_daemon_takes_its_socket_along_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("redstart.sock");
        let old = unix_listener(&path).unwrap();
        let old_file = SocketFile::new(&path);
        drop(old);
        let _new = unix_listener(&path).unwrap();
        let new_file = SocketFile::new(&path);
        drop(old_file);
        assert!(path.exists());
        drop(new_file);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("precious");
        fs::write(&path, "precious").unwrap();
        let refused = unix_listener(&path).unwrap_err();
        assert!(matches!(refused, ControlError::NotASocket(_)), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn nobody_there_is_a_clear_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = client::get(&dir.path().join("none.sock"), "/v1/status")
            .await
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("is redstart running on this node?"),
            "{error}"
        );
    }
}
