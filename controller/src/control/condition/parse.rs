//! Conditions, and what else stands on a line of BIRD's: cut into tokens, and read.

use std::{fmt, net::IpAddr};

use redstart_bgp::types::Prefix;

use super::{Attribute, CommunityKind, Comparison, Condition, Hop, NetPattern, NumberOf, Part};
use crate::control::PeerPattern;

/// How deep conditions may be nested.
const DEPTH: usize = 64;

/// What stands there is no condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// A character that begins nothing.
    #[error("{0:?} begins nothing here")]
    Character(char),
    /// A quote that is not closed.
    #[error("a quote is not closed")]
    Quote,
    /// Something else was expected.
    #[error("unexpected {found}, expecting {expected}")]
    Unexpected {
        /// What is there.
        found: String,
        /// What could be.
        expected: &'static str,
    },
    /// Too many parentheses.
    #[error("nested too deep")]
    Nested,
}

/// A piece of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A keyword, a number, an address, a prefix, or a name.
    Word(String),
    /// `'a name'`: never a keyword.
    Name(String),
    /// `"a text"`
    Text(String),
    /// `~`, `&&`, `(` and their like.
    Sign(&'static str),
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(text) | Self::Name(text) | Self::Text(text) => write!(f, "{text:?}"),
            Self::Sign(sign) => write!(f, "{sign:?}"),
        }
    }
}

/// Longer ones first.
const SIGNS: [&str; 22] = [
    "[=", "=]", "!=", "!~", "<=", ">=", "&&", "||", "=", "<", ">", "~", "!", "(", ")", "[", "]",
    "{", "}", ",", "+", "*",
];

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || "_-./:%@".contains(c)
}

/// Cuts a line into tokens.
pub(crate) fn tokens(line: &str) -> Result<Vec<Token>, ConditionError> {
    let mut tokens = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let left = if is_word(first) {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..end].to_owned()));
            &rest[end..]
        } else if first == '"' || first == '\'' {
            let inner = &rest[1..];
            let end = inner.find(first).ok_or(ConditionError::Quote)?;
            let text = inner[..end].to_owned();
            tokens.push(match first {
                '"' => Token::Text(text),
                _ => Token::Name(text),
            });
            &inner[end + 1..]
        } else if first == '?' {
            tokens.push(Token::Sign("?"));
            &rest[1..]
        } else {
            let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
            let sign = sign.ok_or(ConditionError::Character(first))?;
            tokens.push(Token::Sign(sign));
            &rest[sign.len()..]
        };
        rest = left.trim_start();
    }
    Ok(tokens)
}

/// Reads tokens from the first to the last.
#[derive(Debug)]
pub(crate) struct Parser<'t> {
    tokens: &'t [Token],
    depth: usize,
}

impl<'t> Parser<'t> {
    pub(crate) const fn new(tokens: &'t [Token]) -> Self {
        Self { tokens, depth: 0 }
    }

    /// The next token, without taking it.
    pub(crate) fn peek(&self) -> Option<&'t Token> {
        self.tokens.first()
    }

    /// Takes the next token.
    pub(crate) fn next(&mut self) -> Option<&'t Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    /// Takes the next token if it is this word.
    pub(crate) fn takes(&mut self, word: &str) -> bool {
        let is = matches!(self.peek(), Some(Token::Word(found)) if found == word);
        if is {
            self.next();
        }
        is
    }

    fn takes_sign(&mut self, sign: &str) -> bool {
        let is = matches!(self.peek(), Some(Token::Sign(found)) if *found == sign);
        if is {
            self.next();
        }
        is
    }

    /// Says that the next token is not what could stand there.
    pub(crate) fn unexpected(&self, expected: &'static str) -> ConditionError {
        ConditionError::Unexpected {
            found: self
                .peek()
                .map_or_else(|| "end of the line".to_owned(), Token::to_string),
            expected,
        }
    }

    /// Nothing more may come.
    pub(crate) fn end(&self) -> Result<(), ConditionError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end of the line")),
        }
    }

    fn sign(&mut self, sign: &'static str) -> Result<(), ConditionError> {
        if self.takes_sign(sign) {
            return Ok(());
        }
        Err(self.unexpected(sign))
    }

    fn word(&mut self, expected: &'static str) -> Result<&'t str, ConditionError> {
        match self.peek() {
            Some(Token::Word(word)) => {
                self.next();
                Ok(word)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    /// Takes a word that can be read as a `T`.
    pub(crate) fn value<T: std::str::FromStr>(
        &mut self,
        expected: &'static str,
    ) -> Result<T, ConditionError> {
        let parsed = match self.peek() {
            Some(Token::Word(word)) => word.parse().ok(),
            _ => None,
        };
        let value = parsed.ok_or_else(|| self.unexpected(expected))?;
        self.next();
        Ok(value)
    }

    /// `a || b && !c`, with the usual precedence.
    pub(crate) fn condition(&mut self) -> Result<Condition, ConditionError> {
        let mut left = self.conjunction()?;
        while self.takes_sign("||") {
            left = Condition::Or(Box::new(left), Box::new(self.conjunction()?));
        }
        Ok(left)
    }

    fn conjunction(&mut self) -> Result<Condition, ConditionError> {
        let mut left = self.negation()?;
        while self.takes_sign("&&") {
            left = Condition::And(Box::new(left), Box::new(self.negation()?));
        }
        Ok(left)
    }

    fn negation(&mut self) -> Result<Condition, ConditionError> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(ConditionError::Nested);
        }
        let condition = if self.takes_sign("!") {
            Condition::Not(Box::new(self.negation()?))
        } else if matches!(self.peek(), Some(Token::Sign("("))) {
            self.in_parentheses()?
        } else {
            self.about()?
        };
        self.depth -= 1;
        Ok(condition)
    }

    /// A nested condition, or a community: `(65000,1) ~ bgp_community`.
    fn in_parentheses(&mut self) -> Result<Condition, ConditionError> {
        let before = self.tokens;
        if let Ok(parts) = self.community() {
            if self.takes_sign("~") {
                let kind = self.community_kind()?;
                return Ok(Condition::Community(kind, parts));
            }
            self.tokens = before;
        }
        self.tokens = before;
        self.sign("(")?;
        let inner = self.condition()?;
        self.sign(")")?;
        Ok(inner)
    }

    fn community_kind(&mut self) -> Result<CommunityKind, ConditionError> {
        let kind = match self.peek() {
            Some(Token::Word(word)) => community_kind(word),
            _ => None,
        };
        let kind = kind.ok_or_else(|| {
            self.unexpected("bgp_community, bgp_large_community or bgp_ext_community")
        })?;
        self.next();
        Ok(kind)
    }

    /// `(65000, 1)`
    fn community(&mut self) -> Result<Vec<Part>, ConditionError> {
        self.sign("(")?;
        let mut parts = Vec::new();
        loop {
            parts.push(if self.takes_sign("*") {
                Part::Any
            } else {
                Part::Is(self.word("a number or *")?.to_owned())
            });
            if !self.takes_sign(",") {
                break;
            }
        }
        self.sign(")")?;
        match parts.len() {
            2 | 3 => Ok(parts),
            _ => Err(self.unexpected("a community of two or three parts")),
        }
    }

    /// `bgp_med < 100`, and whatever else asks about a route.
    fn about(&mut self) -> Result<Condition, ConditionError> {
        const EXPECTED: &str = "a condition";
        let Some(Token::Word(word)) = self.peek() else {
            return Err(self.unexpected(EXPECTED));
        };
        if let Some(number) = number_of(word) {
            self.next();
            let comparison = self.comparison()?;
            return Ok(Condition::Number(
                number,
                comparison,
                self.value("a number")?,
            ));
        }
        if let Some(kind) = community_kind(word) {
            self.next();
            return self.matched(|parser| Ok(Condition::Community(kind, parser.communities()?)));
        }
        let read: fn(&mut Self) -> Result<Condition, ConditionError> = match word.as_str() {
            "true" => |_| Ok(Condition::Always(true)),
            "false" => |_| Ok(Condition::Always(false)),
            "net" => Self::net,
            "bgp_path" => |parser| parser.matched(|parser| Ok(Condition::Path(parser.mask()?))),
            "bgp_next_hop" => |parser| parser.address(Condition::NextHop),
            "gw" => |parser| parser.address(Condition::Gateway),
            "proto" => Self::proto,
            "source" => |parser| parser.equal(Self::source),
            "bgp_origin" => |parser| parser.equal(Self::origin),
            "defined" => Self::defined,
            _ => return Err(self.unexpected(EXPECTED)),
        };
        self.next();
        read(self)
    }

    /// `= 192.0.2.1`
    fn address(&mut self, about: fn(IpAddr) -> Condition) -> Result<Condition, ConditionError> {
        self.equal(|parser| Ok(about(parser.value("an IP address")?)))
    }

    /// Routes are learned or our own; of the kinds that BIRD knows beside those there are none.
    fn source(&mut self) -> Result<Condition, ConditionError> {
        match self.word("RTS_BGP or RTS_STATIC")? {
            "RTS_BGP" => Ok(Condition::Local(false)),
            "RTS_STATIC" => Ok(Condition::Local(true)),
            _ => Ok(Condition::Always(false)),
        }
    }

    /// `(bgp_med)`
    fn defined(&mut self) -> Result<Condition, ConditionError> {
        self.sign("(")?;
        let attribute = self.attribute()?;
        self.sign(")")?;
        Ok(Condition::Defined(attribute))
    }

    fn origin(&mut self) -> Result<Condition, ConditionError> {
        const EXPECTED: &str = "ORIGIN_IGP, ORIGIN_EGP or ORIGIN_INCOMPLETE";
        let origin = match self.peek() {
            Some(Token::Word(word)) => match word.as_str() {
                "ORIGIN_IGP" => "IGP",
                "ORIGIN_EGP" => "EGP",
                "ORIGIN_INCOMPLETE" => "Incomplete",
                _ => return Err(self.unexpected(EXPECTED)),
            },
            _ => return Err(self.unexpected(EXPECTED)),
        };
        self.next();
        Ok(Condition::Origin(origin))
    }

    fn attribute(&mut self) -> Result<Attribute, ConditionError> {
        let attribute = match self.peek() {
            Some(Token::Word(word)) => number_of(word)
                .map(Attribute::Number)
                .or_else(|| community_kind(word).map(Attribute::Community))
                .or_else(|| (word == "bgp_next_hop").then_some(Attribute::NextHop)),
            _ => None,
        };
        let attribute = attribute.ok_or_else(|| self.unexpected("an attribute"))?;
        self.next();
        Ok(attribute)
    }

    fn proto(&mut self) -> Result<Condition, ConditionError> {
        let not = match self.next() {
            Some(Token::Sign("=" | "~")) => false,
            Some(Token::Sign("!=" | "!~")) => true,
            _ => return Err(self.unexpected("=, !=, ~ or !~")),
        };
        let pattern = match self.next() {
            Some(Token::Text(text)) => PeerPattern::Like(text.clone()),
            Some(Token::Name(name) | Token::Word(name)) => PeerPattern::Name(name.clone()),
            _ => return Err(self.unexpected("a name")),
        };
        Ok(negate(not, Condition::From(pattern)))
    }

    fn comparison(&mut self) -> Result<Comparison, ConditionError> {
        let comparison = match self.peek() {
            Some(Token::Sign("=")) => Comparison::Equal,
            Some(Token::Sign("!=")) => Comparison::NotEqual,
            Some(Token::Sign("<")) => Comparison::Less,
            Some(Token::Sign("<=")) => Comparison::LessOrEqual,
            Some(Token::Sign(">")) => Comparison::Greater,
            Some(Token::Sign(">=")) => Comparison::GreaterOrEqual,
            _ => return Err(self.unexpected("a comparison")),
        };
        self.next();
        Ok(comparison)
    }

    /// `~` or `!~`, and what follows.
    fn matched(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Condition, ConditionError>,
    ) -> Result<Condition, ConditionError> {
        let not = self.takes_sign("!~");
        if !not {
            self.sign("~")?;
        }
        Ok(negate(not, read(self)?))
    }

    /// `=` or `!=`, and what follows.
    fn equal(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Condition, ConditionError>,
    ) -> Result<Condition, ConditionError> {
        let not = self.takes_sign("!=");
        if !not {
            self.sign("=")?;
        }
        Ok(negate(not, read(self)?))
    }

    /// `(65000,1)`, or a set of one: `[(65000,1)]`.
    fn communities(&mut self) -> Result<Vec<Part>, ConditionError> {
        if !self.takes_sign("[") {
            return self.community();
        }
        let parts = self.community()?;
        self.sign("]")?;
        Ok(parts)
    }

    /// `[= * 65001 ? =]`
    fn mask(&mut self) -> Result<Vec<Hop>, ConditionError> {
        self.sign("[=")?;
        let mut mask = Vec::new();
        while !self.takes_sign("=]") {
            mask.push(if self.takes_sign("*") {
                Hop::Some
            } else if self.takes_sign("?") {
                Hop::Any
            } else {
                Hop::As(self.value("an AS number, * or ?")?)
            });
        }
        Ok(mask)
    }

    fn net(&mut self) -> Result<Condition, ConditionError> {
        if matches!(self.peek(), Some(Token::Sign("=" | "!="))) {
            return self.equal(|parser| {
                let prefix: Prefix = parser.value("a prefix")?;
                Ok(Condition::Net(vec![exactly(prefix)]))
            });
        }
        self.matched(|parser| {
            if !parser.takes_sign("[") {
                let prefix: Prefix = parser.value("a prefix, or a set of them")?;
                return Ok(Condition::Net(vec![within(prefix)]));
            }
            let mut set = Vec::new();
            loop {
                set.push(parser.net_pattern()?);
                if !parser.takes_sign(",") {
                    break;
                }
            }
            parser.sign("]")?;
            Ok(Condition::Net(set))
        })
    }

    /// `10.0.0.0/8`, `10.0.0.0/8+`, `10.0.0.0/8{16,24}`
    fn net_pattern(&mut self) -> Result<NetPattern, ConditionError> {
        let prefix: Prefix = self.value("a prefix")?;
        if self.takes_sign("+") {
            return Ok(within(prefix));
        }
        if !self.takes_sign("{") {
            return Ok(exactly(prefix));
        }
        let min = self.value("a length")?;
        self.sign(",")?;
        let max = self.value("a length")?;
        self.sign("}")?;
        Ok(NetPattern { prefix, min, max })
    }
}

fn exactly(prefix: Prefix) -> NetPattern {
    let (min, max) = (prefix.len(), prefix.len());
    NetPattern { prefix, min, max }
}

fn within(prefix: Prefix) -> NetPattern {
    let (min, max) = (prefix.len(), 128);
    NetPattern { prefix, min, max }
}

fn negate(not: bool, condition: Condition) -> Condition {
    if not {
        return Condition::Not(Box::new(condition));
    }
    condition
}

fn number_of(word: &str) -> Option<NumberOf> {
    Some(match word {
        "net.len" => NumberOf::NetLength,
        "bgp_path.len" => NumberOf::PathLength,
        "bgp_path.first" => NumberOf::PathFirst,
        "bgp_path.last" => NumberOf::PathLast,
        "bgp_local_pref" => NumberOf::LocalPref,
        "bgp_med" => NumberOf::Med,
        "bgp_aigp" => NumberOf::Aigp,
        _ => return None,
    })
}

fn community_kind(word: &str) -> Option<CommunityKind> {
    Some(match word {
        "bgp_community" => CommunityKind::Standard,
        "bgp_large_community" => CommunityKind::Large,
        "bgp_ext_community" => CommunityKind::Extended,
        _ => return None,
    })
}
