//! Answers to the control socket and to scrapes, made from the core's state when asked.
//!
//! | file | answers |
//! |---|---|
//! | this one | `show status` and who is ready |
//! | `protocols` | neighbours and their BFD sessions |
//! | `sessions` | why a session is as it is, was, or would be |
//! | `routes` | routes, and what the kernel holds |
//! | `stations` | monitoring stations |
//! | `update_log` | the log of messages in MRT files |
//! | `metrics` | scrapes |

mod metrics;
mod protocols;
mod routes;
mod sessions;
mod stations;
mod update_log;

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use redstart_bgp::{time::Instant, types::Family};

pub(super) use routes::{gateways, kernel_state, source_kind};
pub(super) use sessions::tcp_counters;

use super::{
    core::Core,
    explain::{Facts, explain},
};
use crate::{
    cache::CacheStatus,
    control::{Asked, PeerPattern, Query, Services, views},
    diagnostic::Diagnostic,
    source::Health,
};

/// Answers one question. Whoever asked may be gone; that is no concern of the core.
pub(super) fn answer(core: &Core, query: Query) {
    match query {
        Query::Status(reply) => _ = reply.send(core.status()),
        Query::Protocols(reply) => _ = reply.send(core.protocols()),
        Query::Walk(walk, reply) => _ = reply.send(core.walk(walk)),
        Query::Routes(prefixes, reply) => {
            let links = core.kernel.links();
            let routes = prefixes.iter().filter_map(|p| core.rib.lookup(*p));
            _ = reply.send(routes.map(|r| core.route(&r, &links)).collect());
        }
        Query::TablePeers(reply) => _ = reply.send(core.table_peers()),
        Query::Held(prefixes, reply) => {
            let held = prefixes.iter().filter_map(|p| core.rib.lookup(*p));
            _ = reply.send(held.collect());
        }
        Query::RouteFor(addr, reply) => {
            let links = core.kernel.links();
            _ = reply.send(
                core.rib
                    .lookup_longest(addr)
                    .map(|r| core.route(&r, &links)),
            );
        }
        Query::Explain(asked, to, reply) => _ = reply.send(core.explain(asked, &to)),
        Query::WhyDown(name, reply) => _ = reply.send(core.why_down(&name)),
        Query::History(name, reply) => _ = reply.send(core.history(name.as_deref())),
        Query::Capture(name, reply) => _ = reply.send(core.capture(&name)),
        Query::Diff(compiled, reply) => _ = reply.send(core.diff(&compiled)),
        Query::Kernel(reply) => _ = reply.send(core.kernel_view()),
        Query::Services(reply) => _ = reply.send(core.services()),
        Query::Tables(reply) => _ = reply.send(core.tables()),
        // The core does that itself: it changes something.
        Query::Operate(_, _, reply) => drop(reply),
        Query::Bfd(reply) => _ = reply.send(core.bfd_sessions()),
        Query::Bmp(reply) => _ = reply.send(core.bmp_stations()),
        Query::MrtLogs(reply) => _ = reply.send(core.mrt_logs()),
        Query::Readiness(reply) => _ = reply.send(core.not_ready()),
        Query::Metrics(reply) => _ = reply.send(core.metrics()),
    }
}

/// Names of links, by index.
pub(super) type Links = BTreeMap<u32, String>;

impl Core {
    fn services(&self) -> Services {
        Services {
            table: Arc::clone(&self.configured.services),
            held: self.held(),
            drain: self.draining.step(),
        }
    }

    /// `None` where no neighbour is meant, and there are some.
    fn explain(&self, asked: Asked, to: &PeerPattern) -> Option<views::Explanation> {
        let peers = self.neighbours.iter();
        let peers: Vec<_> = peers
            .map(|(name, n)| (n.id, name.to_string(), n.spec.source.to_string()))
            .collect();
        let all = *to == PeerPattern::All;
        if !all && !peers.iter().any(|(_, name, _)| to.matches(name)) {
            return None;
        }
        let planner = self.kernel.planner();
        let facts = Facts {
            rib: &self.rib,
            peers,
            desired: self.in_force.as_deref(),
            services: &self.services(),
            kernel: &|prefix| (planner.status(prefix), planner.desired(prefix).cloned()),
            links: &self.kernel.links(),
            unreachable: self.kernel.error(),
            silent: &|gateway| self.kernel.is_silent(gateway),
        };
        Some(explain(&facts, asked, |name| to.matches(name)))
    }

    fn wall(&self, at: Instant) -> Timestamp {
        wall(self.started, at)
    }

    fn not_ready(&self) -> Vec<String> {
        let mut reasons: Vec<String> = self
            .configured
            .kinds
            .iter()
            .filter(|k| !k.listed)
            .map(|k| match &k.health {
                Health::Retrying { error } => format!("{} is not listed yet: {error}", k.kind),
                _ => format!("{} is not listed yet", k.kind),
            })
            .collect();
        reasons.extend(self.configured.unlisted());
        if self.configured.kinds.is_empty() {
            reasons.push("no objects yet".to_owned());
        } else if reasons.is_empty() && self.identity().is_none() {
            reasons.push(format!("there is no usable Node {}", self.node));
        }
        reasons
    }

    fn status(&self) -> views::Status {
        let not_ready = self.not_ready();
        let established = self
            .neighbours
            .iter()
            .filter(|(_, n)| n.negotiated().is_some())
            .count();
        views::Status {
            schema: views::SCHEMA.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: self.node.clone(),
            router_id: self.identity().map(|i| i.router_id.to_string()),
            local_as: self.identity().map(|i| i.asn.0),
            started: self.started,
            configured: self.configured_at,
            now: Timestamp::now(),
            ready: not_ready.is_empty(),
            not_ready,
            listeners: self.listeners.views(),
            ranges: self
                .neighbours
                .ranges
                .iter()
                .filter_map(|(name, _)| self.range(name))
                .collect(),
            peers: views::PeerTotals {
                configured: self.neighbours.iter().count() as u64,
                established: established as u64,
            },
            prefixes: self.prefixes(),
            originated: self.in_force.as_ref().map_or(0, |d| d.originations.len()) as u64,
            kernel: self.kernel_totals(),
            source: self.source_view(),
            drain: self.drain_view(),
            problems: self.problems(),
        }
    }

    fn prefixes(&self) -> BTreeMap<String, u64> {
        Family::ALL
            .into_iter()
            .map(|f| (f.to_string(), self.rib.prefixes(f) as u64))
            .collect()
    }

    fn source_view(&self) -> views::Source {
        let kinds = self.configured.kinds.iter().map(|k| views::SourceKind {
            kind: k.kind.to_string(),
            listed: k.listed,
            objects: k.objects as u64,
            error: match &k.health {
                Health::Retrying { error } => Some(error.clone()),
                Health::Starting | Health::Synced => None,
            },
        });
        views::Source {
            description: self.origin.description.clone(),
            kinds: kinds.collect(),
            cache: self
                .origin
                .cache
                .as_ref()
                .map(|cache| cache_view(&cache.borrow(), self.configured.recalled)),
        }
    }

    fn drain_view(&self) -> Option<views::Drain> {
        let why = self.target.as_ref()?.drain.why?;
        let left = |at| at - self.clock.now();
        Some(views::Drain {
            reason: why.as_str().to_owned(),
            withdrawn_in: self
                .draining
                .poll_timeout()
                .map(|at| left(at).as_secs_f64()),
        })
    }

    fn problems(&self) -> Vec<views::Problem> {
        self.diagnostics().map(views::Problem::from).collect()
    }

    /// What is wrong with the objects, and what of it shows on this node's links alone.
    fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        // First what no object's condition says.
        self.lacking
            .iter()
            .chain(self.unnumbered.problems())
            .chain(self.listeners.problems())
            .chain(self.gateways.problems())
            .chain(self.own_addresses.problems())
            .chain(self.logging.problems())
            .chain(&self.configured.problems)
    }
}

/// The wall-clock time of an instant, by a clock that began at `started`.
pub(super) fn wall(started: Timestamp, at: Instant) -> Timestamp {
    let since = i64::try_from(at.as_nanos()).unwrap_or(i64::MAX);
    let at = started.checked_add(SignedDuration::from_nanos(since));
    at.unwrap_or(Timestamp::MAX)
}

fn cache_view(cache: &CacheStatus, in_force: bool) -> views::Cache {
    views::Cache {
        directory: cache.directory.display().to_string(),
        in_force,
        objects: cache.objects as u64,
        written: cache.written,
        behind: cache.behind,
        error: cache.error.clone(),
    }
}

fn link_name(links: &Links, index: u32) -> String {
    links
        .get(&index)
        .cloned()
        .unwrap_or_else(|| index.to_string())
}

pub(super) fn texts<T: ToString>(list: &[T]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}
