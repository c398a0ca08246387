//! Disks that are full, broken, or keep what should go.

use std::{
    io::Write,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    super::store::{Disk, Store, System},
    *,
};

/// A directory whose files have so many octets at most, together.
#[derive(Clone, Debug)]
struct Small {
    directory: PathBuf,
    size: Arc<AtomicU64>,
    broken: Arc<Mutex<Broken>>,
}

/// What else does not work.
#[derive(Debug, Default)]
struct Broken {
    /// Making each file, with this error.
    create: Option<i32>,
    /// Each write, with this error.
    write: Option<i32>,
    /// Cutting.
    cut: bool,
    /// Removing files with such names.
    remove: Option<&'static str>,
}

/// A file there.
#[derive(Debug)]
struct There {
    disk: Small,
    file: File,
}

impl Small {
    fn new(directory: &Path, size: u64) -> Self {
        Self {
            directory: directory.to_owned(),
            size: Arc::new(size.into()),
            broken: Arc::default(),
        }
    }

    fn files(&self, max_file: u64, keep_files: usize) -> Files {
        let spec = spec(&self.directory, max_file, keep_files);
        Files::on(Box::new(self.clone()), spec, "n1")
    }

    fn resize(&self, size: u64) {
        self.size.store(size, Ordering::Relaxed);
    }

    fn breaks(&self, how: impl FnOnce(&mut Broken)) {
        how(&mut self.broken.lock().unwrap());
    }

    fn room(&self) -> u64 {
        let entries = fs::read_dir(&self.directory).unwrap();
        let used = entries.map(|entry| entry.unwrap().metadata().unwrap().len());
        self.size
            .load(Ordering::Relaxed)
            .saturating_sub(used.sum::<u64>())
    }
}

impl Disk for Small {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Store>> {
        if let Some(errno) = self.broken.lock().unwrap().create {
            return Err(io::Error::from_raw_os_error(errno));
        }
        let file = File::options().append(true).create_new(true).open(path)?;
        let disk = self.clone();
        Ok(Box::new(There { disk, file }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let kept = self.broken.lock().unwrap().remove;
        match kept {
            Some(name) if path.to_string_lossy().contains(name) => {
                Err(io::Error::from_raw_os_error(libc::EPERM))
            }
            _ => System.remove(path),
        }
    }
}

impl Write for There {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if let Some(errno) = self.disk.broken.lock().unwrap().write {
            return Err(io::Error::from_raw_os_error(errno));
        }
        let room = usize::try_from(self.disk.room()).unwrap();
        match octets.len().min(room) {
            0 => Err(io::Error::from_raw_os_error(libc::ENOSPC)),
            n => self.file.write(&octets[..n]),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Store for There {
    fn cut(&self, len: u64) -> io::Result<()> {
        if self.disk.broken.lock().unwrap().cut {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        self.file.cut(len)
    }

    fn is_gone(&self) -> bool {
        self.file.is_gone()
    }
}

const NOW: &str = "2026-05-28T10:00:00Z";

/// Writes until it cannot be done any more.
fn fails(files: &mut Files, records: &mut BytesMut) -> Reason {
    let mut written = Written::default();
    loop {
        assert!(!records.is_empty());
        if let Err(fault) = files.write(at(NOW), records, &mut written) {
            return fault.reason;
        }
    }
}

#[test]
fn on_a_full_disk_the_oldest_files_go() {
    // The limit on their number is reached with the disk, or never.
    for keep in [4, 100] {
        let dir = TempDir::new().unwrap();
        let disk = Small::new(dir.path(), 12 * RECORD + 7);
        let mut files = disk.files(3 * RECORD, keep);
        let written = write(&mut files, at(NOW), records(32)).unwrap();
        assert_eq!(written.records, 32);
        let expected = [vec![21, 22, 23], vec![24, 25, 26], vec![27, 28, 29]];
        let logged = logged(dir.path());
        assert_eq!(logged[logged.len() - 4..][..3], expected);
        assert_eq!(logged.last().unwrap(), &[30, 31]);
        assert!(logged.len() <= 5, "{logged:?}");
    }
}

#[test]
fn no_more_goes_than_is_to_be_written() {
    let dir = TempDir::new().unwrap();
    let disk = Small::new(dir.path(), 1 << 20);
    let mut files = disk.files(3 * RECORD, 9);
    write(&mut files, at(NOW), records(15)).unwrap();
    // Somebody else takes all that there is.
    disk.resize(0);
    let mut few = records(4);
    assert_eq!(fails(&mut files, &mut few), Reason::DiskFull);
    assert_eq!(few.len() as u64, 4 * RECORD);
    let expected = [vec![6, 7, 8], vec![9, 10, 11], vec![12, 13, 14]];
    assert_eq!(logged(dir.path())[..3], expected);
}

/// Of a process that has just begun, and of one that cannot even begin a file.
#[test]
fn the_newest_records_stay_where_the_file_is_empty_or_there_is_none() {
    let dir = TempDir::new().unwrap();
    let disk = Small::new(dir.path(), 1 << 20);
    write(&mut disk.files(3 * RECORD, 9), at(NOW), records(9)).unwrap();
    disk.resize(0);
    let mut files = disk.files(3 * RECORD, 9);
    files.open(at(NOW)).unwrap();
    for _ in 0..4 {
        assert_eq!(fails(&mut files, &mut records(4)), Reason::DiskFull);
    }
    assert_eq!(logged(dir.path()), [vec![6, 7, 8], vec![]]);
    disk.breaks(|it| it.create = Some(libc::ENOSPC));
    let mut files = disk.files(3 * RECORD, 9);
    for _ in 0..4 {
        assert_eq!(fails(&mut files, &mut records(4)), Reason::DiskFull);
    }
    assert_eq!(logged(dir.path())[0], [6, 7, 8]);
}

#[test]
fn a_fault_is_the_same_at_each_attempt() {
    for errno in [libc::EIO, libc::ENOSPC] {
        let dir = TempDir::new().unwrap();
        let disk = Small::new(dir.path(), 1 << 20);
        let mut files = disk.files(1 << 20, 3);
        disk.breaks(|it| it.write = Some(errno));
        let mut attempt = |minutes: i64| {
            let now = at(NOW) + minutes.minutes();
            write(&mut files, now, records(2)).unwrap_err()
        };
        let first = attempt(0);
        assert_eq!(first, attempt(1));
        assert_eq!(first, attempt(70));
    }
}

#[test]
fn the_file_that_is_written_never_goes() {
    let dir = TempDir::new().unwrap();
    let disk = Small::new(dir.path(), 5 * RECORD);
    let mut files = disk.files(1 << 20, 9);
    for _ in 0..3 {
        assert_eq!(fails(&mut files, &mut records(9)), Reason::DiskFull);
    }
    assert_eq!(logged(dir.path()), [[0, 1, 2, 3, 4]]);
}

#[test]
fn records_that_there_is_room_for_are_written_and_no_part_of_another_one() {
    let dir = TempDir::new().unwrap();
    let disk = Small::new(dir.path(), 2 * RECORD + RECORD / 2);
    let mut files = disk.files(1 << 20, 9);
    let mut waiting = records(10);
    assert_eq!(fails(&mut files, &mut waiting), Reason::DiskFull);
    assert_eq!(logged(dir.path()), [[0, 1]]);
    assert_eq!(waiting.len() as u64, 8 * RECORD);
    disk.resize(5 * RECORD - 1);
    assert_eq!(fails(&mut files, &mut waiting), Reason::DiskFull);
    assert_eq!(logged(dir.path()), [[0, 1, 2, 3]]);
    disk.resize(1 << 20);
    write(&mut files, at(NOW), waiting).unwrap();
    assert_eq!(logged(dir.path()), [(0..10).collect::<Vec<_>>()]);
}

#[test]
fn nothing_comes_behind_half_a_record() {
    let dir = TempDir::new().unwrap();
    let disk = Small::new(dir.path(), 2 * RECORD + RECORD / 2);
    let mut files = disk.files(1 << 20, 9);
    disk.breaks(|it| it.cut = true);
    let mut waiting = records(5);
    assert_eq!(fails(&mut files, &mut waiting), Reason::DiskFull);
    disk.resize(1 << 20);
    write(&mut files, at(NOW), waiting).unwrap();
    let names = names(dir.path());
    assert_eq!(names.len(), 2);
    let torn = fs::read(dir.path().join(&names[0])).unwrap();
    let mut torn = Records::new(&torn);
    assert!(torn.by_ref().count() == 2 && torn.is_cut());
    assert_eq!(seconds(&dir.path().join(&names[1])), [2, 3, 4]);
}

#[test]
fn a_file_that_does_not_take_records_is_left_and_no_empty_ones_pile_up() {
    let dir = TempDir::new().unwrap();
    let disk = Small::new(dir.path(), 1 << 20);
    let mut files = disk.files(1 << 20, 3);
    write(&mut files, at(NOW), records(1)).unwrap();
    disk.breaks(|it| it.write = Some(libc::EIO));
    let mut waiting = records(2);
    for _ in 0..5 {
        assert_eq!(fails(&mut files, &mut waiting), Reason::WriteFailed);
    }
    assert_eq!(logged(dir.path()), [[0]]);
    disk.breaks(|it| it.write = None);
    write(&mut files, at(NOW), waiting).unwrap();
    assert_eq!(logged(dir.path()), [vec![0], vec![0, 1]]);
}

#[test]
fn a_file_that_cannot_be_removed_is_told_of_and_left_out() {
    let dir = TempDir::new().unwrap();
    let disk = Small::new(dir.path(), 1 << 20);
    let mut files = disk.files(RECORD, 3);
    write(&mut files, at(NOW), records(1)).unwrap();
    disk.breaks(|it| it.remove = Some(".100000.mrt"));
    write(&mut files, at(NOW), records(6)).unwrap();
    let stuck = files.stuck.clone().unwrap();
    assert_eq!(stuck.reason, Reason::FileNotRemoved);
    assert!(stuck.message.contains(".100000.mrt: "), "{stuck:?}");
    // There are no more than that all the same.
    assert_eq!(logged(dir.path()), [[0], [4], [5]]);
    disk.breaks(|it| it.remove = None);
    write(&mut files, at(NOW), records(1)).unwrap();
    assert_eq!(files.stuck, None);
    assert_eq!(logged(dir.path()), [[4], [5], [0]]);
}
