//! What a monitoring station is told, read by a reader that is not ours (bgpkit-parser), is what the
//! speaker says of its tables itself.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]
#![allow(
    clippy::too_many_lines,
    reason = "what happens one after the other is read from top to bottom"
)]

mod cable_world;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::Read as _,
    os::unix::net::{UnixListener, UnixStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use anyhow::{Result, ensure};
use bgpkit_parser::{
    Elementor,
    models::{BgpMessage, ElemType},
    parser::bmp::{
        messages::{BmpMessage, BmpMessageBody, BmpPeerType, PeerDownReason, PerPeerFlags},
        parse_bmp_msg,
    },
};
use bytes::{Buf as _, Bytes, BytesMut};
use cable_world::{SOON, World};
use redstart_controller::control::views::{self, Protocol, Route};
use redstart_proto_tests::lab::{process::Signal, wait};

const PORT: u16 = 11019;

/// For a hundred thousand messages, each read by a reader that nobody made fast.
const MUCH: Duration = Duration::from_secs(150);

/// A table: of which kind (`pre`, `post`, `loc`, `out`), and of whom.
type Table = (&'static str, String);

/// What a station knows.
#[derive(Debug, Default)]
struct Known {
    connections: u64,
    /// What the speaker calls itself.
    initiated: bool,
    terminated: bool,
    up: BTreeSet<String>,
    down: Vec<(String, PeerDownReason)>,
    /// By prefix: AS path and next hop.
    tables: BTreeMap<Table, BTreeMap<String, (String, String)>>,
    ends: BTreeSet<Table>,
    statistics: u64,
    /// What could not be read, or should not have come.
    wrong: Vec<String>,
}

impl Known {
    fn take(&mut self, message: BmpMessage) {
        let whose = message.per_peer_header.map(|header| {
            let kind = match header.peer_flags {
                PerPeerFlags::LocalRibPeerFlags(_) => "loc",
                PerPeerFlags::PeerFlags(flags) if flags.is_adj_rib_out() => "out",
                PerPeerFlags::PeerFlags(flags) if flags.is_post_policy() => "post",
                PerPeerFlags::PeerFlags(_) => "pre",
            };
            assert_eq!(kind == "loc", header.peer_type == BmpPeerType::LocalRib);
            (kind, header)
        });
        match (message.message_body, whose) {
            (BmpMessageBody::InitiationMessage(_), None) => self.initiated = true,
            (BmpMessageBody::TerminationMessage(_), None) => self.terminated = true,
            (BmpMessageBody::PeerUpNotification(_), Some((_, header))) => {
                if !self.initiated || !self.up.insert(header.peer_ip.to_string()) {
                    self.wrong.push(format!("{} is up again", header.peer_ip));
                }
            }
            (BmpMessageBody::PeerDownNotification(down), Some((_, header))) => {
                let peer = header.peer_ip.to_string();
                if !self.up.remove(&peer) {
                    self.wrong.push(format!("{peer} was not up"));
                }
                self.tables.retain(|(_, of), _| *of != peer);
                self.ends.retain(|(_, of)| *of != peer);
                self.down.push((peer, down.reason));
            }
            (BmpMessageBody::StatsReport(_), Some(_)) => self.statistics += 1,
            (BmpMessageBody::RouteMonitoring(routes), Some((kind, header))) => {
                let peer = header.peer_ip.to_string();
                if !self.up.contains(&peer) {
                    self.wrong
                        .push(format!("routes of {peer}, which is not up"));
                }
                self.routes((kind, peer), routes.bgp_message, &header.peer_ip);
            }
            (other, whose) => self.wrong.push(format!("{other:?} of {whose:?}")),
        }
    }

    fn routes(&mut self, table: Table, update: BgpMessage, peer: &std::net::IpAddr) {
        if let BgpMessage::Update(update) = &update
            && update.is_end_of_rib()
        {
            self.ends.insert(table);
            return;
        }
        let routes = self.tables.entry(table).or_default();
        for elem in Elementor::bgp_to_elems(update, 0.0, peer, &65020.into()) {
            let prefix = elem.prefix.prefix.to_string();
            match elem.elem_type {
                ElemType::WITHDRAW => _ = routes.remove(&prefix),
                ElemType::ANNOUNCE => {
                    let path = elem.as_path.map(|path| path.to_string());
                    let next_hop = elem.next_hop.map(|address| address.to_string());
                    let route = (path.unwrap_or_default(), next_hop.unwrap_or_default());
                    routes.insert(prefix, route);
                }
            }
        }
    }

    fn table(&self, kind: &'static str, of: &str) -> BTreeMap<String, (String, String)> {
        let table = self.tables.get(&(kind, of.to_owned()));
        table.cloned().unwrap_or_default()
    }
}

/// A station behind a relay: what it knows is what the last connection told.
struct Station {
    known: Arc<Mutex<Known>>,
    stream: Arc<Mutex<Option<UnixStream>>>,
}

impl Station {
    fn new(world: &mut World) -> Self {
        let socket = world.path("station.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        world.start_relay(PORT, &socket).unwrap();
        let station = Self {
            known: Arc::default(),
            stream: Arc::default(),
        };
        let (known, stream) = (Arc::clone(&station.known), Arc::clone(&station.stream));
        thread::spawn(move || {
            while let Ok((connection, _)) = listener.accept() {
                let connections = known.lock().unwrap().connections + 1;
                *known.lock().unwrap() = Known {
                    connections,
                    ..Known::default()
                };
                *stream.lock().unwrap() = connection.try_clone().ok();
                listen(connection, &known);
            }
        });
        station
    }

    /// As if it had crashed.
    fn hang_up(&self) {
        let stream = self.stream.lock().unwrap().take().unwrap();
        stream.shutdown(std::net::Shutdown::Both).unwrap();
    }

    fn knows(&self, what: &str, check: impl Fn(&Known) -> Result<()>) {
        self.knows_within(SOON, what, check);
    }

    fn knows_within(&self, limit: Duration, what: &str, check: impl Fn(&Known) -> Result<()>) {
        wait::until(what, limit, || check(&self.known.lock().unwrap())).unwrap();
        assert_eq!(self.known.lock().unwrap().wrong, [""; 0]);
    }

    /// Waits until it knows of every table what the speaker says.
    fn knows_all(&self, world: &World) {
        self.knows_all_within(SOON, world);
    }

    fn knows_all_within(&self, limit: Duration, world: &World) {
        self.knows_within(limit, "the station knows what the speaker says", |known| {
            let shown = Shown::of(world)?;
            ensure!(known.up.contains(PEER), "{PEER} is not up");
            for (kind, of, expected) in [
                ("pre", PEER, &shown.pre),
                ("post", PEER, &shown.post),
                ("out", PEER, &shown.out),
                ("loc", "0.0.0.0", &shown.loc),
            ] {
                let told = known.table(kind, of);
                let prefixes: BTreeSet<_> = told.keys().cloned().collect();
                let wanted: BTreeSet<_> = expected.keys().cloned().collect();
                ensure!(prefixes == wanted, "{kind}: {prefixes:?}, not {wanted:?}");
                for (prefix, route) in expected {
                    // What is told has next hops and paths of its own.
                    ensure!(kind == "out" || told[prefix] == *route, "{kind}: {prefix}");
                }
                // Of what a neighbour is told only the first part has an end.
                let end = kind == "out" || known.ends.contains(&(kind, of.to_owned()));
                ensure!(end, "{kind}: no end");
            }
            Ok(())
        });
    }
}

fn listen(mut connection: UnixStream, known: &Mutex<Known>) {
    let (mut octets, mut buffer) = (BytesMut::new(), vec![0; 65536]);
    while let Ok(count @ 1..) = connection.read(&mut buffer) {
        octets.extend_from_slice(&buffer[..count]);
        while let Some(header) = octets.first_chunk::<5>() {
            let [_, len @ ..] = *header;
            let len = u32::from_be_bytes(len) as usize;
            if octets.len() < len {
                break;
            }
            let mut message: Bytes = octets.split_to(len).freeze();
            let mut known = known.lock().unwrap();
            match parse_bmp_msg(&mut message) {
                Ok(read) if !message.has_remaining() => known.take(read),
                other => known.wrong.push(format!("{other:?}")),
            }
        }
    }
}

const PEER: &str = "10.30.0.11";

type Routes = BTreeMap<String, (String, String)>;

/// The same by `redc show route`.
#[derive(Default)]
struct Shown {
    pre: Routes,
    post: Routes,
    loc: Routes,
    out: Routes,
}

impl Shown {
    fn of(world: &World) -> Result<Self> {
        let mut shown = Self::default();
        let routes: Vec<Route> = world.ask(&["show", "route"])?;
        for route in routes {
            let prefix = &route.prefix;
            for path in &route.paths {
                let unspecified = if prefix.contains(':') {
                    "::"
                } else {
                    "0.0.0.0"
                };
                let next_hop = path.next_hop.map(|address| address.to_string());
                let next_hop = next_hop.unwrap_or_else(|| unspecified.to_owned());
                let said = (path.as_path.clone(), next_hop);
                let why = path.not_best.as_deref().unwrap_or_default();
                if path.from == "tor" {
                    shown.pre.insert(prefix.clone(), said.clone());
                    if !why.starts_with("refused") {
                        shown.post.insert(prefix.clone(), said.clone());
                    }
                }
                if path.best {
                    shown.loc.insert(prefix.clone(), said);
                }
            }
            if route.exported.contains(&"tor".to_owned()) {
                shown.out.insert(prefix.clone(), Default::default());
            }
        }
        Ok(shown)
    }
}

/// With these static routes, each with its attributes.
fn bird(v4: &[String], hold_time: u32) -> String {
    let mut config = format!(
        "router id 10.20.0.1;\nlog stderr all;\nprotocol device {{ scan time 1; }}\n\
         protocol bgp node {{ local 10.30.0.11 as 65020; neighbor 10.30.0.1 as 65010; direct;\n\
         connect delay time 1; connect retry time 1; error wait time 1, 2; hold time {hold_time};\n\
         ipv4 {{ import all; export filter {{ if source != RTS_STATIC then reject;\n\
         if net = 10.66.6.0/24 then bgp_path.prepend(65010); accept; }}; }};\n\
         ipv6 {{ import all; export where source = RTS_STATIC; next hop address fd30::11; }}; }}\n\
         protocol static six {{ ipv6; route fd20:1::/48 blackhole; }}\n\
         protocol static four {{ ipv4;\n"
    );
    for route in v4 {
        let _ = writeln!(config, "route {route};");
    }
    config + "}\n"
}

fn few(routes: &[&str]) -> Vec<String> {
    let few = routes.iter();
    few.map(|route| format!("{route} blackhole")).collect()
}

/// All but BIRD.
fn world(name: &str) -> (World, Station) {
    let mut world = World::new(name, 1).unwrap();
    for (netns, v4, v6, link) in [
        (&world.us, "10.30.0.1/24", "fd30::1/64", "up1"),
        (&world.them, "10.30.0.11/24", "fd30::11/64", "down1"),
    ] {
        let add = |address| format!("addr add {address} dev {link}");
        netns.ip(&[add(v4), add(v6)]).unwrap();
    }
    let station = Station::new(&mut world);
    world.put_router("tor", PEER, "").unwrap();
    world.put_node(&["10.30.0.1", "fd30::1"]).unwrap();
    world
        .put(
            "configuration",
            "apiVersion: redstart.dev/v1alpha1\nkind: BGPConfiguration\nmetadata:\n  name: default\n\
             spec:\n  asn: 65010\n  mesh: { mode: None }\n  timers: { connectRetrySeconds: 1 }\n  \
             bmp:\n  - address: 10.30.0.11\n    statisticsSeconds: 1\n    \
             tables: [AdjRIBInPre, AdjRIBInPost, LocRIB, AdjRIBOutPost]\n",
        )
        .unwrap();
    let objects = world.path("objects");
    world
        .run_redstart(&["--objects", &objects.to_string_lossy()])
        .unwrap();
    (world, station)
}

fn stations(world: &World) -> Result<views::BmpStation> {
    let mut all: Vec<views::BmpStation> = world.ask(&["show", "bmp"])?;
    ensure!(all.len() == 1, "{all:?}");
    Ok(all.remove(0))
}

#[test]
fn a_station_is_told_what_the_tables_hold_whatever_happens() {
    let first = few(&["20.0.0.0/16", "20.1.0.0/16", "10.66.6.0/24", "20.3.0.0/25"]);
    let (mut world, station) = world("bmptables");
    world.start_bird(&bird(&first, 240)).unwrap();
    wait::until("BIRD's routes are here", SOON, || {
        let count = Shown::of(&world)?.pre.len();
        ensure!(count == 5, "{count}");
        Ok(())
    })
    .unwrap();
    station.knows_all(&world);
    let pre = station.known.lock().unwrap().table("pre", PEER);
    let post = station.known.lock().unwrap().table("post", PEER);
    // One is refused for our own AS in its path; the reader of the station sees why.
    assert_eq!((pre.len(), post.len()), (5, 4));
    assert_eq!(pre["10.66.6.0/24"].0, "65020 65010");
    station.knows("numbers", |known| {
        ensure!(known.statistics > 1, "{}", known.statistics);
        Ok(())
    });

    // Routes come, change and go.
    let other = few(&["20.0.0.0/16", "20.4.0.0/16", "20.3.0.0/26"]);
    world.configure_bird(&bird(&other, 240)).unwrap();
    wait::until("BIRD's new routes are here", SOON, || {
        let routes: Vec<Route> = world.ask(&["show", "route", "20.4.0.0/16"])?;
        ensure!(!routes.is_empty(), "not yet");
        Ok(())
    })
    .unwrap();
    station.knows_all(&world);
    assert_eq!(station.known.lock().unwrap().connections, 1);

    // The neighbour goes, and with it all that was told of it.
    world.end("bird", Signal::Terminate).unwrap();
    station.knows("the end of the session", |known| {
        ensure!(known.tables.keys().all(|(_, of)| of != PEER), "{known:?}");
        ensure!(!known.down.is_empty(), "nothing is down");
        Ok(())
    });
    let down = station.known.lock().unwrap().down.clone();
    let why = PeerDownReason::RemoteSystemClosedNotificationPduFollows;
    assert_eq!(down, [(PEER.to_owned(), why)]);
    world.start_bird(&bird(&other, 240)).unwrap();
    station.knows_all(&world);
    assert_eq!(station.known.lock().unwrap().connections, 1);

    // The station goes, and is told everything again.
    station.hang_up();
    station.knows("another connection", |known| {
        ensure!(known.connections >= 2, "{}", known.connections);
        Ok(())
    });
    station.knows_all(&world);
    // What it was told may be there before the speaker counts it.
    let line = "redstart_bmp_station_synchronised{station=\"10.30.0.11:11019\"} 1";
    wait::until("the speaker says so", SOON, || {
        let shown = stations(&world)?;
        ensure!(shown.state == "synchronised", "{shown:?}");
        let page = world.get("/metrics")?;
        ensure!(page.contains(line), "{page}");
        Ok(())
    })
    .unwrap();
    let shown = stations(&world).unwrap();
    assert_eq!(shown.too_slow, 0);
    // A relay that is closed with something unread is reset.
    let why = shown.last_error.unwrap();
    assert!(["closed-by-station", "connection-lost"].contains(&why.as_str()));

    // We go, and say so.
    world.end("redstart", Signal::Terminate).unwrap();
    station.knows("a farewell", |known| {
        ensure!(known.terminated, "none yet");
        Ok(())
    });
}

#[test]
fn a_station_that_does_not_read_makes_nobody_wait() {
    const ROUTES: u32 = 30_000;
    // Long enough for BIRD, which does one thing at a time, to read and send all that.
    const HOLD_TIME: u32 = 15;
    let many = |med: u32| -> Vec<String> {
        let route = |n: u32| {
            let [_, a, b, c] = (n << 4).to_be_bytes();
            // Attributes of its own: nothing is packed, and much is to tell.
            format!("20.{a}.{b}.{c}/28 blackhole {{ bgp_med = {}; }}", n + med)
        };
        (0..ROUTES).map(route).collect()
    };
    let (mut world, station) = world("bmpslow");
    station.knows("a connection", |known| {
        ensure!(known.connections > 0, "none yet");
        Ok(())
    });
    // It stops before there is a route to tell of.
    world.signal("relay", Signal::Pause).unwrap();
    world.start_bird(&bird(&many(0), HOLD_TIME)).unwrap();
    let has = |med: u32| {
        wait::until("every route is there", MUCH, || {
            let words = format!("show route 20.0.0.0/28 where bgp_med = {med}");
            let routes: Vec<Route> = world.ask(&words.split_whitespace().collect::<Vec<_>>())?;
            ensure!(!routes.is_empty(), "no route with {med}");
            Ok(())
        })
        .unwrap();
    };
    has(0);
    for med in 1..4 {
        world.configure_bird(&bird(&many(med), HOLD_TIME)).unwrap();
        has(med);
    }
    let stuck = stations(&world).unwrap();
    // Three tables, and in each a message for every route.
    assert!(stuck.messages < u64::from(ROUTES), "{stuck:?}");
    // All the time there was one session.
    let tor: Protocol = world.protocol("tor").unwrap();
    assert_eq!(
        (tor.state.as_str(), tor.established_count),
        ("Established", 1)
    );

    // It goes on, and what it missed is not told it any more.
    world.signal("relay", Signal::Resume).unwrap();
    station.knows_all_within(MUCH, &world);
}
