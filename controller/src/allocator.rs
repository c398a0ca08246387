//! What the kernel is given back, so that a speaker stays small: free memory, where glibc's allocator is
//! asked for it, and the mappings of the program's pages that were needed once.

use std::time::Duration;

use tokio::{task::spawn_blocking, time::sleep};

/// When the start is over, and how often pages of the program go then.
const AFTER_START: Duration = Duration::from_secs(10);
const BETWEEN: Duration = Duration::from_secs(600);

/// Before there is a second thread. One arena: there is next to nothing that threads allocate at the
/// same time, and with one for each of them what one frees is of no use to the others. And large blocks
/// come from the kernel and go back to it: glibc would take those that tables leave behind when they grow
/// for a sign that it need not, and keep them.
pub fn tune() {
    #[cfg(target_env = "gnu")]
    set([
        (libc::M_ARENA_MAX, 1),
        (libc::M_MMAP_THRESHOLD, LARGE),
        (libc::M_TRIM_THRESHOLD, 4 * LARGE),
    ]);
}

/// Gives back to the kernel what is free and scattered: after something that took much for a while.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    trim();
    program::unmap();
}

/// Gives back what the start took, and lets the pages of the program go now and then. What runs at a time lies
/// all over the program, and the kernel maps 64 KiB around each page that is needed: after a start most of what
/// is mapped is never needed again, and after a day nearly all of the program is mapped. The pages stay in the
/// page cache, where the kernel may take them if it must; what is still needed comes back from there, in some
/// hundred faults.
pub async fn stay_small() {
    sleep(AFTER_START).await;
    // Whether it came to its end is nobody's concern.
    let _ = spawn_blocking(give_back).await;
    loop {
        sleep(BETWEEN).await;
        let _ = spawn_blocking(program::unmap).await;
    }
}

#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 1 << 20;

#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "mallopt has no safe wrapper")]
fn set<const N: usize>(options: [(libc::c_int, libc::c_int); N]) {
    for (option, value) in options {
        // SAFETY: sets a number of the allocator.
        unsafe { libc::mallopt(option, value) };
    }
}

#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "malloc_trim has no safe wrapper")]
fn trim() {
    // SAFETY: takes no pointers, and may be called at any time by any thread.
    unsafe { libc::malloc_trim(0) };
}

/// The program's own pages, and those of its libraries.
mod program {
    use core::ffi::c_void;
    use std::{fs, ops::Range};

    /// Unmaps code and constants that are as they are in their files.
    pub(super) fn unmap() {
        let Ok(smaps) = fs::read_to_string("/proc/self/smaps") else {
            return;
        };
        for range in untouched(&smaps) {
            give_back(range);
        }
    }

    /// Where files are mapped that this process has no copies of pages of and cannot write to. Relocated
    /// constants and breakpoints are such copies.
    fn untouched(smaps: &str) -> impl Iterator<Item = Range<usize>> + '_ {
        let mut mapping = None;
        smaps.lines().filter_map(move |line| {
            if let Some(count) = line.strip_prefix("Anonymous:") {
                return mapping.take().filter(|_| count.trim() == "0 kB");
            }
            let mut words = line.split_ascii_whitespace();
            let (first, rights) = (words.next()?, words.next()?);
            // Offset, device, inode; then the path.
            let file = words.nth(3);
            if let Some((start, end)) = first.split_once('-') {
                let private = matches!(rights, "r--p" | "r-xp");
                let file = file.is_some_and(|file| file.starts_with('/'));
                let start = usize::from_str_radix(start, 16).ok()?;
                let end = usize::from_str_radix(end, 16).ok()?;
                mapping = (private && file).then_some(start..end);
            }
            None
        })
    }

    #[expect(unsafe_code, reason = "madvise has no safe wrapper")]
    fn give_back(range: Range<usize>) {
        let start = range.start as *mut c_void;
        // SAFETY: these are the bounds of a mapping of a file. All of its pages are as the file has them, and
        // nobody can write to them: they are read from the file again.
        unsafe { libc::madvise(start, range.len(), libc::MADV_DONTNEED) };
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn only_what_the_file_has_is_let_go() {
            let smaps = "\
5000-7000 r--p 00000000 fe:00 51 /bin/redstart
Rss:                   8 kB
Anonymous:             0 kB
7000-9000 r-xp 00002000 fe:00 51 /bin/redstart (deleted)
Anonymous:             0 kB
9000-a000 r--p 00004000 fe:00 51 /bin/redstart
Anonymous:             4 kB
a000-b000 rw-p 00005000 fe:00 51 /bin/redstart
Anonymous:             0 kB
b000-c000 r--p 00000000 00:00 0
Anonymous:             0 kB
c000-d000 r-xp 00000000 00:00 0                          [vdso]
Anonymous:             0 kB
d000-e000 r--s 00000000 fe:00 52 /shared
Anonymous:             0 kB
";
            let expected = [0x5000..0x7000, 0x7000..0x9000];
            assert_eq!(untouched(smaps).collect::<Vec<_>>(), expected);
        }

        #[test]
        fn fewer_pages_of_the_program_are_resident() {
            let resident = || {
                let status = fs::read_to_string("/proc/self/status").unwrap();
                let line = status
                    .lines()
                    .find_map(|line| line.strip_prefix("RssFile:"));
                let count = line.and_then(|line| line.split_ascii_whitespace().next());
                count.unwrap().parse::<u64>().unwrap()
            };
            let before = resident();
            unmap();
            let after = resident();
            assert!(after < before, "{before} kB before, {after} kB after");
        }
    }
}
