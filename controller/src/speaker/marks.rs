//! The marks under which routes of ours may be in the kernel, on disk beside the control socket.
//!
//! Routes outlive the process, and the configuration may change while it is down. So the marks are
//! noted before the first route is written under them, and forgotten when nothing is left under them.
//! `/run` is empty after a boot, as is the kernel's table.

use std::{
    collections::BTreeSet,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use redstart_rib::fib::Marks;
use tracing::warn;

use super::beside;

/// See the module's page.
#[derive(Debug)]
pub(super) struct Recorded {
    /// None: nothing outlives this process (tests).
    path: Option<PathBuf>,
    marks: BTreeSet<Marks>,
}

impl Recorded {
    /// Knows nothing, and writes nothing.
    #[cfg(test)]
    pub(super) const fn nowhere() -> Self {
        Self {
            path: None,
            marks: BTreeSet::new(),
        }
    }

    /// What was noted beside `socket`. A line that makes no sense is as good as none.
    pub(super) fn beside(socket: &Path) -> Self {
        let path = socket.with_extension("marks");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        Self {
            path: Some(path),
            marks: text.lines().filter_map(parse).collect(),
        }
    }

    pub(super) fn all(&self) -> &BTreeSet<Marks> {
        &self.marks
    }

    /// Everything but `present`.
    pub(super) fn former(&self, present: Marks) -> Vec<Marks> {
        let marks = self.marks.iter().copied();
        marks.filter(|marks| *marks != present).collect()
    }

    /// Routes will be written under `marks`.
    pub(super) fn note(&mut self, marks: Marks) {
        if self.marks.insert(marks) {
            self.write();
        }
    }

    /// Nothing is left under any of the `gone`.
    pub(super) fn forget(&mut self, gone: &BTreeSet<Marks>) {
        let before = self.marks.len();
        self.marks.retain(|marks| !gone.contains(marks));
        if self.marks.len() < before {
            self.write();
        }
    }

    fn write(&self) {
        let Some(path) = &self.path else {
            return;
        };
        let line = |m: &Marks| format!("{} {} {}\n", m.table, m.protocol, m.metric);
        let text: String = self.marks.iter().map(line).collect();
        if let Err(error) = beside::replace(path, &text) {
            warn!(
                reason = "marks-not-recorded",
                path = %path.display(),
                "routes under former marks would outlive a restart: {error}"
            );
        }
    }
}

/// Table, protocol and metric.
fn parse(line: &str) -> Option<Marks> {
    let mut words = line.split(' ');
    let marks = Marks {
        table: words.next()?.parse().ok()?,
        protocol: words.next()?.parse().ok()?,
        metric: words.next()?.parse::<NonZeroU32>().ok()?,
    };
    words.next().is_none().then_some(marks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(metric: u32) -> Marks {
        Marks {
            table: 254,
            protocol: 186,
            metric: NonZeroU32::new(metric).unwrap(),
        }
    }

    #[test]
    fn what_was_noted_is_known_to_the_next_process_until_it_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("redstart.sock");
        let mut recorded = Recorded::beside(&socket);
        assert!(recorded.all().is_empty());
        recorded.note(marks(179));
        recorded.note(marks(7));
        let mut next = Recorded::beside(&socket);
        assert_eq!(next.former(marks(179)), [marks(7)]);
        next.forget(&[marks(7)].into());
        assert!(Recorded::beside(&socket).former(marks(179)).is_empty());
    }

    #[test]
    fn lines_that_make_no_sense_are_none() {
        for line in [
            "",
            "254",
            "254 186 0",
            "254 186 179 1",
            "254 300 179",
            "a b c",
        ] {
            assert_eq!(parse(line), None, "{line:?}");
        }
        assert_eq!(parse("254 186 179"), Some(marks(179)));
    }
}
