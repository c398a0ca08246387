//! Paths of the control socket, and what answers there.

mod capture;
mod diff;
mod mrt;
mod routes;

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{FromRef, Query as UrlQuery, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::{
    net::UnixListener,
    sync::{mpsc, oneshot},
};
use tokio_util::sync::CancellationToken;

use super::{
    Asked, Doors, DrainError, Drains, Operated, Operation, PeerPattern, Query, select::Busy, views,
};
use crate::log_level;

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
    doors: Doors,
    stop: CancellationToken,
) -> io::Result<()> {
    let app = looks()
        .route("/v1/routes", get(routes::routes))
        .route("/v1/routes/count", get(routes::count))
        .route("/v1/operate", post(operate))
        .route("/v1/log", post(log))
        .route("/v1/diff", post(diff::diff))
        .route("/v1/kernel", get(kernel))
        .route("/v1/drain", post(drain))
        .route("/v1/undrain", post(undrain))
        .route("/v1/services", get(services))
        .route("/v1/bfd", get(bfd))
        .route("/v1/bmp", get(bmp))
        .route("/v1/mrt-logs", get(mrt_logs))
        .route("/v1/mrt", get(mrt::table))
        .route("/v1/capture", get(capture::capture))
        .fallback(|| async { Refusal::NoSuchPath })
        .with_state(doors);
    axum::serve(listener, app)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

/// What only looks, and is answered in one piece. The looking glass shows the same to the network: nothing
/// in here may change anything, or grow with the routing table.
pub(crate) fn looks<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    mpsc::Sender<Query>: FromRef<S>,
{
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/protocols", get(protocols))
        .route("/v1/explain", get(explain))
        .route("/v1/why-down", get(why_down))
        .route("/v1/history", get(history))
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
    NotCaptured(&'static str),
    NoIdentity,
}

impl From<Busy> for Refusal {
    fn from(_: Busy) -> Self {
        Self::Busy
    }
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
            Self::NotCaptured(why) => (StatusCode::CONFLICT, why.to_owned()),
            Self::NoIdentity => (
                StatusCode::CONFLICT,
                "the speaker does not know yet who it is: there is no usable Node for it"
                    .to_owned(),
            ),
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

async fn mrt_logs(State(core): Core) -> Result<Json<Vec<views::MrtLog>>, Refusal> {
    ask(&core, Query::MrtLogs)
        .await
        .map(Json)
        .ok_or(Refusal::Busy)
}

async fn bmp(State(core): Core) -> Result<Json<Vec<views::BmpStation>>, Refusal> {
    ask(&core, Query::Bmp).await.map(Json).ok_or(Refusal::Busy)
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

#[derive(Deserialize)]
struct OperateQuery {
    what: Operation,
    /// A name, in which `*` and `?` stand for others.
    peer: String,
}

async fn operate(
    State(core): Core,
    UrlQuery(query): UrlQuery<OperateQuery>,
) -> Result<Json<Vec<views::Operated>>, Refusal> {
    let OperateQuery { what, peer } = query;
    let whom = PeerPattern::Like(peer.clone());
    let done = ask(&core, |reply| Query::Operate(what, whom, reply)).await;
    let done = done.ok_or(Refusal::Busy)?;
    if done.is_empty() {
        return Err(Refusal::NoSuchPeer(peer));
    }
    let view = |(peer, outcome): (String, Operated)| views::Operated {
        peer,
        outcome: outcome.as_str().to_owned(),
    };
    Ok(Json(done.into_iter().map(view).collect()))
}

#[derive(Deserialize)]
struct ExplainQuery {
    what: String,
    /// As for operations; everybody without it.
    to: Option<String>,
}

async fn explain(
    State(core): Core,
    UrlQuery(query): UrlQuery<ExplainQuery>,
) -> Result<Json<views::Explanation>, Refusal> {
    let asked: Asked = query.what.parse().map_err(Refusal::NotUnderstood)?;
    let whom = query.to.clone().map_or(PeerPattern::All, PeerPattern::Like);
    let explained = ask(&core, |reply| Query::Explain(asked, whom, reply)).await;
    let explained = explained.ok_or(Refusal::Busy)?;
    let nobody = || Refusal::NoSuchPeer(query.to.unwrap_or_default());
    explained.map(Json).ok_or_else(nobody)
}

#[derive(Deserialize)]
struct PeerQuery {
    peer: String,
}

async fn why_down(
    State(core): Core,
    UrlQuery(query): UrlQuery<PeerQuery>,
) -> Result<Json<views::WhyDown>, Refusal> {
    let name = query.peer.clone();
    let why = ask(&core, |reply| Query::WhyDown(name, reply)).await;
    let why = why.ok_or(Refusal::Busy)?;
    why.map(Json).ok_or(Refusal::NoSuchPeer(query.peer))
}

#[derive(Deserialize)]
struct HistoryQuery {
    /// All of them without it.
    peer: Option<String>,
}

async fn history(
    State(core): Core,
    UrlQuery(query): UrlQuery<HistoryQuery>,
) -> Result<Json<Vec<views::HistoryEntry>>, Refusal> {
    let name = query.peer.clone();
    let history = ask(&core, |reply| Query::History(name, reply)).await;
    let history = history.ok_or(Refusal::Busy)?;
    let nobody = || Refusal::NoSuchPeer(query.peer.unwrap_or_default());
    history.map(Json).ok_or_else(nobody)
}

#[derive(Deserialize)]
struct LogQuery {
    level: String,
}

/// The answer is the level that is in force now.
async fn log(UrlQuery(query): UrlQuery<LogQuery>) -> Result<Json<String>, Refusal> {
    log_level::set(&query.level).map_err(Refusal::NotUnderstood)?;
    Ok(Json(query.level))
}

#[cfg(test)]
mod tests;
