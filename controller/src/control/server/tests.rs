//! The server, with a core that is made up.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use redstart_bgp::types::Prefix;
use redstart_rib::{
    Rib, RibConfig,
    rib::{Cursor, Walked, Wanted},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
};

use super::*;
use crate::cli::client;

/// A core that knows `n` routes, and says how often it was asked for some.
async fn fake_core(mut queries: mpsc::Receiver<Query>, n: u32, asked: Arc<AtomicUsize>) {
    const STEP: u32 = 4096;
    let prefix = |i: u32| Prefix::host(Ipv4Addr::from_bits(0x0a00_0000 + i).into());
    let mut walked = 0;
    let route = |p: &Prefix| views::Route {
        prefix: p.to_string(),
        paths: vec![],
        kernel: None,
        exported: vec![],
        rejected: vec![],
    };
    while let Some(query) = queries.recv().await {
        match query {
            Query::Walk(walk, reply) => {
                if walk.from == Cursor::START {
                    walked = 0;
                }
                let prefixes = (walked..n.min(walked + STEP)).map(prefix).collect();
                walked += STEP;
                // Any place that is not the first one: this core knows where it is.
                let next = (walked < n).then_some(somewhere());
                _ = reply.send(Walked { prefixes, next });
            }
            Query::Routes(list, reply) => {
                asked.fetch_add(1, Ordering::Relaxed);
                _ = reply.send(list.iter().map(route).collect());
            }
            Query::Tables(reply) => _ = reply.send(vec![]),
            Query::Operate(what, whom, reply) => {
                let outcome = match what {
                    Operation::Disable => Operated::Already,
                    _ => Operated::Done,
                };
                let is_there = whom.matches("tor");
                _ = reply.send(
                    is_there
                        .then(|| ("tor".to_owned(), outcome))
                        .into_iter()
                        .collect(),
                );
            }
            Query::RouteFor(_, reply) => _ = reply.send(None),
            Query::Protocols(reply) => _ = reply.send(vec![]),
            _ => {}
        }
    }
}

/// A cursor that a walk goes on from.
fn somewhere() -> Cursor {
    let rib = Rib::new(RibConfig::default(), 1);
    let walked = rib.walk(Cursor::START, &Wanted::default(), 1, 1);
    walked.next.unwrap()
}

async fn with_server(n: u32, check: impl AsyncFnOnce(&Path)) {
    with_counting_server(n, async |socket, _| check(socket).await).await;
}

async fn with_counting_server(n: u32, check: impl AsyncFnOnce(&Path, &AtomicUsize)) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("run/redstart.sock");
    let (core, queries) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let listener = unix_listener(&socket).unwrap();
    let drains = Drains::by_manifests("n1", "directory /etc/redstart");
    let (previews, _previewed) = mpsc::channel(1);
    let doors = Doors {
        core,
        drains,
        previews,
    };
    let server = tokio::spawn(serve(listener, doors, stop.clone()));
    let asked = Arc::new(AtomicUsize::new(0));
    let core = tokio::spawn(fake_core(queries, n, Arc::clone(&asked)));
    check(&socket, &asked).await;
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
        assert_eq!(routes[199].prefix, "10.0.0.199/32");
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

/// A reader that stops holds some pages and no more; the server answers others meanwhile; and when the
/// reader goes on, nothing is missing.
#[tokio::test]
async fn a_reader_that_stops_reading_stops_the_walk_and_nothing_else() {
    const ROUTES: u32 = 200_000;
    with_counting_server(ROUTES, async |socket, asked| {
        let mut slow = UnixStream::connect(socket).await.unwrap();
        let request = b"GET /v1/routes HTTP/1.0\r\nhost: redstart\r\n\r\n";
        slow.write_all(request).await.unwrap();
        // Each of these is a turn of everybody.
        let mut before = 0;
        loop {
            for _ in 0..100 {
                client::get(socket, "/v1/protocols").await.unwrap();
            }
            let now = asked.load(Ordering::Relaxed);
            if now == before && now > 0 {
                break;
            }
            before = now;
        }
        let all = ROUTES as usize / 128;
        assert!(before < all / 5, "{before} of {all} pages for nobody");

        let mut lines = BufReader::new(slow).lines();
        let mut routes = 0;
        while let Some(line) = lines.next_line().await.unwrap() {
            routes += usize::from(line.starts_with("{\"prefix\""));
        }
        assert_eq!(routes, ROUTES as usize);
    })
    .await;
}

#[tokio::test]
async fn sessions_are_operated_by_post_alone() {
    with_server(0, async |socket| {
        for (path, answer) in [
            (
                "what=disable&peer=tor",
                r#"[{"peer":"tor","outcome":"already"}]"#,
            ),
            (
                "what=reload-in&peer=t*",
                r#"[{"peer":"tor","outcome":"done"}]"#,
            ),
        ] {
            let path = format!("/v1/operate?{path}");
            assert_eq!(client::post(socket, &path).await.unwrap(), answer);
            client::get(socket, &path).await.unwrap_err();
        }
        let nobody = client::post(socket, "/v1/operate?what=restart&peer=x").await;
        assert_eq!(nobody.unwrap_err().to_string(), "there is no peer \"x\"");
    })
    .await;
}
