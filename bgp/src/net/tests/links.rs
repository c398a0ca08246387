//! Neighbours on links without addresses: two namespaces, two links between them, and on both links the
//! same pair of link-local addresses. Needs root.

use core::{future::Future, time::Duration};
use std::{
    net::{Ipv6Addr, SocketAddr, SocketAddrV6},
    sync::{Arc, mpsc as thread_channel},
    thread,
};

use tokio::sync::{Notify, oneshot};

use super::{
    End, LIMIT, config,
    namespace::{block_on, enter_namespace, ip, join},
};
use crate::{
    net::{Clock, LinkDiscovery, Listener, Transport, Ttl, spawn_peer},
    session::{DownReason, Event, PeerId, Refusal, State, StopReason},
};

const NEAR: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const FAR: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);

/// The indices of the links, at both ends.
const LINKS: [u32; 2] = [21, 22];

const PORT: u16 = 179;

/// Brings up the links, each with this address and no other.
fn set_up(own: Ipv6Addr) {
    ip("link set lo up");
    for n in LINKS {
        ip(&format!("link set link{n} addrgenmode none"));
        ip(&format!("addr add {own}/64 dev link{n} nodad"));
        ip(&format!("link set link{n} up"));
    }
}

#[expect(clippy::disallowed_methods, reason = "a namespace is a thread's")]
/// Runs `near` and `far` at the two ends of the links. The far end goes on until the near one is done.
fn at_both_ends<N: Future<Output = ()>, F: Future<Output = ()>>(
    near: impl FnOnce() -> N + Send + 'static,
    far: impl FnOnce() -> F + Send + 'static,
) {
    let (tell_far, far_is) = thread_channel::channel();
    let (tell_wired, wired) = thread_channel::channel();
    let (done, near_is_done) = oneshot::channel::<()>();
    let far = thread::spawn(move || {
        tell_far.send(enter_namespace()).unwrap();
        wired.recv().unwrap();
        set_up(FAR);
        block_on(async {
            tokio::select! {
                () = far() => {}
                _ = near_is_done => {}
            }
        });
    });
    let near = thread::spawn(move || {
        enter_namespace();
        let far = far_is.recv().unwrap();
        for n in LINKS {
            ip(&format!(
                "link add link{n} index {n} type veth peer name link{n} index {n} netns {far}"
            ));
        }
        set_up(NEAR);
        tell_wired.send(()).unwrap();
        block_on(async { tokio::time::timeout(LIMIT, near()).await.unwrap() });
        drop(done);
    });
    join(near);
    join(far);
}

fn on(link: u32, addr: Ipv6Addr) -> SocketAddr {
    SocketAddrV6::new(addr, PORT, 0, link).into()
}

/// A listener for all links, and a neighbour with the same address on each.
fn neighbours(n: u32, remote: Ipv6Addr, change: impl Fn(&mut Transport)) -> (Listener, Vec<End>) {
    let wildcard = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), PORT);
    let listener = Listener::bind(wildcard).unwrap();
    listener.start();
    let end = |link: &u32| {
        let mut transport = Transport::new(on(*link, remote));
        change(&mut transport);
        let (to_core, core) = tokio::sync::mpsc::channel(1);
        let peer = spawn_peer(
            PeerId(*link),
            config(n),
            transport.clone(),
            (*link).into(),
            Clock::new(),
            to_core,
        );
        listener.register(&transport, &peer).unwrap();
        // The listener of an `End` is its own: none here.
        let spare = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        End {
            listener: spare,
            peer,
            core,
        }
    };
    let ends = LINKS.iter().map(end).collect();
    (listener, ends)
}

async fn serve((listener, ends): (Listener, Vec<End>)) {
    let serve = |mut end: End| async move {
        end.until(|_| None::<()>).await;
    };
    let tasks: Vec<_> = ends
        .into_iter()
        .map(|end| tokio::spawn(serve(end)))
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    drop(listener);
}

fn protected(transport: &mut Transport) {
    transport.password = Some(b"swordfish".to_vec().into());
    transport.ttl = Ttl::Security(1);
}

#[test]
fn the_same_address_on_two_links_is_two_neighbours() {
    let near = || async {
        let (listener, mut ends) = neighbours(1, FAR, protected);
        for (end, link) in ends.iter_mut().zip(LINKS) {
            let session = end.established().await;
            assert_eq!(session.remote_addr.ip(), FAR);
            let SocketAddr::V6(remote) = session.remote_addr else {
                panic!("{}", session.remote_addr);
            };
            assert_eq!(remote.scope_id(), link);
        }
        // One of them ends, and the other one does not notice, key and all.
        ends[0].peer.stop(StopReason::Shutdown(String::new()));
        ends[0].down().await;
        listener.unregister(&{
            let mut transport = Transport::new(on(LINKS[0], FAR));
            protected(&mut transport);
            transport
        });
        assert_eq!(ends[1].peer.status().state, State::Established);
        // It comes back by a connection that it dialled itself, which needs the key at our listener.
        ends[1].peer.restart(StopReason::Reset(String::new()));
        ends[1].down().await;
        ends[1].established().await;
    };
    at_both_ends(near, || serve(neighbours(2, NEAR, protected)));
}

/// One end knows where the other one is before that one knows of it. What it dials meanwhile comes to
/// nothing, and that is all: it is not told that nobody knows it, and does not rest.
#[test]
fn a_neighbour_that_is_not_found_yet_costs_no_rest() {
    let near = || async {
        let wildcard = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), PORT);
        let listener = Listener::bind(wildcard).unwrap();
        listener.expect_link_local(true);
        listener.start();
        while listener.refused(Refusal::NotFoundYet) < 4 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let (to_core, core) = tokio::sync::mpsc::channel(1);
        let transport = Transport::new(on(LINKS[0], FAR));
        // It never dials: all depends on the other end's next attempt.
        let mut passive = config(1);
        passive.passive = true;
        let clock = Clock::new();
        let peer = spawn_peer(PeerId(1), passive, transport.clone(), 1, clock, to_core);
        listener.register(&transport, &peer).unwrap();
        let mut end = End {
            listener,
            peer,
            core,
        };
        let session = end.established().await;
        assert_eq!(session.remote_addr.ip(), FAR);
    };
    at_both_ends(near, || async {
        let (_listener, mut ends) = neighbours(2, NEAR, |_| {});
        let mut dialling = ends.swap_remove(0);
        let rested = dialling.until(|event| match event {
            Event::AttemptFailed { reason, .. } => {
                let told = matches!(reason, DownReason::NotificationReceived(_));
                assert!(!told, "{reason}");
                None
            }
            Event::StateChanged { to, .. } => (to == State::Idle).then_some(()),
            _ => None,
        });
        rested.await;
        panic!("it rests");
    });
}

#[test]
fn two_ends_of_a_link_find_each_other_by_router_advertisements() {
    let search = |own| {
        let changed = Arc::new(Notify::new());
        let clock = Clock::new();
        let start = |link| LinkDiscovery::start(link, own, 7, clock, changed.clone()).unwrap();
        (LINKS.map(start), changed)
    };
    let near = move || async move {
        let (links, changed) = search(NEAR);
        while links.iter().any(|link| link.seen().router.is_none()) {
            changed.notified().await;
        }
        for link in &links {
            let seen = link.seen();
            assert_eq!((seen.router, seen.others), (Some(FAR), vec![]));
        }
    };
    at_both_ends(near, move || async move {
        let _links = search(FAR);
        tokio::time::sleep(Duration::from_secs(3600)).await;
    });
}

#[test]
fn a_link_that_is_not_there_is_an_error() {
    block_on(async {
        let nobody = LinkDiscovery::start(0x7fff_fff0, NEAR, 7, Clock::new(), Arc::default());
        assert_eq!(nobody.unwrap_err().id(), "socket-option-refused");
    });
}
