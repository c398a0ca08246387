//! What is read of an object: everything but the parts that it is large by and that nothing here uses.
//!
//! Of a Node of 15 kB some hundred octets matter, and it comes again with each heartbeat. So an object
//! is copied from the response to a text of its own while it is decoded, without those parts and
//! without a value of it in between. Two texts are equal if nothing that matters has changed, and for
//! the numerous kinds the text is the manifest that is kept (see [`project`](super::project) for the
//! others).
//!
//! Parts are left out by name, rather than kept by name, so that a field which somebody begins to use
//! is there. The exceptions are what changes all the time: the status of Nodes, and endpoints.
//!
//! Of endpoints only those of the speaker's own node are told apart. Of all others it is kept that one is
//! ready, or else in which states there are some: whether anybody can serve a Service, not how many can.
//! So while pods of other nodes are replaced one by one, the text stays the same.

use std::{borrow::Cow, collections::BTreeSet, fmt, ops::Range, sync::Arc};

use serde::{
    Serialize,
    de::{
        Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess,
        Visitor,
    },
};

use crate::{
    api,
    index::{Kind, SHUTDOWN_MESSAGE},
};

tokio::task_local! {
    /// The node whose endpoints are told apart; every node's where it is not set. The watcher calls the
    /// decoder without any argument, so the task has it.
    pub(super) static OWN_NODE: Arc<str>;
}

/// How much of a value is read.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// All.
    Whole,
    /// Nothing: the field is as if it were not there.
    Nothing,
    /// All, and it is put into the [`Head`].
    Named(Name),
    /// It is put into the [`Head`], and nowhere else.
    OnlyNamed(Name),
    /// Of an object, these fields so much and all others whole; of a list, so of each element.
    But(&'static [(&'static str, Self)]),
    /// Of an object, these fields so much and no others; of a list, so of each element.
    Only(&'static [(&'static str, Self)]),
    /// Of annotations, our own.
    OwnAnnotations,
    /// Of a Node's condition, its type and status. What it says of a shutdown, and since when, too; all
    /// other words count the seconds on a node in trouble.
    Condition,
    /// Of endpoints, in which states there are some; of those elsewhere, one that is ready if one is.
    Endpoints,
    /// Of an endpoint, its state, and its node if that is our own.
    Endpoint,
}

/// A field of the [`Head`].
#[derive(Clone, Copy, Debug)]
#[expect(clippy::enum_variant_names, reason = "as the fields are called")]
enum Name {
    Name,
    Namespace,
    ResourceVersion,
}

use Part::{
    But, Condition, Endpoint, Endpoints, Named, Nothing, Only, OnlyNamed, OwnAnnotations, Whole,
};

const FOREIGN: Part = But(&[
    ("annotations", OwnAnnotations),
    ("finalizers", Nothing),
    ("managedFields", Nothing),
    ("name", Named(Name::Name)),
    ("namespace", Named(Name::Namespace)),
    ("ownerReferences", Nothing),
    ("resourceVersion", OnlyNamed(Name::ResourceVersion)),
    ("selfLink", Nothing),
]);

const NODE: Part = But(&[
    ("apiVersion", Nothing),
    ("kind", Nothing),
    ("metadata", FOREIGN),
    (
        "status",
        Only(&[("addresses", Whole), ("conditions", Condition)]),
    ),
]);

const SERVICE: Part = But(&[
    ("apiVersion", Nothing),
    ("kind", Nothing),
    ("metadata", FOREIGN),
    ("spec", But(&[("ports", Nothing), ("selector", Nothing)])),
]);

/// Its annotations say when it has changed, its generation how often.
const ENDPOINT_SLICE: Part = But(&[
    ("apiVersion", Nothing),
    ("kind", Nothing),
    (
        "metadata",
        But(&[
            ("annotations", Nothing),
            ("finalizers", Nothing),
            ("generation", Nothing),
            ("managedFields", Nothing),
            ("name", Named(Name::Name)),
            ("namespace", Named(Name::Namespace)),
            ("ownerReferences", Nothing),
            ("resourceVersion", OnlyNamed(Name::ResourceVersion)),
            ("selfLink", Nothing),
        ]),
    ),
    ("ports", Nothing),
    ("endpoints", Endpoints),
]);

const SECRET: Part = But(&[("metadata", FOREIGN)]);

const SERVICE_CIDR: Part = But(&[("metadata", FOREIGN), ("status", Nothing)]);

const OWN: Part = But(&[(
    "metadata",
    But(&[
        ("managedFields", Nothing),
        ("name", Named(Name::Name)),
        ("namespace", Named(Name::Namespace)),
        ("resourceVersion", OnlyNamed(Name::ResourceVersion)),
    ]),
)]);

impl Part {
    /// What is read of objects of this kind.
    const fn of(kind: Kind) -> Self {
        match kind {
            Kind::Node => NODE,
            Kind::Service => SERVICE,
            Kind::EndpointSlice => ENDPOINT_SLICE,
            Kind::Secret => SECRET,
            Kind::ServiceCidr => SERVICE_CIDR,
            _ => OWN,
        }
    }

    fn of_field(self, name: &str) -> Self {
        let of = |fields: &'static [(&str, Self)]| fields.iter().find(|(field, _)| *field == name);
        match self {
            But(fields) => of(fields).map_or(Whole, |(_, part)| *part),
            Only(fields) => of(fields).map_or(Nothing, |(_, part)| *part),
            OwnAnnotations if name.starts_with(api::ANNOTATION_PREFIX) => Whole,
            OwnAnnotations => Nothing,
            _ => Whole,
        }
    }
}

/// What the watcher, and whoever tells objects apart, must know of one.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    pub(super) name: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) resource_version: Option<String>,
}

/// The head of an object of this kind, and the object without what is not read of it. One of the
/// [numerous kinds](Kind::is_numerous) is a manifest then.
pub(super) fn read<'de, D: Deserializer<'de>>(
    kind: Kind,
    object: D,
) -> Result<(Head, String), D::Error> {
    let mut excerpt = Excerpt::default();
    if kind.is_numerous() {
        let (version, kind) = (kind.api_version(), kind.as_str());
        // The items of a list need not say what they are; a manifest must.
        excerpt.opening = format!(r#""apiVersion":"{version}","kind":"{kind}","#);
    }
    excerpt.part(Part::of(kind)).deserialize(object)?;
    let text = String::from_utf8(excerpt.text).map_err(D::Error::custom)?;
    Ok((excerpt.head, text))
}

/// An excerpt of an object, which grows while the object is decoded.
#[derive(Default)]
struct Excerpt {
    head: Head,
    /// JSON. A comma stands behind each field and element until the last one's is taken away, so that
    /// any of them can be taken out.
    text: Vec<u8>,
    /// The fields that the object itself begins with.
    opening: String,
}

impl Excerpt {
    const fn part(&mut self, part: Part) -> Step<'_> {
        Step {
            excerpt: self,
            part,
        }
    }

    /// Adds a string, a number or the like.
    fn put<E: Error>(&mut self, value: impl Serialize) -> Result<(), E> {
        serde_json::to_writer(&mut self.text, &value).map_err(E::custom)
    }

    fn close(&mut self, with: u8) {
        if self.text.last() == Some(&b',') {
            self.text.pop();
        }
        self.text.push(with);
    }

    /// Adds a field, and says where its value is.
    fn field<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        part: Part,
        map: &mut A,
    ) -> Result<Range<usize>, A::Error> {
        self.put(name)?;
        self.text.push(b':');
        let start = self.text.len();
        map.next_value_seed(self.part(part))?;
        let value = start..self.text.len();
        self.text.push(b',');
        Ok(value)
    }

    fn fields<'de, A: MapAccess<'de>>(&mut self, of: Part, map: &mut A) -> Result<(), A::Error> {
        while let Some(Word(name)) = map.next_key()? {
            let start = self.text.len();
            match of.of_field(&name) {
                Nothing => _ = map.next_value::<IgnoredAny>()?,
                Named(field) => {
                    let value = self.field(&name, Whole, map)?;
                    self.note(field, value);
                }
                OnlyNamed(field) => {
                    let value = self.field(&name, Whole, map)?;
                    self.note(field, value);
                    self.text.truncate(start);
                }
                part => _ = self.field(&name, part, map)?,
            }
        }
        Ok(())
    }

    fn note(&mut self, name: Name, value: Range<usize>) {
        let field = match name {
            Name::Name => &mut self.head.name,
            Name::Namespace => &mut self.head.namespace,
            Name::ResourceVersion => &mut self.head.resource_version,
        };
        // What is no string is no name.
        *field = serde_json::from_slice(&self.text[value]).ok();
    }

    fn condition<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        let (mut since, mut shuts_down) = (None, false);
        while let Some(Word(name)) = map.next_key()? {
            let start = self.text.len();
            match &*name {
                "type" | "status" => _ = self.field(&name, Whole, map)?,
                "lastTransitionTime" => {
                    self.field(&name, Whole, map)?;
                    since = Some(start..self.text.len());
                }
                "message" => {
                    let value = self.field(&name, Whole, map)?;
                    let mut places = self.text[value].windows(SHUTDOWN_MESSAGE.len());
                    shuts_down = places.any(|words| words == SHUTDOWN_MESSAGE.as_bytes());
                    if !shuts_down {
                        self.text.truncate(start);
                    }
                }
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        if let Some(since) = since.filter(|_| !shuts_down) {
            self.text.drain(since);
        }
        Ok(())
    }

    fn endpoint<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        while let Some(Word(name)) = map.next_key()? {
            let start = self.text.len();
            match &*name {
                "conditions" => _ = self.field(&name, Whole, map)?,
                "nodeName" => {
                    let value = self.field(&name, Whole, map)?;
                    if self.is_elsewhere(value) {
                        self.text.truncate(start);
                    }
                }
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(())
    }

    /// Whether this value is the name of a node, and not of ours.
    fn is_elsewhere(&self, value: Range<usize>) -> bool {
        let Ok(Word(name)) = serde_json::from_slice(&self.text[value]) else {
            return false;
        };
        let own = OWN_NODE.try_with(|own| **own == *name);
        own.is_ok_and(|is_own| !is_own)
    }

    /// Adds each state once, in an order that is not that of the endpoints: it may differ from one time
    /// to the next.
    fn endpoints<'de, A: SeqAccess<'de>>(&mut self, mut list: A) -> Result<(), A::Error> {
        let start = self.text.len();
        let mut distinct: BTreeSet<Vec<u8>> = BTreeSet::new();
        while list.next_element_seed(self.part(Endpoint))?.is_some() {
            let endpoint = &self.text[start..];
            if !distinct.contains(endpoint) {
                distinct.insert(endpoint.to_vec());
            }
            self.text.truncate(start);
        }
        // What can serve is not looked at any further.
        let ready = distinct
            .iter()
            .find(|it| is_ready_elsewhere(it) == Some(true));
        if let Some(ready) = ready.cloned() {
            distinct.retain(|it| is_ready_elsewhere(it).is_none() || *it == ready);
        }
        for endpoint in distinct {
            self.text.extend(endpoint);
            self.text.push(b',');
        }
        Ok(())
    }
}

/// Of an endpoint on no node, or on none that matters, whether it is ready.
fn is_ready_elsewhere(endpoint: &[u8]) -> Option<bool> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Brief {
        conditions: Option<Ready>,
        node_name: Option<IgnoredAny>,
    }
    #[derive(serde::Deserialize)]
    struct Ready {
        ready: Option<bool>,
    }
    let brief: Brief = serde_json::from_slice(endpoint).ok()?;
    // To the API, what is not known to be unready is ready.
    let ready = brief.conditions.and_then(|it| it.ready).unwrap_or(true);
    brief.node_name.is_none().then_some(ready)
}

/// A string that is not copied unless it has to be.
struct Word<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Word<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AWord;
        impl<'de> Visitor<'de> for AWord {
            type Value = Word<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Word<'de>, E> {
                Ok(Word(text.into()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Word<'de>, E> {
                Ok(Word(text.to_owned().into()))
            }
        }
        deserializer.deserialize_str(AWord)
    }
}

/// So much of the next value is added to the excerpt.
struct Step<'a> {
    excerpt: &'a mut Excerpt,
    part: Part,
}

impl<'de> DeserializeSeed<'de> for Step<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// A field that should be an object or a list may be anything: the typed parse says so.
impl<'de> Visitor<'de> for Step<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { excerpt, part } = self;
        excerpt.text.push(b'{');
        let opening = std::mem::take(&mut excerpt.opening);
        excerpt.text.extend_from_slice(opening.as_bytes());
        match part {
            Condition => excerpt.condition(&mut map)?,
            Endpoint => excerpt.endpoint(&mut map)?,
            _ => excerpt.fields(part, &mut map)?,
        }
        excerpt.close(b'}');
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { excerpt, part } = self;
        excerpt.text.push(b'[');
        if matches!(part, Endpoints) {
            excerpt.endpoints(list)?;
        } else {
            while list.next_element_seed(excerpt.part(part))?.is_some() {
                excerpt.text.push(b',');
            }
        }
        excerpt.close(b']');
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.excerpt.put(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.excerpt.put(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.excerpt.put(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.excerpt.put(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.excerpt.put(value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.excerpt.put(value)
    }
}

#[cfg(test)]
mod tests;
