//! Addresses of this node come and go under sessions that stay, with the real kernel's events.

use std::{collections::VecDeque, net::IpAddr};

use redstart_bgp::{
    net::{FromPeer, PeerHandle, Transport, spawn_peer},
    session::{Event, OutBatch, PeerConfig, PeerId, RemoteAs as SessionRemoteAs},
    types::NextHop,
    wire::Update,
};

use super::*;
use crate::compile::Advertise;

/// The only neighbour. It listens nowhere and says nothing; it hears.
struct Router {
    _peer: PeerHandle,
    core: mpsc::Receiver<FromPeer>,
    sessions: usize,
    /// What it was told and nobody has asked for yet.
    heard: VecDeque<Vec<(String, Option<NextHop>)>>,
}

impl Router {
    fn start(from: IpAddr, to: SocketAddr) -> Self {
        let id = RouterId(Ipv4Addr::new(192, 0, 2, 9));
        let mut config = PeerConfig::new(Asn(65001), SessionRemoteAs::Number(Asn(64512)), id);
        config.families = FamilySet::ALL;
        config.connect_retry = Duration::from_millis(200);
        let mut transport = Transport::new(to);
        transport.local = Some(from);
        let (to_core, core) = mpsc::channel(8);
        Self {
            _peer: spawn_peer(PeerId(1), config, transport, 1, Clock::new(), to_core),
            core,
            sessions: 0,
            heard: VecDeque::new(),
        }
    }

    /// The next thing that it is told: prefixes with their next hop, or with none where they are
    /// withdrawn. The session is the first one still.
    async fn hears(&mut self) -> Vec<(String, Option<NextHop>)> {
        loop {
            if let Some(said) = self.heard.pop_front() {
                return said;
            }
            match self.core.recv().await.unwrap() {
                FromPeer::Pull { reply, .. } => _ = reply.send(OutBatch::default()),
                FromPeer::Updates { updates, .. } => {
                    assert_eq!(self.sessions, 1);
                    let messages = updates.messages();
                    let said = messages.iter().map(said);
                    self.heard.extend(said.filter(|said| !said.is_empty()));
                }
                FromPeer::Event { event, .. } => match event {
                    Event::Established(_) => self.sessions += 1,
                    Event::Down { reason, .. } => panic!("the session ended: {reason}"),
                    _ => {}
                },
            }
        }
    }
}

/// What an UPDATE says of each prefix.
fn said(update: &Update) -> Vec<(String, Option<NextHop>)> {
    let reach = update.reach.iter().map(|r| (&r.nlri, r.attrs.next_hop));
    let gone = update.unreach.iter().map(|nlri| (nlri, None));
    let said = reach
        .chain(gone)
        .flat_map(|(nlri, next_hop)| nlri.iter().map(move |n| (n.prefix.to_string(), next_hop)));
    said.collect()
}

const ROUTER: &str = "router";
const OWN: [&str; 2] = ["10.64.0.0/24", "fd64::/64"];

/// A node with these addresses that tells a router at `remote` a route of each family.
fn telling(remote: SocketAddr, ipv4: Option<&str>, ipv6: Option<&str>) -> DesiredState {
    let to_router = Advertise {
        source: object("BGPAdvertisement", "own"),
        peers: [PeerName(ROUTER.to_owned())].into(),
        communities: [].into(),
        large_communities: [].into(),
        extended_communities: [].into(),
        local_pref: None,
        med: None,
        prepend: 0,
    };
    let origination = Arc::new(Origination {
        object: object("Node", "n1"),
        advertise: vec![to_router.into()],
        blackhole: false,
    });
    let mut desired = node(kernel(254, 179), []);
    if let Some(node) = &mut desired.node {
        node.ipv4 = ipv4.map(|text| text.parse().unwrap());
        node.ipv6 = ipv6.map(|text| text.parse().unwrap());
    }
    let prefix = |text: &str| (text.parse().unwrap(), Arc::clone(&origination));
    DesiredState {
        listen: vec![
            "0.0.0.0:1179".parse().unwrap(),
            "[::]:1179".parse().unwrap(),
        ],
        peers: Arc::new([(PeerName(ROUTER.to_owned()), passive_router(remote).into())].into()),
        originations: OWN.into_iter().map(prefix).collect(),
        ..desired
    }
}

fn v6(text: &str) -> Option<NextHop> {
    Some(NextHop::V6(text.parse().unwrap()))
}

#[test]
fn an_address_that_the_object_gets_or_loses_resets_nothing_and_moves_its_routes() {
    in_namespace(async {
        for address in ["10.9.0.1", "10.9.0.2"] {
            ip(&format!("addr add {address}/32 dev lo"));
        }
        let there = Ipv4Addr::new(10, 9, 0, 2);
        let with = |ipv6| telling((there, 0).into(), Some("10.9.0.1"), ipv6);
        let core = Running::start(with(None));
        let mut router = Router::start(there.into(), "10.9.0.1:1179".parse().unwrap());
        let [v4_route, v6_route] = OWN.map(str::to_owned);
        let session = Some(NextHop::V4(Ipv4Addr::new(10, 9, 0, 1)));
        assert_eq!(router.hears().await, [(v4_route, session)]);
        for address in [Some("fd00::1"), Some("fd00::2"), None] {
            core.configure(with(address));
            let told = [(v6_route.clone(), address.and_then(v6))];
            assert_eq!(router.hears().await, told, "and of no other route");
        }
        core.stop().await;
    });
}

#[test]
fn an_address_that_a_link_gets_or_loses_resets_nothing_and_moves_its_routes() {
    in_namespace(async {
        // Both ends are on one link, which has no link-local address yet.
        ip("link add d0 type veth peer name d1");
        for line in [
            "d0 addrgenmode none",
            "d1 addrgenmode none",
            "d0 up",
            "d1 up",
        ] {
            ip(&format!("link set {line}"));
        }
        ip("addr add fd09::1/64 dev d0 nodad");
        ip("addr add fd09::2/128 dev lo nodad");
        let there: IpAddr = "fd09::2".parse().unwrap();
        let core = Running::start(telling((there, 0).into(), Some("192.0.2.1"), None));
        let mut router = Router::start(there, "[fd09::1]:1179".parse().unwrap());
        let mut first = router.hears().await;
        first.extend(router.hears().await);
        first.sort();
        let v6_route = OWN[1].to_owned();
        assert!(
            first.contains(&(v6_route.clone(), v6("fd09::1"))),
            "{first:?}"
        );
        let both = NextHop::V6LinkLocal {
            global: "fd09::1".parse().unwrap(),
            link_local: "fe80::9".parse().unwrap(),
        };
        for (change, told) in [("add", Some(both)), ("del", v6("fd09::1"))] {
            let nodad = if change == "add" { " nodad" } else { "" };
            ip(&format!("addr {change} fe80::9/64 dev d0{nodad}"));
            assert_eq!(router.hears().await, [(v6_route.clone(), told)], "{change}");
        }
        core.stop().await;
    });
}
