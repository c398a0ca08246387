//! What is scraped.

use std::{collections::BTreeMap, time::UNIX_EPOCH};

use jiff::Timestamp;
use redstart_bgp::{bfd, session::State};

use super::protocols;
use crate::{
    compile::PeerName,
    index::Kind,
    metrics,
    source::{Health, kube::WatchStatus},
    speaker::{core::Core, neighbour::Neighbour, translate::role},
};

impl Core {
    pub(super) fn metrics(&self) -> metrics::Snapshot {
        let mut page = metrics::Snapshot {
            prefixes: self.prefixes(),
            originated: self.in_force.as_ref().map_or(0, |d| d.originations.len()) as u64,
            messages: self.neighbours.messages().0,
            connections_refused: self.listeners.ever_refused(),
            ready: self.not_ready().is_empty(),
            event_to_wire: self.neighbours.event_to_wire().clone(),
            update_to_kernel: self.kernel.planner().latency().clone(),
            ..metrics::Snapshot::default()
        };
        for (name, n) in self.neighbours.iter() {
            self.count_neighbour(&mut page, name, n);
        }
        self.count_bfd(&mut page);
        let stations = self.stations.iter();
        page.stations = stations
            .map(|(remote, _, status)| metrics::Station {
                address: remote.to_string(),
                synchronised: status.connected && status.complete,
                connections: status.connections,
                too_slow: status.too_slow,
                messages: status.messages,
            })
            .collect();
        page.update_log = self.count_log();
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
                in_force: self.configured.recalled,
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
        let counts = self.rib.peer_counts(n.id).unwrap_or_default();
        for (why, count) in protocols::refused(&counts.refused, n) {
            *page
                .refused
                .entry((role.clone(), why.to_string()))
                .or_default() += count;
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

    fn count_kernel(&self, page: &mut metrics::Snapshot) {
        let totals = self.kernel.planner().totals();
        page.kernel_routes = BTreeMap::from([
            ("installed", totals.installed),
            ("pending", totals.pending),
            ("parked", totals.parked.values().sum()),
            ("stale", totals.stale),
        ]);
        page.kernel_parked = totals.parked;
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
