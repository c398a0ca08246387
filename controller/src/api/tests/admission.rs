//! The admission policies that let a speaker annotate its own Node and write its own status, tried with the evaluator that tries the
//! rules of the CRDs.

use std::collections::HashMap;

use kube::core::cel::{
    KubeCelExt,
    cel::{Context, Program, Value as Cel},
};
use serde_json::{Value, json};

const SPEAKER: &str = "system:serviceaccount:redstart-system:redstart";

const DRAIN: &str = include_str!("../../../../manifests/components/drain/policy.yaml");
const OWN_STATUS: &str = include_str!("../../../../manifests/components/own-status/policy.yaml");

fn policy(text: &str) -> Value {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    documents.into_iter().next().unwrap()["spec"].take()
}

fn evaluate(expression: &Value, context: &Context<'_>) -> Result<Cel, String> {
    let text = expression.as_str().unwrap();
    let program = Program::compile(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    program.execute(context).map_err(|e| e.to_string())
}

/// The messages of the rules that refuse a change. With `failurePolicy: Fail` an error refuses too.
fn refused(user: &Value, before: &Value, after: &Value) -> Vec<String> {
    refused_by(DRAIN, user, before, after)
}

fn refused_by(policy: &str, user: &Value, before: &Value, after: &Value) -> Vec<String> {
    let policy = self::policy(policy);
    let mut context = Context::default().with_all();
    let request = json!({"operation": "UPDATE", "userInfo": user});
    for (name, value) in [
        ("oldObject", before),
        ("object", after),
        ("request", &request),
    ] {
        context.add_variable(name, value).unwrap();
    }
    let each = |field: &str| policy[field].as_array().cloned().unwrap_or_default();
    let matches = |it: &Value| evaluate(&it["expression"], &context) == Ok(Cel::Bool(true));
    if !each("matchConditions").iter().all(matches) {
        return vec![];
    }
    let variables = each("variables").into_iter().map(|variable| {
        let value = evaluate(&variable["expression"], &context).unwrap();
        (variable["name"].as_str().unwrap().to_owned(), value)
    });
    let variables: HashMap<String, Cel> = variables.collect();
    context.add_variable_from_value("variables", variables);
    let rules = each("validations").into_iter();
    let broken = rules.filter(|rule| match evaluate(&rule["expression"], &context) {
        Ok(Cel::Bool(holds)) => !holds,
        Ok(other) => panic!("{rule}: {other:?}"),
        Err(_) => true,
    });
    broken
        .map(|rule| rule["message"].as_str().unwrap().to_owned())
        .collect()
}

fn node(name: &str, annotations: &Value) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"rack": "a"}, "annotations": annotations},
        "spec": {"podCIDR": "10.0.0.0/24"},
    })
}

#[test]
fn a_speaker_may_change_one_annotation_of_its_own_node_and_nothing_else() {
    let on = |node: &str| {
        let extra = json!({"authentication.kubernetes.io/node-name": [node]});
        json!({"username": SPEAKER, "extra": extra})
    };
    let calm = node("n1", &json!({"other": "1"}));
    let drained = node("n1", &json!({"other": "1", "redstart.dev/drain": "true"}));
    let mut bare = calm.clone();
    bare["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("annotations");
    let mut bare_drained = bare.clone();
    bare_drained["metadata"]["annotations"] = json!({"redstart.dev/drain": "true"});
    for (before, after) in [
        (&calm, &drained),
        (&drained, &calm),
        (&bare, &bare_drained),
        (&bare_drained, &bare),
    ] {
        assert_eq!(refused(&on("n1"), before, after), [""; 0]);
    }

    let of_another = "a speaker may change the Node that it runs on alone";
    assert_eq!(refused(&on("n2"), &calm, &drained), [of_another]);
    // A token that was issued for no node.
    assert_eq!(
        refused(&json!({"username": SPEAKER}), &calm, &drained),
        [of_another]
    );

    let something_else = "a speaker may change the annotation redstart.dev/drain alone";
    let changed = |path: &str, value: Value| {
        let mut after = drained.clone();
        *after.pointer_mut(path).unwrap() = value;
        after
    };
    let with = |field: &str, value: Value| {
        let mut after = drained.clone();
        after["metadata"][field] = value;
        after
    };
    for after in [
        changed(
            "/spec",
            json!({"podCIDR": "10.0.0.0/24", "unschedulable": true}),
        ),
        changed("/metadata/labels", json!({})),
        changed("/metadata/annotations/other", json!("2")),
        node("n1", &json!({"redstart.dev/drain": "true"})),
        node("n1", &json!({"other": "1", "redstart.dev/asn": "64999"})),
        with("finalizers", json!(["example.com/never"])),
        with("ownerReferences", json!([{"uid": "1"}])),
    ] {
        assert_eq!(
            refused(&on("n1"), &calm, &after),
            [something_else],
            "{after}"
        );
    }
    // It is about speakers alone.
    let kubelet = json!({"username": "system:node:n1", "groups": ["system:nodes"]});
    let cordoned = changed("/spec", json!({"unschedulable": true}));
    assert_eq!(refused(&kubelet, &calm, &cordoned), [""; 0]);
}

#[test]
fn a_speaker_may_write_the_status_of_its_own_node_and_no_other() {
    let extra = json!({"authentication.kubernetes.io/node-name": ["n1"]});
    let speaker = json!({"username": SPEAKER, "extra": extra});
    let status = |name: &str| json!({"metadata": {"name": name}, "spec": {}});
    let refused = |user: &Value, before: &Value, name: &str| {
        refused_by(OWN_STATUS, user, before, &status(name))
    };
    let refusal = "a speaker may write the BGPNodeStatus of the node that it runs on alone";
    // Made anew, and changed.
    for before in [Value::Null, status("n1")] {
        assert_eq!(refused(&speaker, &before, "n1"), [""; 0]);
    }
    assert_eq!(refused(&speaker, &Value::Null, "n2"), [refusal]);
    assert_eq!(refused(&speaker, &status("n2"), "n2"), [refusal]);
    let of_no_node = json!({"username": SPEAKER});
    assert_eq!(refused(&of_no_node, &status("n1"), "n1"), [refusal]);
    let admin = json!({"username": "admin"});
    assert_eq!(refused(&admin, &status("n1"), "n1"), [""; 0]);
}
