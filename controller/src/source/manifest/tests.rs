use std::{fs, path::PathBuf};

use super::*;
use crate::{
    compile::compile,
    index::{Index, Object},
    source::SourceEvent,
};

fn reasons(manifest: &Manifest) -> Vec<(String, String, Reason)> {
    let of_objects = manifest.objects.iter().flat_map(|o| &o.problems);
    manifest
        .problems
        .iter()
        .chain(of_objects)
        .map(|p| (p.object.to_string(), p.field.clone(), p.reason))
        .collect()
}

fn one(object: &str, field: &str, reason: Reason) -> Vec<(String, String, Reason)> {
    vec![(object.to_owned(), field.to_owned(), reason)]
}

#[test]
fn lists_and_documents_are_taken_apart() {
    let text = r#"
---
apiVersion: v1
kind: List
items:
  - { apiVersion: v1, kind: Node, metadata: { name: a }, spec: { podCIDR: 10.0.0.0/24, unheardOf: 1 } }
  - { apiVersion: v1, kind: Node, metadata: { name: b } }
---
apiVersion: apps/v1
kind: DaemonSet
metadata: { name: unused }
---
apiVersion: v1
kind: Secret
metadata: { name: s }
stringData: { password: secret }
---
apiVersion: v1
kind: Secret
metadata: { name: other, namespace: elsewhere }
---
"#;
    let manifest = parse("a.yaml", text).unwrap();
    assert_eq!(reasons(&manifest), []);
    let keys: Vec<String> = manifest.objects.iter().map(|o| o.key.to_string()).collect();
    assert_eq!(keys, ["Node/a", "Node/b", "Secret/redstart-system/s"]);
}

#[test]
fn json_is_read_as_json() {
    let text =
        "{\n\t\"apiVersion\": \"v1\", \"kind\": \"Node\",\n\t\"metadata\": {\"name\": \"a\"}\n}\n";
    assert_eq!(parse("a.json", text).unwrap().objects.len(), 1);
    let error = parse("a.json", "{\n  \"a\": }").unwrap_err();
    assert!(error.message.contains("line 2 column 8"), "{error}");
}

#[test]
fn broken_yaml_names_line_and_column() {
    let error = parse("a.yaml", "a: 1\nb: [\n").unwrap_err();
    assert_eq!(error.reason, Reason::InvalidYaml);
    assert_eq!(error.object.to_string(), "File/a.yaml");
    assert!(error.message.contains("line 2, column "), "{error}");
    let error = parse("a.yaml", "a: 1\na: 2\n").unwrap_err();
    assert!(error.message.contains("line 2, column "), "{error}");
}

#[test]
fn documents_that_are_no_object_are_named() {
    let of = |text: &str| reasons(&parse("a.yaml", text).unwrap());
    assert_eq!(
        of("kind: Node"),
        one("File/a.yaml", "apiVersion", Reason::MissingField)
    );
    assert_eq!(
        of("kind: Node\napiVersion: v1\nmetadata: { name: a }\n---\njust text"),
        one("File/a.yaml", "apiVersion", Reason::MissingField)
    );
    assert_eq!(
        of("{ apiVersion: v1, kind: Node }"),
        one("File/a.yaml", "metadata.name", Reason::MissingField)
    );
    assert_eq!(
        of("{ apiVersion: redstart.dev/v1alpha1, kind: BGPPear, metadata: { name: a } }"),
        one("File/a.yaml", "kind", Reason::InvalidValue)
    );
    assert_eq!(
        of("{ apiVersion: v1, kind: List }"),
        one("File/a.yaml", "items", Reason::MissingField)
    );
}

#[test]
fn a_problem_says_which_document_it_is_in() {
    let manifest = parse(
        "a.yaml",
        "{ apiVersion: v1, kind: List, items: [{ kind: Node }] }",
    )
    .unwrap();
    let message = &manifest.problems[0].message;
    assert!(message.contains("[document 1 items[0]]"), "{message}");
}

#[test]
fn core_objects_of_the_wrong_shape_are_named() {
    let text = "{ apiVersion: v1, kind: Node, metadata: { name: a, annotations: { redstart.dev/asn: 65000 } } }";
    let manifest = parse("a.yaml", text).unwrap();
    assert_eq!(
        reasons(&manifest),
        one(
            "Node/a",
            "metadata.annotations.redstart.dev/asn",
            Reason::Unreadable
        )
    );
    assert_eq!(manifest.objects[0].object, None);
}

#[test]
fn a_password_never_shows() {
    let text =
        "{ apiVersion: v1, kind: Secret, metadata: { name: s }, data: { password: aHVudGVyMg== } }";
    let manifest = parse("a.yaml", text).unwrap();
    let shown = format!("{manifest:?}");
    assert!(
        !shown.contains("hunter2") && !shown.contains("104, 117"),
        "{shown}"
    );
    let Some(Object::Secret(secret)) = &manifest.objects[0].object else {
        panic!("no Secret: {shown}");
    };
    assert_eq!(secret.data["password"], b"hunter2");

    let text =
        "{ apiVersion: v1, kind: Secret, metadata: { name: s }, data: { password: 123454321 } }";
    let manifest = parse("a.yaml", text).unwrap();
    let object = "Secret/redstart-system/s";
    assert_eq!(
        reasons(&manifest),
        one(object, "data.password", Reason::Unreadable)
    );
    let shown = format!("{manifest:?}");
    assert!(!shown.contains("123454321"), "{shown}");
}

/// Every example is read strictly and compiles on the example nodes without a diagnostic.
#[test]
fn examples_hold_what_they_promise() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../manifests/examples");
    let read = |name: &str| {
        let text = fs::read_to_string(dir.join(name)).unwrap();
        parse(name, &text).unwrap()
    };
    let mut examples = 0;
    for entry in fs::read_dir(&dir).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.ends_with(".yaml") {
            continue;
        }
        examples += 1;
        let mut index = Index::new();
        for kind in Kind::ALL {
            let objects = Vec::new();
            index.apply(SourceEvent::Restarted { kind, objects });
        }
        for file in ["nodes.yaml", name.as_str()] {
            let manifest = read(file);
            assert_eq!(reasons(&manifest), [], "{file}");
            assert!(!manifest.objects.is_empty(), "{file}");
            for observed in manifest.objects {
                index.apply(SourceEvent::Applied(observed));
            }
        }
        for node in ["node-a", "node-b"] {
            let (desired, diagnostics) = compile(&index, node).unwrap();
            assert_eq!(diagnostics, [], "{name} on {node}");
            assert!(!desired.peers.is_empty(), "{name} on {node}");
            assert!(!desired.originations.is_empty(), "{name} on {node}");
        }
    }
    assert!(examples >= 4);
}
