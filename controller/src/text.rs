//! A text that has to be kept for a while, made small.
//!
//! While a large cluster is listed, some ten thousand manifests wait to be written to the disk. They
//! look alike: each is kept as what it differs in from another one of its kind.

use std::{borrow::Cow, fmt, sync::Arc};

use lz4_flex::block::{compress_with_dict, decompress_with_dict};

/// A text.
#[derive(Clone)]
pub struct Text(Form);

#[derive(Clone)]
enum Form {
    Plain(Box<str>),
    /// Compressed, with `model` for a dictionary.
    Like {
        model: Arc<str>,
        length: usize,
        octets: Box<[u8]>,
    },
}

impl Text {
    /// The same text, kept as what it differs in from `model`.
    #[must_use]
    pub fn like(&self, model: &Arc<str>) -> Self {
        let text = self.read();
        Self(Form::Like {
            model: Arc::clone(model),
            length: text.len(),
            octets: compress_with_dict(text.as_bytes(), model.as_bytes()).into(),
        })
    }

    /// The text itself.
    #[must_use]
    pub fn read(&self) -> Cow<'_, str> {
        match &self.0 {
            Form::Plain(text) => Cow::Borrowed(text),
            Form::Like {
                model,
                length,
                octets,
            } => {
                // What was compressed here is decompressed here: there is no input that could fail.
                let text = decompress_with_dict(octets, *length, model.as_bytes());
                let text = text.ok().and_then(|text| String::from_utf8(text).ok());
                Cow::Owned(text.unwrap_or_default())
            }
        }
    }
}

impl From<Box<str>> for Text {
    fn from(text: Box<str>) -> Self {
        Self(Form::Plain(text))
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Form::Plain(text.into()))
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.read() == other.read()
    }
}

impl Eq for Text {}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.read(), f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_kept_is_what_was_written(text in ".{0,300}", model in ".{0,300}") {
            let plain = Text::from(text.as_str());
            let small = plain.like(&model.into());
            prop_assert_eq!(small.read(), text.as_str());
            prop_assert_eq!(&small, &plain);
        }
    }

    #[test]
    fn manifests_that_look_alike_take_little() {
        let manifest = |node: u32| {
            let labels = (0..12).map(|n| format!(r#""example.com/label-{n}":"value-{node}""#));
            let labels: Vec<String> = labels.collect();
            format!(
                r#"{{"kind":"Node","metadata":{{"labels":{{{}}}}}}}"#,
                labels.join(",")
            )
        };
        let text = manifest(7);
        let Text(Form::Like { octets, .. }) = Text::from(&*text).like(&manifest(8).into()) else {
            panic!("not compressed");
        };
        assert!(
            4 * octets.len() < text.len(),
            "{} of {}",
            octets.len(),
            text.len()
        );
    }
}
