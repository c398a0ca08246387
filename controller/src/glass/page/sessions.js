// Sessions at a glance: how many are in which state, what is wrong with the objects, and a line for each.

import { h } from "./dom.js";
import { NAMES, STATES, badge, chip, state_of, tally, trouble } from "./states.js";
import { address, by_name, count, number, since } from "./words.js";

const EVERY = 3_000;

/** What is looked for, in which states, and by which column the lines are in order. */
let wanted = { text: "", state: null };
let order = { column: "state", down: false };

const by_number = (of) => (a, b) => of(a) - of(b);
const by_text = (of) => (a, b) => by_name(of(a), of(b));

const COLUMNS = {
  state: { title: "State", compare: by_number((p) => STATES.indexOf(state_of(p))), cell: chip },
  name: { title: "Peer", compare: by_text((p) => p.name), cell: link },
  role: { title: "Kind", compare: by_text(kind), cell: kind },
  as: { title: "AS", class: "number", compare: by_number((p) => p.remoteAs ?? 0), cell: (p) => p.remoteAs ?? "" },
  address: { title: "Address", class: "code", compare: by_text(address), cell: address },
  since: {
    title: "For",
    compare: by_number((p) => -Date.parse(p.since)),
    cell: (p) => h("time", { datetime: p.since, title: p.since }, since(p.since)),
  },
  imported: { title: "In", class: "number", compare: by_number((p) => p.routes.imported), cell: (p) => number(p.routes.imported) },
  exported: { title: "Out", class: "number", compare: by_number((p) => p.routes.exported), cell: (p) => number(p.routes.exported) },
  trouble: { title: "Last error", class: "trouble", compare: by_text(trouble), cell: trouble },
};

function link(peer) {
  return h("a", { href: `#/peer/${encodeURIComponent(peer.name)}` }, peer.name);
}

/** What a peer is to this node. */
export function kind(peer) {
  if (peer.role === "router") return "router";
  return peer.client ? "node, client" : "node";
}

/** What the filter looks at. */
function text_of(peer) {
  const words = [peer.name, kind(peer), peer.state, peer.remoteAs, address(peer), peer.object, trouble(peer)];
  return words.join(" ").toLowerCase();
}

function chosen(peers) {
  const words = wanted.text.toLowerCase().split(/\s+/);
  const { compare } = COLUMNS[order.column];
  return peers
    .filter((peer) => !wanted.state || state_of(peer) === wanted.state)
    .filter((peer) => words.every((word) => text_of(peer).includes(word)))
    .sort((a, b) => (order.down ? -1 : 1) * compare(a, b) || by_name(a.name, b.name));
}

function tiles(peers, status, redraw) {
  const counts = tally(peers);
  const of_state = (state) => h("button", {
    type: "button",
    class: `tile ${state}`,
    "aria-pressed": String(wanted.state === state),
    onclick: () => {
      wanted.state = wanted.state === state ? null : state;
      redraw();
    },
  }, h("strong", {}, number(counts[state])), h("span", {}, badge(state), NAMES[state]));
  const fact = (n, what) => h("div", { class: "tile" }, h("strong", {}, number(n)), h("span", {}, what));
  const { kernel, prefixes, originated } = status ?? {};
  const waiting = kernel && kernel.pending + kernel.parked;
  return h("div", { class: "tiles" },
    h("div", { class: "states", role: "group", "aria-label": "Show one state" }, ["up", "opening", "down", "off"].map(of_state)),
    status && h("div", { class: "facts" },
      fact(prefixes.ipv4 ?? 0, "IPv4 prefixes"),
      fact(prefixes.ipv6 ?? 0, "IPv6 prefixes"),
      fact(originated, "own routes"),
      fact(kernel.installed, waiting ? `in the kernel, ${number(waiting)} not yet` : "in the kernel")));
}

/** What keeps the speaker from being ready, and what is wrong with objects. */
function problems(status) {
  const wrong = status?.problems ?? [];
  const reasons = status?.notReady ?? [];
  if (wrong.length + reasons.length === 0) return null;
  const one = ({ severity, object, field, message, reason }) =>
    h("li", {}, h("strong", { class: severity === "error" ? "down" : "opening" }, severity), " ",
      h("span", { class: "code" }, field ? `${object} ${field}` : object), ` ${message} `, h("code", {}, reason));
  return h("details", { class: "problems", open: !status.ready },
    h("summary", {}, status.ready ? count(wrong.length, "problem") + " with objects" : "Not ready"),
    h("ul", {}, reasons.map((reason) => h("li", {}, reason)), wrong.map(one)));
}

function head(name, { title, class: style }, redraw) {
  const sorted = order.column === name;
  const direction = sorted ? (order.down ? "descending" : "ascending") : "none";
  const sort = () => {
    order = { column: name, down: sorted && !order.down };
    redraw();
  };
  return h("th", { scope: "col", class: style, "aria-sort": direction },
    h("button", { type: "button", onclick: sort }, title,
      h("span", { "aria-hidden": "true" }, sorted ? (order.down ? " ↓" : " ↑") : "")));
}

function table(peers, redraw) {
  const cells = Object.entries(COLUMNS);
  const row = (peer) => h("tr", { "data-key": peer.name },
    cells.map(([, { cell, class: style }]) => h("td", { class: style }, cell(peer))));
  return h("div", { class: "scroll" }, h("table", { id: "sessions" },
    h("caption", { class: "hidden" }, "Sessions"),
    h("thead", {}, h("tr", {}, cells.map(([name, column]) => head(name, column, redraw)))),
    h("tbody", {}, peers.map(row))));
}

export const sessions = {
  title: "Sessions",
  field: "#find",
  list: ["#sessions tbody", "a"],
  asks: () => [["peers", "v1/protocols", EVERY]],
  draw({ peers, status, refused }, { state }, redraw) {
    if (STATES.includes(state) && wanted.linked !== location.hash) {
      wanted = { text: "", state, linked: location.hash };
    }
    if (!peers) return h("p", { class: "quiet" }, refused ?? "Asking for the sessions …");
    const some = chosen(peers);
    const find = (event) => {
      wanted.text = event.target.value;
      redraw();
    };
    return h("div", { class: "view" },
      h("h2", { class: "hidden" }, "Sessions"),
      tiles(peers, status, redraw),
      problems(status),
      h("div", { class: "bar" },
        h("input", {
          id: "find", type: "search", value: wanted.text, placeholder: "Name, address, AS, error",
          "aria-label": "Filter the sessions", "aria-keyshortcuts": "/", oninput: find,
        }),
        h("p", { role: "status" }, some.length === peers.length
          ? count(peers.length, "session") : `${number(some.length)} of ${count(peers.length, "session")}`)),
      peers.length === 0
        ? h("p", { class: "quiet" }, "No peer is configured.")
        : table(some, redraw));
  },
};
