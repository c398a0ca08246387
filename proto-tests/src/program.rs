//! What the programs of this crate have in common.

use std::process::ExitCode;

use anyhow::Result;

/// The end of a program: what went wrong is said, with its causes in one line.
#[must_use]
pub fn exit_code(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
