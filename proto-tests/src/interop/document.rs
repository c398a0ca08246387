//! The matrix as `docs/INTEROP.md`.

use std::fmt::Write as _;

use super::{
    feature::{Feature, Outcome},
    matrix::Matrix,
    subject::Implementation,
};

/// The document for these outcomes.
pub fn render(matrix: &Matrix) -> String {
    let mut out = String::from(PREFACE);
    let mut notes: Vec<&str> = Vec::new();
    out.push_str("\n| feature | RFC |");
    for kind in Implementation::ALL {
        let _ = write!(out, " {kind} |");
    }
    out.push_str("\n|---|---|");
    out.push_str(&"---|".repeat(Implementation::ALL.len()));
    out.push('\n');
    for feature in Feature::ALL {
        let (what, rfc) = (feature.what(), feature.rfc());
        let _ = write!(out, "| {what} | {rfc} |");
        for kind in Implementation::ALL {
            let cell = match matrix.get(&(feature, kind)) {
                Some(Outcome::Holds) => "yes".to_owned(),
                Some(Outcome::NotYet) => "not yet".to_owned(),
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
            };
            let _ = write!(out, " {cell} |");
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

const PREFACE: &str = "\
# Interoperability

What Redstart does together with other BGP implementations, as Debian 12 ships them (`bird2`, `frr`,
`gobgpd`, `exabgp`, `openbgpd`). Each cell is an assertion made by a run: the real daemons in network namespaces
of their own, Redstart told by objects and asked by `redc`, the other side told and asked by its own
CLI, the kernel asked by `ip`. The scenes are in `proto-tests/src/interop`; this page is written by
them (`REDSTART_UPDATE=1 cargo test -p redstart-proto-tests --test interop`), and the test fails when
a run comes to something else.

| cell | means |
|---|---|
| yes | It held, seen from both sides where both show it. |
| not yet | Redstart does not do it yet, or no scene shows it yet. |
| n/a | The other side cannot. |

OpenBGPD dials where there is a password: on Linux it gives none to the socket that it listens on.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_become_notes_and_failures_are_seen() {
        let mut matrix = Matrix::new();
        matrix.insert(
            (Feature::Roles, Implementation::GoBgp),
            Outcome::NotThere("too old"),
        );
        matrix.insert((Feature::Roles, Implementation::Bird), Outcome::Holds);
        matrix.insert(
            (Feature::Roles, Implementation::Frr),
            Outcome::Failed("x".to_owned()),
        );
        let text = render(&matrix);
        let row = "| roles: provider there, customer here | 9234 | yes | **no** | n/a (1) | not tried | not tried |";
        assert!(text.contains(row), "{text}");
        assert!(text.ends_with("1. too old\n"), "{text}");
    }
}
