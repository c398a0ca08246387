//! Answers as text, in the manner of BIRD 2.
//!
//! Pure: values in, a string out; the local time zone and the width of the terminal are arguments. Widths
//! of columns follow the content, so a long node name never runs into the next column; what is too wide
//! for the terminal is broken at the end, for every answer in the same way (`fit`).

mod bmp;
mod changes;
mod explain;
mod fit;
mod mrt;
mod protocols;
mod routes;
mod status;
mod why_down;

use jiff::{Timestamp, tz::TimeZone};

pub use self::{
    bmp::{bmp_stations, bmp_table},
    changes::{diff, history, problems},
    explain::explanation,
    mrt::{mrt_logs, mrt_table},
    protocols::{bfd_sessions, bfd_table, protocol_table, protocols},
    routes::{counts, kernel, route},
    status::status,
    why_down::why_down,
};
use crate::control::{
    Operation,
    views::{Annotated, Operated, Service},
};

/// For whom an answer is.
#[derive(Clone, Debug)]
pub struct Style {
    /// The zone of the reader.
    pub zone: TimeZone,
    /// How wide the terminal is, in columns; nothing where it is no terminal.
    pub width: Option<usize>,
}

impl Style {
    /// A text with no lines that are wider than the terminal.
    #[must_use]
    pub fn fit(&self, text: String) -> String {
        match self.width {
            Some(width) => fit::fit(&text, width),
            None => text,
        }
    }

    /// A time of day.
    #[must_use]
    pub fn time(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone())
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string()
    }
}

/// `show services`
#[must_use]
pub fn services(services: &[Service]) -> String {
    service_table(services).text()
}

/// The same as a table.
#[must_use]
pub fn service_table(services: &[Service]) -> Table {
    let row = |s: &Service| {
        let state = match &s.reason {
            Some(reason) => format!("{} ({reason})", s.state),
            None => s.state.clone(),
        };
        vec![
            s.service.clone(),
            s.kind.clone(),
            s.address.to_string(),
            state,
            s.prefixes.join(" "),
            s.peers.join(" "),
        ]
    };
    let header = ["Service", "Kind", "Address", "State", "Prefixes", "Told to"];
    Table::new(&header, services.iter().map(row).collect())
}

/// `drain` and `undrain`
#[must_use]
pub fn annotated(a: &Annotated) -> String {
    let node = &a.node;
    match (&a.drain, a.changed) {
        (Some(since), true) => format!(
            "Node {node} is to be drained, since {since}; `redc show status` says how far it is\n"
        ),
        (Some(since), false) => format!("Node {node} was to be drained already, since {since}\n"),
        (None, _) => format!("Node {node} is not to be drained\n"),
    }
}

/// `enable`, `disable`, `restart` and `reload`: `tor: disabled`
#[must_use]
pub fn operated(what: Operation, done: &[Operated]) -> String {
    let line = |o: &Operated| {
        let outcome = match (what, o.outcome.as_str()) {
            (Operation::Disable, "already") => "already disabled",
            (Operation::Disable, _) => "disabled",
            (Operation::Enable, "already") => "already enabled",
            (Operation::Enable, _) => "enabled",
            (Operation::Restart, "not-possible") => "disabled; enable it first",
            (Operation::Restart, _) => "restarted",
            (_, "not-possible") => "not possible: there is no session, or no route refresh in it",
            _ => "reloading",
        };
        format!("{}: {outcome}\n", o.peer)
    };
    done.iter().map(line).collect()
}

/// `log`
#[must_use]
pub fn log_level(level: &str) -> String {
    format!("The log has level {level}\n")
}

/// Columns of text, each as wide as its widest cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub(super) fn new(header: &[&str], rows: Vec<Vec<String>>) -> Self {
        let header = header.iter().map(|name| (*name).to_owned()).collect();
        Self { header, rows }
    }

    /// The same behind one more column, in which every row says the same.
    #[must_use]
    pub fn with_first(mut self, name: &str, cell: &str) -> Self {
        self.header.insert(0, name.to_owned());
        for row in &mut self.rows {
            row.insert(0, cell.to_owned());
        }
        self
    }

    /// Takes the rows of a table with the same columns in, below its own.
    pub fn append(&mut self, other: Self) {
        self.header = other.header;
        self.rows.extend(other.rows);
    }

    /// As text: a line for the names of the columns, and one for each row.
    #[must_use]
    pub fn text(&self) -> String {
        let lines = || std::iter::once(&self.header).chain(&self.rows);
        let mut widths = vec![0; self.header.len()];
        for line in lines() {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = cell.chars().count().max(*width);
            }
        }
        let mut out = String::new();
        for line in lines() {
            let cells = widths.iter().zip(line);
            let text: String = cells
                .map(|(width, cell)| format!("{cell:<width$}  "))
                .collect();
            out.push_str(text.trim_end());
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests;
