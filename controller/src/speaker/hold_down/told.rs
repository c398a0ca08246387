//! What neighbours were told, in a file beside the control socket: the next process cannot know from the
//! objects what they had waited for.
//!
//! There is such a file while the configuration has addresses wait (`minReadySeconds`), and in it all
//! prefixes of our own. It is replaced when they change, before a neighbour hears of the change.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tracing::warn;

use super::Past;
use crate::{
    compile::{DesiredState, Originations},
    speaker::beside,
};

/// See the module's page.
#[derive(Debug)]
pub(in crate::speaker) struct Told {
    /// None: nothing outlives this process (tests).
    path: Option<PathBuf>,
    /// Whether there is a file.
    is_there: bool,
    /// What this process has put into it.
    written: Option<Originations>,
}

impl Told {
    /// Knows nothing, and writes nothing.
    #[cfg(test)]
    pub(in crate::speaker) const fn nowhere() -> Self {
        Self {
            path: None,
            is_there: false,
            written: None,
        }
    }

    /// What was left beside `socket`. Without a file, an earlier process had nothing wait, if there was one
    /// since the host booted (`ran_before`).
    pub(in crate::speaker) fn beside(socket: &Path, ran_before: bool) -> (Self, Past) {
        let path = socket.with_extension("told");
        let text = std::fs::read_to_string(&path);
        let told = Self {
            path: Some(path),
            is_there: text.is_ok(),
            written: None,
        };
        let past = match text {
            // A line that makes no sense is as good as none.
            Ok(text) => Past::These(text.lines().filter_map(|it| it.parse().ok()).collect()),
            Err(_) if ran_before => Past::Everything,
            Err(_) => Past::Nothing,
        };
        (told, past)
    }

    /// This is what neighbours are to hear of now.
    pub(in crate::speaker) fn note(&mut self, desired: &DesiredState) {
        let Some(path) = &self.path else {
            return;
        };
        let now = (desired.hold.min_ready > Duration::ZERO).then_some(&desired.originations);
        let done = match (now, &self.written) {
            (None, _) if !self.is_there => return,
            (None, _) => std::fs::remove_file(path),
            (Some(now), Some(written)) if has_same_keys(now, written) => return,
            (Some(now), _) => write(path, now),
        };
        if done.is_ok() {
            self.is_there = now.is_some();
            self.written = now.cloned();
        }
        if let Err(error) = done {
            warn!(
                reason = "told-not-recorded",
                path = %path.display(),
                "after a restart, addresses of Services may wait that do now, or not wait: {error}"
            );
        }
    }
}

fn has_same_keys(one: &Originations, other: &Originations) -> bool {
    one.is_same(other) || one.keys().eq(other.keys())
}

fn write(path: &Path, originations: &Originations) -> io::Result<()> {
    let lines = originations.keys().map(|prefix| format!("{prefix}\n"));
    beside::replace(path, &lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use redstart_bgp::types::Prefix;

    use super::*;
    use crate::{
        compile::{Hold, Kernel, Origination},
        index::{Kind, ObjectKey},
    };

    /// A state in which addresses wait so many seconds, with these routes.
    fn desired(min_ready: u64, prefixes: &[&str]) -> DesiredState {
        let mut desired = DesiredState::idle(Kernel::default());
        desired.hold = Hold {
            min_ready: Duration::from_secs(min_ready),
            withdraw_delay: Duration::ZERO,
        };
        for prefix in prefixes {
            let origination = Origination {
                object: ObjectKey::namespaced(Kind::Service, "apps", "web").object_ref(),
                advertise: Vec::new(),
                blackhole: false,
            };
            let prefix = prefix.parse().unwrap();
            desired.originations.insert(prefix, Arc::new(origination));
        }
        desired
    }

    fn these(prefixes: &[&str]) -> Past {
        let parse = |it: &&str| it.parse::<Prefix>().unwrap();
        Past::These(prefixes.iter().map(parse).collect())
    }

    #[test]
    fn the_next_process_knows_what_was_told_while_addresses_wait() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("redstart.sock");
        let past = |ran_before| Told::beside(&socket, ran_before).1;
        assert_eq!(past(false), Past::Nothing, "the host has booted");
        assert_eq!(past(true), Past::Everything);

        let (mut told, _) = Told::beside(&socket, false);
        told.note(&desired(0, &["203.0.113.1/32"]));
        assert_eq!(past(true), Past::Everything, "nothing waits");
        told.note(&desired(10, &[]));
        assert_eq!(past(true), these(&[]));
        told.note(&desired(10, &["203.0.113.1/32", "2001:db8::1/128"]));
        assert_eq!(past(true), these(&["203.0.113.1/32", "2001:db8::1/128"]));
        told.note(&desired(10, &["203.0.113.1/32"]));
        assert_eq!(past(true), these(&["203.0.113.1/32"]));

        // The next one has another configuration.
        let (mut told, _) = Told::beside(&socket, true);
        told.note(&desired(0, &["203.0.113.1/32"]));
        assert_eq!(past(true), Past::Everything);
    }
}
