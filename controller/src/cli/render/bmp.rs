//! Monitoring stations.

use super::{Style, Table};
use crate::control::views::BmpStation;

/// `show bmp`
#[must_use]
pub fn bmp_stations(list: &[BmpStation], style: &Style) -> String {
    bmp_table(list, style).text()
}

/// The same as a table.
#[must_use]
pub fn bmp_table(list: &[BmpStation], style: &Style) -> Table {
    let header = ["Station", "State", "Since", "Messages", "Tables", "Info"];
    let row = |s: &BmpStation| {
        let why = s.last_error.clone().filter(|_| s.state == "connecting");
        vec![
            s.address.to_string(),
            s.state.clone(),
            style.time(s.since),
            s.messages.to_string(),
            s.tables.join(","),
            why.unwrap_or_default(),
        ]
    };
    Table::new(&header, list.iter().map(row).collect())
}
