//! The page, as the tests look at it: expressions for the browser, and what holds for every view.

use std::{fs, path::Path};

use serde_json::json;

use super::{browser::Browser, site::PAGE};
use crate::cable_world::SOON;

/// The largest picture of the documentation.
const PICTURE: usize = 150 << 10;

/// An expression: whether the page shows a text.
pub(crate) fn is_shown(text: &str) -> String {
    format!("document.body.innerText.includes({})", json!(text))
}

/// An expression: how many elements there are.
pub(crate) fn number_of(selector: &str) -> String {
    format!("document.querySelectorAll({}).length", json!(selector))
}

pub(crate) fn is_number_of(selector: &str, expected: u64) -> String {
    format!("{} === {expected}", number_of(selector))
}

/// An expression: the text of an element.
pub(crate) fn text_of(selector: &str) -> String {
    format!("document.querySelector({}).innerText", json!(selector))
}

/// Goes to a view, and waits until the page has heard of it: what was shown before is not taken for it.
pub(crate) fn go(browser: &mut Browser, view: &str) {
    let hash = json!(format!("#/{view}"));
    let gone = format!(
        "new Promise((done) => {{
           addEventListener('hashchange', () => done(true), {{ once: true }});
           if (location.hash === {hash}) done(true);
           location.hash = {hash};
         }})"
    );
    browser.value(&gone).unwrap();
}

/// Goes to a view, and waits until an element is there that it has once it was answered.
pub(crate) fn go_and_see(browser: &mut Browser, view: &str, part: &str) {
    go(browser, view);
    let is_there = format!("{} > 0", number_of(part));
    browser.until(SOON, &is_there).unwrap();
}

/// Nobody but the speaker was asked, and the browser complained of nothing.
pub(crate) fn is_at_peace(browser: &mut Browser) {
    for url in browser.requests().unwrap() {
        assert!(url.starts_with(PAGE), "{url}");
    }
    let complaints = browser.complaints().unwrap();
    assert!(complaints.is_empty(), "{complaints:#?}");
    // Nothing is loaded but what stands in the page, and nothing is kept but the theme.
    let kept = browser.value("[document.cookie, Object.keys(localStorage).join()]");
    assert_eq!(kept.unwrap(), json!(["", "theme"]));
}

/// A picture for the documentation, where it is to be taken.
pub(crate) fn picture(browser: &mut Browser, name: &str) {
    let picture = browser.screenshot().unwrap();
    let size = picture.len();
    assert!(
        picture.starts_with(b"RIFF") && size < PICTURE,
        "{name}: {size}"
    );
    if std::env::var_os("REDSTART_UPDATE").is_some() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/img");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("glass-{name}.webp")), picture).unwrap();
    }
}

/// Colours of text against what is behind it: the least contrast (WCAG 2.2, 1.4.3), and whose it is.
pub(crate) const LEAST_CONTRAST: &str = r"
(() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const ground = rgba(getComputedStyle(at).backgroundColor);
      if (ground[3] === 255) return ground;
    }
    return rgba('white');
  };
  const marks = [...document.querySelectorAll('main .outline')];
  const texts = [...document.querySelectorAll('body *')].filter((node) =>
    [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim()));
  const visible = [...texts, ...marks].filter((node) => node.checkVisibility());
  const ratios = visible.map((node) => {
    const style = getComputedStyle(node);
    const drawn = node instanceof SVGElement;
    const colour = rgba(drawn && texts.includes(node) ? style.fill : style.color);
    const [a, b] = [light(colour), light(behind(node))].sort((a, b) => b - a);
    return [(a + 0.05) / (b + 0.05), `${node.tagName} ${node.getAttribute('class')} ${node.textContent.slice(0, 30)}`];
  });
  const [ratio, whose] = ratios.sort(([a], [b]) => a - b)[0];
  return ratio >= 4.5 && ratios.length > 20 ? true : `${ratio} of ${whose}, ${ratios.length}`;
})()";

/// Whether all spots of the map are in the window, and none is over another.
pub(crate) const TELLS_SPOTS_APART: &str = r"
(() => {
  const spots = [...document.querySelectorAll('#map .mark')].map((mark) => mark.getBoundingClientRect());
  const outside = spots.filter((s) => s.left < 0 || s.top < 0 || s.right > innerWidth || s.bottom > innerHeight);
  const cells = new Map();
  let over = 0;
  for (const s of spots) {
    const [x, y] = [(s.left + s.right) / 2, (s.top + s.bottom) / 2];
    const near = [-1, 0, 1].flatMap((i) => [-1, 0, 1].flatMap((j) =>
      cells.get(`${Math.floor(x / 40) + i} ${Math.floor(y / 40) + j}`) ?? []));
    over += near.filter((o) => Math.hypot(o.x - x, o.y - y) < (o.size + s.width) / 2).length;
    const cell = `${Math.floor(x / 40)} ${Math.floor(y / 40)}`;
    cells.set(cell, [...(cells.get(cell) ?? []), { x, y, size: s.width }]);
  }
  const small = spots.filter((s) => s.width < 4).length;
  return outside.length + over + small === 0 || `${outside.length} outside, ${over} over others, ${small} tiny`;
})()";
