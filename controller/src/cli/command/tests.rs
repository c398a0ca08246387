//! What is typed, and what it is taken for.

use super::*;

fn cmd(line: &str) -> Result<Command, ParseError> {
    parse(&line.split_whitespace().collect::<Vec<_>>())
}

fn routes(line: &str) -> Routes {
    match cmd(line) {
        Ok(Command::Routes(routes)) => routes,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn words_may_be_shortened() {
    for (short, long) in [
        ("sh pro a", "show protocols all"),
        ("s st", "show status"),
        ("s k", "show kernel"),
        ("drai", "drain"),
        ("u", "undrain"),
        ("why tor", "why-down tor"),
        ("hi", "history"),
        ("hi tor", "history tor"),
        ("expl 10.0.0.1 t tor", "explain 10.0.0.1 to tor"),
        ("show se", "show services"),
        ("s bf s", "show bfd sessions"),
        ("s bm", "show bmp"),
        ("s m", "show mrt"),
        ("du m x.mrt", "dump mrt x.mrt"),
        ("cap tor -w x.pcap", "capture tor -w x.pcap"),
        ("cap -w - tor", "capture tor -w -"),
        ("show bfd", "show bfd sessions"),
        ("sh r fi", "show route filtered"),
        ("s r fo 10.0.0.1 a", "show route for 10.0.0.1 all"),
        ("rel i tor", "reload in tor"),
        ("dis all", "disable all"),
        ("en tor", "enable tor"),
        ("res tor", "restart tor"),
    ] {
        assert_eq!(cmd(short).unwrap(), cmd(long).unwrap(), "{short}");
    }
}

#[test]
fn a_name_is_not_a_keyword() {
    let protocols = |all, name: &str| Command::Protocols {
        all,
        name: Some(name.to_owned()),
    };
    assert_eq!(cmd("show protocols all tor"), Ok(protocols(true, "tor")));
    assert_eq!(cmd("show protocols tor all"), Ok(protocols(true, "tor")));
    assert_eq!(cmd("show protocols all a"), Ok(protocols(true, "a")));
    assert_eq!(
        cmd("show protocols mesh-n2"),
        Ok(protocols(false, "mesh-n2"))
    );
}

#[test]
fn routes_are_narrowed_down_in_any_order() {
    assert_eq!(routes("show route"), Routes::default());
    let select = |line: &str| routes(line).select;
    let net = || "10.244.1.0/24".parse().unwrap();
    assert_eq!(
        select("show route 10.244.1.0/24"),
        RouteSelect::Exact(net())
    );
    assert_eq!(
        select("show route in 10.244.1.0/24"),
        RouteSelect::In(net())
    );
    assert_eq!(
        select("show route 10.0.0.1"),
        RouteSelect::Exact("10.0.0.1/32".parse().unwrap())
    );
    assert_eq!(
        select("show route for fd00::1 all"),
        RouteSelect::For("fd00::1".parse().unwrap())
    );
    let everything = routes(
        "show route all where net.len > 24 && bgp_path ~ [= * 65001 =] count export tor \
         protocol mesh-n2 filtered noexport x in 10.0.0.0/8",
    );
    assert_eq!(
        everything,
        Routes {
            select: RouteSelect::In("10.0.0.0/8".parse().unwrap()),
            protocol: Some("mesh-n2".into()),
            export: Some("tor".into()),
            noexport: Some("x".into()),
            condition: Some("net.len > 24 && bgp_path ~ [= * 65001 =]".into()),
            filtered: true,
            count: true,
            all: true,
        }
    );
}

#[test]
fn sessions_are_operated() {
    let operate = |what, peer: &str| {
        let peer = peer.to_owned();
        Ok(Command::Operate { what, peer })
    };
    assert_eq!(cmd("reload tor"), operate(Operation::Reload, "tor"));
    assert_eq!(cmd("reload in tor"), operate(Operation::ReloadIn, "tor"));
    assert_eq!(cmd("reload out m*"), operate(Operation::ReloadOut, "m*"));
    assert_eq!(cmd("restart all"), operate(Operation::Restart, "*"));
    assert_eq!(cmd("enable tor"), operate(Operation::Enable, "tor"));
    assert_eq!(cmd("disable tor"), operate(Operation::Disable, "tor"));
}

#[test]
fn errors_name_the_word_and_what_was_expected() {
    for (line, text) in [
        (
            "show",
            "incomplete command; expected status, protocols, route, kernel, services, bfd, bmp, mrt",
        ),
        (
            "show nothing",
            "\"nothing\" is not understood here; expected status, protocols, route, kernel, services, bfd, bmp, mrt",
        ),
        (
            "show route for",
            "incomplete command; expected an IP address",
        ),
        ("show route for x", "\"x\" is not an IP address"),
        ("show route 10.0.0.0/33", "\"10.0.0.0/33\" is not a prefix"),
        (
            "show route where net.len >",
            "not a condition: unexpected end of the line, expecting a number",
        ),
        (
            "show status now",
            "\"now\" is not understood here; expected the end of the command",
        ),
        (
            "show route al x",
            "\"x\" is not understood here; expected PREFIX, for, in, protocol, export, noexport, where, filtered, count",
        ),
        ("re tor", "\"re\" is ambiguous: reload, restart"),
        (
            "reload in",
            "incomplete command; expected a neighbour's name, a pattern or all",
        ),
    ] {
        assert_eq!(cmd(line).unwrap_err().to_string(), text, "{line}");
    }
    let nothing = cmd("").unwrap_err().to_string();
    assert!(
        nothing.starts_with("incomplete command; expected show, explain, "),
        "{nothing}"
    );
}

/// What each word of the help means is unmistakable: no two commands begin with the same words.
#[test]
fn every_command_is_reached_by_its_own_words() {
    for spec in COMMANDS {
        let reading = Reading::of(COMMANDS, spec.words).unwrap();
        let lacking = spec.args.iter().any(|arg| arg.required);
        assert_eq!(reading.finish().is_err(), lacking, "{:?}", spec.words);
    }
}
