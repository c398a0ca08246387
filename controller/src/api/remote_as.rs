//! The AS that a neighbour must have: a number, or its relation to ours.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// An AS number, or `Internal` (ours), or `External` (any but ours): one field that reads well
/// instead of two that exclude each other. As wide as the schema (`x-kubernetes-int-or-string`), so
/// that a wrong value is refused with the field's name and not by the decoder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PeerAsn {
    /// An AS number.
    Number(i64),
    /// `Internal` or `External`.
    Relation(String),
}

impl JsonSchema for PeerAsn {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "PeerAsn".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-int-or-string": true })
    }
}
