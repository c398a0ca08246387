//! The table as `docs/INTEROP.md`.

use std::fmt::Write as _;

use super::{
    feature::{Feature, Outcome},
    newer::Column,
};

/// The document for these columns.
pub fn render(columns: &[Column]) -> String {
    let mut out = String::from(PREFACE);
    let mut notes: Vec<&str> = Vec::new();
    out.push_str("\n| feature | RFC |");
    for column in columns {
        let _ = write!(out, " {} |", column.name);
    }
    out.push_str("\n|---|---|");
    out.push_str(&"---|".repeat(columns.len()));
    out.push('\n');
    for &feature in Feature::ALL {
        let _ = write!(out, "| {} | {} |", feature.what(), feature.rfc());
        for column in columns {
            let _ = write!(out, " {} |", cell(column.cells.get(&feature), &mut notes));
        }
        out.push('\n');
    }
    if !notes.is_empty() {
        out.push_str("\nNot applicable, because the other side:\n\n");
    }
    for (number, note) in notes.iter().enumerate() {
        let _ = writeln!(out, "{}. {note}", number + 1);
    }
    out
}

fn cell<'a>(outcome: Option<&'a Outcome>, notes: &mut Vec<&'a str>) -> String {
    match outcome {
        Some(Outcome::Holds) => "yes".to_owned(),
        Some(Outcome::NotThere(reason)) => {
            let note = notes.iter().position(|note| note == reason);
            let note = note.unwrap_or_else(|| {
                notes.push(reason);
                notes.len() - 1
            });
            format!("n/a ({})", note + 1)
        }
        Some(Outcome::Failed(_)) => "**no**".to_owned(),
        None => "not tried".to_owned(),
    }
}

const PREFACE: &str = "\
# Interoperability

What Redstart does together with other BGP implementations, as Debian 12 ships them (`bird2`, `frr`,
`gobgpd`, `exabgp`, `openbgpd`). Each cell but `n/a` is an assertion made by a run: the real daemons in network namespaces
of their own, Redstart told by objects and asked by `redc`, the other side told and asked by its own
CLI, the kernel asked by `ip`. The scenes are in `proto-tests/src/interop`; this page is written by
them (`REDSTART_UPDATE=1 cargo test -p redstart-proto-tests --test interop`), and the test fails when
a run comes to something else.

Columns with a version are newer releases, from Debian 13, and recorded (`proto-tests/interop-newer.json`):
`./proto-tests/interop-newer.sh` puts that Debian into a directory of its own, plays the same scenes
against what is in there, and writes those columns anew.

| cell | means |
|---|---|
| yes | It held, seen from both sides where both show it. |
| n/a | The other side cannot; the note says what is missing there. It is not tried. |
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_become_notes_and_failures_are_seen() {
        let column = |name: &str, outcome: Option<Outcome>| Column {
            name: name.to_owned(),
            cells: outcome
                .map(|outcome| (Feature::Roles, outcome))
                .into_iter()
                .collect(),
        };
        let text = render(&[
            column("A", Some(Outcome::Holds)),
            column("B", Some(Outcome::Failed("x".to_owned()))),
            column("C 2.1", Some(Outcome::NotThere("too old".to_owned()))),
            column("D", None),
        ]);
        assert!(
            text.contains("| feature | RFC | A | B | C 2.1 | D |"),
            "{text}"
        );
        let row =
            "| roles: provider there, customer here | 9234 | yes | **no** | n/a (1) | not tried |";
        assert!(text.contains(row), "{text}");
        assert!(text.ends_with("1. too old\n"), "{text}");
    }
}
