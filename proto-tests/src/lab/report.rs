//! What `lab run` prints: a line per check, as it happens, and a verdict.

use std::{fmt, time::Instant};

use anyhow::Result;

/// The outcome of the checks of a lab.
#[derive(Debug, Default)]
pub struct Report {
    held: usize,
    failed: Vec<String>,
}

impl Report {
    /// Runs one check and prints what it found. Returns whether it held.
    pub fn check<T: fmt::Display>(
        &mut self,
        what: &str,
        check: impl FnOnce() -> Result<T>,
    ) -> bool {
        let began = Instant::now();
        let result = check();
        let seconds = began.elapsed().as_secs_f64();
        match result {
            Ok(found) => {
                println!("   ok    {what}: {found} [{seconds:.2} s]");
                self.held += 1;
                true
            }
            Err(error) => {
                println!("   FAIL  {what}: {error:#} [{seconds:.2} s]");
                self.failed.push(what.to_owned());
                false
            }
        }
    }

    /// Whether everything held, and there was something.
    pub fn all_held(&self) -> bool {
        self.failed.is_empty() && self.held > 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.failed.is_empty() {
            return write!(f, "all {} checks held", self.held);
        }
        write!(
            f,
            "{} checks held, {} did NOT: ",
            self.held,
            self.failed.len()
        )?;
        f.write_str(&self.failed.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_is_a_failure() {
        let mut report = Report::default();
        assert!(!report.all_held(), "nothing checked is nothing held");
        report.check("sun", || Ok("shines"));
        assert!(report.all_held());
        report.check("rain", || -> Result<&str> { anyhow::bail!("none") });
        assert!(!report.all_held());
        assert_eq!(report.to_string(), "1 checks held, 1 did NOT: rain");
    }
}
