//! Lines no wider than the terminal.
//!
//! One rule for every answer, so that no command needs widths of its own: a line that is too long goes on
//! in the next one, under its last column if that leaves enough room, else a little to the right of where
//! it began. Lines are broken at blanks alone: an address or a name is never cut in two, and can be
//! copied. Where nobody knows a width, because the output is no terminal, lines stay whole: one for each
//! thing, as `grep` likes it.

/// The narrowest last column worth having.
const NARROW: usize = 16;

/// How far a tab reaches.
const TAB: usize = 8;

/// Breaks the lines of a text that are wider than this.
pub(super) fn fit(text: &str, width: usize) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        break_line(&mut out, line, width);
    }
    out
}

fn break_line(out: &mut String, line: &str, width: usize) {
    let mut rest = line;
    let mut hang = String::new();
    loop {
        let begun = columns(&hang);
        match break_at(rest, width.saturating_sub(begun)) {
            None => {
                out.push_str(&hang);
                out.push_str(rest);
                out.push('\n');
                return;
            }
            Some(at) => {
                out.push_str(&hang);
                out.push_str(rest[..at].trim_end());
                out.push('\n');
                rest = rest[at..].trim_start();
                if hang.is_empty() {
                    hang = hang_of(line, at, width);
                }
            }
        }
    }
}

/// The last blank that leaves no more than `width` columns before it, or else the first one behind a
/// word, if the text is too wide at all.
fn break_at(text: &str, width: usize) -> Option<usize> {
    if columns(text) <= width {
        return None;
    }
    let lead = text.len() - text.trim_start().len();
    let blanks = text
        .match_indices(' ')
        .map(|(at, _)| at)
        .filter(|at| *at > lead);
    let mut found = None;
    for at in blanks {
        let rest_is_blank = text[at..].trim().is_empty();
        if rest_is_blank || (found.is_some() && columns(&text[..at]) > width) {
            break;
        }
        found = Some(at);
    }
    found
}

/// What the continuation of a line begins with: the last column has to be wide enough for every word.
fn hang_of(line: &str, broken_at: usize, width: usize) -> String {
    let lead = &line[..line.len() - line.trim_start().len()];
    let last_column = line[lead.len()..broken_at]
        .rmatch_indices("  ")
        .map(|(at, _)| columns(&line[..lead.len() + at + 2]))
        .next();
    let words = line[broken_at..].split_whitespace().map(columns);
    let needed = words.max().unwrap_or(0).max(NARROW);
    match last_column {
        Some(column) if column + needed <= width => " ".repeat(column),
        _ => format!("{lead}    "),
    }
}

fn columns(text: &str) -> usize {
    let wide = |c| if c == '\t' { TAB } else { 1 };
    text.chars().map(wide).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_lines_stay() {
        let text = "a b\n\n\tc  d\n";
        assert_eq!(fit(text, 12), text);
        assert_eq!(fit("", 1), "");
    }

    #[test]
    fn a_last_column_goes_on_under_itself() {
        let line = "Local capabilities:  multiprotocol ipv4, route-refresh, AS4\n";
        let expected = "\
Local capabilities:  multiprotocol ipv4,
                     route-refresh, AS4
";
        assert_eq!(fit(line, 45), expected);
    }

    #[test]
    fn without_room_for_that_it_goes_on_beside_its_beginning() {
        let expected = "\
\tfrom tor (BGPPeer/tor):
\t    refused-as-loop: our
\t    own AS
";
        let line = "\tfrom tor (BGPPeer/tor): refused-as-loop: our own AS\n";
        assert_eq!(fit(line, 33), expected);
    }

    #[test]
    fn a_last_column_that_a_word_does_not_fit_in_is_not_used() {
        let expected = "\
Name   notification
    administratively-stopped
";
        let line = "Name   notification administratively-stopped\n";
        assert_eq!(fit(line, 30), expected);
    }

    #[test]
    fn a_word_is_never_cut() {
        let expected = "\
2001:db8:ffff::/48
    via
    fe80::1234:5678
";
        assert_eq!(
            fit("2001:db8:ffff::/48 via fe80::1234:5678\n", 10),
            expected
        );
    }
}
