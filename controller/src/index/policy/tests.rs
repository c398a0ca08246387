//! A directory of manifests has no API server in front of it: what is wrong is found here too.

use serde_json::{Value, json};

use super::*;

fn observed(rule: &Value) -> Observed {
    let object = json!({
        "apiVersion": "redstart.dev/v1alpha1", "kind": "BGPPolicy",
        "metadata": { "name": "p" }, "spec": { "rules": [{ "action": "Next" }, rule] },
    });
    Observed::from(&serde_json::from_value::<BGPPolicy>(object).unwrap())
}

#[track_caller]
fn refused(rule: &Value, field: &str, reason: Reason) {
    let observed = observed(rule);
    let said = observed
        .problems
        .iter()
        .map(|p| (p.field.clone(), p.reason));
    let expected = (format!("spec.rules[1].{field}"), reason);
    assert_eq!(said.collect::<Vec<_>>(), [expected], "{rule}");
    assert_eq!(observed.object, None, "its last good version stays");
}

#[test]
fn a_match_that_means_nothing_is_named_with_its_place() {
    let matching = |what: Value| json!({ "action": "Accept", "match": what });
    let prefixes = |range: Value| matching(json!({ "prefixes": [range] }));
    let path = |path: Value| matching(json!({ "asPath": path }));
    let (range, value) = ("match.prefixes[0]", Reason::InvalidValue);
    refused(
        &prefixes(json!({ "cidr": "10.0.0.0" })),
        "match.prefixes[0].cidr",
        Reason::InvalidCidr,
    );
    refused(
        &prefixes(json!({ "cidr": "10.0.0.0/8", "ge": 4 })),
        range,
        value,
    );
    refused(
        &prefixes(json!({ "cidr": "10.0.0.0/8", "le": 64 })),
        range,
        value,
    );
    let communities = matching(json!({ "communities": { "any": ["1:2", "x"] } }));
    refused(
        &communities,
        "match.communities.any[1]",
        Reason::InvalidCommunity,
    );
    refused(
        &path(json!({ "patterns": ["^1$"] })),
        "match.asPath.patterns[0]",
        value,
    );
    refused(
        &path(json!({ "minLength": 3, "maxLength": 2 })),
        "match.asPath",
        value,
    );
    refused(
        &matching(json!({ "med": { "min": 3, "max": 2 } })),
        "match.med",
        value,
    );
}

#[test]
fn a_change_that_means_nothing_is_named_with_its_place() {
    let setting = |what: Value| json!({ "action": "Next", "set": what });
    let communities = setting(json!({ "communities": { "add": ["1:*"] } }));
    refused(
        &communities,
        "set.communities.add[0]",
        Reason::InvalidCommunity,
    );
    refused(
        &setting(json!({ "prepend": 17 })),
        "set.prepend",
        Reason::InvalidValue,
    );
    for next_hop in ["Me", "127.0.0.1"] {
        let rule = setting(json!({ "nextHop": next_hop }));
        refused(&rule, "set.nextHop", Reason::InvalidAddress);
    }
    let both = setting(json!({ "med": 1, "removeMED": true }));
    refused(&both, "set.removeMED", Reason::Conflict);
    let reject = json!({ "action": "Reject", "set": { "med": 1 } });
    refused(&reject, "action", Reason::Conflict);
    let reject = json!({ "action": "Reject", "overrides": ["Martians"] });
    refused(&reject, "action", Reason::Conflict);
}

#[test]
fn an_empty_match_is_no_condition() {
    let Some(Object::Policy(policy)) = observed(&json!({ "action": "Accept" })).object else {
        panic!("a policy");
    };
    assert_eq!(policy.rules[1].conditions, []);
    assert_eq!(
        (&policy.rules[1].peers, &policy.rules[1].learned_from),
        (&None, &None)
    );
}
