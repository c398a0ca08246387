//! The level of the log, changed while the speaker runs.
//!
//! Logging is set up by the program before anything else runs, and what reads the level is a global of
//! `tracing`. So is the way to change it: the program says how ([`changed_by`]), the control socket has
//! it done ([`set`]).

use std::sync::OnceLock;

type Change = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

static CHANGE: OnceLock<Change> = OnceLock::new();

/// Says how the level is changed. The first one counts.
pub fn changed_by(change: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static) {
    // A second program in one process would have a log of its own, and there is none.
    let _ = CHANGE.set(Box::new(change));
}

/// Changes the level; `default` is what the program was started with.
///
/// # Errors
/// Why that cannot be.
pub fn set(level: &str) -> Result<(), String> {
    match CHANGE.get() {
        Some(change) => change(level),
        None => Err("this program's log has no level to change".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test: there is one log in a process.
    #[test]
    fn the_program_says_how_and_what_is_no_level_is_refused() {
        assert!(set("debug").unwrap_err().contains("no level to change"));
        changed_by(|level| match level {
            "debug" | "default" => Ok(()),
            other => Err(format!("{other:?} is not a filter")),
        });
        assert_eq!(set("debug"), Ok(()));
        assert_eq!(set("default"), Ok(()));
        assert!(set("loud").unwrap_err().contains("\"loud\""));
        changed_by(|_| Err("the second one does not count".to_owned()));
        assert_eq!(set("debug"), Ok(()));
    }
}
