//! Everything around the speaker, and the speaker.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use redstart_controller::control::views::Protocol;
use serde_json::Value;

use super::{
    PATIENCE,
    cluster::{Change, Cluster, address},
    ground::{API_SERVER, Ground, ROUTER},
    peer::{Reflector, Router, Said},
    usage::Usage,
};
use crate::{
    apiserver::{ApiServer, Options},
    lab::{
        netns::stdout_of,
        process::{Process, Signal},
        requirements::Binaries,
        wait,
    },
};

/// Writes an object.
pub(super) fn put(server: &ApiServer, object: Value) -> Result<()> {
    let stored = server.put(object);
    stored.map(drop).map_err(|e| anyhow!("{e:?}"))
}

/// A cluster with one real speaker.
pub(super) struct Stage<'a> {
    ground: &'a Ground,
    binaries: &'a Binaries,
    pub(super) server: ApiServer,
    router: Router,
    speaker: Process,
}

impl<'a> Stage<'a> {
    pub(super) fn set(
        ground: &'a Ground,
        cluster: &Cluster,
        binaries: &'a Binaries,
    ) -> Result<Self> {
        let server = ApiServer::start(Options {
            listen: (API_SERVER, 6443).into(),
            ..Options::default()
        })?;
        for object in cluster.objects() {
            server.put(object).map_err(|e| anyhow!("{e:?}"))?;
        }
        let kubeconfig = ground.run_dir.kubeconfig();
        server.kubeconfig().write(&kubeconfig)?;
        let router = Router::listen(ROUTER)?;
        for node in cluster.neighbours() {
            Reflector::listen(address(node), cluster.announced(node))?;
        }
        let program = binaries.path("redstart");
        let program = program.to_str().context("the path is not UTF-8")?;
        let mut command = ground.node.command(program);
        command.args(["run", "--node", &cluster.own_name(), "--log", "warn"]);
        command.arg("--kubeconfig").arg(&kubeconfig);
        // Not the host's: what an earlier run left there is another cluster.
        command.arg("--cache").arg(ground.run_dir.cache("n"));
        command.arg("--socket").arg(ground.run_dir.socket("n"));
        command.env_remove("KUBECONFIG");
        Ok(Self {
            ground,
            binaries,
            server,
            router,
            speaker: ground.processes.spawn("redstart", &command)?,
        })
    }

    pub(super) fn put(&self, object: Value) -> Result<()> {
        put(&self.server, object)
    }

    /// What the speaker has cost so far.
    pub(super) fn usage(&self) -> Result<Usage> {
        Usage::of(self.speaker.record.pid)
    }

    /// Until the router, which held `held`, holds exactly the host routes that are expected.
    pub(super) fn until_held(
        &self,
        held: &mut BTreeSet<Ipv4Addr>,
        expected: &BTreeSet<Ipv4Addr>,
    ) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while held != expected {
            let heard = self.router.next(end);
            match heard
                .with_context(|| format!("{} of {}", held.len(), expected.len()))?
                .1
            {
                Said::Announced(host) => _ = held.insert(host),
                Said::Withdrawn(host) => _ = held.remove(&host),
            }
        }
        Ok(())
    }

    /// Until the kernel of the node has so many routes of the mesh.
    pub(super) fn until_installed(&self, wanted: u32) -> Result<()> {
        let wanted = usize::try_from(wanted)?;
        let installed = || {
            let node = &self.ground.node;
            let routes = node.output("ip", &["route", "show", "proto", "bgp"])?;
            let count = routes.lines().count();
            ensure!(count == wanted, "{count}, not {wanted}");
            Ok(())
        };
        wait::until("routes in the kernel", PATIENCE, installed).map(drop)
    }

    /// Makes a change and says how long the router waited for it.
    pub(super) fn time(&self, change: &Change) -> Result<Duration> {
        self.router.forget();
        let start = Instant::now();
        self.put(change.object.clone())?;
        loop {
            let (at, said) = self.router.next(start + PATIENCE)?;
            if said == change.expected {
                return Ok(at - start);
            }
        }
    }

    /// Every session, and how often it has come up.
    pub(super) fn sessions(&self) -> Result<Vec<(String, u64)>> {
        let mut command = Command::new(self.binaries.path("redc"));
        command.arg("-s").arg(self.ground.run_dir.socket("n"));
        let answer = stdout_of(command.args(["-o", "json", "show", "protocols"]))?;
        let protocols: Vec<Protocol> = serde_json::from_str(&answer)?;
        let protocols = protocols.into_iter();
        Ok(protocols.map(|p| (p.name, p.established_count)).collect())
    }

    pub(super) fn stop(mut self) -> Result<()> {
        self.speaker.stop(Signal::Terminate, PATIENCE)
    }
}
