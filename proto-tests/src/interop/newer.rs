//! What newer releases came to: recorded, because few machines have them.
//!
//! `proto-tests/interop-newer.sh` makes a root directory with a newer Debian and runs the scenes against
//! what is in there. What comes out is committed with its versions and stands in the table beside what
//! every run finds out anew.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::{
    feature::{Feature, Outcome},
    matrix::Matrix,
    programs::Programs,
    subject::Implementation,
};
use crate::lab::netns::stdout_of;

/// A column of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// What it is called: with the version, where that is not Debian 12's.
    pub name: String,
    /// What came out.
    pub cells: BTreeMap<Feature, Outcome>,
}

/// The columns of a run.
pub fn columns(matrix: &Matrix, programs: &Programs) -> Result<Vec<Column>> {
    Implementation::ALL
        .into_iter()
        .map(|kind| {
            let cells = matrix.iter().filter(|((_, of), _)| *of == kind);
            let cells = cells.map(|((feature, _), outcome)| (*feature, outcome.clone()));
            Ok(Column {
                name: name(kind, programs)?,
                cells: cells.collect(),
            })
        })
        .collect()
}

fn name(kind: Implementation, programs: &Programs) -> Result<String> {
    if !programs.in_a_root() {
        return Ok(kind.to_string());
    }
    let (_, package) = kind.needs();
    let package = package.replace("bird2", "bird3");
    let mut query = programs.outside("dpkg-query");
    let version = stdout_of(query.args(["-W", "-f", "${Version}", &package]))?;
    let (upstream, _) = version.split_once('-').unwrap_or((&version, ""));
    Ok(format!("{kind} {upstream}"))
}

/// What is recorded.
pub fn read(file: &Path) -> Result<Vec<Column>> {
    let text = fs::read_to_string(file).with_context(|| format!("no {}", file.display()))?;
    Ok(serde_json::from_str(&text)?)
}

/// Records it.
pub fn write(file: &Path, columns: &[Column]) -> Result<()> {
    let text = serde_json::to_string_pretty(columns)? + "\n";
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
