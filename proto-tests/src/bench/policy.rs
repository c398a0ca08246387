//! A policy of 1,000 rules about single prefixes, origins and communities of the table, about a third each, and
//! two more that change while a row is played. What the many set is not looked at.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};

use super::table::{Key, Table};

/// Its name.
pub const POLICY: &str = "long";

const RULES: usize = 1000;

/// A prefix that is in no table (RFC 2544).
const NOBODYS: &str = "198.18.0.0/24";

/// The rules that do not change.
#[derive(Debug, Default)]
pub struct Rules(String);

/// What the last two rules do.
#[derive(Clone, Copy, Debug, Default)]
pub struct State {
    /// This prefix is rejected.
    pub one: Option<Key>,
    /// All are.
    pub all: bool,
}

impl Rules {
    /// Rules from one end of the table to the other.
    pub fn about(table: &Table) -> Self {
        let mut text = String::new();
        let step = (table.traits().count() / RULES).max(1);
        for (n, (key, origin, community)) in table.traits().step_by(step).take(RULES).enumerate() {
            let what = match (n % 3, community) {
                (0, _) => format!("prefixes: [{{ cidr: {key} }}]"),
                (1, Some(community)) => format!(
                    "communities: {{ any: [\"{}:{}\"] }}",
                    community >> 16,
                    community & 0xffff
                ),
                _ => format!("asPath: {{ origin: [{origin}] }}"),
            };
            rule(&mut text, &what, "set: { med: 7 }\n      action: Next");
        }
        Self(text)
    }

    /// The whole policy.
    pub fn manifest(&self, state: State) -> String {
        let one = state.one.map(|key| key.to_string());
        let one = one.as_deref().unwrap_or(NOBODYS);
        let all = if state.all { "0.0.0.0/0" } else { NOBODYS };
        let mut text = format!(
            "apiVersion: redstart.dev/v1alpha1\nkind: BGPPolicy\nmetadata: {{ name: {POLICY} }}\n\
             spec:\n  rules:\n{}",
            self.0
        );
        let one = format!("prefixes: [{{ cidr: {one} }}]");
        let all = format!("prefixes: [{{ cidr: {all}, le: 32 }}]");
        for what in [one, all] {
            rule(&mut text, &what, "action: Reject");
        }
        text
    }
}

/// Puts a manifest where Redstart looks for objects.
pub fn write(objects: &Path, manifest: &str) -> Result<()> {
    let beside = objects.parent().context("objects in no directory")?;
    let made = beside.join("policy.yaml");
    fs::write(&made, manifest)?;
    // As a whole, or not yet.
    Ok(fs::rename(&made, objects.join("policy.yaml"))?)
}

fn rule(text: &mut String, what: &str, then: &str) {
    let _ = writeln!(text, "    - match: {{ {what} }}\n      {then}");
}
