//! What the index makes of the order of events.

use super::*;

fn good_peer(name: &str) -> Observed {
    peer(name, &json!({ "address": "192.0.2.1", "asn": 64601 }))
}

fn bad_peer(name: &str) -> Observed {
    peer(name, &json!({ "address": "192.0.2.1", "asn": 0 }))
}

#[test]
fn an_index_is_complete_when_every_kind_was_listed() {
    let mut index = Index::new();
    index.apply(SourceEvent::Applied(good_peer("a")));
    for kind in Kind::ALL {
        assert_eq!(index.complete(), None);
        assert!(index.apply(listed(kind, Vec::new())));
    }
    assert!(index.complete().is_some());
}

#[test]
fn only_a_change_is_a_change() {
    let mut index = complete_index();
    assert!(index.apply(SourceEvent::Applied(good_peer("a"))));
    assert!(!index.apply(SourceEvent::Applied(good_peer("a"))));
    assert!(!index.apply(listed(Kind::BgpPeer, vec![good_peer("a")])));
    assert!(index.apply(SourceEvent::Applied(bad_peer("a"))));
    assert!(!index.apply(SourceEvent::Applied(bad_peer("a"))));
    let key = ObjectKey::cluster(Kind::BgpPeer, "a");
    assert!(index.apply(SourceEvent::Deleted(key.clone())));
    assert!(!index.apply(SourceEvent::Deleted(key)));
}

#[test]
fn a_relist_takes_away_what_it_does_not_hold() {
    let mut index = complete_index();
    index.apply(listed(Kind::BgpPeer, vec![good_peer("a"), bad_peer("b")]));
    assert!(index.apply(listed(Kind::BgpPeer, vec![good_peer("c")])));
    let peers = &index.complete().unwrap().peers;
    assert_eq!(peers.keys().collect::<Vec<_>>(), ["c"]);
    assert_eq!(index.problems().count(), 0);
}

#[test]
fn the_last_good_version_survives_a_relist_and_dies_with_the_object() {
    let mut index = complete_index();
    index.apply(SourceEvent::Applied(good_peer("a")));
    index.apply(listed(Kind::BgpPeer, vec![bad_peer("a")]));
    let asn = |index: &Index| {
        index
            .complete()
            .unwrap()
            .peers
            .get("a")
            .map(|p| p.remote_as)
    };
    assert_eq!(asn(&index), Some(RemoteAs::Number(Asn(64601))));
    assert_eq!(index.problems().count(), 1);
    let unreadable = Observed::unreadable(ObjectKey::cluster(Kind::BgpPeer, "a"), "no");
    index.apply(SourceEvent::Applied(unreadable));
    assert!(asn(&index).is_some());
    index.apply(SourceEvent::Deleted(ObjectKey::cluster(Kind::BgpPeer, "a")));
    assert_eq!(asn(&index), None);
    assert_eq!(index.problems().count(), 0);
}

#[test]
fn problems_of_a_place_are_replaced_and_taken_back() {
    let mut index = complete_index();
    let problem = bad_peer("a").problems;
    let say = |problems: &[Diagnostic]| SourceEvent::Problems {
        origin: "a.yaml".to_owned(),
        problems: problems.to_vec(),
    };
    assert!(index.apply(say(&problem)));
    assert!(!index.apply(say(&problem)));
    assert_eq!(index.problems().count(), 1);
    assert!(index.apply(say(&[])));
    assert_eq!(index.problems().count(), 0);
}

#[test]
fn health_is_kept_and_changes_nothing() {
    let mut index = complete_index();
    assert_eq!(index.health(Kind::Node), Health::Starting);
    let health = Health::Retrying {
        error: "timeout".to_owned(),
    };
    let kind = Kind::Node;
    assert!(!index.apply(SourceEvent::Health {
        kind,
        health: health.clone()
    }));
    assert_eq!(index.health(Kind::Node), health);
}
