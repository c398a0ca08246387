//! One file of the cache: the objects of one kind as a JSON `List`, an object a line. Pure.
//!
//! The first line opens the list and says, in annotations, of which format, kind and node the file is,
//! how many objects follow and their checksum. The whole is one JSON value, so a file that ends early
//! is refused by every reader.

use serde::{Deserialize, Serialize};

use crate::index::Kind;

/// The format. A file of another one is not read.
pub(super) const VERSION: &str = "1";

const END: &str = "]}";

/// Why a file is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// Its first line is not that of a cache.
    #[error("it does not begin as a file of the cache does")]
    NoHeader,
    /// It was written by another version of the program, in another format.
    #[error("it is of format {0}, and this version reads {VERSION}")]
    OtherVersion(String),
    /// Its objects are of another kind.
    #[error("it holds objects of kind {0}")]
    OtherKind(String),
    /// The speaker of another node wrote it.
    #[error("it is of the speaker of node {0}")]
    OtherNode(String),
    /// Its end is missing, or something follows it.
    #[error("it is incomplete: {found} of {expected} objects")]
    Incomplete {
        /// Objects that its header speaks of.
        expected: usize,
        /// Objects found.
        found: usize,
    },
    /// The objects are not those that were written.
    #[error("its checksum is wrong")]
    Checksum,
    /// A line is not an object of the kind.
    #[error("line {0} is not an object of its kind")]
    Object(usize),
}

impl Defect {
    /// The stable identifier.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoHeader => "no-header",
            Self::OtherVersion(_) => "other-version",
            Self::OtherKind(_) => "other-kind",
            Self::OtherNode(_) => "other-node",
            Self::Incomplete { .. } => "incomplete",
            Self::Checksum => "wrong-checksum",
            Self::Object(_) => "invalid-object",
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    api_version: String,
    kind: String,
    metadata: Metadata,
    items: [(); 0],
}

#[derive(Serialize, Deserialize)]
struct Metadata {
    annotations: Annotations,
}

#[derive(Serialize, Deserialize)]
struct Annotations {
    #[serde(rename = "redstart.dev/cache")]
    version: String,
    #[serde(rename = "redstart.dev/kind")]
    kind: String,
    #[serde(rename = "redstart.dev/node")]
    node: String,
    #[serde(rename = "redstart.dev/objects")]
    objects: String,
    #[serde(rename = "redstart.dev/checksum")]
    checksum: String,
}

/// The name of a kind's file.
pub(super) fn name(kind: Kind) -> String {
    format!("{}.json", kind.as_str().to_ascii_lowercase())
}

/// The first line, with its line feed.
pub(super) fn head(kind: Kind, node: &str, sums: impl ExactSizeIterator<Item = u64>) -> String {
    let list = List {
        api_version: "v1".to_owned(),
        kind: "List".to_owned(),
        metadata: Metadata {
            annotations: Annotations {
                version: VERSION.to_owned(),
                kind: kind.as_str().to_owned(),
                node: node.to_owned(),
                objects: sums.len().to_string(),
                checksum: hex(total(sums)),
            },
        },
        items: [],
    };
    // A struct of strings always has a JSON form.
    let text = serde_json::to_string(&list).unwrap_or_default();
    let open = text.strip_suffix(END).unwrap_or_default();
    format!("{open}\n")
}

/// What follows the object of line `i` of `n`, its line feed included.
pub(super) const fn separator(i: usize, n: usize) -> &'static str {
    if i + 1 == n { "\n" } else { ",\n" }
}

/// The last line.
pub(super) const TAIL: &str = "]}\n";

/// The objects of a file, each as its JSON text, once everything about the file is in order.
pub(super) fn parse<'a>(text: &'a str, kind: Kind, node: &str) -> Result<Vec<&'a str>, Defect> {
    let (head, body) = text.split_once('\n').ok_or(Defect::NoHeader)?;
    let list: List = serde_json::from_str(&format!("{head}{END}")).map_err(|_| Defect::NoHeader)?;
    let says = list.metadata.annotations;
    if says.version != VERSION {
        return Err(Defect::OtherVersion(says.version));
    }
    if says.kind != kind.as_str() {
        return Err(Defect::OtherKind(says.kind));
    }
    if says.node != node {
        return Err(Defect::OtherNode(says.node));
    }
    let expected: usize = says.objects.parse().map_err(|_| Defect::NoHeader)?;
    let objects: Vec<&str> = body
        .strip_suffix(TAIL)
        .unwrap_or(body)
        .lines()
        .map(|line| line.strip_suffix(',').unwrap_or(line))
        .collect();
    if !body.ends_with(TAIL) || objects.len() != expected {
        let found = objects.len().min(expected);
        return Err(Defect::Incomplete { expected, found });
    }
    if hex(total(objects.iter().map(|object| checksum(object)))) != says.checksum {
        return Err(Defect::Checksum);
    }
    Ok(objects)
}

/// The checksum of one object's text: FNV-1a. It is against broken disks, not against people; those
/// who can write here can write the checksum as well.
pub(super) fn checksum(text: &str) -> u64 {
    fnv(text.bytes())
}

fn total(sums: impl Iterator<Item = u64>) -> u64 {
    fnv(sums.flat_map(u64::to_le_bytes))
}

fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn hex(sum: u64) -> String {
    format!("{sum:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECTS: [&str; 2] = [r#"{"a":1}"#, r#"{"b":"x,y"}"#];

    fn file(kind: Kind, node: &str) -> String {
        let sums: Vec<u64> = OBJECTS.iter().map(|it| checksum(it)).collect();
        let mut text = head(kind, node, sums.into_iter());
        for (i, object) in OBJECTS.iter().enumerate() {
            text += object;
            text += separator(i, OBJECTS.len());
        }
        text + TAIL
    }

    #[test]
    fn what_was_written_is_read_and_is_json() {
        let text = file(Kind::Node, "n1");
        assert_eq!(parse(&text, Kind::Node, "n1").unwrap(), OBJECTS);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&value["kind"], value["items"].as_array().map(Vec::len)),
            (&"List".into(), Some(2))
        );
        let empty = head(Kind::Node, "n1", [].into_iter()) + TAIL;
        assert_eq!(parse(&empty, Kind::Node, "n1"), Ok(Vec::new()));
    }

    #[test]
    fn a_file_that_ends_anywhere_early_is_refused() {
        let text = file(Kind::Node, "n1");
        for end in 0..text.len() - 1 {
            let defect = parse(&text[..end], Kind::Node, "n1").unwrap_err();
            assert!(
                matches!(defect, Defect::NoHeader | Defect::Incomplete { .. }),
                "{end}: {defect:?}"
            );
        }
    }

    #[test]
    fn a_changed_bit_anywhere_is_found() {
        let text = file(Kind::Node, "n1");
        let body = text.find('\n').unwrap() + 1;
        for at in body..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let Ok(changed) = String::from_utf8(bytes) else {
                continue;
            };
            // The separators are not objects; what they become must not change those.
            if let Ok(objects) = parse(&changed, Kind::Node, "n1") {
                assert_eq!(objects, OBJECTS, "{at}");
            }
        }
    }

    #[test]
    fn files_of_others_are_named() {
        let text = file(Kind::Node, "n1");
        let of = |kind, node| parse(&text, kind, node).unwrap_err().reason();
        assert_eq!(of(Kind::BgpPeer, "n1"), "other-kind");
        assert_eq!(of(Kind::Node, "n2"), "other-node");
        let old = text.replacen(
            r#""redstart.dev/cache":"1""#,
            r#""redstart.dev/cache":"0""#,
            1,
        );
        assert_eq!(
            parse(&old, Kind::Node, "n1"),
            Err(Defect::OtherVersion("0".into()))
        );
        assert_eq!(parse("hello\n", Kind::Node, "n1"), Err(Defect::NoHeader));
    }
}
