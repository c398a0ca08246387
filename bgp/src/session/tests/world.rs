//! Two engines in virtual time: whatever the network did to them, they end with one connection that
//! both call Established, and stay there. The network is in `network.rs`.
//!
//! Each scenario runs for 200 seeds. `REDSTART_WORLD_SEEDS=10000 cargo test -p redstart-bgp --
//! session::tests::world --nocapture` runs more and says how long it took them;
//! docs/FUZZ.md has the last such run.

use core::time::Duration;

use crate::{
    session::{GracefulRestartConfig, PeerConfig, State, StopReason},
    types::{Family, FamilySet},
};

use super::{
    network::{A, B, SECOND, Stray, Weather, World},
    support::{graceful, their_config},
};

/// What a session may take that nothing but timers can bring about: of a connection on which nothing
/// comes any more four minutes in OpenSent, then a minute of rest, then some attempts.
const PATIENCE: Duration = Duration::from_secs(330);

/// Runs a scenario, and says how long its engines took to agree.
fn for_many_seeds(name: &str, test: impl Fn(u64) -> Duration) {
    #[expect(clippy::disallowed_methods, reason = "how much to test, not what")]
    let seeds = std::env::var("REDSTART_WORLD_SEEDS").map_or(200, |n| n.parse().unwrap());
    let took = (0..seeds).map(|seed: u64| test(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let mut took: Vec<Duration> = took.collect();
    took.sort_unstable();
    let (median, longest) = (took[took.len() / 2], took[took.len() - 1]);
    println!("{name}: {seeds} seeds, agreed after {median:.1?} (median), {longest:.1?} (longest)");
}

#[test]
fn simultaneous_start() {
    for_many_seeds("simultaneous start", |seed| {
        let mut world = World::new(seed, graceful);
        world.start(A);
        let offset = world.random(20_000);
        world.run(Duration::from_micros(offset), |_| false);
        world.start(B);
        world.converge(SECOND, &format!("seed {seed}"))
    });
}

#[test]
fn one_starts_later() {
    for_many_seeds("one starts later", |seed| {
        let mut world = World::new(seed, |config| config);
        world.start(A);
        let offset = world.random(20_000);
        world.run(Duration::from_millis(offset), |_| false);
        world.start(B);
        world.converge(SECOND, &format!("seed {seed}, B after {offset} ms"))
    });
}

#[test]
fn connections_are_lost() {
    for_many_seeds("connections are lost", |seed| {
        let mut world = World::new(seed, graceful);
        world.start(A);
        world.start(B);
        let offset = world.random(300);
        world.run(Duration::from_millis(offset), |_| false);
        world.cut();
        // Until both have heard of it.
        world.run(Duration::from_millis(40), |_| false);
        world.converge(2 * SECOND, &format!("seed {seed}, cut after {offset} ms"));
        world.cut();
        world.run(Duration::from_millis(40), |_| false);
        world.converge(2 * SECOND, &format!("seed {seed}, second cut"))
    });
}

#[test]
fn one_side_is_killed_and_comes_back() {
    for_many_seeds("one side is killed and comes back", |seed| {
        let mut world = World::new(seed, graceful);
        world.start(A);
        world.start(B);
        world.run(20 * SECOND, |_| false);
        world.kill(B);
        let down = world.random(10_000);
        world.run(Duration::from_millis(down), |_| false);
        world.start(B);
        world.converge(2 * SECOND, &format!("seed {seed}, down for {down} ms"))
    });
}

/// However often somebody connects in the neighbour's name and is silent: we dial, and what we dialled
/// wins. The neighbour itself dials nobody here.
#[test]
fn silent_connections_keep_no_session_away() {
    for_many_seeds("silent connections keep no session away", |seed| {
        let haunted = if seed % 2 == 0 { A } else { B };
        let other = 1 - haunted;
        let mut world = World::new(seed, |config| config);
        world.hosts[other].config.passive = true;
        world.power_off(other);
        world.start(haunted);
        let offset = world.random(2_000);
        world.run(Duration::from_millis(offset), |_| false);
        world.stray(haunted, Stray::Mute);
        world.start(other);
        for _ in 0..6 {
            world.run(3 * SECOND, World::established);
            if !world.established() {
                world.stray(haunted, Stray::Mute);
            }
        }
        world.converge(Duration::ZERO, &format!("seed {seed}, at {haunted}"))
    });
}

/// Refreshes are asked for all the time, while connections are lost. Each one that began on the session
/// that stays comes to its end, and those that were asked for on it are answered.
#[test]
fn refreshes_come_to_an_end() {
    for_many_seeds("refreshes come to an end", |seed| {
        let mut world = World::new(seed, graceful);
        world.start(A);
        world.start(B);
        for round in 0..10 {
            let pause = world.random(120);
            world.run(Duration::from_millis(pause), |_| false);
            for host in [A, B] {
                let now = world.now;
                world.hosts[host]
                    .peer
                    .send_route_refresh(now, Family::Ipv4Unicast);
                world.service(host);
            }
            if round == 5 {
                world.cut();
            }
        }
        let took = world.converge(2 * SECOND, &format!("seed {seed}"));
        let before = world.hosts[A].refreshed;
        let now = world.now;
        for family in FamilySet::ALL.iter() {
            assert!(world.hosts[A].peer.send_route_refresh(now, family));
        }
        world.service(A);
        world.run(SECOND, |_| false);
        for host in &world.hosts {
            assert_eq!(host.refreshed.0, host.refreshed.1, "seed {seed}");
        }
        assert_eq!(world.hosts[A].refreshed.1, before.1 + 2, "seed {seed}");
        took
    });
}

/// Both wait for the other's OPEN first.
#[test]
fn both_delay_their_open() {
    fn delayed(mut config: PeerConfig) -> PeerConfig {
        config.delay_open = Some(Duration::from_millis(200));
        config
    }
    for_many_seeds("both delay their open", |seed| {
        let mut world = World::new(seed, delayed);
        world.start(A);
        let offset = world.random(300);
        world.run(Duration::from_millis(offset), |_| false);
        world.start(B);
        world.converge(2 * SECOND, &format!("seed {seed}, B after {offset} ms"))
    });
}

/// No FIN: the survivor still believes in the session when the neighbour dials again.
#[test]
fn one_host_loses_power_and_comes_back() {
    fn restarting(mut config: PeerConfig) -> PeerConfig {
        config.graceful_restart = Some(GracefulRestartConfig {
            restarting: true,
            ..GracefulRestartConfig::default()
        });
        config
    }
    for_many_seeds("one host loses power and comes back", |seed| {
        let mut world = World::new(seed, graceful);
        world.start(A);
        world.start(B);
        world.run(20 * SECOND, |_| false);
        world.hosts[B].config = restarting(their_config());
        world.power_off(B);
        let down = world.random(40_000);
        world.run(Duration::from_millis(down), |_| false);
        world.start(B);
        world.converge(2 * SECOND, &format!("seed {seed}, down for {down} ms"))
    });
}

#[test]
fn one_side_is_shut_down_and_started_again() {
    for_many_seeds("one side is shut down and started again", |seed| {
        let mut world = World::new(seed, |config| config);
        world.start(A);
        world.start(B);
        world.run(20 * SECOND, |_| false);
        let why = StopReason::Shutdown("upgrade".into());
        let now = world.now;
        world.hosts[B].peer.stop(now, &why);
        world.service(B);
        let down = world.random(10_000);
        world.run(Duration::from_millis(down), |_| false);
        assert_eq!(world.hosts[B].peer.state(), State::Idle);
        world.start(B);
        world.converge(2 * SECOND, &format!("seed {seed}, down for {down} ms"))
    });
}

/// Segments take up to two seconds, so that connections, their ends and their OPENs come in any
/// order.
#[test]
fn far_apart() {
    for_many_seeds("far apart", |seed| {
        let mut world = World::new(seed, graceful);
        world.weather = Weather::FAR;
        world.start(A);
        let offset = world.random(10_000);
        world.run(Duration::from_millis(offset), |_| false);
        world.start(B);
        world.converge(60 * SECOND, &format!("seed {seed}, B after {offset} ms"))
    });
}

/// Handshakes are lost: the SYN, its answer, or what completes it, which leaves the dialler alone
/// with the connection.
#[test]
fn attempts_are_lost() {
    for_many_seeds("attempts are lost", |seed| {
        let mut world = World::new(seed, |config| config);
        world.weather = Weather::LOSSY;
        world.start(A);
        world.start(B);
        for _ in 0..10 {
            world.run(10 * SECOND, |_| false);
            world.cut();
        }
        world.calm(Weather::FAIR);
        world.converge(PATIENCE, &format!("seed {seed}"))
    });
}

/// A session of which one end hears nothing any more, or neither, or of which one end is told that
/// it is over. The hold timer finds out, or the answer of a host that does not know it.
#[test]
fn one_side_believes_in_a_session_that_is_gone() {
    for_many_seeds("one side believes in a session that is gone", |seed| {
        let mut world = World::new(seed, if seed % 2 == 0 { graceful } else { |c| c });
        world.start(A);
        world.start(B);
        world.converge(2 * SECOND, &format!("seed {seed}, first"));
        let how = world.random(4);
        match how {
            0 => world.fall_silent(A),
            1 => world.fall_silent(B),
            2 => [A, B].into_iter().for_each(|host| world.fall_silent(host)),
            _ => world.reset_one_end(A),
        }
        // Until somebody has noticed: 90 seconds is the hold time.
        world.run(100 * SECOND, |world| world.agreed().is_none());
        assert!(how == 3 || world.agreed().is_none(), "seed {seed}: {how}");
        world.converge(PATIENCE, &format!("seed {seed}, {how}"))
    });
}

/// Others speak from the neighbour's address while the engines look for each other, on both sides.
#[test]
fn duplicate_connections() {
    for_many_seeds("duplicate connections", |seed| {
        let mut world = World::new(seed, if seed % 2 == 0 { graceful } else { |c| c });
        world.weather = Weather::FAR;
        world.start(A);
        world.start(B);
        for _ in 0..8 {
            let host = usize::try_from(world.random(2)).unwrap();
            let stray = stray(&mut world);
            world.stray(host, stray);
            let pause = world.random(4_000);
            world.run(Duration::from_millis(pause), |_| false);
        }
        world.calm(Weather::FAIR);
        world.converge(PATIENCE, &format!("seed {seed}"))
    });
}

fn stray(world: &mut World) -> Stray {
    match world.random(4) {
        0 => Stray::Mute,
        1 => Stray::Opens,
        2 => Stray::Confirms,
        _ => Stray::Leaves,
    }
}

/// Everything at once, for minutes.
#[test]
fn a_storm_passes() {
    fn delayed(mut config: PeerConfig) -> PeerConfig {
        config.delay_open = Some(Duration::from_secs(1));
        graceful(config)
    }
    for_many_seeds("a storm passes", |seed| {
        let changes: [fn(PeerConfig) -> PeerConfig; 3] = [|c| c, graceful, delayed];
        let mut world = World::new(seed, changes[usize::try_from(seed % 3).unwrap()]);
        world.weather = Weather::FOUL;
        world.start(A);
        world.start(B);
        for _ in 0..30 {
            let pause = world.random(15_000);
            world.run(Duration::from_millis(pause), |_| false);
            disturb(&mut world);
        }
        for host in [A, B] {
            world.start(host);
        }
        let after = [Weather::FAIR, Weather::FAR][usize::try_from(world.random(2)).unwrap()];
        world.calm(after);
        world.converge(PATIENCE, &format!("seed {seed}, then {after:?}"))
    });
}

/// One thing goes wrong.
fn disturb(world: &mut World) {
    let host = usize::try_from(world.random(2)).unwrap();
    let now = world.now;
    match world.random(9) {
        0 => world.cut(),
        1 => world.reset_one_end(host),
        2 => world.fall_silent(host),
        3 => drop(world.power_off(host)),
        4 => world.kill(host),
        5 => {
            let why = StopReason::Shutdown(String::new());
            world.hosts[host].peer.stop(now, &why);
            world.service(host);
        }
        6 => {
            let stray = stray(world);
            world.stray(host, stray);
        }
        7 => {
            let peer = &mut world.hosts[host].peer;
            peer.send_route_refresh(now, Family::Ipv4Unicast);
            world.service(host);
        }
        _ => world.start(host),
    }
}
