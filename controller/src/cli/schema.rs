//! The schema of what `-o json` and `-o yaml` print (JSON Schema, draft 2020-12): `redc --schema`.
//!
//! One document for all commands, made from the very types that are printed. Its members are the
//! commands, each with the schema of its answer. Its `$id` is the version of the control socket's JSON
//! ([`SCHEMA`]): within it members are added, and none is removed or gets another meaning, so readers
//! must take members for granted that they do not know.

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::decode::Decoded;
use crate::control::views::{
    Annotated, BfdSession, BmpStation, Count, Diff, Explanation, HistoryEntry, Kernel, MrtLog,
    Operated, Problem, Protocol, Route, SCHEMA, Service, Status, WhyDown,
};

/// The schema of a type.
type Of = fn(&mut SchemaGenerator) -> Schema;

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// What each command answers. `watch`, `top` and `help` are for people alone, `dump mrt` and
/// `capture` for other programs.
const ANSWERS: [(&str, Of); 22] = [
    ("show status", of::<Status>),
    ("show protocols", of::<Vec<Protocol>>),
    ("show route", of::<Vec<Route>>),
    ("show route count", of::<Vec<Count>>),
    ("show kernel", of::<Kernel>),
    ("show services", of::<Vec<Service>>),
    ("show bfd", of::<Vec<BfdSession>>),
    ("show bmp", of::<Vec<BmpStation>>),
    ("show mrt", of::<Vec<MrtLog>>),
    ("explain", of::<Explanation>),
    ("why-down", of::<WhyDown>),
    ("history", of::<Vec<HistoryEntry>>),
    ("validate", of::<Vec<Problem>>),
    ("diff", of::<Diff>),
    ("decode", of::<Vec<Decoded>>),
    ("log", of::<String>),
    ("reload", of::<Vec<Operated>>),
    ("disable", of::<Vec<Operated>>),
    ("enable", of::<Vec<Operated>>),
    ("restart", of::<Vec<Operated>>),
    ("drain", of::<Annotated>),
    ("undrain", of::<Annotated>),
];

/// The document.
#[must_use]
pub fn document() -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator();
    let answers = ANSWERS.map(|(command, of)| {
        let schema = of(&mut generator);
        (command.to_owned(), Value::from(schema))
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA,
        "title": "What redc answers",
        "description": "Each member is a command, with the schema of what it prints with -o json or -o yaml.",
        "type": "object",
        "properties": Map::from_iter(answers),
        "$defs": generator.take_definitions(true),
    })
}

#[cfg(test)]
mod tests;
