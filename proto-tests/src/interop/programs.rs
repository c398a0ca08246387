//! Where the other side's programs are: on this machine, or in a root directory of their own.
//!
//! A root (made by `proto-tests/interop-newer.sh`) has a newer Debian release in it, and sees this
//! machine's `/run`, `/proc` and `/dev`; so directories and sockets have the same names in both.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::lab::netns::Netns;

/// The root of the programs, if not this machine's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Programs {
    root: Option<PathBuf>,
}

impl Programs {
    /// Those in that directory.
    pub fn in_root(root: &Path) -> Self {
        Self {
            root: Some(root.to_owned()),
        }
    }

    /// Whether they are not this machine's.
    pub fn in_a_root(&self) -> bool {
        self.root.is_some()
    }

    /// Whether there is a program of that name, or path.
    pub fn has(&self, program: &str) -> bool {
        let root = self.root.as_deref().unwrap_or(Path::new("/"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|dir| {
            let dir = dir.strip_prefix("/").unwrap_or(&dir);
            root.join(dir).join(program).exists()
        })
    }

    /// A command of this root, in that namespace.
    pub fn inside(&self, netns: &Netns, program: &str) -> Command {
        self.nsenter(Some(netns), program)
    }

    /// A command of this root, in no namespace of the scene.
    pub fn outside(&self, program: &str) -> Command {
        match &self.root {
            Some(_) => self.nsenter(None, program),
            None => Command::new(program),
        }
    }

    fn nsenter(&self, netns: Option<&Netns>, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        if let Some(netns) = netns {
            command.arg(format!("--net={}", netns.path().display()));
        }
        if let Some(root) = &self.root {
            command.arg(format!("--root={}", root.display()));
            command.arg(format!("--wd={}", root.display()));
        }
        command.arg("--").arg(program);
        command.stdin(Stdio::null());
        command
    }
}
