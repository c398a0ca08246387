//! Answers as text, in the manner of BIRD 2.
//!
//! Pure: values in, a string out; the local time zone is an argument. Widths follow the content, so
//! a long node name never runs into the next column.

mod protocols;
mod routes;
mod status;

use std::fmt::Write as _;

use jiff::{Timestamp, tz::TimeZone};

pub use self::{
    protocols::{bfd_sessions, protocols},
    routes::{filtered, kernel, routes},
    status::status,
};
use crate::control::views::{Annotated, Service};

/// How to print times.
#[derive(Clone, Debug)]
pub struct Style {
    /// The zone of the reader.
    pub zone: TimeZone,
}

impl Style {
    fn time(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone())
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string()
    }
}

/// `show services`
#[must_use]
pub fn services(services: &[Service]) -> String {
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
    let rows: Vec<_> = services.iter().map(row).collect();
    let header = ["Service", "Kind", "Address", "State", "Prefixes", "Told to"];
    table(&header, &rows)
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

/// Columns of text, each as wide as its widest cell.
fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    let header = header.iter().map(|h| (*h).to_owned()).collect();
    for row in std::iter::once(&header).chain(rows) {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests;
