//! Answers to the control socket and to scrapes, made from the core's state when asked.
//!
//! | file | answers |
//! |---|---|
//! | this one | `show status` and who is ready |
//! | `protocols` | neighbours and their BFD sessions |
//! | `routes` | routes, and what the kernel holds |
//! | `metrics` | scrapes |

mod metrics;
mod protocols;
mod routes;

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use redstart_bgp::{time::Instant, types::Family};

use super::core::Core;
use crate::{
    cache::CacheStatus,
    control::{Query, Services, views},
    diagnostic::Diagnostic,
    source::Health,
};

/// Answers one question. Whoever asked may be gone; that is no concern of the core.
pub(super) fn answer(core: &Core, query: Query) {
    match query {
        Query::Status(reply) => _ = reply.send(core.status()),
        Query::Protocols(reply) => _ = reply.send(core.protocols()),
        Query::Prefixes(reply) => _ = reply.send(core.rib.sorted_prefixes()),
        Query::Routes(prefixes, reply) => {
            let links = core.kernel.links();
            let routes = prefixes.iter().filter_map(|p| core.rib.lookup(*p));
            _ = reply.send(routes.map(|r| core.route(&r, &links)).collect());
        }
        Query::RouteFor(addr, reply) => {
            let links = core.kernel.links();
            _ = reply.send(
                core.rib
                    .lookup_longest(addr)
                    .map(|r| core.route(&r, &links)),
            );
        }
        Query::Kernel(reply) => _ = reply.send(core.kernel_view()),
        Query::Services(reply) => {
            _ = reply.send(Services {
                table: Arc::clone(&core.configured.services),
                held: core.held(),
                drain: core.draining.step(),
            });
        }
        Query::Tables(reply) => _ = reply.send(core.tables()),
        // The core does that itself: it changes something.
        Query::Operate(_, _, reply) => drop(reply),
        Query::Bfd(reply) => _ = reply.send(core.bfd_sessions()),
        Query::Readiness(reply) => _ = reply.send(core.not_ready()),
        Query::Metrics(reply) => _ = reply.send(core.metrics()),
    }
}

/// Names of links, by index.
type Links = BTreeMap<u32, String>;

impl Core {
    /// The wall-clock time of an instant.
    fn wall(&self, at: Instant) -> Timestamp {
        let since = i64::try_from(at.as_nanos()).unwrap_or(i64::MAX);
        self.started
            .checked_add(SignedDuration::from_nanos(since))
            .unwrap_or(Timestamp::MAX)
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
                .map(|cache| cache_view(&cache.borrow())),
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
        let problem = |d: &Diagnostic| views::Problem {
            severity: d.severity.to_string(),
            object: d.object.to_string(),
            field: d.field.clone(),
            reason: d.reason.to_string(),
            message: d.message.clone(),
        };
        self.diagnostics().map(problem).collect()
    }

    /// What is wrong with the objects, and what of it shows on this node's links alone.
    fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        self.configured
            .problems
            .iter()
            .chain(&self.lacking)
            .chain(self.unnumbered.problems())
            .chain(self.listeners.problems())
            .chain(self.gateways.problems())
    }
}

fn cache_view(cache: &CacheStatus) -> views::Cache {
    views::Cache {
        directory: cache.directory.display().to_string(),
        in_force: cache.in_force,
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

fn texts<T: ToString>(list: &[T]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}
