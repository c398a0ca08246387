//! Medians of a run, and how Redstart stands to each of the others.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{super::report::median, Row, act::Measured};

/// A row, how many routes, a phase.
type Key = (Row, u32, String);
/// What each daemon did in each round, in the order in which they were started.
type Rounds = Vec<(String, Vec<Measured>)>;

/// Everything that was measured, in the order of rows.
#[derive(Debug, Default)]
pub struct Report {
    measured: BTreeMap<Key, Rounds>,
    failures: Vec<String>,
}

impl Report {
    /// Adds what one daemon did in one round of a row.
    pub fn add(&mut self, row: Row, subject: &str, phases: Vec<Measured>) {
        for measured in phases {
            let key = (row, measured.routes, measured.phase.clone());
            let subjects = self.measured.entry(key).or_default();
            match subjects.iter_mut().find(|(name, _)| name == subject) {
                Some((_, all)) => all.push(measured),
                None => subjects.push((subject.to_owned(), vec![measured])),
            }
        }
    }

    /// Adds that a daemon did not get to the end.
    pub fn fail(&mut self, row: Row, subject: &str, why: &str) {
        self.failures.push(format!("{row}: {subject}: {why}"));
    }

    /// A Markdown table of medians, and the ratios: how many times as much the other one takes.
    pub fn markdown(&self) -> String {
        let mut text = String::from(
            "| row | routes | phase | daemon | wall ms | routes/s | CPU s | peak MiB | wall × | CPU × |\n\
             |---|---|---|---|---|---|---|---|---|---|\n",
        );
        for ((row, routes, phase), subjects) in &self.measured {
            let ours = subjects.iter().find(|(name, _)| name == "Redstart");
            let ours = ours.map(|(_, all)| Medians::of(all));
            for (name, all) in subjects {
                let medians = Medians::of(all);
                let rate = match row {
                    Row::Ipv4 | Row::Ipv6 => format!("{:.0}", f64::from(*routes) / medians.wall),
                    Row::Lost | Row::LostByBfd | Row::Removed => String::new(),
                };
                let against = ours.as_ref().filter(|_| name != "Redstart");
                let ratios = against.map_or_else(
                    || "| |".to_owned(),
                    |ours| {
                        let (wall, cpu) = (medians.wall / ours.wall, medians.cpu / ours.cpu);
                        format!("| {wall:.2} | {cpu:.2}")
                    },
                );
                let _ = writeln!(
                    text,
                    "| {row} | {routes} | {phase} | {name} | {:.2} | {rate} | {:.3} | {:.1} {ratios} |",
                    medians.wall * 1000.0,
                    medians.cpu,
                    medians.peak
                );
            }
        }
        for failure in &self.failures {
            let _ = writeln!(text, "\nNot finished: {failure}");
        }
        text
    }
}

struct Medians {
    wall: f64,
    cpu: f64,
    peak: f64,
}

impl Medians {
    fn of(all: &[Measured]) -> Self {
        let of = |value: fn(&Measured) -> f64| median(all.iter().map(value).collect());
        Self {
            wall: of(|measured| measured.wall.as_secs_f64()),
            cpu: of(|measured| measured.cpu.as_secs_f64()),
            // Precise enough below 2^53 octets.
            #[allow(clippy::cast_precision_loss)]
            peak: of(|measured| measured.peak as f64 / 1_048_576.0),
        }
    }
}
