//! Which addresses of Services this node advertises.
//!
//! Three steps, each a pure function:
//!
//! | file | step |
//! |---|---|
//! | `rules` | what the node may advertise, from `BGPConfiguration`, `BGPAdvertisement`s and its Node |
//! | `verdict` | one Service and its endpoints against the rules: a verdict for each address |
//! | `routes` | all verdicts together: host routes and aggregates |
//!
//! Verdicts are kept by Service. When a Service or an endpoint changes, only that Service is judged
//! again, and if its verdicts come out the same, which is the rule in a rolling restart, nothing else
//! is looked at.
//!
//! Two Services may share an address: it is advertised while either of them can be served here. So
//! none of them takes it away from the other by going, and a change of hands is no withdrawal.

mod routes;
mod rules;
mod verdict;

use std::{collections::BTreeMap, sync::Arc};

pub(super) use routes::add_routes;
pub(super) use rules::Rules;
pub use verdict::{ServiceRoute, Verdict, Withheld};

use redstart_bgp::types::Prefix;

use super::PeerName;
use crate::{
    diagnostic::Diagnostic,
    index::{Kind, Objects, ServiceKey},
    object::ObjectRef,
};

/// What was decided about every address of every Service, for `show services` and explanations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceTable {
    /// What asks for Services to be advertised, and to whom; verdicts name them by position.
    pub sources: Arc<[(ObjectRef, Vec<PeerName>)]>,
    /// By Service.
    pub services: BTreeMap<ServiceKey, Arc<[ServiceRoute]>>,
}

impl ServiceTable {
    /// Whether endpoints are all that an address of this object, a Service, lacks.
    #[must_use]
    pub fn lacks_endpoints(&self, object: &ObjectRef, prefix: Prefix) -> bool {
        let key = object
            .name
            .split_once('/')
            .map(|(namespace, name)| ServiceKey {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
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
}

/// The rules, and the verdicts by them.
#[derive(Clone, Debug)]
pub(super) struct Services {
    rules: Rules,
    table: ServiceTable,
}

impl Services {
    /// Judges every Service.
    pub(super) fn new(rules: Rules, objects: &Objects) -> Self {
        let mut services = Self {
            table: ServiceTable {
                sources: rules.sources(),
                services: BTreeMap::new(),
            },
            rules,
        };
        services.update(objects, objects.services.keys());
        services
    }

    /// Judges these again. Whether any verdict is another one now.
    pub(super) fn update<'a>(
        &mut self,
        objects: &Objects,
        keys: impl IntoIterator<Item = &'a ServiceKey>,
    ) -> bool {
        let mut changed = false;
        for key in keys {
            changed |= self.judge(objects, key);
        }
        changed
    }

    fn judge(&mut self, objects: &Objects, key: &ServiceKey) -> bool {
        let Some(service) = objects.services.get(key) else {
            return self.table.services.remove(key).is_some();
        };
        let routes = verdict::judge(&self.rules, key, service, &objects.endpoints);
        if self.table.services.get(key).map(|r| &**r) == Some(&*routes) {
            return false;
        }
        self.table.services.insert(key.clone(), routes.into());
        true
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    pub(super) fn table(&self) -> &ServiceTable {
        &self.table
    }

    /// What is wrong with Services.
    pub(super) fn diagnostics(&self) -> impl Iterator<Item = Diagnostic> + '_ {
        let routes = self.table.services.iter();
        routes.flat_map(|(key, routes)| routes.iter().filter_map(|r| r.diagnostic(key)))
    }
}
