//! With a `kubectl` that is played by a script.

use std::{fs, path::PathBuf};

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{super::tests, *};

/// Five nodes, not in order: the first says a route and waits until somebody has read it, the second has
/// none, the third breaks off, the fourth never answers, the fifth has not started, the sixth says much.
const KUBECTL: &str = r#"#!/bin/sh
dir=$(dirname "$0")
case "$*" in
*"get pods"*)
    cat <<EOF
{"items":[
 {"metadata":{"name":"redstart-f"},"spec":{"nodeName":"n6"},"status":{"phase":"Running"}},
 {"metadata":{"name":"redstart-b"},"spec":{"nodeName":"n2"},"status":{"phase":"Running"}},
 {"metadata":{"name":"redstart-a"},"spec":{"nodeName":"node-1"},"status":{"phase":"Running"}},
 {"metadata":{"name":"redstart-c"},"spec":{"nodeName":"n3"},"status":{"phase":"Running"}},
 {"metadata":{"name":"redstart-d"},"spec":{"nodeName":"n4"},"status":{"phase":"Running"}},
 {"metadata":{"name":"redstart-e"},"spec":{"nodeName":"n5"},"status":{"phase":"Pending"}}]}
EOF
    ;;
*redstart-a*"-o json"*) printf '[\n{"prefix":"10.1.0.0/24"}\n]\n' ;;
*redstart-b*"-o json"*) echo '[]' ;;
*redstart-c*"-o json"*) printf '[\n{"prefix":"10.3.0.0/24"},\n{"pref'; echo 'redc: the speaker is busy' >&2; exit 1 ;;
*redstart-f*"-o json"*) printf '[\n{"prefix":"10.6.0.0/24"},\n{"prefix":"10.6.1.0/24"}\n]\n' ;;
*redstart-a*)
    echo '10.1.0.0/24  unicast [tor]'
    while [ ! -e "$dir/read" ]; do sleep 0.01; done
    printf '\tvia 10.0.0.1 on eth0\n' ;;
*redstart-b*) ;;
*redstart-c*) echo '10.3.0.0/24  unicast [tor]'; echo 'redc: the speaker is busy' >&2; exit 1 ;;
*redstart-d*) exec sleep 600 ;;
*redstart-f*) i=0; while [ $i -lt 3000 ]; do echo "10.6.0.0/24  unicast [a-neighbour-with-a-long-name] $i"; i=$((i+1)); done ;;
esac
"#;

/// A reader who lets the first node go on once he has read something of it.
struct Reader {
    read: Vec<u8>,
    sign: PathBuf,
}

impl Write for Reader {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.read.extend_from_slice(octets);
        let text = String::from_utf8_lossy(&self.read);
        if text.contains("node-1  10.1.0.0/24") {
            fs::write(&self.sign, "")?;
        }
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn stream(words: &str, format: Format) -> (Streamed, String) {
    let (dir, mut fleet) = tests::fleet(KUBECTL);
    // Longer than it takes to read what is printed, on a machine that is busy.
    fleet.patience = Duration::from_secs(5);
    let asked = tests::asked(words);
    assert!(asked.is_long());
    let style = Style {
        zone: TimeZone::UTC,
        width: None,
    };
    let mut reader = Reader {
        read: Vec::new(),
        sign: dir.path().join("read"),
    };
    let streamed = fleet.stream(&asked, format, &style, &mut reader).await;
    (streamed.unwrap(), String::from_utf8(reader.read).unwrap())
}

fn silent() -> BTreeMap<String, String> {
    let silent = [
        ("n3", "it broke off: redc: the speaker is busy"),
        ("n4", "no answer within 5 s"),
        ("n5", "its pod is Pending"),
    ];
    silent
        .map(|(node, why)| (node.to_owned(), why.to_owned()))
        .into()
}

#[tokio::test]
async fn routes_are_printed_as_they_come_with_the_node_as_a_column() {
    let (streamed, text) = stream("routes", Format::Text).await;
    let expected = Streamed {
        answered: 3,
        silent: silent(),
    };
    assert_eq!(streamed, expected);
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("Node    Route"));
    assert_eq!(lines.next(), Some("n3      10.3.0.0/24  unicast [tor]"));
    // One whose turn it is not says no more than a pipe holds, and loses nothing.
    for number in 0..3000 {
        let route = "10.6.0.0/24  unicast [a-neighbour-with-a-long-name]";
        assert_eq!(lines.next(), Some(&*format!("n6      {route} {number}")));
    }
    let rest: Vec<&str> = lines.collect();
    let of_the_first = [
        "node-1  10.1.0.0/24  unicast [tor]",
        "node-1  \tvia 10.0.0.1 on eth0",
    ];
    assert_eq!(rest, of_the_first);
}

#[tokio::test]
async fn json_and_yaml_are_one_document_though_a_node_breaks_off() {
    let expected = json!({
        "n2": [],
        "n3": [{"prefix": "10.3.0.0/24"}],
        "n6": [{"prefix": "10.6.0.0/24"}, {"prefix": "10.6.1.0/24"}],
        "node-1": [{"prefix": "10.1.0.0/24"}],
    });
    let (streamed, text) = stream("show route all", Format::Json).await;
    assert_eq!(streamed.answered, 3);
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        expected,
        "{text}"
    );
    assert_eq!(
        streamed.silent["n3"],
        "it broke off: redc: the speaker is busy"
    );
    let (_, text) = stream("show route all", Format::Yaml).await;
    assert_eq!(
        serde_saphyr::from_str::<Value>(&text).unwrap(),
        expected,
        "{text}"
    );
}

#[test]
fn what_is_counted_is_not_long() {
    assert!(!tests::asked("routes count").is_long());
    assert!(!tests::asked("protocols").is_long());
}
