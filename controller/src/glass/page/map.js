// This node, the nodes of the mesh and the routers, each with its state.

import { h, s } from "./dom.js";
import { group, place, wedge } from "./layout.js";
import { kind } from "./sessions.js";
import { NAMES, STATES, badge, chip, mark, state_of, tally, trouble, worst } from "./states.js";
import { address, by_name, count, number, since } from "./words.js";

const EVERY = 3_000;
/** Peers this far apart have their names beneath. */
const NAMED = 56;
/** More sectors than this have small titles, or they would be over each other. */
const DENSE = 12;
/** The radius of this node's own circle. */
const HUB = 72;
/** Those without a session that the list beside the map has room for. */
const LISTED = 8;

/** The peer that the pointer or the keyboard is at. */
let marked = null;

function spot({ peer, x, y }, { spacing, above, start }, redraw) {
  const state = state_of(peer);
  const at = () => {
    if (marked === peer.name) return;
    marked = peer.name;
    redraw();
  };
  const size = Math.min(spacing * 0.36, 15) / 10;
  return s("a", {
    "data-key": peer.name,
    href: `#/peer/${encodeURIComponent(peer.name)}`,
    class: `spot ${state}`,
    transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})`,
    "aria-label": `${peer.name}, ${kind(peer)}, ${NAMES[state]}`,
    onpointerenter: at,
    onfocus: at,
  },
  s("circle", { r: spacing / 2, class: "reach" }),
  s("g", { transform: `scale(${size.toFixed(2)})` }, mark(state, peer.role)),
  spacing >= NAMED && s("text", { y: above ? -23 : 32, class: "name" }, short(peer.name, spacing, start)));
}

/** What all names begin with, up to a separator. */
function common_start(names) {
  const [first, ...others] = names;
  const differs = [...first].findIndex((letter, at) => others.some((other) => other[at] !== letter));
  return differs < 0 ? "" : first.slice(0, differs).replace(/[^-._]*$/, "");
}

/** As much of a name as has room, without what tells least: how all begin, and the domain. */
function short(name, spacing, start) {
  const room = Math.floor(spacing / 8);
  if (name.length <= room) return name;
  const own = name.slice(start.length).split(".")[0];
  return own.length > room ? `${own.slice(0, room - 1)}…` : own;
}

/** A line from the middle to a point. */
function line(x, y, state) {
  const share = HUB / Math.hypot(x, y);
  return s("line", { x1: share * x, y1: share * y, x2: x, y2: y, class: `line ${state}` });
}

function field({ from, to }, { inner, edge }) {
  return s("path", { d: wedge(from - 0.02, to + 0.02, inner, edge), class: "field" });
}

function sector({ name, peers, from, to, spacing, rows, spots }, { inner, edge, leading }, redraw) {
  const middle = (from + to) / 2;
  const [cos, sin] = [Math.cos(middle), Math.sin(middle)];
  const broken = peers.length - tally(peers).up;
  const start = common_start(peers.map((peer) => peer.name));
  // One line for all where a line for each would cross others.
  const state = broken < peers.length ? "up" : worst(peers);
  const lines = rows === 1
    ? spots.map(({ peer, x, y }) => line(x, y, state_of(peer)))
    : line(inner * cos, inner * sin, state);
  const anchor = cos > 0.08 ? "start" : cos < -0.08 ? "end" : "middle";
  // Two lines of text: above the sector they grow upwards.
  const [x, y] = [(edge + 12) * cos, (edge + 12) * sin + (sin < -0.5 ? -18 : sin > 0.5 ? 14 : -4)];
  return s("g", { class: "sector" },
    lines,
    s("text", { x, y, "text-anchor": anchor, class: "title" }, name),
    s("text", { x, y: y + leading, "text-anchor": anchor, class: broken > 0 ? `sum ${worst(peers)}` : "sum" },
      broken > 0 ? `${number(broken)} of ${number(peers.length)} not up` : `${number(peers.length)} up`),
    // Names of peers on one ring are on the side that no line comes from.
    spots.map((one) => spot(one, { spacing, start, above: rows === 1 && one.y < 0 }, redraw)));
}

function drawing(peers, status, redraw) {
  const { spacing, inner, outer, sectors } = place(group(peers));
  const margin = Math.max(spacing / 2, 16);
  const dense = sectors.length > DENSE;
  const ring = {
    inner: inner - margin, edge: outer + margin + (spacing >= NAMED ? 8 : 2), leading: dense ? 17 : 20,
  };
  const [width, height] = [ring.edge + 170, ring.edge + 58];
  const node = status?.node ?? "";
  return s("svg", {
    id: "map", class: dense ? "map dense" : "map", viewBox: `${-width} ${-height} ${2 * width} ${2 * height}`,
    role: "group", "aria-label": `${node} and its ${count(peers.length, "peer")}`,
  },
  // No field is over a name of the sector beside it.
  sectors.map((one) => field(one, ring)),
  sectors.map((one) => sector(one, ring, redraw)),
  s("g", { class: "hub" },
    s("circle", { r: HUB }),
    s("text", { y: status?.localAs ? -2 : 7, class: "title" }, short(node, 90, "")),
    status?.localAs && s("text", { y: 22, class: "sum" }, `AS ${status.localAs}`)));
}

function legend() {
  const one = (state) => h("li", {}, badge(state, "node"), badge(state, "router"), NAMES[state]);
  return h("section", { class: "card" }, h("h3", {}, "Marks"),
    h("ul", { class: "legend" }, ["up", "opening", "down", "off"].map(one)),
    h("p", { class: "quiet" }, "Round: nodes, by subnet. Square: routers, by AS."));
}

function about(peer) {
  if (!peer) return h("section", { class: "card about" }, h("h3", {}, "At the mark"),
    h("p", { class: "quiet" }, "Point at a peer, or walk there with the arrow keys."));
  return h("section", { class: "card about" },
    h("h3", {}, h("a", { href: `#/peer/${encodeURIComponent(peer.name)}` }, peer.name)),
    h("p", {}, chip(peer), ` for ${since(peer.since)}`),
    h("p", { class: "quiet" }, [kind(peer), peer.remoteAs && `AS ${peer.remoteAs}`, address(peer)].filter(Boolean).join(" · ")),
    h("p", { class: "quiet" }, `${count(peer.routes.imported, "route")} in, ${number(peer.routes.exported)} out`),
    trouble(peer) && h("p", { class: "trouble" }, trouble(peer)));
}

function without_session(peers) {
  const rank = (peer) => STATES.indexOf(state_of(peer));
  const broken = peers.filter((peer) => state_of(peer) !== "up")
    .sort((a, b) => rank(a) - rank(b) || by_name(a.name, b.name));
  const one = (peer) => h("li", {}, badge(state_of(peer), peer.role),
    h("a", { href: `#/peer/${encodeURIComponent(peer.name)}`, title: peer.name }, peer.name));
  return h("section", { class: "card" }, h("h3", {}, `Without a session: ${number(broken.length)}`),
    broken.length === 0 && h("p", { class: "quiet" }, "Every session is up."),
    h("ul", { class: "broken" }, broken.slice(0, LISTED).map(one)),
    broken.length > LISTED && h("p", {}, h("a", { href: `#/sessions?state=${state_of(broken[0])}` },
      `and ${number(broken.length - LISTED)} more`)));
}

export const map = {
  title: "Map",
  list: ["#map", ".spot"],
  asks: () => [["peers", "v1/protocols", EVERY]],
  draw({ peers, status, refused }, _parameters, redraw) {
    if (!peers) return h("p", { class: "quiet" }, refused ?? "Asking for the sessions …");
    return h("div", { class: "view with-side" },
      h("h2", { class: "hidden" }, "Map"),
      peers.length === 0 ? h("p", { class: "quiet" }, "No peer is configured.") : drawing(peers, status, redraw),
      h("aside", {}, about(peers.find(({ name }) => name === marked)), without_session(peers), legend()));
  },
};
