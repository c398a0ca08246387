//! The CustomResourceDefinitions, and their YAML.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use super::{BFDProfile, BGPAdvertisement, BGPConfiguration, BGPNodeStatus, BGPPeer, BGPPolicy};

/// Every CustomResourceDefinition of Redstart, in alphabetical order of kind.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![
        BFDProfile::crd(),
        BGPAdvertisement::crd(),
        BGPConfiguration::crd(),
        BGPNodeStatus::crd(),
        BGPPeer::crd(),
        BGPPolicy::crd(),
    ]
}

/// [`crds`] as files: name and YAML. Each begins a document of its own, so that they may be put one
/// after the other.
///
/// # Errors
///
/// Never in practice: a CustomResourceDefinition always serializes.
pub fn crds_yaml() -> Result<Vec<(String, String)>, CrdYamlError> {
    crds()
        .into_iter()
        .map(|crd| {
            let name = format!("{}.yaml", crd.spec.names.plural);
            let mut value = serde_json::to_value(crd)?;
            as_kubernetes_writes(&mut value);
            Ok((name, format!("---\n{}", serde_saphyr::to_string(&value)?)))
        })
        .collect()
}

/// A CustomResourceDefinition could not be written as YAML.
#[derive(Debug, thiserror::Error)]
pub enum CrdYamlError {
    /// It has no JSON form.
    #[error("CRD to JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// It has no YAML form.
    #[error("CRD to YAML: {0}")]
    Yaml(#[from] serde_saphyr::ser::Error),
}

/// Two things that schemars says otherwise than the API server: it knows the formats `int32` and
/// `int64` only and warns about every other one (ranges say what an unsigned type said), and it
/// shows whole bounds without a decimal point.
fn as_kubernetes_writes(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                match (name.as_str(), &mut *value) {
                    ("format", Value::String(format)) => match format.as_str() {
                        "uint8" | "uint16" => "int32".clone_into(format),
                        "uint32" => "int64".clone_into(format),
                        _ => {}
                    },
                    ("minimum" | "maximum", Value::Number(bound)) => {
                        let whole = bound.as_f64().map(|f| format!("{f:.0}").parse::<i64>());
                        if let Some(Ok(whole)) = whole {
                            *bound = whole.into();
                        }
                    }
                    _ => as_kubernetes_writes(value),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(as_kubernetes_writes),
        _ => {}
    }
}
