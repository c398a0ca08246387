// The page: which view is shown, what stands above it, and whether the speaker answers.
//
// A view is an object: `title`; `asks(parameters)`, what it shows, each with a name, a path and how often;
// `draw(answers, parameters, redraw)`, the elements, where `answers.refused` says why there is an answer
// missing; `list`, where arrow keys move (optional); `field`,
// what the key / leads to (optional).

import { become, h } from "./dom.js";
import { everywhere, rove } from "./keys.js";
import { poll } from "./poll.js";
import { clock, set_clock, since } from "./words.js";
import { counts } from "./counts.js";
import { history } from "./history.js";
import { map } from "./map.js";
import { peer } from "./peer.js";
import { search } from "./search.js";
import { sessions } from "./sessions.js";

const VIEWS = { sessions, map, search, history, counts };
const OTHERS = { peer };
const STATUS_EVERY = 3_000;

const on_page = (id) => document.getElementById(id);

let shown = { view: sessions, parameters: {} };
let answers = {};
/** Why an answer was refused, by its name. */
let refusals = {};
let status = null;
let stops = [];
let answered = null;
/** Somebody wants to search, and the field may not be there yet. */
let wants_field = false;

/** What somebody has typed wrongly is taken as it is. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** `#/search?what=10.0.0.1`, `#/peer/tor` */
function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/").map(decoded);
  const parameters = Object.fromEntries(new URLSearchParams(query));
  if (rest.length > 0) parameters.name = rest.join("/");
  const known = { ...VIEWS, ...OTHERS };
  return { name: Object.hasOwn(known, name) ? name : "sessions", parameters };
}

function show() {
  const { name, parameters } = route();
  stops.forEach((stop) => stop());
  const view = VIEWS[name] ?? OTHERS[name];
  answers = {};
  refusals = {};
  shown = { name, view, parameters };
  stops = view.asks(parameters).map(([what, path, every]) => poll(path, every, {
    answered: (value) => {
      answers[what] = value;
      delete refusals[what];
      alive();
      draw();
    },
    refused: (why) => {
      refusals[what] = why;
      alive();
      draw();
    },
    silent,
  }));
  say_where();
  draw();
}

/** The title of the window: the view, or which peer, and of which node. */
function say_where() {
  const { view, parameters } = shown;
  document.title = `${(view === peer && parameters.name) || view.title} – ${status?.node ?? "Redstart"}`;
}

function draw() {
  const { name, view, parameters } = shown;
  const links = Object.entries(VIEWS).map(([to, { title }], n) =>
    h("a", { href: `#/${to}`, "aria-current": to === name && "page", "aria-keyshortcuts": n + 1 }, title));
  become(on_page("nav"), h("nav", { id: "nav", "aria-label": "Views" }, links));
  rove(on_page("nav"), "a");
  const main = on_page("view");
  const content = view.draw({ ...answers, status, refused: Object.values(refusals)[0] }, parameters, draw);
  become(main, h("main", { id: "view", tabindex: -1, class: main.className }, content));
  if (view.list) rove(main.querySelector(view.list[0]), view.list[1]);
  const field = wants_field && view.field && main.querySelector(view.field);
  if (field) {
    wants_field = false;
    field.focus();
  }
}

function say_who(value) {
  status = value;
  set_clock(value.now);
  const facts = [
    value.localAs && `AS ${value.localAs}`,
    value.routerId && `router ID ${value.routerId}`,
    `Redstart ${value.version}`,
    `up ${since(value.started)}`,
    value.drain && `draining: ${value.drain.reason}`,
  ];
  on_page("node").textContent = value.node;
  on_page("facts").textContent = facts.filter(Boolean).join(" · ");
  say_where();
}

function alive() {
  answered = Date.now();
  const live = on_page("live");
  const word = status && !status.ready ? "Not ready" : "Live";
  live.className = word === "Live" ? "up" : "opening";
  if (live.textContent !== word) live.textContent = word;
  on_page("silence").hidden = true;
  on_page("view").classList.remove("old");
}

function silent(error) {
  const last = answered ? `since ${clock(answered)}; what is shown is from then` : "yet";
  const text = `No answer from the speaker ${last}. Trying again. (${error.message})`;
  const banner = on_page("silence");
  if (banner.textContent !== text || banner.hidden) banner.textContent = text;
  banner.hidden = false;
  on_page("live").className = "down";
  on_page("live").textContent = "No answer";
  on_page("view").classList.add("old");
}

const THEMES = ["system", "light", "dark"];

function theme(chosen) {
  const root = document.documentElement;
  if (chosen === "system") delete root.dataset.theme;
  else root.dataset.theme = chosen;
  on_page("theme").textContent = `Theme: ${chosen}`;
  // A browser that keeps nothing starts as the system has it.
  try {
    localStorage.setItem("theme", chosen);
  } catch {}
}

function kept_theme() {
  try {
    const kept = localStorage.getItem("theme");
    return THEMES.includes(kept) ? kept : "system";
  } catch {
    return "system";
  }
}

function next_theme() {
  const at = THEMES.indexOf(document.documentElement.dataset.theme ?? "system");
  theme(THEMES[(at + 1) % THEMES.length]);
}

function to_search() {
  if (!shown.view.field) location.hash = "#/search";
  wants_field = true;
  draw();
}

const to_keys = () => on_page("keys").showModal();
const to_view = () => on_page("view").focus();

theme(kept_theme());
on_page("theme").onclick = next_theme;
on_page("help").onclick = to_keys;
on_page("skip").onclick = to_view;
const numbers = Object.keys(VIEWS).map((name, n) => [n + 1, () => (location.hash = `#/${name}`)]);
everywhere({ ...Object.fromEntries(numbers), "/": to_search, t: next_theme, "?": to_keys });
window.addEventListener("hashchange", () => {
  to_view();
  show();
});
show();
poll("v1/status", STATUS_EVERY, {
  answered: (value) => {
    const first = !status;
    say_who(value);
    alive();
    // Views are drawn when their own answers come; a thousand lines are not drawn twice as often.
    if (first) draw();
  },
  refused: (why) => silent(new Error(why)),
  silent,
});
