//! The files of an update log. All that waits for a disk is here and in `store`.

use std::{
    fmt, fs,
    io::{self, ErrorKind},
    path::PathBuf,
};

use bytes::{Buf as _, BytesMut};
use jiff::{Timestamp, ToSpan as _, civil::DateTime, tz::TimeZone};
use redstart_bgp::mrt;
use tracing::info;

use super::{
    Fault,
    store::{Current, Disk, System, Written},
};
use crate::{diagnostic::Reason, index::MrtLog};

/// How often another name is tried where a file has the name already: by a second more.
const NAMES: usize = 4096;

/// Octets that are written at once, at most.
const AT_ONCE: usize = 1 << 20;

/// When a file begins, in its name.
const TIME: &str = "%Y%m%d.%H%M%S";

const SUFFIX: &str = ".mrt";

/// The files in the directory that are this node's.
pub(super) struct Files {
    spec: MrtLog,
    /// What the names of this node's files begin with.
    prefix: String,
    disk: Box<dyn Disk>,
    current: Option<Current>,
    /// By which time the last one was named.
    last: Timestamp,
    /// How many were begun.
    pub(super) begun: u64,
    /// An old file that cannot be removed.
    pub(super) stuck: Option<Fault>,
}

/// A file that is there.
struct Ours {
    path: PathBuf,
    /// By which time it is named.
    at: Timestamp,
    len: u64,
}

impl Files {
    pub(super) fn new(spec: MrtLog, node: &str) -> Self {
        Self::on(Box::new(System), spec, node)
    }

    pub(super) fn on(disk: Box<dyn Disk>, spec: MrtLog, node: &str) -> Self {
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() || c == '-' || c == '.' {
                c
            } else {
                '_'
            }
        };
        let node: String = node.chars().map(plain).collect();
        Self {
            spec,
            prefix: format!("updates.{node}."),
            disk,
            current: None,
            last: Timestamp::UNIX_EPOCH,
            begun: 0,
            stuck: None,
        }
    }

    /// The name of the file that is written.
    pub(super) fn name(&self) -> Option<String> {
        let name = self.current.as_ref()?.path.file_name()?;
        Some(name.to_string_lossy().into_owned())
    }

    /// Whether records could be written, with a file for them.
    pub(super) fn open(&mut self, now: Timestamp) -> Result<(), Fault> {
        let is_gone = |current: &Current| current.store.is_gone();
        if self.current.as_ref().is_none_or(is_gone) {
            self.current = Some(self.begin(now)?);
        }
        Ok(())
    }

    /// Takes whole records off the front of `records` and writes them: as many as go into a file at once.
    /// On a full disk old files go, until they had as many octets as were to be written.
    pub(super) fn write(
        &mut self,
        now: Timestamp,
        records: &mut BytesMut,
        written: &mut Written,
    ) -> Result<(), Fault> {
        let mut needed = records.len().min(AT_ONCE) as u64;
        loop {
            match self.append(now, records, written) {
                Err(fault) if fault.reason == Reason::DiskFull && needed > 0 => {
                    let freed = self.make_room().ok_or(fault)?;
                    needed = needed.saturating_sub(freed);
                }
                outcome => return outcome,
            }
        }
    }

    /// The same for as long as the disk is not full.
    fn append(
        &mut self,
        now: Timestamp,
        records: &mut BytesMut,
        written: &mut Written,
    ) -> Result<(), Fault> {
        self.open(now)?;
        self.rotate(now, records)?;
        let Some(current) = &mut self.current else {
            return Ok(());
        };
        let room = self.spec.max_file.saturating_sub(current.len);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let (octets, _) = mrt::whole(records, room.min(AT_ONCE));
        if octets == 0 {
            // Half a record, which nobody makes.
            records.clear();
        }
        let before = current.len;
        let outcome = current.append(records.get(..octets).unwrap_or_default(), written);
        let more = current.len - before;
        records.advance(usize::try_from(more).unwrap_or(octets));
        self.prune();
        outcome.map_err(|failure| {
            if failure.is_spoilt {
                self.let_go();
            }
            // The file would be another one at the next attempt, and the fault with it.
            Fault::new(&self.spec.directory, &failure.error)
        })
    }

    /// Begins another file if it is time, or if the next record has no room in this one. One with nothing
    /// in it has room, and goes if it is time.
    fn rotate(&mut self, now: Timestamp, records: &[u8]) -> Result<(), Fault> {
        let (next, _) = mrt::whole(records, 0);
        let period = self.period(now);
        let is_over = self.current.as_ref().is_some_and(|current| {
            let is_full = current.len.saturating_add(next as u64) > self.spec.max_file;
            next > 0 && (current.period != period || current.len > 0 && is_full)
        });
        if is_over {
            self.current = Some(self.begin(now)?);
        }
        Ok(())
    }

    fn period(&self, now: Timestamp) -> i64 {
        let every = i64::try_from(self.spec.rotate.as_secs()).unwrap_or(i64::MAX);
        now.as_second() / every.max(1)
    }

    /// Makes a file. Its name is later than that of any other, whatever the clock says: by their names they
    /// are in the order in which they were written.
    fn begin(&mut self, now: Timestamp) -> Result<Current, Fault> {
        let there = self.there()?;
        // A process that was killed had nothing to say, or this one since it began its file.
        let empty = there.iter().filter(|it| it.len == 0);
        empty.for_each(|it| drop(self.disk.remove(&it.path)));
        let last = there.last().map_or(self.last, |it| it.at.max(self.last));
        let mut named = now.max(later(last));
        for _ in 0..NAMES {
            let name = format!("{}{}{SUFFIX}", self.prefix, named.strftime(TIME));
            let path = self.spec.directory.join(name);
            match self.disk.create(&path) {
                Ok(store) => {
                    self.last = named;
                    self.begun += 1;
                    return Ok(Current {
                        path,
                        store,
                        len: 0,
                        period: self.period(now),
                        pruned: false,
                    });
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => named = later(named),
                // Its name would be another one at each attempt.
                Err(error) => return Err(Fault::new(&self.spec.directory, &error)),
            }
        }
        let error = io::Error::other("there is a file for every second");
        Err(Fault::new(&self.spec.directory, &error))
    }

    /// The files of this log, the oldest first. What has such a name and is no file is somebody else's.
    fn there(&self) -> Result<Vec<Ours>, Fault> {
        let list = || -> io::Result<Vec<Ours>> {
            let mut there = Vec::new();
            for entry in fs::read_dir(&self.spec.directory)? {
                let entry = entry?;
                let name = entry.file_name();
                let Some(at) = name.to_str().and_then(|name| begun(&self.prefix, name)) else {
                    continue;
                };
                match entry.metadata() {
                    Ok(it) if it.is_file() => there.push(Ours {
                        path: entry.path(),
                        at,
                        len: it.len(),
                    }),
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(there)
        };
        let mut there = list().map_err(|error| Fault::new(&self.spec.directory, &error))?;
        there.sort_by_key(|it| it.at);
        Ok(there)
    }

    /// The same but for the one that is written, and for the newest that has something in it: those with
    /// nothing in them first.
    fn others(&self) -> Result<Vec<Ours>, Fault> {
        let mut others = self.there()?;
        if let Some(current) = &self.current {
            others.retain(|it| it.path != current.path);
        }
        others.sort_by_key(|it| (it.len > 0, it.at));
        let has_records = self.current.as_ref().is_some_and(|it| it.len > 0);
        if !has_records {
            others.pop_if(|newest| newest.len > 0);
        }
        Ok(others)
    }

    /// Removes the oldest files where there are too many. Not before the newest has something in it: what is
    /// there is worth more than an empty file. Records are written whether or not that can be done.
    fn prune(&mut self) {
        let is_due = |current: &&mut Current| !current.pruned && current.len > 0;
        let Some(current) = self.current.as_mut().filter(is_due) else {
            return;
        };
        current.pruned = true;
        self.stuck = None;
        let others = match self.others() {
            Ok(others) => others,
            Err(fault) => {
                self.stuck = Some(fault);
                return;
            }
        };
        let mut more = (others.len() + 1).saturating_sub(self.spec.keep_files);
        for file in others {
            if more == 0 {
                break;
            }
            match self.disk.remove(&file.path) {
                Ok(()) => more -= 1,
                Err(error) => {
                    let fault = || Fault::of_removal(&file.path, &error);
                    self.stuck.get_or_insert_with(fault);
                }
            }
        }
    }

    /// Removes the oldest file that can be removed, on a full disk. How many octets were in it.
    fn make_room(&self) -> Option<u64> {
        let others = self.others().ok()?;
        let gone = others
            .iter()
            .find(|it| self.disk.remove(&it.path).is_ok())?;
        let file = gone.path.display();
        info!(%file, reason = "disk-full", "the oldest file of the MRT log makes room");
        Some(gone.len)
    }

    /// Writes no more to the file there is. One with nothing in it goes.
    pub(super) fn let_go(&mut self) {
        let current = self.current.take();
        if let Some(empty) = current.filter(|it| it.len == 0 && !it.store.is_gone()) {
            let _ = self.disk.remove(&empty.path);
        }
    }
}

fn later(than: Timestamp) -> Timestamp {
    than.saturating_add(1.second()).unwrap_or(than)
}

/// When a file of this log begins, by its name. Of other names nothing is ever removed.
fn begun(prefix: &str, name: &str) -> Option<Timestamp> {
    let text = name.strip_prefix(prefix)?.strip_suffix(SUFFIX)?;
    let at = DateTime::strptime(TIME, text).ok()?;
    let at = at.to_zoned(TimeZone::UTC).ok()?.timestamp();
    // No record is of before 1970, or beyond what its seconds can count.
    let is_possible = u32::try_from(at.as_second()).is_ok();
    (is_possible && at.strftime(TIME).to_string() == text).then_some(at)
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files")
            .field("spec", &self.spec)
            .field("current", &self.current)
            .finish_non_exhaustive()
    }
}
