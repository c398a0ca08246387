//! An answer as text, JSON or YAML; a long one piece by piece.

use std::io::{self, Write};

use bytes::Bytes;
use clap::ValueEnum;
use serde::Serialize;

/// How to print answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// In the manner of BIRD.
    #[default]
    Text,
    /// One JSON document.
    Json,
    /// The same in YAML.
    Yaml,
}

/// Prints a value.
///
/// # Errors
/// Those of `out`.
pub fn value<T: Serialize>(
    out: &mut dyn Write,
    format: Format,
    value: &T,
    text: impl FnOnce(&T) -> String,
) -> io::Result<()> {
    match format {
        Format::Text => out.write_all(text(value).as_bytes()),
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, value)?;
            out.write_all(b"\n")
        }
        Format::Yaml => out.write_all(yaml(value)?.as_bytes()),
    }
}

/// A value in YAML.
pub(super) fn yaml<T: Serialize>(value: &T) -> io::Result<String> {
    let mut text = serde_saphyr::to_string(value).map_err(io::Error::other)?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// Prints a list whose elements come one by one as JSON.
pub struct List<'o> {
    out: &'o mut dyn Write,
    format: Format,
    printed: bool,
}

impl<'o> List<'o> {
    /// An empty one.
    pub fn new(out: &'o mut dyn Write, format: Format) -> Self {
        Self {
            out,
            format,
            printed: false,
        }
    }

    /// One more. `text` makes it readable, where that is asked for.
    ///
    /// # Errors
    /// Those of the output, and what the JSON is not.
    pub fn push(
        &mut self,
        json: &Bytes,
        text: impl FnOnce(&[u8]) -> serde_json::Result<String>,
    ) -> io::Result<()> {
        let first = !std::mem::replace(&mut self.printed, true);
        match self.format {
            Format::Text => self.out.write_all(text(json)?.as_bytes()),
            Format::Json => {
                let before: &[u8] = if first { b"[\n" } else { b",\n" };
                self.out.write_all(before)?;
                self.out.write_all(json)
            }
            Format::Yaml => {
                let one: serde_json::Value = serde_json::from_slice(json)?;
                self.out.write_all(yaml(&[one])?.as_bytes())
            }
        }
    }

    /// Has what was printed so far be seen.
    ///
    /// # Errors
    /// Those of the output.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// The end; whether there was anything.
    ///
    /// # Errors
    /// Those of the output.
    pub fn end(self) -> io::Result<bool> {
        match (self.format, self.printed) {
            (Format::Text, _) | (Format::Yaml, true) => {}
            (Format::Json, true) => self.out.write_all(b"\n]\n")?,
            (Format::Json | Format::Yaml, false) => self.out.write_all(b"[]\n")?,
        }
        Ok(self.printed)
    }
}

/// The element in a line of a [`List`] in JSON, if there is one.
pub(super) fn element(line: &str) -> Option<&str> {
    match line {
        "" | "[" | "]" | "[]" => None,
        element => Some(element.strip_suffix(',').unwrap_or(element)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(format: Format, elements: &[&str]) -> String {
        let mut out = Vec::new();
        let mut list = List::new(&mut out, format);
        for element in elements {
            let json = Bytes::copy_from_slice(element.as_bytes());
            list.push(&json, |json| Ok(format!("{} octets\n", json.len())))
                .unwrap();
        }
        assert_eq!(list.end().unwrap(), !elements.is_empty());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_list_is_one_document_in_each_format() {
        let elements = [r#"{"a":1}"#, r#"{"a":2}"#];
        for n in 0..=2 {
            let expected: Vec<serde_json::Value> = elements[..n]
                .iter()
                .map(|e| serde_json::from_str(e).unwrap())
                .collect();
            let json = list(Format::Json, &elements[..n]);
            assert_eq!(
                serde_json::from_str::<Vec<serde_json::Value>>(&json).unwrap(),
                expected
            );
            let lines: Vec<&str> = json.lines().filter_map(element).collect();
            assert_eq!(lines, elements[..n]);
            let yaml = list(Format::Yaml, &elements[..n]);
            assert_eq!(
                serde_saphyr::from_str::<Vec<serde_json::Value>>(&yaml).unwrap(),
                expected
            );
        }
        assert_eq!(list(Format::Text, &elements), "7 octets\n7 octets\n");
        assert_eq!(list(Format::Text, &[]), "");
    }
}
