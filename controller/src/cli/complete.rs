//! What a word that is begun may become. The same for the prompt and for the shells.

use super::{
    grammar::{LEVELS, Reading, Value},
    table::COMMANDS,
};

/// A way to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The whole word.
    pub word: String,
    /// What it is for.
    pub about: &'static str,
}

/// What the last of `words` may become; it may be empty. `peers` is asked where a neighbour's name may
/// stand.
pub fn candidates(words: &[&str], peers: impl FnOnce() -> Vec<String>) -> Vec<Candidate> {
    let Some((begun, before)) = words.split_last() else {
        return candidates(&[""], peers);
    };
    let Ok(reading) = Reading::of(COMMANDS, before) else {
        return Vec::new();
    };
    let mut peers = Some(peers);
    let mut candidates = Vec::new();
    for next in reading.next() {
        let about = next.about;
        let mut add = |word: &str| {
            candidates.push(Candidate {
                word: word.to_owned(),
                about,
            });
        };
        match next.value {
            None => add(next.word),
            Some(Value::Peer | Value::Peers) => {
                let names = peers.take().map(|peers| peers()).unwrap_or_default();
                names.iter().for_each(|name| add(name));
                if next.value == Some(Value::Peers) {
                    add("all");
                }
            }
            Some(Value::Level) => LEVELS.iter().for_each(|level| add(level)),
            // Nobody can guess these.
            Some(_) => {}
        }
    }
    candidates.retain(|candidate| candidate.word.starts_with(begun));
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[&str]) -> Vec<String> {
        let peers = || vec!["tor".to_owned(), "mesh-n2".to_owned()];
        let found = candidates(line, peers).into_iter();
        found.map(|candidate| candidate.word).collect()
    }

    #[test]
    fn words_options_and_names_are_completed() {
        assert_eq!(words(&["sh"]), ["show"]);
        assert_eq!(words(&["show", "s"]), ["status", "services"]);
        assert_eq!(words(&["sh", "pro", ""]), ["all", "tor", "mesh-n2"]);
        assert_eq!(words(&["show", "protocols", "all", "t"]), ["tor"]);
        assert_eq!(words(&["show", "route", "ex"]), ["export"]);
        assert_eq!(words(&["show", "route", "export", ""]), ["tor", "mesh-n2"]);
        assert_eq!(
            words(&["reload", "in", ""]),
            ["out", "tor", "mesh-n2", "all"]
        );
        assert_eq!(words(&["show", "route", "for", ""]), [""; 0]);
        assert_eq!(words(&["nonsense", ""]), [""; 0]);
        assert!(words(&[]).contains(&"explain".to_owned()));
    }
}
