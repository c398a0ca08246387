//! A policy of 1,000 rules, two of which change while a row is played.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};

use super::table::Key;

/// Its name.
pub const POLICY: &str = "long";

const RULES: u32 = 1000;

/// What the last two rules do.
#[derive(Clone, Copy, Debug, Default)]
pub struct State {
    /// This prefix is rejected.
    pub one: Option<Key>,
    /// All are.
    pub all: bool,
}

impl State {
    /// Writes it where Redstart looks for objects.
    pub fn write(self, objects: &Path) -> Result<()> {
        let made = objects
            .parent()
            .context("objects in no directory")?
            .join("policy.yaml");
        fs::write(&made, self.manifest())?;
        // As a whole, or not yet.
        Ok(fs::rename(&made, objects.join("policy.yaml"))?)
    }

    fn manifest(self) -> String {
        let mut text = format!(
            "apiVersion: redstart.dev/v1alpha1\nkind: BGPPolicy\nmetadata: {{ name: {POLICY} }}\n\
             spec:\n  rules:\n"
        );
        for n in 0..RULES - 2 {
            // One kind after the other, each about something that some routes may have.
            let what = match n % 3 {
                0 => format!(
                    "prefixes: [{{ cidr: 198.{}.{}.0/24 }}]",
                    18 + n % 2,
                    n % 256
                ),
                1 => format!("asPath: {{ origin: [{}] }}", 1000 + 61 * n),
                _ => format!("communities: {{ any: [\"{}:{n}\"] }}", 512 + n),
            };
            rule(&mut text, &what, "set: { med: 7 }\n      action: Next");
        }
        let one = self.one.unwrap_or(Key::new(0xc612_0000, 24));
        rule(
            &mut text,
            &format!("prefixes: [{{ cidr: {one} }}]"),
            "action: Reject",
        );
        let all = if self.all {
            "0.0.0.0/0"
        } else {
            "198.18.0.0/24"
        };
        let all = format!("prefixes: [{{ cidr: {all}, le: 32 }}]");
        rule(&mut text, &all, "action: Reject");
        text
    }
}

fn rule(text: &mut String, what: &str, then: &str) {
    let _ = writeln!(text, "    - match: {{ {what} }}\n      {then}");
}
