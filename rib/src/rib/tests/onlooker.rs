//! An observer in the model: what it was shown adds up to the tables, however little it looks.

use std::collections::BTreeMap;

use super::{naive::Naive, *};

type Table = BTreeMap<(Prefix, u32), PathAttributes>;

/// What an observer knows, by table and peer.
pub(super) struct Onlooker {
    id: ObserverId,
    known: BTreeMap<(View, Option<u32>), Table>,
    /// Whether it was shown everything once.
    complete: bool,
}

impl Onlooker {
    pub(super) fn new(rib: &mut Rib) -> Self {
        Self {
            id: rib.observe(View::ALL.into_iter().collect()),
            known: BTreeMap::new(),
            complete: false,
        }
    }

    /// The session with a peer begins or ends: nothing that was shown of it counts any more.
    pub(super) fn session_changes(&mut self, peer: u32) {
        self.known.retain(|(_, of), _| *of != Some(peer));
    }

    /// Takes what there is, once.
    pub(super) fn look(&mut self, rib: &mut Rib, max: usize) -> bool {
        let observed = rib.observed(self.id, max).unwrap();
        assert!(!observed.lost);
        assert!(!(observed.complete && self.complete), "once");
        self.complete |= observed.complete;
        for seen in observed.seen {
            let peer = seen.peer.map(|peer| peer.0);
            assert_eq!(peer.is_none(), seen.view == View::LocRib);
            let came = seen.attrs.is_some() && seen.view != View::AdjRibOutPost;
            assert_eq!(seen.since.is_some(), came);
            let table = self.known.entry((seen.view, peer)).or_default();
            for nlri in seen.routes.iter() {
                let key = (nlri.prefix, nlri.path_id.0);
                match &seen.attrs {
                    Some(attrs) => _ = table.insert(key, PathAttributes::clone(attrs)),
                    None => _ = table.remove(&key),
                }
            }
        }
        observed.more
    }

    fn knows(&self, view: View, peer: Option<u32>) -> Table {
        let known = self.known.get(&(view, peer));
        known.cloned().unwrap_or_default()
    }

    /// At rest, it knows what there is.
    pub(super) fn check(
        &mut self,
        rib: &mut Rib,
        naive: &Naive,
        told: &BTreeMap<u32, Table>,
        prefixes: &[Prefix],
    ) {
        while self.look(rib, 2) {}
        assert!(self.complete);
        let views: Vec<_> = prefixes.iter().filter_map(|p| rib.lookup(*p)).collect();
        let best = views.iter().filter_map(|view| {
            let best = view.best()?;
            Some(((view.prefix, 0), PathAttributes::clone(&best.attrs)))
        });
        assert_eq!(self.knows(View::LocRib, None), best.collect());
        for (peer, state) in naive.peers.iter().filter(|(_, state)| state.up) {
            let said = state.routes.iter().filter(|(_, held)| !held.stale);
            let pre = said.map(|(key, held)| {
                let attrs = crate::import::normalize(&state.info, &held.attrs);
                (*key, attrs.into_owned())
            });
            assert_eq!(self.knows(View::AdjRibInPre, Some(*peer)), pre.collect());
            let post = views.iter().flat_map(|view| {
                let paths = view.paths.iter().filter(|path| {
                    let refused = matches!(path.not_best, Some(NotBest::Refused(_)));
                    path.source == PathSource::Peer(PeerId(*peer)) && !path.stale && !refused
                });
                paths.map(|path| {
                    let key = (view.prefix, path.path_id.0);
                    (key, PathAttributes::clone(&path.attrs))
                })
            });
            assert_eq!(self.knows(View::AdjRibInPost, Some(*peer)), post.collect());
            let out = self.knows(View::AdjRibOutPost, Some(*peer));
            assert_eq!(out, told.get(peer).cloned().unwrap_or_default());
        }
    }
}

fn all() -> Views {
    View::ALL.into_iter().collect()
}

#[test]
fn who_looks_away_too_long_begins_anew() {
    let mut rib = rib(&[(1, info(SessionKind::Ebgp, 1))]);
    let id = rib.observe(all());
    while rib.observed(id, 100).unwrap().more {}
    assert_eq!(rib.take_ready_observers(), [id; 0]);
    for n in 0..=1_u32 << 12 {
        let [a, b, c, d] = (n << 8).to_be_bytes();
        rib.learn(1, &format!("{}.{b}.{c}.{d}/24", a + 20), attrs(&[65001], 1));
    }
    assert_eq!(rib.take_ready_observers(), [id]);
    let observed = rib.observed(id, 100).unwrap();
    assert!(observed.lost && !observed.more && observed.seen.is_empty());
    rib.forget_observer(id);
    assert_eq!(rib.observed(id, 100), None);
}

#[test]
fn ends_are_told_behind_what_they_are_the_end_of() {
    let mut rib = rib(&[(1, info(SessionKind::Ebgp, 1))]);
    let id = rib.observe(all());
    while rib.observed(id, 100).unwrap().more {}
    for n in 0..10 {
        rib.learn(1, &format!("10.{n}.0.0/16"), attrs(&[65001], 1));
    }
    rib.end_of_rib(PeerId(1), Family::Ipv4Unicast);
    let first = rib.observed(id, 3).unwrap();
    assert!(first.more && first.ends.is_empty());
    let last = rib.observed(id, 1000).unwrap();
    assert_eq!(last.ends, [(PeerId(1), Family::Ipv4Unicast)]);
    assert!(!last.more);
}

#[test]
fn routes_with_the_same_attributes_are_shown_together() {
    let mut rib = rib(&[(1, info(SessionKind::Ebgp, 1))]);
    for n in 0..10 {
        rib.learn(1, &format!("10.{n}.0.0/16"), attrs(&[65001], 1));
    }
    let id = rib.observe([View::LocRib].into_iter().collect());
    let observed = rib.observed(id, 1000).unwrap();
    assert_eq!(observed.seen.len(), 1);
    assert_eq!(observed.seen[0].routes.len(), 10);
}
