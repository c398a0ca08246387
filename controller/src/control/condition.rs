//! Conditions on routes, as operators write them: `bgp_path ~ [= * 65001 * =] && bgp_med < 100`.
//!
//! The words are those of BIRD's filters, as far as they ask about a route: who has learned them need
//! not learn others, and BIRD's own clients send them. A condition reads [`views`](super::views), what
//! the reader is shown, so that what is seen and what is asked for are never two things.
//!
//! | of the route | compared with |
//! |---|---|
//! | `net` | `=` a prefix, `~` a set: `[10.0.0.0/8+, 192.0.2.0/24{25,32}]` |
//! | `net.len`, `bgp_path.len`, `bgp_path.first`, `bgp_path.last`, `bgp_local_pref`, `bgp_med`, `bgp_aigp` | numbers: `=` `!=` `<` `<=` `>` `>=` |
//! | `bgp_path` | `~` a mask: `*` any ASNs, `?` one, or a number |
//! | `bgp_community`, `bgp_large_community`, `bgp_ext_community` | `~` `(65000,1)`, `(65000,1,2)`, `(rt,65000,1)`; `*` is any number. Also the other way round, as in BIRD |
//! | `bgp_next_hop`, `gw` | `=` an address |
//! | `proto` | `=` or `~` a name in quotes, with `*` and `?` |
//! | `source` | `=` `RTS_BGP` or `RTS_STATIC` |
//! | `bgp_origin` | `=` `ORIGIN_IGP`, `ORIGIN_EGP` or `ORIGIN_INCOMPLETE` |
//!
//! `defined(X)` asks whether the route has an attribute; what it does not have compares as false.

mod parse;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

pub use parse::ConditionError;
pub(crate) use parse::{Parser, Token, tokens};
use redstart_bgp::types::Prefix;

use super::{PeerPattern, views::Path, wildcard};

/// A condition on a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Always, or never.
    Always(bool),
    /// Not this one.
    Not(Box<Self>),
    /// Both.
    And(Box<Self>, Box<Self>),
    /// At least one.
    Or(Box<Self>, Box<Self>),
    /// A number of the route, compared.
    Number(NumberOf, Comparison, u64),
    /// The prefix is one of a set.
    Net(Vec<NetPattern>),
    /// The AS path fits a mask.
    Path(Vec<Hop>),
    /// One of the communities fits.
    Community(CommunityKind, Vec<Part>),
    /// The BGP next hop.
    NextHop(IpAddr),
    /// A gateway that the next hop resolves to.
    Gateway(IpAddr),
    /// Where the route comes from.
    From(PeerPattern),
    /// Whether it is our own.
    Local(bool),
    /// The ORIGIN, as the views name it.
    Origin(&'static str),
    /// The route has the attribute.
    Defined(Attribute),
}

/// A number that a route has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberOf {
    /// Length of the prefix, in bits.
    NetLength,
    /// Length of the AS path; an AS_SET counts as one (RFC 4271 section 9.1.2.2).
    PathLength,
    /// The AS that announced it to us.
    PathFirst,
    /// The AS that it comes from.
    PathLast,
    /// LOCAL_PREF.
    LocalPref,
    /// MULTI_EXIT_DISC.
    Med,
    /// The metric in AIGP.
    Aigp,
}

/// How numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// Prefixes: those within `prefix` whose length is from `min` to `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetPattern {
    /// They lie in it.
    pub prefix: Prefix,
    /// The shortest.
    pub min: u8,
    /// The longest.
    pub max: u8,
}

/// A part of a mask for AS paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// `*`: any number of any.
    Some,
    /// `?`: any one.
    Any,
    /// This one.
    As(u32),
}

/// A kind of communities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommunityKind {
    /// RFC 1997.
    Standard,
    /// RFC 8092.
    Large,
    /// RFC 4360.
    Extended,
}

/// A part of a community.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// `*`
    Any,
    /// This text: a number, an address, or a type such as `rt`.
    Is(String),
}

/// An attribute that a route may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// A number.
    Number(NumberOf),
    /// Communities of a kind.
    Community(CommunityKind),
    /// The next hop.
    NextHop,
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// [`ConditionError`] names the word that does not fit.
    pub fn parse(text: &str) -> Result<Self, ConditionError> {
        let tokens = tokens(text)?;
        let mut parser = Parser::new(&tokens);
        let condition = parser.condition()?;
        parser.end()?;
        Ok(condition)
    }

    /// Whether it holds for a path to `prefix`.
    #[must_use]
    pub fn holds(&self, prefix: Prefix, path: &Path) -> bool {
        match self {
            Self::Always(always) => *always,
            Self::Not(inner) => !inner.holds(prefix, path),
            Self::And(a, b) => a.holds(prefix, path) && b.holds(prefix, path),
            Self::Or(a, b) => a.holds(prefix, path) || b.holds(prefix, path),
            Self::Number(of, comparison, with) => {
                number(*of, prefix, path).is_some_and(|number| comparison.holds(number, *with))
            }
            Self::Net(patterns) => patterns.iter().any(|pattern| pattern.contains(prefix)),
            Self::Path(mask) => wildcard::matches(
                mask,
                &path_elements(&path.as_path),
                |hop| *hop == Hop::Some,
                |hop, element| hop.fits(element),
            ),
            Self::Community(kind, parts) => communities(*kind, path)
                .iter()
                .any(|community| community_fits(parts, community)),
            Self::NextHop(address) => path.next_hop == Some(*address),
            Self::Gateway(address) => {
                let via = format!("via {address} ");
                path.gateways
                    .iter()
                    .any(|gateway| gateway.starts_with(&via))
            }
            Self::From(pattern) => pattern.matches(&path.from),
            Self::Local(local) => (path.kind == "local") == *local,
            Self::Origin(origin) => path.origin == *origin,
            Self::Defined(Attribute::Number(of)) => number(*of, prefix, path).is_some(),
            Self::Defined(Attribute::Community(kind)) => !communities(*kind, path).is_empty(),
            Self::Defined(Attribute::NextHop) => path.next_hop.is_some(),
        }
    }
}

impl Comparison {
    fn holds(self, left: u64, right: u64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

impl NetPattern {
    fn contains(&self, prefix: Prefix) -> bool {
        self.prefix.covers(prefix) && (self.min..=self.max).contains(&prefix.len())
    }
}

fn number(of: NumberOf, prefix: Prefix, path: &Path) -> Option<u64> {
    let asn = |text: &str| text.parse().ok();
    match of {
        NumberOf::NetLength => Some(u64::from(prefix.len())),
        NumberOf::PathLength => Some(path_elements(&path.as_path).len() as u64),
        NumberOf::PathFirst => path_elements(&path.as_path).first().and_then(|a| asn(a)),
        NumberOf::PathLast => path_elements(&path.as_path).last().and_then(|a| asn(a)),
        NumberOf::LocalPref => path.local_pref.map(u64::from),
        NumberOf::Med => path.med.map(u64::from),
        NumberOf::Aigp => path.aigp,
    }
}

/// The elements of an AS path as it is shown: ASNs, and sets in braces as one element each.
/// Confederation segments, in parentheses, do not count (RFC 5065 section 5.3).
fn path_elements(text: &str) -> Vec<&str> {
    let mut elements = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (end, counts) = match rest.as_bytes()[0] {
            b'{' => (rest.find('}').map(|at| at + 1), true),
            b'(' => (rest.find(')').map(|at| at + 1), false),
            _ => (rest.find(char::is_whitespace), true),
        };
        let (element, left) = rest.split_at(end.unwrap_or(rest.len()));
        if counts {
            elements.push(element);
        }
        rest = left.trim_start();
    }
    elements
}

impl Hop {
    fn fits(self, element: &str) -> bool {
        match self {
            Self::Some | Self::Any => true,
            Self::As(asn) => {
                let members = element.trim_matches(['{', '}']);
                let mut members = members.split([' ', ',']).filter(|m| !m.is_empty());
                members.any(|member| member.parse() == Ok(asn))
            }
        }
    }
}

fn communities(kind: CommunityKind, path: &Path) -> &[String] {
    match kind {
        CommunityKind::Standard => &path.communities,
        CommunityKind::Large => &path.large_communities,
        CommunityKind::Extended => &path.extended_communities,
    }
}

fn community_fits(parts: &[Part], community: &str) -> bool {
    let shown: Vec<&str> = community.split(':').collect();
    let fits = |(part, shown): (&Part, &&str)| match part {
        Part::Any => true,
        Part::Is(text) => text == shown,
    };
    parts.len() == shown.len() && parts.iter().zip(&shown).all(fits)
}
