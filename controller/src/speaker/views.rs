//! Answers to the control socket and to scrapes, made from the core's state when asked.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::UNIX_EPOCH};

use jiff::{SignedDuration, Timestamp};
use redstart_bgp::{
    bfd::{self, Hops, SessionKey},
    session::{PeerStatus, State},
    time::Instant,
    types::{Family, Prefix},
    wire::Notification,
};
use redstart_rib::{
    export::Withheld,
    fib::{InstallState, RouteKind},
    nexthop::Gateway,
    rib::{PathSource, PathView, RouteView, SourceKind},
};

use super::{
    core::Core,
    neighbour::Neighbour,
    translate::{families, role},
    unnumbered::Unfound,
};
use crate::{
    cache::CacheStatus,
    compile::{self, PeerName},
    control::{Query, Services, views},
    diagnostic::Diagnostic,
    index::Kind,
    metrics,
    source::{Health, kube::WatchStatus},
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
        Query::Bfd(reply) => _ = reply.send(core.bfd_sessions()),
        Query::Readiness(reply) => _ = reply.send(core.not_ready()),
        Query::Metrics(reply) => _ = reply.send(core.metrics()),
    }
}

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

    fn protocols(&self) -> Vec<views::Protocol> {
        let links = self.kernel.links();
        let neighbours = self.neighbours.iter();
        let found = neighbours.map(|(name, n)| self.protocol(name, n, &links));
        let unfound = self.unnumbered.unfound().chain(self.gateways.unfound());
        let unfound = unfound.map(|(name, unfound)| self.unfound(name, &unfound));
        let mut list: Vec<_> = found.chain(unfound).collect();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list
    }

    /// A neighbour whose address is not known.
    fn unfound(&self, name: &PeerName, unfound: &Unfound<'_>) -> views::Protocol {
        let spec = unfound.spec;
        views::Protocol {
            name: name.to_string(),
            role: role(&spec.role).to_owned(),
            object: spec.source.to_string(),
            client: spec.rules.client,
            state: State::Idle.to_string(),
            since: self.wall(unfound.since),
            remote: None,
            interface: match &spec.remote {
                compile::Remote::Interface { name, .. } => Some(name.clone()),
                _ => None,
            },
            range: None,
            local: None,
            remote_as: remote_as(spec),
            local_as: spec.local_as.0,
            remote_router_id: None,
            last_error: unfound.why.clone(),
            last_received: None,
            last_sent: None,
            families: families(spec.families),
            local_capabilities: Vec::new(),
            remote_capabilities: Vec::new(),
            hold_time: None,
            hold_remaining: None,
            keepalive: None,
            connect_remaining: None,
            messages: views::MessageCounts::default(),
            established_count: 0,
            routes: views::RouteCounts::default(),
            refused: BTreeMap::new(),
        }
    }

    fn protocol(&self, name: &PeerName, n: &Neighbour, links: &Links) -> views::Protocol {
        let status = n.handle.status();
        let errors = &status.errors;
        let negotiated = n.negotiated();
        let counts = self.rib.peer_counts(n.id).unwrap_or_default();
        let age = self.clock.now() - status.at;
        let left = |timer: Option<std::time::Duration>| {
            timer.map(|left| left.saturating_sub(age).as_secs_f64())
        };
        views::Protocol {
            name: name.to_string(),
            role: role(&n.spec.role).to_owned(),
            client: n.spec.rules.client,
            object: n.spec.source.to_string(),
            state: status.state.to_string(),
            since: self.wall(status.state_since),
            remote: Some(n.remote),
            interface: interface(n, links),
            range: n.membership.as_ref().and_then(|m| self.range(&m.range)),
            local: negotiated.map(|s| s.local_addr),
            remote_as: negotiated.map(|s| s.remote_as.0).or(remote_as(&n.spec)),
            local_as: n.spec.local_as.0,
            remote_router_id: negotiated.map(|s| s.remote_router_id.to_string()),
            last_error: errors.down.as_ref().map(|(_, why)| why.to_string()),
            last_received: self.notice(errors.received.as_ref()),
            last_sent: self.notice(errors.sent.as_ref()),
            families: families(negotiated.map_or(n.spec.families, |s| s.families)),
            local_capabilities: capabilities(negotiated.map(|s| s.local_capabilities.as_slice())),
            remote_capabilities: capabilities(negotiated.map(|s| s.remote_capabilities.as_slice())),
            hold_time: negotiated.map(|s| s.hold_time.as_secs()),
            hold_remaining: left(status.timers.hold),
            keepalive: negotiated.map(|s| s.keepalive.as_secs()),
            connect_remaining: left(status.timers.connect_retry.or(status.timers.idle_hold)),
            messages: message_counts(&status),
            established_count: status.established_count,
            routes: views::RouteCounts {
                imported: counts.accepted() as u64,
                exported: counts.exported as u64,
                preferred: counts.best as u64,
                stale: counts.stale as u64,
            },
            refused: counts
                .refused
                .iter()
                .filter(|(_, n)| *n > 0)
                .map(|(why, n)| (why.to_string(), n as u64))
                .collect(),
        }
    }

    fn range(&self, name: &PeerName) -> Option<views::ListenRange> {
        let range = self.neighbours.ranges.get(name)?;
        Some(views::ListenRange {
            name: name.to_string(),
            prefix: range.prefix.to_string(),
            neighbours: self.neighbours.members(name) as u64,
            limit: range.limit as u64,
        })
    }

    fn notice(&self, last: Option<&(Instant, Notification)>) -> Option<views::Notice> {
        last.map(|(at, notification)| views::Notice {
            at: self.wall(*at),
            text: notification.to_string(),
        })
    }

    fn route(&self, route: &RouteView, links: &Links) -> views::Route {
        let learned = route.paths.iter().any(|p| p.kind != SourceKind::Local);
        let state = self.kernel.planner().status(route.prefix);
        let wanted = learned || state != InstallState::NotDesired;
        let exported = self
            .neighbours
            .iter()
            .filter(|(_, n)| self.rib.told(n.id, route.prefix).is_some())
            .map(|(name, _)| name.to_string());
        views::Route {
            prefix: route.prefix.to_string(),
            paths: route.paths.iter().map(|p| self.path(p, links)).collect(),
            kernel: wanted.then(|| kernel_state(&state)),
            exported: exported.collect(),
            rejected: self.rejected(route.prefix),
        }
    }

    /// The neighbours whose policies reject a route, with the rule.
    fn rejected(&self, prefix: Prefix) -> Vec<views::Rejected> {
        let asked = self.neighbours.iter();
        let asked = asked.filter(|(_, n)| !n.spec.policies.export.is_empty());
        let rejected = asked.filter_map(|(name, n)| {
            let verdict = self.rib.explain_export(n.id, prefix);
            let by_policy = verdict.decision == Err(Withheld::Policy);
            let rule = verdict.rules.first().filter(|_| by_policy)?;
            Some(views::Rejected {
                to: name.to_string(),
                rule: rule.to_string(),
            })
        });
        rejected.collect()
    }

    fn path(&self, path: &PathView, links: &Links) -> views::Path {
        let (from, object) = match &path.source {
            PathSource::Peer(id) => {
                let name = self.neighbours.name(*id).map(ToString::to_string);
                (name.unwrap_or_else(|| id.to_string()), None)
            }
            PathSource::Local(source) => ("local".to_owned(), Some(source.to_string())),
        };
        let (reached, unresolved) = match &path.next_hop {
            None => (Vec::new(), None),
            Some(Ok(resolved)) => (gateways(&resolved.gateways, links), None),
            Some(Err(why)) => (Vec::new(), Some(why.to_string())),
        };
        let attrs = &path.attrs;
        views::Path {
            from,
            kind: match path.kind {
                SourceKind::Ebgp => "ebgp",
                SourceKind::Ibgp => "ibgp",
                SourceKind::Local => "local",
            }
            .to_owned(),
            best: path.best,
            multipath: path.multipath,
            not_best: path.not_best.as_ref().map(ToString::to_string),
            rules: texts(&path.rules),
            stale: path.stale,
            long_lived_stale: path.long_lived_stale,
            next_hop: attrs.next_hop.map(redstart_bgp::types::NextHop::addr),
            gateways: reached,
            unresolved,
            origin: attrs.origin.to_string(),
            as_path: attrs.as_path.to_string(),
            local_pref: attrs.local_pref,
            med: attrs.med,
            aigp: attrs
                .aigp
                .as_ref()
                .and_then(redstart_bgp::types::Aigp::metric),
            communities: texts(&attrs.communities),
            extended_communities: texts(&attrs.extended_communities),
            large_communities: texts(&attrs.large_communities),
            originator_id: attrs.originator_id.map(|id| id.to_string()),
            cluster_list: attrs
                .cluster_list
                .iter()
                .map(|id| std::net::Ipv4Addr::from_bits(*id).to_string())
                .collect(),
            object,
        }
    }

    fn bfd_sessions(&self) -> Vec<views::BfdSession> {
        let (view, links) = (self.bfd.view(), self.kernel.links());
        let watched = self.bfd.watched();
        let sessions =
            watched.filter_map(|(name, key)| Some((name, key, view.sessions.get(&key)?)));
        let one = |(name, key, status): (&PeerName, SessionKey, &bfd::Status)| views::BfdSession {
            peer: name.to_string(),
            remote: key.remote,
            interface: key.interface.map(|index| link_name(&links, index)),
            hops: match key.hops {
                Hops::Single => "single".to_owned(),
                Hops::Multi => "multi".to_owned(),
            },
            state: status.state.to_string(),
            remote_state: status.remote_state.to_string(),
            since: self.wall(status.since),
            last_down: status.last_down.map(|(reason, _)| reason.id().to_owned()),
            diagnostic: status.diagnostic.to_string(),
            remote_diagnostic: status.remote_diagnostic.to_string(),
            transmit_interval_ms: milliseconds(status.transmit_interval),
            detection_time_ms: status.detection_time.map(milliseconds),
            failures: status.failures,
            sent: status.sent,
            received: status.received,
            local_discriminator: status.local_discriminator,
            remote_discriminator: status.remote_discriminator,
            control_plane_independent: status.remote_control_plane_independent,
        };
        sessions.map(one).collect()
    }

    fn count_bfd(&self, page: &mut metrics::Snapshot) {
        let view = self.bfd.view();
        for status in view.sessions.values() {
            *page
                .bfd_sessions
                .entry(status.state.to_string())
                .or_default() += 1;
        }
        for (name, key) in self.bfd.watched() {
            let Some(status) = view.sessions.get(&key) else {
                continue;
            };
            let router = page.routers.iter_mut().find(|r| r.name == name.0);
            if let Some(router) = router {
                router.bfd = Some((status.state == bfd::State::Up, status.failures));
            }
        }
        page.bfd_discarded.clone_from(&view.discarded);
    }

    fn kernel_totals(&self) -> views::KernelTotals {
        let mut totals = views::KernelTotals {
            error: self.kernel.error(),
            ..Default::default()
        };
        for (_, state) in self.kernel.planner().iter() {
            match state {
                InstallState::Installed => totals.installed += 1,
                InstallState::Pending => totals.pending += 1,
                InstallState::Parked(_) => totals.parked += 1,
                InstallState::Stale => totals.stale += 1,
                InstallState::NotDesired => {}
            }
        }
        totals
    }

    fn kernel_view(&self) -> views::Kernel {
        let planner = self.kernel.planner();
        let config = planner.config();
        let links = self.kernel.links();
        let mut routes: Vec<(Prefix, InstallState)> = planner
            .iter()
            .filter(|(_, s)| *s != InstallState::NotDesired)
            .collect();
        routes.sort_by_key(|(prefix, _)| *prefix);
        let route = |(prefix, state): (Prefix, InstallState)| {
            let desired = planner.desired(prefix);
            let blackhole = desired.is_some_and(|r| r.kind == RouteKind::Blackhole);
            views::KernelRoute {
                prefix: prefix.to_string(),
                kind: if blackhole { "blackhole" } else { "unicast" }.to_owned(),
                gateways: gateways(desired.map_or(&[], |r| r.gateways()), &links),
                state: kernel_state(&state),
            }
        };
        views::Kernel {
            table: config.table,
            metric: config.metric.get(),
            protocol: config.protocol,
            totals: self.kernel_totals(),
            routes: routes.into_iter().map(route).collect(),
        }
    }
}

fn watch_counts((kind, status): (&Kind, &WatchStatus)) -> metrics::Watch {
    let since_epoch = status
        .last_event
        .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    metrics::Watch {
        kind: kind.as_str(),
        connected: status.connected,
        listings: status.listings,
        failures: status.failures,
        invalid: status.invalid,
        last_event: since_epoch.map(|at| at.as_secs()),
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

/// The link of a neighbour that is reached by its link-local address.
fn interface(n: &Neighbour, links: &Links) -> Option<String> {
    match n.remote {
        SocketAddr::V6(remote) if remote.scope_id() != 0 => links.get(&remote.scope_id()).cloned(),
        _ => None,
    }
}

/// The AS that a neighbour must have, if it is said.
fn remote_as(spec: &compile::Peer) -> Option<u32> {
    match spec.remote_as {
        compile::RemoteAs::Number(asn) => Some(asn.0),
        compile::RemoteAs::Internal => Some(spec.local_as.0),
        compile::RemoteAs::External => None,
    }
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
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

fn capabilities(list: Option<&[redstart_bgp::wire::Capability]>) -> Vec<String> {
    texts(list.unwrap_or_default())
}

fn message_counts(status: &PeerStatus) -> views::MessageCounts {
    views::MessageCounts {
        updates_in: status.received.update,
        updates_out: status.sent.update,
        total_in: status.received.total(),
        total_out: status.sent.total(),
    }
}

/// `via 10.0.0.1 on eth0`, as BIRD says it.
fn gateways(list: &[Gateway], links: &Links) -> Vec<String> {
    let gateway = |g: &Gateway| {
        let link = links
            .get(&g.ifindex)
            .cloned()
            .unwrap_or_else(|| format!("if{}", g.ifindex));
        match g.via {
            Some(via) => format!("via {via} on {link}"),
            None => format!("dev {link}"),
        }
    };
    list.iter().map(gateway).collect()
}

fn kernel_state(state: &InstallState) -> views::KernelState {
    let (name, reason) = match state {
        InstallState::Installed => ("installed", None),
        InstallState::Pending => ("pending", None),
        InstallState::Parked(reason) => ("parked", Some(reason)),
        InstallState::Stale => ("stale", None),
        InstallState::NotDesired => ("not-desired", None),
    };
    views::KernelState {
        state: name.to_owned(),
        reason: reason.map(|r| r.id().to_owned()),
        detail: reason.map(ToString::to_string),
    }
}

impl Core {
    fn metrics(&self) -> metrics::Snapshot {
        let mut page = metrics::Snapshot {
            prefixes: self.prefixes(),
            originated: self.in_force.as_ref().map_or(0, |d| d.originations.len()) as u64,
            connections_refused: self.listeners.refused(),
            ready: self.not_ready().is_empty(),
            ..metrics::Snapshot::default()
        };
        for (name, n) in self.neighbours.iter() {
            self.count_neighbour(&mut page, name, n);
        }
        self.count_bfd(&mut page);
        self.count_kernel(&mut page);
        for k in &self.configured.kinds {
            page.objects.insert(k.kind.to_string(), k.objects as u64);
            page.source_healthy
                .insert(k.kind.to_string(), k.health == Health::Synced);
        }
        if let Some(watches) = &self.origin.watches {
            page.watches = watches.borrow().iter().map(watch_counts).collect();
        }
        page.cache = self.origin.cache.as_ref().map(|cache| {
            let cache = cache.borrow();
            metrics::Cache {
                in_force: cache.in_force,
                written: cache.written.map(Timestamp::as_second),
                objects: cache.objects as u64,
                behind: cache.behind,
                failures: cache.failures,
            }
        });
        for d in self.diagnostics() {
            let key = (d.object.kind.clone(), d.reason.to_string());
            *page.problems.entry(key).or_default() += 1;
        }
        page
    }

    fn count_neighbour(&self, page: &mut metrics::Snapshot, name: &PeerName, n: &Neighbour) {
        let role = role(&n.spec.role).to_owned();
        let status = n.handle.status();
        *page
            .sessions
            .entry((role.clone(), status.state.to_string()))
            .or_default() += 1;
        for (direction, counters) in [("received", &status.received), ("sent", &status.sent)] {
            for (kind, count) in counters.by_type() {
                *page
                    .messages
                    .entry((role.clone(), direction, kind))
                    .or_default() += count;
            }
        }
        let counts = self.rib.peer_counts(n.id).unwrap_or_default();
        for (why, count) in counts.refused.iter().filter(|(_, count)| *count > 0) {
            *page
                .refused
                .entry((role.clone(), why.to_string()))
                .or_default() += count as u64;
        }
        if role == "router" {
            page.routers.push(metrics::Router {
                name: name.to_string(),
                established: status.state == State::Established,
                established_count: status.established_count,
                imported: counts.accepted() as u64,
                exported: counts.exported as u64,
                bfd: None,
            });
        }
    }

    fn count_kernel(&self, page: &mut metrics::Snapshot) {
        let totals = self.kernel_totals();
        page.kernel_routes = BTreeMap::from([
            ("installed", totals.installed),
            ("pending", totals.pending),
            ("parked", totals.parked),
            ("stale", totals.stale),
        ]);
        let counters = self.kernel.planner().counters();
        page.kernel_operations = BTreeMap::from([
            ("add", counters.added),
            ("replace", counters.replaced),
            ("delete", counters.deleted),
            ("refused", counters.refused),
            ("lost", counters.lost),
        ]);
        page.kernel_drift = counters.drifted + counters.disturbed;
    }
}
