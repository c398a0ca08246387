//! Label selectors, as everywhere in Kubernetes.
//!
//! An own type and not that of `k8s-openapi`, so that the schema carries enums, limits and
//! descriptions, and so that evaluating one needs no client library.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::labels::Labels;

/// Selects objects by their labels. All requirements must hold; an empty selector selects
/// everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    /// Labels that must have these values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Requirements on labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub match_expressions: Vec<LabelSelectorRequirement>,
}

/// One requirement on one label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(self.operator in ['In', 'NotIn']) || has(self.values) && self.values.size() > 0").message("operators In and NotIn need values"))]
#[x_kube(validation = Rule::new("self.operator in ['In', 'NotIn'] || !has(self.values) || self.values.size() == 0").message("operators Exists and DoesNotExist take no values"))]
pub struct LabelSelectorRequirement {
    /// The label's key.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// How its value is compared.
    pub operator: SelectorOperator,
    /// The values for `In` and `NotIn`; empty for the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub values: Vec<String>,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SelectorOperator {
    /// The label has one of the values.
    In,
    /// The label has none of the values, or is absent.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
}

impl LabelSelector {
    /// Whether `labels` meet every requirement.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.match_labels
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value.as_str()))
            && self.match_expressions.iter().all(|r| r.matches(labels))
    }

    /// The first requirement that cannot be evaluated: its path below the selector, and why.
    #[must_use]
    pub fn problem(&self) -> Option<(String, &'static str)> {
        self.match_expressions
            .iter()
            .enumerate()
            .find_map(|(i, r)| {
                let why = match r.operator {
                    SelectorOperator::In | SelectorOperator::NotIn if r.values.is_empty() => {
                        "operators In and NotIn need values"
                    }
                    SelectorOperator::Exists | SelectorOperator::DoesNotExist
                        if !r.values.is_empty() =>
                    {
                        "operators Exists and DoesNotExist take no values"
                    }
                    _ => return None,
                };
                Some((format!("matchExpressions[{i}].values"), why))
            })
    }
}

impl LabelSelectorRequirement {
    fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        let listed = |value: &str| self.values.iter().any(|v| v == value);
        match self.operator {
            SelectorOperator::In => value.is_some_and(listed),
            SelectorOperator::NotIn => !value.is_some_and(listed),
            SelectorOperator::Exists => value.is_some(),
            SelectorOperator::DoesNotExist => value.is_none(),
        }
    }
}
