//! For shells and `man`: completion scripts, and the manual page. The scripts ask `redc` itself what may
//! follow, so they know the names of the neighbours and never grow old; the page is made from the table.

use std::fmt::Write as _;

use clap::ValueEnum;

use super::{grammar::Arg, help::synopsis, table::COMMANDS};

/// A shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU bash.
    Bash,
    /// Z shell.
    Zsh,
    /// fish.
    Fish,
}

/// The script that has a shell complete words of `redc`.
#[must_use]
pub const fn completions(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => {
            "_redc() {\n\
             \x20 local IFS=$'\\n' words=(\"${COMP_WORDS[@]:1:COMP_CWORD}\")\n\
             \x20 COMPREPLY=($(redc --complete -- \"${words[@]}\" 2>/dev/null | cut -f1))\n\
             }\n\
             complete -o default -F _redc redc\n"
        }
        Shell::Zsh => {
            "#compdef redc\n\
             _redc() {\n\
             \x20 local -a found\n\
             \x20 found=(${(f)\"$(redc --complete -- \"${(@)words[2,CURRENT]}\" 2>/dev/null | sed -e 's/:/\\\\:/g' -e 's/\\t/:/')\"})\n\
             \x20 if (( $#found )); then _describe 'redc' found; else _files; fi\n\
             }\n\
             compdef _redc redc\n"
        }
        Shell::Fish => {
            "complete -c redc -f -a '(redc --complete -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'\n"
        }
    }
}

/// Exit codes, as the manual and the help have them.
pub const EXIT_CODES: [(u8, &str); 4] = [
    (0, "answered, or done"),
    (1, "the daemon refused, or cannot be reached"),
    (2, "the command is not understood"),
    (
        3,
        "validate found an error, diff a session that would end, or decode a message that is not valid",
    ),
];

/// The manual page, in the language of man(7).
#[must_use]
pub fn man(version: &str) -> String {
    let mut out = format!(
        ".TH REDC 1 \"\" \"redc {version}\"\n\
         .SH NAME\nredc \\- ask the Redstart speaker of this node\n\
         .SH SYNOPSIS\n.B redc\n[\\fB\\-s\\fR \\fISOCKET\\fR] [\\fB\\-o\\fR text|json|yaml] [\\fICOMMAND\\fR]\n\
         .SH DESCRIPTION\nWithout a command there is a prompt, with history and completion. Each word of a \
         command may be cut short as long as one keyword alone begins with it. A question mark at the end \
         says what may follow.\n\
         .SH COMMANDS\n"
    );
    for spec in COMMANDS {
        let _ = writeln!(
            out,
            ".TP\n.B {}\n{}.",
            roff(&synopsis(spec)),
            roff(&sentence(spec.about))
        );
        if !spec.more.is_empty() {
            let _ = writeln!(out, "{}", roff(spec.more));
        }
        for arg in spec.args {
            let _ = writeln!(
                out,
                ".RS\n.TP\n.I {}\n{}\n.RE",
                roff(&bare(arg)),
                roff(arg.about)
            );
        }
    }
    out.push_str(".SH EXIT STATUS\n");
    for (code, meaning) in EXIT_CODES {
        let _ = writeln!(out, ".TP\n.B {code}\n{}.", roff(&sentence(meaning)));
    }
    out.push_str(
        ".SH ENVIRONMENT\n.TP\n.B REDSTART_SOCKET\nThe control socket.\n.TP\n.B PAGER\nWhat long answers \
         of the prompt are shown with.\n",
    );
    out
}

fn bare(arg: &Arg) -> String {
    arg.synopsis().trim_matches(['[', ']']).to_owned()
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).collect()
}

/// Hyphens and backslashes mean something to man(7), and so does a dot where a line begins.
fn roff(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_manual_has_every_command_and_option() {
        let page = man("0");
        for spec in COMMANDS {
            assert!(page.contains(&roff(&synopsis(spec))), "{:?}", spec.words);
            for arg in spec.args {
                assert!(page.contains(&roff(arg.about)), "{arg:?}");
            }
        }
        assert!(page.lines().all(|line| !line.starts_with('\'')), "{page}");
    }

    /// bash asks the program, with the words up to the one that is completed.
    #[test]
    fn bash_completes_by_asking() {
        let script = format!(
            "redc() {{ printf '%s\\t|%s\\n' \"first\" x \"$*\" y; }}\n{}\n\
             COMP_WORDS=(redc show pro tail); COMP_CWORD=2; _redc; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            completions(Shell::Bash)
        );
        let output = Command::new("bash")
            .args(["-c", &script])
            .stderr(Stdio::inherit())
            .output();
        let output = String::from_utf8(output.unwrap().stdout).unwrap();
        assert_eq!(output, "first\n--complete\n--\nshow\npro\n");
    }
}
