//! What is read of an object: everything but the parts that it is large by and that nothing here uses.
//!
//! Of a Node of 15 kB some hundred octets matter, and it comes again with each heartbeat. What is left
//! out is skipped while the response is decoded: no value is made of it.
//!
//! Parts are left out by name, rather than kept by name, so that a field which somebody begins to use
//! is there.

use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Map, Number, Value};

use crate::{api, index::Kind};

/// How much of a value is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    /// All.
    Whole,
    /// Nothing: the field is as if it were not there.
    Nothing,
    /// Of an object, these fields so much and all others whole; of a list, so of each element.
    But(&'static [(&'static str, Self)]),
    /// Of annotations, our own.
    OwnAnnotations,
}

use Part::{But, Nothing, OwnAnnotations, Whole};

const FOREIGN: Part = But(&[
    ("managedFields", Nothing),
    ("ownerReferences", Nothing),
    ("annotations", OwnAnnotations),
]);

const NODE: Part = But(&[
    ("metadata", FOREIGN),
    (
        "status",
        But(&[
            ("allocatable", Nothing),
            ("capacity", Nothing),
            (
                "conditions",
                But(&[
                    ("lastHeartbeatTime", Nothing),
                    ("lastTransitionTime", Nothing),
                ]),
            ),
            ("images", Nothing),
            ("nodeInfo", Nothing),
            ("volumesAttached", Nothing),
            ("volumesInUse", Nothing),
        ]),
    ),
]);

const SERVICE: Part = But(&[
    ("metadata", FOREIGN),
    ("spec", But(&[("ports", Nothing), ("selector", Nothing)])),
]);

const ENDPOINT_SLICE: Part = But(&[
    ("metadata", FOREIGN),
    ("ports", Nothing),
    (
        "endpoints",
        But(&[
            ("addresses", Nothing),
            ("deprecatedTopology", Nothing),
            ("hints", Nothing),
            ("targetRef", Nothing),
        ]),
    ),
]);

const SECRET: Part = But(&[("metadata", FOREIGN)]);

const OWN: Part = But(&[("metadata", But(&[("managedFields", Nothing)]))]);

impl Part {
    /// What is read of objects of this kind.
    pub(super) const fn of(kind: Kind) -> Self {
        match kind {
            Kind::Node => NODE,
            Kind::Service => SERVICE,
            Kind::EndpointSlice => ENDPOINT_SLICE,
            Kind::Secret => SECRET,
            _ => OWN,
        }
    }

    fn of_field(self, name: &str) -> Self {
        match self {
            Whole | Nothing => self,
            But(fields) => {
                let found = fields.iter().find(|(field, _)| *field == name);
                found.map_or(Whole, |(_, part)| *part)
            }
            OwnAnnotations if name.starts_with(api::ANNOTATION_PREFIX) => Whole,
            OwnAnnotations => Nothing,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Part {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self {
            Whole => Value::deserialize(deserializer),
            Nothing => IgnoredAny::deserialize(deserializer).map(|_| Value::Null),
            But(_) | OwnAnnotations => deserializer.deserialize_any(self),
        }
    }
}

/// A field that should be an object or a list may be anything: the typed parse says so.
impl<'de> Visitor<'de> for Part {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            match self.of_field(&name) {
                Nothing => _ = map.next_value::<IgnoredAny>()?,
                part => _ = fields.insert(name, map.next_value_seed(part)?),
            }
        }
        Ok(Value::Object(fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element_seed(self)? {
            elements.push(element);
        }
        Ok(Value::Array(elements))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(kind: Kind, object: &Value) -> Value {
        let text = object.to_string();
        let mut deserializer = serde_json::Deserializer::from_str(&text);
        let read = Part::of(kind).deserialize(&mut deserializer).unwrap();
        deserializer.end().unwrap();
        read
    }

    #[test]
    fn what_nodes_are_large_by_is_left_out_and_all_else_is_there() {
        let node = json!({
            "metadata": {
                "name": "a", "labels": {"zone": "1"}, "managedFields": [{"manager": "kubelet"}],
                "annotations": {"redstart.dev/asn": "64513", "example.com/large": "…"},
            },
            "spec": {"podCIDRs": ["10.0.0.0/24"], "unschedulable": true},
            "status": {
                "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
                "images": [{"sizeBytes": 5}],
                "conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "now"}],
            },
        });
        let kept = json!({
            "metadata": {
                "name": "a", "labels": {"zone": "1"},
                "annotations": {"redstart.dev/asn": "64513"},
            },
            "spec": {"podCIDRs": ["10.0.0.0/24"], "unschedulable": true},
            "status": {
                "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        });
        assert_eq!(read(Kind::Node, &node), kept);
    }

    #[test]
    fn of_each_endpoint_conditions_and_node_are_read() {
        let endpoint = json!({
            "addresses": ["10.0.0.1"], "conditions": {"ready": true}, "nodeName": "a",
            "targetRef": {"kind": "Pod"}, "zone": "1",
        });
        let kept = json!({"conditions": {"ready": true}, "nodeName": "a", "zone": "1"});
        let slice = |endpoint: &Value| json!({"addressType": "IPv4", "endpoints": [endpoint]});
        assert_eq!(read(Kind::EndpointSlice, &slice(&endpoint)), slice(&kept));
    }

    #[test]
    fn what_should_be_an_object_may_be_anything() {
        for wrong in [
            json!(null),
            json!(true),
            json!(-5),
            json!(5),
            json!(0.5),
            json!("text"),
            json!([[]]),
        ] {
            let object = json!({"metadata": wrong, "spec": wrong, "status": wrong});
            assert_eq!(read(Kind::Node, &object), object);
        }
    }
}
