//! Which files are the log's own, in which order they are, and which go.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

const NOW: &str = "2026-05-28T10:00:00Z";

fn names_of(times: &[&str]) -> Vec<String> {
    let name = |time: &&str| format!("updates.n1.20260528.{time}.mrt");
    times.iter().map(name).collect()
}

#[test]
fn names_go_up_where_the_clock_goes_back() {
    let dir = TempDir::new().unwrap();
    let spec = spec(dir.path(), 1 << 20, 2);
    let mut files = Files::new(spec.clone(), "n1");
    write(&mut files, at(NOW), records(1)).unwrap();
    // While it runs, and with a process that knows nothing of the one before.
    write(&mut files, at(NOW) - 2.hours(), records(2)).unwrap();
    let mut files = Files::new(spec.clone(), "n1");
    write(&mut files, at(NOW) - 1.hour(), records(3)).unwrap();
    assert_eq!(names(dir.path()), names_of(&["100001", "100002"]));
    assert_eq!(logged(dir.path()), [vec![0, 1], vec![0, 1, 2]]);
    // On a node without a battery.
    let mut files = Files::new(spec, "n1");
    write(&mut files, at("1970-01-01T00:00:09Z"), records(4)).unwrap();
    assert_eq!(logged(dir.path()), [vec![0, 1, 2], vec![0, 1, 2, 3]]);
}

#[test]
fn files_with_nothing_in_them_are_not_kept() {
    let dir = TempDir::new().unwrap();
    let spec = spec(dir.path(), RECORD, 3);
    let mut files = Files::new(spec.clone(), "n1");
    write(&mut files, at(NOW), records(3)).unwrap();
    // Processes that were killed.
    for name in names_of(&["100100", "100200", "100300"]) {
        File::create(dir.path().join(name)).unwrap();
    }
    for minutes in 4..9 {
        let mut files = Files::new(spec.clone(), "n1");
        files.open(at(NOW) + minutes.minutes()).unwrap();
    }
    let kept = names_of(&["100000", "100001", "100002"]);
    assert_eq!(names(dir.path())[..3], kept);
    assert_eq!(names(dir.path()).len(), 4);
    let mut files = Files::new(spec, "n1");
    files.open(at(NOW) + 9.minutes()).unwrap();
    files.let_go();
    assert_eq!(names(dir.path()), kept);
}

#[tokio::test]
async fn a_log_in_which_nothing_was_written_leaves_no_file() {
    let dir = TempDir::new().unwrap();
    let running = start(dir.path(), 1 << 20);
    while running.status.borrow().file.is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(names(dir.path()).len(), 1);
    running.end().await;
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

/// What is no file, or has a time that none is of, is somebody else's; and so is what a link leads to.
#[test]
fn what_is_not_ours_stays() {
    let dir = TempDir::new().unwrap();
    let target = dir.path().join("precious");
    fs::write(&target, "x").unwrap();
    let strange = names_of(&["100000", "100001", "250000", "095900x"]);
    symlink(&target, dir.path().join(&strange[0])).unwrap();
    fs::create_dir(dir.path().join(&strange[1])).unwrap();
    fs::write(dir.path().join(&strange[2]), "x").unwrap();
    fs::write(dir.path().join(&strange[3]), "x").unwrap();
    let far = "updates.n1.99991230.215959.mrt";
    fs::write(dir.path().join(far), "x").unwrap();
    let mut files = Files::new(spec(dir.path(), RECORD, 2), "n1");
    write(&mut files, at(NOW), records(5)).unwrap();
    let mut expected = names_of(&["095900x", "100000", "100001", "100005", "100006", "250000"]);
    expected.extend([far.to_owned(), "precious".to_owned()]);
    expected.sort();
    let mut there = names(dir.path());
    there.sort();
    assert_eq!(there, expected);
    assert_eq!(fs::read(&target).unwrap(), b"x");
}

/// The umask says who else reads it.
#[test]
fn nobody_else_can_write_to_a_file() {
    let dir = TempDir::new().unwrap();
    let mut files = Files::new(spec(dir.path(), 1 << 20, 2), "n1");
    files.open(at(NOW)).unwrap();
    let file = dir.path().join(files.name().unwrap());
    let mode = fs::metadata(file).unwrap().permissions().mode();
    assert_eq!(mode & 0o133, 0, "{mode:o}");
}

/// What was written by a process that was killed in the middle of a record.
#[test]
fn the_half_record_of_a_process_that_was_killed_stays_at_the_end_of_its_file() {
    let dir = TempDir::new().unwrap();
    let [name] = &names_of(&["095900"])[..] else {
        panic!()
    };
    let half = &records(2)[..records(2).len() - 1];
    fs::write(dir.path().join(name), half).unwrap();
    let mut files = Files::new(spec(dir.path(), 1 << 20, 2), "n1");
    write(&mut files, at(NOW), records(1)).unwrap();
    assert_eq!(names(dir.path()), names_of(&["095900", "100000"]));
    assert_eq!(fs::read(dir.path().join(name)).unwrap(), half);
}
