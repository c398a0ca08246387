//! Tables in `docs/` that claim something and name the tests that show it.
//!
//! A row has four cells: where the rule is from, what it asks for, a [`Status`], and tests. A test is
//! named as `crate::module::function`, with the crate's directory for a name. The module is a file, a
//! directory with `mod.rs`, or a `mod` block within a file; the function must carry a test attribute,
//! and `yes` must not rest on a test that is ignored.

#![allow(dead_code, reason = "each test program uses a part")]

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

/// What a table says of a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    Yes,
    Partly,
    No,
    /// Done otherwise, on purpose.
    Differs,
    NotApplicable,
}

impl Status {
    /// Reads the cell. What is partly there, done otherwise or does not apply needs a word of
    /// explanation.
    fn parse(cell: &str) -> Option<Self> {
        let (word, why) = match cell.split_once(':') {
            Some((word, why)) => (word, Some(why.trim()).filter(|why| !why.is_empty())),
            None => (cell, None),
        };
        match (word, why) {
            ("yes", None) => Some(Self::Yes),
            ("partly", Some(_)) => Some(Self::Partly),
            ("no", _) => Some(Self::No),
            ("differs", Some(_)) => Some(Self::Differs),
            ("n.a.", Some(_)) => Some(Self::NotApplicable),
            _ => None,
        }
    }
}

/// A requirement.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) line: usize,
    /// What its table is about.
    pub(crate) chapter: String,
    /// Where the rule is from: a section, the number of a case.
    pub(crate) section: String,
    pub(crate) status: Status,
    pub(crate) tests: Vec<String>,
}

/// Why a table cannot be believed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// The rows of the tables below headings of the second level that are a chapter.
pub(crate) fn rows(
    text: &str,
    chapter: impl Fn(&str) -> Option<String>,
) -> Result<Vec<Row>, Vec<Problem>> {
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    let (mut current, mut head) = (None, true);
    for (index, text) in text.lines().enumerate() {
        if let Some(heading) = text.strip_prefix("## ") {
            current = chapter(heading);
        }
        let Some(chapter) = &current else { continue };
        if !text.starts_with('|') {
            head = true;
            continue;
        }
        if std::mem::take(&mut head) || text.starts_with("|---") {
            continue;
        }
        match row(index + 1, chapter, text) {
            Ok(row) => rows.push(row),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(rows)
    } else {
        Err(problems)
    }
}

fn row(line: usize, chapter: &str, text: &str) -> Result<Row, Problem> {
    let problem = |what: String| Problem { line, what };
    let cells: Vec<&str> = text.split('|').map(str::trim).collect();
    let ["", section, requirement, status, tests, ""] = cells[..] else {
        return Err(problem("a row has four cells".to_owned()));
    };
    if section.is_empty() || requirement.is_empty() {
        return Err(problem("section or requirement is missing".to_owned()));
    }
    let status = Status::parse(status).ok_or_else(|| problem(format!("no status: {status:?}")))?;
    let tests = test_names(tests)
        .ok_or_else(|| problem(format!("not a list of tests in backticks: {tests:?}")))?;
    if status == Status::Yes && tests.is_empty() {
        return Err(problem("yes, and no test".to_owned()));
    }
    Ok(Row {
        line,
        chapter: chapter.to_owned(),
        section: section.to_owned(),
        status,
        tests,
    })
}

/// The rows of a document of which every named test is there; a panic with what is wrong otherwise.
pub(crate) fn believed(document: &str, chapter: impl Fn(&str) -> Option<String>) -> Vec<Row> {
    let text = read(document);
    let list = |problems: Vec<Problem>| -> String {
        let lines = problems.iter().map(|p| format!("{document}, {p}"));
        lines.collect::<Vec<_>>().join("\n")
    };
    let rows = rows(&text, chapter).unwrap_or_else(|problems| panic!("{}", list(problems)));
    let named = rows
        .iter()
        .flat_map(|row| row.tests.iter().map(move |test| (row.line, test)));
    let missing: Vec<Problem> = named
        .filter_map(|(line, test)| {
            let what = find_test(&root(), test).err()?;
            Some(Problem { line, what })
        })
        .collect();
    assert!(missing.is_empty(), "{}", list(missing));
    assert!(!rows.is_empty(), "{document} has no table");
    rows
}

/// A document of the repository.
pub(crate) fn read(document: &str) -> String {
    fs::read_to_string(root().join(document)).unwrap()
}

/// The names in a cell; `None` if there is anything else in it.
fn test_names(cell: &str) -> Option<Vec<String>> {
    if cell.is_empty() {
        return Some(Vec::new());
    }
    let name = |item: &str| {
        let name = item.trim().strip_prefix('`')?.strip_suffix('`')?;
        (!name.is_empty() && !name.contains('`')).then(|| name.to_owned())
    };
    cell.split(',').map(name).collect()
}

/// The test that `path` names, or what is wrong with the name.
pub(crate) fn find_test(root: &Path, path: &str) -> Result<(), String> {
    let parts: Vec<&str> = path.split("::").collect();
    let [package, modules @ .., function] = &parts[..] else {
        return Err(format!("{path}: not a path"));
    };
    let package = root.join(package.replace('_', "-"));
    // An integration test is in `tests/`, whose name is the first module then.
    let places = [package.join("src"), package.clone()];
    let mut in_some_module = false;
    for place in places {
        let Some(source) = module(&place, modules) else {
            continue;
        };
        in_some_module = true;
        match is_test(&source, function) {
            Some(true) => return Ok(()),
            Some(false) => return Err(format!("{path}: ignored, or no test attribute")),
            None => {}
        }
    }
    Err(if in_some_module {
        format!("{path}: no such function")
    } else {
        format!("{path}: no such module")
    })
}

/// The source of a module below `place`.
fn module(place: &Path, modules: &[&str]) -> Option<String> {
    let file = |modules: &[&str]| {
        let base: PathBuf = modules.iter().fold(place.to_owned(), |dir, m| dir.join(m));
        let candidates = match modules {
            [] => [place.join("lib.rs"), place.join("main.rs")],
            _ => [base.with_extension("rs"), base.join("mod.rs")],
        };
        candidates
            .iter()
            .find_map(|path| fs::read_to_string(path).ok())
    };
    if let Some(source) = file(modules) {
        return Some(source);
    }
    let (last, outer) = modules.split_last()?;
    inline_module(&file(outer)?, last)
}

/// The lines of `mod name { … }`, as rustfmt indents them.
fn inline_module(source: &str, name: &str) -> Option<String> {
    let head = format!("mod {name} {{");
    let mut lines = source.lines();
    let opening = lines.find(|line| line.trim_start().ends_with(&head))?;
    let indent = opening.len() - opening.trim_start().len();
    let end = format!("{}}}", " ".repeat(indent));
    let body: Vec<&str> = lines.take_while(|line| *line != end).collect();
    Some(body.join("\n"))
}

/// Whether the function is a test that runs; `None` if there is none of this name.
pub(crate) fn is_test(source: &str, function: &str) -> Option<bool> {
    let lines: Vec<&str> = source.lines().map(str::trim_start).collect();
    let is_it = |line: &&str| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.strip_prefix("fn ")
            .and_then(|rest| rest.strip_prefix(function))
            .is_some_and(|rest| rest.starts_with('('))
    };
    let at = lines.iter().position(is_it)?;
    let attributes: Vec<&str> = lines[..at]
        .iter()
        .rev()
        .copied()
        .take_while(|line| line.starts_with("#[") || line.starts_with("//"))
        .collect();
    let marked = attributes
        .iter()
        .any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"));
    let ignored = attributes.iter().any(|line| line.starts_with("#[ignore"));
    Some(marked && !ignored)
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
