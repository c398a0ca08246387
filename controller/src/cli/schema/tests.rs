//! Answers against the document, and the document against the one that is published.

use std::{fs, path::Path};

use super::*;
use crate::cli::{decode, table::COMMANDS};

/// Says where `value` is not what `schema` allows. Knows the keywords that the document has, and no
/// other: one that it does not know is an error, too. Members that the document does not know are
/// errors here, though readers are to bear them.
fn check(document: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{at}: {what}: {value}"));
    let Some(keywords) = schema.as_object() else {
        return Ok(());
    };
    for (keyword, says) in keywords {
        match keyword.as_str() {
            "description" | "title" | "default" | "format" | "required" => {}
            "$ref" => {
                let place = says.as_str().unwrap().trim_start_matches('#');
                check(document, document.pointer(place).unwrap(), value, at)?;
            }
            "type" => {
                let kinds = says.as_array().cloned().unwrap_or(vec![says.clone()]);
                if !kinds.iter().any(|kind| is_a(value, kind.as_str().unwrap())) {
                    return wrong(&format!("is no {says}"));
                }
            }
            "anyOf" => {
                let mut ways = says.as_array().unwrap().iter();
                if !ways.any(|way| check(document, way, value, at).is_ok()) {
                    return wrong("is none of those");
                }
            }
            "minimum" => {
                if value.as_f64().is_some_and(|n| n < says.as_f64().unwrap()) {
                    return wrong("is too small");
                }
            }
            "maximum" => {
                if value.as_f64().is_some_and(|n| n > says.as_f64().unwrap()) {
                    return wrong("is too large");
                }
            }
            "items" => {
                for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(document, says, item, &format!("{at}[{n}]"))?;
                }
            }
            "properties" | "additionalProperties" => {}
            other => return wrong(&format!("{other} is a keyword that is not checked")),
        }
    }
    let Some(members) = value.as_object() else {
        return Ok(());
    };
    for name in schema["required"].as_array().into_iter().flatten() {
        if !members.contains_key(name.as_str().unwrap()) {
            return wrong(&format!("{name} is missing"));
        }
    }
    let has_members = !schema["properties"].is_null() || !schema["additionalProperties"].is_null();
    for (name, member) in members.iter().filter(|_| has_members) {
        let known = schema["properties"].get(name);
        let Some(known) = known.or(schema.get("additionalProperties")) else {
            return wrong(&format!("{name} is not documented"));
        };
        check(document, known, member, &format!("{at}.{name}"))?;
    }
    Ok(())
}

fn is_a(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

/// What the daemon answers, by command.
fn samples() -> Map<String, Value> {
    let samples = include_str!("../render/tests/samples.json");
    let mut samples: Map<String, Value> = serde_json::from_str(samples).unwrap();
    let update = "ffffffffffffffffffffffffffffffff 0017 02 0000 0000";
    let decoded = decode::typed(update).unwrap();
    samples.insert("decode".to_owned(), serde_json::to_value(decoded).unwrap());
    samples
}

#[test]
fn each_answer_is_as_the_document_says() {
    let (document, samples) = (document(), samples());
    for (command, _) in ANSWERS {
        let schema = &document["properties"][command];
        let answer = &samples[command];
        assert_eq!(check(&document, schema, answer, command), Ok(()));
    }
    for spec in COMMANDS {
        let command = spec.words.join(" ");
        let for_people =
            ["watch", "top", "help", "dump mrt", "capture"].contains(&command.as_str());
        let documented = !document["properties"][&command].is_null();
        assert!(documented != for_people, "{command}");
    }
}

#[test]
fn what_is_missing_or_wrong_or_not_documented_is_noticed() {
    let (document, samples) = (document(), samples());
    let check_status = |change: &dyn Fn(&mut Value)| {
        let mut status = samples["show status"].clone();
        change(&mut status);
        let schema = &document["properties"]["show status"];
        check(&document, schema, &status, "show status").unwrap_err()
    };
    let missing = check_status(&|status| _ = status.as_object_mut().unwrap().remove("node"));
    assert!(missing.contains("\"node\" is missing"), "{missing}");
    let wrong = check_status(&|status| status["peers"]["established"] = json!("two"));
    assert!(
        wrong.starts_with("show status.peers.established: is no "),
        "{wrong}"
    );
    let new = check_status(&|status| status["kernel"]["colour"] = json!("green"));
    assert!(new.contains("colour is not documented"), "{new}");
}

#[test]
fn the_published_document_is_this_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema/control-v1.json");
    let text = serde_json::to_string_pretty(&document()).unwrap() + "\n";
    if std::env::var_os("REDSTART_UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &text).unwrap();
    }
    let published = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        published == text,
        "docs/schema/control-v1.json is out of date: run this test with REDSTART_UPDATE=1"
    );
}
