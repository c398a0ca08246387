use proptest::prelude::*;

use super::*;

fn base() -> Candidate {
    Candidate {
        local: false,
        long_lived_stale: false,
        local_pref: 100,
        aigp: Some(1000),
        path_len: 2,
        origin: Origin::Igp,
        neighbor_as: 65001,
        med: 0,
        ebgp: true,
        igp_metric: 10,
        router_id: 1,
        cluster_len: 0,
        peer_addr: [10, 0, 0, 1].into(),
        peer: 1,
        path_id: 0,
    }
}

/// `better` beats `worse` in `step`, in either order of arrival, although `worse` is better in
/// everything that comes later.
fn decides(step: Step, better: Candidate, worse: Candidate) {
    for (list, best) in [([better, worse], 0), ([worse, better], 1)] {
        let ranking = rank(&list);
        assert_eq!(ranking[0].index, best, "{step}");
        assert_eq!(lost(&list, &ranking, 1), Some((step, best)));
        assert_eq!(lost(&list, &ranking, 0), None);
        let sharing = multipath(&list, &ranking, 8);
        assert_eq!(sharing, if step.breaks_ties() { 2 } else { 1 }, "{step}");
    }
}

/// As good as it gets in every step after `step`, so that only `step` can decide against it.
fn strong_after(step: Step) -> Candidate {
    let mut c = base();
    for later in Step::ALL.into_iter().filter(|s| *s > step) {
        match later {
            Step::Local | Step::LongLivedStale | Step::Ebgp => {}
            Step::LocalPref => c.local_pref = 999,
            Step::Aigp => c.aigp = Some(0),
            Step::AsPath => c.path_len = 0,
            Step::Origin => c.origin = Origin::Igp,
            Step::Med => c.med = 0,
            Step::IgpMetric => c.igp_metric = 0,
            Step::RouterId => c.router_id = 0,
            Step::ClusterList => c.cluster_len = 0,
            Step::PeerAddress => (c.peer_addr, c.peer) = ([1, 0, 0, 1].into(), 0),
            Step::PathId => c.path_id = 0,
        }
    }
    c
}

/// As bad as it gets in every step after `step`.
fn weak_after(step: Step) -> Candidate {
    let mut c = base();
    for later in Step::ALL.into_iter().filter(|s| *s > step) {
        match later {
            Step::Local => {}
            Step::LongLivedStale => c.long_lived_stale = true,
            Step::LocalPref => c.local_pref = 1,
            Step::Aigp => c.aigp = None,
            Step::AsPath => c.path_len = 99,
            Step::Origin => c.origin = Origin::Incomplete,
            Step::Med => c.med = 99,
            Step::Ebgp => c.ebgp = false,
            Step::IgpMetric => c.igp_metric = 99,
            Step::RouterId => c.router_id = 99,
            Step::ClusterList => c.cluster_len = 99,
            Step::PeerAddress => (c.peer_addr, c.peer) = ([99, 0, 0, 1].into(), 99),
            Step::PathId => c.path_id = 99,
        }
    }
    c
}

fn step_decides(step: Step, improve: impl Fn(&mut Candidate), worsen: impl Fn(&mut Candidate)) {
    let (mut better, mut worse) = (weak_after(step), strong_after(step));
    improve(&mut better);
    worsen(&mut worse);
    decides(step, better, worse);
}

#[test]
fn a_local_route_wins() {
    step_decides(Step::Local, |c| c.local = true, |_| {});
}

#[test]
fn what_is_stale_for_long_is_the_last_resort() {
    step_decides(
        Step::LongLivedStale,
        |_| {},
        |c| (c.long_lived_stale, c.local_pref) = (true, 999),
    );
}

#[test]
fn higher_local_pref_wins() {
    step_decides(
        Step::LocalPref,
        |c| c.local_pref = 200,
        |c| c.local_pref = 199,
    );
}

#[test]
fn shorter_as_path_wins() {
    step_decides(Step::AsPath, |c| c.path_len = 1, |c| c.path_len = 2);
}

#[test]
fn lower_origin_wins() {
    step_decides(Step::Origin, |_| {}, |c| c.origin = Origin::Egp);
}

#[test]
fn lower_med_wins_within_one_neighbouring_as() {
    step_decides(Step::Med, |c| c.med = 5, |c| c.med = 6);
}

#[test]
fn med_of_different_neighbouring_ases_is_not_compared() {
    let a = Candidate {
        neighbor_as: 65002,
        med: 500,
        router_id: 1,
        ..base()
    };
    let b = Candidate {
        med: 5,
        router_id: 2,
        ..base()
    };
    decides(Step::RouterId, a, b);
}

#[test]
fn ebgp_wins_over_ibgp() {
    step_decides(Step::Ebgp, |c| c.ebgp = true, |c| c.ebgp = false);
}

#[test]
fn lower_igp_metric_wins() {
    step_decides(Step::IgpMetric, |c| c.igp_metric = 3, |c| c.igp_metric = 4);
}

#[test]
fn lower_router_id_wins() {
    step_decides(Step::RouterId, |c| c.router_id = 3, |c| c.router_id = 4);
}

#[test]
fn shorter_cluster_list_wins() {
    step_decides(
        Step::ClusterList,
        |c| c.cluster_len = 1,
        |c| c.cluster_len = 2,
    );
}

#[test]
fn lower_peer_address_wins() {
    step_decides(
        Step::PeerAddress,
        |c| c.peer_addr = [10, 0, 0, 9].into(),
        |c| c.peer_addr = [10, 0, 0, 10].into(),
    );
}

#[test]
fn one_address_on_two_links_is_told_apart() {
    step_decides(Step::PeerAddress, |c| c.peer = 4, |c| c.peer = 5);
}

#[test]
fn lower_path_identifier_wins() {
    step_decides(Step::PathId, |c| c.path_id = 1, |c| c.path_id = 2);
}

/// The case that makes comparison by pairs depend on the order of arrival: A beats B by router id,
/// B beats C by metric, C beats A by MED.
#[test]
fn med_does_not_make_the_outcome_depend_on_arrival() {
    let a = Candidate {
        neighbor_as: 1,
        med: 10,
        igp_metric: 5,
        router_id: 1,
        ..base()
    };
    let b = Candidate {
        neighbor_as: 2,
        med: 0,
        igp_metric: 5,
        router_id: 2,
        ..base()
    };
    let c = Candidate {
        neighbor_as: 1,
        med: 0,
        igp_metric: 9,
        router_id: 3,
        ..base()
    };
    for (list, best) in [
        ([a, b, c], 1),
        ([c, a, b], 2),
        ([b, c, a], 0),
        ([c, b, a], 1),
    ] {
        let ranking = rank(&list);
        assert_eq!(ranking[0].index, best);
        let place = ranking.iter().position(|r| list[r.index] == a).unwrap();
        let (step, to) = lost(&list, &ranking, place).unwrap();
        assert_eq!((step, list[to]), (Step::Med, c), "A is out because of C");
    }
}

#[test]
fn multipath_shares_between_neighbouring_ases_up_to_the_limit() {
    let list: Vec<Candidate> = (1..=4)
        .map(|i| Candidate {
            neighbor_as: i,
            router_id: i,
            peer: i,
            ..base()
        })
        .collect();
    let ranking = rank(&list);
    assert_eq!(multipath(&list, &ranking, 16), 4);
    assert_eq!(multipath(&list, &ranking, 3), 3);
    assert_eq!(
        multipath(&list, &ranking, 0),
        1,
        "the best one always counts"
    );
    assert_eq!(multipath(&[], &[], 4), 0);
}

fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let one = (
        (prop::bool::weighted(0.05), 0..3_u32, 0..3_u16, 0..2_u8),
        (0..3_u32, 0..3_u32, any::<bool>(), 0..2_u32),
        (0..3_u32, 0..2_u16, 0..2_u8),
        prop::option::of(0..3_u64),
    );
    let all = prop::collection::vec(one, 0..8);
    all.prop_map(|list| {
        let made = list
            .into_iter()
            .zip(0..)
            .map(|((a, b, c, aigp), peer)| Candidate {
                local: a.0,
                long_lived_stale: a.1 == 0 && b.0 == 0,
                local_pref: a.1,
                aigp,
                path_len: a.2,
                origin: if a.3 == 0 {
                    Origin::Igp
                } else {
                    Origin::Incomplete
                },
                neighbor_as: b.0,
                med: b.1,
                ebgp: b.2,
                igp_metric: b.3,
                router_id: c.0,
                cluster_len: c.1,
                peer_addr: [10, 0, 0, c.2].into(),
                peer,
                path_id: 0,
            });
        made.collect()
    })
}

/// Makes them equal in all that counts before MED.
fn level(list: &mut [Candidate]) {
    let Some(first) = list.first().copied() else {
        return;
    };
    for c in list {
        (c.local, c.long_lived_stale, c.local_pref) = (false, false, first.local_pref);
        (c.aigp, c.path_len, c.origin) = (first.aigp, first.path_len, first.origin);
    }
}

/// RFC 4271 section 9.1.2.2 as it is written: remove, step by step.
fn by_elimination(list: &[Candidate]) -> Option<Candidate> {
    let mut left = list.to_vec();
    let keep = |left: &mut Vec<Candidate>, key: &dyn Fn(&Candidate) -> i64| {
        let best = left.iter().map(key).min();
        left.retain(|c| Some(key(c)) == best);
    };
    keep(&mut left, &|c| -i64::from(c.local));
    keep(&mut left, &|c| i64::from(c.long_lived_stale));
    keep(&mut left, &|c| -i64::from(c.local_pref));
    // RFC 7311 section 4.1.
    keep(&mut left, &|c| i64::from(c.aigp.is_none()));
    keep(&mut left, &|c| c.aigp.map_or(0, u64::cast_signed));
    keep(&mut left, &|c| c.path_len.into());
    keep(&mut left, &|c| c.origin as i64);
    let all = left.clone();
    left.retain(|m| {
        !all.iter()
            .any(|n| n.neighbor_as == m.neighbor_as && n.med < m.med)
    });
    keep(&mut left, &|c| -i64::from(c.ebgp));
    keep(&mut left, &|c| c.igp_metric.into());
    keep(&mut left, &|c| c.router_id.into());
    keep(&mut left, &|c| c.cluster_len.into());
    left.sort_by_key(|c| (c.peer_addr, c.peer, c.path_id));
    left.first().copied()
}

proptest! {
    #[test]
    fn the_best_is_what_elimination_leaves(list in candidates()) {
        let best = rank(&list).first().map(|r| list[r.index]);
        prop_assert_eq!(best, by_elimination(&list));
    }

    #[test]
    fn the_order_does_not_depend_on_arrival(list in candidates(), turn in 0..8_usize) {
        let order = |list: &[Candidate]| -> Vec<Candidate> {
            rank(list).iter().map(|r| list[r.index]).collect()
        };
        let mut other = list.clone();
        other.reverse();
        let turn = turn % other.len().max(1);
        other.rotate_left(turn);
        prop_assert_eq!(order(&list), order(&other));
    }

    /// One after the other, each among those that are ranked already, comes to what all at once do. Where MED
    /// is the same for all, nobody has to look at the whole set.
    #[test]
    fn joining_one_by_one_is_ranking_all(
        list in candidates(),
        same_med in any::<bool>(),
        same_head in prop::bool::weighted(0.75),
        max_paths in 1..4_usize,
    ) {
        let mut list = list;
        if same_head {
            level(&mut list);
        }
        if same_med {
            list.iter_mut().for_each(|c| c.med = 0);
        }
        let (mut ranked, mut sharing) = (Vec::new(), 0);
        for new in list {
            let joined = join(&new, ranked.len(), |at| ranked.get(at).copied(), (sharing, max_paths));
            prop_assert!(joined.is_some() || !same_med);
            let all: Vec<_> = ranked.iter().copied().chain([new]).collect();
            let ranking = rank(&all);
            sharing = multipath(&all, &ranking, max_paths);
            let as_all: Vec<_> = ranking.iter().map(|r| all[r.index]).collect();
            if let Some(joined) = joined {
                ranked.insert(joined.place, new);
                prop_assert_eq!(&ranked, &as_all);
                prop_assert_eq!(joined.sharing, sharing);
            }
            ranked = as_all;
        }
    }

    /// One after the other, each from among those that are left, comes to ranking those that are left. Where MED
    /// is the same for all, nobody has to look at the whole set.
    #[test]
    fn leaving_one_by_one_is_ranking_the_rest(
        list in candidates(),
        same_med in any::<bool>(),
        same_head in prop::bool::weighted(0.75),
        turns in prop::collection::vec(0..8_usize, 8),
        max_paths in 0..4_usize,
    ) {
        let mut list = list;
        if same_head {
            level(&mut list);
        }
        if same_med {
            list.iter_mut().for_each(|c| c.med = 0);
        }
        let in_order = |list: &[Candidate]| {
            let ranking = rank(list);
            let sharing = multipath(list, &ranking, max_paths);
            (ranking.iter().map(|r| list[r.index]).collect::<Vec<_>>(), sharing)
        };
        let (mut ranked, mut sharing) = in_order(&list);
        for turn in turns {
            if ranked.is_empty() {
                break;
            }
            let place = turn % ranked.len();
            let gone = ranked.remove(place);
            let left = leave(
                (&gone, place),
                ranked.len(),
                |at| ranked.get(at).copied(),
                (sharing, max_paths),
            );
            prop_assert!(left.is_some() || !same_med);
            let anew = in_order(&ranked);
            if let Some(left) = left {
                prop_assert_eq!(&ranked, &anew.0);
                prop_assert_eq!(left, anew.1);
            }
            (ranked, sharing) = anew;
        }
    }

    /// Given which paths MED removed, the comparison is antisymmetric, transitive and total.
    #[test]
    fn comparison_is_a_total_order(list in candidates()) {
        let ranking = rank(&list);
        let cmp = |a: Ranked, b: Ranked| {
            first_difference(&list, a, b).map_or(Ordering::Equal, |(_, o)| o)
        };
        for &a in &ranking {
            for &b in &ranking {
                prop_assert_eq!(compare(&list, a, b), cmp(a, b), "as the reason that is shown");
                prop_assert_eq!(cmp(a, b), cmp(b, a).reverse());
                prop_assert_eq!(cmp(a, b).is_eq(), a == b, "no two paths are equal");
                for &c in &ranking {
                    if cmp(a, b).is_lt() && cmp(b, c).is_lt() {
                        prop_assert!(cmp(a, c).is_lt());
                    }
                }
            }
        }
    }

    /// The path that is named as the winner is better in the step that is named.
    #[test]
    fn the_reason_is_true(list in candidates()) {
        let ranking = rank(&list);
        for place in 1..ranking.len() {
            let (step, to) = lost(&list, &ranking, place).unwrap();
            let (loser, winner) = (list[ranking[place].index], list[to]);
            prop_assert_eq!(compare_head(&winner, &loser).is_lt(), step < Step::Med);
            match step {
                Step::Med => prop_assert!(
                    winner.med < loser.med && winner.neighbor_as == loser.neighbor_as
                ),
                _ => prop_assert!(compare_step(step, &winner, &loser).is_lt()),
            }
        }
    }
}
