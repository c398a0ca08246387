//! Medians of a run, and how Redstart stands to the best of the others.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use super::{daemon::Daemon, play::Measured, row::Row};

/// Everything that was measured, in the order of rows.
#[derive(Debug, Default)]
pub struct Report {
    measured: BTreeMap<(Row, usize, String), BTreeMap<Daemon, Vec<Measured>>>,
    failures: Vec<String>,
}

impl Report {
    /// Adds what one daemon did in one round of a row.
    pub fn add(&mut self, row: Row, daemon: Daemon, phases: Vec<Measured>) {
        for (order, measured) in phases.into_iter().enumerate() {
            let key = (row, order, measured.phase.clone());
            let daemons = self.measured.entry(key).or_default();
            daemons.entry(daemon).or_default().push(measured);
        }
    }

    /// Adds that a daemon did not get to the end.
    pub fn fail(&mut self, row: Row, daemon: Daemon, why: &str) {
        self.failures.push(format!("{row}: {daemon}: {why}"));
    }

    /// A Markdown table of medians, and the ratios.
    pub fn markdown(&self) -> String {
        let mut text = String::from(
            "| row | phase | daemon | wall s | CPU s | resident MiB | peak MiB | UPDATEs | wall × | CPU × | memory × |\n\
             |---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        for ((row, _, phase), daemons) in &self.measured {
            let ours = daemons.get(&Daemon::Redstart).map(|all| Medians::of(all));
            for (daemon, all) in daemons {
                let medians = Medians::of(all);
                let against = ours.as_ref().filter(|_| *daemon != Daemon::Redstart);
                let ratios =
                    against.map_or_else(|| "| | |".to_owned(), |ours| ours.ratios(&medians));
                let _ = writeln!(
                    text,
                    "| {row} | {phase} | {daemon} | {:.3} | {:.3} | {:.1} | {:.1} | {} {ratios} |",
                    medians.wall, medians.cpu, medians.resident, medians.peak, medians.messages
                );
            }
        }
        text.push_str(&self.answers());
        for failure in &self.failures {
            let _ = writeln!(text, "\nNot finished: {failure}");
        }
        text
    }

    /// What an operator was answered, if one asked: of all rounds, and of all questions together.
    fn answers(&self) -> String {
        let mut text = String::new();
        for ((row, _, phase), daemons) in &self.measured {
            let all = daemons.values().flatten();
            let answers: Vec<_> = all.flat_map(|one| &one.answers).collect();
            let Some((worst, question)) = answers.iter().max_by(|a, b| a.0.total_cmp(&b.0)) else {
                continue;
            };
            let middle = median(answers.iter().map(|(took, _)| *took).collect());
            let _ = writeln!(
                text,
                "| {row} | {phase} | {} | {middle:.1} | {worst:.1} | `{question}` |",
                answers.len()
            );
        }
        match text.is_empty() {
            true => text,
            false => format!(
                "\n| row | phase | answers until it was at rest | median ms | longest ms | question |\n\
                 |---|---|---|---|---|---|\n{text}"
            ),
        }
    }
}

struct Medians {
    wall: f64,
    cpu: f64,
    resident: f64,
    peak: f64,
    messages: u64,
}

impl Medians {
    fn of(all: &[Measured]) -> Self {
        let seconds = |get: fn(&Measured) -> Duration| {
            median(
                all.iter()
                    .map(|measured| get(measured).as_secs_f64())
                    .collect(),
            )
        };
        let mebibytes = |get: fn(&Measured) -> u64| {
            // Precise enough below 2^53 octets.
            #[allow(clippy::cast_precision_loss)]
            let values = all
                .iter()
                .map(|measured| get(measured) as f64 / 1_048_576.0);
            median(values.collect())
        };
        Self {
            wall: seconds(|measured| measured.wall),
            cpu: seconds(|measured| measured.cpu),
            resident: mebibytes(|measured| measured.resident),
            peak: mebibytes(|measured| measured.peak),
            messages: all
                .iter()
                .map(|measured| measured.messages)
                .max()
                .unwrap_or(0),
        }
    }

    /// How many times as much the other one takes.
    fn ratios(&self, other: &Self) -> String {
        format!(
            "| {:.2} | {:.2} | {:.2}",
            other.wall / self.wall,
            other.cpu / self.cpu,
            other.peak / self.peak
        )
    }
}

/// The middle one; of an even number, the greater of the two in the middle. NaN if there is none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
