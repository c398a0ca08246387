//! Which addresses of Services this node advertises.
//!
//! Four steps, each a pure function:
//!
//! | file | step |
//! |---|---|
//! | `rules` | what the node may advertise, from `BGPConfiguration`, `BGPAdvertisement`s and its Node |
//! | `verdict` | one Service and its endpoints against the rules: a verdict for each address |
//! | `claims` | all verdicts together: who asks for which prefix |
//! | `routes` | the route that they ask for at one prefix |
//!
//! Verdicts are kept by Service. When a Service or an endpoint changes, only that Service is judged
//! again, and if its verdicts come out the same, which is the rule in a rolling restart, nothing else
//! is looked at. Otherwise the prefixes that it asked for or asks for are, and no others.
//!
//! Two Services may share an address: it is advertised while either of them can be served here. So
//! none of them takes it away from the other by going, and a change of hands is no withdrawal. Where one
//! of them has no endpoint here and its traffic policy is Local, what comes for it to this node is
//! dropped; that is said.

mod claims;
mod routes;
mod rules;
mod verdict;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use claims::Claims;
use redstart_bgp::types::Prefix;
pub(super) use rules::Rules;
pub use verdict::{ServiceRoute, Verdict, Withheld};

use super::PeerName;
use crate::{
    diagnostic::{Diagnostic, Reason},
    index::{Kind, Objects, ServiceKey},
    object::ObjectRef,
    shared_map::SharedMap,
};

/// What was decided about every address of every Service, for `show services` and explanations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceTable {
    /// What asks for Services to be advertised, and to whom; verdicts name them by position.
    pub sources: Arc<[(ObjectRef, Vec<PeerName>)]>,
    /// By Service. A copy of the table shares them.
    pub services: SharedMap<ServiceKey, Arc<[ServiceRoute]>>,
}

impl ServiceTable {
    /// Whether endpoints are all that an address of this object, a Service, lacks.
    #[must_use]
    pub fn lacks_endpoints(&self, object: &ObjectRef, prefix: Prefix) -> bool {
        let key = object
            .name
            .split_once('/')
            .map(|(namespace, name)| ServiceKey {
                namespace: namespace.into(),
                name: name.into(),
            });
        let is_service = object.kind == Kind::Service.as_str();
        let routes = key
            .filter(|_| is_service)
            .and_then(|key| self.services.get(&key));
        let mut routes = routes.into_iter().flat_map(|routes| routes.iter());
        routes.any(|route| {
            let lacking = [Withheld::NoEndpoints, Withheld::NoLocalEndpoints];
            let lacks = lacking
                .iter()
                .any(|it| route.verdict == Verdict::Withheld(*it));
            lacks && Prefix::host(route.address) == prefix
        })
    }

    /// The prefixes that stand for advertised addresses together.
    #[must_use]
    pub fn aggregates(&self) -> BTreeSet<Prefix> {
        let routes = self.services.values().flat_map(|routes| routes.iter());
        let aggregates = routes.flat_map(|route| match &route.verdict {
            Verdict::Advertised { aggregates, .. } => &aggregates[..],
            Verdict::Withheld(_) => &[],
        });
        aggregates.map(|(_, prefix)| *prefix).collect()
    }
}

/// The rules, and the verdicts by them.
#[derive(Clone, Debug)]
pub(super) struct Services {
    rules: Rules,
    table: ServiceTable,
    claims: Claims,
    /// What is wrong with Services, for those with which anything is.
    problems: BTreeMap<ServiceKey, Vec<Diagnostic>>,
    /// Addresses that this node advertises for some Services, and drops the traffic of others that have them.
    torn: BTreeMap<Prefix, Vec<Diagnostic>>,
}

/// What other verdicts have changed.
#[derive(Debug, Default)]
pub(super) struct Rejudged {
    /// Whether any verdict is another one now.
    pub(super) differs: bool,
    /// The prefixes that were or are asked for by those that are.
    pub(super) prefixes: BTreeSet<Prefix>,
}

impl Services {
    /// No Service yet.
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            table: ServiceTable {
                sources: rules.sources(),
                ..ServiceTable::default()
            },
            rules,
            claims: Claims::default(),
            problems: BTreeMap::new(),
            torn: BTreeMap::new(),
        }
    }

    /// Goes by other rules. What was decided by those before stands until it is judged again.
    pub(super) fn under(mut self, rules: Rules) -> Self {
        self.table.sources = rules.sources();
        self.rules = rules;
        self
    }

    /// Judges all again. Most verdicts come out as before, and stay the same values: so there are never two
    /// of everything.
    pub(super) fn update_all(&mut self, objects: &Objects) -> Rejudged {
        let known = self.table.services.keys();
        let gone = known.filter(|key| !objects.services.contains_key(key));
        let gone: Vec<ServiceKey> = gone.cloned().collect();
        self.update(objects, gone.iter().chain(objects.services.keys()))
    }

    /// Judges these again.
    pub(super) fn update<'a>(
        &mut self,
        objects: &Objects,
        keys: impl IntoIterator<Item = &'a ServiceKey>,
    ) -> Rejudged {
        let mut rejudged = Rejudged::default();
        for key in keys {
            self.judge(objects, key, &mut rejudged);
        }
        for &prefix in &rejudged.prefixes {
            let torn: Vec<Diagnostic> = self.torn(prefix).collect();
            match torn.is_empty() {
                true => _ = self.torn.remove(&prefix),
                false => _ = self.torn.insert(prefix, torn),
            }
        }
        rejudged
    }

    /// The Services whose traffic this node attracts at an address for the sake of another one, and drops.
    fn torn(&self, prefix: Prefix) -> impl Iterator<Item = Diagnostic> {
        let served = self.claims.hosts(prefix).next();
        let dropped = served.map(|served| (served, self.claims.elsewhere(prefix)));
        dropped.into_iter().flat_map(move |(served, dropped)| {
            let warning = move |key: &ServiceKey| {
                let message = format!(
                    "{} is advertised here for {} too; what comes to this node for this Service is dropped, because it has no endpoint here and its traffic policy is Local",
                    prefix.addr(),
                    served.object_ref(),
                );
                let (object, reason) = (key.object_ref(), Reason::SharedAddress);
                Diagnostic::warning(object, "spec.externalTrafficPolicy", reason, message)
            };
            dropped.map(warning)
        })
    }

    fn judge(&mut self, objects: &Objects, key: &ServiceKey, rejudged: &mut Rejudged) {
        let before = self.table.services.get(key).cloned();
        let now = objects.services.get(key).map(|service| {
            let routes = verdict::judge(&self.rules, key, service, &objects.endpoints);
            Arc::<[ServiceRoute]>::from(routes)
        });
        if before == now {
            return;
        }
        rejudged.differs = true;
        self.problems.remove(key);
        if let Some(routes) = before {
            self.claims.remove(key, &routes, &mut rejudged.prefixes);
        }
        let Some(routes) = now else {
            self.table.services.remove(key);
            return;
        };
        self.claims.add(key, &routes, &mut rejudged.prefixes);
        let problems: Vec<_> = routes.iter().filter_map(|r| r.diagnostic(key)).collect();
        if !problems.is_empty() {
            self.problems.insert(key.clone(), problems);
        }
        self.table.services.insert(key.clone(), routes);
    }

    pub(super) fn table(&self) -> &ServiceTable {
        &self.table
    }

    /// What is wrong with Services.
    pub(super) fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        let all = self.problems.values().chain(self.torn.values());
        all.flatten()
    }
}
