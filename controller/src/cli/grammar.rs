//! How commands are read: a path of words, then options and values in any order.
//!
//! Pure, and generic over the table of commands ([`super::table`]): parser, help, completion, the `?`
//! of the prompt and the man page are all made from that one table. As in `birdc`, a word may be cut
//! short as long as one keyword alone begins with it: `sh pro a` is `show protocols all`.
//!
//! A word that is an option's keyword, in full or cut short, is that option; every other word is a
//! value that stands alone. So a neighbour that has the name of a keyword is named after it:
//! `show protocols all all`.

use std::net::IpAddr;

use redstart_bgp::types::Prefix;

use super::command::Command;
use crate::control::condition::{Condition, ConditionError};

/// A command.
#[derive(Debug)]
pub struct Spec {
    /// The words that it begins with.
    pub words: &'static [&'static str],
    /// What may follow.
    pub args: &'static [Arg],
    /// What it does, in half a line.
    pub about: &'static str,
    /// What else there is to say.
    pub more: &'static str,
    /// Makes it of what was given.
    pub build: fn(&Given<'_>) -> Command,
}

/// Something that may follow a command's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arg {
    /// What it begins with; nothing for a value that stands alone.
    pub keyword: Option<&'static str>,
    /// The value behind it.
    pub value: Option<Value>,
    /// Whether the command is incomplete without it.
    pub required: bool,
    /// What it is for.
    pub about: &'static str,
}

impl Arg {
    /// A word alone.
    #[must_use]
    pub const fn flag(keyword: &'static str, about: &'static str) -> Self {
        Self {
            keyword: Some(keyword),
            value: None,
            required: false,
            about,
        }
    }

    /// A word and a value.
    #[must_use]
    pub const fn option(keyword: &'static str, value: Value, about: &'static str) -> Self {
        Self {
            keyword: Some(keyword),
            value: Some(value),
            required: false,
            about,
        }
    }

    /// A value that stands alone.
    #[must_use]
    pub const fn value(value: Value, about: &'static str) -> Self {
        Self {
            keyword: None,
            value: Some(value),
            required: false,
            about,
        }
    }

    /// The same, and it cannot be left out.
    #[must_use]
    pub const fn required(self) -> Self {
        Self {
            required: true,
            ..self
        }
    }

    /// As it stands in a synopsis: `[for ADDR]`.
    #[must_use]
    pub fn synopsis(&self) -> String {
        let parts = [self.keyword, self.value.map(Value::name)];
        let text = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
        if self.required {
            text
        } else {
            format!("[{text}]")
        }
    }
}

/// Kinds of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// An IP address.
    Address,
    /// A prefix, or an address, which is one as well.
    Prefix,
    /// An address or a prefix.
    Destination,
    /// The name of a neighbour.
    Peer,
    /// The same, or `all`, or a pattern.
    Peers,
    /// A condition on routes: as many words as make one.
    Condition,
    /// A file or a directory.
    Path,
    /// A file to write.
    File,
    /// A level of the log.
    Level,
    /// Anything else.
    Text,
}

impl Value {
    /// As it stands in a synopsis.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Address => "ADDR",
            Self::Prefix => "PREFIX",
            Self::Destination => "ADDR|PREFIX",
            Self::Peer => "PEER",
            Self::Peers => "PEER|all",
            Self::Condition => "CONDITION",
            Self::Path => "FILE|DIR",
            Self::File => "FILE",
            Self::Level => "LEVEL",
            Self::Text => "TEXT",
        }
    }

    /// What it is, in words.
    const fn described(self) -> &'static str {
        match self {
            Self::Address => "an IP address",
            Self::Prefix => "a prefix",
            Self::Destination => "an IP address or a prefix",
            Self::Peer => "a neighbour's name",
            Self::Peers => "a neighbour's name, a pattern or all",
            Self::Condition => "a condition",
            Self::Path => "a file or a directory",
            Self::File => "a file",
            Self::Level => "error, warn, info, debug, trace or default",
            Self::Text => "a text",
        }
    }

    /// Whether a word is one of these and nothing else: no keyword has a dot, colon or slash.
    fn is_surely(self, word: &str) -> bool {
        matches!(self, Self::Address | Self::Prefix | Self::Destination)
            && word.contains(['.', ':', '/'])
    }

    /// Whether a word looks like one.
    fn may_be(self, word: &str) -> bool {
        let is_address = matches!(self, Self::Address | Self::Prefix | Self::Destination);
        !is_address || self.is_surely(word)
    }

    /// Takes as many words as make a value.
    fn take(self, words: &[String]) -> Result<(String, &[String]), ParseError> {
        let Some((word, rest)) = words.split_first() else {
            return Err(ParseError::Incomplete {
                expected: self.described().to_owned(),
            });
        };
        let fits = match self {
            Self::Condition => return condition(words),
            Self::Address => word.parse::<IpAddr>().is_ok(),
            Self::Prefix | Self::Destination => prefix(word).is_some(),
            Self::Level => LEVELS.contains(&word.as_str()),
            Self::Peer | Self::Peers | Self::Path | Self::File | Self::Text => true,
        };
        if fits {
            return Ok((word.clone(), rest));
        }
        Err(ParseError::NotAValue {
            word: word.clone(),
            expected: self.described(),
        })
    }
}

/// The levels of the log that may be asked for.
pub const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "default"];

/// A prefix, or an address, which is one as well.
#[must_use]
pub fn prefix(word: &str) -> Option<Prefix> {
    let address = || word.parse::<IpAddr>().ok().map(Prefix::host);
    word.parse().ok().or_else(address)
}

/// The longest run of words that is a condition. What follows it may be options of the command.
fn condition(words: &[String]) -> Result<(String, &[String]), ParseError> {
    let text = |n: usize| words[..n].join(" ");
    let found = (1..=words.len())
        .rev()
        .find(|n| Condition::parse(&text(*n)).is_ok());
    match found {
        Some(n) => Ok((text(n), &words[n..])),
        None => {
            let whole = text(words.len());
            let reason = Condition::parse(&whole).err();
            Err(reason.map_or(
                ParseError::Incomplete {
                    expected: Value::Condition.described().to_owned(),
                },
                ParseError::NotACondition,
            ))
        }
    }
}

/// What was given of a command's arguments.
#[derive(Debug, Default)]
pub struct Given<'s>(Vec<(&'s Arg, String)>);

impl Given<'_> {
    /// Whether a flag was given.
    #[must_use]
    pub fn has(&self, keyword: &str) -> bool {
        self.0.iter().any(|(arg, _)| arg.keyword == Some(keyword))
    }

    /// The value behind a keyword.
    #[must_use]
    pub fn of(&self, keyword: &str) -> Option<String> {
        let mut given = self.0.iter();
        let found = given.find(|(arg, _)| arg.keyword == Some(keyword));
        found.map(|(_, value)| value.clone())
    }

    /// The value that stands alone.
    #[must_use]
    pub fn alone(&self) -> Option<String> {
        let mut given = self.0.iter();
        let found = given.find(|(arg, _)| arg.keyword.is_none());
        found.map(|(_, value)| value.clone())
    }

    fn includes(&self, arg: &Arg) -> bool {
        self.0.iter().any(|(given, _)| *given == arg)
    }
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
    /// A value of another kind.
    #[error("{word:?} is not {expected}")]
    NotAValue {
        /// What was typed.
        word: String,
        /// What should be there.
        expected: &'static str,
    },
    /// No condition.
    #[error("not a condition: {0}")]
    NotACondition(ConditionError),
}

/// Finds the keyword that `word` stands for: itself, or the only one that it begins.
fn keyword<'k>(word: &str, keywords: &[&'k str]) -> Result<Option<&'k str>, ParseError> {
    if let Some(exact) = keywords.iter().find(|k| **k == word) {
        return Ok(Some(exact));
    }
    let begun = |k: &&&str| !word.is_empty() && k.starts_with(word);
    let candidates: Vec<&str> = keywords.iter().filter(begun).copied().collect();
    match candidates.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(only)),
        _ => Err(ParseError::Ambiguous {
            word: word.to_owned(),
            candidates: candidates.join(", "),
        }),
    }
}

/// Something that could stand at the end of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// A keyword, or the name of a kind of values.
    pub word: &'static str,
    /// The kind of values, if it is one.
    pub value: Option<Value>,
    /// What it is for.
    pub about: &'static str,
}

/// Where reading has come to.
#[derive(Debug)]
pub struct Reading<'s> {
    table: &'s [Spec],
    /// How many of the commands' words were read.
    depth: usize,
    /// Commands that begin with them.
    begun: Vec<&'s Spec>,
    /// The command, once its words are complete.
    spec: Option<&'s Spec>,
    given: Given<'s>,
    /// A keyword whose value is to come.
    awaited: Option<&'s Arg>,
}

impl<'s> Reading<'s> {
    /// Reads `words` as far as they go.
    ///
    /// # Errors
    /// [`ParseError`] names the word that does not fit and what would.
    pub fn of<S: AsRef<str>>(table: &'s [Spec], words: &[S]) -> Result<Self, ParseError> {
        let words: Vec<String> = words.iter().map(|w| w.as_ref().to_owned()).collect();
        let mut reading = Self {
            table,
            depth: 0,
            begun: table.iter().collect(),
            spec: None,
            given: Given::default(),
            awaited: None,
        };
        let mut rest = words.as_slice();
        while reading.spec.is_none() {
            let Some((word, after)) = rest.split_first() else {
                return Ok(reading);
            };
            reading.descend(word)?;
            rest = after;
        }
        while !rest.is_empty() {
            rest = reading.argument(rest)?;
        }
        Ok(reading)
    }

    /// The command, if it is complete.
    ///
    /// # Errors
    /// [`ParseError::Incomplete`] says what is missing.
    pub fn finish(self) -> Result<Command, ParseError> {
        let missing = |expected: String| ParseError::Incomplete { expected };
        let Some(spec) = self.spec else {
            return Err(missing(names(&self.next())));
        };
        if let Some(value) = self.awaited.and_then(|arg| arg.value) {
            return Err(missing(value.described().to_owned()));
        }
        let lacking = spec
            .args
            .iter()
            .find(|a| a.required && !self.given.includes(a));
        match lacking {
            Some(arg) => Err(missing(
                arg.value
                    .map_or_else(|| arg.synopsis(), |v| v.described().to_owned()),
            )),
            None => Ok((spec.build)(&self.given)),
        }
    }

    /// What could come next.
    #[must_use]
    pub fn next(&self) -> Vec<Next> {
        let Some(spec) = self.spec else {
            return self.next_words();
        };
        if let Some((arg, value)) = self.awaited.and_then(|arg| Some((arg, arg.value?))) {
            return vec![Next {
                word: value.name(),
                value: Some(value),
                about: arg.about,
            }];
        }
        let left = spec.args.iter().filter(|arg| !self.given.includes(arg));
        let next = left.filter_map(|arg| {
            Some(Next {
                word: arg.keyword.or(arg.value.map(Value::name))?,
                value: arg.value.filter(|_| arg.keyword.is_none()),
                about: arg.about,
            })
        });
        next.collect()
    }

    fn next_words(&self) -> Vec<Next> {
        let mut next: Vec<Next> = Vec::new();
        for spec in &self.begun {
            let Some(word) = spec.words.get(self.depth) else {
                continue;
            };
            // Of several commands that go on with a word, nobody speaks for all.
            let several = self
                .begun
                .iter()
                .filter(|s| s.words.get(self.depth) == Some(word));
            let about = if several.count() > 1 { "" } else { spec.about };
            if next.iter().all(|n| n.word != *word) {
                next.push(Next {
                    word,
                    value: None,
                    about,
                });
            }
        }
        next
    }

    fn descend(&mut self, word: &str) -> Result<(), ParseError> {
        let next = self.next_words();
        let words: Vec<&str> = next.iter().map(|n| n.word).collect();
        let Some(found) = keyword(word, &words)? else {
            return Err(ParseError::Unknown {
                word: word.to_owned(),
                expected: names(&next),
            });
        };
        self.begun
            .retain(|s| s.words.get(self.depth) == Some(&found));
        self.depth += 1;
        let complete = self.table.iter().find(|s| {
            s.words.len() == self.depth && self.begun.iter().any(|b| std::ptr::eq(*b, *s))
        });
        self.spec = complete;
        Ok(())
    }

    /// Takes one argument.
    fn argument<'w>(&mut self, words: &'w [String]) -> Result<&'w [String], ParseError> {
        let (Some(spec), Some((word, after))) = (self.spec, words.split_first()) else {
            return Ok(&[]);
        };
        let left = || spec.args.iter().filter(|arg| !self.given.includes(arg));
        let alone = left().find(|arg| arg.keyword.is_none());
        let surely = alone.filter(|a| a.value.is_some_and(|value| value.is_surely(word)));
        let keywords: Vec<&str> = left().filter_map(|arg| arg.keyword).collect();
        let named = match surely {
            Some(_) => None,
            None => keyword(word, &keywords)?,
        };
        let (arg, words) = match named {
            Some(found) => (left().find(|arg| arg.keyword == Some(found)), after),
            None => (alone, words),
        };
        // A word that is neither a keyword nor anything like a value is a mistyped keyword.
        let arg = arg.filter(|arg| {
            let alone = arg.value.filter(|_| arg.keyword.is_none());
            alone.is_none_or(|value| value.may_be(word))
        });
        let Some(arg) = arg else {
            let next = self.next();
            let end = "the end of the command".to_owned();
            return Err(ParseError::Unknown {
                word: word.clone(),
                expected: if next.is_empty() { end } else { names(&next) },
            });
        };
        let Some(value) = arg.value else {
            self.given.0.push((arg, String::new()));
            return Ok(words);
        };
        if words.is_empty() {
            self.awaited = Some(arg);
            return Ok(words);
        }
        let (text, rest) = value.take(words)?;
        self.given.0.push((arg, text));
        Ok(rest)
    }
}

fn names(next: &[Next]) -> String {
    let words: Vec<_> = next.iter().map(|n| n.word).collect();
    words.join(", ")
}
