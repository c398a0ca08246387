//! With a `kubectl` that is played by a script.

use std::{fs, os::unix::fs::PermissionsExt as _};

use jiff::tz::TimeZone;
use tempfile::TempDir;

use super::*;

/// Four nodes: one is fine, one refuses, one never answers, one has not started. What the script was
/// given is written down.
const KUBECTL: &str = r#"#!/bin/sh
echo "$*" >> "$(dirname "$0")/asked"
case "$*" in
*"get pods"*)
    cat <<EOF
{"items":[
 {"metadata":{"name":"redstart-a"},"spec":{"nodeName":"n1"},"status":{"phase":"Running"}},
 {"metadata":{"name":"redstart-b"},"spec":{"nodeName":"node-2"},"status":{"phase":"Running"}},
 {"metadata":{"name":"redstart-c"},"spec":{"nodeName":"n3"},"status":{"phase":"Running"}},
 {"metadata":{"name":"redstart-d"},"spec":{"nodeName":"n4"},"status":{"phase":"Pending"}},
 {"metadata":{"name":"redstart-e"},"spec":{"nodeName":"n5"},"status":{"phase":"Running"}}]}
EOF
    ;;
*redstart-b*"-o json show protocols"*) cat "$(dirname "$0")/protocols" ;;
*"-o json show protocols"*redstart-a* | *redstart-a*"-o json show protocols"*) cat "$(dirname "$0")/protocols" ;;
*redstart-a*) printf 'first\n\tsecond\n' ;;
*redstart-b*) printf 'third\n' ;;
*redstart-c*) echo 'redc: there is no peer "tor"' >&2; echo 'command terminated with exit code 1' >&2; exit 1 ;;
*redstart-e*) exec sleep 600 ;;
esac
"#;

pub(super) fn fleet(script: &str) -> (TempDir, Fleet) {
    let dir = tempfile::tempdir().unwrap();
    let kubectl = dir.path().join("kubectl");
    fs::write(&kubectl, script).unwrap();
    fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755)).unwrap();
    let samples: Value =
        serde_json::from_str(include_str!("../render/tests/samples.json")).unwrap();
    let protocols = samples["show protocols"].to_string();
    fs::write(dir.path().join("protocols"), protocols).unwrap();
    let fleet = Fleet {
        kubectl: kubectl.into(),
        options: vec!["--context".to_owned(), "lab".to_owned()],
        namespace: "redstart-system".to_owned(),
        patience: Duration::from_secs(2),
    };
    (dir, fleet)
}

pub(super) fn asked(words: &str) -> Asked {
    let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
    Asked::of(&words).unwrap()
}

fn style() -> Style {
    Style {
        zone: TimeZone::UTC,
        width: None,
    }
}

#[tokio::test]
async fn each_line_stands_behind_its_node_and_silent_nodes_are_named() {
    let (dir, fleet) = fleet(KUBECTL);
    let asked = asked("explain 10.0.0.1 to tor");
    let format = asked.format(Format::Text);
    let answers = fleet.ask(&asked, format).await.unwrap();
    let expected = "\
n1      first
n1      \tsecond
node-2  third
";
    assert_eq!(asked.text(&answers, &style()).unwrap(), expected);
    let silent: Vec<_> = answers.silent.iter().collect();
    let silent: Vec<_> = silent
        .iter()
        .map(|(n, why)| (n.as_str(), why.as_str()))
        .collect();
    let expected = [
        ("n3", "redc: there is no peer \"tor\""),
        ("n4", "its pod is Pending"),
        ("n5", "no answer within 2 s"),
    ];
    assert_eq!(silent, expected);
    let given = fs::read_to_string(dir.path().join("asked")).unwrap();
    let exec = "--context lab -n redstart-system exec redstart-a -c redstart -- redc explain 10.0.0.1 to tor";
    assert!(given.lines().any(|line| line == exec), "{given}");
}

#[tokio::test]
async fn tables_become_one_with_the_node_as_a_column() {
    let (_dir, fleet) = fleet(KUBECTL);
    let asked = asked("protocols");
    let answers = fleet.ask(&asked, asked.format(Format::Text)).await.unwrap();
    let text = asked.text(&answers, &style()).unwrap();
    let first_words: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().take(2).collect())
        .collect();
    let expected = [
        ["Node", "Name"],
        ["n1", "mesh-rack1-node-12"],
        ["n1", "tor-rack1-a"],
        ["node-2", "mesh-rack1-node-12"],
        ["node-2", "tor-rack1-a"],
    ];
    assert_eq!(first_words, expected);
    let by_node = by_node(&answers).unwrap();
    assert_eq!(by_node["n1"][0]["name"], "mesh-rack1-node-12");
}

#[tokio::test]
async fn without_kubectl_pods_or_permission_the_error_says_so() {
    let asked = asked("show status");
    let (_dir, nobody) = fleet("#!/bin/sh\necho '{\"items\":[]}'\n");
    let error = nobody.ask(&asked, Format::Text).await.unwrap_err();
    assert!(
        error.to_string().contains("namespace redstart-system"),
        "{error}"
    );
    let (_dir, forbidden) = fleet("#!/bin/sh\necho 'Error: pods is forbidden' >&2\nexit 1\n");
    let error = forbidden.ask(&asked, Format::Text).await.unwrap_err();
    assert_eq!(error.to_string(), "kubectl says: Error: pods is forbidden");
    let none = Fleet {
        kubectl: "/nonexistent/kubectl".into(),
        ..forbidden
    };
    let error = none.ask(&asked, Format::Text).await.unwrap_err();
    assert!(
        error.to_string().starts_with("cannot run kubectl: "),
        "{error}"
    );
}

#[test]
fn what_makes_no_sense_on_every_node_is_refused() {
    let of = |words: &str| {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        Asked::of(&words).map(|asked| asked.words.join(" "))
    };
    assert_eq!(of("protocols all").unwrap(), "show protocols all");
    assert_eq!(
        of("routes for 10.0.0.1").unwrap(),
        "show route for 10.0.0.1"
    );
    assert_eq!(of("why-down tor").unwrap(), "why-down tor");
    for words in [
        "watch",
        "top",
        "help",
        "diff a.yaml",
        "validate a.yaml",
        "decode ff",
    ] {
        assert!(
            matches!(of(words), Err(FleetError::NotForAll(_))),
            "{words}"
        );
    }
    let error = of("nonsense").unwrap_err().to_string();
    assert!(
        error.contains("\"nonsense\" is not understood here"),
        "{error}"
    );
}
