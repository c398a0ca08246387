//! Label and field selectors, in the syntax of list and watch requests.

use serde_json::Value;

use super::status::Refusal;

/// What a list or watch asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
}

impl Requirement {
    fn holds(&self, value: Option<&str>) -> bool {
        match &self.test {
            Test::Exists => value.is_some(),
            Test::Absent => value.is_none(),
            Test::In(allowed) => value.is_some_and(|it| allowed.iter().any(|one| one == it)),
            // An absent label is not in any set.
            Test::NotIn(refused) => !value.is_some_and(|it| refused.iter().any(|one| one == it)),
        }
    }
}

impl Selector {
    /// From the two query parameters, empty where absent.
    ///
    /// # Errors
    /// 400 for what is not in the selector syntax.
    pub(super) fn parse(labels: &str, fields: &str) -> Result<Self, Refusal> {
        Ok(Self {
            labels: parse_all(labels)?,
            fields: parse_all(fields)?,
        })
    }

    /// Whether an object is selected.
    #[must_use]
    pub(super) fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.labels
            .iter()
            .all(|one| one.holds(labels[&one.key].as_str()))
            && self.fields.iter().all(|one| {
                let pointer = format!("/{}", one.key.replace('.', "/"));
                // An absent field selects as the empty string.
                one.holds(Some(
                    object
                        .pointer(&pointer)
                        .and_then(Value::as_str)
                        .unwrap_or(""),
                ))
            })
    }
}

fn parse_all(text: &str) -> Result<Vec<Requirement>, Refusal> {
    split_outside_parentheses(text)
        .into_iter()
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(parse_one)
        .collect()
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_u32, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn parse_one(part: &str) -> Result<Requirement, Refusal> {
    let requirement = |key: &str, test| Requirement {
        key: key.trim().to_owned(),
        test,
    };
    let one = |value: &str| vec![value.trim().to_owned()];
    if let Some((key, value)) = part.split_once("!=") {
        return Ok(requirement(key, Test::NotIn(one(value))));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Ok(requirement(key, Test::In(one(value))));
    }
    if let Some(key) = part.strip_prefix('!') {
        return Ok(requirement(key, Test::Absent));
    }
    let Some((head, set)) = part.split_once('(') else {
        if part.contains(char::is_whitespace) {
            return Err(Refusal::bad_request(format!(
                "unable to parse requirement: {part}"
            )));
        }
        return Ok(requirement(part, Test::Exists));
    };
    let set = set.trim_end().trim_end_matches(')');
    let values = set.split(',').map(|it| it.trim().to_owned()).collect();
    match head.split_whitespace().collect::<Vec<_>>()[..] {
        [key, "in"] => Ok(requirement(key, Test::In(values))),
        [key, "notin"] => Ok(requirement(key, Test::NotIn(values))),
        _ => Err(Refusal::bad_request(format!(
            "unable to parse requirement: {part}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selects_as_kubernetes_does() {
        let object = json!({
            "metadata": {"name": "a", "labels": {"zone": "x", "gpu": ""}},
            "type": "Opaque",
        });
        for (labels, fields, selected) in [
            ("", "", true),
            ("zone=x", "", true),
            ("zone==y", "", false),
            ("zone!=y,gpu", "", true),
            ("!gpu", "", false),
            ("!rack", "", true),
            ("zone in (w, x),gpu", "", true),
            ("zone notin (w,x)", "", false),
            ("rack notin (w,x)", "", true),
            ("", "metadata.name=a,type=Opaque", true),
            ("", "metadata.name!=a", false),
            ("", "metadata.namespace=", true),
        ] {
            let selector = Selector::parse(labels, fields).unwrap();
            assert_eq!(selector.matches(&object), selected, "{labels} {fields}");
        }
        assert_eq!(Selector::parse("a b", "").unwrap_err().code, 400);
    }
}
