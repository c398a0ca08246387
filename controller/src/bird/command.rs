//! The commands of BIRD 2 that this speaker knows, read from a line.
//!
//! `birdc` completes shortened words before it sends them, so they come in full.

use std::net::IpAddr;

use redstart_bgp::types::{Family, Prefix};

use crate::control::{
    Operation, PeerPattern,
    condition::{ConditionError, Parser, Token, tokens},
    select::{Net, Paths, Selection, Told},
};

/// A command.
#[derive(Clone, Debug)]
pub(super) enum Command {
    Status,
    Protocols { all: bool, which: PeerPattern },
    Route(RouteCommand),
    Interfaces { summary: bool },
    Symbols { which: PeerPattern },
    Memory,
    BfdSessions,
    Static,
    Configure,
    Operate(Operation, PeerPattern),
    Echo(bool),
    Restrict,
    Help,
}

/// `show route`
#[derive(Clone, Debug, Default)]
pub(super) struct RouteCommand {
    pub(super) selection: Selection,
    /// With attributes.
    pub(super) all: bool,
    /// How many, after the routes or instead of them.
    pub(super) stats: bool,
    pub(super) count: bool,
}

type Result<T> = std::result::Result<T, ConditionError>;

/// Reads a line.
pub(super) fn parse(line: &str) -> Result<Command> {
    let line = line.trim();
    if matches!(line, "?" | "help") {
        return Ok(Command::Help);
    }
    let tokens = tokens(line)?;
    let mut parser = Parser::new(&tokens);
    let command = command(&mut parser)?;
    parser.end()?;
    Ok(command)
}

fn command(parser: &mut Parser<'_>) -> Result<Command> {
    const EXPECTED: &str =
        "show, configure, disable, enable, restart, reload, echo, restrict or help";
    let Some(Token::Word(verb)) = parser.peek() else {
        return Err(parser.unexpected(EXPECTED));
    };
    let operation = match verb.as_str() {
        "disable" => Operation::Disable,
        "enable" => Operation::Enable,
        "restart" => Operation::Restart,
        "reload" => {
            parser.next();
            return reload(parser);
        }
        other => {
            let read: fn(&mut Parser<'_>) -> Result<Command> = match other {
                "show" => show,
                "configure" => configure,
                "echo" => echo,
                "restrict" => |_| Ok(Command::Restrict),
                _ => return Err(parser.unexpected(EXPECTED)),
            };
            parser.next();
            return read(parser);
        }
    };
    parser.next();
    Ok(Command::Operate(operation, which(parser)?))
}

/// Both ways unless one is said. BIRD 2 has it so.
fn reload(parser: &mut Parser<'_>) -> Result<Command> {
    let operation = if parser.takes("in") {
        Operation::ReloadIn
    } else if parser.takes("out") {
        Operation::ReloadOut
    } else {
        Operation::Reload
    };
    Ok(Command::Operate(operation, which(parser)?))
}

/// Objects are in force as they are: whatever is asked for, they are looked at.
fn configure(parser: &mut Parser<'_>) -> Result<Command> {
    for word in ["check", "soft", "confirm", "undo", "timeout"] {
        parser.takes(word);
    }
    while matches!(parser.peek(), Some(Token::Text(_) | Token::Word(_))) {
        parser.next();
    }
    Ok(Command::Configure)
}

/// Classes and the size of the buffer are read and mean nothing: everything that is logged counts.
fn echo(parser: &mut Parser<'_>) -> Result<Command> {
    let on = match parser.next() {
        Some(Token::Word(word)) if word == "all" => true,
        Some(Token::Word(word)) if word == "off" => false,
        Some(Token::Sign("{")) => {
            while parser.next().is_some_and(|t| *t != Token::Sign("}")) {}
            true
        }
        _ => return Err(parser.unexpected("all, off or {")),
    };
    if matches!(parser.peek(), Some(Token::Word(_))) {
        parser.value::<u32>("a size")?;
    }
    Ok(Command::Echo(on))
}

/// `all`, `"pattern*"`, or a name.
fn which(parser: &mut Parser<'_>) -> Result<PeerPattern> {
    if parser.takes("all") {
        return Ok(PeerPattern::All);
    }
    name(parser)
}

fn name(parser: &mut Parser<'_>) -> Result<PeerPattern> {
    let pattern = match parser.peek() {
        Some(Token::Text(text)) => PeerPattern::Like(text.clone()),
        Some(Token::Word(name) | Token::Name(name)) => PeerPattern::Name(name.clone()),
        _ => return Err(parser.unexpected("a protocol's name, a pattern in quotes, or all")),
    };
    parser.next();
    Ok(pattern)
}

/// A name, or everything where there is none.
fn maybe_name(parser: &mut Parser<'_>) -> Result<PeerPattern> {
    match parser.peek() {
        None => Ok(PeerPattern::All),
        Some(_) => name(parser),
    }
}

fn show(parser: &mut Parser<'_>) -> Result<Command> {
    const EXPECTED: &str = "status, protocols, route, interfaces, symbols, memory, bfd or static";
    let Some(Token::Word(subject)) = parser.peek() else {
        return Err(parser.unexpected(EXPECTED));
    };
    let read: fn(&mut Parser<'_>) -> Result<Command> = match subject.as_str() {
        "status" => |_| Ok(Command::Status),
        "protocols" => |parser| {
            let all = parser.takes("all");
            let which = maybe_name(parser)?;
            Ok(Command::Protocols { all, which })
        },
        "route" => route,
        "interfaces" => |parser| {
            let summary = parser.takes("summary");
            Ok(Command::Interfaces { summary })
        },
        "symbols" => symbols,
        "memory" => |_| Ok(Command::Memory),
        "bfd" => |parser| {
            parser.takes("sessions");
            maybe_name(parser).map(|_| Command::BfdSessions)
        },
        "static" => |parser| maybe_name(parser).map(|_| Command::Static),
        _ => return Err(parser.unexpected(EXPECTED)),
    };
    parser.next();
    read(parser)
}

fn symbols(parser: &mut Parser<'_>) -> Result<Command> {
    for kind in ["table", "filter", "function", "protocol", "template"] {
        if parser.takes(kind) {
            let which = match kind {
                "table" | "protocol" => PeerPattern::All,
                // There are none.
                _ => PeerPattern::Name(String::new()),
            };
            return Ok(Command::Symbols { which });
        }
    }
    let which = maybe_name(parser)?;
    Ok(Command::Symbols { which })
}

fn route(parser: &mut Parser<'_>) -> Result<Command> {
    let mut command = RouteCommand::default();
    while let Some(token) = parser.peek() {
        let selection = &mut command.selection;
        let Token::Word(word) = token else {
            return Err(parser.unexpected("an option of show route"));
        };
        if let Some(prefix) = prefix(word) {
            parser.next();
            selection.net = Net::Exact(prefix);
            continue;
        }
        match word.as_str() {
            "all" => command.all = true,
            "count" => command.count = true,
            "stats" => command.stats = true,
            "primary" => selection.paths = Paths::Primary,
            "filtered" => selection.paths = Paths::Filtered,
            "for" | "in" | "table" | "where" | "protocol" | "export" | "preexport" | "noexport" => {
                parser.next();
                valued(word, selection, parser)?;
                continue;
            }
            _ => return Err(parser.unexpected("a prefix or an option of show route")),
        }
        parser.next();
    }
    Ok(Command::Route(command))
}

/// An option with a value.
fn valued(option: &str, selection: &mut Selection, parser: &mut Parser<'_>) -> Result<()> {
    match option {
        "for" => selection.net = longest_match(parser)?,
        "in" => selection.net = Net::In(parser.value("a prefix")?),
        "table" => selection.family = table(parser)?,
        "where" => selection.condition = Some(parser.condition()?),
        "protocol" => selection.from = Some(name(parser)?),
        _ => {
            let peer = match name(parser)? {
                PeerPattern::Name(name) | PeerPattern::Like(name) => name,
                PeerPattern::All => return Err(parser.unexpected("a protocol's name")),
            };
            selection.told = Some(match option {
                "noexport" => Told::NoExport(peer),
                // Before filters, or after: what is sent.
                _ => Told::Export(peer),
            });
        }
    }
    Ok(())
}

fn longest_match(parser: &mut Parser<'_>) -> Result<Net> {
    let Some(Token::Word(word)) = parser.peek() else {
        return Err(parser.unexpected("an IP address or a prefix"));
    };
    let net = match word.parse::<IpAddr>() {
        Ok(address) => Net::For(address),
        Err(_) => match word.parse::<Prefix>() {
            Ok(prefix) => Net::For(prefix.addr()),
            Err(_) => return Err(parser.unexpected("an IP address or a prefix")),
        },
    };
    parser.next();
    Ok(net)
}

fn table(parser: &mut Parser<'_>) -> Result<Option<Family>> {
    let family = match parser.peek() {
        Some(Token::Word(word)) if word == "master4" => Some(Family::Ipv4Unicast),
        Some(Token::Word(word)) if word == "master6" => Some(Family::Ipv6Unicast),
        Some(Token::Word(word)) if word == "all" => None,
        _ => return Err(parser.unexpected("master4, master6 or all")),
    };
    parser.next();
    Ok(family)
}

/// A prefix, or an address, which is one as well.
fn prefix(word: &str) -> Option<Prefix> {
    let address = |word: &str| word.parse::<IpAddr>().ok().map(Prefix::host);
    word.parse().ok().or_else(|| address(word))
}
