//! A rack of Kubernetes nodes on one machine, in network namespaces.
//!
//! Three nodes with a speaker each, one or two top-of-rack routers that run a real BIRD or FRR, an
//! external host behind them, and pods attached by the real CNI plugins: see [`topology`] for the
//! picture. Everything is real but the machines: the kernel forwards, the routers are the ones of
//! the data centre, and the checks ask the kernel and the routers, not Redstart.
//!
//! Who owns what:
//!
//! | what | where | removed by |
//! |---|---|---|
//! | namespaces, links | `/run/netns/LAB-*` | `down` |
//! | processes | `RUN/processes` (pid and start time) | `down`, by that record only |
//! | sockets, logs, objects, state | `RUN` = `/run/redstart-lab/LAB` | `down` |
//! | objects of [`Source::Cluster`] | that [cluster](cluster), labelled | `down` |
//!
//! A [`Lab`] goes down when it is dropped, so also when a test panics or Ctrl-C ends a wait, unless
//! it was [kept](Lab::keep). `up` first removes what a crash may have left under the same name.

pub mod bird;
pub mod checks;
pub mod cluster;
pub mod cni;
pub mod exclusive;
pub mod frr;
pub mod kernel;
pub mod netns;
pub mod objects;
pub mod process;
pub mod relay;
pub mod report;
pub mod requirements;
pub mod router;
pub mod run_dir;
pub mod speaker;
pub mod topology;
pub mod traffic;
pub mod wait;
mod wiring;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use self::{
    netns::Netns,
    objects::Objects,
    process::{Process, Processes, Signal},
    requirements::Binaries,
    router::RunningRouter,
    run_dir::RunDir,
    speaker::{Source, SpeakerKind, SpeakerStart},
    topology::{DualStack, Topology, TorKind},
};

/// What to build.
#[derive(Clone, Debug)]
pub struct LabOptions {
    /// The lab's name: prefix of its namespaces, name of its run directory.
    pub name: String,
    /// The routers.
    pub tor: TorKind,
    /// Where the speakers get their objects.
    pub source: Source,
    /// What speaks on the nodes.
    pub speaker: SpeakerKind,
    /// The programs of this project.
    pub binaries: Binaries,
}

/// A lab that is up.
#[derive(Debug)]
pub struct Lab {
    /// What it was built from.
    pub options: LabOptions,
    /// What it looks like.
    pub topology: Topology,
    /// The pods' addresses, by pod name.
    pub pods: BTreeMap<String, DualStack>,
    /// When `up` began, once a cluster that is not the lab's own had its CRDs.
    pub began: Instant,
    run_dir: RunDir,
    speakers: BTreeMap<String, Process>,
    others: Vec<Process>,
    kept: bool,
}

impl Lab {
    /// Builds the lab and starts everything; does not wait for BGP.
    pub fn up(options: LabOptions) -> Result<Self> {
        requirements::check(&options)?;
        let run_dir = RunDir::of(&options.name);
        run_dir::tear_down(&options.name)
            .or_else(|error| {
                // Nothing keeps what an old lab left in a cluster that is gone by now.
                eprintln!("lab {}: {error:#}", options.name);
                run_dir::tear_down(&options.name)
            })
            .context("cannot clear the leftovers of an old lab")?;
        let began = Instant::now();
        let topology = options.source.topology(&options.name, options.tor);
        run_dir.create(&options)?;
        let mut lab = Self {
            options,
            topology,
            pods: BTreeMap::new(),
            began,
            run_dir,
            speakers: BTreeMap::new(),
            others: Vec::new(),
            kept: false,
        };
        lab.build()?;
        Ok(lab)
    }

    fn build(&mut self) -> Result<()> {
        if let Source::Cluster(cluster) = &self.options.source {
            cluster.prepare(&self.topology)?;
            self.began = Instant::now();
        }
        wiring::wire(&self.topology)?;
        self.objects().put_cluster(&self.topology)?;
        wait::check_interrupt()?;
        let processes = self.processes();
        let topology = self.topology.clone();
        for router in &topology.routers {
            let router = RunningRouter::of(&topology, router, self.run_dir.path());
            let started = router.start(&topology, &processes)?;
            let (tool, command) = router.cli();
            self.run_dir
                .write_tool(&router.router.name, tool, &command)?;
            self.others.extend(started);
        }
        match &self.options.source {
            Source::Objects => {}
            Source::Kube => {
                let apiserver = speaker::start_apiserver(self)?;
                self.others.push(apiserver);
            }
            Source::Cluster(cluster) => {
                let relay = SocketAddr::from((topology.apiserver.v4, relay::PORT));
                let server = cluster.write_relayed(relay, &self.run_dir.kubeconfig())?;
                let relays = relay::start(self, &server)?;
                self.others.extend(relays);
            }
        }
        for node in &topology.nodes {
            self.start_speaker(&SpeakerStart::of(&node.name))?;
        }
        self.pods = wiring::attach_pods(&self.topology, &self.run_dir)?;
        self.run_dir.record_pods(&self.pods)?;
        wait::check_interrupt()
    }

    /// The lab of that name that an earlier `up` left running. Dropping it leaves it running.
    pub fn attach(name: &str) -> Result<Self> {
        let run_dir = RunDir::of(name);
        let started = run_dir
            .started()?
            .with_context(|| format!("no lab {name} is up"))?;
        let options = LabOptions {
            name: name.to_owned(),
            tor: started.tor,
            source: started.source,
            speaker: started.speaker,
            binaries: Binaries {
                dir: started.binaries,
            },
        };
        Ok(Self {
            topology: options.source.topology(name, options.tor),
            options,
            pods: run_dir.pods()?,
            began: Instant::now(),
            run_dir,
            speakers: BTreeMap::new(),
            others: Vec::new(),
            kept: true,
        })
    }

    /// Leaves the lab up when this value is dropped.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    /// Takes everything down, now, and says what could not be removed.
    pub fn down(mut self) -> Result<()> {
        self.kept = true;
        let result = run_dir::tear_down(&self.options.name);
        self.reap();
        result
    }

    fn reap(&mut self) {
        for process in self.speakers.values_mut().chain(&mut self.others) {
            let _ = process.exited();
        }
    }

    /// The namespace of a box.
    pub fn netns(&self, name: &str) -> Netns {
        Netns::of(&self.topology.lab, name)
    }

    /// The objects that the speakers watch.
    pub fn objects(&self) -> Objects {
        Objects::of(&self.run_dir.objects()).seen_in(&self.options.source)
    }

    /// The lab's directory.
    pub fn run_dir(&self) -> &RunDir {
        &self.run_dir
    }

    /// The record of the lab's processes.
    pub fn processes(&self) -> Processes {
        Processes::of(self.run_dir.path())
    }

    /// The routers, ready to be asked.
    pub fn routers(&self) -> Vec<RunningRouter<'_>> {
        self.topology
            .routers
            .iter()
            .map(|router| RunningRouter::of(&self.topology, router, self.run_dir.path()))
            .collect()
    }

    /// Starts the speaker of a node.
    pub fn start_speaker(&mut self, start: &SpeakerStart) -> Result<()> {
        let process = speaker::start(self, start)?;
        self.speakers.insert(start.node.clone(), process);
        Ok(())
    }

    /// Ends the speaker of a node by a signal, and waits for the end.
    pub fn stop_speaker(&mut self, node: &str, signal: Signal) -> Result<()> {
        let process = self
            .speakers
            .get_mut(node)
            .with_context(|| format!("no speaker {node}"))?;
        process.stop(signal, Duration::from_secs(10))
    }

    /// Ends the daemons of a router, in good order.
    pub fn stop_router(&mut self, router: &str) -> Result<()> {
        let prefix = format!("{router}-");
        for process in &mut self.others {
            if process.record.role.starts_with(&prefix) {
                process.stop(Signal::Terminate, Duration::from_secs(10))?;
            }
        }
        Ok(())
    }

    /// Sends a signal to the daemons of a router.
    pub fn signal_router(&self, router: &str, signal: Signal) -> Result<()> {
        let prefix = format!("{router}-");
        let daemons = self.others.iter();
        let mut daemons = daemons.filter(|process| process.record.role.starts_with(&prefix));
        daemons.try_for_each(|process| process.record.signal(signal))
    }

    /// The speaker of a node as a process.
    pub fn speaker(&mut self, node: &str) -> Result<&mut Process> {
        self.speakers
            .get_mut(node)
            .with_context(|| format!("no speaker {node}"))
    }

    /// The last lines of every log of the lab, to understand a failure after it is gone.
    pub fn log_tails(&self) -> String {
        const LINES: usize = 12;
        let mut text = String::new();
        let records = self.processes().records().unwrap_or_default();
        let roles: BTreeSet<String> = records.into_iter().map(|record| record.role).collect();
        for role in roles.iter().filter(|role| !role.starts_with("tcp-")) {
            let log = std::fs::read(self.processes().log(role)).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let lines: Vec<&str> = log.lines().collect();
            text.push_str(&format!("--- {role}\n"));
            for line in lines.iter().skip(lines.len().saturating_sub(LINES)) {
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if let Err(error) = run_dir::tear_down(&self.options.name) {
            eprintln!("lab {}: not cleaned up: {error:#}", self.options.name);
        }
        self.reap();
    }
}
