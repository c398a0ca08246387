//! EndpointSlices, reduced to counts: which node has how many endpoints of a Service in which state.
//!
//! A node must know two things about a Service: whether anybody anywhere can serve it, and whether
//! the node itself can. So of a slice with a thousand addresses a count per node is kept, and a
//! change of addresses alone is no change. How many there are is of no account, and a source may tell of
//! equal ones once ([`source::kube`](crate::source::kube) does). Counts stay with their slice and are added up when asked
//! for: a Service has few slices, and what one slice said goes with it.
//!
//! Whoever compiles for one node says so ([`Endpoints::of_node`]): then all other nodes are one, and a
//! hundred thousand endpoints are two counts for each slice. Otherwise node names come again and again;
//! each is kept once.

use std::{
    collections::{BTreeMap, HashSet},
    ops::AddAssign,
    sync::Arc,
};

use k8s_openapi::api::discovery::v1 as discovery;
use redstart_bgp::types::Family;

use super::{Kind, Object, ObjectKey, Observed, ServiceKey, observed::Findings};

/// The label by which a slice names its Service.
const LABEL_SERVICE: &str = "kubernetes.io/service-name";

/// Endpoints, by what they are good for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All.
    pub all: u32,
    /// Ready: connections are welcome.
    pub ready: u32,
    /// Not ready, but serving and terminating: good while there is nothing better.
    pub draining: u32,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.all += other.all;
        self.ready += other.ready;
        self.draining += other.draining;
    }
}

/// What is used of an `EndpointSlice`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    /// The name of its Service, in the same namespace. `None`: it belongs to nothing.
    pub service: Option<Arc<str>>,
    /// The family of its addresses; `None` for names.
    pub family: Option<Family>,
    /// Endpoints that are on no node that is known, or that matters.
    pub elsewhere: Counts,
    /// Endpoints on each node, by name.
    pub on_node: Box<[(Arc<str>, Counts)]>,
}

impl EndpointSlice {
    /// Whoever is on `node` is not ready any more.
    pub(crate) fn nobody_serves_on(&mut self, node: &str) {
        for (_, counts) in self.on_node.iter_mut().filter(|(name, _)| **name == *node) {
            *counts = Counts {
                all: counts.all,
                ..Counts::default()
            };
        }
    }
}

impl From<&discovery::EndpointSlice> for Observed {
    fn from(slice: &discovery::EndpointSlice) -> Self {
        let namespace = slice.metadata.namespace.as_deref();
        let namespace = namespace.unwrap_or(Kind::EndpointSlice.default_namespace());
        let name = slice.metadata.name.as_deref().unwrap_or_default();
        let key = ObjectKey::namespaced(Kind::EndpointSlice, namespace, name);
        Findings::new(&key).keep(key, Object::EndpointSlice(parse(slice)))
    }
}

fn parse(slice: &discovery::EndpointSlice) -> EndpointSlice {
    let labels = slice.metadata.labels.as_ref();
    let mut elsewhere = Counts::default();
    let mut on_node: BTreeMap<&str, Counts> = BTreeMap::new();
    for endpoint in &slice.endpoints {
        match &endpoint.node_name {
            Some(node) => *on_node.entry(node).or_default() += count(endpoint),
            None => elsewhere += count(endpoint),
        }
    }
    EndpointSlice {
        service: labels
            .and_then(|l| l.get(LABEL_SERVICE))
            .map(|name| name.as_str().into()),
        family: match slice.address_type.as_str() {
            "IPv4" => Some(Family::Ipv4Unicast),
            "IPv6" => Some(Family::Ipv6Unicast),
            _ => None,
        },
        elsewhere,
        on_node: on_node.into_iter().map(|(n, c)| (n.into(), c)).collect(),
    }
}

impl EndpointSlice {
    /// Leaves of other nodes than this one how many endpoints they have together.
    fn seen_from(&mut self, node: &Arc<str>) {
        let mut here = None;
        for (name, counts) in std::mem::take(&mut self.on_node) {
            if name == *node {
                here = Some((Arc::clone(node), counts));
            } else {
                self.elsewhere += counts;
            }
        }
        self.on_node = here.into_iter().collect();
    }
}

/// Where a condition is absent, the API's own words decide: unknown readiness is readiness, serving
/// is as ready, and terminating is false.
fn count(endpoint: &discovery::Endpoint) -> Counts {
    let conditions = endpoint.conditions.as_ref();
    let ready = conditions.and_then(|c| c.ready).unwrap_or(true);
    let serving = conditions.and_then(|c| c.serving).unwrap_or(ready);
    let terminating = conditions.and_then(|c| c.terminating).unwrap_or(false);
    Counts {
        all: 1,
        ready: u32::from(ready),
        draining: u32::from(!ready && serving && terminating),
    }
}

/// The endpoints of every Service.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    by_service: BTreeMap<ServiceKey, Vec<Home>>,
    /// The Service of each slice, by the slice's namespace and name.
    services: BTreeMap<ServiceKey, ServiceKey>,
    /// The node that asks; `None`: any may.
    node: Option<Arc<str>>,
    names: HashSet<Arc<str>>,
    /// How many names there may be before those that nobody uses are looked for.
    names_limit: usize,
}

/// A slice and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Home {
    name: Arc<str>,
    slice: EndpointSlice,
}

impl PartialEq for Endpoints {
    fn eq(&self, other: &Self) -> bool {
        self.by_service == other.by_service
    }
}

impl Eq for Endpoints {}

impl Endpoints {
    /// None yet. None but `node` will be asked about.
    pub(super) fn of_node(node: &str) -> Self {
        Self {
            node: Some(node.into()),
            ..Self::default()
        }
    }

    /// Takes in a slice. Returns the Services for which that is a change.
    pub(super) fn insert(&mut self, at: ServiceKey, mut slice: EndpointSlice) -> Vec<ServiceKey> {
        let Some(service) = slice.service.take().filter(|_| slice.family.is_some()) else {
            return self.remove(&at).into_iter().collect();
        };
        let service = ServiceKey {
            namespace: at.namespace.clone(),
            name: service,
        };
        let mut changed = Vec::new();
        if self.services.get(&at).is_some_and(|old| *old != service) {
            changed.extend(self.remove(&at));
        }
        match &self.node {
            Some(node) => slice.seen_from(node),
            None => self.share_names(&mut slice),
        }
        let homes = self.by_service.entry(service.clone()).or_default();
        match homes.binary_search_by(|h| h.name.cmp(&at.name)) {
            Ok(i) if homes[i].slice == slice => return changed,
            Ok(i) => homes[i].slice = slice,
            Err(i) => {
                let name = at.name.clone();
                // Nearly all Services have one slice, and a vector begins with room for four.
                homes.reserve_exact(1);
                homes.insert(i, Home { name, slice });
                self.services.insert(at, service.clone());
            }
        }
        changed.push(service);
        changed
    }

    /// Takes out a slice. Returns the Service that had it.
    pub(super) fn remove(&mut self, at: &ServiceKey) -> Option<ServiceKey> {
        let service = self.services.remove(at)?;
        if let Some(homes) = self.by_service.get_mut(&service) {
            homes.retain(|h| h.name != at.name);
            if homes.is_empty() {
                self.by_service.remove(&service);
            }
        }
        Some(service)
    }

    pub(super) fn pack(&mut self) {
        super::pack(&mut self.by_service);
        super::pack(&mut self.services);
    }

    /// The slices that are known.
    pub(super) fn slices(&self) -> impl Iterator<Item = &ServiceKey> {
        self.services.keys()
    }

    /// How many slices are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// Whether no slice is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// The endpoints of `service` that have an address of `family`: all, and those on `node`. That is the
    /// one node that these are kept for, if they are.
    #[must_use]
    pub fn count(&self, service: &ServiceKey, family: Family, node: &str) -> (Counts, Counts) {
        let (mut all, mut local) = (Counts::default(), Counts::default());
        let homes = self.by_service.get(service);
        let slices = homes.into_iter().flatten().map(|h| &h.slice);
        for slice in slices.filter(|s| s.family == Some(family)) {
            all += slice.elsewhere;
            for (name, counts) in &slice.on_node {
                all += *counts;
                if **name == *node {
                    local += *counts;
                }
            }
        }
        (all, local)
    }

    fn share_names(&mut self, slice: &mut EndpointSlice) {
        for (name, _) in &mut slice.on_node {
            match self.names.get(&**name) {
                Some(known) => *name = Arc::clone(known),
                None => _ = self.names.insert(Arc::clone(name)),
            }
        }
        if self.names.len() > self.names_limit {
            self.names.retain(|name| Arc::strong_count(name) > 1);
            self.names_limit = 2 * self.names.len() + 64;
        }
    }
}
