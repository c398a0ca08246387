//! A station at the other end of a loopback connection, and a core that says what the test says.

use std::{net::SocketAddr, sync::Arc};

use bytes::BytesMut;
use jiff::Timestamp;
use redstart_bgp::{
    bmp::{Information, Message, read},
    session::PeerId,
    types::{Asn, Ipv4Prefix, NextHop, Nlri, NlriSet, PathAttributes, RouterId},
};
use redstart_rib::rib::{Observed, Seen, View, Views};
use tokio::{
    io::AsyncReadExt as _,
    net::TcpListener,
    sync::{Notify, mpsc, watch},
};
use tokio_util::sync::CancellationToken;

use super::{Batch, FromStation, Local, Station, Status, tell::Teller};
use crate::index::BmpStation;

fn local() -> Local {
    Local {
        name: "n1".to_owned(),
        router_id: RouterId([10, 0, 0, 1].into()),
        asn: Asn(64512),
        started: Timestamp::UNIX_EPOCH,
    }
}

fn all() -> Views {
    View::ALL.into_iter().collect()
}

fn station(
    remote: SocketAddr,
) -> (
    Station,
    mpsc::Receiver<FromStation>,
    watch::Receiver<Status>,
) {
    let (core, asked) = mpsc::channel(1);
    let (publish, status) = watch::channel(Status::new(Timestamp::UNIX_EPOCH));
    let station = Station {
        remote,
        spec: BmpStation {
            views: all(),
            statistics: None,
        },
        local: local(),
        core,
        wake: Arc::new(Notify::new()),
        status: publish,
        connection: 0,
    };
    (station, asked, status)
}

/// Routes of the Loc-RIB, a lot of octets.
fn many() -> Batch {
    let prefix = |n: u32| Ipv4Prefix::new(n.into(), 32).unwrap();
    let routes = (0..20_000).map(|n| Nlri::plain(prefix(n))).collect();
    let seen = Seen {
        view: View::LocRib,
        peer: None,
        since: Some(redstart_bgp::time::Instant::ZERO),
        attrs: Some(Arc::new(PathAttributes {
            next_hop: Some(NextHop::V4([10, 0, 0, 2].into())),
            ..PathAttributes::default()
        })),
        routes: NlriSet::V4(routes),
    };
    Batch {
        observed: Observed {
            seen: vec![seen],
            more: true,
            ..Observed::default()
        },
        ..Batch::default()
    }
}

fn messages(mut octets: &[u8]) -> Vec<Message> {
    let mut all = Vec::new();
    while let Some((message, rest)) = read(octets).unwrap() {
        all.push(message);
        octets = rest;
    }
    assert!(octets.is_empty());
    all
}

#[tokio::test(start_paused = true)]
async fn a_station_that_takes_nothing_is_begun_anew() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (station, mut asked, status) = station(listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let task = tokio::spawn(station.run(stop.clone()));
    // Accepted by the kernel, and never read.
    let mut connections = Vec::new();
    while let Some(event) = asked.recv().await {
        match event {
            FromStation::Pull {
                connection, reply, ..
            } => {
                if connections.last() != Some(&connection) {
                    connections.push(connection);
                }
                if connections.len() == 3 {
                    break;
                }
                let _ = reply.send(many());
            }
            FromStation::Gone { connection, .. } => {
                assert_eq!(connections.last(), Some(&connection));
            }
        }
    }
    assert_eq!(connections, [1, 2, 3]);
    let now = status.borrow().clone();
    assert_eq!((now.connections, now.too_slow), (3, 2));
    assert_eq!(now.last_error, Some("stalled"));
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_that_fell_back_too_far_is_begun_anew() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (station, mut asked, mut status) = station(listener.local_addr().unwrap());
    let task = tokio::spawn(station.run(CancellationToken::new()));
    let Some(FromStation::Pull { reply, .. }) = asked.recv().await else {
        panic!("no request");
    };
    let mut batch = Batch::default();
    batch.observed.lost = true;
    reply.send(batch).unwrap();
    status
        .wait_for(|s| !s.connected && s.too_slow == 1)
        .await
        .unwrap();
    assert_eq!(status.borrow().last_error, Some("fell-behind"));
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn the_first_words_and_the_last() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (station, mut asked, _status) = station(listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let task = tokio::spawn(station.run(stop.clone()));
    let (mut stream, _) = listener.accept().await.unwrap();
    let Some(FromStation::Pull { reply, .. }) = asked.recv().await else {
        panic!("no request");
    };
    reply.send(Batch::default()).unwrap();
    let mut octets = vec![0; 1024];
    let first = stream.read(&mut octets).await.unwrap();
    let told = messages(&octets[..first]);
    let [Message::Initiation(who), Message::PeerUp(header, _)] = &told[..] else {
        panic!("{told:?}");
    };
    assert!(who.contains(&Information::SysName("n1".to_owned())));
    assert_eq!(
        (header.asn, header.router_id),
        (Asn(64512), local().router_id)
    );
    stop.cancel();
    task.await.unwrap();
    octets.clear();
    stream.read_to_end(&mut octets).await.unwrap();
    let reason = Information::Reason(0);
    assert_eq!(messages(&octets), [Message::Termination(vec![reason])]);
}

#[test]
fn routes_that_crossed_the_end_of_their_session_are_left_out() {
    let mut teller = Teller::new(local(), all());
    let mut batch = many();
    batch.observed.seen[0].peer = Some(PeerId(1));
    batch.observed.seen[0].view = View::AdjRibInPre;
    batch.observed.ends = vec![(PeerId(1), redstart_bgp::types::Family::Ipv4Unicast)];
    let mut out = BytesMut::new();
    teller.tell(batch, Timestamp::UNIX_EPOCH, &mut out);
    assert!(out.is_empty());
}

#[test]
fn many_routes_are_many_messages_of_ordinary_length() {
    let mut teller = Teller::new(local(), all());
    let mut out = BytesMut::new();
    teller.tell(many(), Timestamp::UNIX_EPOCH, &mut out);
    let told = messages(&out);
    assert_eq!(teller.take_counts().messages, told.len() as u64);
    assert!(told.len() > 20_000 * 5 / 4096);
    for message in told {
        let Message::RouteMonitoring(_, update) = message else {
            panic!("{message:?}");
        };
        assert!(update.len() <= 4096);
    }
}
