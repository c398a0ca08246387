//! Bounded waiting, the only kind that the lab does.
//!
//! A probe says either what it found or why it is not there yet; the last reason is what a failure
//! shows. Every wait also ends when the user presses Ctrl-C: the error then runs up the stack and
//! the lab's `Drop` cleans up.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Fails once SIGINT or SIGTERM has arrived.
pub fn check_interrupt() -> Result<()> {
    if INTERRUPTED.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    Ok(())
}

/// Makes SIGINT and SIGTERM end every wait instead of the process.
pub fn catch_signals() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .context("cannot watch for signals")?;
    thread::spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut interrupt), Ok(mut terminate)) = (
                signal(SignalKind::interrupt()),
                signal(SignalKind::terminate()),
            ) else {
                return;
            };
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                INTERRUPTED.store(true, Ordering::Relaxed);
            }
        });
    });
    Ok(())
}

/// Asks `probe` every 20 ms until it succeeds, and says how long that took.
///
/// Fails when `bound` has passed, with `what` and the probe's last reason.
pub fn until<T>(
    what: &str,
    bound: Duration,
    mut probe: impl FnMut() -> Result<T>,
) -> Result<(T, Duration)> {
    let start = Instant::now();
    loop {
        check_interrupt()?;
        let reason = match probe() {
            Ok(found) => return Ok((found, start.elapsed())),
            Err(reason) => reason,
        };
        if start.elapsed() >= bound {
            bail!("{what}: not within {bound:?}: {reason:#}");
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Checks over `time` that `probe` goes on to succeed.
pub fn holds(what: &str, time: Duration, mut probe: impl FnMut() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < time {
        check_interrupt()?;
        probe().with_context(|| format!("{what}: did not hold for {time:?}"))?;
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_reason_is_in_the_failure() {
        let mut calls = 0;
        let failure = until("sun", Duration::from_millis(30), || -> Result<()> {
            calls += 1;
            bail!("cloud {calls}")
        })
        .unwrap_err();
        assert_eq!(
            format!("{failure}"),
            format!("sun: not within 30ms: cloud {calls}")
        );
    }

    #[test]
    fn success_ends_the_wait() {
        let mut calls = 0;
        let (found, _) = until("third", Duration::from_secs(5), || {
            calls += 1;
            if calls == 3 {
                Ok(calls)
            } else {
                bail!("not yet")
            }
        })
        .unwrap();
        assert_eq!(found, 3);
    }
}
