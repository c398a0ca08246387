//! The looking glass of a running speaker, with real neighbours, in Debian's Chromium.
//!
//! Every view is checked for what `redc` says at the same time, and every test ends with this: the browser
//! complained of nothing and asked nobody but the speaker. With `REDSTART_UPDATE=1` the pictures of
//! docs/LOOKING_GLASS.md are taken anew.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]
#![allow(
    clippy::too_many_lines,
    reason = "what a reader does and sees is read from top to bottom"
)]

mod cable_world;
mod glass;

use anyhow::ensure;
use cable_world::SOON;
use glass::{
    browser::{Browser, EMPTY},
    page::{
        LEAST_CONTRAST, TELLS_SPOTS_APART, go, go_and_see, is_at_peace, is_number_of, is_shown,
        number_of, picture, text_of,
    },
    site::{PAGE, Site, node_name},
};
use redstart_controller::control::views::{Explanation, HistoryEntry, WhyDown};
use redstart_proto_tests::lab::{process::Signal, wait};
use serde_json::{Value, json};

/// What a neighbour may say to us, and to whoever reads of it.
const RUDE: &str = "<img src=x onerror=alert(1)>";

#[test]
fn every_view_shows_what_redc_says() {
    let site = Site::up("glassviews", 6, 1);
    let world = &site.world;
    let browser = &mut site.browser();

    // Sessions: a line for each, tiles with the numbers.
    browser
        .until(SOON, &is_number_of("#sessions tbody tr", site.peers()))
        .unwrap();
    let shown = browser.text(&text_of("#sessions tbody")).unwrap();
    for name in world.names().unwrap() {
        assert!(shown.contains(&name), "{name} in {shown}");
    }
    let tiles = browser.text(&text_of(".states")).unwrap();
    for tile in ["7\nEstablished", "0\nOpening", "2\nDown", "0\nDisabled"] {
        assert!(tiles.contains(tile), "{tile:?} in {tiles:?}");
    }
    let status = world.status().unwrap();
    let prefixes = format!("{}\nIPv4 prefixes", status.prefixes["ipv4"]);
    let kernel = format!("{}\nin the kernel", status.kernel.installed);
    for fact in [prefixes, kernel] {
        browser.until(SOON, &is_shown(&fact)).unwrap();
    }
    assert_eq!(browser.text(&text_of("#node")).unwrap(), "n1");
    // A tile chooses its state, the field what has a text in it, a head the order.
    let lines = |browser: &mut Browser, n| {
        browser
            .until(SOON, &is_number_of("#sessions tbody tr", n))
            .unwrap();
    };
    browser
        .value("document.querySelector('.tile.down').click(), 0")
        .unwrap();
    lines(browser, 2);
    browser
        .value("document.querySelector('.tile.down').click(), 0")
        .unwrap();
    lines(browser, site.peers());
    let first = "document.querySelector('#sessions tbody a').innerText";
    assert_eq!(browser.text(first).unwrap(), "away");
    for expected in ["away", "tor-b"] {
        let head = "[...document.querySelectorAll('#sessions thead button')][1].click(), 0";
        browser.value(head).unwrap();
        assert_eq!(browser.text(first).unwrap(), expected);
    }

    // A peer that is down, with what redc says of it.
    go(browser, "peer/away");
    let why: WhyDown = world.ask(&["why-down", "away"]).unwrap();
    assert!(!why.causes.is_empty(), "{why:?}");
    for cause in &why.causes {
        browser.until(SOON, &is_shown(&cause.suggestion)).unwrap();
        browser.until(SOON, &is_shown(&cause.id)).unwrap();
    }
    // One that is up.
    go(browser, "peer/tor-a");
    browser.until(SOON, &is_shown("We offered")).unwrap();
    let tor = world.protocol("tor-a").unwrap();
    for text in tor
        .local_capabilities
        .iter()
        .chain(&tor.remote_capabilities)
    {
        browser.until(SOON, &is_shown(text)).unwrap();
    }
    assert_eq!(tor.refused.len(), 1, "{tor:?}");
    for (why, count) in &tor.refused {
        browser
            .until(SOON, &is_shown(&format!("{count} {why}")))
            .unwrap();
    }

    // The map: one mark for each, by the state's own shape.
    go(browser, "map");
    browser
        .until(SOON, &is_number_of("#map .spot", site.peers()))
        .unwrap();
    browser
        .until(SOON, &is_number_of("#map .spot.down .inside", 2))
        .unwrap();
    browser
        .until(SOON, &is_number_of("#map rect.outline", 3))
        .unwrap();
    for text in [
        "AS 65020",
        "AS 65030",
        "Mesh",
        "1 of 6 not up",
        "Without a session: 2",
    ] {
        browser.until(SOON, &is_shown(text)).unwrap();
    }

    // Search: every word of the explanation, of an accepted and of a refused route.
    for (what, to) in [
        ("20.0.7.9", "tor-b"),
        ("10.66.6.1", "*"),
        ("10.128.2.77", "*"),
    ] {
        let asked = format!("v1/explain?what={what}&to={to}");
        let fetched = format!("fetch({}).then((r) => r.json())", json!(asked));
        let (expected, _) = wait::until("both say the same", SOON, || {
            let shown = browser.value(&fetched)?;
            let said: Value = world.ask(&["explain", what, "to", to])?;
            ensure!(shown == said, "{shown} is not {said}");
            Ok(said)
        })
        .unwrap();
        go(browser, &format!("search?what={what}&to={to}"));
        let explained: Explanation = serde_json::from_value(expected).unwrap();
        for text in words_of(&explained) {
            browser.until(SOON, &is_shown(&text)).unwrap();
        }
        is_at_peace(browser);
    }
    // What is no address is said to be none; the browser notes that it was refused.
    go(browser, "search?what=nonsense");
    let refused = "\"nonsense\" is neither an address nor a prefix";
    browser.until(SOON, &is_shown(refused)).unwrap();
    go(browser, "history");
    let complaints = browser.complaints().unwrap();
    assert!(
        complaints
            .iter()
            .all(|c| c.contains("what=nonsense") && c.contains("400")),
        "{complaints:?}"
    );

    // History: newest first, of all peers.
    let history: Vec<HistoryEntry> = world.ask(&["history"]).unwrap();
    let newest = history.last().unwrap();
    assert!(
        history
            .iter()
            .any(|entry| entry.peer == "tor-b" && entry.event == "up")
    );
    browser.until(SOON, &is_shown(&newest.text)).unwrap();
    let times =
        "[...document.querySelectorAll('#history time')].map((time) => Date.parse(time.dateTime))";
    let sorted =
        format!("(t => t.length > 5 && t.every((at, n) => n === 0 || at <= t[n - 1]))({times})");
    browser.until(SOON, &sorted).unwrap();

    // Counts: a line for each, ending at what there is now.
    go(browser, "counts");
    browser
        .until(SOON, &is_number_of(".chart .curve", 6))
        .unwrap();
    let now = format!("IPv4 prefixes: {} now", status.prefixes["ipv4"]);
    let labels =
        "[...document.querySelectorAll('.chart svg')].map((chart) => chart.ariaLabel).join()";
    browser
        .until(SOON, &format!("{labels}.includes({})", json!(now)))
        .unwrap();
    is_at_peace(browser);
}

/// The words of an explanation that a reader must find.
fn words_of(e: &Explanation) -> Vec<String> {
    let route = e.route.as_ref().unwrap();
    let mut words = vec![format!("Route {}", route.prefix)];
    for path in &route.paths {
        words.push(format!("from {}", path.from));
        words.extend(path.reason.clone());
        words.extend(path.meaning.clone());
        words.extend(path.gateways.clone());
        words.extend(path.attributes.values().cloned());
    }
    words.push(route.kernel.state.state.clone());
    words.extend(route.kernel.state.detail.clone());
    for export in &e.exports {
        words.push(export.to.clone());
        words.push(export.state.clone());
        words.extend(export.meaning.clone());
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn what_a_neighbour_says_is_text_and_no_password_is_shown() {
    let site = Site::up("glassrude", 0, 0);
    let world = &site.world;
    let secret = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: key\n  namespace: redstart-system\n\
         stringData:\n  password: swordfish\n";
    world.put("secret", secret).unwrap();
    let password = "  passwordSecretRef:\n    name: key\n";
    world.put_router("locked", "10.30.0.14", password).unwrap();
    let browser = &mut site.browser();
    browser.until(SOON, &is_shown("locked")).unwrap();
    world
        .birdc(&["disable", "tor", &format!("\"{RUDE}\"")])
        .unwrap();
    for view in ["peer/tor-a", "history"] {
        go(browser, view);
        browser.until(SOON, &is_shown(RUDE)).unwrap();
        let images = browser.value(&number_of("main img"));
        assert_eq!(images.unwrap(), 0, "{view}");
    }
    for path in [
        "status",
        "protocols",
        "history",
        "samples",
        "explain?what=10.66.6.1",
        "why-down?peer=locked",
        "history?peer=locked",
    ] {
        let fetched = format!("fetch('v1/{path}').then((r) => r.text())");
        let answer = browser.text(&fetched).unwrap();
        assert!(answer.starts_with(['{', '[']), "{path}: {answer}");
        assert!(!answer.contains("swordfish"), "{path}: {answer}");
    }
    is_at_peace(browser);
}

#[test]
fn a_keyboard_is_enough() {
    let site = Site::up("glasskeys", 6, 1);
    let browser = &mut site.browser();
    let focus = "document.activeElement";
    // The title says what is drawn, which comes after the address.
    let here = |browser: &mut Browser, hash: &str| {
        let title =
            "document.title.toLowerCase().startsWith(location.hash.split('/').pop() + ' – ')";
        let is_here = format!("location.hash === {} && {title}", json!(hash));
        browser.until(SOON, &is_here).unwrap();
    };
    // The first stop leads past what is the same on each view; each stop can be seen.
    browser.press("Tab").unwrap();
    assert_eq!(browser.text(&format!("{focus}.id")).unwrap(), "skip");
    for _ in 0..7 {
        browser.press("Tab").unwrap();
        let ring = format!("getComputedStyle({focus}).outlineStyle");
        let name = format!("{focus}.outerHTML");
        let name = browser.text(&name).unwrap();
        assert_eq!(browser.text(&ring).unwrap(), "solid", "{name}");
    }
    // Numbers are the views; arrows go along the views.
    for (key, view) in [
        ("2", "map"),
        ("3", "search"),
        ("4", "history"),
        ("5", "counts"),
        ("1", "sessions"),
    ] {
        browser.press(key).unwrap();
        here(browser, &format!("#/{view}"));
        let current = "document.querySelector('nav [aria-current]').hash";
        assert_eq!(browser.text(current).unwrap(), format!("#/{view}"));
    }
    let is_at = |selector: &str| format!("{focus}.matches({})", json!(selector));
    while browser.value(&is_at("nav a")).unwrap() != true {
        browser.press_shift_tab().unwrap();
    }
    browser.press("ArrowRight").unwrap();
    browser.press("Enter").unwrap();
    here(browser, "#/map");
    // In the map the arrows go from peer to peer, Enter opens one. The map is one stop.
    browser
        .until(SOON, &is_number_of("#map .spot[tabindex='0']", 1))
        .unwrap();
    while browser.value(&is_at("#map .spot")).unwrap() != true {
        browser.press("Tab").unwrap();
    }
    let spot = format!("{focus}.dataset.key");
    let first = browser.text(&spot).unwrap();
    browser.press("ArrowRight").unwrap();
    let second = browser.text(&spot).unwrap();
    assert_ne!(first, second);
    browser
        .until(
            SOON,
            &format!("{}.includes({})", text_of(".about"), json!(second)),
        )
        .unwrap();
    browser.press("Home").unwrap();
    assert_eq!(browser.text(&spot).unwrap(), first);
    browser.press("Enter").unwrap();
    here(browser, &format!("#/peer/{first}"));
    // The sessions: a filter, and the lines below it.
    browser.press("1").unwrap();
    here(browser, "#/sessions");
    browser.press("/").unwrap();
    browser
        .until(SOON, &format!("{focus}.id === 'find'"))
        .unwrap();
    browser.type_text("rack01 node0").unwrap();
    browser
        .until(SOON, &is_number_of("#sessions tbody tr", 6))
        .unwrap();
    browser.press("Escape").unwrap();
    while browser.value(&is_at("#sessions tbody a")).unwrap() != true {
        browser.press("Tab").unwrap();
    }
    let line = format!("{focus}.innerText");
    let first = browser.text(&line).unwrap();
    browser.press("ArrowDown").unwrap();
    let second = browser.text(&line).unwrap();
    assert_ne!(first, second);
    // What is drawn anew leaves the focus where it is.
    let drawn = "new Promise((done) => new MutationObserver(() => done(true))
        .observe(document.querySelector('#sessions'), { subtree: true, characterData: true, childList: true }))";
    browser.value(drawn).unwrap();
    assert_eq!(browser.text(&line).unwrap(), second);
    browser.press("Enter").unwrap();
    here(browser, &format!("#/peer/{second}"));
    // From anywhere to the search, and an answer.
    browser.press("/").unwrap();
    browser
        .until(SOON, &format!("{focus}.id === 'what'"))
        .unwrap();
    browser.type_text("20.0.7.9").unwrap();
    browser.press("Enter").unwrap();
    browser.until(SOON, &is_shown("Route 20.0.7.0/24")).unwrap();
    // The keys explain themselves.
    browser.press("Escape").unwrap();
    browser.press("?").unwrap();
    browser
        .until(SOON, "document.querySelector('dialog').open")
        .unwrap();
    browser.press("Escape").unwrap();
    browser
        .until(SOON, "!document.querySelector('dialog').open")
        .unwrap();
    is_at_peace(browser);
}

#[test]
fn light_and_dark_are_both_easy_to_read() {
    let site = Site::up("glasslight", 6, 1);
    // One of each state that lasts.
    site.world.redc("disable tor-b").unwrap();
    let browser = &mut site.browser();
    browser
        .until(SOON, &is_shown("disabled by an operator"))
        .unwrap();
    let ground = "getComputedStyle(document.body).backgroundColor";
    let (light, dark) = ("rgb(247, 245, 242)", "rgb(20, 22, 25)");
    for (scheme, expected) in [("light", light), ("dark", dark)] {
        browser.prefer(scheme).unwrap();
        assert_eq!(browser.text(ground).unwrap(), expected);
        for (view, part) in [
            ("sessions", "#sessions tbody tr"),
            ("map", "#map .spot"),
            ("peer/away", ".why li"),
            ("search?what=10.66.6.1", ".steps .step"),
            ("history", "#history tbody tr"),
            ("counts", ".chart .curve"),
        ] {
            go_and_see(browser, view, part);
            browser.until(SOON, LEAST_CONTRAST).unwrap();
        }
    }
    // By hand, against what the system prefers, and still there after loading anew.
    for expected in [light, dark] {
        browser.press("t").unwrap();
        assert_eq!(browser.text(ground).unwrap(), expected);
    }
    browser.press("t").unwrap();
    browser.press("t").unwrap();
    browser.open(EMPTY).unwrap();
    browser.open(PAGE).unwrap();
    browser.until(SOON, &is_shown("Theme: light")).unwrap();
    assert_eq!(browser.text(ground).unwrap(), light);
    let quiet = "matchMedia('(prefers-reduced-motion: reduce)').matches || document.getAnimations().length === 0";
    browser.until(SOON, quiet).unwrap();
    is_at_peace(browser);
}

#[test]
fn a_speaker_that_does_not_answer_is_said_not_to() {
    let mut site = Site::up("glassgone", 0, 0);
    let browser = &mut site.browser();
    browser
        .until(SOON, &is_number_of("#sessions tbody tr", 3))
        .unwrap();
    is_at_peace(browser);
    site.world.end("redstart", Signal::Terminate).unwrap();
    browser
        .until(SOON, &is_shown("No answer from the speaker since"))
        .unwrap();
    browser
        .until(SOON, "document.querySelector('main').matches('.old')")
        .unwrap();
    // What was there last is still there.
    let lines = browser.value(&number_of("#sessions tbody tr"));
    assert_eq!(lines.unwrap(), 3);
    browser.complaints().unwrap();
    site.start_speaker().unwrap();
    browser.until(2 * SOON, &is_shown("Live")).unwrap();
    browser
        .until(SOON, "!document.querySelector('main').matches('.old')")
        .unwrap();
    browser
        .until(SOON, "document.querySelector('#silence').hidden")
        .unwrap();
}

/// A picture's name, its view, an element that is there when it is, and light or dark.
type Picture = (&'static str, &'static str, &'static str, &'static str);

fn with_many_peers(name: &str, nodes: u32, off: u32, pictures: &[Picture]) {
    let site = Site::up(name, nodes, off);
    let browser = &mut site.browser();
    let peers = site.peers();
    browser
        .until(SOON, &is_number_of("#sessions tbody tr", peers))
        .unwrap();
    browser
        .until(SOON, &is_shown(&format!("{}\nDown", off + 1)))
        .unwrap();
    // The last of all peers is found by its name, and by the keyboard.
    let last = node_name(nodes - 1);
    browser.press("/").unwrap();
    browser.type_text(&last).unwrap();
    browser
        .until(SOON, &is_number_of("#sessions tbody tr", 1))
        .unwrap();
    browser.value("document.activeElement.select(), 0").unwrap();
    browser.press("Backspace").unwrap();
    browser
        .until(SOON, &is_number_of("#sessions tbody tr", peers))
        .unwrap();
    browser.press("Escape").unwrap();
    go(browser, "peer/away");
    go(browser, "map");
    browser
        .until(SOON, &is_number_of("#map .spot", peers))
        .unwrap();
    browser
        .until(SOON, &is_number_of("#map .spot.down", u64::from(off) + 1))
        .unwrap();
    browser.until(SOON, TELLS_SPOTS_APART).unwrap();
    browser
        .until(SOON, &is_shown(&format!("Without a session: {}", off + 1)))
        .unwrap();
    for (picture_name, view, part, scheme) in pictures {
        browser.prefer(scheme).unwrap();
        go_and_see(browser, view, part);
        picture(browser, picture_name);
    }
    is_at_peace(browser);
}

#[test]
fn a_rack_of_80_peers_is_seen_at_a_glance() {
    let pictures = [
        ("sessions", "sessions", "#sessions tbody tr", "light"),
        ("map-80", "map", "#map .spot", "dark"),
        ("search", "search?what=10.128.7.9", ".steps .step", "light"),
        ("peer", "peer/away", ".why li", "dark"),
    ];
    with_many_peers("glass80", 77, 3, &pictures);
}

#[test]
fn a_mesh_of_1000_peers_can_be_read() {
    let pictures = [("map-1000", "map", "#map .spot", "light")];
    with_many_peers("glass1000", 997, 9, &pictures);
}
