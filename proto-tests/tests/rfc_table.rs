//! `docs/RFC.md` is true to the sources: every test that it names is there, and nothing is called
//! done without one.
//!
//! A test is named as `crate::module::function`, with the crate's directory for a name. The module is
//! a file, a directory with `mod.rs`, or a `mod` block within a file; the function must carry a test
//! attribute, and `yes` must not rest on a test that is ignored.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
};

/// What the table says of a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Status {
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
struct Row {
    line: usize,
    rfc: String,
    status: Status,
    tests: Vec<String>,
}

/// Why the table cannot be believed.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    line: usize,
    what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "docs/RFC.md:{}: {}", self.line, self.what)
    }
}

/// The rows of the tables below headings that name an RFC.
fn rows(text: &str) -> Result<Vec<Row>, Vec<Problem>> {
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    let mut rfc = None;
    for (index, text) in text.lines().enumerate() {
        if let Some(heading) = text.strip_prefix("## ") {
            let name = heading.split(':').next().unwrap_or(heading);
            rfc = name.starts_with("RFC ").then(|| name.to_owned());
        }
        let Some(rfc) = &rfc else { continue };
        if !text.starts_with('|') || text.starts_with("|---") || text.starts_with("| RFC section") {
            continue;
        }
        match row(index + 1, rfc, text) {
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

fn row(line: usize, rfc: &str, text: &str) -> Result<Row, Problem> {
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
        rfc: rfc.to_owned(),
        status,
        tests,
    })
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
fn find_test(root: &Path, path: &str) -> Result<(), String> {
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
fn is_test(source: &str, function: &str) -> Option<bool> {
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

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn every_named_test_is_there() {
    let text = fs::read_to_string(root().join("docs/RFC.md")).unwrap();
    let rows = rows(&text).unwrap_or_else(|problems| {
        let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
        panic!("{}", list.join("\n"))
    });
    let missing: Vec<String> = rows
        .iter()
        .flat_map(|row| row.tests.iter().map(move |test| (row.line, test)))
        .filter_map(|(line, test)| {
            let what = find_test(&root(), test).err()?;
            Some(Problem { line, what }.to_string())
        })
        .collect();
    assert!(missing.is_empty(), "{}", missing.join("\n"));

    let mut totals: BTreeMap<&str, [usize; 5]> = BTreeMap::new();
    for row in &rows {
        totals.entry(&row.rfc).or_default()[row.status as usize] += 1;
        totals.entry("total").or_default()[row.status as usize] += 1;
    }
    println!("{:<32} yes partly  no differs n.a.", "");
    for (rfc, [yes, partly, no, differs, not_applicable]) in &totals {
        println!("{rfc:<32} {yes:>3} {partly:>6} {no:>3} {differs:>7} {not_applicable:>4}");
    }
    assert!(totals["total"][0] > 0, "the table was not found");
}

#[test]
fn every_rfc_of_the_product_has_a_table() {
    let text = fs::read_to_string(root().join("docs/RFC.md")).unwrap();
    let headings: Vec<&str> = text.lines().filter(|l| l.starts_with("## RFC")).collect();
    for rfc in [
        4271, 4760, 5492, 9072, 6793, 2918, 7313, 7606, 4724, 8538, 9494, 7911, 8950, 8654, 4456,
        1997, 4360, 8092, 8326, 8203, 9003, 9234, 5082, 2385, 5925, 6286, 6608, 4486, 8212, 9687,
        7607, 9774, 2545, 5065,
    ] {
        let name = format!("RFC {rfc}");
        assert!(headings.iter().any(|h| h.contains(&name)), "{name}");
    }
}

#[test]
fn what_is_wrong_with_a_row_is_said() {
    let problem = |row: &str| {
        let text = format!("## RFC 1: a\n\n{row}\n");
        match rows(&text) {
            Ok(rows) => panic!("{rows:?}"),
            Err(problems) => problems[0].what.clone(),
        }
    };
    assert_eq!(problem("| 1 | a | yes | |"), "yes, and no test");
    assert_eq!(problem("| 1 | a | partly | |"), "no status: \"partly\"");
    assert_eq!(problem("| 1 | a | done | `a::b` |"), "no status: \"done\"");
    assert_eq!(problem("| 1 | a | yes |"), "a row has four cells");
    assert_eq!(
        problem("| | a | no | |"),
        "section or requirement is missing"
    );
    assert!(problem("| 1 | a | yes | a::b |").starts_with("not a list"));
    // Tables elsewhere are none of ours.
    assert!(rows("## Words\n\n| yes | |\n").unwrap().is_empty());
}

#[test]
fn a_test_that_is_not_there_is_missed() {
    let find = |path| find_test(&root(), path);
    assert_eq!(
        find("proto_tests::tests::rfc_table::a_test_that_is_not_there_is_missed"),
        Ok(())
    );
    // In a block, and in a file of its own.
    assert_eq!(find("bgp::session::collision::tests::truth_table"), Ok(()));
    assert_eq!(
        find("rib::rib::tests::checks::our_own_as_in_the_path"),
        Ok(())
    );
    for (path, what) in [
        ("bgp::session::collision::tests::truth", "no such function"),
        (
            "bgp::session::collision::tests::survivor",
            "no such function",
        ),
        (
            "bgp::session::nowhere::tests::truth_table",
            "no such module",
        ),
        (
            "proto_tests::tests::rfc_table::find_test",
            "ignored, or no test attribute",
        ),
        ("truth_table", "not a path"),
    ] {
        assert_eq!(find(path), Err(format!("{path}: {what}")));
    }
    let ignored = "#[test]\n#[ignore = \"slow\"]\nfn slow() {}\n";
    assert_eq!(is_test(ignored, "slow"), Some(false));
}
