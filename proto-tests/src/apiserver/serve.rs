//! Connections and requests.
//!
//! The server runs on one thread of its own with its own runtime. So it stays in the network
//! namespace of the thread that started it, even when it opens its port again after an outage, and
//! a test's paused clock does not stop it.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;

use super::{
    Api,
    faults::{Action, Logged},
    read::{self, Scope, Watch},
    request::{Query, Target, Verb},
    status::Refusal,
    tls::CurrentIdentity,
    write::{self, Payload},
    {control, discovery},
};
use futures_util::TryStreamExt;

/// The largest request body.
const BODY_LIMIT: usize = 8 << 20;

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Accepts connections until the future is dropped. During an outage there is no listener and no
/// connection.
pub(super) async fn run(
    listener: std::net::TcpListener,
    identity: CurrentIdentity,
    api: Arc<Api>,
) -> io::Result<()> {
    let mut refusing = api.faults.refusing();
    let address = listener.local_addr()?;
    let mut listener = Some(TcpListener::from_std(listener)?);
    let mut connections = JoinSet::new();
    loop {
        if *refusing.borrow_and_update() {
            listener = None;
            connections.shutdown().await;
            if refusing.wait_for(|refuse| !refuse).await.is_err() {
                return Ok(());
            }
        }
        let open = match listener.take() {
            Some(open) => open,
            None => reopen(address).await?,
        };
        tokio::select! {
            accepted = open.accept() => if let Ok((stream, _)) = accepted {
                // Events are small and must not wait for each other's acknowledgement.
                let _ = stream.set_nodelay(true);
                let (tls, api) = (TlsAcceptor::from(identity.get().server), Arc::clone(&api));
                connections.spawn(async move {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let service = service_fn(move |request| handle(Arc::clone(&api), request));
                    // An error is a client that went away.
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            },
            changed = refusing.changed() => if changed.is_err() {
                return Ok(());
            },
            Some(_) = connections.join_next() => {}
        }
        listener = Some(open);
    }
}

/// The port was ours a moment ago; closing connections may hold it for another.
async fn reopen(address: SocketAddr) -> io::Result<TcpListener> {
    let mut attempts = 0;
    loop {
        match TcpListener::bind(address).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempts < 100 => {
                attempts += 1;
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            result => return result,
        }
    }
}

async fn handle(api: Arc<Api>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (method, uri) = (request.method().to_string(), request.uri().to_string());
    let response = answer(&api, request)
        .await
        .unwrap_or_else(|refusal| refuse(&refusal));
    if !uri.starts_with("/_test/") {
        api.faults.log(Logged {
            method,
            uri,
            code: response.status().as_u16(),
        });
    }
    Ok(response)
}

async fn answer(api: &Arc<Api>, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    let query = Query::of(&head.uri);
    let body = Limited::new(body, BODY_LIMIT)
        .collect()
        .await
        .map_err(|error| Refusal::bad_request(error.to_string()))?
        .to_bytes();
    if let Some(knob) = path.strip_prefix("/_test/") {
        return control::answer(api, &head.method, knob, &query, &body)
            .map(|value| document(StatusCode::OK, &value));
    }
    if matches!(path, "/healthz" | "/livez" | "/readyz") {
        return Ok(text(StatusCode::OK, "ok"));
    }
    authenticate(api, &head.headers)?;
    let resources = api.store.read().resources();
    if let Some(found) = discovery::document(path, &resources) {
        return Ok(document(StatusCode::OK, &found));
    }
    let target = Target::parse(path).ok_or_else(Refusal::no_such_path)?;
    let verb = Verb::of(&head.method, &target, &query).ok_or_else(Refusal::method_not_allowed)?;
    api.authorize(verb, &target, &query)?;
    match api.faults.action(verb, &target.gvr().plural) {
        Some(Action::Status { code, retry_after }) => {
            return Err(Refusal::injected(code, retry_after));
        }
        Some(Action::Delay { millis }) => {
            tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
        }
        Some(Action::Truncate) => return Ok(text(StatusCode::OK, "{\"kind\":\"Li")),
        None => {}
    }
    dispatch(api, verb, &target, &query, &payload(&head.headers, &body))
}

fn payload<'a>(headers: &'a HeaderMap, body: &'a [u8]) -> Payload<'a> {
    let media_type = headers.get(header::CONTENT_TYPE);
    let media_type = media_type.and_then(|it| it.to_str().ok()).unwrap_or("");
    Payload {
        media_type: media_type.split(';').next().unwrap_or("").trim(),
        body,
    }
}

fn authenticate(api: &Api, headers: &HeaderMap) -> Result<(), Refusal> {
    let expected = format!("Bearer {}", api.faults.token());
    let shown = headers.get(header::AUTHORIZATION);
    if shown.is_some_and(|shown| shown.as_bytes() == expected.as_bytes()) {
        Ok(())
    } else {
        Err(Refusal::unauthorized())
    }
}

fn dispatch(
    api: &Arc<Api>,
    verb: Verb,
    target: &Target,
    query: &Query,
    payload: &Payload<'_>,
) -> Result<Response<Body>, Refusal> {
    let resource = api.store.read().resource(target.gvr());
    let resource = resource.ok_or_else(Refusal::no_such_path)?;
    let ok = |value: &Value| Ok(document(StatusCode::OK, value));
    match (target, verb) {
        (Target::Collection { gvr, namespace }, verb) => {
            let scope = Scope::new(gvr, namespace, query)?;
            match verb {
                Verb::Watch => Watch::start(api, &resource, scope, query).map(stream),
                Verb::Create => write::create(api, &resource, namespace, query, *payload)
                    .map(|made| document(StatusCode::CREATED, &made)),
                Verb::Delete => {
                    write::delete_collection(api, &scope, query, &resource)?;
                    ok(&success())
                }
                _ => ok(&read::list(api, &resource, &scope, query)?),
            }
        }
        (Target::Object { key, subresource }, verb) => {
            let known =
                subresource.is_empty() || (subresource == "status" && resource.status_subresource);
            if !known {
                return Err(Refusal::no_such_path());
            }
            match verb {
                Verb::Update => {
                    let made = write::update(api, &resource, key, subresource, query, *payload)?;
                    ok(&made)
                }
                Verb::Patch => {
                    let made = write::patch(api, &resource, key, subresource, query, *payload)?;
                    ok(&made)
                }
                Verb::Delete => {
                    write::delete(api, key, query)?;
                    ok(&success())
                }
                _ => {
                    let object = api.store.read().get(key);
                    let missing = || Refusal::not_found(&key.gvr.qualified(), &key.name);
                    ok(object.ok_or_else(missing)?.as_ref())
                }
            }
        }
    }
}

fn success() -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})
}

fn refuse(refusal: &Refusal) -> Response<Body> {
    let code = refusal.status_code();
    let mut response = match refusal.to_status() {
        Some(status) => document(code, &status),
        None => text(code, &refusal.message),
    };
    if let Some(seconds) = refusal.retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

fn document(code: StatusCode, value: &Value) -> Response<Body> {
    respond(
        code,
        "application/json",
        full(Bytes::from(value.to_string())),
    )
}

fn text(code: StatusCode, text: &str) -> Response<Body> {
    let body = full(Bytes::copy_from_slice(text.as_bytes()));
    respond(code, "text/plain; charset=utf-8", body)
}

fn stream(watch: Watch) -> Response<Body> {
    let frames = watch.into_stream().map_ok(Frame::data);
    respond(
        StatusCode::OK,
        "application/json",
        StreamBody::new(frames).boxed_unsync(),
    )
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn respond(code: StatusCode, media_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static(media_type),
    );
    response
}
