//! Where in a message what stands. The codec says what messages mean; this says where the parts are,
//! down to single attributes, so that a fault can be found in a capture.

use redstart_bgp::wire::Message;

use super::values;

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Part {
    /// Where it begins in the input.
    pub from: usize,
    /// The octet behind its last one.
    pub to: usize,
    /// What it is.
    pub name: String,
    /// What it says.
    pub says: String,
}

/// Octets of a message that are gone through from the first to the last.
struct Walk<'m> {
    message: &'m [u8],
    /// Where the message begins in the input.
    start: usize,
    at: usize,
    parts: Vec<Part>,
}

impl<'m> Walk<'m> {
    fn left(&self) -> &'m [u8] {
        self.message.get(self.at..).unwrap_or_default()
    }

    /// Takes so many octets, or as many as there are.
    fn take(&mut self, octets: usize) -> &'m [u8] {
        let taken = &self.left()[..octets.min(self.left().len())];
        self.at += taken.len();
        taken
    }

    /// Names what was taken since `from`.
    fn name(&mut self, from: usize, name: impl Into<String>, says: impl Into<String>) {
        if from < self.at {
            self.parts.push(Part {
                from: self.start + from,
                to: self.start + self.at,
                name: name.into(),
                says: says.into(),
            });
        }
    }

    fn part(&mut self, octets: usize, name: &str, says: impl FnOnce(&[u8]) -> String) {
        let from = self.at;
        let taken = self.take(octets);
        let says = says(taken);
        self.name(from, name, says);
    }

    fn number(&mut self, octets: usize) -> usize {
        self.take(octets)
            .iter()
            .fold(0, |n, octet| n << 8 | usize::from(*octet))
    }
}

/// The parts of a message that begins at `start` of the input. `meaning` is what the codec made of it,
/// if it could.
pub(super) fn parts(message: &[u8], start: usize, meaning: Option<&Message>) -> Vec<Part> {
    let mut walk = Walk {
        message,
        start,
        at: 0,
        parts: Vec::new(),
    };
    walk.part(16, "marker", |octets| {
        let all_ones = octets.iter().all(|octet| *octet == 0xff);
        if all_ones {
            "all ones".to_owned()
        } else {
            values::hex(octets)
        }
    });
    walk.part(2, "length", values::number);
    walk.part(1, "type", |octets| values::message_type(octets).to_owned());
    match message.get(18) {
        Some(1) => open(&mut walk),
        Some(2) => update(&mut walk, meaning),
        Some(3) => notification(&mut walk),
        Some(5) => {
            walk.part(2, "AFI", values::number);
            walk.part(1, "subtype", values::number);
            walk.part(1, "SAFI", values::number);
        }
        _ => {}
    }
    walk.part(usize::MAX, "rest", values::hex);
    walk.parts
}

fn open(walk: &mut Walk<'_>) {
    walk.part(1, "version", values::number);
    walk.part(2, "my AS", values::number);
    walk.part(2, "hold time", values::number);
    walk.part(4, "BGP Identifier", values::address);
    let from = walk.at;
    let mut length = walk.number(1);
    // RFC 9072: 255 twice says that lengths have two octets.
    let extended = length == 255 && walk.left().first() == Some(&255);
    if extended {
        walk.take(1);
        length = walk.number(2);
    }
    walk.name(from, "optional parameters", format!("{length} octets"));
    let end = walk.at.saturating_add(length).min(walk.message.len());
    while walk.at < end {
        let from = walk.at;
        let kind = walk.number(1);
        let length = walk.number(if extended { 2 } else { 1 });
        let parameter_end = walk.at.saturating_add(length).min(end);
        if kind != 2 {
            walk.take(length);
            walk.name(
                from,
                format!("parameter {kind}"),
                format!("{length} octets"),
            );
            continue;
        }
        walk.name(from, "capabilities", format!("{length} octets"));
        while walk.at < parameter_end {
            let from = walk.at;
            let code = walk.number(1);
            let length = walk.number(1);
            let value = walk.take(length.min(parameter_end.saturating_sub(walk.at)));
            let value = values::hex(value);
            walk.name(
                from,
                format!("capability {code}"),
                values::capability(code, &value),
            );
        }
    }
}

fn update(walk: &mut Walk<'_>, meaning: Option<&Message>) {
    let update = match meaning {
        Some(Message::Update(update)) => Some(update),
        _ => None,
    };
    let from = walk.at;
    let length = walk.number(2);
    walk.name(from, "withdrawn length", format!("{length} octets"));
    walk.part(length, "withdrawn routes", values::routes);
    let from = walk.at;
    let length = walk.number(2);
    walk.name(from, "attributes length", format!("{length} octets"));
    let end = walk.at.saturating_add(length).min(walk.message.len());
    while walk.at < end {
        let from = walk.at;
        let flags = walk.number(1);
        let code = walk.number(1);
        let length = walk.number(if flags & 0x10 == 0 { 1 } else { 2 });
        let room = end.saturating_sub(walk.at);
        let value = walk.take(length.min(room));
        let says = if length > room {
            format!("length {length}, of which {room} octets are left")
        } else {
            values::attribute(code, value, update)
        };
        let name = values::attribute_name(code);
        walk.name(from, format!("{name} (flags {flags:02x})"), says);
    }
    walk.part(usize::MAX, "NLRI", values::routes);
}

fn notification(walk: &mut Walk<'_>) {
    walk.part(1, "error code", values::number);
    walk.part(1, "error subcode", values::number);
    walk.part(usize::MAX, "data", values::hex);
}
