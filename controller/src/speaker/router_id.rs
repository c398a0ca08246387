//! The BGP Identifier that the neighbours know this node by, on disk beside the control socket.
//!
//! A session ends when the identifier of one of its ends changes, and a neighbour that keeps routes over
//! a restart keeps those of the identifier that it knew. So what was chosen once is kept, by the process
//! and by the one after it (see [`crate::compile`]).

use std::path::{Path, PathBuf};

use tracing::{info, warn};

use super::beside;
use crate::compile::ChosenRouterId;

/// See the module's page.
#[derive(Debug)]
pub(super) struct Known {
    path: PathBuf,
    chosen: Option<ChosenRouterId>,
}

impl Known {
    /// What was noted beside `socket`. Something that makes no sense is as good as nothing.
    pub(super) fn beside(socket: &Path) -> Self {
        let path = socket.with_extension("router-id");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        Self {
            path,
            chosen: text.trim_end().parse().ok(),
        }
    }

    pub(super) const fn chosen(&self) -> Option<ChosenRouterId> {
        self.chosen
    }

    /// The neighbours are about to be told this one.
    pub(super) fn note(&mut self, chosen: ChosenRouterId) {
        if self.chosen.replace(chosen) == Some(chosen) {
            return;
        }
        info!(router_id = %chosen.id, by = %chosen.basis, "BGP Identifier");
        if let Err(error) = beside::replace(&self.path, &format!("{chosen}\n")) {
            warn!(
                reason = "router-id-not-recorded",
                path = %self.path.display(),
                "another address of the node may change the BGP Identifier over a restart: {error}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_known_to_the_next_process() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("redstart.sock");
        let mut known = Known::beside(&socket);
        assert_eq!(known.chosen(), None);
        for text in [
            "NodeAddress 192.0.2.1",
            "NodeName 1.2.3.4",
            "Annotation 9.9.9.9",
        ] {
            let chosen: ChosenRouterId = text.parse().unwrap();
            known.note(chosen);
            assert_eq!(Known::beside(&socket).chosen(), Some(chosen), "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("redstart.sock");
        for text in [
            "",
            "192.0.2.1",
            "NodeAddress",
            "NodeAddress 0.0.0.0",
            "Guess 1.2.3.4",
            "\0",
        ] {
            std::fs::write(socket.with_extension("router-id"), text).unwrap();
            assert_eq!(Known::beside(&socket).chosen(), None, "{text:?}");
        }
    }
}
