//! What must be on the machine before a lab can start, checked all at once.
//!
//! A missing tool is a failure that names the Debian package, never a skipped check.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::{
    LabOptions, cni, frr,
    speaker::{Source, SpeakerKind},
    topology::TorKind,
};

/// The programs of this project that a lab runs.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// Where `redstart`, `redc`, `lab` and `apiserver` are.
    pub dir: PathBuf,
}

impl Binaries {
    /// The directory named by `REDSTART_BIN_DIR`, else the one of this very program.
    pub fn find() -> Result<Self> {
        Self::named_or_above(1)
    }

    /// The same for a benchmark: those are built one directory below the programs.
    pub fn of_benchmark() -> Result<Self> {
        Self::named_or_above(2)
    }

    fn named_or_above(levels: usize) -> Result<Self> {
        if let Some(dir) = std::env::var_os("REDSTART_BIN_DIR") {
            return Ok(Self { dir: dir.into() });
        }
        let program = std::env::current_exe().context("cannot tell where this program is")?;
        let dir = program
            .ancestors()
            .nth(levels)
            .context("this program is in no directory")?;
        Ok(Self {
            dir: dir.to_owned(),
        })
    }

    /// The binaries next to this one.
    pub fn beside(program: &str) -> Self {
        let dir = Path::new(program).parent().unwrap_or(Path::new("."));
        Self {
            dir: dir.to_owned(),
        }
    }

    /// The path of one of them.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// Fails with everything that is missing.
pub fn check(options: &LabOptions) -> Result<()> {
    let mut missing = Vec::new();
    for (tool, package) in [
        ("ip", "iproute2"),
        ("nsenter", "util-linux"),
        ("setsid", "util-linux"),
        ("ping", "iputils-ping"),
        ("nft", "nftables"),
    ] {
        if !in_path(tool) {
            missing.push(format!("{tool} (apt-get install {package})"));
        }
    }
    let bird = options.tor != TorKind::Frr || options.speaker == SpeakerKind::Bird;
    if bird && !(in_path("bird") && in_path("birdc")) {
        missing.push("bird, birdc (apt-get install bird2)".to_owned());
    }
    let frr_here = Path::new(frr::DAEMON_DIR).join("bgpd").exists() && in_path("vtysh");
    if options.tor == TorKind::Frr && !frr_here {
        missing.push("bgpd, vtysh (apt-get install frr)".to_owned());
    }
    if cni::plugin_dir().is_none() {
        missing.push("CNI plugins (apt-get install containernetworking-plugins)".to_owned());
    }
    let mut ours = vec!["lab"];
    if options.speaker == SpeakerKind::Redstart {
        ours.extend(["redstart", "redc"]);
    }
    if options.source == Source::Kube {
        ours.push("apiserver");
    }
    for name in ours {
        let path = options.binaries.path(name);
        if !path.exists() {
            missing.push(format!(
                "{} (cargo build --workspace --bins)",
                path.display()
            ));
        }
    }
    if !missing.is_empty() {
        bail!("the lab needs what is not here: {}", missing.join("; "));
    }
    if !is_root() {
        bail!("the lab makes network namespaces: run it as root");
    }
    Ok(())
}

fn in_path(tool: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(tool).exists()))
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    // The owner of /proc/self is the effective user.
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}
