//! The shell on real sockets: loopback addresses and ports of the kernel's choice.

mod arrivals;
mod connecting;
mod filled;
mod keys;
mod last_words;
mod life;
mod links;
mod logged;
mod namespace;
mod ranges;
mod stops;
mod tapped;
mod timing;

use core::time::Duration;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use tokio::{sync::mpsc, time::timeout};

use super::{Clock, FromPeer, Listener, PeerHandle, Transport, Ttl, spawn_peer};
use crate::{
    session::{
        ConnectError, DownReason, Event, Negotiated, OutBatch, PeerConfig, PeerId, RemoteAs,
    },
    types::{AsPath, Asn, FamilySet, Ipv4Prefix, NextHop, Nlri, NlriSet, PathAttributes, RouterId},
};

const A: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
const B: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Longer than anything here takes, even on a busy machine.
const LIMIT: Duration = Duration::from_secs(10);

/// One end: a listener, the one neighbour, and the core's end of the channel.
struct End {
    listener: Listener,
    peer: PeerHandle,
    core: mpsc::Receiver<FromPeer>,
}

fn config(local: u32) -> PeerConfig {
    let (local, remote) = (Asn(65000 + local), Asn(65003 - local));
    let id = RouterId::from_u32(local.0);
    let mut config = PeerConfig::new(local, RemoteAs::Number(remote), id);
    config.families = FamilySet::ALL;
    config.connect_retry = Duration::from_millis(500);
    config
}

fn listen(ip: IpAddr) -> Listener {
    let listener = Listener::bind(SocketAddr::new(ip, 0)).unwrap();
    listener.start();
    listener
}

fn end(n: u32, listener: Listener, transport: &Transport, config: PeerConfig) -> End {
    // One place: the core is slow unless a test takes what is there.
    let (to_core, core) = mpsc::channel(1);
    let clock = Clock::new();
    let peer = spawn_peer(
        PeerId(n),
        config,
        transport.clone(),
        n.into(),
        clock,
        to_core,
    );
    listener.register(transport, &peer).unwrap();
    End {
        listener,
        peer,
        core,
    }
}

/// Two neighbours that know each other's address, with a change to each one's transport and
/// configuration.
fn pair(
    (a, b): (IpAddr, IpAddr),
    change: impl Fn(u32, &mut Transport, &mut PeerConfig),
) -> (End, End) {
    let (listen_a, listen_b) = (listen(a), listen(b));
    let transport = |remote: &Listener, local: &Listener| {
        let mut transport = Transport::new(remote.local_addr());
        transport.local = Some(local.local_addr().ip());
        transport.ttl = Ttl::Hops(1);
        transport
    };
    let (mut to_b, mut to_a) = (
        transport(&listen_b, &listen_a),
        transport(&listen_a, &listen_b),
    );
    let (mut config_a, mut config_b) = (config(1), config(2));
    change(1, &mut to_b, &mut config_a);
    change(2, &mut to_a, &mut config_b);
    (
        end(1, listen_a, &to_b, config_a),
        end(2, listen_b, &to_a, config_b),
    )
}

impl End {
    /// Takes events until `wanted` finds what it looks for. Requests for routes get nothing.
    async fn until<T>(&mut self, wanted: impl Fn(Event) -> Option<T>) -> T {
        let search = async {
            while let Some(from) = self.core.recv().await {
                match from {
                    FromPeer::Event { event, .. } => {
                        if let Some(found) = wanted(event) {
                            return found;
                        }
                    }
                    FromPeer::Updates { updates, .. } => {
                        if let Some(found) = wanted(Event::Updates(updates)) {
                            return found;
                        }
                    }
                    FromPeer::Pull { reply, .. } => drop(reply.send(OutBatch::default())),
                }
            }
            panic!("the task ended");
        };
        timeout(LIMIT, search)
            .await
            .expect("the event did not come")
    }

    async fn established(&mut self) -> Arc<Negotiated> {
        self.until(|event| match event {
            Event::Established(negotiated) => Some(negotiated),
            _ => None,
        })
        .await
    }

    async fn down(&mut self) -> DownReason {
        self.until(|event| match event {
            Event::Down { reason, .. } => Some(reason),
            _ => None,
        })
        .await
    }

    async fn failure(&mut self) -> ConnectError {
        self.until(|event| match event {
            Event::AttemptFailed {
                reason: DownReason::ConnectFailed(error),
                ..
            } => Some(error),
            _ => None,
        })
        .await
    }
}

async fn both_established(a: &mut End, b: &mut End) -> (Arc<Negotiated>, Arc<Negotiated>) {
    tokio::join!(a.established(), b.established())
}

/// A batch of so many IPv4 prefixes, numbered from `first`.
fn batch(first: u32, prefixes: u32) -> OutBatch {
    let attrs = PathAttributes {
        as_path: AsPath::sequence([Asn(65001)]),
        next_hop: Some(NextHop::V4([192, 0, 2, 1].into())),
        ..PathAttributes::default()
    };
    let list = (first..first + prefixes)
        .filter_map(|n| Ipv4Prefix::new((0x0a00_0000 + (n << 4)).into(), 28))
        .map(Nlri::plain)
        .collect();
    OutBatch {
        reach: vec![(Arc::new(attrs), NlriSet::V4(list))].into(),
        ..OutBatch::default()
    }
}
