//! What commands there are, in words. Made from the table.

use std::fmt::Write as _;

use super::{
    grammar::{Next, ParseError, Reading, Spec},
    table::COMMANDS,
};

/// A command as it is typed: `show protocols [all] [PEER]`.
#[must_use]
pub fn synopsis(spec: &Spec) -> String {
    let mut text = spec.words.join(" ");
    for arg in spec.args {
        text.push(' ');
        text.push_str(&arg.synopsis());
    }
    text
}

/// Every command, in a line of its own.
#[must_use]
pub fn commands() -> String {
    let mut out = String::from("Commands:\n");
    for spec in COMMANDS {
        let mut typed = spec.words.join(" ");
        match spec.args {
            [] => {}
            [only] => typed = format!("{typed} {}", only.synopsis()),
            _ => typed.push_str(" …"),
        }
        let _ = writeln!(out, "  {typed:<28}  {}", spec.about);
    }
    out.push_str("A command with ? at the end says what may follow.\n");
    out
}

/// What may follow these words: an answer to `?`.
///
/// # Errors
/// [`ParseError`] where the words themselves are not understood.
pub fn after<S: AsRef<str>>(words: &[S]) -> Result<String, ParseError> {
    let next = Reading::of(COMMANDS, words)?.next();
    let width = next.iter().map(|n| n.word.len()).max().unwrap_or(0);
    let mut out = String::new();
    for Next { word, about, .. } in next {
        let _ = writeln!(out, "  {}", format!("{word:<width$}  {about}").trim_end());
    }
    if out.is_empty() {
        out.push_str("  nothing more\n");
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_mark_lists_what_may_follow() {
        let after = |line: &str| after(&line.split_whitespace().collect::<Vec<_>>());
        assert_eq!(
            after("show protocols").unwrap(),
            "  all   with everything that is known of each\n  PEER  just this one\n"
        );
        assert_eq!(after("sh pro all tor").unwrap(), "  nothing more\n");
        assert!(after("").unwrap().contains("  show\n"));
        assert!(
            after("show")
                .unwrap()
                .contains("  kernel     routes in the kernel")
        );
        assert_eq!(
            after("show route for").unwrap(),
            "  ADDR  the one that packets to this address take\n"
        );
        after("nothing").unwrap_err();
    }

    #[test]
    fn every_command_fits_in_a_line() {
        for line in commands().lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
}
