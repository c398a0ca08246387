//! What the kernel counts of this process, under the names that every client of Prometheus uses.

use std::{fs, path::Path};

use rustix::{
    param::{clock_ticks_per_second, page_size},
    process::{Resource, getrlimit},
};

/// See the module's page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Process {
    /// CPU time, in user mode and in the kernel.
    pub cpu_seconds: f64,
    /// Memory in RAM.
    pub resident_bytes: u64,
    /// Address space.
    pub virtual_bytes: u64,
    /// When it began, since 1970.
    pub start_seconds: f64,
    /// Threads.
    pub threads: u64,
    /// Open file descriptors.
    pub open_fds: u64,
    /// The most that may be open; without a limit, none.
    pub max_fds: Option<u64>,
}

impl Process {
    /// This process, if `/proc` is there to say so.
    #[must_use]
    pub fn read() -> Option<Self> {
        let proc = Path::new("/proc");
        let own = proc.join("self");
        let booted = boot_time(&fs::read_to_string(proc.join("stat")).ok()?)?;
        let stat = fs::read_to_string(own.join("stat")).ok()?;
        let open_fds = fs::read_dir(own.join("fd")).ok()?.count() as u64;
        Some(Self {
            open_fds,
            max_fds: getrlimit(Resource::Nofile).current,
            ..Self::parse(&stat, booted, clock_ticks_per_second(), page_size())?
        })
    }

    /// Reads `/proc/self/stat`, see proc(5). The name in the second field may have spaces and brackets in it.
    fn parse(stat: &str, booted: u64, ticks_per_second: u64, page_size: usize) -> Option<Self> {
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        // The first of these is the third of all.
        let field = |n: usize| fields.get(n - 3)?.parse::<u64>().ok();
        let seconds = |ticks: u64| ticks as f64 / ticks_per_second as f64;
        Some(Self {
            cpu_seconds: seconds(field(14)? + field(15)?),
            threads: field(20)?,
            start_seconds: booted as f64 + seconds(field(22)?),
            virtual_bytes: field(23)?,
            resident_bytes: field(24)? * page_size as u64,
            open_fds: 0,
            max_fds: None,
        })
    }
}

/// When the host began, in seconds since 1970, from `/proc/stat`.
fn boot_time(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_read_whatever_the_process_is_called() {
        let stat = "4711 (red) (start) S 1 4711 4711 0 -1 4194560 5000 0 7 0 150 50 0 0 20 0 9 0 12300 800000000 2048 \
            18446744073709551615 1 1 0 0 0 0 0 4096 17 0 0 17 1 0 0 0 0 0";
        let booted = boot_time("cpu  1 2 3\nbtime 1700000000\nprocesses 5\n").unwrap();
        let process = Process::parse(stat, booted, 100, 4096).unwrap();
        let expected = Process {
            cpu_seconds: 2.0,
            resident_bytes: 8_388_608,
            virtual_bytes: 800_000_000,
            start_seconds: 1_700_000_123.0,
            threads: 9,
            open_fds: 0,
            max_fds: None,
        };
        assert_eq!(process, expected);
        assert_eq!(Process::parse("nothing", 0, 100, 4096), None);
    }

    #[test]
    fn this_process_is_seen() {
        let process = Process::read().unwrap();
        assert!(
            process.resident_bytes > 1 << 20 && process.virtual_bytes >= process.resident_bytes
        );
        assert!(process.threads > 0 && process.open_fds > 2);
        let now = jiff::Timestamp::now().as_second() as f64;
        assert!(process.start_seconds > now - 86_400.0 && process.start_seconds < now + 5.0);
    }
}
