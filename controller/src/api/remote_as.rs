//! The AS that a neighbour must have: a number, or its relation to ours.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An AS number, or `Internal` (ours), or `External` (any but ours). One field that reads well
/// instead of two that exclude each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerAsn {
    /// This number.
    Number(u32),
    /// The same as ours.
    Internal,
    /// Any but ours.
    External,
}

impl Serialize for PeerAsn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(n) => serializer.serialize_u32(*n),
            Self::Internal => serializer.serialize_str("Internal"),
            Self::External => serializer.serialize_str("External"),
        }
    }
}

impl<'de> Deserialize<'de> for PeerAsn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PeerAsnVisitor)
    }
}

struct PeerAsnVisitor;

impl de::Visitor<'_> for PeerAsnVisitor {
    type Value = PeerAsn;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an AS number, \"Internal\" or \"External\"")
    }

    fn visit_u64<E: de::Error>(self, n: u64) -> Result<PeerAsn, E> {
        u32::try_from(n)
            .map(PeerAsn::Number)
            .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(n), &self))
    }

    fn visit_i64<E: de::Error>(self, n: i64) -> Result<PeerAsn, E> {
        u32::try_from(n)
            .map(PeerAsn::Number)
            .map_err(|_| E::invalid_value(de::Unexpected::Signed(n), &self))
    }

    fn visit_str<E: de::Error>(self, s: &str) -> Result<PeerAsn, E> {
        match s {
            "Internal" => Ok(PeerAsn::Internal),
            "External" => Ok(PeerAsn::External),
            // A number in quotes is a number: `kubectl patch` and templating tools write it so.
            digits => digits
                .parse()
                .map(PeerAsn::Number)
                .map_err(|_| E::invalid_value(de::Unexpected::Str(s), &self)),
        }
    }
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
