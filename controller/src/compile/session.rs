//! Session parameters that a `BGPPeer` may override and else come from the `BGPConfiguration`.

use std::time::Duration;

use crate::api::{BGPConfigurationSpec, GracefulRestartSpec, TimersSpec};

const HOLD_TIME: u16 = 90;
const CONNECT_RETRY: u16 = 5;
const RESTART_TIME: u16 = 120;

/// Timers and graceful restart of one session.
pub(super) struct SessionParameters {
    /// Seconds.
    pub(super) hold_time: u16,
    pub(super) connect_retry: Duration,
    pub(super) delay_open: Option<Duration>,
    pub(super) send_hold: Option<Duration>,
    /// Seconds, or `None` for no graceful restart.
    pub(super) graceful_restart: Option<u16>,
    /// Seconds beyond that.
    pub(super) long_lived: u32,
}

impl SessionParameters {
    /// `timers` and `restart` before the configuration's before the built-in ones.
    pub(super) fn new(
        configuration: &BGPConfigurationSpec,
        timers: &TimersSpec,
        restart: &GracefulRestartSpec,
    ) -> Self {
        let (timers0, restart0) = (&configuration.timers, &configuration.graceful_restart);
        let hold_time = timers.hold_time_seconds.or(timers0.hold_time_seconds);
        let retry = timers
            .connect_retry_seconds
            .or(timers0.connect_retry_seconds);
        let delay_open = timers.delay_open_seconds.or(timers0.delay_open_seconds);
        let send_hold = timers.send_hold_seconds.or(timers0.send_hold_seconds);
        let seconds = |seconds: u16| Duration::from_secs(seconds.into());
        let enabled = restart.enabled.or(restart0.enabled).unwrap_or(true);
        let restart_time = restart
            .restart_time_seconds
            .or(restart0.restart_time_seconds)
            .unwrap_or(RESTART_TIME);
        let long_lived = restart
            .long_lived_stale_seconds
            .or(restart0.long_lived_stale_seconds)
            .unwrap_or(0);
        Self {
            hold_time: hold_time.unwrap_or(HOLD_TIME),
            connect_retry: Duration::from_secs(retry.unwrap_or(CONNECT_RETRY).into()),
            delay_open: delay_open.filter(|s| *s > 0).map(seconds),
            send_hold: send_hold.map(seconds),
            graceful_restart: enabled.then_some(restart_time),
            long_lived: if enabled { long_lived } else { 0 },
        }
    }
}
