//! The update log: every message and change of state of the neighbours, in MRT files.
//!
//! The neighbours' tasks make the records ([`redstart_bgp::net::UpdateLog`]) and wait for nobody. One
//! thread, which there is only while a log is configured, writes them. Records are appended in their order
//! and never changed, so a file can be read while it grows: at its end may be half a record, for as long as
//! a write takes. What cannot be written is tried again; meanwhile a bounded amount waits, and what comes
//! beyond that is lost and counted.
//!
//! | file | job |
//! |---|---|
//! | this one | what others know of the log |
//! | `writer` | the thread: what waits, when to try again, what to say |
//! | `files` | the files: names, sizes, how many |
//! | `store` | the file that is written: it never has half a record within |
//! | `fault` | why nothing can be written |

mod fault;
mod files;
mod store;
mod writer;

#[cfg(test)]
mod tests;

use jiff::Timestamp;

pub(crate) use self::{fault::Fault, writer::Writer};

/// Octets of records that may wait to be written, with what it takes to hold them.
pub(crate) const ROOM: usize = 16 << 20;

/// How the log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// Since when it can be written, or cannot.
    pub(crate) since: Timestamp,
    /// The file that is written, by its name.
    pub(crate) file: Option<String>,
    /// Files begun so far.
    pub(crate) files: u64,
    /// Records written so far.
    pub(crate) records: u64,
    /// Their octets.
    pub(crate) octets: u64,
    /// Why it cannot be written now.
    pub(crate) fault: Option<Fault>,
    /// Why there is an old file still that should be gone.
    pub(crate) stuck: Option<Fault>,
}

impl Status {
    pub(crate) const fn new(now: Timestamp) -> Self {
        Self {
            since: now,
            file: None,
            files: 0,
            records: 0,
            octets: 0,
            fault: None,
            stuck: None,
        }
    }
}
