//! Files and the thread, with records made here.

mod disk;
mod ours;

use std::{
    fs::{self, File},
    io,
    path::Path,
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use jiff::{Timestamp, ToSpan as _};
use redstart_bgp::{
    mrt::{self, Records, Time},
    net::{Clock, UpdateLog},
    session::State,
    types::Asn,
};
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};

use super::{Counts, Fault, Shown, Status, Totals, UnderWay, Writer, files::Files, store::Written};
use crate::{diagnostic::Reason, index::MrtLog};

const LIMIT: Duration = Duration::from_secs(20);

/// Octets of one of [`records`].
const RECORD: u64 = 12 + 4 + 20 + 4;

fn spec(directory: &Path, max_file: u64, keep_files: usize) -> MrtLog {
    MrtLog {
        directory: directory.to_owned(),
        rotate: Duration::from_secs(900),
        max_file,
        keep_files,
        sent: false,
    }
}

fn records(count: u32) -> BytesMut {
    let session = mrt::message::Session {
        peer_as: Asn(65001),
        local_as: Asn(65002),
        peer: [10, 0, 0, 1].into(),
        local: [10, 0, 0, 2].into(),
    };
    let mut out = BytesMut::new();
    for seconds in 0..count {
        let time = Time { seconds, micros: 0 };
        let (from, to) = (State::Idle, State::Connect);
        mrt::message::put_state_change(time, &session, from, to, &mut out);
    }
    out
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string();
    let mut names: Vec<_> = entries.map(|entry| name(entry).unwrap()).collect();
    names.sort();
    names
}

/// The seconds of all records in a file, which has to be whole.
fn seconds(file: &Path) -> Vec<u32> {
    let octets = fs::read(file).unwrap();
    let mut records = Records::new(&octets);
    let seconds = records.by_ref().map(|record| record.time.seconds).collect();
    assert!(!records.is_cut());
    seconds
}

fn write(files: &mut Files, now: Timestamp, mut records: BytesMut) -> Result<Written, Fault> {
    let mut written = Written::default();
    while !records.is_empty() {
        files.write(now, &mut records, &mut written)?;
    }
    Ok(written)
}

/// The seconds of all records in all files of the node, by the files' names.
fn logged(directory: &Path) -> Vec<Vec<u32>> {
    let ours = names(directory).into_iter();
    let ours = ours.filter(|name| name.starts_with("updates.n1."));
    ours.map(|name| seconds(&directory.join(name))).collect()
}

#[test]
fn a_file_begins_with_each_period_and_is_called_by_it() {
    let dir = TempDir::new().unwrap();
    let mut files = Files::new(spec(dir.path(), 1 << 20, 9), "n1");
    for time in ["10:07:00", "10:14:59", "10:15:00", "10:29:59", "11:00:01"] {
        let now = at(&format!("2026-05-28T{time}Z"));
        let written = write(&mut files, now, records(2)).unwrap();
        let expected = Written {
            records: 2,
            octets: 2 * RECORD,
        };
        assert_eq!(written, expected);
    }
    let expected = ["100700", "101500", "110001"];
    let expected = expected.map(|time| format!("updates.n1.20260528.{time}.mrt"));
    assert_eq!(names(dir.path()), expected);
    assert_eq!(seconds(&dir.path().join(&expected[0])), [0, 1, 0, 1]);
    assert_eq!(files.name().as_ref(), Some(&expected[2]));
}

#[test]
fn a_file_in_which_nothing_was_written_is_of_no_period() {
    let dir = TempDir::new().unwrap();
    let mut files = Files::new(spec(dir.path(), 1 << 20, 9), "n1");
    files.open(at("2026-05-28T10:07:00Z")).unwrap();
    write(&mut files, at("2026-05-28T10:14:00Z"), records(0)).unwrap();
    assert_eq!(names(dir.path()), ["updates.n1.20260528.100700.mrt"]);
    write(&mut files, at("2026-05-28T10:40:00Z"), records(2)).unwrap();
    write(&mut files, at("2026-05-28T10:44:00Z"), records(1)).unwrap();
    assert_eq!(names(dir.path()), ["updates.n1.20260528.104000.mrt"]);
    assert_eq!(logged(dir.path()), [[0, 1, 0]]);
}

#[test]
fn no_file_is_larger_and_no_more_are_kept_than_that() {
    let dir = TempDir::new().unwrap();
    let strangers = [
        "notes.mrt",
        "updates.n1.x.mrt",
        "updates.n2.20260528.100000.mrt",
    ];
    for name in strangers {
        File::create(dir.path().join(name)).unwrap();
    }
    let mut files = Files::new(spec(dir.path(), 3 * RECORD + 1, 4), "n1");
    let now = at("2026-05-28T10:00:00Z");
    let written = write(&mut files, now, records(31)).unwrap();
    assert_eq!(written.records, 31);
    assert_eq!(files.begun, 11);
    // Of files of one moment each has a second of its own, and the last ones are kept.
    let mut expected = [7, 8, 9, 10]
        .map(|n| format!("updates.n1.20260528.1000{n:02}.mrt"))
        .to_vec();
    for (name, first) in expected.iter().zip([21, 24, 27]) {
        let path = dir.path().join(name);
        assert_eq!(seconds(&path), [first, first + 1, first + 2]);
    }
    assert_eq!(seconds(&dir.path().join(&expected[3])), [30]);
    expected.extend(strangers.map(str::to_owned));
    expected.sort();
    assert_eq!(names(dir.path()), expected);
}

#[test]
fn the_files_of_the_process_before_count() {
    let dir = TempDir::new().unwrap();
    let now = at("2026-05-28T10:00:00Z");
    for minutes in 0..6 {
        let mut files = Files::new(spec(dir.path(), 1 << 20, 3), "n1");
        write(&mut files, now + minutes.minutes(), records(1)).unwrap();
    }
    // Also one of the very same second.
    let mut files = Files::new(spec(dir.path(), 1 << 20, 3), "n1");
    write(&mut files, now + 5.minutes(), records(1)).unwrap();
    let expected = ["100400", "100500", "100501"];
    let expected = expected.map(|time| format!("updates.n1.20260528.{time}.mrt"));
    assert_eq!(names(dir.path()), expected);
}

#[test]
fn a_file_that_somebody_removed_is_begun_anew() {
    let dir = TempDir::new().unwrap();
    let mut files = Files::new(spec(dir.path(), 1 << 20, 3), "n1");
    let now = at("2026-05-28T10:00:00Z");
    write(&mut files, now, records(1)).unwrap();
    fs::remove_file(dir.path().join(files.name().unwrap())).unwrap();
    write(&mut files, now + 1.second(), records(2)).unwrap();
    assert_eq!(seconds(&dir.path().join(files.name().unwrap())), [0, 1]);
}

#[test]
fn a_node_cannot_name_a_file_elsewhere() {
    let dir = TempDir::new().unwrap();
    let mut files = Files::new(spec(dir.path(), 1 << 20, 3), "../x/y");
    files.open(at("2026-05-28T10:00:00Z")).unwrap();
    assert_eq!(files.name().unwrap(), "updates..._x_y.20260528.100000.mrt");
}

#[test]
fn what_the_system_says_is_a_reason() {
    for (errno, reason) in [
        (libc::ENOENT, Reason::DirectoryMissing),
        (libc::ENOTDIR, Reason::DirectoryMissing),
        (libc::EACCES, Reason::DirectoryNotWritable),
        (libc::EPERM, Reason::DirectoryNotWritable),
        (libc::EROFS, Reason::DirectoryNotWritable),
        (libc::ENOSPC, Reason::DiskFull),
        (libc::EDQUOT, Reason::DiskFull),
        (libc::EIO, Reason::WriteFailed),
    ] {
        let error = io::Error::from_raw_os_error(errno);
        assert_eq!(Fault::new(Path::new("/x"), &error).reason, reason);
    }
}

struct Running {
    log: UpdateLog,
    status: watch::Receiver<Status>,
    totals: Totals,
    ended: oneshot::Receiver<()>,
}

fn start(directory: &Path, room: usize) -> Running {
    start_another(directory, room, Totals::default())
}

fn start_another(directory: &Path, room: usize, totals: Totals) -> Running {
    let (log, end) = UpdateLog::counted(room, false, Arc::clone(&totals.lost));
    let (publish, status) = watch::channel(Status::new(Timestamp::now()));
    let (ends, ended) = oneshot::channel();
    let spec = spec(directory, 1 << 20, 3);
    let shown = Shown {
        status: publish,
        totals: totals.clone(),
        under_way: UnderWay::new(),
    };
    let writer = Writer::new(end, Clock::new(), (spec, "n1"), shown);
    writer.start(ends).unwrap();
    Running {
        log,
        status,
        totals,
        ended,
    }
}

impl Running {
    fn pass(&self, count: u32) {
        self.log.pass(redstart_bgp::net::Records {
            octets: BytesMut::from(&records(count)[..]),
            count: count.into(),
        });
    }

    async fn until(&mut self, wanted: impl FnMut(&Status) -> bool) {
        let wait = self.status.wait_for(wanted);
        tokio::time::timeout(LIMIT, wait).await.unwrap().unwrap();
    }

    /// Lets go of the log, and waits for its end.
    async fn end(self) {
        let Self { log, ended, .. } = self;
        drop(log);
        let ended = tokio::time::timeout(LIMIT, ended).await;
        assert!(ended.unwrap().is_err(), "nobody says anything");
    }
}

#[tokio::test]
async fn a_directory_that_comes_is_written_to_and_nothing_that_could_wait_is_lost() {
    let dir = TempDir::new().unwrap();
    let directory = dir.path().join("log");
    let mut running = start(&directory, 1 << 20);
    let is_missing = |status: &Status| {
        let fault = status.fault.as_ref();
        fault.is_some_and(|fault| fault.reason == Reason::DirectoryMissing)
    };
    running.until(is_missing).await;
    running.pass(3);
    running.pass(2);
    fs::create_dir(&directory).unwrap();
    running.until(|status| status.fault.is_none()).await;
    running.pass(1);
    assert_eq!(running.log.lost(), 0);
    running.end().await;
    let [name] = &names(&directory)[..] else {
        panic!("{:?}", names(&directory));
    };
    assert_eq!(seconds(&directory.join(name)), [0, 1, 2, 0, 1, 0]);
}

#[tokio::test]
async fn what_has_no_room_is_counted_and_the_end_waits_for_no_directory() {
    let dir = TempDir::new().unwrap();
    let directory = dir.path().join("log");
    let octets = usize::try_from(10_000 * RECORD).unwrap();
    let mut running = start(&directory, octets);
    running.until(|status| status.fault.is_some()).await;
    running.pass(7_000);
    running.pass(4_000);
    assert_eq!(running.log.lost(), 4_000);
    running.pass(2_000);
    running.pass(1_500);
    assert_eq!(running.log.lost(), 5_500);
    running.end().await;
    assert!(!directory.exists());
}

#[tokio::test]
async fn what_a_log_did_and_lost_counts_when_there_is_another_one() {
    let dir = TempDir::new().unwrap();
    let running = start(dir.path(), 1 << 20);
    let totals = running.totals.clone();
    running.pass(3);
    running.end().await;
    let missing = dir.path().join("log");
    let mut running = start_another(&missing, 1 << 20, totals.clone());
    running.until(|status| status.fault.is_some()).await;
    running.pass(4);
    running.end().await;
    let expected = Counts {
        files: 1,
        records: 3,
        octets: 3 * RECORD,
        lost: 4,
    };
    assert_eq!(totals.counts(), expected);
}

#[test]
fn a_write_is_under_way_until_it_ends() {
    assert_eq!(UnderWay::new().elapsed(), None);
    let under_way = UnderWay::since(LIMIT);
    assert!(under_way.elapsed().unwrap() >= LIMIT - Duration::from_millis(1));
    under_way.begin();
    assert!(under_way.elapsed().unwrap() < LIMIT);
    under_way.end();
    assert_eq!(under_way.elapsed(), None);
}
