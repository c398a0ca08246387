//! The Kubernetes source against a server that fails in every way that is known: nothing is ever
//! taken away by it, and everything is there afterwards.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]

mod kube_world;

use std::time::{Duration, Instant};

use kube_world::{
    Follower, HASTE, LIMIT, World, block_on, error, known, names, node, nodes, nodes_get,
    one_secret, refuse_nodes, server, three_nodes, watches_of_nodes, with_world,
};
use redstart_controller::{
    index::Kind,
    source::{
        Health, SourceEvent,
        kube::{ListMode, Tuning, WatchReason},
    },
};
use redstart_proto_tests::apiserver::{
    ApiServer, Options, Verb,
    faults::{Action, Logged, Rule, StreamingLists, WatchEnd},
};

#[test]
fn gone_in_the_middle_of_a_watch_lists_again_and_keeps_what_is_there() {
    with_world(
        three_nodes(),
        |_| {},
        async |mut world| {
            let World { server, follower } = &mut world;
            // Told 410, and away while things change and the history is forgotten.
            server.faults().add(refuse_nodes(503));
            server.faults().end_watches(Some("nodes"), WatchEnd::Gone);
            follower
                .until_health(Kind::Node, |it| matches!(it, Health::Retrying { .. }))
                .await;
            server.remove(&nodes(), "", "a");
            server.put(node("d", "10.0.4.0/24")).unwrap();
            server.compact();
            assert_eq!(names(&follower.index), ["a", "b", "c"]);
            server.faults().clear();
            follower
                .until(|index| names(index) == ["b", "c", "d"])
                .await;
            assert_eq!(follower.story(Kind::Node), ["listed a b c", "listed b c d"]);
            assert_eq!(follower.index.health(Kind::Node), Health::Synced);
            assert_eq!(follower.status(Kind::Node).listings, 2);
        },
    );
}

#[test]
fn gone_as_the_answer_to_a_watch_lists_again() {
    with_world(
        three_nodes(),
        |_| {},
        async |mut world| {
            let World { server, follower } = &mut world;
            server.faults().add(nodes_get(Verb::Watch, 1, error(410)));
            server.faults().end_watches(Some("nodes"), WatchEnd::Close);
            follower
                .until_health(Kind::Node, |it| matches!(it, Health::Retrying { .. }))
                .await;
            assert_eq!(follower.reason(Kind::Node), Some(WatchReason::Gone));
            follower
                .until_health(Kind::Node, |it| *it == Health::Synced)
                .await;
            assert_eq!(follower.story(Kind::Node), ["listed a b c", "listed a b c"]);
        },
    );
}

#[test]
fn dropped_watches_resume_where_they_were() {
    with_world(
        three_nodes(),
        |_| {},
        async |mut world| {
            let World { server, follower } = &mut world;
            for (end, watches) in [(WatchEnd::Drop, 2), (WatchEnd::Close, 3)] {
                server.faults().end_watches(None, end);
                while watches_of_nodes(server) < watches {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            server.remove(&nodes(), "", "b");
            follower.until_caught_up(server).await;
            assert_eq!(
                follower.story(Kind::Node),
                ["listed a b c", "deleted b", "applied marker"]
            );
        },
    );
}

#[test]
fn a_server_that_was_set_back_in_time_is_listed_again() {
    with_world(
        three_nodes(),
        |_| {},
        async |mut world| {
            let World { server, follower } = &mut world;
            // As after a restore of etcd: our resource version is far in its future.
            server.faults().add(nodes_get(Verb::Watch, 5, error(504)));
            server.faults().end_watches(Some("nodes"), WatchEnd::Close);
            follower
                .until_health(Kind::Node, |it| matches!(it, Health::Retrying { .. }))
                .await;
            follower
                .until_health(Kind::Node, |it| *it == Health::Synced)
                .await;
            assert_eq!(follower.story(Kind::Node), ["listed a b c", "listed a b c"]);
            assert_eq!(follower.status(Kind::Node).failures, 5);
        },
    );
}

#[test]
fn a_server_that_refuses_streaming_lists_gets_list_and_watch() {
    let refuse = |server: &ApiServer| {
        server.faults().set_streaming_lists(StreamingLists::Refused);
    };
    with_world(three_nodes(), refuse, async |mut world| {
        let World { server, follower } = &mut world;
        assert_eq!(follower.status(Kind::Node).mode, ListMode::ListWatch);
        assert_eq!(follower.status(Kind::Node).failures, 0);
        server.remove(&nodes(), "", "b");
        follower.until_caught_up(server).await;
        assert_eq!(
            follower.story(Kind::Node),
            ["listed a b c", "deleted b", "applied marker"]
        );
        let asked = server.faults().requests();
        let lists: Vec<_> = asked
            .iter()
            .filter(|it| it.uri.starts_with("/api/v1/nodes?") && !it.uri.contains("watch="))
            .collect();
        assert_eq!(lists.len(), 1, "{asked:?}");
        assert!(lists[0].uri.contains("resourceVersion=0"), "{lists:?}");
        assert!(!lists[0].uri.contains("limit="), "{lists:?}");
    });
}

#[test]
fn a_server_that_does_not_know_streaming_lists_gets_list_and_watch() {
    let ignore = |server: &ApiServer| {
        server.faults().set_streaming_lists(StreamingLists::Ignored);
    };
    with_world(three_nodes(), ignore, async |world| {
        let follower = &world.follower;
        assert_eq!(follower.status(Kind::Node).mode, ListMode::ListWatch);
        assert_eq!(follower.story(Kind::Node), ["listed a b c"]);
    });
}

#[test]
fn a_listing_that_breaks_off_takes_nothing_away() {
    let refuse = |server: &ApiServer| {
        server.faults().set_streaming_lists(StreamingLists::Refused);
    };
    with_world(three_nodes(), refuse, async |mut world| {
        let World { server, follower } = &mut world;
        server
            .faults()
            .add(nodes_get(Verb::List, 2, Action::Truncate));
        server.faults().end_watches(Some("nodes"), WatchEnd::Gone);
        follower
            .until(|index| {
                let health = index.health(Kind::Node);
                matches!(health, Health::Retrying { error } if error.contains("EOF"))
            })
            .await;
        assert_eq!(
            follower.reason(Kind::Node),
            Some(WatchReason::InvalidAnswer)
        );
        follower
            .until_health(Kind::Node, |it| *it == Health::Synced)
            .await;
        assert_eq!(follower.story(Kind::Node), ["listed a b c", "listed a b c"]);
    });
}

#[test]
fn an_outage_takes_nothing_away_and_ends_with_the_differences() {
    with_world(
        three_nodes(),
        |_| {},
        async |mut world| {
            let World { server, follower } = &mut world;
            let before = known(&follower.index).clone();
            let listed = follower.events.len();
            server.faults().refuse_connections(true);
            let outage = tokio::time::sleep(Duration::from_secs(2));
            tokio::pin!(outage);
            loop {
                tokio::select! {
                    () = &mut outage => break,
                    () = follower.take() => {}
                }
            }
            assert!(
                follower.events[listed..]
                    .iter()
                    .all(|event| matches!(event, SourceEvent::Health { .. })),
                "{:?}",
                &follower.events[listed..]
            );
            assert_eq!(*known(&follower.index), before);
            for kind in Kind::ALL {
                assert!(matches!(
                    follower.index.health(kind),
                    Health::Retrying { .. }
                ));
                assert!(!follower.status(kind).connected);
                assert_eq!(follower.reason(kind), Some(WatchReason::Unreachable));
            }
            server.put(node("b", "10.0.9.0/24")).unwrap();
            server.remove(&nodes(), "", "c");
            server.faults().refuse_connections(false);
            for kind in Kind::ALL {
                follower
                    .until_health(kind, |it| *it == Health::Synced)
                    .await;
            }
            follower.until_caught_up(server).await;
            assert_eq!(
                follower.story(Kind::Node),
                ["listed a b c", "applied b", "deleted c", "applied marker"]
            );
            assert_eq!(follower.story(Kind::BgpPeer), ["listed "]);
        },
    );
}

#[test]
fn a_server_that_says_nothing_is_given_up_and_asked_again() {
    let options = Options {
        bookmark_interval: LIMIT,
        ..Options::default()
    };
    let server = server(options, [node("a", "10.0.1.0/24")]);
    let never = Action::Delay {
        millis: u64::try_from(LIMIT.as_millis()).unwrap(),
    };
    server.faults().add(nodes_get(Verb::Watch, 1, never));
    block_on(async {
        let mut follower = Follower::start_tuned(
            &server.kubeconfig(),
            Tuning {
                read_timeout: Duration::from_millis(500),
                listing_patience: LIMIT,
                ..HASTE
            },
        );
        follower.until_complete().await;
        assert_eq!(
            follower.reason(Kind::Node),
            Some(WatchReason::ConnectionLost)
        );
        // A watch that falls silent is opened again, and nothing else happens.
        while watches_of_nodes(&server) < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        follower.until_caught_up(&server).await;
        assert_eq!(follower.story(Kind::Node), ["listed a", "applied marker"]);
    });
}

#[test]
fn when_one_kind_reaches_the_server_again_the_others_do_not_wait() {
    let server = server(Options::default(), one_secret());
    block_on(async {
        let mut follower = Follower::start_tuned(
            &server.kubeconfig(),
            Tuning {
                backoff_max: LIMIT,
                ..HASTE
            },
        );
        follower.until_complete().await;
        server.faults().refuse_connections(true);
        for kind in Kind::ALL {
            follower
                .until_health(kind, |it| matches!(it, Health::Retrying { .. }))
                .await;
        }
        // Afterwards each pause is some seconds long, and each kind's is another.
        tokio::time::sleep(Duration::from_secs(3)).await;
        server.faults().refuse_connections(false);
        let mut first = None;
        for kind in Kind::ALL {
            while follower.index.health(kind) != Health::Synced {
                follower.take().await;
                let any = Kind::ALL.map(|kind| follower.index.health(kind));
                if any.contains(&Health::Synced) {
                    first.get_or_insert_with(Instant::now);
                }
            }
        }
        let spread = first.unwrap().elapsed();
        assert!(spread < Duration::from_millis(800), "{spread:?}");
    });
}

#[test]
fn a_busy_server_is_asked_again_until_it_answers() {
    let server = server(Options::default(), [node("a", "10.0.1.0/24")]);
    let of_any_kind = |action| {
        let rule = nodes_get(Verb::Watch, 5, action);
        server.faults().add(Rule {
            plural: None,
            ..rule
        });
    };
    for code in [429, 500, 503] {
        of_any_kind(error(code));
    }
    of_any_kind(Action::Delay { millis: 100 });
    block_on(async {
        let mut follower = Follower::start(&server.kubeconfig());
        follower.until_complete().await;
        assert_eq!(names(&follower.index), ["a"]);
        let failures: u64 = Kind::ALL
            .map(|kind| follower.status(kind).failures)
            .iter()
            .sum();
        assert_eq!(failures, 15);
    });
}

#[test]
fn a_server_that_says_when_to_come_back_is_left_alone_until_then() {
    with_world(
        three_nodes(),
        |_| {},
        async |mut world| {
            let World { server, follower } = &mut world;
            // As priority and fairness does it: plain text, and the time in the header.
            server.faults().add(nodes_get(
                Verb::Watch,
                1,
                Action::Status {
                    code: 429,
                    retry_after: Some(2),
                },
            ));
            server.faults().end_watches(Some("nodes"), WatchEnd::Close);
            follower
                .until_health(Kind::Node, |it| matches!(it, Health::Retrying { .. }))
                .await;
            let refused = Instant::now();
            assert_eq!(
                follower.reason(Kind::Node),
                Some(WatchReason::TooManyRequests)
            );
            server.remove(&nodes(), "", "b");
            follower
                .until_health(Kind::Node, |it| *it == Health::Synced)
                .await;
            // Without the header it would be 20 ms: `HASTE`.
            assert!(refused.elapsed() > Duration::from_millis(1900));
            follower.until_caught_up(server).await;
            assert_eq!(
                follower.story(Kind::Node),
                ["listed a b c", "deleted b", "applied marker"]
            );
            assert_eq!(follower.status(Kind::Node).failures, 1);
        },
    );
}

/// A server that does not stream lists, and gives them by pages of two.
fn in_pages(server: &ApiServer) {
    let faults = server.faults();
    faults.set_streaming_lists(StreamingLists::Refused);
    faults.set_page_size(2);
}

/// The pages of Nodes that were asked for, first and later ones.
fn pages(server: &ApiServer) -> (usize, usize) {
    let asked = server.faults().requests();
    let lists = asked
        .iter()
        .filter(|it| it.uri.starts_with("/api/v1/nodes?") && it.uri.contains("limit="));
    let (later, first): (Vec<_>, Vec<_>) = lists.partition(|it| it.uri.contains("continue="));
    (first.len(), later.len())
}

#[test]
fn pages_that_take_long_are_waited_for_as_long_as_they_come() {
    with_world(three_nodes(), in_pages, async |mut world| {
        let World { server, follower } = &mut world;
        server.put(node("d", "10.0.4.0/24")).unwrap();
        server.put(node("e", "10.0.5.0/24")).unwrap();
        server.put(node("f", "10.0.6.0/24")).unwrap();
        follower.until(|index| names(index).len() == 6).await;
        let told = follower.events.len();
        // Each takes less than the patience with a listing, and all three take longer.
        server
            .faults()
            .add(nodes_get(Verb::List, 3, Action::Delay { millis: 900 }));
        server.faults().end_watches(Some("nodes"), WatchEnd::Gone);
        server.remove(&nodes(), "", "b");
        follower
            .until(|index| names(index) == ["a", "c", "d", "e", "f"])
            .await;
        assert_eq!(pages(server), (1, 2), "for the five that are left");
        // Nothing was taken away but what is gone, and there was one listing, the whole one.
        let moved = follower.events[told..]
            .iter()
            .filter(|event| !matches!(event, SourceEvent::Health { .. }));
        assert_eq!(moved.count(), 1);
        assert_eq!(follower.status(Kind::Node).failures, 1, "the 410 alone");
    });
}

#[test]
fn a_continue_token_that_expires_between_two_pages_begins_the_listing_again() {
    with_world(three_nodes(), in_pages, async |mut world| {
        let World { server, follower } = &mut world;
        // The second page takes so long that the history is forgotten meanwhile.
        server.faults().add(Rule {
            skip: 1,
            ..nodes_get(Verb::List, 1, Action::Delay { millis: 1500 })
        });
        server.faults().end_watches(Some("nodes"), WatchEnd::Gone);
        while pages(server) != (1, 0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.put(node("d", "10.0.4.0/24")).unwrap();
        server.remove(&nodes(), "", "a");
        server.compact();
        follower
            .until(|index| names(index) == ["b", "c", "d"])
            .await;
        assert_eq!(follower.story(Kind::Node), ["listed a b c", "listed b c d"]);
        let asked = server.faults().requests();
        let expired = |it: &&Logged| it.uri.contains("continue=") && it.code == 410;
        assert_eq!(asked.iter().filter(expired).count(), 1, "{asked:?}");
    });
}

#[test]
fn bookmarks_out_of_order_take_nothing_away_and_bring_nothing_back() {
    with_world(
        three_nodes(),
        |_| {},
        async |mut world| {
            let World { server, follower } = &mut world;
            server.put(node("c", "10.0.9.0/24")).unwrap();
            server.remove(&nodes(), "", "b");
            follower.until(|index| names(index) == ["a", "c"]).await;
            // Older than what was told already; and then that watch ends, so that the next one begins
            // there.
            let faults = server.faults();
            faults.end_watches_late(Some("nodes"), WatchEnd::Close, 1);
            while watches_of_nodes(server) < 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            follower.until_caught_up(server).await;
            assert_eq!(names(&follower.index), ["a", "c", "marker"]);
            assert_eq!(known(&follower.index).nodes["c"].pod_cidrs.len(), 1);
            // What was told twice is what had happened, and nothing was listed again.
            let story = follower.story(Kind::Node);
            let told = [
                "listed a b c",
                "applied c",
                "deleted b",
                "deleted b",
                "applied marker",
            ];
            assert_eq!(story, told);
            assert_eq!(follower.status(Kind::Node).listings, 1);
        },
    );
}
