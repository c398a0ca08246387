//! A walk through the tables meets everything once, in bounded steps.

use super::*;

/// One peer's routes: ten in IPv4, ten in IPv6, and one that was refused.
fn filled() -> Rib {
    let mut rib = rib(&[
        (1, info(SessionKind::Ebgp, 1)),
        (2, info(SessionKind::Ebgp, 2)),
    ]);
    for i in 0..10 {
        rib.learn(1, &format!("10.{i}.0.0/16"), attrs(&[65001], 1));
        rib.learn(2, &format!("2001:db8:{i}::/48"), attrs(&[65002], 2));
    }
    rib.learn(1, "203.0.113.0/24", attrs(&[65001, 64512], 1));
    rib
}

fn everything() -> Vec<Prefix> {
    let v4 = (0..10).map(|i| format!("10.{i}.0.0/16"));
    let v6 = (0..10).map(|i| format!("2001:db8:{i}::/48"));
    let all = v4.chain(["203.0.113.0/24".to_owned()]).chain(v6);
    all.map(|prefix| p(&prefix)).collect()
}

/// The prefixes of a walk in steps, and how many steps that were.
fn walk(rib: &Rib, wanted: &Wanted, slots: usize, most: usize) -> (Vec<Prefix>, usize) {
    let (mut met, mut steps, mut cursor) = (Vec::new(), 0, Some(Cursor::START));
    while let Some(at) = cursor {
        let walked = rib.walk(at, wanted, slots, most);
        assert!(walked.prefixes.len() <= most.min(slots));
        met.extend(walked.prefixes);
        (cursor, steps) = (walked.next, steps + 1);
    }
    (met, steps)
}

#[test]
fn every_prefix_is_met_once_whatever_the_steps() {
    let rib = filled();
    for (slots, most) in [(1, 1), (3, 2), (4, 100), (100, 4), (11, 11), (100, 100)] {
        let (mut met, steps) = walk(&rib, &Wanted::default(), slots, most);
        met.sort_unstable();
        assert_eq!(met, everything(), "{slots} {most}");
        let at_least = 11_usize.div_ceil(slots.min(most)) + 10_usize.div_ceil(slots.min(most));
        assert!(steps >= at_least, "{slots} {most}: {steps} steps");
    }
    assert_eq!(
        walk(&rib, &Wanted::default(), 100, 100),
        (everything(), 2),
        "in order within a step"
    );
}

#[test]
fn what_comes_and_goes_on_the_way_does_not_disturb_what_stays() {
    let mut rib = filled();
    let first = rib.walk(Cursor::START, &Wanted::default(), 5, 5);
    for i in 0..3 {
        rib.withdraw(PeerId(1), &nlri(&format!("10.{i}.0.0/16")));
        rib.learn(1, &format!("192.0.{i}.0/24"), attrs(&[65001], 1));
    }
    let mut met = first.prefixes;
    let mut cursor = first.next;
    while let Some(at) = cursor {
        let walked = rib.walk(at, &Wanted::default(), 5, 5);
        met.extend(walked.prefixes);
        cursor = walked.next;
    }
    for stays in everything()
        .into_iter()
        .filter(|prefix| *prefix > p("10.2.0.0/16"))
    {
        assert_eq!(
            met.iter().filter(|met| **met == stays).count(),
            1,
            "{stays}"
        );
    }
}

#[test]
fn what_a_slot_tells_is_asked_there() {
    let rib = filled();
    let met = |wanted: Wanted| walk(&rib, &wanted, 100, 100).0;
    let all = everything();
    let v6 = Some(Family::Ipv6Unicast);
    assert_eq!(
        met(Wanted {
            family: v6,
            ..Wanted::default()
        }),
        all[11..]
    );
    let within = Some(p("10.0.0.0/14"));
    assert_eq!(
        met(Wanted {
            within,
            ..Wanted::default()
        }),
        all[..4]
    );
    assert_eq!(
        met(Wanted {
            within,
            family: v6,
            ..Wanted::default()
        }),
        []
    );
}

#[test]
fn whose_paths_and_which_of_them_is_asked_there_too() {
    let rib = filled();
    let met = |wanted: Wanted| walk(&rib, &wanted, 100, 100).0;
    let all = everything();
    let refused = Wanted {
        refused: true,
        ..Wanted::default()
    };
    assert_eq!(met(refused), [p("203.0.113.0/24")]);
    let from = |n| {
        let peers = vec![PeerId(n)];
        Some(Sources {
            peers,
            local: false,
        })
    };
    assert_eq!(
        met(Wanted {
            from: from(2),
            ..Wanted::default()
        }),
        all[11..]
    );
    assert_eq!(
        met(Wanted {
            from: from(7),
            ..Wanted::default()
        }),
        []
    );
    let of_one = Wanted {
        from: from(2),
        refused: true,
        ..Wanted::default()
    };
    assert_eq!(met(of_one), []);
    let local = Some(Sources {
        peers: Vec::new(),
        local: true,
    });
    assert_eq!(
        met(Wanted {
            from: local,
            ..Wanted::default()
        }),
        []
    );
}
