//! Asks the daemon over its Unix socket.

use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use http::{Method, Request as HttpRequest, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::command::{RouteSelect, Routes};
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

/// A path with a query, escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(String);

impl Target {
    /// Without a query.
    #[must_use]
    pub fn new(path: &str) -> Self {
        Self(path.to_owned())
    }

    /// With one more parameter.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.push(if self.0.contains('?') { '&' } else { '?' });
        self.0.push_str(name);
        self.0.push('=');
        // RFC 3986 section 2.3.
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte) {
                self.0.push(char::from(byte));
            } else {
                self.0.push_str(&format!("%{byte:02X}"));
            }
        }
        self
    }

    /// The same, if there is a value.
    #[must_use]
    pub fn with_some(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// For routes.
    #[must_use]
    pub fn of_routes(routes: &Routes) -> Self {
        let path = if routes.count {
            "/v1/routes/count"
        } else {
            "/v1/routes"
        };
        let target = Self::new(path);
        let target = match routes.select {
            RouteSelect::All => target,
            RouteSelect::For(address) => target.with("for", &address.to_string()),
            RouteSelect::Exact(prefix) => target.with("prefix", &prefix.to_string()),
            RouteSelect::In(prefix) => target.with("in", &prefix.to_string()),
        };
        target
            .with_some("protocol", routes.protocol.as_deref())
            .with_some("export", routes.export.as_deref())
            .with_some("noexport", routes.noexport.as_deref())
            .with_some("where", routes.condition.as_deref())
            .with_some("paths", routes.filtered.then_some("filtered"))
    }
}

/// Asks for `path` and returns the body.
///
/// # Errors
/// [`ClientError`], with the daemon's own words where it refused.
pub async fn get(socket: &Path, path: &str) -> Result<Bytes, ClientError> {
    let response = send(socket, Method::GET, path, Bytes::new()).await?;
    Ok(response.into_body().collect().await?.to_bytes())
}

/// Has done what `path` says and returns the body of the answer.
///
/// # Errors
/// [`ClientError`], with the daemon's own words where it refused.
pub async fn post(socket: &Path, path: &str) -> Result<Bytes, ClientError> {
    post_with(socket, path, Bytes::new()).await
}

/// The same, with something to do it with.
///
/// # Errors
/// [`ClientError`], with the daemon's own words where it refused.
pub async fn post_with(socket: &Path, path: &str, body: Bytes) -> Result<Bytes, ClientError> {
    let response = send(socket, Method::POST, path, body).await?;
    Ok(response.into_body().collect().await?.to_bytes())
}

/// Asks and reads a value.
///
/// # Errors
/// [`ClientError`], with the daemon's own words where it refused.
pub async fn get_value<T: DeserializeOwned>(socket: &Path, to: &Target) -> Result<T, ClientError> {
    Ok(serde_json::from_slice(&get(socket, &to.0).await?)?)
}

/// Has something done and reads what became of it.
///
/// # Errors
/// [`ClientError`], with the daemon's own words where it refused.
pub async fn post_value<T: DeserializeOwned>(
    socket: &Path,
    to: &Target,
    body: Bytes,
) -> Result<T, ClientError> {
    Ok(serde_json::from_slice(
        &post_with(socket, &to.0, body).await?,
    )?)
}

/// Asks for something that comes line by line.
///
/// # Errors
/// [`ClientError`], with the daemon's own words where it refused.
pub async fn get_lines(socket: &Path, to: &Target) -> Result<Lines, ClientError> {
    let response = send(socket, Method::GET, &to.0, Bytes::new()).await?;
    Ok(Lines {
        body: response.into_body(),
        part: BytesMut::new(),
    })
}

/// Asks for octets, however many.
///
/// # Errors
/// [`ClientError`], with the daemon's own words where it refused.
pub async fn get_pieces(socket: &Path, to: &Target) -> Result<Pieces, ClientError> {
    let response = send(socket, Method::GET, &to.0, Bytes::new()).await?;
    Ok(Pieces(response.into_body()))
}

/// An answer of which no more is held than what one read brought.
#[derive(Debug)]
pub struct Pieces(Incoming);

impl Pieces {
    /// The next octets; nothing at the end.
    ///
    /// # Errors
    /// [`ClientError::Http`] where the answer breaks off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(frame) = self.0.frame().await.transpose()? {
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

/// An answer that comes line by line: no more of it is held than what one read brought and the line
/// that it left unfinished.
#[derive(Debug)]
pub struct Lines {
    body: Incoming,
    part: BytesMut,
}

impl Lines {
    /// Whether the next line has come already.
    #[must_use]
    pub fn has_next(&self) -> bool {
        self.part.contains(&b'\n')
    }

    /// The next line, without its end.
    ///
    /// # Errors
    /// [`ClientError::Http`] where the answer breaks off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            if let Some(end) = self.part.iter().position(|byte| *byte == b'\n') {
                let line = self.part.split_to(end + 1).freeze();
                return Ok(Some(line.slice(..end)));
            }
            match self.body.frame().await.transpose()? {
                Some(frame) => {
                    if let Some(data) = frame.data_ref() {
                        self.part.extend_from_slice(data);
                    }
                }
                None if self.part.is_empty() => return Ok(None),
                None => return Ok(Some(self.part.split().freeze())),
            }
        }
    }
}

async fn send(
    socket: &Path,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<Response<Incoming>, ClientError> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|error| ClientError::Connect {
            path: socket.to_owned(),
            error,
        })?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = HttpRequest::builder()
        .method(method)
        .uri(path)
        .header("host", "redstart")
        .header("content-type", "application/json")
        .body(Full::new(body));
    let request = request.map_err(|e| ClientError::Refused(e.to_string()))?;
    // Ends when the answer is read, or dropped; an error shows up in the answer as well.
    tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status();
    if status == StatusCode::OK {
        return Ok(response);
    }
    let body = response.into_body().collect().await?.to_bytes();
    let refused = serde_json::from_slice::<views::Error>(&body).map_or_else(
        |_| {
            format!(
                "the daemon answered {status}: {}",
                String::from_utf8_lossy(&body)
            )
        },
        |e| e.error,
    );
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
