//! Routes that come together lead to what they lead to one by one, whatever was looked up ahead.

use proptest::prelude::*;
use redstart_bgp::{
    types::Routes,
    wire::{Reach, Said, Update, Updates},
};

use super::*;

/// So few that most windows have one twice, and those that are forgotten are most of the slots now and then.
const FEW: u8 = 48;

/// `None`: withdrawn. Otherwise the AS that the path ends with.
type Change = (Option<u8>, Vec<u8>);

fn update((origin, prefixes): &Change) -> Update {
    let prefixes = prefixes.iter().map(|n| p(&format!("10.{n}.0.0/16")));
    let nlri = list(&prefixes.collect::<Vec<_>>());
    match origin {
        None => Update {
            unreach: vec![nlri],
            ..Update::default()
        },
        Some(origin) => Update {
            reach: vec![Reach {
                attrs: attrs(&[65001, u32::from(*origin) + 1], 1).into(),
                nlri,
            }],
            ..Update::default()
        },
    }
}

fn table(rib: &Rib) -> Vec<(Prefix, Vec<PathAttributes>)> {
    let prefixes = (0..FEW).map(|n| p(&format!("10.{n}.0.0/16")));
    let views = prefixes.filter_map(|prefix| rib.lookup(prefix));
    views
        .map(|view| {
            let attrs = view.paths.iter().map(|path| (*path.attrs).clone());
            (view.prefix, attrs.collect())
        })
        .collect()
}

proptest! {
    #[test]
    fn together_as_one_by_one(
        reads in prop::collection::vec(
            prop::collection::vec(
                (prop::option::of(0..4_u8), prop::collection::vec(0..FEW, 1..12)),
                1..12,
            ),
            1..8,
        ),
    ) {
        let peers = [(1, transit(SessionKind::Ebgp, 1)), (2, transit(SessionKind::Ebgp, 2))];
        let (mut together, mut alone) = (rib(&peers), rib(&peers));
        let mut outcomes = [Vec::new(), Vec::new()];
        for read in &reads {
            let updates: Updates = read.iter().map(update).collect();
            for said in &updates {
                match said {
                    Said::Withdrawn(routes) => {
                        let known = together.withdraw(PeerId(1), routes);
                        outcomes[0].push((known, AnnounceOutcome::default()));
                        let known = alone.withdraw(PeerId(1), &NlriSet::from(routes));
                        outcomes[1].push((known, AnnounceOutcome::default()));
                    }
                    Said::Announced(attrs, routes) => {
                        outcomes[0].push((0, together.announce(PeerId(1), attrs, routes)));
                        // Each by itself, so that nothing is known of the next.
                        let mut sum = AnnounceOutcome::default();
                        for nlri in routes.iter() {
                            let one = alone.announce(PeerId(1), attrs, &list(&[nlri.prefix]));
                            sum.accepted += one.accepted;
                            sum.repeated += one.repeated;
                        }
                        prop_assert!(matches!(routes, Routes::V4(_)));
                        outcomes[1].push((0, sum));
                    }
                    Said::EndOfRib(_) | Said::Malformed(_) => {}
                }
            }
            for rib in [&mut together, &mut alone] {
                rib.resolve_pending(&connected());
                // Whoever has been told of the end holds no slot any more.
                while rib.has_updates(PeerId(2)) {
                    rib.pull(PeerId(2), 7);
                }
                rib.fib();
            }
            prop_assert_eq!(table(&together), table(&alone));
            prop_assert_eq!(together.prefixes(Family::Ipv4Unicast), alone.prefixes(Family::Ipv4Unicast));
        }
        prop_assert_eq!(&outcomes[0], &outcomes[1]);
    }
}
