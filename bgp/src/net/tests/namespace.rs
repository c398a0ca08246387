//! Networks for tests: namespaces that are threads. Need root.

use core::future::Future;
use std::{
    io,
    process::Command,
    sync::mpsc,
    thread::{self, JoinHandle},
};

#[expect(unsafe_code, reason = "system calls without a safe wrapper")]
pub(super) fn enter_namespace() -> libc::pid_t {
    // SAFETY: takes no pointers; only moves this thread to a new network namespace.
    let moved = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    let error = io::Error::last_os_error();
    assert_eq!(moved, 0, "needs root, for a namespace of its own: {error}");
    // SAFETY: takes nothing, and cannot fail.
    unsafe { libc::gettid() }
}

pub(super) fn ip(line: &str) {
    let done = Command::new("ip").args(line.split(' ')).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "ip {line}: {said}");
}

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(future)
}

pub(super) fn join(thread: JoinHandle<()>) {
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// A namespace of its own, and a thread in it that does what it is told. It goes with the thread.
pub(super) struct Namespace {
    /// The thread: how `ip` knows the namespace.
    pub(super) id: libc::pid_t,
    jobs: mpsc::Sender<Job>,
}

impl Namespace {
    #[expect(clippy::disallowed_methods, reason = "a namespace is a thread's")]
    pub(super) fn new() -> Self {
        let (jobs, to_do) = mpsc::channel::<Job>();
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            tell.send(enter_namespace()).unwrap();
            ip("link set lo up");
            to_do.iter().for_each(|job| job());
        });
        let id = told.recv().unwrap();
        Self { id, jobs }
    }

    /// Starts a job. What it returns arrives at the end of it, or nothing if it panicked.
    pub(super) fn start<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> mpsc::Receiver<T> {
        let (done, result) = mpsc::channel();
        let job = move || drop(done.send(job()));
        self.jobs.send(Box::new(job)).unwrap();
        result
    }

    /// Does a job.
    pub(super) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        self.start(job).recv().unwrap()
    }

    /// Each line is for `ip`, or a setting for `sysctl`.
    pub(super) fn configure(&self, lines: &str) {
        let lines = lines.to_owned();
        self.run(move || {
            for line in lines.lines().map(str::trim) {
                match line.strip_prefix("sysctl ") {
                    Some(setting) => sysctl(setting),
                    None => ip(line),
                }
            }
        });
    }
}

fn sysctl(setting: &str) {
    let (name, value) = setting.split_once('=').unwrap();
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    std::fs::write(path, value).unwrap();
}
