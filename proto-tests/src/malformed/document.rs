//! The table as `docs/MALFORMED.md`.

use std::fmt::Write as _;

use super::{Case, Stage, codec_outcome, elsewhere::ELSEWHERE};

/// The document for these cases.
pub fn render(cases: &[Case]) -> String {
    let mut out = String::from(PREFACE);
    let _ = writeln!(out, "{} cases.\n", cases.len());
    out.push_str("| case | stands for | session | expected | codec |\n|---|---|---|---|---|\n");
    for case in cases {
        let ours = match codec_outcome(case, usize::MAX) {
            Ok(outcome) => outcome.to_string(),
            Err(error) => error,
        };
        let stage = match case.stage {
            Stage::First => "first message",
            Stage::Established => "",
        };
        let session = case.session.to_string();
        let session = [session.as_str(), stage]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(", ");
        let _ = writeln!(
            out,
            "| `{}` | {} | {session} | {} | {ours} |",
            case.name, case.source, case.expected,
        );
    }
    out.push_str(
        "\n## Incidents without a case\n\nWhat went wrong there is not in Redstart.\n\n\
         | incident | where it was |\n|---|---|\n",
    );
    for (incident, code) in ELSEWHERE {
        let _ = writeln!(out, "| {incident} | {code} |");
    }
    out
}

const PREFACE: &str = "\
# Malformed input

What Redstart does with messages that are wrong, or that looked wrong to somebody. The table is the
one of `proto-tests/src/malformed`; this page is generated from it
(`REDSTART_UPDATE=1 cargo test -p redstart-proto-tests --test malformed_codec`).

*Expected* is what the RFC named beside it asks of the speaker as a whole; `malformed_live` checks it
on live sessions, every case on one of its own, beside a bystander: another peer that is told all their
routes, must see of each what is expected, and must be told nothing that is malformed. *Codec* is what
the codec alone makes of the octets, as `malformed_codec` has just seen it; it knows no state and no
configuration, so an unexpected or unwanted message is well-formed to it.

";
