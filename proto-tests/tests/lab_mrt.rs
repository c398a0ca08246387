//! What `bgpdump` (Debian's) reads in our MRT files is what the speaker says itself.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

mod cable_world;

use std::{collections::BTreeSet, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use cable_world::{SOON, World};
use redstart_controller::control::views::{self, Route};
use redstart_proto_tests::lab::wait;

/// Two paths to one prefix, both families, and all that `bgpdump` prints on a line.
const BIRD: &str = r#"
router id 10.20.0.1;
log stderr all;
protocol device { scan time 1; }
filter give {
  if source != RTS_STATIC then reject;
  if proto = "t4" then bgp_path.prepend(65099);
  if net = 20.1.0.0/16 then { bgp_med = 77; bgp_community.add((65020, 5)); bgp_community.add((65020, 6)); }
  if net = 20.2.0.0/16 then bgp_path.prepend(65010);
  accept;
}
protocol bgp node {
  local 10.30.0.11 as 65020; neighbor 10.30.0.1 as 65010; direct;
  connect delay time 1; connect retry time 1; error wait time 1, 2;
  ipv4 { import all; export filter give; add paths tx; };
  ipv6 { import all; export filter give; next hop address fd30::11; };
}
protocol static s4 { ipv4;
  route 20.0.0.0/16 blackhole; route 20.1.0.0/16 blackhole; route 20.2.0.0/16 blackhole;
  route 20.3.7.128/25 blackhole; route 20.4.4.4/32 blackhole; }
protocol static t4 { ipv4 { preference 150; }; route 20.0.0.0/16 blackhole; }
protocol static s6 { ipv6; route fd20:1::/48 blackhole; route fd20:2::1/128 blackhole; }
"#;

/// Those that are not refused.
const ROUTES: u64 = 7;

fn world(name: &str) -> World {
    let mut world = World::new(name, 1).unwrap();
    let addresses = [
        (&world.us, "10.30.0.1/24", "fd30::1/64", "up1"),
        (&world.them, "10.30.0.11/24", "fd30::11/64", "down1"),
    ];
    for (netns, v4, v6, link) in addresses {
        let add = |address| format!("addr add {address} dev {link}");
        netns.ip(&[add(v4), add(v6)]).unwrap();
    }
    let more = "  addPath: { receive: true }\n";
    world.put_router("tor", "10.30.0.11", more).unwrap();
    world.start_bird(BIRD).unwrap();
    world.start_redstart_at(&["10.30.0.1", "fd30::1"]).unwrap();
    wait::until("every route is there", SOON, || {
        let counts: Vec<views::Count> =
            world.ask(&["show", "route", "protocol", "tor", "count"])?;
        let there: u64 = counts.iter().map(|count| count.routes).sum();
        ensure!(there == ROUTES, "{there}");
        Ok(())
    })
    .unwrap();
    world
}

/// Where `bgpdump` has the path identifier, if there is one.
const PATH_ID: usize = 6;

/// The fields of each line of `bgpdump -m` from the address of the peer to the communities.
fn bgpdump(file: &Path) -> Result<BTreeSet<String>> {
    let output = Command::new("bgpdump").arg("-m").arg(file).output();
    let output = output.context("bgpdump cannot be run")?;
    let said = String::from_utf8(output.stdout)?;
    ensure!(
        output.status.success(),
        "{output:?}",
        output = output.stderr
    );
    Ok(said
        .lines()
        .map(|line| {
            let mut fields: Vec<_> = line.split('|').collect();
            if fields[0].ends_with("_AP") {
                fields.remove(PATH_ID);
            }
            fields[3..12].join("|")
        })
        .collect())
}

/// The same by `redc show route`.
fn shown(routes: &[Route]) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for route in routes {
        for path in &route.paths {
            let from = match path.from.as_str() {
                "local" => "0.0.0.0|65010",
                _ => "10.30.0.11|65020",
            };
            let unspecified = if route.prefix.contains(':') {
                "::"
            } else {
                "0.0.0.0"
            };
            let next_hop = path.next_hop.map(|address| address.to_string());
            let origin = match path.origin.as_str() {
                "Incomplete" => "INCOMPLETE",
                other => other,
            };
            lines.insert(format!(
                "{from}|{}|{}|{origin}|{}|{}|{}|{}",
                route.prefix,
                path.as_path,
                next_hop.as_deref().unwrap_or(unspecified),
                path.local_pref.unwrap_or(0),
                path.med.unwrap_or(0),
                path.communities.join(" "),
            ));
        }
    }
    lines
}

#[test]
fn bgpdump_reads_a_table_dump_as_the_table_is() {
    let world = world("mrttable");
    let file = world.path("table.mrt");
    world.redc(&format!("dump mrt {}", file.display())).unwrap();
    let routes: Vec<Route> = world.ask(&["show", "route"]).unwrap();
    let accepted = routes.into_iter().map(|mut route| {
        route.paths.retain(|path| {
            let why = path.not_best.as_deref().unwrap_or_default();
            !why.starts_with("refused")
        });
        route
    });
    let expected = shown(&accepted.collect::<Vec<_>>());
    assert!(expected.len() as u64 > ROUTES, "{expected:?}");
    assert_eq!(bgpdump(&file).unwrap(), expected);
}

#[test]
fn a_dump_that_cannot_be_written_leaves_nothing() {
    let world = world("mrtnowhere");
    let file = world.path("no/such/directory.mrt");
    let error = world
        .redc(&format!("dump mrt {}", file.display()))
        .unwrap_err();
    let said = format!("{error:#}");
    assert!(
        said.contains("cannot write") && said.contains("directory.mrt"),
        "{said}"
    );
}
