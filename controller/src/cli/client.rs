//! Asks the daemon over its Unix socket.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::command::{Command, RouteSelect};
use crate::control::views;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens on the socket, or it may not be opened.
    #[error("cannot reach the daemon at {path}: {error} (is redstart running on this node?)")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The connection broke.
    #[error("the daemon did not answer: {0}")]
    Http(#[from] hyper::Error),
    /// The daemon refused.
    #[error("{0}")]
    Refused(String),
    /// The answer is not what this version understands.
    #[error("the answer is not understood (redc and redstart of different versions?): {0}")]
    Decode(#[from] serde_json::Error),
}

/// The path and query that a command asks for.
#[must_use]
pub fn path_of(command: &Command) -> String {
    match command {
        Command::Status => "/v1/status".to_owned(),
        Command::Protocols { name: None, .. } => "/v1/protocols".to_owned(),
        Command::Protocols {
            name: Some(name), ..
        } => {
            format!("/v1/protocols?name={}", escape(name))
        }
        Command::Routes {
            select: RouteSelect::All,
            ..
        } => "/v1/routes".to_owned(),
        Command::Routes {
            select: RouteSelect::For(addr),
            ..
        } => format!("/v1/routes?for={addr}"),
        Command::Routes {
            select: RouteSelect::Exact(prefix),
            ..
        } => {
            format!("/v1/routes?prefix={}", escape(prefix))
        }
        Command::Services => "/v1/services".to_owned(),
        Command::Kernel => "/v1/kernel".to_owned(),
        Command::Drain => "/v1/drain".to_owned(),
        Command::Undrain => "/v1/undrain".to_owned(),
        Command::Bfd => "/v1/bfd".to_owned(),
    }
}

/// Percent-encodes what may not stand in a query (RFC 3986 section 2.3).
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Asks what `command` asks, or has it done, and returns the body of the answer.
///
/// # Errors
/// [`ClientError`], with the daemon's own words where it refused.
pub async fn run(socket: &Path, command: &Command) -> Result<Bytes, ClientError> {
    let path = path_of(command);
    match command {
        Command::Drain | Command::Undrain => post(socket, &path).await,
        _ => get(socket, &path).await,
    }
}

/// Asks for `path` and returns the body.
///
/// # Errors
/// [`ClientError`], with the daemon's own words where it refused.
pub async fn get(socket: &Path, path: &str) -> Result<Bytes, ClientError> {
    send(socket, Method::GET, path).await
}

/// Has done what `path` says and returns the body of the answer.
///
/// # Errors
/// [`ClientError`], with the daemon's own words where it refused.
pub async fn post(socket: &Path, path: &str) -> Result<Bytes, ClientError> {
    send(socket, Method::POST, path).await
}

async fn send(socket: &Path, method: Method, path: &str) -> Result<Bytes, ClientError> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|error| ClientError::Connect {
            path: socket.to_owned(),
            error,
        })?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "redstart")
        .body(Empty::<Bytes>::new());
    let request = request.map_err(|e| ClientError::Refused(e.to_string()))?;
    // Ends when the sender is dropped; an error shows up in the answer as well.
    tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    if status == StatusCode::OK {
        return Ok(body);
    }
    let refused = serde_json::from_slice::<views::Error>(&body)
        .map_or_else(|_| format!("the daemon answered {status}"), |e| e.error);
    Err(ClientError::Refused(refused))
}

/// Reads newline-delimited JSON.
///
/// # Errors
/// [`ClientError::Decode`] at the first line that is not a `T`.
pub fn lines<T: DeserializeOwned>(body: &[u8]) -> Result<Vec<T>, ClientError> {
    body.split(|b| *b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).map_err(ClientError::from))
        .collect()
}
