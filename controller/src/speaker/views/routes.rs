//! Routes and their paths, and what the kernel holds of them.

use std::{collections::BTreeSet, net::Ipv4Addr};

use redstart_bgp::{
    mrt::table::Peer,
    types::{Aigp, Family, NextHop, Prefix},
};
use redstart_rib::{
    export::Withheld,
    fib::{InstallState, Route, RouteKind},
    nexthop::Gateway,
    rib::{PathSource, PathView, RouteView, SourceKind, Sources, Walked, Wanted},
};

use super::{Links, texts};
use crate::{
    control::{PeerPattern, Walk, mrt::TablePeers, views},
    speaker::core::Core,
};

/// How many slots of a table are looked at in one step of a walk, and how many prefixes that finds at
/// most. Less than a millisecond's work.
const SLOTS: usize = 65_536;
const MOST: usize = 4_096;

impl Core {
    pub(super) fn walk(&self, walk: Walk) -> Walked {
        let sources = |pattern: PeerPattern| {
            let meant = self.neighbours.iter();
            let meant = meant.filter(|(name, _)| pattern.matches(&name.0));
            Sources {
                peers: meant.map(|(_, n)| n.id).collect(),
                local: pattern.matches("local"),
            }
        };
        let wanted = Wanted {
            family: walk.family,
            within: walk.within,
            from: walk.source.map(sources),
            refused: walk.refused,
        };
        self.rib.walk(walk.from, &wanted, SLOTS, MOST)
    }

    pub(super) fn table_peers(&self) -> Option<TablePeers> {
        let identity = self.identity()?;
        let neighbours = self.neighbours.iter();
        let peers = neighbours.filter_map(|(_, n)| {
            let info = self.rib.peer_info(n.id)?;
            let peer = Peer {
                router_id: info.router_id,
                address: info.remote_addr,
                asn: info.remote_as,
            };
            Some((n.id, peer))
        });
        Some(TablePeers {
            local: Peer::local(identity.router_id, identity.asn),
            peers: peers.collect(),
            started: self.started,
        })
    }

    pub(super) fn route(&self, route: &RouteView, links: &Links) -> views::Route {
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
            kind: source_kind(path.kind).to_owned(),
            best: path.best,
            multipath: path.multipath,
            not_best: path.not_best.as_ref().map(ToString::to_string),
            rules: texts(&path.rules),
            since: self.wall(path.since),
            stale: path.stale,
            long_lived_stale: path.long_lived_stale,
            next_hop: attrs.next_hop.map(NextHop::addr),
            gateways: reached,
            through: path.through().map(|prefix| prefix.to_string()),
            unresolved,
            origin: attrs.origin.to_string(),
            as_path: attrs.as_path.to_string(),
            local_pref: attrs.local_pref,
            med: attrs.med,
            aigp: attrs.aigp.as_ref().and_then(Aigp::metric),
            otc: attrs.otc.map(|asn| asn.0),
            communities: texts(&attrs.communities),
            extended_communities: texts(&attrs.extended_communities),
            large_communities: texts(&attrs.large_communities),
            originator_id: attrs.originator_id.map(|id| id.to_string()),
            cluster_list: attrs
                .cluster_list
                .iter()
                .map(|id| Ipv4Addr::from_bits(*id).to_string())
                .collect(),
            object,
        }
    }

    pub(super) fn tables(&self) -> Vec<views::Table> {
        let in_force = self.in_force.as_deref();
        let table = |family| {
            let neighbours = self.neighbours.iter();
            let counts = neighbours.filter_map(|(_, n)| self.rib.family_counts(n.id, family));
            let learned: usize = counts.map(|c| c.accepted()).sum();
            let own = in_force.map_or(0, |desired| {
                let own = desired.originations.keys();
                own.filter(|prefix| prefix.family() == family).count()
            });
            views::Table {
                family,
                prefixes: self.rib.prefixes(family) as u64,
                paths: (learned + own) as u64,
                originated: own as u64,
            }
        };
        Family::ALL.map(table).to_vec()
    }

    pub(super) fn kernel_totals(&self) -> views::KernelTotals {
        let totals = self.kernel.planner().totals();
        views::KernelTotals {
            error: self.kernel.error(),
            installed: totals.installed,
            installed_ipv6: totals.installed_ipv6,
            pending: totals.pending,
            parked: totals.parked.values().sum(),
            stale: totals.stale,
        }
    }

    pub(super) fn kernel_view(&self) -> views::Kernel {
        let planner = self.kernel.planner();
        let config = planner.config();
        let links = self.kernel.links();
        let mut routes: Vec<(Prefix, InstallState)> = planner
            .iter()
            .filter(|(_, s)| *s != InstallState::NotDesired)
            .collect();
        routes.sort_by_key(|(prefix, _)| *prefix);
        let used = routes.iter().filter_map(|(p, _)| planner.desired(*p));
        let used = used.flat_map(Route::gateways).copied();
        let silent = used.filter(|gateway| self.kernel.is_silent(gateway));
        let silent: BTreeSet<Gateway> = silent.collect();
        let silent: Vec<Gateway> = silent.into_iter().collect();
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
            silent: gateways(&silent, &links),
            routes: routes.into_iter().map(route).collect(),
        }
    }
}

/// How a path came to be here.
pub(in crate::speaker) const fn source_kind(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Ebgp => "ebgp",
        SourceKind::Ibgp => "ibgp",
        SourceKind::Local => "local",
    }
}

/// `via 10.0.0.1 on eth0`, as BIRD says it.
pub(in crate::speaker) fn gateways(list: &[Gateway], links: &Links) -> Vec<String> {
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

pub(in crate::speaker) fn kernel_state(state: &InstallState) -> views::KernelState {
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
