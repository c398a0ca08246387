//! The server of the looking glass, with a core that is made up.

use std::{
    io,
    net::{self, Ipv4Addr, SocketAddr},
};

use axum::body::Body;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower::ServiceExt as _;

use super::*;

/// A core that has no neighbours.
async fn fake_core(mut queries: mpsc::Receiver<Query>) {
    while let Some(query) = queries.recv().await {
        match query {
            Query::Protocols(reply) => _ = reply.send(vec![]),
            Query::History(None, reply) => _ = reply.send(Some(vec![])),
            Query::WhyDown(_, reply) => _ = reply.send(None),
            // Whoever asks for anything else would change something, or list routes.
            other => panic!("{other:?}"),
        }
    }
}

async fn start() -> (SocketAddr, CancellationToken) {
    start_with(PATIENCE).await
}

async fn start_with(patience: Patience) -> (SocketAddr, CancellationToken) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (core, queries) = mpsc::channel(1);
    let stop = CancellationToken::new();
    tokio::spawn(fake_core(queries));
    let app = app(core, Samples::default(), Some(address));
    let until = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = until.cancelled() => {}
            () = accept(&listener, &app, patience, &until) => {}
        }
    });
    (address, stop)
}

/// The whole answer to a request without a body.
async fn ask(address: SocketAddr, method: &str, path: &str) -> String {
    ask_as(address, "localhost", method, path).await
}

async fn ask_as(address: SocketAddr, host: &str, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn every_file_is_served_and_refers_to_no_other_place() {
    let (address, _stop) = start().await;
    for (path, kind, text) in files::FILES {
        let answer = ask(address, "GET", path).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n"),
            "{path}: {answer}"
        );
        assert!(
            answer.contains(&format!("content-type: {kind}\r\n")),
            "{path}"
        );
        assert!(answer.ends_with(text), "{path}");
        let head = ask(address, "HEAD", path).await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {head}");
        assert!(head.ends_with("\r\n\r\n"), "{path}: {head}");
        // The name of the vocabulary of SVG is an address that nobody visits.
        let others = text.replace("http://www.w3.org/2000/svg", "");
        assert!(
            !others.contains("//www") && !others.contains("://"),
            "{path}"
        );
        assert!(
            !text.contains("innerHTML") && !text.contains("eval("),
            "{path}"
        );
    }
}

#[tokio::test]
async fn every_answer_forbids_what_the_page_does_not_need() {
    let (address, _stop) = start().await;
    for path in [
        "/",
        "/v1/protocols",
        "/v1/samples",
        "/v1/why-down?peer=x",
        "/nowhere",
    ] {
        let answer = ask(address, "GET", path).await.to_lowercase();
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self'; ",
            "x-content-type-options: nosniff\r\n",
            "x-frame-options: deny\r\n",
            "referrer-policy: no-referrer\r\n",
            "cross-origin-resource-policy: same-origin\r\n",
            "cache-control: no-store\r\n",
        ] {
            assert!(answer.contains(header), "{path}: no {header:?} in {answer}");
        }
        for header in ["set-cookie", "access-control-allow"] {
            assert!(!answer.contains(header), "{path}: {answer}");
        }
    }
}

#[tokio::test]
async fn nothing_can_be_changed_and_no_table_be_listed() {
    let (address, _stop) = start().await;
    for path in ["/", "/app.js", "/v1/protocols", "/v1/history"] {
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let answer = ask(address, method, path).await;
            assert!(
                answer.starts_with("HTTP/1.1 405 "),
                "{method} {path}: {answer}"
            );
        }
    }
    for path in [
        "/v1/operate?what=disable&peer=tor",
        "/v1/log?level=trace",
        "/v1/drain",
        "/v1/undrain",
        "/v1/diff",
        "/v1/routes",
        "/v1/routes/count",
        "/v1/kernel",
        "/metrics",
    ] {
        for method in ["GET", "POST"] {
            let answer = ask(address, method, path).await;
            assert!(
                answer.starts_with("HTTP/1.1 404 "),
                "{method} {path}: {answer}"
            );
        }
    }
}

#[tokio::test]
async fn on_the_node_itself_no_name_of_a_web_site_is_answered() {
    let (address, _stop) = start().await;
    for (host, status) in [
        ("localhost:9180", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1:8080", 200),
        ("[::1]:9180", 200),
        ("glass.example.com", 421),
        ("localhost.example.com:9180", 421),
        ("127.0.0.1.example.com", 421),
        ("", 421),
    ] {
        for path in ["/", "/v1/protocols"] {
            let answer = ask_as(address, host, "GET", path).await;
            let expected = format!("HTTP/1.1 {status} ");
            assert!(answer.starts_with(&expected), "{host} {path}: {answer}");
        }
    }
    // Where the network may read, names of the network are good.
    let (core, queries) = mpsc::channel(1);
    tokio::spawn(fake_core(queries));
    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 9180));
    let app = app(core, Samples::default(), Some(elsewhere));
    let request = Request::get("/v1/protocols").header(header::HOST, "glass.example.com");
    let answer = app.oneshot(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.unwrap().status(), StatusCode::OK);
}

/// Who asks without a pause, and even who does not wait for the answers.
#[tokio::test(start_paused = true)]
async fn three_quarters_of_the_cores_time_are_not_for_the_page() {
    const TAKES: Duration = Duration::from_millis(100);
    let (core, mut queries) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Some(query) = queries.recv().await {
            sleep(TAKES).await;
            let Query::Protocols(reply) = query else {
                panic!("{query:?}");
            };
            let _ = reply.send(vec![]);
        }
    });
    let app = app(core, Samples::default(), None);
    let ask = || {
        let request = Request::get("/v1/protocols").body(Body::empty()).unwrap();
        app.clone().oneshot(request)
    };
    let began = Instant::now();
    for _ in 0..5 {
        assert_eq!(ask().await.unwrap().status(), StatusCode::OK);
        // Its turn comes after the rest, and it is gone before the answer.
        let impatient = timeout(TAKES * REST + TAKES / 2, ask()).await;
        assert!(impatient.is_err(), "{impatient:?}");
    }
    assert_eq!(ask().await.unwrap().status(), StatusCode::OK);
    let (answers, rests) = (11, 10);
    let elapsed = began.elapsed();
    let least = TAKES * answers + TAKES * REST * rests;
    assert!(elapsed >= least, "{elapsed:?} for {answers} answers");
}

/// Connections that say nothing keep others waiting, until they are closed for it.
#[tokio::test]
async fn silent_connections_are_bounded_and_let_go() {
    let (address, _stop) = start_with(Patience {
        request: Duration::from_secs(1),
        ..PATIENCE
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let answer = ask(address, "GET", "/v1/protocols").await;
    assert!(answer.ends_with("\r\n\r\n[]"), "{answer}");
    // One of them had to go first. Their sockets are asked: what the runtime knows of them may be old.
    let silent: Vec<_> = silent
        .into_iter()
        .map(|one| one.into_std().unwrap())
        .collect();
    let is_open = |one: &net::TcpStream| {
        let said = one.peek(&mut [0]);
        said.is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock)
    };
    assert!(!silent.iter().all(is_open));
    for one in silent {
        let mut stream = TcpStream::from_std(one).unwrap();
        let mut said = Vec::new();
        // Closed, with a word or without.
        let _ = stream.read_to_end(&mut said).await;
    }
}

/// However much it has to ask.
#[tokio::test]
async fn a_connection_is_let_go_when_it_is_old() {
    let (address, _stop) = start_with(Patience {
        age: Duration::from_millis(200),
        ..PATIENCE
    })
    .await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET /icon.svg HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut answer = [0; 4096];
    let mut answers = 0;
    // Until it is closed, which a request meets that comes too late.
    while stream.write_all(request).await.is_ok()
        && stream.read(&mut answer).await.is_ok_and(|n| n > 0)
    {
        answers += 1;
    }
    assert!(answers > 0);
}

#[tokio::test]
async fn a_browser_that_stays_is_let_go_when_the_speaker_stops() {
    let (address, stop) = start().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET /v1/history HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = [0; 64];
    let read = stream.read(&mut answer).await.unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 200 OK"), "{answer:?}");
    stop.cancel();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
}
