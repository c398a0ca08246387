//! The words of the CLI.
//!
//! A command is a path of words in a fixed grammar. Each word may be cut short as long as one
//! keyword alone begins with it, as in `birdc`: `sh pro a` is `show protocols all`.

use std::net::IpAddr;

/// What to ask the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `show status`
    Status,
    /// `show protocols [all] [NAME]`
    Protocols {
        /// With everything that is known of each.
        all: bool,
        /// Just this one.
        name: Option<String>,
    },
    /// `show route [all] [filtered] [for ADDR | PREFIX]`
    Routes {
        /// With every attribute.
        all: bool,
        /// Just what was refused.
        filtered: bool,
        /// Which.
        select: RouteSelect,
    },
    /// `show kernel`
    Kernel,
    /// `drain`
    Drain,
    /// `undrain`
    Undrain,
    /// `show services`
    Services,
    /// `show bfd sessions`
    Bfd,
}

/// Which routes to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteSelect {
    /// Every route.
    All,
    /// The one that an address uses: longest match.
    For(IpAddr),
    /// Exactly this prefix.
    Exact(String),
}

/// The words do not make a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// No such word here.
    #[error("{word:?} is not understood here; expected {expected}")]
    Unknown {
        /// What was typed.
        word: String,
        /// What could stand there.
        expected: String,
    },
    /// A word that several keywords begin with.
    #[error("{word:?} is ambiguous: {candidates}")]
    Ambiguous {
        /// What was typed.
        word: String,
        /// The keywords.
        candidates: String,
    },
    /// The command ends too early.
    #[error("incomplete command; expected {expected}")]
    Incomplete {
        /// What could stand there.
        expected: String,
    },
    /// A value that is no address.
    #[error("{word:?} is not an IP address")]
    NotAnAddress {
        /// What was typed.
        word: String,
    },
}

/// Finds the keyword that `word` stands for: itself, or the only one that it begins.
fn keyword<'k>(word: &str, keywords: &[&'k str]) -> Result<&'k str, ParseError> {
    if let Some(exact) = keywords.iter().find(|k| **k == word) {
        return Ok(exact);
    }
    let mut candidates = keywords
        .iter()
        .filter(|k| !word.is_empty() && k.starts_with(word));
    match (candidates.next(), candidates.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(ParseError::Unknown {
            word: word.to_owned(),
            expected: keywords.join(", "),
        }),
        (Some(first), Some(second)) => {
            let all: Vec<_> = [*first, *second]
                .into_iter()
                .chain(candidates.copied())
                .collect();
            Err(ParseError::Ambiguous {
                word: word.to_owned(),
                candidates: all.join(", "),
            })
        }
    }
}

/// What a command begins with.
const VERBS: [&str; 3] = ["show", "drain", "undrain"];

/// Reads a command.
///
/// # Errors
/// [`ParseError`] names the word that does not fit and what would.
pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Command, ParseError> {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    let [verb, rest @ ..] = words.as_slice() else {
        return Err(ParseError::Incomplete {
            expected: VERBS.join(", "),
        });
    };
    match keyword(verb, &VERBS)? {
        "drain" => return nothing_more(rest).map(|()| Command::Drain),
        "undrain" => return nothing_more(rest).map(|()| Command::Undrain),
        _ => {}
    }
    let subjects = ["status", "protocols", "route", "kernel", "services", "bfd"];
    let [subject, rest @ ..] = rest else {
        return Err(ParseError::Incomplete {
            expected: subjects.join(", "),
        });
    };
    match keyword(subject, &subjects)? {
        "status" => nothing_more(rest).map(|()| Command::Status),
        "kernel" => nothing_more(rest).map(|()| Command::Kernel),
        "services" => nothing_more(rest).map(|()| Command::Services),
        "bfd" => parse_bfd(rest),
        "protocols" => parse_protocols(rest),
        _ => parse_routes(rest),
    }
}

fn nothing_more(rest: &[&str]) -> Result<(), ParseError> {
    match rest.first() {
        None => Ok(()),
        Some(word) => Err(ParseError::Unknown {
            word: (*word).to_owned(),
            expected: "the end of the command".to_owned(),
        }),
    }
}

/// `sessions` may be left out: there is nothing else.
fn parse_bfd(words: &[&str]) -> Result<Command, ParseError> {
    let [word, rest @ ..] = words else {
        return Ok(Command::Bfd);
    };
    keyword(word, &["sessions"])?;
    nothing_more(rest).map(|()| Command::Bfd)
}

fn parse_protocols(words: &[&str]) -> Result<Command, ParseError> {
    let (all, words) = match words {
        ["all", rest @ ..] => (true, rest),
        words => (false, words),
    };
    match words {
        [] => Ok(Command::Protocols { all, name: None }),
        // A lone short form of `all` is the keyword, unless it is followed by a name.
        [word] if !all && "all".starts_with(word) => Ok(Command::Protocols {
            all: true,
            name: None,
        }),
        [name, rest @ ..] => {
            nothing_more(rest)?;
            Ok(Command::Protocols {
                all,
                name: Some((*name).to_owned()),
            })
        }
    }
}

fn parse_routes(words: &[&str]) -> Result<Command, ParseError> {
    let (mut all, mut filtered) = (false, false);
    let mut select = RouteSelect::All;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word.contains('/') {
            select = RouteSelect::Exact((*word).to_owned());
            continue;
        }
        match keyword(word, &["all", "filtered", "for"])? {
            "all" => all = true,
            "filtered" => filtered = true,
            _ => {
                let addr = words.next().ok_or_else(|| ParseError::Incomplete {
                    expected: "an IP address".to_owned(),
                })?;
                let parsed = addr.parse().map_err(|_| ParseError::NotAnAddress {
                    word: (*addr).to_owned(),
                })?;
                select = RouteSelect::For(parsed);
            }
        }
    }
    Ok(Command::Routes {
        all,
        filtered,
        select,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cmd(line: &str) -> Result<Command, ParseError> {
        parse(&line.split_whitespace().collect::<Vec<_>>())
    }

    #[test]
    fn words_may_be_shortened() {
        assert_eq!(cmd("show protocols all"), cmd("sh pro a"));
        assert_eq!(
            cmd("s r fo 10.0.0.1 a"),
            Ok(Command::Routes {
                all: true,
                filtered: false,
                select: RouteSelect::For("10.0.0.1".parse().unwrap()),
            })
        );
        assert_eq!(cmd("show status"), Ok(Command::Status));
        assert_eq!(cmd("show k"), Ok(Command::Kernel));
        assert_eq!(cmd("dr"), Ok(Command::Drain));
        assert_eq!(cmd("undrain"), Ok(Command::Undrain));
        assert_eq!(cmd("show se"), Ok(Command::Services));
        for line in ["show bfd sessions", "s b s", "show bfd"] {
            assert_eq!(cmd(line), Ok(Command::Bfd), "{line}");
        }
        assert_eq!(cmd("show route filtered"), cmd("sh r fi"));
    }

    #[test]
    fn a_name_is_not_a_keyword() {
        assert_eq!(
            cmd("show protocols all tor"),
            Ok(Command::Protocols {
                all: true,
                name: Some("tor".into())
            })
        );
        assert_eq!(
            cmd("show protocols mesh-n2"),
            Ok(Command::Protocols {
                all: false,
                name: Some("mesh-n2".into())
            })
        );
    }

    #[test]
    fn a_prefix_is_an_exact_match() {
        assert_eq!(
            cmd("show route 10.244.1.0/24"),
            Ok(Command::Routes {
                all: false,
                filtered: false,
                select: RouteSelect::Exact("10.244.1.0/24".into()),
            })
        );
    }

    #[test]
    fn errors_name_the_word_and_what_was_expected() {
        for (line, text) in [
            ("", "incomplete command; expected show, drain, undrain"),
            (
                "show",
                "incomplete command; expected status, protocols, route, kernel, services, bfd",
            ),
            (
                "show nothing",
                "\"nothing\" is not understood here; expected status, protocols, route, kernel, services, bfd",
            ),
            (
                "show route for",
                "incomplete command; expected an IP address",
            ),
            ("show route for x", "\"x\" is not an IP address"),
            (
                "show status now",
                "\"now\" is not understood here; expected the end of the command",
            ),
        ] {
            assert_eq!(cmd(line).unwrap_err().to_string(), text, "{line}");
        }
    }

    #[test]
    fn an_ambiguous_word_lists_its_candidates() {
        let error = keyword("s", &["show", "set"]).unwrap_err();
        assert_eq!(error.to_string(), "\"s\" is ambiguous: show, set");
    }
}
