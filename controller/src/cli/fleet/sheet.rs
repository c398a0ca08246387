//! What nodes say, one after the other, as one text, one JSON document or one YAML document.

use std::io::{self, Write};

use serde_json::Value;

use crate::cli::{
    output::{self, Format},
    render::Style,
};

/// Prints lines of nodes as they come.
pub(super) struct Sheet<'o> {
    out: &'o mut dyn Write,
    format: Format,
    style: &'o Style,
    /// Of the longest name of a node.
    width: usize,
    /// Whether anything was printed at all.
    begun: bool,
    /// How many routes of the present node were; nothing while it has said nothing.
    routes: Option<u64>,
}

/// Why a line is not printed.
#[derive(Debug)]
pub(super) enum SheetError {
    /// It is not what it should be.
    Answer(serde_json::Error),
    /// It cannot be.
    Output(io::Error),
}

impl From<io::Error> for SheetError {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl<'o> Sheet<'o> {
    pub(super) fn new(
        out: &'o mut dyn Write,
        format: Format,
        style: &'o Style,
        width: usize,
    ) -> Self {
        Self {
            out,
            format,
            style,
            width: width.max("Node".len()),
            begun: false,
            routes: None,
        }
    }

    /// A line of what `redc` prints on a node.
    pub(super) fn line(&mut self, node: &str, line: &str) -> Result<(), SheetError> {
        if self.format == Format::Text {
            if !self.begun {
                self.begun = true;
                self.row("Node", "Route")?;
            }
            return Ok(self.row(node, line)?);
        }
        self.begin_node(node)?;
        let Some(route) = output::element(line) else {
            return Ok(());
        };
        let route: Value = serde_json::from_str(route).map_err(SheetError::Answer)?;
        Ok(self.route(&route)?)
    }

    fn row(&mut self, node: &str, text: &str) -> io::Result<()> {
        let row = format!("{node:<width$}  {text}", width = self.width);
        let row = self.style.fit(format!("{}\n", row.trim_end()));
        self.out.write_all(row.as_bytes())
    }

    fn begin_node(&mut self, node: &str) -> io::Result<()> {
        if self.routes.is_some() {
            return Ok(());
        }
        self.routes = Some(0);
        let before = match (self.format, std::mem::replace(&mut self.begun, true)) {
            (Format::Json, false) => "{\n",
            (Format::Json, true) => ",\n",
            _ => "",
        };
        // A name in quotation marks is the same in YAML.
        write!(self.out, "{before}{}:", Value::from(node))
    }

    fn route(&mut self, route: &Value) -> io::Result<()> {
        let first = self.routes == Some(0);
        self.routes = self.routes.map(|routes| routes + 1);
        if self.format == Format::Yaml {
            let before = if first { "\n" } else { "" };
            let text = output::yaml(&[route])?;
            return write!(self.out, "{before}{text}");
        }
        let before = if first { " [\n" } else { ",\n" };
        self.out.write_all(before.as_bytes())?;
        Ok(serde_json::to_writer(&mut self.out, route)?)
    }

    /// A node has said all it says. One that answered nothing well has an empty list.
    pub(super) fn end_node(&mut self, node: &str, is_whole: bool) -> io::Result<()> {
        if self.format == Format::Text {
            return self.out.flush();
        }
        if is_whole {
            self.begin_node(node)?;
        }
        let end = match (self.format, self.routes.take()) {
            (_, None) => "",
            (Format::Json, Some(1..)) => "\n]",
            (Format::Json, Some(0)) => " []",
            (_, Some(0)) => " []\n",
            (_, Some(_)) => "",
        };
        self.out.write_all(end.as_bytes())?;
        self.out.flush()
    }

    /// That was the last node.
    pub(super) fn end(self) -> io::Result<()> {
        let end = match (self.format, self.begun) {
            (Format::Text, _) | (Format::Yaml, true) => "",
            (Format::Json, true) => "\n}\n",
            (Format::Json | Format::Yaml, false) => "{}\n",
        };
        self.out.write_all(end.as_bytes())?;
        self.out.flush()
    }
}
