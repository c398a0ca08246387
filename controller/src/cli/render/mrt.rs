//! The update log.

use super::{Style, Table};
use crate::control::views::MrtLog;

/// `show mrt`
#[must_use]
pub fn mrt_logs(list: &[MrtLog], style: &Style) -> String {
    mrt_table(list, style).text()
}

/// The same as a table.
#[must_use]
pub fn mrt_table(list: &[MrtLog], style: &Style) -> Table {
    let header = [
        "Directory",
        "State",
        "Since",
        "Records",
        "Lost",
        "File",
        "Info",
    ];
    let row = |log: &MrtLog| {
        vec![
            log.directory.clone(),
            log.state.clone(),
            style.time(log.since),
            log.records.to_string(),
            log.lost.to_string(),
            log.file.clone().unwrap_or_default(),
            log.error.clone().unwrap_or_default(),
        ]
    };
    Table::new(&header, list.iter().map(row).collect())
}
