//! Patterns over AS_PATHs, as BIRD's path masks: no regular expression over text, so nothing matches
//! in the middle of a number, and the time to match is bounded.
//!
//! Words separated by blanks, for the whole path from the neighbour to the origin: an AS number, a
//! range `64512-65534`, `?` for any one AS, `*` for any number of them, none included, `+` for at
//! least one. An AS_SET takes one place, and any of its members may match there. Confederation segments
//! are left out, as they are where the path is measured (RFC 5065 section 5.3).

use core::str::FromStr;

use redstart_bgp::types::{AsPath, AsPathSegment, Asn, SegmentType};
use smallvec::SmallVec;

/// A pattern over AS_PATHs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern(Vec<Word>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// One AS of a range.
    One { min: u32, max: u32 },
    /// Any number of ASes.
    Some,
}

impl Word {
    const ANY: Self = Self::One {
        min: 0,
        max: u32::MAX,
    };

    fn takes(self, place: &[Asn]) -> bool {
        match self {
            Self::One { min, max } => place.iter().any(|asn| (min..=max).contains(&asn.0)),
            Self::Some => true,
        }
    }
}

/// Most words of a pattern.
const MOST_WORDS: usize = 63;

/// The text is not a pattern over AS_PATHs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an AS path pattern: expected AS numbers, ranges A-B, ?, * and +, at most 60 words"
)]
pub struct ParsePathPatternError(String);

impl FromStr for PathPattern {
    type Err = ParsePathPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = Vec::new();
        for word in text.split_ascii_whitespace() {
            match word {
                "?" => words.push(Word::ANY),
                "*" => words.push(Word::Some),
                "+" => words.extend([Word::ANY, Word::Some]),
                word => words.push(range(word).ok_or_else(|| error(text))?),
            }
        }
        if words.is_empty() || words.len() > MOST_WORDS {
            return Err(error(text));
        }
        Ok(Self(words))
    }
}

fn error(text: &str) -> ParsePathPatternError {
    ParsePathPatternError(text.to_owned())
}

fn range(word: &str) -> Option<Word> {
    let (min, max) = word.split_once('-').unwrap_or((word, word));
    let (min, max) = (min.parse().ok()?, max.parse().ok()?);
    (min <= max).then_some(Word::One { min, max })
}

impl PathPattern {
    /// Whether the whole path matches. Every state that the words before could have led to is kept
    /// at once, as bits: bit `i` says that the first `i` words match what was read so far.
    #[must_use]
    pub fn matches(&self, path: &AsPath) -> bool {
        let mut states = self.skip_some(1);
        for place in places(path) {
            states = self.step(states, place);
        }
        states >> self.0.len() & 1 == 1
    }

    fn step(&self, before: u64, place: &[Asn]) -> u64 {
        let mut after = 0;
        for (i, word) in self.0.iter().enumerate() {
            if before >> i & 1 == 1 && word.takes(place) {
                let stays = matches!(word, Word::Some);
                after |= 1 << if stays { i } else { i + 1 };
            }
        }
        self.skip_some(after)
    }

    /// The states with those added that are reached by letting a `*` stand for nothing.
    fn skip_some(&self, mut states: u64) -> u64 {
        for (i, word) in self.0.iter().enumerate() {
            if *word == Word::Some && states >> i & 1 == 1 {
                states |= 1 << (i + 1);
            }
        }
        states
    }
}

/// The path place by place: each AS of a sequence, each set as a whole.
fn places(path: &AsPath) -> impl Iterator<Item = &[Asn]> {
    let confederation =
        |s: &&AsPathSegment| matches!(s.kind, SegmentType::ConfedSequence | SegmentType::ConfedSet);
    let of = |segment: &'_ AsPathSegment| -> SmallVec<[(usize, usize); 8]> {
        match segment.kind {
            SegmentType::Set => SmallVec::from_iter([(0, segment.asns.len())]),
            _ => (0..segment.asns.len()).map(|i| (i, i + 1)).collect(),
        }
    };
    path.segments
        .iter()
        .filter(move |s| !confederation(s))
        .flat_map(move |s| of(s).into_iter().map(|(from, to)| &s.asns[from..to]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, path: &[u32]) -> bool {
        let pattern: PathPattern = pattern.parse().unwrap();
        pattern.matches(&AsPath::sequence(path.iter().copied().map(Asn)))
    }

    #[test]
    fn words_match_places_of_the_whole_path() {
        assert!(matches("65000 * 7", &[65000, 1, 2, 7]) && matches("65000 * 7", &[65000, 7]));
        assert!(!matches("65000 * 7", &[65000, 7, 1]) && !matches("65000", &[65000, 1]));
        assert!(matches("? 64512-65534", &[1, 65000]) && !matches("? 64512-65534", &[1, 2]));
        assert!(matches("*", &[]) && !matches("+", &[]) && matches("+", &[1]));
        // Numbers are numbers: 70 is not in 700.
        assert!(!matches("* 70 *", &[700, 170]));
    }

    #[test]
    fn a_set_takes_one_place() {
        let mut path = AsPath::sequence([Asn(1)]);
        path.segments.push(AsPathSegment {
            kind: SegmentType::Set,
            asns: [Asn(5), Asn(6)].into_iter().collect(),
        });
        for (text, expected) in [
            ("1 6", true),
            ("1 5", true),
            ("1 5 6", false),
            ("1 ?", true),
        ] {
            assert_eq!(
                text.parse::<PathPattern>().unwrap().matches(&path),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn text_that_is_no_pattern_is_refused() {
        let long = "1 ".repeat(64);
        for bad in ["", " ", "x", "9-3", "1.5", "^65000", &long] {
            assert!(bad.parse::<PathPattern>().is_err(), "{bad}");
        }
    }

    /// As one would write it first.
    fn slowly(words: &[Word], path: &[Asn]) -> bool {
        match (words, path) {
            ([], rest) => rest.is_empty(),
            ([Word::Some, rest @ ..], path) => {
                (0..=path.len()).any(|taken| slowly(rest, &path[taken..]))
            }
            ([word, rest @ ..], [first, others @ ..]) => {
                word.takes(core::slice::from_ref(first)) && slowly(rest, others)
            }
            (_, []) => false,
        }
    }

    proptest! {
        #[test]
        fn matching_is_trying_every_way(
            words in prop::collection::vec(prop::sample::select(vec!["1", "2", "1-2", "?", "*", "+"]), 1..7),
            path in prop::collection::vec(1..4_u32, 0..7),
        ) {
            let pattern: PathPattern = words.join(" ").parse().unwrap();
            let path: Vec<Asn> = path.into_iter().map(Asn).collect();
            let expected = slowly(&pattern.0, &path);
            prop_assert_eq!(pattern.matches(&AsPath::sequence(path)), expected);
        }
    }
}
