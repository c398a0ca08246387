//! The CustomResourceDefinitions, and their YAML.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use super::{BGPAdvertisement, BGPConfiguration, BGPPeer};

/// Every CustomResourceDefinition of Redstart, in alphabetical order of kind.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![
        BGPAdvertisement::crd(),
        BGPConfiguration::crd(),
        BGPPeer::crd(),
    ]
}

/// [`crds`] as files: name and YAML.
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
            kubernetes_formats(&mut value);
            Ok((name, serde_saphyr::to_string(&value)?))
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

/// The API server knows `int32` and `int64` and warns about every other integer format, which
/// schemars writes for unsigned types. Ranges say what the type said.
fn kubernetes_formats(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(format)) = map.get_mut("format") {
                match format.as_str() {
                    "uint8" | "uint16" => "int32".clone_into(format),
                    "uint32" => "int64".clone_into(format),
                    _ => {}
                }
            }
            map.values_mut().for_each(kubernetes_formats);
        }
        Value::Array(list) => list.iter_mut().for_each(kubernetes_formats),
        _ => {}
    }
}
