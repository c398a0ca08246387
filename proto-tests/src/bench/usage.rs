//! What processes cost: processor time and memory, with their children's.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// The cost of a daemon so far.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time of all threads.
    pub cpu: Duration,
    /// Resident memory now, in octets.
    pub resident: u64,
    /// The most that it ever was.
    pub peak: u64,
}

/// The cost of these processes and of those that they started.
pub fn of(roots: &[u32]) -> Result<Usage> {
    let mut usage = Usage::default();
    for pid in family(roots)? {
        let one = alone(pid);
        usage.cpu += one.cpu;
        usage.resident += one.resident;
        usage.peak += one.peak;
    }
    Ok(usage)
}

/// Waits until these processes are busy for less than one part in `parts` of the time of a `pause`.
pub fn until_at_rest(
    roots: &[u32],
    parts: u32,
    patience: Duration,
    mut pause: impl FnMut() -> Result<()>,
) -> Result<()> {
    let end = Instant::now() + patience;
    loop {
        let (began, before) = (Instant::now(), of(roots)?.cpu);
        pause()?;
        let busy = of(roots)?.cpu.saturating_sub(before);
        if busy < began.elapsed() / parts {
            return Ok(());
        }
        ensure!(Instant::now() < end, "the daemon does not come to rest");
    }
}

/// The cost of one process, without those that it started.
pub fn alone(pid: u32) -> Usage {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    Usage {
        cpu: cpu(pid),
        resident: kilobytes(&status, "VmRSS:"),
        peak: kilobytes(&status, "VmHWM:"),
    }
}

fn family(roots: &[u32]) -> Result<Vec<u32>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // After the name in parentheses: state, parent.
        let parent = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(1));
        if let Some(parent) = parent.and_then(|parent| parent.parse().ok()) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut all = roots.to_vec();
    let mut at = 0;
    while let Some(pid) = all.get(at).copied() {
        all.extend(children.get(&pid).into_iter().flatten());
        at += 1;
    }
    Ok(all)
}

fn cpu(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    tasks.map(|task| task_cpu(&task.path())).sum()
}

/// Processor time of the thread that asks.
pub fn of_this_thread() -> Duration {
    task_cpu(Path::new("/proc/thread-self"))
}

/// In nanoseconds in `schedstat`; `stat` counts in hundredths of a second.
fn task_cpu(task: &Path) -> Duration {
    let text = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
    let first = text.split_whitespace().next();
    let nanos = first.and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

fn kilobytes(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_this_process() {
        let usage = of(&[std::process::id()]).unwrap();
        assert!(usage.cpu > Duration::ZERO);
        assert!(usage.resident > 1 << 20 && usage.peak >= usage.resident);
    }
}
