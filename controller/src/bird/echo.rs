//! The log, for clients that asked for it (`echo all`).
//!
//! A layer of the log writes each event to a channel that keeps the last few for readers who are
//! slow; what a reader misses is said to it, and costs nobody anything.

use std::{fmt, fmt::Write as _, sync::LazyLock};

use tokio::sync::broadcast;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::layer::{Context, Layer};

/// Lines that are kept for a slow reader.
const KEPT: usize = 256;

static LINES: LazyLock<broadcast::Sender<String>> = LazyLock::new(|| broadcast::channel(KEPT).0);

/// The layer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

/// Every line from now on.
pub(super) fn lines() -> broadcast::Receiver<String> {
    LINES.subscribe()
}

impl<S: Subscriber> Layer<S> for Echo {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // Nobody listens, as a rule.
        if LINES.receiver_count() == 0 {
            return;
        }
        let mut line = Line::default();
        event.record(&mut line);
        let class = match *event.metadata().level() {
            Level::ERROR => "ERR",
            Level::WARN => "WARN",
            Level::INFO => "INFO",
            Level::DEBUG => "DBG",
            Level::TRACE => "TRACE",
        };
        // The last reader may have left meanwhile.
        let _ = LINES.send(format!("<{class}> {}{}", line.message, line.fields));
    }
}

/// What an event says: its message, and then its fields.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
