//! Every command's answer at 80 and at 120 columns, from answers as the daemon gives them.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{super::*, style};
use crate::{
    cli::{decode, help, table::COMMANDS, watch},
    control::{
        Operation,
        views::{Protocol, Route, Status},
    },
};

/// Answers by the words of the command.
const SAMPLES: &str = include_str!("samples.json");

/// An UPDATE with a fault: ORIGIN is 7.
const UPDATE: &str = "ffffffffffffffffffffffffffffffff 002f 02 0000 0014 400101 07 400206 0201 0000fde9 \
                      400304 0a0a0001 180a1400";

fn read<T: DeserializeOwned>(value: &Value) -> T {
    serde_path_to_error::deserialize(value).unwrap()
}

fn text(command: &str, value: &Value, style: &Style) -> String {
    let operation = |what| operated(what, &read::<Vec<_>>(value));
    match command {
        "show status" => status(&read(value), style),
        "show protocols" => {
            let list: Vec<Protocol> = read(value);
            protocols(&list, false, style) + &protocols(&list, true, style)
        }
        "show route" => {
            let list: Vec<Route> = read(value);
            let both = |r| [route(r, false), route(r, true)].concat();
            list.iter().map(both).collect()
        }
        "show route count" => counts(&read::<Vec<_>>(value)),
        "show kernel" => kernel(&read(value)),
        "show services" => services(&read::<Vec<_>>(value)),
        "show bfd" => bfd_sessions(&read::<Vec<_>>(value), style),
        "show bmp" => bmp_stations(&read::<Vec<_>>(value), style),
        "show mrt" => mrt_logs(&read::<Vec<_>>(value), style),
        "explain" => explanation(&read(value)),
        "why-down" => why_down(&read(value), style),
        "history" => history(&read::<Vec<_>>(value), true, style),
        "validate" => problems(&read::<Vec<_>>(value)),
        "diff" => diff(&read(value)),
        "reload" => operation(Operation::Reload),
        "disable" => operation(Operation::Disable),
        "enable" => operation(Operation::Enable),
        "restart" => operation(Operation::Restart),
        "log" => log_level(&read::<String>(value)),
        "drain" | "undrain" => annotated(&read(value)),
        other => panic!("no sample for {other}"),
    }
}

/// What each command prints for a terminal of this width.
fn answers(width: usize) -> BTreeMap<String, String> {
    let style = Style {
        width: Some(width),
        ..style()
    };
    let samples: BTreeMap<String, Value> = serde_json::from_str(SAMPLES).unwrap();
    let asked = samples.iter().map(|(command, value)| {
        let text = text(command, value, &style);
        (command.clone(), text)
    });
    let status: Status = read(&samples["show status"]);
    let now: Vec<Protocol> = read(&samples["show protocols"]);
    let mut before = now.clone();
    before[0].messages.updates_in = 2;
    before[0].routes.imported = 1;
    before[1].state = "Established".to_owned();
    let changes = watch::changes(&before, &now).into_iter();
    let decoded = decode::typed(UPDATE).unwrap();
    let made = [
        ("top", watch::frame(&status, &before, &now, 1.0, &style)),
        ("watch", changes.map(|line| line + "\n").collect()),
        ("decode", decoded.iter().map(decode::text).collect()),
        ("help", help::commands()),
        ("dump mrt", String::new()),
        ("capture", String::new()),
    ];
    let made = made.map(|(command, text)| (command.to_owned(), text));
    let all = asked.chain(made);
    all.map(|(command, text)| (command, style.fit(text)))
        .collect()
}

fn snapshot(width: usize) -> String {
    let answers = answers(width);
    for spec in COMMANDS {
        let words = spec.words.join(" ");
        assert!(answers.contains_key(&words), "no answer to {words}");
    }
    let parts = answers.into_iter().map(|(command, text)| {
        for line in text.lines() {
            let fits = line.chars().count() <= width;
            assert!(fits || !line.trim().contains(' '), "{command}: {line}");
        }
        format!("redc> {command}\n{text}")
    });
    parts.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_answer_fits_80_columns() {
    insta::assert_snapshot!(snapshot(80));
}

#[test]
fn every_answer_fits_120_columns() {
    insta::assert_snapshot!(snapshot(120));
}
