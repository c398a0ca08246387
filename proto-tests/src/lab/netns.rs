//! Network namespaces, and commands inside them.
//!
//! All wiring goes through `ip -batch`: one process per namespace, not one per link. Programs are
//! started by `nsenter`, which replaces itself, so that a child's pid is the program's own.
//! Everything that the lab sets (links, addresses, sysctls) is set inside its own namespaces; the
//! machine's own configuration stays as it is.

use std::{
    io::Write as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// A network namespace by name (`/run/netns/NAME`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// The namespace of a box of a lab.
    pub fn of(lab: &str, name: &str) -> Self {
        Self {
            name: format!("{lab}-{name}"),
        }
    }

    /// Its full name, as `ip netns` shows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// A command that will run inside.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.path().display()))
            .arg("--")
            .arg(program);
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command inside and returns its standard output.
    pub fn output(&self, program: &str, args: &[&str]) -> Result<String> {
        let mut command = self.command(program);
        command.args(args);
        stdout_of(&mut command).with_context(|| format!("in {}", self.name))
    }

    /// Runs `ip` commands inside, one per line, all or nothing up to the first that fails.
    pub fn ip(&self, lines: &[String]) -> Result<()> {
        let mut command = Command::new("ip");
        command.args(["-netns", &self.name, "-batch", "-"]);
        feed(&mut command, &lines.join("\n")).with_context(|| format!("in {}", self.name))
    }

    /// Writes sysctls (`net/ipv4/ip_forward`, …) of this namespace.
    pub fn sysctl(&self, settings: &[(&str, &str)]) -> Result<()> {
        let script: Vec<String> = settings
            .iter()
            .map(|(name, value)| format!("echo {value} > /proc/sys/{name}"))
            .collect();
        self.output("sh", &["-e", "-c", &script.join("\n")])
            .map(drop)
    }
}

/// Runs `ip` commands outside every namespace of the lab: to make and delete those.
pub fn host_ip(lines: &[String]) -> Result<()> {
    let mut command = Command::new("ip");
    command.args(["-batch", "-"]);
    feed(&mut command, &lines.join("\n"))
}

/// The names of all namespaces of this machine.
pub fn list() -> Result<Vec<String>> {
    let text = stdout_of(Command::new("ip").args(["netns", "list"]))?;
    Ok(text
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect())
}

/// Runs a command to its end and returns what it printed, or fails with what it complained about.
pub fn stdout_of(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    succeeded(command, &output)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn feed(command: &mut Command, input: &str) -> Result<()> {
    pipe(command, input).map(drop)
}

/// Runs a command with `input` on its standard input.
pub(crate) fn pipe(command: &mut Command, input: &str) -> Result<String> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot run {command:?}"))?;
    // A command that ends early breaks the pipe; why it ended says more than that.
    let fed = child
        .stdin
        .take()
        .map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    succeeded(command, &output)?;
    fed.with_context(|| format!("cannot feed {command:?}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn succeeded(command: &Command, output: &Output) -> Result<()> {
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let said = String::from_utf8_lossy(&output.stdout);
        bail!(
            "{command:?}: {}: {} {}",
            output.status,
            complaint.trim(),
            said.trim()
        );
    }
    Ok(())
}
