//! The terminal that answers are printed on, if it is one.

use std::io::{self, IsTerminal as _};

use jiff::tz::TimeZone;

use super::render::Style;

/// How to print for whoever looks.
#[must_use]
pub fn style() -> Style {
    Style {
        zone: TimeZone::system(),
        width: width(),
    }
}

fn width() -> Option<usize> {
    let stdout = io::stdout();
    let size = rustix::termios::tcgetwinsize(&stdout).ok()?;
    (stdout.is_terminal() && size.ws_col > 0).then(|| size.ws_col.into())
}
