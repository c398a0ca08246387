use serde_json::{Value, json};

use super::*;
use crate::source::kube::take_in;

fn peer(name: &str, secret: Option<&str>) -> Observed {
    let secret = secret.map(|secret| json!({"name": secret}));
    let mut spec = json!({"address": "192.0.2.1", "asn": 64999});
    if let Some(secret) = secret {
        spec["passwordSecretRef"] = secret;
    }
    take_in(
        Kind::BgpPeer,
        json!({"metadata": {"name": name}, "spec": spec}),
    )
}

fn secret(name: &str, password: &str) -> Observed {
    let metadata = json!({"name": name, "namespace": "redstart-system"});
    let object: Value = json!({"metadata": metadata, "stringData": {"password": password}});
    take_in(Kind::Secret, object)
}

fn listing(kind: Kind, objects: Vec<Observed>) -> SourceEvent {
    SourceEvent::Restarted { kind, objects }
}

fn names(secrets: &Secrets) -> Vec<String> {
    secrets.wanted().into_iter().collect()
}

/// Follows what is wanted, as `relay` does.
fn follow_wanted(secrets: &mut Secrets) {
    for name in secrets.wanted() {
        secrets.known.entry(name).or_default();
    }
}

#[test]
fn the_listing_is_told_when_every_secret_that_is_named_has_answered() {
    let mut secrets = Secrets::default();
    let mut told = Batch::new();
    secrets.note(&listing(
        Kind::BgpPeer,
        vec![peer("a", Some("x")), peer("b", Some("y"))],
    ));
    follow_wanted(&mut secrets);
    assert_eq!(names(&secrets), ["x", "y"]);
    let x = secret("x", "one");
    let answer = listing(Kind::Secret, vec![x.clone()]);
    assert_eq!(secrets.answer("x", answer), None);
    let none = listing(Kind::Secret, Vec::new());
    assert_eq!(secrets.answer("y", none), None);
    secrets.tell(&mut told);
    assert_eq!(told, [], "the configuration may name one more");
    secrets.note(&listing(Kind::BgpConfiguration, Vec::new()));
    secrets.tell(&mut told);
    assert_eq!(told, [listing(Kind::Secret, vec![x.clone()])]);

    // Afterwards only differences are told, also when a watch lists again.
    assert_eq!(secrets.answer("x", listing(Kind::Secret, vec![x])), None);
    let other = secret("x", "two");
    let changed = secrets.answer("x", listing(Kind::Secret, vec![other.clone()]));
    assert_eq!(changed, Some(SourceEvent::Applied(other.clone())));
    let gone = secrets.answer("x", listing(Kind::Secret, Vec::new()));
    assert_eq!(gone, Some(SourceEvent::Deleted(other.key)));
}

#[test]
fn a_secret_that_answers_with_errors_is_not_waited_for_for_ever() {
    let mut secrets = Secrets::default();
    secrets.note(&listing(Kind::BgpConfiguration, Vec::new()));
    assert!(!secrets.is_waiting());
    let peers = vec![peer("a", Some("x")), peer("b", Some("y"))];
    secrets.note(&listing(Kind::BgpPeer, peers));
    follow_wanted(&mut secrets);
    let failing = |words: &str| SourceEvent::Health {
        kind: Kind::Secret,
        health: Health::Retrying {
            error: words.to_owned(),
        },
    };
    let y = secret("y", "one");
    secrets.answer("y", listing(Kind::Secret, vec![y.clone()]));
    assert_eq!(secrets.answer("x", failing("500")), None);
    let mut told = Batch::new();
    secrets.tell(&mut told);
    assert!(secrets.is_waiting());
    secrets.give_up();
    secrets.tell(&mut told);
    assert!(!secrets.is_waiting());
    let unread = Observed::unread("x", Reason::Unreadable, "500");
    let all = listing(Kind::Secret, vec![unread, y]);
    assert!(told.contains(&all), "{told:?}");
    // Other words are no news; the object is.
    assert_eq!(secrets.answer("x", failing("503")), None);
    let x = secret("x", "one");
    let read = secrets.answer("x", listing(Kind::Secret, vec![x.clone()]));
    assert_eq!(read, Some(SourceEvent::Applied(x)));

    // Later on, what names one that cannot be read goes its way, and so does what is known of it.
    secrets.note(&SourceEvent::Applied(peer("b", Some("z"))));
    follow_wanted(&mut secrets);
    let unread = Observed::unread("z", Reason::Unreadable, "500");
    let told = secrets.answer("z", failing("500"));
    assert_eq!(told, Some(SourceEvent::Applied(unread)));
}

#[test]
fn a_secret_is_followed_for_one_version_longer_than_it_is_named() {
    let mut secrets = Secrets::default();
    secrets.note(&SourceEvent::Applied(peer("a", Some("x"))));
    secrets.note(&SourceEvent::Applied(peer("a", Some("y"))));
    assert_eq!(names(&secrets), ["x", "y"]);
    // What cannot be used leaves everything as it is; what says the same again does too.
    let mut bad = peer("a", Some("z"));
    bad.object = None;
    secrets.note(&SourceEvent::Applied(bad));
    secrets.note(&SourceEvent::Applied(peer("a", Some("y"))));
    assert_eq!(names(&secrets), ["x", "y"]);
    secrets.note(&SourceEvent::Applied(peer("a", None)));
    assert_eq!(names(&secrets), ["y"]);
    secrets.note(&SourceEvent::Deleted(peer("a", None).key));
    assert!(names(&secrets).is_empty());
}

#[test]
fn a_secret_that_may_not_be_read_is_an_answer_and_can_become_another_one() {
    let mut secrets = Secrets::default();
    secrets.note(&listing(Kind::BgpConfiguration, Vec::new()));
    let peers = vec![peer("a", Some("x")), peer("b", Some("y"))];
    secrets.note(&listing(Kind::BgpPeer, peers));
    follow_wanted(&mut secrets);
    let (refused, y) = (
        Observed::unread("x", Reason::SecretForbidden, "forbidden"),
        secret("y", "one"),
    );
    let refusal = SourceEvent::Applied(refused.clone());
    assert_eq!(secrets.answer("x", refusal.clone()), None);
    assert_eq!(
        secrets.answer("y", listing(Kind::Secret, vec![y.clone()])),
        None
    );
    let mut told = Batch::new();
    secrets.tell(&mut told);
    assert_eq!(told, [listing(Kind::Secret, vec![refused, y.clone()])]);
    // It is asked again and again: the same answer is no news.
    assert_eq!(secrets.answer("x", refusal.clone()), None);
    let x = secret("x", "one");
    let allowed = secrets.answer("x", listing(Kind::Secret, vec![x.clone()]));
    assert_eq!(allowed, Some(SourceEvent::Applied(x)));
    assert_eq!(secrets.answer("x", refusal.clone()), Some(refusal));
}

#[test]
fn what_waits_for_a_secret_holds_up_nothing_else() {
    let mut held = Held::default();
    let (start, later) = (Instant::now(), Instant::now() + Duration::from_secs(1));
    let node = take_in(Kind::Node, json!({"metadata": {"name": "n1"}}));
    let node = SourceEvent::Applied(node);
    let peer = |name| SourceEvent::Applied(peer(name, Some("x")));
    let gone = SourceEvent::Deleted(ObjectKey::cluster(Kind::BgpPeer, "b"));
    let batch = vec![peer("a"), node.clone()];
    assert_eq!(held.take_in(start, batch), std::slice::from_ref(&node));
    // Later ones keep their order among each other, and have their own time.
    let batch = vec![peer("b"), node.clone(), gone.clone()];
    assert_eq!(held.take_in(later, batch), [node]);
    assert!(held.has_room());
    assert_eq!(held.until, Some(start + PATIENCE));
    assert_eq!(held.let_go(later), [peer("a")]);
    assert_eq!(held.until, Some(later + PATIENCE));
    assert_eq!(held.take_in(later + PATIENCE, vec![peer("c")]), []);
    assert_eq!(held.let_all_go(), [peer("b"), gone, peer("c")]);
    assert!(held.is_empty() && held.until.is_none());
    let many = (0..=MOST_BEHIND).map(|_| peer("a")).collect();
    held.take_in(start, vec![peer("a")]);
    held.take_in(later, many);
    assert!(!held.has_room(), "the watches wait for room");
}

#[test]
fn health_is_that_of_the_worst() {
    let mut secrets = Secrets::default();
    for kind in [Kind::BgpPeer, Kind::BgpConfiguration] {
        secrets.note(&listing(kind, Vec::new()));
    }
    let mut told = Batch::new();
    secrets.tell(&mut told);
    let health = |health| SourceEvent::Health {
        kind: Kind::Secret,
        health,
    };
    let nothing_to_see = [listing(Kind::Secret, Vec::new()), health(Health::Synced)];
    assert_eq!(told, nothing_to_see);
    secrets.note(&SourceEvent::Applied(peer("a", Some("x"))));
    follow_wanted(&mut secrets);
    assert!(!secrets.is_settled());
    let forbidden = Health::Retrying {
        error: "forbidden".to_owned(),
    };
    secrets.answer("x", health(forbidden.clone()));
    assert!(secrets.is_settled());
    told.clear();
    secrets.tell(&mut told);
    assert_eq!(told, [health(forbidden)]);
}
